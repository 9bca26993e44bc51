//! Equal ways to name a tenant.

use tenancy_harness::{ACME, GLOBEX, RawSession, Session, World, assert_sqlstate};

use crate::{context, visible};

#[test]
fn every_way_in_gives_the_same_context() {
    let world = World::new();
    let mut client = world.connect();
    for way in [
        "select tenancy.set_tenant('acme')",
        "select tenancy.set_tenant('acme', true)",
        "select tenancy.set_tenant('acme'::text, false)",
        "select tenancy.set_tenant(tenant => 'acme', is_local => true)",
        "select tenancy.set_tenant('aaaaaaaa-0000-4000-8000-000000000001')",
        "select tenancy.set_tenant('aaaaaaaa-0000-4000-8000-000000000001'::uuid)",
        "select tenancy.set_tenant('aaaaaaaa-0000-4000-8000-000000000001'::uuid, is_local => false)",
        "select tenancy.set_tenant('{AAAAAAAA-0000-4000-8000-000000000001}'::uuid)",
        "set local tenancy.tenant_id = 'acme'",
        "set local tenancy.tenant_id to 'aaaaaaaa-0000-4000-8000-000000000001'",
        "set tenancy.tenant_id = 'acme'",
        "select set_config('tenancy.tenant_id', 'acme', true)",
        "select set_config('tenancy.tenant_id', 'acme', false)",
        "do $$ begin perform tenancy.set_tenant('acme'); end $$",
    ] {
        let mut tx = client.transaction().unwrap();
        tx.run(way);
        assert_eq!(visible(&mut tx), ["acme"], "{way}");
        assert_eq!(context(&mut tx), "acme", "{way}");
        assert_eq!(tx.value("select tenancy.current_tenant()").unwrap(), ACME.id, "{way}");
        assert_eq!(tx.value("select tenancy.require_tenant()").unwrap(), ACME.id, "{way}");
        tx.rollback().unwrap();
    }
}

#[test]
fn set_tenant_returns_the_tenants_id() {
    let world = World::new();
    let mut client = world.connect();
    let mut tx = client.transaction().unwrap();
    assert_eq!(tx.value("select tenancy.set_tenant('acme')").unwrap(), ACME.id);
    assert_eq!(tx.value(&format!("select tenancy.set_tenant('{}'::uuid)", ACME.id)).unwrap(), ACME.id);
}

#[test]
fn without_context_the_functions_give_null_and_require_tenant_raises() {
    let world = World::new();
    let mut client = world.connect();
    for function in ["current_tenant", "current_key", "current_key_int"] {
        assert_eq!(client.value(&format!("select tenancy.{function}()")), None, "{function}");
    }
    let error = client.refuses("select tenancy.require_tenant()", "42501");
    assert!(error.hint().is_some(), "{error:?}");
}

#[test]
fn a_connection_option_names_the_tenant() {
    let world = World::new();
    let mut client = world.fixture.try_connect(&world.app, "-c tenancy.tenant_id=acme").unwrap();
    assert_eq!(visible(&mut client), ["acme"]);
    client.run("begin; select tenancy.set_tenant('globex', true); commit");
    client.run("reset tenancy.tenant_id");
    assert_eq!(visible(&mut client), ["acme"], "the connection's own value is what RESET goes back to");
}

#[test]
fn a_malformed_connection_option_fails_the_connection() {
    let world = World::new();
    let outcome = world.fixture.try_connect(&world.app, "-c tenancy.tenant_id=\\ acme");
    assert_sqlstate(outcome.map(drop), "22023");
}

#[test]
fn alter_role_and_alter_database_name_the_tenant() {
    let world = World::new();
    let (app, database) = (&world.app, world.fixture.database());
    world.fixture.run(&format!("alter database {database} set tenancy.tenant_id = 'globex'"));
    assert_eq!(visible(&mut world.connect()), ["globex"]);

    world.fixture.run(&format!("alter role {app} set tenancy.tenant_id = 'acme'"));
    assert_eq!(visible(&mut world.connect()), ["acme"], "the role's value wins");

    world.fixture.run(&format!("alter role {app} in database {database} set tenancy.tenant_id = 'globex'"));
    assert_eq!(visible(&mut world.connect()), ["globex"]);
}

#[test]
fn a_role_may_set_its_own_default_and_is_still_checked_at_use() {
    let world = crate::world_without_access();
    world.fixture.run(&format!("select tenancy.grant_access('{}', 'acme')", world.app));
    world.connect().run(&format!("alter role {} set tenancy.tenant_id = 'globex'", world.app));

    let mut client = world.connect();

    client.refuses(crate::READ, "42501");
    let mut tx = client.transaction().unwrap();
    tx.run("select tenancy.set_tenant('acme')");
    assert_eq!(visible(&mut tx), ["acme"]);
}

#[test]
fn a_function_with_a_set_clause_runs_in_that_context_and_leaves_none() {
    let world = World::new();
    world.fixture.run(
        "create function as_acme() returns setof text language sql set tenancy.tenant_id = 'acme'
         as 'select body from notes_uuid'",
    );
    let mut client = world.connect();
    let bodies = client.texts("select as_acme()");
    assert_eq!(bodies.len(), 20);
    assert!(bodies.iter().all(|body| body.starts_with("acme ")));
    assert_eq!(context(&mut client), "none");
}

#[test]
fn a_plain_name_is_authorised_at_first_use_not_before() {
    let world = World::new();
    let mut client = world.connect();
    client.run("begin; set local tenancy.tenant_id = 'nobody_here'; select 1; rollback");
    client.run("set tenancy.tenant_id = 'nobody_here'");
    client.run("begin; select count(*) from pg_class; rollback");
    client.refuses(crate::READ, "42501");
    client.refuses("select tenancy.current_tenant()", "42501");
    client.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(visible(&mut client), ["acme"]);
}

#[test]
fn statements_sent_in_one_message_share_one_transaction_and_its_context() {
    let world = World::new();
    let mut session = RawSession::open(world.fixture.cluster(), world.fixture.database(), &world.app, "");
    let reply = session.query("select tenancy.set_tenant('acme'); select body from notes_uuid");
    if reply.errors.is_empty() {
        assert_eq!(reply.rows.len(), 21);
        assert!(reply.rows[1..].iter().flatten().all(|body| body.starts_with("acme ")), "{reply:?}");
    } else {
        assert_eq!(reply.errors, ["25P01"]);
    }
    let switch = "set tenancy.tenant_id = 'acme'; select tenancy.current_key(); set tenancy.tenant_id = 'globex'";
    assert_eq!(session.query(switch).errors, ["42501"]);
    assert_eq!(session.query("select body from notes_uuid").rows.len(), 0);
}

#[test]
fn the_server_reports_the_context_to_the_client() {
    let world = World::new();
    let mut session = RawSession::open(world.fixture.cluster(), world.fixture.database(), &world.app, "");
    assert_eq!(session.greeting().parameter("tenancy.tenant_id"), Some(""));

    session.query("begin");
    let taken = session.query("select tenancy.set_tenant('acme')");
    assert!(matches!(taken.parameter("tenancy.tenant_id"), Some(value) if value == ACME.key || value == ACME.id));
    let ended = session.query("commit");
    assert_eq!(ended.parameter("tenancy.tenant_id"), Some(""));

    let set = session.query("set tenancy.tenant_id = 'globex'");
    assert_eq!(set.parameter("tenancy.tenant_id"), Some(GLOBEX.key));
}
