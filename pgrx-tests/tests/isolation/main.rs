//! Never another tenant's row: every kind of statement, as an ordinary login role, for every type a tenant column may
//! have.

mod conflict;
mod cursors;
mod dml;
mod kinds;
mod objects;
mod parallel;
mod partitions;
mod plans;
mod read;

use postgres::Transaction;
use tenancy_harness::postgres;
use tenancy_harness::{FAMILIES, Family, Session, Tenant, World};

/// Runs `act` for each family in a transaction of the application's role that acts for the family's own tenant, then
/// commits and checks that the other tenant's rows are what they were.
fn as_mine(act: impl Fn(&World<'_>, &Family, &mut Transaction<'_>)) {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let before = foreign_rows(&world, family);
        let mut transaction = World::begin(&mut client, family.mine);
        act(&world, family, &mut transaction);
        transaction.commit().expect("the transaction ends");
        assert_eq!(foreign_rows(&world, family), before, "the other tenant's {} rows", family.column_type);
    }
}

fn foreign_rows(world: &World<'_>, family: &Family) -> Vec<String> {
    let query = format!(
        "select t::text from {} t where tenant_id = {} or body like '{} %' order by 1",
        family.table(),
        family.literal(family.other),
        family.other.key
    );
    world.fixture.superuser().texts(&query)
}

/// Panics unless `bodies` are exactly `count` rows, all of `tenant`.
#[track_caller]
fn assert_owned(bodies: &[String], tenant: Tenant, count: i64) {
    let prefix = format!("{} ", tenant.key);
    let foreign: Vec<_> = bodies.iter().filter(|body| !body.starts_with(&prefix)).collect();
    assert!(foreign.is_empty(), "rows that {} must not see: {foreign:?}", tenant.key);
    assert_eq!(i64::try_from(bodies.len()), Ok(count), "rows of {}", tenant.key);
}
