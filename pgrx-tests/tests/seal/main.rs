//! The seal: a session's tenant and user, frozen until the secret is given.

mod ends;
mod holds;
mod identity;
mod secret;
mod workers;

use postgres::Client;
use tenancy_harness::{Session, World, postgres};

const SECRET: &str = "correct horse battery staple";

/// A session that acts for tenant `acme` and is sealed.
#[track_caller]
fn sealed(world: &World<'_>) -> Client {
    let mut client = world.connect();
    client.run("select tenancy.set_tenant('acme', false)");
    seal(&mut client);
    client
}

#[track_caller]
fn seal(client: &mut Client) {
    client.query("select tenancy.seal($1)", &[&SECRET]).unwrap_or_else(|error| panic!("seal: {error:?}"));
}

#[track_caller]
fn unseal(client: &mut Client) {
    client.query("select tenancy.unseal($1)", &[&SECRET]).unwrap_or_else(|error| panic!("unseal: {error:?}"));
}

/// The tenants whose rows `session` sees, by their keys.
#[track_caller]
fn visible(session: &mut impl Session) -> Vec<String> {
    session.texts("select distinct split_part(body, ' ', 1) from notes_uuid order by 1")
}
