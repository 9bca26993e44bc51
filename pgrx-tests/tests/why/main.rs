//! `tenancy.why()`: it explains one row to whoever asks, and tells nobody of a row that he may not know of.

mod discretion;
mod explanations;
mod keys;
mod privileges;

use tenancy_harness::postgres::{Client, GenericClient};
use tenancy_harness::{ACME, Fixture, GLOBEX, Session};

/// A line of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    name: String,
    passed: Option<bool>,
    detail: String,
}

/// A database with tenants `acme` and `globex`, the table `orders` with rows 1 (acme) and 2 (globex), and the roles of an
/// application and an administrator.
struct Shop {
    fixture: Fixture<'static>,
    app: String,
    admin: String,
}

impl Shop {
    fn new() -> Self {
        let fixture = Fixture::new();
        let app = fixture.app();
        let admin = fixture.role("admin");
        fixture.register(&[ACME, GLOBEX]);
        fixture.run(&format!(
            "create table orders (id bigint primary key, tenant_id uuid, body text);
             select tenancy.protect('orders');
             insert into orders values (1, '{}', 'secret of acme'), (2, '{}', 'secret of globex');
             select tenancy.grant_admin('{admin}'); grant {app} to {admin}",
            ACME.id, GLOBEX.id
        ));
        Self { fixture, app, admin }
    }

    /// Runs what the guard may refuse.
    #[track_caller]
    fn run(&self, statements: &str) {
        let mut client = self.fixture.superuser();
        client.run("set tenancy.guard_ddl = off");
        client.run(&statements.replace("{app}", &self.app));
    }

    /// A session of the application that acts for acme.
    #[track_caller]
    fn as_app(&self) -> Client {
        let mut client = self.fixture.connect(&self.app);
        client.run("set tenancy.tenant_id = 'acme'");
        client
    }

    /// What the application is told of a row of `orders`, acting for acme.
    #[track_caller]
    fn told(&self, key: &str) -> Vec<Check> {
        why(&mut self.as_app(), "orders", key)
    }

    /// What an administrator is told, who has logged in and taken the application's role.
    #[track_caller]
    fn told_to_admin(&self, key: &str) -> Vec<Check> {
        let mut client = self.fixture.connect(&self.admin);
        client.run(&format!("set role {}; set tenancy.tenant_id = 'acme'", self.app));
        why(&mut client, "orders", key)
    }
}

#[track_caller]
fn why(client: &mut impl GenericClient, table: &str, key: &str) -> Vec<Check> {
    let rows = client.query(&format!("select check_name, passed, detail from tenancy.why('{table}', '{key}')"), &[]);
    let rows = rows.unwrap_or_else(|error| panic!("{error:?}"));
    rows.iter().map(|row| Check { name: row.get(0), passed: row.get(1), detail: row.get(2) }).collect()
}

/// One line's outcome and words.
#[track_caller]
fn of<'c>(checks: &'c [Check], name: &str) -> (Option<bool>, &'c str) {
    let check = checks.iter().find(|check| check.name == name);
    let check = check.unwrap_or_else(|| panic!("no {name} in {checks:#?}"));
    (check.passed, &check.detail)
}

/// Whether the row can be selected, updated and deleted.
#[track_caller]
fn verdict(checks: &[Check]) -> [Option<bool>; 3] {
    ["can_select", "can_update", "can_delete"].map(|name| of(checks, name).0)
}

const YES: [Option<bool>; 3] = [Some(true); 3];
const NO: [Option<bool>; 3] = [Some(false); 3];
