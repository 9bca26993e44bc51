//! Who may act for whom: denied by default, asked for the outer role, silent about what exists.

use postgres::error::DbError;
use tenancy_harness::{ACME, GLOBEX, Session, World, postgres, refuses_in_savepoint};

use crate::{READ, context, visible, world_without_access};

/// What the client is told, with its own name and the name it asked for taken out.
fn said(error: &DbError, role: &str, asked_for: &str) -> String {
    let text = [Some(error.message()), error.detail(), error.hint(), error.where_()].map(Option::unwrap_or_default);
    text.join("|").replace(asked_for, "…").replace(role, "role")
}

#[test]
fn a_role_without_access_may_set_no_tenant() {
    let world = world_without_access();
    let mut client = world.connect();
    for name in [ACME.key, ACME.id, "nobody_here"] {
        client.refuses(&format!("select tenancy.set_tenant('{name}', false)"), "42501");
        client.run(&format!("set tenancy.tenant_id = '{name}'"));
        client.refuses(READ, "42501");
        client.run("reset tenancy.tenant_id");
    }
}

#[test]
fn unknown_and_forbidden_tenants_look_alike() {
    let world = world_without_access();
    let fixture = &world.fixture;
    let free = fixture.role("free");
    fixture.run(&format!("grant select on notes_uuid to {free}; select tenancy.grant_access('{free}')"));
    fixture.run(&format!("select tenancy.grant_access('{}', 'acme')", world.app));
    fixture.run(
        "select tenancy.create_tenant('asleep'); select tenancy.suspend_tenant('asleep');
         select tenancy.create_tenant('buried'); select tenancy.suspend_tenant('buried');
         select tenancy.archive_tenant('buried')",
    );
    let mut client = world.connect();
    let mut said_at_set = Vec::new();
    let mut said_at_use = Vec::new();
    let unknown_id = "99999999-0000-4000-8000-000000000009";
    for name in ["nobody_here", "globex", "asleep", "buried", GLOBEX.id, unknown_id] {
        let error = client.refuses(&format!("select tenancy.set_tenant('{name}', false)"), "42501");
        said_at_set.push(said(&error, &world.app, name));
        client.run(&format!("set tenancy.tenant_id = '{name}'"));
        said_at_use.push(said(&client.refuses(READ, "42501"), &world.app, name));
        client.run("reset tenancy.tenant_id");
    }
    said_at_set.dedup();
    said_at_use.dedup();
    assert_eq!(said_at_set.len(), 1, "{said_at_set:#?}");
    assert_eq!(said_at_use.len(), 1, "{said_at_use:#?}");

    // A role that may act for anybody learns no more of what does not exist.
    let error = fixture.connect(&free).refuses("select tenancy.set_tenant('nobody_here', false)", "42501");
    assert_eq!(said(&error, &free, "nobody_here"), said_at_set[0]);
}

#[test]
fn access_to_one_tenant_is_access_to_that_tenant_only() {
    let world = world_without_access();
    world.fixture.run(&format!("select tenancy.grant_access('{}', 'acme')", world.app));
    let mut client = world.connect();
    for spelling in [ACME.key, ACME.id] {
        client.run(&format!("set tenancy.tenant_id = '{spelling}'"));
        assert_eq!(visible(&mut client), ["acme"]);
    }
    for spelling in [GLOBEX.key, GLOBEX.id] {
        client.refuses(&format!("select tenancy.set_tenant('{spelling}', false)"), "42501");
    }
}

#[test]
fn access_granted_by_id_and_by_key_is_the_same() {
    let world = world_without_access();
    world.fixture.run(&format!("select tenancy.grant_access('{}', '{}')", world.app, ACME.id));
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(visible(&mut client), ["acme"]);
    drop(client);

    world.fixture.run(&format!("select tenancy.revoke_access('{}', 'acme')", world.app));
    world.connect().refuses("select tenancy.set_tenant('acme', false)", "42501");
}

#[test]
fn an_inherited_privilege_counts() {
    let world = world_without_access();
    let group = world.fixture.name("staff");
    world.fixture.run(&format!(
        "create role {group}; grant {group} to {}; select tenancy.grant_access('{group}', 'acme')",
        world.app
    ));
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(visible(&mut client), ["acme"]);
    client.refuses("select tenancy.set_tenant('globex', false)", "42501");
}

