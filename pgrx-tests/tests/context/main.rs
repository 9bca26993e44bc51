//! The context: ways in and out, one tenant per transaction, and who may act for whom at every statement.

mod access;
mod backtraces;
mod cursors;
mod directory;
mod held;
mod identity;
mod late_load;
mod leftovers;
mod lifetime;
mod lifetimes;
mod modes;
mod one_tenant;
mod restricted;
mod revocation;
mod values;
mod ways_in;

use tenancy_harness::{Session, World};

/// Reads the protected `uuid` table of a [`World`]: each row's body begins with its tenant's key.
const READ: &str = "select body from notes_uuid";

/// The key that `tenancy.current_key()` gives, or "none".
#[track_caller]
fn context(session: &mut impl Session) -> String {
    session.value("select coalesce(tenancy.current_key(), 'none')").expect("never NULL")
}

/// The tenants whose rows `session` sees, by their keys.
#[track_caller]
fn visible(session: &mut impl Session) -> Vec<String> {
    session.texts("select distinct split_part(body, ' ', 1) from notes_uuid order by 1")
}

/// A world whose role has no access row until the test grants one.
fn world_without_access() -> World<'static> {
    let world = World::new();
    world.fixture.run(&format!("select tenancy.revoke_access('{}')", world.app));
    world
}
