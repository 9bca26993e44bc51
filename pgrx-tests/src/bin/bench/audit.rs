//! (l) audit: what recording costs, beside triggers in PL/pgSQL that record the same.

use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;
use tenancy_harness::{Cluster, Fixture, Session};

use crate::measure::{Times, Turns, alternate};
use crate::report::{Bar, Line};
use crate::{Bench, quotas};

const ROWS: i64 = 100_000;
const TENANT: &str = "aaaaaaaa-0000-4000-8000-000000000001";
/// What the logs take from more rounds would not stay in memory.
const MOST_ROUNDS: usize = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Unaudited,
    Ours,
    /// One trigger for each row, for any table.
    EachRow,
    /// Triggers for each statement, with transition tables, written for the table.
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
            "create table {table} (id bigint primary key, tenant_id uuid not null, item text not null,
               amount numeric(12,2), status text, created_at timestamptz not null default now());
             select tenancy.protect('{table}')"
        ));
        match self {
            Unaudited => {}
            Ours => fixture.run(&format!("select tenancy.audit('{table}')")),
            EachRow => fixture.run(&format!("{}; {}", log_table(self.log()), each_row(table, self.log()))),
            EachStatement => fixture.run(&format!("{}; {}", log_table(self.log()), each_statement(table, self.log()))),
        }
    }

    /// The log without entries.
    fn empty_log(self, superuser: &mut Client) {
        match self {
            Unaudited => {}
            Ours => superuser.run(
                "do $$ declare month text := 'tenancy.audit_log_' || to_char(now() at time zone 'UTC', 'YYYY_MM'); begin
                   execute 'drop table ' || month; end $$;
                 select tenancy.audit_maintain()",
            ),
            EachRow | EachStatement => superuser.run(&format!("truncate {}", self.log())),
        }
    }
}

/// A log as one would make it, with the indexes that it can't do without.
fn log_table(name: &str) -> String {
    format!(
        "create table {name} (id bigint generated always as identity primary key, at timestamptz not null,
           tenant_id uuid, user_id text, request_id text, role_name text not null, txid xid8 not null,
           tbl oid not null, table_name text not null, op text not null, old_row jsonb, new_row jsonb, changed text[],
           session_role text not null, application_name text, client_addr inet);
         create index on {name} (tenant_id, at)"
    )
}

/// Who, where from and what for, in the order of the log's columns after those of the change itself.
const ACTOR: &str = "user_id, request_id, role_name, session_role, application_name, client_addr";

/// As the PostgreSQL wiki's audit trigger does it, with jsonb: one function that serves any table.
fn each_row(table: &str, log: &str) -> String {
    format!(
        "create function each_row() returns trigger language plpgsql security definer
           set search_path = pg_catalog, public as $$
         declare was jsonb; is_now jsonb; differing text[];
         begin
           if tg_op <> 'INSERT' then was := to_jsonb(old); end if;
           if tg_op <> 'DELETE' then is_now := to_jsonb(new); end if;
           if tg_op = 'UPDATE' then
             select array_agg(key) into differing from jsonb_each(is_now) where value is distinct from was -> key;
             if differing is null then return null; end if;
           end if;
           insert into {log} (at, tenant_id, txid, tbl, table_name, op, old_row, new_row, changed, {ACTOR})
           values (clock_timestamp(), (coalesce(is_now, was) ->> 'tenant_id')::uuid, pg_current_xact_id(), tg_relid,
                   tg_table_name, tg_op, was, is_now, differing,
                   current_setting('tenancy.user_id', true), current_setting('tenancy.request_id', true),
                   current_setting('role'), session_user, current_setting('application_name'), inet_client_addr());
           return null;
         end $$;
         create trigger each_row after insert or update or delete on {table} for each row execute function each_row()"
    )
}

fn each_statement(table: &str, log: &str) -> String {
    let differing = "array_agg(key) from jsonb_each(to_jsonb(n)) where value is distinct from to_jsonb(o) -> key";
    [
        ("insert", "new table as n", "n", "n", "null, to_jsonb(n), null", ""),
        (
            "update",
            "old table as o new table as n",
            "o join n using (id)",
            "n",
            "to_jsonb(o), to_jsonb(n), c.changed",
            &format!("cross join lateral (select {differing}) as c(changed) where c.changed is not null"),
        ),
        ("delete", "old table as o", "o", "o", "to_jsonb(o), null, null", ""),
    ]
    .map(|(op, referencing, source, row, images, rest)| {
        format!(
            "create function each_{op}() returns trigger language plpgsql security definer
               set search_path = pg_catalog, public as $$
             declare
               moment timestamptz := clock_timestamp();
               transaction xid8 := pg_current_xact_id();
               acting text := current_setting('tenancy.user_id', true);
               request text := current_setting('tenancy.request_id', true);
               role_now text := current_setting('role');
               application text := current_setting('application_name');
               address inet := inet_client_addr();
             begin
               insert into {log} (at, tenant_id, txid, tbl, table_name, op, old_row, new_row, changed, {ACTOR})
               select moment, {row}.tenant_id, transaction, tg_relid, tg_table_name, tg_op, {images},
                      acting, request, role_now, session_user, application, address
               from {source} {rest};
               return null;
             end $$;
             create trigger each_{op} after {op} on {table} referencing {referencing}
               for each statement execute function each_{op}()"
        )
    })
    .join(";")
}

/// A database with a table for each way, and a session that writes to them.
fn prepare(cluster: &Cluster) -> (Fixture<'_>, Client) {
    let fixture = Fixture::on(cluster);
    fixture.run(&format!("select tenancy.create_tenant('acme', id => '{TENANT}')"));
    let app = fixture.app();
    Way::ALL.iter().for_each(|way| way.create(&fixture));
    let client = fixture.connect(&app);
    (fixture, client)
}

