//! What goes on working in every mode: dumps, foreign keys, maintenance, replication, parallel plans.

use std::time::{Duration, Instant};

use tenancy_harness::{ACME, Cluster, Config, Fixture, Session};

use crate::Shop;

fn strict(name: &str) -> Cluster {
    Cluster::start(name, &Config::default().set("tenancy.on_bypass", "error").set("wal_level", "logical"))
}

#[test]
fn dump_and_restore() {
    let cluster = strict("dump");
    let shop = Shop::on(&cluster);
    let path = cluster.directory().join("dump");
    let file = path.to_str().unwrap();
    for options in [&["--format=custom"][..], &["--format=plain"], &["--format=plain", "--inserts"]] {
        cluster.run_tool("pg_dump", &[options, &["--file", file, shop.fixture.database()]].concat());
        let copy = Fixture::empty(&cluster);
        if options[0] == "--format=custom" {
            cluster.run_tool("pg_restore", &["--exit-on-error", "--dbname", copy.database(), file]);
        } else {
            cluster
                .run_tool("psql", &["--set=ON_ERROR_STOP=1", "--quiet", "--file", file, "--dbname", copy.database()]);
        }
        let mut app = copy.connect(&shop.app);
        app.run("begin; select tenancy.set_tenant('acme')");
        assert_eq!(app.texts("select body from orders"), ["acme"], "{options:?}");
    }
    cluster.run_tool("pg_dump", &["--data-only", "--table=orders", "--file", file, shop.fixture.database()]);
    cluster
        .run_tool("psql", &["--set=ON_ERROR_STOP=1", "--quiet", "--file", file, "--dbname", shop.fixture.database()]);
}

#[test]
fn foreign_keys() {
    let cluster = strict("keys");
    let shop = Shop::on(&cluster);
    let mut superuser = shop.fixture.superuser();
    superuser.run(
        "alter table orders add primary key (id);
         create table lines (tenant_id uuid not null, order_id integer);
         select tenancy.protect('lines'); create index on lines (order_id)",
    );
    // Each of these reads both tables, in PostgreSQL's own name.
    superuser.run(
        "alter table lines add constraint whole foreign key (order_id) references orders on delete cascade not valid;
         alter table lines validate constraint whole; alter table lines drop constraint whole;
         alter table lines add constraint whole foreign key (order_id) references orders on delete cascade",
    );
    superuser.refuses("select from lines", "42501");
    let mut app = shop.fixture.connect(&shop.app);
    let mut tx = app.transaction().unwrap();
    tx.run(
        "select tenancy.set_tenant('acme'); insert into lines (order_id) values (1); delete from orders where id = 1",
    );
    assert_eq!(tx.value("select count(*) from lines").as_deref(), Some("0"));
    tx.rollback().unwrap();
    // An error inside ALTER TABLE must not leave the door open.
    superuser.refuses(
        "alter table lines add constraint wrong check (1 / (order_id - order_id) = 1), add column order_id integer",
        "42701",
    );
    superuser.refuses("select from orders", "42501");
    superuser.run(
        "do $$ begin
             alter table orders add column id integer;
         exception when duplicate_column then
             null;
         end $$",
    );
    superuser.refuses("select from orders", "42501");
}

#[test]
fn partitions_come_and_go() {
    let cluster = strict("parts");
    let shop = Shop::on(&cluster);
    shop.fixture.run(
        "create table logs (id integer, tenant_id uuid not null) partition by list (id);
         create table log_1 partition of logs for values in (1); select tenancy.protect('logs');
         create table log_2 (like logs); alter table logs attach partition log_2 for values in (2);
         alter table logs detach partition log_2",
    );
    let mut superuser = shop.fixture.superuser();
    superuser.refuses("select from log_1", "42501");
    superuser.run("alter table logs detach partition log_1 concurrently");
}

