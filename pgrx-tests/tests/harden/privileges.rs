//! What a hardened role may no longer do, tried by the role itself.

use tenancy_harness::{ACME, Cluster, Config, Fixture, Session, World, settings_turn};

use crate::{Hardened, dry_run, harden};

/// What leads beyond the tenant, and passes before the role is hardened.
const FORBIDDEN: [&str; 32] = [
    "create temporary table t (a integer)",
    "create schema s",
    "create table public.t (a integer)",
    "select lo_creat(-1)",
    "select lo_create(0)",
    "select lo_from_bytea(0, 'x')",
    "select lo_get(1)",
    "select lo_open(1, 131072)",
    "select loread(0, 1)",
    "select pg_terminate_backend(0)",
    "select pg_cancel_backend(0)",
    "select query from pg_stat_activity",
    "select pg_stat_get_activity(null)",
    "select pg_stat_get_backend_activity(1)",
    "select n_tup_ins from pg_stat_user_tables",
    "select n_live_tup from pg_stat_all_tables",
    "select pg_stat_get_live_tuples('notes_uuid'::regclass)",
    "select tup_inserted from pg_stat_database",
    "select objid from pg_locks",
    "select pg_blocking_pids(1)",
    "select gid from pg_prepared_xacts",
    "select pg_relation_size('notes_uuid')",
    "select pg_total_relation_size('notes_uuid')",
    "select pg_table_size('notes_uuid')",
    "select pg_indexes_size('notes_uuid')",
    "select pg_database_size(current_database())",
    "select pg_tablespace_size('pg_default')",
    "select pg_advisory_lock(1)",
    "select pg_try_advisory_lock(1, 2)",
    "select pg_advisory_lock_shared(1)",
    "select currtid2('notes_uuid', '(0,1)')",
    "set session_replication_role = replica",
];

fn opened() -> World<'static> {
    let world = World::new();
    world.fixture.run(&format!(
        "grant create on schema public to public; grant create on database {db} to {app};
         grant set on parameter session_replication_role to {app};
         grant execute on function pg_stat_get_activity(integer) to {app};
         revoke truncate on notes_uuid from public; select lo_from_bytea(1, 'secret');
         alter large object 1 owner to {app}; alter large object 1 owner to postgres",
        db = world.fixture.database(),
        app = world.app
    ));
    world
}

#[test]
fn what_leads_beyond_the_tenant_is_refused() {
    let _turn = settings_turn();
    let world = opened();
    let mut before = world.connect();
    let passes = FORBIDDEN.iter().filter(|statement| {
        let mut tx = before.transaction().unwrap();
        let outcome = tx.batch_execute(statement);
        tenancy_harness::sqlstate(&outcome) != Some("42501")
    });
    // Large objects of others are the one thing that PostgreSQL refuses by itself.
    assert_eq!(passes.count(), FORBIDDEN.len() - 2);

    harden(&world.fixture, &world.app, "standard");
    let mut client = world.connect();
    for statement in FORBIDDEN {
        client.refuses(statement, "42501");
    }
}

#[test]
fn the_application_goes_on() {
    let hardened = Hardened::new("standard");
    let mut client = hardened.world.connect();
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(tx.texts("select body from notes_uuid").len(), 20);
    tx.run(
        "insert into notes_uuid (id, body) values (99, 'x'); update notes_uuid set body = 'y' where id = 99;
         delete from notes_uuid where id = 99; select pg_advisory_xact_lock(1), pg_column_size('x'::text);
         prepare s as select 1; explain select 1; notify something; set application_name = 'app';
         select set_config('tenancy.user_id', 'alice', true), pg_size_pretty(1::bigint), pg_backend_pid()",
    );
    tx.commit().unwrap();
    client.run("select pg_advisory_unlock_all(); unlisten *; reset all");
    client.run("discard all");
    client.run("select * from information_schema.tables, pg_catalog.pg_settings limit 1");
}

#[test]
fn attributes_go() {
    let world = World::new();
    world.fixture.run(&format!("alter role {} superuser bypassrls createdb createrole replication", world.app));
    let ddl = harden(&world.fixture, &world.app, "standard");
    let attributes = "NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION";
    assert_eq!(ddl[0], format!("ALTER ROLE {} {attributes};", world.app));
    let left = format!(
        "select count(*) from pg_roles where rolname = '{}'
         and (rolsuper or rolbypassrls or rolcreatedb or rolcreaterole or rolreplication)",
        world.app
    );
    assert_eq!(world.fixture.superuser().value(&left).unwrap(), "0");
    assert!(world.connect().texts("select body from notes_uuid").is_empty());
}

#[test]
fn a_second_run_finds_nothing() {
    let _turn = settings_turn();
    let world = opened();
    for profile in ["standard", "strict", "standard", "none"] {
        let would = dry_run(&world.fixture, &world.app, profile);
        assert!(!would.is_empty(), "{profile}");
        assert_eq!(dry_run(&world.fixture, &world.app, profile), would, "{profile}");
        assert_eq!(harden(&world.fixture, &world.app, profile), would, "{profile}");
        assert!(harden(&world.fixture, &world.app, profile).is_empty(), "{profile}");
        assert!(dry_run(&world.fixture, &world.app, profile).is_empty(), "{profile}");
    }
}

/// What a dry run tells does the same when it is run by hand.
#[test]
fn what_a_dry_run_tells_can_be_run() {
    let _turn = settings_turn();
    let world = opened();
    let mut superuser = world.fixture.superuser();
    for statement in dry_run(&world.fixture, &world.app, "standard") {
        superuser.run(&statement);
    }
    assert!(dry_run(&world.fixture, &world.app, "standard").is_empty());
    let mut client = world.connect();
    for statement in FORBIDDEN {
        client.refuses(statement, "42501");
    }
}

