//! (k) single-row inserts of one tenant, each durable, by many clients and by one, and a bulk insert: with a quota, without
//! one, and with what is usual instead.

use std::time::{Duration, Instant};

use tenancy_harness::{Cluster, Config, Fixture, Session};

use crate::measure::{Turns, alternate};
use crate::report::{Bar, Line};
use crate::{Bench, pin};

/// Sessions that write at a time, where there are many.
pub const CLIENTS: u32 = 32;

pub const ROLE: &str = "writer";

/// What counts a tenant's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Ours,
    Nothing,
    /// A trigger in PL/pgSQL that updates one row for the tenant.
    CounterRow,
    /// A trigger in PL/pgSQL that counts the tenant's rows.
    CountAll,
    /// Nothing once more, on another table: what differs from the other is noise.
    Control,
}

impl Way {
    const ALL: [Self; 5] = [Self::Ours, Self::Nothing, Self::CounterRow, Self::CountAll, Self::Control];

    pub fn table(self) -> &'static str {
        match self {
            Self::Ours => "counted_ours",
            Self::Nothing => "counted_not",
            Self::CounterRow => "counted_in_row",
            Self::CountAll => "counted_all",
            Self::Control => "counted_not_2",
        }
    }

    /// Makes its table, protected as all of them are, with a limit that nobody reaches.
    fn create(self, fixture: &Fixture<'_>) {
        let table = self.table();
        fixture.run(&format!(
            "create table {table} (id bigint not null, tenant_id uuid not null, body text not null);
             create index on {table} (tenant_id, id);
             select tenancy.protect('{table}')"
        ));
        match self {
            Self::Nothing | Self::Control => {}
            Self::Ours => fixture.run(&format!(
                "select tenancy.create_resource('rows', 'rows'); select tenancy.attach_quota('{table}', 'rows');
                 select tenancy.set_quota('acme', 'rows', 1000000000)"
            )),
            Self::CounterRow => fixture.run(&format!(
                "create table usage (tenant_id uuid primary key, used bigint not null, max_rows bigint not null);
                 insert into usage select id, 0, 1000000000 from tenancy.tenants;
                 create function count_in_row() returns trigger language plpgsql as $$
                 begin
                     update usage set used = used + 1 where tenant_id = new.tenant_id and used < max_rows;
                     if not found then
                         raise exception 'no more' using errcode = '53400';
                     end if;
                     return null;
                 end $$;
                 create trigger counted after insert on {table} for each row execute function count_in_row()"
            )),
            Self::CountAll => fixture.run(&format!(
                "create function count_all() returns trigger language plpgsql as $$
                 begin
                     if (select count(*) from {table} where tenant_id = new.tenant_id) > 1000000000 then
                         raise exception 'no more' using errcode = '53400';
                     end if;
                     return null;
                 end $$;
                 create trigger counted after insert on {table} for each row execute function count_all()"
            )),
        }
    }
}

/// A server whose commits are durable, as PostgreSQL comes but for memory and checkpoints.
pub fn server(durable: bool) -> Cluster {
    let config = [
        ("fsync", if durable { "on" } else { "off" }),
        ("shared_buffers", "1GB"),
        ("checkpoint_timeout", "1h"),
        ("max_wal_size", "16GB"),
        // Files of the log are used again, not made anew while somebody is timed.
        ("min_wal_size", "4GB"),
    ];
    Cluster::start(
        "counted",
        &config.into_iter().fold(Config::default(), |config, (name, value)| config.set(name, value)),
    )
}

/// A database with a table for each way.
pub struct Counted<'c> {
    cluster: &'c Cluster,
    fixture: Fixture<'c>,
}

impl<'c> Counted<'c> {
    pub fn create(cluster: &'c Cluster, ways: &[Way]) -> Self {
        let fixture = Fixture::on(cluster);
        fixture.run(&format!(
            "select tenancy.create_tenant('acme');
             create role {ROLE} login;
             select tenancy.grant_access('{ROLE}')"
        ));
        for way in ways {
            way.create(&fixture);
        }
        fixture.run(&format!("grant select, insert, update, delete on all tables in schema public to {ROLE}"));
        for way in ways {
            let table = way.table();
            let set = "\\if :first\nselect tenancy.set_tenant('acme', false);\n\\set first 0\n\\set n 0\n\\endif\n\
                       \\set n :n + 1\n\\set id :client_id * 1000000000 + :n\n";
            let insert = format!("insert into {table} (id, body) values (:id, 'something');\n");
            let delete = format!("delete from {table} where id = :id;\n");
            let script = |kind| cluster.directory().join(format!("{table}.{kind}"));
            std::fs::write(script("insert"), format!("{set}{insert}")).expect("a script for pgbench");
            std::fs::write(script("both"), format!("{set}{insert}{delete}")).expect("a script for pgbench");
        }
        Self { cluster, fixture }
    }

