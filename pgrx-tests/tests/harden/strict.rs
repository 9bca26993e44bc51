//! What the profile `strict` refuses, and what it leaves.

use tenancy_harness::{ACME, Session, World, refuses_in_savepoint};

use crate::Hardened;

/// Each is refused by the guard alone: the role would be free to do it otherwise.
const REFUSED: [&str; 44] = [
    "set work_mem = '1GB'",
    "set session work_mem = '1GB'",
    "set search_path = pg_temp, public",
    "set tenancy.tenant_id = 'acme'",
    "set time zone 'UTC'",
    "set names 'UTF8'",
    "set work_mem from current",
    "set session characteristics as transaction read only",
    "set default_transaction_isolation = 'serializable'",
    "select set_config('work_mem', '1GB', false)",
    "select set_config('work_mem', '1GB', true)",
    "update pg_settings set setting = '1GB' where name = 'work_mem'",
    "do $$ begin set work_mem = '1GB'; end $$",
    "do $$ begin perform set_config('work_mem', '1GB', false); end $$",
    "do $$ declare f text := 'set_config'; begin
       execute format('select %I(''work_mem'', ''1GB'', false)', f); end $$",
    "prepare s as select 1",
    "do $$ begin execute 'prepare s as select 1'; end $$",
    "listen a",
    "notify a",
    "notify a, 'b'",
    "select pg_notify('a', 'b')",
    "unlisten a",
    "unlisten *",
    "explain select 1",
    "explain (analyze) select 1",
    "do $$ begin execute 'explain select 1'; end $$",
    "do $$ declare line text; begin for line in execute 'explain select 1' loop null; end loop; end $$",
    "select * from reviewed_by_nobody()",
    "lock table notes_uuid in access share mode",
    "lock notes_uuid",
    "declare c cursor with hold for select 1",
    "alter role current_user set search_path = public",
    "alter role current_user reset all",
    "alter role current_user password 'x'",
    "alter user current_user password 'x'",
    "alter role current_user in database {db} set work_mem = '1GB'",
    "grant {app} to {ops}",
    "drop owned by current_user",
    "drop owned by {app} cascade",
    "reassign owned by current_user to current_user",
    "load 'plpgsql'",
    "prepare transaction 'p'",
    "set role {app}",
    "set session authorization {app}",
];

fn fill(hardened: &Hardened<'_>, statement: &str) -> String {
    let statement = statement.replace("{db}", hardened.fixture().database());
    statement.replace("{app}", hardened.app()).replace("{ops}", &hardened.ops)
}

fn strict() -> Hardened<'static> {
    let hardened = Hardened::new("strict");
    hardened.fixture().run(
        "create function reviewed_by_nobody() returns setof text language plpgsql as
           $$ begin return query execute 'explain select 1'; end $$",
    );
    hardened
}

#[test]
fn statements_that_outlast_the_transaction_or_tell_of_others_are_refused() {
    let hardened = strict();
    let mut client = hardened.world.connect();
    for statement in REFUSED {
        let mut tx = client.transaction().unwrap();
        let error = refuses_in_savepoint(&mut tx, &fill(&hardened, statement), "42501");
        assert!(error.message().contains("profile \"strict\""), "{statement}: {error:?}");
        assert!(error.hint().is_some(), "{statement}: {error:?}");
        tx.run("select 1");
    }
}

#[test]
fn they_pass_with_the_standard_profile() {
    let hardened = strict();
    hardened.harden("standard");
    let mut client = hardened.world.connect();
    for statement in REFUSED {
        let mut tx = client.transaction().unwrap();
        if let Err(error) = tx.batch_execute(&fill(&hardened, statement)) {
            let message = error.as_db_error().unwrap().message();
            assert!(!message.contains("strict"), "{statement}: {error:?}");
        }
        if statement.starts_with("prepare transaction") {
            break;
        }
    }
}

#[test]
fn through_the_extended_protocol_too() {
    let hardened = strict();
    let mut client = hardened.world.connect();
    for statement in ["explain select 1", "set work_mem = '1GB'", "listen a", "lock notes_uuid"] {
        assert_eq!(tenancy_harness::sqlstate(&client.execute(statement, &[])), Some("42501"), "{statement}");
    }
    let outcome = client.query("select set_config('work_mem', $1, false)", &[&"1GB"]);
    assert_eq!(tenancy_harness::sqlstate(&outcome), Some("42501"));
    assert_eq!(client.query("select $1::text", &[&"x"]).unwrap().len(), 1);
}

