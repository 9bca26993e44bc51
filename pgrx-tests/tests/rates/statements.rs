//! A rate of statements: `tenancy.enforce_rate`.

use std::time::Duration;

use tenancy_harness::postgres::Client;
use tenancy_harness::{Cluster, Session, assert_sqlstate, refuses_in_savepoint};

use crate::Desk;

/// Acme may run so many statements in 300 days: none comes back while a test runs, however long that takes.
pub fn desk(max: u32) -> Desk<'static> {
    let desk = Desk::new();
    desk.allow(max, "300 days");
    desk.fixture.run(&format!("alter role {} set tenancy.enforce_rate = 'calls'", desk.app));
    desk
}

/// How many statements were counted meanwhile.
#[track_caller]
pub fn costs(desk: &Desk<'_>, client: &mut Client, statements: &str) -> i64 {
    let before = desk.used("acme", "calls");
    client.run(statements);
    desk.used("acme", "calls") - before
}

#[test]
fn each_statement_of_a_tenant_takes_one() {
    let desk = desk(3);
    let mut client = desk.client();
    // Without a tenant nothing counts.
    client.run("select 1; select 2; select tenancy.set_tenant('acme', false)");
    assert_eq!(desk.used("acme", "calls"), 0);
    client.run("select 1");
    client.run("select 2; select 3");
    let error = client.refuses("select 4", "53400");
    assert_eq!(error.detail(), Some("Resource \"calls\": used 3, limit 3, requested 1."));
    for statement in ["create table t (i integer)", "copy (select 1) to stdout", "explain select 1", "do 'begin end'"] {
        client.refuses(statement, "53400");
    }
    // What ends a transaction, or leads away from the tenant, passes; and others go on.
    client.run("begin; savepoint s; rollback to s; commit; show search_path; set search_path = public; reset all");
    client.run("select 5");
    client.run("select tenancy.set_tenant('globex', false)");
    client.run("select 6; select 7; select 8; select 9");
}

#[test]
fn in_a_transaction_the_refusal_is_one_of_a_statement() {
    let desk = desk(2);
    let mut client = desk.client();
    let mut tx = client.transaction().unwrap();
    tx.run("select tenancy.set_tenant('acme')");
    tx.run("select 1");
    tx.run("select 2");
    refuses_in_savepoint(&mut tx, "select 3", "53400");
    desk.allow(4, "300 days");
    tx.run("select 3");
    refuses_in_savepoint(&mut tx, "select 1 / g from generate_series(0, 1) g", "22012");
    refuses_in_savepoint(&mut tx, "select 5", "53400");
    tx.rollback().unwrap();
    assert_eq!(desk.used("acme", "calls"), 4);
}

#[test]
fn what_runs_within_a_statement_is_a_part_of_it() {
    let desk = desk(1000);
    desk.fixture.run(&format!(
        "create table notes (id integer primary key, tenant_id uuid not null default tenancy.current_tenant(), body text);
         select tenancy.protect('notes');
         create table lines (id integer, note integer references notes on delete cascade deferrable initially deferred);
         grant all on lines to {0}; grant pg_write_server_files to {0};
         create function touched() returns trigger language plpgsql as $$
           declare one record;
           begin
             for one in select generate_series(1, 3) loop perform 1; end loop;
             perform count(*) from notes; execute 'select 2'; return null;
           end $$;
         create trigger after_row after insert on notes for each row execute function touched();
         create constraint trigger at_commit after insert on notes deferrable initially deferred
           for each row execute function touched();
         create function busy() returns integer language plpgsql as $$
           declare total integer := 0; one record;
           begin
             for one in select n from generate_series(1, 20) n loop total := total + one.n; end loop;
             begin perform 1 / 0; exception when division_by_zero then perform 2; end;
             perform total; insert into notes values (total) on conflict do nothing;
             return total;
           end $$;
         create function plain() returns bigint language sql as 'select count(*) from notes; select 5::bigint';
         create procedure steps() language plpgsql as $$ begin perform 1; commit; perform 2; rollback; perform 3; end $$",
        desk.app
    ));
    let mut client = desk.client();
    client.run("select tenancy.set_tenant('acme', false)");
    for (statements, cost) in [
        ("select busy()", 1),
        ("select plain(), busy() from generate_series(1, 3)", 1),
        ("do $$ begin perform 1; perform 2; end $$", 1),
        ("call steps()", 1),
        ("insert into notes values (1), (2), (3)", 1),
        ("begin; insert into notes values (4), (5); commit", 1),
        ("insert into lines values (1, 1)", 1),
        ("delete from notes where id = 1", 1),
        ("insert into notes values (6) returning id", 1),
        (
            "begin; declare c cursor for select generate_series(1, 9); fetch 2 from c; fetch all from c; close c; commit",
            3,
        ),
        ("prepare p as select 1; execute p; execute p; deallocate p", 3),
        ("copy (select 1) to '/dev/null'", 1),
        ("explain analyze select busy()", 1),
        ("create temporary table t as select 1", 1),
        ("discard temp", 0),
        ("select 1; select 2; select 3", 3),
        ("vacuum lines", 1),
    ] {
        assert_eq!(costs(&desk, &mut client, statements), cost, "{statements}");
    }
    // The same by the extended protocol, and rows taken in pieces.
    let before = desk.used("acme", "calls");
    let prepared = client.prepare("select busy(), $1::integer").unwrap();
    client.query(&prepared, &[&1]).unwrap();
    client.execute("update notes set body = 'x'", &[]).unwrap();
    let mut tx = client.transaction().unwrap();
    let portal = tx.bind("select generate_series(1, 10)", &[]).unwrap();
    for rows in [4, 4, 2] {
        assert_eq!(tx.query_portal(&portal, 4).unwrap().len(), rows);
    }
    tx.commit().unwrap();
    assert_eq!(desk.used("acme", "calls") - before, 3);
}

