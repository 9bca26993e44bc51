//! (j) audit: what recording costs, beside triggers in PL/pgSQL that record the same into a log of their own.

use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;
use tenancy_harness::{Fixture, Session};

use crate::Bench;
use crate::measure::{Times, Turns, alternate};
use crate::report::{Bar, Line};

const ROWS: i64 = 100_000;
const TENANT: &str = "aaaaaaaa-0000-4000-8000-000000000001";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Unaudited,
    Ours,
    /// A trigger for each row, as the PostgreSQL wiki's audit trigger does it, with jsonb.
    EachRow,
    /// Triggers for each statement, with transition tables.
    EachStatement,
}

use Way::{EachRow, EachStatement, Ours, Unaudited};

impl Way {
    const ALL: [Self; 4] = [Unaudited, Ours, EachRow, EachStatement];

    fn table(self) -> &'static str {
        match self {
            Unaudited => "audit_none",
            Ours => "audit_ours",
            EachRow => "audit_row",
            EachStatement => "audit_statement",
        }
    }

    fn log(self) -> &'static str {
        match self {
            EachRow => "log_row",
            EachStatement => "log_statement",
            Unaudited | Ours => "tenancy.audit_log",
        }
    }

    fn create(self, fixture: &Fixture<'_>) {
        let table = self.table();
        fixture.run(&format!(
            "create table {table} (id bigint primary key, tenant_id uuid not null, item text not null, amount numeric(12,2),
               status text, created_at timestamptz not null default now());
             select tenancy.protect('{table}')"
        ));
        match self {
            Unaudited => {}
            Ours => fixture.run("select tenancy.audit('audit_ours')"),
            EachRow => fixture.run(&format!(
                "{} create function each_row() returns trigger language plpgsql security definer set search_path = public as $$ begin
                   insert into log_row (tenant_id, role_name, tbl, table_name, op, row_key, old_row, new_row)
                   values (coalesce(new.tenant_id, old.tenant_id), session_user, tg_relid, tg_table_name, tg_op,
                           jsonb_build_object('id', coalesce(new.id, old.id)),
                           case when tg_op <> 'INSERT' then to_jsonb(old) end, case when tg_op <> 'DELETE' then to_jsonb(new) end);
                   return null; end $$;
                 create trigger each_row after insert or update or delete on {table} for each row execute function each_row()",
                peer_log("log_row")
            )),
            EachStatement => {
                fixture.run(&peer_log("log_statement"));
                for (op, referencing, source, row, images) in [
                    ("insert", "new table as n", "n", "n", "null, to_jsonb(n)"),
                    ("update", "old table as o new table as n", "o join n using (id)", "n", "to_jsonb(o), to_jsonb(n)"),
                    ("delete", "old table as o", "o", "o", "to_jsonb(o), null"),
                ] {
                    fixture.run(&format!(
                        "create function each_{op}() returns trigger language plpgsql security definer set search_path = public as $$ begin
                           insert into log_statement (tenant_id, role_name, tbl, table_name, op, row_key, old_row, new_row)
                           select {row}.tenant_id, session_user, tg_relid, tg_table_name, tg_op, jsonb_build_object('id', {row}.id), {images}
                           from {source}; return null; end $$;
                         create trigger each_{op} after {op} on {table} referencing {referencing}
                           for each statement execute function each_{op}()"
                    ));
                }
            }
        }
    }
}

/// A log with the indexes that ours has, but for the one by row.
fn peer_log(name: &str) -> String {
    format!(
        "create table {name} (id bigint generated always as identity, at timestamptz not null default clock_timestamp(),
           tenant_id uuid, role_name text, txid xid8 not null default pg_current_xact_id(), tbl oid, table_name text, op text,
           row_key jsonb, old_row jsonb, new_row jsonb);
         create index on {name} using brin (at); create index on {name} (tenant_id, at);"
    )
}

