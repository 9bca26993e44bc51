//! Quotas against a model, over the wire: many clients do random things to two tenants, with savepoints, rollbacks and prepared
//! transactions in every isolation level, while limits go up and down, the server is killed, and a standby takes over.
//!
//! What each client and whoever changes limits does is drawn from a seed, which is printed; `PG_TENANCY_SEED` names it.
//! `TENANCY_QUOTA_OPERATIONS` says how many statements, `TENANCY_QUOTA_CRASHES` how often the server is killed,
//! `TENANCY_QUOTA_PROMOTIONS` how often a standby takes over, where the defaults for everyday are not enough.

mod clients;
mod ledger;
mod limits;
mod operations;
mod rows;
mod site;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clients::{Outcome, Worker};
use limits::Watcher;
use site::Site;
use tenancy_harness::{Cluster, Config, Dice, Fixture, Session};

const CLIENTS: usize = 8;

fn number(variable: &str, everyday: u64) -> u64 {
    std::env::var(variable).map_or(everyday, |value| value.parse().expect("a number"))
}

/// Prints where it comes from.
fn dice() -> Dice {
    let seed = Dice::seed();
    println!("PG_TENANCY_SEED={seed}");
    Dice::new(seed)
}

/// Transactions of several statements get into each other's way at the limit: that is found out soon.
fn config() -> Config {
    Config::default().set("max_prepared_transactions", "50").set("deadlock_timeout", "20ms")
}

/// All clients run, and limits change, until so many statements are done; or, without a number, until `meanwhile` has put an end to
/// the server. What becomes of a transaction that is committing then is not known: so each life of a server has a ledger of its own, of
/// what is there and which limits are written down when it begins, and what is refused is judged by that.
fn live(site: &Site<'_>, dice: &mut Dice, statements: Option<u64>, meanwhile: impl FnOnce()) -> Outcome {
    let mut watcher = Watcher::new(site, dice);
    let ledger = Arc::new(watcher.ledger());
    let workers: Vec<Worker> = (0..CLIENTS)
        .map(|number| Worker::new(site, number, number == CLIENTS - 1, dice, Arc::clone(&ledger)))
        .collect();
    let is_done = AtomicBool::new(false);
    let mut total = Outcome::default();
    thread::scope(|scope| {
        let watcher = scope.spawn(|| watcher.watch(&ledger, &is_done, statements.is_none()));
        let share = statements.map(|statements| statements / CLIENTS as u64);
        let workers: Vec<_> = workers.into_iter().map(|worker| scope.spawn(move || worker.work(share))).collect();
        meanwhile();
        let outcomes: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_done.store(true, Ordering::Relaxed);
        total.limits_changed = watcher.join().expect("the watcher");
        for outcome in outcomes {
            total.add(&outcome.expect("a worker"));
        }
    });
    if statements.is_some() {
        Watcher::finish(site, Some(&ledger));
    }
    total
}

#[test]
fn usage_is_what_is_there_and_never_over_the_limit() {
    let cluster = Cluster::start("quotas", &config());
    let fixture = Fixture::on(&cluster);
    let site = Site::new(&fixture);
    site.begin_counting();
    let outcome = live(&site, &mut dice(), Some(number("TENANCY_QUOTA_OPERATIONS", 6000)), || {});
    outcome.shows(50);
    assert!(outcome.refused.iter().all(|refused| *refused > 10), "{outcome:?}");
    assert_eq!(outcome.admitted.len(), operations::KINDS, "{outcome:?}");
}

/// A limit that is set while what a tenant uses first is not committed yet.
#[test]
fn limits_hold_from_the_first_row_on() {
    let cluster = Cluster::start("first-rows", &config());
    let fixture = Fixture::on(&cluster);
    let site = Site::new(&fixture);
    let mut dice = dice();
    let mut total = Outcome::default();
    for round in 1..=24 {
        let site = site.with_new_tenants(round);
        total.add(&live(&site, &mut dice, Some(CLIENTS as u64 * 6), || {}));
    }
    total.shows(10);
}

/// What was prepared and neither committed nor rolled back is now.
fn end_prepared(site: &Site<'_>, commits: bool) {
    let mut superuser = site.superuser();
    for prepared in superuser.texts("select gid from pg_prepared_xacts") {
        let end = if commits { "commit" } else { "rollback" };
        superuser.run(&format!("{end} prepared '{prepared}'"));
    }
}

#[test]
fn a_killed_server_comes_back_with_what_is_there() {
    let cluster = Cluster::start("crashes", &config().set("fsync", "on"));
    let fixture = Fixture::on(&cluster);
    let site = Site::new(&fixture);
    site.begin_counting();
    let mut dice = dice();
    let mut total = Outcome::default();
    for crash in 0..number("TENANCY_QUOTA_CRASHES", 3) {
        total.add(&live(&site, &mut dice, None, || {
            thread::sleep(Duration::from_millis(300 + 137 * (crash % 7)));
            cluster.kill9();
        }));
        cluster.restart();
        end_prepared(&site, crash % 2 == 0);
        Watcher::finish(&site, None);
    }
    total.shows(10);
}

#[test]
fn a_standby_that_takes_over_goes_on_with_what_is_there() {
    let first = Cluster::start("handing-over", &config());
    let fixture = Fixture::on(&first);
    let site = Site::new(&fixture);
    site.begin_counting();
    let mut dice = dice();
    let mut total = Outcome::default();
    let mut promoted: Vec<Cluster> = Vec::new();
    for promotion in 0..number("TENANCY_QUOTA_PROMOTIONS", 2) {
        let serving = promoted.last().unwrap_or(&first);
        let standby = serving.standby();
        total.add(&live(&site.on(serving), &mut dice, None, || {
            thread::sleep(Duration::from_millis(400 + 137 * (promotion % 7)));
            // In the middle of what the other one does, which is lost from there on.
            standby.connect(Cluster::SUPERUSER).run("select pg_promote()");
            serving.kill9();
        }));
        let site = site.on(&standby);
        end_prepared(&site, promotion % 2 == 0);
        Watcher::finish(&site, None);
        promoted.push(standby);
    }
    total.shows(10);
    // It counts on, and refuses nothing that fits.
    let serving = promoted.last().expect("a standby that was promoted");
    live(&site.on(serving), &mut dice, Some(800), || {}).shows(5);
}
