//! The plan is run while the application goes on: no statement of its fails, none waits long.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;
use tenancy_harness::{Cluster, Config, Fixture, Session};

use crate::{application, counts, is_adopted, plan};

const CLIENTS: usize = 8;

/// What no statement may wait for a lock.
const PATIENCE: Duration = Duration::from_secs(3);

/// The tables that each transaction adds a row to; one of three takes back what it added to the last.
const GROWING: [&str; 9] =
    ["users", "orders", "order_items", "deliveries", "delivery_notes", "events", "tasks", "comments", "journal"];

/// Ends the clients, also when the plan panics: they would go on for ever.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What one client did.
#[derive(Debug, Default)]
struct Tally {
    transactions: i64,
    taken_back: i64,
    slowest: Duration,
    error: Option<String>,
}

/// The application, which has never heard of tenants.
fn client(mut client: Client, next: &AtomicI64, stop: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    client.run(&format!("set lock_timeout = '{}s'", PATIENCE.as_secs()));
    while !stop.load(Ordering::Relaxed) {
        let id = next.fetch_add(1, Ordering::Relaxed);
        let takes_back = id % 3 == 0;
        let mut statements = vec![
            format!("insert into app.users (email, manager_id) values ('user {id}', 1)"),
            format!("insert into app.orders (id, number, placed_by, ship_to) values ({id}, {id}, 1, 1)"),
            format!("insert into app.order_items (id, order_id, product_id, variant) values ({id}, {id}, 1, 'red')"),
            format!("insert into app.deliveries values ({id}, 'new')"),
            format!("insert into app.delivery_notes (id, delivery_id) values ({id}, {id})"),
            format!("insert into app.events (id, at, user_id) values ({id}, '2026-05-05', 1)"),
            format!(
                "insert into app.tasks (id, project_id, parent_id) values ({id}, '22222222-2222-4222-8222-222222222222', 1)"
            ),
            format!("insert into app.comments (id, task_id, author_id) values ({id}, {id}, 1)"),
            format!("insert into app.journal (id, user_id) values ({id}, 1)"),
            format!("update app.orders set bill_to = 2 where id = {id} - 8"),
            format!("update app.comments set author_id = 2 where id = {id} - 8"),
            format!("select from app.orders o join app.order_items i on i.order_id = o.id where o.id = {id}"),
        ];
        if takes_back {
            statements.push(format!("delete from app.journal where id = {id}"));
        }
        let outcome = client.transaction().and_then(|mut tx| {
            let mut slowest = Duration::ZERO;
            for statement in &statements {
                let begin = Instant::now();
                let count = tx.execute(statement.as_str(), &[])?;
                assert!(count > 0 || statement.starts_with("update"), "{statement}");
                slowest = slowest.max(begin.elapsed());
            }
            tx.commit()?;
            Ok(slowest)
        });
        match outcome {
            Ok(slowest) => {
                tally.transactions += 1;
                tally.taken_back += i64::from(takes_back);
                tally.slowest = tally.slowest.max(slowest);
            }
            Err(error) => {
                tally.error = Some(format!("{id}: {error:?}"));
                return tally;
            }
        }
    }
    tally
}

#[test]
fn the_application_goes_on_while_it_is_adopted() {
    let rows: i64 = std::env::var("PG_TENANCY_LIVE_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(5_000);
    let settings = Config::default().set("max_wal_size", "4GB").set("shared_buffers", "256MB");
    let cluster = Cluster::start("adopted", &settings);
    let fixture = Fixture::on(&cluster);
    let app = application(&fixture);
    // Rows that belong to nobody, in tables that have the column, and others.
    fixture.run(&format!(
        "insert into app.journal (id, user_id) select n, 1 from generate_series(10, {rows}) n;
         insert into app.deliveries (id, note) select n, 'old' from generate_series(10, {rows}) n;
         insert into app.orders (id, number) select n, n from generate_series(1000, {rows}) n; analyze"
    ));
    let before = counts(&mut fixture.superuser());
    let (next, stop) = (AtomicI64::new(rows + 1_000), AtomicBool::new(false));
    let (times, tallies) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (session, next, stop) = (fixture.connect(&app), &next, &stop);
                scope.spawn(move || client(session, next, stop))
            })
            .collect();
        let stop = StopOnDrop(&stop);
        std::thread::sleep(Duration::from_millis(300));
        let mut superuser = fixture.superuser();
        let mut times = Vec::new();
        let mut failure = None;
        for step in plan(&mut superuser) {
            let begin = Instant::now();
            if let Err(error) = superuser.batch_execute(&step) {
                failure = Some(format!("{error:?} in {step}"));
                break;
            }
            times.push((begin.elapsed(), step));
        }
        std::thread::sleep(Duration::from_millis(300));
        drop(stop);
        let tallies: Vec<Tally> = workers.into_iter().map(|worker| worker.join().expect("a client ends")).collect();
        assert_eq!(failure, None, "{:?}", tallies.iter().filter_map(|tally| tally.error.as_ref()).collect::<Vec<_>>());
        (times, tallies)
    });
    let slowest = tallies.iter().map(|tally| tally.slowest).max().unwrap_or_default();
    let transactions: i64 = tallies.iter().map(|tally| tally.transactions).sum();
    let taken_back: i64 = tallies.iter().map(|tally| tally.taken_back).sum();
    let whole: Duration = times.iter().map(|(time, _)| *time).sum();
    println!(
        "{rows} rows, {CLIENTS} clients: {} steps in {whole:?}, {transactions} transactions, slowest statement {slowest:?}",
        times.len()
    );
    let errors: Vec<_> = tallies.iter().filter_map(|tally| tally.error.as_ref()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert!(transactions > 50, "only {transactions} transactions");
    assert!(slowest < PATIENCE, "{slowest:?}");
    let mut superuser = fixture.superuser();
    assert_eq!(plan(&mut superuser), Vec::<String>::new(), "nothing is left to do");
    for ((table, before), (_, after)) in before.iter().zip(counts(&mut superuser)) {
        let grown = if GROWING.contains(&table.as_str()) { transactions } else { 0 };
        let less = if table == "journal" { taken_back } else { 0 };
        assert_eq!(after, before + grown - less, "{table}");
    }
    is_adopted(&fixture, &app);
}