#[test]
fn a_statement_that_fails_counts_and_the_next_one_does() {
    let desk = desk(100);
    let mut client = desk.client();
    client.run("select tenancy.set_tenant('acme', false)");
    let before = desk.used("acme", "calls");
    // That which fails before it begins to run, while it is planned, does not count.
    for failing in
        ["select 1 / 0", "do 'begin perform 1 / 0; end'", "select 1 / g from generate_series(0, 1) g", "vacuum nowhere"]
    {
        assert!(client.batch_execute(failing).is_err());
        client.run("select 1");
        client.run("begin; savepoint s");
        assert!(client.batch_execute(failing).is_err());
        client.run("rollback to s; select 1; commit");
    }
    assert_eq!(desk.used("acme", "calls") - before, 4 * 4 - 2);
}

#[test]
fn who_is_not_bound_by_row_security_is_not_counted() {
    let desk = desk(1);
    let keeper = desk.fixture.role("keeper");
    desk.fixture.run(&format!(
        "alter role {keeper} bypassrls; alter database {} set tenancy.enforce_rate = 'calls'",
        desk.fixture.database()
    ));
    desk.fixture.run(&format!("select tenancy.grant_access('{keeper}')"));
    for role in [keeper.as_str(), Cluster::SUPERUSER] {
        desk.fixture.connect(role).run("set tenancy.tenant_id = 'acme'; select 1; select 2; select 3");
    }
    assert_eq!(desk.used("acme", "calls"), 0);
    desk.client().refuses("set tenancy.enforce_rate = ''", "42501");
}

#[test]
fn a_rate_that_does_not_exist_refuses_tenants_and_nobody_else() {
    let desk = desk(1);
    desk.fixture.run("select tenancy.create_resource('seats', 'counter')");
    for name in ["none", "seats"] {
        desk.fixture.run(&format!("alter role {} set tenancy.enforce_rate = '{name}'", desk.app));
        let mut client = desk.client();
        client.run("select 1; select tenancy.set_tenant('acme', false)");
        let error = client.refuses("select 1", "42704");
        assert!(error.message().contains("tenancy.enforce_rate"), "{error:?}");
        client.run("reset all; select 1");
    }
}

#[test]
fn a_tenant_that_can_not_be_acted_for_is_no_way_round() {
    let desk = desk(5);
    let mut client = desk.client();
    client.run("set tenancy.tenant_id = 'nobody'");
    client.refuses("select 1", "42501");
    client.run("reset tenancy.tenant_id; select 1");
    assert_eq!(desk.used("acme", "calls"), 0);
    // Who is one session too many is so when he uses the tenant.
    desk.allow_sessions(0);
    client.run("set tenancy.tenant_id = 'acme'");
    client.refuses("select tenancy.require_tenant()", "53400");
    client.run("select 1");
    assert_eq!(desk.used("acme", "calls"), 2);
}

#[test]
fn at_the_limit_a_transaction_can_commit() {
    let desk = desk(1);
    desk.fixture.run(
        "create table notes (id integer, tenant_id uuid not null default tenancy.current_tenant());
         select tenancy.protect('notes');
         create function touched() returns trigger language plpgsql as $$
           declare one record;
           begin for one in select * from notes loop perform 1; end loop; return null; end $$;
         create constraint trigger at_commit after insert on notes deferrable initially deferred
           for each row execute function touched()",
    );
    let mut client = desk.acting_for("acme");
    client.run("begin; insert into notes values (1); commit");
    assert_eq!(desk.used("acme", "calls"), 1);
}

#[test]
fn counting_takes_no_tenant() {
    let desk = desk(100);
    desk.allow_sessions(1);
    desk.fixture.run(&format!("alter role {} set tenancy.default_tenant = 'acme'", desk.app));
    let mut client = desk.client();
    client.run("select 1; select 2");
    assert_eq!((desk.used("acme", "calls"), desk.used("acme", "sessions")), (2, 0));
    client.run("select tenancy.set_tenant('globex', false)");
    client.run("select tenancy.require_tenant(); reset tenancy.tenant_id");
    client.run("begin; select 1; set local tenancy.tenant_id = 'globex'; select tenancy.require_tenant(); commit");
}

#[test]
fn what_changes_while_a_statement_is_counted_is_heard_of() {
    let desk = desk(100);
    let (mut locking, mut client) = (desk.fixture.superuser(), desk.client());
    // Counting looks at the resource, and waits for it: here when the statement comes to use a tenant.
    locking.run("begin; lock table tenancy.resources in access exclusive mode");
    let uses = "select set_config('tenancy.tenant_id', 'acme', false), tenancy.current_key()";
    let statement = std::thread::spawn(move || client.batch_execute(uses));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!statement.is_finished(), "the statement did not wait");
    desk.fixture.run("select tenancy.suspend_tenant('acme')");
    locking.run("commit");
    assert_sqlstate(statement.join().unwrap(), "55000");
}
