//! Whole dumps by several jobs, into a database with and without the extension; dumps of a part: one schema, one tenant, the data.

use tenancy_harness::{ACME, FAMILIES, Fixture, GLOBEX, Session, World, refuses_in_savepoint};

use crate::assert_clean;

/// Where a dump of the database is to go.
fn file(world: &World<'_>, suffix: &str) -> String {
    let path = world.fixture.cluster().directory().join(format!("{}.{suffix}", world.fixture.database()));
    path.to_str().unwrap().to_owned()
}

const UNGUARDED: &str = "-c tenancy.guard_ddl=off";

/// What a whole dump brings, as text.
fn state(fixture: &Fixture<'_>) -> Vec<String> {
    fixture.superuser().texts(
        "select t::text from tenancy.tenants t union all select p::text from tenancy.protected_tables p
         union all select a::text from tenancy.access a union all select u::text from tenancy.quota_usage u
         union all select l::text from tenancy.audit_log l union all select c::text from tenancy.audit_chain c
         union all select e::text from tenancy.event_log e where event !~ '^bypass'
         union all select format('%s %s %s', tablename, policyname, qual) from pg_policies
         union all select n::text from notes_uuid n union all select n::text from notes_text n order by 1",
    )
}

/// Whatever is in the way, a whole dump is restored whole or not at all.
#[test]
fn a_whole_dump_restores_by_several_jobs_with_and_without_the_extension_there() {
    let world = World::new();
    let cluster = world.fixture.cluster();
    world.fixture.run(
        "select tenancy.create_resource('notes', 'rows'), tenancy.attach_quota('notes_uuid', 'notes'),
                tenancy.set_quota('acme', 'notes', 50), tenancy.audit('notes_uuid')",
    );
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, ACME);
    tx.run("insert into notes_uuid (id, body) values (30, 'acme 30'), (31, 'acme 31')");
    tx.commit().unwrap();
    world.fixture.run("select tenancy.audit_seal()");
    let (dump, source) = (file(&world, "whole"), state(&world.fixture));
    let dumper = world.fixture.name("dumper");
    world.fixture.run(&format!("create role {dumper} login bypassrls; grant pg_read_all_data to {dumper}"));
    let arguments = ["-U", &dumper, "-Fd", "-j", "4", "-f", &dump, world.fixture.database()];
    assert_clean("pg_dump", &cluster.run_tool("pg_dump", &arguments));
    let restore = |into: &Fixture<'_>, settings: &str, options: &[&str]| {
        let mut command = cluster.tool("pg_restore");
        command.env("PGOPTIONS", settings);
        command.args(["--exit-on-error", "-d", into.database()]).args(options).arg(&dump).output().unwrap()
    };
    let works = |fixture: &Fixture<'_>| {
        assert_eq!(state(fixture), source);
        assert_eq!(fixture.superuser().texts("select distinct ok::text from tenancy.audit_verify()"), ["true"]);
        let mut client = fixture.connect(&world.app);
        let mut tx = World::begin(&mut client, ACME);
        assert_eq!(tx.value("select count(*) from notes_uuid").as_deref(), Some("22"));
        let more = "insert into notes_uuid (id, body) select 100 + n, 'acme' from generate_series(1, 29) n";
        refuses_in_savepoint(&mut tx, more, "53400");
        refuses_in_savepoint(&mut tx, &format!("insert into notes_uuid values (99, '{}', 'x')", GLOBEX.id), "42501");
    };

    let empty = Fixture::empty(cluster);
    // Jobs don't keep to the order that the foreign keys of the extension's own tables want, which are there from the start.
    assert_clean("pg_restore", &restore(&empty, "-c session_replication_role=replica", &["-j", "4"]));
    works(&empty);

    // The extension is there, in use, and knows tenants of the same keys.
    let used = World::new();
    used.fixture.run("select tenancy.create_tenant('initech')");
    let before = state(&used.fixture);
    assert!(!restore(&used.fixture, UNGUARDED, &["--single-transaction"]).status.success());
    assert_eq!(state(&used.fixture), before);
    // A protected table that isn't in the dump would be left without protection.
    used.fixture.run("create table extra (tenant_id uuid); select tenancy.protect('extra')");
    let before = state(&used.fixture);
    let refused = restore(&used.fixture, UNGUARDED, &["--single-transaction", "--clean", "--if-exists"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("public.extra"), "{said}");
    assert_eq!(state(&used.fixture), before);
    used.fixture.run("drop table extra");
    assert_clean("pg_restore", &restore(&used.fixture, UNGUARDED, &["--single-transaction", "--clean", "--if-exists"]));
    works(&used.fixture);
}

