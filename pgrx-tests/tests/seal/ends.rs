//! What takes values back (RESET, DISCARD, the end of a transaction) takes the tenant, and leaves the seal.

use tenancy_harness::{Session, World};

use crate::{SECRET, seal, sealed, unseal, visible};

const RESETS: [&str; 6] = [
    "reset tenancy.tenant_id",
    "reset all",
    "discard all",
    "set tenancy.tenant_id to default",
    "select set_config('tenancy.tenant_id', null, false)",
    "update pg_settings set setting = null where name = 'tenancy.tenant_id'",
];

#[test]
fn a_reset_leads_to_no_tenant_and_does_not_unseal() {
    let world = World::new();
    for reset in RESETS {
        let mut client = sealed(&world);
        client.run(reset);
        assert!(visible(&mut client).is_empty(), "{reset}");
        client.refuses("insert into notes_uuid (id, body) values (99, 'x')", "42501");
        client.refuses("set tenancy.tenant_id = 'globex'", "42501");
        client.refuses(&format!("select tenancy.seal('{SECRET}')"), "42501");
        assert!(visible(&mut client).is_empty(), "{reset}");

        client.run("set tenancy.tenant_id = 'acme'");
        assert_eq!(visible(&mut client), ["acme"], "{reset}");
    }
}

/// Whatever default a RESET leads back to.
#[test]
fn a_reset_leads_to_no_tenant_where_there_is_a_default() {
    let world = World::new();
    for default in ["acme", "globex"] {
        for reset in RESETS {
            let options = format!("-c tenancy.tenant_id={default}");
            let mut client = world.fixture.try_connect(&world.app, &options).unwrap();
            client.run("set tenancy.tenant_id = 'acme'");
            seal(&mut client);
            assert_eq!(visible(&mut client), ["acme"]);
            client.run(reset);
            assert!(visible(&mut client).is_empty(), "{reset} to {default}");
            client.run("select tenancy.set_tenant('acme', false)");
            assert_eq!(visible(&mut client), ["acme"], "{reset} to {default}");
            client.run(reset);
            unseal(&mut client);
            assert_eq!(visible(&mut client), [default], "{reset} to {default}");
        }
    }
}

#[test]
fn it_holds_where_the_library_came_late() {
    let world = World::within(tenancy_harness::Fixture::without_preload());
    let mut client = sealed(&world);
    client.refuses("set tenancy.tenant_id = 'globex'", "42501");
    client.run("reset tenancy.tenant_id");
    assert!(visible(&mut client).is_empty());
}

#[test]
fn a_rollback_does_not_unseal() {
    let world = World::new();
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'");
    client.run("begin");
    seal(&mut client);
    client.run("rollback");
    assert_eq!(visible(&mut client), ["acme"]);
    client.refuses("set tenancy.tenant_id = 'globex'", "42501");
}

#[test]
fn a_rollback_that_takes_the_tenant_leaves_the_seal() {
    let world = World::new();
    let mut client = world.connect();
    client.run("begin; select tenancy.set_tenant('acme', false)");
    seal(&mut client);
    client.run("rollback");
    assert!(visible(&mut client).is_empty());
    client.refuses("set tenancy.tenant_id = 'globex'", "42501");
    client.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(visible(&mut client), ["acme"]);

    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'globex'");
    client.run("begin; set tenancy.tenant_id = 'acme'; savepoint s");
    seal(&mut client);
    client.run("rollback to s; release s; rollback");
    assert!(visible(&mut client).is_empty());
    client.refuses("set tenancy.tenant_id = 'globex'", "42501");
    unseal(&mut client);
    assert_eq!(visible(&mut client), ["globex"]);
}

#[test]
fn a_rolled_back_reset_gives_the_tenant_back() {
    let world = World::new();
    let mut client = sealed(&world);
    client.run("begin; reset tenancy.tenant_id");
    assert!(visible(&mut client).is_empty());
    client.run("rollback");
    assert_eq!(visible(&mut client), ["acme"]);
}

#[test]
fn what_was_set_for_a_transaction_ends_with_it() {
    let world = World::new();
    let mut client = sealed(&world);
    client.run("discard all");
    client.run("begin; set local tenancy.tenant_id = 'acme'");
    assert_eq!(visible(&mut client), ["acme"]);
    client.run("commit");
    assert!(visible(&mut client).is_empty());
}

#[test]
fn lifting_the_seal_within_a_transaction_does_not_bring_a_second_tenant() {
    let world = World::new();
    let mut client = sealed(&world);
    client.run("begin");
    assert_eq!(visible(&mut client), ["acme"]);
    unseal(&mut client);
    client.refuses("set local tenancy.tenant_id = 'globex'", "42501");
    client.run("rollback; set tenancy.tenant_id = 'globex'");
    assert_eq!(visible(&mut client), ["globex"]);
}

#[test]
fn it_ends_with_the_session() {
    let world = World::new();
    drop(sealed(&world));
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'globex'");
    assert_eq!(visible(&mut client), ["globex"]);
}

#[test]
fn a_connection_is_used_for_one_tenant_after_the_other() {
    let world = World::new();
    let mut client = world.connect();
    for tenant in ["acme", "globex", "acme"] {
        client.run(&format!("select tenancy.set_tenant('{tenant}', false)"));
        seal(&mut client);
        assert_eq!(visible(&mut client), [tenant]);
        client.run("discard all");
        assert!(visible(&mut client).is_empty());
        unseal(&mut client);
    }
}
