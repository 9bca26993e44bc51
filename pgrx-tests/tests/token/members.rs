//! Access by a proof that requires membership: it asks the user who is proved, and no other.

use serde_json::json;
use tenancy_harness::Session;
use tenancy_harness::postgres::Client;

use crate::{READ, Signed, visible};

/// A world in which alice is a member of acme and bob of globex, and the role acts for members alone.
fn signed_for_members() -> Signed<'static> {
    let signed = Signed::new();
    signed.world.fixture.run(&format!(
        "select tenancy.add_member('acme', 'alice'), tenancy.add_member('globex', 'bob'),
                tenancy.grant_access('{}', mode => 'signed', require_membership => true)",
        signed.role
    ));
    signed
}

#[test]
fn the_user_of_the_token_is_to_be_a_member() {
    let signed = signed_for_members();
    let mut client = signed.connect();
    for user in ["", "alice", "bob"] {
        client.run(&format!("set tenancy.user_id = '{user}'"));
        client.run(&format!("begin; select tenancy.authenticate('{}')", signed.token("acme", "alice")));
        assert_eq!(visible(&mut client), ["acme"], "{user}");
        assert_eq!(client.value("select tenancy.has_role('member')").as_deref(), Some("t"), "{user}");
        client.run("commit");
        for token in [signed.token("acme", "bob"), signed.token("globex", "alice"), signed.brief_token("acme", 60)] {
            client.run("begin");
            client.refuses(&format!("select tenancy.authenticate('{token}')"), "42501");
            client.run("rollback");
            client.run(&format!("set tenancy.token = '{token}'"));
            client.refuses(READ, "42501");
            client.refuses("select tenancy.current_tenant()", "42501");
            client.run("reset tenancy.token");
        }
    }
}

#[test]
fn what_asks_for_no_token_lends_nothing() {
    let signed = signed_for_members();
    let (fixture, role) = (&signed.world.fixture, &signed.role);
    let group = fixture.role("team");
    fixture.run(&format!("grant {group} to {role}; select tenancy.grant_access('{group}')"));
    let mut client = signed.connect();
    let acts = |client: &mut Client, user: &str| {
        client.run(&format!("begin; set local tenancy.token = '{}'", signed.token("acme", user)));
        let outcome = client.simple_query(READ).is_ok();
        client.run("rollback");
        outcome
    };
    assert!(acts(&mut client, "alice") && !acts(&mut client, "bob"), "everybody's is not signed");
    client.run("set tenancy.user_id = 'alice'; set tenancy.tenant_id = 'acme'");
    client.refuses(READ, "42501");
    client.run("reset tenancy.tenant_id");
    fixture.run(&format!("select tenancy.grant_access('{group}', mode => 'signed')"));
    assert!(acts(&mut client, "alice") && acts(&mut client, "bob"));
    fixture.run(&format!("select tenancy.grant_access('{group}', 'acme', 'signed', true)"));
    assert!(acts(&mut client, "bob"), "grants of one mode add up");
    fixture.run(&format!("revoke {group} from {role}"));
    assert!(acts(&mut client, "alice") && !acts(&mut client, "bob"));
}

#[test]
fn a_token_of_another_user_does_not_keep_the_tenant() {
    let signed = signed_for_members();
    let mut client = signed.connect();
    client.run(&format!("set tenancy.token = '{}'", signed.token("acme", "alice")));
    for next in [READ, "select tenancy.current_tenant()", "update notes_uuid set body = 'mine'", "fetch 1 from rows"] {
        client.run("begin; declare rows cursor for select body from notes_uuid; fetch 1 from rows");
        client.run(&format!("set local tenancy.token = '{}'", signed.token("acme", "bob")));
        client.refuses(next, "42501");
        client.run("rollback");
        assert_eq!(visible(&mut client), ["acme"], "{next}");
    }
    // Nor does a token of no user; but what was proved stays so when the token is put away.
    client.run("begin; declare rows cursor for select body from notes_uuid; fetch 1 from rows");
    client.run(&format!("set local tenancy.token = '{}'", signed.brief_token("acme", 60)));
    client.refuses("fetch 1 from rows", "42501");
    client.run("rollback; begin");
    assert_eq!(visible(&mut client), ["acme"]);
    client.run("select tenancy.clear_tenant()");
    assert_eq!(client.texts(READ).len(), 0);
    client.run("commit");
}

#[test]
fn a_membership_that_ends_stops_open_transactions() {
    let signed = signed_for_members();
    let mut client = signed.connect();
    client.run(&format!("begin; select tenancy.authenticate('{}')", signed.token("acme", "alice")));
    assert_eq!(visible(&mut client), ["acme"]);
    signed.world.fixture.run("select tenancy.remove_member('acme', 'alice')");
    client.refuses(READ, "42501");
    client.run("rollback");
    client.run(&format!("set tenancy.token = '{}'", signed.token("acme", "alice")));
    client.refuses(READ, "42501");
    signed.world.fixture.run("select tenancy.add_member('acme', 'alice')");
    assert_eq!(visible(&mut client), ["acme"]);
}

