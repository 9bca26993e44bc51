//! Quotas against a model, over the wire: many clients do random things to one tenant, with savepoints, rollbacks and prepared
//! transactions in every isolation level, while the limit goes up and down, the server is killed, and a standby takes over.
//!
//! `TENANCY_QUOTA_OPERATIONS` says how many statements, `TENANCY_QUOTA_CRASHES` how often the server is killed,
//! `TENANCY_QUOTA_PROMOTIONS` how often a standby takes over, where the defaults for everyday are not enough.

mod clients;
mod ledger;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clients::{Outcome, Worker};
use ledger::Ledger;
use tenancy_harness::{ACME, Cluster, Config, Fixture, Session, postgres::Client};

const CLIENTS: u64 = 8;

fn number(variable: &str, everyday: u64) -> u64 {
    std::env::var(variable).map_or(everyday, |value| value.parse().expect("a number"))
}

/// A table whose rows count, with a limit, and whose bytes are watched.
fn prepare(fixture: &Fixture<'_>) -> String {
    let app = fixture.app();
    fixture.run(&format!(
        "select tenancy.create_tenant('acme', id => '{}');
         create table items (client integer, id bigint generated always as identity, tenant_id uuid not null, body text)
           partition by list (client);
         create table items_even partition of items for values in (0, 2, 4, 6); create table items_odd partition of items default;
         select tenancy.protect('items'); create index on items (client);
         select tenancy.create_resource('items', 'rows'); select tenancy.attach_quota('items', 'items');
         select tenancy.create_resource('storage', 'bytes'); select tenancy.attach_quota('items', 'storage');
         select tenancy.set_quota('acme', 'items', 200)",
        ACME.id
    ));
    app
}

/// Rows and bytes as they are and as they are counted, in one snapshot.
fn check(superuser: &mut Client, ledger: &Ledger) {
    let counted = superuser.value(
        "select format('%s %s', (select count(*) from items),
                       (select coalesce(sum(used), 0) from tenancy.quota_slots s join tenancy.resources r on r.id = s.resource_id
                         where r.name = 'items'))",
    );
    let counted = counted.expect("two numbers");
    let (there, used) = counted.split_once(' ').expect("two numbers");
    assert_eq!(there, used);
    let used: i64 = used.parse().expect("a number");
    assert!(used <= ledger.highest_limit(), "{used} of {}", ledger.highest_limit());
}

fn check_all(superuser: &mut Client) {
    let differing = superuser.texts("select (r.*)::text from tenancy.recount() r where was <> now");
    assert!(differing.is_empty(), "{differing:?}");
}

