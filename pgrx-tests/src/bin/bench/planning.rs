//! (f) planning time, with one protected table in the database and with many.

use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;
use tenancy_harness::{Cluster, Fixture, Session};

use crate::Bench;
use crate::measure::{Turns, alternate};
use crate::report::Line;
use crate::ways::Way;

const FAMILY: &str = "item";
const MANY: usize = 1_000;
const TENANT: &str = "aaaaaaaa-0000-4000-8000-000000000001";

/// A statement holds locks on all that it makes until it ends, so not all at once.
const CHUNK: usize = 50;

pub fn planning(bench: &Bench<'_>) -> Vec<Line> {
    let one = Database::create(bench.cluster, 1);
    let many = Database::create(bench.cluster, MANY);
    let mut sessions = [one.connect(), many.connect()];

    let turns = Turns { rounds: bench.scale.rounds, slices: bench.scale.slices, calls: 20 };
    let runs = [(0, Way::Literal), (0, Way::Usual), (0, Way::Ours), (1, Way::Ours)];
    let [literal, usual, ours, among_many] =
        &alternate(turns, runs, |(database, way)| planning_time(&mut sessions[database], way, turns.calls));
    let [literal_in_all, usual_in_all, ours_in_all, among_many_in_all] =
        &alternate(turns, runs, |(database, way)| whole_time(&mut sessions[database], way, turns.calls));
    let what = "planning of a lookup";
    let whole = "unprepared lookup, round trip";
    vec![
        Line::ratio('f', what, "1,000 / 1 protected tables", (among_many, ours), None),
        Line::ratio('f', what, "ours / literal", (ours, literal), None),
        Line::ratio('f', what, "ours / usual policy", (ours, usual), None),
        Line::ratio('f', whole, "1,000 / 1 protected tables", (among_many_in_all, ours_in_all), None),
        Line::ratio('f', whole, "ours / literal", (ours_in_all, literal_in_all), None),
        Line::ratio('f', whole, "ours / usual policy", (ours_in_all, usual_in_all), None),
    ]
}

/// A database with one table per way, and further protected ones.
struct Database<'c> {
    fixture: Fixture<'c>,
    app: String,
}

impl<'c> Database<'c> {
    fn create(cluster: &'c Cluster, protected: usize) -> Self {
        let fixture = Fixture::on(cluster);
        let app = fixture.app_named("bench_app");
        fixture.run(&format!("select tenancy.create_tenant('acme', id => '{TENANT}')"));
        for way in Way::ALL {
            way.create_table(&fixture, FAMILY);
        }
        let mut superuser = fixture.superuser();
        let numbers: Vec<usize> = (1..protected).collect();
        for chunk in numbers.chunks(CHUNK) {
            superuser.run(&format!(
                "do $$ begin
                   for number in {} .. {} loop
                     execute format('create table further_%s (like item_literal including all)', number);
                     perform tenancy.protect(format('further_%s', number)::regclass);
                   end loop;
                 end $$",
                chunk[0],
                chunk[chunk.len() - 1]
            ));
        }
        let counted = superuser.value("select count(*) from tenancy.protected_tables");
        assert_eq!(counted, Some(protected.to_string()));
        Self { fixture, app }
    }

    fn connect(&self) -> Client {
        self.fixture.connect(&self.app)
    }
}

/// What it takes to have a query parsed, rewritten, planned and run, summed over some calls: the server's own figure
/// leaves out the rewriting, which is where policies come in.
fn whole_time(client: &mut Client, way: Way, calls: u64) -> Duration {
    let query = format!("select amount {}", way.source(FAMILY, TENANT, "id = 1"));
    let mut transaction = client.transaction().expect("a transaction");
    way.enter(&mut transaction, TENANT);
    let start = Instant::now();
    for _ in 0..calls {
        transaction.simple_query(&query).expect("the query runs");
    }
    let elapsed = start.elapsed();
    transaction.commit().expect("commit");
    elapsed
}

/// What the server says its planner took, summed over some calls.
fn planning_time(client: &mut Client, way: Way, calls: u64) -> Duration {
    let query = format!("explain (summary) select amount {}", way.source(FAMILY, TENANT, "id = 1"));
    let mut transaction = client.transaction().expect("a transaction");
    way.enter(&mut transaction, TENANT);
    let mut milliseconds = 0.0;
    for _ in 0..calls {
        let plan = transaction.texts(&query);
        let time = plan.iter().find_map(|line| line.strip_prefix("Planning Time: ")?.strip_suffix(" ms"));
        milliseconds += time.and_then(|time| time.parse::<f64>().ok()).expect("a planning time");
    }
    transaction.commit().expect("commit");
    Duration::from_secs_f64(milliseconds / 1e3)
}
