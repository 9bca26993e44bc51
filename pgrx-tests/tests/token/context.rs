//! A context that a token sets obeys every rule of one that is set by hand.

use tenancy_harness::{ACME, Cluster, Fixture, RawSession, Session, refuses_in_savepoint};

use crate::{READ, Signed, visible};

#[test]
fn every_way_to_set_a_token_gives_the_same_context() {
    let signed = Signed::new();
    let token = signed.token("acme", "alice");
    let mut client = signed.connect();
    for way in [
        format!("select tenancy.authenticate('{token}')"),
        format!("select tenancy.authenticate('{token}', false)"),
        format!("select tenancy.authenticate(token => '{token}', is_local => true)"),
        format!("set local tenancy.token = '{token}'"),
        format!("set tenancy.token to '{token}'"),
        format!("select set_config('tenancy.token', '{token}', true)"),
        format!("do $$ begin perform tenancy.authenticate('{token}'); end $$"),
    ] {
        let mut tx = client.transaction().unwrap();
        tx.run(&way);
        assert_eq!(visible(&mut tx), ["acme"], "{way}");
        assert_eq!(tx.value("select tenancy.current_key()").as_deref(), Some("acme"), "{way}");
        assert_eq!(tx.value("select tenancy.require_tenant()").as_deref(), Some(ACME.id), "{way}");
        tx.run("insert into notes_uuid (id, body) values (99, 'acme 99')");
        refuses_in_savepoint(
            &mut tx,
            "insert into notes_uuid (id, tenant_id, body) values (98, 'bbbbbbbb-0000-4000-8000-000000000002', 'x')",
            "42501",
        );
        tx.rollback().unwrap();
        assert_eq!(visible(&mut client).len(), 0, "{way}");
    }
    let options = format!("-c tenancy.token={token}");
    let mut client = signed.world.fixture.try_connect(&signed.role, &options).unwrap();
    assert_eq!(visible(&mut client), ["acme"]);
    client.run("discard all");
    assert_eq!(visible(&mut client), ["acme"], "what the connection came with is its default");
}

#[test]
fn it_follows_transactions_and_savepoints() {
    let signed = Signed::new();
    let token = signed.token("acme", "alice");
    let mut client = signed.connect();
    let call = format!("select tenancy.authenticate('{token}')");
    client.refuses(&call, "25P01");
    client.refuses(&format!("set local tenancy.token = '{token}'"), "25P01");
    for end in ["commit", "rollback"] {
        client.run(&format!("begin; {call}"));
        assert_eq!(visible(&mut client), ["acme"]);
        client.run(end);
        assert_eq!(visible(&mut client).len(), 0);
    }
    client.run(&format!("begin; savepoint s; {call}; rollback to s"));
    assert_eq!(visible(&mut client).len(), 0);
    client.run("rollback");
    for end in [
        "reset tenancy.token",
        "reset all",
        "discard all",
        "set tenancy.token = ''",
        "select tenancy.clear_tenant(false)",
    ] {
        client.run(&format!("set tenancy.token = '{token}'"));
        assert_eq!(visible(&mut client), ["acme"], "{end}");
        client.run(end);
        assert_eq!(visible(&mut client).len(), 0, "{end}");
    }
    client.run(&format!(
        "begin; {call}; update notes_uuid set body = 'acme x' where id = 1; prepare transaction 'token'"
    ));
    assert_eq!(visible(&mut client).len(), 0);
    client.run("commit prepared 'token'");
    client.run(&format!("set tenancy.token = '{token}'"));
    assert_eq!(client.value("select body from notes_uuid where id = 1").as_deref(), Some("acme x"));
}

