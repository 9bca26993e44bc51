//! What a rate admits and what it refuses.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tenancy_harness::postgres::{self, NoTls};
use tenancy_harness::{ACME, GLOBEX, Session, refuses_in_savepoint, sqlstate};

use crate::{Desk, call};

#[test]
fn as_many_calls_are_admitted_as_the_rate_says_and_then_none() {
    let desk = Desk::new();
    desk.allow(5, "1 hour");
    let mut acme = desk.acting_for("acme");
    let left: Vec<_> = (0..5).map(|_| call(&mut acme).unwrap()).collect();
    assert_eq!(left, ["4", "3", "2", "1", "0"]);
    assert_eq!(acme.value("select tenancy.check_quota('calls')").as_deref(), Some("f"));
    let error = acme.refuses("select tenancy.consume('calls')", "53400");
    assert_eq!(error.detail(), Some("Resource \"calls\": used 5, limit 5, requested 1."));
    let wait: f64 = error
        .hint()
        .and_then(|hint| hint.strip_prefix("Try again in ")?.strip_suffix(" seconds.")?.parse().ok())
        .unwrap();
    assert!((600.0..=720.0).contains(&wait), "{wait}");
    // Others have a rate of their own, or none.
    assert_eq!(call(&mut desk.acting_for("globex")), None);
    assert_eq!(desk.used("acme", "calls"), 5);
}

#[test]
fn several_are_taken_at_once_or_not_at_all() {
    let desk = Desk::new();
    desk.allow(100, "1 hour");
    let mut acme = desk.acting_for("acme");
    assert_eq!(acme.value("select tenancy.consume('calls', 60)").as_deref(), Some("40"));
    assert_eq!(acme.value("select tenancy.check_quota('calls', 40)").as_deref(), Some("t"));
    assert_eq!(acme.value("select tenancy.check_quota('calls', 41)").as_deref(), Some("f"));
    acme.refuses("select tenancy.consume('calls', 41)", "53400");
    assert_eq!(acme.value("select tenancy.consume('calls', 0)").as_deref(), Some("40"));
    assert_eq!(acme.value("select tenancy.consume('calls', 40)").as_deref(), Some("0"));
    let error = acme.refuses("select tenancy.consume('calls', 101)", "53400");
    assert_eq!(error.hint(), Some("It will never fit: at most 100 are admitted at a time."));
    acme.refuses(&format!("select tenancy.consume('calls', {})", i64::MAX), "53400");
}

#[test]
fn a_call_counts_whatever_becomes_of_its_transaction() {
    let desk = Desk::new();
    desk.allow(10, "1 hour");
    let mut acme = desk.acting_for("acme");
    acme.run("begin; select tenancy.consume('calls'); rollback");
    acme.run("begin; savepoint s; select tenancy.consume('calls'); rollback to s; commit");
    acme.refuses("select tenancy.consume('calls'), 1 / g from generate_series(0, 0) g", "22012");
    acme.run("begin; select tenancy.consume('calls'); prepare transaction 'called'");
    acme.run("rollback prepared 'called'");
    acme.run("begin read only; select tenancy.consume('calls'); commit");
    assert_eq!(desk.used("acme", "calls"), 5);
    // A refusal within a savepoint leaves the transaction going.
    desk.allow(5, "1 hour");
    let mut tx = acme.transaction().unwrap();
    refuses_in_savepoint(&mut tx, "select tenancy.consume('calls')", "53400");
    assert_eq!(tx.value("select tenancy.check_quota('calls')").as_deref(), Some("f"));
}

/// Calls until it is refused; how often it was admitted.
fn call_until_refused(client: &mut postgres::Client) -> u32 {
    let mut admitted = 0;
    loop {
        let outcome = client.batch_execute("select tenancy.consume('calls')");
        match sqlstate(&outcome) {
            None => admitted += 1,
            Some("53400") => return admitted,
            _ => panic!("{outcome:?}"),
        }
    }
}

