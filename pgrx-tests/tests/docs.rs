//! The SQL in the documentation runs as it stands there.
//!
//! A block fenced as `sql` is run by a superuser, `sql as=ROLE` by that role, each in a session of its own and in the order
//! of the page; `fails=SQLSTATE` says that its last statement is refused so.

use std::path::{Path, PathBuf};

use tenancy_harness::{Cluster, Config, Fixture, sqlstate};

/// One fenced block of SQL.
#[derive(Debug)]
struct Block {
    line: usize,
    role: String,
    fails: Option<String>,
    sql: String,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let body: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        let mut words = info.split_whitespace();
        if words.next() != Some("sql") {
            continue;
        }
        let mut block = Block { line: number + 1, role: Cluster::SUPERUSER.into(), fails: None, sql: body.join("\n") };
        for word in words {
            match word.split_once('=') {
                Some(("as", role)) => block.role = role.into(),
                Some(("fails", state)) => block.fails = Some(state.into()),
                _ => panic!("line {}: what does \"{word}\" mean?", number + 1),
            }
        }
        blocks.push(block);
    }
    blocks
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages = vec![root.join("README.md")];
    for entry in std::fs::read_dir(root.join("docs")).expect("docs/") {
        let path = entry.expect("an entry of docs/").path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages
}

#[test]
fn every_sql_block_of_the_documentation_does_what_it_says() {
    let mut ran = 0;
    for page in pages() {
        // Roles belong to the whole server, and each page makes its own.
        let cluster = Cluster::start("docs", &Config::default());
        let fixture = Fixture::empty(&cluster);
        for block in blocks(&std::fs::read_to_string(&page).expect("a page")) {
            let at = format!("{}:{}", page.display(), block.line);
            let result = fixture.connect(&block.role).batch_execute(&block.sql);
            match &block.fails {
                None => assert!(result.is_ok(), "{at}: {result:?}"),
                Some(state) => assert_eq!(sqlstate(&result), Some(state.as_str()), "{at}"),
            }
            ran += 1;
        }
    }
    assert!(ran >= 6, "only {ran} blocks were found");
}
