//! What one tenant leaves in a pooled session is neither readable by the next one nor a trap for it.

use postgres::Client;
use tenancy_harness::{ACME, GLOBEX, Session, World};

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