#[test]
fn what_is_spent_comes_back_continuously() {
    let desk = Desk::new();
    desk.allow(40, "2 seconds");
    let mut acme = desk.acting_for("acme");
    acme.run("select tenancy.consume('calls', 40)");
    let full = Instant::now();
    thread::sleep(Duration::from_millis(500));
    let at_least = full.elapsed().as_secs_f64() * 20.0;
    let admitted = f64::from(call_until_refused(&mut acme));
    // Twenty a second; the forty had been spent a little before that.
    let at_most = full.elapsed().as_secs_f64() * 20.0 + 1.0;
    assert!((at_least.floor()..=at_most + 1.0).contains(&admitted), "{at_least} {admitted} {at_most}");
    // Whoever waits as long as he is told is admitted.
    let error = acme.refuses("select tenancy.consume('calls', 3)", "53400");
    let wait: f64 = error
        .hint()
        .and_then(|hint| hint.strip_prefix("Try again in ")?.strip_suffix(" seconds.")?.parse().ok())
        .unwrap();
    thread::sleep(Duration::from_secs_f64(wait));
    acme.run("select tenancy.consume('calls', 3)");
}

#[test]
fn many_clients_together_are_admitted_the_rate() {
    const RATE: f64 = 200.0;
    let desk = Desk::new();
    desk.allow(200, "1 second");
    let (admitted, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut clients: Vec<_> = (0..8).map(|_| desk.acting_for("acme")).collect();
    let start = Instant::now();
    thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| {
                while start.elapsed() < Duration::from_secs(8) {
                    let outcome = client.batch_execute("select tenancy.consume('calls')");
                    match sqlstate(&outcome) {
                        None => admitted.fetch_add(1, Ordering::Relaxed),
                        Some("53400") => refused.fetch_add(1, Ordering::Relaxed),
                        _ => panic!("{outcome:?}"),
                    };
                }
            });
        }
    });
    let allowed = RATE + RATE * start.elapsed().as_secs_f64();
    let admitted = admitted.into_inner() as f64;
    assert!(refused.into_inner() > 0, "the clients are too slow for this rate");
    assert!(admitted <= allowed && admitted >= 0.99 * (RATE + RATE * 8.0), "{admitted} of {allowed}");
}

#[test]
fn a_limit_that_changes_holds_at_once_and_what_was_spent_stays_spent() {
    let desk = Desk::new();
    let mut acme = desk.acting_for("acme");
    desk.allow(10, "1 hour");
    acme.run("select tenancy.consume('calls', 8)");
    desk.allow(15, "2 hours");
    assert_eq!(acme.value("select tenancy.consume('calls', 0)").as_deref(), Some("7"));
    desk.allow(3, "1 hour");
    acme.refuses("select tenancy.consume('calls')", "53400");
    assert_eq!(desk.used("acme", "calls"), 3);
    // Less than the lower limit was not owed: it is full again after one of its own intervals.
    desk.allow(3, "0.1 seconds");
    thread::sleep(Duration::from_millis(150));
    assert_eq!(call(&mut acme).as_deref(), Some("2"));
    thread::sleep(Duration::from_millis(50));
    for (limit, left) in [("null", None), ("50, '1 hour', 'track'", Some("49"))] {
        desk.fixture.run(&format!("select tenancy.set_quota('acme', 'calls', {limit})"));
        assert_eq!(call(&mut acme).as_deref(), left, "{limit}");
    }
    assert_eq!(acme.value("select tenancy.consume('calls', 100)").as_deref(), Some("-51"));
    assert_eq!(desk.used("acme", "calls"), 101);
    // Plain DML counts at once as well, and so does a plan.
    desk.fixture.run("update tenancy.quotas set mode = 'enforce'");
    acme.refuses("select tenancy.consume('calls')", "53400");
    desk.fixture.run("delete from tenancy.quotas");
    assert_eq!(call(&mut acme), None);
    desk.fixture.run(
        "select tenancy.create_plan('small'); select tenancy.set_plan_quota('small', 'calls', 0, '1 minute');
         update tenancy.tenants set plan = 'small' where key = 'acme'",
    );
    acme.refuses("select tenancy.consume('calls')", "53400");
    desk.fixture.run("update tenancy.tenants set plan = null where key = 'acme'");
    assert_eq!(call(&mut acme), None);
    desk.fixture.run("update tenancy.resources set kind = 'counter' where name = 'calls'");
    assert_eq!(call(&mut acme), None);
    desk.fixture.run("delete from tenancy.resources where name = 'calls'");
    acme.refuses("select tenancy.consume('calls')", "42704");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let desk = Desk::new();
    let mut superuser = desk.fixture.superuser();
    superuser.run("select tenancy.create_resource('seats', 'counter'), tenancy.create_resource('users', 'sessions')");
    for arguments in [
        "'calls', 10",
        "'calls', 10, '0 seconds'",
        "'calls', 10, '-1 minute'",
        "'calls', 10, '2 years'",
        "'calls', -1, '1 minute'",
        "'seats', 10, '1 minute'",
        "'users', 10, '1 minute'",
    ] {
        superuser.refuses(&format!("select tenancy.set_quota('acme', {arguments})"), "22023");
    }
    superuser.refuses("select tenancy.create_resource('x', 'rates')", "22023");
    superuser.refuses("select tenancy.recount('calls')", "22023");
    superuser.run("create table orders (tenant_id uuid not null); select tenancy.protect('orders')");
    superuser.refuses("select tenancy.attach_quota('orders', 'calls')", "22023");
    desk.allow(10, "1 month");
    let mut acme = desk.acting_for("acme");
    for (what, state) in [
        ("consume('calls', 1, 'request 1')", "22023"),
        ("consume('calls', -1)", "22023"),
        ("release('calls')", "22023"),
        ("consume('users')", "22023"),
        ("release('users')", "22023"),
    ] {
        acme.refuses(&format!("select tenancy.{what}"), state);
    }
    desk.client().refuses("select tenancy.consume('calls')", "42501");
    assert_eq!(call(&mut acme).as_deref(), Some("9"));
}

