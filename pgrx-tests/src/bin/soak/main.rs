//! A soak of `pg_tenancy`: sixteen clients behind `PgBouncer` in transaction mode read, write, attack and leave in the middle of
//! things, for tenants that are created, suspended, resumed and erased meanwhile, while sessions are terminated and the server
//! crashes now and then.
//!
//! All the time, every byte that a client receives is searched for what is another tenant's, and every error has to be one that
//! may happen just then, to this client. At pauses nobody works, and it is looked whether quotas have counted what is there, rows lie
//! with their own tenant and none is left of those that were erased, rates admitted no more than they may, the audit log's chain holds,
//! and the extension is well; in the end also whether the log makes the tables again, nothing that `tenancy.prove()` tries succeeds,
//! sessions have kept their memory, no process has gone but those that were killed, and the server's log has no error that may not happen.
//!
//! `soak [MINUTES [SQL]]`, 30 unless given. Needs `PG_TENANCY_PG_CONFIG`; `PG_TENANCY_SEED` names the seed of a former run. Prints a line every ten
//! seconds; the exit status tells whether all held. A superuser runs the SQL after half of the time, when nothing crashes any more: it is
//! there to break something, and the soak holds then only if it does not hold. `leak` instead of SQL has sessions grow, which only a look
//! at their memory tells: for that two minutes are enough.

mod admin;
mod checks;
mod client;
mod idle;
mod manner;
mod memory;
mod scan;
mod site;
mod tally;
mod work;

use std::process::ExitCode;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use manner::Manner;
use site::Site;
use tally::read;
use tenancy_harness::postgres::Client;
use tenancy_harness::{Cluster, Config, Dice};

const CLIENTS: usize = 16;
const REPORT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(30);
const SAMPLE: Duration = Duration::from_secs(2);
/// However busy the machine is with other things, somebody gets on within that.
const PATIENCE: Duration = Duration::from_secs(90);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(length), breaking) = (length(arguments.next()), arguments.next().map(Breaking::of)) else {
        eprintln!("soak [MINUTES [SQL | leak]], such as: soak 2");
        return ExitCode::FAILURE;
    };
    let seed = Dice::seed();
    let mut dice = Dice::new(seed);
    let config = Config::default()
        .set("max_connections", "60")
        .set("restart_after_crash", "on")
        .set("max_wal_size", "2GB")
        // A session takes these one by one as it makes temporary tables, and keeps them.
        .set("temp_buffers", "800kB")
        .set("log_line_prefix", &format!("{}%e ", checks::LOG_MARK))
        .set("log_min_error_statement", "panic");
    let cluster = Cluster::start("soak", &config);
    let site = Site::create(&cluster, &mut dice, length);
    println!(
        "PostgreSQL {}, PG_TENANCY_SEED={seed}, {CLIENTS} clients, {} s",
        cluster.version() / 10_000,
        length.as_secs()
    );
    if !site.scan_is_awake() {
        site.tally.fault("the scan does not see what it should".to_owned());
    }
    let start = Instant::now();
    let mut before = None;
    thread::scope(|scope| {
        let site = &site;
        for number in 0..CLIENTS {
            let dice = dice.split();
            scope.spawn(move || client::work(site, number, dice));
        }
        let (admins, killers) = (dice.split(), dice.split());
        scope.spawn(move || admin::administer(site, admins));
        scope.spawn(move || admin::kill(site, killers, start, length));
        before = watch(site, start, length, breaking.as_ref());
        site.end();
    });
    checks::at_rest(&site);
    let contents = checks::at_the_end(&site);
    report(&site, start, &contents);
    if breaking.is_none() {
        enough(&site, length);
    }
    let faults = site.tally.faults();
    println!("{}", if faults == 0 { "soak: all held".to_owned() } else { format!("soak: {faults} FAULTS") });
    let is_fine = match breaking {
        Some(breaking) => before == Some(0) && site.tally.has_fault(breaking.told_by),
        None => faults == 0,
    };
    if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is broken on purpose.
struct Breaking {
    sql: String,
    /// How the fault begins that has to be found; any will do when this is empty.
    told_by: &'static str,
}

impl Breaking {
    fn of(argument: String) -> Self {
        match argument.as_str() {
            "leak" => Self { sql: memory::LEAK.to_owned(), told_by: memory::FAULT },
            _ => Self { sql: argument, told_by: "" },
        }
    }
}

