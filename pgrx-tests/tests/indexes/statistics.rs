//! `protect(…, statistics_target => …)`: statistics that know more tenants, and know them sooner.

use tenancy_harness::{ACME, Fixture, GLOBEX, Session, World};

use crate::fixture_with_tenants;

/// Statistics target of the tenant column and options of a table and what inherits from it.
fn settings(fixture: &Fixture<'_>, table: &str) -> Vec<String> {
    fixture.superuser().texts(&format!(
        "select format('%s %s %s', c.oid::regclass, coalesce(a.attstattarget, -1), coalesce(c.reloptions::text, '-'))
         from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
         where c.oid = '{table}'::regclass
            or c.oid in (select relid from pg_partition_tree('{table}'))
            or c.oid in (select inhrelid from pg_inherits where inhparent = '{table}'::regclass)
         order by c.relname"
    ))
}

fn protect(fixture: &Fixture<'_>, arguments: &str) -> Vec<String> {
    fixture.superuser().texts(&format!("select tenancy.protect({arguments})"))
}

#[test]
fn statistics_are_left_alone_unless_they_are_asked_for() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run("create table t (tenant_id uuid, body text)");
    protect(&fixture, "'t'");
    assert_eq!(settings(&fixture, "t"), ["t -1 -"]);
}

#[test]
fn a_table_converges_and_keeps_what_is_finer_already() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run("create table t (tenant_id uuid, body text) with (fillfactor = 90); select tenancy.protect('t')");
    let wanted = [
        "ALTER TABLE public.t ALTER COLUMN tenant_id SET STATISTICS 1000;",
        "ALTER TABLE public.t SET (autovacuum_analyze_scale_factor = 0.01);",
    ];
    assert_eq!(protect(&fixture, "'t', statistics_target => 1000, dry_run => true"), wanted);
    assert_eq!(settings(&fixture, "t"), ["t -1 {fillfactor=90}"]);
    assert_eq!(protect(&fixture, "'t', statistics_target => 1000"), wanted);
    assert_eq!(settings(&fixture, "t"), ["t 1000 {fillfactor=90,autovacuum_analyze_scale_factor=0.01}"]);
    assert_eq!(protect(&fixture, "'t', statistics_target => 1000"), Vec::<String>::new());
    assert_eq!(protect(&fixture, "'t'"), Vec::<String>::new());
    fixture.run("alter table t set (autovacuum_analyze_scale_factor = 0.002), alter tenant_id set statistics 5");
    assert_eq!(protect(&fixture, "'t', statistics_target => 1000"), wanted[..1]);
    fixture.run("alter table t set (autovacuum_analyze_scale_factor = 0.5)");
    assert_eq!(protect(&fixture, "'t', statistics_target => 1000"), wanted[1..]);
}

#[test]
fn partitions_and_children_have_them_too_and_so_do_those_that_come_later() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run(
        "create table p (tenant_id uuid, at date) partition by range (at);
         create table p_1 partition of p for values from ('2026-01-01') to ('2026-02-01');
         create table p_2 partition of p for values from ('2026-02-01') to ('2026-03-01') partition by list (at);
         create table p_2_1 partition of p_2 default;
         create table parent (tenant_id uuid); create table parent_child () inherits (parent)",
    );
    protect(&fixture, "'p', statistics_target => 500");
    protect(&fixture, "'parent', statistics_target => 500");
    let factor = "{autovacuum_analyze_scale_factor=0.01}";
    let leaf = |name: &str| format!("{name} 500 {factor}");
    assert_eq!(settings(&fixture, "p"), ["p 500 -".into(), leaf("p_1"), "p_2 500 -".into(), leaf("p_2_1")]);
    assert_eq!(settings(&fixture, "parent"), [leaf("parent"), leaf("parent_child")]);
    assert_eq!(protect(&fixture, "'p', statistics_target => 500"), Vec::<String>::new());
    fixture.run("create table p_3 partition of p default");
    assert_eq!(settings(&fixture, "p_3"), [leaf("p_3")]);
    assert_eq!(protect(&fixture, "'p', statistics_target => 500"), Vec::<String>::new());
}

#[test]
fn a_target_that_postgresql_does_not_take_is_refused() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run("create table t (tenant_id uuid)");
    for target in ["0", "-1", "10001"] {
        let call = format!("select tenancy.protect('t', statistics_target => {target})");
        fixture.superuser().refuses(&call, "22023");
    }
}

/// What it is for: more tenants than the default knows are told apart by size.
#[test]
fn a_tenant_of_middling_size_is_estimated_by_its_own_rows() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(&format!(
        "create table t (tenant_id uuid, body text);
         insert into t select md5((n % 300)::text)::uuid, 'x' from generate_series(1, 90000) n;
         insert into t select '{}', 'x' from generate_series(1, 250) n;
         insert into t select '{}', 'x' from generate_series(1, 3) n;
         select tenancy.protect('t'); analyze t",
        ACME.id, GLOBEX.id
    ));
    let mut client = fixture.connect(&app);
    let mut estimate = |tenant| {
        let plan = World::begin(&mut client, tenant).texts("explain select * from t");
        let rows = plan[0].split("rows=").nth(1).unwrap().split(' ').next().unwrap();
        rows.parse::<i64>().unwrap()
    };
    assert!(estimate(GLOBEX) > 100, "an average");
    fixture.run("select tenancy.protect('t', statistics_target => 1000); analyze t");
    assert_eq!((estimate(ACME), estimate(GLOBEX)), (250, 3));
}
