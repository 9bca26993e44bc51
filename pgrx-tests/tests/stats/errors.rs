//! Errors: those that reach the client in a tenant's transaction.

use tenancy_harness::Session;

use crate::Shop;

#[test]
fn an_error_counts_once_wherever_it_comes_from() {
    let shop = Shop::new();
    shop.fill();
    let mut client = shop.client();
    // Of each: what the failed statement adds to that of set_tenant, if it ran at all.
    for (statement, sqlstate, count) in [
        ("select 1 / (select count(*) from notes where false)", "22012", 1),
        ("select * from nowhere", "42P01", 0),
        ("selekt", "42601", 0),
        ("insert into notes (id) values (1)", "23505", 1),
        ("do $$ begin raise 'no'; end $$", "P0001", 1),
        ("set local statement_timeout = 30; select pg_sleep(5)", "57014", 1),
    ] {
        let added = shop.added(|| {
            client.run("begin; select tenancy.set_tenant('acme')");
            client.refuses(statement, sqlstate);
            client.refuses("select 1", "25P02");
            client.run("rollback");
        });
        // What is refused in a failed transaction is not done in it.
        assert_eq!(added, [1, 1, 1 + count, 1, 1, 0, 0], "{statement}");
    }
}

#[test]
fn an_error_of_a_savepoint_counts_and_one_that_is_caught_does_not() {
    let shop = Shop::new();
    shop.fill();
    let mut client = shop.client();
    let added = shop.added(|| {
        client.run("begin; select tenancy.set_tenant('acme'); savepoint s");
        client.refuses("insert into notes (id) values (1)", "23505");
        client.run("rollback to s; savepoint t; select 1; rollback to t");
        client.run("do $$ begin insert into notes (id) values (1); exception when unique_violation then null; end $$");
        client.run("commit");
    });
    assert_eq!(added, [1, 0, 4, 2, 1, 0, 0]);
    // A failed savepoint, and with it the whole.
    let added = shop.added(|| {
        client.run("begin; select tenancy.set_tenant('acme'); savepoint s");
        client.refuses("insert into notes (id) values (1)", "23505");
        client.run("rollback");
    });
    assert_eq!(added, [1, 1, 2, 1, 1, 0, 0]);
}

#[test]
fn an_error_at_commit_counts() {
    let shop = Shop::new();
    shop.fixture.run(
        "create table twos (id integer, tenant_id uuid not null default tenancy.current_tenant(),
           constraint once unique (tenant_id, id) deferrable initially deferred);
         select tenancy.protect('twos')",
    );
    let mut client = shop.client();
    let added = shop.added(|| {
        client.refuses("begin; select tenancy.set_tenant('acme'); insert into twos values (1), (1); commit", "23505");
    });
    assert_eq!(added, [1, 1, 2, 3, 1, 0, 0]);
    assert_eq!(client.value("select 1").as_deref(), Some("1"));
}

#[test]
fn an_error_that_is_caught_at_commit_does_not_count() {
    let shop = Shop::new();
    shop.fixture.run(
        "create function divide() returns trigger language plpgsql as
           $$ begin perform 1 / 0; return null; exception when division_by_zero then return null; end $$;
         create constraint trigger divide after insert on notes deferrable initially deferred for each row execute function divide()",
    );
    let mut client = shop.client();
    client.run("set tenancy.tenant_id = 'acme'");
    // In messages of its own each, of which the last, Sync, commits.
    for id in 1..=2 {
        let added = shop.added(|| {
            client.execute("insert into notes (id) values ($1)", &[&id]).unwrap();
        });
        assert_eq!(added, [1, 0, 1, 1, 0, 0, 0], "{id}");
    }
    shop.fixture.run(
        "create or replace function divide() returns trigger language plpgsql as $$ begin perform 1 / 0; return null; end $$",
    );
    let added = shop.added(|| assert!(client.execute("insert into notes (id) values ($1)", &[&3]).is_err()));
    assert_eq!(added, [1, 1, 1, 1, 1, 0, 0]);
}

#[test]
fn the_first_statement_of_a_session_counts_when_it_fails() {
    let shop = Shop::new();
    let mut client = shop.fixture.try_connect(&shop.app, "-c tenancy.tenant_id=acme").unwrap();
    let added = shop.added(|| {
        client.refuses("select 1 / (select count(*) from notes)", "22012");
    });
    assert_eq!(added, [1, 1, 1, 0, 1, 0, 0]);
}
