//! A page: its blocks of SQL, each with what is shown of it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::shown::{Shown, Varying};

/// What else a fence may hold, in what language: shown, not run. What names a file is a part of it, which others compare.
const OTHERS: [&str; 11] = ["console", "go", "ini", "java", "js", "php", "python", "ruby", "rust", "sh", "yaml"];

/// Who runs a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runner {
    Driver,
    Psql,
}

/// One fenced block of SQL.
#[derive(Debug)]
pub struct Block {
    pub line: usize,
    pub runner: Runner,
    pub role: String,
    pub fails: Option<String>,
    pub sql: String,
    pub shown: Vec<Shown>,
}

#[derive(Debug)]
pub struct Page {
    path: PathBuf,
    /// Its path within the repository.
    pub name: String,
    text: Vec<String>,
    pub blocks: Vec<Block>,
    /// Fences that say nothing that is known.
    pub faults: Vec<String>,
}

impl Page {
    pub fn read(root: &Path, path: &Path) -> Self {
        let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self::parse(path.to_owned(), name, &text)
    }

    fn parse(path: PathBuf, name: String, text: &str) -> Self {
        let text: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut page = Self { path, name, text, blocks: Vec::new(), faults: Vec::new() };
        let mut number = 0;
        while number < page.text.len() {
            let line = &page.text[number];
            let Some(info) = line.strip_prefix("```").map(str::to_owned) else {
                if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
                    page.faults.push(format!(
                        "{}:{}: a fence that is looked over: indented, or of ~",
                        page.name,
                        number + 1
                    ));
                }
                number += 1;
                continue;
            };
            let first = number + 1;
            let end = page.text[first..].iter().position(|line| line == "```");
            let length = end.unwrap_or(page.text.len() - first);
            let added =
                if end.is_none() { Err("it has no end".into()) } else { page.add(&info, first..first + length) };
            if let Err(fault) = added {
                page.faults.push(format!("{}:{first}: {fault}", page.name));
            }
            number = first + length + 1;
        }
        page
    }

    fn add(&mut self, info: &str, lines: Range<usize>) -> Result<(), String> {
        let body = &self.text[lines.clone()];
        let mut words = info.split_whitespace();
        match words.next() {
            None => Err("say what this block is: text for the output of the block before, text measured, sh, …".into()),
            Some("sql" | "psql") if !info.contains(" file=") => {
                let mut block = Block {
                    line: lines.start,
                    runner: if info.starts_with('p') { Runner::Psql } else { Runner::Driver },
                    role: tenancy_harness::Cluster::SUPERUSER.into(),
                    fails: None,
                    sql: body.join("\n"),
                    shown: Vec::new(),
                };
                for word in words {
                    match word.split_once('=') {
                        Some(("as", role)) => block.role = role.into(),
                        Some(("fails", state)) => block.fails = Some(state.into()),
                        _ => return Err(format!("what does \"{word}\" mean?")),
                    }
                }
                self.blocks.push(block);
                Ok(())
            }
            Some("text") => {
                let mut shown = Shown::new(body, lines);
                for word in words {
                    match word.split_once('=') {
                        None if word == "measured" => return Ok(()),
                        Some(("on", version)) => shown.only = Some(version.parse().map_err(|_| "on= what version?")?),
                        Some(("varies", what)) => {
                            for what in what.split(',') {
                                let varying = Varying::parse(what);
                                shown.varies.push(varying.ok_or_else(|| format!("what varies by \"{what}\"?"))?);
                            }
                        }
                        _ => return Err(format!("what does \"{word}\" mean?")),
                    }
                }
                let block = self.blocks.last_mut().ok_or("no block of SQL that this could be the output of")?;
                block.shown.push(shown);
                Ok(())
            }
            Some(other) if info.contains(" file=") || OTHERS.contains(&other) => Ok(()),
            Some(other) => Err(format!("\"{other}\" is no language of these pages")),
        }
    }

    /// Blocks of which it can't be seen which statement was refused.
    pub fn unclear(&self) -> impl Iterator<Item = &Block> {
        let has_several = |block: &&Block| block.sql.trim_end().trim_end_matches(';').contains(';');
        self.blocks.iter().filter(|block| block.fails.is_some() && block.shown.is_empty()).filter(has_several)
    }

    /// Puts other lines in place of some, which come in the order of the page.
    pub fn write(&self, changes: &[(Range<usize>, Vec<String>)]) {
        let mut text = self.text.clone();
        for (lines, new) in changes.iter().rev() {
            text.splice(lines.clone(), new.iter().cloned());
        }
        std::fs::write(&self.path, text.join("\n") + "\n").unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }
}

/// README and everything in docs/, but for what is generated.
pub fn all(root: &Path) -> Vec<PathBuf> {
    let mut pages = vec![root.join("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry of docs/").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

#[test]
fn fences_are_understood() {
    let text = "# A\n```sql as=app fails=42501\nSELECT 1;\n```\n\n```text on=15 varies=uuid,time\nERROR:  no\n```\n```sh\nls\n```\n```\nx\n```\n```text measured\ny\n```\n";
    let page = Page::parse("p.md".into(), "p.md".into(), text);
    assert_eq!(page.blocks.len(), 1);
    let block = &page.blocks[0];
    assert_eq!((block.line, block.role.as_str(), block.fails.as_deref()), (2, "app", Some("42501")));
    assert_eq!((block.shown.len(), block.shown[0].only, block.shown[0].varies.len()), (1, Some(15), 2));
    assert_eq!(page.faults.len(), 1, "{:?}", page.faults);
    for fault in [
        "```sql who=me\n```",
        "```text\nof nothing\n```",
        "```sql\n```\n```text varies=weather\n```",
        "```SQL\n```",
        "```sh\nls\n",
        "- a list\n  ```sql",
        "~~~sql",
    ] {
        assert_eq!(Page::parse("p.md".into(), "p.md".into(), fault).faults.len(), 1, "{fault}");
    }
}
