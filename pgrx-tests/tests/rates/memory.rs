//! The memory that rates are kept in: how long, and for how many.

use tenancy_harness::{Cluster, Config, Session};

use crate::{Desk, call};

/// A server with so many slots.
fn cluster(slots: u32) -> Cluster {
    Cluster::start("rates", &Config::default().set("tenancy.max_tracked_tenants", &slots.to_string()))
}

fn tracking(desk: &Desk<'_>) -> String {
    desk.fixture.superuser().value("select t::text from tenancy.rate_tracking() t").unwrap()
}

fn exhausted(desk: &Desk<'_>, tenants: &[u32]) -> Vec<u32> {
    let fits = |tenant: &u32| {
        let mut client = desk.acting_for(&format!("tenant {tenant}"));
        client.value("select tenancy.check_quota('calls')").as_deref() == Some("t")
    };
    tenants.iter().copied().filter(|tenant| !fits(tenant)).collect()
}

#[test]
fn a_rate_is_full_after_a_restart_and_after_a_crash() {
    let cluster = cluster(100);
    let desk = Desk::on(&cluster);
    desk.allow(3, "1 hour");
    for stop in [Cluster::restart, Cluster::kill9] {
        let mut acme = desk.acting_for("acme");
        assert_eq!(acme.value("select tenancy.consume('calls', 3)").as_deref(), Some("0"));
        acme.refuses("select tenancy.consume('calls')", "53400");
        stop(&cluster);
        if !cluster.is_running() {
            cluster.restart();
        }
        assert_eq!(desk.used("acme", "calls"), 0);
    }
    assert_eq!(call(&mut desk.acting_for("acme")).as_deref(), Some("2"));
}

#[test]
fn the_least_recently_used_goes_and_is_counted() {
    let cluster = cluster(3);
    let desk = Desk::on(&cluster);
    desk.fixture.run(
        "select tenancy.create_plan('one'); select tenancy.set_plan_quota('one', 'calls', 1, '1 hour');
         select tenancy.create_tenant('tenant ' || n, plan => 'one') from generate_series(1, 5) n",
    );
    let call = |tenant: u32| desk.acting_for(&format!("tenant {tenant}")).run("select tenancy.consume('calls')");
    (1..=3).for_each(call);
    assert_eq!(tracking(&desk), "(3,3,0,0)");
    assert_eq!(exhausted(&desk, &[1, 2, 3]), [1, 2, 3]);
    // A call that is refused is a use as well; asking is none.
    desk.acting_for("tenant 1").refuses("select tenancy.consume('calls')", "53400");
    call(4);
    assert_eq!(tracking(&desk), "(3,3,1,1)");
    assert_eq!(exhausted(&desk, &[1, 2, 3, 4]), [1, 3, 4]);
    call(5);
    assert_eq!(exhausted(&desk, &[1, 2, 3, 4, 5]), [1, 4, 5]);
    assert_eq!(tracking(&desk), "(3,3,2,2)");
}

#[test]
fn a_rate_that_is_full_again_makes_room_first() {
    let cluster = cluster(2);
    let desk = Desk::on(&cluster);
    desk.allow(1, "1 hour");
    desk.fixture.run("select tenancy.set_quota('globex', 'calls', 1, '1 millisecond')");
    call(&mut desk.acting_for("acme"));
    call(&mut desk.acting_for("globex"));
    std::thread::sleep(std::time::Duration::from_millis(20));
    desk.fixture
        .run("select tenancy.create_tenant('initech'); select tenancy.set_quota('initech', 'calls', 1, '1 hour')");
    call(&mut desk.acting_for("initech"));
    assert_eq!(tracking(&desk), "(2,2,1,0)");
    desk.acting_for("acme").refuses("select tenancy.consume('calls')", "53400");
}

#[test]
fn what_is_tracked_is_told_to_those_who_watch_the_server() {
    let desk = Desk::new();
    let watcher = desk.fixture.role("watcher");
    desk.fixture.run(&format!("grant pg_monitor to {watcher}"));
    let slots = "select slots from tenancy.rate_tracking()";
    assert_eq!(desk.fixture.connect(&watcher).value(slots).as_deref(), Some("10000"));
    desk.client().refuses(slots, "42501");
    desk.fixture.superuser().refuses("set tenancy.max_tracked_tenants = 5", "55P02");
}
