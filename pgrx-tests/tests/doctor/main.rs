//! `tenancy.doctor()`: whatever weakens isolation is reported, and the fixes it gives mend it.
//!
//! Each test starts from a healthy database, breaks one thing, and expects the code on the object; runs every fix that
//! the doctor gives, in its order and without an error; and expects the code to be gone.

mod functions;
mod general;
mod keys;
mod objects;
mod policies;
mod privileges;
mod roles;
mod server;
mod tables;
mod views;

use tenancy_harness::postgres::Client;
use tenancy_harness::{Fixture, Session};

/// A row of the doctor's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    code: String,
    severity: String,
    object: String,
    detail: String,
    fix: Option<String>,
}

/// Tables of every kind and family, with all that the doctor may look at, as they should be. `{app}` acts for every
/// tenant, `{other}` for none, `{db}` is the database, which belongs to `{keeper}`.
const HEALTHY: &str = "
    create schema app;
    grant usage on schema app to {app};
    revoke temporary on database {db} from public;
    create table app.orders (
        id integer, tenant_id uuid, email text, note text,
        primary key (tenant_id, id), unique (tenant_id, email)
    );
    create table app.lines (
        id integer, tenant_id uuid, order_id integer, primary key (tenant_id, id),
        foreign key (tenant_id, order_id) references app.orders (tenant_id, id) on delete set null (order_id)
    );
    create index on app.lines (tenant_id, order_id);
    create table app.prices (tenant_id text collate \"C\", item text, unique nulls not distinct (tenant_id, item));
    create table app.journal (tenant_id bigint, line text);
    create table app.events (tenant_id uuid, at date, what text, primary key (tenant_id, at, what)) partition by range (at);
    create table app.events_2025 partition of app.events for values from ('2025-01-01') to ('2026-01-01');
    create table app.events_2026 partition of app.events for values from ('2026-01-01') to ('2027-01-01')
        partition by list (what);
    create table app.events_2026_rest partition of app.events_2026 default;
    create table app.parent (tenant_id uuid, body text);
    create table app.child (extra text) inherits (app.parent);
    create table app.countries (code text primary key);
    select tenancy.protect('app.orders'), tenancy.protect('app.lines'), tenancy.protect('app.prices', kind => 'shared'),
           tenancy.protect('app.journal', kind => 'append_only'), tenancy.protect('app.events'),
           tenancy.protect('app.parent'), tenancy.classify('app.countries', 'global');
    create view app.recent with (security_invoker = true, security_barrier = true) as
        select * from app.orders where id > 10;
    create materialized view app.totals as select count(*) from app.orders;
    create function app.touch() returns trigger language plpgsql security definer
        set search_path = pg_catalog, pg_temp as 'begin return new; end';
    create trigger touch before update on app.orders for each row execute function app.touch();
    grant select, insert, update, delete on all tables in schema app to {app};
    revoke all on app.totals from {app};";

/// A healthy database with its roles.
struct Clinic<'c> {
    fixture: Fixture<'c>,
    app: String,
    other: String,
    keeper: String,
}

impl Clinic<'static> {
    fn new() -> Self {
        Self::within(Fixture::new())
    }
}

impl<'c> Clinic<'c> {
    fn within(fixture: Fixture<'c>) -> Self {
        let app = fixture.role("app");
        let other = fixture.role("other");
        let keeper = fixture.role("keeper");
        fixture.run(&format!("select tenancy.grant_access('{app}')"));
        fixture.run(&format!("alter database {} owner to {keeper}", fixture.database()));
        let clinic = Self { fixture, app, other, keeper };
        clinic.fixture.run(&clinic.fill(HEALTHY));
        clinic
    }

    fn fill(&self, text: &str) -> String {
        let text = text.replace("{app}", &self.app).replace("{other}", &self.other).replace("{keeper}", &self.keeper);
        text.replace("{db}", self.fixture.database())
    }

    /// Runs what breaks the database: the guard would refuse much of it.
    #[track_caller]
    fn run(&self, statements: &str) {
        let mut client = self.fixture.superuser();
        client.run("set tenancy.guard_ddl = off");
        client.run(&self.fill(statements));
    }

