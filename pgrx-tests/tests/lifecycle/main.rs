//! What becomes of tenants, and code of the application's own that is called then.

mod erase;
mod export;
mod handlers;
mod moved;
mod removal;
mod rights;

use tenancy_harness::{ACME, Fixture, GLOBEX};

/// A database with tenants `acme` and `globex`.
fn fixture_with_tenants() -> Fixture<'static> {
    let fixture = Fixture::new();
    fixture.register(&[ACME, GLOBEX]);
    fixture
}
