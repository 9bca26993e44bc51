//! Many rows in one statement: where its plan says whose they are, they are counted without being read again; and where it
//! only seems to, each one by itself.

use tenancy_harness::{FAMILIES, GLOBEX, Session, World};

use crate::Shop;

const MANY: &str = "from generate_series(1, 500) n";

/// What acme and globex use.
fn used(shop: &Shop) -> (i64, i64) {
    (shop.used("acme", "orders"), shop.used("globex", "orders"))
}

#[test]
fn many_rows_of_every_type_of_tenant_column_count() {
    let world = World::new();
    world.fixture.run("select tenancy.create_resource('notes', 'rows')");
    for family in &FAMILIES {
        let table = family.table();
        world.fixture.run(&format!("select tenancy.attach_quota('{table}', 'notes')"));
        let query = format!("select used from tenancy.quota_usage where tenant = '{}'", family.mine.key);
        let used = || world.fixture.superuser().value(&query).unwrap().parse::<i64>().unwrap();
        let before = used();
        let mut client = world.connect();
        let mut tx = World::begin(&mut client, family.mine);
        tx.run(&format!("insert into {table} (id, body) select 1000 + n, 'x' {MANY}"));
        tx.commit().unwrap();
        assert_eq!(used(), before + 500, "{table}");
    }
    assert!(world.fixture.superuser().texts("select tenant_id from tenancy.recount() where was <> now").is_empty());
}

#[test]
fn a_limit_holds_for_many_rows_too() {
    let shop = Shop::with(
        "create table orders (id bigint, tenant_id uuid not null, body text) partition by range (id);
         create table orders_low partition of orders for values from (0) to (250);
         create table orders_high partition of orders (tenant_id not null, body, id) for values from (250) to (100000)",
    );
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 900, warn_at => null)");
    let mut acme = shop.acme();
    acme.run(&format!("insert into orders (id) select n {MANY}"));
    assert_eq!(used(&shop), (500, 0));
    let error = acme.refuses(&format!("insert into orders (id) select n {MANY}"), "53400");
    assert_eq!(error.detail(), Some("Resource \"orders\": used 500, limit 900, requested 500."));
    acme.run("insert into orders_high (id) select 300 + n from generate_series(1, 400) n");
    assert_eq!(used(&shop), (900, 0));
    shop.is_exact();
}

#[test]
fn a_statement_that_goes_from_tenant_to_tenant_counts_for_each() {
    let shop = Shop::new();
    shop.fixture.run(&format!("alter role {} set tenancy.allow_switch = on", shop.app));
    let mut client = shop.fixture.connect(&shop.app);
    client.run(
        "begin;
         insert into orders (body)
         select 'x' from generate_series(1, 500) n
         where tenancy.set_tenant(case when n <= 100 then 'acme' else 'globex' end) is not null;
         commit",
    );
    assert_eq!(used(&shop), (100, 400));
    // Allowed until the last row, and not any more when the rows are counted.
    shop.fixture.run(
        "create function public.as_tenant(name text, switch text) returns boolean language plpgsql security definer
         as $$ begin perform set_config('tenancy.allow_switch', switch, true), tenancy.set_tenant(name);
                     return true; end $$;
         grant execute on function public.as_tenant to public",
    );
    shop.fixture.run(&format!("alter role {} reset tenancy.allow_switch", shop.app));
    let mut client = shop.fixture.connect(&shop.app);
    client.run(
        "begin;
         insert into orders (body)
         select 'x' from generate_series(1, 500) n
         where public.as_tenant(case when n <= 100 then 'acme' else 'globex' end, case when n < 500 then 'on' else 'off' end);
         commit",
    );
    assert_eq!(used(&shop), (200, 800));
    shop.is_exact();
}

#[test]
fn rows_that_no_policy_asks_about_are_counted_one_by_one() {
    let shop = Shop::new();
    let both = format!(
        "insert into orders (tenant_id) select case when n <= 100 then tenancy.current_tenant() else '{}'::uuid end {MANY}",
        GLOBEX.id
    );
    let mut acme = shop.acme();
    acme.refuses(&both, "42501");
    // A policy more gives no more.
    shop.fixture.run("create policy lenient on orders for insert with check (true)");
    acme.refuses(&both, "42501");
    for policy in ["tenant_isolation", "tenant_isolation_floor"] {
        shop.fixture.run(&format!(
            "set tenancy.guard_ddl = off; alter policy {policy} on orders with check (true or tenant_id = tenancy.current_tenant())"
        ));
    }
    acme.run(&both);
    assert_eq!(used(&shop), (100, 400));
    shop.is_exact();
}

#[test]
fn what_triggers_write_for_others_counts_for_those() {
    let shop = Shop::new();
    shop.fixture.run(&format!(
        "create function public.copy_to_globex() returns trigger language plpgsql security definer
         set row_security = off as $$
         begin
           if pg_trigger_depth() < 2 then
             insert into public.orders (tenant_id, body)
               select case when n <= 100 then '{0}'::uuid else (select id from tenancy.tenants where key = 'acme') end, 'nested'
               from generate_series(1, 300) n;
             create temporary table staged as select '{0}'::uuid tenant_id, 'copied'::text body from generate_series(1, 70);
             copy staged to '/dev/null';
             begin
               insert into public.orders (tenant_id, body) select gen_random_uuid(), 'nobody' from generate_series(1, 100);
             exception when foreign_key_violation then null; end;
             with copied as (insert into public.orders (tenant_id, body) select * from staged returning 1)
               insert into public.orders (tenant_id) select '{0}' from copied;
           end if;
           return null;
         end $$;
         create trigger a_copies after insert on orders for each statement execute function public.copy_to_globex()",
        GLOBEX.id
    ));
    shop.acme().run(&format!("insert into orders (body) select 'own' {MANY}"));
    assert_eq!(used(&shop), (500 + 200, 100 + 70 + 70));
    shop.is_exact();
}

#[test]
fn a_view_whose_owner_bypasses_row_security_is_counted_row_by_row() {
    let shop = Shop::new();
    shop.fixture.run(&format!(
        "create view all_orders as select * from orders; grant select, insert on all_orders to {}",
        shop.app
    ));
    shop.acme().run(&format!(
        "insert into all_orders (tenant_id) select case when n <= 100 then tenancy.current_tenant() else '{}'::uuid end {MANY}",
        GLOBEX.id
    ));
    assert_eq!(used(&shop), (100, 400));
    shop.is_exact();
}