#[test]
fn a_transaction_has_one_tenant_whatever_tokens_there_are() {
    let signed = Signed::new();
    let (acme, globex) = (signed.token("acme", "alice"), signed.token("globex", "alice"));
    let again = signed.token("acme", "bob");
    let mut client = signed.connect();
    let set = |token: &str| format!("set local tenancy.token = '{token}'");
    let call = |token: &str| format!("select tenancy.authenticate('{token}')");

    let mut tx = client.transaction().unwrap();
    tx.run(&set(&acme));
    // Not used yet, and bound all the same.
    refuses_in_savepoint(&mut tx, &set(&globex), "42501");
    refuses_in_savepoint(&mut tx, &call(&globex), "42501");
    assert_eq!(visible(&mut tx), ["acme"]);
    refuses_in_savepoint(&mut tx, &call(&globex), "42501");
    refuses_in_savepoint(&mut tx, &format!("{}; {READ}", set(&globex)), "42501");
    tx.run("reset tenancy.token");
    assert_eq!(visible(&mut tx).len(), 0);
    refuses_in_savepoint(&mut tx, &call(&globex), "42501");
    // A new token of the same tenant is no other tenant.
    tx.run(&call(&again));
    assert_eq!(visible(&mut tx), ["acme"]);
    drop(tx);

    client.run("begin; savepoint s");
    client.run(&call(&acme));
    client.run("rollback to s");
    client.refuses(&call(&globex), "42501");
    client.run("rollback");
    client.run(&format!("begin; {}", call(&globex)));
    assert_eq!(visible(&mut client), ["globex"]);
    client.run("rollback");

    let mut tx = client.transaction().unwrap();
    tx.run(&set(&acme));
    tx.run("reset tenancy.token");
    tx.run(&set(&acme));
    assert_eq!(visible(&mut tx), ["acme"]);
}

#[test]
fn a_session_passes_nothing_on_to_the_tenant_of_another_token() {
    let signed = Signed::new();
    let mut client = signed.connect();
    client.run(&format!("set tenancy.token = '{}'", signed.token("acme", "alice")));
    client.run("create temporary table loot as select body from notes_uuid; declare c cursor with hold for select body from notes_uuid");
    assert_eq!(client.texts("fetch 1 from c").len(), 1);
    client.run(&format!("set tenancy.token = '{}'", signed.token("globex", "bob")));
    client.refuses(READ, "55000");
    client.refuses("fetch 1 from c", "55000");
    client.run("reset tenancy.token");
    client.refuses("fetch 1 from c", "55000");
    client.run("discard all");
    client.run(&format!("set tenancy.token = '{}'", signed.token("globex", "bob")));
    assert_eq!(visible(&mut client), ["globex"]);
}

#[test]
fn parallel_workers_act_for_the_token_of_their_leader() {
    let signed = Signed::new();
    let parallel = "set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
         set max_parallel_workers_per_gather = 2; set parallel_leader_participation = off;
         set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off";
    let mut client = signed.connect();
    client.run(parallel);
    for is_first in [true, false] {
        client.run(&format!("set tenancy.token = '{}'", signed.token("acme", "alice")));
        if !is_first {
            assert_eq!(visible(&mut client), ["acme"]);
        }
        let plan = client.texts(&format!("explain (analyze, costs off, timing off, summary off) {READ}")).join("\n");
        assert!(plan.contains("Workers Launched: ") && !plan.contains("Workers Launched: 0"), "{plan}");
        let bodies = client.texts(READ);
        assert_eq!(bodies.len(), 20);
        assert!(bodies.iter().all(|body| body.starts_with("acme ")));
    }
    // One that has expired since the transaction began is refused before a worker is asked.
    let brief = signed.brief_token("acme", 2);
    client.run(&format!("reset tenancy.token; begin; select pg_sleep(3); set local tenancy.token = '{brief}'"));
    client.refuses(READ, "28000");
    client.run("rollback");
    // One that was good when it was first used stays so for the transaction, in workers too.
    let brief = signed.brief_token("acme", 2);
    client.run(&format!("begin; set local tenancy.token = '{brief}'"));
    assert_eq!(visible(&mut client), ["acme"]);
    client.run("select pg_sleep(3)");
    assert_eq!(visible(&mut client), ["acme"]);
}

