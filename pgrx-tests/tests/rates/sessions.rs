//! How many sessions act for a tenant at a time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Cluster, Config, Session, kill9, sqlstate};

use crate::Desk;

const USE: &str = "select tenancy.require_tenant()";

fn desk(max: u32) -> Desk<'static> {
    let desk = Desk::new();
    desk.allow_sessions(max);
    desk
}

/// A session that acts for acme.
#[track_caller]
fn present(desk: &Desk<'_>) -> Client {
    let mut client = desk.acting_for("acme");
    client.run(USE);
    client
}

/// Waits until so many sessions act for acme.
#[track_caller]
fn becomes(desk: &Desk<'_>, count: i64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while desk.used("acme", "sessions") != count {
        assert!(Instant::now() < deadline, "{} instead of {count}", desk.used("acme", "sessions"));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn one_more_than_may_act_for_the_tenant_is_refused_when_it_would() {
    let desk = desk(2);
    let (mut first, _second) = (present(&desk), present(&desk));
    assert_eq!(desk.used("acme", "sessions"), 2);
    let mut third = desk.client();
    let error = third.refuses("select tenancy.set_tenant('acme', false)", "53400");
    assert_eq!(error.detail(), Some("Resource \"sessions\": used 2, limit 2, requested 1."));
    // However it is set, and whatever uses it.
    third.run("set tenancy.tenant_id = 'acme'");
    third.refuses("select tenancy.current_tenant()", "53400");
    third.refuses("select count(*) from tenancy.tenants", "53400");
    third.run("begin");
    third.refuses(USE, "53400");
    third.run("rollback");
    // Another tenant, and no tenant, are free; those who are there stay.
    third.run("set tenancy.tenant_id = 'globex'; select tenancy.require_tenant(); reset tenancy.tenant_id; select 1");
    first.run(USE);
    assert_eq!(first.value("select tenancy.check_quota('sessions')").as_deref(), Some("f"));
    third.run("set tenancy.tenant_id = 'acme'");
    first.run("reset tenancy.tenant_id");
    third.run(USE);
    first.refuses("select tenancy.set_tenant('acme', false)", "53400");
}

#[test]
fn a_session_counts_until_its_context_ends() {
    let desk = desk(1);
    let mut client = desk.client();
    for (begin, end) in [
        ("set tenancy.tenant_id = 'acme'", "reset tenancy.tenant_id"),
        ("set tenancy.tenant_id = 'acme'", "discard all"),
        ("set tenancy.tenant_id = 'acme'", "set tenancy.tenant_id = 'globex'"),
        ("set tenancy.tenant_id = 'acme'", "select tenancy.clear_tenant(false)"),
        ("select tenancy.set_tenant('acme', false)", "begin; set tenancy.tenant_id = ''; commit"),
        ("begin; select tenancy.set_tenant('acme')", "commit"),
        ("begin; set local tenancy.tenant_id = 'acme'", "rollback"),
        ("begin; set tenancy.tenant_id = 'acme'", "rollback"),
        ("begin; select tenancy.set_tenant('acme')", "prepare transaction 'acme'"),
    ] {
        client.run(begin);
        client.run(USE);
        assert_eq!(desk.used("acme", "sessions"), 1, "{begin}");
        client.run(end);
        assert_eq!(desk.used("acme", "sessions"), 0, "{begin} … {end}");
        client.run("discard all");
    }
    client.run("rollback prepared 'acme'");
}

#[test]
fn within_a_transaction_it_counts_until_that_ends() {
    let desk = desk(1);
    let mut client = desk.client();
    for forgets in ["reset tenancy.tenant_id", "select tenancy.clear_tenant()", "rollback to s"] {
        client.run("begin; savepoint s; select tenancy.set_tenant('acme')");
        client.run(forgets);
        assert_eq!(desk.used("acme", "sessions"), 1, "{forgets}");
        client.run("commit");
        assert_eq!(desk.used("acme", "sessions"), 0, "{forgets}");
    }
    // What is set for a transaction, or a function, over the session's own context leaves that.
    client.run("select tenancy.set_tenant('acme', false)");
    client.run("begin; set local tenancy.tenant_id = 'acme'; select tenancy.require_tenant(); commit");
    assert_eq!(desk.used("acme", "sessions"), 1);
    client.run("begin; set local tenancy.tenant_id = ''; select 1; rollback");
    client.run(USE);
    assert_eq!(desk.used("acme", "sessions"), 1);
}

#[test]
fn who_goes_away_gives_back_his_place() {
    let desk = desk(1);
    drop(present(&desk));
    becomes(&desk, 0);
    let mut client = present(&desk);
    let pid = client.value("select pg_backend_pid()").unwrap();
    desk.fixture.run(&format!("select pg_terminate_backend({pid})"));
    becomes(&desk, 0);
    let mut client = desk.client();
    client.run("begin; select tenancy.set_tenant('acme')");
    let pid = client.value("select pg_backend_pid()").unwrap();
    desk.fixture.run(&format!("select pg_terminate_backend({pid})"));
    becomes(&desk, 0);
    present(&desk);
}

/// Waits until the server, which ends all sessions and recovers when one is killed, has others again.
fn wait_for_recovery(cluster: &Cluster) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while cluster.try_connect("postgres", Cluster::SUPERUSER, "").is_err() {
        assert!(Instant::now() < deadline, "no session:\n{}", cluster.log());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn after_a_crash_no_session_counts() {
    let cluster = Cluster::start("sessions", &Config::default());
    let desk = Desk::on(&cluster);
    desk.allow_sessions(2);
    let (mut killed, mut other) = (present(&desk), present(&desk));
    let pid = killed.value("select pg_backend_pid()").unwrap();
    assert!(kill9(&pid));
    for gone in [&mut killed, &mut other] {
        let deadline = Instant::now() + Duration::from_secs(10);
        while gone.batch_execute("select 1").is_ok() {
            assert!(Instant::now() < deadline, "the session is still there");
        }
    }
    wait_for_recovery(&cluster);
    becomes(&desk, 0);
    let _places = (present(&desk), present(&desk));
    desk.client().refuses("select tenancy.set_tenant('acme', false)", "53400");
}

#[test]
fn never_are_there_more_than_may_be() {
    const MAX: i64 = 3;
    let desk = desk(3);
    let (inside, most, admitted, refused) =
        (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = desk.client();
                for _ in 0..60 {
                    let outcome = client.batch_execute("begin; select tenancy.set_tenant('acme')");
                    match sqlstate(&outcome) {
                        None => {
                            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            let used = client.value("select used from tenancy.quota_usage where resource = 'sessions'");
                            assert!((1..=MAX).contains(&used.unwrap().parse().unwrap()));
                            admitted.fetch_add(1, Ordering::Relaxed);
                            inside.fetch_sub(1, Ordering::SeqCst);
                        }
                        Some("53400") => _ = refused.fetch_add(1, Ordering::Relaxed),
                        _ => panic!("{outcome:?}"),
                    }
                    client.run("rollback");
                }
            });
        }
    });
    assert!(i64::from(most.into_inner()) <= MAX);
    let (admitted, refused) = (admitted.into_inner(), refused.into_inner());
    assert_eq!(admitted + refused, 480);
    assert!(admitted > 0 && refused > 0, "{admitted} {refused}");
    becomes(&desk, 0);
}