pub fn audit(bench: &Bench<'_>) -> Vec<Line> {
    let (fixture, mut client) = prepare(bench.cluster);
    let mut superuser = fixture.superuser();
    superuser.run("set tenancy.guard_ddl = off; set tenancy.on_bypass = allow");
    let mut lines = Vec::new();
    for (op, statement) in [
        (
            "insert",
            "insert into {} (id, item, amount, status)
             select n, 'item ' || n, n * 1.25, 'new' from generate_series({ids}) n",
        ),
        ("update", "update {} set status = 'paid'"),
        ("delete", "delete from {}"),
    ] {
        lines.extend(bulk(bench, &mut client, &mut superuser, op, statement));
    }
    let turns = Turns { rounds: bench.scale.rounds, slices: bench.scale.slices, calls: 100 };
    lines.extend(single(&mut client, turns, "nothing durable, rate"));
    let cluster = quotas::server(true);
    let turns = Turns { rounds: bench.scale.heavy_rounds, slices: 5, calls: 100 };
    lines.extend(single(&mut prepare(&cluster).1, turns, "durable, rate"));
    lines
}

/// One statement that changes many rows.
fn bulk(bench: &Bench<'_>, client: &mut Client, superuser: &mut Client, op: &str, statement: &str) -> Vec<Line> {
    for way in Way::ALL {
        way.empty_log(superuser);
    }
    let turns = Turns { rounds: bench.scale.heavy_rounds.min(MOST_ROUNDS), slices: 1, calls: 1 };
    // Other rows each time, as in a table that grows.
    let mut last = 0;
    let times = alternate(turns, Way::ALL, |way| {
        let ids = format!("{}, {}", last + 1, last + ROWS);
        last += ROWS;
        let fill = |statement: &str| statement.replace("{}", way.table()).replace("{ids}", &ids);
        let filling = if op == "insert" {
            String::new()
        } else {
            fill(&format!(
                "insert into {{}} (id, tenant_id, item, amount, status)
                 select n, '{TENANT}', 'item ' || n, n * 1.25, 'new' from generate_series({{ids}}) n;"
            ))
        };
        superuser.run(&format!(
            "alter table {0} disable trigger user; truncate {0}; {filling}
             do $$ declare name name; begin
               for name in select tgname from pg_trigger where tgrelid = '{0}'::regclass and not tgisinternal loop
                 execute format('alter table {0} enable always trigger %I', name);
               end loop; end $$",
            way.table()
        ));
        superuser.run(&format!("vacuum analyze {}", way.table()));
        superuser.run("checkpoint");
        timed(client, &fill(statement))
    });
    let [none, ours, row, all] = &times;
    let over = |times: &Times| Times {
        rounds: times.rounds.iter().zip(&none.rounds).map(|(with, without)| with - without).collect(),
        calls: 1,
    };
    let what = format!("{op} of {ROWS} rows, overhead");
    let bars = [("ours / row trigger", row, 0.25), ("ours / statement trigger", all, 0.7)];
    let mut lines: Vec<Line> = bars
        .map(|(compared, peer, bar)| {
            Line::ratio('l', &what, compared, (&over(ours), &over(peer)), Some(Bar::AtMost(bar)))
        })
        .into();
    lines.push(Line::ratio('l', format!("{op} of {ROWS} rows"), "ours / unaudited", (ours, none), None));
    let sizes = [Ours, EachRow, EachStatement].map(|way| (way, bytes(superuser, way)));
    let texts = sizes.map(|(way, (table, indexes))| format!("{way:?} {table} + {indexes}")).join(", ");
    let sum = |place: usize| sizes[place].1.0 + sizes[place].1.1;
    lines.push(Line::figure(
        'l',
        format!("{op}, bytes per entry with indexes"),
        "ours / row trigger",
        format!("{:.3}", sum(0) as f64 / sum(1) as f64),
        texts,
    ));
    lines
}

/// What an entry takes in the table, and in its indexes.
fn bytes(superuser: &mut Client, way: Way) -> (i64, i64) {
    let size = |of: &str| {
        format!(
            "select (select sum({of}(part)) from (select relid from pg_partition_tree('{0}')
                                                  union select '{0}'::regclass) as p(part)) / count(*) from {0}",
            way.log()
        )
    };
    let mut number = |of: &str| superuser.value(&size(of)).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (number("pg_table_size").round() as i64, number("pg_indexes_size").round() as i64)
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
fn single(client: &mut Client, turns: Turns, how: &str) -> Vec<Line> {
    client.run("set tenancy.tenant_id = 'acme'");
    let inserts = Way::ALL.map(|way| {
        let table = way.table();
        let statement = format!("insert into {table} (id, item, amount, status) values ($1, 'anvil', 1.25, 'new')");
        client.prepare(&statement).expect("a statement")
    });
    let mut id = 1_000_000_i64;
    let [none, ours, row, all] = &alternate(turns, Way::ALL, |way| {
        let start = Instant::now();
        for _ in 0..turns.calls {
            id += 1;
            client.execute(&inserts[way as usize], &[&id]).expect("one row");
        }
        start.elapsed()
    });
    let what = format!("transactions of one row, {how}");
    vec![
        Line::ratio('l', &what, "ours / unaudited", (none, ours), Some(Bar::AtLeast(0.75))),
        Line::ratio('l', &what, "ours / row trigger", (row, ours), Some(Bar::AtLeast(1.0))),
        Line::ratio('l', &what, "ours / statement trigger", (all, ours), Some(Bar::AtLeast(1.0))),
    ]
}
