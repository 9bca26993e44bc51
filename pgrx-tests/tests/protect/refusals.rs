//! What cannot be protected, with the SQLSTATE for it, and nothing half-done.

use tenancy_harness::{Session, sqlstate};

use crate::{catalog, fixture_with_tenants, orders};

#[test]
fn relations_that_have_no_row_security_are_refused() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    let mut superuser = fixture.superuser();
    superuser.run(
        "create view a_view as select * from orders;
         create materialized view a_matview as select * from orders;
         create foreign data wrapper nowhere; create server nowhere foreign data wrapper nowhere;
         create foreign table a_foreign_table (tenant_id uuid) server nowhere;
         create temporary table a_temporary_table (tenant_id uuid);
         create sequence a_sequence; create type a_type as (tenant_id uuid)",
    );
    for relation in [
        "a_view",
        "a_matview",
        "a_foreign_table",
        "a_temporary_table",
        "a_sequence",
        "a_type",
        "orders_pkey",
        "pg_catalog.pg_class",
        "tenancy.tenants",
    ] {
        for call in [
            format!("select tenancy.protect('{relation}')"),
            format!("select tenancy.protect('{relation}', dry_run => true)"),
        ] {
            let outcome = superuser.batch_execute(&call);
            assert!(matches!(sqlstate(&outcome), Some("0A000" | "42809")), "{call}: {outcome:?}");
        }
    }
}

#[test]
fn relations_that_are_no_tables_cannot_be_classified() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    let mut superuser = fixture.superuser();
    superuser.run("create view a_view as select * from orders");
    for relation in ["a_view", "pg_catalog.pg_class"] {
        let outcome = superuser.batch_execute(&format!("select tenancy.classify('{relation}', 'global')"));
        assert!(matches!(sqlstate(&outcome), Some("0A000" | "42809")), "{relation}: {outcome:?}");
    }
}

#[test]
fn a_table_with_a_foreign_table_among_its_children_is_refused_whole() {
    let (fixture, _) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    superuser.run(
        "create foreign data wrapper nowhere; create server nowhere foreign data wrapper nowhere;
         create table parts (id integer, tenant_id uuid) partition by range (id);
         create table parts_1 partition of parts for values from (0) to (10);
         create foreign table parts_2 partition of parts for values from (10) to (20) server nowhere",
    );
    let before = catalog(&mut superuser, "parts");
    let outcome = superuser.batch_execute("select tenancy.protect('parts')");
    assert!(matches!(sqlstate(&outcome), Some("0A000" | "42809")), "{outcome:?}");
    assert_eq!(catalog(&mut superuser, "parts"), before);
}

#[test]
fn a_missing_column_or_table_is_named_as_missing() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    let mut superuser = fixture.superuser();
    superuser.run("alter table orders add column gone uuid; alter table orders drop column gone");
    for column in ["nowhere", "TENANT_ID", "gone", "........pg.dropped.4........"] {
        superuser.refuses(&format!("select tenancy.protect('orders', '{column}')"), "42703");
    }
    superuser.refuses("select tenancy.protect('nowhere')", "42P01");
    superuser.refuses("select tenancy.protect('orders', dry_run => true, tenant_column => 'nowhere')", "42703");
    let policies = "select count(*) from pg_policies where tablename = 'orders'";
    assert_eq!(superuser.value(policies).unwrap(), "0");
}

#[test]
fn a_relation_that_does_not_exist_any_more_is_refused() {
    let (fixture, _) = fixture_with_tenants();
    let outcome = fixture.superuser().batch_execute("select tenancy.protect(999999::regclass)");
    assert!(matches!(sqlstate(&outcome), Some("42P01" | "42704")), "{outcome:?}");
}

#[test]
fn column_types_that_compare_fuzzily_or_hold_no_tenant_are_refused() {
    let (fixture, _) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    superuser.run("create domain padded as char(8); create domain document as jsonb; create type mood as enum ('ok')");
    for column_type in [
        "jsonb",
        "json",
        "char(8)",
        "bpchar",
        "\"char\"",
        "name",
        "numeric",
        "real",
        "double precision",
        "boolean",
        "date",
        "bytea",
        "text[]",
        "uuid[]",
        "int4range",
        "oid",
        "padded",
        "document",
        "mood",
    ] {
        superuser.run(&format!("create table t (id integer, tenant_id {column_type})"));
        let before = catalog(&mut superuser, "t");
        superuser.refuses("select tenancy.protect('t')", "42804");
        superuser.refuses("select tenancy.protect('t', dry_run => true)", "42804");
        assert_eq!(catalog(&mut superuser, "t"), before, "{column_type}");
        superuser.run("drop table t");
    }
}

#[test]
fn citext_is_refused() {
    let (fixture, _) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    let available = "select count(*) from pg_available_extensions where name = 'citext'";
    if superuser.value(available).unwrap() == "0" {
        eprintln!("skipped: this server comes without citext");
        return;
    }
    superuser.run(
        "create extension citext; create domain folded as citext;
         create table a (tenant_id citext); create table b (tenant_id folded)",
    );
    for table in ["a", "b"] {
        superuser.refuses(&format!("select tenancy.protect('{table}')"), "42804");
    }
}