    /// How long a run of a script takes, with statements prepared once: so many seconds, or transactions of each client.
    /// Returns the time per run.
    pub fn pgbench(&self, way: Way, kind: &str, clients: u32, extent: &[&str]) -> Duration {
        let script = self.cluster.directory().join(format!("{}.{kind}", way.table())).display().to_string();
        let clients = clients.to_string();
        let common = ["--no-vacuum", "--protocol=prepared", "--define=first=1", "--jobs=2", "--username", ROLE];
        let these = ["--client", &clients, "--file", &script];
        let output =
            self.cluster.run_tool("pgbench", &[&common[..], &these, extent, &[self.fixture.database()]].concat());
        let printed = String::from_utf8_lossy(&output.stdout);
        let rate = printed.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok());
        Duration::from_secs_f64(1.0 / rate.unwrap_or_else(|| panic!("pgbench tells no rate: {printed}")))
    }

    pub fn superuser(&self) -> tenancy_harness::postgres::Client {
        self.fixture.superuser()
    }

    pub fn empty(&self, way: Way) {
        self.fixture.run(&format!("truncate {}", way.table()));
    }

    /// The time that one statement takes which inserts so many rows.
    fn bulk(&self, way: Way, rows: i64) -> Duration {
        self.empty(way);
        self.fixture.run("checkpoint");
        let mut client = self.fixture.connect(ROLE);
        client.run("begin; select tenancy.set_tenant('acme')");
        let start = Instant::now();
        let statement = format!(
            "insert into {} (id, body) select n, 'order number ' || n from generate_series(1, {rows}) n",
            way.table()
        );
        let inserted = client.execute(&statement, &[]).expect("insert");
        let elapsed = start.elapsed();
        client.run("commit");
        assert_eq!(i64::try_from(inserted), Ok(rows));
        elapsed
    }
}

pub fn quotas(bench: &Bench<'_>) -> Vec<Line> {
    // Sessions that run at the same time are what is measured.
    let _spread = pin::lifted();
    let cluster = server(true);
    let counted = Counted::create(&cluster, &Way::ALL);
    let mut lines = Vec::new();
    for (clients, what) in [(CLIENTS, "32 clients"), (1, "1 client")] {
        let turns = Turns { rounds: bench.scale.heavy_rounds, slices: 1, calls: 1 };
        let [ours, nothing, row, all, control] = &alternate(turns, Way::ALL, |way| {
            counted.empty(way);
            counted.pgbench(way, "insert", clients, &["--time=1"])
        });
        let what = format!("durable insert of a row, {what}");
        // Of rates, so of times the other way round.
        let bars = if clients == 1 { (None, 0.8) } else { (Some(Bar::AtLeast(6.0)), 0.6) };
        lines.push(Line::ratio('k', &what, "rate ours / counter row", (row, ours), bars.0));
        lines.push(Line::ratio('k', &what, "rate ours / count(*)", (all, ours), None));
        lines.push(Line::ratio('k', &what, "rate ours / no quota", (nothing, ours), Some(Bar::AtLeast(bars.1))));
        lines.push(Line::ratio('k', &what, "noise: no quota / no quota", (nothing, control), None));
    }
    let rows = bench.scale.insert_rows;
    let turns = Turns { rounds: bench.scale.heavy_rounds, slices: 5, calls: 1 };
    let ways = [Way::Ours, Way::Nothing, Way::Control];
    let [ours, nothing, control] = &alternate(turns, ways, |way| counted.bulk(way, rows));
    let what = format!("insert of {rows} rows");
    lines.push(Line::ratio('k', &what, "ours / no quota", (ours, nothing), Some(Bar::AtMost(1.1))));
    lines.push(Line::ratio('k', &what, "noise: no quota / no quota", (control, nothing), None));
    lines
}
