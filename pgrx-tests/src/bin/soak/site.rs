//! What the clients work on: protected tables with tenant columns of three types, audited and counted, and the tenants.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;
use tenancy_harness::{Canary, Cluster, Dice, Fixture, Pooler, PoolerConfig, Session};

use crate::memory::Memory;
use crate::scan;
use crate::tally::Tally;

/// Connections to the server, for each role: fewer than clients, so that these take turns.
const POOL: &str = "3";
/// For each role of calm clients: the more happens on one connection, the sooner a leak is seen.
const CALM_POOL: &str = "1";

/// Tenants at the beginning, and at most at a time.
pub const TENANTS_AT_FIRST: usize = 12;
pub const TENANTS_AT_MOST: usize = 20;

/// Limits of each tenant: the rate is of so many per ten seconds.
pub const RATE: u64 = 15;
pub const RATE_SECONDS: u64 = 10;
const LIMITS: [(&str, u64); 4] = [("orders", 30), ("storage", 6_000), ("points", 14), ("seats", 20)];

/// An HS256 token by PostgreSQL's own SHA-256: the secret is 64 times the letter k, which HMAC combines with its two pads.
const SCHEMA: &str = r#"
    create table orders (id bigint generated always as identity, tenant_id uuid not null, amount integer not null default 0,
      body text not null, primary key (tenant_id, id));
    create table notes (id bigint generated always as identity, tenant_id text not null, body text not null,
      primary key (tenant_id, id));
    create table points (id integer, tenant_id bigint not null, amount integer not null default 0, body text not null,
      primary key (tenant_id, id));
    create table ledger (id bigint generated always as identity, tenant_id uuid not null, amount bigint not null,
      primary key (tenant_id, id));
    select tenancy.protect('orders'), tenancy.protect('notes'), tenancy.protect('points'), tenancy.protect('ledger');
    select tenancy.audit('orders'), tenancy.audit('notes'), tenancy.audit('points'), tenancy.audit('ledger');
    select tenancy.create_resource('orders', 'rows'), tenancy.create_resource('storage', 'bytes'),
           tenancy.create_resource('points', 'rows'), tenancy.create_resource('seats', 'counter'),
           tenancy.create_resource('calls', 'rate');
    select tenancy.attach_quota('orders', 'orders'), tenancy.attach_quota('notes', 'storage'), tenancy.attach_quota('points', 'points');
    select tenancy.add_jwt_key('soak', 'HS256', repeat('k', 64));
    create function base64url(bytea) returns text language sql
      return translate(encode($1, 'base64'), E'+/=\n', '-_');
    create function token(tenant text, username text) returns text language sql return (
      select m || '.' || base64url(sha256(repeat('7', 64)::bytea || sha256(repeat(']', 64)::bytea || m::bytea)))
        from (select base64url('{"alg": "HS256", "kid": "soak"}') || '.' || base64url(convert_to(
                json_build_object('tenant_id', tenant, 'sub', username, 'exp', 4102444800)::text, 'UTF8')) as m) message);
    revoke execute on function token from public"#;

/// Tables with a body that bears its tenant's canary.
pub const TABLES: [&str; 3] = ["orders", "notes", "points"];

/// What a tenant is at the moment, as far as its administrator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Active,
    Suspended,
    Erased,
    /// Being changed, or somebody was killed who changed it.
    Unknown,
}

/// A status, and how often it has changed: who sees the same twice knows what it was in between.
pub type Standing = (Status, u64);

/// One of the tenants.
#[derive(Debug)]
pub struct Resident {
    /// Its number, which is its key.
    pub key: String,
    pub id: String,
    pub canary: Canary,
    pub token: String,
    /// Calls of the rate that were admitted, those of transactions that were rolled back included.
    pub admitted: AtomicU64,
    pub since: Instant,
    standing: Mutex<Standing>,
}

impl Resident {
    pub fn host(&self) -> String {
        format!("t{}.example", self.key)
    }

