//! Signed context: keys are made by OpenSSL, tokens by PyJWT; neither shares code with what verifies them.

mod algorithms;
mod attacker;
mod claims;
mod context;
mod issuer;
mod keys;
mod members;
mod refusals;
mod secrecy;
mod standby;

use issuer::{Pair, now};
use serde_json::{Value, json};
use tenancy_harness::{Session, World, postgres};

/// Reads the protected `uuid` table of a [`World`]: each row's body begins with its tenant's key.
const READ: &str = "select body from notes_uuid";

/// The tenants whose rows `session` sees, by their keys.
#[track_caller]
fn visible(session: &mut impl Session) -> Vec<String> {
    session.texts("select distinct split_part(body, ' ', 1) from notes_uuid order by 1")
}

/// A world with a key, and a login role that may act for any tenant with a token alone.
struct Signed<'c> {
    world: World<'c>,
    role: String,
    pair: Pair,
}

impl Signed<'static> {
    fn new() -> Self {
        Self::within(World::new())
    }
}

impl<'c> Signed<'c> {
    fn within(world: World<'c>) -> Self {
        let role = world.fixture.role("signed");
        world.fixture.run(&format!(
            "grant select, insert, update, delete on all tables in schema public to {role};
             select tenancy.grant_access('{role}', mode => 'signed')"
        ));
        let pair = Pair::new("EdDSA", "key-1");
        let signed = Self { world, role, pair };
        signed.add(&signed.pair, "");
        signed
    }

    /// Registers the key, with more arguments to the function.
    #[track_caller]
    fn add(&self, pair: &Pair, more: &str) {
        self.world.fixture.run(&pair.add(more));
    }

    #[track_caller]
    fn connect(&self) -> postgres::Client {
        self.world.fixture.connect(&self.role)
    }

    /// A good token for this tenant and user.
    fn token(&self, tenant: &str, user: &str) -> String {
        self.pair.token(&issuer::claims(tenant, user))
    }

    /// One that lasts so many seconds.
    fn brief_token(&self, tenant: &str, seconds: i64) -> String {
        self.pair.token(&json!({"tenant_id": tenant, "exp": now() + seconds}))
    }
}

/// An object of both.
fn with(mut claims: Value, others: Value) -> Value {
    let (Some(object), Value::Object(others)) = (claims.as_object_mut(), others) else { panic!("two objects") };
    object.extend(others);
    claims
}
