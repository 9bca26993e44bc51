//! What one tenant leaves in a pooled session is neither readable by the next one nor a trap for it.

use postgres::Client;
use tenancy_harness::{ACME, GLOBEX, Session, World, assert_sqlstate};

use crate::{context, visible};

/// Statements that leave something behind, and one that uses it.
const LEFTOVERS: [(&str, &str); 4] = [
    ("create temp table notes_uuid (like public.notes_uuid)", "select count(*) from notes_uuid"),
    ("create temp view notes_uuid as select * from public.notes_text", "select count(*) from notes_uuid"),
    ("declare held cursor with hold for select body from notes_uuid", "fetch all from held"),
    ("prepare kept as select 'from acme', body from notes_uuid", "execute kept"),
];

/// Both ways in which the next client may name its tenant.
const WAYS_IN: [&str; 2] = ["select tenancy.set_tenant('globex')", "set local tenancy.tenant_id = 'globex'"];

fn world() -> World<'static> {
    let world = World::new();
    world.fixture.run(&format!("grant temporary on database {} to {}", world.fixture.database(), world.app));
    world
}

/// A session in which acme has left something.
fn littered(world: &World<'_>, statement: &str) -> Client {
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    tx.run(statement);
    tx.commit().unwrap();
    client
}

#[test]
fn the_next_tenant_is_refused_until_the_session_is_clean() {
    let world = world();
    for (leave, using) in LEFTOVERS {
        for way_in in WAYS_IN {
            let mut client = littered(&world, leave);
            let error = client.refuses(&format!("begin; {way_in}; {using}"), "55000");
            assert!(error.hint().is_some_and(|hint| hint.contains("DISCARD ALL")), "{leave}: {error:?}");
            client.run("rollback");

            client.run("discard all");
            let mut tx = World::begin(&mut client, GLOBEX);
            assert_eq!(visible(&mut tx), ["globex"], "{leave}, {way_in}");
        }
    }
}

#[test]
fn a_write_does_not_land_in_a_temporary_table_of_the_former_tenant() {
    let world = world();
    for writing in ["insert into notes_uuid (id, body) values (99, 'trapped')", "copy notes_uuid from stdin"] {
        let mut client = littered(&world, "create temp table notes_uuid (id integer, tenant_id uuid, body text)");
        client.refuses(&format!("begin; set local tenancy.tenant_id = 'globex'; {writing}"), "55000");
        client.run("rollback");
        let count = client.value("select count(*) from pg_temp.notes_uuid");
        assert_eq!(count.as_deref(), Some("0"), "{writing}");
    }
}

#[test]
fn a_session_level_tenant_is_refused_as_well() {
    let world = world();
    for (leave, using) in LEFTOVERS {
        let mut client = littered(&world, leave);
        client.run("set tenancy.tenant_id = 'globex'");
        client.refuses(using, "55000");
        client.refuses("select body from public.notes_uuid", "55000");
    }
}

#[test]
fn the_same_tenant_keeps_what_it_left() {
    let world = world();
    for (leave, using) in LEFTOVERS {
        let mut client = littered(&world, leave);
        let mut tx = World::begin(&mut client, ACME);
        tx.run(using);
        tx.commit().unwrap();
        client.run(&format!("begin; set local tenancy.tenant_id = '{}'; {using}; commit", ACME.id));
    }
}

#[test]
fn what_was_made_before_the_first_tenant_is_nobodys() {
    let world = world();
    let mut client = world.connect();
    client.run("create temp table scratch (id integer); prepare mine as select 1");
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(context(&mut tx), "acme");
}

#[test]
fn set_tenant_discards_where_the_server_says_so() {
    let world = world();
    world.fixture.run(&format!("alter role {} set tenancy.on_leftovers = discard", world.app));
    for (leave, using) in LEFTOVERS {
        let mut client = littered(&world, leave);
        let driver_statement = client.prepare("select 1").unwrap();
        let mut tx = World::begin(&mut client, GLOBEX);
        assert_eq!(visible(&mut tx), ["globex"], "{leave}");
        assert_eq!(tx.query(&driver_statement, &[]).unwrap().len(), 1, "the driver's own statement is untouched");
        assert_eq!(tx.value("select count(*) from pg_cursors where is_holdable").as_deref(), Some("0"));
        assert_eq!(tx.value("select count(*) from pg_prepared_statements where from_sql").as_deref(), Some("0"));
        let temporary = "select count(*) from pg_class where relnamespace = pg_my_temp_schema()";
        assert_eq!(tx.value(temporary).as_deref(), Some("0"));
        tx.commit().unwrap();

        // A plain SET is first heard of by a statement that may use what was left.
        let mut client = littered(&world, leave);
        client.refuses(&format!("begin; set local tenancy.tenant_id = 'globex'; {using}"), "55000");
    }
}