#[test]
fn privileges_of_groups_and_those_passed_on_go_too() {
    let world = World::new();
    let group = world.fixture.role("group");
    let middle = world.fixture.role("middle");
    world.fixture.run(&format!(
        "create schema work; grant create on schema work to {group}; grant {group} to {app};
         grant execute on function pg_cancel_backend(integer) to {middle} with grant option;
         set role {middle}; grant execute on function pg_cancel_backend(integer) to {app}",
        app = world.app
    ));
    let ddl = harden(&world.fixture, &world.app, "standard");
    assert!(ddl.contains(&format!("REVOKE CREATE ON SCHEMA work FROM {group} CASCADE;")), "{ddl:#?}");
    let mut client = world.connect();
    client.refuses("create table work.t (a integer)", "42501");
    client.refuses("select pg_cancel_backend(0)", "42501");
    assert!(harden(&world.fixture, &world.app, "standard").is_empty());
    // Who could pass it on may still do it himself.
    world.fixture.connect(&middle).run("select pg_cancel_backend(0)");
}

#[test]
fn tables_registry_and_administration_are_out_of_reach() {
    let world = World::new();
    world.fixture.run(&format!(
        "set tenancy.guard_ddl = off; grant truncate, references (id), trigger on notes_uuid to {app};
         grant insert on tenancy.access to {app}; select tenancy.grant_admin('{app}');
         alter default privileges in schema public grant truncate, select on tables to {app};
         create foreign data wrapper wrapper; grant usage on foreign data wrapper wrapper to {app};
         create server server foreign data wrapper wrapper; grant usage on foreign server server to {app};
         grant select on all tables in schema pg_catalog to {app}; grant usage on schema pg_toast to {app};
         grant select (starelid, stavalues1) on pg_statistic to public",
        app = world.app
    ));
    world.connect().run("select stavalues1 from pg_statistic; select rolpassword from pg_authid");
    harden(&world.fixture, &world.app, "standard");
    let mut client = world.connect();
    client.refuses("insert into tenancy.access (role) values (10)", "42501");
    client.refuses("select tenancy.create_tenant('mine')", "42501");
    client.refuses("create server mine foreign data wrapper wrapper", "42501");
    client.refuses("create user mapping for current_user server server", "42501");
    for catalog in
        ["pg_statistic", "pg_statistic_ext_data", "pg_authid", "pg_shadow", "pg_largeobject", "pg_user_mapping"]
    {
        client.refuses(&format!("select from {catalog}"), "42501");
    }
    client.refuses("select stavalues1 from pg_statistic", "42501");
    client.refuses("select from pg_toast.pg_toast_1255", "42501");
    client.run("select from pg_class");
    let mut superuser = world.fixture.superuser();
    for (object, privilege) in [("notes_uuid", "truncate"), ("notes_uuid", "trigger"), ("tenancy.access", "insert")] {
        let has = format!("select has_table_privilege('{}', '{object}', '{privilege}')", world.app);
        assert_eq!(superuser.value(&has).unwrap(), "f", "{object} {privilege}");
    }
    superuser.run("create table later (a integer)");
    let has = |privilege| format!("select has_table_privilege('{}', 'later', '{privilege}')", world.app);
    assert_eq!(superuser.value(&has("truncate")).unwrap(), "f");
    assert_eq!(superuser.value(&has("select")).unwrap(), "t");
    assert!(harden(&world.fixture, &world.app, "standard").is_empty());
}

#[test]
fn extensions_that_look_into_sessions_and_tables_are_out_of_reach() {
    let world = World::new();
    world.fixture.run("create extension pg_stat_statements; create extension pgrowlocks");
    let mut client = world.connect();
    assert_ne!(tenancy_harness::sqlstate(&client.query("select * from pgrowlocks('notes_uuid')", &[])), Some("42501"));
    harden(&world.fixture, &world.app, "standard");
    client.refuses("select * from pgrowlocks('notes_uuid')", "42501");
    client.refuses("select query from pg_stat_statements", "42501");
    client.refuses("select pg_stat_statements(true)", "42501");
}

#[test]
fn what_was_done_is_recorded() {
    let hardened = Hardened::new("standard");
    let mut superuser = hardened.fixture().superuser();
    let last = "select event || ' ' || object || ' ' || (detail ->> 'profile') from tenancy.event_log order by id desc limit 1";
    assert_eq!(superuser.value(last).unwrap(), format!("role.hardened {} standard", hardened.app()));
    assert!(hardened.harden("standard").is_empty());
    let count = "select count(*) from tenancy.event_log where event = 'role.hardened'";
    assert_eq!(superuser.value(count).unwrap(), "1");
}

#[test]
fn strange_names_are_quoted() {
    // All roles of a server get back what they had when another is hardened: the odd one would be seen by other tests.
    let cluster = Cluster::start("odd-names", &Config::default());
    let fixture = Fixture::on(&cluster);
    let (role, ident) = ("Odd \"role\"", "\"Odd \"\"role\"\"\"");
    fixture.run(&format!(
        "create role {ident} login createdb; create schema \"A b\"; grant create on schema \"A b\" to {ident}"
    ));
    for profile in ["strict", "none"] {
        assert!(!harden(&fixture, role, profile).is_empty());
        assert!(harden(&fixture, role, profile).is_empty());
    }
    fixture.connect(role).refuses("create table \"A b\".t (a integer)", "42501");
}
