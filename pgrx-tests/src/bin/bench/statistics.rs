//! (o) what statistics and the context in the log cost: a tenant's transactions with them, without, and without again.

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

/// The first again, with a user and a request.
const SELECT_FOR: &str = "\\set id random(1, 10000)\n\\set tenant random(1, 10)\n\
                          begin;\nselect tenancy.set_tenant(:tenant::text), set_config('tenancy.user_id', 'user-' || :tenant, true), \
                          set_config('tenancy.request_id', 'request-' || :id, true);\n\
                          select balance from accounts where id = :id;\ncommit;\n";

/// What is turned on for one way of three.
#[derive(Clone, Copy)]
struct Matter {
    name: &'static str,
    setting: &'static str,
    /// For all ways.
    given: &'static str,
}

const STATISTICS: Matter =
    Matter { name: "counted", setting: "tenancy.track_stats", given: "tenancy.log_context = off" };
const CONTEXT: Matter = Matter { name: "told", setting: "tenancy.log_context", given: "tenancy.track_stats = on" };
const LINES: Matter =
    Matter { name: "logged", setting: "tenancy.log_context", given: "log_min_duration_statement = 0" };

/// Roles that differ in nothing but that it is turned on for the first.
fn ways(matter: Matter) -> [(String, &'static str); 3] {
    [("with", "on"), ("without", "off"), ("without_too", "off")]
        .map(|(way, state)| (format!("{}_{way}", matter.name), state))
}

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
    for matter in [STATISTICS, CONTEXT, LINES] {
        for (role, state) in ways(matter) {
            superuser.run(&format!(
                "create role {role} login; grant select on accounts to {role}; select tenancy.grant_access('{role}');
                 alter role {role} set {}; alter role {role} set {} = {state}",
                matter.given, matter.setting
            ));
        }
    }
    superuser.run("vacuum (freeze, analyze)");
    superuser.run("checkpoint");
    for (name, script) in [("select.sql", SELECT), ("alone.sql", SELECT_ALONE), ("for.sql", SELECT_FOR)] {
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
    for (what, compared, matter, script, calls) in [
        ("pgbench, begin, set_tenant, select, commit", "rate counted / not", STATISTICS, "select.sql", 1_000),
        ("pgbench, select-only, tenant of the session", "rate counted / not", STATISTICS, "alone.sql", 4_000),
        ("pgbench, with user and request", "rate with log_context / without", CONTEXT, "for.sql", 1_000),
        (
            "pgbench, with user and request, each statement logged",
            "rate with log_context / without",
            LINES,
            "for.sql",
            1_500,
        ),
    ] {
        let turns = turns(calls);
        let roles = ways(matter).map(|(role, _)| role);
        let [with, without, control] =
            &alternate(turns, [0, 1, 2], |way: usize| pgbench(&cluster, &roles[way], script, turns.calls));
        // Of rates, so of times the other way round.
        let bar = Some(Bar::AtLeast(0.97));
        lines.push(Line::ratio('o', what, compared, (without, with), bar).with_confidence());
        lines.push(Line::ratio('o', what, "noise: without / without", (without, control), None).with_confidence());
    }
    let mut superuser = cluster.connect(Cluster::SUPERUSER);
    let counted = "select sum(transactions) > 0 and count(*) = 10 from tenancy.stat_tenants";
    assert_eq!(superuser.value(counted).as_deref(), Some("t"), "nothing was counted");
    assert!(cluster.log().contains("request=\"request-"), "nothing was logged");
    lines
}
