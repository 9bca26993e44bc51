//! (g) `set_tenant` among one, a thousand and a hundred thousand registered tenants.

use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;
use tenancy_harness::{Cluster, Fixture, Session};

use crate::Bench;
use crate::measure::{Random, Turns, alternate};
use crate::report::{Bar, Line};

/// The largest registry.
pub const MANY: usize = 100_000;

/// A database with many tenants, named `tenant-0` and so on.
pub struct Registry<'c> {
    fixture: Fixture<'c>,
    app: String,
    tenants: usize,
}

impl<'c> Registry<'c> {
    pub fn create(cluster: &'c Cluster, tenants: usize) -> Self {
        let fixture = Fixture::on(cluster);
        let app = fixture.app_named("bench_app");
        fixture.run(&format!(
            "insert into tenancy.tenants (id, key)
             select md5('tenant ' || n)::uuid, 'tenant-' || n from generate_series(0, {tenants} - 1) n"
        ));
        fixture.run("vacuum (freeze, analyze) tenancy.tenants");
        // Both commit after each call, so that the next may take another tenant; they return the seconds they took.
        // The numbers are Lehmer's (MINSTD).
        for (name, call) in [
            ("visit", "tenancy.set_tenant('tenant-' || number % tenants, false)"),
            ("idle", "'tenant-' || number % tenants"),
        ] {
            fixture.run(&format!(
                "create procedure {name}(calls bigint, tenants bigint, inout seconds double precision)
                 language plpgsql as $$
                 declare
                     start constant timestamptz := clock_timestamp();
                     number bigint := 1 + extract(microseconds from start)::bigint;
                 begin
                     for turn in 1..calls loop
                         number := number * 48271 % 2147483647;
                         perform {call};
                         commit;
                     end loop;
                     seconds := extract(epoch from clock_timestamp() - start);
                 end $$"
            ));
        }
        Self { fixture, app, tenants }
    }

    /// A session of the application's role.
    pub fn connect(&self) -> Client {
        self.fixture.connect(&self.app)
    }

    pub fn fixture(&self) -> &Fixture<'c> {
        &self.fixture
    }

    /// Takes one tenant after the other within the server, each in a transaction of its own.
    pub fn visit(&self, client: &mut Client, calls: u64) -> Duration {
        self.call(client, "visit", calls)
    }

    /// The same loop without taking a tenant.
    fn idle(&self, client: &mut Client, calls: u64) -> Duration {
        self.call(client, "idle", calls)
    }

    fn call(&self, client: &mut Client, procedure: &str, calls: u64) -> Duration {
        let seconds = client.value(&format!("call {procedure}({calls}, {}, 0)", self.tenants));
        let seconds = seconds.and_then(|seconds| seconds.parse().ok()).expect("the time that the loop took");
        Duration::from_secs_f64(seconds)
    }
}

pub fn set_tenant(bench: &Bench<'_>) -> Vec<Line> {
    let [one, thousand, control] = [1, 1_000, 1].map(|tenants| Registry::create(bench.cluster, tenants));
    let registries = [&one, &thousand, bench.large_registry(), &control];
    let mut sessions = registries.map(|registry| {
        let mut client = registry.connect();
        let set = client.prepare("select tenancy.set_tenant($1::text)").expect("a query");
        // Once through, so that all is in memory.
        registry.visit(&mut client, 2 * registry.tenants as u64);
        client.run("reset tenancy.tenant_id");
        (client, set)
    });
    let mut lines = Vec::new();

    let mut random = Random::new();
    let turns = Turns { rounds: bench.scale.rounds, slices: bench.scale.slices, calls: 100 };
    let [of_one, of_thousand, of_many, of_control] = &alternate(turns, [0, 1, 2, 3], |number| {
        let (client, set) = &mut sessions[number];
        let tenants = registries[number].tenants;
        let start = Instant::now();
        for _ in 0..turns.calls {
            let tenant = format!("tenant-{}", random.below(tenants));
            let mut transaction = client.transaction().expect("a transaction");
            transaction.query_one(set, &[&tenant]).expect("the tenant is set");
            transaction.commit().expect("commit");
        }
        start.elapsed()
    });
    let what = "begin, set_tenant, commit";
    lines.push(Line::ratio('g', what, "1,000 / 1 tenants", (of_thousand, of_one), Some(Bar::AtMost(1.1))));
    lines.push(Line::ratio('g', what, "100,000 / 1 tenants", (of_many, of_one), Some(Bar::AtMost(1.1))));
    lines.push(Line::ratio('g', what, "noise: 1 / 1 tenants", (of_control, of_one), None));

    let turns = Turns { calls: 1_000, ..turns };
    let [idle, of_one, of_thousand, of_many] =
        &alternate(turns, [None, Some(0), Some(1), Some(2)], |number| match number {
            Some(number) => registries[number].visit(&mut sessions[number].0, turns.calls),
            None => one.idle(&mut sessions[0].0, turns.calls),
        });
    let what = "server-side loop of set_tenant, commit";
    lines.push(Line::ratio('g', what, "1,000 / 1 tenants", (of_thousand, of_one), None));
    lines.push(Line::ratio('g', what, "100,000 / 1 tenants", (of_many, of_one), None));
    lines.push(Line::ratio('g', what, "1 tenant / no set_tenant", (of_one, idle), None));
    lines
}
