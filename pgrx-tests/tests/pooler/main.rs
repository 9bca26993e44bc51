//! Behind `PgBouncer` in transaction mode, where the clients of all tenants take turns on one connection to the server.

mod context;
mod leftovers;
mod modes;
mod reset;
mod statements;
mod storm;

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

#[test]
fn the_settings_in_the_documentation_are_understood() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pooling.md");
    let page = std::fs::read_to_string(page).expect("docs/pooling.md");
    let ini = page.split("```ini").nth(1).and_then(|after| after.split("```").next()).expect("an ini block");
    let settings = ini.split("[pgbouncer]").nth(1).expect("the pooler's section").lines().filter_map(|line| {
        let (name, value) = line.split_once(" = ")?;
        // The tests' own pooler is reached otherwise.
        let elsewhere = name.starts_with(';') || name.starts_with("listen_") || name.starts_with("auth_");
        (!elsewhere).then_some((name, value))
    });
    let config = settings.fold(PoolerConfig::default(), |config, (name, value)| config.set(name, value));
    let shop = Shop::with(&config, &[]);
    let mut client = shop.client();
    let mut transaction = World::begin(&mut client, ACME);
    assert_eq!(visible(&mut transaction), ["acme"]);
}
