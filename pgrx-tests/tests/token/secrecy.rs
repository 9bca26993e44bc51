//! A token is for the server to verify: nothing gives it back.

use tenancy_harness::{Cluster, Config, Fixture, Session, World};

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
    superuser.refuses("select no_such_column", "42703");
    let log = cluster.log();
    assert!(log.contains("no_such_column") && log.contains("the token is not valid"), "{log}");
    let signature = token.rsplit('.').next().unwrap();
    assert!(!log.contains(signature), "{log}");
    assert!(!log.contains(secret), "{log}");
}
