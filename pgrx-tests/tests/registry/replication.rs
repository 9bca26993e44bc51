//! The registry as a subscription's apply worker changes it: what is replicated counts at once, as what is done here.

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Cluster, Config, Fixture, GLOBEX, Session};

/// Two databases of one server: what is written to the registry of the first is applied in the second.
struct Pair<'c> {
    publisher: Fixture<'c>,
    subscriber: Fixture<'c>,
    /// Acts for every tenant, in both.
    app: String,
}

impl<'c> Pair<'c> {
    fn on(cluster: &'c Cluster) -> Self {
        let (publisher, subscriber) = (Fixture::on(cluster), Fixture::on(cluster));
        let app = publisher.role("app");
        // Access has no key, since its tenant may be NULL.
        publisher.run(
            "alter table tenancy.access replica identity full;
             create publication registry for table tenancy.tenants, tenancy.access",
        );
        let slot = publisher.name("slot");
        publisher.run(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
        subscriber.run(&format!(
            "create subscription registry connection 'host={} port=5432 dbname={} user=postgres' publication registry
             with (create_slot = false, slot_name = '{slot}', copy_data = false)",
            cluster.directory().display(),
            publisher.database()
        ));
        publisher.register(&[ACME, GLOBEX]);
        publisher.run(&format!("select tenancy.grant_access('{app}')"));
        let pair = Self { publisher, subscriber, app };
        pair.wait_until("(select count(*) from tenancy.access) = 1");
        pair
    }

    /// Waits until `condition` is true in the second database.
    #[track_caller]
    fn wait_until(&self, condition: &str) {
        self.subscriber.cluster().wait_until(&mut self.subscriber.superuser(), condition);
    }

    /// A session of the second database in the middle of acme's transaction, and one that is idle.
    fn sessions(&self) -> [Client; 2] {
        let mut busy = self.subscriber.connect(&self.app);
        busy.run("begin; select tenancy.set_tenant('acme')");
        let mut idle = self.subscriber.connect(&self.app);
        idle.run("set tenancy.tenant_id = 'acme'");
        for client in [&mut busy, &mut idle] {
            assert_eq!(client.value("select tenancy.current_key()").as_deref(), Some("acme"));
        }
        [busy, idle]
    }
}

#[test]
fn a_replicated_change_of_the_registry_reaches_open_sessions() {
    let cluster = Cluster::start("logical", &Config::default().set("wal_level", "logical"));
    let pair = Pair::on(&cluster);
    let app = &pair.app;
    for (change, undo, applied, undone, sqlstate) in [
        (
            "select tenancy.suspend_tenant('acme')".to_owned(),
            "select tenancy.resume_tenant('acme')".to_owned(),
            "(select status from tenancy.tenants where key = 'acme') = 'suspended'",
            "(select status from tenancy.tenants where key = 'acme') = 'active'",
            "55000",
        ),
        (
            format!("select tenancy.revoke_access('{app}')"),
            format!("select tenancy.grant_access('{app}')"),
            "(select count(*) from tenancy.access) = 0",
            "(select count(*) from tenancy.access) = 1",
            "42501",
        ),
        (
            "truncate tenancy.access".to_owned(),
            format!("select tenancy.grant_access('{app}')"),
            "(select count(*) from tenancy.access) = 0",
            "(select count(*) from tenancy.access) = 1",
            "42501",
        ),
        (
            "delete from tenancy.tenants where key = 'acme'".to_owned(),
            format!("select tenancy.create_tenant('acme', id => '{}')", ACME.id),
            "(select count(*) from tenancy.tenants) = 1",
            "(select count(*) from tenancy.tenants) = 2",
            "42501",
        ),
    ] {
        let [mut busy, mut idle] = pair.sessions();
        pair.publisher.run(&change);
        pair.wait_until(applied);
        for client in [&mut busy, &mut idle] {
            client.refuses("select tenancy.current_tenant()", sqlstate);
        }
        pair.publisher.run(&undo);
        pair.wait_until(undone);
        assert_eq!(idle.value("select tenancy.current_key()").as_deref(), Some("acme"), "after {undo}");
    }
}

#[test]
fn a_session_in_the_replication_role_is_heard_as_well() {
    let (fixture, app) = crate::fixture_with_tenants();
    let mut replicating = fixture.superuser();
    replicating.run("set session_replication_role = replica");
    for (change, undo, sqlstate) in [
        ("update tenancy.tenants set status = 'suspended'", "update tenancy.tenants set status = 'active'", "55000"),
        ("delete from tenancy.access", &format!("select tenancy.grant_access('{app}')"), "42501"),
        ("truncate tenancy.access", &format!("select tenancy.grant_access('{app}')"), "42501"),
    ] {
        let mut client = fixture.connect(&app);
        client.run("set tenancy.tenant_id = 'acme'; select tenancy.current_tenant()");
        replicating.run(change);
        client.refuses("select tenancy.current_tenant()", sqlstate);
        replicating.run(undo);
        assert_eq!(client.value("select tenancy.current_key()").as_deref(), Some("acme"), "after {undo}");
    }
}
