//! A token is for the server to verify: nothing gives it back.

use std::time::{Duration, Instant};

use tenancy_harness::{Cluster, Config, Fixture, Session, World};

use crate::issuer::Pair;
use crate::{READ, Signed};

#[test]
fn no_way_to_ask_for_settings_gives_the_token_back() {
    let signed = Signed::new();
    let token = signed.token("acme", "alice");
    let options = format!("-c tenancy.token={token}");
    let mut by_connection = signed.world.fixture.try_connect(&signed.role, &options).unwrap();
    let mut by_set = signed.connect();
    by_set.run(&format!("set tenancy.token = '{token}'"));
    for client in [&mut by_connection, &mut by_set] {
        for query in [
            "show tenancy.token",
            "select current_setting('tenancy.token')",
            "select set_config('tenancy.token', current_setting('tenancy.token', true), true) where false",
            "show all",
            "select s::text from pg_settings s",
            "select coalesce(setting, '') || coalesce(reset_val, '') || coalesce(boot_val, '') from pg_settings",
        ] {
            assert!(!client.texts(query).join("").contains("eyJ"), "{query}");
        }
        assert_eq!(client.value("show tenancy.token").as_deref(), Some("********"));
        client.run("reset tenancy.token");
    }
    assert_eq!(by_set.value("show tenancy.token").as_deref(), Some(""));
    let returned = by_set.value(&format!("select set_config('tenancy.token', '{token}', false)"));
    assert_eq!(returned.as_deref(), Some("********"));
}

#[test]
fn a_token_is_kept_in_no_catalog() {
    let signed = Signed::new();
    let token = signed.token("acme", "alice");
    let mut superuser = signed.world.fixture.superuser();
    superuser.run(&format!("set tenancy.token = '{token}'"));
    for statement in [
        format!("alter role {} set tenancy.token = '{token}'", signed.role),
        format!("alter database {} set tenancy.token = '{token}'", signed.world.fixture.database()),
        format!("create function f() returns int language sql set tenancy.token = '{token}' return 1"),
    ] {
        superuser.refuses(&statement, "55P02");
    }
    superuser.refuses("create function f() returns int language sql set tenancy.token from current return 1", "55P02");
    superuser.refuses(&format!("alter role {} set tenancy.token from current", signed.role), "55P02");
    superuser.refuses(&format!("alter system set tenancy.token = '{token}'"), "55P02");
    let mut client = signed.connect();
    client.refuses(&format!("alter role {} set tenancy.token = '{token}'", signed.role), "55P02");
}

