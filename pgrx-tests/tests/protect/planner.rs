//! The policy costs one condition that an index answers, and leaves the planner its statistics.

use tenancy_harness::{FAMILIES, Session, World};

use crate::fixture_with_tenants;

#[test]
fn explain_shows_the_tenant_column_as_the_index_condition_and_one_condition_only() {
    let world = World::new();
    let mut client = world.connect();
    client.run("set enable_seqscan = off; set enable_bitmapscan = off");
    for family in &FAMILIES {
        let mut tx = World::begin(&mut client, family.mine);
        let plan = tx.texts(&format!("explain (costs off) select body from {} where id = 5", family.table()));
        let text = plan.join("\n");
        let condition = plan.iter().find(|line| line.contains("Index Cond")).unwrap_or_else(|| panic!("{text}"));
        assert!(condition.contains("tenant_id") && condition.contains("id = 5"), "{text}");
        assert_eq!(text.matches("tenancy.current_").count(), 1, "{text}");
        assert!(!text.contains("Filter"), "{text}");
    }
}

#[test]
fn a_sequential_scan_checks_one_condition_only() {
    let world = World::new();
    let mut client = world.connect();
    client.run("set enable_indexscan = off; set enable_bitmapscan = off; set enable_indexonlyscan = off");
    for family in &FAMILIES {
        let mut tx = World::begin(&mut client, family.mine);
        let text = tx.texts(&format!("explain (costs off) select body from {}", family.table())).join("\n");
        assert_eq!(text.matches("tenancy.current_").count(), 1, "{text}");
        assert!(!text.contains("InitPlan") && !text.contains("SubPlan"), "{text}");
    }
}

/// Estimated rows of a query that reads the whole table.
fn estimate(session: &mut impl Session, table: &str) -> u64 {
    let plan = session.texts(&format!("explain select * from {table}"));
    let rows = plan[0].split("rows=").nth(1).and_then(|rest| rest.split(' ').next());
    rows.unwrap().parse().unwrap()
}

#[test]
fn the_planner_estimates_a_large_and_a_small_tenant_differently() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let table = format!("sizes_{}", family.column_type);
        world.fixture.run(&format!(
            "create table {table} (id integer, tenant_id {});
             insert into {table} select n, {} from generate_series(1, 9000) n;
             insert into {table} select n, {} from generate_series(1, 2) n;
             select tenancy.protect('{table}'); analyze {table}",
            family.column_type,
            family.literal(family.mine),
            family.literal(family.other)
        ));
        let mut tx = World::begin(&mut client, family.mine);
        let large = estimate(&mut tx, &table);
        drop(tx);
        let mut tx = World::begin(&mut client, family.other);
        let small = estimate(&mut tx, &table);
        assert!((8000..=9100).contains(&large), "{large} rows estimated for {}", family.column_type);
        assert!((1..=50).contains(&small), "{small} rows estimated for {}", family.column_type);
    }
}

#[test]
fn partitions_of_other_tenants_are_pruned() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(
        "create table parts (id integer, tenant_id text) partition by list (tenant_id);
         create table parts_acme partition of parts for values in ('acme');
         create table parts_globex partition of parts for values in ('globex');
         insert into parts values (1, 'acme'), (2, 'globex'); select tenancy.protect('parts')",
    );
    let mut client = fixture.connect(&app);
    client.run("begin; select tenancy.set_tenant('acme')");
    let plan = client.texts("explain (analyze, costs off, timing off, summary off) select * from parts").join("\n");
    assert!(plan.contains("parts_acme"), "{plan}");
    let untouched = !plan.contains("parts_globex") || plan.contains("never executed");
    assert!(untouched, "{plan}");
}
