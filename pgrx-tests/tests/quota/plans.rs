//! Limits that change while others count by those before: of plans, by plain DML, of many tenants.

use std::thread;

use tenancy_harness::Session;

use crate::Shop;
use crate::concurrency::somebody_waits;

/// A shop whose tenant acme is on the plan `small`, and whose plan `large` nobody has.
fn shop() -> Shop {
    let shop = Shop::new();
    shop.fixture.run(
        "select tenancy.create_plan('small'), tenancy.create_plan('large');
         update tenancy.tenants set plan = 'small' where key = 'acme'",
    );
    shop
}

/// Runs `change` as a superuser, which has to wait for acme's transaction that has written his first rows, and then that transaction
/// commits. Acme has no room for another row afterwards.
#[track_caller]
fn waits_for_a_first_row(shop: &Shop, change: &str) {
    let mut acme = shop.acme();
    acme.run("begin; insert into orders (body) values ('a'), ('b')");
    thread::scope(|scope| {
        let mut changer = shop.fixture.superuser();
        let changed = scope.spawn(move || changer.run(change));
        assert!(somebody_waits(shop), "it did not wait: {change}");
        assert!(!changed.is_finished(), "it did not wait: {change}");
        acme.run("commit");
        changed.join().unwrap();
    });
    acme.refuses("insert into orders (body) values ('c')", "53400");
    shop.is_exact();
}

#[test]
fn a_plan_s_limit_holds_for_who_was_writing_his_first_row() {
    for change in [
        "select tenancy.set_plan_quota('small', 'orders', 2)",
        "insert into tenancy.plan_quotas (plan, resource_id, max_amount) select 'small', id, 1 from tenancy.resources",
    ] {
        waits_for_a_first_row(&shop(), change);
    }
    let shop = shop();
    shop.fixture
        .run("select tenancy.set_plan_quota('small', 'orders', 100), tenancy.set_plan_quota('large', 'orders', 2)");
    waits_for_a_first_row(&shop, "update tenancy.tenants set plan = 'large' where key = 'acme'");
}

#[test]
fn a_tenant_s_own_limit_holds_for_who_was_writing_his_first_row() {
    waits_for_a_first_row(&shop(), "select tenancy.set_quota('acme', 'orders', 2)");
}

/// Whoever comes second sees what the first has done.
#[test]
fn a_plan_is_limited_while_a_tenant_takes_it() {
    let limit = "select tenancy.set_plan_quota('large', 'orders', 2)";
    let take = "update tenancy.tenants set plan = 'large' where key = 'acme'";
    for (first, second) in [(limit, take), (take, limit)] {
        let shop = shop();
        let mut acme = shop.acme();
        acme.run("insert into orders (body) values ('a'), ('b')");
        let mut one = shop.fixture.superuser();
        one.run(&format!("begin; {first}"));
        thread::scope(|scope| {
            let mut other = shop.fixture.superuser();
            let done = scope.spawn(move || other.run(second));
            assert!(somebody_waits(&shop), "{second} did not wait");
            assert!(!done.is_finished(), "{second} did not wait");
            one.run("commit");
            done.join().unwrap();
        });
        acme.refuses("insert into orders (body) values ('c')", "53400");
    }
}

#[test]
fn a_tenant_s_open_transaction_keeps_no_other_tenant_waiting() {
    let shop = Shop::new();
    let mut globex = shop.acting_for("globex");
    globex.run("begin; insert into orders (body) values ('first of globex')");
    let mut superuser = shop.fixture.superuser();
    superuser.run("set lock_timeout = '2s'; select tenancy.set_quota('acme', 'orders', 1)");
    let mut acme = shop.acme();
    acme.run("set lock_timeout = '2s'; insert into orders (body) values ('first of acme')");
    acme.refuses("insert into orders (body) values ('second')", "53400");
    superuser.run("begin; select tenancy.set_quota('acme', 'orders', 2)");
    acme.run("begin; set local lock_timeout = '2s'");
    globex.run("insert into orders (body) values ('second of globex'); commit");
    superuser.run("commit");
    acme.run("insert into orders (body) values ('second'); commit");
    shop.is_exact();
}

