//! `adopt()`: all in one transaction.

use tenancy_harness::{Fixture, Session};

use crate::{GLOBAL, application, counts, is_adopted, plan};

#[test]
fn an_application_is_adopted_at_once() {
    let fixture = Fixture::new();
    let app = application(&fixture);
    let mut superuser = fixture.superuser();
    let before = counts(&mut superuser);
    let done = superuser.texts(&format!("select tenancy.adopt('app', 'acme', {GLOBAL})"));
    assert!(done.iter().any(|ddl| ddl.contains("ADD COLUMN tenant_id uuid NOT NULL DEFAULT")), "{done:#?}");
    assert_eq!(counts(&mut superuser), before);
    assert_eq!(plan(&mut superuser), Vec::<String>::new());
    is_adopted(&fixture, &app);
    let again = superuser.texts(&format!("select tenancy.adopt('app', 'acme', {GLOBAL})"));
    assert_eq!(again, Vec::<String>::new());
    let events = superuser.texts("select object from tenancy.event_log where event = 'schema.adopted'");
    assert_eq!(events, ["app"]);
}

#[test]
fn what_fails_leaves_all_as_it_was() {
    let fixture = Fixture::new();
    application(&fixture);
    // A row of globex's refers to one that will be acme's.
    let mut superuser = fixture.superuser();
    superuser.run("update app.comments set tenant_id = 'bbbbbbbb-0000-4000-8000-000000000002'");
    superuser.refuses(&format!("select tenancy.adopt('app', 'acme', {GLOBAL})"), "23503");
    let left = "select attrelid::regclass::text from pg_attribute where attname = 'tenant_id' and attrelid in
                (select oid from pg_class where relnamespace = 'app'::regnamespace and relkind in ('r', 'p') and not relispartition)
                order by 1";
    assert_eq!(superuser.texts(left), ["app.comments", "app.deliveries", "app.journal"]);
    let protected = "select count(*) from tenancy.protected_tables";
    assert_eq!(superuser.value(protected).as_deref(), Some("0"));
}
