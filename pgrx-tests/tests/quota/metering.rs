//! What tenants used, by the hour.

use std::thread;
use std::time::Duration;

use tenancy_harness::{ACME, Cluster, Fixture, Session, postgres::Client};

use crate::Shop;

/// Waits until the hour has some time left: what follows must not reach into the next one.
fn within_an_hour(superuser: &mut Client) {
    let left = "select ceil(3600 - extract(epoch from clock_timestamp())::numeric % 3600)";
    let left: u64 = superuser.value(left).unwrap().parse().unwrap();
    if left < 30 {
        thread::sleep(Duration::from_secs(left));
    }
}

/// Has an hour go by, or several: all that is recorded is that much older.
fn pass(superuser: &mut Client, hours: u32) {
    superuser.run(&format!(
        "update tenancy.quota_slots set hour = hour - interval '{hours} hours';
         update tenancy.usage_history set hour = hour - interval '{hours} hours'"
    ));
}

/// The history of a resource: tenant, how many hours ago, used, peak, added, removed.
fn history(client: &mut Client, resource: &str) -> Vec<String> {
    client.texts(&format!(
        "select format('%s %s: %s %s %s %s', case tenant_id when '{}' then 'acme' else 'globex' end,
                       extract(epoch from date_trunc('hour', now(), 'UTC') - hour)::bigint / 3600, used, peak, added, removed)
         from tenancy.usage_history where resource = '{resource}' order by tenant_id, hour",
        ACME.id
    ))
}

#[test]
fn an_hour_is_written_down_as_it_ended_whenever_the_next_one_looks() {
    let shop = Shop::new();
    let (mut superuser, mut acme) = (shop.fixture.superuser(), shop.acme());
    within_an_hour(&mut superuser);
    acme.run("insert into orders (body) select n from generate_series(1, 5) n");
    superuser.run("select tenancy.meter_usage()");
    assert_eq!(history(&mut superuser, "orders"), ["acme 0: 5 5 5 0"]);
    // Nobody looks at this before the hour has ended; within a transaction numbers are overwritten in place.
    acme.run(
        "begin; delete from orders where id <= 2; insert into orders (body) values ('x');
         savepoint s; insert into orders (body) values ('y'); rollback to s; commit",
    );
    pass(&mut superuser, 1);
    acme.run("begin; insert into orders (body) values ('a'); insert into orders (body) values ('b'); commit");
    acme.run("delete from orders where body = 'a'");
    superuser.run("select tenancy.meter_usage()");
    let expected = ["acme 1: 4 5 6 2", "acme 0: 5 5 2 1"];
    assert_eq!(history(&mut superuser, "orders"), expected);
    // The same again changes nothing, and an hour without changes has no row.
    assert_eq!(superuser.value("select tenancy.meter_usage()").as_deref(), Some("0"));
    pass(&mut superuser, 3);
    superuser.run("select tenancy.meter_usage()");
    assert_eq!(history(&mut superuser, "orders"), ["acme 4: 4 5 6 2", "acme 3: 5 5 2 1"]);
    acme.run("delete from orders");
    superuser.run("select tenancy.meter_usage()");
    assert_eq!(history(&mut superuser, "orders").last().map(String::as_str), Some("acme 0: 0 5 0 5"));
}

#[test]
fn what_no_call_has_told_apart_counts_in_the_hour_that_ended_last() {
    let shop = Shop::new();
    let (mut superuser, mut acme) = (shop.fixture.superuser(), shop.acme());
    within_an_hour(&mut superuser);
    acme.run("insert into orders (body) values ('a'), ('b')");
    superuser.run("select tenancy.meter_usage()");
    acme.run("insert into orders (body) values ('c')");
    pass(&mut superuser, 2);
    acme.run("delete from orders where body = 'a'");
    pass(&mut superuser, 3);
    acme.run("insert into orders (body) values ('d'), ('e')");
    superuser.run("select tenancy.meter_usage()");
    assert_eq!(history(&mut superuser, "orders"), ["acme 5: 2 2 2 0", "acme 1: 2 2 1 1", "acme 0: 4 4 2 0"]);
}

