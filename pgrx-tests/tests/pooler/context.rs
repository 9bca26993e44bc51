//! Whose context a client finds, and whose it leaves.

use std::io::Write;

use tenancy_harness::postgres::Client;
use tenancy_harness::{
    ACME, Cluster, Fixture, GLOBEX, Pooler, PoolerConfig, PoolerProgram, Session, World, assert_sqlstate,
};

use crate::{Shop, act, backend, key, visible};

#[test]
fn a_tenant_of_the_transaction_is_of_the_transaction_alone() {
    let shop = Shop::new();
    let mut clients = [shop.client(), shop.client(), shop.client()];
    for round in 0..30 {
        let (client, tenant) = (&mut clients[round % 3], [ACME, GLOBEX][round % 2]);
        let mut transaction = World::begin(client, tenant);
        assert_eq!(visible(&mut transaction), [tenant.key]);
        match round % 5 {
            0 => transaction.rollback().unwrap(),
            1 => {
                transaction.refuses("select 1/0", "22012");
                transaction.rollback().unwrap();
            }
            _ => transaction.commit().unwrap(),
        }
        assert_eq!(key(&mut clients[(round + 1) % 3]), "none", "round {round}");
    }
}

#[test]
fn a_tenant_of_the_transaction_outside_of_one_is_refused() {
    let shop = Shop::new();
    let mut client = shop.client();
    client.refuses("select tenancy.set_tenant('acme')", "25P01");
    client.refuses("set local tenancy.tenant_id = 'acme'", "25P01");
    assert_eq!(key(&mut client), "none");
}

#[test]
fn a_client_that_goes_away_in_the_middle_leaves_nothing() {
    let shop = Shop::new();
    let mut client = shop.client();
    client.run("begin; select tenancy.set_tenant('acme'); create temp table notes_uuid (body text)");
    let left = backend(&mut client);
    drop(client);
    let mut other = shop.client();
    assert_eq!(key(&mut other), "none");
    assert_ne!(backend(&mut other), left, "the pooler has closed that connection");
    act(&mut other, GLOBEX, "insert into notes_uuid (id, body) values (99, 'of globex')");
    assert_eq!(shop.owners_of("of globex"), [GLOBEX.id]);
}

/// Why the documentation says: never. What the pooler does about it depends on its version.
#[test]
fn a_tenant_of_the_session_is_found_by_the_next_client() {
    let shop = Shop::new();
    let (mut one, mut other) = (shop.client(), shop.client());
    one.run("select tenancy.set_tenant('acme', is_local => false)");
    assert_eq!(visible(&mut other), ["acme"], "another client's tenant");
    // Who names its own is safe from that, and gives it back at the end.
    act(&mut other, GLOBEX, "select 1/(count(*) filter (where body like 'globex%'))::int from notes_uuid");
    assert_eq!(key(&mut other), "acme");
    other.run("discard all");
    assert_eq!(key(&mut one), "none");
}

/// The newest pooler, if it can track settings. Else there is nothing to look at, which is said to whoever runs the test: past the
/// harness of tests, which keeps to itself what a test that passes has printed.
pub fn one_that_tracks(what: &str) -> Option<PoolerProgram> {
    let program = PoolerProgram::newest();
    let version = program.version();
    // Up to 1.21 it leaves a client that names no tenant the one before it.
    if version >= (1, 22) {
        return Some(program);
    }
    let said = writeln!(std::io::stderr(), "{what}: NOT tried, PgBouncer is {version:?} (PG_TENANCY_NEWER_PGBOUNCER)");
    said.expect("it can be said");
    None
}

#[test]
fn a_pooler_that_tracks_the_setting_gives_each_client_its_own() {
    let tracking =
        |program| PoolerConfig::default().program(program).set("track_extra_parameters", "tenancy.tenant_id");
    let Some(program) = one_that_tracks("tracking, but for the refusal") else {
        let world = World::new();
        let config = tracking(PoolerProgram::newest());
        let complaints = Pooler::try_start(&world.fixture, &[&world.app], &config).expect_err("it can't, and says so");
        assert!(complaints.contains("track_extra_parameters"), "{complaints}");
        return;
    };
    let shop = Shop::with(&tracking(program), &[]);
    let (mut one, mut two, mut other) = (shop.client(), shop.client(), shop.client());
    one.run("set tenancy.tenant_id = 'acme'");
    two.run("set tenancy.tenant_id = 'globex'");
    for _ in 0..3 {
        assert_eq!(visible(&mut one), ["acme"]);
        assert_eq!(visible(&mut two), ["globex"]);
        assert_eq!(key(&mut other), "none");
    }
    let mut named = shop.pooler.try_connect(&shop.world.app, "-c tenancy.tenant_id=globex").unwrap();
    assert_eq!(visible(&mut named), ["globex"], "an option of the connection");
    assert_eq!(visible(&mut one), ["acme"]);
    // What is not reported is not given back.
    for setting in ["tenancy.user_id", "tenancy.request_id"] {
        one.run(&format!("set {setting} = 'of one'"));
        assert_eq!(two.value(&format!("select current_setting('{setting}')")).as_deref(), Some("of one"), "{setting}");
    }
}

