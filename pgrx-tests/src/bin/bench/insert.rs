//! (d) insert: one statement, many rows.

use std::time::Instant;

use crate::Bench;
use crate::measure::{Turns, alternate};
use crate::report::{Bar, Line};
use crate::ways::Way;

const FAMILY: &str = "intake";

pub fn insert(bench: &Bench<'_>) -> Vec<Line> {
    let orders = bench.orders();
    let (tenant, rows) = (&orders.tenants[0], bench.scale.insert_rows);
    for way in Way::ALL {
        way.create_table(&orders.fixture, FAMILY);
    }
    let mut client = orders.connect();
    let mut superuser = orders.fixture.superuser();

    let turns = Turns { rounds: bench.scale.heavy_rounds, slices: 1, calls: 1 };
    let [literal, usual, ours, control] = &alternate(turns, Way::ALL, |way| {
        let table = way.table(FAMILY);
        superuser.batch_execute(&format!("truncate {table}")).expect("truncate");
        superuser.batch_execute("checkpoint").expect("checkpoint");
        let statement = format!(
            "insert into {table} (id, tenant_id, amount, body)
             select n, '{tenant}', n % 1000, 'order number ' || n from generate_series(1, {rows}) n"
        );
        let mut transaction = client.transaction().expect("a transaction");
        way.enter(&mut transaction, tenant);
        let start = Instant::now();
        let inserted = transaction.execute(&statement, &[]).expect("insert");
        let elapsed = start.elapsed();
        transaction.commit().expect("commit");
        assert_eq!(i64::try_from(inserted), Ok(rows));
        elapsed
    });
    let what = format!("insert of {rows} rows");
    vec![
        Line::ratio('d', &what, "ours / literal", (ours, literal), Some(Bar::AtMost(1.2))),
        Line::ratio('d', &what, "ours / usual policy", (ours, usual), None),
        Line::ratio('d', &what, "noise: literal / literal", (control, literal), None),
    ]
}
