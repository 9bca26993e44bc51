//! Mode `claims`: PostgREST has verified the token, and says in `request.jwt.claims` what was in it.

use serde_json::{Value, json};
use tenancy_harness::{Session, World};

use crate::{READ, Signed, visible};

/// A login role as PostgREST has, and the role that it takes for a request.
fn web(world: &World<'_>) -> (String, String) {
    let (authenticator, web) = (world.fixture.role("authenticator"), world.fixture.name("web"));
    world.fixture.run(&format!(
        "create role {web}; grant {web} to {authenticator}; alter role {authenticator} noinherit;
         grant select, insert, update, delete on all tables in schema public to {web};
         select tenancy.grant_access('{web}', mode => 'claims')"
    ));
    (authenticator, web)
}

/// How PostgREST begins a request.
fn begin(web: &str, claims: &Value) -> String {
    format!("begin; select set_config('role', '{web}', true), set_config('request.jwt.claims', '{claims}', true)")
}

#[test]
fn a_request_acts_for_the_tenant_and_the_user_of_its_claims() {
    let world = World::new();
    let (authenticator, web) = web(&world);
    world.fixture.run("select tenancy.audit('notes_uuid')");
    let mut client = world.fixture.connect(&authenticator);
    for tenant in ["acme", "globex", "acme"] {
        client.run(&begin(
            &web,
            &json!({"role": web, "tenant_id": tenant, "sub": format!("{tenant}'s user").replace('\'', "")}),
        ));
        assert_eq!(visible(&mut client), [tenant]);
        client.run(
            "set local tenancy.user_id = 'mallory'; update notes_uuid set body = body || '.' where id = 1; commit",
        );
    }
    let users = "select user_id from tenancy.audit_log order by id";
    assert_eq!(world.fixture.superuser().texts(users), ["acmes user", "globexs user", "acmes user"]);
}

#[test]
fn claims_that_name_no_tenant_are_no_context_and_unknown_ones_are_refused() {
    let world = World::new();
    let (authenticator, web) = web(&world);
    let mut client = world.fixture.connect(&authenticator);
    for claims in [json!({}), json!([]), json!({"tenant_id": null}), json!({"tenant_id": ""}), json!({"tenant_id": {}})]
    {
        client.run(&begin(&web, &claims));
        assert_eq!(client.texts(READ).len(), 0, "{claims}");
        client.run("rollback");
    }
    client.run(&format!("begin; set local role {web}; set local request.jwt.claims = 'no JSON'"));
    assert_eq!(client.texts(READ).len(), 0);
    client.run("rollback");
    for claims in [json!({"tenant_id": "nobody"}), json!({"tenant_id": " acme"})] {
        client.run(&begin(&web, &claims));
        assert!(client.simple_query(READ).is_err(), "{claims}");
        client.run("rollback");
    }
}

#[test]
fn a_request_has_one_tenant() {
    let world = World::new();
    let (authenticator, web) = web(&world);
    let mut client = world.fixture.connect(&authenticator);
    client.run(&begin(&web, &json!({"tenant_id": "acme"})));
    assert_eq!(visible(&mut client), ["acme"]);
    // What is said later does not count: the tenant stays.
    client.run("select set_config('request.jwt.claims', '{\"tenant_id\": \"globex\"}', true)");
    assert!(client.simple_query(READ).is_err() || visible(&mut client) == ["acme"]);
    client.run("rollback");
    client.run(&begin(&web, &json!({"tenant_id": "acme"})));
    client.refuses("select tenancy.set_tenant('acme')", "42501");
    client.run("rollback");
    client.run(&begin(&web, &json!({"tenant_id": "acme"})));
    client.run("set local tenancy.tenant_id = 'acme'");
    client.refuses(READ, "42501");
}

#[test]
fn claims_count_for_roles_of_their_mode_alone() {
    let signed = Signed::new();
    let world = &signed.world;
    let claims = "set request.jwt.claims = '{\"tenant_id\": \"acme\", \"sub\": \"alice\"}'";
    for role in [&signed.role, &world.app] {
        let mut client = world.fixture.connect(role);
        client.run(claims);
        assert_eq!(client.texts(READ).len(), 0, "{role}");
    }
    let mut app = world.connect();
    app.run(&format!("{claims}; set tenancy.tenant_id = 'globex'"));
    assert_eq!(visible(&mut app), ["globex"]);

    // For one tenant; and a tenant that asks for a token is not reached by claims.
    world.fixture.run(&format!("select tenancy.grant_access('{}', 'acme', mode => 'claims')", world.app));
    let mut client = world.connect();
    client.run(claims);
    assert_eq!(visible(&mut client), ["acme"]);
    client.run("reset request.jwt.claims");
    client.run("set request.jwt.claims = '{\"tenant_id\": \"globex\"}'");
    assert_eq!(client.texts(READ).len(), 0);
    world.fixture.run(&format!(
        "select tenancy.grant_access('{app}', mode => 'claims'), tenancy.grant_access('{app}', 'acme', mode => 'signed')",
        app = world.app
    ));
    client.run(claims);
    client.refuses(READ, "42501");
    client.run(&format!("set tenancy.token = '{}'", signed.token("acme", "alice")));
    assert_eq!(visible(&mut client), ["acme"]);
}
