//! Rates and sessions: limits that are kept in memory, whatever becomes of transactions.

mod memory;
mod rates;
mod servers;
mod sessions;
mod statements;
mod uses;

use tenancy_harness::{ACME, Cluster, Fixture, GLOBEX, Session, postgres::Client};

/// A database with tenants `acme` and `globex`, an application role, and the rate `calls`.
struct Desk<'c> {
    fixture: Fixture<'c>,
    app: String,
}

impl Desk<'static> {
    fn new() -> Self {
        Self::within(Fixture::new())
    }
}

impl<'c> Desk<'c> {
    fn on(cluster: &'c Cluster) -> Self {
        Self::within(Fixture::on(cluster))
    }

    fn within(fixture: Fixture<'c>) -> Self {
        let app = fixture.app();
        fixture.register(&[ACME, GLOBEX]);
        fixture.run("select tenancy.create_resource('calls', 'rate')");
        Self { fixture, app }
    }

    /// Lets acme call so often.
    #[track_caller]
    fn allow(&self, max: u32, per: &str) {
        self.fixture.run(&format!("select tenancy.set_quota('acme', 'calls', {max}, '{per}')"));
    }

    /// Limits acme's sessions.
    #[track_caller]
    fn allow_sessions(&self, max: u32) {
        self.fixture.run(&format!(
            "select tenancy.create_resource('sessions', 'sessions');
             select tenancy.set_quota('acme', 'sessions', {max})"
        ));
    }

    /// A session of the application that acts for nobody yet.
    #[track_caller]
    fn client(&self) -> Client {
        self.fixture.connect(&self.app)
    }

    /// A session of the application that is set to act for a tenant.
    #[track_caller]
    fn acting_for(&self, tenant: &str) -> Client {
        let mut client = self.client();
        client.run(&format!("set tenancy.tenant_id = '{tenant}'"));
        client
    }

    /// What a tenant uses, as a superuser sees it.
    #[track_caller]
    fn used(&self, tenant: &str, resource: &str) -> i64 {
        let query =
            format!("select used from tenancy.quota_usage where tenant = '{tenant}' and resource = '{resource}'");
        self.fixture.superuser().value(&query).unwrap().parse().unwrap()
    }
}

/// Calls once; what is left.
#[track_caller]
fn call(session: &mut impl Session) -> Option<String> {
    session.value("select tenancy.consume('calls')")
}
