//! Tenants that sessions find in memory which they share: never older than the registry.

use std::sync::atomic::{AtomicBool, Ordering};

use std::time::{Duration, Instant};

use tenancy_harness::{ACME, Cluster, Config, Fixture, Session, assert_sqlstate};

const SET: &str = "select tenancy.set_tenant('acme', false)";

struct Shop<'c> {
    fixture: Fixture<'c>,
    app: String,
}

impl<'c> Shop<'c> {
    fn on(fixture: Fixture<'c>) -> Self {
        let app = fixture.app();
        fixture.run(&format!("select tenancy.create_tenant('acme', id => '{}')", ACME.id));
        Self { fixture, app }
    }

    fn new() -> Self {
        Self::on(Fixture::new())
    }

    /// A new session has nothing in memory of its own.
    #[track_caller]
    fn admits(&self, name: &str) {
        self.fixture.connect(&self.app).run(&format!("select tenancy.set_tenant('{name}', false)"));
    }

    /// Whether a new session has to read the registry to admit the tenant.
    #[track_caller]
    fn has_to_read(&self) -> bool {
        let mut client = self.fixture.connect(&self.app);
        client.run("begin; select tenancy.set_tenant('acme')");
        let scans = "pg_stat_get_xact_numscans('tenancy.tenants_key_key'::regclass)
                     + pg_stat_get_xact_numscans('tenancy.tenants'::regclass)";
        client.value(&format!("select {scans}")).as_deref() != Some("0")
    }

    #[track_caller]
    fn refuses(&self, name: &str, sqlstate: &str) {
        self.fixture.connect(&self.app).refuses(&format!("select tenancy.set_tenant('{name}', false)"), sqlstate);
    }
}

/// A server of its own: any change of a registry, in whatever database, voids what is shared.
fn alone() -> Cluster {
    Cluster::start("directory", &Config::default())
}

#[test]
fn a_change_counts_at_once_in_new_sessions() {
    let shop = Shop::new();
    for _ in 0..20 {
        for name in [ACME.key, ACME.id] {
            shop.admits(name);
            shop.admits(name);
        }
        shop.fixture.run("select tenancy.suspend_tenant('acme')");
        for name in [ACME.key, ACME.id] {
            shop.refuses(name, "55000");
        }
        shop.fixture.run("select tenancy.resume_tenant('acme')");
    }
}

#[test]
fn what_is_not_committed_is_nobody_elses() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    let mut tx = superuser.transaction().unwrap();
    tx.run("select tenancy.suspend_tenant('acme')");
    shop.admits("acme");
    tx.rollback().unwrap();
    shop.admits("acme");
    let mut tx = superuser.transaction().unwrap();
    tx.run("insert into tenancy.tenants (key) values ('globex'); select tenancy.set_tenant('globex')");
    shop.refuses("globex", "42501");
    tx.rollback().unwrap();
    shop.refuses("globex", "42501");
    let mut tx = superuser.transaction().unwrap();
    tx.run("update tenancy.tenants set key = 'initech'; select tenancy.set_tenant('initech')");
    shop.admits("acme");
    shop.refuses("initech", "42501");
    tx.commit().unwrap();
    shop.admits("initech");
    shop.refuses("acme", "42501");
}

/// Who is asked while the row is being inserted, before any trigger has fired.
#[test]
fn a_tenant_that_is_used_while_it_is_made_is_nobody_elses() {
    let cluster = alone();
    let shop = Shop::on(Fixture::on(&cluster));
    shop.fixture.run(
        "create function visit(tenant text) returns uuid language plpgsql as
         $$ begin perform 1; return tenancy.set_tenant(tenant, false); end $$",
    );
    let mut superuser = shop.fixture.superuser();
    let mut tx = superuser.transaction().unwrap();
    let _ = tx.simple_query(
        "insert into tenancy.tenants (key) values ('globex') returning visit(key), 1 / (length(key) - 6)",
    );
    tx.rollback().unwrap();
    shop.refuses("globex", "42501");
}

#[test]
fn a_prepared_change_counts_when_it_is_committed() {
    let cluster = alone();
    let shop = Shop::on(Fixture::on(&cluster));
    let mut superuser = shop.fixture.superuser();
    let name = shop.fixture.name("change");
    superuser.run(&format!("begin; select tenancy.suspend_tenant('acme'); prepare transaction '{name}'"));
    shop.admits("acme");
    shop.admits("acme");
    superuser.run(&format!("commit prepared '{name}'"));
    shop.refuses("acme", "55000");
    superuser.run(&format!("begin; select tenancy.resume_tenant('acme'); prepare transaction '{name}'"));
    superuser.run(&format!("rollback prepared '{name}'"));
    shop.refuses("acme", "55000");
}

