//! (o) what statistics and the context in the log cost: a tenant's transactions with both, with none, and with none again.

use std::time::Duration;

use tenancy_harness::{Cluster, Config, Session};

use crate::Bench;
use crate::measure::{Turns, alternate};
use crate::report::{Bar, Line};

const ROWS: u32 = 100_000;
const TENANTS: u32 = 10;
const DATABASE: &str = "postgres";

/// As `pgbench --select-only`, for a tenant of ten.
const SELECT: &str = "\\set id random(1, 10000)\n\\set tenant random(1, 10)\n\
                      begin;\nselect tenancy.set_tenant(:tenant::text);\nselect balance from accounts where id = :id;\ncommit;\n";

/// The same for a session that has its tenant from the start.
const SELECT_ALONE: &str = "\\set id random(1, 10000)\nselect balance from accounts where id = :id;\n";

/// Roles that differ in what is counted and logged.
const WAYS: [&str; 3] = ["with_both", "with_none", "with_none_too"];

/// A server with a table of ten tenants.
fn start() -> Cluster {
    let cluster = Cluster::start("statistics", &crate::server(Config::default()));
    let mut superuser = cluster.connect(Cluster::SUPERUSER);
    superuser.run(&format!(
        "create extension pg_tenancy;
         create table accounts (id integer not null, tenant_id uuid not null, balance integer not null, primary key (tenant_id, id));
         select tenancy.protect('accounts');
         select tenancy.create_tenant(n::text) from generate_series(1, {TENANTS}) n;
         set tenancy.on_bypass = allow;
         insert into accounts select n / {TENANTS} + 1, t.id, 0 from generate_series(0, {ROWS} - 1) n join tenancy.tenants t on t.key = (n % {TENANTS} + 1)::text"
    ));
    for role in WAYS {
        let setting = if role == WAYS[0] { "on" } else { "off" };
        superuser.run(&format!(
            "create role {role} login; grant select on accounts to {role}; select tenancy.grant_access('{role}');
             alter role {role} set tenancy.track_stats = {setting}; alter role {role} set tenancy.log_context = {setting}"
        ));
    }
    superuser.run("vacuum (freeze, analyze)");
    superuser.run("checkpoint");
    for (name, script) in [("select.sql", SELECT), ("alone.sql", SELECT_ALONE)] {
        std::fs::write(cluster.directory().join(name), script).expect("a script for pgbench");
    }
    cluster
}

fn pgbench(cluster: &Cluster, role: &str, script: &str, transactions: u64) -> Duration {
    let count = transactions.to_string();
    let file = cluster.directory().join(script).display().to_string();
    let mut pgbench = cluster.tool("pgbench");
    pgbench.args(["--no-vacuum", "--protocol=prepared", "--transactions", &count, "--username", role, "--file", &file]);
    if script == "alone.sql" {
        pgbench.env("PGOPTIONS", "-c tenancy.tenant_id=1");
    }
    let output = pgbench.arg(DATABASE).output().expect("pgbench runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    let rate = printed.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok());
    let rate =
        rate.unwrap_or_else(|| panic!("pgbench tells no rate: {printed}{}", String::from_utf8_lossy(&output.stderr)));
    Duration::from_secs_f64(transactions as f64 / rate)
}

pub fn statistics(bench: &Bench<'_>) -> Vec<Line> {
    let cluster = start();
    let turns = |calls| Turns { rounds: bench.scale.rounds, slices: bench.scale.slices.div_ceil(4), calls };
    let mut lines = Vec::new();
    for (what, script, calls) in [
        ("pgbench, begin, set_tenant, select, commit", "select.sql", 1_000),
        ("pgbench, select-only, tenant of the session", "alone.sql", 4_000),
    ] {
        let turns = turns(calls);
        let [both, none, control] = &alternate(turns, WAYS, |role| pgbench(&cluster, role, script, turns.calls));
        // Of rates, so of times the other way round.
        let bar = Some(Bar::AtLeast(0.97));
        lines.push(Line::ratio('o', what, "rate with statistics / without", (none, both), bar).with_confidence());
        lines.push(Line::ratio('o', what, "noise: without / without", (none, control), None).with_confidence());
    }
    let counted = "select sum(transactions) > 0 and count(*) = 10 from tenancy.stat_tenants";
    assert_eq!(cluster.connect(Cluster::SUPERUSER).value(counted).as_deref(), Some("t"), "nothing was counted");
    lines
}
