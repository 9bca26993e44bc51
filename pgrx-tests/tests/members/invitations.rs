//! Invitations by token.

use std::sync::atomic::{AtomicU32, Ordering};

use tenancy_harness::{ACME, Session, World, sqlstate};

use crate::{is_true, session_of, world_for_members, world_with_members};

#[track_caller]
fn invite(world: &World<'_>, arguments: &str) -> String {
    world.fixture.superuser().value(&format!("select tenancy.invite_member({arguments})")).expect("a token")
}

#[test]
fn whoever_has_the_token_becomes_a_member() {
    let world = world_for_members();
    let token = invite(&world, "'acme', 'admin'");
    let mut client = session_of(&world, "newcomer", "acme");
    client.refuses("select tenancy.current_tenant()", "42501");
    client.run("reset tenancy.tenant_id");
    let joined = client.value(&format!("select tenancy.accept_invitation('{token}', 'newcomer')"));
    assert_eq!(joined.as_deref(), Some(ACME.id));
    client.run("set tenancy.tenant_id = 'acme'");
    assert!(is_true(&mut client, "tenancy.has_role('admin') and not tenancy.has_role('owner')"));
    let events = client.texts(
        "select concat_ws(' ', event, object, detail->>'role') from tenancy.event_log
          where event in ('member.invited', 'member.joined') order by id",
    );
    assert_eq!(events, ["member.invited admin", "member.joined newcomer admin"]);
}

#[test]
fn a_token_is_good_once_and_until_it_expires() {
    let world = world_for_members();
    let mut client = world.connect();
    let token = invite(&world, "'acme'");
    let accept = |token: &str| format!("select tenancy.accept_invitation('{token}', 'newcomer')");
    client.run(&accept(&token));
    let used = client.refuses(&accept(&token), "28000");
    let brief = invite(&world, "'acme', expires => '50 milliseconds'");
    std::thread::sleep(std::time::Duration::from_millis(100));
    let expired = client.refuses(&accept(&brief), "28000");
    let wrong = client.refuses(&accept("of my own making"), "28000");
    let empty = client.refuses(&accept(""), "28000");
    let said = [used, expired, wrong, empty].map(|error| format!("{error:?}"));
    assert!(said.iter().all(|one| *one == said[0]), "{said:#?}");
    // What has expired is forgotten when the next one is made.
    invite(&world, "'acme'");
    assert_eq!(world.fixture.superuser().value("select count(*) from tenancy.invitations").as_deref(), Some("1"));
}

#[test]
fn an_invitation_is_taken_back_by_administrators() {
    let world = world_for_members();
    let admin = world.fixture.role("admin");
    world.fixture.run(&format!("select tenancy.grant_admin('{admin}')"));
    let mut admin = world.fixture.connect(&admin);
    let (meant, mistaken) = (invite(&world, "'acme'"), invite(&world, "'acme', 'owner'"));
    let revoke = |token: &str| format!("select tenancy.revoke_invitation('{token}')");
    let mut client = world.connect();
    client.refuses(&revoke(&mistaken), "42501");
    admin.run(&revoke(&mistaken));
    let accept = |token: &str| format!("select tenancy.accept_invitation('{token}', 'newcomer')");
    client.refuses(&accept(&mistaken), "28000");
    admin.refuses(&revoke(&mistaken), "42704");
    admin.refuses("select tenancy.revoke_invitation('never made')", "42704");
    admin.refuses("select tenancy.revoke_invitation(null)", "22023");
    // The other one is as good as before, also when taking it back is.
    admin.run(&format!("begin; {}; rollback", revoke(&meant)));
    client.run(&accept(&meant));
    admin.refuses(&revoke(&meant), "42704");
    let events =
        "select concat_ws(' ', tenant_id, detail->>'role') from tenancy.event_log where event = 'member.uninvited'";
    assert_eq!(world.fixture.superuser().texts(events), [format!("{} owner", ACME.id)]);
    // Who comes with it while it is taken back gets in, or it is refused: one of both.
    let token = invite(&world, "'acme'");
    admin.run(&format!("begin; {}", revoke(&token)));
    std::thread::scope(|scope| {
        let joins = scope.spawn(|| world.connect().batch_execute(&accept(&token)));
        std::thread::sleep(std::time::Duration::from_millis(200));
        admin.run("commit");
        assert_eq!(sqlstate(&joins.join().expect("the session ends")), Some("28000"));
    });
}

#[test]
fn what_can_not_be_an_invitation_is_refused() {
    let world = world_for_members();
    let mut admin = world.fixture.superuser();
    for (arguments, sqlstate) in [
        ("'nobody_here'", "42704"),
        ("'acme', 'root'", "22023"),
        ("'acme', expires => '0'", "22023"),
        ("'acme', expires => '-1 day'", "22023"),
        ("'acme', expires => null", "22023"),
        ("'acme', null", "22023"),
    ] {
        admin.refuses(&format!("select tenancy.invite_member({arguments})"), sqlstate);
    }
    let token = invite(&world, "'acme'");
    admin.refuses(&format!("select tenancy.accept_invitation('{token}', '')"), "22023");
    admin.refuses(&format!("select tenancy.accept_invitation('{token}', null)"), "22023");
    admin.refuses("select tenancy.accept_invitation(null, 'newcomer')", "22023");
}

#[test]
fn tokens_differ_and_are_kept_nowhere() {
    let world = world_for_members();
    let tokens = [invite(&world, "'acme'"), invite(&world, "'acme'")];
    assert_ne!(tokens[0], tokens[1]);
    let dump = world.fixture.cluster().run_tool("pg_dump", &[world.fixture.database()]);
    let dump = String::from_utf8(dump.stdout).unwrap();
    assert!(dump.contains("invitations"));
    for token in &tokens {
        assert_eq!(token.len(), 64);
        assert!(!dump.contains(token.as_str()));
    }
}