/// PgBouncer itself takes two values for one that differ in the case of their letters, and puts no long ones back.
#[test]
fn a_pooler_that_tracks_mistakes_no_tenant_for_another() {
    let Some(program) = one_that_tracks("tracking of keys that are alike, and of long ones") else { return };
    let config = PoolerConfig::default().program(program).set("track_extra_parameters", "tenancy.tenant_id");
    let shop = Shop::with(&config, &[]);
    let long = "long".repeat(40);
    let set = |client: &mut Client, name: &str| client.run(&format!("set tenancy.tenant_id = '{name}'"));
    let shown = |client: &mut Client| client.value("show tenancy.tenant_id");
    for key in ["ACME", "O'Neill\\ ~^", &long] {
        shop.world.fixture.run(&format!("select tenancy.create_tenant('{}')", key.replace('\'', "''")));
    }

    let (mut small, mut other, mut none) = (shop.client(), shop.client(), shop.client());
    let (mut capital, mut quoted) = (shop.client(), shop.client());
    set(&mut small, "acme");
    set(&mut other, "acme");
    set(&mut capital, "ACME");
    set(&mut quoted, "O''Neill\\ ~^");
    let id = |key: &str| {
        let query = format!("select id::text from tenancy.tenants where key = '{key}'");
        shop.world.fixture.connect(Cluster::SUPERUSER).value(&query).expect("never NULL")
    };
    let option = format!("-c tenancy.tenant_id={}", id("ACME"));
    let mut named = shop.pooler.try_connect(&shop.world.app, &option).unwrap();
    for _ in 0..2 {
        for (client, its) in [(&mut small, "acme"), (&mut capital, "ACME"), (&mut other, "acme")] {
            assert_eq!((key(client).as_str(), shown(client).as_deref()), (its, Some(its)));
        }
        assert_eq!((key(&mut quoted).as_str(), shown(&mut quoted).as_deref()), ("O'Neill\\ ~^", Some("O'Neill\\ ~^")));
        assert_eq!((key(&mut named).as_str(), key(&mut none).as_str()), ("ACME", "none"));
    }

    // What a failed block puts back is reported as well.
    let fail = |client: &mut Client, its: &str| {
        for statement in ["begin", &format!("select tenancy.set_tenant('{its}')")] {
            client.run(statement);
        }
        client.refuses("select 1/0", "22012");
        client.run("rollback");
    };
    fail(&mut small, "acme");
    fail(&mut capital, "ACME");
    assert_eq!((key(&mut small).as_str(), key(&mut capital).as_str()), ("acme", "ACME"));

    // Its own while nobody comes between; then nobody's.
    let mut longest = shop.client();
    set(&mut longest, &long);
    assert_eq!((key(&mut longest).as_str(), shown(&mut longest).as_deref()), (long.as_str(), Some(long.as_str())));
    assert_eq!(visible(&mut small), ["acme"]);
    longest.refuses("select body from notes_uuid", "22023");
    assert_eq!(visible(&mut small), ["acme"]);
    set(&mut longest, &long);
    fail(&mut longest, &long);
    assert_eq!(key(&mut longest), long);
    assert_eq!(visible(&mut small), ["acme"]);
    longest.refuses("select body from notes_uuid", "22023");
    longest.run(&format!("begin; select tenancy.set_tenant('{long}'); commit"));
    set(&mut longest, &id(&long));
    assert_eq!(visible(&mut small), ["acme"]);
    assert_eq!(key(&mut longest), long);
}

