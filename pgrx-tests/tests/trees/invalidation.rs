//! A change of the tree is seen by every session at its next statement.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tenancy_harness::postgres::{Client, Transaction};
use tenancy_harness::{Cluster, Config, Fixture, Session};

use crate::{Forest, begin, family, id, seen, visible};

#[test]
fn a_move_is_seen_by_open_transactions_at_their_next_statement() {
    let forest = Forest::new();
    for isolation in ["read committed", "repeatable read", "serializable"] {
        let (mut above, mut below) = (forest.connect(), forest.connect());
        let (mut above, mut below) = (begin_at(&mut above, 2, isolation), begin_at(&mut below, 1, isolation));
        assert_eq!(seen(&mut above, "t_text"), family(2));
        assert_eq!(seen(&mut below, "t_text"), family(1));
        forest.fixture.run("select tenancy.set_parent('11', '21')");
        assert_eq!(seen(&mut above, "t_text"), ["11", "111", "112", "2", "21"], "{isolation}");
        assert_eq!(seen(&mut below, "t_text"), ["1", "12"], "{isolation}");
        forest.fixture.run("select tenancy.set_parent('11', '1')");
        assert_eq!(seen(&mut above, "t_text"), family(2), "{isolation}");
        assert_eq!(seen(&mut below, "t_text"), family(1), "{isolation}");
    }
}

fn begin_at<'c>(client: &'c mut Client, key: u32, isolation: &str) -> Transaction<'c> {
    client.run(&format!("set default_transaction_isolation = '{isolation}'"));
    begin(client, key)
}

#[test]
fn new_and_erased_tenants_are_seen_as_well() {
    let forest = Forest::new();
    let mut client = forest.connect();
    client.run("set tenancy.tenant_id = '2'");
    assert_eq!(visible(&mut client), ["2", "21"]);
    forest
        .fixture
        .run("select tenancy.create_tenant('22', parent => '2'), tenancy.create_tenant('221', parent => '22')");
    assert_eq!(visible(&mut client), ["2", "21", "22", "221"]);
    forest.fixture.run("select tenancy.suspend_tenant('221'); select tenancy.archive_tenant('221'); select tenancy.erase_tenant('221', confirm => '221', dry_run => false)");
    assert_eq!(visible(&mut client), ["2", "21", "22"]);
    // By plain statements of a superuser too.
    forest.fixture.run("update tenancy.tenants set parent = null where key = '22'");
    assert_eq!(visible(&mut client), ["2", "21"]);
}

#[test]
fn what_is_rolled_back_leaves_nothing_behind() {
    let forest = Forest::new();
    let mut superuser = forest.fixture.superuser();
    superuser.run("set tenancy.tenant_id = '2'");
    superuser.run("begin");
    assert_eq!(visible(&mut superuser), ["2", "21"]);
    superuser.run("savepoint a; select tenancy.set_parent('3', '21')");
    assert_eq!(visible(&mut superuser), ["2", "21", "3"]);
    let mut other = forest.connect();
    other.run("set tenancy.tenant_id = '2'");
    assert_eq!(visible(&mut other), ["2", "21"]);
    superuser.run("rollback to a");
    assert_eq!(visible(&mut superuser), ["2", "21"]);
    superuser.run("select tenancy.set_parent('3', '2'); rollback");
    assert_eq!(visible(&mut superuser), ["2", "21"]);
    assert_eq!(visible(&mut other), ["2", "21"]);
}

#[test]
fn a_cursor_goes_on_with_what_it_was_opened_for() {
    let forest = Forest::new();
    let mut client = forest.connect();
    let mut tx = begin(&mut client, 11);
    tx.run("declare c cursor for select body from t_uuid order by body");
    assert_eq!(tx.texts("fetch 6 from c").len(), 6);
    assert_eq!(tx.texts("fetch all from c").len(), 9);
}

#[test]
fn a_cursor_shows_nothing_of_a_tenant_that_has_left_the_tree() {
    let forest = Forest::new();
    let mut client = forest.connect();
    let move_to = |parent: &str| forest.fixture.run(&format!("select tenancy.set_parent('112', {parent})"));
    for hold in ["", "with hold"] {
        // What comes to the tree is no reason to refuse anything, nor is what changes elsewhere.
        let mut tx = begin(&mut client, 11);
        tx.run(&format!("declare c cursor {hold} for select body from t_uuid order by body; fetch 3 from c"));
        forest.fixture.run("select tenancy.set_parent('21', '111'), tenancy.set_parent('3', '1')");
        assert_eq!(tx.texts("fetch 3 from c").len(), 3);
        move_to("'2'");
        let error = tx.refuses("fetch all from c", "55000");
        assert!(error.detail().is_some() && error.hint().is_some());
        drop(tx);
        move_to("'11'");
        forest.fixture.run("select tenancy.set_parent('21', '2'), tenancy.set_parent('3', null)");
    }
    // What has been kept beyond the transaction too; a table that shows no tree is none of this.
    forest.fixture.run("create table own (tenant_id text, body text); select tenancy.protect('own')");
    client.run("set tenancy.tenant_id = '11'; begin");
    for table in ["t_text", "own"] {
        client.run(&format!("declare {table} cursor with hold for select body from {table} order by body"));
    }
    client.run("commit");
    assert_eq!(client.texts("fetch 3 from t_text").len(), 3);
    move_to("'2'");
    client.refuses("fetch all from t_text", "55000");
    client.run("fetch all from own");
    // By another key a tenant's rows are others.
    client.run("close all; begin; declare c cursor for select body from t_text");
    assert_eq!(client.texts("fetch 1 from c").len(), 1);
    forest.fixture.run("update tenancy.tenants set key = 'renamed' where key = '111'");
    client.refuses("fetch all from c", "55000");
}

