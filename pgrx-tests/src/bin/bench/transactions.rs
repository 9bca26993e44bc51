//! (e) a whole transaction: take a tenant, look a row up, commit.

use std::time::Instant;

use tenancy_harness::postgres::types::ToSql;

use crate::Bench;
use crate::measure::{Random, Turns, alternate};
use crate::orders::Orders;
use crate::report::{Bar, Line};
use crate::ways::{Prepared, Way};

pub fn set_and_lookup(bench: &Bench<'_>) -> Vec<Line> {
    let orders = bench.orders();
    let mut client = orders.connect();
    let lookups = Prepared::new(&mut client, |way| {
        let table = way.table(Orders::FAMILY);
        match way {
            // Another tenant each time, so the query takes it as a parameter.
            Way::Literal | Way::Control => {
                format!("select amount from {table} where id = $1 and tenant_id = $2::text::uuid")
            }
            Way::Usual | Way::Ours => format!("select amount from {table} where id = $1"),
        }
    });
    let sets = Way::ALL.map(|way| way.set_query(true).map(|query| client.prepare(&query).expect("a query")));
    let ids = usize::try_from(orders.rows_per_tenant()).expect("few rows");
    let mut random = Random::new();

    let turns = Turns { rounds: bench.scale.rounds, slices: bench.scale.slices, calls: 100 };
    let [literal, usual, ours, control] = &alternate(turns, Way::ALL, |way| {
        let start = Instant::now();
        for _ in 0..turns.calls {
            let tenant = &orders.tenants[random.below(orders.tenants.len())];
            let id = random.below(ids) as i64;
            let mut transaction = client.transaction().expect("a transaction");
            let parameters: &[&(dyn ToSql + Sync)] = match &sets[way as usize] {
                Some(set) => {
                    transaction.query_one(set, &[tenant]).expect("the tenant is set");
                    &[&id]
                }
                None => &[&id, tenant],
            };
            transaction.query_one(lookups.of(way), parameters).expect("one row");
            transaction.commit().expect("commit");
        }
        start.elapsed()
    });
    let what = "begin, set tenant, lookup, commit";
    vec![
        Line::ratio('e', what, "ours / usual policy", (ours, usual), Some(Bar::AtMost(1.1))),
        Line::ratio('e', what, "ours / literal, no set", (ours, literal), None),
        Line::ratio('e', "begin, lookup, commit", "noise: literal / literal", (control, literal), None),
    ]
}
