//! The server, the library and the extension's own triggers.

use tenancy_harness::{Fixture, Session};

use crate::{Clinic, heals};

heals! {
    a_registry_trigger_that_replicas_skip: "TRIGGER_NOT_ALWAYS" on "registry_changed ON tenancy.tenants"
        by "alter table tenancy.tenants enable trigger registry_changed";
    a_disabled_registry_trigger: "TRIGGER_NOT_ALWAYS" on "registry_changed ON tenancy.access"
        by "alter table tenancy.access disable trigger registry_changed";
    a_dropped_registry_trigger: "TRIGGER_MISSING" on "registry_changed ON tenancy.access"
        by "drop trigger registry_changed on tenancy.access";
    a_disabled_guard_of_the_last_owner: "TRIGGER_NOT_ALWAYS" on "keep_owner_at_delete ON tenancy.members"
        by "alter table tenancy.members disable trigger keep_owner_at_delete";
    a_dropped_guard_of_the_last_owner: "TRIGGER_MISSING" on "keep_owner_at_update ON tenancy.members"
        by "drop trigger keep_owner_at_update on tenancy.members";
    an_event_trigger_that_replicas_skip: "TRIGGER_NOT_ALWAYS" on "tenancy_forget_dropped"
        by "alter event trigger tenancy_forget_dropped enable";
    a_disabled_event_trigger: "EVENT_TRIGGER_DISABLED" on "tenancy_forget_dropped"
        by "alter event trigger tenancy_forget_dropped disable";
    a_dropped_event_trigger: "EVENT_TRIGGER_MISSING" on "tenancy_forget_dropped"
        by "alter extension pg_tenancy drop event trigger tenancy_forget_dropped;
            drop event trigger tenancy_forget_dropped";
    a_disabled_guard: "EVENT_TRIGGER_DISABLED" on "tenancy_guard_drop"
        by "alter event trigger tenancy_guard_drop disable";
    a_dropped_guard: "EVENT_TRIGGER_MISSING" on "tenancy_guard_command"
        by "alter extension pg_tenancy drop event trigger tenancy_guard_command;
            drop event trigger tenancy_guard_command";
}

#[test]
fn a_trigger_of_the_registry_made_again_is_the_one_that_was_there() {
    let clinic = Clinic::new();
    let mut client = clinic.fixture.superuser();
    let query = "select format('%s %s %s %s', tgrelid::regclass, tgname, tgtype, tgenabled) from pg_trigger
                  where tgfoid in ('tenancy.registry_changed'::regproc, 'tenancy.members_changed'::regproc,
                                  'tenancy.keep_owner'::regproc, 'tenancy.parent_set'::regproc,
                                  'tenancy.parent_left'::regproc, 'tenancy.note_load'::regproc) order by 1";
    let before = client.texts(query);
    assert_eq!(before.len(), 22);
    // What a statement tells of is not told for each of its rows as well.
    assert!(before.contains(&"tenancy.tenants tree_grown 5 R".to_owned()), "{before:?}");
    for table in ["tenancy.tenants", "tenancy.access", "tenancy.jwt_keys", "tenancy.plans", "tenancy.default_settings"]
    {
        for name in ["registry_changed", "registry_changed_in_bulk"] {
            clinic.run(&format!("drop trigger {name} on {table}"));
        }
    }
    clinic.run(
        "drop trigger members_changed on tenancy.members; drop trigger members_changed_in_bulk on tenancy.members;
         drop trigger tree_grown on tenancy.tenants; drop trigger parent_set on tenancy.tenants;
         drop trigger parent_left on tenancy.tenants; drop trigger parent_renamed on tenancy.tenants;
         drop trigger parent_moves on tenancy.tenants; drop trigger note_load on tenancy.tenants;
         drop trigger note_load on tenancy.hosts; drop trigger note_load on tenancy.members;
         drop trigger keep_owner_at_update on tenancy.members; drop trigger keep_owner_at_delete on tenancy.members",
    );
    clinic.fix_all();
    assert_eq!(client.texts(query), before);
}

#[test]
fn an_event_trigger_made_again_is_the_one_that_was_there() {
    let clinic = Clinic::new();
    let mut client = clinic.fixture.superuser();
    let query =
        "select format('%s %s %s %s', evtname, evtevent, evttags, evtenabled) from pg_event_trigger order by evtname";
    let before = client.texts(query);
    for name in client.texts("select evtname::text from pg_event_trigger") {
        clinic.run(&format!("alter extension pg_tenancy drop event trigger {name}; drop event trigger {name}"));
    }
    assert_eq!(client.texts(query), Vec::<String>::new());
    clinic.fix_all();
    assert_eq!(client.texts(query), before);
}

#[test]
fn a_library_that_is_not_preloaded() {
    let clinic = Clinic::within(Fixture::without_preload());
    clinic.run("alter database {db} set session_preload_libraries = 'auto_explain', '$libdir/passwordcheck'");
    let found = |clinic: &Clinic<'_>| clinic.findings().iter().any(|found| found.code == "NOT_PRELOADED");
    assert!(found(&clinic));
    clinic.fix_all();
    assert!(!found(&clinic));
    let libraries = clinic.fixture.superuser().value("show session_preload_libraries").expect("libraries");
    assert_eq!(libraries.replace('"', ""), "auto_explain, $libdir/passwordcheck, pg_tenancy");
}

#[test]
fn a_server_is_too_old_or_it_is_not() {
    let clinic = Clinic::new();
    let found: Vec<_> = clinic.findings().into_iter().filter(|found| found.code == "SERVER_TOO_OLD").collect();
    let version = clinic.fixture.cluster().version();
    let floor = [(15, 20), (16, 16), (17, 12), (18, 7)].into_iter().find(|(major, _)| *major == version / 10_000);
    let is_old = floor.is_some_and(|(_, minor)| version % 10_000 < minor);
    assert_eq!(found.len(), usize::from(is_old), "{found:#?}");
    for found in found {
        assert_eq!((found.severity.as_str(), found.fix), ("high", None));
        assert!(found.detail.contains("CVE-2026-120154") && found.detail.contains("update to"), "{}", found.detail);
    }
}
