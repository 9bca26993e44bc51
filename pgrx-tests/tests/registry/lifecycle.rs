//! The moves of a tenant's life: active ↔ suspended → archived.

use tenancy_harness::{ACME, Session};

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

#[test]
fn two_sessions_that_suspend_at_once_suspend_once() {
    let (fixture, _) = fixture_with_tenants();
    let mut first = fixture.superuser();
    first.run("begin; select tenancy.suspend_tenant('acme')");
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            let mut second = fixture.superuser();
            second.refuses("select tenancy.suspend_tenant('acme')", "55000");
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        first.run("commit");
        second.join().unwrap();
    });
    assert_eq!(status(&mut first), "suspended");
}
