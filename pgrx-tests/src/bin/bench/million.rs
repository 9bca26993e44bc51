//! (n) `set_tenant`, `resolve_host`, `setting` and `has_role` among a thousand and a million tenants, each with a host, a
//! member and settings of its own.

use std::time::{Duration, Instant};

use tenancy_harness::postgres::{Client, Statement};
use tenancy_harness::{Cluster, Config, Fixture, Session};

use crate::Bench;
use crate::measure::{Random, Times, Turns, alternate};
use crate::report::{Bar, Line, duration};

/// The smaller registry, and as many as a busy session has to do with in the larger one.
const THOUSAND: usize = 1_000;

/// What stands for a tenant in a statement, by the tenant's number.
type Text = fn(usize) -> String;

/// A statement and its arguments.
type Asked = (&'static str, &'static [Text]);

/// What may be asked for, each in a transaction of its own.
#[derive(Clone, Copy, Debug)]
enum Call {
    SetTenant,
    ResolveHost,
    Setting,
    HasRole,
}

impl Call {
    const ALL: [Self; 4] = [Self::SetTenant, Self::ResolveHost, Self::Setting, Self::HasRole];

    fn name(self) -> &'static str {
        match self {
            Self::SetTenant => "set_tenant",
            Self::ResolveHost => "resolve_host",
            Self::Setting => "setting",
            Self::HasRole => "has_role",
        }
    }

    /// What a client sends within the transaction; each statement takes the texts that the tenant's number is put into.
    fn statements(self) -> &'static [Asked] {
        const TENANT: Text = |number| format!("tenant-{number}");
        const USER: Text = |number| format!("user-{number}");
        const HOST: Text = |number| format!("shop-{number}.example");
        const SET: Asked = ("select tenancy.set_tenant($1::text)", &[TENANT]);
        match self {
            Self::SetTenant => &[SET],
            Self::ResolveHost => &[("select tenancy.resolve_host($1)", &[HOST])],
            Self::Setting => &[SET, ("select tenancy.setting('seats')", &[])],
            Self::HasRole => &[
                ("select set_config('tenancy.user_id', $1, true)", &[USER]),
                SET,
                ("select tenancy.has_role('member')", &[]),
            ],
        }
    }

    /// The same within a loop of the server, for the tenant `number`; with an assertion that the answer is its own.
    fn block(self) -> &'static str {
        match self {
            Self::SetTenant => "assert tenancy.set_tenant('tenant-' || number, false) is not null;",
            Self::ResolveHost => "assert tenancy.resolve_host('shop-' || number || '.example') is not null;",
            Self::Setting => {
                "perform tenancy.set_tenant('tenant-' || number, false);
                 assert tenancy.setting('seats') = to_jsonb(number);"
            }
            Self::HasRole => {
                "perform set_config('tenancy.user_id', 'user-' || number, false);
                 perform tenancy.set_tenant('tenant-' || number, false);
                 assert tenancy.has_role('member');"
            }
        }
    }
}

/// So many tenants fit into the memory that sessions share, with as much room again, as a table of fixed size wants it.
const SHARED_TENANTS: &str = "2097152";

/// A database with so many tenants.
struct Registry<'c> {
    fixture: Fixture<'c>,
    app: String,
    /// Seconds that registering tenants, hosts and members took, each in a statement of its own.
    loads: [f64; 3],
}

impl<'c> Registry<'c> {
    fn create(cluster: &'c Cluster, tenants: usize) -> Self {
        let fixture = Fixture::on(cluster);
        let app = fixture.app_named("bench_app");
        fixture.run(
            "select tenancy.create_plan('pro', '{\"export\": true, \"seats\": 50}');
             select tenancy.set_setting('seats', '5')",
        );
        let mut superuser = fixture.superuser();
        let loads = [
            "tenancy.tenants (key, plan, settings)
             select 'tenant-' || n, 'pro', jsonb_build_object('seats', n)",
            "tenancy.hosts (host, tenant_id)
             select 'shop-' || n || '.example', (select id from tenancy.tenants where key = 'tenant-' || n)",
            "tenancy.members (tenant_id, user_id)
             select (select id from tenancy.tenants where key = 'tenant-' || n), 'user-' || n",
        ]
        .map(|load| {
            let start = Instant::now();
            superuser.run(&format!("insert into {load} from generate_series(0, {tenants} - 1) n"));
            start.elapsed().as_secs_f64()
        });
        superuser.run("vacuum (freeze, analyze)");
        // Commits after each call, so that the next may take another tenant. The numbers are Lehmer's (MINSTD).
        for call in Call::ALL {
            superuser.run(&format!(
                "create procedure visit_{name}(calls bigint, tenants bigint, inout seconds double precision)
                 language plpgsql as $$
                 declare
                     start constant timestamptz := clock_timestamp();
                     seed bigint := 1 + extract(microseconds from start)::bigint;
                     number bigint;
                 begin
                     for turn in 1..calls loop
                         seed := seed * 48271 % 2147483647;
                         number := seed % tenants;
                         {block}
                         commit;
                     end loop;
                     seconds := extract(epoch from clock_timestamp() - start);
                 end $$;
                 create procedure visit_each_{name}(tenants bigint) language plpgsql as $$
                 begin
                     for number in 0..tenants - 1 loop
                         {block}
                         commit;
                     end loop;
                 end $$",
                name = call.name(),
                block = call.block()
            ));
        }
        Self { fixture, app, loads }
    }
}

