//! pg_upgrade: from an earlier PostgreSQL to this one, with all that the extension has.

use std::ffi::OsString;

use tenancy_harness::{ACME, Cluster, Config, FAMILIES, Fixture, GLOBEX, Session, World, refuses_in_savepoint};

/// The `pg_config` of an earlier PostgreSQL that has the extension as well.
fn earlier() -> OsString {
    std::env::var_os("PG_TENANCY_EARLIER_PG_CONFIG")
        .filter(|path| !path.is_empty())
        .expect("PG_TENANCY_EARLIER_PG_CONFIG names the pg_config of an earlier PostgreSQL that has the extension")
}

/// What must be the same on both sides.
fn state(client: &mut impl Session) -> Vec<String> {
    client.texts(
        "select t::text from tenancy.tenants t union all select format('%s %s %s', relation, kind, tenant_column) from tenancy.protection
         union all select a::text from tenancy.access a union all select m::text from tenancy.managed_schema m
         union all select q::text from tenancy.quota_usage q union all select l::text from tenancy.audit_log l
         union all select e::text from tenancy.event_log e where event !~ '^bypass'
         union all select n::text from notes_uuid n
         union all select s::text from tenancy.default_settings s union all select h::text from tenancy.lifecycle_handlers h
         union all select format('%s %s %s', tablename, policyname, qual) from pg_policies where schemaname = 'public' order by 1",
    )
}

#[test]
#[ignore = "it wants two PostgreSQL versions: .ci/pg_upgrade runs it"]
fn pg_upgrade_takes_everything_along() {
    let config = Config::default();
    let old = Cluster::start_of(&earlier(), "old", &config);
    let old_version = old.version() / 10_000;
    let world = World::within(Fixture::on(&old));
    world.fixture.run(
        "create schema \"Odd one\"; select tenancy.manage_schema('Odd one', 'reject');
         create table parts (id integer, tenant_id uuid, body text, primary key (tenant_id, id)) partition by range (id);
         create table parts_1 partition of parts default; select tenancy.protect('parts');
         create function hear(uuid, jsonb) returns void language sql begin atomic select; end;
         select tenancy.create_resource('notes', 'rows'), tenancy.attach_quota('notes_uuid', 'notes'),
                tenancy.set_quota('acme', 'notes', 50), tenancy.audit('notes_uuid'), tenancy.audit_maintain(),
                tenancy.set_setting('seats', '5'), tenancy.on_lifecycle('suspended', 'hear(uuid, jsonb)')",
    );
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    tx.run(
        "insert into notes_uuid (id, body) values (500, 'acme 500'); insert into parts (id, body) values (1, 'acme 1')",
    );
    tx.commit().unwrap();
    drop(client);
    world.fixture.run("select tenancy.audit_seal()");
    let before = state(&mut world.fixture.superuser());

    let new = Cluster::upgraded_from(&old, "new", &config);

    assert!(new.version() / 10_000 > old_version, "{} is no later version", new.version());
    let connect = |role: &str| new.connect_to(world.fixture.database(), role);
    let mut superuser = connect(Cluster::SUPERUSER);
    assert_eq!(state(&mut superuser), before);
    assert_eq!(superuser.texts("select distinct ok::text from tenancy.audit_verify()"), ["true"]);
    for table in ["notes_uuid", "notes_varchar", "notes_smallint", "parts"] {
        let missing = superuser.texts(&format!("select tenancy.protect('public.{table}', dry_run => true)"));
        assert!(missing.is_empty(), "{table}: {missing:?}");
    }
    let mut client = connect(&world.app);
    for family in &FAMILIES {
        for tenant in [family.mine, family.other] {
            let mut tx = World::begin(&mut client, tenant);
            let bodies = tx.texts(&format!("select distinct split_part(body, ' ', 1) from {}", family.table()));
            assert_eq!(bodies, [tenant.key], "{}", family.column_type);
        }
    }
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(tx.value("select tenancy.setting_int('seats')").as_deref(), Some("5"));
    refuses_in_savepoint(&mut tx, &format!("insert into notes_uuid values (999, '{}', 'x')", GLOBEX.id), "42501");
    refuses_in_savepoint(
        &mut tx,
        "insert into notes_uuid (id, body) select 1000 + n, 'x' from generate_series(1, 100) n",
        "53400",
    );
    tx.run(
        "insert into notes_uuid (id, body) values (501, 'acme 501'); insert into parts (id, body) values (2, 'acme 2')",
    );
    tx.commit().unwrap();
    superuser.refuses("create table \"Odd one\".plain (id integer)", "42501");
    superuser.refuses("alter table notes_uuid disable row level security", "42501");
    superuser.refuses("drop extension pg_tenancy", "2BP01");
    superuser.run("select tenancy.suspend_tenant('acme'), tenancy.audit_seal(), tenancy.audit_maintain()");
    client.refuses("begin; select tenancy.set_tenant('acme')", "55000");
    let verdicts = superuser.texts("select ok::text || detail from tenancy.audit_verify()");
    assert!(verdicts.iter().all(|verdict| verdict.starts_with("true")), "{verdicts:?}");
}