/// A well-formed token in a database that has nothing to verify it with, nor anything that asks for it.
#[test]
fn where_the_extension_is_not_installed_a_token_means_nothing() {
    let fixture = Fixture::empty(Fixture::new().cluster());
    let mut client = fixture.try_connect(Cluster::SUPERUSER, "-c tenancy.token=a.b.c").unwrap();
    client.run(
        "create table big as select g from generate_series(1, 50000) g; analyze big; set parallel_setup_cost = 0;
         set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0; set max_parallel_workers_per_gather = 2",
    );
    let plan = client.texts("explain select count(*) from big").join("");
    assert!(plan.contains("Gather"), "{plan}");
    assert_eq!(client.value("select count(*) from big").as_deref(), Some("50000"));
    client.run("set tenancy.token = 'd.e.f'");
    assert_eq!(client.value("select count(*) from big").as_deref(), Some("50000"));
}

#[test]
fn the_user_is_the_tokens_subject_and_no_other() {
    let signed = Signed::new();
    let fixture = &signed.world.fixture;
    fixture.run(&format!("select tenancy.audit('notes_uuid'); grant select on tenancy.audit_log to {}", signed.role));
    let mut client = signed.connect();
    let write = "update notes_uuid set body = body || '.' where id = 1";
    let users = "select coalesce(user_id, 'nobody') from tenancy.audit_log order by id";
    let anonymous = signed.brief_token("acme", 600);
    for token in [signed.token("acme", "alice"), anonymous] {
        for forged in ["set tenancy.user_id = 'mallory'", "select set_config('tenancy.user_id', 'mallory', false)"] {
            client.run(&format!("{forged}; set tenancy.token = '{token}'; {write}"));
        }
        client.run(&format!(
            "begin; set local tenancy.user_id = 'mallory'; select tenancy.authenticate('{token}'); {write}; commit"
        ));
    }
    assert_eq!(fixture.superuser().texts(users), ["alice", "alice", "alice", "nobody", "nobody", "nobody"]);
}

#[test]
fn a_tenant_that_is_set_next_to_a_token_has_to_stand_for_itself() {
    let signed = Signed::new();
    let token = signed.token("acme", "alice");
    // The application's role may name any tenant.
    let mut app = signed.world.connect();
    app.run(&format!("set tenancy.token = '{token}'"));
    assert_eq!(visible(&mut app), ["acme"]);
    app.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(visible(&mut app), ["acme"]);
    app.run("set tenancy.tenant_id = 'globex'");
    app.refuses(READ, "42501");
    app.run("reset tenancy.token");
    assert_eq!(visible(&mut app), ["globex"]);

    let mut client = signed.connect();
    client.run(&format!("set tenancy.token = '{token}'; set tenancy.tenant_id = 'acme'"));
    client.refuses(READ, "42501");
    client.refuses("select tenancy.set_tenant('acme', false)", "42501");
    client.run("reset tenancy.tenant_id");
    assert_eq!(visible(&mut client), ["acme"]);
}

