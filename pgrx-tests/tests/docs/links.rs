//! Every link within the documentation leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The anchors of a page's headings, as they are made of their text.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors = Vec::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for line in outside_of_fences(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect();
        let before = seen.entry(anchor.clone()).or_default();
        anchors.push(if *before == 0 { anchor } else { format!("{anchor}-{before}") });
        *before += 1;
    }
    anchors
}

fn outside_of_fences(text: &str) -> Vec<&str> {
    let mut inside = false;
    let lines = text.lines().filter(|line| {
        let fence = line.starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    lines.collect()
}

fn links(text: &str) -> Vec<String> {
    let text = outside_of_fences(text).join("\n");
    let targets = text.split("](").skip(1).filter_map(|after| after.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).filter(|target| !target.contains("://")).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read =
        |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut pages = crate::page::all(&root);
    pages.extend(["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root.join(name)));
    let mut broken = Vec::new();
    for page in pages {
        let text = read(&page);
        for link in links(&text) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.with_file_name("").join(file) };
            let there =
                target.exists() && (anchor.is_empty() || anchors(&read(&target)).iter().any(|one| one == anchor));
            if !there {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_page_is_found_from_the_index() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository");
    let mut found = BTreeSet::new();
    let mut to_read = vec![root.join("docs/README.md")];
    while let Some(page) = to_read.pop() {
        if page.extension().is_none_or(|extension| extension != "md") || !found.insert(page.clone()) {
            continue;
        }
        for link in links(&std::fs::read_to_string(&page).unwrap_or_default()) {
            let file = link.split('#').next().unwrap_or_default();
            to_read.extend(page.with_file_name("").join(file).canonicalize().ok().filter(|path| path.is_file()));
        }
    }
    let pages = crate::page::all(&root);
    let lost: Vec<_> = pages.iter().filter(|page| !found.contains(*page)).collect();
    assert!(lost.is_empty(), "no link leads from docs/README.md to {lost:#?}");
}

#[test]
fn anchors_are_those_of_headings() {
    let text = "# One\n## `set_tenant`: what's that?\n```sh\n# no heading\n```\n## One\n#no\n";
    assert_eq!(anchors(text), ["one", "set_tenant-whats-that", "one-1"]);
    assert_eq!(links("[a](b.md#c) ![d](e.svg) [f](https://g.example)\n```\n[h](i)\n```"), ["b.md#c", "e.svg"]);
}