#[test]
fn usage_is_shown_to_the_tenant_alone() {
    let desk = Desk::new();
    desk.fixture.run(
        "select tenancy.set_quota('acme', 'calls', 8, '1 hour'), tenancy.set_quota('globex', 'calls', 50, '1 day')",
    );
    let (mut acme, mut globex) = (desk.acting_for("acme"), desk.acting_for("globex"));
    acme.run("select tenancy.consume('calls', 2)");
    globex.run("select tenancy.consume('calls', 5)");
    let usage =
        "select format('%s %s %s %s %s %s', tenant, used, max, per, mode, percent) from tenancy.quota_usage order by 1";
    assert_eq!(acme.texts(usage), ["acme 2 8 01:00:00 enforce 25.0"]);
    assert_eq!(globex.texts(usage), ["globex 5 50 1 day enforce 10.0"]);
    assert_eq!(desk.fixture.superuser().texts(usage).len(), 2);
    assert!(desk.client().texts(usage).is_empty());
    let asked = |tenant| {
        format!("select tenancy.usage_in_memory('{tenant}', (select id from tenancy.resources where name = 'calls'))")
    };
    assert_eq!(acme.value(&asked(ACME.id)).as_deref(), Some("2"));
    assert_eq!(acme.value(&asked(GLOBEX.id)), None);
    assert_eq!(desk.fixture.superuser().value(&asked(GLOBEX.id)).as_deref(), Some("5"));
}

#[test]
fn the_session_is_warned_once_when_the_rate_is_nearly_exhausted() {
    let desk = Desk::new();
    desk.allow(10, "1 hour");
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let mut config = desk.fixture.cluster().client_config(desk.fixture.database(), &desk.app);
    let told = Arc::clone(&warnings);
    config.notice_callback(move |notice| told.lock().unwrap().push(notice.detail().unwrap_or_default().to_owned()));
    let mut acme = config.connect(NoTls).unwrap();
    acme.run("set tenancy.tenant_id = 'acme'");
    for _ in 0..10 {
        call(&mut acme);
    }
    acme.refuses("select tenancy.consume('calls')", "53400");
    assert_eq!(*warnings.lock().unwrap(), ["Resource \"calls\": used 8, limit 10."]);
}

