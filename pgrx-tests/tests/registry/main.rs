//! The registry: tenants and their life, who may act and who may administer, what is written down, what a dump keeps.

mod admins;
mod bulk;
mod damage;
mod dump;
mod encoding;
mod events;
mod lifecycle;
mod privileges;
mod replication;
mod tenants;

use tenancy_harness::{ACME, Fixture, GLOBEX};

/// A database with tenants `acme` and `globex` and an application role that may act for both.
fn fixture_with_tenants() -> (Fixture<'static>, String) {
    let fixture = Fixture::new();
    let app = fixture.app();
    fixture.register(&[ACME, GLOBEX]);
    (fixture, app)
}
