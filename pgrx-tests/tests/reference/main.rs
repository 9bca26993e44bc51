//! docs/reference is what the catalog and the sources say of themselves: these tests fail when it is stale, and
//! `PG_TENANCY_WRITE=1` writes it anew (`make reference`).

mod errors;
mod functions;
mod relations;
mod settings;
mod source;

use std::path::{Path, PathBuf};

use tenancy_harness::Fixture;
use tenancy_harness::postgres::{Client, SimpleQueryMessage};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Compares a generated page with the one that is there, or writes it.
fn check(name: &str, page: &str) {
    let path = root().join("docs/reference").join(name);
    if std::env::var_os("PG_TENANCY_WRITE").is_some() {
        std::fs::create_dir_all(root().join("docs/reference")).expect("docs/reference");
        std::fs::write(&path, page).unwrap_or_else(|error| panic!("{name}: {error}"));
        return;
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = there.lines().zip(page.lines()).find(|(there, new)| there != new);
    assert!(
        there == page,
        "docs/reference/{name} is stale: make reference writes it anew. First difference: {differs:#?}"
    );
}

/// Rows of a query as texts, NULL as the empty one.
fn rows(session: &mut Client, query: &str) -> Vec<Vec<String>> {
    let messages = session.simple_query(query).unwrap_or_else(|error| panic!("{error:?}\nin: {query}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|cell| row.get(cell).unwrap_or_default().to_owned()).collect())
        }
        _ => None,
    });
    rows.collect()
}

/// What a COMMENT says, as Markdown.
fn prose(text: &str) -> String {
    text.replace('<', "\\<").replace('*', "\\*")
}

/// The same within a table.
fn cell(text: &str) -> String {
    prose(text).replace('|', "\\|")
}

#[test]
fn functions_are_those_of_the_catalog() {
    let fixture = Fixture::new();
    let admin = fixture.role("admin");
    fixture.run(&format!("select tenancy.grant_admin('{admin}')"));
    check("functions.md", &functions::page(&mut fixture.superuser(), &admin));
}

#[test]
fn relations_are_those_of_the_catalog() {
    check("relations.md", &relations::page(&mut Fixture::new().superuser()));
}

#[test]
fn settings_are_those_of_the_library() {
    check("settings.md", &settings::page(&mut Fixture::new().superuser()));
}

#[test]
fn errors_are_those_of_the_source() {
    check("errors.md", &errors::page());
}

/// The doctor's codes are explained by hand: all of them, with the severity that they have.
#[test]
fn the_doctors_codes_are_those_of_the_source() {
    let in_source = source::doctor_codes(&read("src/doctor/codes.rs"));
    let page = read("docs/reference.md");
    let in_page: Vec<(String, String)> = page
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let code = cells.next()?.strip_suffix('`')?;
            let severity = cells.next()?;
            let is_code = code.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            let weighs = ["critical", "high", "medium", "low", "info"].contains(&severity);
            (is_code && weighs).then(|| (code.to_owned(), severity.to_owned()))
        })
        .collect();
    let sorted = |mut codes: Vec<(String, String)>| {
        codes.sort();
        codes
    };
    assert_eq!(sorted(in_page), sorted(in_source));
}