/// Whatever is wrong with a token, neither it nor a secret is in the log, not even as the statement that failed.
#[test]
fn the_log_has_neither_tokens_nor_secrets() {
    let cluster = Cluster::start("log", &Config::default());
    let signed = Signed::within(World::within(Fixture::on(&cluster)));
    let token = signed.pair.token_with(&serde_json::json!({"kid": "nobody"}), &crate::issuer::claims("acme", "alice"));
    let mut client = signed.connect();
    client.refuses(&format!("select tenancy.authenticate('{token}', false)"), "28000");
    client.refuses(&format!("select tenancy.authenticate('{token}')"), "25P01");
    client.refuses(&format!("set local tenancy.token = '{token}'"), "25P01");
    client.refuses(&format!("set tenancy.token = '{token}.x'"), "22023");
    client.refuses(&format!("set tenancy.token = '{token}'; {READ}"), "28000");
    client.refuses(&format!("do $$ begin perform tenancy.authenticate('{token}', false); end $$"), "28000");
    client.refuses(&format!("select tenancy.authenticate('{token}'::txt)"), "42704");
    let secret = "a secret that nobody is to read in a log";
    let mut superuser = signed.world.fixture.superuser();
    superuser.refuses(&format!("select tenancy.add_jwt_key('k', 'RS256', '{secret}')"), "22023");
    superuser.refuses(&format!("select tenancy.add_jwt_key('{}', 'HS256', '{secret}')", signed.pair.kid), "42710");
    superuser.refuses(&format!("select tenancy.import_jwks('{{\"keys\": [{{\"kty\": \"{secret}\"}}, 1]}}')"), "22023");
    superuser.refuses(&format!("select tenancy.import_jwks('{{\"keys\": [{{\"k\": \"{secret}\",}}]}}')"), "22P02");
    superuser.refuses(&format!("select tenancy.import_jwks('{{\"keys\": [{{\"k\": {secret}}}]}}')"), "22P02");
    superuser.refuses(
        &format!("insert into tenancy.jwt_keys (kid, algorithm, key, leeway) values ('k', 'HS256', '{secret}', 9999)"),
        "23514",
    );
    superuser.refuses(&format!("select tenancy.seal('{secret}')"), "42501");
    superuser.refuses(&format!("select tenancy.unseal('{secret}')"), "55000");
    superuser.run("set log_parameter_max_length_on_error = -1");
    let add = format!("select tenancy.add_jwt_key('{}', 'HS256', $1)", signed.pair.kid);
    let error = superuser.query(&add, &[&secret]).expect_err("the id is taken");
    assert_eq!(error.code().map(|code| code.code()), Some("42710"));
    superuser.run("reset tenancy.token");
    let error = superuser.query("select tenancy.authenticate($1, false)", &[&token]).expect_err("nobody's key");
    assert_eq!(error.code().map(|code| code.code()), Some("28000"));
    superuser.refuses("select no_such_column", "42703");
    for call in
        [format!("tenancy.authenticate('{token}'::txt)"), format!("tenancy.add_jwt_key('k', 'HS256', '{secret}'::txt)")]
    {
        superuser.refuses(&format!("do $$ begin perform {call}; end $$"), "42704");
    }
    superuser.run(
        "create function by_text(token text) returns void language plpgsql as $$
         begin execute format('select tenancy.authenticate(%L, false, 1)', token); end $$",
    );
    let error = superuser.query("select by_text($1)", &[&token]).expect_err("no such function");
    assert_eq!(error.code().map(|code| code.code()), Some("42883"));
    // A header that begins otherwise than most; and a token that is given to the wrong function.
    let spaced = crate::issuer::signed_text(
        "{ \"alg\": \"EdDSA\", \"kid\": \"x\" }",
        "{\"tenant_id\": \"acme\"}",
        &signature(&token),
    );
    client.run("prepare by_name (text) as select tenancy.authenticate($1, false)");
    client.refuses(&format!("execute by_name ('{spaced}')"), "28000");
    for token in [&token, &spaced] {
        client.refuses(&format!("select tenancy.set_tenant('{token}', false)"), "22023");
        client.refuses(&format!("set tenancy.tenant_id = '{token}'"), "22023");
        superuser.refuses(&format!("select tenancy.suspend_tenant('{token}')"), "22023");
        let error = client.query("select tenancy.set_tenant($1, false)", &[&token]).expect_err("no tenant");
        assert!(!format!("{error:?}").contains(&signature(token)), "{error:?}");
    }
    let log = cluster.log();
    assert!(log.contains("no_such_column") && log.contains("the token is not valid"), "{log}");
    assert!(!log.contains(&signature(&token)), "{log}");
    assert!(!log.contains(secret), "{log}");
}

fn signature(token: &str) -> String {
    token.rsplit('.').next().expect("a signature").to_owned()
}

