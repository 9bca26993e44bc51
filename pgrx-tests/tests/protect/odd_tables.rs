//! Tables and indexes out of the ordinary.

use tenancy_harness::{Session, sqlstate};

use crate::{fixture_with_tenants, seen_by_acme};

const FILL: &str = "insert into t (tenant_id, body) values
    ('aaaaaaaa-0000-4000-8000-000000000001', 'acme'), ('bbbbbbbb-0000-4000-8000-000000000002', 'globex')";

#[test]
fn unlogged_and_typed_tables_are_protected_like_others() {
    let (fixture, app) = fixture_with_tenants();
    for definition in [
        "create unlogged table t (tenant_id uuid, body text)",
        "create type row_type as (tenant_id uuid, body text); create table t of row_type",
        "create table t (body text, dropped integer, tenant_id uuid); alter table t drop column dropped",
        "create table t (tenant_id uuid primary key, body text)",
        "create table t (tenant_id uuid not null, body text, unique (body, tenant_id))",
    ] {
        fixture.run(&format!("{definition}; {FILL}; select tenancy.protect('t')"));
        assert_eq!(seen_by_acme(&fixture, &app, "t"), ["acme"], "{definition}");
        let again = fixture.superuser().texts("select tenancy.protect('t')");
        assert!(again.is_empty(), "{definition}: {again:?}");
        fixture.run("drop table t");
    }
}

#[test]
fn indexes_that_cannot_find_a_tenant_do_not_count_as_tenant_led() {
    let (fixture, _) = fixture_with_tenants();
    for index in [
        "create index other on t using brin (tenant_id)",
        "create index other on t (body, tenant_id)",
        "create index other on t (body) include (tenant_id)",
        "create index other on t (tenant_id) where body = 'x'",
    ] {
        fixture.run(&format!("create table t (tenant_id uuid, body text); {index}; select tenancy.protect('t')"));
        let usable = fixture.superuser().value(
            "select count(*) from pg_index join pg_class i on i.oid = indexrelid join pg_am on pg_am.oid = relam
              where indrelid = 't'::regclass and amname = 'btree' and indpred is null
                and indkey[0] = (select attnum from pg_attribute where attrelid = 't'::regclass and attname = 'tenant_id')",
        );
        assert_eq!(usable.as_deref(), Some("1"), "{index}");
        fixture.run("drop table t");
    }
}

#[test]
fn a_partitioned_index_that_is_not_valid_yet_does_not_count_as_tenant_led() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run(
        "create table t (tenant_id uuid, body text) partition by hash (body);
         create table t_1 partition of t for values with (modulus 1, remainder 0);
         create index unfinished on only t (tenant_id); select tenancy.protect('t')",
    );
    let mut superuser = fixture.superuser();
    let valid = "select count(*) from pg_index where indrelid = 't_1'::regclass and indisvalid";
    assert_eq!(superuser.value(valid).as_deref(), Some("1"));
    let again = superuser.texts("select tenancy.protect('t')");
    assert!(again.is_empty(), "{again:?}");
}

#[test]
fn a_column_with_its_own_collation_is_found_through_the_index() {
    let (fixture, app) = fixture_with_tenants();
    for collation in ["\"C\"", "\"POSIX\"", "ucs_basic"] {
        fixture.run(&format!(
            "create table t (id integer, tenant_id text collate {collation}, body text);
             insert into t values (1, 'acme', 'acme'), (2, 'globex', 'globex'); select tenancy.protect('t')"
        ));
        assert_eq!(seen_by_acme(&fixture, &app, "t"), ["acme"]);
        let mut client = fixture.connect(&app);
        client.run("set enable_seqscan = off; set enable_bitmapscan = off; set tenancy.tenant_id = 'acme'");
        let plan = client.texts("explain (costs off) select body from t").join("\n");
        assert!(plan.contains("Index Cond: (tenant_id = tenancy.current_key())"), "{collation}: {plan}");
        fixture.run("drop table t");
    }
}

#[test]
fn protecting_a_partition_first_and_its_parent_later_ends_the_same() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(
        "create table t (tenant_id uuid, body text) partition by hash (body);
         create table t_1 partition of t for values with (modulus 1, remainder 0)",
    );
    fixture.run(FILL);
    fixture.run("select tenancy.protect('t_1')");
    assert_eq!(seen_by_acme(&fixture, &app, "t_1"), ["acme"]);
    fixture.run("select tenancy.protect('t')");
    for table in ["t", "t_1"] {
        assert_eq!(seen_by_acme(&fixture, &app, table), ["acme"]);
        let again = fixture.superuser().texts(&format!("select tenancy.protect('{table}')"));
        assert!(again.is_empty(), "{again:?}");
    }
}

