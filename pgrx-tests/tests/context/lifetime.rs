//! How long a context lasts: the rules of any PostgreSQL setting.

use postgres::Client;
use tenancy_harness::{ACME, GLOBEX, Session, World, postgres};

use crate::{READ, context, visible};

#[test]
fn a_local_context_ends_with_the_transaction() {
    let world = World::new();
    let mut client = world.connect();
    for way in ["select tenancy.set_tenant('acme')", "set local tenancy.tenant_id = 'acme'"] {
        for end in ["commit", "rollback"] {
            client.run(&format!("begin; {way}"));
            assert_eq!(visible(&mut client), ["acme"]);
            client.run(end);
            assert_eq!(context(&mut client), "none", "{way}; {end}");
            assert_eq!(client.texts(READ).len(), 0, "{way}; {end}");
        }
    }
}

#[test]
fn a_session_context_outlives_the_transaction_that_commits_it_only() {
    let world = World::new();
    let mut client = world.connect();
    client.run("begin; select tenancy.set_tenant('acme', false); rollback");
    assert_eq!(context(&mut client), "none");
    client.run("begin; select tenancy.set_tenant('acme', false); commit");
    assert_eq!(context(&mut client), "acme");
    assert_eq!(visible(&mut client), ["acme"]);
}

#[test]
fn a_session_context_comes_back_after_a_local_one() {
    let world = World::new();
    let mut client = world.connect();
    client.run("select tenancy.set_tenant('acme', false)");
    let mut tx = World::begin(&mut client, GLOBEX);
    assert_eq!(visible(&mut tx), ["globex"]);
    tx.commit().unwrap();
    assert_eq!(visible(&mut client), ["acme"]);
}

#[test]
fn is_local_outside_a_transaction_block_is_an_error() {
    let world = World::new();
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'");
    for statement in [
        "select tenancy.set_tenant('globex')",
        "select tenancy.set_tenant('globex', true)",
        "select tenancy.set_tenant('bbbbbbbb-0000-4000-8000-000000000002'::uuid)",
        "set local tenancy.tenant_id = 'globex'",
        "select tenancy.clear_tenant()",
        "do $$ begin perform tenancy.set_tenant('globex'); end $$",
    ] {
        client.refuses(statement, "25P01");
        assert_eq!(visible(&mut client), ["acme"], "{statement}");
    }
}

#[test]
fn clear_tenant_ends_the_context() {
    let world = World::new();
    let mut client = world.connect();
    client.run("select tenancy.set_tenant('acme', false)");
    client.run("begin; select tenancy.clear_tenant()");
    assert_eq!(context(&mut client), "none");
    assert_eq!(client.texts(READ).len(), 0);
    client.run("commit");
    assert_eq!(context(&mut client), "acme", "a local clear ends with the transaction");

    client.run("select tenancy.clear_tenant(false)");
    assert_eq!(context(&mut client), "none");
}

#[test]
fn reset_and_discard_end_a_session_context() {
    let world = World::new();
    let mut client = world.connect();
    for end in ["reset tenancy.tenant_id", "reset all", "discard all", "set tenancy.tenant_id to default"] {
        client.run("select tenancy.set_tenant('acme', false)");
        assert_eq!(context(&mut client), "acme");
        client.run(end);
        assert_eq!(context(&mut client), "none", "{end}");
        assert_eq!(client.texts(READ).len(), 0, "{end}");
    }
}

#[test]
fn rollback_to_a_savepoint_restores_the_context() {
    let world = World::new();
    let mut client = world.connect();
    client.run("begin; savepoint s; select tenancy.set_tenant('acme')");
    assert_eq!(visible(&mut client), ["acme"]);
    client.run("rollback to s");
    assert_eq!(context(&mut client), "none");
    assert_eq!(client.texts(READ).len(), 0);
    client.run("select tenancy.set_tenant('acme'); savepoint t; select tenancy.clear_tenant()");
    assert_eq!(context(&mut client), "none");
    client.run("rollback to t");
    assert_eq!(visible(&mut client), ["acme"]);
    client.run("commit");
}

#[test]
fn a_released_savepoint_keeps_the_context_it_took() {
    let world = World::new();
    let mut client = world.connect();
    client.run("begin; savepoint s; select tenancy.set_tenant('acme'); release s");
    assert_eq!(visible(&mut client), ["acme"]);
    client.run("commit");
    assert_eq!(context(&mut client), "none");
}

#[test]
fn a_failed_subtransaction_restores_the_context() {
    let world = World::new();
    let mut client = world.connect();
    client.run("begin; savepoint s; select tenancy.set_tenant('acme')");
    client.refuses("select 1 / 0", "22012");
    client.run("rollback to s");
    assert_eq!(context(&mut client), "none");
    client.run(
        "do $$ begin
           begin
             perform tenancy.set_tenant('acme');
             perform 1 / 0;
           exception when division_by_zero then
             if tenancy.current_tenant() is not null then raise exception 'the context stayed'; end if;
           end;
         end $$",
    );
    assert_eq!(client.texts(READ).len(), 0);
    client.run("rollback");
}

#[test]
fn a_failed_set_leaves_the_context_that_was_there() {
    let world = World::new();
    let mut client = world.connect();
    client.run("begin; select tenancy.set_tenant('acme'); savepoint s");
    client.refuses("select tenancy.set_tenant('nobody_here')", "42501");
    client.run("rollback to s");
    assert_eq!(visible(&mut client), ["acme"]);
    client.run("rollback");
}

#[test]
fn discard_all_between_transactions_suits_a_pooler() {
    let world = World::new();
    let mut client = world.connect();
    for tenant in [ACME, GLOBEX, ACME] {
        client.run(&format!("set tenancy.tenant_id = '{}'", tenant.id));
        assert_eq!(visible(&mut client), [tenant.key]);
        client.run("discard all");
        assert_eq!(client.texts(READ).len(), 0);
    }
}

/// What the server's process takes of the machine's memory, in kilobytes.
fn memory_of(client: &mut Client) -> u64 {
    let pid: i32 = client.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is ours to see");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells the resident set");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn resolving_again_and_again_takes_no_more_memory() {
    let world = World::new();
    world.fixture.run(&format!("alter role {} set tenancy.default_tenant = 'acme'", world.app));
    // Each setting makes the context unresolved, each reading resolves it: the default tenant, or the one that is named.
    let block = |rounds: u32, setting: &str| {
        format!(
            "do $$ begin for i in 1 .. {rounds} loop
               perform set_config('tenancy.tenant_id', {setting}, false);
               if tenancy.current_key() <> 'acme' then raise exception 'lost'; end if; end loop; end $$"
        )
    };
    for setting in
        ["''", "'acme'", "'aaaaaaaa-0000-4000-8000-000000000001'", "case when i % 2 = 0 then 'acme' else '' end"]
    {
        let mut client = world.connect();
        client.run(&block(20_000, setting));
        let before = memory_of(&mut client);
        client.run(&block(200_000, setting));
        let grown = memory_of(&mut client).saturating_sub(before);
        assert!(grown < 2_000, "{setting}: {grown} kB more");
    }
}
