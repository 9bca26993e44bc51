//! Hosts: from the host of a request to its tenant. And keys for caches.

use tenancy_harness::{ACME, Fixture, GLOBEX, Session, World, refuses_in_savepoint};

/// Tenants with hosts, and an application's role for all of them.
fn world_with_hosts() -> World<'static> {
    let world = World::new();
    world.fixture.run(
        "select tenancy.add_host('acme.example', 'acme'), tenancy.add_host('*.acme.example', 'acme'),
                tenancy.add_host('special.acme.example', 'globex'), tenancy.add_host('Globex.Example.:443', 'globex'),
                tenancy.add_host('bücher.example', 'globex')",
    );
    world
}

#[track_caller]
fn resolved(session: &mut impl Session, host: &str) -> Option<String> {
    session.value(&format!("select tenancy.resolve_host('{host}')"))
}

#[test]
fn a_host_is_known_however_it_is_written() {
    let world = world_with_hosts();
    let mut client = world.connect();
    for host in
        ["acme.example", "ACME.Example", "acme.example.", "acme.example:8443", "Acme.EXAMPLE.:80", "ａｃｍｅ.example"]
    {
        assert_eq!(resolved(&mut client, host).as_deref(), Some(ACME.id), "{host}");
    }
    for host in ["globex.example", "BÜCHER.example", "xn--bcher-kva.example", "bücher.example.:1"] {
        assert_eq!(resolved(&mut client, host).as_deref(), Some(GLOBEX.id), "{host}");
    }
    assert_eq!(resolved(&mut client, "nobody.example"), None);
    assert_eq!(client.value("select tenancy.resolve_host(null)"), None);
}

#[test]
fn a_wildcard_stands_for_one_name_and_an_exact_host_beats_it() {
    let world = world_with_hosts();
    let mut client = world.connect();
    assert_eq!(resolved(&mut client, "www.acme.example").as_deref(), Some(ACME.id));
    assert_eq!(resolved(&mut client, "SPECIAL.acme.example").as_deref(), Some(GLOBEX.id));
    for host in ["a.www.acme.example", "example", "www.globex.example", "xacme.example"] {
        assert_eq!(resolved(&mut client, host), None, "{host}");
    }
    world.fixture.run("select tenancy.remove_host('special.acme.example'), tenancy.remove_host('acme.example')");
    assert_eq!(resolved(&mut client, "special.acme.example").as_deref(), Some(ACME.id));
    assert_eq!(resolved(&mut client, "acme.example"), None);
}

#[test]
fn a_change_of_hosts_or_of_their_tenant_is_seen_at_the_next_statement() {
    for level in ["read committed", "repeatable read", "serializable"] {
        let world = world_with_hosts();
        let mut client = world.connect();
        client.run(&format!(
            "begin isolation level {level}; prepare asked as select tenancy.resolve_host('acme.example')"
        ));
        let mut seen = |change: &str, tenant: Option<&str>| {
            world.fixture.run(change);
            assert_eq!(resolved(&mut client, "acme.example").as_deref(), tenant, "{level}: {change}");
            assert_eq!(client.value("execute asked").as_deref(), tenant, "{level}: {change}");
        };
        seen("", Some(ACME.id));
        seen("select tenancy.remove_host('acme.example')", None);
        seen("select tenancy.add_host('acme.example', 'globex')", Some(GLOBEX.id));
        seen(&format!("update tenancy.hosts set tenant_id = '{}' where host = 'acme.example'", ACME.id), Some(ACME.id));
        seen("select tenancy.suspend_tenant('acme')", None);
        seen("select tenancy.resume_tenant('acme')", Some(ACME.id));
        seen(&format!("select tenancy.revoke_access('{}')", world.app), None);
        seen(&format!("select tenancy.grant_access('{}', 'globex')", world.app), None);
        seen(&format!("select tenancy.grant_access('{}', 'acme')", world.app), Some(ACME.id));
        seen("truncate tenancy.hosts", None);
    }
}

#[test]
fn the_tenant_of_a_host_becomes_the_context() {
    let world = world_with_hosts();
    let mut client = world.connect();
    client.run("begin");
    assert_eq!(client.value("select tenancy.set_tenant_by_host('WWW.acme.example:443')").as_deref(), Some(ACME.id));
    assert_eq!(client.texts("select distinct split_part(body, ' ', 1) from notes_uuid"), ["acme"]);
    client.run("commit");
    assert_eq!(client.value("select tenancy.current_key()"), None);
    client.run("select tenancy.set_tenant_by_host('globex.example', false)");
    assert_eq!(client.value("select tenancy.current_key()").as_deref(), Some("globex"));
    client.refuses("select tenancy.set_tenant_by_host('acme.example')", "25P01");
    client.refuses("select tenancy.set_tenant_by_host('nobody.example')", "25P01");
    client.refuses("select tenancy.set_tenant_by_host(null, false)", "22023");
}

