//! The chain finds what was changed behind its back, and says where.

use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};
use tenancy_harness::{ACME, Cluster, Config, Fixture, GLOBEX, Session};

use crate::Shop;

#[track_caller]
fn verify(client: &mut impl Session) -> Vec<String> {
    client.texts("select concat_ws(' ', ok, first_bad, detail) from tenancy.audit_verify()")
}

#[track_caller]
fn assert_whole(client: &mut impl Session) {
    let findings = verify(client);
    assert!(findings.len() == 1 && findings[0].starts_with("t "), "{findings:#?}");
}

#[track_caller]
fn seal(client: &mut impl Session) -> String {
    client.value("select tenancy.audit_seal()").unwrap()
}

/// A server that writes nothing of its own accord: any transaction, of other databases too, keeps entries from being final.
fn quiet_server(name: &str) -> Cluster {
    Cluster::start(name, &Config::default().set("autovacuum", "off").set("tenancy.on_bypass", "allow"))
}

fn alone(tables: &str) -> Shop {
    let cluster = Box::leak(Box::new(quiet_server("seal")));
    Shop::within(Fixture::on(cluster), tables)
}

const ORDERS: &str = "create table orders (id integer primary key, tenant_id uuid not null, item text, amount numeric);
    select tenancy.protect('orders'); select tenancy.audit('orders')";

/// Three seals over entries of several tables, the last one's not sealed.
fn sealed() -> Shop {
    let shop = alone(
        "create table orders (id integer primary key, tenant_id uuid not null, item text, amount numeric);
         create table notes (id integer primary key, tenant_id uuid not null);
         select tenancy.protect('orders'), tenancy.protect('notes'); select tenancy.audit('orders'), tenancy.audit('notes')",
    );
    let mut superuser = shop.superuser();
    shop.act("acme", "insert into orders (id, item) select n, 'x' from generate_series(1, 20) n");
    assert_eq!(seal(&mut superuser), "20");
    shop.act("globex", "insert into orders (id, item) values (21, 'y'); insert into notes (id) values (1); update orders set amount = 1.0");
    shop.act("acme", "delete from orders where id < 3");
    assert_eq!(seal(&mut superuser), "5");
    assert_eq!(seal(&mut superuser), "0");
    shop.act("acme", "insert into notes (id) values (2)");
    shop
}

#[test]
fn what_was_sealed_verifies() {
    let shop = sealed();
    let mut superuser = shop.superuser();
    assert_eq!(verify(&mut superuser), ["t 25 entries under 2 links are as they were sealed."]);
    // The rest, as soon as it is final.
    let mut open = shop.fixture.connect(&shop.app);
    open.run("begin; select tenancy.set_tenant('acme'); insert into notes (id) values (3)");
    shop.act("acme", "insert into notes (id) values (4)");
    assert_eq!(seal(&mut superuser), "1");
    open.run("commit");
    assert_eq!(seal(&mut superuser), "2");
    assert_whole(&mut superuser);
    superuser.run("begin isolation level repeatable read");
    superuser.refuses("select tenancy.audit_seal()", "55000");
}