    /// What it may be called in what its clients receive; a key is reported with a mark.
    pub fn names(&self) -> [String; 3] {
        [self.key.clone(), self.id.clone(), self.host()]
    }

    pub fn standing(&self) -> Standing {
        *lock(&self.standing)
    }

    pub fn becomes(&self, status: Status) {
        let mut standing = lock(&self.standing);
        *standing = (status, standing.1 + 1);
    }
}

/// What all that takes part shares.
pub struct Site<'c> {
    // Before the fixture: the poolers' connections go first.
    pub pooler: Pooler,
    /// For calm clients.
    pub calm_pooler: Pooler,
    /// For those who litter; it resets the session after each transaction.
    pub tidy_pooler: Pooler,
    pub fixture: Fixture<'c>,
    /// May act for every tenant by naming it.
    pub app: String,
    /// May act for every tenant by a token alone.
    pub api: String,
    /// As `app` and `api`, but their clients don't leave in the middle of things, and nobody terminates them: their sessions last.
    pub calm: String,
    pub calm_api: String,
    /// As `calm`, and may become `app`.
    pub tidy: String,
    pub tally: Tally,
    memory: Mutex<Memory>,
    /// Until then errors are met that come of a crash.
    shaken: Mutex<Option<Instant>>,
    /// Who works holds it to read; who looks whether all is as it should be, to write.
    pub turns: RwLock<()>,
    residents: RwLock<Vec<Arc<Resident>>>,
    next_key: AtomicU64,
    over: AtomicBool,
}

impl<'c> Site<'c> {
    /// For a soak of such a length.
    pub fn create(cluster: &'c Cluster, dice: &mut Dice, length: Duration) -> Self {
        let fixture = Fixture::on(cluster);
        let [app, calm, tidy] = ["app", "calm", "tidy"].map(|stem| fixture.app_named(stem));
        let [api, calm_api] = ["api", "calm_api"].map(|stem| fixture.role(stem));
        fixture.run(SCHEMA);
        for signed in [&api, &calm_api] {
            fixture.run(&format!(
                "grant select, insert, update, delete on all tables in schema public to {signed};
                 select tenancy.grant_access('{signed}', mode => 'signed')"
            ));
        }
        for role in [&app, &api, &calm, &calm_api, &tidy] {
            fixture.run(&format!(
                "alter role {role} set tenancy.on_leftovers = discard; grant temporary on database {} to {role}",
                fixture.database()
            ));
        }
        fixture.run(&format!(
            "grant {app} to {tidy};
             grant execute on function pg_get_backend_memory_contexts to {calm}, {calm_api}, {tidy};
             grant select on pg_backend_memory_contexts to {calm}, {calm_api}, {tidy}"
        ));
        let config = PoolerConfig::default().set("default_pool_size", POOL).set("server_login_retry", "1");
        let calm_config = config.clone().set("default_pool_size", CALM_POOL);
        let tidy_config = calm_config.clone().set("server_reset_query_always", "1");
        let site = Self {
            pooler: Pooler::start(&fixture, &[&app, &api], &config),
            calm_pooler: Pooler::start(&fixture, &[&calm, &calm_api], &calm_config),
            tidy_pooler: Pooler::start(&fixture, &[&tidy], &tidy_config),
            fixture,
            app,
            api,
            calm,
            calm_api,
            tidy,
            tally: Tally::default(),
            memory: Mutex::new(Memory::new(length)),
            shaken: Mutex::default(),
            turns: RwLock::new(()),
            residents: RwLock::default(),
            next_key: AtomicU64::new(1001),
            over: AtomicBool::new(false),
        };
        let mut superuser = site.fixture.superuser();
        for _ in 0..TENANTS_AT_FIRST {
            site.admit(&mut superuser, dice).expect("a tenant");
        }
        site
    }

