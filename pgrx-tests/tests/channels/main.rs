//! One test for each way round row security that docs/security.md counts and no other test shows: closed, guarded, or
//! reported by the doctor. The rooms are the sections of that page, the numbers its numbers.

mod actions;
mod context;
mod dml;
mod exempt;
mod keys;
mod objects;
mod side;

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Cluster, Fixture, GLOBEX, Session, World};

/// Rows of `orders`.
const ACMES: [&str; 2] = ["acme 1", "acme 2"];
const ALL: [&str; 5] = ["acme 1", "acme 2", "globex 1", "globex 2", "globex 3"];

/// A database with tenants `acme` and `globex`, an application role, and an ordinary role that owns table `orders`:
/// protected, with two rows of the one and three of the other.
struct Shop<'c> {
    fixture: Fixture<'c>,
    app: String,
    owner: String,
}

impl Shop<'static> {
    fn new() -> Self {
        Self::fill(Fixture::new())
    }
}

impl<'c> Shop<'c> {
    fn on(cluster: &'c Cluster) -> Self {
        Self::fill(Fixture::on(cluster))
    }

    fn fill(fixture: Fixture<'c>) -> Self {
        let app = fixture.app();
        let owner = fixture.role("owner");
        fixture.register(&[ACME, GLOBEX]);
        fixture.run(&format!(
            "create table orders (id integer, tenant_id uuid, body text, primary key (tenant_id, id));
             insert into orders select n, '{}', 'acme ' || n from generate_series(1, 2) n;
             insert into orders select n, '{}', 'globex ' || n from generate_series(1, 3) n;
             select tenancy.protect('orders');
             select tenancy.grant_admin('{owner}'); grant create on schema public to {owner};
             alter table orders owner to {owner}",
            ACME.id, GLOBEX.id
        ));
        Self { fixture, app, owner }
    }

    /// A session of the application's role.
    #[track_caller]
    fn app(&self) -> Client {
        self.fixture.connect(&self.app)
    }

    /// Runs what a superuser in a hurry does, past the guard. `{app}` and `{owner}` are the roles.
    #[track_caller]
    fn weaken(&self, statements: &str) {
        let mut superuser = self.fixture.superuser();
        superuser.run("set tenancy.guard_ddl = off");
        superuser.run(&self.fill_in(statements));
    }

    fn fill_in(&self, text: &str) -> String {
        text.replace("{app}", &self.app).replace("{owner}", &self.owner).replace("{db}", self.fixture.database())
    }

    /// Hardens the application's role.
    #[track_caller]
    fn harden(&self, profile: &str) {
        self.fixture.run(&format!("select tenancy.harden_role('{}', '{profile}')", self.app));
    }

    /// What the application sees in column `body` while it acts for `acme`.
    #[track_caller]
    fn seen(&self, table: &str) -> Vec<String> {
        let mut client = self.app();
        seen_by(&mut client, table)
    }

    /// Objects that the doctor finds this on.
    #[track_caller]
    fn found(&self, code: &str) -> Vec<String> {
        let query = format!("select object from tenancy.doctor() where code = '{code}' order by 1");
        self.fixture.superuser().texts(&query)
    }

    /// The doctor finds this on the object, and his fix mends it.
    #[track_caller]
    fn mend(&self, code: &str, object: &str) {
        let object = self.fill_in(object);
        assert!(self.found(code).contains(&object), "{code} is found on {:?}, not on {object}", self.found(code));
        let fix = format!("select fix from tenancy.doctor() where code = '{code}' and object = '{object}'");
        for fix in self.fixture.superuser().texts(&fix) {
            self.fixture.run(&fix);
        }
        assert!(!self.found(code).contains(&object), "{code} is still found on {object}");
    }
}

/// What the session sees in column `body` while it acts for `acme`.
#[track_caller]
fn seen_by(client: &mut Client, table: &str) -> Vec<String> {
    let mut tx = World::begin(client, ACME);
    tx.texts(&format!("select body from {table} order by 1"))
}