#[test]
fn what_is_said_of_the_tenant_goes_before_what_is_said_of_any() {
    let signed = Signed::new();
    let fixture = &signed.world.fixture;
    let (acme, globex) = (signed.token("acme", "alice"), signed.token("globex", "alice"));
    let by_hand = |key: &str| format!("select tenancy.set_tenant('{key}', false)");
    let by_token = |token: &str| format!("select tenancy.authenticate('{token}', false)");

    // Direct for one, signed for the others.
    fixture.run(&format!("select tenancy.grant_access('{}', 'acme')", signed.role));
    signed.connect().run(&by_hand("acme"));
    signed.connect().run(&by_token(&acme));
    signed.connect().refuses(&by_hand("globex"), "42501");
    signed.connect().run(&by_token(&globex));

    // The other way round.
    let mixed = fixture.role("mixed");
    fixture.run(&format!(
        "select tenancy.grant_access('{mixed}'), tenancy.grant_access('{mixed}', 'acme', mode => 'signed')"
    ));
    fixture.connect(&mixed).refuses(&by_hand("acme"), "42501");
    fixture.connect(&mixed).run(&by_token(&acme));
    fixture.connect(&mixed).run(&by_hand("globex"));

    // What a role has by inheritance does not loosen what is asked of it.
    let staff = fixture.name("staff");
    fixture
        .run(&format!("create role {staff}; select tenancy.grant_access('{staff}'); grant {staff} to {}", signed.role));
    signed.connect().refuses(&by_hand("globex"), "42501");

    // A role without access has none by a token either.
    let stranger = fixture.role("stranger");
    fixture.connect(&stranger).refuses(&by_token(&acme), "42501");
    // And the mode of an access is changed by granting it again.
    fixture.run(&format!("select tenancy.grant_access('{mixed}', 'acme')"));
    fixture.connect(&mixed).run(&by_hand("acme"));
}

#[test]
fn a_session_is_sealed_to_what_its_token_says() {
    let signed = Signed::new();
    let mut client = signed.connect();
    let secret = "correct horse battery staple";
    client.run(&format!("begin; select tenancy.authenticate('{}')", signed.token("acme", "alice")));
    client.refuses(&format!("select tenancy.seal('{secret}')"), "42501");
    client.run("rollback");
    client.run(&format!("set tenancy.token = '{}'; select tenancy.seal('{secret}')", signed.token("acme", "alice")));
    for other in [signed.token("globex", "alice"), signed.token("acme", "bob")] {
        client.refuses(&format!("select tenancy.authenticate('{other}', false)"), "42501");
        client.run(&format!("set tenancy.token = '{other}'"));
        client.refuses(READ, "42501");
    }
    client.refuses("set tenancy.user_id = 'bob'", "42501");
    client.refuses("set tenancy.tenant_id = 'globex'", "42501");
    client.run("reset tenancy.token");
    assert_eq!(visible(&mut client).len(), 0);
    // Tokens expire: a new one for the same tenant and user is no other context.
    client.run(&format!("set tenancy.token = '{}'", signed.pair.token(&crate::issuer::claims(ACME.id, "alice"))));
    assert_eq!(visible(&mut client), ["acme"]);
    client.run(&format!("select tenancy.unseal('{secret}'); set tenancy.token = '{}'", signed.token("globex", "bob")));
    assert_eq!(visible(&mut client), ["globex"]);
}

#[test]
fn suspension_and_revoked_access_count_at_the_next_statement() {
    let signed = Signed::new();
    let fixture = &signed.world.fixture;
    let mut client = signed.connect();
    client.run(&format!("begin; select tenancy.authenticate('{}')", signed.token("acme", "alice")));
    assert_eq!(visible(&mut client), ["acme"]);
    fixture.run("select tenancy.suspend_tenant('acme')");
    client.refuses(READ, "55000");
    client.run("rollback");
    fixture.run("select tenancy.resume_tenant('acme')");
    client.run(&format!("set tenancy.token = '{}'", signed.token("acme", "alice")));
    assert_eq!(visible(&mut client), ["acme"]);
    fixture.run(&format!("select tenancy.revoke_access('{}')", signed.role));
    client.refuses(READ, "42501");
}

/// A pooler may track `tenancy.tenant_id`; it is not told of tokens.
#[test]
fn the_token_is_not_reported_to_the_client() {
    let signed = Signed::new();
    let cluster = signed.world.fixture.cluster();
    let mut session = RawSession::open(cluster, signed.world.fixture.database(), &signed.role, "");
    let reply = session.query(&format!("set tenancy.token = '{}'; {READ}", signed.token("acme", "alice")));
    assert_eq!(reply.rows.len(), 20);
    assert!(reply.parameter("tenancy.token").is_none());
}
