//! A hot standby: reads under the same rules, and what the primary revokes is revoked there.

use std::sync::OnceLock;

use tenancy_harness::{ACME, Cluster, Config, FAMILIES, Fixture, GLOBEX, Session, World, refuses_in_savepoint};

struct Pair {
    primary: Cluster,
    standby: Cluster,
}

/// One pair of servers for all tests of this file; each test has its own database on it.
fn pair() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| {
        let primary = Cluster::start("primary", &Config::default());
        let standby = primary.standby();
        Pair { primary, standby }
    })
}

fn world() -> World<'static> {
    let world = World::within(Fixture::on(&pair().primary));
    pair().standby.wait_for_catch_up(&pair().primary);
    world
}

fn connect(world: &World<'_>) -> postgres::Client {
    connect_as(world, &world.app)
}

fn connect_as(world: &World<'_>, role: &str) -> postgres::Client {
    pair().standby.connect_to(world.fixture.database(), role)
}

fn visible(session: &mut impl Session) -> Vec<String> {
    session.texts("select distinct split_part(body, ' ', 1) from notes_uuid order by 1")
}

#[test]
fn a_tenant_reads_its_own_rows_on_a_standby() {
    let world = world();
    let mut client = connect(&world);
    for family in &FAMILIES {
        for (tenant, count) in [(family.mine, World::MINE), (family.other, World::OTHERS)] {
            let mut tx = World::begin(&mut client, tenant);
            let bodies = tx.texts(&format!("select body from {}", family.table()));
            assert_eq!(bodies.len(), usize::try_from(count).unwrap());
            assert!(bodies.iter().all(|body| body.starts_with(&format!("{} ", tenant.key))), "{bodies:?}");
            assert_eq!(tx.value("select tenancy.current_tenant()").as_deref(), Some(tenant.id));
            tx.commit().unwrap();
        }
    }
    assert_eq!(visible(&mut client).len(), 0, "without context");
}

#[test]
fn the_rules_of_the_context_hold_on_a_standby() {
    let world = world();
    let mut client = connect(&world);
    client.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(visible(&mut client), ["acme"]);
    client.refuses("select tenancy.set_tenant('globex')", "25P01");
    client.refuses("select tenancy.set_tenant('nobody_here', false)", "42501");
    let mut tx = World::begin(&mut client, ACME);
    refuses_in_savepoint(&mut tx, "select tenancy.set_tenant('globex')", "42501");
    refuses_in_savepoint(&mut tx, "set local tenancy.tenant_id = 'globex'", "42501");
    drop(tx);
    let mut tx = World::begin(&mut client, GLOBEX);
    assert_eq!(visible(&mut tx), ["globex"]);
}

#[test]
fn suspension_on_the_primary_stops_an_open_session_on_the_standby() {
    let world = world();
    let mut idle = connect(&world);
    idle.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(visible(&mut idle), ["acme"]);
    let mut busy = connect(&world);
    let mut tx = World::begin(&mut busy, ACME);
    assert_eq!(visible(&mut tx), ["acme"]);

    world.fixture.run("select tenancy.suspend_tenant('acme')");
    pair().standby.wait_for_catch_up(&pair().primary);

    idle.refuses("select body from notes_uuid", "55000");
    tx.refuses("select body from notes_uuid", "55000");
    drop(tx);

    world.fixture.run("select tenancy.resume_tenant('acme')");
    pair().standby.wait_for_catch_up(&pair().primary);
    assert_eq!(visible(&mut idle), ["acme"]);
}

#[test]
fn access_revoked_on_the_primary_is_revoked_on_the_standby() {
    let world = world();
    let mut client = connect(&world);
    client.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(visible(&mut client), ["acme"]);

    world.fixture.run(&format!("select tenancy.revoke_access('{}')", world.app));
    pair().standby.wait_for_catch_up(&pair().primary);

    client.refuses("select body from notes_uuid", "42501");
}

