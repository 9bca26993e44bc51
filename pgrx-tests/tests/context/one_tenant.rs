//! One tenant per transaction, whichever way a second one is asked for.

use tenancy_harness::{ACME, GLOBEX, Session, World, refuses_in_savepoint};

use crate::{READ, context, visible};

/// Statements that try to go on as tenant `globex`.
const SWITCHES: [&str; 12] = [
    "select tenancy.set_tenant('globex')",
    "select tenancy.set_tenant('globex', false)",
    "select tenancy.set_tenant('bbbbbbbb-0000-4000-8000-000000000002'::uuid)",
    "set tenancy.tenant_id = 'globex'",
    "set session tenancy.tenant_id = 'globex'",
    "set local tenancy.tenant_id = 'globex'",
    "set local tenancy.tenant_id = 'bbbbbbbb-0000-4000-8000-000000000002'",
    "select set_config('tenancy.tenant_id', 'globex', true)",
    "select set_config('tenancy.tenant_id', 'globex', false)",
    "update pg_settings set setting = 'globex' where name = 'tenancy.tenant_id'",
    "do $$ begin perform tenancy.set_tenant('globex'); end $$",
    "do $$ begin execute 'set local tenancy.tenant_id = globex'; end $$",
];

/// Statements that leave the transaction without a context before the switch.
const EXITS: [&str; 7] = [
    "select tenancy.clear_tenant()",
    "select tenancy.clear_tenant(false)",
    "reset tenancy.tenant_id",
    "reset all",
    "set local tenancy.tenant_id = ''",
    "set local tenancy.tenant_id to default",
    "select set_config('tenancy.tenant_id', null, true)",
];

#[test]
fn a_second_tenant_is_refused_whichever_way_it_is_set() {
    let world = World::new();
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    for switch in SWITCHES {
        refuses_in_savepoint(&mut tx, switch, "42501");
        assert_eq!(visible(&mut tx), ["acme"], "{switch}");
    }
}

#[test]
fn a_second_tenant_is_refused_after_the_first_was_named_by_a_plain_set() {
    let world = World::new();
    let mut client = world.connect();
    for switch in SWITCHES {
        let mut tx = client.transaction().unwrap();
        tx.run("set local tenancy.tenant_id = 'acme'");
        assert_eq!(visible(&mut tx), ["acme"]);
        refuses_in_savepoint(&mut tx, switch, "42501");
        assert_eq!(visible(&mut tx), ["acme"], "{switch}");
    }
}

#[test]
fn a_second_tenant_is_refused_after_any_exit() {
    let world = World::new();
    let mut client = world.connect();
    for exit in EXITS {
        let mut tx = World::begin(&mut client, ACME);
        tx.run(exit);
        assert_eq!(context(&mut tx), "none", "{exit}");
        for switch in SWITCHES {
            refuses_in_savepoint(&mut tx, switch, "42501");
        }
        assert_eq!(tx.texts(READ).len(), 0, "{exit}");
        tx.run("select tenancy.set_tenant('acme')");
        assert_eq!(visible(&mut tx), ["acme"], "{exit}: the same tenant may come back");
    }
}

#[test]
fn a_second_tenant_is_refused_after_the_first_was_rolled_back() {
    let world = World::new();
    let mut client = world.connect();
    for switch in SWITCHES {
        client.run("begin; savepoint s; select tenancy.set_tenant('acme')");
        assert_eq!(visible(&mut client), ["acme"]);
        client.run("rollback to s; savepoint t");
        client.refuses(switch, "42501");
        client.run("rollback to t");
        assert_eq!(client.texts(READ).len(), 0, "{switch}");
        client.run("rollback");
    }
}

#[test]
fn a_second_tenant_is_refused_after_the_firsts_subtransaction_failed() {
    let world = World::new();
    let mut client = world.connect();
    client.run("begin; savepoint s; set local tenancy.tenant_id = 'acme'");
    assert_eq!(visible(&mut client), ["acme"]);
    client.refuses("select 1 / 0", "22012");
    client.run("rollback to s");
    client.refuses("select tenancy.set_tenant('globex')", "42501");
    client.run("rollback");

    let block = "do $$ begin
        begin
          perform tenancy.set_tenant('acme');
          raise exception 'undone';
        exception when raise_exception then null;
        end;
        perform tenancy.set_tenant('globex');
      end $$";
    client.refuses(&format!("begin; {block}"), "42501");
    client.run("rollback");
}

