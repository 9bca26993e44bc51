//! What others have committed meanwhile counts, whatever a transaction's own snapshot shows.

use std::time::{Duration, Instant};

use tenancy_harness::{Session, postgres::Client};

use crate::Shop;

const SNAPSHOTS: [&str; 2] = ["repeatable read", "serializable"];

/// A shop in which the owner has two more tables, not protected, one of them with a partition.
fn with_plain_tables() -> Shop {
    let shop = Shop::new();
    shop.fixture.run(&format!(
        "set role {}; {};
         create table parts (id integer, tenant_id uuid not null, body text) partition by range (id);
         create table parts_0 partition of parts for values from (0) to (10)",
        shop.owner,
        Shop::table("plain")
    ));
    shop
}

/// A session of the owner in a transaction that has looked at the database before.
fn in_the_past(shop: &Shop, isolation_level: &str) -> Client {
    let mut client = shop.fixture.connect(&shop.owner);
    client.run(&format!("begin isolation level {isolation_level}; select count(*) from pg_class"));
    client
}

#[test]
fn a_table_that_was_protected_meanwhile_is_guarded() {
    let shop = with_plain_tables();
    for level in SNAPSHOTS {
        for statement in [
            "alter table plain disable row level security",
            "alter table plain no force row level security",
            "drop policy tenant_isolation_floor on plain",
            "alter table plain alter tenant_id drop default",
            "grant truncate on plain to public",
            "create rule spy as on insert to plain do also notify spied",
        ] {
            let mut client = in_the_past(&shop, level);
            shop.fixture.run("select tenancy.protect('plain')");
            client.refuses(statement, "42501");
            client.run("rollback");
            assert!(shop.is_whole("plain"), "{level}: {statement}");
            shop.fixture.run("select tenancy.unprotect('plain')");
        }
    }
}

#[test]
fn a_part_that_comes_to_a_table_that_was_protected_meanwhile_is_protected() {
    for level in SNAPSHOTS {
        let shop = with_plain_tables();
        let mut client = in_the_past(&shop, level);
        shop.fixture.run("select tenancy.protect('parts'), tenancy.protect('plain')");
        client.run("create table parts_1 partition of parts default; create table kid () inherits (plain); commit");
        assert_eq!(shop.protected("parts_1"), "1", "{level}");
        assert_eq!(shop.protected("kid"), "1", "{level}");
        assert!(shop.is_whole("parts") && shop.is_whole("plain"));
    }
}

#[test]
fn parts_that_came_meanwhile_are_protected_with_their_parent() {
    for level in SNAPSHOTS {
        let shop = with_plain_tables();
        let mut client = in_the_past(&shop, level);
        shop.fixture.run(&format!(
            "set role {}; create table parts_1 partition of parts for values from (10) to (20);
             create table kid () inherits (plain)",
            shop.owner
        ));
        client.run("select tenancy.protect('parts'), tenancy.protect('plain'); commit");
        for table in ["parts_1", "kid"] {
            assert_eq!(shop.protected(table), "1", "{level}: {table}");
            assert!(shop.is_whole(table), "{level}: {table}");
        }
    }
}

#[test]
fn a_table_that_came_meanwhile_into_a_managed_schema_is_known() {
    let shop = with_plain_tables();
    shop.fixture.run(&format!("create schema app; grant create, usage on schema app to {}", shop.owner));
    for level in SNAPSHOTS {
        let mut client = in_the_past(&shop, level);
        shop.fixture.run("select tenancy.manage_schema('app', 'reject')");
        client.refuses("create table app.plain (id integer)", "42501");
        client.run("rollback");
        shop.fixture.run("select tenancy.manage_schema('app', 'off')");
    }
}

/// The command's own snapshot is older than the protection, since it waited for it.
#[test]
fn a_command_that_waited_for_the_protection_is_judged_by_it() {
    let shop = with_plain_tables();
    for statement in [
        "alter table plain disable row level security",
        "alter table plain add column extra text, alter tenant_id drop default",
        "drop policy if exists tenant_isolation_floor on plain",
        "create rule spy as on insert to plain do also notify spied",
    ] {
        let mut owner = shop.fixture.connect(&shop.owner);
        let pid: i32 = owner.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
        let mut observer = shop.fixture.superuser();
        let mut admin = shop.fixture.superuser();
        admin.run("begin; select tenancy.protect('plain')");
        std::thread::scope(|scope| {
            let outcome = scope.spawn(move || owner.batch_execute(statement));
            let waits =
                format!("select wait_event_type is not distinct from 'Lock' from pg_stat_activity where pid = {pid}");
            let deadline = Instant::now() + Duration::from_secs(10);
            while observer.value(&waits).as_deref() != Some("t") {
                assert!(Instant::now() < deadline, "never waits: {statement}");
                std::thread::sleep(Duration::from_millis(10));
            }
            admin.run("commit");
            tenancy_harness::assert_sqlstate(outcome.join().expect("the session ends"), "42501");
        });
        assert!(shop.is_whole("plain"), "{statement}");
        shop.fixture.run("select tenancy.unprotect('plain')");
    }
}
