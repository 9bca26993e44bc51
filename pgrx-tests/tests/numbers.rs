//! Numbers that each tenant counts for itself, drawn by ordinary roles: without gaps, or in blocks.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use tenancy_harness::{ACME, Fixture, GLOBEX, Session, Tenant, World, postgres, sqlstate};

const TENANTS: [&str; 5] = ["t1", "t2", "t3", "t4", "t5"];
const WRITERS: usize = 50;
const ROUNDS: usize = 40;

/// The same numbers on every run, and another sequence for each writer.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn fixture() -> (Fixture<'static>, String) {
    let fixture = Fixture::new();
    let app = fixture.app();
    fixture.register(&[ACME, GLOBEX]);
    (fixture, app)
}

fn draw(session: &mut impl Session, name: &str) -> i64 {
    session.value(&format!("select tenancy.next_number('{name}')")).unwrap().parse().unwrap()
}

fn reserve(session: &mut impl Session, name: &str, count: i64) -> (i64, i64) {
    let block = session.value(&format!("select first || ' ' || last from tenancy.reserve_numbers('{name}', {count})"));
    let block = block.unwrap();
    let (first, last) = block.split_once(' ').unwrap();
    (first.parse().unwrap(), last.parse().unwrap())
}

/// A session that gives up on a lock at once.
fn impatient(fixture: &Fixture<'_>, role: &str) -> Client {
    let mut client = fixture.connect(role);
    client.run("set lock_timeout = '300ms'");
    client
}

