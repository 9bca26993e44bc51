//! Who may harden whom.

use tenancy_harness::{Fixture, Session, World};

#[test]
fn only_a_superuser_hardens_and_an_administrator_may_look() {
    let world = World::new();
    let admin = world.fixture.role("admin");
    let call = |tail: &str| format!("select tenancy.harden_role('{}'{tail})", world.app);
    let mut client = world.fixture.connect(&admin);
    client.refuses(&call(""), "42501");
    client.refuses(&call(", dry_run => true"), "42501");
    world.fixture.run(&format!("select tenancy.grant_admin('{admin}')"));
    let error = client.refuses(&call(""), "42501");
    assert!(error.hint().is_some_and(|hint| hint.contains("dry_run")), "{error:?}");
    let seen = client.texts(&call(", 'strict', dry_run => true"));
    assert_eq!(seen, world.fixture.superuser().texts(&call(", 'strict', dry_run => true")));
    assert!(!seen.is_empty());
    // Nothing happened.
    world.connect().run("create temporary table t (a integer)");
}

#[test]
fn roles_that_cannot_be_hardened_are_refused() {
    let fixture = Fixture::new();
    let boss = fixture.role("boss");
    fixture.run(&format!("alter role {boss} superuser"));
    let mut superuser = fixture.connect(&boss);
    for role in ["postgres", "pg_monitor", "pg_database_owner", boss.as_str()] {
        superuser.refuses(&format!("select tenancy.harden_role('{role}')"), "22023");
    }
    superuser.refuses("select tenancy.harden_role('nobody at all')", "42704");
    superuser.refuses(&format!("select tenancy.harden_role('{boss}', 'lenient')"), "22023");
    for null in ["null", "'x', null", "'x', 'standard', null"] {
        superuser.refuses(&format!("select tenancy.harden_role({null})"), "22023");
    }
}

#[test]
fn an_owner_is_refused_and_told_of_what() {
    let world = World::new();
    world.fixture.run(&format!(
        "create table mine (a integer); alter table mine owner to {app};
         create function mine() returns integer language sql as 'select 1'; alter function mine() owner to {app}",
        app = world.app
    ));
    let mut superuser = world.fixture.superuser();
    for dry_run in ["true", "false"] {
        let call = format!("select tenancy.harden_role('{}', dry_run => {dry_run})", world.app);
        let error = superuser.refuses(&call, "55000");
        let detail = error.detail().unwrap();
        assert!(detail.contains("table public.mine") && detail.contains("function public.mine()"), "{detail}");
        assert!(error.hint().unwrap().contains("REASSIGN OWNED"), "{error:?}");
    }
    superuser
        .run(&format!("reassign owned by {app} to postgres; select tenancy.harden_role('{app}')", app = world.app));
}

/// What a session made for itself goes with it.
#[test]
fn temporary_tables_are_not_held_against_the_role() {
    let world = World::new();
    let mut client = world.connect();
    client.run("create temporary table t (a integer)");
    world.fixture.run(&format!("select tenancy.harden_role('{}')", world.app));
    client.run("select * from t");
    client.refuses("create temporary table u (a integer)", "42501");
}
