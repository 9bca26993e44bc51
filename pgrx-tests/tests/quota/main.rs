//! Quotas: what tenants use is counted exactly, and never more than their limit.

mod attach;
mod bulk;
mod bytes;
mod concurrency;
mod counters;
mod guard;
mod limits;
mod messages;
mod metering;
mod parents;
mod plans;
mod rows;
mod warnings;

use tenancy_harness::{ACME, Fixture, GLOBEX, Session, postgres::Client};

/// A database with tenants `acme` and `globex`, an application role, and `orders`, whose rows count for the resource
/// `orders`.
struct Shop {
    fixture: Fixture<'static>,
    app: String,
}

impl Shop {
    fn new() -> Self {
        Self::with("create table orders (id bigint generated always as identity, tenant_id uuid not null, body text)")
    }

    /// With another table by that name.
    fn with(table: &str) -> Self {
        let fixture = Fixture::new();
        let app = fixture.app();
        fixture.register(&[ACME, GLOBEX]);
        fixture.run(&format!(
            "{table}; select tenancy.protect('orders');
             select tenancy.create_resource('orders', 'rows'); select tenancy.attach_quota('orders', 'orders')"
        ));
        Self { fixture, app }
    }

    /// A session of the application that acts for acme.
    #[track_caller]
    fn acme(&self) -> Client {
        self.acting_for("acme")
    }

    /// The same for another tenant.
    #[track_caller]
    fn acting_for(&self, tenant: &str) -> Client {
        let mut client = self.fixture.connect(&self.app);
        client.run(&format!("set tenancy.tenant_id = '{tenant}'"));
        client
    }

    /// What a tenant uses.
    #[track_caller]
    fn used(&self, tenant: &str, resource: &str) -> i64 {
        let query =
            format!("select used from tenancy.quota_usage where tenant = '{tenant}' and resource = '{resource}'");
        self.fixture.superuser().texts(&query).first().map_or(0, |used| used.parse().unwrap())
    }

    /// That the usage is what is there, and no slot has more used than its share.
    #[track_caller]
    fn is_exact(&self) {
        let mut superuser = self.fixture.superuser();
        let differing = superuser.texts("select (r.*)::text from tenancy.recount() r where was <> now");
        assert!(differing.is_empty(), "{differing:?}");
        let over = superuser.texts(
            "select s::text from tenancy.quota_slots s
             where used > share and exists (select from tenancy.quota_slots o
                                            where o.tenant_id = s.tenant_id and o.resource_id = s.resource_id
                                              and o.slot <> s.slot)",
        );
        assert!(over.is_empty(), "{over:?}");
    }
}
