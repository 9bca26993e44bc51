//! Storms in which something is broken on purpose, and which therefore have to fail.

use tenancy_harness::PoolerConfig;

use super::{Storm, transaction};

const ROUNDS: usize = 400;

/// A storm after these statements of a superuser.
fn storm_after(statements: &str) -> Storm {
    let storm = Storm::of(&PoolerConfig::default(), ROUNDS);
    storm.fixture.run(&format!("set tenancy.guard_ddl = off; {}", statements.replace("$APP", &storm.app)));
    storm
}

#[test]
#[should_panic(expected = "tenant - settings '' timeout 0")]
fn row_security_that_is_off_is_found() {
    transaction::rage(&mut storm_after("alter table notes disable row level security"));
}

#[test]
#[should_panic(expected = "what is another tenant's came")]
fn a_policy_by_which_every_tenant_reads_all_is_found() {
    transaction::rage(&mut storm_after(
        "alter policy tenant_isolation on notes using (tenancy.current_tenant() is not null);
         alter policy tenant_isolation_floor on notes using (tenancy.current_tenant() is not null)",
    ));
}

#[test]
#[should_panic(expected = "what is another tenant's came")]
fn clients_that_take_their_tenant_for_the_session_are_found() {
    let mut storm = Storm::of(&PoolerConfig::default(), ROUNDS);
    storm.careless = true;
    transaction::rage(&mut storm);
}

#[test]
#[should_panic(expected = "another tenant's left-overs")]
fn left_overs_that_are_ignored_are_found() {
    transaction::rage(&mut storm_after("alter role $APP set tenancy.on_leftovers = ignore"));
}

#[test]
#[should_panic(expected = "t7")]
fn a_row_that_is_lost_is_found() {
    storm_after("delete from events where id = (select max(id) from events where tenant_id = 't7')").count();
}
