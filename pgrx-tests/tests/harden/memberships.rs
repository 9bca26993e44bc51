//! What a hardened role may no longer become.

use tenancy_harness::{Session, World};

use crate::{dry_run, harden};

/// Whether the application role is a member of the role, at whatever depth.
#[track_caller]
fn is_member(world: &World<'_>, role: &str) -> bool {
    let query = format!("select pg_has_role('{}', '{role}', 'member')", world.app);
    world.fixture.superuser().value(&query).unwrap() == "t"
}

#[test]
fn memberships_that_reach_too_far_go() {
    for attributes in ["superuser", "bypassrls", "replication", "createrole", "createdb"] {
        let world = World::new();
        let (strong, between) = (world.fixture.role("strong"), world.fixture.role("between"));
        let harmless = world.fixture.role("harmless");
        world.fixture.run(&format!(
            "alter role {strong} {attributes}; grant {strong} to {between}; grant {between}, {harmless} to {}",
            world.app
        ));
        assert!(is_member(&world, &strong));
        let ddl = harden(&world.fixture, &world.app, "standard");
        assert!(!is_member(&world, &strong) && !is_member(&world, &between), "{attributes}: {ddl:#?}");
        assert!(is_member(&world, &harmless), "{attributes}");
        world.connect().refuses(&format!("set role {strong}"), "42501");
        // Only the hardened role's own membership went.
        let others = format!("select pg_has_role('{between}', '{strong}', 'member')");
        assert_eq!(world.fixture.superuser().value(&others).unwrap(), "t");
        assert!(dry_run(&world.fixture, &world.app, "standard").is_empty());
    }
}

#[test]
fn predefined_roles_go() {
    let roles = [
        "pg_read_all_data",
        "pg_write_all_data",
        "pg_read_server_files",
        "pg_write_server_files",
        "pg_execute_server_program",
        "pg_read_all_stats",
        "pg_monitor",
        "pg_signal_backend",
    ];
    let world = World::new();
    world.fixture.run(&format!("grant {} to {}", roles.join(", "), world.app));
    harden(&world.fixture, &world.app, "standard");
    for role in roles {
        assert!(!is_member(&world, role), "{role}");
    }
    world.connect().refuses("select * from pg_statistic", "42501");
}

#[test]
fn owners_go() {
    let owners = [
        "create table owned (a integer); alter table owned owner to {owner}",
        "create schema owned; alter schema owned owner to {owner}",
        "create function owned() returns integer language sql as 'select 1'; alter function owned() owner to {owner}",
        "alter database {db} owner to {owner}",
    ];
    for owned in owners {
        let world = World::new();
        let owner = world.fixture.role("owner");
        let owned = owned.replace("{owner}", &owner).replace("{db}", world.fixture.database());
        world.fixture.run(&format!("{owned}; grant {owner} to {}", world.app));
        harden(&world.fixture, &world.app, "standard");
        assert!(!is_member(&world, &owner), "{owned}");
    }
}

#[test]
fn memberships_by_several_grantors_go() {
    let world = World::new();
    let (strong, grantor) = (world.fixture.role("strong"), world.fixture.role("grantor"));
    world.fixture.run(&format!(
        "alter role {strong} bypassrls; grant {strong} to {grantor} with admin option; grant {strong} to {app};
         set role {grantor}; grant {strong} to {app}",
        app = world.app
    ));
    harden(&world.fixture, &world.app, "standard");
    assert!(!is_member(&world, &strong));
    assert!(dry_run(&world.fixture, &world.app, "standard").is_empty());
}