#[test]
fn tampering_is_found_and_located() {
    let shop = sealed();
    let mut superuser = shop.superuser();
    superuser.run("alter table tenancy.audit_log disable trigger all");
    let month = superuser.value("select 'tenancy.' || relname from pg_class where relname = 'audit_log_' || to_char(now() at time zone 'UTC', 'YYYY_MM')").unwrap();
    superuser
        .run(&format!("alter table {month} disable trigger all; alter table tenancy.audit_chain disable trigger all"));
    let checkpoint = superuser.value("select tenancy.audit_checkpoint()").unwrap();
    for (what, tampering, first_bad) in [
        ("changed", "update tenancy.audit_log set new_row = new_row || '{\"item\": \"z\"}' where id = 7".to_owned(), Some("7")),
        ("changed", "update tenancy.audit_log set tenant_id = gen_random_uuid() where id = 25".into(), Some("25")),
        ("changed", "update tenancy.audit_log set user_id = 'somebody' where id = 1".into(), Some("1")),
        ("changed", "update tenancy.audit_log set at = at + '1 us'::interval where id = 3".into(), Some("3")),
        ("changed", "update tenancy.audit_log set row_key = '{}' where id = 3".into(), Some("3")),
        ("removed", "update tenancy.audit_log set id = id + 1000000 where id = 4".into(), Some("4")),
        ("removed", "delete from tenancy.audit_log where id = 20".into(), Some("20")),
        ("removed", "delete from tenancy.audit_log where id <= 20".into(), Some("1")),
        ("changed", "update tenancy.audit_log set txid = (txid::text::bigint + 1000000)::text::xid8 where id = 9".into(), Some("9")),
        ("added", format!("insert into {month} select (l).* from (select l #= hstore('id', '500') from {month} l where id = 10) as x (l)"), Some("500")),
        ("added", format!("insert into {month} select * from {month} where id = 10"), None),
        ("removed", "update tenancy.audit_log set at = at + '1 month'::interval where id = 11".into(), Some("11")),
        ("swapped", "update tenancy.audit_log a set new_row = b.new_row from tenancy.audit_log b where (a.id, b.id) in ((5, 6), (6, 5))".into(), Some("5")),
        ("swapped", "update tenancy.audit_log set id = case id when 5 then 6 else 5 end where id in (5, 6)".into(), Some("5")),
        ("does not match", "update tenancy.audit_log set tbl = 'notes' where id = 12".into(), Some("1")),
        ("removed", format!("drop table {month}"), Some("1")),
        ("chain was changed", "update tenancy.audit_chain set entries = 19 where seq = 1".into(), Some("1")),
        ("chain was changed", "update tenancy.audit_chain set marks = overlay(marks placing '\\x00' from 11) where seq = 2".into(), Some("21")),
        ("chain is missing", "delete from tenancy.audit_chain where seq = 1".into(), Some("21")),
        ("checkpoint", "delete from tenancy.audit_chain where seq = 2".into(), None),
        ("checkpoint", "delete from tenancy.audit_chain".into(), None),
    ] {
        superuser.run("begin; create extension if not exists hstore");
        superuser.run(&tampering);
        let query = format!("select concat_ws(' ', ok, coalesce(first_bad::text, '-'), detail) from tenancy.audit_verify('{checkpoint}')");
        let findings = superuser.texts(&query);
        assert!(findings.iter().all(|finding| finding.starts_with("f ")) && !findings.is_empty(), "{tampering}: {findings:#?}");
        if let Some(id) = first_bad {
            assert!(findings.iter().any(|finding| finding.starts_with(&format!("f {id} "))), "{tampering}: {findings:#?}");
        }
        if what != "swapped" {
            assert!(findings.iter().any(|finding| finding.contains(what)), "{tampering}: {findings:#?}");
        }
        superuser.run("rollback");
        assert_whole(&mut superuser);
    }
    // A whole new chain is as good as the old one, but for who kept a checkpoint.
    superuser.run(
        "delete from tenancy.audit_log where id = 5; delete from tenancy.audit_chain; select tenancy.audit_seal()",
    );
    assert_whole(&mut superuser);
    let ok = format!("select bool_and(ok) from tenancy.audit_verify('{checkpoint}')");
    assert_eq!(superuser.value(&ok).unwrap(), "f");
    superuser.refuses("select * from tenancy.audit_verify('1:abc')", "22023");
}