#[test]
fn left_overs_are_ignored_where_the_server_says_so() {
    let world = world();
    world.fixture.run(&format!("alter role {} set tenancy.on_leftovers = ignore", world.app));
    let mut client = littered(&world, LEFTOVERS[3].0);
    let mut tx = World::begin(&mut client, GLOBEX);
    assert_eq!(tx.value("select count(*) from pg_prepared_statements where from_sql").as_deref(), Some("1"));
}

#[test]
fn the_application_can_not_change_what_happens() {
    let world = world();
    world.connect().refuses("set tenancy.on_leftovers = ignore", "42501");
}

#[test]
fn statements_that_drivers_prepare_are_no_left_overs() {
    let world = world();
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    let statement = tx.prepare("select count(*) from notes_uuid").unwrap();
    tx.commit().unwrap();
    let mut tx = World::begin(&mut client, GLOBEX);
    assert_eq!(tx.query(&statement, &[]).unwrap().len(), 1);
}

#[test]
fn a_rollback_that_brings_left_overs_back_brings_the_refusal_back() {
    let world = world();
    let trap = "create temp table notes_uuid (id integer, tenant_id uuid, body text)";
    let mut client = littered(&world, trap);
    client.run("begin; drop table pg_temp.notes_uuid; select tenancy.set_tenant('globex'); rollback");
    client.refuses("begin; select tenancy.set_tenant('globex'); insert into notes_uuid (id) values (1)", "55000");
    client.run("rollback");
    for way_in in WAYS_IN {
        client.run(&format!("begin; savepoint s; drop table pg_temp.notes_uuid; {way_in}; select 1; rollback to s"));
        client.refuses(&format!("{way_in}; insert into notes_uuid (id) values (1)"), "55000");
        client.run("rollback");
    }
    client.run("begin; set local tenancy.tenant_id = 'globex'; savepoint s; drop table pg_temp.notes_uuid");
    client.run("select 1; rollback to s");
    client.refuses("insert into notes_uuid (id) values (1)", "55000");
}

/// What the tenant before has left is known to be gone, and no savepoint of this one's brings it back.
#[test]
fn after_a_savepoint_a_tenants_own_are_no_left_overs_of_the_one_before() {
    let world = world();
    for undo in
        ["savepoint s; rollback to s", "do $$ begin perform 1 / 0; exception when division_by_zero then null; end $$"]
    {
        for (leave, using) in LEFTOVERS {
            for way_in in WAYS_IN {
                let mut client = littered(&world, "select count(*) from public.notes_uuid");
                client.run(&format!("begin; {way_in}; {leave}; {undo}; {using}; commit"));
                client.run(&format!("begin; {way_in}; savepoint s; {using}; release s; {undo}; {using}; commit"));
                client.refuses(&format!("begin; select tenancy.set_tenant('acme'); {using}"), "55000");
            }
        }
    }
}

#[test]
fn what_was_found_gone_within_a_savepoint_comes_back_with_the_one_around_it() {
    let world = world();
    let mut client = littered(&world, "create temp table notes_uuid (id integer, tenant_id uuid, body text)");
    client.run("begin; savepoint a; drop table pg_temp.notes_uuid; savepoint b");
    client.run("set local tenancy.tenant_id = 'globex'; select 1; release b; rollback to a");
    client.run("set local tenancy.tenant_id = 'globex'");
    client.refuses("insert into notes_uuid (id) values (1)", "55000");
}

#[test]
fn a_failed_transaction_of_the_next_tenant_does_not_keep_what_was_discarded() {
    let world = world();
    world.fixture.run(&format!("alter role {} set tenancy.on_leftovers = discard", world.app));
    let mut client = littered(&world, "create temp table notes_uuid (id integer, tenant_id uuid, body text)");
    client.run("begin; select tenancy.set_tenant('globex'); rollback");
    client
        .run("begin; select tenancy.set_tenant('globex'); insert into notes_uuid (id, body) values (99, 'x'); commit");
    let owner = "select count(*) from notes_uuid where id = 99";
    assert_eq!(world.fixture.superuser().value(owner).as_deref(), Some("1"), "the row is in the real table");
}

