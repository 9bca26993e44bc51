//! `tenancy.scope_unique()`, `scope_foreign_key()` and `scope_plan()`: keys led by the tenant column.

mod application;
mod hostile;
mod kept;
mod live;
mod refusals;
mod schema;
mod who;

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Fixture, GLOBEX, Session};

/// A database with two tenants and a role that acts for both, `app`.
fn shop() -> (Fixture<'static>, String) {
    let fixture = Fixture::new();
    let app = fixture.app();
    fixture.register(&[ACME, GLOBEX]);
    (fixture, app)
}

/// Fills in what statements name: the tenants' ids.
fn fill(text: &str) -> String {
    text.replace("{acme}", ACME.id).replace("{globex}", GLOBEX.id)
}

/// The definitions of a table's constraints of these types, by name; not those that say NOT NULL.
fn definitions(client: &mut Client, table: &str, types: &str) -> Vec<String> {
    client.texts(&format!(
        "select conname || ': ' || pg_get_constraintdef(oid) from pg_constraint
         where conrelid = '{table}'::regclass and contype::text = any (string_to_array('{types}', ','))
         order by conname"
    ))
}

/// Runs a script as psql's \gexec does: each step is a statement of its own.
#[track_caller]
fn run_plan(client: &mut Client, table: &str) -> Vec<String> {
    let steps = client.texts(&format!("select ddl from tenancy.scope_plan('{table}') order by step"));
    for step in &steps {
        client.run(step);
    }
    steps
}
