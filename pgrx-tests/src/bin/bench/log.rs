//! An audit log that grows: what it takes to read one row's history, to seal what is new, and to drop what is old.

use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;
use tenancy_harness::{Fixture, Session};

use crate::measure::{Random, median};
use crate::quotas::server;

/// Entries between two seals.
const BATCH: u64 = 100_000;
/// Histories that are read each time.
const READS: usize = 100;

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.2?}", Duration::from_secs_f64(seconds))
}

/// The time that it takes to read a row's history, as the tenant: the median of many.
fn history(client: &mut Client, rows: u64, random: &mut Random) -> f64 {
    let rows = usize::try_from(rows).expect("rows that can be counted");
    let times: Vec<f64> = (0..READS)
        .map(|_| {
            let key = format!("{{\"id\": {}}}", random.below(rows) + 1);
            timed(|| {
                let found = client.query(
                    "select id, at, op, new_row from tenancy.audit_history('recorded', $1::text::jsonb)",
                    &[&key],
                );
                assert_eq!(found.expect("a history").len(), 1);
            })
        })
        .collect();
    median(&times)
}

/// As many entries more, of a month that is long over.
fn add_old(superuser: &mut Client, entries: u64) {
    let columns = "tenant_id, user_id, request_id, role_name, tbl, table_name, op, row_key, old_row, new_row,
                   changed, session_role, application_name, client_addr, bypass, reason, row_hash";
    superuser.run(&format!(
        "insert into tenancy.audit_log (id, at, txid, {columns})
         select nextval('tenancy.audit_log_id_seq'), at - interval '6 months', pg_current_xact_id(), {columns}
         from tenancy.audit_log limit {entries};
         select tenancy.audit_maintain()"
    ));
}

pub fn log(entries: u64) {
    let cluster = server(false);
    let fixture = Fixture::on(&cluster);
    fixture.run(
        "select tenancy.create_tenant('acme');
         create table recorded (id bigint primary key, tenant_id uuid not null, body text not null);
         select tenancy.protect('recorded'); select tenancy.audit('recorded')",
    );
    let mut client = fixture.connect(&fixture.app());
    client.run("set tenancy.tenant_id = 'acme'");
    let mut superuser = fixture.superuser();
    superuser.run("set tenancy.on_bypass = allow");
    let mut random = Random::new();
    let seal = |superuser: &mut Client| timed(|| superuser.run("select tenancy.audit_seal()"));
    let (mut done, mut seals) = (0, Vec::new());
    while done < entries {
        client.run(&format!(
            "insert into recorded (id, body) select n, 'order number ' || n from generate_series({}, {}) n",
            done + 1,
            done + BATCH
        ));
        done += BATCH;
        seals.push(seal(&mut superuser));
        if done.is_multiple_of((entries / 10).max(BATCH)) {
            superuser.run("analyze tenancy.audit_log");
            println!(
                "{done} entries: history of one row {}, seal of {BATCH} more {}",
                milliseconds(history(&mut client, done, &mut random)),
                milliseconds(median(&seals[seals.len().saturating_sub(10)..])),
            );
        }
    }
    let verdict = |holds| if holds { "holds" } else { "MISSED" };
    let read = history(&mut client, done, &mut random);
    println!("history of one row {} (bar < 5 ms): {}", milliseconds(read), verdict(read < 0.005));
    let tenth = (seals.len() / 10).max(1);
    let grown = median(&seals[seals.len() - tenth..]) / median(&seals[..tenth]);
    println!("seal, last tenth / first tenth {grown:.3} (bar ≤ 1.2): {}", verdict(grown <= 1.2));
    let idle = seal(&mut superuser);
    println!("seal with nothing new {}", milliseconds(idle));

    let old = entries / 10;
    add_old(&mut superuser, old);
    seal(&mut superuser);
    let position = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
    let written =
        |superuser: &mut Client| -> i64 { superuser.value(position).expect("a position").parse().expect("bytes") };
    let before = written(&mut superuser);
    let mut dropped = None;
    let took = timed(|| dropped = superuser.value("select tenancy.audit_retain('3 months')"));
    let wal = written(&mut superuser) - before;
    // A row that is removed takes some fifty bytes of the log.
    let is_right = dropped == Some(old.to_string()) && wal < i64::try_from(old).unwrap_or(0);
    println!(
        "retention drops {} entries of {old} in {}, {wal} bytes of WAL: {}",
        dropped.unwrap_or_default(),
        milliseconds(took),
        verdict(is_right)
    );
    let start = Instant::now();
    let whole = superuser.value("select count(*) from tenancy.audit_verify() where not ok");
    println!("verifying all of it {:.1?}: {}", start.elapsed(), verdict(whole.as_deref() == Some("0")));
}
