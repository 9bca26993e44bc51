//! What is taken from everybody is kept by those who have nothing to do with tenants.

use tenancy_harness::{Session, World};

use crate::{Hardened, harden};

const USED_BY_OTHERS: [&str; 6] = [
    "create temporary table t (a integer)",
    "select count(*) from pg_stat_activity",
    "select pg_advisory_lock(1)",
    "select pg_relation_size('pg_class')",
    "select lo_unlink(lo_creat(-1))",
    "select set_config('application_name', 'x', false), pg_notify('a', 'b')",
];

#[test]
fn existing_roles_keep_what_they_had() {
    for profile in ["standard", "strict"] {
        let hardened = Hardened::new(profile);
        let mut client = hardened.fixture().connect(&hardened.ops);
        for statement in USED_BY_OTHERS {
            client.run(statement);
        }
        client.run("prepare s as select 1; listen a; explain select 1; set work_mem = '5MB'");
    }
}

#[test]
fn roles_that_act_for_tenants_do_not() {
    let world = World::new();
    let heir = world.fixture.role("heir");
    let second = world.fixture.app_named("second");
    world.fixture.run(&format!("grant {} to {heir}; grant select on notes_uuid to {heir}", world.app));
    harden(&world.fixture, &world.app, "standard");
    for role in [&heir, &second] {
        world.fixture.connect(role).refuses("create temporary table t (a integer)", "42501");
    }
}

#[test]
fn roles_that_the_hardened_one_can_become_do_not() {
    let world = World::new();
    let group = world.fixture.role("group");
    world.fixture.run(&format!("grant {group} to {}; grant select on notes_uuid to {group}", world.app));
    harden(&world.fixture, &world.app, "standard");
    world.connect().refuses(&format!("set role {group}; create temporary table t (a integer)"), "42501");
}

#[test]
fn roles_that_have_nothing_to_do_with_the_database_do_not() {
    let world = World::new();
    let (stranger, backup) = (world.fixture.role("stranger"), world.fixture.role("backup"));
    world.fixture.run(&format!("alter role {backup} bypassrls"));
    harden(&world.fixture, &world.app, "standard");
    world.fixture.connect(&stranger).refuses("create temporary table t (a integer)", "42501");
    world.fixture.connect(&backup).run("create temporary table t (a integer); select lo_creat(-1)");
}

#[test]
fn monitoring_goes_on() {
    let world = World::new();
    harden(&world.fixture, &world.app, "standard");
    // Made afterwards, so it has nothing but its membership.
    let monitor = world.fixture.role("monitor");
    world.fixture.run(&format!("grant pg_monitor to {monitor}"));
    let mut client = world.fixture.connect(&monitor);
    client.run("select query from pg_stat_activity; select pg_database_size(current_database())");
    client.refuses("select lo_creat(-1)", "42501");
}

#[test]
fn another_role_is_hardened_with_what_is_left_to_do() {
    let world = World::new();
    let second = world.fixture.app_named("second");
    harden(&world.fixture, &world.app, "standard");
    let ddl = harden(&world.fixture, &second, "standard");
    assert_eq!(ddl, [format!("ALTER ROLE {second} SET tenancy.profile = 'standard';")]);
}

#[test]
fn what_a_role_was_given_back_goes_when_it_is_hardened_itself() {
    let world = World::new();
    let later = world.fixture.role("later");
    world.fixture.run(&format!("grant select on notes_uuid to {later}"));
    harden(&world.fixture, &world.app, "standard");
    world.fixture.connect(&later).run("create temporary table t (a integer)");
    world.fixture.run(&format!("select tenancy.grant_access('{later}')"));
    harden(&world.fixture, &later, "standard");
    let mut client = world.fixture.connect(&later);
    for statement in &USED_BY_OTHERS[..5] {
        client.refuses(statement, "42501");
    }
}
