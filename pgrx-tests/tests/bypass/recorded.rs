//! What is kept of a bypass: entries of `tenancy.event_log` that survive, and lines of the server's log.

use tenancy_harness::{Cluster, Config, Fixture, Session};

use crate::Shop;

#[test]
fn a_reason_is_recorded_when_it_is_declared_and_stays() {
    let shop = Shop::new();
    let mut superuser = shop.superuser("error");
    superuser.run("set application_name = 'month''s end'; set tenancy.user_id = 'u1'; set tenancy.request_id = 'r1'");
    let mut tx = superuser.transaction().unwrap();
    tx.run("select tenancy.bypass('invoices')");
    let entry =
        "select concat_ws(' ', role_name, session_role, reason, user_id, request_id, detail ->> 'application', object)
                 from tenancy.event_log where event = 'bypass.declared'";
    assert_eq!(shop.observer().texts(entry), ["postgres postgres invoices u1 r1 month's end"]);
    tx.rollback().unwrap();
    assert_eq!(shop.entries("bypass.declared"), "1");
    let log = shop.fixture.cluster().log();
    let line = format!(
        "bypass of row security (declared): role \"postgres\" (session \"postgres\"), relation any, database \"{}\", \
         application \"month's end\", reason: invoices",
        shop.fixture.database()
    );
    assert!(log.contains(&line));
}

#[test]
fn what_was_not_declared_is_recorded_too() {
    let shop = Shop::new();
    let mut superuser = shop.superuser("log");
    superuser.run("set application_name = 'look'");
    let mut tx = superuser.transaction().unwrap();
    tx.run("select from orders");
    tx.rollback().unwrap();
    shop.await_entries("bypass.undeclared", "1");
    assert_eq!(
        shop.observer()
            .texts("select object || ' ' || role_name from tenancy.event_log where event = 'bypass.undeclared'"),
        ["public.orders postgres"]
    );
    let line = format!(
        "bypass of row security (undeclared): role \"postgres\" (session \"postgres\"), relation public.orders, \
         database \"{}\", application \"look\", reason: none",
        shop.fixture.database()
    );
    assert!(shop.fixture.cluster().log().contains(&line));
}

#[test]
fn a_refusal_is_recorded() {
    let shop = Shop::new();
    let mut superuser = shop.superuser("error");
    superuser.refuses("select from orders", "42501");
    shop.await_entries("bypass.refused", "1");
}

#[test]
fn allow_keeps_nothing() {
    let shop = Shop::new();
    shop.superuser("allow").run("select from orders");
    // Written by the same means, so an entry of the former would be there by now.
    shop.superuser("allow").run("select tenancy.bypass('mark')");
    assert_eq!(shop.entries("bypass.undeclared"), "0");
    assert_eq!(shop.entries("bypass.declared"), "1");
}

#[test]
fn the_same_is_recorded_once_a_minute() {
    let shop = Shop::new();
    shop.fixture.run("create table more (tenant_id uuid not null); select tenancy.protect('more')");
    for _ in 0..3 {
        let mut superuser = shop.superuser("log");
        for _ in 0..20 {
            superuser.run("select from orders");
        }
        superuser.run("select tenancy.bypass('again')");
        superuser.run("select tenancy.bypass('again')");
    }
    shop.superuser("log").run("select from more");
    shop.await_entries("bypass.undeclared", "2");
    assert_eq!(shop.entries("bypass.declared"), "1");
    // An hour later it is news again.
    shop.fixture.run("update tenancy.event_log set at = at - interval '1 hour'");
    shop.superuser("log").run("select from orders");
    shop.await_entries("bypass.undeclared", "3");
}

#[test]
fn without_a_worker_nothing_is_declared() {
    let cluster = Cluster::start("workers", &Config::default().set("max_worker_processes", "0"));
    let shop = Shop::on(&cluster);
    let mut superuser = shop.superuser("error");
    superuser.refuses("begin; select tenancy.bypass('invoices')", "55000");
    superuser.run("rollback");
    superuser.refuses("select from orders", "42501");
    // What is not declared stops nobody in the other modes; the server's log has it.
    shop.superuser("log").run("select from orders");
    assert!(cluster.log().contains("bypass of row security (undeclared)"));
}

/// The entry is written by another process, which must not wait long for what this one has locked.
#[test]
fn a_locked_log_is_an_error_and_no_deadlock() {
    let shop = Shop::new();
    let mut superuser = shop.superuser("error");
    superuser.refuses("begin; lock table tenancy.event_log; select tenancy.bypass('invoices')", "55000");
}