#[test]
fn a_membership_that_is_not_inherited_counts_after_set_role_only() {
    let world = world_without_access();
    let fixture = &world.fixture;
    let (group, visitor) = (fixture.name("staff"), fixture.name("visitor"));
    fixture.run(&format!(
        "create role {group}; create role {visitor} login noinherit; grant {group} to {visitor};
         grant select on notes_uuid to {group}, {visitor}; select tenancy.grant_access('{group}', 'acme')"
    ));
    let mut client = fixture.connect(&visitor);
    client.refuses("select tenancy.set_tenant('acme', false)", "42501");

    client.run(&format!("set role {group}"));
    client.run("select tenancy.set_tenant('acme', false)");
    assert_eq!(visible(&mut client), ["acme"]);

    client.run("reset role");
    client.refuses(READ, "42501");
}

#[test]
fn set_role_takes_the_privilege_away_too() {
    let world = World::new();
    let plain = world.fixture.name("plain");
    world
        .fixture
        .run(&format!("create role {plain}; grant {plain} to {}; grant select on notes_uuid to {plain}", world.app));
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(visible(&mut tx), ["acme"]);
    tx.run(&format!("set local role {plain}"));
    refuses_in_savepoint(&mut tx, READ, "42501");
    tx.run("reset role");
    assert_eq!(visible(&mut tx), ["acme"]);
}

#[test]
fn a_security_definer_function_lends_its_caller_no_access() {
    let world = world_without_access();
    let fixture = &world.fixture;
    let owner = fixture.role("owner");
    fixture.run(&format!(
        "select tenancy.grant_access('{owner}');
         grant select on notes_uuid to {owner};
         create function take(t text) returns uuid language sql security definer
           set search_path = pg_catalog, pg_temp as 'select tenancy.set_tenant(t, false)';
         create function peek() returns bigint language sql security definer
           set search_path = pg_catalog, pg_temp as 'select count(*) from public.notes_uuid';
         alter function take(text) owner to {owner}; alter function peek() owner to {owner}"
    ));
    let mut client = world.connect();
    client.refuses("select take('acme')", "42501");
    client.run("set tenancy.tenant_id = 'acme'");
    client.refuses("select peek()", "42501");
}

#[test]
fn a_security_definer_function_takes_its_callers_access_not_away() {
    let world = World::new();
    let owner = world.fixture.role("owner");
    world.fixture.run(&format!(
        "grant select on notes_uuid to {owner};
         create function peek() returns bigint language sql security definer
           set search_path = pg_catalog, pg_temp as 'select count(*) from public.notes_uuid';
         alter function peek() owner to {owner}"
    ));
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(tx.value("select peek()").unwrap(), "20");
    assert_eq!(tx.value("select count(*) from notes_uuid").unwrap(), "20");
}

#[test]
fn a_superuser_needs_no_access_row() {
    let world = World::new();
    let mut superuser = world.fixture.superuser();
    superuser.run("select tenancy.set_tenant('acme', false)");
    assert_eq!(context(&mut superuser), "acme");
    superuser.refuses("select tenancy.set_tenant('nobody_here', false)", "42501");
}

#[test]
fn the_callers_search_path_and_operators_do_not_help_it_in() {
    let world = world_without_access();
    world.fixture.run(&format!(
        "select tenancy.grant_access('{app}', 'acme');
         create schema evil authorization {app};
         create function evil.yes(text, text) returns boolean immutable language sql as 'select true';
         create function evil.yes(uuid, uuid) returns boolean immutable language sql as 'select true';
         create function evil.yes(oid, oid) returns boolean immutable language sql as 'select true';
         create operator evil.= (leftarg = text, rightarg = text, function = evil.yes);
         create operator evil.= (leftarg = uuid, rightarg = uuid, function = evil.yes);
         create operator evil.= (leftarg = oid, rightarg = oid, function = evil.yes);
         create function evil.pg_has_role(oid, oid, text) returns boolean immutable language sql as 'select true';
         create function evil.pg_has_role(oid, text) returns boolean immutable language sql as 'select true';
         create view evil.tenants as select * from tenancy.tenants;
         create function evil.current_tenant() returns uuid stable language sql as $$ select '{other}'::uuid $$;
         grant all on all tables in schema evil to public",
        app = world.app,
        other = GLOBEX.id
    ));
    let mut client = world.connect();
    client.run("set search_path = evil, tenancy, pg_catalog, public; set quote_all_identifiers = on");
    client.refuses("select tenancy.set_tenant('globex', false)", "42501");
    client.refuses("select tenancy.set_tenant('nobody_here', false)", "42501");
    client.run("select tenancy.set_tenant('acme', false)");
    assert_eq!(client.texts("select distinct split_part(body, ' ', 1) from public.notes_uuid"), ["acme"]);
}
