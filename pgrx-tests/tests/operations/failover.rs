//! A primary that dies, and a standby that takes its place: what was committed is there, and the rules hold.

use tenancy_harness::{ACME, Cluster, Config, Fixture, GLOBEX, Session, World, refuses_in_savepoint};

/// What must be the same before and after.
fn state(client: &mut impl Session) -> Vec<String> {
    client.texts(
        "select n::text from notes_uuid n union all select t::text from tenancy.tenants t
         union all select p::text from tenancy.protected_tables p union all select a::text from tenancy.access a
         union all select u::text from tenancy.quota_usage u union all select e::text from tenancy.event_log e where event !~ '^bypass'
         union all select m::text from tenancy.managed_schema m union all select l::text from tenancy.audit_log l order by 1",
    )
}

/// The application's work goes on: its own rows, its own limits, and nobody else's.
fn assert_works(cluster: &Cluster, world: &World<'_>, id: i32) {
    let mut client = cluster.connect_to(world.fixture.database(), &world.app);
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(tx.texts("select distinct split_part(body, ' ', 1) from notes_uuid"), ["acme"]);
    tx.run(&format!("insert into notes_uuid (id, body) values ({id}, 'acme {id}')"));
    refuses_in_savepoint(&mut tx, &format!("insert into notes_uuid values (999, '{}', 'x')", GLOBEX.id), "42501");
    refuses_in_savepoint(&mut tx, "select tenancy.set_tenant('globex')", "42501");
    refuses_in_savepoint(
        &mut tx,
        "insert into notes_uuid (id, body) select 1000 + n, 'x' from generate_series(1, 100) n",
        "53400",
    );
    tx.commit().unwrap();
    let mut superuser = cluster.connect_to(world.fixture.database(), Cluster::SUPERUSER);
    superuser.refuses("alter table notes_uuid disable row level security", "42501");
    superuser.run(&format!("create table app.t_{id} (tenant_id uuid)"));
    assert!(superuser.texts(&format!("select tenancy.protect('app.t_{id}', dry_run => true)")).is_empty());
    superuser.run("select tenancy.audit_seal()");
    assert_eq!(superuser.texts("select ok::text from tenancy.audit_verify()"), ["true"]);
}

#[test]
fn a_crash_and_a_failover_lose_nothing_and_open_nothing() {
    let primary = Cluster::start("primary", &Config::default());
    let world = World::within(Fixture::on(&primary));
    world.fixture.run(
        "create schema app; select tenancy.manage_schema('app');
         select tenancy.create_resource('notes', 'rows'), tenancy.attach_quota('notes_uuid', 'notes'),
                tenancy.set_quota('acme', 'notes', 50), tenancy.audit('notes_uuid')",
    );
    // A transaction that is open when the server dies.
    let mut open = world.connect();
    let mut unfinished = World::begin(&mut open, ACME);
    unfinished.run("insert into notes_uuid (id, body) values (500, 'acme 500')");
    let before = state(&mut world.fixture.superuser());
    primary.kill9();
    drop(unfinished);
    primary.restart();
    assert_eq!(state(&mut world.fixture.superuser()), before);
    assert_works(&primary, &world, 501);

    let standby = primary.standby();
    standby.wait_for_catch_up(&primary);
    let mut reader = standby.connect_to(world.fixture.database(), &world.app);
    reader.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(reader.value("select count(*) from notes_uuid").as_deref(), Some("21"));
    reader.refuses("insert into notes_uuid (id, body) values (502, 'acme 502')", "25006");
    let before = state(&mut world.fixture.superuser());
    primary.kill9();
    let mut superuser = standby.connect_to(world.fixture.database(), Cluster::SUPERUSER);
    superuser.run("select pg_promote()");
    standby.wait_until(&mut superuser, "not pg_is_in_recovery()");
    assert_eq!(state(&mut superuser), before);
    // The session that read there goes on.
    reader.run("insert into notes_uuid (id, body) values (502, 'acme 502')");
    assert_works(&standby, &world, 503);
    superuser.run("select tenancy.suspend_tenant('acme')");
    reader.refuses("select from notes_uuid", "55000");
}