#[test]
fn a_name_that_the_role_may_not_use_does_not_make_left_overs_its_own() {
    let world = world();
    let (one, other) = (world.fixture.role("one"), world.fixture.role("other"));
    let pool = world.fixture.role("pool");
    world.fixture.run(&format!(
        "grant {one}, {other} to {pool}; grant temporary on database {} to {one};
         grant select, insert on notes_uuid to {one}, {other};
         select tenancy.grant_access('{one}', 'acme'), tenancy.grant_access('{other}', 'globex')",
        world.fixture.database()
    ));
    let mut client = world.fixture.connect(&pool);
    client.run(&format!("set role {one}; begin; select tenancy.set_tenant('acme'); commit"));
    client.run("set tenancy.tenant_id = 'globex'; select 1");
    client
        .run("create temp table notes_uuid (id integer, tenant_id uuid, body text); grant all on notes_uuid to public");
    client.run(&format!("reset tenancy.tenant_id; set role {other}"));
    client.refuses("begin; select tenancy.set_tenant('globex'); insert into notes_uuid (id) values (1)", "55000");
}

/// A session of acme that holds statement `kept`, which takes globex, in a server that discards left-overs.
fn with_a_statement_that_passes_on(world: &World<'_>) -> Client {
    world.fixture.run(&format!("alter role {} set tenancy.on_leftovers = discard", world.app));
    littered(world, "prepare kept as select tenancy.set_tenant('globex') from generate_series(1, 3)")
}

#[test]
fn a_statement_that_is_executed_is_not_discarded_from_under_itself() {
    let world = world();
    for executing in [
        "execute kept",
        "explain analyze execute kept",
        "create temp table t as execute kept",
        "explain analyze create temp table t as execute kept",
        "do $$ begin execute 'execute kept'; end $$",
        "do $$ declare r record; begin for r in execute 'execute kept' loop null; end loop; end $$",
    ] {
        let mut client = with_a_statement_that_passes_on(&world);
        client.run("begin");
        let error = client.refuses(executing, "55000");
        assert!(error.message().contains("prepared statements"), "{executing}: {error:?}");
        client.run("rollback");
        let prepared = "select count(*) from pg_prepared_statements where from_sql";
        assert_eq!(client.value(prepared).as_deref(), Some("1"), "{executing}");
        // What has failed is running no more.
        let mut tx = World::begin(&mut client, GLOBEX);
        assert_eq!(tx.value(prepared).as_deref(), Some("0"), "{executing}");
        assert_eq!(visible(&mut tx), ["globex"], "{executing}");
    }
}

#[test]
fn a_statement_that_failed_within_a_savepoint_is_executed_no_more() {
    let world = world();
    let mut client = with_a_statement_that_passes_on(&world);
    client.run("begin; savepoint s");
    client.refuses("execute kept", "55000");
    client.run("rollback to s; select tenancy.set_tenant('globex')");
    assert_eq!(visible(&mut client), ["globex"]);
    client.run("rollback");
    let mut client = with_a_statement_that_passes_on(&world);
    client.run(
        "do $$ begin
           begin execute 'execute kept'; exception when object_not_in_prerequisite_state then null; end;
           perform tenancy.set_tenant('globex', false);
         end $$",
    );
    assert_eq!(visible(&mut client), ["globex"]);
}

#[test]
fn a_cursor_that_is_read_is_not_closed_from_under_itself() {
    let world = world();
    world.fixture.run(&format!("alter role {} set tenancy.on_leftovers = discard", world.app));
    let query = "select tenancy.set_tenant('globex') from generate_series(1, 3)";
    for reading in [
        "fetch 1 from c",
        "fetch all from c",
        "do $$ declare c refcursor := 'c'; r record; begin fetch c into r; end $$",
        "do $$ declare c refcursor := 'c'; r record; begin for i in 1 .. 3 loop fetch c into r; end loop; end $$",
        "commit",
    ] {
        let mut client = littered(&world, "select 1");
        client.run(&format!("begin; declare c cursor with hold for {query}"));
        let error = client.refuses(reading, "55000");
        assert!(error.message().contains("cursors"), "{reading}: {error:?}");
        client.run("rollback");
        let mut tx = World::begin(&mut client, GLOBEX);
        assert_eq!(visible(&mut tx), ["globex"], "{reading}");
    }
}

#[test]
fn a_temporary_table_that_is_read_is_not_dropped_from_under_its_reader() {
    let world = world();
    world.fixture.run(&format!("alter role {} set tenancy.on_leftovers = discard", world.app));
    let mut client = littered(&world, "create temp table t as select generate_series(1, 3)");
    client.refuses("begin; select tenancy.set_tenant('globex') from t", "55006");
    client.run("rollback");
    let mut client = littered(
        &world,
        "create function pg_temp.pass_on() returns text language plpgsql as $$ begin
           perform tenancy.set_tenant('globex'); return tenancy.current_key(); end $$",
    );
    let mut tx = client.transaction().unwrap();
    assert_eq!(tx.value("select pg_temp.pass_on()").as_deref(), Some("globex"), "a function outlives its definition");
    assert_eq!(visible(&mut tx), ["globex"]);
    tx.refuses("select pg_temp.pass_on()", "42883");
}