/// A session that has to do with some of the tenants that are registered.
struct Visitor {
    client: Client,
    statements: Vec<(Statement, &'static [Text])>,
    call: Call,
    in_use: usize,
}

impl Visitor {
    fn new(registry: &Registry<'_>, call: Call, in_use: usize) -> Self {
        let mut client = registry.fixture.connect(&registry.app);
        let mut prepare = |(text, texts): &Asked| (client.prepare(text).expect("a query"), *texts);
        let statements = call.statements().iter().map(&mut prepare).collect();
        let mut visitor = Self { client, statements, call, in_use };
        // Until the caches are as full as they get.
        visitor.client.run(&format!("call visit_each_{}({in_use})", call.name()));
        visitor.client.run("reset tenancy.tenant_id; reset tenancy.user_id");
        visitor
    }

    /// Runs a loop within the server.
    fn repeat(&mut self, calls: u64) -> Duration {
        let call = format!("call visit_{}({calls}, {}, 0)", self.call.name(), self.in_use);
        let seconds = self.client.value(&call).and_then(|seconds| seconds.parse().ok());
        Duration::from_secs_f64(seconds.expect("the time that the loop took"))
    }

    /// Runs a loop over the wire.
    fn transactions(&mut self, calls: u64, random: &mut Random) -> Duration {
        let start = Instant::now();
        for _ in 0..calls {
            let number = random.below(self.in_use);
            let mut transaction = self.client.transaction().expect("a transaction");
            for (statement, texts) in &self.statements {
                let texts: Vec<String> = texts.iter().map(|text| text(number)).collect();
                let arguments: Vec<_> =
                    texts.iter().map(|text| text as &(dyn tenancy_harness::postgres::types::ToSql + Sync)).collect();
                transaction.query_one(statement, &arguments).expect("an answer");
            }
            transaction.commit().expect("commit");
        }
        start.elapsed()
    }
}

pub fn million(bench: &Bench<'_>) -> Vec<Line> {
    let many = bench.scale.many_tenants;
    let config = Config::default().set("fsync", "off").set("tenancy.shared_tenants", SHARED_TENANTS);
    let cluster = Cluster::start("million", &crate::server(config));
    let [small, control] = [THOUSAND, THOUSAND].map(|tenants| Registry::create(&cluster, tenants));
    let large = Registry::create(&cluster, many);
    let mut lines: Vec<Line> = ["tenants", "hosts", "members"]
        .into_iter()
        .zip(large.loads)
        .map(|(what, seconds)| {
            let each = format!("{} each", duration(seconds / many as f64));
            Line::figure('n', format!("INSERT … SELECT of {many} {what}"), "time", duration(seconds), each)
        })
        .collect();
    for call in Call::ALL {
        // What the call before has put into shared memory is void from here on: tenants were asked for by another name.
        large.fixture.run("update tenancy.tenants set name = name where key = 'tenant-0'");
        let mut visitors = [
            Visitor::new(&small, call, THOUSAND),
            Visitor::new(&large, call, THOUSAND),
            Visitor::new(&large, call, many),
            Visitor::new(&control, call, THOUSAND),
        ];
        let numbers = [0, 1, 2, 3];
        let mut report =
            |what: String, [of_few, of_some, of_many, of_control]: &[Times; 4], bar: fn() -> Option<Bar>| {
                lines.push(Line::ratio('n', &what, "many / 1,000 tenants, 1,000 in use", (of_some, of_few), bar()));
                lines.push(Line::ratio('n', &what, "many / 1,000 tenants, all in use", (of_many, of_few), bar()));
                lines.push(Line::ratio('n', &what, "noise: 1,000 / 1,000 tenants", (of_control, of_few), None));
            };
        let name = call.name();
        let mut random = Random::new();
        let turns = Turns { rounds: bench.scale.rounds, slices: bench.scale.slices, calls: 50 };
        let times = alternate(turns, numbers, |number| visitors[number].transactions(turns.calls, &mut random));
        report(format!("{name}, transaction of a client"), &times, || Some(Bar::AtMost(1.2)));
        let turns = Turns { calls: 500, ..turns };
        let times = alternate(turns, numbers, |number| visitors[number].repeat(turns.calls));
        report(format!("{name}, server-side loop"), &times, || None);
    }
    lines
}
