//! Names are not identities: a key, a role or a database's objects may be replaced while a session goes on.

use tenancy_harness::{ACME, Fixture, Session, World, refuses_in_savepoint};

use crate::{READ, context, visible, world_without_access};

#[test]
fn a_key_that_passes_to_another_tenant_takes_no_transaction_along() {
    let world = World::new();
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(visible(&mut tx), ["acme"]);

    world.fixture.run(
        "update tenancy.tenants set key = 'old acme' where key = 'acme';
         update tenancy.tenants set key = 'acme' where key = 'globex'",
    );

    // The name now means globex; the transaction has acted for the tenant that was called acme before.
    tx.refuses(READ, "42501");
    drop(tx);
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(visible(&mut tx), ["globex"]);
}

#[test]
fn a_context_named_by_id_survives_a_change_of_the_key() {
    let world = World::new();
    let mut client = world.connect();
    client.run(&format!("set tenancy.tenant_id = '{}'", ACME.id));
    assert_eq!(context(&mut client), "acme");
    world.fixture.run("update tenancy.tenants set key = 'acme ltd' where key = 'acme'");
    assert_eq!(context(&mut client), "acme ltd");
    assert_eq!(visible(&mut client), ["acme"]);
    assert_eq!(client.texts("select body from notes_text").len(), 0, "text columns hold the old key");
}

#[test]
fn a_tenant_that_is_gone_from_the_registry_is_no_context_any_more() {
    let world = World::new();
    for removal in ["delete from tenancy.tenants where key = 'acme'", "truncate tenancy.tenants cascade"] {
        let mut client = world.connect();
        let mut tx = World::begin(&mut client, ACME);
        assert_eq!(visible(&mut tx), ["acme"]);
        world.fixture.run(&format!("set lock_timeout = '2 s'; {removal}"));
        tx.refuses(READ, "42501");
        drop(tx);
        world.fixture.run(&format!(
            "insert into tenancy.tenants (id, key) values ('{}', 'acme') on conflict do nothing",
            ACME.id
        ));
    }
}

#[test]
fn a_dropped_roles_access_is_not_its_namesakes() {
    let world = world_without_access();
    let fixture = &world.fixture;
    let role = fixture.role("leaver");
    fixture.run(&format!("select tenancy.grant_access('{role}')"));
    fixture.run(&format!("drop role {role}; create role {role} login"));
    fixture.connect(&role).refuses("select tenancy.set_tenant('acme', false)", "42501");
}

#[test]
fn a_renamed_role_keeps_its_access() {
    let world = World::new();
    let renamed = world.fixture.name("renamed");
    world.fixture.run(&format!("alter role {} rename to {renamed}", world.app));
    let mut client = world.fixture.connect(&renamed);
    client.run("select tenancy.set_tenant('acme', false)");
    assert_eq!(visible(&mut client), ["acme"]);
}

#[test]
fn a_demoted_superuser_needs_an_access_row_at_its_next_statement() {
    let world = World::new();
    let boss = world.fixture.name("boss");
    world.fixture.run(&format!("create role {boss} login superuser"));
    let mut client = world.fixture.connect(&boss);
    client.run("begin; select tenancy.set_tenant('acme')");
    assert_eq!(context(&mut client), "acme");
    world.fixture.run(&format!("alter role {boss} nosuperuser; grant select on notes_uuid to {boss}"));
    client.refuses(READ, "42501");
}

#[test]
fn a_role_that_stops_inheriting_loses_the_access_of_its_group() {
    let world = world_without_access();
    let group = world.fixture.name("staff");
    world
        .fixture
        .run(&format!("create role {group}; grant {group} to {}; select tenancy.grant_access('{group}')", world.app));
    let mut client = world.connect();
    client.run("begin; select tenancy.set_tenant('acme')");
    assert_eq!(visible(&mut client), ["acme"]);
    let change = if world.fixture.major_version() >= 16 {
        format!("grant {group} to {} with inherit false", world.app)
    } else {
        format!("alter role {} noinherit", world.app)
    };
    world.fixture.run(&change);
    client.refuses(READ, "42501");
}

#[test]
fn a_database_that_changes_hands_takes_its_owners_access_along() {
    let world = world_without_access();
    let database = world.fixture.database();
    world.fixture.run(&format!(
        "select tenancy.grant_access('pg_database_owner'); alter database {database} owner to {}",
        world.app
    ));
    let mut idle = world.connect();
    idle.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(visible(&mut idle), ["acme"]);
    let mut busy = world.connect();
    busy.run("begin; select tenancy.set_tenant('acme')");
    assert_eq!(visible(&mut busy), ["acme"]);
    // A statement that needs no lock which the session has not got yet.
    busy.run("prepare reading as select body from notes_uuid; execute reading");

    world.fixture.run(&format!("alter database {database} owner to postgres"));

    idle.refuses(READ, "42501");
    busy.refuses("execute reading", "42501");
    world.fixture.run(&format!("alter database {database} owner to {}", world.app));
    assert_eq!(visible(&mut idle), ["acme"]);
}

#[test]
fn a_role_that_bypasses_row_security_needs_access_like_any_other() {
    let world = world_without_access();
    world.fixture.run(&format!("alter role {} bypassrls", world.app));
    let mut client = world.connect();
    client.refuses("select tenancy.set_tenant('acme', false)", "42501");
    client.run("set tenancy.tenant_id = 'acme'");
    client.refuses("select tenancy.current_tenant()", "42501");
}