/// The worker is a superuser; what the database's owner chose for it must not decide what it runs.
#[test]
fn the_database_s_owner_has_no_say_in_what_is_recorded() {
    let shop = Shop::new();
    let database = shop.fixture.database().to_owned();
    let owner = shop.fixture.role("owner");
    shop.fixture.run(&format!("alter database {database} owner to {owner}"));
    shop.fixture.connect(&owner).run(&format!(
        "create schema evil; grant all on schema evil to public;
         create function evil.eq(a text, b text) returns bool language plpgsql as $$
         begin execute 'alter role {owner} superuser'; return true; exception when others then return true; end $$;
         create operator evil.= (leftarg = text, rightarg = text, function = evil.eq);
         alter database {database} set search_path = evil, pg_catalog;
         alter database {database} set default_transaction_read_only = on"
    ));
    let mut superuser = shop.fixture.superuser();
    superuser.run("set search_path = pg_catalog");
    for reason in ["one", "two", "three"] {
        superuser.run(&format!("select tenancy.bypass('{reason}')"));
    }
    let roles = superuser.value(&format!("select rolsuper from pg_roles where rolname = '{owner}'"));
    assert_eq!(roles.as_deref(), Some("f"));
    let recorded = "select count(*) from tenancy.event_log where event = 'bypass.declared'";
    assert_eq!(superuser.value(recorded).as_deref(), Some("3"));

    // Nor in who it is and how long it may take. `transaction_timeout` came with 17.
    let mut owners = shop.fixture.connect(&owner);
    owners.run("set search_path = pg_catalog; set default_transaction_read_only = off");
    for (name, value) in [
        ("role", owner.as_str()),
        ("session_authorization", &owner),
        ("default_transaction_isolation", "serializable"),
        ("transaction_timeout", "1"),
    ] {
        let known = format!("select count(*) from pg_settings where name = '{name}'");
        if name == "transaction_timeout" && owners.value(&known).as_deref() == Some("0") {
            continue;
        }
        owners.run(&format!("alter database {database} reset all; alter database {database} set {name} = '{value}'"));
        superuser.run(&format!("select tenancy.bypass('whatever {name} is')"));
        let recorded = format!("select count(*) from tenancy.event_log where reason = 'whatever {name} is'");
        assert_eq!(superuser.value(&recorded).as_deref(), Some("1"), "{name}");
    }
}

#[test]
fn nobody_hides_in_a_flood() {
    let shop = Shop::new();
    let mut superuser = shop.superuser("error");
    superuser.run("select tenancy.bypass('noise ' || n) from generate_series(1, 101) n; select tenancy.bypass('last')");
    let last = "select count(*) from tenancy.event_log where reason = 'last'";
    assert_eq!(shop.observer().value(last).as_deref(), Some("1"));
}

/// A server with room for one worker at a time, and 41 protected tables.
fn few_workers(name: &str) -> Cluster {
    Cluster::start(name, &Config::default().set("max_worker_processes", "2"))
}

fn shop_with_noise(cluster: &Cluster) -> Shop<'_> {
    let shop = Shop { app: String::new(), fixture: Fixture::on(cluster) };
    shop.fixture.run(
        "create table orders (tenant_id uuid not null); select tenancy.protect('orders');
         do $$ begin for n in 1..40 loop
           execute format('create table noise_%s (tenant_id uuid not null)', n);
           perform tenancy.protect(format('noise_%s', n)::regclass);
         end loop; end $$",
    );
    shop
}

/// Touches more tables than there is room for workers at once, and what is looked for at last.
const TOUCH_ALL: &str = "do $$ begin for n in 1..40 loop execute format('select from noise_%s', n); end loop;
                         execute 'select from orders'; end $$";

#[test]
fn nobody_hides_behind_tables_that_he_touched_before() {
    let cluster = few_workers("few_workers");
    let shop = shop_with_noise(&cluster);
    shop.superuser("log").run(TOUCH_ALL);
    shop.await_entries("bypass.undeclared", "41");
}

#[test]
fn nor_by_rolling_back() {
    let cluster = few_workers("few_workers_rollback");
    let shop = shop_with_noise(&cluster);
    let mut superuser = shop.superuser("log");
    superuser.run(&format!("begin; {TOUCH_ALL}; rollback"));
    // Whatever comes next.
    superuser.run("select 1");
    shop.await_entries("bypass.undeclared", "41");
}

#[test]
fn nor_by_leaving() {
    let cluster = few_workers("few_workers_exit");
    let shop = shop_with_noise(&cluster);
    let mut superuser = shop.superuser("log");
    superuser.run(&format!("begin; {TOUCH_ALL}"));
    drop(superuser);
    shop.await_entries("bypass.undeclared", "41");
}
