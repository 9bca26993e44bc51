//! The guard can't be left, by whoever it was that logged in.

use tenancy_harness::{Fixture, Session, World};

use crate::{Hardened, harden};

#[test]
fn the_role_does_not_lift_it_itself() {
    let hardened = Hardened::new("strict");
    let app = hardened.app();
    let mut client = hardened.world.connect();
    for attempt in [
        "set tenancy.profile = 'none'".to_owned(),
        "begin; set local tenancy.profile = 'none'".into(),
        "update pg_settings set setting = 'none' where name = 'tenancy.profile'".into(),
        format!("alter role {app} reset tenancy.profile"),
        format!("alter role {app} set session_preload_libraries = ''"),
        format!("select tenancy.harden_role('{app}', 'none')"),
    ] {
        client.refuses(&attempt, "42501");
        client.run("rollback");
    }
    for attempt in ["reset tenancy.profile", "reset all", "discard all", "begin; set local work_mem = '1MB'; commit"] {
        let _ = client.batch_execute(attempt);
        client.refuses("explain select 1", "42501");
    }
    for options in ["-c tenancy.profile=none", "-c session_preload_libraries="] {
        if let Ok(mut client) = hardened.fixture().try_connect(app, options) {
            client.refuses("explain select 1", "42501");
        }
    }
}

/// Even what PostgreSQL lets every role do to itself leaves it in place.
#[test]
fn it_survives_what_a_role_may_do_to_itself() {
    let hardened = Hardened::new("strict");
    let app = hardened.app();
    // By somebody who may alter the role and is no superuser.
    let maker = hardened.fixture().role("maker");
    hardened.fixture().run(&format!("alter role {maker} createrole; grant {app} to {maker} with admin option"));
    let mut client = hardened.fixture().connect(&maker);
    let _ = client.batch_execute(&format!("alter role {app} reset all"));
    let _ = client.batch_execute(&format!("alter role {app} reset tenancy.profile"));
    hardened.world.connect().refuses("explain select 1", "42501");
}

#[test]
fn set_role_leads_neither_out_nor_in_unseen() {
    let hardened = Hardened::new("strict");
    let group = hardened.fixture().role("group");
    hardened.fixture().run(&format!("grant {group} to {}", hardened.app()));
    let mut client = hardened.world.connect();
    client.refuses(&format!("set role {group}"), "42501");
    client.run(&format!("begin; set local role {group}"));
    client.refuses("explain select 1", "42501");
    client.run("rollback; reset role");
    client.refuses("explain select 1", "42501");

    // A pool's own role, which becomes the strict one and stays it.
    let pool = hardened.fixture().role("pool");
    hardened.fixture().run(&format!("alter role {pool} noinherit; grant {} to {pool}", hardened.app()));
    let mut client = hardened.fixture().connect(&pool);
    client.run("explain select 1");
    client.run(&format!("set role {}", hardened.app()));
    let pool_again = format!("set local role {pool}");
    for attempt in [
        "explain select 1",
        "reset role",
        "set role none",
        "set local role none",
        "set local role to default",
        "select set_config('role', 'none', false)",
        "update pg_settings set setting = 'none' where name = 'role'",
        "reset session authorization",
        "set session authorization default",
        &pool_again,
    ] {
        client.refuses(&format!("begin; {attempt}"), "42501");
        client.run("rollback");
    }
    client.refuses("discard all", "42501");
    client.run("reset all");
    client.refuses("explain select 1", "42501");

    // For one transaction, as gateways do.
    let mut client = hardened.fixture().connect(&pool);
    client.run(&format!("begin; set local role {}", hardened.app()));
    client.refuses("explain select 1", "42501");
    client.run("rollback; explain select 1");
}

#[test]
fn set_session_authorization_stays() {
    let hardened = Hardened::new("strict");
    let mut client = hardened.fixture().superuser();
    client.run(&format!("set session authorization {}", hardened.app()));
    for attempt in ["explain select 1", "reset session authorization", "discard all", "set role postgres"] {
        client.refuses(attempt, "42501");
    }
    client.run("reset role");
    client.refuses("explain select 1", "42501");
}

#[test]
fn who_inherits_is_watched_and_who_does_not_is_not() {
    let fixture = Fixture::new();
    let group = fixture.role("group");
    let (member, deep, apart) = (fixture.role("member"), fixture.role("deep"), fixture.role("apart"));
    fixture.run(&format!(
        "alter role {apart} noinherit; alter role {group} nologin;
         grant {group} to {member}; grant {member} to {deep}; grant {group} to {apart}"
    ));
    harden(&fixture, &group, "strict");
    for role in [&member, &deep] {
        fixture.connect(role).refuses("explain select 1", "42501");
    }
    let mut client = fixture.connect(&apart);
    client.run("explain select 1");

    // At once, and for sessions that are open.
    fixture.run(&format!("alter role {apart} inherit; revoke {group} from {apart}; grant {group} to {apart}"));
    client.refuses("explain select 1", "42501");
    fixture.run(&format!("revoke {group} from {apart}"));
    client.run("explain select 1");
}

/// The profile is the role's in every database, with or without the extension.
#[test]
fn other_databases_are_no_way_out() {
    let hardened = Hardened::new("strict");
    let empty = Fixture::empty(hardened.fixture().cluster());
    let mut client = empty.connect(hardened.app());
    client.refuses("explain select 1", "42501");
    client.refuses("alter role current_user set search_path = public", "42501");
    client.refuses("set work_mem = '1MB'", "42501");
    client.run("begin; set local work_mem = '1MB'; commit");
    assert_eq!(client.value("select 1").unwrap(), "1");
}

#[test]
fn it_is_in_the_dump_of_the_roles() {
    let hardened = Hardened::new("strict");
    let dump = hardened.fixture().cluster().run_tool("pg_dumpall", &["--globals-only"]);
    let dump = String::from_utf8(dump.stdout).unwrap();
    let line = format!("ALTER ROLE {} SET \"tenancy.profile\" TO 'strict';", hardened.app());
    assert!(dump.contains(&line), "{dump}");
}

/// What is said of the database's functions comes with the database.
#[test]
fn a_restored_database_is_as_closed() {
    let world = World::new();
    harden(&world.fixture, &world.app, "standard");
    let cluster = world.fixture.cluster();
    let copy = Fixture::empty(cluster);
    let file = cluster.directory().join(format!("{}.dump", world.fixture.database()));
    let file = file.to_str().unwrap();
    cluster.run_tool("pg_dump", &["--format=custom", "--file", file, world.fixture.database()]);
    cluster.run_tool("pg_restore", &["--dbname", copy.database(), file]);
    let mut client = copy.connect(&world.app);
    client.refuses("select lo_creat(-1)", "42501");
    client.refuses("select pg_terminate_backend(0)", "42501");
}

/// Where the profile is a database's, a role's own SECURITY DEFINER function is watched as the role is.
#[test]
fn a_function_of_one_s_own_lends_nothing() {
    let world = World::new();
    let database = world.fixture.database().to_owned();
    world.fixture.run(&format!("alter database {database} set tenancy.profile = 'strict'"));
    let mut client = world.connect();
    client.run(
        "create function pg_temp.f(statement text) returns void language plpgsql security definer as
         $$ begin execute statement; end $$",
    );
    client.refuses("select pg_temp.f('set work_mem = ''9MB''')", "42501");
    client.refuses("select pg_temp.f('listen everything')", "42501");
}