fn length(argument: Option<String>) -> Option<Duration> {
    let minutes = argument.map_or(Ok(30.0), |minutes| minutes.parse::<f64>()).ok()?;
    Duration::try_from_secs_f64(minutes * 60.0).ok()
}

/// Reports, and stops everybody now and then to look whether all is as it should be. Returns how many faults there were
/// before something was broken.
fn watch(site: &Site<'_>, start: Instant, length: Duration, mut breaking: Option<&Breaking>) -> Option<usize> {
    let mut before = None;
    let (mut report, mut pause) = (start + REPORT, start + PAUSE);
    let mut superuser = None;
    let (mut commits, mut stalled_since) = (0, start);
    while start.elapsed() < length {
        thread::sleep(SAMPLE);
        if superuser.as_ref().is_none_or(|client: &Client| client.is_closed()) {
            superuser = site.fixture.try_connect(Cluster::SUPERUSER, "").ok();
        }
        if start.elapsed() > length / 2
            && let (Some(Breaking { sql, .. }), Some(client)) = (breaking, &mut superuser)
            && client.batch_execute(sql).is_ok()
        {
            println!("after {} faults: {sql}", site.tally.faults());
            (before, breaking) = (Some(site.tally.faults()), None);
        }
        if Instant::now() > pause {
            let _nobody = site.turns.write().unwrap_or_else(PoisonError::into_inner);
            let began = Instant::now();
            checks::at_rest(site);
            println!("{:>4} s: looked at everything for {} ms", start.elapsed().as_secs(), began.elapsed().as_millis());
            // The log's chain gets longer: most of the time goes to the clients all the same.
            pause = Instant::now() + PAUSE.max(began.elapsed() * 8);
            stalled_since = Instant::now();
        }
        if Instant::now() > report {
            println!("{:>4} s: {}; {}", start.elapsed().as_secs(), site.tally.line(), site.memory().line());
            report = Instant::now() + REPORT;
            let now = read(&site.tally.commits);
            if now != commits {
                (commits, stalled_since) = (now, Instant::now());
            } else if stalled_since.elapsed() > PATIENCE {
                site.tally.fault(format!("nobody has committed anything for {} s", stalled_since.elapsed().as_secs()));
            }
        }
    }
    before
}

fn report(site: &Site<'_>, start: Instant, contents: &str) {
    let (tally, memory) = (&site.tally, site.memory());
    for leak in memory.leaks() {
        tally.fault(format!("{}: {leak}", memory::FAULT));
    }
    println!(
        "\n{} s: {}\n{contents}\n{}\nerrors that were met:\n{}",
        start.elapsed().as_secs(),
        tally.line(),
        memory.line(),
        tally.explained()
    );
}

/// A soak in which nothing happens shows nothing. Some of it needs its time.
fn enough(site: &Site<'_>, length: Duration) {
    let (tally, memory) = (&site.tally, site.memory());
    let seconds = length.as_secs();
    let judged = if seconds < 60 { 0 } else { 2 * seconds.min(1_000) };
    for (what, number, wanted) in [
        ("commits", read(&tally.commits), 5 * seconds),
        ("own canaries", read(&tally.canaries), 50 * seconds),
        ("tenants created", read(&tally.created), seconds / 60),
        ("tenants suspended", read(&tally.suspended), seconds / 60),
        ("tenants resumed", read(&tally.resumed), seconds / 60),
        ("tenants erased", read(&tally.erased), seconds / 60),
        ("terminated sessions", read(&tally.terminated), seconds / 10),
        ("crashes", read(&tally.crashes), (seconds / 600).max(1)),
        ("disconnects", read(&tally.disconnects), seconds),
        ("quotas exhausted", read(&tally.quotas), seconds / 10),
        ("rates exhausted", read(&tally.rates), seconds / 60),
        ("calm transactions whose memory was judged", memory.judged(Manner::Calm.name()), judged),
        ("calm signed transactions whose memory was judged", memory.judged(Manner::CalmSigned.name()), judged),
        ("tidy transactions whose memory was judged", memory.judged(Manner::Tidy.name()), judged),
    ] {
        if number < wanted {
            tally.fault(format!("NOTHING SHOWN: {number} {what}, of {wanted} at least"));
        }
    }
}
