//! Counters: taken and given back by name.

use tenancy_harness::Session;

use crate::Shop;
use crate::concurrency::one_waits_for_the_other;

fn shop() -> Shop {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.create_resource('seats', 'counter', 'named users'); select tenancy.set_quota('acme', 'seats', 10)");
    shop
}

#[test]
fn what_is_left_is_told() {
    let shop = shop();
    let mut acme = shop.acme();
    assert_eq!(acme.value("select tenancy.consume('seats', 3)").as_deref(), Some("7"));
    assert_eq!(acme.value("select tenancy.consume('seats')").as_deref(), Some("6"));
    assert_eq!(acme.value("select tenancy.check_quota('seats', 6)").as_deref(), Some("t"));
    assert_eq!(acme.value("select tenancy.check_quota('seats', 7)").as_deref(), Some("f"));
    let error = acme.refuses("select tenancy.consume('seats', 7)", "53400");
    assert_eq!(error.detail(), Some("Resource \"seats\": used 4, limit 10, requested 7."));
    assert_eq!(acme.value("select tenancy.release('seats', 4)").as_deref(), Some("10"));
    acme.refuses("select tenancy.release('seats')", "22023");
    assert_eq!(acme.value("select tenancy.consume('seats', 10)").as_deref(), Some("0"));
    shop.fixture.run("select tenancy.set_quota('acme', 'seats', null)");
    assert_eq!(acme.value("select tenancy.consume('seats', 100)"), None);
    assert_eq!(acme.value("select tenancy.check_quota('seats', 100)").as_deref(), Some("t"));
    assert_eq!(shop.used("acme", "seats"), 110);
    shop.fixture.run("select tenancy.set_quota('acme', 'seats', 10, mode => 'track')");
    assert_eq!(acme.value("select tenancy.consume('seats')").as_deref(), Some("-101"));
    assert_eq!(acme.value("select tenancy.check_quota('orders', 1000)").as_deref(), Some("t"));
}

#[test]
fn the_same_key_takes_once() {
    let shop = shop();
    let mut acme = shop.acme();
    for _ in 0..3 {
        assert_eq!(acme.value("select tenancy.consume('seats', 2, 'request 1')").as_deref(), Some("8"));
    }
    acme.refuses("select tenancy.consume('seats', 3, 'request 1')", "22023");
    acme.run("begin; select tenancy.consume('seats', 2, 'request 2'); rollback");
    assert_eq!(acme.value("select tenancy.consume('seats', 2, 'request 2')").as_deref(), Some("6"));
    acme.refuses("select tenancy.consume('seats', 100, 'request 3')", "53400");
    assert_eq!(acme.value("select tenancy.consume('seats', 1, 'request 3')").as_deref(), Some("5"));
    shop.fixture.run("update tenancy.consumptions set at = at - interval '2 days' where idempotency_key = 'request 1'");
    assert_eq!(acme.value("select tenancy.consume('seats', 1, 'request 1')").as_deref(), Some("4"));
    shop.fixture.run("update tenancy.consumptions set at = at - interval '2 days'");
    assert_eq!(acme.value("select tenancy.consume('seats', 1, 'request 4')").as_deref(), Some("3"));
    let kept = "select count(*) from tenancy.consumptions";
    assert_eq!(shop.fixture.superuser().value(kept).as_deref(), Some("2"));
    acme.refuses("select tenancy.consume('seats', 1, '')", "22023");
}

#[test]
fn the_same_key_at_the_same_time_takes_once() {
    let shop = shop();
    let take = |amount: i64, key: &str| format!("select tenancy.consume('seats', {amount}, 'request {key}')");
    let together = |first: &str, end: &str, second: &str, used: i64| {
        let state = one_waits_for_the_other(&shop, first, end, second);
        assert_eq!(shop.used("acme", "seats"), used, "{first} {end} {second}");
        state
    };
    assert_eq!(together(&take(2, "1"), "commit", &take(2, "1"), 2), None);
    // The key of who rolled back was never used: the other one takes.
    assert_eq!(together(&take(2, "2"), "rollback", &take(2, "2"), 4), None);
    shop.acme().run(&take(2, "2"));
    assert_eq!(shop.used("acme", "seats"), 4);
    assert_eq!(together(&take(2, "3"), "commit", &take(3, "3"), 6).as_deref(), Some("22023"));
    assert_eq!(together(&take(2, "4"), "rollback", &take(3, "4"), 9), None);
    // Nothing is left, and nothing is taken.
    assert_eq!(together(&take(1, "5"), "commit", &take(1, "5"), 10), None);
    // Who can't see what the first one has taken finds out when it is tried again.
    shop.acme().run("select tenancy.release('seats')");
    let blind = format!("begin isolation level repeatable read; select 1; {}; commit", take(1, "6"));
    assert_eq!(together(&take(1, "6"), "commit", &blind, 10).as_deref(), Some("40001"));
    shop.acme().run(&blind);
    assert_eq!(shop.used("acme", "seats"), 10);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let shop = shop();
    let mut acme = shop.acme();
    for (call, state) in [
        ("tenancy.consume('seats', -1)", "22023"),
        ("tenancy.release('seats', -1)", "22023"),
        ("tenancy.check_quota('seats', -1)", "22023"),
        ("tenancy.consume('orders')", "22023"),
        ("tenancy.release('orders')", "22023"),
        ("tenancy.consume('none')", "42704"),
        ("tenancy.consume(null)", "22023"),
        ("tenancy.recount('seats')", "42501"),
    ] {
        acme.refuses(&format!("select {call}"), state);
    }
    acme.refuses("begin read only; select tenancy.consume('seats')", "25006");
    acme.run("rollback; reset tenancy.tenant_id");
    acme.refuses("select tenancy.consume('seats')", "42501");
    shop.fixture.superuser().refuses("select tenancy.recount('seats')", "22023");
}
