//! (i) tables that nobody protects, with the library preloaded and without: `pgbench`'s own queries, INSERT, COPY.

use std::io::Write;
use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;
use tenancy_harness::{Cluster, Config, Session};

use crate::Bench;
use crate::measure::{Times, Turns, alternate};
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
    let mut gathered = [const { None }; 3];
    for number in 0..bench.scale.starts {
        for (all, times) in gathered.iter_mut().zip(started(bench, number)) {
            merge(all, times);
        }
    }
    let whats = ["pgbench, select-only, prepared", "pgbench, INSERT of a row, prepared", "COPY, per row"];
    let bars = [Some(Bar::AtLeast(0.98)), None, None];
    let mut lines = Vec::new();
    for ((what, bar), times) in whats.into_iter().zip(bars).zip(gathered.iter().flatten()) {
        let [preloaded, plain, twin] = times;
        // Of rates, so of times the other way round.
        lines.push(
            Line::ratio('i', what, "rate preloaded / not", (&mean(plain, twin), preloaded), bar).with_confidence(),
        );
        lines.push(Line::ratio('i', what, "noise: not / not", (plain, twin), None).with_confidence());
    }
    lines
}

/// What two servers of a kind take on average, round by round: where their memory lies counts half as much.
fn mean(one: &Times, other: &Times) -> Times {
    let rounds = one.rounds.iter().zip(&other.rounds).map(|(one, other)| f64::midpoint(*one, *other)).collect();
    Times { rounds, calls: one.calls }
}

fn merge(all: &mut Option<[Times; 3]>, times: [Times; 3]) {
    match all {
        None => *all = Some(times),
        Some(all) => all.iter_mut().zip(times).for_each(|(all, times)| all.rounds.extend(times.rounds)),
    }
}

/// The times of three servers that are started anew: where a server's memory happens to lie makes it faster or slower by a
/// hundredth or two for as long as it runs. Each time another one is the first to be started.
fn started(bench: &Bench<'_>, number: usize) -> [[Times; 3]; 3] {
    let scale = u32::try_from(bench.scale.table_rows / 200_000).expect("a small scale");
    let mut servers = [const { None }; 3];
    for which in (0..3).map(|step| (number + step) % 3) {
        let config = if which == 0 { Config::default() } else { Config::without_preload() };
        servers[which] = Some(Server::start(config, scale));
    }
    let mut servers = servers.map(|server| server.expect("all were started"));
    let numbers = [0, 1, 2];
    let rounds = bench.scale.rounds.div_ceil(bench.scale.starts);
    let turns = |calls| Turns { rounds, slices: bench.scale.slices.div_ceil(4), calls };
    let (select, insert, copy) = (turns(4_000), turns(2_000), turns(20_000));
    [
        alternate(select, numbers, |number| servers[number].pgbench(select.calls, &["--select-only"])),
        alternate(insert, numbers, |number| servers[number].insert(insert.calls)),
        alternate(copy, numbers, |number| servers[number].copy(copy.calls)),
    ]
}
