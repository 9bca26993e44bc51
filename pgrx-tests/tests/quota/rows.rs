//! Rows: every way to write them.

use tenancy_harness::{ACME, FAMILIES, GLOBEX, Session, World, refuses_in_savepoint};

use crate::Shop;

#[test]
fn an_insert_beyond_the_limit_is_refused_with_the_figures() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 3, warn_at => null)");
    let mut acme = shop.acme();
    acme.run("insert into orders (body) values ('a'), ('b')");
    let error = acme.refuses("insert into orders (body) values ('c'), ('d')", "53400");
    assert_eq!(error.detail(), Some("Resource \"orders\": used 2, limit 3, requested 2."));
    assert!(error.hint().is_some());
    acme.run("insert into orders (body) values ('c')");
    acme.refuses("insert into orders (body) values ('d')", "53400");
    acme.run("delete from orders where body = 'a'; insert into orders (body) values ('d')");
    assert_eq!(shop.used("acme", "orders"), 3);
    // Another tenant has its own.
    shop.fixture.run(&format!("insert into orders (tenant_id) select '{}' from generate_series(1, 100)", GLOBEX.id));
    assert_eq!(shop.used("globex", "orders"), 100);
    shop.is_exact();
}

#[test]
fn a_rolled_back_statement_counts_for_nothing() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 5)");
    let mut acme = shop.acme();
    let mut tx = acme.transaction().unwrap();
    for _ in 0..3 {
        tx.run("insert into orders (body) values ('kept')");
        let mut savepoint = tx.transaction().unwrap();
        savepoint.run("insert into orders (body) values ('gone'), ('gone')");
        savepoint.rollback().unwrap();
    }
    refuses_in_savepoint(&mut tx, "insert into orders (body) select 'x' from generate_series(1, 3)", "53400");
    tx.run("insert into orders (body) values ('kept'), ('kept')");
    refuses_in_savepoint(&mut tx, "insert into orders (body) values ('x')", "53400");
    tx.commit().unwrap();
    assert_eq!(shop.used("acme", "orders"), 5);
    shop.is_exact();
    let mut tx = acme.transaction().unwrap();
    tx.run("delete from orders");
    tx.rollback().unwrap();
    assert_eq!(shop.used("acme", "orders"), 5);
    shop.is_exact();
}

#[test]
fn every_command_that_writes_is_counted() {
    let shop = Shop::with("create table orders (id integer primary key, tenant_id uuid not null, body text)");
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 10, warn_at => null)");
    let mut acme = shop.acme();
    acme.run("insert into orders (id, body) select n, 'a' from generate_series(1, 5) n");
    acme.run("insert into orders (id, body) values (5, 'b'), (6, 'b') on conflict (id) do update set body = 'c'");
    assert_eq!(shop.used("acme", "orders"), 6);
    acme.run("insert into orders (id, body) values (5, 'b'), (7, 'b') on conflict (id) do nothing");
    assert_eq!(shop.used("acme", "orders"), 7);
    acme.run(
        "merge into orders o using (values (1, 'd'), (2, 'u'), (8, 'i'), (9, 'i')) s (id, body) on s.id = o.id
         when matched and s.body = 'd' then delete when matched then update set body = s.body
         when not matched then insert (id, body) values (s.id, s.body)",
    );
    assert_eq!(shop.used("acme", "orders"), 8);
    acme.run(
        "with gone as (delete from orders where id = 2 returning id) insert into orders (id) select id + 20 from gone",
    );
    assert_eq!(shop.used("acme", "orders"), 8);
    // PostgreSQL has no COPY FROM under row security.
    let mut superuser = shop.fixture.superuser();
    let mut copy = superuser.copy_in("copy orders (id, tenant_id) from stdin").unwrap();
    std::io::Write::write_all(&mut copy, format!("31\t{0}\n32\t{0}\n", ACME.id).as_bytes()).unwrap();
    copy.finish().unwrap();
    assert_eq!(shop.used("acme", "orders"), 10);
    let mut copy = superuser.copy_in("copy orders (id, tenant_id) from stdin").unwrap();
    std::io::Write::write_all(&mut copy, format!("33\t{}\n", ACME.id).as_bytes()).unwrap();
    let refused = copy.finish();
    assert_eq!(tenancy_harness::sqlstate(&refused), Some("53400"));
    acme.run("update orders set body = body || '!'");
    acme.run("do $$ begin delete from orders where id = 31; insert into orders (id) values (40); end $$");
    assert_eq!(shop.used("acme", "orders"), 10);
    shop.is_exact();
}

#[test]
fn a_bypassing_role_writes_for_several_tenants_at_once() {
    let shop = Shop::new();
    let both = |rows: u32| {
        format!(
            "insert into orders (tenant_id) select id from (values ('{}'::uuid), ('{}')) t (id), generate_series(1, {rows})",
            ACME.id, GLOBEX.id
        )
    };
    shop.fixture.run(&both(5));
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 8, warn_at => null)");
    let mut superuser = shop.fixture.superuser();
    superuser.refuses(&both(4), "53400");
    assert_eq!((shop.used("acme", "orders"), shop.used("globex", "orders")), (5, 5));
    superuser.run(&format!("update orders set tenant_id = '{}' where tenant_id = '{}'", GLOBEX.id, ACME.id));
    assert_eq!((shop.used("acme", "orders"), shop.used("globex", "orders")), (0, 10));
    superuser.refuses(&format!("update orders set tenant_id = '{}'", ACME.id), "53400");
    superuser.refuses("insert into orders (tenant_id) values (gen_random_uuid())", "23503");
    superuser.run("set session_replication_role = replica");
    superuser.run(&both(1));
    assert_eq!((shop.used("acme", "orders"), shop.used("globex", "orders")), (1, 11));
    shop.is_exact();
    superuser.run("truncate orders");
    assert_eq!((shop.used("acme", "orders"), shop.used("globex", "orders")), (0, 0));
    shop.is_exact();
}