#[test]
fn of_many_who_come_with_one_token_one_gets_in() {
    let world = world_for_members();
    for _ in 0..5 {
        let token = invite(&world, "'acme', 'viewer'");
        let joined = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for number in 0..4 {
                let (world, token, joined) = (&world, &token, &joined);
                scope.spawn(move || {
                    let mut client = world.connect();
                    let accept = format!("select tenancy.accept_invitation('{token}', 'racer_{number}')");
                    let outcome = client.batch_execute(&accept);
                    match sqlstate(&outcome) {
                        None => joined.fetch_add(1, Ordering::Relaxed),
                        state => {
                            assert_eq!(state, Some("28000"));
                            0
                        }
                    }
                });
            }
        });
        assert_eq!(joined.into_inner(), 1);
        world.fixture.run("delete from tenancy.members where user_id like 'racer%'");
    }
}

#[test]
fn an_invitation_takes_no_role_away() {
    let world = world_for_members();
    let mut client = world.connect();
    for (user, invited, has) in
        [("owner", "viewer", "owner"), ("viewer", "member", "member"), ("admin", "admin", "admin")]
    {
        let token = invite(&world, &format!("'acme', '{invited}'"));
        client.run(&format!("select tenancy.accept_invitation('{token}', '{user}')"));
        let role = format!("select role from tenancy.members where user_id = '{user}'");
        assert_eq!(world.fixture.superuser().value(&role).as_deref(), Some(has), "{user}");
    }
}

#[test]
fn a_role_that_may_not_act_for_the_tenant_lets_nobody_in() {
    let world = world_for_members();
    let token = invite(&world, "'acme'");
    let accept = format!("select tenancy.accept_invitation('{token}', 'newcomer')");
    let stranger = world.fixture.role("stranger");
    world.fixture.run(&format!("select tenancy.grant_access('{stranger}', 'globex')"));
    world.fixture.connect(&stranger).refuses(&accept, "28000");
    // It is still good where it should be.
    world.connect().run(&accept);
}

#[test]
fn a_transaction_stays_with_its_tenant() {
    let world = world_for_members();
    world.fixture.run("select tenancy.add_member('globex', 'rival')");
    let token = invite(&world, "'acme'");
    let accept = format!("select tenancy.accept_invitation('{token}', 'rival')");
    let mut client = session_of(&world, "rival", "globex");
    client.run("begin; select tenancy.current_tenant()");
    client.refuses(&accept, "42501");
    client.run("rollback; begin; select tenancy.current_tenant()");
    client.refuses("select tenancy.accept_invitation('of my own making', 'rival')", "28000");
    client.run("rollback; select tenancy.seal('a secret of sixteen bytes'); reset tenancy.tenant_id");
    client.refuses(&accept, "42501");
    client.run("select tenancy.unseal('a secret of sixteen bytes')");
    // What is rolled back has not used it up.
    client.run(&format!("begin; {accept}; rollback"));
    client.run(&accept);
}

#[test]
fn a_hostile_search_path_opens_nothing() {
    let world = world_for_members();
    let token = invite(&world, "'acme'");
    world.fixture.run(
        "create schema evil;
         create function evil.yes(bytea, bytea) returns boolean immutable language sql as 'select true';
         create function evil.yes(timestamptz, timestamptz) returns boolean immutable language sql as 'select true';
         create function evil.clock_timestamp() returns timestamptz stable language sql as 'select timestamptz ''epoch''';
         create operator evil.= (leftarg = bytea, rightarg = bytea, function = evil.yes);
         create operator evil.> (leftarg = timestamptz, rightarg = timestamptz, function = evil.yes);
         grant usage on schema evil to public",
    );
    let mut client = world.connect();
    client.run(
        "set search_path = evil, pg_catalog; set quote_all_identifiers = on; set standard_conforming_strings = off",
    );
    client.refuses("select tenancy.accept_invitation('of my own making', 'newcomer')", "28000");
    client.run(&format!("select tenancy.accept_invitation('{token}', 'newcomer')"));
}

#[test]
fn inviting_waits_for_nobody_and_fails_for_nobody() {
    let world = world_with_members();
    let expired = "insert into tenancy.invitations select sha256(n::text::bytea), id, 'member', now(), now() - interval '1 day' \
                   from tenancy.tenants, generate_series(1, 3) as n where key = 'acme'";
    world.fixture.run(expired);
    let (mut one, mut other) = (world.fixture.superuser(), world.fixture.superuser());
    one.run("begin; select tenancy.invite_member('acme')");
    other.run("set lock_timeout = '2s'");
    other.run("select tenancy.invite_member('globex')");
    one.run("rollback");
    other.run("begin isolation level repeatable read; select count(*) from tenancy.tenants");
    one.run("select tenancy.invite_member('acme')");
    other.run("select tenancy.invite_member('globex'); commit");
    assert_eq!(one.value("select count(*) from tenancy.invitations").as_deref(), Some("3"));
}

#[test]
fn nobody_joins_a_tenant_that_is_not_active() {
    let world = world_with_members();
    let token = invite(&world, "'globex'");
    world.fixture.run("select tenancy.suspend_tenant('globex')");
    for mut client in [world.connect(), world.fixture.superuser()] {
        client.refuses(&format!("select tenancy.accept_invitation('{token}', 'newcomer')"), "28000");
    }
    world.fixture.run("select tenancy.resume_tenant('globex')");
    world.connect().run(&format!("select tenancy.accept_invitation('{token}', 'newcomer')"));
}
