//! Whatever several clients do at once, replaying the log from empty tables makes the same rows.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tenancy_harness::{ACME, GLOBEX, Session};

use crate::Shop;

/// Plain, partitioned, and with a tenant column of text and no key.
const TABLES: [&str; 3] = ["plain", "parts", "keyless"];

const SCHEMA: &str = "
    create table plain (gone int, id integer primary key, tenant_id uuid not null default tenancy.current_tenant(), body text, n numeric,
      doc jsonb, tags text[], at timestamptz, half integer generated always as (id / 2) stored);
    alter table plain drop gone;
    create table parts (id integer primary key, tenant_id uuid not null default tenancy.current_tenant(), body text, n numeric) partition by range (id);
    create table parts_low (n numeric, body text, id integer not null, tenant_id uuid not null default tenancy.current_tenant());
    alter table parts attach partition parts_low for values from (minvalue) to (50);
    create table parts_high partition of parts default partition by hash (id);
    create table parts_high_0 partition of parts_high for values with (modulus 2, remainder 0);
    create table parts_high_1 partition of parts_high for values with (modulus 2, remainder 1);
    create table keyless (tenant_id text not null default tenancy.current_key(), body text, n numeric, id integer);
    select tenancy.protect('plain'), tenancy.protect('parts'), tenancy.protect('keyless');
    select tenancy.audit('plain'); select tenancy.audit('parts'); select tenancy.audit('keyless')";

/// Makes the tables anew, without constraints, from the log alone. What it finds, it finds by the whole row.
const REPLAY: &str = "
    create schema replayed;
    create table replayed.plain (id integer, tenant_id uuid, body text, n numeric, doc jsonb, tags text[], at timestamptz, half integer);
    create table replayed.parts (id integer, tenant_id uuid, body text, n numeric);
    create table replayed.keyless (tenant_id text, body text, n numeric, id integer);
    do $$ declare entry record; touched bigint; copy text; begin
      for entry in select *, regexp_replace(table_name, '^public', 'replayed') as copy from tenancy.audit_log order by id loop
        copy := entry.copy;
        if entry.op = 'TRUNCATE' then
          if copy like '%parts_%' then
            execute case when copy like '%low' then 'delete from replayed.parts where id < 50' else 'select 1' end;
          else execute 'truncate ' || copy; end if;
          continue;
        end if;
        if entry.old_row is not null then
          execute format('delete from %s where ctid = (select c.ctid from %1$s c where to_jsonb(c) = $1 limit 1)', copy) using entry.old_row;
          get diagnostics touched = row_count;
          assert touched = 1, format('%s: %s has no %s', entry.id, copy, entry.old_row);
        end if;
        if entry.new_row is not null then
          execute format('insert into %s select (jsonb_populate_record(null::%1$s, $1)).*', copy) using entry.new_row;
        end if;
      end loop;
    end $$";

/// One statement, of a table by number.
fn statement() -> impl Strategy<Value = String> {
    let id = || 0..100i32;
    (0..TABLES.len(), id(), id(), 0..14u8).prop_map(|(table, a, b, what)| {
        let name = TABLES[table];
        let conflict = if name == "parts" {
            "on conflict (id) do update set n = coalesce(parts.n, 0) + 1.10"
        } else {
            "on conflict do nothing"
        };
        match what {
            0..=3 => format!("insert into {name} (id, body, n) select n, 'b' || n, n * 1.5 from generate_series({a}, {a} + {b} / 20) n {conflict}"),
            4 | 5 => format!("update {name} set body = body || {b} where id between {a} and {a} + 10"),
            6 => format!("update {name} set id = {b} where id = {a}"),
            7 => format!("update {name} set n = n where id < {a}; update {name} set n = n + 0.00 where id = {b}"),
            8 => format!("delete from {name} where id between {a} and {a} + {b} / 10"),
            9 => format!("update {name} set id = id + 50 where id between {a} and {a} + 3"),
            10 => format!(
                "merge into {name} t using generate_series({a}, {a} + 4) s on t.id = s
                   when matched and s % 2 = 0 then delete when matched then update set body = 'merged'
                   when not matched then insert (id, body) values (s, 'new')"
            ),
            11 => format!(
                "insert into plain (id, doc, tags, at) values ({a}, '{{\"k\": [{b}, null]}}', '{{x,null}}', '2026-01-01 00:00:00+00'::timestamptz + {b} * '1 day'::interval)
                 on conflict do nothing; update parts_low set n = {b} where id = {a}"
            ),
            12 => format!("savepoint s; delete from {name} where id < {a}; rollback to s; update {name} set n = {b} where id = {a}"),
            _ => format!("with moved as (delete from parts where id = {a} returning *) insert into keyless (id, body, n) select id, body, n from moved"),
        }
    })
}