#[test]
fn counters_and_bytes_are_metered_and_each_tenant_sees_its_own() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    within_an_hour(&mut superuser);
    superuser
        .run("select tenancy.create_resource('seats', 'counter'); select tenancy.create_resource('storage', 'bytes')");
    superuser.run("select tenancy.attach_quota('orders', 'storage')");
    let mut acme = shop.acme();
    acme.run(
        "select tenancy.consume('seats', 5), tenancy.release('seats', 2); insert into orders (body) values ('ab')",
    );
    let mut globex = shop.acting_for("globex");
    globex.run("select tenancy.consume('seats', 1)");
    superuser.run("select tenancy.meter_usage()");
    assert_eq!(history(&mut superuser, "seats").len(), 2);
    assert_eq!(history(&mut acme, "seats"), ["acme 0: 3 3 5 2"]);
    assert_eq!(history(&mut globex, "seats"), ["globex 0: 1 1 1 0"]);
    // 24, and id, tenant and two letters.
    assert_eq!(history(&mut acme, "storage"), ["acme 0: 50 50 50 0"]);
    let mut nobody = shop.fixture.connect(&shop.app);
    assert!(history(&mut nobody, "seats").is_empty());
    for attempt in [
        "select tenancy.meter_usage()",
        "insert into tenancy.usage_history select * from tenancy.usage_history",
        "update tenancy.usage_history set used = 0",
        "delete from tenancy.usage_history",
        "truncate tenancy.usage_history",
    ] {
        acme.refuses(attempt, "42501");
    }
    let admin = shop.fixture.role("admin");
    superuser.run(&format!("select tenancy.grant_admin('{admin}')"));
    shop.fixture.connect(&admin).run("select tenancy.meter_usage()");
}

#[test]
fn a_limit_below_what_is_used_loses_nothing_of_what_was_metered() {
    let shop = Shop::new();
    let (mut superuser, mut acme) = (shop.fixture.superuser(), shop.acme());
    within_an_hour(&mut superuser);
    // Three slots with what they have, of two hours.
    acme.run("insert into orders (body) values ('a')");
    acme.run("begin; insert into orders (body) values ('a')");
    let mut others = [shop.acme(), shop.acme()];
    for other in &mut others {
        other.run("begin; insert into orders (body) values ('b'), ('c')");
    }
    others.iter_mut().for_each(|other| other.run("commit"));
    acme.run("commit");
    let slots: i64 = superuser.value("select count(*) from tenancy.quota_slots").unwrap().parse().unwrap();
    assert!(slots > 1, "{slots}");
    pass(&mut superuser, 1);
    acme.run("insert into orders (body) values ('d')");
    superuser.run("select tenancy.set_quota('acme', 'orders', 2)");
    assert_eq!(superuser.value("select count(*) from tenancy.quota_slots").as_deref(), Some("1"));
    superuser.run("select tenancy.meter_usage()");
    assert_eq!(history(&mut superuser, "orders"), ["acme 1: 6 6 6 0", "acme 0: 7 7 1 0"]);
}

#[test]
fn writers_go_on_and_nothing_is_lost_or_counted_twice() {
    let shop = Shop::new();
    within_an_hour(&mut shop.fixture.superuser());
    let sums = "select format('%s %s', sum(added), sum(removed)) from tenancy.usage_history";
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut acme = shop.acme();
                for _ in 0..60 {
                    acme.run("insert into orders (body) values ('x'), ('y')");
                    acme.run(
                        "begin; insert into orders (body) values ('z'); delete from orders where body = 'z'; commit",
                    );
                }
            });
        }
        // Two at a time, which take turns.
        for _ in 0..2 {
            scope.spawn(|| {
                let mut superuser = shop.fixture.superuser();
                for _ in 0..40 {
                    superuser.run("select tenancy.meter_usage()");
                    let wrong = "select count(*) from (select sum(added) - sum(removed) as net, max(used) as used
                                                        from tenancy.usage_history) as h where net <> used";
                    assert_eq!(superuser.value(wrong).as_deref(), Some("0"));
                }
            });
        }
    });
    let mut superuser = shop.fixture.superuser();
    superuser.run("select tenancy.meter_usage()");
    assert_eq!(superuser.value(sums).as_deref(), Some("720 240"));
    shop.is_exact();
}