#[test]
fn limits_that_come_with_another_change_of_the_registry_hold_at_once() {
    let desk = Desk::new();
    desk.allow(100, "1 hour");
    let mut client = desk.acting_for("acme");
    assert_eq!(call(&mut client).as_deref(), Some("99"));
    // In one transaction, in two, in either order.
    desk.fixture.run(
        "select tenancy.create_tenant('t1'); delete from tenancy.resources where name = 'calls';
         select tenancy.create_resource('calls', 'rate'); select tenancy.set_quota('acme', 'calls', 2, '1 hour')",
    );
    assert_eq!(call(&mut client).as_deref(), Some("1"));
    desk.fixture.run("select tenancy.create_tenant('t2')");
    desk.fixture.run("delete from tenancy.resources where name = 'calls'");
    client.refuses("select tenancy.consume('calls')", "42704");
    desk.fixture
        .run("select tenancy.create_resource('calls', 'rate'); select tenancy.set_quota('acme', 'calls', 1, '1 hour')");
    desk.fixture.run("analyze tenancy.tenants; analyze tenancy.plan_quotas");
    assert_eq!(call(&mut client).as_deref(), Some("0"));
    client.refuses("select tenancy.consume('calls')", "53400");
    desk.fixture.run("delete from tenancy.quotas; select tenancy.create_tenant('t3')");
    assert_eq!(call(&mut client), None);
}

#[test]
fn what_is_rolled_back_is_forgotten_with_the_registry() {
    let desk = Desk::new();
    let mut keeper = desk.fixture.superuser();
    keeper.run("set tenancy.tenant_id = 'acme'");
    for tenant in ["select 1", "select tenancy.create_tenant('t1')"] {
        keeper.run("begin; select tenancy.create_resource('ghost', 'rate')");
        keeper.run(tenant);
        keeper.run("select tenancy.set_quota('acme', 'ghost', 1, '1 hour')");
        assert_eq!(keeper.value("select tenancy.check_quota('ghost', 2)").as_deref(), Some("f"));
        keeper.run("rollback");
        keeper.refuses("select tenancy.consume('ghost')", "42704");
    }
}

#[test]
fn a_rate_without_an_interval_is_refused_where_it_would_be_made() {
    let desk = Desk::new();
    let limit = "insert into tenancy.quotas (tenant_id, resource_id, max_amount, per) \
                 select t.id, r.id, 5, {} from tenancy.tenants t, tenancy.resources r \
                 where t.key = 'acme' and r.name = 'calls'";
    let mut keeper = desk.fixture.superuser();
    keeper.refuses(&limit.replace("{}", "null"), "22023");
    for per in ["'0'", "'-1 hour'", "'367 days'"] {
        keeper.refuses(&limit.replace("{}", per), "23514");
    }
    keeper.run(&limit.replace("{}", "'1 hour'"));
    keeper.refuses("update tenancy.quotas set per = null", "22023");
    keeper.run(
        "insert into tenancy.plan_quotas (plan, resource_id, per) select p.name, r.id, null from tenancy.plans p, tenancy.resources r
         where r.name = 'calls'",
    );
    keeper.run("select tenancy.create_resource('seats', 'counter'); select tenancy.set_quota('acme', 'seats', 5)");
    keeper.refuses("update tenancy.resources set kind = 'rate' where name = 'seats'", "22023");
    // Who takes the triggers away breaks this rate, and nothing else.
    keeper.run("set session_replication_role = replica; alter table tenancy.quotas disable trigger limits_changed");
    keeper.run("update tenancy.quotas set per = null; reset session_replication_role; analyze tenancy.quotas");
    keeper.run("alter table tenancy.quotas enable always trigger limits_changed");
    assert_eq!(desk.used("acme", "calls"), 0);
    assert!(desk.acting_for("acme").batch_execute("select tenancy.consume('calls')").is_err());
}

#[test]
fn what_was_spent_goes_with_the_extension() {
    let desk = Desk::new();
    let mut keeper = desk.fixture.superuser();
    for _ in 0..2 {
        keeper.run("select tenancy.set_quota('acme', 'calls', 1, '1 hour'); set tenancy.tenant_id = 'acme'");
        assert_eq!(call(&mut keeper).as_deref(), Some("0"));
        keeper.refuses("select tenancy.consume('calls')", "53400");
        keeper.run(&format!(
            "reset tenancy.tenant_id; drop extension pg_tenancy cascade; create extension pg_tenancy;
             select tenancy.create_tenant('acme', id => '{}'); select tenancy.create_resource('calls', 'rate')",
            tenancy_harness::ACME.id
        ));
    }
}
