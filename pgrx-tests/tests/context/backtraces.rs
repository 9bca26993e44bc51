//! What the server was started with does not show in what clients are told.

use tenancy_harness::{ACME, Cluster, Config, Fixture, Session, World};

#[test]
fn no_error_carries_a_backtrace_whatever_the_servers_environment_asks_for() {
    for (name, value, config) in
        [("RUST_BACKTRACE", "1", Config::default()), ("RUST_LIB_BACKTRACE", "1", Config::without_preload())]
    {
        let cluster = Cluster::start("backtrace", &config.environment(name, value));
        let world = World::within(Fixture::on(&cluster));
        let mut client = world.connect();
        let mut superuser = world.fixture.superuser();
        superuser.run("create table loose (tenant_id uuid); insert into loose values (null)");
        world.fixture.run("select tenancy.suspend_tenant('globex')");
        for (statement, sqlstate, detail) in [
            ("select tenancy.set_tenant('nobody', false)", "42501", None),
            ("select tenancy.set_tenant('globex', false)", "55000", Some("Only an active tenant can be acted for.")),
            (
                "set tenancy.tenant_id = 'globex'; select body from notes_uuid",
                "55000",
                Some("Only an active tenant can be acted for."),
            ),
            (
                "begin; set local tenancy.tenant_id = 'acme'; set local tenancy.tenant_id = 'globex'",
                "42501",
                Some("A transaction that has set or used a tenant keeps it until it ends."),
            ),
        ] {
            let error = client.refuses(statement, sqlstate);
            assert_eq!(error.detail(), detail, "{name}={value}: {statement}");
            client.run("rollback; reset tenancy.tenant_id");
        }
        for (statement, sqlstate) in [
            ("select tenancy.protect('loose')", "23502"),
            ("select tenancy.protect('nowhere')", "42P01"),
            ("alter table notes_uuid disable row level security", "42501"),
            ("select tenancy.create_tenant('acme')", "42710"),
            ("select tenancy.create_plan(string_agg(md5(n::text), '')) from generate_series(1, 1000) n", "54000"),
        ] {
            let error = superuser.refuses(statement, sqlstate);
            let told = format!("{error:?}");
            assert!(!told.contains("backtrace") && !told.contains(".rs:"), "{name}={value}: {statement}: {told}");
            assert!(error.detail().is_none_or(|detail| detail.lines().count() == 1), "{statement}: {error:?}");
        }
        let mut tx = World::begin(&mut client, ACME);
        assert_eq!(tx.texts("select body from notes_uuid").len(), 20);
    }
}