pub fn audit(bench: &Bench<'_>) -> Vec<Line> {
    let fixture = Fixture::on(bench.cluster);
    fixture.run(&format!("select tenancy.create_tenant('acme', id => '{TENANT}')"));
    let app = fixture.app();
    Way::ALL.iter().for_each(|way| way.create(&fixture));
    let mut client = fixture.connect(&app);
    let mut superuser = fixture.superuser();
    let mut lines = Vec::new();
    for (what, statement) in [
        (
            "insert",
            "insert into {} (id, item, amount, status) select n, 'item ' || n, n * 1.25, 'new' from generate_series(1, {rows}) n",
        ),
        ("update", "update {} set status = 'paid'"),
        ("delete", "delete from {}"),
    ] {
        let turns = Turns { rounds: bench.scale.heavy_rounds, slices: 1, calls: 1 };
        let times = alternate(turns, Way::ALL, |way| {
            let fill = |statement: &str| statement.replace("{}", way.table()).replace("{rows}", &ROWS.to_string());
            let filling = if what == "insert" {
                String::new()
            } else {
                fill(
                    "insert into {} (id, tenant_id, item, amount, status) select n,
                     'aaaaaaaa-0000-4000-8000-000000000001', 'item ' || n, n * 1.25, 'new' from generate_series(1, {rows}) n;",
                )
            };
            superuser.run(&format!(
                "set tenancy.guard_ddl = off; alter table {0} disable trigger user; truncate {0}; {filling}
                 alter table {0} enable trigger user",
                way.table()
            ));
            superuser.run("checkpoint");
            timed(&mut client, &fill(statement))
        });
        let [none, ours, row, all] = &times;
        let over = |times: &Times| Times {
            rounds: times.rounds.iter().zip(&none.rounds).map(|(with, without)| with - without).collect(),
            calls: 1,
        };
        let what = format!("{what} of {ROWS} rows, overhead");
        lines.push(Line::ratio('j', &what, "ours / row trigger", (&over(ours), &over(row)), Some(Bar::AtMost(0.25))));
        lines.push(Line::ratio(
            'j',
            &what,
            "ours / statement trigger",
            (&over(ours), &over(all)),
            Some(Bar::AtMost(0.7)),
        ));
    }
    lines.extend(single(bench, &mut client));
    for way in [Ours, EachRow, EachStatement] {
        let size = format!(
            "select sum(pg_table_size(relid)) / (select count(*) from {0}) || ' bytes of table and '
               || sum(pg_indexes_size(relid)) / (select count(*) from {0}) || ' of indexes for each entry'
             from pg_partition_tree('{0}') where isleaf",
            way.log()
        );
        println!("{way:?}: {}", superuser.value(&size).unwrap_or_default());
    }
    lines
}

fn timed(client: &mut Client, statement: &str) -> Duration {
    client.run("begin; select tenancy.set_tenant('acme')");
    let start = Instant::now();
    client.batch_execute(statement).expect("the statement");
    let elapsed = start.elapsed();
    client.run("commit");
    elapsed
}

/// Transactions that insert one row.
fn single(bench: &Bench<'_>, client: &mut Client) -> Vec<Line> {
    client.run("set tenancy.tenant_id = 'acme'");
    let inserts = Way::ALL.map(|way| {
        let statement =
            format!("insert into {} (id, item, amount, status) values ($1, 'anvil', 1.25, 'new')", way.table());
        client.prepare(&statement).expect("a statement")
    });
    let mut id = 1_000_000_i64;
    let turns = Turns { rounds: bench.scale.rounds, slices: bench.scale.slices, calls: 100 };
    let [none, ours, row, all] = &alternate(turns, Way::ALL, |way| {
        let start = Instant::now();
        for _ in 0..turns.calls {
            id += 1;
            client.execute(&inserts[way as usize], &[&id]).expect("one row");
        }
        start.elapsed()
    });
    let what = "transactions of one row, as many in a time";
    vec![
        Line::ratio('j', what, "ours / unaudited", (none, ours), Some(Bar::AtLeast(0.75))),
        Line::ratio('j', what, "ours / row trigger", (row, ours), Some(Bar::AtLeast(1.0))),
        Line::ratio('j', what, "ours / statement trigger", (all, ours), Some(Bar::AtLeast(1.0))),
    ]
}
