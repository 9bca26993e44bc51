//! What the pages say is tested by what they name: every test that a page names exists, and every way round row
//! security that docs/security.md counts has its tests. Needs no server.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The ways that docs/security.md counts.
const CHANNELS: std::ops::RangeInclusive<u32> = 1..=94;
/// How pages name a test: this, its file, `::` and its name.
const TESTS: &str = "pgrx-tests/tests/";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn pages() -> Vec<PathBuf> {
    let root = root();
    let mut pages = Vec::new();
    for directory in [root.clone(), root.join("docs")] {
        let entries = fs::read_dir(&directory).expect("a directory");
        let entries = entries.map(|entry| entry.expect("an entry").path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    pages
}

/// Tests of a file, each with what its comment says. A test is a function under `#[test]`, or a line `name: "…"` in the
/// call of a macro that makes one of each line.
fn tests_in(text: &str) -> BTreeMap<String, String> {
    let mut tests = BTreeMap::new();
    let (mut comment, mut is_test, mut in_macro) = (String::new(), false, false);
    for line in text.lines() {
        let trimmed = line.trim_start();
        if let Some(said) = trimmed.strip_prefix("///") {
            comment = said.trim().to_owned();
        } else if trimmed == "#[test]" {
            is_test = true;
        } else if line.ends_with("! {") && !line.starts_with("macro_rules") {
            in_macro = true;
        } else if line == "}" {
            in_macro = false;
        } else if let Some((name, _)) = trimmed.strip_prefix("fn ").and_then(|rest| rest.split_once('('))
            && is_test
        {
            tests.insert(name.to_owned(), std::mem::take(&mut comment));
            is_test = false;
        } else if let Some((name, _)) = trimmed.split_once(": \"")
            && in_macro
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        {
            tests.insert(name.to_owned(), String::new());
        }
    }
    tests
}

/// Every test that a text names: its file and its name. A file or folder that is named whole has no name.
fn named_in(text: &str) -> Vec<(&str, Option<&str>)> {
    let words = text.split(TESTS).skip(1).map(|after| {
        let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || "_/.:".contains(c))).unwrap_or(after.len());
        after[..end].trim_end_matches(['.', ':', '/'])
    });
    words.map(|word| word.split_once("::").map_or((word, None), |(file, name)| (file, Some(name)))).collect()
}

/// The rows of the table of channels in docs/security.md, by number.
fn channels(page: &str) -> BTreeMap<u32, &str> {
    let mut rows = BTreeMap::new();
    for line in page.lines() {
        let number = line.strip_prefix("| ").and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        if let Some(number) = number {
            assert_eq!(rows.insert(number, line), None, "channel {number} is there twice");
        }
    }
    rows
}

#[test]
fn every_test_that_a_page_names_exists() {
    let mut named = 0;
    for page in pages() {
        let text = read(&page);
        for (file, name) in named_in(&text) {
            let path = root().join(TESTS).join(file);
            assert!(path.exists(), "{}: there is no {TESTS}{file}", page.display());
            let Some(name) = name else { continue };
            assert!(tests_in(&read(&path)).contains_key(name), "{}: {TESTS}{file} has no test {name}", page.display());
            named += 1;
        }
    }
    assert!(named > 100, "only {named} tests are named");
}

#[test]
fn every_way_round_row_security_has_its_test() {
    let page = read(&root().join("docs/security.md"));
    let rows = channels(&page);
    assert!(rows.keys().copied().eq(CHANNELS), "{:?}", rows.keys());
    for (number, row) in rows {
        assert!(named_in(row).iter().any(|(_, name)| name.is_some()), "channel {number} names no test: {row}");
    }
}

#[test]
fn every_test_of_a_channel_is_named_by_it() {
    let page = read(&root().join("docs/security.md"));
    let rows = channels(&page);
    for entry in fs::read_dir(root().join(TESTS).join("channels")).expect("tests of channels") {
        let path = entry.expect("an entry").path();
        let file = format!("channels/{}", path.file_name().and_then(|name| name.to_str()).expect("a name"));
        for (name, comment) in tests_in(&read(&path)) {
            let number: u32 =
                comment.parse().unwrap_or_else(|_| panic!("{file}::{name} says of no channel: {comment}"));
            let row = rows.get(&number).unwrap_or_else(|| panic!("{file}::{name}: there is no channel {number}"));
            assert!(
                named_in(row).contains(&(file.as_str(), Some(name.as_str()))),
                "channel {number} lacks {file}::{name}"
            );
        }
    }
}

#[test]
fn tests_are_recognised() {
    let text = "/// 7\n#[test]\nfn one() {\n}\nfn helper() {}\nheals! {\n    two: \"CODE\" on \"x\"\n        by \"y: z\";\n}\n";
    let tests = tests_in(text);
    assert_eq!(tests.keys().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(tests["one"], "7");
    let page = format!("see `{TESTS}a/b.rs::one`, {TESTS}a/ and (`{TESTS}c.rs::two`).");
    assert_eq!(named_in(&page), [("a/b.rs", Some("one")), ("a", None), ("c.rs", Some("two"))]);
}