#[test]
fn a_second_tenant_is_refused_after_the_first_was_used_only() {
    let world = World::new();
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'");
    for use_of_first in [READ, "select tenancy.current_tenant()", "select tenancy.current_key()"] {
        let mut tx = client.transaction().unwrap();
        tx.run(use_of_first);
        for switch in SWITCHES {
            refuses_in_savepoint(&mut tx, switch, "42501");
        }
    }
}

#[test]
fn an_unused_session_context_does_not_bind_the_transaction() {
    let world = World::new();
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'");
    let mut tx = client.transaction().unwrap();
    tx.run("select 1; set local tenancy.tenant_id = 'globex'");
    assert_eq!(visible(&mut tx), ["globex"]);
}

#[test]
fn the_switch_is_refused_in_the_middle_of_a_statement() {
    let world = World::new();
    let mut client = world.connect();
    for statement in [
        "select tenancy.set_tenant(k) from unnest(array['acme', 'globex']) k",
        "select n.body, tenancy.set_tenant('globex') from notes_uuid n",
        "select n.body, set_config('tenancy.tenant_id', 'globex', true) from notes_uuid n",
        "with s as materialized (select set_config('tenancy.tenant_id', 'globex', true))
           select n.body from s, notes_uuid n",
        "select body from notes_uuid where id = 1 and tenancy.set_tenant('globex') is not null
           union all select body from notes_uuid",
    ] {
        let mut tx = World::begin(&mut client, ACME);
        tx.refuses(statement, "42501");
    }
    let autocommit = "select tenancy.set_tenant(k, false) from unnest(array['acme', 'globex']) k";
    client.refuses(autocommit, "42501");
    assert_eq!(context(&mut client), "none");
}

#[test]
fn the_switch_is_refused_with_a_cursor_open() {
    let world = World::new();
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    tx.run("declare c cursor for select body from notes_uuid");
    assert_eq!(tx.texts("fetch 1 from c"), ["acme 1"]);
    for switch in SWITCHES {
        refuses_in_savepoint(&mut tx, switch, "42501");
    }
    let rest = tx.texts("fetch all from c");
    assert_eq!(rest.len(), 19);
    assert!(rest.iter().all(|body| body.starts_with("acme ")), "{rest:?}");
}

#[test]
fn a_cursor_left_open_shows_no_foreign_row_after_the_context_ended() {
    let world = World::new();
    world.fixture.run(&format!("alter role {} set tenancy.tenant_id = 'globex'", world.app));
    let mut client = world.connect();
    for exit in EXITS {
        let mut tx = World::begin(&mut client, ACME);
        tx.run("declare c cursor for select body from notes_uuid");
        tx.run("fetch 1 from c");
        tx.run(exit);
        if let Ok(rows) = tx.query("fetch all from c", &[]) {
            let bodies: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            assert!(bodies.iter().all(|body| body.starts_with("acme ")), "{exit}: {bodies:?}");
        }
    }
}

#[test]
fn a_default_that_reset_brings_back_is_refused_at_use() {
    let world = World::new();
    world.fixture.run(&format!("alter role {} set tenancy.tenant_id = 'globex'", world.app));
    let mut client = world.connect();
    for reset in ["reset tenancy.tenant_id", "reset all", "set local tenancy.tenant_id to default"] {
        let mut tx = World::begin(&mut client, ACME);
        assert_eq!(visible(&mut tx), ["acme"]);
        // Refused at once or at the next use: never the other tenant's rows.
        if tx.batch_execute(reset).is_ok() {
            tx.refuses(READ, "42501");
        }
        tx.rollback().unwrap();
        assert_eq!(visible(&mut client), ["globex"]);
    }
}

#[test]
fn a_default_that_a_savepoint_brings_back_is_refused_at_use() {
    let world = World::new();
    world.fixture.run(&format!("alter role {} set tenancy.tenant_id = 'globex'", world.app));
    let mut client = world.connect();
    client.run("begin; savepoint s; select tenancy.set_tenant('acme')");
    assert_eq!(visible(&mut client), ["acme"]);
    client.run("rollback to s");
    client.refuses(READ, "42501");
    client.run("rollback");
    assert_eq!(visible(&mut client), ["globex"]);
}