#[test]
fn a_statement_may_deallocate_itself_and_what_runs_beside_it() {
    let world = world();
    world.fixture.run(
        "create function deallocating() returns integer language plpgsql as
           $$ begin execute 'deallocate all'; return 1; end $$",
    );
    let mut client = world.connect();
    for executing in ["explain analyze execute kept", "create temp table t as execute kept"] {
        client.run("prepare kept as select deallocating() from generate_series(1, 3)");
        client.run(executing);
        client.refuses("execute kept", "26000");
    }
    client.run("prepare kept as select deallocating() from generate_series(1, 3)");
    client.refuses("execute kept", "26000");
    assert_eq!(context(&mut client), "none", "the server is still there");
}

#[test]
fn the_former_tenants_sequence_values_are_forgotten_in_any_case() {
    let world = world();
    world.fixture.run("create sequence numbers; grant usage on sequence numbers to public");
    for mode in ["error", "discard", "ignore"] {
        world.fixture.run(&format!("alter role {} set tenancy.on_leftovers = {mode}", world.app));
        for (way_in, same) in [(WAYS_IN[0], ACME), (WAYS_IN[1], ACME)] {
            let mut client = littered(&world, "select nextval('numbers')");
            let mut tx = World::begin(&mut client, same);
            assert!(tx.value("select lastval()").is_some(), "the same tenant's are kept");
            tx.commit().unwrap();
            client.run(&format!("begin; {way_in}"));
            client.refuses("select lastval(), tenancy.current_tenant()", "55000");
            client.run(&format!("rollback; begin; {way_in}; select tenancy.current_tenant()"));
            client.refuses("select currval('numbers')", "55000");
        }
    }
}

#[test]
fn a_statement_that_a_rolled_back_transaction_prepared_is_a_left_over() {
    let world = world();
    let mut client = world.connect();
    client.run("begin; select tenancy.set_tenant('acme'); prepare kept as select 'from acme'; rollback");
    client.refuses("begin; select tenancy.set_tenant('globex'); execute kept", "55000");
}

#[test]
fn what_a_tenant_leaves_after_an_exception_block_is_its_own() {
    let world = world();
    for undo in
        ["savepoint s; rollback to s", "do $$ begin perform 1 / 0; exception when division_by_zero then null; end $$"]
    {
        for (leave, using) in LEFTOVERS {
            let mut client = littered(&world, &format!("select count(*) from public.notes_uuid; {undo}; {leave}"));
            client.refuses(&format!("begin; select tenancy.set_tenant('globex'); {using}"), "55000");
        }
    }
}

#[test]
fn what_a_tenant_leaves_before_it_has_read_anything_is_its_own() {
    let world = world();
    for (leave, using) in LEFTOVERS {
        let mut client = world.connect();
        client.run(&format!("begin; set local tenancy.tenant_id = 'acme'; {leave}; commit"));
        client.refuses(&format!("begin; select tenancy.set_tenant('globex'); {using}"), "55000");
        client.run(&format!("rollback; begin; select tenancy.set_tenant('acme'); {using}; commit"));
    }
}

/// The default of a connection comes back when what was set for a transaction ends.
#[test]
fn what_the_default_tenant_leaves_is_its_own() {
    let world = world();
    for (leave, using) in LEFTOVERS {
        let mut client = world.fixture.try_connect(&world.app, "-c tenancy.tenant_id=acme").unwrap();
        client.run("begin; set local tenancy.tenant_id = 'globex'; select count(*) from notes_uuid; commit");
        client.run(leave);
        client.refuses(&format!("begin; set local tenancy.tenant_id = 'globex'; {using}"), "55000");
    }
}

#[test]
fn several_tenants_in_one_transaction_leave_what_is_somebodys() {
    let world = world();
    world.fixture.run(&format!("alter role {} set tenancy.allow_switch = on", world.app));
    for (leave, using) in LEFTOVERS {
        let mut client = world.connect();
        client.run(&format!(
            "begin; set local tenancy.tenant_id = 'acme'; {leave}; set local tenancy.tenant_id = 'globex'"
        ));
        client.refuses(using, "55000");

        let mut client = world.connect();
        client.run(&format!("begin; set local tenancy.tenant_id = 'acme'; {leave}"));
        // A cursor that is held is read at the end, so that comes to nothing.
        if let Err(error) = client.batch_execute("set local tenancy.tenant_id = 'globex'; commit") {
            assert_sqlstate::<()>(Err(error), "55000");
            continue;
        }
        client.refuses(&format!("begin; set local tenancy.tenant_id = 'globex'; {using}"), "55000");
    }
}