#[test]
fn others_can_verify_it_outside() {
    let shop = sealed();
    let copy = |query: &str| -> Vec<String> {
        let script = format!("copy ({query}) to stdout with (format csv, quote E'\\x01', delimiter E'\\x02');");
        let output = shop.fixture.cluster().psql(shop.fixture.database(), "postgres", &script);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    let lines = copy("select tenancy.audit_json(l) from tenancy.audit_log as l order by txid, id");
    let links = copy(
        "select encode(previous, 'hex') || tenancy.audit_chain_json(c) from tenancy.audit_chain as c order by seq",
    );
    let hashes = copy("select encode(hash, 'hex') from tenancy.audit_chain order by seq");
    assert!(links.len() >= 2 && lines.len() == 26);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let number = |line: &str, key: &str| -> u64 {
        let (_, after) = line.split_once(&format!("\"{key}\" : ")).unwrap();
        after.trim_start_matches('"').split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    let text = |line: &str, key: &str| {
        line.split_once(&format!("\"{key}\" : \"")).unwrap().1.split('"').next().unwrap().to_owned()
    };
    let mut previous = String::new();
    let mut sealed = 0;
    for (link, hash) in links.iter().zip(&hashes) {
        assert!(link.starts_with(&format!("{previous}{{")));
        assert_eq!(&hex(&Sha256::digest(link)), hash);
        previous.clone_from(hash);
        let within = |line: &&String| {
            let (id, txid) = (number(line, "id"), number(line, "txid"));
            id > number(link, "after_id")
                && id <= number(link, "upto_id")
                && (txid >= number(link, "from_txid") && txid < number(link, "upto_txid")
                    || id > number(link, "late_id"))
        };
        let mut digest = Sha256::new();
        let mut count = 0;
        for line in lines.iter().filter(within) {
            digest.update(Sha256::digest(line));
            count += 1;
        }
        assert_eq!(count, number(link, "entries"), "{link}");
        assert_eq!(hex(&digest.finalize()), text(link, "digest"), "{link}");
        sealed += count;
    }
    assert_eq!(sealed, 25);
}

/// Seals and verifies beside writers that go on, as often as `AUDIT_RUNS` says. Each log is left for a new one before verifying
/// all of it takes long.
#[test]
fn honest_writers_and_sealers_raise_no_alarm() {
    const RUNS_OF_A_LOG: usize = 20;
    let runs: usize = std::env::var("AUDIT_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(60);
    let mut verified = 0;
    for _ in 0..runs.div_ceil(RUNS_OF_A_LOG) {
        verified += honest_runs(RUNS_OF_A_LOG);
    }
    println!("{verified} runs sealed what came meanwhile, and verified");
    assert!(verified * 2 > runs, "{verified} of {runs}");
}

/// Returns in how many runs there was something to seal.
fn honest_runs(runs: usize) -> usize {
    let shop = alone(ORDERS);
    let done = AtomicBool::new(false);
    let mut sealed = 0;
    std::thread::scope(|scope| {
        for (number, tenant) in ["acme", "globex", "acme"].into_iter().enumerate() {
            let mut client = shop.fixture.connect(&shop.app);
            let done = &done;
            scope.spawn(move || {
                let mut round = 0;
                while !done.load(Ordering::Relaxed) {
                    let id = number * 1_000_000 + round;
                    client.run(&format!(
                        "begin; select tenancy.set_tenant('{tenant}'); insert into orders (id, item) values ({id}, 'x');
                         savepoint s; update orders set amount = {round} where id = {id}"
                    ));
                    client.run(if round % 3 == 0 { "rollback to s; commit" } else { "commit" });
                    round += 1;
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            });
        }
        let mut sealer = shop.superuser();
        for _ in 0..runs {
            sealed += usize::from(sealer.value("select tenancy.audit_seal()").unwrap() != "0");
            assert_whole(&mut sealer);
        }
        done.store(true, Ordering::Relaxed);
    });
    let mut superuser = shop.superuser();
    seal(&mut superuser);
    assert_whole(&mut superuser);
    let all = "select (select count(*) from tenancy.audit_log) = (select sum(entries) from tenancy.audit_chain)";
    assert_eq!(superuser.value(all).unwrap(), "t");
    sealed
}

#[test]
fn two_sealers_make_one_chain() {
    let shop = sealed();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mut client = shop.superuser();
            let shop = &shop;
            scope.spawn(move || {
                for number in 0..5 {
                    shop.act("acme", &format!("update orders set amount = {number} where id = 9"));
                    seal(&mut client);
                }
            });
        }
    });
    assert_whole(&mut shop.superuser());
}

#[test]
fn retention_drops_months_and_leaves_the_chain_whole() {
    let shop = alone(ORDERS);
    let mut superuser = shop.superuser();
    shop.act("acme", "insert into orders (id) select n from generate_series(1, 10) n");
    // What happened half a year ago, as the log would have it.
    superuser.run(
        "alter table tenancy.audit_log disable trigger all;
         do $$ declare month text := 'tenancy.audit_log_' || to_char(now() at time zone 'UTC', 'YYYY_MM'); begin
           execute format('alter table %s disable trigger all', month); end $$;
         update tenancy.audit_log set at = at - '6 months'::interval where id <= 4",
    );
    shop.act("acme", "delete from orders where id > 8");
    for (keep, dropped) in [("1 year", "0"), ("3 months", "4"), ("3 months", "0")] {
        assert_eq!(superuser.value(&format!("select tenancy.audit_retain('{keep}')")).unwrap(), dropped, "{keep}");
        assert_whole(&mut superuser);
    }
    assert_eq!(superuser.value("select count(*) from tenancy.audit_log").unwrap(), "8");
    assert!(verify(&mut superuser)[0].contains("Dropped by retention"));
    assert_eq!(superuser.value("select count(*) from tenancy.event_log where event = 'audit.dropped'").unwrap(), "1");
    superuser.refuses("select tenancy.audit_retain('-1 day')", "22023");
    // What comes back into a month that was dropped is no part of it.
    shop.act("acme", "insert into orders (id) values (100)");
    seal(&mut superuser);
    assert_whole(&mut superuser);
}

#[test]
fn a_month_that_is_not_final_is_kept() {
    let shop = alone(ORDERS);
    let mut superuser = shop.superuser();
    shop.act("acme", "insert into orders (id) values (1)");
    seal(&mut superuser);
    let mut open = shop.superuser();
    open.run("begin; create table unrelated (id int)");
    shop.act("acme", "insert into orders (id) values (2)");
    superuser.run(
        "do $$ declare month text := 'tenancy.audit_log_' || to_char(now() at time zone 'UTC', 'YYYY_MM'); begin
           execute format('alter table %s disable trigger all; alter table tenancy.audit_log disable trigger all', month); end $$;
         update tenancy.audit_log set at = at - '6 months'::interval where id = 2",
    );
    superuser.refuses("select tenancy.audit_retain('3 months')", "55000");
    open.run("commit");
    assert_eq!(superuser.value("select tenancy.audit_retain('3 months')").unwrap(), "1");
    assert_whole(&mut superuser);
}

#[test]
fn a_restored_log_verifies_and_is_sealed_on() {
    let shop = sealed();
    let cluster = shop.fixture.cluster();
    let checkpoint = shop.superuser().value("select tenancy.audit_checkpoint()").unwrap();
    let script = String::from_utf8(cluster.run_tool("pg_dump", &[shop.fixture.database()]).stdout).unwrap();
    // Another server, where transactions have lower numbers.
    let other = quiet_server("restored");
    let target = Fixture::empty(&other);
    other.connect("postgres").run(&format!("create role {}", shop.app));
    let output = other.psql(target.database(), "postgres", &script);
    assert!(output.status.success(), "{output:?}");
    let mut superuser = target.superuser();
    assert_whole(&mut superuser);
    let write = |id: i32| target.run(&format!("insert into notes (id, tenant_id) values ({id}, '{}')", ACME.id));
    write(100);
    assert_eq!(seal(&mut superuser), "2");
    write(101);
    assert_eq!(seal(&mut superuser), "1");
    assert_eq!(seal(&mut superuser), "0");
    assert_whole(&mut superuser);
    let ok = format!("select bool_and(ok) from tenancy.audit_verify('{checkpoint}')");
    assert_eq!(superuser.value(&ok).unwrap(), "t");
    superuser.run("alter table tenancy.audit_log disable trigger all");
    superuser.run("begin; delete from tenancy.audit_log where new_row ->> 'id' = '100'");
    assert!(verify(&mut superuser)[0].contains("removed"));
}

/// What erased entries leave, and entries of a table that was dropped, are of the same tables as before wherever they are restored.
#[test]
fn a_log_with_an_erased_tenant_and_a_dropped_table_verifies_where_it_is_restored() {
    let shop = alone(
        "create table orders (id integer primary key, tenant_id uuid not null, item text);
         create table gone (id integer primary key, tenant_id uuid not null);
         select tenancy.protect('orders'), tenancy.protect('gone'); select tenancy.audit('orders'), tenancy.audit('gone')",
    );
    let mut superuser = shop.superuser();
    for tenant in ["acme", "globex", "acme"] {
        let base = superuser.value("select count(*) * 10 from orders").unwrap();
        shop.act(tenant, &format!("insert into orders (id) values ({base}); insert into gone (id) values ({base})"));
    }
    assert_eq!(seal(&mut superuser), "6");
    superuser.run(
        "select tenancy.suspend_tenant('acme'); select tenancy.archive_tenant('acme');
         select * from tenancy.erase_tenant('acme', 'acme', dry_run => false, erase_audit => true);
         drop table gone",
    );
    seal(&mut superuser);
    assert_whole(&mut superuser);
    assert_eq!(superuser.value("select count(*) >= 4 from tenancy.audit_erased").unwrap(), "t");
    let number = "select tbl::oid from tenancy.audit_log where table_name = 'public.orders' limit 1";
    let before = superuser.value(number);
    let script = String::from_utf8(shop.fixture.cluster().run_tool("pg_dump", &[shop.fixture.database()]).stdout);

    let other = quiet_server("erased");
    let target = Fixture::empty(&other);
    other.connect("postgres").run(&format!("create role {}", shop.app));
    target.run("create table filler (id serial primary key, body text); drop table filler");
    let output = other.psql(target.database(), "postgres", &script.unwrap());
    assert!(output.status.success(), "{output:?}");

    let mut superuser = target.superuser();
    assert_ne!(superuser.value(number), before, "tables have other numbers");
    assert_whole(&mut superuser);
    target.run(&format!("insert into orders values (100, '{}', 'x')", GLOBEX.id));
    assert_eq!(seal(&mut superuser), "1");
    assert_whole(&mut superuser);
    // As where the number that the dropped table had is that of another table by now.
    superuser.run(
        "set session_replication_role = replica; alter table tenancy.audit_log disable trigger all;
         do $$ declare part regclass; begin
           for part in select inhrelid from pg_inherits where inhparent = 'tenancy.audit_log'::regclass loop
             execute format('alter table %s disable trigger all', part); end loop; end $$;
         alter table tenancy.audit_erased disable trigger all;
         update tenancy.audit_log set tbl = 'orders' where table_name = 'public.gone';
         update tenancy.audit_erased set tbl = 'orders' where table_name = 'public.gone'",
    );
    assert_whole(&mut superuser);
}
