//! Whatever was changed by hand, running `tenancy.protect` again brings the table back.

use tenancy_harness::{ACME, GLOBEX, Session};

use crate::{catalog, fixture_with_tenants, orders, seen_by_acme};

/// Changes that weaken or disfigure a protected table `orders`; `{app}` is the application's role.
const DRIFTS: [&str; 23] = [
    "drop policy tenant_isolation_floor on orders",
    "drop policy tenant_isolation on orders",
    "drop policy tenant_isolation on orders; drop policy tenant_isolation_floor on orders",
    "alter policy tenant_isolation on orders using (true)",
    "alter policy tenant_isolation on orders with check (true)",
    "alter policy tenant_isolation_floor on orders using (true) with check (true)",
    "alter policy tenant_isolation on orders using (tenant_id = tenancy.current_tenant() or body = 'x')",
    "alter policy tenant_isolation on orders to {app}",
    "alter policy tenant_isolation_floor on orders to {app}",
    "drop policy tenant_isolation_floor on orders;
     create policy tenant_isolation_floor on orders using (tenant_id = tenancy.current_tenant())",
    "drop policy tenant_isolation_floor on orders;
     create policy tenant_isolation_floor on orders as restrictive for select
       using (tenant_id = tenancy.current_tenant())",
    "drop policy tenant_isolation on orders;
     create policy tenant_isolation on orders as restrictive using (tenant_id = tenancy.current_tenant())",
    "create function public.current_tenant() returns uuid stable language sql as 'select null::uuid';
     alter policy tenant_isolation on orders using (tenant_id = public.current_tenant())",
    "create function public.yes(uuid, uuid) returns boolean immutable language sql as 'select true';
     create operator public.= (leftarg = uuid, rightarg = uuid, function = public.yes);
     alter policy tenant_isolation_floor on orders using (tenant_id operator(public.=) tenancy.current_tenant())",
    "alter table orders no force row level security",
    "alter table orders disable row level security",
    "alter table orders disable row level security, no force row level security",
    "alter table orders alter tenant_id drop not null",
    "alter table orders alter tenant_id drop default",
    "alter table orders alter tenant_id set default gen_random_uuid()",
    "grant truncate, references, trigger on orders to {app}",
    "grant all on orders to public",
    "grant truncate on orders to {app} with grant option",
];

#[test]
fn every_drift_is_put_right_by_protecting_again() {
    let (fixture, app) = fixture_with_tenants();
    orders(&fixture);
    fixture.run("select tenancy.protect('orders')");
    let mut superuser = fixture.superuser();
    let good = catalog(&mut superuser, "orders");
    superuser.run("set tenancy.guard_ddl = off");
    for drift in DRIFTS {
        let mut tx = superuser.transaction().unwrap();
        tx.run(&drift.replace("{app}", &app));
        assert_ne!(catalog(&mut tx, "orders"), good, "not a drift: {drift}");

        let done = tx.texts("select tenancy.protect('orders')");

        let after = catalog(&mut tx, "orders");
        // What was granted beyond the three dangerous privileges is the owner's own business.
        let after: Vec<_> =
            after.into_iter().filter(|fact| !drift.contains("grant all") || !fact.contains(" 0 may ")).collect();
        assert_eq!(after, good, "{drift}");
        assert!(!done.is_empty(), "{drift}");
        let again = tx.texts("select tenancy.protect('orders')");
        assert!(again.is_empty(), "{drift}: {again:?}");
        tx.rollback().unwrap();
    }
}

#[test]
fn a_dropped_tenant_led_index_is_made_again() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    fixture.run("select tenancy.protect('orders')");
    let mut superuser = fixture.superuser();
    let good = catalog(&mut superuser, "orders");
    let index = superuser
        .value("select indexrelid::regclass from pg_index where indrelid = 'orders'::regclass and not indisprimary");
    superuser.run(&format!("drop index {}", index.unwrap()));
    superuser.run("select tenancy.protect('orders')");
    assert_eq!(catalog(&mut superuser, "orders"), good);
}

#[test]
fn the_floor_holds_while_somebody_elses_permissive_policy_is_there() {
    let (fixture, app) = fixture_with_tenants();
    orders(&fixture);
    fixture.run("select tenancy.protect('orders'); create policy debugging on orders using (true) with check (true)");

    assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme"]);
    let mut client = fixture.connect(&app);
    assert_eq!(client.texts("select body from orders").len(), 0);
    client.run("begin; select tenancy.set_tenant('acme')");
    client.refuses(&format!("insert into orders values (3, '{}', 'x')", GLOBEX.id), "42501");
    client.run("rollback");

    fixture.run("select tenancy.protect('orders')");
    assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme"]);
}