#[test]
fn a_not_null_constraint_that_was_never_validated_does_not_hide_rows_without_owner() {
    let (fixture, _) = fixture_with_tenants();
    if fixture.major_version() < 18 {
        eprintln!("skipped: NOT NULL constraints can be NOT VALID since PostgreSQL 18");
        return;
    }
    fixture.run(
        "create table t (tenant_id uuid, body text); insert into t values (null, 'nobody');
         alter table t add constraint owned not null tenant_id not valid",
    );
    let mut superuser = fixture.superuser();
    superuser.refuses("select tenancy.protect('t')", "23502");
    superuser.run("delete from t");
    superuser.run("select tenancy.protect('t')");
    let valid = "select convalidated from pg_constraint where conrelid = 't'::regclass and contype = 'n'";
    assert_eq!(superuser.value(valid).as_deref(), Some("t"));
}

#[test]
fn a_check_constraint_does_not_stand_in_for_the_columns_own_not_null() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run("create table t (tenant_id uuid check (tenant_id is not null), body text)");
    fixture.run(FILL);
    fixture.run("select tenancy.protect('t')");
    let not_null = "select attnotnull from pg_attribute where attrelid = 't'::regclass and attname = 'tenant_id'";
    assert_eq!(fixture.superuser().value(not_null).as_deref(), Some("t"));
    assert_eq!(seen_by_acme(&fixture, &app, "t"), ["acme"]);
}

#[test]
fn a_computed_tenant_column_is_protected_or_refused_but_never_half_done() {
    let (fixture, app) = fixture_with_tenants();
    for generation in ["generated always as (own::text) stored", "generated always as identity"] {
        let column_type = if generation.contains("identity") { "bigint" } else { "text" };
        fixture.run(&format!("create table t (own text, body text, tenant_id {column_type} {generation})"));
        fixture.run("insert into t (own, body) values ('acme', 'acme'), ('globex', 'globex')");
        let mut superuser = fixture.superuser();
        let before = crate::catalog(&mut superuser, "t");
        let outcome = superuser.batch_execute("select tenancy.protect('t')");
        match sqlstate(&outcome) {
            None => assert!(seen_by_acme(&fixture, &app, "t").iter().all(|body| body == "acme")),
            Some(_) => assert_eq!(crate::catalog(&mut superuser, "t"), before, "{generation}: {outcome:?}"),
        }
        superuser.run("drop table t");
    }
}

#[test]
fn multiple_inheritance_protects_a_child_once() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(&format!(
        "create table a (tenant_id uuid, body text); create table b (tenant_id uuid, extra text);
         create table t (more text) inherits (a, b); {FILL};
         select tenancy.protect('a'); select tenancy.protect('b')"
    ));
    for table in ["a", "b", "t"] {
        let again = fixture.superuser().texts(&format!("select tenancy.protect('{table}')"));
        assert!(again.is_empty(), "{table}: {again:?}");
    }
    assert_eq!(seen_by_acme(&fixture, &app, "t"), ["acme"]);
}

#[test]
fn a_referenced_table_can_be_protected_and_its_foreign_keys_go_on() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(&format!(
        "create table parent (tenant_id uuid, id integer, body text, primary key (tenant_id, id));
         create table t (tenant_id uuid, parent integer default 1, body text,
                         foreign key (tenant_id, parent) references parent);
         insert into parent select t.id, 1, t.key from tenancy.tenants t; {FILL};
         select tenancy.protect('parent'); select tenancy.protect('t')"
    ));
    let mut client = fixture.connect(&app);
    client.run("begin; select tenancy.set_tenant('acme'); insert into t (body) values ('more'); commit");
    client.run("begin; select tenancy.set_tenant('acme')");
    client.refuses("insert into t (parent, body) values (2, 'none')", "23503");
    client.run("rollback");
    assert_eq!(seen_by_acme(&fixture, &app, "t"), ["acme", "more"]);
}

