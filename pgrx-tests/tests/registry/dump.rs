//! A dump carries tenants, access and protection into another server.

use std::process::Output;

use postgres::Client;
use tenancy_harness::{ACME, Cluster, Config, FAMILIES, Fixture, Session, World, postgres};

/// A database worth dumping: all kinds of table, all families, a suspended tenant, an admin, narrow and wide access.
fn source() -> (World<'static>, String, String) {
    let world = World::new();
    let narrow = world.fixture.role("narrow");
    let admin = world.fixture.role("admin");
    world.fixture.run(&format!(
        "select tenancy.create_plan('gold'); select tenancy.create_tenant('asleep', plan => 'gold', region => 'eu');
         select tenancy.suspend_tenant('asleep', 'unpaid'); select tenancy.set_number('acme', 'invoice', 41);
         select tenancy.grant_access('{narrow}', 'acme'); select tenancy.grant_admin('{admin}');
         create table prices (tenant_id uuid, body text); insert into prices values (null, 'common 1');
         select tenancy.protect('prices', kind => 'shared');
         create table log (id integer, tenant_id text, body text) partition by range (id);
         create table log_1 partition of log default; insert into log values (1, 'acme', 'acme 1'), (2, 'globex', 'globex 2');
         select tenancy.protect('log', kind => 'append_only');
         create table countries (id integer); select tenancy.classify('countries', 'global');
         create table referring (tenant_id uuid, body text); insert into referring values ('{}', 'acme 1');
         select tenancy.protect('referring', reference_tenants => true);
         grant select, insert on all tables in schema public to {narrow}",
        ACME.id
    ));
    (world, narrow, admin)
}

/// What must be the same on both sides, as text.
fn inventory(client: &mut Client) -> Vec<String> {
    client.run("set search_path = pg_catalog");
    client.texts(
        "select 'tenant ' || t::text from tenancy.tenants t
         union all select format('policy %s %s %s %s %s %s %s', schemaname, tablename, policyname, permissive, roles,
                                 qual, with_check) from pg_policies
         union all select format('table %s %s %s', oid::regclass, relrowsecurity, relforcerowsecurity)
                     from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
         union all select format('protected %s %s %s %s', relation, \"column\", kind, forced) from tenancy.protected_tables
         union all select 'number ' || n::text from tenancy.numbers n
         union all select 'event ' || e::text from tenancy.event_log e
         order by 1",
    )
}

fn assert_clean(tool: &str, output: &Output) {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{tool}: {complaint}");
}

/// What an application expects of the restored database.
fn assert_works(target: &Fixture<'_>, app: &str, narrow: &str, admin: &str) {
    let mut client = target.connect(app);
    for family in &FAMILIES {
        for (tenant, count) in [(family.mine, World::MINE), (family.other, World::OTHERS)] {
            let mut tx = World::begin(&mut client, tenant);
            let bodies = tx.texts(&format!("select body from {}", family.table()));
            assert_eq!(i64::try_from(bodies.len()), Ok(count));
            assert!(bodies.iter().all(|body| body.starts_with(&format!("{} ", tenant.key))), "{bodies:?}");
        }
    }
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(tx.texts("select body from prices"), ["common 1"]);
    assert_eq!(tx.texts("select body from log_1"), ["acme 1"]);
    assert_eq!(tx.affected("delete from log"), 0);
    drop(tx);
    client.refuses("select tenancy.set_tenant('asleep', false)", "55000");

    let mut client = target.connect(narrow);
    client.run("select tenancy.set_tenant('acme', false); insert into notes_uuid (id, body) values (500, 'acme 500')");
    assert_eq!(client.value("select tenancy.next_number('invoice')").as_deref(), Some("42"));
    client.refuses("select tenancy.set_tenant('globex', false)", "42501");

    let mut client = target.connect(admin);
    client.run("select tenancy.resume_tenant('asleep')");
    client.run("select tenancy.create_tenant('after_restore')");

    let mut superuser = target.superuser();
    for table in ["notes_uuid", "notes_text", "notes_bigint"] {
        let again = superuser.texts(&format!("select tenancy.protect('public.{table}')"));
        assert!(again.is_empty(), "{table}: {again:?}");
    }
    superuser.run(&format!("select tenancy.revoke_access('{app}')"));
    target.connect(app).refuses("select tenancy.set_tenant('acme', false)", "42501");
}

/// Another server, where the same roles have other numbers.
fn other_server(world: &World<'_>, narrow: &str, admin: &str) -> Cluster {
    let other = Cluster::start("restore", &Config::default());
    let mut superuser = other.connect(Cluster::SUPERUSER);
    superuser.run("create role filler_1; create role filler_2; create role filler_3");
    for role in [admin, narrow, &world.app] {
        superuser.run(&format!("create role {role} login"));
    }
    other
}

#[test]
fn a_custom_format_dump_restores_on_another_server_and_works() {
    let (world, narrow, admin) = source();
    let expected = inventory(&mut world.fixture.superuser());
    let other = other_server(&world, &narrow, &admin);
    let target = Fixture::empty(&other);
    let cluster = world.fixture.cluster();
    let file = cluster.directory().join(format!("{}.dump", world.fixture.database()));
    let file = file.to_str().unwrap();
    assert_clean("pg_dump", &cluster.run_tool("pg_dump", &["-Fc", "-f", file, world.fixture.database()]));

    let restore = other.tool("pg_restore").args(["--exit-on-error", "-d", target.database(), file]).output();

    assert_clean("pg_restore", &restore.unwrap());
    assert_eq!(inventory(&mut target.superuser()), expected);
    assert_works(&target, &world.app, &narrow, &admin);
}

#[test]
fn a_plain_dump_restores_through_psql_and_works() {
    let (world, narrow, admin) = source();
    let expected = inventory(&mut world.fixture.superuser());
    let cluster = world.fixture.cluster();
    let script = cluster.run_tool("pg_dump", &[world.fixture.database()]);
    let target = Fixture::empty(cluster);

    let text = String::from_utf8(script.stdout).unwrap();
    let restore = cluster.psql(target.database(), Cluster::SUPERUSER, &text);

    assert_clean("psql", &restore);
    assert_eq!(inventory(&mut target.superuser()), expected);
    assert_works(&target, &world.app, &narrow, &admin);
}

#[test]
fn an_application_role_cannot_dump_other_tenants_rows() {
    let (world, ..) = source();
    let cluster = world.fixture.cluster();
    let dump = |options: &[&str]| {
        let mut command = cluster.tool("pg_dump");
        command
            .env("PGOPTIONS", "-c tenancy.tenant_id=acme")
            .args(["-U", &world.app, "-t", "notes_uuid"])
            .args(options);
        command.arg(world.fixture.database()).output().unwrap()
    };
    let refused = dump(&[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("row-level security policy for table \"notes_uuid\""), "{said}");
    assert!(!String::from_utf8_lossy(&refused.stdout).contains("globex 1"));
    let own = dump(&["--enable-row-security"]);
    assert_clean("pg_dump", &own);
    let text = String::from_utf8(own.stdout).unwrap();
    assert!(text.contains("acme 1") && !text.contains("globex 1"), "{text}");
}

#[test]
fn dropping_the_extension_leaves_its_tables_closed() {
    let (world, ..) = source();
    world.fixture.superuser().refuses("drop extension pg_tenancy", "2BP01");
    world.fixture.run("drop extension pg_tenancy cascade");
    let mut client = world.connect();
    for family in &FAMILIES {
        let bodies = client.texts(&format!("select body from {}", family.table()));
        assert_eq!(bodies, Vec::<String>::new(), "{}", family.column_type);
    }
}