#[test]
fn what_is_old_goes_but_for_the_last_row_before() {
    let shop = Shop::new();
    let (mut superuser, mut acme) = (shop.fixture.superuser(), shop.acme());
    within_an_hour(&mut superuser);
    for _ in 0..5 {
        acme.run("insert into orders (body) values ('x')");
        superuser.run("select tenancy.meter_usage()");
        pass(&mut superuser, 10);
    }
    assert_eq!(history(&mut superuser, "orders").len(), 5);
    superuser.run("set tenancy.keep_usage_history = '1d'; select tenancy.meter_usage()");
    let kept = ["acme 30: 3 3 1 0", "acme 20: 4 4 1 0", "acme 10: 5 5 1 0"];
    assert_eq!(history(&mut superuser, "orders"), kept);
    pass(&mut superuser, 1000);
    superuser.run("select tenancy.meter_usage()");
    assert_eq!(history(&mut superuser, "orders"), ["acme 1010: 5 5 1 0"]);
    acme.run("delete from orders where id = 1");
    superuser.run("select tenancy.meter_usage()");
    assert_eq!(history(&mut superuser, "orders"), ["acme 1010: 5 5 1 0", "acme 0: 4 5 0 1"]);
    superuser.refuses("set tenancy.keep_usage_history = '1h'", "22023");
    acme.refuses("set tenancy.keep_usage_history = '1d'", "42501");
}

#[test]
fn the_history_of_a_tenant_that_is_gone_stays() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    within_an_hour(&mut superuser);
    shop.acme().run("insert into orders (body) values ('x')");
    superuser.run("select tenancy.meter_usage(); truncate orders");
    superuser.run("delete from tenancy.tenants where key = 'acme'");
    superuser.run("select tenancy.meter_usage()");
    assert_eq!(history(&mut superuser, "orders"), ["acme 0: 1 1 1 0"]);
    // Its slots begin anew.
    superuser.run(&format!("select tenancy.create_tenant('acme', id => '{}')", ACME.id));
    pass(&mut superuser, 2);
    shop.acme().run("insert into orders (body) values ('x'), ('y')");
    superuser.run("select tenancy.meter_usage()");
    assert_eq!(history(&mut superuser, "orders").last().map(String::as_str), Some("acme 0: 2 2 2 0"));
}

#[test]
fn a_dump_takes_the_history_along() {
    let shop = Shop::new();
    let (mut superuser, mut acme) = (shop.fixture.superuser(), shop.acme());
    within_an_hour(&mut superuser);
    acme.run("insert into orders (body) values ('x'), ('y')");
    superuser.run("select tenancy.meter_usage()");
    acme.run("delete from orders where id = 1");
    let cluster = shop.fixture.cluster();
    let script = String::from_utf8(cluster.run_tool("pg_dump", &[shop.fixture.database()]).stdout).unwrap();
    let target = Fixture::empty(cluster);
    let restored = cluster.psql(target.database(), Cluster::SUPERUSER, &script);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let mut there = target.superuser();
    assert_eq!(history(&mut there, "orders"), ["acme 0: 2 2 2 0"]);
    there.run("select tenancy.meter_usage()");
    assert_eq!(history(&mut there, "orders"), ["acme 0: 1 2 2 1"]);
}

/// Sums of what several sessions take at once must not overflow: nobody could be metered any more.
#[test]
fn who_takes_all_there_can_be_stops_nobody_s_metering() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    superuser.run("select tenancy.create_resource('seats', 'counter')");
    let (mut one, mut other) = (shop.acme(), shop.acme());
    other.run("select tenancy.consume('seats', 1)");
    one.run("begin; select tenancy.consume('seats', 1)");
    other.refuses("select tenancy.consume('seats', 9223372036854775807)", "22003");
    let most = (1_i64 << 55) - 1;
    other.run(&format!("select tenancy.consume('seats', {})", most - 1));
    one.run("commit");
    one.refuses(&format!("select tenancy.consume('seats', {most}), tenancy.consume('seats', {most})"), "22003");
    superuser.run("select tenancy.meter_usage(); select sum(used) from tenancy.quota_usage; select tenancy.set_quota('acme', 'seats', 10)");
    assert!(shop.used("acme", "seats") >= most);
    other.run(&format!("select tenancy.release('seats', {most})"));
    superuser.run("select tenancy.meter_usage()");
}
