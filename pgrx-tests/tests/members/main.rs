//! Members: who the users of a tenant are, what they may, how they come and go.

mod invitations;
mod owners;
mod required;
mod roles;

use tenancy_harness::postgres::Client;
use tenancy_harness::{Session, World};

const READ: &str = "select body from notes_uuid";

const ISOLATION_LEVELS: [&str; 3] = ["read committed", "repeatable read", "serializable"];

/// A world whose tenant acme has a member for each role, who is called like it.
fn world_with_members() -> World<'static> {
    let world = World::new();
    for role in ["owner", "admin", "member", "viewer"] {
        world.fixture.run(&format!("select tenancy.add_member('acme', '{role}', '{role}')"));
    }
    world
}

/// The same where the application's role acts for members alone.
fn world_for_members() -> World<'static> {
    let world = world_with_members();
    world.fixture.run(&format!("select tenancy.grant_access('{}', require_membership => true)", world.app));
    world
}

/// A session of the application's role that has named tenant and user.
#[track_caller]
fn session_of(world: &World<'_>, user: &str, tenant: &str) -> Client {
    let mut client = world.connect();
    client.run(&format!("set tenancy.user_id = '{user}'; set tenancy.tenant_id = '{tenant}'"));
    client
}

#[track_caller]
fn is_true(session: &mut impl Session, expression: &str) -> bool {
    session.value(&format!("select {expression}")).expect("not NULL") == "t"
}
