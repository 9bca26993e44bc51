//! Benchmarks of `pg_tenancy`: what tenant isolation costs, as ratios that hold from one machine to the next.
//!
//! Three ways to keep tenants apart run in turn, over and over, on tables with the same rows and indexes: a query that
//! names the tenant itself on a table without row security, the usual hand-written policy, and a protected table.
//! Each ratio is taken within a round, so that whatever slows the machine down for a while slows down both sides. The
//! first way has a second table of its own, whose ratio to the first shows what is noise.
//!
//! Starts a server of its own from the `pg_config` named by `PG_TENANCY_PG_CONFIG`, whose extension must be a release
//! build. A missed bar is printed as such; the exit status tells of errors alone.

mod audit;
mod bystanders;
mod insert;
mod log;
mod measure;
mod memory;
mod million;
mod options;
mod orders;
mod pin;
mod planning;
mod quotas;
mod rates;
mod reads;
mod registry;
mod report;
mod soak;
mod statistics;
mod token;
mod transactions;
mod ways;

use std::cell::OnceCell;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use options::{Options, Scale};
use orders::Orders;
use registry::Registry;
use report::Line;
use tenancy_harness::{Cluster, Config};

/// What the parts of the benchmark share.
pub struct Bench<'c> {
    pub cluster: &'c Cluster,
    pub scale: Scale,
    orders: OnceCell<Orders<'c>>,
    large_registry: OnceCell<Registry<'c>>,
}

impl<'c> Bench<'c> {
    /// The tables that queries read, made at first use.
    pub fn orders(&self) -> &Orders<'c> {
        self.orders.get_or_init(|| Orders::create(self.cluster, self.scale.table_rows))
    }

    /// A database with 100,000 tenants, made at first use.
    pub fn large_registry(&self) -> &Registry<'c> {
        self.large_registry.get_or_init(|| Registry::create(self.cluster, registry::MANY))
    }
}

type Part = fn(&Bench<'_>) -> Vec<Line>;

const PARTS: [(char, &str, Part); 15] = [
    ('a', "sequential scan, 1% of the rows visible", reads::scan),
    ('b', "point lookup through the tenant-led index", reads::lookup),
    ('c', "100-row range through the tenant-led index", reads::range),
    ('d', "insert", insert::insert),
    ('e', "transaction of set-tenant and lookup", transactions::set_and_lookup),
    ('f', "planning time and number of protected tables", planning::planning),
    ('g', "set_tenant and number of registered tenants", registry::set_tenant),
    ('h', "memory of a long session", memory::memory),
    ('i', "unprotected tables, library preloaded or not", bystanders::bystanders),
    ('j', "rates: what a call costs, and how many are admitted", rates::rates),
    ('k', "writers of one tenant whose rows are counted", quotas::quotas),
    ('l', "audit", audit::audit),
    ('m', "a verified token and a tenant named by hand", token::token),
    ('n', "a million tenants, hosts and members", million::million),
    ('o', "statistics of tenants, and the context in the log", statistics::statistics),
];

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", options::usage(&PARTS.map(|(letter, title, _)| (letter, title))));
            return ExitCode::SUCCESS;
        }
        Err(complaint) => {
            eprintln!("bench: {complaint} (--help tells more)");
            return ExitCode::FAILURE;
        }
    };
    if let Some(operations) = options.soak {
        soak::soak(operations);
        return ExitCode::SUCCESS;
    }
    if let Some(entries) = options.log {
        log::log(entries);
        return ExitCode::SUCCESS;
    }
    let started = Instant::now();
    let pinned = pin::to_one_processor().is_some();
    let cluster = Cluster::start("bench", &server(Config::default()));
    let bench =
        Bench { cluster: &cluster, scale: options.scale(), orders: OnceCell::new(), large_registry: OnceCell::new() };
    let machine = report::machine(&cluster, options.quick, pinned);
    println!("{machine}");

    let mut lines = Vec::new();
    for (letter, title, part) in PARTS {
        if !options.selects(letter) {
            continue;
        }
        println!("\n({letter}) {title}");
        let part_started = Instant::now();
        let found = part(&bench);
        println!("{}\n{} s", report::table(&found), part_started.elapsed().as_secs());
        lines.extend(found);
    }
    let table = report::table(&lines);
    println!("\n{machine}\n\n{table}\n\n{}", report::summary(&lines, started.elapsed()));
    match options.charts.as_deref().map(|folder| write_charts(folder, &table)) {
        Some(Err(error)) => {
            eprintln!("bench: no charts: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn write_charts(folder: &Path, table: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (part, svg) in tenancy_harness::charts::charts(table) {
        std::fs::write(folder.join(format!("{part}.svg")), svg)?;
    }
    println!("charts: {}", folder.display());
    Ok(())
}

/// Everything in memory, one process per query, and nothing that works in the background while times are taken.
fn server(config: Config) -> Config {
    [
        ("shared_buffers", "2GB"),
        ("jit", "off"),
        ("max_parallel_workers_per_gather", "0"),
        ("autovacuum", "off"),
        ("bgwriter_lru_maxpages", "0"),
        ("checkpoint_timeout", "1h"),
        ("min_wal_size", "1GB"),
        ("max_wal_size", "8GB"),
        ("synchronize_seqscans", "off"),
    ]
    .into_iter()
    .fold(config, |config, (name, value)| config.set(name, value))
}
