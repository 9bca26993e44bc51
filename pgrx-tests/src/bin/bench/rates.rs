//! (j) what it costs to ask for a rate, and how much of it many clients are admitted.

use std::thread;
use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;
use tenancy_harness::{Fixture, Session, sqlstate};

use crate::Bench;
use crate::measure::{Turns, alternate};
use crate::report::{Bar, Line};

const CLIENTS: usize = 32;
const PER_MINUTE: u32 = 6_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Calls of a function in one statement.
const CALLS: u64 = 20_000;

/// Who calls.
struct Caller<'c> {
    fixture: Fixture<'c>,
    app: String,
}

impl<'c> Caller<'c> {
    fn new(bench: &Bench<'c>) -> Self {
        let fixture = Fixture::on(bench.cluster);
        let app = fixture.app_named("bench_caller");
        fixture.run(&format!(
            "select tenancy.create_tenant('acme');
             select tenancy.create_resource('calls', 'rate'), tenancy.create_resource('free', 'rate');
             select tenancy.set_quota('acme', 'calls', {PER_MINUTE}, '1 minute', warn_at => null);
             select tenancy.set_quota('acme', 'free', 1000000000000, '1 minute')"
        ));
        Self { fixture, app }
    }

    fn connect(&self) -> Client {
        let mut client = self.fixture.connect(&self.app);
        client.run("set tenancy.tenant_id = 'acme'");
        client
    }
}

pub fn rates(bench: &Bench<'_>) -> Vec<Line> {
    let caller = Caller::new(bench);
    let mut lines = cost(bench, &caller);
    lines.push(admitted(bench, &caller));
    lines
}

/// Functions called once a row, of which one does nothing but return a variable of the session.
fn cost(bench: &Bench<'_>, caller: &Caller<'_>) -> Vec<Line> {
    let mut client = caller.connect();
    let turns = Turns { rounds: bench.scale.rounds, slices: bench.scale.slices, calls: CALLS };
    let ways = ["tenancy.consume('free')", "tenancy.check_quota('free')", "pg_backend_pid()"];
    let [consume, check, empty] = &alternate(turns, ways, |function| {
        let start = Instant::now();
        client.run(&format!("select count({function}) from generate_series(1, {CALLS})"));
        start.elapsed()
    });
    // Without what the loop takes.
    let net = (consume.per_call() - empty.per_call()) * 1e6;
    let what = "one session's calls in a loop";
    vec![
        Line::ratio('j', what, "consume / empty C function", (consume, empty), None),
        Line::ratio('j', what, "check_quota / empty C function", (check, empty), None),
        Line::amount('j', what, "consume, without the loop", net, "µs", Bar::AtMost(2.0)),
    ]
}

/// From the first refusal on, when what a quiet tenant may call at once is spent.
fn admitted(bench: &Bench<'_>, caller: &Caller<'_>) -> Line {
    let time = Duration::from_secs(bench.scale.rate_seconds);
    caller.connect().run(&format!("select tenancy.consume('calls', {PER_MINUTE})"));
    let start = Instant::now();
    let admitted: u64 = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = caller.connect();
                    let mut admitted = 0;
                    while start.elapsed() < time {
                        let outcome = client.batch_execute("select tenancy.consume('calls')");
                        match sqlstate(&outcome) {
                            None => admitted += 1,
                            Some("53400") => {}
                            _ => panic!("{outcome:?}"),
                        }
                    }
                    admitted
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("a client")).sum()
    });
    let elapsed = start.elapsed().as_secs_f64();
    let allowed = f64::from(PER_MINUTE) * elapsed / MINUTE.as_secs_f64();
    let what = format!("{PER_MINUTE} per minute, {CLIENTS} clients, {elapsed:.0} s: {admitted} admitted");
    let deviation = (admitted as f64 / allowed - 1.0).abs() * 100.0;
    Line::amount('j', what, "deviation from the rate", deviation, "%", Bar::AtMost(1.0))
}
