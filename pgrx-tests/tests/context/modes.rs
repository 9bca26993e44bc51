//! Settings that only a superuser may give: switching, a default tenant, a region.

use tenancy_harness::{ACME, Cluster, Config, Fixture, GLOBEX, Session, World, refuses_in_savepoint};

use crate::{READ, context, visible, world_without_access};

#[test]
fn a_job_that_may_switch_works_for_several_tenants_in_one_transaction() {
    let world = World::new();
    world.fixture.run(&format!("alter role {} set tenancy.allow_switch = on", world.app));
    let mut client = world.connect();
    let statement = client.prepare(READ).unwrap();
    let mut tx = client.transaction().unwrap();
    for tenant in [ACME, GLOBEX, ACME, GLOBEX] {
        tx.run(&format!("select tenancy.set_tenant('{}')", tenant.key));
        assert_eq!(visible(&mut tx), [tenant.key]);
        assert_eq!(tx.query(&statement, &[]).unwrap().len(), if tenant == ACME { 20 } else { 30 });
        tx.run(&format!("set local tenancy.tenant_id = '{}'", tenant.id));
        assert_eq!(visible(&mut tx), [tenant.key]);
    }
    let insert = format!("insert into notes_uuid values (99, '{}', 'x')", ACME.id);
    refuses_in_savepoint(&mut tx, &insert, "42501");
}

#[test]
fn switching_still_needs_access_to_each_tenant() {
    let world = world_without_access();
    world.fixture.run(&format!(
        "select tenancy.grant_access('{0}', 'acme'); alter role {0} set tenancy.allow_switch = on",
        world.app
    ));
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    refuses_in_savepoint(&mut tx, "select tenancy.set_tenant('globex')", "42501");
    assert_eq!(visible(&mut tx), ["acme"]);
}

#[test]
fn an_ordinary_role_cannot_give_itself_a_superusers_settings() {
    let world = World::new();
    let mut client = world.connect();
    for (setting, value) in [("allow_switch", "on"), ("default_tenant", "globex")] {
        for statement in [
            format!("set tenancy.{setting} = '{value}'"),
            format!("set local tenancy.{setting} = '{value}'"),
            format!("select set_config('tenancy.{setting}', '{value}', false)"),
            format!("update pg_settings set setting = '{value}' where name = 'tenancy.{setting}'"),
            format!("alter role {} set tenancy.{setting} = '{value}'", world.app),
        ] {
            client.refuses(&format!("begin; {statement}"), "42501");
            client.run("rollback");
        }
        let options = format!("-c tenancy.{setting}={value}");
        let outcome = world.fixture.try_connect(&world.app, &options);
        tenancy_harness::assert_sqlstate(outcome.map(drop), "42501");
    }
}

#[test]
fn nobody_changes_the_region_from_within_a_session() {
    let world = World::new();
    world.connect().refuses("set tenancy.region = 'eu'", "55P02");
    world.fixture.superuser().refuses("set tenancy.region = 'eu'", "55P02");
}

#[test]
fn a_default_tenant_needs_no_access_row() {
    let world = world_without_access();
    world.fixture.run(&format!("alter role {} set tenancy.default_tenant = 'acme'", world.app));
    let mut client = world.connect();
    assert_eq!(context(&mut client), "acme");
    assert_eq!(visible(&mut client), ["acme"]);
    client.run("insert into notes_uuid (id, body) values (99, 'acme 99')");
    client.refuses("select tenancy.set_tenant('globex', false)", "42501");
    for end in ["reset all", "discard all", "select tenancy.clear_tenant(false)"] {
        client.run(end);
        assert_eq!(visible(&mut client), ["acme"], "{end}");
    }
}

#[test]
fn a_named_tenant_goes_before_the_default_one() {
    let world = World::new();
    world.fixture.run(&format!("alter role {} set tenancy.default_tenant = 'acme'", world.app));
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, GLOBEX);
    assert_eq!(visible(&mut tx), ["globex"]);
    tx.commit().unwrap();
    assert_eq!(visible(&mut client), ["acme"]);
}

#[test]
fn the_default_tenant_counts_as_the_transactions_one_tenant() {
    let world = World::new();
    world.fixture.run(&format!("alter role {} set tenancy.default_tenant = 'acme'", world.app));
    let mut client = world.connect();
    let mut tx = client.transaction().unwrap();
    assert_eq!(visible(&mut tx), ["acme"]);
    refuses_in_savepoint(&mut tx, "select tenancy.set_tenant('globex')", "42501");
    drop(tx);

    let mut tx = World::begin(&mut client, GLOBEX);
    assert_eq!(visible(&mut tx), ["globex"]);
    tx.run("reset tenancy.tenant_id");
    tx.refuses(READ, "42501");
}

#[test]
fn a_suspended_default_tenant_is_stopped() {
    let world = world_without_access();
    world.fixture.run(&format!("alter role {} set tenancy.default_tenant = 'acme'", world.app));
    let mut client = world.connect();
    assert_eq!(visible(&mut client), ["acme"]);
    world.fixture.run("select tenancy.suspend_tenant('acme')");
    client.refuses(READ, "55000");
}

#[test]
fn a_server_with_a_region_serves_that_regions_tenants_only() {
    let cluster = Cluster::start("region", &Config::default().set("tenancy.region", "eu"));
    let world = World::within(Fixture::on(&cluster));
    world.fixture.run(
        "select tenancy.create_tenant('berlin', region => 'eu'); select tenancy.create_tenant('boston', region => 'us')",
    );
    let mut client = world.connect();

    client.run("select tenancy.set_tenant('berlin', false)");
    assert_eq!(context(&mut client), "berlin");
    client.refuses("select tenancy.set_tenant('boston', false)", "55000");
    client.run("set tenancy.tenant_id = 'boston'");
    client.refuses(READ, "55000");

    let mut superuser = world.fixture.superuser();
    superuser.run("alter system set tenancy.region = 'us'");
    superuser.run("select pg_reload_conf(); select pg_sleep(0.5)");
    assert_eq!(context(&mut client), "boston");
    client.refuses("select tenancy.set_tenant('berlin', false)", "55000");
}
