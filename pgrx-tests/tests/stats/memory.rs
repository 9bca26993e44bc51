//! The memory that statistics are kept in: how long, and for how many. The server of this test has next to nothing.

use tenancy_harness::{Cluster, Config, Session};

use crate::Shop;

#[test]
fn the_least_recently_seen_goes_and_nothing_outlasts_the_server() {
    let config = Config::default().set("tenancy.max_tracked_tenants", "3").set("max_worker_processes", "0");
    let cluster = Cluster::start("stats", &config);
    let shop = Shop::on(&cluster);
    shop.fixture.run("select tenancy.create_tenant('tenant ' || n) from generate_series(1, 5) n");
    let seen = || {
        let query = "select right(tenant, 1) from tenancy.stat_tenants order by tenant";
        shop.fixture.superuser().texts(query).concat()
    };
    let tracking = || shop.fixture.superuser().value("select t::text from tenancy.stats_tracking() t").unwrap();
    let mut client = shop.client();
    let mut see = |number: u32| client.run(&format!("begin; select tenancy.set_tenant('tenant {number}'); commit"));
    (1..=3).for_each(&mut see);
    assert_eq!((seen().as_str(), tracking().as_str()), ("123", "(3,3,0)"));
    see(1);
    see(4);
    assert_eq!((seen().as_str(), tracking().as_str()), ("134", "(3,3,1)"));
    see(5);
    assert_eq!((seen().as_str(), tracking().as_str()), ("145", "(3,3,2)"));
    // What was reset makes room before others, and is no loss.
    shop.fixture.run("select tenancy.reset_stats('tenant 4')");
    see(2);
    assert_eq!((seen().as_str(), tracking().as_str()), ("125", "(3,3,2)"));

    let ailing = "select \"check\" from tenancy.health() where not ok and \"check\" <> 'server_version' order by 1";
    assert_eq!(shop.fixture.superuser().texts(ailing), ["stats_memory", "workers"]);

    for stop in [Cluster::restart, Cluster::kill9] {
        stop(&cluster);
        if !cluster.is_running() {
            cluster.restart();
        }
        assert_eq!((seen().as_str(), tracking().as_str()), ("", "(3,0,0)"));
        shop.client().run("begin; select tenancy.set_tenant('tenant 1'); commit");
        assert_eq!(seen(), "1");
    }
    assert_eq!(shop.fixture.superuser().texts(ailing), ["workers"]);
}
