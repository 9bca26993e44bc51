//! Functions that run as somebody else, or promise what they may not keep.

use tenancy_harness::Session;

use crate::{Clinic, heals};

heals! {
    a_superusers_function: "SECDEF_BYPASS" on "app.everything()"
        by "create function app.everything() returns bigint language sql security definer
                set search_path = pg_catalog, pg_temp as 'select count(*) from app.orders'";
    a_procedure_for_tenants: "SECDEF_BYPASS" on "app.\"Do It\"(IN what text)"
        by "create procedure app.\"Do It\"(what text) language sql security definer
                set search_path = pg_catalog, pg_temp as 'delete from app.orders';
            revoke execute on procedure app.\"Do It\" from public; grant execute on procedure app.\"Do It\" to {app}";
    no_search_path: "SECDEF_SEARCH_PATH" on "app.f()"
        by "create function app.f() returns int language sql security definer as 'select 1';
            alter function app.f() owner to {other}";
    a_search_path_without_temporary_tables_at_its_end: "SECDEF_SEARCH_PATH" on "app.f()"
        by "create function app.f() returns int language sql security definer
                set search_path = pg_temp, \"My, Path\", app as 'select 1';
            alter function app.f() owner to {other}";
    a_trigger_without_a_search_path: "SECDEF_SEARCH_PATH" on "app.touch()" by "alter function app.touch() reset search_path";
    a_leakproof_function: "LEAKPROOF_FN" on "app.f(text)"
        by "create function app.f(text) returns boolean language plpgsql leakproof as 'begin return true; end'";
}

/// PostgreSQL keeps a path that was taken over FROM CURRENT as it was written: blanks and commas end a name in it, and
/// nothing else does.
#[test]
fn a_path_as_the_session_had_it_is_no_sql_in_the_fix() {
    let clinic = Clinic::new();
    let other = &clinic.other;
    clinic.run("create schema lab authorization {other}; grant usage on schema lab to public");
    let make = |path: &str, name: &str| {
        clinic.fixture.connect(other).run(&format!(
            "select set_config('search_path', '{path}', false);
             create function lab.{name}() returns int language sql security definer set search_path from current as 'select 1'"
        ));
    };
    make(&format!("lab;ALTER/**/ROLE/**/{other}/**/SUPERUSER;--"), "hostile");
    make("LAB,\tapp , \"My, \"\"Path\",PG_temp, \"$user\"", "odd");
    make("lab, Pg_Temp", "healthy");
    make("", "empty");
    let found = clinic.illnesses();
    let fix =
        |name: &str| found.iter().find(|found| found.object == format!("lab.{name}()")).map(|found| found.fix.clone());
    assert_eq!(fix("hostile"), Some(None));
    let odd = "ALTER ROUTINE lab.odd() SET search_path = lab, app, \"My, \"\"Path\", \"$user\", pg_temp";
    assert_eq!(fix("odd"), Some(Some(odd.to_owned())));
    assert_eq!((fix("healthy"), fix("empty")), (None, None));
    clinic.try_fixes();
    assert!(!clinic.is_superuser(other));
    let told = clinic.illnesses();
    assert!(told.len() == 1 && told[0].object == "lab.hostile()" && told[0].detail.contains("set a path"), "{told:#?}");
}

#[test]
fn functions_that_tenants_cannot_call_are_left_alone() {
    let clinic = Clinic::new();
    clinic.run(
        "create function app.f() returns int language sql security definer as 'select 1';
         revoke execute on function app.f from public; grant execute on function app.f to {other};
         create function app.g() returns int language sql security definer set search_path = '' as 'select 1';
         alter function app.g() owner to {other}",
    );
    assert_eq!(clinic.illnesses(), []);
}

#[test]
fn functions_of_the_server_that_reach_far_are_worth_a_note() {
    let clinic = Clinic::new();
    let note = |clinic: &Clinic<'_>| clinic.findings().into_iter().find(|found| found.code == "LEAKY_BUILTIN_PUBLIC");
    assert_eq!(note(&clinic).expect("a note").severity, "info");
    clinic.fix_all();
    assert_eq!(note(&clinic), None);
}
