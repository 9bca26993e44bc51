//! The warning that a limit is near.

use std::time::Duration;

use tenancy_harness::{Session, postgres::fallible_iterator::FallibleIterator};

use crate::Shop;

fn events(shop: &Shop) -> Vec<String> {
    let query = "select format('%s %s %s', id, detail->>'used', object) from tenancy.event_log
                 where event = 'quota.warning' order by id";
    shop.fixture.superuser().texts(query)
}

#[test]
fn it_is_given_once_when_usage_reaches_its_part_of_the_limit() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 10)");
    let mut listener = shop.fixture.superuser();
    listener.run("listen tenancy");
    let mut acme = shop.acme();
    for _ in 0..7 {
        acme.run("insert into orders (body) values ('x')");
    }
    assert!(events(&shop).is_empty());
    for _ in 0..3 {
        acme.run("insert into orders (body) values ('x')");
    }
    acme.refuses("insert into orders (body) values ('x')", "53400");
    let events = events(&shop);
    assert_eq!(events.len(), 1);
    let (id, rest) = events[0].split_once(' ').unwrap();
    assert_eq!(rest, "8 orders");
    let mut notifications = listener.notifications();
    let mut timeout = notifications.timeout_iter(Duration::from_secs(10));
    let notification = timeout.next().unwrap().expect("a notification");
    assert_eq!((notification.channel(), notification.payload()), ("tenancy", id));
}

#[test]
fn it_goes_with_the_transaction_that_gave_it() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 10)");
    let mut acme = shop.acme();
    let mut tx = acme.transaction().unwrap();
    tx.run("insert into orders (body) select n from generate_series(1, 9) n");
    tx.rollback().unwrap();
    let mut tx = acme.transaction().unwrap();
    let mut savepoint = tx.transaction().unwrap();
    savepoint.run("insert into orders (body) select n from generate_series(1, 9) n");
    savepoint.rollback().unwrap();
    tx.run("insert into orders (body) select n from generate_series(1, 7) n");
    tx.commit().unwrap();
    assert!(events(&shop).is_empty());
    let mut tx = acme.transaction().unwrap();
    let mut savepoint = tx.transaction().unwrap();
    savepoint.run("insert into orders (body) values ('x')");
    savepoint.commit().unwrap();
    tx.commit().unwrap();
    assert_eq!(events(&shop).len(), 1);
    shop.is_exact();
}

#[test]
fn it_is_due_again_after_usage_was_below() {
    let shop = Shop::new();
    for mode in ["enforce", "track"] {
        shop.fixture.run(&format!("select tenancy.set_quota('acme', 'orders', 10, mode => '{mode}')"));
        let before = events(&shop).len();
        let mut acme = shop.acme();
        for round in 1..=3 {
            acme.run("insert into orders (body) select n from generate_series(1, 9) n");
            assert_eq!(events(&shop).len(), before + round, "{mode}");
            std::thread::sleep(Duration::from_millis(150));
            acme.run("delete from orders");
        }
        shop.is_exact();
    }
}

/// One deletes while another has the only slot, so what it gives back is in a slot that nobody sees when the warning becomes due
/// again.
#[test]
fn it_being_due_again_keeps_nobody_from_the_rest_of_the_limit() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 10)");
    let mut acme = shop.acme();
    acme.run("insert into orders (body) select n from generate_series(1, 9) n");
    let (mut holder, mut deleter) = (shop.acme(), shop.acme());
    holder.run("begin; insert into orders (body) values ('10')");
    deleter.run("begin; delete from orders where body in ('1', '2')");
    holder.run("commit");
    acme.run("delete from orders where body in ('3', '4', '5', '6', '7', '8')");
    deleter.run("commit");
    assert_eq!(shop.used("acme", "orders"), 2);
    acme.run("insert into orders (body) select n from generate_series(1, 7) n");
    assert_eq!(events(&shop).len(), 2);
    acme.refuses("insert into orders (body) values ('x'), ('y')", "53400");
    acme.run("insert into orders (body) values ('x')");
    shop.is_exact();
}

#[test]
fn it_does_not_keep_a_transaction_from_being_prepared() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 10)");
    let mut acme = shop.acme();
    acme.run("begin; insert into orders (body) select n from generate_series(1, 9) n; prepare transaction 'near'");
    assert!(events(&shop).is_empty());
    acme.run("commit prepared 'near'");
    assert_eq!(events(&shop).len(), 1);
    shop.is_exact();
}