#[test]
fn usage_is_what_is_there_and_never_over_the_limit() {
    // Transactions of several statements get into each other's way at the limit: that is found out soon.
    let config = Config::default().set("max_prepared_transactions", "50").set("deadlock_timeout", "20ms");
    let cluster = Cluster::start("quotas", &config);
    let fixture = Fixture::on(&cluster);
    let app = prepare(&fixture);
    let ledger = Arc::new(Ledger::new(200));
    let rounds = number("TENANCY_QUOTA_OPERATIONS", 4000) / CLIENTS;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (ledger, fixture, app) = (Arc::clone(&ledger), &fixture, &app);
                scope.spawn(move || {
                    let mut worker = Worker::new(number, fixture.connect(app), ledger);
                    let mut statements = 0;
                    while statements < rounds {
                        statements += worker.transaction().expect("the server runs");
                    }
                    worker.tally()
                })
            })
            .collect();
        let watcher = scope.spawn(|| {
            let mut superuser = fixture.superuser();
            let mut limits = [150, 300, 40, 220, 10, 260].into_iter().cycle();
            while !done.load(Ordering::Relaxed) {
                check(&mut superuser, &ledger);
                let limit = limits.next().expect("a cycle");
                ledger.limit_changes(limit);
                // It may lose a deadlock, and then the limit stays.
                match superuser.batch_execute(&format!("select tenancy.set_quota('acme', 'items', {limit})")) {
                    Ok(()) => ledger.limit_changed(limit),
                    Err(error) if error.code().is_some_and(|code| code.code() == "40P01") => ledger.limit_stays(),
                    Err(error) => panic!("{error:?}"),
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        let mut total = Outcome::default();
        let tallies: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        watcher.join().expect("the watcher");
        for tally in tallies {
            total.add(&tally.expect("a worker"));
        }
        println!("{total:?}");
        // Otherwise it has shown nothing.
        assert!(total.committed > 100 && total.refused > 20 && total.rolled_back > 20, "{total:?}");
    });
    let mut superuser = fixture.superuser();
    check(&mut superuser, &ledger);
    check_all(&mut superuser);
    assert_eq!(superuser.value("select count(*) from items").expect("a number"), ledger.certain().to_string());
}

/// What was prepared and neither committed nor rolled back is now.
fn end_prepared(superuser: &mut Client, commits: bool) {
    for prepared in superuser.texts("select gid from pg_prepared_xacts") {
        let end = if commits { "commit" } else { "rollback" };
        superuser.run(&format!("{end} prepared '{prepared}'"));
    }
}

#[test]
fn a_killed_server_comes_back_with_what_is_there() {
    let cluster = Cluster::start(
        "crashes",
        &Config::default().set("max_prepared_transactions", "50").set("deadlock_timeout", "20ms").set("fsync", "on"),
    );
    let fixture = Fixture::on(&cluster);
    let app = prepare(&fixture);
    fixture.run("select tenancy.set_quota('acme', 'items', 300)");
    for crash in 0..number("TENANCY_QUOTA_CRASHES", 3) {
        // What became of a transaction that was committing is not known: a ledger for each life.
        thread::scope(|scope| {
            for number in 0..CLIENTS {
                let (fixture, app) = (&fixture, &app);
                scope.spawn(move || {
                    let mut worker = Worker::new(number, fixture.connect(app), Arc::new(Ledger::new(300)));
                    worker.trust_refusals();
                    while worker.transaction().is_ok() {}
                });
            }
            thread::sleep(Duration::from_millis(300 + 137 * (crash % 7)));
            cluster.kill9();
        });
        cluster.restart();
        let mut superuser = fixture.superuser();
        end_prepared(&mut superuser, crash % 2 == 0);
        check(&mut superuser, &Ledger::new(300));
        check_all(&mut superuser);
    }
}

#[test]
fn a_standby_that_takes_over_goes_on_with_what_is_there() {
    let config = Config::default().set("max_prepared_transactions", "50").set("deadlock_timeout", "20ms");
    let first = Cluster::start("handing-over", &config);
    let fixture = Fixture::on(&first);
    let app = prepare(&fixture);
    fixture.run("select tenancy.set_quota('acme', 'items', 300)");
    let database = fixture.database();
    let mut promoted: Vec<Cluster> = Vec::new();
    for promotion in 0..number("TENANCY_QUOTA_PROMOTIONS", 2) {
        let serving = promoted.last().unwrap_or(&first);
        let standby = serving.standby();
        thread::scope(|scope| {
            for number in 0..CLIENTS {
                let app = &app;
                scope.spawn(move || {
                    let client = serving.connect_to(database, app);
                    let mut worker = Worker::new(number, client, Arc::new(Ledger::new(300)));
                    worker.trust_refusals();
                    while worker.transaction().is_ok() {}
                });
            }
            thread::sleep(Duration::from_millis(400 + 137 * (promotion % 7)));
            // In the middle of what the other one does, which is lost from there on.
            standby.connect(Cluster::SUPERUSER).run("select pg_promote()");
            serving.kill9();
        });
        let mut superuser = standby.connect_to(database, Cluster::SUPERUSER);
        end_prepared(&mut superuser, promotion % 2 == 0);
        check(&mut superuser, &Ledger::new(300));
        check_all(&mut superuser);
        promoted.push(standby);
    }
    // It counts on, and refuses nothing that fits.
    let serving = promoted.last().expect("a standby that was promoted");
    let mut superuser = serving.connect_to(database, Cluster::SUPERUSER);
    let ledger = Arc::new(Ledger::new(300));
    let there = superuser.value("select count(*) from items").and_then(|count| count.parse().ok()).expect("a number");
    ledger.answered(ledger.asks(there));
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (ledger, app) = (Arc::clone(&ledger), &app);
            scope.spawn(move || {
                let mut worker = Worker::new(number, serving.connect_to(database, app), ledger);
                let mut statements = 0;
                while statements < 100 {
                    statements += worker.transaction().expect("the server runs");
                }
            });
        }
    });
    check(&mut superuser, &ledger);
    check_all(&mut superuser);
    assert_eq!(superuser.value("select count(*) from items").expect("a number"), ledger.certain().to_string());
}