#[test]
fn a_job_counts_for_the_tenant_that_it_acts_for() {
    let desk = desk(1);
    let mut job = desk.fixture.connect(&desk.app);
    desk.fixture.run(&format!("alter role {} set tenancy.allow_switch = on", desk.app));
    drop(std::mem::replace(&mut job, desk.client()));
    job.run("begin; select tenancy.set_tenant('acme')");
    assert_eq!(desk.used("acme", "sessions"), 1);
    job.run("select tenancy.set_tenant('globex')");
    assert_eq!(desk.used("acme", "sessions"), 0);
    let mut other = present(&desk);
    job.refuses("select tenancy.set_tenant('acme')", "53400");
    job.run("rollback");
    other.run("reset tenancy.tenant_id");
    job.run("begin; select tenancy.set_tenant('acme'); commit");
}

#[test]
fn parallel_workers_are_no_sessions() {
    let desk = desk(1);
    desk.fixture.run(&format!(
        "create table notes (id integer, tenant_id uuid not null); select tenancy.protect('notes');
         insert into notes select n, '{}' from generate_series(1, 5000) n",
        ACME.id
    ));
    let mut client = present(&desk);
    client.run(
        "set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
         set max_parallel_workers_per_gather = 2; set enable_indexscan = off; set enable_bitmapscan = off;
         set enable_indexonlyscan = off",
    );
    let query = "select count(*) from notes where id > 0";
    assert!(client.texts(&format!("explain {query}")).iter().any(|line| line.contains("Gather")));
    assert_eq!(client.value(query).as_deref(), Some("5000"));
    assert_eq!(desk.used("acme", "sessions"), 1);
}

