//! Attaching tables, and what becomes of them later.

use tenancy_harness::{ACME, GLOBEX, Session};

use crate::Shop;

#[test]
fn rows_that_are_there_count_and_readers_go_on() {
    let shop = Shop::new();
    shop.fixture.run(&format!(
        "create table old (tenant_id uuid not null); select tenancy.protect('old');
         insert into old select '{}' from generate_series(1, 7); insert into old select '{}' from generate_series(1, 2)",
        ACME.id, GLOBEX.id
    ));
    let mut superuser = shop.fixture.superuser();
    let mut tx = superuser.transaction().unwrap();
    tx.run("select tenancy.attach_quota('old', 'orders')");
    let mut reader = shop.acme();
    reader.run("set lock_timeout = '100ms'");
    assert_eq!(reader.texts("select 1 from old").len(), 7);
    reader.refuses("insert into old default values", "55P03");
    tx.commit().unwrap();
    assert_eq!((shop.used("acme", "orders"), shop.used("globex", "orders")), (7, 2));
    shop.is_exact();
    let quota = "select quota::text from tenancy.protected_tables where relation = 'old'::regclass";
    assert_eq!(superuser.value(quota).as_deref(), Some("{orders}"));
    superuser.refuses("select tenancy.attach_quota('old', 'orders')", "42710");
    superuser.run("select tenancy.detach_quota('old', 'orders')");
    assert_eq!(shop.used("acme", "orders"), 0);
    assert_eq!(superuser.value(quota).as_deref(), Some("{}"));
    reader.run("insert into old default values");
    assert_eq!(shop.used("acme", "orders"), 0);
    superuser.refuses("select tenancy.detach_quota('old', 'orders')", "55000");
}

#[test]
fn what_cannot_count_is_refused() {
    let shop = Shop::new();
    shop.fixture.run(
        "create table open (tenant_id uuid); select tenancy.create_resource('calls', 'counter');
         create table strangers (tenant_id uuid); select tenancy.protect('strangers');
         insert into strangers values (gen_random_uuid()); create view v as select 1",
    );
    let mut superuser = shop.fixture.superuser();
    superuser.refuses("select tenancy.attach_quota('open', 'orders')", "55000");
    superuser.refuses("select tenancy.attach_quota('orders', 'none')", "42704");
    superuser.refuses("select tenancy.attach_quota('orders', 'calls')", "22023");
    superuser.refuses("select tenancy.attach_quota('strangers', 'orders')", "23503");
    superuser.refuses("select tenancy.attach_quota('v', 'orders')", "42809");
    superuser.refuses("select tenancy.attach_quota(null, 'orders')", "22023");
    let other = shop.fixture.role("other");
    shop.fixture.run(&format!("select tenancy.grant_admin('{other}')"));
    shop.fixture.connect(&other).refuses("select tenancy.attach_quota('orders', 'orders')", "42501");
    shop.acme().refuses("select tenancy.attach_quota('orders', 'orders')", "42501");
}

fn partitioned() -> Shop {
    Shop::with(
        "create table orders (id integer, tenant_id uuid not null, body text) partition by range (id);
         create table orders_0 partition of orders for values from (0) to (100)",
    )
}

#[test]
fn partitions_count_whichever_way_they_are_written_to() {
    let shop = partitioned();
    shop.fixture.run(&format!(
        "create table orders_1 partition of orders for values from (100) to (200);
         create table orders_2 (id integer, tenant_id uuid not null, body text);
         insert into orders_2 select 200 + n, '{}' from generate_series(1, 4) n;
         alter table orders attach partition orders_2 for values from (200) to (300)",
        ACME.id
    ));
    assert_eq!(shop.used("acme", "orders"), 4);
    let mut acme = shop.acme();
    acme.run("insert into orders (id) values (1), (101), (250)");
    shop.fixture.run(&format!("insert into orders_1 (id, tenant_id) values (102, '{}')", ACME.id));
    assert_eq!(shop.used("acme", "orders"), 8);
    acme.run("update orders set id = id + 100 where id = 1");
    assert_eq!(shop.used("acme", "orders"), 8);
    shop.is_exact();
    shop.fixture.run("truncate orders_1");
    assert_eq!(shop.used("acme", "orders"), 5);
    shop.fixture.run("drop table orders_2");
    assert_eq!(shop.used("acme", "orders"), 0);
    shop.is_exact();
}

#[test]
fn what_is_detached_goes_on_counting_until_it_is_dropped() {
    let shop = partitioned();
    let mut acme = shop.acme();
    acme.run("insert into orders (id) values (1), (2)");
    shop.fixture.run("alter table orders detach partition orders_0");
    shop.fixture.run(&format!("insert into orders_0 (id, tenant_id) values (3, '{}')", ACME.id));
    assert_eq!(shop.used("acme", "orders"), 3);
    shop.is_exact();
    shop.fixture.run("create schema old; alter table orders_0 set schema old; drop schema old cascade");
    assert_eq!(shop.used("acme", "orders"), 0);
    shop.is_exact();
}

#[test]
fn a_part_is_not_detached_alone() {
    let shop = partitioned();
    shop.fixture.superuser().refuses("select tenancy.detach_quota('orders_0', 'orders')", "55000");
}

#[test]
fn a_table_counts_for_several_resources() {
    let shop = Shop::new();
    shop.fixture.run(
        "select tenancy.create_resource('all', 'rows'); select tenancy.attach_quota('orders', 'all');
         create table lines (tenant_id uuid not null); select tenancy.protect('lines');
         select tenancy.attach_quota('lines', 'all'); select tenancy.set_quota('acme', 'all', 4)",
    );
    let mut acme = shop.acme();
    acme.run("insert into orders (body) values ('a'), ('b'); insert into lines default values");
    assert_eq!((shop.used("acme", "orders"), shop.used("acme", "all")), (2, 3));
    acme.refuses("insert into orders (body) values ('a'), ('b')", "53400");
    assert_eq!((shop.used("acme", "orders"), shop.used("acme", "all")), (2, 3));
    shop.fixture.run("select tenancy.detach_quota('orders', 'all')");
    acme.run("insert into orders (body) values ('a'), ('b')");
    assert_eq!((shop.used("acme", "orders"), shop.used("acme", "all")), (4, 1));
    shop.is_exact();
}

#[test]
fn a_recount_mends_what_was_written_past_the_triggers() {
    let shop = Shop::new();
    let mut acme = shop.acme();
    acme.run("insert into orders (body) values ('a'), ('b')");
    shop.fixture.run(&format!(
        "set tenancy.guard_ddl = off;
         alter table orders disable trigger tenancy_quota_insert; insert into orders (tenant_id) values ('{}');
         alter table orders enable always trigger tenancy_quota_insert",
        ACME.id
    ));
    assert_eq!(shop.used("acme", "orders"), 2);
    let mut superuser = shop.fixture.superuser();
    let recounted = superuser.texts("select format('%s %s %s', resource, was, now) from tenancy.recount('orders')");
    assert_eq!(recounted, ["orders 2 3"]);
    assert_eq!(shop.used("acme", "orders"), 3);
    superuser.refuses("select tenancy.recount('none')", "42704");
}