#[test]
fn a_drifted_partition_is_put_right_through_its_parent() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run(
        "create table parts (id integer, tenant_id uuid, body text) partition by range (id);
         create table parts_1 partition of parts default partition by hash (id);
         create table parts_1_1 partition of parts_1 for values with (modulus 1, remainder 0);
         select tenancy.protect('parts')",
    );
    let mut superuser = fixture.superuser();
    let good = catalog(&mut superuser, "parts");
    superuser.run("set tenancy.guard_ddl = off");
    for drift in [
        "alter table parts_1_1 disable row level security",
        "alter table parts_1 no force row level security",
        "drop policy tenant_isolation_floor on parts_1_1",
        "alter policy tenant_isolation on parts_1 using (true)",
        "grant truncate on parts_1_1 to public",
        "alter table only parts_1_1 alter tenant_id drop default",
    ] {
        let mut tx = superuser.transaction().unwrap();
        tx.run(drift);
        assert_ne!(catalog(&mut tx, "parts"), good, "not a drift: {drift}");
        tx.run("select tenancy.protect('parts')");
        assert_eq!(catalog(&mut tx, "parts"), good, "{drift}");
        tx.rollback().unwrap();
    }
}

#[test]
fn partitions_and_children_that_came_later_are_taken_in() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(&format!(
        "set tenancy.guard_ddl = off;
         create table parts (id integer, tenant_id uuid, body text) partition by range (id);
         create table parts_1 partition of parts for values from (0) to (10);
         select tenancy.protect('parts');
         create table loose (id integer, tenant_id uuid not null, body text);
         insert into loose values (11, '{0}', 'acme'), (12, '{1}', 'globex'); grant all on loose to {app};
         alter table parts attach partition loose for values from (10) to (20);
         create table parent (tenant_id uuid, body text); select tenancy.protect('parent');
         create table child () inherits (parent); insert into child values ('{0}', 'acme'), ('{1}', 'globex')",
        ACME.id, GLOBEX.id
    ));
    fixture.run("select tenancy.protect('parts'); select tenancy.protect('parent')");
    assert_eq!(seen_by_acme(&fixture, &app, "loose"), ["acme"]);
    assert_eq!(seen_by_acme(&fixture, &app, "child"), ["acme"]);
    fixture.connect(&app).refuses("truncate loose", "42501");
    for table in ["parts", "parent"] {
        let again = fixture.superuser().texts(&format!("select tenancy.protect('{table}')"));
        assert!(again.is_empty(), "{again:?}");
    }
}

#[test]
fn policies_somebody_wrote_by_hand_become_the_wanted_ones() {
    let (fixture, app) = fixture_with_tenants();
    for start in [
        "alter table orders enable row level security",
        "alter table orders force row level security",
        "create policy tenant_isolation on orders for select to {app} using (true)",
        "create policy tenant_isolation_floor on orders using (true)",
        "create policy tenant_isolation_floor_select on orders as restrictive for select using (true)",
        "alter table orders alter tenant_id set not null, alter tenant_id set default tenancy.current_tenant()",
    ] {
        orders(&fixture);
        fixture.run(&start.replace("{app}", &app));
        fixture.run("select tenancy.protect('orders')");
        assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme"], "{start}");
        let policies =
            "select string_agg(policyname, ' ' order by policyname) from pg_policies where tablename = 'orders'";
        let policies = fixture.superuser().value(policies).unwrap();
        assert_eq!(policies, "tenant_isolation tenant_isolation_floor", "{start}");
        let again = fixture.superuser().texts("select tenancy.protect('orders')");
        assert!(again.is_empty(), "{start}: {again:?}");
        fixture.run("drop table orders");
    }
}

#[test]
fn a_changed_policy_is_changed_back_in_the_dry_runs_words_too() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    fixture.run("select tenancy.protect('orders')");
    let mut superuser = fixture.superuser();
    let good = catalog(&mut superuser, "orders");
    superuser.run(
        "set tenancy.guard_ddl = off;
         alter policy tenant_isolation on orders using (true); alter table orders no force row level security",
    );
    for statement in superuser.texts("select tenancy.protect('orders', dry_run => true)") {
        superuser.run(&statement);
    }
    assert_eq!(catalog(&mut superuser, "orders"), good);
}