#[test]
fn a_truncated_table_of_limits_limits_nobody() {
    let shop = shop();
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 1)");
    let mut acme = shop.acme();
    acme.run("insert into orders (body) values ('a')");
    acme.refuses("insert into orders (body) values ('b')", "53400");
    shop.fixture.run("truncate tenancy.quotas");
    acme.run("insert into orders (body) values ('b')");
    shop.fixture.run("select tenancy.set_plan_quota('small', 'orders', 2)");
    acme.refuses("insert into orders (body) values ('c')", "53400");
    shop.fixture.run("truncate tenancy.plan_quotas");
    acme.run("insert into orders (body) values ('c')");
    shop.is_exact();
}

/// Locks are few: those of so many tenants would not fit into the server's memory for them.
#[test]
fn thousands_of_tenants_are_attached_limited_and_recounted() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    superuser.run(
        "set tenancy.on_bypass = allow;
         create table notes (tenant_id uuid not null); select tenancy.protect('notes');
         insert into tenancy.tenants (key) select 'of-many-' || n from generate_series(1, 20000) n;
         insert into notes select id from tenancy.tenants where key like 'of-many-%';
         select tenancy.attach_quota('notes', 'orders')",
    );
    assert_eq!(superuser.value("select count(*) from tenancy.quota_slots").as_deref(), Some("20000"));
    superuser.run(
        "insert into tenancy.quotas (tenant_id, resource_id, max_amount)
         select t.id, r.id, 2 from tenancy.tenants t cross join tenancy.resources r where t.key like 'of-many-%';
         insert into orders (tenant_id) select id from tenancy.tenants where key like 'of-many-%'",
    );
    superuser.refuses("insert into orders (tenant_id) select id from tenancy.tenants where key = 'of-many-7'", "53400");
    shop.is_exact();
}

#[test]
fn two_that_load_many_tenants_each_do_not_fail_for_each_other() {
    let shop = Shop::new();
    shop.fixture.run(
        "insert into tenancy.tenants (key) select l || n from unnest('{a,b}'::text[]) l, generate_series(1, 1500) n",
    );
    let load = |letter: &str| {
        format!(
            "set tenancy.on_bypass = allow; begin; insert into orders (tenant_id) select id from tenancy.tenants where key ~ '^{letter}[0-9]+$' limit 800;
             select pg_sleep(0.3);
             insert into orders (tenant_id) select id from tenancy.tenants where key ~ '^{letter}[0-9]+$' order by key; commit"
        )
    };
    thread::scope(|scope| {
        let loads = ["a", "b"].map(|letter| {
            let mut superuser = shop.fixture.superuser();
            let load = load(letter);
            scope.spawn(move || superuser.run(&load))
        });
        for load in loads {
            load.join().unwrap();
        }
    });
    assert_eq!(shop.fixture.superuser().value("select count(*) from orders").as_deref(), Some("4600"));
    shop.is_exact();
}

/// More locks than the server has room for are not asked for, whatever others hold.
#[test]
fn many_tenants_are_limited_once_a_first_row_is_committed() {
    let shop = Shop::new();
    shop.fixture.run("insert into tenancy.tenants (key) select 'of-many-' || n from generate_series(1, 20000) n");
    let mut globex = shop.acting_for("globex");
    globex.run("begin; insert into orders (body) values ('first of globex')");
    let limits = "insert into tenancy.quotas (tenant_id, resource_id, max_amount)
                  select t.id, r.id, 2 from tenancy.tenants t cross join tenancy.resources r where t.key like 'of-many-%'";
    thread::scope(|scope| {
        let mut superuser = shop.fixture.superuser();
        let limited = scope.spawn(move || superuser.run(limits));
        assert!(somebody_waits(&shop));
        assert!(!limited.is_finished());
        globex.run("commit");
        limited.join().unwrap();
    });
    assert_eq!(shop.fixture.superuser().value("select count(*) from tenancy.quotas").as_deref(), Some("20000"));
}