    #[track_caller]
    fn findings(&self) -> Vec<Finding> {
        findings(&mut self.fixture.superuser(), "tenancy.doctor()")
    }

    /// What is found besides notes, and besides the age of the server that the tests happen to run on.
    #[track_caller]
    fn illnesses(&self) -> Vec<Finding> {
        let ill = |found: &Finding| found.severity != "info" && found.code != "SERVER_TOO_OLD";
        self.findings().into_iter().filter(ill).collect()
    }

    /// Runs the fixes in the doctor's order; each must work.
    #[track_caller]
    fn fix_all(&self) {
        for found in self.findings() {
            let Some(fix) = &found.fix else { continue };
            if let Err(error) = self.fixture.superuser().batch_execute(fix) {
                panic!("{error:?}\nin the fix of {found:#?}");
            }
        }
    }

    /// Breaks a healthy database, and has the doctor find and mend it. Nothing else may be ill in the end.
    #[track_caller]
    fn heals(&self, code: &str, object: &str, broken_by: &str) {
        assert_eq!(self.illnesses(), [], "before");
        self.run(broken_by);
        let object = self.fill(object);
        let found = self.illnesses();
        let matching = found.iter().find(|found| found.code == code && found.object == object);
        let Some(matching) = matching else { panic!("{code} on {object} is not among {found:#?}") };
        assert!(matching.fix.is_some(), "{matching:#?}");
        self.fix_all();
        let left = self.illnesses();
        assert!(!left.iter().any(|found| found.code == code), "{left:#?}");
        assert_eq!(left, [], "after the fixes");
    }

    /// Breaks a healthy database in a way that SQL can't mend without knowing what was meant: it is found, said what to
    /// do, and left as it is.
    #[track_caller]
    fn is_told(&self, code: &str, object: &str, broken_by: &str, advice: &str) {
        self.run(broken_by);
        let object = self.fill(object);
        let told = |found: &Finding| found.code == code && found.object == object;
        for when in ["before", "after"] {
            let found = self.illnesses();
            let Some(found) = found.iter().find(|found| told(found)) else { panic!("{when}: {found:#?}") };
            assert_eq!(found.fix, None, "{when}");
            assert!(found.detail.contains(advice), "{when}: {found:#?}");
            self.fix_all();
        }
    }

    /// Whether the role has come to be a superuser.
    #[track_caller]
    fn is_superuser(&self, role: &str) -> bool {
        let query = format!("select rolsuper from pg_roles where rolname = '{role}'");
        self.fixture.superuser().value(&query).as_deref() == Some("t")
    }

    /// Runs every fix, each as one text, whatever comes of it.
    #[track_caller]
    fn try_fixes(&self) {
        let mut superuser = self.fixture.superuser();
        for fix in self.findings().into_iter().filter_map(|found| found.fix) {
            let _ = superuser.batch_execute(&fix);
        }
    }
}

#[track_caller]
fn findings(client: &mut Client, call: &str) -> Vec<Finding> {
    let rows = client.query(&format!("select code, severity, object, detail, fix from {call}"), &[]);
    let rows = rows.unwrap_or_else(|error| panic!("{error:?}"));
    let rows = rows.iter().map(|row| Finding {
        code: row.get(0),
        severity: row.get(1),
        object: row.get(2),
        detail: row.get(3),
        fix: row.get(4),
    });
    rows.collect()
}

/// One test per line: its name, the code, the object it is found on, and what breaks a healthy database.
macro_rules! heals {
    ($($name:ident: $code:literal on $object:literal by $broken_by:literal;)*) => {
        $(#[test]
        fn $name() {
            crate::Clinic::new().heals($code, $object, $broken_by);
        })*
    };
}
use heals;

/// The codes found on an object.
fn codes_on<'f>(findings: &'f [Finding], object: &str) -> Vec<&'f str> {
    findings.iter().filter(|found| found.object == object).map(|found| found.code.as_str()).collect()
}

#[test]
fn a_healthy_database_is_found_healthy() {
    let clinic = Clinic::new();
    assert_eq!(clinic.illnesses(), []);
    let protected = clinic.fixture.superuser().value("select count(*) from tenancy.protected_tables");
    assert_eq!(protected.as_deref(), Some("10"));
}