#[test]
fn unknown_inactive_and_forbidden_hosts_look_alike() {
    let world = world_with_hosts();
    let role = world.fixture.role("narrow");
    world.fixture.run(&format!(
        "select tenancy.create_tenant('asleep'), tenancy.add_host('asleep.example', 'asleep'), tenancy.suspend_tenant('asleep');
         select tenancy.create_tenant('buried'), tenancy.add_host('buried.example', 'buried'), tenancy.suspend_tenant('buried'),
                tenancy.archive_tenant('buried');
         select tenancy.grant_access('{role}', 'acme'), tenancy.grant_access('{role}', 'asleep')"
    ));
    let mut client = world.fixture.connect(&role);
    assert_eq!(resolved(&mut client, "acme.example").as_deref(), Some(ACME.id));
    let said = ["nobody.example", "asleep.example", "buried.example", "globex.example"].map(|host| {
        assert_eq!(resolved(&mut client, host), None, "{host}");
        let error = client.refuses(&format!("select tenancy.set_tenant_by_host('{host}', false)"), "42501");
        format!("{error:?}").replace(host, "…")
    });
    assert!(said.iter().all(|one| *one == said[0]), "{said:#?}");
    // Who may act for nobody hears of none.
    let stranger = world.fixture.role("stranger");
    assert_eq!(resolved(&mut world.fixture.connect(&stranger), "acme.example"), None);
    world.fixture.run("select tenancy.resume_tenant('asleep')");
    assert!(resolved(&mut client, "asleep.example").is_some());
}

#[test]
fn a_transaction_hears_of_no_other_tenants_hosts() {
    let world = world_with_hosts();
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    for host in ["globex.example", "nobody.example"] {
        assert_eq!(resolved(&mut tx, host), None, "{host}");
        let error = refuses_in_savepoint(&mut tx, &format!("select tenancy.set_tenant_by_host('{host}')"), "42501");
        assert!(error.message().contains("another tenant"), "{error:?}");
    }
    assert_eq!(resolved(&mut tx, "acme.example").as_deref(), Some(ACME.id));
    assert_eq!(tx.texts("select host from tenancy.hosts order by 1"), ["*.acme.example", "acme.example"]);
    tx.run("reset tenancy.tenant_id");
    assert_eq!(resolved(&mut tx, "globex.example"), None);
    drop(tx);
    for host in ["globex.example", "nobody.example"] {
        client.run("begin; set local tenancy.tenant_id = 'acme'; set local tenancy.tenant_id = ''");
        assert_eq!(resolved(&mut client, host), None, "{host}, with a tenant that is merely named");
        let error = client.refuses(&format!("select tenancy.set_tenant_by_host('{host}')"), "42501");
        assert!(error.message().contains("another tenant"), "{error:?}");
        client.run("rollback");
    }
    client.run(
        "set tenancy.tenant_id = 'acme'; select tenancy.seal('a secret of sixteen bytes'); reset tenancy.tenant_id",
    );
    for host in ["globex.example", "nobody.example"] {
        assert_eq!(resolved(&mut client, host), None, "{host}");
        let error = client.refuses(&format!("select tenancy.set_tenant_by_host('{host}', false)"), "42501");
        assert!(error.message().contains("sealed"), "{error:?}");
    }
    client.run("select tenancy.set_tenant_by_host('acme.example', false)");
}

#[test]
fn members_alone_are_let_in_by_a_host_too() {
    let world = world_with_hosts();
    world.fixture.run(&format!(
        "select tenancy.add_member('acme', 'alice'), tenancy.grant_access('{}', require_membership => true)",
        world.app
    ));
    let mut client = world.connect();
    assert_eq!(resolved(&mut client, "acme.example").as_deref(), Some(ACME.id), "for a page on which users log in");
    client.refuses("select tenancy.set_tenant_by_host('acme.example', false)", "42501");
    client.run("set tenancy.user_id = 'alice'; select tenancy.set_tenant_by_host('acme.example', false)");
}