/// While sessions read a large tree, somebody moves `21` to and fro between `3` and `2`, and `111` below it while it is below `2`.
#[test]
fn a_large_tree_is_read_as_it_was_at_some_time_whatever_changes_meanwhile() {
    let forest = Forest::new();
    forest.fixture.run(&format!(
        "insert into tenancy.tenants (key, parent) select 'leaf ' || n, '{0}' from generate_series(1, 5000) n;
         update tenancy.tenants set parent = '{0}' where key = '21'; update tenancy.tenants set parent = null where key = '111'",
        id(3)
    ));
    let stop = Arc::new(AtomicBool::new(false));
    let mut mover = forest.fixture.superuser();
    let moving = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let until = Instant::now() + Duration::from_secs(10);
            while !stop.load(Ordering::Relaxed) && Instant::now() < until {
                for (tenant, parent) in [("21", "'2'"), ("111", "'21'"), ("111", "null"), ("21", "'3'")] {
                    mover.run(&format!("select tenancy.set_parent('{tenant}', {parent})"));
                }
            }
        }
    });
    let mut client = forest.connect();
    client.run("set tenancy.tenant_id = '3'");
    let read = "select cardinality(keys) || ' ' || ('111' = any (keys)) from tenancy.visible_keys() keys";
    let check = |client: &mut Client| {
        let seen = client.value(read).unwrap();
        assert!(seen == "5001 false" || seen == "5002 false", "{seen}");
    };
    check(&mut client);
    assert!(!moving.is_finished(), "the tree was not read before it kept still");
    // Who holds the locks hears of nothing while it reads.
    client.run("begin; select key from tenancy.tenants");
    for _ in 0..80 {
        check(&mut client);
    }
    stop.store(true, Ordering::Relaxed);
    moving.join().unwrap();
    client.run("rollback");

    // What changes elsewhere has the tree read anew, and takes no memory.
    let mut superuser = forest.fixture.superuser();
    client.run("begin");
    check(&mut client);
    let before = memory_of(&mut client);
    for n in 0..40 {
        superuser.run(&format!("select tenancy.create_tenant('elsewhere {n}')"));
        check(&mut client);
    }
    let grown = memory_of(&mut client).saturating_sub(before);
    assert!(grown < 3_000, "{grown} kB more");
    client.run("rollback");
}

/// What the server's process takes of the machine's memory, in kilobytes.
fn memory_of(client: &mut Client) -> u64 {
    let pid = client.value("select pg_backend_pid()").unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is ours to see");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells the resident set");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_prepared_transaction_moves_when_it_is_committed() {
    let forest = Forest::new();
    let mut client = forest.connect();
    client.run("set tenancy.tenant_id = '2'");
    assert_eq!(visible(&mut client), ["2", "21"]);
    forest.fixture.run("begin; update tenancy.tenants set parent = (select id from tenancy.tenants where key = '21') where key = '3'; prepare transaction 'move'");
    assert_eq!(visible(&mut client), ["2", "21"]);
    forest.fixture.run("commit prepared 'move'");
    assert_eq!(visible(&mut client), ["2", "21", "3"]);
}

#[test]
fn a_standby_reads_the_tree_and_hears_of_moves() {
    let primary = Cluster::start("primary", &Config::default());
    let standby = primary.standby();
    let forest = Forest::within(Fixture::on(&primary));
    standby.wait_for_catch_up(&primary);
    let mut client = standby.connect_to(forest.fixture.database(), &forest.app);
    for table in ["t_uuid", "t_varchar", "t_smallint"] {
        assert_eq!(seen(&mut begin(&mut client, 1), table), family(1));
        assert_eq!(seen(&mut begin(&mut client, 2), table), family(2));
    }
    let mut tx = begin(&mut client, 2);
    assert_eq!(seen(&mut tx, "t_uuid"), family(2));
    forest.fixture.run("select tenancy.set_parent('3', '21')");
    standby.wait_for_catch_up(&primary);
    assert_eq!(seen(&mut tx, "t_uuid"), ["2", "21", "3"]);
    drop(tx);
    client.refuses("select tenancy.set_parent('3', null)", "42501");
}
