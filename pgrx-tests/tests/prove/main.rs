//! `tenancy.prove()`: attacks are blocked on a healthy schema, succeed on a broken one, and leave nothing behind.

mod aftermath;
mod broken;
mod callers;
mod healthy;
mod planting;

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Fixture, GLOBEX, Session};

/// A row of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    table: String,
    attack: String,
    blocked: Option<bool>,
    detail: String,
}

/// Tables of every kind and family. `{app}` acts for every tenant.
const HEALTHY: &str = "
    create schema app;
    grant usage on schema app to {app};
    create table app.orders (
        id integer, tenant_id uuid, email text not null, note text check (note <> ''),
        primary key (tenant_id, id), unique (tenant_id, email)
    );
    create table app.lines (
        id bigint generated always as identity, tenant_id uuid, order_id integer not null, primary key (tenant_id, id),
        foreign key (tenant_id, order_id) references app.orders (tenant_id, id) on delete cascade
    );
    create table app.prices (tenant_id text collate \"C\", item text, unique nulls not distinct (tenant_id, item));
    create table app.journal (tenant_id integer, line text);
    create table app.events (tenant_id smallint, at date, what text, primary key (tenant_id, at, what))
        partition by range (at);
    create table app.events_2025 partition of app.events for values from ('2025-01-01') to ('2026-01-01');
    create table app.events_2026 partition of app.events for values from ('2026-01-01') to ('2027-01-01')
        partition by list (what);
    create table app.events_2026_rest partition of app.events_2026 default;
    create table app.parent (tenant_id varchar(40), body text);
    create table app.child (extra integer not null) inherits (app.parent);
    create table app.countries (code text primary key);
    select tenancy.protect('app.orders'), tenancy.protect('app.lines'), tenancy.protect('app.prices', kind => 'shared'),
           tenancy.protect('app.journal', kind => 'append_only'), tenancy.protect('app.events'),
           tenancy.protect('app.parent'), tenancy.classify('app.countries', 'global');
    create view app.recent with (security_invoker = true) as select * from app.orders where id <> 0;
    create view app.mail as select email from app.orders where tenant_id = tenancy.current_tenant();
    grant select, insert, update, delete on all tables in schema app to {app};
    insert into app.orders (id, tenant_id, email, note)
        select row_number() over (order by key, n), t.id, key || n || '@example.com', 'of ' || t.key
        from tenancy.tenants t, generate_series(1, 3) n;";

/// A healthy database with its application's role.
struct Lab {
    fixture: Fixture<'static>,
    app: String,
}

impl Lab {
    /// Without any table.
    fn empty() -> Self {
        let fixture = Fixture::new();
        let app = fixture.role("app");
        fixture.run(&format!("select tenancy.grant_access('{app}')"));
        fixture.register(&[ACME, GLOBEX]);
        Self { fixture, app }
    }

    fn new() -> Self {
        let lab = Self::empty();
        lab.run(HEALTHY);
        lab
    }

    fn fill(&self, text: &str) -> String {
        text.replace("{app}", &self.app)
    }

    /// Runs what breaks the database: the guard would refuse much of it.
    #[track_caller]
    fn run(&self, statements: &str) {
        let mut client = self.fixture.superuser();
        client.run("set tenancy.guard_ddl = off");
        client.run(&self.fill(statements));
    }

    #[track_caller]
    fn prove(&self, table: &str) -> Vec<Finding> {
        prove(&mut self.fixture.superuser(), &format!("tenancy.prove('{table}')"))
    }

    /// The attacks on the table that succeed once the statements have run; none did before.
    #[track_caller]
    fn open_after(&self, table: &str, statements: &str) -> Vec<String> {
        let before = self.prove(table);
        assert!(before.iter().all(|found| found.blocked == Some(true)), "before: {before:#?}");
        self.run(statements);
        let after = self.prove(table);
        assert!(after.iter().all(|found| found.blocked.is_some()), "{after:#?}");
        open(&after)
    }
}

#[track_caller]
fn prove(client: &mut Client, call: &str) -> Vec<Finding> {
    let rows = client.query(&format!("select tbl::regclass::text, attack, blocked, detail from {call}"), &[]);
    let rows = rows.unwrap_or_else(|error| panic!("{error:?}"));
    let rows = rows.iter().map(|row| Finding {
        table: row.get(0),
        attack: row.get(1),
        blocked: row.get(2),
        detail: row.get(3),
    });
    rows.collect()
}

/// The attacks that succeeded.
fn open(findings: &[Finding]) -> Vec<String> {
    let open = findings.iter().filter(|found| found.blocked == Some(false));
    open.map(|found| found.attack.clone()).collect()
}

/// What came of one attack.
#[track_caller]
fn of<'f>(findings: &'f [Finding], attack: &str) -> &'f Finding {
    let found = findings.iter().find(|found| found.attack == attack);
    found.unwrap_or_else(|| panic!("no attack {attack} in {findings:#?}"))
}
