//! A superuser who has changed the extension's own tables gets an error, and no crash.

use tenancy_harness::Session;

use crate::fixture_with_tenants;

#[test]
fn a_column_of_another_type_is_an_error() {
    for (table, change) in [
        ("tenants", "drop constraint tenants_region_check, alter column region type int using 7"),
        (
            "tenants",
            "drop constraint tenants_status_check, alter column status drop default, alter column status type int using 7",
        ),
        (
            "tenants",
            "drop constraint tenants_key_is_valid,
             alter column key type bigint using hashtext(key)",
        ),
        ("tenants", "drop column region"),
        ("access", "alter column role type bigint using 7"),
    ] {
        let (fixture, app) = fixture_with_tenants();
        // A view keeps PostgreSQL from changing some of them.
        fixture.run("alter extension pg_tenancy drop view tenancy.quota_usage; drop view tenancy.quota_usage");
        fixture.run(&format!("alter table tenancy.{table} {change}"));
        let error = fixture.connect(&app).refuses("begin; select tenancy.set_tenant('acme')", "XX000");
        assert_eq!(error.message(), "pg_tenancy is not installed in this database, or is damaged", "{change}");
    }
}

#[test]
fn a_session_that_ignores_indexes_reads_the_same() {
    let (fixture, app) = fixture_with_tenants();
    let narrow = fixture.role("narrow");
    fixture.run(&format!("select tenancy.grant_access('{narrow}', 'acme')"));
    for (role, tenant, state) in [(&app, "acme", None), (&narrow, "acme", None), (&narrow, "globex", Some("42501"))] {
        let mut client = fixture.try_connect(role, "-c ignore_system_indexes=on").expect("a session");
        let set = format!("begin; select tenancy.set_tenant('{tenant}')");
        match state {
            None => client.run(&set),
            Some(state) => drop(client.refuses(&set, state)),
        }
    }
}
