//! While sealed, nothing else can be set, by whichever way and whoever asks.

use tenancy_harness::{ACME, GLOBEX, Session, World, refuses_in_savepoint};

use crate::{SECRET, seal, sealed, unseal, visible};

/// Statements that ask for another tenant, or for none.
const CHANGES: [&str; 17] = [
    "select tenancy.set_tenant('globex')",
    "select tenancy.set_tenant('globex', false)",
    "select tenancy.set_tenant('bbbbbbbb-0000-4000-8000-000000000002'::uuid)",
    "select tenancy.set_tenant('nobody', false)",
    "select tenancy.clear_tenant()",
    "select tenancy.clear_tenant(false)",
    "set tenancy.tenant_id = 'globex'",
    "set session tenancy.tenant_id = ''",
    "set local tenancy.tenant_id = 'globex'",
    "set local tenancy.tenant_id = 'bbbbbbbb-0000-4000-8000-000000000002'",
    "select set_config('tenancy.tenant_id', 'globex', true)",
    "select set_config('tenancy.tenant_id', '', false)",
    "update pg_settings set setting = 'globex' where name = 'tenancy.tenant_id'",
    "do $$ begin perform tenancy.set_tenant('globex'); end $$",
    "do $$ begin execute 'set local tenancy.tenant_id = globex'; end $$",
    "select another()",
    "select as_definer()",
];

const FUNCTIONS: &str = "
    create function another() returns text language sql set tenancy.tenant_id = 'globex' as 'select tenancy.current_key()';
    create function as_definer() returns void language plpgsql security definer as
        $$ begin perform set_config('tenancy.tenant_id', 'globex', false); end $$";

#[test]
fn another_tenant_is_refused_whichever_way_it_is_set() {
    let world = World::new();
    world.fixture.run(FUNCTIONS);
    let mut client = sealed(&world);
    for change in CHANGES {
        let mut tx = client.transaction().unwrap();
        let error = refuses_in_savepoint(&mut tx, change, "42501");
        assert_eq!(error.message(), "this session is sealed", "{change}");
        assert_eq!(visible(&mut tx), ["acme"], "{change}");
    }
    for change in CHANGES.iter().filter(|change| !change.contains("local") && !change.ends_with("t('globex')")) {
        client.batch_execute(change).expect_err(change);
        assert_eq!(visible(&mut client), ["acme"], "{change}");
    }
}

#[test]
fn the_same_tenant_can_be_set_by_either_name() {
    let world = World::new();
    let mut client = sealed(&world);
    for name in [ACME.key, ACME.id] {
        let mut tx = client.transaction().unwrap();
        tx.run(&format!("set local tenancy.tenant_id = '{name}'; select tenancy.set_tenant('{name}')"));
        assert_eq!(visible(&mut tx), ["acme"]);
        tx.commit().unwrap();
        client.run(&format!("set tenancy.tenant_id = '{name}'; select tenancy.set_tenant('{name}', false)"));
        assert_eq!(visible(&mut client), ["acme"]);
    }
}

#[test]
fn it_holds_the_tenant_and_not_its_key() {
    let world = World::new();
    let mut client = sealed(&world);
    world.fixture.run(
        "delete from tenancy.tenants where key = 'acme'; select tenancy.create_tenant('acme');
         insert into notes_uuid select 1, id, 'new 1' from tenancy.tenants where key = 'acme'",
    );
    for change in
        ["select tenancy.current_tenant()", "select tenancy.set_tenant('acme', false)", "select from notes_uuid"]
    {
        client.refuses(change, "42501");
    }
    unseal(&mut client);
    assert_eq!(visible(&mut client), ["new"]);
}

#[test]
fn leave_to_switch_does_not_lift_the_seal() {
    let world = World::new();
    world.fixture.run(&format!("alter role {} set tenancy.allow_switch = on", world.app));
    let mut client = sealed(&world);
    client.refuses("set tenancy.tenant_id = 'globex'", "42501");
    client.refuses("begin; select tenancy.set_tenant('globex')", "42501");
    client.run("rollback");
    assert_eq!(visible(&mut client), ["acme"]);
}

