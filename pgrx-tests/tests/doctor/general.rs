//! What holds for the whole answer: who may ask, what a schema limits it to, odd catalogs.

use tenancy_harness::Session;

use crate::{Clinic, findings};

#[test]
fn only_administrators_may_ask() {
    let clinic = Clinic::new();
    for role in [&clinic.app, &clinic.other] {
        clinic.fixture.connect(role).refuses("select * from tenancy.doctor()", "42501");
    }
    clinic.run("select tenancy.grant_admin('{other}'); alter table app.orders disable row level security");
    let found = findings(&mut clinic.fixture.connect(&clinic.other), "tenancy.doctor()");
    assert!(found.iter().any(|found| found.code == "RLS_DISABLED"), "{found:#?}");
}

#[test]
fn a_schema_limits_what_is_said_about_objects() {
    let clinic = Clinic::new();
    clinic.run(
        "create schema \"Other\"; create table \"Other\".t (tenant_id uuid); create table public.t (tenant_id uuid);
         alter table app.orders disable row level security; drop policy tenant_isolation on app.lines;
         create view \"Other\".v as select * from app.orders",
    );
    let mut client = clinic.fixture.superuser();
    let objects = |found: Vec<crate::Finding>| {
        let mut objects: Vec<_> = found.into_iter().map(|found| format!("{} {}", found.code, found.object)).collect();
        objects.sort();
        objects
    };
    assert_eq!(
        objects(findings(&mut client, "tenancy.doctor('Other')")),
        ["RLS_DISABLED \"Other\".t", "UNCLASSIFIED_TABLE \"Other\".t", "VIEW_BYPASS \"Other\".v"]
    );
    assert_eq!(
        objects(findings(&mut client, "tenancy.doctor(schema => 'app')")),
        ["POLICY_DRIFT app.lines", "RLS_DISABLED app.orders", "TRIGGER_BYPASS touch ON app.orders"]
    );
    client.refuses("select * from tenancy.doctor('nowhere')", "3F000");
}

#[test]
fn it_changes_nothing_and_takes_no_transaction_id() {
    let clinic = Clinic::new();
    let mut client = clinic.fixture.superuser();
    client.run("begin read only; select count(*) from tenancy.doctor()");
    assert_eq!(client.value("select pg_current_xact_id_if_assigned()::text"), None);
    client.run("commit");
}

#[test]
fn the_worst_comes_first_and_every_finding_is_whole() {
    let clinic = Clinic::new();
    clinic.run(
        "alter table app.orders disable row level security; create table app.t (tenant_id uuid);
         grant temporary on database {db} to public; create view app.v as select * from app.orders where id = 1",
    );
    let found = clinic.findings();
    let order = ["critical", "high", "medium", "low", "info"];
    let places: Vec<_> = found.iter().map(|found| order.iter().position(|one| *one == found.severity)).collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{found:#?}");
    for found in found {
        assert!(
            found.detail.ends_with('.') && !found.detail.contains("{}") && !found.detail.contains('?'),
            "{found:#?}"
        );
    }
}

#[test]
fn odd_names_dropped_columns_and_dropped_roles_are_no_trouble() {
    let clinic = Clinic::new();
    clinic.run(
        r#"create schema "It's; a \ ""schema""";
           set search_path = "It's; a \ ""schema""";
           create table "Table, ""1""; --" (dropped int, "Ten'ant \ ID" uuid, "x)(" text unique, dropped2 oid);
           alter table "Table, ""1""; --" drop dropped, drop dropped2;
           select tenancy.protect('"Table, ""1""; --"', 'Ten''ant \ ID');
           alter table "Table, ""1""; --" disable row level security;
           alter table "Table, ""1""; --" alter "Ten'ant \ ID" drop not null;
           create policy "p ol" on "Table, ""1""; --" using (true);
           create rule "r'u" as on delete to "Table, ""1""; --" do nothing;
           create table "Child ; (" (primary key ("x)(")) inherits ("Table, ""1""; --");
           create table loose ("Ten'ant \ ID" uuid);
           create view "V (" as select * from "Table, ""1""; --";
           create role "Gone ""role""; --"; select tenancy.grant_access('Gone "role"; --');
           drop role "Gone ""role""; --""#,
    );
    assert!(clinic.illnesses().len() > 8, "{:#?}", clinic.illnesses());
    // Whatever the settings of who reads and runs them.
    let mut client = clinic.fixture.superuser();
    client
        .run("set standard_conforming_strings = off; set quote_all_identifiers = on; set escape_string_warning = off");
    for fix in client.texts("select fix from tenancy.doctor() where fix is not null") {
        client.run(&fix);
    }
    assert_eq!(clinic.illnesses(), []);
}

#[test]
fn an_audited_table_without_key_is_told_and_the_log_is_none_of_its_business() {
    let clinic = Clinic::new();
    clinic.run(
        "create table app.keyless (tenant_id uuid not null, note text); create table app.keyed (tenant_id uuid primary key);
         select tenancy.protect('app.keyless'); select tenancy.protect('app.keyed');
         select tenancy.audit('app.keyless'), tenancy.audit('app.keyed'); insert into app.keyless select id from tenancy.tenants;
         select tenancy.audit_seal()",
    );
    let mut client = clinic.fixture.superuser();
    let found = findings(&mut client, "tenancy.doctor()");
    let of = |code: &str| -> Vec<&str> {
        found.iter().filter(|found| found.code == code).map(|found| found.object.as_str()).collect()
    };
    assert_eq!(of("AUDIT_NO_KEY"), ["app.keyless"]);
    assert!(found.iter().all(|found| !found.object.contains("audit")), "{found:#?}");
    clinic.run("alter table app.keyless replica identity full; alter table app.keyless add column id integer generated always as identity, add primary key (tenant_id, id)");
    assert!(findings(&mut client, "tenancy.doctor()").iter().all(|found| found.code != "AUDIT_NO_KEY"));
}

#[test]
fn triggers_that_no_longer_record_are_told_and_made_again() {
    let clinic = Clinic::new();
    clinic.run(
        "create table app.kept (tenant_id uuid primary key);
         create table app.\"Parts\" (tenant_id uuid, id int, secret text, primary key (tenant_id, id)) partition by list (id);
         create table app.part partition of app.\"Parts\" default;
         select tenancy.protect('app.kept'); select tenancy.protect('app.\"Parts\"');
         select tenancy.audit('app.kept'), tenancy.audit('app.\"Parts\"', redact => '{secret}');
         set tenancy.guard_ddl = off; drop trigger tenancy_audit_update on app.part;
         alter table only app.part enable trigger tenancy_audit_delete",
    );
    let mut client = clinic.fixture.superuser();
    let mut missing = || {
        client.texts(
            "select concat_ws(' ', object, detail, fix) from tenancy.doctor() where code = 'AUDIT_TRIGGER_MISSING'",
        )
    };
    let found = missing();
    assert!(
        matches!(found.as_slice(), [one] if one.starts_with("app.part ") && one.contains(" 2 of the four ")),
        "{found:#?}"
    );
    let fix = found[0].split_once("SELECT ").map(|(_, fix)| format!("SELECT {fix}")).unwrap();
    assert_eq!(
        fix.trim_end_matches(';'),
        r#"SELECT tenancy.audit('app."Parts"', ignore => '{}', redact => '{secret}')"#
    );
    clinic.run(&fix);
    assert_eq!(missing(), Vec::<String>::new());
}
