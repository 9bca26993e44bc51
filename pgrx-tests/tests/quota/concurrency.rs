//! Many sessions at once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tenancy_harness::{Session, postgres::Client, sqlstate};

use crate::Shop;

/// Who loses is tried again, and doesn't lose for ever: of some that fail for each other's sake one goes on.
const MAX_TRIES: u32 = 20;

/// Runs a statement in `clients` sessions of acme until each has done so `rounds` times; returns how often it succeeded, and
/// how often it was refused for the quota. Nothing else may go wrong but what `retried` lists, which is tried again.
fn hammer(shop: &Shop, clients: usize, rounds: u32, statement: &str, retried: &[&str]) -> (u32, u32) {
    let (done, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut acme = shop.acme();
                for _ in 0..rounds {
                    for tries in 1.. {
                        let outcome = acme.batch_execute(statement);
                        match sqlstate(&outcome) {
                            None => done.fetch_add(1, Ordering::Relaxed),
                            Some("53400") => refused.fetch_add(1, Ordering::Relaxed),
                            Some(state) if retried.contains(&state) && tries < MAX_TRIES => {
                                acme.batch_execute("rollback").unwrap();
                                continue;
                            }
                            _ => panic!("{outcome:?}"),
                        };
                        break;
                    }
                    acme.batch_execute("rollback").unwrap();
                }
            });
        }
    });
    (done.into_inner(), refused.into_inner())
}

#[test]
fn what_is_admitted_is_the_limit_to_the_last_row() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 500, warn_at => 0.5)");
    let insert = "insert into orders (body) values ('x')";
    assert_eq!(hammer(&shop, 8, 100, insert, &[]), (500, 300));
    shop.is_exact();
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 507)");
    assert_eq!(hammer(&shop, 8, 5, "insert into orders (body) values ('x'), ('y')", &[]), (3, 37));
    assert_eq!(shop.used("acme", "orders"), 506);
    let warnings = "select count(*) from tenancy.event_log where event = 'quota.warning'";
    assert_eq!(shop.fixture.superuser().value(warnings).as_deref(), Some("1"));
    shop.is_exact();
}

#[test]
fn serializable_transactions_that_are_tried_again_are_refused_nothing_that_fits() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 300)");
    for level in ["serializable", "repeatable read"] {
        let insert = format!("begin isolation level {level}; select 1; insert into orders (body) values ('x'); commit");
        assert_eq!(hammer(&shop, 6, 50, &insert, &["40001"]), (300, 0), "{level}");
        shop.is_exact();
        let (done, refused) = hammer(&shop, 6, 2, &insert, &["40001"]);
        assert_eq!((done, refused), (0, 12), "{level}");
        shop.fixture.run("delete from orders");
    }
}

#[test]
fn slots_become_many_under_contention_and_stay_few_without() {
    let shop = Shop::new();
    let slots = "select count(*) from tenancy.quota_slots";
    hammer(&shop, 1, 50, "insert into orders (body) values ('x')", &[]);
    assert_eq!(shop.fixture.superuser().value(slots).as_deref(), Some("1"));
    for limit in ["null", "1000000"] {
        shop.fixture.run(&format!("select tenancy.set_quota('acme', 'orders', {limit})"));
        hammer(&shop, 8, 30, "begin; insert into orders (body) values ('x'); select pg_sleep(0.003); commit", &[]);
        hammer(
            &shop,
            8,
            30,
            "begin; delete from orders where id % 7 = 1; insert into orders (body) values ('x'); commit",
            &["40P01"],
        );
        let count: i64 = shop.fixture.superuser().value(slots).unwrap().parse().unwrap();
        assert!((4..=64).contains(&count), "{count}");
        shop.is_exact();
    }
}

/// Whether some session waits for a lock.
pub fn somebody_waits(shop: &Shop) -> bool {
    let mut superuser = shop.fixture.superuser();
    let waiting =
        "select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if superuser.value(waiting).as_deref() == Some("t") {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Runs `first` in a transaction, `second` in another session meanwhile, which waits; then ends the transaction.
pub fn one_waits_for_the_other(shop: &Shop, first: &str, end: &str, second: &str) -> Option<String> {
    let mut holder: Client = shop.acme();
    holder.run("begin");
    holder.run(first);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let outcome = shop.acme().batch_execute(second);
            sqlstate(&outcome).map(str::to_owned)
        });
        assert!(somebody_waits(shop), "{second}");
        holder.run(end);
        waiter.join().unwrap()
    })
}