#[test]
fn every_type_of_tenant_column_counts() {
    let world = World::new();
    world.fixture.run("select tenancy.create_resource('notes', 'rows')");
    for family in &FAMILIES {
        let table = family.table();
        world.fixture.run(&format!("select tenancy.attach_quota('{table}', 'notes')"));
        let used = |world: &World| {
            let query = format!("select used from tenancy.quota_usage where tenant = '{}'", family.mine.key);
            world.fixture.superuser().value(&query).unwrap().parse::<i64>().unwrap()
        };
        let before = used(&world);
        let mut client = world.connect();
        let mut tx = World::begin(&mut client, family.mine);
        tx.run(&format!(
            "insert into {table} (id, body) values (1001, 'x'), (1002, 'x'); delete from {table} where id = 1"
        ));
        tx.commit().unwrap();
        assert_eq!(used(&world), before + 1, "{table}");
    }
    assert!(world.fixture.superuser().texts("select tenant_id from tenancy.recount() where was <> now").is_empty());
}

#[test]
fn rows_that_go_or_change_by_a_foreign_key_are_counted() {
    let shop =
        Shop::with("create table orders (id integer, tenant_id uuid not null, body text, primary key (tenant_id, id))");
    shop.fixture.run(
        "create table lines (order_id integer, tenant_id uuid not null,
                             foreign key (tenant_id, order_id) references orders on delete cascade);
         select tenancy.protect('lines'); select tenancy.attach_quota('lines', 'orders')",
    );
    let mut acme = shop.acme();
    acme.run("insert into orders (id) values (1), (2); insert into lines (order_id) values (1), (1), (2)");
    assert_eq!(shop.used("acme", "orders"), 5);
    acme.run("delete from orders where id = 1");
    assert_eq!(shop.used("acme", "orders"), 2);
    shop.is_exact();
}

#[test]
fn rows_that_a_foreign_key_changes_weigh_what_they_become() {
    let shop =
        Shop::with("create table orders (id text, tenant_id uuid not null, body text, primary key (tenant_id, id))");
    shop.fixture
        .run("select tenancy.create_resource('storage', 'bytes'); select tenancy.attach_quota('orders', 'storage')");
    for (table, action) in [
        ("renamed", "on update cascade"),
        ("emptied", "on delete set null (order_id)"),
        ("moved", "on delete set default (order_id)"),
    ] {
        shop.fixture.run(&format!(
            "create table {table} (order_id text default 'none', tenant_id uuid not null,
                                   foreign key (tenant_id, order_id) references orders {action});
             select tenancy.protect('{table}');
             select tenancy.attach_quota('{table}', 'orders'), tenancy.attach_quota('{table}', 'storage')"
        ));
    }
    let mut acme = shop.acme();
    acme.run(
        "insert into orders (id) values ('none'), ('a'), ('b'), ('c');
         insert into renamed (order_id) values ('a'), ('a'); insert into emptied (order_id) values ('b');
         insert into moved (order_id) values ('c'), ('c')",
    );
    let row = 24 + 16;
    let is = |rows: i64, bytes: i64| {
        assert_eq!((shop.used("acme", "orders"), shop.used("acme", "storage")), (rows, rows * row + bytes));
        shop.is_exact();
    };
    is(9, 4 + 3 + 5);
    acme.run("update orders set id = 'abc' where id = 'a'");
    is(9, 4 + 3 + 5 + 3 * 2);
    // What refers to it doesn't fit: the whole statement is refused.
    let limit = shop.used("acme", "storage") + 100;
    shop.fixture.run(&format!("select tenancy.set_quota('acme', 'storage', {limit}, warn_at => null)"));
    acme.refuses("update orders set id = repeat('x', 63) where id = 'abc'", "53400");
    is(9, 4 + 3 + 5 + 3 * 2);
    acme.run(
        "update orders set id = repeat('x', 36) where id = 'abc'; update orders set id = 'abc' where id like 'x%'",
    );
    acme.run("delete from orders where id in ('b', 'c')");
    is(7, 4 + 3 + 2 * 3 + 2 * 4);
}

#[test]
fn rows_without_a_tenant_count_for_nobody() {
    let shop = Shop::new();
    shop.fixture.run(
        "create table prices (tenant_id uuid, body text); select tenancy.protect('prices', kind => 'shared');
         insert into prices values (null, 'a'); select tenancy.attach_quota('prices', 'orders');
         insert into prices values (null, 'b')",
    );
    shop.acme().run("insert into prices (body) values ('own')");
    assert_eq!(shop.used("acme", "orders"), 1);
    shop.is_exact();
}

#[test]
fn many_statements_of_one_transaction_leave_one_version_behind() {
    let shop = Shop::new();
    shop.acme().run(
        "do $$ begin for n in 1..3000 loop insert into orders (body) values ('x'); end loop;
                     for n in 1..100 loop
                       begin insert into orders (body) values ('y'); insert into orders (body) values ('y');
                             raise exception using errcode = 'TE001';
                       exception when sqlstate 'TE001' then end;
                     end loop;
                     delete from orders where ctid in (select ctid from orders limit 10); end $$",
    );
    assert_eq!(shop.used("acme", "orders"), 2990);
    shop.is_exact();
    let size = shop.fixture.superuser().value("select pg_relation_size('tenancy.quota_slots')").unwrap();
    assert!(size.parse::<i64>().unwrap() <= 4 * 8192, "{size}");
}
