//! Parallel workers take the leader's context and no other.

use postgres::Client;
use tenancy_harness::{FAMILIES, Family, Session, World, postgres};

use crate::assert_owned;

/// A session whose scans are parallel however small the table is.
fn parallel_session(world: &World<'_>) -> Client {
    let mut client = world.connect();
    client.run(
        "set min_parallel_table_scan_size = 0; set min_parallel_index_scan_size = 0;
         set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set max_parallel_workers_per_gather = 2;
         set parallel_leader_participation = off;
         set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off",
    );
    client
}

#[track_caller]
fn assert_parallel(session: &mut impl Session, query: &str) {
    let plan = session.texts(&format!("explain (analyze, costs off, timing off, summary off) {query}")).join("\n");
    assert!(plan.contains("Parallel Seq Scan"), "{plan}");
    assert!(plan.contains("Workers Launched: ") && !plan.contains("Workers Launched: 0"), "{plan}");
}

#[test]
fn a_parallel_scan_returns_own_rows_only() {
    let world = World::new();
    let mut client = parallel_session(&world);
    for family in &FAMILIES {
        let query = format!("select body from {}", family.table());
        let mut tx = World::begin(&mut client, family.mine);
        assert_parallel(&mut tx, &query);
        assert_owned(&tx.texts(&query), family.mine, World::MINE);
    }
}

#[test]
fn a_forced_parallel_query_returns_own_rows_only() {
    let world = World::new();
    let setting = if world.fixture.major_version() >= 16 { "debug_parallel_query" } else { "force_parallel_mode" };
    let mut client = world.connect();
    client.run(&format!("set {setting} = on"));
    for family in &FAMILIES {
        let mut tx = World::begin(&mut client, family.mine);
        let bodies = tx.texts(&format!("select body from {}", family.table()));
        assert_owned(&bodies, family.mine, World::MINE);
        let context = tx.value("select tenancy.current_key()");
        assert_eq!(context.as_deref(), Some(family.mine.key));
    }
}

#[test]
fn a_parallel_aggregate_and_join_stay_within_the_tenant() {
    let world = World::new();
    let mut client = parallel_session(&world);
    client.run("set enable_mergejoin = off; set enable_nestloop = off");
    for family in &FAMILIES {
        let table = family.table();
        let mut tx = World::begin(&mut client, family.mine);
        assert_eq!(tx.value(&format!("select count(*) from {table}")).unwrap(), World::MINE.to_string());
        let join = format!("select a.body from {table} a join {table} b using (id)");
        assert_parallel(&mut tx, &join);
        assert_owned(&tx.texts(&join), family.mine, World::MINE);
    }
}

#[test]
fn workers_see_the_context_of_each_transaction_in_turn() {
    let world = World::new();
    let mut client = parallel_session(&world);
    let family: &Family = &FAMILIES[0];
    let query = format!("select body || ' by ' || tenancy.current_key() from {}", family.table());
    for (tenant, count) in [(family.mine, World::MINE), (family.other, World::OTHERS), (family.mine, World::MINE)] {
        let mut tx = World::begin(&mut client, tenant);
        assert_parallel(&mut tx, &query);
        let bodies = tx.texts(&query);
        assert_owned(&bodies, tenant, count);
        assert!(bodies.iter().all(|body| body.ends_with(&format!(" by {}", tenant.key))), "{bodies:?}");
        tx.commit().unwrap();
    }
}

#[test]
fn workers_see_a_session_level_context() {
    let world = World::new();
    let mut client = parallel_session(&world);
    for family in &FAMILIES {
        client.run(&format!("set tenancy.tenant_id = '{}'", family.mine.id));
        let query = format!("select body from {}", family.table());
        assert_parallel(&mut client, &query);
        assert_owned(&client.texts(&query), family.mine, World::MINE);
    }
}

#[test]
fn workers_without_context_see_nothing() {
    let world = World::new();
    let mut client = parallel_session(&world);
    for family in &FAMILIES {
        let query = format!("select body from {}", family.table());
        assert_parallel(&mut client, &query);
        assert_eq!(client.texts(&query).len(), 0);
    }
}

/// RESET brings back the role's own default without asking anybody; the transaction stays with its tenant.
#[test]
fn a_parallel_query_never_returns_rows_of_a_tenant_that_reset_brought_back() {
    let world = World::new();
    let family = &FAMILIES[0];
    world.fixture.run(&format!("alter role {} set tenancy.tenant_id = '{}'", world.app, family.other.key));
    let query = format!("select body from {}", family.table());
    for reset in ["reset tenancy.tenant_id", "reset all", "set tenancy.tenant_id to default"] {
        let mut client = parallel_session(&world);
        let mut tx = World::begin(&mut client, family.mine);
        assert_owned(&tx.texts(&query), family.mine, World::MINE);
        tx.run(reset);
        // RESET ALL takes the planner's settings along.
        tx.run(
            "set local min_parallel_table_scan_size = 0; set local parallel_setup_cost = 0;
             set local parallel_tuple_cost = 0; set local parallel_leader_participation = off;
             set local enable_indexscan = off; set local enable_bitmapscan = off; set local enable_indexonlyscan = off",
        );
        tx.refuses(&query, "42501");
        drop(tx);

        let mut fresh = client.transaction().unwrap();
        assert_owned(&fresh.texts(&query), family.other, World::OTHERS);
    }
}
