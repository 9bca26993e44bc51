//! `tenancy.on_bypass`, and how a reason is declared.

use tenancy_harness::{ACME, Session, refuses_in_savepoint, sqlstate};

use crate::Shop;

const TOUCHES: [&str; 9] = [
    "select from orders",
    "select count(*) from (select from orders limit 1) few",
    "insert into orders select 3, tenant_id, body from orders",
    "update orders set body = ''",
    "delete from orders",
    "merge into orders o using (values (1)) v(id) on o.id = v.id when matched then delete",
    "copy orders to stdout",
    "truncate orders",
    "explain analyze select from orders",
];

#[test]
fn without_a_reason_error_refuses_whatever_touches_the_table() {
    let shop = Shop::new();
    let bypassing = shop.fixture.role("bypassing");
    shop.fixture.run(&format!("alter role {bypassing} bypassrls; grant select on orders to {bypassing}"));
    let mut superuser = shop.superuser("error");
    for statement in TOUCHES {
        let error = superuser.refuses(statement, "42501");
        assert!(error.hint().is_some_and(|hint| hint.contains("tenancy.bypass")), "{statement}: {error}");
    }
    superuser.run(&format!("set role {bypassing}"));
    superuser.refuses("select from orders", "42501");
    assert_eq!(shop.observer().value("select count(*) from orders").as_deref(), Some("2"));
}

#[test]
fn a_reason_holds_for_its_transaction() {
    let shop = Shop::new();
    let mut superuser = shop.superuser("error");
    for statement in TOUCHES.into_iter().filter(|statement| !statement.starts_with("copy")) {
        let mut tx = superuser.transaction().unwrap();
        tx.run("select tenancy.bypass('a test')");
        tx.run(statement);
        tx.rollback().unwrap();
        superuser.refuses("select from orders", "42501");
    }
    // A savepoint's rollback takes nothing away that was recorded.
    let mut tx = superuser.transaction().unwrap();
    tx.run("savepoint a; select tenancy.bypass('a test'); rollback to a");
    tx.run("select from orders");
}

#[test]
fn allow_and_log_let_it_pass() {
    let shop = Shop::new();
    for mode in ["allow", "log"] {
        let mut superuser = shop.superuser(mode);
        assert_eq!(superuser.value("select count(*) from orders").as_deref(), Some("2"), "{mode}");
    }
}

#[test]
fn row_security_off_is_a_declaration() {
    let shop = Shop::new();
    let mut superuser = shop.superuser("error");
    superuser.run("set row_security = off");
    assert_eq!(superuser.value("select count(*) from orders").as_deref(), Some("2"));
    shop.await_entries("bypass.declared", "1");
    // It gives nothing to a role that row security binds.
    let mut app = shop.fixture.connect(&shop.app);
    app.run("set row_security = off");
    app.refuses("select from orders", "42501");
}

#[test]
fn only_a_superuser_chooses() {
    let shop = Shop::new();
    let mut app = shop.fixture.connect(&shop.app);
    app.refuses("set tenancy.on_bypass = allow", "42501");
    app.refuses(&format!("alter role {} set tenancy.on_bypass = allow", shop.app), "42501");
    let dba = shop.fixture.role("dba");
    shop.fixture.run(&format!("alter role {dba} superuser; alter role {dba} set tenancy.on_bypass = error"));
    shop.fixture.connect(&dba).refuses("select from orders", "42501");
}

#[test]
fn who_has_nothing_to_bypass_declares_nothing() {
    let shop = Shop::new();
    let mut app = shop.fixture.connect(&shop.app);
    app.refuses("select tenancy.bypass('curious')", "42501");
    let mut superuser = shop.superuser("error");
    for reason in ["null", "''", "'  '", "e'a\\nb'", "repeat('x', 1001)"] {
        superuser.refuses(&format!("select tenancy.bypass({reason})"), "22023");
    }
    assert_eq!(shop.entries("bypass.declared"), "0");
}