#[test]
fn the_user_of_the_request_is_to_be_a_member() {
    let signed = signed_for_members();
    let (fixture, web) = (&signed.world.fixture, signed.world.fixture.role("web"));
    fixture.run(&format!(
        "grant select on all tables in schema public to {web};
         select tenancy.grant_access('{web}', mode => 'claims', require_membership => true)"
    ));
    let mut client = fixture.connect(&web);
    client.run("set tenancy.user_id = 'alice'");
    for (claims, acts) in [
        (json!({"tenant_id": "acme", "sub": "alice"}), true),
        (json!({"tenant_id": "acme", "sub": "bob"}), false),
        (json!({"tenant_id": "acme"}), false),
    ] {
        client.run(&format!("begin; select set_config('request.jwt.claims', '{claims}', true)"));
        if acts {
            assert_eq!(visible(&mut client), ["acme"]);
        } else {
            client.refuses(READ, "42501");
        }
        client.run("rollback");
    }
}

#[test]
fn a_tenant_set_by_hand_next_to_the_request_asks_for_the_user_set_by_hand() {
    let signed = signed_for_members();
    let (fixture, web) = (&signed.world.fixture, signed.world.fixture.role("web"));
    fixture.run(&format!(
        "grant select on all tables in schema public to {web};
         select tenancy.grant_access('{web}', mode => 'claims'),
                tenancy.grant_access('{web}', 'acme', require_membership => true)"
    ));
    let mut client = fixture.connect(&web);
    let claims = json!({"tenant_id": "globex", "sub": "alice"});
    for (user, acts) in [("alice", true), ("bob", false), ("", false)] {
        client.run(&format!("begin; select set_config('request.jwt.claims', '{claims}', true)"));
        client.run(&format!("set local tenancy.user_id = '{user}'"));
        if acts {
            client.run("select tenancy.set_tenant('acme')");
            assert_eq!(visible(&mut client), ["acme"]);
        } else {
            client.refuses("select tenancy.set_tenant('acme')", "42501");
        }
        client.run("rollback");
    }
}

#[test]
fn hosts_and_memberships_are_told_on_a_proof_alone() {
    let signed = signed_for_members();
    signed
        .world
        .fixture
        .run("select tenancy.add_host('acme.example', 'acme'), tenancy.add_host('globex.example', 'globex')");
    let mut client = signed.connect();
    let host = "select tenancy.resolve_host('acme.example') is not null";
    let member = "select tenancy.is_member('alice', 'acme')";
    client.run("set tenancy.user_id = 'alice'");
    assert_eq!(client.value(host).as_deref(), Some("f"));
    assert_eq!(client.value(member).as_deref(), Some("f"));
    client.refuses("begin; select tenancy.set_tenant_by_host('acme.example')", "42501");
    client.run("rollback");
    let token = signed.token("acme", "alice");
    for begin in [
        format!("begin; set local tenancy.token = '{token}'"),
        format!("begin; select tenancy.authenticate('{token}')"),
    ] {
        client.run(&begin);
        assert_eq!(client.value(host).as_deref(), Some("t"), "{begin}");
        assert_eq!(client.value("select tenancy.resolve_host('globex.example')"), None, "{begin}");
        assert_eq!(client.value(member).as_deref(), Some("t"), "{begin}");
        client.refuses("select tenancy.is_member('bob', 'globex')", "42501");
        client.run("rollback");
    }
}

#[test]
fn a_token_of_a_tenant_above_others_is_no_token_of_those() {
    let signed = Signed::new();
    signed
        .world
        .fixture
        .run("select tenancy.set_parent('globex', 'acme'), tenancy.protect('notes_uuid', kind => 'tree')");
    let mut client = signed.connect();
    client.run(&format!("begin; select tenancy.authenticate('{}')", signed.token("acme", "alice")));
    assert_eq!(visible(&mut client), ["acme", "globex"]);
    assert_eq!(client.affected("update notes_uuid set body = body"), 20);
    client.refuses("set local tenancy.tenant_id = 'globex'", "42501");
    client.run("rollback");
    client.run(&format!("begin; set local tenancy.token = '{}'", signed.token("acme", "alice")));
    client.run("set local tenancy.tenant_id = 'globex'");
    client.refuses(READ, "42501");
    client.run(&format!("rollback; begin; select tenancy.authenticate('{}')", signed.token("globex", "bob")));
    assert_eq!(visible(&mut client), ["globex"]);
}
