//! A strict role's sessions have the library from their start, on a server that does not preload it.

use tenancy_harness::{Cluster, Config, Fixture, Session};

use crate::{Hardened, dry_run, harden};

fn on<'c>(cluster: &'c Cluster, profile: &str) -> Hardened<'c> {
    Hardened::within(Fixture::on(cluster), profile)
}

#[test]
fn a_session_that_never_calls_the_extension_is_watched() {
    let hardened = Hardened::within(Fixture::without_preload(), "standard");
    hardened.world.connect().run("explain select 1; set work_mem = '1MB'");
    let ddl = hardened.harden("strict");
    assert_eq!(
        ddl,
        [
            format!("ALTER ROLE {} SET session_preload_libraries = 'pg_tenancy';", hardened.app()),
            format!("ALTER ROLE {} SET tenancy.profile = 'strict';", hardened.app()),
        ]
    );
    for statement in
        ["explain select 1", "set work_mem = '1MB'", "listen a", "select set_config('work_mem', '1MB', true)"]
    {
        hardened.world.connect().refuses(statement, "42501");
    }
    assert!(hardened.harden("strict").is_empty());
    // Without the extension, too.
    Fixture::empty(hardened.fixture().cluster()).connect(hardened.app()).refuses("explain select 1", "42501");
    // Others are spared the library.
    hardened.fixture().connect(&hardened.ops).run("explain select 1");
}

#[test]
fn the_role_does_not_keep_the_library_out() {
    let hardened = Hardened::within(Fixture::without_preload(), "strict");
    let app = hardened.app();
    assert!(hardened.fixture().try_connect(app, "-c session_preload_libraries=").is_err());
    let mut client = hardened.world.connect();
    client.refuses(&format!("alter role {app} set session_preload_libraries = ''"), "42501");
    client.refuses(&format!("alter role {app} reset all"), "42501");
}

#[test]
fn members_of_a_strict_group_have_it_too() {
    let fixture = Fixture::without_preload();
    let (group, member, late) = (fixture.role("group"), fixture.role("member"), fixture.role("late"));
    fixture.run(&format!("alter role {group} nologin; grant {group} to {member}"));
    harden(&fixture, &group, "strict");
    fixture.connect(&member).refuses("explain select 1", "42501");
    // Who comes later is found when it is run again.
    fixture.run(&format!("grant {group} to {late}"));
    assert_eq!(
        harden(&fixture, &group, "strict"),
        [format!("ALTER ROLE {late} SET session_preload_libraries = 'pg_tenancy';")]
    );
    fixture.connect(&late).refuses("explain select 1", "42501");
}

#[test]
fn libraries_that_were_there_stay() {
    let cluster =
        Cluster::start("libraries", &Config::without_preload().set("session_preload_libraries", "auto_explain"));
    let hardened = on(&cluster, "standard");
    let (app, fixture) = (hardened.app(), hardened.fixture());
    let other = Fixture::empty(&cluster);
    let loaded = |fixture: &Fixture<'_>| {
        let mut client = fixture.superuser();
        // As the role's sessions have it: its settings are not those of SET SESSION AUTHORIZATION.
        let of = |role: &str, database: &str| {
            format!(
                "(select substr(setting, strpos(setting, '=') + 1) from pg_db_role_setting, unnest(setconfig) as setting
                  where setrole = '{role}'::regrole and setting like 'session_preload%'
                  and setdatabase = coalesce((select oid from pg_database where datname = '{database}'), 0))"
            )
        };
        client.value(&format!("select coalesce({}, {})", of(app, fixture.database()), of(app, ""))).unwrap()
    };

    fixture.run(&format!("alter database {} set session_preload_libraries = 'passwordcheck'", other.database()));
    hardened.harden("strict");
    assert_eq!(loaded(fixture), "auto_explain, pg_tenancy");
    assert_eq!(loaded(&other), "passwordcheck, pg_tenancy");
    for fixture in [fixture, &other] {
        fixture.connect(app).refuses("explain select 1", "42501");
    }

    // A setting of the role for one database hides the one for all.
    let db = fixture.database();
    fixture.run(&format!("alter role {app} in database {db} set session_preload_libraries = 'auto_explain'"));
    fixture.connect(app).run("explain select 1");
    assert_eq!(
        dry_run(fixture, app, "strict"),
        [format!("ALTER ROLE {app} IN DATABASE {db} SET session_preload_libraries = 'auto_explain', 'pg_tenancy';")]
    );
    hardened.harden("strict");
    fixture.connect(app).refuses("explain select 1", "42501");
    assert!(hardened.harden("strict").is_empty());
}

#[test]
fn nothing_is_set_where_the_server_preloads_it() {
    let hardened = Hardened::new("strict");
    let query = format!(
        "select count(*) from pg_db_role_setting where setrole = '{}'::regrole
                         and array_to_string(setconfig, ',') like '%session_preload%'",
        hardened.app()
    );
    assert_eq!(hardened.fixture().superuser().value(&query).unwrap(), "0");
}