#[test]
fn a_functions_set_clause_cannot_switch() {
    let world = World::new();
    for tenant in ["acme", "globex"] {
        world.fixture.run(&format!(
            "create function as_{tenant}() returns setof text language sql set tenancy.tenant_id = '{tenant}'
               as 'select body from notes_uuid'"
        ));
    }
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    refuses_in_savepoint(&mut tx, "select as_globex()", "42501");
    assert_eq!(tx.texts("select as_acme()").len(), 20);
    drop(tx);
    client.refuses("begin; select as_acme(); select as_globex()", "42501");
    client.run("rollback");
    client.refuses("select as_acme(), as_globex()", "42501");
}

#[test]
fn two_spellings_of_one_tenant_are_one_tenant() {
    let world = World::new();
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    for spelling in [ACME.id, ACME.key, "AAAAAAAA-0000-4000-8000-000000000001"] {
        tx.run(&format!("select tenancy.set_tenant('{spelling}')"));
        assert_eq!(visible(&mut tx), ["acme"], "{spelling}");
        tx.run(&format!("set local tenancy.tenant_id = '{spelling}'"));
        assert_eq!(visible(&mut tx), ["acme"], "{spelling}");
    }
    refuses_in_savepoint(&mut tx, &format!("set local tenancy.tenant_id = '{}'", GLOBEX.id), "42501");
}

#[test]
fn the_rule_ends_with_the_transaction_however_it_ends() {
    let world = World::new();
    let mut client = world.connect();
    client.run("begin; select tenancy.set_tenant('acme'); commit");
    client.run("begin; select tenancy.set_tenant('globex'); rollback");
    client.run("begin; select tenancy.set_tenant('acme')");
    client.refuses("select 1 / 0", "22012");
    client.run("rollback");
    let mut tx = World::begin(&mut client, GLOBEX);
    assert_eq!(visible(&mut tx), ["globex"]);
    drop(tx);
    client.run("begin; select tenancy.set_tenant('acme'); commit and chain");
    client.run("select tenancy.set_tenant('globex')");
    assert_eq!(visible(&mut client), ["globex"]);
    client.run("rollback and chain; select tenancy.set_tenant('acme'); rollback");
}

#[test]
fn a_prepared_transaction_frees_the_session_for_another_tenant() {
    let world = World::new();
    let name = world.fixture.name("two_phase");
    let mut client = world.connect();
    client.run("begin; select tenancy.set_tenant('acme'); insert into notes_uuid (id, body) values (99, 'acme 99')");
    client.run(&format!("prepare transaction '{name}'"));
    assert_eq!(context(&mut client), "none");

    let mut tx = World::begin(&mut client, GLOBEX);
    assert_eq!(visible(&mut tx), ["globex"]);
    tx.commit().unwrap();

    client.run(&format!("commit prepared '{name}'"));
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(tx.texts(READ).len(), 21);
}

#[test]
fn each_transaction_of_a_procedure_has_its_own_tenant() {
    let world = World::new();
    let mut client = world.connect();
    client.run(
        "do $$ begin
           perform tenancy.set_tenant('acme', false);
           if (select count(*) from notes_uuid) <> 20 then raise exception 'acme'; end if;
           commit;
           perform tenancy.set_tenant('globex', false);
           if (select count(*) from notes_uuid) <> 30 then raise exception 'globex'; end if;
         end $$",
    );
    client.refuses(
        "do $$ begin perform tenancy.set_tenant('acme', false); perform tenancy.set_tenant('globex', false); end $$",
        "42501",
    );
}

#[test]
fn a_deferred_trigger_runs_in_the_transactions_context() {
    let world = World::new();
    world.fixture.run(
        "create table seen (key text); grant insert on seen to public;
         create function note() returns trigger language plpgsql as $$
           begin insert into seen values (tenancy.current_key()); return null; end $$;
         create constraint trigger note after insert on notes_uuid deferrable initially deferred
           for each row execute function note()",
    );
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    tx.run("insert into notes_uuid (id, body) values (99, 'acme 99')");
    tx.commit().unwrap();
    assert_eq!(world.fixture.superuser().texts("select key from seen"), ["acme"]);
}