#[test]
fn the_registry_shows_the_current_tenant_only_on_a_standby() {
    let world = world();
    let mut client = connect(&world);
    assert_eq!(client.texts("select key from tenancy.tenants").len(), 0);
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(tx.texts("select key from tenancy.tenants"), ["acme"]);
}

/// Nothing can be written there, so the server's log is the record.
#[test]
fn a_bypass_on_a_standby_is_declared_in_the_log() {
    let world = world();
    let mut superuser = connect_as(&world, Cluster::SUPERUSER);
    superuser.run("set tenancy.on_bypass = error");
    superuser.refuses("select from notes_uuid", "42501");
    superuser.run("begin; select tenancy.bypass('a report'); select from notes_uuid; commit");
    let log = pair().standby.log();
    assert!(log.contains("bypass of row security (refused)") && log.contains("reason: a report"));
}

#[test]
fn a_row_is_explained_on_a_standby_and_nothing_is_proved_there() {
    let world = world();
    let mut client = connect(&world);
    client.run("set tenancy.tenant_id = 'acme'");
    let verdict = |client: &mut postgres::Client, body: &str| {
        let key = format!("{{\"body\": \"{body}\"}}");
        client.value(&format!(
            "select passed::text from tenancy.why('notes_uuid', '{key}') where check_name = 'can_delete'"
        ))
    };
    assert_eq!(verdict(&mut client, "acme 1").as_deref(), Some("true"));
    assert_eq!(verdict(&mut client, "globex 1").as_deref(), Some("false"));
    let mut superuser = pair().standby.connect_to(world.fixture.database(), Cluster::SUPERUSER);
    superuser.refuses("select * from tenancy.prove('notes_uuid')", "25006");
}

#[test]
fn no_number_is_given_out_on_a_standby() {
    let world = world();
    let mut client = connect(&world);
    let mut tx = World::begin(&mut client, ACME);
    for call in ["tenancy.next_number('x')", "tenancy.reserve_numbers('y', 10)"] {
        refuses_in_savepoint(&mut tx, &format!("select {call}"), "25006");
    }
    assert_eq!(tx.value("select count(*) from tenancy.numbers").as_deref(), Some("0"));
}

#[test]
fn members_settings_and_hosts_are_followed_on_a_standby() {
    let world = world();
    let catch_up = || pair().standby.wait_for_catch_up(&pair().primary);
    world.fixture.run(&format!(
        "select tenancy.add_member('acme', 'alice', 'admin'), tenancy.grant_access('{}', require_membership => true),
                tenancy.set_setting('seats', '5', 'acme'), tenancy.set_setting('postgres.work_mem', '\"9MB\"', 'acme'),
                tenancy.add_host('acme.example', 'acme')",
        world.app
    ));
    catch_up();
    let mut client = connect(&world);
    client.refuses("select tenancy.set_tenant_by_host('acme.example', false)", "42501");
    client.run("set tenancy.user_id = 'alice'; select tenancy.set_tenant_by_host('Acme.Example:443', false)");
    let seen = "select format('%s %s %s', tenancy.has_role('admin'), tenancy.setting_int('seats'), current_setting('work_mem'))";
    assert_eq!(client.value(seen).as_deref(), Some("t 5 9MB"));
    assert_eq!(visible(&mut client), ["acme"]);

    world.fixture.run(
        "select tenancy.add_member('acme', 'alice', 'viewer'), tenancy.set_setting('seats', '6', 'acme'),
                tenancy.remove_host('acme.example')",
    );
    catch_up();
    assert_eq!(client.value(seen).as_deref(), Some("f 6 9MB"));
    assert_eq!(client.value("select tenancy.resolve_host('acme.example')"), None);

    world.fixture.run("select tenancy.remove_member('acme', 'alice')");
    catch_up();
    client.refuses("select body from notes_uuid", "42501");
    client.refuses("select tenancy.accept_invitation('of my own making', 'alice')", "25006");
}
