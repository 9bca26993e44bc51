//! (g) `set_tenant` among one, a thousand and a hundred thousand registered tenants.

use std::time::{Duration, Instant};

use tenancy_harness::postgres::{Client, Statement};
use tenancy_harness::{Cluster, Fixture, Session};

use crate::Bench;
use crate::measure::{Random, Times, Turns, alternate};
use crate::report::{Bar, Line};

/// The largest registry.
pub const MANY: usize = 100_000;

/// As many as a busy session has to do with.
const THOUSAND: usize = 1_000;

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

    /// Takes tenants at random within the server, each in a transaction of its own.
    pub fn visit(&self, client: &mut Client, calls: u64) -> Duration {
        call(client, "visit", calls, self.tenants)
    }
}

fn call(client: &mut Client, procedure: &str, calls: u64, tenants: usize) -> Duration {
    let seconds = client.value(&format!("call {procedure}({calls}, {tenants}, 0)"));
    let seconds = seconds.and_then(|seconds| seconds.parse().ok()).expect("the time that the loop took");
    Duration::from_secs_f64(seconds)
}

/// A session that acts for some of the tenants that are registered.
struct Visitor {
    client: Client,
    set: Statement,
    in_use: usize,
}

impl Visitor {
    fn new(registry: &Registry<'_>, in_use: usize) -> Self {
        let mut client = registry.connect();
        let set = client.prepare("select tenancy.set_tenant($1::text)").expect("a query");
        let mut visitor = Self { client, set, in_use };
        // Until all is in memory.
        visitor.repeat("visit", 2 * registry.tenants as u64);
        visitor.client.run("reset tenancy.tenant_id");
        visitor
    }

    /// Runs a loop within the server.
    fn repeat(&mut self, procedure: &str, calls: u64) -> Duration {
        call(&mut self.client, procedure, calls, self.in_use)
    }

    /// Runs a loop over the wire.
    fn transactions(&mut self, calls: u64, random: &mut Random) -> Duration {
        let start = Instant::now();
        for _ in 0..calls {
            let tenant = format!("tenant-{}", random.below(self.in_use));
            let mut transaction = self.client.transaction().expect("a transaction");
            transaction.query_one(&self.set, &[&tenant]).expect("the tenant is set");
            transaction.commit().expect("commit");
        }
        start.elapsed()
    }
}

pub fn set_tenant(bench: &Bench<'_>) -> Vec<Line> {
    let [one, thousand, control] = [1, THOUSAND, 1].map(|tenants| Registry::create(bench.cluster, tenants));
    let many = bench.large_registry();
    let mut visitors = [
        Visitor::new(&one, 1),
        Visitor::new(&thousand, THOUSAND),
        Visitor::new(many, THOUSAND),
        Visitor::new(many, MANY),
        Visitor::new(&control, 1),
    ];
    let numbers = [0, 1, 2, 3, 4];
    let mut lines = Vec::new();
    let mut report = |what, [of_one, of_thousand, of_some, of_many, of_control]: &[Times; 5], bar| {
        lines.push(Line::ratio('g', what, "1,000 / 1 tenants", (of_thousand, of_one), bar));
        lines.push(Line::ratio('g', what, "100,000 / 1 tenants, 1,000 in use", (of_some, of_one), bar));
        lines.push(Line::ratio('g', what, "100,000 / 1 tenants, all in use", (of_many, of_one), bar));
        lines.push(Line::ratio('g', what, "noise: 1 / 1 tenants", (of_control, of_one), None));
    };

    let mut random = Random::new();
    let turns = Turns { rounds: bench.scale.rounds, slices: bench.scale.slices, calls: 100 };
    let times = alternate(turns, numbers, |number| visitors[number].transactions(turns.calls, &mut random));
    report("begin, set_tenant, commit", &times, Some(Bar::AtMost(1.1)));

    let turns = Turns { calls: 1_000, ..turns };
    let times = alternate(turns, numbers, |number| visitors[number].repeat("visit", turns.calls));
    report("server-side loop of set_tenant, commit", &times, None);

    let [visit, idle] = &alternate(turns, ["visit", "idle"], |procedure| visitors[0].repeat(procedure, turns.calls));
    lines.push(Line::ratio('g', "the same loop", "with / without set_tenant", (visit, idle), None));
    lines
}