#[test]
fn a_crash_loses_nothing() {
    let cluster = Cluster::start("directory", &Config::default().set("fsync", "on"));
    let shop = Shop::on(Fixture::on(&cluster));
    shop.admits("acme");
    let mut superuser = shop.fixture.superuser();
    superuser.run("begin; select tenancy.suspend_tenant('acme'); prepare transaction 'change'");
    shop.admits("acme");
    cluster.kill9();
    cluster.restart();
    shop.admits("acme");
    shop.admits("acme");
    shop.fixture.run("commit prepared 'change'");
    shop.refuses("acme", "55000");
}

/// Sessions that read while the registry changes must leave nothing behind that is older than the change.
#[test]
fn readers_and_changes_at_once() {
    let shop = Shop::new();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = shop.fixture.connect(&shop.app);
                while !done.load(Ordering::Relaxed) {
                    if let Err(error) = client.simple_query(SET) {
                        assert_sqlstate::<()>(Err(error), "55000");
                    }
                }
            });
        }
        let _stop = Stop(&done);
        let mut superuser = shop.fixture.superuser();
        let mut witness = shop.fixture.connect(&shop.app);
        for _ in 0..300 {
            superuser.run("select tenancy.suspend_tenant('acme')");
            witness.refuses(SET, "55000");
            superuser.run("select tenancy.resume_tenant('acme')");
            witness.run(SET);
        }
    });
}

/// Ends the other threads, also when an assertion has failed.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_one_session_has_read_the_next_one_need_not() {
    let cluster = alone();
    let shop = Shop::on(Fixture::on(&cluster));
    assert!(shop.has_to_read());
    assert!(!shop.has_to_read());
    shop.fixture.run("select tenancy.create_tenant('globex')");
    assert!(shop.has_to_read());
    assert!(!shop.has_to_read());
}

/// A subscription's worker commits prepared transactions and tells nobody, so while there is one all sessions read the
/// registry. When it has gone they need not any more.
#[test]
fn a_subscription_is_a_time_without() {
    let cluster = Cluster::start("directory", &Config::default().set("wal_level", "logical"));
    let shop = Shop::on(Fixture::on(&cluster));
    let source = Fixture::empty(&cluster);
    source.run("create table notes (body text); create publication notes for table notes");
    source.run("select pg_create_logical_replication_slot('notes', 'pgoutput')");
    let mut superuser = shop.fixture.superuser();
    superuser.run("create table notes (body text)");
    superuser.run(&format!(
        "create subscription notes connection 'host={} dbname={} user=postgres' publication notes
         with (create_slot = false, slot_name = notes, copy_data = false)",
        cluster.directory().display(),
        source.database()
    ));
    source.run("insert into notes values ('first')");
    await_that("the row arrives", || superuser.value("select count(*) from notes").as_deref() == Some("1"));
    for _ in 0..3 {
        assert!(shop.has_to_read());
    }
    superuser.run("alter subscription notes disable; alter subscription notes set (slot_name = none)");
    superuser.run("drop subscription notes");
    await_that("the directory is used again", || !shop.has_to_read());
}

#[track_caller]
fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_can_be_off_and_small() {
    for size in ["0", "1"] {
        let cluster = Cluster::start("directory", &Config::default().set("tenancy.shared_tenants", size));
        let shop = Shop::on(Fixture::on(&cluster));
        shop.fixture.run("insert into tenancy.tenants (key) select 'tenant-' || n from generate_series(1, 50) n");
        for _ in 0..2 {
            for n in 1..=50 {
                shop.admits(&format!("tenant-{n}"));
            }
        }
        shop.fixture.run("update tenancy.tenants set status = 'suspended'");
        for n in 1..=50 {
            shop.refuses(&format!("tenant-{n}"), "55000");
        }
    }
}

#[test]
fn databases_do_not_share_tenants() {
    let shop = Shop::new();
    let other = Fixture::on(shop.fixture.cluster());
    other.run("select tenancy.grant_access(r::text) from (select rolname from pg_roles where rolname ~ '^app_') a(r)");
    shop.admits("acme");
    other.connect(&shop.app).refuses(SET, "42501");
}
