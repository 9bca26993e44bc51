//! The moves of a tenant's life: active ↔ suspended → archived.

use std::time::Duration;

use postgres::Client;
use tenancy_harness::{ACME, Fixture, Session, postgres, sqlstate};

use crate::fixture_with_tenants;

fn status(session: &mut impl Session) -> String {
    session.value("select status from tenancy.tenants where key = 'acme'").unwrap()
}

#[test]
fn the_allowed_moves_succeed_by_key_and_by_id() {
    let (fixture, _) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    for name in [ACME.key, ACME.id] {
        superuser.run(&format!("select tenancy.suspend_tenant('{name}')"));
        assert_eq!(status(&mut superuser), "suspended");
        superuser.run(&format!("select tenancy.resume_tenant('{name}')"));
        assert_eq!(status(&mut superuser), "active");
    }
    superuser.run("select tenancy.suspend_tenant('acme', reason => 'unpaid'); select tenancy.archive_tenant('acme')");
    assert_eq!(status(&mut superuser), "archived");
}

#[test]
fn every_other_move_is_refused() {
    let (fixture, _) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    for (reached_by, refused) in [
        ("", vec!["resume", "archive"]),
        ("suspend", vec!["suspend"]),
        ("suspend archive", vec!["suspend", "resume", "archive"]),
    ] {
        superuser.run("begin");
        for step in reached_by.split_whitespace() {
            superuser.run(&format!("select tenancy.{step}_tenant('acme')"));
        }
        let before = status(&mut superuser);
        for step in refused {
            superuser.run("savepoint s");
            superuser.refuses(&format!("select tenancy.{step}_tenant('acme')"), "55000");
            superuser.run("rollback to s");
            assert_eq!(status(&mut superuser), before, "{step}");
        }
        superuser.run("rollback");
    }
}

#[test]
fn an_unknown_or_malformed_tenant_is_named_as_such() {
    let (fixture, _) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    for step in ["suspend", "resume", "archive"] {
        superuser.refuses(&format!("select tenancy.{step}_tenant('nobody_here')"), "42704");
        superuser.refuses(&format!("select tenancy.{step}_tenant('99999999-0000-4000-8000-000000000009')"), "42704");
        superuser.refuses(&format!("select tenancy.{step}_tenant(' acme')"), "22023");
        superuser.refuses(&format!("select tenancy.{step}_tenant(repeat('x', 256))"), "22023");
    }
}

#[test]
fn a_move_that_is_rolled_back_has_not_happened() {
    let (fixture, app) = fixture_with_tenants();
    fixture.superuser().run("begin; select tenancy.suspend_tenant('acme'); rollback");
    fixture.connect(&app).run("select tenancy.set_tenant('acme', false)");
}

/// Runs `second` in a session of its own while `first`, which it has to wait for, is not committed yet.
fn overlap(fixture: &Fixture<'_>, first: &str, second: impl Fn(&mut Client) + Send + Sync) {
    let mut client = fixture.superuser();
    client.run("begin");
    client.run(first);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| second(&mut fixture.superuser()));
        std::thread::sleep(Duration::from_millis(300));
        client.run("commit");
        waiting.join().expect("the second session's own assertions");
    });
}

#[test]
fn two_sessions_that_create_the_same_tenant_at_once_create_it_once() {
    let (fixture, _) = fixture_with_tenants();
    overlap(&fixture, "select tenancy.create_tenant('initech')", |client| {
        client.refuses("select tenancy.create_tenant('initech')", "42710");
    });
    overlap(&fixture, "select tenancy.create_plan('gold')", |client| {
        client.refuses("select tenancy.create_plan('gold')", "42710");
    });
    overlap(&fixture, "update tenancy.tenants set key = 'hooli' where key = 'initech'", |client| {
        client.refuses("select tenancy.create_tenant('hooli')", "42710");
    });
}

#[test]
fn two_sessions_that_grant_at_once_leave_one_grant() {
    let (fixture, app) = fixture_with_tenants();
    let role = fixture.role("late");
    let grants =
        [format!("select tenancy.grant_access('{role}', 'acme')"), format!("select tenancy.grant_admin('{role}')")];
    for grant in &grants {
        overlap(&fixture, grant, |client| {
            let outcome = client.batch_execute(grant);
            assert!(matches!(sqlstate(&outcome), None | Some("42710")), "{outcome:?}");
        });
    }
    fixture.run(&format!("select tenancy.revoke_access('{role}', 'acme')"));
    fixture.connect(&role).refuses("select tenancy.set_tenant('acme', false)", "42501");
    fixture.connect(&app).run("select tenancy.set_tenant('acme', false)");
}

#[test]
fn two_sessions_that_suspend_at_once_suspend_once() {
    let (fixture, _) = fixture_with_tenants();
    overlap(&fixture, "select tenancy.suspend_tenant('acme')", |client| {
        client.refuses("select tenancy.suspend_tenant('acme')", "55000");
    });
    assert_eq!(status(&mut fixture.superuser()), "suspended");
}
