//! Indexes led by the tenant: making them, advice about those that are there, and statistics.

mod advice;
mod create;
mod statistics;

use tenancy_harness::{ACME, Fixture, GLOBEX};

/// A database with tenants `acme` and `globex`, no tables, and an application role.
fn fixture_with_tenants() -> (Fixture<'static>, String) {
    let fixture = Fixture::new();
    let app = fixture.app();
    fixture.register(&[ACME, GLOBEX]);
    (fixture, app)
}
