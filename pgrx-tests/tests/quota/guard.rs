//! What counts goes on counting, until it is detached.

use tenancy_harness::Session;

use crate::Shop;

const TAKEN: [&str; 6] = [
    "drop trigger tenancy_quota_insert on orders",
    "alter table orders disable trigger tenancy_quota_update",
    "alter table orders disable trigger all",
    "alter table orders enable trigger tenancy_quota_delete",
    "alter trigger tenancy_quota_truncate on orders rename to other",
    "set session_replication_role = replica; alter table orders disable trigger user",
];

#[test]
fn what_counts_is_guarded() {
    let shop = Shop::new();
    for ddl in TAKEN {
        let error = shop.fixture.superuser().refuses(ddl, "42501");
        assert!(error.detail().is_some_and(|detail| detail.contains("orders")), "{error}");
    }
    shop.acme().run("insert into orders (body) values ('a')");
    assert_eq!(shop.used("acme", "orders"), 1);
    shop.fixture
        .run("alter table orders add other text; create index on orders (body); select tenancy.protect('orders')");
    shop.fixture.run("select tenancy.detach_quota('orders', 'orders')");
    let left = "select count(*) from pg_trigger where tgname like 'tenancy_quota%'";
    assert_eq!(shop.fixture.superuser().value(left).as_deref(), Some("0"));
}

#[test]
fn a_part_is_guarded_as_its_parent_is() {
    let shop = Shop::with(
        "create table orders (id integer, tenant_id uuid not null, body text) partition by list (id);
         create table orders_rest partition of orders default",
    );
    shop.fixture.run("create table orders_1 partition of orders for values in (1)");
    for part in ["orders_1", "orders_rest"] {
        shop.fixture.superuser().refuses(&format!("drop trigger tenancy_quota_insert on {part}"), "42501");
    }
    shop.fixture.run("drop table orders_1");
    shop.is_exact();
}

/// As when a restore makes the triggers of several tables at once.
#[test]
fn what_others_do_at_the_same_time_is_not_held_against_a_command() {
    let shop = Shop::new();
    let (mut changing, mut other) = (shop.fixture.superuser(), shop.fixture.superuser());
    std::thread::scope(|scope| {
        let changes = scope.spawn(move || {
            for _ in 0..15 {
                changing.run("select tenancy.detach_quota('orders', 'orders')");
                changing.run("select tenancy.attach_quota('orders', 'orders')");
            }
        });
        while !changes.is_finished() {
            other.run("create table passing (); drop table passing");
        }
    });
}

#[test]
fn a_table_that_counts_stays_protected_by_the_same_column() {
    let shop = Shop::with("create table orders (id integer, tenant_id uuid not null, other uuid, body text)");
    let mut superuser = shop.fixture.superuser();
    let error = superuser.refuses("select tenancy.unprotect('orders')", "55000");
    assert_eq!(error.hint(), Some("Detach it with tenancy.detach_quota() first."));
    superuser.refuses("select tenancy.protect('orders', 'other')", "55000");
    superuser.run("select tenancy.detach_quota('orders', 'orders'); select tenancy.unprotect('orders')");
    // Within a tree, too.
    superuser.run(
        "create table parent (tenant_id uuid not null); create table child () inherits (parent); select tenancy.protect('parent');
         select tenancy.attach_quota('parent', 'orders')",
    );
    superuser.refuses("select tenancy.unprotect('parent')", "55000");
    superuser.refuses("select tenancy.unprotect('child')", "55000");
}

#[test]
fn the_doctor_finds_what_does_not_count_and_its_fix_counts_again() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    superuser.run(
        "set tenancy.guard_ddl = off;
         drop trigger tenancy_quota_insert on orders; alter table orders disable trigger tenancy_quota_delete;
         alter table orders enable replica trigger tenancy_quota_update",
    );
    let mut acme = shop.acme();
    acme.run("insert into orders (body) values ('a'), ('b'); delete from orders where body = 'a'");
    assert_eq!(shop.used("acme", "orders"), 0);
    let of = "from tenancy.doctor() where code = 'QUOTA_NOT_COUNTED'";
    assert_eq!(superuser.texts(&format!("select object {of}")), ["public.orders"]);
    let detail = superuser.value(&format!("select detail {of}")).unwrap();
    assert!(detail.contains("tenancy_quota_delete, tenancy_quota_insert, tenancy_quota_update"), "{detail}");
    let fix = superuser.value(&format!("select fix {of}")).unwrap();
    superuser.run("reset tenancy.guard_ddl");
    superuser.run(&fix);
    assert_eq!(superuser.texts(&format!("select object {of}")), Vec::<String>::new());
    assert_eq!(shop.used("acme", "orders"), 1);
    acme.run("insert into orders (body) values ('c')");
    assert_eq!(shop.used("acme", "orders"), 2);
    superuser.refuses("drop trigger tenancy_quota_insert on orders", "42501");
    // What is made again is what was made.
    let made = "select string_agg(format('%s %s %s %s %s', tgname, tgtype, tgenabled, tgoldtable, tgnewtable), ', ' order by tgname)
                from pg_trigger where tgrelid = 'orders'::regclass and tgname like 'tenancy_quota%'";
    let mended = superuser.value(made);
    superuser.run("select tenancy.detach_quota('orders', 'orders'); select tenancy.attach_quota('orders', 'orders')");
    assert_eq!(superuser.value(made), mended);
}
