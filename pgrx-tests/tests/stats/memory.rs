//! The memory that statistics are kept in: how long, and for how many. The server of this test has next to nothing.

use std::time::{Duration, Instant};

use tenancy_harness::{Cluster, Config, Session, kill9};

use crate::Shop;

/// Kills a session, upon which the server ends all others and makes its shared memory anew.
fn crash(cluster: &Cluster) {
    let mut victim = cluster.connect(Cluster::SUPERUSER);
    let pid = victim.value("select pg_backend_pid()").unwrap();
    assert!(kill9(&pid));
    let deadline = Instant::now() + Duration::from_secs(30);
    let is_back = |log: &str| {
        log.rsplit_once("reinitializing").is_some_and(|(_, since)| since.contains("ready to accept connections"))
    };
    while !is_back(&cluster.log()) {
        assert!(Instant::now() < deadline, "{}", cluster.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Each of three tenants uses a new rate once.
fn use_rate(shop: &Shop<'_>, resource: &str, interval: &str) {
    shop.fixture.run(&format!(
        "select tenancy.create_resource('{resource}', 'rate');
         select tenancy.set_quota('tenant ' || n, '{resource}', 9, '{interval}') from generate_series(1, 3) n"
    ));
    let mut client = shop.client();
    for number in 1..=3 {
        client.run(&format!(
            "begin; select tenancy.set_tenant('tenant {number}'); select tenancy.consume('{resource}'); commit"
        ));
    }
}

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
    // Full is what is needed, not what was used at some time.
    shop.fixture.run("select tenancy.reset_stats()");
    assert_eq!((seen().as_str(), tracking().as_str()), ("", "(3,0,2)"));
    assert_eq!(shop.fixture.superuser().texts(ailing), ["workers"]);
    (1..=3).for_each(&mut see);
    assert_eq!((seen().as_str(), tracking().as_str()), ("123", "(3,3,2)"));
    use_rate(&shop, "spent", "1 second");
    let rates = shop.fixture.superuser().value("select concat_ws(' ', slots, used) from tenancy.rate_tracking()");
    assert_eq!(rates.as_deref(), Some("3 3"));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(shop.fixture.superuser().texts(ailing), ["stats_memory", "workers"]);
    use_rate(&shop, "calls", "1 hour");
    assert_eq!(shop.fixture.superuser().texts(ailing), ["rates_memory", "stats_memory", "workers"]);

    for stop in [Cluster::restart as fn(&Cluster), Cluster::kill9, crash] {
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