#[test]
fn a_child_of_two_protected_parents_stays_protected_until_both_are_released() {
    let (fixture, app) = fixture_with_tenants();
    for (first, second) in [("a", "b"), ("b", "a")] {
        fixture.run(&format!(
            "create table a (tenant_id uuid, body text); create table b (tenant_id uuid, extra text);
             create table t (more text) inherits (a, b); create table a_too () inherits (a); create table grandchild () inherits (t);
             {FILL}; select tenancy.protect('a'); select tenancy.protect('b');
             grant select on all tables in schema public to {app}"
        ));
        let mut superuser = fixture.superuser();
        superuser.refuses("select tenancy.unprotect('t')", "55000");
        superuser.refuses("select tenancy.unprotect('grandchild')", "55000");
        superuser.run(&format!("select tenancy.unprotect('{first}')"));
        assert_eq!(seen_by_acme(&fixture, &app, "t"), ["acme"], "{first} was released");
        for table in ["t", "grandchild", second] {
            let missing = superuser.texts(&format!("select tenancy.protect('{table}', dry_run => true)"));
            assert!(missing.is_empty(), "{table} after {first} was released: {missing:?}");
        }
        let left = "select string_agg(relation::text, ' ' order by relation::text) from tenancy.protected_tables";
        let expected = if first == "a" { "b grandchild t" } else { "a a_too grandchild t" };
        assert_eq!(superuser.value(left).as_deref(), Some(expected));
        superuser.refuses("select tenancy.unprotect('t')", "55000");
        superuser.run(&format!("select tenancy.unprotect('{second}')"));
        assert_eq!(superuser.value(left), None);
        assert_eq!(seen_by_acme(&fixture, &app, "t").len(), 2, "nothing is left");
        superuser.run("drop table a, b cascade");
    }
}

#[test]
fn a_child_of_parents_that_are_protected_differently_is_refused() {
    let (fixture, _) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    superuser.run(
        "create table a (tenant_id uuid); create table b (org uuid); create table c (tenant_id uuid);
         select tenancy.protect('a'); select tenancy.protect('b', 'org');
         select tenancy.protect('c', kind => 'append_only')",
    );
    for parents in ["a, b", "b, a", "a, c", "c, a"] {
        superuser.refuses(&format!("create table t () inherits ({parents})"), "55000");
    }
    superuser.run("create table t (org uuid not null) inherits (a)");
    let outcome = superuser.batch_execute("alter table t inherit b");
    assert!(matches!(sqlstate(&outcome), Some("55000" | "42501")), "{outcome:?}");
}

#[test]
fn a_temporary_child_is_left_to_its_session() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run("create table t (tenant_id uuid not null default tenancy.current_tenant(), body text)");
    fixture.run(&format!("{FILL}; grant select on t to {app}"));
    let temporary = "set tenancy.guard_ddl = off; create temporary table own () inherits (t); reset tenancy.guard_ddl;
        insert into own values ('aaaaaaaa-0000-4000-8000-000000000001', 'mine')";
    let mut other = fixture.superuser();
    other.run(temporary);
    let mut superuser = fixture.superuser();
    superuser.run(temporary);
    superuser.run("select tenancy.protect('t')");
    let recorded = "select count(*) from tenancy.protected_tables";
    assert_eq!(superuser.value(recorded).as_deref(), Some("1"), "the parent alone");
    let again = superuser.texts("select tenancy.protect('t')");
    assert!(again.is_empty(), "{again:?}");
    assert_eq!(seen_by_acme(&fixture, &app, "t"), ["acme"]);
    for client in [&mut superuser, &mut other] {
        assert_eq!(client.texts("select body from t order by 1"), ["acme", "globex", "mine"]);
        client.run("drop table own");
    }
    superuser.run("create temporary table alone (tenant_id uuid)");
    superuser.refuses("select tenancy.protect('alone')", "0A000");
}

/// Of 2 to the power of 30 ways.
#[test]
fn however_many_ways_lead_to_a_child_it_is_one() {
    let (fixture, app) = fixture_with_tenants();
    let mut ddl = String::from(
        "create table top (tenant_id uuid, body text); create table a0 () inherits (top); create table b0 () inherits (top);",
    );
    for below in 1..=30 {
        let above = below - 1;
        for side in ["a", "b"] {
            ddl += &format!("create table {side}{below} () inherits (a{above}, b{above});");
        }
    }
    let mut superuser = fixture.superuser();
    superuser.run("set client_min_messages = warning");
    superuser.run(&ddl);
    superuser.run(&FILL.replace("into t ", "into b30 "));
    superuser.run("set statement_timeout = '60s'");
    let lines = superuser.texts("select tenancy.protect('top')");
    assert_eq!(lines.iter().filter(|line| line.contains(" FORCE ROW LEVEL SECURITY")).count(), 63);
    assert_eq!(superuser.value("select count(*) from tenancy.protected_tables").as_deref(), Some("63"));
    assert!(superuser.texts("select tenancy.protect('top')").is_empty());
    superuser.run("comment on table top is 'of many'");
    superuser.refuses("alter table a17 no force row level security", "42501");
    assert_eq!(seen_by_acme(&fixture, &app, "top"), ["acme"]);
}