/// The library comes with the first use: until then the server reports nothing, and the pooler takes nothing back.
#[test]
fn a_pooler_has_nothing_to_track_where_the_library_is_not_preloaded() {
    let Some(program) = one_that_tracks("tracking where nothing is preloaded") else { return };
    let fixture = Fixture::without_preload();
    let app = fixture.app();
    fixture.run("select tenancy.create_tenant('acme')");
    let config = PoolerConfig::default().program(program).set("track_extra_parameters", "tenancy.tenant_id");
    let pooler = Pooler::start(&fixture, &[&app], &config);
    let (mut one, mut other) = (pooler.connect(&app), pooler.connect(&app));
    one.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(key(&mut other), "acme", "another client's tenant");
}

#[test]
fn a_tenant_named_when_connecting_does_not_pass_the_pooler_unnoticed() {
    let shop = Shop::new();
    assert_sqlstate(shop.pooler.try_connect(&shop.world.app, "-c tenancy.tenant_id=acme").map(drop), "08P01");

    // Told to ignore it, it does: no tenant, no rows.
    let shop = Shop::with(&PoolerConfig::default().set("ignore_startup_parameters", "options"), &[]);
    let mut client = shop.pooler.try_connect(&shop.world.app, "-c tenancy.tenant_id=acme").unwrap();
    assert_eq!(key(&mut client), "none");
    assert_eq!(visible(&mut client), Vec::<String>::new());
}

#[test]
fn a_role_for_each_tenant_needs_to_name_none() {
    let world = World::new();
    let roles = [ACME, GLOBEX].map(|tenant| {
        let role = world.fixture.app_named(tenant.key);
        world.fixture.run(&format!(
            "select tenancy.revoke_access('{role}'), tenancy.grant_access('{role}', '{key}');
             alter role {role} set tenancy.tenant_id = '{key}'",
            key = tenant.key
        ));
        role
    });
    let pooler = Pooler::start(&world.fixture, &[&roles[0], &roles[1]], &PoolerConfig::default());
    for (role, tenant, other) in [(&roles[0], ACME, GLOBEX), (&roles[1], GLOBEX, ACME)] {
        let mut client = pooler.connect(role);
        assert_eq!(visible(&mut client), [tenant.key]);
        client.refuses(&format!("begin; select tenancy.set_tenant('{}')", other.key), "42501");
        for clean in ["rollback", "reset all", "discard all"] {
            client.run(clean);
        }
        assert_eq!(visible(&mut client), [tenant.key]);
    }
}

/// Each connection to the server reports the same for the same key.
#[test]
fn a_role_whose_tenant_has_a_long_key_is_served_by_any_connection_that_tracks() {
    let Some(program) = one_that_tracks("a role of a tenant with a long key, tracked") else { return };
    let config = PoolerConfig::default().program(program).set("track_extra_parameters", "tenancy.tenant_id");
    let config = config.set("default_pool_size", "2");
    let long = "long".repeat(40);
    let world = World::new();
    let role = world.fixture.app_named("long");
    world
        .fixture
        .run(&format!("select tenancy.create_tenant('{long}'); alter role {role} set tenancy.tenant_id = '{long}'"));
    let pooler = Pooler::start(&world.fixture, &[&role], &config);
    let (mut one, mut two) = (pooler.connect(&role), pooler.connect(&role));
    one.run("begin");
    assert_eq!((key(&mut one), key(&mut two)), (long.clone(), long.clone()), "on two connections");
    one.run("commit");
    assert_eq!((key(&mut one), key(&mut two)), (long.clone(), long));
}

#[test]
fn clients_of_a_strict_role_agree_in_what_the_pooler_would_set() {
    let world = World::new();
    let console = world.fixture.app_named("console");
    world.fixture.run(&format!("select tenancy.harden_role('{console}', 'strict')"));
    let pooler = Pooler::start(&world.fixture, &[&console], &PoolerConfig::default());
    let (mut one, mut two) = (pooler.connect(&console), pooler.connect(&console));
    let mut named = pooler.connect_as(&console, "report").unwrap();
    for client in [&mut one, &mut two] {
        assert_eq!(key(client), "none");
    }
    assert!(named.batch_execute("select 1").is_err(), "the pooler has to set its name");
    assert_eq!(key(&mut two), "none");
}

#[test]
fn pooling_by_statement_fails_closed() {
    let shop = Shop::with(&PoolerConfig::default().set("pool_mode", "statement"), &[]);
    shop.client().refuses("select tenancy.set_tenant('acme')", "25P01");
    shop.client().refuses("set local tenancy.tenant_id = 'acme'", "25P01");
    let mut client = shop.client();
    assert!(client.batch_execute("begin").is_err(), "the pooler lets no transaction begin");
    assert_eq!(visible(&mut shop.client()), Vec::<String>::new());
}
