//! A server that does not preload the library: the first use of a function loads it, and all the rules hold.

use tenancy_harness::{ACME, Fixture, GLOBEX, Session, World, refuses_in_savepoint};

use crate::{READ, context, visible};

fn world() -> World<'static> {
    World::within(Fixture::without_preload())
}

#[test]
fn the_context_works_without_preloading() {
    let world = world();
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(visible(&mut tx), ["acme"]);
    refuses_in_savepoint(&mut tx, "select tenancy.set_tenant('globex')", "42501");
    refuses_in_savepoint(&mut tx, "set local tenancy.tenant_id = 'globex'", "42501");
    tx.commit().unwrap();
    assert_eq!(context(&mut client), "none");
    client.refuses("select tenancy.set_tenant('acme')", "25P01");
    client.refuses("set tenancy.nonsense = 1", "42602");
}

#[test]
fn without_context_a_fresh_session_sees_nothing() {
    let world = world();
    assert_eq!(world.connect().texts(READ).len(), 0);
    world.connect().refuses("insert into notes_uuid (id, body) values (99, 'x')", "42501");
}

#[test]
fn a_context_set_before_the_library_is_there_is_taken_over() {
    let world = world();
    for before in ["set tenancy.tenant_id = 'acme'", "select set_config('tenancy.tenant_id', 'acme', false)"] {
        let mut client = world.connect();
        client.run(before);
        assert_eq!(visible(&mut client), ["acme"], "{before}");
        assert_eq!(context(&mut client), "acme", "{before}");
    }
    let mut client = world.connect();
    let mut tx = client.transaction().unwrap();
    tx.run("set local tenancy.tenant_id = 'acme'");
    assert_eq!(visible(&mut tx), ["acme"]);
    tx.commit().unwrap();
    assert_eq!(client.texts(READ).len(), 0);
}

#[test]
fn settings_of_the_connection_the_role_and_the_database_are_taken_over() {
    let world = world();
    let mut client = world.fixture.try_connect(&world.app, "-c tenancy.tenant_id=acme").unwrap();
    assert_eq!(visible(&mut client), ["acme"]);

    let mut superuser = world.fixture.superuser();
    superuser.run("select tenancy.current_tenant()");
    superuser.run(&format!("alter role {} set tenancy.tenant_id = 'globex'", world.app));
    assert_eq!(visible(&mut world.connect()), ["globex"]);
}

#[test]
fn a_malformed_value_set_before_the_library_is_there_shows_nothing() {
    let world = world();
    for malformed in ["' acme'", "E'acme\\n'", "repeat('x', 300)"] {
        let mut client = world.connect();
        client.run(&format!("select set_config('tenancy.tenant_id', {malformed}, false)"));
        if let Ok(rows) = client.query(READ, &[]) {
            assert_eq!(rows.len(), 0, "{malformed}");
        }
        client.run("select tenancy.set_tenant('acme', false)");
        assert_eq!(visible(&mut client), ["acme"], "{malformed}");
    }
}

#[test]
fn stacked_values_set_before_the_library_is_there_keep_their_levels() {
    let world = world();
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'");
    let mut tx = client.transaction().unwrap();
    tx.run("set local tenancy.tenant_id = 'globex'");
    assert_eq!(visible(&mut tx), ["globex"]);
    refuses_in_savepoint(&mut tx, "select tenancy.set_tenant('acme')", "42501");
    tx.commit().unwrap();
    assert_eq!(visible(&mut client), ["acme"]);
}

#[test]
fn two_values_stacked_in_one_transaction_never_show_two_tenants() {
    let world = world();
    let mut client = world.connect();
    let mut tx = client.transaction().unwrap();
    tx.run("set tenancy.tenant_id = 'acme'; savepoint s; set local tenancy.tenant_id = 'globex'");
    let mut seen = Vec::new();
    for step in ["select 1", "rollback to s", "reset tenancy.tenant_id"] {
        // The first read may already be refused: then the transaction is over.
        if tx.batch_execute(step).is_err() {
            break;
        }
        if let Ok(rows) = tx.query("select distinct split_part(body, ' ', 1) from notes_uuid", &[]) {
            seen.extend(rows.iter().map(|row| row.get::<_, String>(0)));
        }
    }
    seen.dedup();
    assert!(seen.len() <= 1, "{seen:?}");
}

#[test]
fn a_forbidden_tenant_set_before_the_library_is_there_is_refused_at_use() {
    let world = world();
    world
        .fixture
        .run(&format!("select tenancy.revoke_access('{0}'); select tenancy.grant_access('{0}', 'acme')", world.app));
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'globex'");
    client.refuses(READ, "42501");
}

#[test]
fn a_superusers_setting_made_up_before_the_library_is_there_does_not_count() {
    let world = world();
    let mut client = world.connect();
    client.run("set tenancy.allow_switch = on; set tenancy.default_tenant = 'globex'");
    if let Ok(rows) = client.query(READ, &[]) {
        assert_eq!(rows.len(), 0);
    }
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(visible(&mut tx), ["acme"]);
    refuses_in_savepoint(&mut tx, "select tenancy.set_tenant('globex')", "42501");
}

#[test]
fn parallel_workers_see_the_context_without_preloading() {
    let world = world();
    let mut client = world.connect();
    client.run(
        "set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
         set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off;
         set parallel_leader_participation = off",
    );
    for tenant in [ACME, GLOBEX] {
        let mut tx = World::begin(&mut client, tenant);
        let plan = tx.texts("explain (analyze, costs off, timing off, summary off) select body from notes_uuid");
        assert!(plan.iter().any(|line| line.contains("Parallel Seq Scan")), "{plan:?}");
        assert_eq!(visible(&mut tx), [tenant.key]);
        tx.commit().unwrap();
    }
}

#[test]
fn suspension_reaches_open_sessions_without_preloading() {
    let world = world();
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(visible(&mut tx), ["acme"]);
    world.fixture.run("select tenancy.suspend_tenant('acme')");
    tx.refuses(READ, "55000");
}
