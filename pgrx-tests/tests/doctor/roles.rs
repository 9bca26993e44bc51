//! Roles that act for tenants, and what else they can.

use tenancy_harness::Session;

use crate::{Clinic, heals};

heals! {
    a_bypassing_role: "ROLE_BYPASSRLS" on "{app}" by "alter role {app} bypassrls";
    a_superuser: "ROLE_BYPASSRLS" on "{app}" by "alter role {app} superuser bypassrls";
    the_first_superuser: "ROLE_BYPASSRLS" on "postgres" by "select tenancy.grant_access('postgres')";
    a_bypassing_role_that_inherits: "ROLE_BYPASSRLS" on "{other}" by "grant {app} to {other}; alter role {other} bypassrls";
    a_superuser_that_inherits: "ROLE_BYPASSRLS" on "{other}" by "grant {app} to {other}; alter role {other} superuser";
    a_member_of_a_bypassing_role: "ROLE_CAN_BYPASS" on "{app}" by "alter role {other} bypassrls; grant {other} to {app}";
    a_member_of_a_superuser: "ROLE_CAN_BYPASS" on "{app}" by "grant postgres to {other}; grant {other} to {app}";
    a_reader_of_files: "ROLE_CAN_BYPASS" on "{app}" by "grant pg_read_server_files to {app}";
    a_reader_of_all_data: "ROLE_CAN_BYPASS" on "{app}" by "grant pg_read_all_data to {other}; grant {other} to {app}";
    a_member_of_the_owner: "ROLE_OWNS_TABLES" on "{app}"
        by "alter table app.journal owner to {other}; grant {other} to {app}";
    a_signed_role_that_becomes_another: "SIGNED_ROLE_REACHES_DIRECT" on "{other}"
        by "alter role {other} noinherit; grant {app} to {other};
            select tenancy.grant_access('{other}', mode => 'signed'),
                   tenancy.add_jwt_key('k', 'HS256', 'a secret of thirty-two bytes or more')";
    a_replicating_role: "ROLE_REPLICATION" on "{app}" by "alter role {app} replication";
    a_role_that_makes_roles: "ROLE_CREATEROLE" on "{app}" by "alter role {app} createrole";
    row_security_off_for_a_role: "ROLE_SETTING" on "{app}" by "alter role {app} set row_security = off";
    a_replica_role_in_one_database: "ROLE_SETTING" on "{app}"
        by "alter role {app} in database {db} set session_replication_role = replica";
    a_search_path_with_temporary_tables: "ROLE_SETTING" on "{app}"
        by "alter role {app} set search_path = pg_temp, app, pg_catalog";
    access_for_nobody: "ACCESS_ROLE_MISSING" on "tenancy.access"
        by "create role \"Gone, one\"; select tenancy.create_tenant('acme');
            select tenancy.grant_access('Gone, one', 'acme'), tenancy.grant_access('Gone, one'); drop role \"Gone, one\"";
}

#[test]
fn access_by_token_wants_a_key() {
    Clinic::new().is_told(
        "JWT_KEY_MISSING",
        "tenancy.jwt_keys",
        "select tenancy.grant_access('{other}', mode => 'signed'),
                tenancy.add_jwt_key('old', 'HS256', 'a secret of thirty-two bytes or more', not_after => now())",
        "tenancy.import_jwks()",
    );
}

#[test]
fn an_owners_table_may_bear_what_he_likes() {
    Clinic::new().is_told(
        "ROLE_OWNS_TABLES",
        "app.journal",
        "alter table app.journal owner to {app}",
        "give it to a role",
    );
}

#[test]
fn settings_that_may_be_meant_are_a_note() {
    let clinic = Clinic::new();
    clinic.run("alter role {app} set search_path = app, public; alter role {app} set tenancy.allow_switch = on");
    assert_eq!(clinic.illnesses(), []);
    let notes: Vec<_> = clinic.findings().into_iter().filter(|found| found.code == "ROLE_SETTING").collect();
    assert_eq!(notes.len(), 2, "{notes:#?}");
    assert!(notes.iter().all(|note| note.severity == "info" && note.fix.is_none()), "{notes:#?}");
}

#[test]
fn roles_without_access_are_their_own_business() {
    let clinic = Clinic::new();
    clinic.run(
        "alter role {other} bypassrls createrole replication; alter role {other} set row_security = off;
         grant create on schema app to {other}; alter table app.journal owner to {other}",
    );
    assert_eq!(clinic.illnesses(), []);
}

#[test]
fn inheriting_access_makes_a_role_act_for_tenants() {
    let clinic = Clinic::new();
    clinic.run("alter role {other} replication");
    let replicates = |clinic: &Clinic<'_>| clinic.findings().iter().any(|found| found.code == "ROLE_REPLICATION");
    assert!(!replicates(&clinic));
    clinic.run("grant {app} to {other}");
    assert!(replicates(&clinic));
}

#[test]
fn who_runs_the_fixes_stays_a_superuser() {
    let clinic = Clinic::new();
    clinic.run("alter role {other} superuser; select tenancy.grant_access('{other}')");
    let mut client = clinic.fixture.connect(&clinic.other);
    for fix in client.texts("select fix from tenancy.doctor() where fix is not null") {
        client.run(&fix);
    }
    assert_eq!(
        client.value("select rolsuper::text from pg_roles where rolname = session_user").as_deref(),
        Some("true")
    );
    assert_eq!(clinic.illnesses(), []);
}
