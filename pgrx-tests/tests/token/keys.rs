//! Keys: who may see and change them, and how a change reaches sessions that are at work.

use serde_json::json;
use tenancy_harness::Session;

use crate::issuer::{Pair, claims, now};
use crate::{READ, Signed, visible, with};

#[test]
fn a_removed_key_stops_open_sessions_at_their_next_statement() {
    let signed = Signed::new();
    let token = signed.token("acme", "alice");
    let mut idle = signed.connect();
    idle.run(&format!("set tenancy.token = '{token}'"));
    assert_eq!(visible(&mut idle), ["acme"]);
    let mut busy = signed.connect();
    busy.run(&format!("begin isolation level repeatable read; select tenancy.authenticate('{token}')"));
    assert_eq!(visible(&mut busy), ["acme"]);
    let mut cursor = signed.connect();
    cursor.run(&format!("begin; select tenancy.authenticate('{token}'); declare c cursor for {READ}; fetch 1 from c"));

    signed.world.fixture.run("select tenancy.remove_jwt_key('key-1')");

    idle.refuses(READ, "28000");
    busy.refuses(READ, "28000");
    cursor.refuses("fetch 1 from c", "28000");
}

#[test]
fn a_key_that_is_retired_stops_what_is_under_way() {
    let signed = Signed::new();
    let token = signed.token("acme", "alice");
    let begin = |change: &str| {
        let mut client = signed.connect();
        client.run(&format!(
            "begin; select tenancy.authenticate('{token}'); declare c cursor for {READ}; fetch 1 from c"
        ));
        signed.world.fixture.run(&format!("update tenancy.jwt_keys set {change}"));
        client
    };
    // An end that is yet to come stops nothing, also when it comes in the middle of a transaction.
    let mut client = begin("not_after = now() + interval '1 second'");
    assert_eq!(visible(&mut client), ["acme"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    signed.world.fixture.run("select tenancy.create_tenant('newcomer')");
    assert_eq!(visible(&mut client), ["acme"]);
    signed.world.fixture.run("update tenancy.jwt_keys set not_after = null");
    assert_eq!(visible(&mut client), ["acme"]);
    begin("not_after = now() - interval '1 hour'").refuses(READ, "28000");
    signed.world.fixture.run("update tenancy.jwt_keys set not_after = null");
    begin("not_after = now() - interval '1 hour'").refuses("fetch 1 from c", "28000");
    signed.world.fixture.run("update tenancy.jwt_keys set not_after = null");
    begin("not_before = now() + interval '1 hour'").refuses(READ, "28000");
}

#[test]
fn keys_are_rotated_without_a_gap() {
    let signed = Signed::new();
    let (old, next) = (signed.token("acme", "alice"), Pair::new("ES256", "key-2"));
    let mut client = signed.connect();
    client.run(&format!("set tenancy.token = '{old}'"));
    assert_eq!(visible(&mut client), ["acme"]);
    signed.add(&next, "");
    assert_eq!(visible(&mut client), ["acme"]);
    client.run(&format!("set tenancy.token = '{}'", next.token(&claims("acme", "alice"))));
    signed.world.fixture.run("select tenancy.remove_jwt_key('key-1')");
    assert_eq!(visible(&mut client), ["acme"]);
    client.run(&format!("set tenancy.token = '{old}'"));
    client.refuses(READ, "28000");

    // Another key under the same id takes nothing over.
    signed.world.fixture.run("delete from tenancy.jwt_keys");
    signed.add(&Pair { kid: "key-2".into(), ..Pair::new("ES256", "") }, "");
    client.run(&format!("set tenancy.token = '{}'", next.token(&claims("acme", "alice"))));
    client.refuses(READ, "28000");
}

#[test]
fn a_changed_row_counts_at_once_also_by_plain_dml() {
    let signed = Signed::new();
    let mut client = signed.connect();
    client.run(&format!("set tenancy.token = '{}'", signed.token("acme", "alice")));
    assert_eq!(visible(&mut client), ["acme"]);
    for (change, back) in [
        ("audience = 'db'", "audience = null"),
        ("not_after = now()", "not_after = 'infinity'"),
        ("not_before = now() + interval '1 hour'", "not_before = '-infinity'"),
        ("tenant_claim = 'org'", "tenant_claim = 'tenant_id'"),
        ("algorithm = 'HS256'", "algorithm = 'EdDSA'"),
    ] {
        signed.world.fixture.run(&format!("update tenancy.jwt_keys set {change}"));
        client.refuses(READ, "28000");
        signed.world.fixture.run(&format!("update tenancy.jwt_keys set {back}"));
        assert_eq!(visible(&mut client), ["acme"], "{back}");
    }
    signed.world.fixture.run("update tenancy.jwt_keys set key = 'garbage'");
    client.refuses(READ, "28000");
    signed.world.fixture.run("truncate tenancy.jwt_keys");
    client.refuses(READ, "28000");
}

#[test]
fn a_rolled_back_key_proves_nothing() {
    let signed = Signed::new();
    let next = Pair::new("HS256", "next");
    let mut superuser = signed.world.fixture.superuser();
    let token = next.token(&claims("acme", "alice"));
    superuser.run(&format!("begin; {}; select tenancy.authenticate('{token}')", next.add("")));
    superuser.run("rollback");
    superuser.refuses(&format!("select tenancy.authenticate('{token}', false)"), "28000");
}

#[test]
fn time_is_asked_for_in_every_transaction_and_holds_for_it() {
    let signed = Signed::new();
    let mut client = signed.connect();
    client.run(&format!("set tenancy.token = '{}'", signed.brief_token("acme", 2)));
    assert_eq!(visible(&mut client), ["acme"]);
    client.run("begin");
    assert_eq!(visible(&mut client), ["acme"]);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(visible(&mut client), ["acme"]);
    // What others change does not cut it short.
    signed.world.fixture.run("select tenancy.create_tenant('newcomer')");
    assert_eq!(visible(&mut client), ["acme"]);
    client.run("commit");
    client.refuses(READ, "28000");
    client.refuses(&format!("select tenancy.authenticate('{}', false)", signed.brief_token("acme", 0)), "28000");
}

#[test]
fn an_old_transaction_does_not_make_a_token_young() {
    let signed = Signed::new();
    let mut client = signed.connect();
    let token = signed.brief_token("acme", 1);
    client.run("begin");
    std::thread::sleep(std::time::Duration::from_secs(2));
    client.refuses(&format!("select tenancy.authenticate('{token}')"), "28000");
}

#[test]
fn leeway_forgives_clocks_that_differ() {
    let signed = Signed::new();
    let lenient = Pair::new("HS256", "lenient");
    signed.add(&lenient, ", leeway => '1 minute'");
    let mut client = signed.connect();
    let good = claims("acme", "alice");
    for (times, holds) in [
        (json!({"exp": now() - 30}), true),
        (json!({"exp": now() - 90}), false),
        (json!({"nbf": now() + 30}), true),
        (json!({"nbf": now() + 90}), false),
    ] {
        let token = lenient.token(&with(good.clone(), times.clone()));
        let outcome = client.query("select tenancy.authenticate($1, false)", &[&token]);
        assert_eq!(outcome.is_ok(), holds, "{times}");
    }
}

#[test]
fn keys_are_read_by_their_owner_alone_and_changed_by_administrators() {
    let signed = Signed::new();
    let fixture = &signed.world.fixture;
    let (reader, admin) = (fixture.role("reader"), fixture.role("admin"));
    let secret = Pair::new("HS256", "secret");
    fixture.run(&format!(
        "grant pg_read_all_data, pg_monitor to {reader}; select tenancy.grant_admin('{admin}'); {}",
        secret.add("")
    ));
    assert_eq!(fixture.connect(&reader).texts("select key from tenancy.jwt_keys").len(), 0);
    for role in [&signed.role, &signed.world.app, &admin] {
        fixture.connect(role).refuses("select from tenancy.jwt_keys", "42501");
        fixture.connect(role).refuses("delete from tenancy.jwt_keys", "42501");
    }
    for role in [&signed.role, &reader] {
        let mut client = fixture.connect(role);
        client.refuses(&Pair::new("HS256", "mine").add(""), "42501");
        client.refuses("select tenancy.remove_jwt_key('secret')", "42501");
        client.refuses("select tenancy.import_jwks('{\"keys\": []}')", "42501");
    }
    let mut client = fixture.connect(&admin);
    client.run(&Pair::new("HS256", "theirs").add(""));
    client.run("select tenancy.remove_jwt_key('theirs')");

    let mut superuser = fixture.superuser();
    let events = superuser.texts(
        "select concat_ws(' ', event, object, role_name, detail) from tenancy.event_log where event ~ '^jwt_key' order by id",
    );
    assert_eq!(events.len(), 4, "{events:?}");
    assert!(events[2].starts_with("jwt_key.added theirs admin"), "{events:?}");
    let everything = superuser.value("select string_agg(e::text, '') from tenancy.event_log e").unwrap();
    assert!(!everything.contains(&secret.private));
}
