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
    client.run("select set_config('request.jwt.claims', '{\"tenant_id\": \"globex\"}', true)");
    client.refuses(READ, "42501");
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

/// Leader and workers of a parallel plan read the same, whatever the transaction has looked at before.
#[test]
fn claims_that_change_count_from_the_next_statement_on_in_workers_too() {
    let world = World::new();
    let (authenticator, web) = web(&world);
    let parallel = "set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
         set max_parallel_workers_per_gather = 2; set enable_indexscan = off; set enable_indexonlyscan = off;
         set enable_bitmapscan = off";
    world.fixture.run(
        "insert into notes_uuid (id, tenant_id, body)
         select g, t.id, t.key || ' ' || g from generate_series(1001, 20000) g, tenancy.tenants t where key in ('acme', 'globex');
         analyze notes_uuid",
    );
    let count = "select count(*) from notes_uuid where length(body) > 1";
    let mine = (19_000 + World::MINE).to_string();
    for is_parallel in [true, false] {
        let mut client = world.fixture.connect(&authenticator);
        if is_parallel {
            client.run(parallel);
        }
        // None at first.
        client.run(&begin(&web, &json!({})));
        if is_parallel {
            let plan =
                client.texts(&format!("explain (analyze, costs off, timing off, summary off) {count}")).join("\n");
            assert!(plan.contains("Workers Launched: ") && !plan.contains("Workers Launched: 0"), "{plan}");
        }
        assert_eq!(client.value(count).as_deref(), Some("0"), "{is_parallel}");
        client.run("select set_config('request.jwt.claims', '{\"tenant_id\": \"acme\"}', true)");
        assert_eq!(client.value(count), Some(mine.clone()), "{is_parallel}");
        // Then none again, and the same again.
        client.run("select set_config('request.jwt.claims', '', true)");
        assert_eq!(client.value(count).as_deref(), Some("0"), "{is_parallel}");
        client.run("select set_config('request.jwt.claims', '{\"tenant_id\": \"acme\"}', true)");
        assert_eq!(client.value(count), Some(mine.clone()), "{is_parallel}");
        client.run("select set_config('request.jwt.claims', '{\"tenant_id\": \"globex\"}', true)");
        client.refuses(count, "42501");
        client.run("rollback");
    }
    // The leader may leave all to its workers, and look at nothing itself.
    let mut client = world.fixture.connect(&authenticator);
    client.run(&format!("{parallel}; set parallel_leader_participation = off"));
    for first in [json!({}), json!({"tenant_id": "acme"})] {
        client.run(&begin(&web, &first));
        let mine = if first == json!({}) { "0".to_owned() } else { mine.clone() };
        assert_eq!(client.value(count), Some(mine), "{first}");
        client.run("select set_config('request.jwt.claims', '{\"tenant_id\": \"acme\"}', true)");
        assert_eq!(client.value(count), Some((19_000 + World::MINE).to_string()), "{first}");
        client.run("select set_config('request.jwt.claims', '{\"tenant_id\": \"globex\"}', true)");
        client.refuses(count, "42501");
        client.run("rollback");
    }
}

#[test]
fn the_user_of_the_claims_is_the_same_for_all_who_ask() {
    let world = World::new();
    let (authenticator, web) = web(&world);
    world.fixture.run(
        "select tenancy.audit('notes_uuid'), tenancy.add_member('acme', 'alice', 'owner'), tenancy.add_member('acme', 'bob', 'viewer')",
    );
    let mut client = world.fixture.connect(&authenticator);
    let become_user = |user: &str| {
        format!("select set_config('request.jwt.claims', '{{\"tenant_id\": \"acme\", \"sub\": \"{user}\"}}', true)")
    };
    client.run(&begin(&web, &json!({"tenant_id": "acme", "sub": "alice"})));
    for (user, is_owner) in [("alice", "t"), ("bob", "f"), ("alice", "t")] {
        client.run(&become_user(user));
        assert_eq!(client.value("select tenancy.has_role('owner')").as_deref(), Some(is_owner), "{user}");
        client.run("update notes_uuid set body = body || '.' where id = 1");
    }
    client.run("commit");
    let users = "select user_id from tenancy.audit_log order by id";
    assert_eq!(world.fixture.superuser().texts(users), ["alice", "bob", "alice"]);
    world.fixture.run(&format!("select tenancy.grant_access('{web}', mode => 'claims', require_membership => true)"));
    client.run(&begin(&web, &json!({"tenant_id": "acme", "sub": "alice"})));
    assert_eq!(visible(&mut client), ["acme"]);
    client.run(&become_user("mallory"));
    client.refuses(READ, "42501");
}

#[test]
fn a_tenants_own_settings_come_with_its_requests() {
    let world = World::new();
    let login = world.fixture.role("web");
    world.fixture.run(&format!(
        "grant select on all tables in schema public to {login}; select tenancy.grant_access('{login}', mode => 'claims');
         select tenancy.set_setting('postgres.work_mem', '\"7MB\"', tenant => 'acme')"
    ));
    let mut client = world.fixture.connect(&login);
    let before = client.value("show work_mem");
    client.run("begin; select set_config('request.jwt.claims', '{\"tenant_id\": \"acme\"}', true)");
    assert_eq!(visible(&mut client), ["acme"]);
    assert_eq!(client.value("select current_setting('work_mem')").as_deref(), Some("7MB"));
    client.run("commit");
    assert_eq!(client.value("select current_setting('work_mem')"), before);
}