#[test]
fn session_authorization_counts_as_the_outer_role() {
    let world = world_without_access();
    world.fixture.run(&format!("select tenancy.grant_access('{}', 'acme')", world.app));
    let mut client = world.fixture.superuser();
    client.run(&format!("set session authorization {}", world.app));
    client.refuses("select tenancy.set_tenant('globex', false)", "42501");
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(visible(&mut tx), ["acme"]);
    drop(tx);
    client.run("set tenancy.tenant_id = 'globex'; reset session authorization");
    assert_eq!(context(&mut client), "globex", "a superuser again");
}

#[test]
fn a_read_only_transaction_may_take_a_tenant() {
    let world = World::new();
    let mut client = world.connect();
    for begin in ["begin read only", "begin isolation level serializable read only deferrable"] {
        client.run(&format!("{begin}; select tenancy.set_tenant('acme')"));
        assert_eq!(visible(&mut client), ["acme"]);
        let number = client.value("select pg_current_xact_id_if_assigned()");
        assert_eq!(number, None, "no transaction id was spent");
        client.run("commit");
    }
}

#[test]
fn hostile_settings_of_the_session_do_not_change_who_it_is() {
    let world = world_without_access();
    world.fixture.run(&format!("select tenancy.grant_access('{}', 'acme')", world.app));
    let mut client = world.connect();
    for setting in [
        "row_security = off",
        "standard_conforming_strings = off",
        "quote_all_identifiers = on",
        "transform_null_equals = on",
        "enable_seqscan = off",
        "enable_indexscan = off",
        "plan_cache_mode = force_generic_plan",
        "default_transaction_read_only = on",
        "client_encoding = 'LATIN1'",
        "array_nulls = off",
        "jit_above_cost = 0",
        "search_path = ''",
    ] {
        client.run(&format!("set {setting}"));
        client.refuses("select tenancy.set_tenant('globex', false)", "42501");
        client.run("select tenancy.set_tenant('acme', false)");
        assert_eq!(context(&mut client), "acme", "{setting}");
        client.run("discard all");
    }
}

#[test]
fn a_database_without_the_extension_goes_on_beside_it() {
    let world = World::new();
    let fixture = Fixture::empty(world.fixture.cluster());
    let mut client = fixture.superuser();
    let leaver = fixture.role("leaver");
    client.run("create table t (a integer); insert into t values (1)");
    for statement in [
        "set tenancy.tenant_id = 'acme'",
        "select * from t",
        "begin; set local tenancy.tenant_id = 'globex'; select * from t; commit",
        "set tenancy.default_tenant = 'acme'",
        "select * from t",
        "begin; declare c scroll cursor with hold for select * from t; fetch 1 from c; fetch first from c; commit; fetch 1 from c",
        "reassign owned by {leaver} to postgres",
        "reset all",
        "discard all",
    ] {
        client.run(&statement.replace("{leaver}", &leaver));
    }
    client.run("create extension pg_tenancy; select tenancy.create_tenant('acme')");
    client.run("select tenancy.set_tenant('acme', false)");
    assert_eq!(context(&mut client), "acme");
}

#[test]
fn one_session_survives_dropping_and_making_the_extension_again() {
    let world = World::new();
    let mut client = world.fixture.superuser();
    client.run("select tenancy.set_tenant('acme', false)");
    assert_eq!(context(&mut client), "acme");
    client.run("drop extension pg_tenancy cascade; create extension pg_tenancy");
    client.refuses("select tenancy.set_tenant('acme', false)", "42501");
    client.run("select tenancy.create_tenant('acme')");
    client.run("select tenancy.set_tenant('acme', false)");
    assert_eq!(context(&mut client), "acme");
    let mut other = world.fixture.superuser();
    other.run("select tenancy.suspend_tenant('acme')");
    client.refuses("select tenancy.current_tenant()", "55000");
}

#[test]
fn a_cursor_is_stopped_with_its_tenant() {
    let world = World::new();
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    tx.run("declare c cursor for select body from notes_uuid");
    assert_eq!(tx.texts("fetch 5 from c").len(), 5);
    let portal = tx.bind(READ, &[]).unwrap();
    assert_eq!(tx.query_portal(&portal, 5).unwrap().len(), 5);
    world.fixture.run("select tenancy.suspend_tenant('acme')");
    refuses_in_savepoint(&mut tx, "fetch 5 from c", "55000");
    refuses_in_savepoint(&mut tx, "fetch 5 from c", "55000");
    tenancy_harness::assert_sqlstate(tx.query_portal(&portal, 5), "55000");
}

#[test]
fn a_portal_is_stopped_with_its_tenant() {
    let world = World::new();
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    let portal = tx.bind(READ, &[]).unwrap();
    assert_eq!(tx.query_portal(&portal, 5).unwrap().len(), 5);
    world.fixture.run("select tenancy.suspend_tenant('acme')");
    tenancy_harness::assert_sqlstate(tx.query_portal(&portal, 5), "55000");
}

#[test]
fn a_tenant_that_is_created_by_the_transaction_itself_can_be_its_context() {
    let world = World::new();
    world.fixture.run(&format!("select tenancy.grant_admin('{}')", world.app));
    let mut client = world.connect();
    client.run("begin; select tenancy.create_tenant('initech'); select tenancy.set_tenant('initech')");
    client.run("insert into notes_text (id, body) values (1, 'initech 1')");
    assert_eq!(context(&mut client), "initech");
    client.run("rollback");
    client.refuses("select tenancy.set_tenant('initech', false)", "42501");
}
