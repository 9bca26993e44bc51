//! A fresh database with the extension, for one test.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use postgres::Client;

use crate::cluster::{Cluster, Config};
use crate::world::Tenant;

/// Numbers databases and roles: roles belong to the whole server, so every test makes its own.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// A database with the extension, and nothing else, that nobody connects to.
const TEMPLATE: &str = "tenancy_template";

/// Held by tests that grant privileges on settings: those belong to the whole server, and PostgreSQL refuses one of two changes of
/// the same setting's at a time.
pub fn settings_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the extension once on a server of many tests: copying a database is several times quicker.
fn with_template(cluster: Cluster) -> Cluster {
    let run = |database: &str, statement: &str| {
        cluster.connect_to(database, Cluster::SUPERUSER).batch_execute(statement).expect("a template for databases");
    };
    run("postgres", &format!("create database {TEMPLATE}"));
    run(TEMPLATE, "create extension pg_tenancy");
    run("postgres", &format!("alter database {TEMPLATE} allow_connections false"));
    cluster
}

/// A database of its own on a server that may be shared. Dropping it drops the database.
#[derive(Debug)]
pub struct Fixture<'c> {
    cluster: &'c Cluster,
    database: String,
    number: u32,
}

impl Fixture<'static> {
    /// On the test program's shared server, which preloads the library.
    #[must_use]
    pub fn new() -> Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        Self::copied(SHARED.get_or_init(|| with_template(Cluster::start("shared", &Config::default()))))
    }

    /// On the test program's other shared server, which loads the library only when a session first needs it.
    #[must_use]
    pub fn without_preload() -> Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        Self::copied(SHARED.get_or_init(|| with_template(Cluster::start("late", &Config::without_preload()))))
    }
}

impl Default for Fixture<'static> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'c> Fixture<'c> {
    /// A new database with the extension on `cluster`.
    #[must_use]
    pub fn on(cluster: &'c Cluster) -> Self {
        let fixture = Self::empty(cluster);
        fixture.run("create extension pg_tenancy");
        fixture
    }

    /// A new database without the extension, for instance to restore a dump into.
    #[must_use]
    pub fn empty(cluster: &'c Cluster) -> Self {
        Self::from_template(cluster, "template1")
    }

    /// A new database with the extension on a cluster that [`with_template`] prepared.
    fn copied(cluster: &'c Cluster) -> Self {
        Self::from_template(cluster, TEMPLATE)
    }

    fn from_template(cluster: &'c Cluster, template: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let database = format!("test_{number}");
        let statement = format!("create database {database} template {template}");
        let created = cluster.connect(Cluster::SUPERUSER).batch_execute(&statement);
        created.expect("a fresh database");
        Self { cluster, database, number }
    }

    /// A copy of the database as it is; nobody may be connected to it.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::from_template(self.cluster, &self.database)
    }

    #[must_use]
    pub fn cluster(&self) -> &'c Cluster {
        self.cluster
    }

    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// `stem` made unique among the server's roles.
    #[must_use]
    pub fn name(&self, stem: &str) -> String {
        format!("{stem}_{}", self.number)
    }

    /// Makes an ordinary login role without any right to a tenant and returns its name.
    pub fn role(&self, stem: &str) -> String {
        let role = self.name(stem);
        self.run(&format!("create role {role} login nosuperuser nobypassrls nocreatedb nocreaterole noreplication"));
        role
    }

    /// Makes an ordinary login role that may act for every tenant and use every table of schema `public`, those
    /// created later by the superuser included.
    pub fn app(&self) -> String {
        self.app_named("app")
    }

    /// [`Fixture::app`] for a test that needs several.
    pub fn app_named(&self, stem: &str) -> String {
        let role = self.role(stem);
        self.run(&format!(
            "grant select, insert, update, delete on all tables in schema public to {role};
             alter default privileges in schema public grant select, insert, update, delete on tables to {role};
             select tenancy.grant_access('{role}')"
        ));
        role
    }

    /// A session of `role`.
    #[track_caller]
    pub fn connect(&self, role: &str) -> Client {
        self.cluster.connect_to(&self.database, role)
    }

    /// A session with command-line options for the backend, such as `-c tenancy.tenant_id=acme`.
    pub fn try_connect(&self, role: &str, options: &str) -> Result<Client, postgres::Error> {
        self.cluster.try_connect(&self.database, role, options)
    }

    /// A superuser's session.
    #[track_caller]
    pub fn superuser(&self) -> Client {
        self.connect(Cluster::SUPERUSER)
    }

    /// Runs statements as superuser in a session of their own; for setting up.
    #[track_caller]
    pub fn run(&self, statements: &str) {
        if let Err(error) = self.superuser().batch_execute(statements) {
            panic!("{error:?}\nin: {statements}");
        }
    }

    /// Registers tenants under the ids and keys that tests know them by.
    #[track_caller]
    pub fn register(&self, tenants: &[Tenant]) {
        for tenant in tenants {
            self.run(&format!("select tenancy.create_tenant('{}', id => '{}')", tenant.key, tenant.id));
        }
    }

    /// Tells the server's version: 15 for 15.20.
    #[must_use]
    pub fn major_version(&self) -> u32 {
        self.cluster.version() / 10_000
    }
}

impl Drop for Fixture<'_> {
    fn drop(&mut self) {
        // The server goes soon; this only keeps its directory small. Panicking here would hide the test's own panic.
        if let Ok(mut superuser) = self.cluster.try_connect("postgres", Cluster::SUPERUSER, "") {
            let _ = superuser.batch_execute(&format!("drop database {} with (force)", self.database));
        }
    }
}
