//! Roles that row security does not bind, and statements that forgot their tenant.

mod exempt;
mod missing;
mod modes;
mod recorded;

use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Cluster, Fixture, GLOBEX, Session};

/// A database with tenants `acme` and `globex`, an application role, and a superuser's table `orders`: protected, with one
/// row of each tenant.
struct Shop<'c> {
    fixture: Fixture<'c>,
    app: String,
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
        fixture.register(&[ACME, GLOBEX]);
        fixture.run(&format!(
            "create table orders (id integer not null, tenant_id uuid not null, body text);
             insert into orders values (1, '{}', 'acme'), (2, '{}', 'globex');
             select tenancy.protect('orders')",
            ACME.id, GLOBEX.id
        ));
        Self { fixture, app }
    }

    /// A superuser's session that looks on, and does not look at protected tables.
    fn observer(&self) -> Client {
        self.fixture.superuser()
    }

    /// A session of a superuser's for whom the setting has this value.
    fn superuser(&self, on_bypass: &str) -> Client {
        let mut client = self.fixture.superuser();
        client.run(&format!("set tenancy.on_bypass = {on_bypass}"));
        client
    }

    /// How many entries of an event there are.
    #[track_caller]
    fn entries(&self, event: &str) -> String {
        let query = format!("select count(*) from tenancy.event_log where event = '{event}'");
        self.observer().value(&query).unwrap()
    }

    /// Waits until there are so many entries of an event; they are written by another process.
    #[track_caller]
    fn await_entries(&self, event: &str, count: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.entries(event) != count {
            assert!(Instant::now() < deadline, "{} entries of {event}, not {count}", self.entries(event));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