#[test]
fn who_does_not_find_enough_waits_for_who_has_it() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 10, warn_at => null)");
    let rows = |count: u32| format!("insert into orders (body) select n from generate_series(1, {count}) n");
    assert_eq!(one_waits_for_the_other(&shop, &rows(6), "rollback", &rows(10)), None);
    shop.fixture.run("delete from orders");
    assert_eq!(one_waits_for_the_other(&shop, &rows(6), "commit", &rows(5)).as_deref(), Some("53400"));
    assert_eq!(one_waits_for_the_other(&shop, &rows(1), "commit", &rows(3)), None);
    assert_eq!(shop.used("acme", "orders"), 10);
    shop.is_exact();
    // A prepared transaction keeps what it has taken.
    shop.fixture.run("delete from orders");
    let prepare = format!("{}; prepare transaction 'taken'", rows(6));
    let mut acme = shop.acme();
    acme.run(&format!("begin; {prepare}"));
    thread::scope(|scope| {
        let waiter = scope.spawn(|| sqlstate(&shop.acme().batch_execute(&rows(5))).map(str::to_owned));
        assert!(somebody_waits(&shop));
        acme.run("commit prepared 'taken'");
        assert_eq!(waiter.join().unwrap().as_deref(), Some("53400"));
    });
    shop.is_exact();
}

#[test]
fn a_limit_that_is_lowered_meanwhile_holds_for_who_comes_later() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 100000)");
    thread::scope(|scope| {
        let writers = scope.spawn(|| hammer(&shop, 6, 150, "insert into orders (body) values ('x')", &["40P01"]));
        let mut superuser = shop.fixture.superuser();
        for limit in [50000, 10, 40000, 200, 30000, 5, 100_000] {
            superuser.run(&format!("select tenancy.set_quota('acme', 'orders', {limit})"));
            thread::sleep(Duration::from_millis(20));
        }
        let (done, refused) = writers.join().unwrap();
        assert_eq!(done + refused, 900);
    });
    shop.is_exact();
}

#[test]
fn a_recount_is_exact_while_writers_go_on() {
    let shop = Shop::new();
    thread::scope(|scope| {
        let write = "begin; insert into orders (body) values ('x'), ('y'); delete from orders where id % 5 = 0; commit";
        let writers = scope.spawn(|| hammer(&shop, 4, 100, write, &["40P01"]));
        let mut superuser = shop.fixture.superuser();
        while !writers.is_finished() {
            let differing = superuser.texts("select (r.*)::text from tenancy.recount('orders') r where was <> now");
            assert!(differing.is_empty(), "{differing:?}");
        }
        writers.join().unwrap();
    });
    shop.is_exact();
}

/// The benchmark program does the same for longer, with --soak.
#[test]
fn slots_stay_few_and_lean_however_much_goes_through() {
    let shop = Shop::new();
    shop.fixture.run(
        "select tenancy.set_quota('acme', 'orders', 1000000);
         create procedure churn(client integer, rounds integer) language plpgsql as $$
         begin
             for round in 1..rounds loop
                 insert into orders (body) values (client);
                 commit;
                 delete from orders where body = client::text;
                 commit;
             end loop;
         end $$",
    );
    shop.fixture.run("create index on orders (body)");
    thread::scope(|scope| {
        for client in 0..8 {
            let shop = &shop;
            scope.spawn(move || shop.acme().run(&format!("call churn({client}, 3125)")));
        }
    });
    let size = "select pg_total_relation_size('tenancy.quota_slots')";
    let size: i64 = shop.fixture.superuser().value(size).unwrap().parse().unwrap();
    assert!(size < 4 << 20, "{size}");
    assert_eq!(shop.used("acme", "orders"), 0);
    shop.is_exact();
}