/// One writer: each transaction draws a number and writes it down; some fail, some go back to a savepoint first.
/// Returns how many it has committed.
fn write(fixture: &Fixture<'_>, app: &str, seed: u64) -> BTreeMap<&'static str, usize> {
    let mut dice = Dice(seed);
    let mut client = fixture.connect(app);
    let mut committed = BTreeMap::new();
    for _ in 0..ROUNDS {
        let tenant = TENANTS[usize::try_from(dice.throw(5)).unwrap()];
        let mut tx = client.transaction().unwrap();
        tx.run(&format!("select tenancy.set_tenant('{tenant}')"));
        if dice.throw(4) == 0 {
            let mut savepoint = tx.transaction().unwrap();
            draw(&mut savepoint, "invoice");
            savepoint.rollback().unwrap();
        }
        let rows = 1 + dice.throw(2);
        for _ in 0..rows {
            tx.run("insert into invoices (number) values (tenancy.next_number('invoice'))");
        }
        match dice.throw(3) {
            0 => tx.rollback().unwrap(),
            1 if dice.throw(4) == 0 => {
                tx.refuses("select 1 / 0", "22012");
            }
            _ => {
                tx.commit().unwrap();
                *committed.entry(tenant).or_default() += usize::try_from(rows).unwrap();
            }
        }
    }
    committed
}

#[test]
fn fifty_writers_of_five_tenants_leave_no_gap_and_no_duplicate() {
    let fixture = Fixture::new();
    let app = fixture.app();
    for tenant in TENANTS {
        fixture.run(&format!("select tenancy.create_tenant('{tenant}')"));
    }
    // Not unique: a duplicate is to be found, not refused.
    fixture.run("create table invoices (tenant_id uuid, number bigint not null); select tenancy.protect('invoices')");

    let mut committed: BTreeMap<&str, usize> = BTreeMap::new();
    thread::scope(|scope| {
        let (fixture, app) = (&fixture, app.as_str());
        let writers: Vec<_> =
            (0..WRITERS).map(|seed| scope.spawn(move || write(fixture, app, seed as u64 * 7919 + 1))).collect();
        for writer in writers {
            for (tenant, count) in writer.join().unwrap() {
                *committed.entry(tenant).or_default() += count;
            }
        }
    });

    let mut client = fixture.connect(&app);
    for tenant in TENANTS {
        let mut tx = client.transaction().unwrap();
        tx.run(&format!("select tenancy.set_tenant('{tenant}')"));
        let numbers = tx.texts("select number from invoices order by number");
        let expected: Vec<String> = (1..=committed[tenant]).map(|number| number.to_string()).collect();
        assert!(expected.len() > WRITERS, "{tenant}: too few to show anything");
        assert_eq!(numbers, expected, "{tenant}");
        assert_eq!(tx.texts("select last_value from tenancy.numbers"), [expected.len().to_string()]);
    }
}

#[test]
fn only_who_draws_the_same_tenants_number_of_that_name_waits() {
    let (fixture, app) = fixture();
    let mut first = fixture.connect(&app);
    let mut tx = World::begin(&mut first, ACME);
    assert_eq!(draw(&mut tx, "invoice"), 1);

    let mut second = impatient(&fixture, &app);
    let mut other = World::begin(&mut second, GLOBEX);
    assert_eq!(draw(&mut other, "invoice"), 1);
    other.commit().unwrap();
    let mut other = World::begin(&mut second, ACME);
    assert_eq!(draw(&mut other, "credit note"), 1);
    other.refuses("select tenancy.next_number('invoice')", "55P03");
    other.rollback().unwrap();

    tx.rollback().unwrap();
    let mut other = World::begin(&mut second, ACME);
    assert_eq!(draw(&mut other, "invoice"), 1, "given back");
}

#[test]
fn a_number_is_given_back_with_its_savepoint_or_prepared_transaction() {
    let (fixture, app) = fixture();
    let mut client = fixture.connect(&app);
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(draw(&mut tx, "x"), 1);
    let mut savepoint = tx.transaction().unwrap();
    assert_eq!((draw(&mut savepoint, "x"), draw(&mut savepoint, "x")), (2, 3));
    savepoint.rollback().unwrap();
    assert_eq!(draw(&mut tx, "x"), 2);
    tx.commit().unwrap();

    let gid = fixture.name("numbers");
    client.run(&format!(
        "begin; select tenancy.set_tenant('acme'); select tenancy.next_number('x'); prepare transaction '{gid}'"
    ));
    let mut second = impatient(&fixture, &app);
    let mut tx = World::begin(&mut second, ACME);
    tx.refuses("select tenancy.next_number('x')", "55P03");
    tx.rollback().unwrap();
    client.run(&format!("rollback prepared '{gid}'"));
    let mut tx = World::begin(&mut second, ACME);
    assert_eq!(draw(&mut tx, "x"), 3);
}

#[test]
fn numbers_are_the_tenants_in_force_and_nobody_elses() {
    let (fixture, app) = fixture();
    let mut client = fixture.connect(&app);
    for call in ["tenancy.next_number('x')", "tenancy.reserve_numbers('y', 10)"] {
        client.refuses(&format!("select {call}"), "42501");
    }
    for (tenant, count) in [(ACME, 2), (GLOBEX, 1)] {
        let mut tx = World::begin(&mut client, tenant);
        for _ in 0..count {
            draw(&mut tx, "x");
        }
        tx.commit().unwrap();
    }
    let mut tx = World::begin(&mut client, GLOBEX);
    assert_eq!(tx.texts("select tenant_id || ' ' || last_value from tenancy.numbers"), [format!("{} 1", GLOBEX.id)]);
    drop(tx);
    assert_eq!(client.texts("select name from tenancy.numbers").len(), 0, "without a tenant");
    for statement in [
        "update tenancy.numbers set last_value = 9",
        "insert into tenancy.numbers values (tenancy.current_tenant(), 'z', true, 1)",
        "delete from tenancy.numbers",
        "select tenancy.set_number('acme', 'x', 9)",
    ] {
        let mut tx = World::begin(&mut client, ACME);
        tx.refuses(statement, "42501");
    }
    fixture.run("select tenancy.suspend_tenant('acme')");
    client.run("set tenancy.tenant_id = 'acme'");
    client.refuses("select tenancy.next_number('x')", "55000");
}

/// Settings and objects of the caller that SQL text inside a function may be read by.
#[test]
fn a_hostile_session_changes_nothing() {
    let (fixture, app) = fixture();
    let evil = fixture.name("evil");
    fixture.run(&format!("create schema {evil} authorization {app}"));
    let mut client = fixture.connect(&app);
    client.run(&format!(
        "create function {evil}.plus(bigint, integer) returns bigint language sql as 'select 100::bigint';
         create operator {evil}.+ (leftarg = bigint, rightarg = integer, function = {evil}.plus);
         create function {evil}.never(uuid, uuid) returns boolean language sql as 'select false';
         create operator {evil}.= (leftarg = uuid, rightarg = uuid, function = {evil}.never);
         set search_path = {evil}, pg_catalog; set standard_conforming_strings = off; set row_security = off;
         set quote_all_identifiers = on; set tenancy.tenant_id = 'acme'"
    ));
    assert_eq!((draw(&mut client, "x"), draw(&mut client, "x")), (1, 2));
    assert_eq!((reserve(&mut client, "y", 5), reserve(&mut client, "y", 5)), ((1, 5), (6, 10)));
}

#[test]
fn names_counts_and_transactions_are_checked() {
    let (fixture, app) = fixture();
    let mut client = fixture.connect(&app);
    client.run("set tenancy.tenant_id = 'acme'");
    for (call, state) in [
        ("tenancy.next_number(null)", "22023"),
        ("tenancy.next_number('')", "22023"),
        ("tenancy.next_number(repeat('x', 256))", "22023"),
        ("tenancy.reserve_numbers('y', 0)", "22023"),
        ("tenancy.reserve_numbers('y', null)", "22023"),
        ("tenancy.reserve_numbers('', 1)", "22023"),
    ] {
        client.refuses(&format!("select {call}"), state);
    }
    for call in ["tenancy.next_number('x')", "tenancy.reserve_numbers('y', 10)"] {
        client.run("begin read only");
        client.refuses(&format!("select {call}"), "25006");
        client.run("rollback");
    }
    draw(&mut client, "x");
    reserve(&mut client, "y", 1);
    client.refuses("select tenancy.reserve_numbers('x', 10)", "55000");
    client.refuses("select tenancy.next_number('y')", "55000");
    fixture.run("select tenancy.set_number('acme', 'x', 9223372036854775807)");
    fixture.run("select tenancy.set_number('acme', 'y', 9223372036854775806, gapless => false)");
    client.refuses("select tenancy.next_number('x')", "22003");
    client.refuses("select tenancy.reserve_numbers('y', 2)", "22003");
    assert_eq!(reserve(&mut client, "y", 1).1, i64::MAX);
}

#[test]
fn an_isolated_snapshot_is_told_that_a_number_was_drawn_meanwhile() {
    let (fixture, app) = fixture();
    let (mut first, mut second) = (fixture.connect(&app), fixture.connect(&app));
    second.run("set tenancy.tenant_id = 'acme'");
    draw(&mut second, "x");
    for level in ["repeatable read", "serializable"] {
        first.run(&format!(
            "begin isolation level {level}; set local tenancy.tenant_id = 'acme'; select 1 from pg_class"
        ));
        let drawn = draw(&mut second, "x");
        first.refuses("select tenancy.next_number('x')", "40001");
        first.run("rollback");
        first.run(&format!("begin isolation level {level}; set local tenancy.tenant_id = 'acme'"));
        assert_eq!(draw(&mut first, "x"), drawn + 1, "{level}");
        first.run("commit");
    }
}

#[test]
fn an_administrator_sets_where_a_tenant_goes_on() {
    let (fixture, app) = fixture();
    let admin = fixture.role("admin");
    fixture.run(&format!("select tenancy.grant_admin('{admin}')"));
    let mut admin = fixture.connect(&admin);
    admin.run("select tenancy.set_number('acme', 'invoice', 1041)");
    admin.refuses("select tenancy.set_number('nobody', 'invoice', 1)", "42704");
    admin.refuses("select tenancy.set_number('acme', 'invoice', -1)", "22023");
    admin.refuses("select tenancy.set_number('acme', 'invoice', 1, gapless => false)", "55000");
    let mut client = fixture.connect(&app);
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(draw(&mut tx, "invoice"), 1042);
    tx.commit().unwrap();
    let entry = "select object || ' ' || (detail ->> 'last_value') from tenancy.event_log where event = 'number.set'";
    assert_eq!(fixture.superuser().texts(entry), ["invoice 1041"]);
}

#[test]
fn a_number_can_be_a_columns_default() {
    let (fixture, app) = fixture();
    fixture.run(
        "create table invoices (tenant_id uuid, number bigint default tenancy.next_number('invoice'), body text);
         select tenancy.protect('invoices')",
    );
    let mut client = fixture.connect(&app);
    let mut tx = World::begin(&mut client, GLOBEX);
    tx.run("insert into invoices (body) values ('a'), ('b'); insert into invoices (body) select 'c'");
    assert_eq!(tx.texts("select number || body from invoices order by number"), ["1a", "2b", "3c"]);
}

#[test]
fn a_block_outlasts_its_transaction_and_keeps_nobody_waiting() {
    let (fixture, app) = fixture();
    let mut first = fixture.connect(&app);
    let mut tx = World::begin(&mut first, ACME);
    assert_eq!(reserve(&mut tx, "ticket", 100), (1, 100));

    let mut second = impatient(&fixture, &app);
    let mut other = World::begin(&mut second, ACME);
    assert_eq!(reserve(&mut other, "ticket", 5), (101, 105));
    other.commit().unwrap();
    let mut other = World::begin(&mut second, GLOBEX);
    assert_eq!(reserve(&mut other, "ticket", 5), (1, 5));
    other.commit().unwrap();

    tx.rollback().unwrap();
    let mut tx = World::begin(&mut first, ACME);
    assert_eq!(reserve(&mut tx, "ticket", 1), (106, 106));
}

#[test]
fn blocks_that_are_reserved_at_once_do_not_overlap() {
    const CLIENTS: i64 = 20;
    const BLOCKS: i64 = 10;
    let (fixture, app) = fixture();
    let mut blocks: Vec<(i64, i64)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (fixture, app) = (&fixture, app.as_str());
                scope.spawn(move || {
                    let mut session = fixture.connect(app);
                    let mut blocks = Vec::new();
                    for round in 0..BLOCKS {
                        let mut tx = World::begin(&mut session, ACME);
                        blocks.push(reserve(&mut tx, "ticket", 1 + (client + round) % 7));
                        if round % 2 == 0 { tx.commit() } else { tx.rollback() }.unwrap();
                    }
                    blocks
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    blocks.sort_unstable();
    assert_eq!(blocks.len(), usize::try_from(CLIENTS * BLOCKS).unwrap());
    for pair in blocks.windows(2) {
        assert_eq!(pair[0].1 + 1, pair[1].0, "{pair:?}");
    }
}

/// A worker waits for who has drawn the same name without gaps and has not committed. However many sessions of a tenant
/// have workers wait like that, the other tenants' find one.
#[test]
fn a_tenant_does_not_keep_the_workers_from_another() {
    const CLIENTS: usize = 16;
    let (fixture, app) = fixture();
    let mut holder = fixture.connect(&app);
    let mut holding = World::begin(&mut holder, ACME);
    draw(&mut holding, "held");
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let mut session = impatient(&fixture, &app);
                scope.spawn(move || {
                    let mut tx = World::begin(&mut session, ACME);
                    assert!(tx.batch_execute("select tenancy.reserve_numbers('held', 1)").is_err());
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(200));
        let mut session = fixture.connect(&app);
        for turn in 1..=5 {
            let begin = Instant::now();
            let mut tx = World::begin(&mut session, GLOBEX);
            assert_eq!(reserve(&mut tx, "free", 1), (turn, turn));
            tx.commit().unwrap();
            assert!(begin.elapsed() < Duration::from_millis(1500), "{:?}", begin.elapsed());
        }
        for client in clients {
            client.join().unwrap();
        }
    });
    holding.rollback().unwrap();
}

/// What can't be reserved is an error, and no wait without end: the worker doesn't see a tenant that is not committed,
/// nor get past a lock that its own client holds.
#[test]
fn what_can_not_be_reserved_is_refused_in_the_end() {
    let (fixture, _) = fixture();
    let mut superuser = fixture.superuser();
    superuser.run("begin; select tenancy.create_tenant('new'); select tenancy.set_tenant('new')");
    superuser.refuses("select tenancy.reserve_numbers('x', 1)", "55000");
    superuser.run("rollback; begin; select tenancy.set_tenant('acme'); lock table tenancy.numbers in share mode");
    superuser.refuses("select tenancy.reserve_numbers('x', 1)", "55000");
    superuser.run("rollback");
}

#[test]
fn roles_without_access_draw_nothing() {
    let (fixture, _) = fixture();
    let stranger = fixture.role("stranger");
    let mut client = fixture.connect(&stranger);
    for Tenant { key, .. } in [ACME, GLOBEX] {
        client.run(&format!("set tenancy.tenant_id = '{key}'"));
        let drawn = client.batch_execute("select tenancy.next_number('x')");
        assert_eq!(sqlstate(&drawn), Some("42501"));
    }
    assert_eq!(fixture.superuser().value("select count(*) from tenancy.numbers").as_deref(), Some("0"));
}