/// Whom a transaction acts for, its isolation, statements, and whether it commits.
type Transaction = (bool, bool, Vec<String>, bool);

/// The transactions of one client.
fn client() -> impl Strategy<Value = Vec<Transaction>> {
    let transaction =
        (any::<bool>(), any::<bool>(), prop::collection::vec(statement(), 1..5), prop::bool::weighted(0.85));
    prop::collection::vec(transaction, 1..12)
}

#[test]
fn replaying_the_log_rebuilds_every_table() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(8);
    let config = ProptestConfig { cases, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() };
    let entries = std::cell::Cell::new(0);
    let case = |clients: Vec<Vec<Transaction>>| {
        let shop = Shop::with(SCHEMA);
        std::thread::scope(|scope| {
            for transactions in &clients {
                let mut session = shop.fixture.connect(&shop.app);
                scope.spawn(move || {
                    for (acme, repeatable, statements, commits) in transactions {
                        let tenant = if *acme { ACME.key } else { GLOBEX.key };
                        let level = if *repeatable { "repeatable read" } else { "read committed" };
                        session.run(&format!("begin isolation level {level}; select tenancy.set_tenant('{tenant}')"));
                        // Conflicts with other clients end a transaction as they may.
                        let ok = statements.iter().all(|statement| session.batch_execute(statement).is_ok());
                        session.run(if ok && *commits { "commit" } else { "rollback" });
                    }
                });
            }
        });
        if clients[0].len().is_multiple_of(3) {
            shop.fixture.run("truncate keyless; insert into keyless (tenant_id, body) values ('acme', 'after')");
        }
        let mut superuser = shop.superuser();
        superuser.run(REPLAY);
        for table in TABLES {
            let difference = format!(
                "(select to_jsonb(t)::text from {table} t except all select to_jsonb(t)::text from replayed.{table} t)
                 union all (select to_jsonb(t)::text from replayed.{table} t except all select to_jsonb(t)::text from {table} t)"
            );
            prop_assert_eq!(superuser.texts(&difference), Vec::<String>::new(), "{}", table);
        }
        let count = superuser.value("select count(*) from tenancy.audit_log").unwrap();
        entries.set(entries.get() + count.parse::<u64>().unwrap());
        let foreign = "select count(*) from tenancy.audit_log where op <> 'TRUNCATE' and (tenant_id is null
            or tenant_id not in (select id from tenancy.tenants)
            or coalesce(new_row, old_row) ->> 'tenant_id' not in (tenant_id::text, (select key from tenancy.tenants t where t.id = tenant_id)))";
        prop_assert_eq!(superuser.value(foreign).unwrap(), "0");
        Ok(())
    };
    // Chance may have it that little is committed: then there are more. A runner has done all it will do after one run.
    for _ in 0..5 {
        let outcome = TestRunner::new(config.clone()).run(&prop::collection::vec(client(), 4), case);
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
        if entries.get() > u64::from(cases) * 50 {
            return;
        }
    }
    panic!("{} entries are too few", entries.get());
}
