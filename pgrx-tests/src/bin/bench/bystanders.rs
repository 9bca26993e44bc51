//! (i) tables that nobody protects, with the library preloaded and without: `pgbench`'s own queries, INSERT, COPY.

use std::io::Write;
use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;
use tenancy_harness::{Cluster, Config, Session};

use crate::Bench;
use crate::measure::{Turns, alternate};
use crate::report::{Bar, Line};

const DATABASE: &str = "postgres";
const ROLE: &str = "bystander";
const INSERT: &str = "insert into filled (id, body) values (:client_id, 'forty characters of something or other..');\n";

/// A server of its own, with `pgbench`'s tables, for an ordinary role.
struct Server {
    cluster: Cluster,
    client: Client,
}

impl Server {
    fn start(config: Config, scale: u32) -> Self {
        let cluster = Cluster::start("bystander", &crate::server(config));
        cluster.run_tool("pgbench", &["--initialize", "--quiet", "--scale", &scale.to_string(), DATABASE]);
        let mut superuser = cluster.connect(Cluster::SUPERUSER);
        superuser.run(&format!(
            "create role {ROLE} login;
             create table filled (id bigint, body text);
             grant all on all tables in schema public to {ROLE}"
        ));
        superuser.run("vacuum (freeze, analyze)");
        superuser.run("checkpoint");
        std::fs::write(cluster.directory().join("insert.sql"), INSERT).expect("a script for pgbench");
        let client = cluster.connect(ROLE);
        Self { cluster, client }
    }

    /// The time that `pgbench` takes for so many transactions, with statements prepared once.
    fn pgbench(&self, transactions: u64, script: &[&str]) -> Duration {
        let count = transactions.to_string();
        let common = ["--no-vacuum", "--protocol=prepared", "--transactions", &count, "--username", ROLE];
        let output = self.cluster.run_tool("pgbench", &[&common, script, &[DATABASE]].concat());
        let printed = String::from_utf8_lossy(&output.stdout);
        // Without connecting, which takes longer than many a transaction.
        let rate = printed.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok());
        let rate = rate.unwrap_or_else(|| panic!("pgbench tells no rate: {printed}"));
        Duration::from_secs_f64(transactions as f64 / rate)
    }

    fn insert(&mut self, transactions: u64) -> Duration {
        self.client.run("truncate filled");
        let script = self.cluster.directory().join("insert.sql");
        self.pgbench(transactions, &["--file", &script.display().to_string()])
    }

    fn copy(&mut self, rows: u64) -> Duration {
        self.client.run("truncate filled");
        let start = Instant::now();
        let mut input = self.client.copy_in("copy filled from stdin").expect("COPY begins");
        for id in 0..rows {
            writeln!(input, "{id}\tforty characters of something or other..").expect("a row is sent");
        }
        assert_eq!(input.finish().expect("COPY ends"), rows);
        start.elapsed()
    }
}

pub fn bystanders(bench: &Bench<'_>) -> Vec<Line> {
    let scale = u32::try_from(bench.scale.table_rows / 200_000).expect("a small scale");
    let start = |config| Server::start(config, scale);
    let mut servers = [start(Config::default()), start(Config::without_preload()), start(Config::without_preload())];
    let numbers = [0, 1, 2];
    let turns = |calls| Turns { rounds: bench.scale.rounds, slices: bench.scale.slices.div_ceil(4), calls };
    let mut lines = Vec::new();
    let mut report = |what: &str, [preloaded, plain, control]: &[_; 3], bar| {
        // Of rates, so of times the other way round.
        lines.push(Line::ratio('i', what, "rate preloaded / not", (plain, preloaded), bar).with_confidence());
        lines.push(Line::ratio('i', what, "noise: not / not", (plain, control), None).with_confidence());
    };

    let select = turns(4_000);
    let times = alternate(select, numbers, |number| servers[number].pgbench(select.calls, &["--select-only"]));
    report("pgbench, select-only, prepared", &times, Some(Bar::AtLeast(0.98)));

    let insert = turns(2_000);
    let times = alternate(insert, numbers, |number| servers[number].insert(insert.calls));
    report("pgbench, INSERT of a row, prepared", &times, None);

    let copy = turns(20_000);
    let times = alternate(copy, numbers, |number| servers[number].copy(copy.calls));
    report("COPY, per row", &times, None);
    lines
}
