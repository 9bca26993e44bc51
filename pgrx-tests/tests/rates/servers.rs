//! Servers that have no shared memory, and such that only follow.

use tenancy_harness::{Cluster, Config, Fixture, Session};

use crate::{Desk, call};

#[test]
fn without_preload_a_rate_is_an_error() {
    let desk = Desk::within(Fixture::without_preload());
    desk.allow(10, "1 minute");
    let mut acme = desk.acting_for("acme");
    for call in ["consume('calls')", "check_quota('calls')"] {
        let error = acme.refuses(&format!("select tenancy.{call}"), "55000");
        assert!(error.hint().is_some_and(|hint| hint.contains("shared_preload_libraries")));
    }
    // No limit today is no reason to find out tomorrow.
    desk.acting_for("globex").refuses("select tenancy.consume('calls')", "55000");
    assert_eq!(desk.used("acme", "calls"), 0);
    desk.fixture.superuser().refuses("select * from tenancy.rate_tracking()", "55000");
}

#[test]
fn without_preload_a_tenant_whose_sessions_are_limited_has_none() {
    let desk = Desk::within(Fixture::without_preload());
    desk.allow_sessions(2);
    desk.client().refuses("select tenancy.set_tenant('acme', false)", "55000");
    desk.client().run("select tenancy.set_tenant('globex', false)");
    desk.fixture.run("select tenancy.set_quota('acme', 'sessions', 2, mode => 'track')");
    desk.client().run("select tenancy.set_tenant('acme', false)");
}

#[test]
fn without_preload_statements_can_not_be_counted() {
    let desk = Desk::within(Fixture::without_preload());
    desk.fixture.run(&format!("alter role {} set tenancy.enforce_rate = 'calls'", desk.app));
    let mut client = desk.client();
    client.run("select tenancy.set_tenant('acme', false)");
    client.refuses("select 1", "55000");
    client.run("reset tenancy.tenant_id; select 1");
}

#[test]
fn a_standby_has_rates_and_sessions_of_its_own() {
    let primary = Cluster::start("primary", &Config::default());
    let standby = primary.standby();
    let desk = Desk::on(&primary);
    desk.allow(3, "1 hour");
    desk.allow_sessions(1);
    standby.wait_for_catch_up(&primary);
    let connect = || standby.connect_to(desk.fixture.database(), &desk.app);
    let mut there = connect();
    there.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(there.value("select tenancy.consume('calls', 3)").as_deref(), Some("0"));
    there.refuses("select tenancy.consume('calls')", "53400");
    assert_eq!(there.value("select used from tenancy.quota_usage where resource = 'calls'").as_deref(), Some("3"));
    connect().refuses("set tenancy.tenant_id = 'acme'; select tenancy.require_tenant()", "53400");
    let mut here = desk.acting_for("acme");
    assert_eq!(call(&mut here).as_deref(), Some("2"));
    // A limit that changes there holds here.
    desk.allow(5, "1 hour");
    standby.wait_for_catch_up(&primary);
    assert_eq!(there.value("select tenancy.consume('calls')").as_deref(), Some("1"));
}