/// What a session runs can be read by every other one of its login.
#[test]
fn other_sessions_are_not_shown_the_statement_once_the_token_has_been_taken() {
    let signed = Signed::new();
    let token = signed.token("acme", "alice");
    let bad = signed.pair.token_with(&serde_json::json!({"kid": "nobody"}), &crate::issuer::claims("acme", "alice"));
    let mut client = signed.connect();
    let pid: i32 = client.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    let shown = |session: &mut tenancy_harness::postgres::Client| {
        session.value(&format!("select query from pg_stat_activity where pid = {pid}")).unwrap_or_default()
    };
    let mut other = signed.connect();
    for statement in [
        format!("select tenancy.authenticate('{token}', false)"),
        format!("set tenancy.token = '{token}'"),
        format!("select set_config('tenancy.token', '{token}', false)"),
        format!("do $$ begin perform tenancy.authenticate('{token}', false); end $$"),
        format!("select 1; set tenancy.token = '{bad}'"),
        format!("select tenancy.authenticate('{bad}', false)"),
    ] {
        let _ = client.batch_execute(&statement);
        assert_eq!(shown(&mut other), "<a statement with a token or a secret>", "{statement}");
    }
    // As a parameter it isn't in the statement, which stays.
    client.query("select tenancy.authenticate($1, false)", &[&token]).unwrap();
    assert_eq!(shown(&mut other), "select tenancy.authenticate($1, false)");
    client.run("select 'no token'");
    assert_eq!(shown(&mut other), "select 'no token'");

    for statement in
        ["select tenancy.seal('a secret that is long enough')", "select tenancy.unseal('a wrong secret, no doubt')"]
    {
        let _ = client.batch_execute(statement);
        assert_eq!(shown(&mut other), "<a statement with a token or a secret>", "{statement}");
    }
    client.run("select tenancy.unseal('a secret that is long enough')");

    // While it runs, too.
    let statement = format!("set tenancy.token = '{token}'; select pg_sleep(60)");
    let cancel = client.cancel_token();
    let running = std::thread::spawn(move || client.batch_execute(&statement));
    let deadline = Instant::now() + Duration::from_secs(30);
    while other.value(&format!("select wait_event from pg_stat_activity where pid = {pid}")).as_deref()
        != Some("PgSleep")
    {
        assert!(Instant::now() < deadline, "it does not sleep");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(shown(&mut other), "<a statement with a token or a secret>");
    cancel.cancel_query(tenancy_harness::postgres::NoTls).unwrap();
    assert!(running.join().unwrap().is_err());

    let mut superuser = signed.world.fixture.superuser();
    let pid: i32 = superuser.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    let mut watcher = signed.world.fixture.superuser();
    let secret = Pair::new("HS256", "secret");
    for statement in [secret.add(""), "select tenancy.import_jwks('{\"keys\": []}')".into()] {
        superuser.run(&statement);
        let shown = watcher.value(&format!("select query from pg_stat_activity where pid = {pid}"));
        assert_eq!(shown.as_deref(), Some("<a statement with a token or a secret>"), "{statement}");
    }
}

/// The calls are kept there with their literals taken out. (A literal in SET is kept before PostgreSQL 18, whoever sets what.)
#[test]
fn statistics_of_statements_have_neither_tokens_nor_secrets() {
    let config = Config::default().set("shared_preload_libraries", "pg_stat_statements, pg_tenancy");
    let cluster = Cluster::start("statements", &config);
    let signed = Signed::within(World::within(Fixture::on(&cluster)));
    let token = signed.token("acme", "alice");
    let secret = Pair::new("HS256", "secret");
    signed.world.fixture.run(&format!("create extension pg_stat_statements; {}", secret.add("")));
    let mut client = signed.connect();
    client.run(&format!("select tenancy.authenticate('{token}', false)"));
    client.run(&format!("select set_config('tenancy.token', '{token}', false)"));
    client.query("select set_config('tenancy.token', $1, false)", &[&token]).unwrap();
    let mut superuser = signed.world.fixture.superuser();
    if cluster.version() >= 180_000 {
        client.run(&format!("set tenancy.token = '{token}'"));
    }
    let kept = superuser.texts("select query from pg_stat_statements").join("\n");
    for call in ["tenancy.authenticate($1, $2)", "tenancy.add_jwt_key($1, $2, $3 )"] {
        assert!(kept.contains(call), "{call}: {kept}");
    }
    assert!(!kept.contains(token.rsplit('.').next().unwrap()), "{kept}");
    assert!(!kept.contains(&secret.private), "{kept}");
}

/// A superuser's dump of everything has the registry, and no key.
#[test]
fn a_dump_has_neither_keys_nor_tokens() {
    let signed = Signed::new();
    let fixture = &signed.world.fixture;
    let secret = Pair::new("HS256", "secret");
    signed.add(&secret, "");
    fixture.connect(&signed.role).run(&format!("set tenancy.token = '{}'", signed.token("acme", "alice")));
    let mut superuser = fixture.superuser();
    let stored = superuser.texts("select key from tenancy.jwt_keys");
    assert_eq!(stored.len(), 2);
    let dump = |arguments: &[&str]| {
        let output = fixture.cluster().run_tool("pg_dump", &[arguments, &[fixture.database()]].concat());
        String::from_utf8(output.stdout).expect("text")
    };
    let everything = dump(&[]);
    assert!(everything.contains("globex") && everything.contains(&signed.role), "the dump has the registry");
    for script in [everything, dump(&["--table=tenancy.jwt_keys"]), dump(&["--schema=tenancy", "--data-only"])] {
        assert!(!script.contains("eyJ") && !script.contains(&secret.private));
        assert!(stored.iter().all(|key| !script.contains(key)), "{script}");
    }
}
