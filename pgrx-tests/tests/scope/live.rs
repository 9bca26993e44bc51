//! The script of `scope_plan`, run while clients insert and update: none fails, none waits a second for a lock.
//!
//! `PG_TENANCY_LIVE_ROWS` says how many rows the tables have, and `--nocapture` shows the figures.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Cluster, Config, Fixture, GLOBEX, Session};

use crate::{definitions, fill};

const CLIENTS: usize = 8;

/// Ends the clients, also when the script panics: they would go on for ever.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What one client did.
#[derive(Debug, Default)]
struct Tally {
    transactions: u64,
    slowest: Duration,
    error: Option<String>,
}

/// Inserts orders and lines, changes old ones, deletes some: in the order parent, child, and in the other.
fn client(mut client: Client, number: usize, rows: i64, next: &AtomicI64, stop: &AtomicBool) -> Tally {
    let tenant = if number.is_multiple_of(2) { ACME } else { GLOBEX };
    let mut tally = Tally::default();
    let mut turn = number as i64 * 7919;
    // A lock that takes a second is an error.
    client.run("set lock_timeout = '1s'");
    while !stop.load(Ordering::Relaxed) {
        let id = next.fetch_add(1, Ordering::Relaxed);
        turn = (turn * 48_271 + 11) % rows;
        let old = turn - turn % 2 + if number.is_multiple_of(2) { 2 } else { 1 };
        let statements = [
            format!("insert into orders (id, number, note) values ({id}, {id}, 'new')"),
            format!("insert into lines (id, order_id) values ({id}, {id}), (-{id}, {old})"),
            format!("update orders set note = 'seen' where id = {old}"),
            format!("update lines set order_id = {id} where id = {old}"),
            format!("delete from lines where id = -{id}"),
        ];
        let begin = Instant::now();
        let outcome = client.transaction().and_then(|mut tx| {
            tx.batch_execute(&format!("select tenancy.set_tenant('{}')", tenant.key))?;
            let mut slowest = Duration::ZERO;
            for statement in &statements {
                let begin = Instant::now();
                tx.batch_execute(statement)?;
                slowest = slowest.max(begin.elapsed());
            }
            tx.commit()?;
            Ok(slowest)
        });
        match outcome {
            Ok(slowest) => {
                tally.transactions += 1;
                tally.slowest = tally.slowest.max(slowest);
            }
            Err(error) => {
                tally.error = Some(format!("after {:?}: {error:?}", begin.elapsed()));
                return tally;
            }
        }
    }
    tally
}

#[test]
fn nobody_fails_or_waits_long_while_the_script_runs() {
    let rows: i64 = std::env::var("PG_TENANCY_LIVE_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(20_000);
    let settings = Config::default().set("max_wal_size", "4GB").set("shared_buffers", "512MB");
    let cluster = Cluster::start("live", &settings);
    let fixture = Fixture::on(&cluster);
    let app = fixture.app();
    fixture.register(&[ACME, GLOBEX]);
    // Even numbers are acme's.
    fixture.run(&fill(&format!(
        "create table orders (id bigint primary key, tenant_id uuid, number bigint not null unique, note text,
             before bigint references orders);
         create table lines (id bigint primary key, tenant_id uuid, order_id bigint references orders on delete cascade);
         insert into orders select n, case when n % 2 = 0 then '{{acme}}' else '{{globex}}' end::uuid, n, 'old', case when n > 2 then n - 2 end
         from generate_series(1, {rows} + 2) n;
         insert into lines select n, case when n % 2 = 0 then '{{acme}}' else '{{globex}}' end::uuid, n from generate_series(1, {rows} + 2) n;
         create index on lines (order_id); create index on orders (before);
         select tenancy.protect('orders'), tenancy.protect('lines'); analyze"
    )));
    let (next, stop) = (AtomicI64::new(rows + 1_000), AtomicBool::new(false));
    let (mut times, tallies) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (session, next, stop) = (fixture.connect(&app), &next, &stop);
                scope.spawn(move || client(session, number, rows, next, stop))
            })
            .collect();
        let stop = StopOnDrop(&stop);
        std::thread::sleep(Duration::from_millis(500));
        let mut superuser = fixture.superuser();
        let mut times = Vec::new();
        let mut failure = None;
        'tables: for table in ["orders", "lines"] {
            for step in superuser.texts(&format!("select ddl from tenancy.scope_plan('{table}') order by step")) {
                let begin = Instant::now();
                if let Err(error) = superuser.batch_execute(&step) {
                    failure = Some(format!("{error:?} in {step}"));
                    break 'tables;
                }
                times.push((begin.elapsed(), step));
            }
        }
        std::thread::sleep(Duration::from_millis(500));
        drop(stop);
        let tallies: Vec<Tally> = workers.into_iter().map(|worker| worker.join().expect("a client ends")).collect();
        assert_eq!(failure, None);
        (times, tallies)
    });
    let slowest = tallies.iter().map(|tally| tally.slowest).max().unwrap_or_default();
    let transactions: u64 = tallies.iter().map(|tally| tally.transactions).sum();
    let whole: Duration = times.iter().map(|(time, _)| *time).sum();
    println!(
        "{rows} rows, {CLIENTS} clients: {} steps in {whole:?}, {transactions} transactions, slowest statement {slowest:?}",
        times.len()
    );
    times.sort();
    for (time, step) in times.iter().rev().take(4) {
        println!(
            "  {time:?}: {}",
            step.lines().find(|line| line.contains("ALTER") || line.contains("CREATE")).unwrap_or(step).trim()
        );
    }
    let errors: Vec<_> = tallies.iter().filter_map(|tally| tally.error.as_ref()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert!(transactions > 50, "only {transactions} transactions");
    let mut superuser = fixture.superuser();
    assert_eq!(
        definitions(&mut superuser, "lines", "f,p"),
        [
            "lines_order_id_fkey: FOREIGN KEY (tenant_id, order_id) REFERENCES orders(tenant_id, id) ON DELETE CASCADE",
            "lines_pkey: PRIMARY KEY (tenant_id, id)"
        ]
    );
    assert_eq!(
        definitions(&mut superuser, "orders", "f,p,u"),
        [
            "orders_before_fkey: FOREIGN KEY (tenant_id, before) REFERENCES orders(tenant_id, id)",
            "orders_number_key: UNIQUE (tenant_id, number)",
            "orders_pkey: PRIMARY KEY (tenant_id, id)"
        ]
    );
    assert_eq!(superuser.value("select count(*) from pg_index where not indisvalid").as_deref(), Some("0"));
}
