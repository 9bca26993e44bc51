//! A soak of `pg_tenancy`: sixteen clients behind `PgBouncer` in transaction mode read, write, attack and leave in the middle of
//! things, for tenants that are created, suspended, resumed and erased meanwhile, while sessions are terminated and the server
//! crashes now and then.
//!
//! All the time, every byte that a client receives is searched for what is another tenant's, and every error has to be one that
//! may happen just then. At pauses nobody works, and it is looked whether quotas have counted what is there, rows lie with their own
//! tenant, rates admitted no more than they may, and the audit log's chain holds; in the end also whether the log makes the tables
//! again, sessions have kept their memory, and no process has gone but those that were killed.
//!
//! `soak [MINUTES]`, 30 unless given. Needs `PG_TENANCY_PG_CONFIG`; `PG_TENANCY_SEED` names the seed of a former run. Prints a line every ten
//! seconds; the exit status tells whether all held.

mod admin;
mod checks;
mod client;
mod memory;
mod site;
mod tally;
mod work;

use std::process::ExitCode;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use memory::Memory;
use site::Site;
use tally::read;
use tenancy_harness::{Cluster, Config, Dice};

const CLIENTS: usize = 16;
const REPORT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(30);
const SAMPLE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let Some(length) = length(std::env::args().nth(1)) else {
        eprintln!("soak [MINUTES], such as: soak 2");
        return ExitCode::FAILURE;
    };
    let seed = Dice::seed();
    let mut dice = Dice::new(seed);
    let config =
        Config::default().set("max_connections", "60").set("restart_after_crash", "on").set("max_wal_size", "4GB");
    let cluster = Cluster::start("soak", &config);
    let site = Site::create(&cluster, &mut dice);
    println!(
        "PostgreSQL {}, PG_TENANCY_SEED={seed}, {CLIENTS} clients, {} s",
        cluster.version() / 10_000,
        length.as_secs()
    );
    if !site.scan_is_awake() {
        site.tally.fault("the scan does not see what it should".to_owned());
    }
    let start = Instant::now();
    let mut memory = Memory::default();
    thread::scope(|scope| {
        let site = &site;
        for number in 0..CLIENTS {
            let dice = dice.split();
            scope.spawn(move || client::work(site, number, dice));
        }
        let (admins, killers) = (dice.split(), dice.split());
        scope.spawn(move || admin::administer(site, admins));
        scope.spawn(move || admin::kill(site, killers, start, length));
        watch(site, start, length, &mut memory);
        site.end();
    });
    checks::at_rest(&site);
    let contents = checks::at_the_end(&site);
    verdict(&site, &memory, start, &contents)
}

fn length(argument: Option<String>) -> Option<Duration> {
    let minutes = argument.map_or(Ok(30.0), |minutes| minutes.parse::<f64>()).ok()?;
    Duration::try_from_secs_f64(minutes * 60.0).ok()
}

/// Reports, looks at memory, and stops everybody now and then to look whether all is as it should be.
fn watch(site: &Site<'_>, start: Instant, length: Duration, memory: &mut Memory) {
    let (mut report, mut pause) = (start + REPORT, start + PAUSE);
    let mut superuser = None;
    while start.elapsed() < length {
        thread::sleep(SAMPLE);
        if superuser.as_ref().is_none_or(|client: &tenancy_harness::postgres::Client| client.is_closed()) {
            superuser = site.fixture.try_connect(Cluster::SUPERUSER, "").ok();
        }
        if let Some(client) = &mut superuser {
            memory.sample(site, client);
        }
        if Instant::now() > pause {
            let _nobody = site.turns.write().unwrap_or_else(PoisonError::into_inner);
            checks::at_rest(site);
            pause = Instant::now() + PAUSE;
        }
        if Instant::now() > report {
            println!("{:>4} s: {}; {}", start.elapsed().as_secs(), site.tally.line(), memory.line());
            report += REPORT;
        }
    }
}

fn verdict(site: &Site<'_>, memory: &Memory, start: Instant, contents: &str) -> ExitCode {
    let tally = &site.tally;
    if memory.largest_growth().is_some_and(|(growth, ..)| growth > memory::BOUND_KIB) {
        tally.fault(format!("MEMORY: {}, of {} KiB at most", memory.line(), memory::BOUND_KIB));
    }
    // A soak in which nothing happens shows nothing.
    for (what, number) in [
        ("commits", read(&tally.commits)),
        ("own canaries", read(&tally.canaries)),
        ("terminated sessions", read(&tally.terminated)),
        ("erased tenants", read(&tally.erased)),
    ] {
        if number == 0 {
            tally.fault(format!("there were no {what}"));
        }
    }
    println!(
        "\n{} s: {}\n{contents}\n{}\nerrors that were met:\n{}",
        start.elapsed().as_secs(),
        tally.line(),
        memory.line(),
        tally.explained()
    );
    let faults = tally.faults();
    println!("{}", if faults == 0 { "soak: all held".to_owned() } else { format!("soak: {faults} FAULTS") });
    if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
