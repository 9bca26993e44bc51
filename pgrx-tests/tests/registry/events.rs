//! The event log: who did what, when and why.

use tenancy_harness::Session;

use crate::fixture_with_tenants;

fn count(session: &mut impl Session, condition: &str) -> i64 {
    let query = format!("select count(*) from tenancy.event_log e where {condition}");
    session.value(&query).unwrap().parse().unwrap()
}

#[test]
fn every_lifecycle_change_is_logged_with_its_author_and_reason() {
    let (fixture, _) = fixture_with_tenants();
    let admin = fixture.role("admin");
    fixture.run(&format!("select tenancy.grant_admin('{admin}')"));
    let mut superuser = fixture.superuser();
    let mut client = fixture.connect(&admin);
    for change in [
        "select tenancy.create_tenant('initech')",
        "select tenancy.suspend_tenant('initech', 'late payment')",
        "select tenancy.resume_tenant('initech')",
        "select tenancy.suspend_tenant('initech')",
        "select tenancy.archive_tenant('initech')",
    ] {
        let before = count(&mut superuser, "true");
        client.run(change);
        assert_eq!(count(&mut superuser, "true"), before + 1, "{change}");
    }
    assert_eq!(count(&mut superuser, "to_jsonb(e)::text like '%late payment%'"), 1);
    let by_admin = count(&mut superuser, &format!("to_jsonb(e)::text like '%\"{admin}\"%'"));
    assert!(by_admin >= 5, "{by_admin}");
}

#[test]
fn access_and_administration_are_logged() {
    let (fixture, app) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    for change in [
        format!("select tenancy.revoke_access('{app}')"),
        format!("select tenancy.grant_access('{app}', 'acme')"),
        format!("select tenancy.revoke_access('{app}', 'acme')"),
        format!("select tenancy.grant_admin('{app}')"),
        format!("select tenancy.revoke_admin('{app}')"),
    ] {
        let before = count(&mut superuser, "true");
        superuser.run(&change);
        assert_eq!(count(&mut superuser, "true"), before + 1, "{change}");
    }
}

#[test]
fn a_change_that_is_refused_or_undone_is_not_logged() {
    let (fixture, _) = fixture_with_tenants();
    let mut superuser = fixture.superuser();
    let before = count(&mut superuser, "true");
    superuser.run("begin; select tenancy.suspend_tenant('acme'); rollback");
    superuser.refuses("select tenancy.resume_tenant('acme')", "55000");
    assert_eq!(count(&mut superuser, "true"), before);
}

#[test]
fn an_application_role_reads_no_event_of_another_tenant_and_writes_none() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run("select tenancy.suspend_tenant('globex', 'unpaid')");
    let mut client = fixture.connect(&app);
    client.run("begin; select tenancy.set_tenant('acme')");
    if let Ok(rows) = client.query("select e::text from tenancy.event_log e", &[]) {
        let foreign = rows.iter().filter(|row| row.get::<_, String>(0).contains("unpaid")).count();
        assert_eq!(foreign, 0);
    }
    client.run("rollback");
    client.refuses("delete from tenancy.event_log", "42501");
    client.refuses("truncate tenancy.event_log", "42501");
    client.refuses("insert into tenancy.event_log default values", "42501");
}
