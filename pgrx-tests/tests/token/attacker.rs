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
         create schema playground; grant all on schema playground to public;
         select tenancy.add_host('globex.example', 'globex'), tenancy.add_member('globex', 'bob')",
    );
    let rows = || ["notes_uuid", "notes_text", "notes_bigint"].map(|table| signed.world.true_rows(table));
    let before = rows();
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
        "set session_replication_role = replica".into(),
        "set tenancy.on_missing = 'empty'; set tenancy.on_bypass = 'allow'; set tenancy.guard_ddl = off".into(),
        "set tenancy.guard_ddl = off; alter table notes_uuid disable row level security".into(),
        "alter table notes_uuid no force row level security".into(),
        "create policy mine on notes_uuid using (true)".into(),
        "drop policy tenant_isolation_floor on notes_uuid".into(),
        "drop owned by current_user; reassign owned by current_user to current_user".into(),
        "create trigger t after insert on notes_uuid for each row execute function suppress_redundant_updates_trigger()"
            .into(),
        "create rule r as on insert to notes_uuid do also delete from notes_uuid".into(),
        "truncate notes_uuid".into(),
        "copy notes_uuid from program 'true'".into(),
        "copy (select * from notes_uuid) to '/tmp/loot'".into(),
        "set tenancy.sealed = 'globex'".into(),
        format!("select tenancy.seal('a secret that is long enough'); set tenancy.tenant_id = '{id}'"),
        "set tenancy.region = 'here'; set tenancy.on_leftovers = ignore".into(),
        "set tenancy.profile = none".into(),
        "select tenancy.bypass('because'); set role postgres".into(),
        "select tenancy.set_tenant_by_host('globex.example')".into(),
        "set tenancy.user_id = 'bob'; select tenancy.set_tenant_by_host('globex.example')".into(),
        "select tenancy.resolve_host('globex.example'), tenancy.is_member('bob', 'globex')".into(),
        "select tenancy.clear_tenant(); set local tenancy.tenant_id = 'globex'".into(),
        "select tenancy.clear_tenant(false); reset all; set tenancy.tenant_id = 'globex'".into(),
        "discard all".into(),
        "select tenancy.import_jwks('{\"keys\": []}')".into(),
        "select tenancy.remove_jwt_key('key-1')".into(),
        "delete from tenancy.jwt_keys; update tenancy.jwt_keys set tenant_claim = 'sub'".into(),
        "truncate tenancy.jwt_keys".into(),
        "alter table tenancy.jwt_keys disable row level security; copy tenancy.jwt_keys to stdout".into(),
        "create temporary table notes_uuid (id int, tenant_id uuid, body text)".into(),
        "create temporary table access (tenant_id uuid, role regrole, mode text); create temporary table jwt_keys (kid text)"
            .into(),
        // Names and operators of his own, where something of ours might look for PostgreSQL's.
        "create function playground.yes(uuid, uuid) returns boolean language sql immutable as 'select true';
         create operator playground.= (leftarg = uuid, rightarg = uuid, function = playground.yes);
         create function playground.current_tenant() returns uuid language sql as 'select null::uuid';
         set search_path = playground, pg_catalog, public, tenancy"
            .into(),
        format!("insert into notes_uuid (id, tenant_id, body) values (1000, '{id}', 'planted')"),
        format!("update notes_uuid set tenant_id = '{id}'"),
        format!(
            "insert into notes_uuid (id, tenant_id, body) values (1, '{id}', 'x')
             on conflict (tenant_id, id) do update set body = excluded.body"
        ),
        format!(
            "merge into notes_uuid n using (values (1)) v (id) on n.id = v.id and n.tenant_id = '{id}'
             when matched then update set body = 'x' when not matched then do nothing"
        ),
        format!("copy notes_uuid (id, tenant_id, body) from stdin; set tenancy.tenant_id = '{id}'"),
        "declare c cursor with hold for select body from notes_uuid; set tenancy.tenant_id = 'globex'; fetch all from c".into(),
        "create view playground.v as select * from notes_uuid; create materialized view playground.m as select * from notes_uuid"
            .into(),
        format!("prepare transaction 'loot'; set tenancy.tenant_id = '{id}'"),
        "set max_parallel_workers_per_gather = 2; set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0;
         set parallel_tuple_cost = 0; set local tenancy.tenant_id = 'globex'"
            .into(),
        "begin; set transaction read only; set local tenancy.tenant_id = 'globex'; savepoint a; release a".into(),
        "alter database current_database set tenancy.default_tenant = 'globex'".into(),
        "create extension dblink; select dblink('', 'select 1')".into(),
        "load 'pg_tenancy'; select pg_reload_conf()".into(),
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
    assert_eq!(rows(), before);
    // What he looks for is there to be seen by whoever has the right token.
    client
        .run(&format!("reset tenancy.token; select tenancy.authenticate('{}', false)", signed.token("globex", "bob")));
    assert_eq!(client.value(LOOT), Some(World::OTHERS.to_string()));
}

/// He shares the login with the application, and sees all that a session may see of the others of its login.
#[test]
fn he_finds_no_token_of_another_request() {
    let signed = Signed::new();
    let victims = signed.token("globex", "bob");
    let mut victim = signed.connect();
    victim.run(&format!("begin; select tenancy.authenticate('{victims}')"));
    let mut by_set = signed.connect();
    by_set.run(&format!("set tenancy.token = '{victims}'; {READ}"));
    let mut attacker = signed.connect();
    let signature = victims.rsplit('.').next().unwrap();
    for query in [
        "select a::text from pg_stat_activity a",
        "select a::text from pg_stat_get_activity(null) a",
        "select s::text from pg_settings s",
        "select s::text from pg_show_all_settings() s",
        "select s::text from pg_db_role_setting s",
        "select p::text from pg_prepared_statements p",
        "select c::text from pg_cursors c",
        "select c::text from pg_locks c",
        "select e::text from tenancy.event_log e",
        "select k::text from tenancy.jwt_keys k",
    ] {
        let Ok(rows) = attacker.query(query, &[]) else { continue };
        let seen: String = rows.iter().filter_map(|row| row.get::<_, Option<String>>(0)).collect();
        assert!(!seen.contains(signature) && !seen.contains("eyJ"), "{query}: {seen}");
    }
    // A pooled session that the victim has left: the token went with his transaction.
    victim.run("commit");
    for query in ["show tenancy.token", "select current_setting('tenancy.token')"] {
        assert_eq!(victim.value(query).as_deref(), Some(""), "{query}");
    }
    assert_eq!(victim.texts(READ).len(), 0);
    by_set.run("discard all");
    assert_eq!(by_set.texts(READ).len(), 0);
}
