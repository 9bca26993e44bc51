//! The audit log: what is recorded, of whom, who reads it, and that nobody changes it.

mod actors;
mod ddl;
mod history;
mod images;
mod log;
mod owned;
mod partitions;
mod replay;
mod replication;
mod revert;
mod reverted;
mod seal;
mod statements;

use postgres::Client;
use tenancy_harness::{ACME, Fixture, GLOBEX, Session};

/// A database with tenants `acme` and `globex`, an application role, and the empty table `orders`: protected and audited.
struct Shop {
    fixture: Fixture<'static>,
    app: String,
}

impl Shop {
    fn new() -> Self {
        Self::with(
            "create table orders (id integer primary key, tenant_id uuid not null, item text, amount numeric);
             select tenancy.protect('orders'); select tenancy.audit('orders')",
        )
    }

    /// With other tables.
    fn with(tables: &str) -> Self {
        Self::within(Fixture::new(), tables)
    }

    fn within(fixture: Fixture<'static>, tables: &str) -> Self {
        let app = fixture.app();
        fixture.register(&[ACME, GLOBEX]);
        fixture.run(tables);
        Self { fixture, app }
    }

    /// Runs statements as the application, for a tenant, in one transaction.
    #[track_caller]
    fn act(&self, tenant: &str, statements: &str) {
        let mut client = self.fixture.connect(&self.app);
        client.run(&format!("begin; select tenancy.set_tenant('{tenant}'); {statements}; commit"));
    }

    #[track_caller]
    fn superuser(&self) -> Client {
        self.fixture.superuser()
    }

    /// The log in short, as a superuser reads it: `op key old new {changed}`.
    #[track_caller]
    fn log(&self) -> Vec<String> {
        self.superuser().texts(&format!("{SHORT} from tenancy.audit_log order by id"))
    }

    /// How many entries there are.
    #[track_caller]
    fn count(&self) -> String {
        self.superuser().value("select count(*) from tenancy.audit_log").unwrap()
    }
}

const SHORT: &str = "select concat_ws(' ', op, row_key, old_row - 'tenant_id', new_row - 'tenant_id', changed)";