#[test]
fn limits_come_and_go_while_sessions_are_there() {
    let desk = desk(3);
    let (mut first, mut second) = (present(&desk), present(&desk));
    desk.fixture.run("select tenancy.set_quota('acme', 'sessions', 1)");
    // Nobody is thrown out.
    first.run(USE);
    second.run(USE);
    desk.client().refuses("select tenancy.set_tenant('acme', false)", "53400");
    desk.fixture.run("select tenancy.set_quota('acme', 'sessions', 1, mode => 'track')");
    let _third = present(&desk);
    assert_eq!(desk.used("acme", "sessions"), 3);
    // The lowest of several limits counts.
    desk.fixture.run(
        "select tenancy.set_quota('acme', 'sessions', 10);
         select tenancy.create_resource('logins', 'sessions'); select tenancy.set_quota('acme', 'logins', 3)",
    );
    let error = desk.client().refuses("select tenancy.set_tenant('acme', false)", "53400");
    assert_eq!(error.detail(), Some("Resource \"logins\": used 3, limit 3, requested 1."));
    desk.fixture.run("delete from tenancy.quotas");
    present(&desk);
    desk.fixture.run("select tenancy.set_quota('acme', 'logins', 0)");
    desk.client().refuses("select tenancy.set_tenant('acme', false)", "53400");
}

#[test]
fn the_attacks_of_prove_count_for_nobody() {
    let desk = desk(1);
    desk.fixture.run("create table notes (id integer, tenant_id uuid not null); select tenancy.protect('notes')");
    let present = present(&desk);
    let proven =
        desk.fixture.superuser().value("select count(*) > 0 and bool_and(blocked) from tenancy.prove('notes')");
    assert_eq!(proven.as_deref(), Some("t"));
    assert_eq!(desk.used("acme", "sessions"), 1);
    // Nor do they take the place of the session that calls it.
    drop(present);
    becomes(&desk, 0);
    let mut keeper = desk.fixture.superuser();
    keeper.run("set tenancy.tenant_id = 'acme'");
    keeper.run(USE);
    keeper.run("select count(*) from tenancy.prove('notes')");
    assert_eq!(desk.used("acme", "sessions"), 1);
}

#[test]
fn a_limit_holds_for_who_was_there_before_it_whatever_else_changes() {
    let desk = Desk::new();
    // One that knows that nothing is limited, and hears of a new tenant before the limit.
    let mut client = present(&desk);
    desk.fixture.run("select tenancy.create_tenant('t1')");
    desk.allow_sessions(0);
    client.refuses(USE, "53400");
    desk.fixture.run("delete from tenancy.resources where name = 'sessions'");
    client.run(USE);
    desk.fixture.run(
        "select tenancy.create_tenant('t2'); select tenancy.create_resource('sessions', 'sessions');
         select tenancy.set_quota('acme', 'sessions', 0)",
    );
    client.refuses(USE, "53400");
}

#[test]
fn who_is_cancelled_while_he_is_warned_gives_back_his_place() {
    let desk = desk(1);
    let mut client = desk.client();
    client.refuses("select pg_catalog.pg_cancel_backend(pg_backend_pid()), tenancy.set_tenant('acme', false)", "57014");
    assert_eq!(desk.used("acme", "sessions"), 0);
    present(&desk);
}

#[test]
fn who_may_no_longer_act_for_the_tenant_gives_back_his_place() {
    let desk = desk(1);
    let guest = desk.fixture.role("guest");
    desk.fixture.run(&format!("select tenancy.grant_access('{guest}', 'acme')"));
    let mut client = desk.fixture.connect(&guest);
    client.run("set tenancy.tenant_id = 'acme'");
    client.run(USE);
    assert_eq!(desk.used("acme", "sessions"), 1);
    desk.fixture.run(&format!("select tenancy.revoke_access('{guest}', 'acme')"));
    client.refuses(USE, "42501");
    assert_eq!(desk.used("acme", "sessions"), 0);
    present(&desk);
}

#[test]
fn nothing_more_fits_above_a_lowered_limit() {
    let desk = desk(2);
    let (mut first, _second) = (present(&desk), present(&desk));
    desk.fixture.run("select tenancy.set_quota('acme', 'sessions', 1)");
    for (amount, fits) in [(0, "t"), (1, "f")] {
        let answer = first.value(&format!("select tenancy.check_quota('sessions', {amount})"));
        assert_eq!(answer.as_deref(), Some(fits), "{amount}");
    }
}
