//! ALTER EXTENSION UPDATE: from every version there is a way from. See `tests/upgrade/README.md`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tenancy_harness::{ACME, Cluster, Config, FAMILIES, Fixture, GLOBEX, Session, World};

const SCHEMA: &str = include_str!("../../../tests/upgrade/schema.sql");

/// Scripts that are beside the extension's own until this is dropped.
struct Scripts(Vec<PathBuf>);

impl Scripts {
    fn installed() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let pg_config = root.join(std::env::var_os("PG_TENANCY_PG_CONFIG").expect("the harness wants it as well"));
        let output = Command::new(pg_config).arg("--sharedir").output().expect("pg_config runs");
        let to = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()).join("extension");
        let mut copies = Self(Vec::new());
        for entry in fs::read_dir(root.join("tests/upgrade")).expect("tests/upgrade") {
            let from = entry.unwrap().path();
            let name = from.file_name().unwrap().to_str().unwrap().to_owned();
            if name.starts_with("pg_tenancy--") && !to.join(&name).exists() {
                copies.0.push(to.join(&name));
                fs::copy(&from, to.join(&name)).expect("the extension's directory can be written to");
            }
        }
        copies
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        for copy in &self.0 {
            let _ = fs::remove_file(copy);
        }
    }
}

/// Versions that lead to the present one.
fn earlier(client: &mut impl Session) -> Vec<String> {
    client.texts(
        "select p.source from pg_extension_update_paths('pg_tenancy') p
         where p.path is not null and p.target = (select default_version from pg_available_extensions where name = 'pg_tenancy')
         order by 1",
    )
}

/// What is in the extension's tables, but for what says when.
fn data(client: &mut impl Session) -> Vec<String> {
    client.texts(
        "select t::text from tenancy.tenants t union all select p::text from tenancy.protection p
         union all select a::text from tenancy.access a union all select m::text from tenancy.members m
         union all select format('%s %s %s', replace(schema::text, chr(34), ''), on_new, tenant_column) from tenancy.managed_schema
         union all select q::text from tenancy.quota_usage q union all select l::text from tenancy.audit_log l
         union all select e::text from tenancy.event_log e where event !~ '^bypass'
         union all select n::text from tenancy.numbers n
         union all select s::text from tenancy.default_settings s union all select h::text from tenancy.hosts h
         union all select n::text from notes_uuid n order by 1",
    )
}

#[test]
fn every_version_updates_to_what_a_fresh_one_is_and_loses_nothing() {
    let _scripts = Scripts::installed();
    let cluster = Cluster::start("update", &Config::default());
    let fresh = Fixture::on(&cluster);
    let expected = fresh.superuser().texts(SCHEMA);
    assert!(expected.len() > 500, "{} lines", expected.len());
    let versions = earlier(&mut fresh.superuser());
    assert!(!versions.is_empty(), "there is no version to update from");
    for version in versions {
        let old = Fixture::empty(&cluster);
        // What is set up here is not what is asked about: the guard may refuse DDL in an old schema.
        old.run(&format!(
            "create extension pg_tenancy version '{version}'; alter database {} set tenancy.guard_ddl = off",
            old.database()
        ));
        let mut superuser = old.superuser();
        assert_ne!(superuser.texts(SCHEMA), expected, "{version} differs");

        // The library of today, the schema of then. The application goes on.
        let world = World::within(old);
        let mut app = world.connect();
        world.fixture.run(
            "select tenancy.create_resource('notes', 'rows'), tenancy.attach_quota('notes_uuid', 'notes'),
                    tenancy.set_quota('acme', 'notes', 50), tenancy.audit('notes_uuid'), tenancy.add_member('acme', 'alice', 'owner'),
                    tenancy.set_setting('seats', '5'), tenancy.add_host('acme.example', 'acme'), tenancy.set_number('acme', 'x', 3)",
        );
        world.fixture.run(&format!("alter database {} reset tenancy.guard_ddl", world.fixture.database()));
        superuser = world.fixture.superuser();
        let mut tx = World::begin(&mut app, ACME);
        tx.run("insert into notes_uuid (id, body) values (500, 'acme 500')");
        assert_eq!(tx.texts("select distinct split_part(body, ' ', 1) from notes_uuid"), ["acme"]);
        tx.commit().unwrap();
        if version == "0.0.1" {
            refuses_what_it_cannot_do(&world);
        } else {
            world.fixture.run("create schema \"Odd one\"; select tenancy.manage_schema('Odd one')");
        }

        let before = data(&mut superuser);
        superuser.run("alter extension pg_tenancy update");
        assert_eq!(superuser.texts(SCHEMA), expected, "from {version}");
        assert_eq!(data(&mut superuser), before, "from {version}");

        // In sessions that were there, and as before.
        for family in FAMILIES.iter().take(3) {
            let mut tx = World::begin(&mut app, family.mine);
            let bodies = tx.texts(&format!("select distinct split_part(body, ' ', 1) from {}", family.table()));
            assert_eq!(bodies, [family.mine.key]);
        }
        app.refuses(&format!("insert into notes_uuid values (1, '{}', 'x')", GLOBEX.id), "42501");
        superuser.refuses("alter table notes_uuid disable row level security", "42501");
        superuser.run("alter schema \"Odd one\" rename to \"New one\"; create table \"New one\".t (tenant_id uuid)");
        assert!(superuser.texts("select tenancy.protect('\"New one\".t', dry_run => true)").is_empty());
        assert!(!superuser.texts("select tenancy.publication_sql('acme')").is_empty());
        superuser.refuses("drop extension pg_tenancy", "2BP01");
    }
}

