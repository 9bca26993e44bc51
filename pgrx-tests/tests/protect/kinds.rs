//! Kinds of table, moving between them, and tables that have no tenant.

use tenancy_harness::{ACME, GLOBEX, Session, refuses_in_savepoint, sqlstate};

use crate::{fixture_with_tenants, orders, seen_by_acme};

fn policies(session: &mut impl Session, table: &str) -> String {
    let query =
        format!("select string_agg(policyname, ' ' order by policyname) from pg_policies where tablename = '{table}'");
    session.value(&query).unwrap()
}

#[test]
fn a_table_moves_between_the_kinds_and_keeps_none_of_the_old_ones_policies() {
    let (fixture, app) = fixture_with_tenants();
    orders(&fixture);
    let mut superuser = fixture.superuser();
    superuser.run("select tenancy.protect('orders')");
    let of_tenant = policies(&mut superuser, "orders");
    assert_eq!(of_tenant, "tenant_isolation tenant_isolation_floor");

    superuser.run("select tenancy.protect('orders', kind => 'append_only')");
    let mut client = fixture.connect(&app);
    client.run("begin; select tenancy.set_tenant('acme'); delete from orders; update orders set body = 'x'; commit");
    assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme"]);

    superuser.run("select tenancy.protect('orders', kind => 'shared')");
    superuser.run("alter table orders alter tenant_id drop not null; insert into orders values (3, null, 'common')");
    assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme", "common"]);
    client.run("begin; select tenancy.set_tenant('acme'); delete from orders; rollback");

    superuser.refuses("select tenancy.protect('orders', kind => 'tenant')", "23502");
    assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme", "common"]);
    superuser.run("delete from orders where tenant_id is null; select tenancy.protect('orders', kind => 'tenant')");
    assert_eq!(policies(&mut superuser, "orders"), of_tenant);
    client.run("begin; select tenancy.set_tenant('acme')");
    assert_eq!(client.affected("delete from orders"), 1);
}

#[test]
fn a_table_changes_its_tenant_column() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(&format!(
        "create table t (body text, tenant_id uuid, org text);
         insert into t values ('by id', '{0}', 'globex'), ('by key', '{1}', 'acme');
         select tenancy.protect('t')",
        ACME.id, GLOBEX.id
    ));
    assert_eq!(seen_by_acme(&fixture, &app, "t"), ["by id"]);

    fixture.run("select tenancy.protect('t', 'org')");

    assert_eq!(seen_by_acme(&fixture, &app, "t"), ["by key"]);
    let mut superuser = fixture.superuser();
    assert_eq!(policies(&mut superuser, "t"), "tenant_isolation tenant_isolation_floor");
    assert!(superuser.texts("select tenancy.protect('t', 'org')").is_empty());
    let column = superuser.value("select \"column\" from tenancy.protected_tables where relation::text = 't'");
    assert_eq!(column.as_deref(), Some("org"));
}

#[test]
fn a_shared_table_may_hold_rows_without_owner_from_the_beginning() {
    let (fixture, app) = fixture_with_tenants();
    orders(&fixture);
    fixture.run("insert into orders values (3, null, 'common'); select tenancy.protect('orders', kind => 'shared')");
    assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme", "common"]);
    fixture.run("insert into orders values (4, null, 'later')");
    assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme", "common", "later"]);
}

#[test]
fn the_floor_of_shared_and_append_only_tables_holds_against_other_permissive_policies() {
    let (fixture, app) = fixture_with_tenants();
    for kind in ["shared", "append_only"] {
        fixture.run(&format!(
            "create table {kind} (id integer, tenant_id uuid, body text);
             insert into {kind} values (1, '{}', 'acme'), (2, '{}', 'globex');
             select tenancy.protect('{kind}', kind => '{kind}');
             create policy debugging on {kind} using (true) with check (true)",
            ACME.id, GLOBEX.id
        ));
        assert_eq!(seen_by_acme(&fixture, &app, kind), ["acme"], "{kind}");
        let mut client = fixture.connect(&app);
        assert_eq!(client.texts(&format!("select body from {kind}")).len(), 0, "{kind}");
        let mut tx = client.transaction().unwrap();
        tx.run("select tenancy.set_tenant('acme')");
        for foreign in [format!("'{}'", GLOBEX.id), "null".to_owned()] {
            refuses_in_savepoint(&mut tx, &format!("insert into {kind} values (3, {foreign}, 'x')"), "42501");
        }
    }
    fixture.run("insert into shared values (5, null, 'common')");
    let mut client = fixture.connect(&app);
    client.run("begin; select tenancy.set_tenant('acme')");
    for statement in
        ["update append_only set body = 'x'", "delete from append_only", "delete from shared where tenant_id is null"]
    {
        assert_eq!(client.affected(statement), 0, "{statement}");
    }
}

#[test]
fn an_unknown_kind_is_refused() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    let mut superuser = fixture.superuser();
    for kind in ["nonsense", "TENANT", ""] {
        superuser.refuses(&format!("select tenancy.protect('orders', kind => '{kind}')"), "22023");
        superuser.refuses(&format!("select tenancy.classify('orders', '{kind}')"), "22023");
    }
    assert_eq!(superuser.value("select count(*) from pg_policies where tablename = 'orders'").unwrap(), "0");
}

#[test]
fn a_global_table_stays_open_and_can_be_protected_later() {
    let (fixture, app) = fixture_with_tenants();
    orders(&fixture);
    fixture.run("select tenancy.classify('orders', 'global'); select tenancy.classify('orders', 'global')");
    assert_eq!(fixture.connect(&app).texts("select body from orders").len(), 2);

    fixture.run("select tenancy.protect('orders')");

    assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme"]);
    let kind = "select kind from tenancy.protected_tables where relation::text = 'orders'";
    assert_eq!(fixture.superuser().texts(kind), ["tenant"]);
}

#[test]
fn a_protected_table_is_not_opened_by_classifying_it() {
    let (fixture, app) = fixture_with_tenants();
    orders(&fixture);
    fixture.run("select tenancy.protect('orders')");
    // Refused or merely recorded, but the rows stay apart until somebody says unprotect.
    let outcome = fixture.superuser().batch_execute("select tenancy.classify('orders', 'global')");
    assert!(matches!(sqlstate(&outcome), None | Some("55000")), "{outcome:?}");
    assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme"]);
}