#[test]
fn a_malformed_host_is_an_error() {
    let world = world_with_hosts();
    let mut client = world.fixture.superuser();
    let long = "a".repeat(100_000);
    for host in [
        "",
        ".",
        "a..example",
        "a b",
        "http://a.example",
        "a.example/path",
        "a.example:http",
        "*",
        "[::1",
        "xn--a.example",
        &long,
    ] {
        for call in
            ["resolve_host('{}')", "set_tenant_by_host('{}', false)", "add_host('{}', 'acme')", "remove_host('{}')"]
        {
            client.refuses(&format!("select tenancy.{}", call.replace("{}", host)), "22023");
        }
    }
    client.refuses("select tenancy.resolve_host('*.acme.example')", "22023");
    client.refuses("insert into tenancy.hosts values ('Acme.Example', tenancy.resolve_host('acme.example'))", "23514");
}

#[test]
fn hosts_are_changed_by_administrators_and_each_is_one_tenants() {
    let world = world_with_hosts();
    let mut admin = world.fixture.superuser();
    admin.refuses("select tenancy.add_host('ACME.example.', 'globex')", "42710");
    admin.refuses("select tenancy.add_host('*.Acme.example', 'globex')", "42710");
    admin.refuses("select tenancy.add_host('new.example', 'nobody_here')", "42704");
    admin.refuses("select tenancy.remove_host('nobody.example')", "42704");
    admin.run("select tenancy.add_host('[2001:DB8::1]:443', 'acme'), tenancy.add_host('localhost', 'acme')");
    let mut client = world.connect();
    assert_eq!(resolved(&mut client, "[2001:db8:0::1]:80").as_deref(), Some(ACME.id));
    assert_eq!(resolved(&mut client, "localhost:3000").as_deref(), Some(ACME.id));
    client.run("set tenancy.tenant_id = 'acme'");
    client.refuses("select tenancy.add_host('mine.example', 'acme')", "42501");
    client.refuses("select tenancy.remove_host('acme.example')", "42501");
    client.refuses("insert into tenancy.hosts values ('mine.example', tenancy.current_tenant())", "42501");
    let events = client.texts("select event || ' ' || object from tenancy.event_log where object like '%localhost%'");
    assert_eq!(events, ["host.added localhost"]);
    // They go with their tenant.
    admin.run("select tenancy.create_tenant('brief'), tenancy.add_host('brief.example', 'brief')");
    admin.run("delete from tenancy.tenants where key = 'brief'");
    admin.refuses("select tenancy.remove_host('brief.example')", "42704");
}

#[test]
fn a_dump_takes_hosts_along() {
    let world = world_with_hosts();
    let cluster = world.fixture.cluster();
    let script = String::from_utf8(cluster.run_tool("pg_dump", &[world.fixture.database()]).stdout).unwrap();
    let target = Fixture::empty(cluster);
    let restored = cluster.psql(target.database(), tenancy_harness::Cluster::SUPERUSER, &script);
    assert!(restored.status.success() && restored.stderr.is_empty(), "{restored:?}");
    assert_eq!(resolved(&mut target.connect(&world.app), "x.acme.example").as_deref(), Some(ACME.id));
}

#[track_caller]
fn key(session: &mut impl Session, parts: &str) -> Option<String> {
    session.value(&format!("select tenancy.cache_key({parts})"))
}

#[test]
fn a_cache_key_is_the_tenants_own() {
    let world = World::new();
    let mut client = world.connect();
    client.refuses("select tenancy.cache_key(array['user'])", "42501");
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(key(&mut tx, "array['user', '42']"), Some(format!("tenant:{}:user:42", ACME.id)));
    assert_eq!(key(&mut tx, "'{}'"), Some(format!("tenant:{}", ACME.id)));
    assert_eq!(key(&mut tx, "array['a:b', 'ä c%', '']"), Some(format!("tenant:{}:a%3Ab:%C3%A4%20c%25:", ACME.id)));
    refuses_in_savepoint(&mut tx, "select tenancy.cache_key(array['a', null])", "22023");
    refuses_in_savepoint(&mut tx, "select tenancy.cache_key(null)", "22023");
    refuses_in_savepoint(&mut tx, "select tenancy.cache_key(array[['a', 'b'], ['c', 'd']])", "22023");
    drop(tx);
    let mut tx = World::begin(&mut client, GLOBEX);
    assert_eq!(key(&mut tx, "array['user', '42']"), Some(format!("tenant:{}:user:42", GLOBEX.id)));
}