#[test]
fn it_survives_a_change_of_role() {
    let world = World::new();
    let other = world.fixture.app_named("other");
    world.fixture.run(&format!("grant {} to {other}", world.app));
    let mut client = world.fixture.superuser();
    client.run(&format!("set session authorization {other}; select tenancy.set_tenant('acme', false)"));
    seal(&mut client);
    for role in
        [format!("set role {}", world.app), "reset role".into(), format!("set session authorization {}", world.app)]
    {
        client.run(&role);
        assert_eq!(visible(&mut client), ["acme"], "{role}");
        client.refuses("set tenancy.tenant_id = 'globex'", "42501");
    }
    client.run("reset session authorization");
    client.refuses("set tenancy.tenant_id = 'globex'", "42501");
    unseal(&mut client);
    client.run("set tenancy.tenant_id = 'globex'");
}

#[test]
fn the_sealed_tenant_is_still_authorised_in_each_transaction() {
    let world = World::new();
    let mut client = sealed(&world);
    world.fixture.run("select tenancy.suspend_tenant('acme')");
    client.refuses("select body from notes_uuid", "55000");
    world.fixture.run("select tenancy.resume_tenant('acme')");
    assert_eq!(visible(&mut client), ["acme"]);
    world.fixture.run(&format!("select tenancy.revoke_access('{}')", world.app));
    client.refuses("select body from notes_uuid", "42501");
}

#[test]
fn no_default_tenant_comes_in() {
    let world = World::new();
    world.fixture.run(&format!("alter role {} set tenancy.default_tenant = 'globex'", world.app));
    let mut client = sealed(&world);
    client.run("reset tenancy.tenant_id");
    assert!(visible(&mut client).is_empty());
    unseal(&mut client);
    assert_eq!(visible(&mut client), ["globex"]);
}

#[test]
fn nobody_sets_what_workers_are_told() {
    let world = World::new();
    let told = format!("{}\n{}\n", GLOBEX.id, GLOBEX.key);
    for mut client in [world.connect(), sealed(&world), world.fixture.superuser()] {
        for change in ["set tenancy.sealed = 'x'", "set local tenancy.sealed = ''"] {
            client.batch_execute(&format!("begin; {change}")).expect_err(change);
            client.run("rollback");
        }
        client.execute("select set_config('tenancy.sealed', $1, false)", &[&told]).expect_err("set_config");
    }
    world.fixture.superuser().refuses(&format!("alter role {} set tenancy.sealed = 'x'", world.app), "55P02");
}

#[test]
fn a_session_without_a_tenant_of_its_own_is_not_sealed() {
    let world = World::new();
    let seal = format!("select tenancy.seal('{SECRET}')");
    let mut client = world.connect();
    client.refuses(&seal, "42501");
    client.refuses(&format!("begin; select tenancy.set_tenant('acme'); {seal}"), "42501");
    client.run("rollback");
    client.refuses(&format!("begin; set local tenancy.tenant_id = 'acme'; savepoint s; {seal}"), "42501");
    client.run("rollback");
    client.refuses(&format!("set tenancy.tenant_id = 'nobody'; {seal}"), "42501");
    client.run("set tenancy.tenant_id = 'acme'");
    client.refuses(&format!("begin; set local tenancy.user_id = 'u'; {seal}"), "42501");
    client.run("rollback; set tenancy.tenant_id = 'globex'");
    assert_eq!(visible(&mut client), ["globex"]);

    // The default of all is not the session's own.
    world.fixture.run(&format!("alter role {} set tenancy.default_tenant = 'globex'", world.app));
    world.connect().refuses(&seal, "42501");
}

#[test]
fn a_tenant_that_the_connection_or_the_role_came_with_can_be_sealed() {
    let world = World::new();
    let mut client = world.fixture.try_connect(&world.app, "-c tenancy.tenant_id=acme").unwrap();
    seal(&mut client);
    assert_eq!(visible(&mut client), ["acme"]);
    client.refuses("set tenancy.tenant_id = 'globex'", "42501");
    world.fixture.run(&format!("alter role {} set tenancy.tenant_id = 'globex'", world.app));
    let mut client = world.connect();
    seal(&mut client);
    assert_eq!(visible(&mut client), ["globex"]);
}

/// Code that a table's owner hangs on his table must not seal the session that uses it.
#[test]
fn code_in_another_name_seals_nothing() {
    let world = World::new();
    world.fixture.run(&format!(
        "create function sealing() returns void language sql security definer
         as $$ select tenancy.seal('{SECRET}') $$"
    ));
    let mut client = world.connect();
    client.run("select tenancy.set_tenant('acme', false)");
    client.refuses("select sealing()", "42501");
    client.run("select tenancy.set_tenant('globex', false)");
}