#[test]
fn one_schema_restores_into_a_database_that_knows_its_tenants() {
    let world = World::new();
    let cluster = world.fixture.cluster();
    world.fixture.run(&format!(
        "create schema app; create table app.orders (id integer, tenant_id uuid, item text, primary key (tenant_id, id));
         insert into app.orders values (1, '{}', 'acme'), (2, '{}', 'globex'); select tenancy.protect('app.orders');
         grant usage on schema app to {}; grant select on app.orders to {2}",
        ACME.id, GLOBEX.id, world.app
    ));
    let dump = cluster.run_tool("pg_dump", &["-Fc", "-n", "app", "-f", &file(&world, "app"), world.fixture.database()]);
    assert_clean("pg_dump", &dump);

    let target = World::new();
    let restore =
        cluster.run_tool("pg_restore", &["--exit-on-error", "-d", target.fixture.database(), &file(&world, "app")]);
    assert_clean("pg_restore", &restore);

    let mut client = target.fixture.connect(&world.app);
    client.refuses("select tenancy.set_tenant('acme', false)", "42501");
    target.fixture.run(&format!("select tenancy.grant_access('{}')", world.app));
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(tx.texts("select item from app.orders"), ["acme"]);
    drop(tx);
    // The extension's records are not in the schema: protecting again makes them, and finds nothing else to do but the index.
    let mut superuser = target.fixture.superuser();
    assert_eq!(
        superuser.value("select count(*) from tenancy.protected_tables where relation::text ~ 'orders'").as_deref(),
        Some("0")
    );
    assert_eq!(superuser.texts("select tenancy.protect('app.orders')"), Vec::<String>::new());
    superuser.refuses("alter table app.orders disable row level security", "42501");
}

/// What is there already stays, and the dump's rows of the extension's own tables that are there already are refused one table
/// at a time: so nothing but data is restored, and of the application's tables alone.
#[test]
fn data_restores_into_a_database_where_the_extension_is_in_use() {
    let world = World::new();
    let cluster = world.fixture.cluster();
    let (schema, data) = (file(&world, "schema"), file(&world, "data"));
    let database = world.fixture.database();
    cluster.run_tool("pg_dump", &["-Fc", "--schema-only", "-f", &schema, database]);
    cluster.run_tool("pg_dump", &["-Fd", "-j", "2", "--data-only", "-n", "public", "-f", &data, database]);
    let target = Fixture::empty(cluster);
    assert_clean(
        "pg_restore",
        &cluster.run_tool("pg_restore", &["--exit-on-error", "-j", "2", "-d", target.database(), &schema]),
    );
    target.register(&[ACME, GLOBEX]);
    target.run(&format!("select tenancy.grant_access('{}')", world.app));
    let restore = cluster.run_tool("pg_restore", &["--exit-on-error", "-j", "2", "-d", target.database(), &data]);
    assert_clean("pg_restore", &restore);
    let mut client = target.connect(&world.app);
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(tx.value("select count(*) from notes_uuid").as_deref(), Some("20"));
    assert_eq!(tx.texts("select distinct split_part(body, ' ', 1) from notes_text"), ["acme"]);
}

/// pg_dump as the application's role, in one tenant's context: the dump has its rows alone, and restores as such.
#[test]
fn a_tenant_is_dumped_with_row_security_as_the_application() {
    let world = World::new();
    let cluster = world.fixture.cluster();
    for tenant in [ACME, GLOBEX] {
        let dump = cluster
            .tool("pg_dump")
            .env("PGOPTIONS", format!("-c tenancy.tenant_id={}", tenant.key))
            .args(["-U", &world.app, "--enable-row-security", "--data-only", "-n", "public", world.fixture.database()])
            .output()
            .unwrap();
        assert_clean("pg_dump", &dump);
        let script = String::from_utf8(dump.stdout).unwrap();
        let other = if tenant == ACME { GLOBEX } else { ACME };
        assert!(script.contains(&format!("{} 1\n", tenant.key)), "{script}");
        assert!(!script.contains(other.key) && !script.contains(other.id), "{script}");

        // Into another database, as the same role with the same context: row security checks every row that comes in.
        let target = World::within(Fixture::on(cluster));
        target.fixture.run(&format!(
            "truncate {0}; grant insert on all tables in schema public to {1}; select tenancy.grant_access('{1}')",
            FAMILIES.map(|family| family.table()).join(", "),
            world.app
        ));
        // COPY FROM is not possible with row security: rows come as INSERT.
        let dump = cluster
            .tool("pg_dump")
            .env("PGOPTIONS", format!("-c tenancy.tenant_id={}", tenant.key))
            .args(["-U", &world.app, "--enable-row-security", "--data-only", "--inserts", "-n", "public"])
            .arg(world.fixture.database())
            .output()
            .unwrap();
        assert_clean("pg_dump", &dump);
        let script = String::from_utf8(dump.stdout).unwrap();
        let restore = format!("set tenancy.tenant_id = '{}';\n{script}", tenant.key);
        assert_clean("psql", &cluster.psql(target.fixture.database(), &world.app, &restore));
        let mut superuser = target.fixture.superuser();
        assert_eq!(superuser.texts("select distinct split_part(body, ' ', 1) from notes_uuid"), [tenant.key]);
        let foreign: String = script
            .lines()
            .filter(|line| line.starts_with("INSERT INTO public.notes_uuid "))
            .map(|line| format!("{}\n", line.replace(tenant.id, other.id)))
            .collect();
        let script = format!("set tenancy.tenant_id = '{}';\n{foreign}", tenant.key);
        let refused = cluster.psql(target.fixture.database(), &world.app, &script);
        assert!(String::from_utf8_lossy(&refused.stderr).contains("row-level security"), "{refused:?}");
    }
    // Without a context there is nothing, and without row security nothing is dumped at all.
    let bare =
        cluster.tool("pg_dump").args(["-U", &world.app, "-a", "-t", "notes_uuid", world.fixture.database()]).output();
    assert!(!bare.unwrap().status.success());
}
