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

#[test]
fn ddl_that_changes_what_rows_weigh_counts_them_anew() {
    let shop = shop();
    let mut acme = shop.acme();
    acme.run("insert into orders (id, body) select n, 'four' from generate_series(1, 10) n");
    let row = 24 + 4 + 16 + 4;
    assert_eq!(shop.used("acme", "storage"), 10 * row);
    for (ddl, weight) in [
        ("alter table orders add extra bigint", row),
        ("alter table orders add filled bigint default 7", row + 8),
        ("alter table orders add random integer default (random() * 10)::integer", row + 12),
        ("alter table orders drop filled", row + 4),
        ("alter table orders alter id type bigint", row + 8),
        ("alter table orders alter body type varchar(20)", row + 8),
        ("alter table orders alter body type text using body || body", row + 12),
        ("alter table orders add computed text generated always as (body || '!') stored", row + 12 + 9),
        ("create domain mood as text; alter table orders add m mood default 'abc'", row + 12 + 9 + 3),
        ("drop domain mood cascade", row + 12 + 9),
        ("alter table orders rename body to content", row + 12 + 9),
    ] {
        shop.fixture.run(ddl);
        assert_eq!(shop.used("acme", "storage"), 10 * weight, "{ddl}");
        assert_eq!(shop.used("acme", "orders"), 10, "{ddl}");
    }
    shop.is_exact();
    // With what the transaction itself has done before, and when it is rolled back.
    let mut superuser = shop.fixture.superuser();
    superuser.run("begin; delete from orders where id <= 5; alter table orders drop extra, drop random; rollback");
    assert_eq!(shop.used("acme", "storage"), 10 * (row + 12 + 9));
    superuser.run("begin; delete from orders where id <= 5; alter table orders drop computed; commit");
    assert_eq!(shop.used("acme", "storage"), 5 * (row + 12));
    shop.is_exact();
}

#[test]
fn ddl_on_a_parent_counts_its_parts_anew_beside_other_tables() {
    let shop = Shop::with(
        "create table orders (id integer, tenant_id uuid not null, body text) partition by list (id);
         create table orders_1 partition of orders for values in (1); create table orders_rest partition of orders default",
    );
    shop.fixture.run(
        "create table others (tenant_id uuid not null, body text); select tenancy.protect('others');
         select tenancy.create_resource('storage', 'bytes');
         select tenancy.attach_quota('orders', 'storage'), tenancy.attach_quota('others', 'storage')",
    );
    let mut acme = shop.acme();
    acme.run("insert into orders (id, body) values (1, 'ab'), (2, 'cd'); insert into others (body) values ('abc')");
    let used = |id: i64| 2 * (24 + id + 16 + 2) + 24 + 16 + 3;
    assert_eq!(shop.used("acme", "storage"), used(4));
    // Others write meanwhile, and are neither counted twice nor kept waiting.
    let mut writer = shop.acme();
    writer.run("begin; insert into others (body) values ('x')");
    acme.run("begin; insert into others (body) values ('y'); commit");
    writer.run("commit");
    shop.fixture.run("alter table orders add more integer default 1");
    assert_eq!(shop.used("acme", "storage"), used(8) + 2 * (24 + 16 + 1));
    shop.is_exact();
}
