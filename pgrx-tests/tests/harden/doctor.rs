//! The doctor tells of roles that are not hardened, and of those that are no longer.

use tenancy_harness::{Session, World, settings_turn};

use crate::harden;

/// `code fix` of what the doctor says of a role's hardening.
#[track_caller]
fn found(world: &World<'_>, role: &str) -> Vec<String> {
    world.fixture.superuser().texts(&format!(
        "select code || ' ' || coalesce(fix, '-') from tenancy.doctor()
         where object = '{role}' and code in ('ROLE_NOT_HARDENED', 'HARDENING_DRIFT')"
    ))
}

#[test]
fn a_role_with_access_that_is_not_hardened_is_found() {
    let world = World::new();
    let fix = format!("SELECT tenancy.harden_role('{}', 'standard')", world.app);
    assert_eq!(found(&world, &world.app), [format!("ROLE_NOT_HARDENED {fix}")]);
    world.fixture.run(&fix);
    assert!(found(&world, &world.app).is_empty());
    harden(&world.fixture, &world.app, "strict");
    assert!(found(&world, &world.app).is_empty());
    harden(&world.fixture, &world.app, "none");
    assert_eq!(found(&world, &world.app).len(), 1);
}

#[test]
fn an_owner_has_to_part_with_what_it_owns_first() {
    let world = World::new();
    world.fixture.run(&format!("create table mine (a integer); alter table mine owner to {}", world.app));
    assert_eq!(found(&world, &world.app), ["ROLE_NOT_HARDENED -"]);
}

#[test]
fn what_came_back_is_found() {
    let _turn = settings_turn();
    let world = World::new();
    let group = world.fixture.role("group");
    for profile in ["standard", "strict"] {
        harden(&world.fixture, &world.app, profile);
        for regained in [
            "grant create on schema public to {app}",
            "grant execute on function lo_creat(integer) to public",
            "alter role {app} createdb",
            "alter role {group} bypassrls; grant {group} to {app}",
            "grant set on parameter session_replication_role to {app}",
        ] {
            world.fixture.run(&regained.replace("{app}", &world.app).replace("{group}", &group));
            let fix = format!("SELECT tenancy.harden_role('{}', '{profile}')", world.app);
            assert_eq!(found(&world, &world.app), [format!("HARDENING_DRIFT {fix}")], "{regained}");
            world.fixture.run(&fix);
            assert!(found(&world, &world.app).is_empty(), "{regained}");
        }
    }
    world.fixture.run(&format!("create table mine (a integer); alter table mine owner to {}", world.app));
    assert_eq!(found(&world, &world.app), ["HARDENING_DRIFT -"]);
}

/// The profile is the role's in every database, what it takes is taken in each.
#[test]
fn other_databases_are_asked_for_their_own_roles_alone() {
    let world = World::new();
    let second = World::new();
    harden(&world.fixture, &world.app, "standard");
    assert!(found(&second, &world.app).is_empty());
    second.fixture.run(&format!("select tenancy.grant_access('{}')", world.app));
    let fix = format!("SELECT tenancy.harden_role('{}', 'standard')", world.app);
    assert_eq!(found(&second, &world.app), [format!("HARDENING_DRIFT {fix}")]);
    second.fixture.run(&fix);
    assert!(found(&second, &world.app).is_empty());
}