/// The guard asks tables that were others then, so it refuses what it can't judge, and says what helps.
fn refuses_what_it_cannot_do(world: &World<'_>) {
    let mut superuser = world.fixture.superuser();
    superuser.run("set tenancy.guard_ddl = off; create schema \"Odd one\"; reset tenancy.guard_ddl");
    superuser.run("insert into tenancy.managed_schema (schema, on_new) values ('\"Odd one\"', 'protect')");
    for statement in [
        "alter table notes_uuid disable row level security",
        "create table t (id integer)",
        "select tenancy.manage_schema('public')",
    ] {
        let error = superuser.refuses(statement, "55000");
        assert!(error.hint().is_some_and(|hint| hint.contains("ALTER EXTENSION pg_tenancy UPDATE")), "{error:?}");
    }
    let found = superuser.texts("select fix from tenancy.doctor() where code = 'EXTENSION_NOT_UPDATED'");
    assert_eq!(found, ["ALTER EXTENSION pg_tenancy UPDATE"]);
}

/// As on a standby that has replayed an update and runs the library from before: tables may be others than it knows.
#[test]
fn a_library_older_than_the_schema_acts_for_nobody() {
    let world = World::new();
    let mut superuser = world.fixture.superuser();
    let pretend = |version: &str| {
        world.fixture.run(&format!("update pg_extension set extversion = {version} where extname = 'pg_tenancy'"));
    };
    let library = "(select default_version from pg_available_extensions where name = 'pg_tenancy')";
    pretend("'99.0.0'");
    let mut app = world.connect();
    for statement in
        ["select tenancy.set_tenant('acme', false)", "begin; set local tenancy.tenant_id = 'acme'; table notes_uuid"]
    {
        let error = app.refuses(statement, "55000");
        assert!(error.message().contains("99.0.0"), "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("Install the package")), "{error:?}");
        app.run("rollback");
    }
    assert_eq!(app.texts("select body from notes_uuid"), Vec::<String>::new());
    let error = superuser.refuses("alter table notes_uuid disable row level security", "55000");
    assert!(error.hint().is_some_and(|hint| hint.contains("Install the package")), "{error:?}");
    let found = "select concat_ws(' ', code, fix, detail) from tenancy.doctor() where object = 'pg_tenancy'";
    let found = superuser.texts(found);
    assert!(
        found.len() == 1 && found[0].starts_with("LIBRARY_OUTDATED The extension is of version 99.0.0"),
        "{found:?}"
    );
    let health = "select detail from tenancy.health() where \"check\" = 'library' and not ok";
    let detail = superuser.value(health).unwrap();
    assert!(detail.contains("install the package") && !detail.contains("ALTER EXTENSION"), "{detail}");

    // The third number changes no table.
    pretend(&format!("regexp_replace({library}, '\\d+$', '999')"));
    let mut app = world.connect();
    let mut tx = World::begin(&mut app, ACME);
    assert_eq!(tx.texts("select distinct split_part(body, ' ', 1) from notes_uuid"), ["acme"]);
    drop(tx);
    superuser.refuses("alter table notes_uuid disable row level security", "42501");
}
