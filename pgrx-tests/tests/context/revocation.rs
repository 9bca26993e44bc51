//! Suspending a tenant and revoking access reach sessions that are already at work, at their next statement.

use std::time::{Duration, Instant};

use postgres::Client;
use tenancy_harness::{ACME, GLOBEX, Session, World, postgres};

use crate::{READ, context, visible, world_without_access};

const ISOLATION_LEVELS: [&str; 3] = ["read committed", "repeatable read", "serializable"];

/// A world and a session in the middle of a transaction block that has read its tenant's rows.
fn session_in_transaction(world: &World<'_>, isolation_level: &str) -> Client {
    let mut client = world.connect();
    client.run(&format!("begin isolation level {isolation_level}; select tenancy.set_tenant('acme')"));
    assert_eq!(visible(&mut client), ["acme"]);
    assert_eq!(context(&mut client), "acme");
    client
}

#[test]
fn suspension_stops_an_idle_session_at_its_next_statement() {
    let world = World::new();
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(visible(&mut client), ["acme"]);

    world.fixture.run("select tenancy.suspend_tenant('acme', 'unpaid')");

    client.refuses(READ, "55000");
    client.refuses("select tenancy.current_tenant()", "55000");
    client.refuses("select tenancy.set_tenant('acme', false)", "55000");
    client.refuses("insert into notes_uuid (id, body) values (99, 'acme 99')", "55000");

    world.fixture.run("select tenancy.resume_tenant('acme')");
    assert_eq!(visible(&mut client), ["acme"]);
}

#[test]
fn suspension_stops_a_session_inside_its_transaction_block() {
    for level in ISOLATION_LEVELS {
        let world = World::new();
        let mut client = session_in_transaction(&world, level);
        world.fixture.run("select tenancy.suspend_tenant('acme')");
        client.refuses(READ, "55000");
        client.run("rollback");
        client.refuses("begin; select tenancy.set_tenant('acme')", "55000");
    }
}

#[test]
fn suspension_stops_a_write_inside_a_transaction_block() {
    let world = World::new();
    let mut client = session_in_transaction(&world, "read committed");
    client.run("insert into notes_uuid (id, body) values (98, 'acme 98')");
    world.fixture.run("select tenancy.suspend_tenant('acme')");
    client.refuses("insert into notes_uuid (id, body) values (99, 'acme 99')", "55000");
    client.run("rollback");
    assert_eq!(world.true_rows("notes_uuid").len(), 50);
}

#[test]
fn suspension_stops_a_prepared_statement_inside_a_transaction_block() {
    let world = World::new();
    let mut client = world.connect();
    client.run("set plan_cache_mode = force_generic_plan");
    let statement = client.prepare(READ).unwrap();
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(tx.query(&statement, &[]).unwrap().len(), 20);

    world.fixture.run("select tenancy.suspend_tenant('acme')");

    tenancy_harness::assert_sqlstate(tx.query(&statement, &[]), "55000");
}

/// Reads in a loop of one single statement until the context is refused; fails by itself after ten seconds.
fn looping_block() -> &'static str {
    "do $$ declare started timestamptz := clock_timestamp(); begin
       loop
         perform count(*) from notes_uuid;
         perform pg_sleep(0.01);
         if clock_timestamp() > started + interval '10 s' then raise exception 'was never stopped'; end if;
       end loop;
     end $$"
}

/// Waits until `client` waits for a lock.
fn wait_until_blocked(observer: &mut Client, pid: i32) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let waits = format!("select wait_event_type is not distinct from 'Lock' from pg_stat_activity where pid = {pid}");
    while observer.value(&waits).as_deref() != Some("t") {
        assert!(Instant::now() < deadline, "never waits for a lock");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The registry row is read before access is, which is locked meanwhile: what changes in between is announced once, in
/// the middle of being resolved.
#[test]
fn what_changes_while_the_tenant_is_being_resolved_is_not_missed() {
    for (change, sqlstate) in [
        ("select tenancy.suspend_tenant('acme')", "55000"),
        ("update tenancy.tenants set key = 'former acme' where key = 'acme'", "42501"),
    ] {
        for first_use in
            ["begin; select tenancy.set_tenant('acme')", "set tenancy.tenant_id = 'acme'; select body from notes_uuid"]
        {
            let world = World::new();
            let mut client = world.connect();
            let pid: i32 = client.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
            let mut observer = world.fixture.superuser();
            let mut admin = world.fixture.superuser();
            admin.run("begin; lock table tenancy.access in access exclusive mode");
            std::thread::scope(|scope| {
                let outcome = scope.spawn(move || client.batch_execute(first_use));
                wait_until_blocked(&mut observer, pid);
                admin.run(&format!("{change}; commit"));
                let outcome = outcome.join().expect("the session ends");
                tenancy_harness::assert_sqlstate(outcome, sqlstate);
            });
        }
    }
}

#[test]
fn suspension_stops_a_loop_inside_one_function() {
    let world = World::new();
    let mut client = session_in_transaction(&world, "read committed");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(500));
            world.fixture.run("select tenancy.suspend_tenant('acme')");
        });
        client.refuses(looping_block(), "55000");
    });
}

#[test]
fn revoked_access_stops_a_loop_inside_one_function() {
    let world = World::new();
    let mut client = session_in_transaction(&world, "repeatable read");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(500));
            world.fixture.run(&format!("select tenancy.revoke_access('{}')", world.app));
        });
        client.refuses(looping_block(), "42501");
    });
}