    /// Registers one more tenant, in one transaction.
    pub fn admit(&self, superuser: &mut Client, dice: &mut Dice) -> Result<(), tenancy_harness::postgres::Error> {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed).to_string();
        let canary = Canary::new(dice.throw());
        let text = canary.text();
        let mut statements = format!(
            "select tenancy.create_tenant('{key}', name => '{text}'), tenancy.add_host('t{key}.example', '{key}');
             select tenancy.set_setting('postgres.statement_timeout', '\"{}s\"', tenant => '{key}'),
                    tenancy.set_quota('{key}', 'calls', {RATE}, per => '{RATE_SECONDS} seconds');",
            60 + dice.below(60)
        );
        for (resource, limit) in LIMITS {
            // Some more for one, some less for another.
            let limit = limit + dice.throw() % (limit / 2);
            statements += &format!("select tenancy.set_quota('{key}', '{resource}', {limit});");
        }
        superuser.batch_execute(&statements)?;
        let row = superuser.query_one(
            "select id::text, public.token(key, $2) from tenancy.tenants where key = $1",
            &[&key, &format!("user of {text}")],
        )?;
        let resident = Resident {
            key,
            id: row.get(0),
            canary,
            token: row.get(1),
            admitted: AtomicU64::new(0),
            since: Instant::now(),
            standing: Mutex::new((Status::Active, 0)),
        };
        self.residents.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(resident));
        Ok(())
    }

    /// The roles of the clients that are terminated, and of all.
    pub fn wild_roles(&self) -> [&str; 2] {
        [&self.app, &self.api]
    }

    pub fn roles(&self) -> [&str; 5] {
        [&self.app, &self.api, &self.calm, &self.calm_api, &self.tidy]
    }

    /// The server crashes, or is back: for so long somebody may meet that.
    pub fn shake(&self, during: Duration) {
        *lock(&self.shaken) = Some(Instant::now() + during);
    }

    pub fn is_shaken(&self) -> bool {
        lock(&self.shaken).is_some_and(|until| Instant::now() < until)
    }

    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }

    /// All tenants that there have been.
    pub fn residents(&self) -> Vec<Arc<Resident>> {
        self.residents.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One of them; mostly one that is there.
    pub fn resident(&self, dice: &mut Dice) -> Arc<Resident> {
        let residents = self.residents();
        let gone = dice.one_in(50);
        loop {
            let resident = dice.pick(&residents);
            if gone || resident.standing().0 != Status::Erased {
                return resident;
            }
        }
    }

    /// A superuser's session past the pooler, once the server takes one.
    pub fn superuser(&self) -> Option<Client> {
        while !self.is_over() {
            if let Ok(client) = self.fixture.try_connect(Cluster::SUPERUSER, "") {
                return Some(client);
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        None
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// The scan finds what it looks for: a role that row security doesn't bind is seen to receive what is others'.
    pub fn scan_is_awake(&self) -> bool {
        let residents = self.residents();
        let (own, other) = (&residents[0], &residents[1]);
        let mut superuser = self.fixture.superuser();
        superuser.run(&format!(
            "insert into notes (tenant_id, body) select key, name || ' first' from tenancy.tenants; alter role {} bypassrls",
            self.app
        ));
        let mut session = self.pooler.open_raw(&self.app).expect("the pooler's socket");
        let (host, token) = (other.host(), &other.token);
        let reply = session.query(&format!(
            "select body from notes; select id from tenancy.tenants; select '{host}'; select '{token}'"
        ));
        drop(session);
        superuser.run(&format!("alter role {} nobypassrls", self.app));
        let sighting = tenancy_harness::sight(Some(&own.canary), &reply.bytes);
        let strangers = scan::strangers(&[&own.id, &own.host()], &reply.bytes);
        // Ids of the others, a host, and a token.
        sighting.own == 1
            && sighting.strangers.len() == TENANTS_AT_FIRST - 1
            && strangers.len() == TENANTS_AT_FIRST - 1 + 2
            && strangers.contains(&other.id)
            && strangers.contains(&host)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