#[test]
fn a_nondeterministic_collation_is_refused() {
    let (fixture, _) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    let made = superuser
        .batch_execute("create collation fuzzy (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
    if sqlstate(&made) == Some("0A000") {
        eprintln!("skipped: this server is built without ICU");
        return;
    }
    made.unwrap();
    superuser.run(
        "create domain vague as text collate fuzzy;
         create table a (tenant_id text collate fuzzy); create table b (tenant_id varchar(20) collate fuzzy);
         create table c (tenant_id vague); create table d (tenant_id text collate \"C\");
         create table e (tenant_id text) partition by range (tenant_id)",
    );
    for table in ["a", "b", "c"] {
        superuser.refuses(&format!("select tenancy.protect('{table}')"), "42804");
    }
    for table in ["d", "e"] {
        superuser.run(&format!("select tenancy.protect('{table}')"));
    }
}

#[test]
fn rows_without_owner_stop_the_whole_thing() {
    let (fixture, app) = fixture_with_tenants();
    orders(&fixture);
    fixture.run(
        "insert into orders values (3, null, 'nobody');
         create table parts (id integer, tenant_id uuid) partition by range (id);
         create table parts_1 partition of parts for values from (0) to (10);
         create table parts_2 partition of parts default; insert into parts values (20, null);
         create table parent (tenant_id uuid); create table child () inherits (parent);
         insert into child values (null)",
    );
    let mut superuser = fixture.superuser();
    for table in ["orders", "parts", "parent"] {
        for kind in ["tenant", "append_only"] {
            let before = catalog(&mut superuser, table);
            superuser.refuses(&format!("select tenancy.protect('{table}', kind => '{kind}')"), "23502");
            assert_eq!(catalog(&mut superuser, table), before, "{table}");
        }
    }
    let listed = "select count(*) from tenancy.protected_tables";
    assert_eq!(superuser.value(listed).unwrap(), "0");
    assert_eq!(fixture.connect(&app).texts("select body from orders").len(), 3);
}

#[test]
fn null_arguments_are_refused_or_do_nothing() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    let mut superuser = fixture.superuser();
    let before = catalog(&mut superuser, "orders");
    for arguments in [
        "null",
        "'orders', null",
        "'orders', kind => null",
        "'orders', create_index => null",
        "'orders', dry_run => null",
    ] {
        let outcome = superuser.batch_execute(&format!("begin; select tenancy.protect({arguments}); rollback"));
        if outcome.is_err() {
            assert!(matches!(sqlstate(&outcome), Some("22023" | "22004")), "{arguments}: {outcome:?}");
            superuser.run("rollback");
        }
    }
    assert_eq!(catalog(&mut superuser, "orders"), before);
}

#[test]
fn unprotecting_what_is_not_protected_harms_nothing() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    fixture.run("create policy mine on orders using (true); alter table orders enable row level security");
    let mut superuser = fixture.superuser();
    let before = catalog(&mut superuser, "orders");
    let outcome = superuser.batch_execute("select tenancy.unprotect('orders')");
    assert!(matches!(sqlstate(&outcome), None | Some("55000" | "42704")), "{outcome:?}");
    assert_eq!(catalog(&mut superuser, "orders"), before);
}

#[test]
fn the_part_that_holds_rows_without_tenant_is_named_and_no_value_is() {
    let (fixture, _) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    superuser.run(
        "create schema \"It's\";
         create table parts (id integer, tenant_id uuid, body text) partition by range (id);
         create table parts_0 partition of parts for values from (0) to (10);
         create table parts_1 partition of parts for values from (10) to (20) partition by range (id);
         create table \"It's\".\"Part 1\" partition of parts_1 for values from (10) to (15);
         create table parts_1_2 partition of parts_1 for values from (15) to (20);
         create table parent (tenant_id uuid, body text); create table child () inherits (parent);
         create table grandchild () inherits (child); create table sibling () inherits (parent)",
    );
    for (root, holder, insert) in [
        ("parts", "public.parts_0", "insert into parts values (1, null, 'secret')"),
        ("parts", "\"It's\".\"Part 1\"", "insert into parts values (12, null, 'secret')"),
        ("parts", "public.parts_1_2", "insert into parts values (17, null, 'secret')"),
        ("parts_1", "public.parts_1_2", "insert into parts values (17, null, 'secret')"),
        ("parent", "public.parent", "insert into parent values (null, 'secret')"),
        ("parent", "public.child", "insert into child values (null, 'secret')"),
        ("parent", "public.grandchild", "insert into grandchild values (null, 'secret')"),
        ("parent", "public.sibling", "insert into sibling values (null, 'secret')"),
        ("grandchild", "public.grandchild", "insert into grandchild values (null, 'secret')"),
    ] {
        superuser.run(insert);
        let before = catalog(&mut superuser, root);
        let error = superuser.refuses(&format!("select tenancy.protect('{root}')"), "23502");
        assert_eq!(error.message(), format!("column \"tenant_id\" of relation {holder} contains null values"));
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        assert!(error.hint().is_some(), "{error:?}");
        assert_eq!(catalog(&mut superuser, root), before, "nothing is half-done");
        superuser.run("delete from parts; delete from parent");
    }
    superuser.run("select tenancy.protect('parts'), tenancy.protect('parent')");
}
