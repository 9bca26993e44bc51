//! Trees of tenants: who is placed below whom, and tables of kind `tree`, whose rows the tenants above read and never write.

mod dump;
mod invalidation;
mod model;
mod places;
mod plans;
mod proofs;
mod read;
mod write;

use tenancy_harness::postgres::{Client, Transaction};
use tenancy_harness::{Fixture, Session};

/// Types that a tenant column may have; every tenant here has a number as its key.
const TYPES: [&str; 6] = ["uuid", "text", "varchar", "smallint", "integer", "bigint"];

/// Tenants and their parents: two trees, and one tenant that is in none.
const PLACES: [(u32, Option<u32>); 8] =
    [(1, None), (11, Some(1)), (12, Some(1)), (111, Some(11)), (112, Some(11)), (2, None), (21, Some(2)), (3, None)];

/// Rows of each tenant in each table.
const ROWS: usize = 5;

fn id(key: u32) -> String {
    format!("00000000-0000-4000-8000-{key:012}")
}

/// What a column of that type holds for the tenant, as SQL.
fn literal(column_type: &str, key: u32) -> String {
    match column_type {
        "uuid" => format!("'{}'", id(key)),
        "text" | "varchar" => format!("'{key}'"),
        _ => key.to_string(),
    }
}

/// The tenant and all below it, in the order of their keys as text.
fn family(of: u32) -> Vec<String> {
    let mut keys: Vec<String> =
        PLACES.iter().filter(|(key, _)| is_below(*key, of)).map(|(key, _)| key.to_string()).collect();
    keys.sort();
    keys
}

fn is_below(key: u32, of: u32) -> bool {
    let parent = PLACES.iter().find(|(known, _)| *known == key).and_then(|(_, parent)| *parent);
    key == of || parent.is_some_and(|parent| is_below(parent, of))
}

/// A database with the tenants and, for each type of column, a table `t_<type>` of kind tree. Its columns are those of the
/// harness's worlds; a row's body is its tenant's key, a blank and its id.
struct Forest<'c> {
    fixture: Fixture<'c>,
    app: String,
}

impl Forest<'static> {
    fn new() -> Self {
        Self::within(Fixture::new())
    }
}

impl<'c> Forest<'c> {
    fn within(fixture: Fixture<'c>) -> Self {
        let app = fixture.app();
        let mut superuser = fixture.superuser();
        for (key, parent) in PLACES {
            let parent = parent.map_or("null".into(), |parent| format!("'{parent}'"));
            superuser.run(&format!("select tenancy.create_tenant('{key}', id => '{}', parent => {parent})", id(key)));
        }
        for column_type in TYPES {
            superuser.run(&format!(
                "create table t_{column_type}
                   (id integer not null, tenant_id {column_type} not null, body text not null, primary key (tenant_id, id))"
            ));
            fill(&mut superuser, &format!("t_{column_type}"), column_type);
            superuser.run(&format!("select tenancy.protect('t_{column_type}', kind => 'tree')"));
        }
        Self { fixture, app }
    }

    fn connect(&self) -> Client {
        self.fixture.connect(&self.app)
    }

    /// All rows of a table, whoever sees them.
    fn rows(&self, table: &str) -> Vec<String> {
        self.fixture.superuser().texts(&format!("select t::text from {table} t order by 1"))
    }
}

fn fill(superuser: &mut Client, table: &str, column_type: &str) {
    for (key, _) in PLACES {
        superuser.run(&format!(
            "insert into {table} (id, tenant_id, body) select n, {}, '{key} ' || n from generate_series(1, {ROWS}) n",
            literal(column_type, key)
        ));
    }
}

/// A transaction for that tenant.
fn begin(client: &mut Client, key: u32) -> Transaction<'_> {
    let mut transaction = client.transaction().expect("a transaction begins");
    transaction.run(&format!("set local tenancy.tenant_id = '{key}'"));
    transaction
}

/// The tenants whose rows are seen, by their keys.
#[track_caller]
fn seen(session: &mut impl Session, table: &str) -> Vec<String> {
    session.texts(&format!("select distinct split_part(body, ' ', 1) from {table} order by 1"))
}

/// The tenants that are visible, by their keys.
#[track_caller]
fn visible(session: &mut impl Session) -> Vec<String> {
    session.texts("select key from unnest(tenancy.visible_keys()) key order by 1")
}
