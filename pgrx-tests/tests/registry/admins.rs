//! Who may change things: superusers and the roles that `grant_admin` names.

use tenancy_harness::{Session, sqlstate};

use crate::fixture_with_tenants;

/// Everything that changes the registry; `{role}` is some role.
const CHANGES: [&str; 17] = [
    "select tenancy.create_tenant('initech')",
    "select tenancy.suspend_tenant('acme')",
    "select tenancy.suspend_tenant('globex'); select tenancy.resume_tenant('globex')",
    "select tenancy.archive_tenant('acme')",
    "select tenancy.grant_access('{role}', 'acme')",
    "select tenancy.revoke_access('{role}', 'acme')",
    "select tenancy.create_plan('gold')",
    "select tenancy.set_setting('seats', '1')",
    "select tenancy.add_host('shop.example', 'globex')",
    "select tenancy.remove_host('shop.example')",
    "select tenancy.add_member('globex', 'alice')",
    "select tenancy.remove_member('globex', 'alice')",
    "select tenancy.invite_member('globex')",
    "select tenancy.grant_access('{role}', 'globex', require_membership => true)",
    "select tenancy.grant_access('{role}')",
    "select tenancy.revoke_access('{role}')",
    "select tenancy.create_tenant('umbrella', plan => 'gold')",
];

#[test]
fn a_role_that_is_no_admin_may_change_nothing() {
    let (fixture, app) = fixture_with_tenants();
    let mut client = fixture.connect(&app);
    for change in CHANGES {
        client.refuses(&change.replace("{role}", &app), "42501");
    }
    client.refuses(&format!("select tenancy.grant_admin('{app}')"), "42501");
    client.refuses(&format!("select tenancy.revoke_admin('{app}')"), "42501");
    client.run("begin; select tenancy.set_tenant('acme')");
    client.refuses("select tenancy.suspend_tenant('acme')", "42501");
}

#[test]
fn an_admin_may_and_no_longer_when_revoked() {
    let (fixture, app) = fixture_with_tenants();
    let admin = fixture.role("admin");
    fixture.run(&format!("select tenancy.grant_admin('{admin}')"));
    let mut client = fixture.connect(&admin);
    for change in CHANGES {
        client.run(&change.replace("{role}", &app));
    }
    fixture.run(&format!("select tenancy.revoke_admin('{admin}')"));
    client.refuses("select tenancy.create_tenant('hooli')", "42501");
    client.refuses("select tenancy.suspend_tenant('globex')", "42501");
}

#[test]
fn an_admin_may_act_for_no_tenant_by_being_one() {
    let (fixture, _) = fixture_with_tenants();
    let admin = fixture.role("admin");
    fixture.run(&format!("select tenancy.grant_admin('{admin}')"));
    fixture.connect(&admin).refuses("select tenancy.set_tenant('acme', false)", "42501");
}

#[test]
fn an_admin_is_not_made_by_an_admin_that_is_none() {
    let (fixture, app) = fixture_with_tenants();
    let owner = fixture.role("owner");
    // A SECURITY DEFINER function of an admin lends its power, as everywhere in PostgreSQL; an invoker's does not.
    fixture.run(&format!(
        "select tenancy.grant_admin('{owner}');
         create function make(k text) returns uuid language sql as 'select tenancy.create_tenant(k)';
         alter function make(text) owner to {owner}"
    ));
    fixture.connect(&app).refuses("select make('initech')", "42501");
}

#[test]
fn unknown_roles_tenants_and_modes_are_refused() {
    let (fixture, app) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    for (call, code) in [
        ("select tenancy.grant_access('no_such_role')", "42704"),
        ("select tenancy.grant_admin('no_such_role')", "42704"),
        ("select tenancy.grant_access('{app}', 'nobody_here')", "42704"),
        ("select tenancy.revoke_access('{app}', 'nobody_here')", "42704"),
        ("select tenancy.grant_access('{app}', ' acme')", "22023"),
        ("select tenancy.grant_access('{app}', mode => 'nonsense')", "22023"),
    ] {
        superuser.refuses(&call.replace("{app}", &app), code);
    }
}

#[test]
fn granting_or_revoking_twice_leaves_what_once_leaves() {
    let (fixture, app) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    for call in
        ["grant_access('{app}', 'acme')", "grant_admin('{app}')", "revoke_access('{app}')", "revoke_admin('{app}')"]
    {
        for _ in 0..2 {
            let outcome = superuser.batch_execute(&format!("select tenancy.{}", call.replace("{app}", &app)));
            assert!(matches!(sqlstate(&outcome), None | Some("42710" | "42704")), "{call}: {outcome:?}");
        }
    }
    let mut client = fixture.connect(&app);
    client.run("select tenancy.set_tenant('acme', false)");
    client.refuses("select tenancy.set_tenant('globex', false)", "42501");
    client.refuses("select tenancy.create_tenant('initech')", "42501");
}

#[test]
fn a_role_that_is_dropped_leaves_its_namesake_nothing() {
    let (fixture, _) = fixture_with_tenants();
    let admin = fixture.app_named("admin");
    fixture.run(&format!("select tenancy.grant_admin('{admin}')"));
    fixture.run(&format!("drop owned by {admin}; drop role {admin}; create role {admin} login"));
    let mut client = fixture.connect(&admin);
    client.refuses("select tenancy.create_tenant('initech')", "42501");
}
