//! Bytes: what a row weighs, whatever way it is stored.

use tenancy_harness::{ACME, Session};

use crate::Shop;

fn shop() -> Shop {
    let shop = Shop::with("create table orders (id integer, tenant_id uuid not null, body text, flag boolean)");
    shop.fixture
        .run("select tenancy.create_resource('storage', 'bytes'); select tenancy.attach_quota('orders', 'storage')");
    shop
}

#[test]
fn a_row_weighs_its_header_and_its_values() {
    let shop = shop();
    let mut acme = shop.acme();
    acme.run("insert into orders (id, body, flag) values (1, 'four', true)");
    assert_eq!(shop.used("acme", "storage"), 24 + 4 + 16 + 4 + 1);
    acme.run("update orders set body = 'fourfour', id = null");
    assert_eq!(shop.used("acme", "storage"), 24 + 16 + 8 + 1);
    acme.run("delete from orders");
    assert_eq!(shop.used("acme", "storage"), 0);
}

#[test]
fn compression_and_storage_out_of_line_change_nothing() {
    let shop = shop();
    let mut acme = shop.acme();
    acme.run("insert into orders (id, body) select n, repeat('x', 100000) from generate_series(1, 3) n");
    acme.run("insert into orders (id, body) select 10 + n, string_agg(md5(i::text), '') from generate_series(1, 3) n, generate_series(1, 1000) i group by n");
    let used = shop.used("acme", "storage");
    assert_eq!(used, 3 * (24 + 4 + 16 + 100_000) + 3 * (24 + 4 + 16 + 32_000));
    shop.is_exact();
    shop.fixture.run("vacuum full orders");
    shop.is_exact();
    acme.run("update orders set id = id + 1; update orders set body = substr(body, 1, 10)");
    assert_eq!(shop.used("acme", "storage"), 6 * (24 + 4 + 16 + 10));
    acme.run("delete from orders");
    assert_eq!(shop.used("acme", "storage"), 0);
    shop.is_exact();
}

#[test]
fn an_update_that_adds_too_much_is_refused() {
    let shop = shop();
    shop.fixture.run("select tenancy.set_quota('acme', 'storage', 1000)");
    let mut acme = shop.acme();
    acme.run("insert into orders (body) values (repeat('x', 500))");
    let error = acme.refuses("update orders set body = repeat('x', 961)", "53400");
    assert_eq!(error.detail(), Some("Resource \"storage\": used 540, limit 1000, requested 461."));
    acme.run("update orders set body = repeat('x', 960)");
    shop.is_exact();
}

#[test]
fn columns_that_come_later_and_partitions_of_another_shape_weigh_the_same() {
    let shop = Shop::with(
        "create table orders (id integer, tenant_id uuid not null, body text) partition by list (tenant_id);
         create table other (gone bigint, body text, extra integer, tenant_id uuid not null, id integer);
         alter table other drop column gone, drop column extra;
         alter table orders attach partition other default",
    );
    shop.fixture.run(&format!(
        "select tenancy.create_resource('storage', 'bytes'); select tenancy.attach_quota('orders', 'storage');
         create table of_acme partition of orders for values in ('{}')",
        ACME.id
    ));
    let mut acme = shop.acme();
    acme.run("insert into orders (id, body) values (1, 'body'), (2, 'more')");
    assert_eq!(shop.used("acme", "storage"), 2 * (24 + 4 + 16 + 4));
    shop.is_exact();
    shop.fixture.run(
        "insert into other (id, tenant_id, body) select 1, id, 'x' from tenancy.tenants where key = 'globex';
         update orders set tenant_id = (select id from tenancy.tenants where key = 'globex') where id = 2",
    );
    assert_eq!(shop.used("globex", "storage"), 2 * (24 + 4 + 16) + 1 + 4);
    shop.is_exact();
    shop.fixture.run("delete from orders; select 1");
    assert_eq!(shop.used("globex", "storage") + shop.used("acme", "storage"), 0);
}
