//! Many inserts and deletes of rows that are counted, by many clients: whether the slots stay few and lean, and the rate
//! what it was. The rate is compared with that of a table without a quota, with which the same is done, in alternating runs,
//! before and after.

use std::thread;
use std::time::{Duration, Instant};

use tenancy_harness::Session;
use tenancy_harness::postgres::Client;

use crate::measure::{Ratio, Turns, alternate};
use crate::quotas::{CLIENTS, Counted, ROLE, Way, server};

/// Inserts and deletes between two reports.
const CHUNK: u64 = 1_000_000;

/// The ratio of the rate to that of a table without a quota.
fn rate(counted: &Counted<'_>) -> Ratio {
    let turns = Turns { rounds: 15, slices: 1, calls: 1 };
    let ways = [Way::Ours, Way::Nothing];
    let [ours, nothing] = &alternate(turns, ways, |way| counted.pgbench(way, "both", CLIENTS, &["--time=2"]));
    Ratio::of(nothing, ours)
}

/// Bytes of the slots' table with its index, and how many slots there are.
fn slots(superuser: &mut Client) -> (i64, String) {
    let size = superuser.value("select pg_total_relation_size('tenancy.quota_slots')");
    let state = superuser.value(
        "select format('%s slots, %s autovacuums, %s dead', (select count(*) from tenancy.quota_slots), autovacuum_count, n_dead_tup)
         from pg_stat_all_tables where relid = 'tenancy.quota_slots'::regclass",
    );
    (size.and_then(|size| size.parse().ok()).unwrap_or(0), state.unwrap_or_default())
}

pub fn soak(operations: u64) {
    // Durability only makes it take longer.
    let cluster = server(false);
    let counted = Counted::create(&cluster, &[Way::Ours, Way::Nothing]);
    let mut superuser = counted.superuser();
    // Of tables with hardly a row, and millions that were, each autovacuum makes the planner think differently: by an index or
    // by all pages, which is many times slower, and neither is the quota's doing.
    superuser.run(&format!("alter role {ROLE} set enable_seqscan = off"));
    let before = rate(&counted);
    println!("rate / no quota before: {:.3} ({:.3}–{:.3})", before.median, before.lowest, before.highest);
    let (mut done, mut largest) = (0, 0);
    while done < operations {
        let chunk = CHUNK.min(operations - done);
        let each = (chunk / 2 / u64::from(CLIENTS)).to_string();
        let start = Instant::now();
        thread::scope(|scope| {
            let worker = scope.spawn(|| counted.pgbench(Way::Ours, "both", CLIENTS, &["--transactions", &each]));
            while !worker.is_finished() {
                largest = slots(&mut superuser).0.max(largest);
                thread::sleep(Duration::from_millis(500));
            }
        });
        done += chunk;
        let (size, state) = slots(&mut superuser);
        let rate = chunk as f64 / start.elapsed().as_secs_f64();
        // What rows that are gone leave behind in a table and its index is not the quota's doing.
        counted.pgbench(Way::Nothing, "both", CLIENTS, &["--transactions", &each]);
        println!("{done} done, {rate:.0}/s; slot table {} KiB; {state}", size / 1024);
    }
    let after = rate(&counted);
    println!("rate / no quota after: {:.3} ({:.3}–{:.3})", after.median, after.lowest, after.highest);
    let verdict = |holds| if holds { "holds" } else { "MISSED" };
    println!("slot table at most {} KiB (bar < 10240): {}", largest / 1024, verdict(largest < 10 << 20));
    let kept = after.median / before.median;
    println!("rate kept {kept:.3} (bar ≥ 0.9): {}", verdict(kept >= 0.9));
    let differing = superuser.value("select count(*) from tenancy.recount() where was <> now");
    println!("usage is what is there: {}", verdict(differing.as_deref() == Some("0")));
}
