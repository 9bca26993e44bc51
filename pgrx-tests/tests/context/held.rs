//! WITH HOLD cursors keep a tenant's rows beyond its transaction: for that tenant, and while it may be acted for.

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, GLOBEX, Session, World};

use crate::READ;

/// A session in which acme has left a cursor `held` over its 20 rows, of which 3 were fetched.
fn holding(world: &World<'_>) -> Client {
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    tx.run(&format!("declare held scroll cursor with hold for {READ}; fetch 3 from held"));
    tx.commit().unwrap();
    client
}

#[test]
fn a_held_cursor_is_read_under_its_tenant() {
    let world = World::new();
    for way_in in ["set local tenancy.tenant_id = 'acme'", "select tenancy.set_tenant('acme')"] {
        let mut client = holding(&world);
        client.run(&format!("begin; {way_in}"));
        assert_eq!(client.texts("fetch 5 from held").len(), 5);
        client.run("move backward all from held");
        assert_eq!(client.texts("fetch all from held").len(), 20);
        client.run("commit");
        client.run(&format!("set tenancy.tenant_id = '{}'", ACME.id));
        assert_eq!(client.texts("fetch backward all from held").len(), 20);
        client.run("close held");
        client.refuses("fetch 1 from held", "34000");
    }
}

#[test]
fn a_held_cursor_is_not_read_without_its_tenant() {
    let world = World::new();
    for mode in ["error", "ignore"] {
        world.fixture.run(&format!("alter role {} set tenancy.on_leftovers = {mode}", world.app));
        for context in ["select 1", "set local tenancy.tenant_id = 'globex'", "set local tenancy.tenant_id = 'nobody'"]
        {
            for read in [
                "fetch 1 from held",
                "move 1 from held",
                "fetch backward 2 from held",
                "do $$ begin execute 'fetch 1 from held'; end $$",
                "do $$ declare c refcursor := 'held'; r record; begin fetch c into r; end $$",
            ] {
                let mut client = holding(&world);
                client.run(&format!("begin; {context}"));
                let outcome = client.batch_execute(read);
                let state = tenancy_harness::sqlstate(&outcome).map(str::to_owned);
                assert!(matches!(state.as_deref(), Some("55000" | "42501")), "{mode}, {context}, {read}: {outcome:?}");
                client.run("rollback");
            }
        }
    }
}

#[test]
fn a_held_cursor_is_stopped_with_its_tenant() {
    let world = World::new();
    let mut client = holding(&world);
    client.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(client.texts("fetch 5 from held").len(), 5);
    world.fixture.run("select tenancy.suspend_tenant('acme')");
    client.refuses("fetch 5 from held", "55000");
    world.fixture.run("select tenancy.resume_tenant('acme')");
    assert_eq!(client.texts("fetch 5 from held").len(), 5, "a refusal spoils nothing");
    world.fixture.run(&format!("select tenancy.revoke_access('{}')", world.app));
    client.refuses("fetch 5 from held", "42501");
}

#[test]
fn a_held_cursor_that_has_read_nothing_of_a_tenant_is_anybodys() {
    let world = World::new();
    world.fixture.run("create table plain as select n from generate_series(1, 20) n; grant select on plain to public");
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    tx.run("declare held scroll cursor with hold for select n from plain; fetch 3 from held");
    tx.commit().unwrap();
    assert_eq!(client.texts("fetch 5 from held").len(), 5);
    client.run("do $$ declare c refcursor := 'held'; r record; begin fetch c into r; end $$");
    assert_eq!(client.texts("fetch all from held").len(), 11);
}

#[test]
fn a_name_is_free_for_the_next_cursor() {
    let world = World::new();
    for end in ["close held", "close all", "discard all"] {
        let mut client = holding(&world);
        client.run(end);
        client.run("begin; declare held cursor with hold for select 1; commit");
        assert_eq!(client.texts("fetch all from held"), ["1"], "{end}");
        client.run("close held");
        let mut tx = World::begin(&mut client, GLOBEX);
        tx.run(&format!("declare held cursor with hold for {READ}"));
        tx.commit().unwrap();
        client.refuses("fetch 1 from held", "55000");
        let mut tx = World::begin(&mut client, GLOBEX);
        assert_eq!(tx.texts("fetch all from held").len(), 30, "{end}");
    }
}

#[test]
fn what_was_rolled_back_leaves_the_held_cursors_as_they_were() {
    let world = World::new();
    let mut client = holding(&world);
    client.run(&format!("begin; select tenancy.set_tenant('acme'); declare other cursor with hold for {READ}"));
    client.run("fetch 1 from other; fetch 1 from held; savepoint s; fetch 1 from held; rollback to s; rollback");
    client.refuses("fetch 1 from held", "55000");
    client.refuses("fetch 1 from other", "34000");
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(tx.texts("fetch all from held").len(), 15);
}

#[test]
fn a_transaction_that_has_left_its_tenant_does_not_keep_its_cursor() {
    let world = World::new();
    let mut client = world.connect();
    client.run(&format!(
        "begin; select tenancy.set_tenant('acme'); declare held cursor with hold for {READ}; fetch 3 from held"
    ));
    client.refuses("select tenancy.clear_tenant(); commit", "55000");
    client.run("rollback");
    client.refuses("fetch 1 from held", "34000");
}

#[test]
fn a_procedure_goes_on_with_its_loop_after_a_commit() {
    let world = World::new();
    world.fixture.run(
        "create procedure batches() language plpgsql as $$ declare r record; n integer := 0; begin
           for r in select body from notes_uuid loop
             if r.body not like 'acme %' then raise exception 'foreign row %', r.body; end if;
             n := n + 1; commit;
           end loop;
           if n <> 20 then raise exception 'saw % rows', n; end if; end $$",
    );
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'");
    client.run("call batches()");
}
