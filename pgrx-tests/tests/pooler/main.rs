//! Behind `PgBouncer` in transaction mode, where the clients of all tenants take turns on one connection to the server.

mod context;
mod leftovers;
mod reset;
mod statements;

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Pooler, PoolerConfig, Session, Tenant, World};

/// A world, and a pooler that has one connection to it.
struct Shop {
    // Before the world: the pooler's connections go first.
    pooler: Pooler,
    world: World<'static>,
}

impl Shop {
    fn new() -> Self {
        Self::with(&PoolerConfig::default(), &[])
    }

    /// With settings of the application's role.
    fn with(config: &PoolerConfig, settings: &[&str]) -> Self {
        let world = World::new();
        let (app, database) = (&world.app, world.fixture.database());
        // As PostgreSQL gives it to everybody.
        world.fixture.run(&format!("grant temporary on database {database} to {app}"));
        for setting in settings {
            world.fixture.run(&format!("alter role {app} set {setting}"));
        }
        Self { pooler: Pooler::start(&world.fixture, &[app], config), world }
    }

    /// One of the pooler's clients.
    #[track_caller]
    fn client(&self) -> Client {
        self.pooler.connect(&self.world.app)
    }

    /// The tenants that have rows with this text in the real table.
    fn owners_of(&self, body: &str) -> Vec<String> {
        let query = format!("select tenant_id::text from public.notes_uuid where body = '{body}'");
        self.world.fixture.superuser().texts(&query)
    }
}

/// The connection to the server that a client has at the moment.
#[track_caller]
fn backend(session: &mut impl Session) -> String {
    session.value("select pg_backend_pid()").expect("never NULL")
}

/// The key that is in force, or "none".
#[track_caller]
fn key(session: &mut impl Session) -> String {
    session.value("select coalesce(tenancy.current_key(), 'none')").expect("never NULL")
}

/// The tenants whose rows are seen, by their keys.
#[track_caller]
fn visible(session: &mut impl Session) -> Vec<String> {
    session.texts("select distinct split_part(body, ' ', 1) from public.notes_uuid order by 1")
}

/// Runs statements in a transaction of the tenant.
#[track_caller]
fn act(client: &mut Client, tenant: Tenant, statements: &str) {
    let mut transaction = World::begin(client, tenant);
    transaction.run(statements);
    transaction.commit().expect("commit");
}

#[test]
fn clients_do_share_the_connection() {
    let shop = Shop::new();
    let (mut one, mut other) = (shop.client(), shop.client());
    assert_eq!(backend(&mut one), backend(&mut other));
    act(&mut one, ACME, "create temp table shared_by_all (id integer)");
    assert_eq!(other.value("select count(*) from shared_by_all").as_deref(), Some("0"));
}
