//! Somebody who runs any SQL as a role of mode `signed`, and has a token of his own tenant and an expired one of another.

use serde_json::json;
use tenancy_harness::{GLOBEX, Session, World};

use crate::issuer::{Pair, by_hand, claims, now};
use crate::{READ, Signed, with};

/// What `globex` has, as the attacker tries to see it.
const LOOT: &str = "select count(*) from notes_uuid where body like 'globex%'";

#[test]
fn no_route_gives_him_another_tenant() {
    let signed = Signed::new();
    let fixture = &signed.world.fixture;
    let own = signed.token("acme", "mallory");
    let expired = signed.pair.token(&with(claims("globex", "bob"), json!({"exp": now() - 60})));
    let stranger = Pair { kid: "key-1".into(), ..Pair::new("EdDSA", "") }.token(&claims("globex", "bob"));
    let unsigned = by_hand(&json!({"alg": "none"}), &claims("globex", "bob"), None);
    let public = by_hand(&json!({"alg": "HS256", "kid": "key-1"}), &claims("globex", "bob"), Some(&signed.pair.public));
    // What is there to be abused: a function of a superuser's that does nothing wrong.
    fixture.run(
        "create function helpful() returns bigint language sql security definer as 'select count(*) from notes_uuid where body like ''globex%''';
         alter function helpful() owner to postgres;
         create schema playground; grant all on schema playground to public",
    );
    let (role, app, id) = (&signed.role, &signed.world.app, GLOBEX.id);
    let routes = [
        "set tenancy.tenant_id = 'globex'".to_owned(),
        format!("set tenancy.tenant_id = '{id}'"),
        "set local tenancy.tenant_id = 'globex'".into(),
        "select set_config('tenancy.tenant_id', 'globex', false)".into(),
        "update pg_settings set setting = 'globex' where name = 'tenancy.tenant_id'".into(),
        "select tenancy.set_tenant('globex')".into(),
        format!("select tenancy.set_tenant('{id}'::uuid, false)"),
        format!("alter role {role} set tenancy.default_tenant = 'globex'"),
        "set tenancy.default_tenant = 'globex'".into(),
        "set tenancy.allow_switch = on; select tenancy.set_tenant('globex')".into(),
        format!("set role {app}; select tenancy.set_tenant('globex')"),
        format!("set session authorization {app}"),
        format!("select tenancy.grant_access('{role}')"),
        format!("insert into tenancy.access (role) values ('{role}'::regrole)"),
        "update tenancy.access set mode = 'direct'".into(),
        "insert into tenancy.jwt_keys (kid, algorithm, key) values ('x', 'HS256', repeat('A', 43))".into(),
        "select tenancy.add_jwt_key('x', 'HS256', repeat('k', 32))".into(),
        "select key from tenancy.jwt_keys".into(),
        format!("set tenancy.token = '{expired}'"),
        format!("select tenancy.authenticate('{expired}')"),
        format!("select tenancy.authenticate('{stranger}')"),
        format!("select tenancy.authenticate('{unsigned}')"),
        format!("select tenancy.authenticate('{public}')"),
        format!("set tenancy.token = '{stranger}'"),
        "set request.jwt.claims = '{\"tenant_id\": \"globex\"}'; select set_config('request.jwt.claim.tenant_id', 'globex', true)".into(),
        "create function playground.f() returns bigint language sql set tenancy.tenant_id = 'globex' as 'select count(*) from notes_uuid where body like ''globex%'''; select 1 / playground.f()".into(),
        format!("create function playground.g() returns bigint language sql set tenancy.token = '{stranger}' as 'select 1'"),
        "prepare p as select count(*) from notes_uuid; set tenancy.tenant_id = 'globex'; execute p".into(),
        "do $$ begin perform tenancy.set_tenant('globex'); end $$".into(),
        "savepoint s; rollback to s; reset tenancy.token; set local tenancy.tenant_id = 'globex'".into(),
        "reset tenancy.token; set tenancy.user_id = 'bob'; set tenancy.tenant_id = 'globex'".into(),
        "select 1 / (helpful() > 0)::int".into(),
        "set row_security = off".into(),
    ];
    for route in &routes {
        // In one transaction, and with the transaction ended in between; with a token of his own, and without.
        for begin in ["begin".to_owned(), format!("begin; select tenancy.authenticate('{own}')")] {
            for then in ["", "; commit; begin"] {
                let mut client = signed.connect();
                let _ = client.batch_execute(&begin);
                let _ = client.batch_execute(&format!("{route}{then}"));
                let seen = client.simple_query(LOOT);
                assert!(seen.is_err() || client.value(LOOT).as_deref() == Some("0"), "{begin} {route}{then}");
                let _ = client.batch_execute("rollback");
                let _ = client.batch_execute(route);
                let seen = client.simple_query(LOOT);
                assert!(seen.is_err() || client.value(LOOT).as_deref() == Some("0"), "{route}");
                let gone = client.execute("delete from notes_uuid where body like 'globex%'", &[]);
                assert!(matches!(gone, Err(_) | Ok(0)), "{route}");
            }
        }
    }
    for options in
        ["-c tenancy.tenant_id=globex", &format!("-c tenancy.tenant_id={id}"), &format!("-c tenancy.token={expired}")]
    {
        let mut client = fixture.try_connect(role, options).unwrap();
        client.refuses(READ, if options.contains("token") { "28000" } else { "42501" });
    }
    // The role's own settings count for it no more than what it sets.
    let _ = signed.connect().batch_execute(&format!("alter role {role} set tenancy.tenant_id = 'globex'"));
    let mut client = signed.connect();
    client.refuses(READ, "42501");
    client.refuses(&format!("select tenancy.authenticate('{own}', false)"), "42501");
    client.run(&format!("set tenancy.tenant_id = ''; select tenancy.authenticate('{own}', false)"));
    assert_eq!(client.texts(READ).len(), usize::try_from(World::MINE).unwrap());
    assert_eq!(signed.world.true_rows("notes_uuid").len(), 50);
}