#[test]
fn revoked_access_stops_an_open_session_at_its_next_statement() {
    for level in ISOLATION_LEVELS {
        let world = World::new();
        let mut idle = world.connect();
        idle.run("set tenancy.tenant_id = 'acme'");
        assert_eq!(visible(&mut idle), ["acme"]);
        let mut busy = session_in_transaction(&world, level);

        world.fixture.run(&format!("select tenancy.revoke_access('{}')", world.app));

        idle.refuses(READ, "42501");
        busy.refuses(READ, "42501");
    }
}

#[test]
fn narrowed_access_stops_the_tenants_that_are_left_out() {
    let world = World::new();
    let mut acme = world.connect();
    acme.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(visible(&mut acme), ["acme"]);
    let mut globex = world.connect();
    globex.run("set tenancy.tenant_id = 'globex'");
    assert_eq!(visible(&mut globex), ["globex"]);

    world
        .fixture
        .run(&format!("select tenancy.grant_access('{0}', 'acme'); select tenancy.revoke_access('{0}')", world.app));

    globex.refuses(READ, "42501");
    assert_eq!(visible(&mut acme), ["acme"]);
}

#[test]
fn a_revoked_role_membership_stops_an_open_session() {
    for level in ISOLATION_LEVELS {
        let world = world_without_access();
        let group = world.fixture.name("staff");
        world.fixture.run(&format!(
            "create role {group}; grant {group} to {}; select tenancy.grant_access('{group}')",
            world.app
        ));
        let mut idle = world.connect();
        idle.run("set tenancy.tenant_id = 'acme'");
        assert_eq!(visible(&mut idle), ["acme"]);
        let mut busy = session_in_transaction(&world, level);

        world.fixture.run(&format!("revoke {group} from {}", world.app));

        idle.refuses(READ, "42501");
        busy.refuses(READ, "42501");
    }
}

#[test]
fn granted_access_is_there_at_the_next_statement() {
    let world = world_without_access();
    let mut client = world.connect();
    client.refuses("select tenancy.set_tenant('acme', false)", "42501");
    world.fixture.run(&format!("select tenancy.grant_access('{}', 'acme')", world.app));
    client.run("select tenancy.set_tenant('acme', false)");
    assert_eq!(visible(&mut client), ["acme"]);
}

#[test]
fn a_tenant_created_later_can_be_taken_by_a_session_that_asked_for_it_before() {
    let world = World::new();
    let mut client = world.connect();
    client.refuses("select tenancy.set_tenant('initech', false)", "42501");
    world.fixture.run("select tenancy.create_tenant('initech')");
    client.run("select tenancy.set_tenant('initech', false)");
    assert_eq!(context(&mut client), "initech");
}

#[test]
fn an_uncommitted_or_undone_suspension_stops_nobody() {
    let world = World::new();
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'");
    let mut admin = world.fixture.superuser();
    let mut change = admin.transaction().unwrap();
    change.run("select tenancy.suspend_tenant('acme')");
    assert_eq!(visible(&mut client), ["acme"]);
    change.rollback().unwrap();
    assert_eq!(visible(&mut client), ["acme"]);
}

#[test]
fn the_session_that_suspends_its_own_tenant_is_stopped_too() {
    let world = World::new();
    let admin = world.fixture.app_named("admin");
    world.fixture.run(&format!("select tenancy.grant_admin('{admin}')"));
    let mut client = world.fixture.connect(&admin);
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(visible(&mut tx), ["acme"]);
    tx.run("savepoint s; select tenancy.suspend_tenant('acme')");
    tx.refuses(READ, "55000");
    tx.run("rollback to s");
    assert_eq!(visible(&mut tx), ["acme"], "the undone suspension is forgotten");
}

#[test]
fn other_tenants_go_on_while_one_is_suspended() {
    let world = World::new();
    let mut client = session_in_transaction(&world, "read committed");
    world.fixture.run("select tenancy.suspend_tenant('globex')");
    assert_eq!(visible(&mut client), ["acme"]);
    client.run("commit");
    let outcome = client.batch_execute(&format!("begin; select tenancy.set_tenant('{}')", GLOBEX.id));
    tenancy_harness::assert_sqlstate(outcome, "55000");
}

#[test]
fn an_archived_tenant_is_stopped_like_a_suspended_one() {
    let world = World::new();
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(visible(&mut client), ["acme"]);
    world.fixture.run("select tenancy.suspend_tenant('acme'); select tenancy.archive_tenant('acme')");
    client.refuses(READ, "55000");
}

#[test]
fn a_change_made_by_plain_sql_on_the_registry_reaches_open_sessions() {
    let world = World::new();
    let mut client = session_in_transaction(&world, "read committed");
    world.fixture.run("update tenancy.tenants set status = 'suspended' where key = 'acme'");
    client.refuses(READ, "55000");
}

#[test]
fn parallel_workers_are_stopped_with_their_leader() {
    let world = World::new();
    let mut client = world.connect();
    client.run(
        "set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
         set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off;
         set parallel_leader_participation = off; set tenancy.tenant_id = 'acme'",
    );
    assert_eq!(client.texts(READ).len(), 20);
    world.fixture.run("select tenancy.suspend_tenant('acme')");
    client.refuses(READ, "55000");
}