#[test]
fn the_application_goes_on() {
    let hardened = strict();
    let mut client = hardened.world.connect();
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(tx.texts("select body from notes_uuid").len(), 20);
    tx.run(
        "set local work_mem = '1MB'; set local tenancy.user_id = 'alice'; set local tenancy.tenant_id = 'acme';
         set transaction isolation level read committed; set constraints all immediate; show work_mem; savepoint s;
         insert into notes_uuid (id, body) values (99, 'x'); delete from notes_uuid where id = 99; rollback to s;
         declare c cursor for select body from notes_uuid; fetch 1 from c; close c; deallocate all;
         select tenancy.clear_tenant(); do $$ begin perform 1; end $$",
    );
    tx.commit().unwrap();
    client.run("select tenancy.set_tenant('acme', false)");
    assert_eq!(client.texts("select body from notes_uuid").len(), 20);
    for statement in ["reset work_mem", "reset all", "set work_mem to default", "discard plans", "discard all"] {
        client.run(statement);
    }
    assert!(client.texts("select body from notes_uuid").is_empty());
    client.run("begin isolation level serializable; set transaction read only; commit");
    let mut copied = String::new();
    let mut reader = client.copy_out("copy (select 1) to stdout").unwrap();
    std::io::Read::read_to_string(&mut reader, &mut copied).unwrap();
    assert_eq!(copied, "1\n");
}

/// Reviewed code may do what it was written to do: it runs as its owner.
#[test]
fn functions_of_others_that_run_as_their_owners_may() {
    let hardened = strict();
    hardened.fixture().run(
        "create function reviewed() returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as
           $$ begin perform pg_notify('a', 'b'); notify a; perform set_config('work_mem', '5MB', false); end $$;
         create function invoker() returns void language plpgsql as $$ begin notify a; end $$",
    );
    let mut client = hardened.world.connect();
    client.run("select reviewed()");
    assert_eq!(client.value("show work_mem").unwrap(), "5MB");
    client.refuses("select invoker()", "42501");
    // And one that belongs to a strict role is as watched as its owner.
    hardened.fixture().run(&format!("alter function reviewed() owner to {}", hardened.app()));
    hardened.fixture().connect(&hardened.ops).refuses("select reviewed()", "42501");
}

#[test]
fn open_sessions_learn_of_it_at_once() {
    let hardened = Hardened::new("standard");
    let mut client = hardened.world.connect();
    for _ in 0..2 {
        client.run("explain select 1");
        hardened.harden("strict");
        client.refuses("explain select 1", "42501");
        client.refuses("select set_config('work_mem', '1GB', true)", "42501");
        hardened.harden("none");
    }
}

#[test]
fn a_superuser_is_not_bound() {
    let hardened = strict();
    let mut superuser = hardened.fixture().superuser();
    superuser.run("set tenancy.profile = 'strict'; explain select 1; set tenancy.profile = 'none'");
    hardened.fixture().run(&format!("alter database {} set tenancy.profile = 'strict'", hardened.fixture().database()));
    hardened.fixture().superuser().run("explain select 1; set work_mem = '1MB'");
    hardened.fixture().connect(&hardened.ops).refuses("explain select 1", "42501");
}

/// What still runs in a failed transaction ends it, and no catalog can be read there.
#[test]
fn a_failed_transaction_ends_as_it_does_for_everybody() {
    let hardened = strict();
    for end in ["prepare transaction 'p'", "commit", "rollback"] {
        // A session that has asked for no profile yet.
        let mut client = hardened.world.connect();
        client.refuses("begin; select 1 / 0", "22012");
        client.run(end);
        let prepared = "select count(*) from pg_prepared_xacts where gid = 'p'";
        assert_eq!(hardened.fixture().superuser().value(prepared).as_deref(), Some("0"));
        client.refuses("explain select 1", "42501");
    }
    let mut client = hardened.world.connect();
    client.refuses("begin; select 1 / 0", "22012");
    client.refuses("explain select 1", "25P02");
}