#[test]
fn maintenance() {
    let cluster = strict("maintenance");
    let shop = Shop::on(&cluster);
    let mut superuser = shop.fixture.superuser();
    for statement in [
        "vacuum (analyze) orders",
        "cluster orders using orders_tenant_id_idx",
        "reindex table orders",
        "vacuum full orders",
    ] {
        superuser.run(statement);
    }
    superuser.run("create index concurrently on orders (body)");
    superuser.run("alter table orders alter column body type varchar(10)");
    superuser.run("select tenancy.unprotect('orders'); select tenancy.protect('orders'); select from tenancy.doctor()");
}

#[test]
fn logical_replication() {
    let cluster = strict("replication");
    let from = Shop::on(&cluster);
    let to = Fixture::empty(&cluster);
    let slot = "copy";
    from.fixture.run("create publication everything for table orders");
    from.fixture.run(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
    to.run(
        "create table orders (id integer not null, tenant_id uuid not null, body text);
         create extension pg_tenancy; select tenancy.protect('orders')",
    );
    let mut superuser = to.superuser();
    superuser.run(&format!(
        "create subscription copy connection 'host={} dbname={} user=postgres' publication everything
         with (create_slot = false, slot_name = {slot})",
        cluster.directory().display(),
        from.fixture.database()
    ));
    let rows = |expected: &str| {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut superuser = to.superuser();
        superuser.run("set tenancy.on_bypass = allow");
        while superuser.value("select count(*) from orders").as_deref() != Some(expected) {
            assert!(Instant::now() < deadline, "{}", cluster.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    rows("2");
    from.fixture.run(&format!(
        "set tenancy.on_bypass = allow; alter table orders replica identity full;
         insert into orders values (3, '{}', 'later'); update orders set body = 'changed' where id = 1;
         delete from orders where id = 2; insert into orders values (4, '{}', 'last')",
        ACME.id, ACME.id
    ));
    rows("3");
    superuser
        .run("alter subscription copy disable; alter subscription copy set (slot_name = none); drop subscription copy");
}

#[test]
fn parallel_workers_ask_nobody() {
    let shop = Shop::new();
    shop.fixture.run(&format!(
        "insert into orders select n, '{}', n::text from generate_series(10, 20000) n; analyze orders",
        ACME.id
    ));
    let mut superuser = shop.superuser("error");
    superuser.run(
        "set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
         set max_parallel_workers_per_gather = 2",
    );
    let mut tx = superuser.transaction().unwrap();
    tx.run("select tenancy.bypass('a count')");
    let plan = tx.texts("explain (analyze, costs off, timing off, summary off) select count(*) from orders");
    assert!(plan.iter().any(|line| line.contains("Workers Launched: 2")), "{plan:?}");
}

/// What PostgreSQL and the extension do in their own name lends nothing to the code that they call.
#[test]
fn what_is_called_on_the_way_is_not_exempt() {
    let shop = Shop::new();
    let bypassing = shop.fixture.role("bypassing");
    shop.fixture.run(&format!(
        "alter role {bypassing} bypassrls; alter role {bypassing} set tenancy.on_bypass = error;
         create schema own authorization {bypassing}; grant select on orders to {bypassing}"
    ));
    let mut client = shop.fixture.connect(&bypassing);
    client.run(
        "create function own.leak() returns text language plpgsql as
         $$ begin return (select string_agg(body, ',') from public.orders); end $$;
         create table own.plain (id integer); insert into own.plain values (1);
         create table own.parent (id integer primary key); insert into own.parent values (1);
         create table own.child (id integer references own.parent on delete cascade); insert into own.child values (1);
         create function own.on_delete() returns trigger language plpgsql as
         $$ begin perform own.leak(); return old; end $$;
         create trigger t before delete on own.child for each row execute function own.on_delete()",
    );
    for statement in [
        "select own.leak()",
        "alter table own.plain add column leaked text default own.leak()",
        "alter table own.plain alter column id type text using own.leak()",
        "delete from own.parent",
    ] {
        client.refuses(statement, "42501");
    }
}
