//! TRUNCATE knows nothing of row security.

use tenancy_harness::{Fixture, Session, refuses_in_savepoint, sqlstate};

use crate::Shop;

fn rows(shop: &Shop, table: &str) -> String {
    shop.fixture.superuser().value(&format!("select count(*) from {table}")).unwrap()
}

#[test]
fn who_does_not_bypass_row_security_does_not_truncate() {
    let shop = Shop::new();
    let mut owner = shop.fixture.connect(&shop.owner);
    owner.refuses("truncate orders", "42501");
    owner.run("begin; select tenancy.grant_access(current_user); select tenancy.set_tenant('acme')");
    owner.refuses("truncate orders", "42501");
    owner.run("rollback");
    shop.fixture.connect(&shop.app).refuses("truncate orders", "42501");
    assert_eq!(rows(&shop, "orders"), "2");
}

#[test]
fn who_bypasses_truncates_without_a_tenant_only() {
    let shop = Shop::new();
    let bypassing = shop.fixture.role("bypassing");
    shop.fixture.run(&format!("alter role {bypassing} bypassrls; alter table orders owner to {bypassing}"));
    for role in [bypassing.as_str(), "postgres"] {
        let mut client = shop.fixture.connect(role);
        let mut tx = client.transaction().unwrap();
        tx.run("truncate orders");
        tx.rollback().unwrap();
    }
    let mut superuser = shop.fixture.superuser();
    let mut tx = superuser.transaction().unwrap();
    tx.run("select tenancy.set_tenant('acme')");
    refuses_in_savepoint(&mut tx, "truncate orders", "42501");
    tx.run("set local session_replication_role = replica");
    refuses_in_savepoint(&mut tx, "truncate orders", "42501");
    drop(tx);
    assert_eq!(rows(&shop, "orders"), "2");
}

#[test]
fn a_procedure_or_a_late_library_does_not_hide_the_tenant() {
    let shop = Shop::new();
    shop.fixture.run(
        "create procedure empty_all() language plpgsql as 'begin truncate orders; end';
         create procedure empty_all_later() language plpgsql as
           'begin commit; perform tenancy.current_tenant(); truncate orders; end'",
    );
    let mut superuser = shop.fixture.superuser();
    superuser.run("set tenancy.tenant_id = 'acme'");
    for statement in [
        "truncate orders",
        "call empty_all()",
        "call empty_all_later()",
        "do $$ begin call empty_all(); end $$",
        "do $$ declare r record; begin for r in select 1 from orders loop truncate orders restart identity; end loop; end $$",
    ] {
        let outcome = superuser.batch_execute(statement);
        // A table that is being read is not truncated anyway.
        assert!(matches!(sqlstate(&outcome), Some("42501" | "55006")), "{statement}: {outcome:?}");
    }
    assert_eq!(rows(&shop, "orders"), "2");

    let late = Fixture::without_preload();
    late.run(
        "create table orders (tenant_id uuid); select tenancy.create_tenant('acme'); select tenancy.protect('orders');
         insert into orders select id from tenancy.tenants",
    );
    late.superuser().refuses("set tenancy.tenant_id = 'acme'; truncate orders", "42501");
    late.superuser().run("truncate orders");
}

#[test]
fn partitions_and_cascades_count() {
    let shop = Shop::new();
    let mut owner = shop.fixture.connect(&shop.owner);
    owner.run(
        "create table parts (id integer, tenant_id uuid) partition by range (id);
         create table parts_1 partition of parts default; select tenancy.protect('parts');
         create table places (id integer primary key); create table stays (tenant_id uuid, place integer references places);
         select tenancy.protect('stays')",
    );
    for statement in
        ["truncate parts", "truncate only parts_1", "truncate parts_1", "truncate places cascade", "truncate stays"]
    {
        owner.refuses(statement, "42501");
    }
    shop.fixture.run("truncate parts; truncate places cascade");
}

#[test]
fn a_changed_guard_is_put_right_by_protecting_again() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    superuser.run(
        "create function nothing() returns trigger language plpgsql as 'begin return null; end';
         set tenancy.guard_ddl = off",
    );
    for drift in [
        "drop trigger tenant_isolation_truncate on orders",
        "alter table orders disable trigger tenant_isolation_truncate",
        "alter table orders enable trigger tenant_isolation_truncate",
        "drop trigger tenant_isolation_truncate on orders; create trigger tenant_isolation_truncate after truncate on orders
           execute function nothing()",
        "create or replace trigger tenant_isolation_truncate before truncate on orders for each statement
           when (false) execute function tenancy.guard_truncate()",
    ] {
        superuser.run(drift);
        assert!(!shop.is_whole("orders"), "{drift}");
        superuser.run("select tenancy.protect('orders')");
        assert!(shop.is_whole("orders"), "{drift}");
        shop.fixture.connect(&shop.owner).refuses("truncate orders", "42501");
    }
}
