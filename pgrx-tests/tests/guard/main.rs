//! What keeps a protected table protected: the DDL guard, the TRUNCATE guard, managed schemas.

mod dump;
mod grants;
mod managed;
mod parents;
mod parts;
mod races;
mod reassign;
mod refusals;
mod truncate;

use tenancy_harness::{ACME, Fixture, GLOBEX, Session};

/// A database with tenants `acme` and `globex`, an application role, and an ordinary role that owns `orders`: protected, with
/// one row of each tenant.
struct Shop {
    fixture: Fixture<'static>,
    app: String,
    owner: String,
}

impl Shop {
    fn new() -> Self {
        let fixture = Fixture::new();
        let app = fixture.app();
        let owner = fixture.role("owner");
        fixture.register(&[ACME, GLOBEX]);
        fixture.run(&format!(
            "grant create on schema public to {owner}; select tenancy.grant_admin('{owner}');
             set role {owner}; {}; select tenancy.protect('orders');
             grant select on orders to {app}",
            Self::table("orders")
        ));
        Self { fixture, app, owner }
    }

    /// Statements that make a table with one row of each tenant.
    fn table(name: &str) -> String {
        format!(
            "create table {name} (id integer not null, tenant_id uuid not null, body text);
             insert into {name} values (1, '{}', 'acme'), (2, '{}', 'globex')",
            ACME.id, GLOBEX.id
        )
    }

    /// What tenant `acme` sees in column `body` of `table`.
    #[track_caller]
    fn seen_by_acme(&self, table: &str) -> Vec<String> {
        let mut client = self.fixture.connect(&self.app);
        client.run("begin; select tenancy.set_tenant('acme')");
        client.texts(&format!("select body from {table} order by 1"))
    }

    /// Whether protecting the table again finds nothing to do.
    #[track_caller]
    fn is_whole(&self, table: &str) -> bool {
        self.fixture.superuser().texts(&format!("select tenancy.protect('{table}', dry_run => true)")).is_empty()
    }

    /// How many tables are recorded as protected.
    #[track_caller]
    fn protected(&self, tables: &str) -> String {
        let query = format!("select count(*) from tenancy.protected_tables where relation::text like '{tables}'");
        self.fixture.superuser().value(&query).unwrap()
    }
}