/// Views and functions with the rights of a superuser are a way round row security that an application may find.
#[test]
fn what_a_superuser_lends_counts_as_his() {
    let shop = Shop::new();
    shop.fixture.run(&format!(
        "create view lent as select * from orders;
         create function peek() returns bigint language sql security definer as 'select count(*) from public.orders';
         create function invoices() returns bigint language sql security definer
             as 'select tenancy.bypass(''invoices''); select count(*) from public.orders';
         grant select on lent to {app};
         alter role {app} set tenancy.on_bypass = error",
        app = shop.app
    ));
    let mut app = shop.fixture.connect(&shop.app);
    let mut tx = app.transaction().unwrap();
    tx.run(&format!("select tenancy.set_tenant('{}')", ACME.key));
    refuses_in_savepoint(&mut tx, "select from lent", "42501");
    refuses_in_savepoint(&mut tx, "select peek()", "42501");
    assert_eq!(tx.value("select count(*) from orders").as_deref(), Some("1"));
    assert_eq!(tx.value("select invoices()").as_deref(), Some("2"));
    tx.commit().unwrap();
    app.refuses("select peek()", "42501");
}

#[test]
fn a_declaration_of_a_bypassing_role_covers_what_it_uses() {
    let shop = Shop::new();
    let bypassing = shop.fixture.role("bypassing");
    shop.fixture.run(&format!(
        "create view lent as select * from orders; grant select on lent to {bypassing};
         alter role {bypassing} bypassrls; alter role {bypassing} set tenancy.on_bypass = error"
    ));
    let mut client = shop.fixture.connect(&bypassing);
    client.refuses("select from lent", "42501");
    client.run("begin; select tenancy.bypass('audit'); select from lent; commit");
}

#[test]
fn what_is_protected_may_change_at_any_time() {
    let shop = Shop::new();
    let mut superuser = shop.superuser("error");
    let mut other = shop.superuser("error");
    let table = "create table later (tenant_id uuid not null); create table part (like later)";
    superuser.run(table);
    for client in [&mut superuser, &mut other] {
        client.run("select from later; select from part");
    }
    let mut tx = superuser.transaction().unwrap();
    tx.run("select tenancy.protect('later')");
    refuses_in_savepoint(&mut tx, "select from later", "42501");
    tx.rollback().unwrap();
    superuser.run("select from later; select tenancy.protect('later'); alter table part inherit later");
    for client in [&mut superuser, &mut other] {
        client.refuses("select from later", "42501");
        client.refuses("select from part", "42501");
    }
    superuser.run("select tenancy.unprotect('later')");
    for client in [&mut superuser, &mut other] {
        client.run("select from later");
        client.run("select from part");
    }
}

#[test]
fn without_the_extension_nothing_is_protected() {
    let shop = Shop::new();
    let [mut superuser, mut other] = [shop.superuser("error"), shop.superuser("error")];
    for _ in 0..2 {
        for client in [&mut superuser, &mut other] {
            client.refuses("select from orders", "42501");
        }
        // An entry of the event log may just be written: an INSERT locks a table before the sequence of its identity, and DROP
        // the other way round.
        let dropped = loop {
            let dropped = shop.fixture.superuser().batch_execute("drop extension pg_tenancy cascade");
            if sqlstate(&dropped) != Some("40P01") {
                break dropped;
            }
        };
        dropped.unwrap();
        for client in [&mut superuser, &mut other] {
            client.run("select from orders");
        }
        shop.fixture.run("create extension pg_tenancy");
        for client in [&mut superuser, &mut other] {
            client.run("select from orders");
        }
        shop.fixture.run("select tenancy.protect('orders')");
    }
}

#[test]
fn a_role_may_become_a_bypassing_one_at_any_time() {
    let shop = Shop::new();
    shop.fixture.run(&format!("alter role {} set tenancy.on_bypass = error", shop.app));
    let mut app = shop.fixture.connect(&shop.app);
    for _ in 0..2 {
        app.run("select from orders");
        shop.fixture.run(&format!("alter role {} bypassrls", shop.app));
        app.refuses("select from orders", "42501");
        shop.fixture.run(&format!("alter role {} nobypassrls", shop.app));
    }
}
