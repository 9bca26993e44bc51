//! (a) sequential scan, (b) point lookup, (c) range.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;
use tenancy_harness::{Fixture, Session};

use crate::Bench;
use crate::measure::{Random, Times, Turns, alternate};
use crate::orders::Orders;
use crate::report::{Bar, Line};
use crate::ways::{Prepared, Way};

const FAMILY: &str = Orders::FAMILY;

/// For what an application sends.
const BAR: Bar = Bar::AtMost(1.05);

/// Rows of a range.
const RANGE: i64 = 100;

pub fn scan(bench: &Bench<'_>) -> Vec<Line> {
    let orders = bench.orders();
    let tenant = &orders.tenants[0];
    let mut client = orders.connect();
    client.run("set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off");
    let query = |way: Way| format!("select count(*) {}", way.source(FAMILY, tenant, "true"));
    orders.check_plans(&mut client, query);
    let prepared = Prepared::new(&mut client, query);

    let turns = Turns { rounds: bench.scale.heavy_rounds, slices: 1, calls: 1 };
    let times = alternate(turns, Way::ALL, |way| {
        let mut transaction = client.transaction().expect("a transaction");
        way.enter(&mut transaction, tenant);
        let start = Instant::now();
        let rows: i64 = transaction.query_one(prepared.of(way), &[]).expect("a count").get(0);
        let elapsed = start.elapsed();
        transaction.commit().expect("commit");
        assert_eq!(rows, orders.rows_per_tenant());
        elapsed
    });
    let what = format!("scan of {} rows, 1% visible", orders.rows);
    let [literal, usual, ours, control] = &times;
    vec![
        Line::ratio('a', &what, "ours / literal", (ours, literal), Some(Bar::AtMost(1.3))),
        Line::ratio('a', &what, "usual policy / ours", (usual, ours), Some(Bar::AtLeast(5.0))),
        Line::ratio('a', &what, "noise: literal / literal", (control, literal), None),
    ]
}

pub fn lookup(bench: &Bench<'_>) -> Vec<Line> {
    let query = |way: Way, tenant: &str, id: &str| {
        format!("select amount::bigint {}", way.source(FAMILY, tenant, &format!("id = {id}")))
    };
    through_index(bench, 'b', "point lookup", 1, query)
}

pub fn range(bench: &Bench<'_>) -> Vec<Line> {
    let query = |way: Way, tenant: &str, id: &str| {
        let condition = format!("id between {id} and {id} + {RANGE} - 1");
        format!("select sum(amount) {}", way.source(FAMILY, tenant, &condition))
    };
    through_index(bench, 'c', "100-row range", RANGE, query)
}

/// Measures a query for `rows` rows from an id on: over the wire, in one transaction and each in its own, and within
/// the server.
fn through_index(
    bench: &Bench<'_>,
    part: char,
    name: &str,
    rows: i64,
    query: impl Fn(Way, &str, &str) -> String,
) -> Vec<Line> {
    let orders = bench.orders();
    let tenant = &orders.tenants[0];
    let prepared_query = |way| query(way, tenant, "$1");
    let mut client = orders.connect();
    orders.check_plans(&mut client, prepared_query);

    let mut lines = Vec::new();
    let mut report = |how: &str, times: &[Times; 4], bar| {
        let what = format!("{name}, {how}");
        let [literal, usual, ours, control] = times;
        lines.push(Line::ratio(part, &what, "ours / literal", (ours, literal), bar));
        lines.push(Line::ratio(part, &what, "ours / usual policy", (ours, usual), None));
        lines.push(Line::ratio(part, &what, "noise: literal / literal", (control, literal), None));
    };

    let client_turns = Turns { rounds: bench.scale.rounds, slices: bench.scale.slices, calls: 100 };
    let last = usize::try_from(orders.rows_per_tenant() - rows + 1).expect("more rows than a range has");
    let mut random = Random::new();
    let mut run = |client: &mut Client, prepared: &Prepared, way: Way| {
        let statement = prepared.of(way);
        for _ in 0..client_turns.calls {
            let id = random.below(last) as i64;
            let row = client.query_one(statement, &[&id]).expect("one row");
            black_box(row.get::<_, i64>(0));
        }
    };

    let prepared = Prepared::new(&mut client, prepared_query);
    let times = alternate(client_turns, Way::ALL, |way| {
        client.run("begin");
        way.enter(&mut client, tenant);
        let elapsed = timed(|| run(&mut client, &prepared, way));
        client.run("commit");
        elapsed
    });
    check_plan_choice(&mut client);
    report("client, in one transaction", &times, Some(BAR));

    let times = alternate(client_turns, Way::ALL, |way| {
        way.enter_session(&mut client, tenant);
        let elapsed = timed(|| run(&mut client, &prepared, way));
        way.leave_session(&mut client);
        elapsed
    });
    report("client, each its own transaction", &times, Some(BAR));

    let calls = if rows == 1 { 5_000 } else { 300 };
    let server_turns = Turns { calls, ..client_turns };
    let within = Within::ALL.map(|within| (within, within.create(&orders.fixture, &query, tenant, last)));
    let times = alternate(server_turns, [0, 1, 2, 3, 4], |number: usize| {
        let (within, function) = &within[number];
        client.run("begin");
        within.way().enter(&mut client, tenant);
        let elapsed = timed(|| client.run(&format!("select {function}({calls})")));
        client.run("commit");
        elapsed
    });
    let [literal, usual, ours, control, named] = times;
    let loops = [literal, usual, ours, control];
    report("server-side loop", &loops, None);
    let what = format!("{name}, server-side loop");
    lines.push(Line::ratio(part, what, "ours / function named", (&loops[2], &named), Some(BAR)));
    lines
}

/// What is looked up within the server.
#[derive(Clone, Copy)]
enum Within {
    Way(Way),
    /// Without row security, by a query that names the function which the policy names: what PostgreSQL asks for any function
    /// in an index condition is no matter of row security.
    Named,
}

impl Within {
    const ALL: [Self; 5] =
        [Self::Way(Way::Literal), Self::Way(Way::Usual), Self::Way(Way::Ours), Self::Way(Way::Control), Self::Named];

    /// How the tenant is set.
    fn way(self) -> Way {
        match self {
            Self::Way(way) => way,
            Self::Named => Way::Ours,
        }
    }

    /// Makes a function that looks up as often as it is told, and returns its name.
    fn create(
        self,
        fixture: &Fixture<'_>,
        query: &impl Fn(Way, &str, &str) -> String,
        tenant: &str,
        last: usize,
    ) -> String {
        let (name, query) = match self {
            Self::Way(way) => (way.table("repeat"), query(way, tenant, "wanted")),
            Self::Named => {
                let literal = query(Way::Literal, tenant, "wanted");
                ("repeat_named".to_owned(), literal.replace(&format!("'{tenant}'"), "tenancy.current_tenant()"))
            }
        };
        let query = query.replacen("select", "select into strict value", 1);
        fixture.run(&format!(
            "create or replace function {name}(calls integer) returns void language plpgsql as $$
             declare
                 value bigint;
                 wanted bigint := 0;
             begin
                 for number in 1..calls loop
                     wanted := (wanted + 7919) % {last};
                     {query};
                 end loop;
             end $$"
        ));
        name
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Panics when the server planned some way's statement anew for every call and another's not.
fn check_plan_choice(client: &mut Client) {
    let choices = client.texts(
        "select distinct (generic_plans > custom_plans)::text from pg_prepared_statements
         where statement like 'select %orders%'",
    );
    assert_eq!(choices.len(), 1, "some ways run a generic plan and others do not");
}
