//! Limits: whose counts, what changes them, and who sees them.

use tenancy_harness::{Cluster, Fixture, Session};

use crate::Shop;

#[test]
fn a_tenants_own_limit_wins_over_its_plans() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.create_plan('small'); select tenancy.set_plan_quota('small', 'orders', 2)");
    let mut acme = shop.acme();
    acme.run("insert into orders (body) values ('a'), ('b'), ('c')");
    shop.fixture.run("update tenancy.tenants set plan = 'small' where key = 'acme'");
    acme.refuses("insert into orders (body) values ('d')", "53400");
    shop.fixture.run("select tenancy.set_plan_quota('small', 'orders', 4)");
    acme.run("insert into orders (body) values ('d')");
    acme.refuses("insert into orders (body) values ('e')", "53400");
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', null)");
    acme.run("insert into orders (body) values ('e')");
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 5)");
    acme.refuses("insert into orders (body) values ('f')", "53400");
    shop.fixture.run("delete from tenancy.quotas; update tenancy.plan_quotas set max_amount = 6");
    acme.run("insert into orders (body) values ('f')");
    acme.refuses("insert into orders (body) values ('g')", "53400");
    shop.fixture.run("update tenancy.tenants set plan = null where key = 'acme'");
    acme.run("insert into orders (body) values ('g')");
    assert_eq!(shop.used("acme", "orders"), 7);
    shop.is_exact();
}

#[test]
fn above_a_lowered_limit_only_giving_back_is_possible() {
    let shop = Shop::new();
    let mut acme = shop.acme();
    acme.run("insert into orders (body) select n from generate_series(1, 10) n");
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 4)");
    let error = acme.refuses("insert into orders (body) values ('x')", "53400");
    assert_eq!(error.detail(), Some("Resource \"orders\": used 10, limit 4, requested 1."));
    acme.run("update orders set body = 'y'; delete from orders where id <= 6");
    acme.refuses("insert into orders (body) values ('x')", "53400");
    acme.run("delete from orders where id = 7; insert into orders (body) values ('x')");
    acme.refuses("insert into orders (body) values ('x')", "53400");
    shop.is_exact();
}

#[test]
fn what_is_tracked_is_never_refused() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 2, mode => 'track')");
    shop.acme().run("insert into orders (body) values ('a'), ('b'), ('c')");
    let usage = "select format('%s %s %s %s %s', used, max, mode, percent, per) from tenancy.quota_usage";
    assert_eq!(shop.fixture.superuser().value(usage).as_deref(), Some("3 2 track 150.0 "));
}

#[test]
fn a_limit_of_nothing_admits_nothing() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 0)");
    shop.acme().refuses("insert into orders (body) values ('a')", "53400");
}

#[test]
fn a_tenant_sees_its_own_usage_only() {
    let shop = Shop::new();
    shop.fixture.run(
        "select tenancy.create_plan('small'); select tenancy.set_plan_quota('small', 'orders', 9);
         update tenancy.tenants set plan = 'small'; select tenancy.set_quota('globex', 'orders', 5)",
    );
    let mut acme = shop.acme();
    acme.run("insert into orders (body) values ('a')");
    assert_eq!(acme.texts("select tenant || ' ' || used || ' ' || max from tenancy.quota_usage"), ["acme 1 9"]);
    assert!(acme.texts("select max_amount::text from tenancy.quotas").is_empty());
    acme.refuses("update tenancy.quota_slots set used = 0", "42501");
    acme.refuses(
        "insert into tenancy.quotas (tenant_id, resource_id) select tenant_id, 1 from tenancy.quota_slots",
        "42501",
    );
    acme.refuses("select tenancy.set_quota('acme', 'orders', 100)", "42501");
    acme.refuses("select tenancy.recount()", "42501");
    acme.run("reset tenancy.tenant_id");
    assert!(acme.texts("select tenant from tenancy.quota_usage").is_empty());
    assert_eq!(shop.fixture.superuser().texts("select tenant from tenancy.quota_usage order by 1"), ["acme", "globex"]);
}

#[test]
fn what_cannot_be_a_limit_is_refused() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    for (call, state) in [
        ("tenancy.create_resource('x', 'pages')", "22023"),
        ("tenancy.create_resource('', 'rows')", "22023"),
        ("tenancy.create_resource(' x', 'rows')", "22023"),
        ("tenancy.create_resource('orders', 'rows')", "42710"),
        ("tenancy.create_resource(null, 'rows')", "22023"),
        ("tenancy.set_quota('nobody', 'orders', 1)", "42704"),
        ("tenancy.set_quota('acme', 'nothing', 1)", "42704"),
        ("tenancy.set_quota('acme', 'orders', -1)", "22023"),
        ("tenancy.set_quota('acme', 'orders', 1, mode => 'hope')", "22023"),
        ("tenancy.set_quota('acme', 'orders', 1, warn_at => 0)", "22023"),
        ("tenancy.set_quota('acme', 'orders', 1, warn_at => 'NaN')", "22023"),
        ("tenancy.set_quota('acme', 'orders', 1, per => '1 minute')", "22023"),
        ("tenancy.set_plan_quota('none', 'orders', 1)", "42704"),
    ] {
        superuser.refuses(&format!("select {call}"), state);
    }
}

#[test]
fn a_hostile_search_path_and_settings_change_nothing() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.set_quota('acme', 'orders', 2)");
    let mut acme = shop.fixture.connect(&shop.app);
    shop.fixture.run(&format!("create schema mine authorization {}", shop.app));
    acme.run(
        "create function mine.equals(text, text) returns boolean language sql as 'select true';
         create operator mine.= (leftarg = text, rightarg = text, function = mine.equals);
         create table mine.quota_slots (tenant_id uuid);
         set search_path = mine, pg_catalog, public; set standard_conforming_strings = off;
         set quote_all_identifiers = on; set tenancy.tenant_id = 'acme';
         insert into public.orders (body) values ('a')",
    );
    acme.refuses("insert into public.orders (body) values ('b'), ('c')", "53400");
    assert_eq!(shop.used("acme", "orders"), 1);
}

#[test]
fn a_dump_takes_usage_and_limits_along() {
    let shop = Shop::new();
    shop.fixture.run(
        "select tenancy.create_plan('small'); select tenancy.set_plan_quota('small', 'orders', 3);
         update tenancy.tenants set plan = 'small' where key = 'acme'; select tenancy.set_quota('globex', 'orders', 1)",
    );
    shop.acme().run("insert into orders (body) values ('a'), ('b')");
    let cluster = shop.fixture.cluster();
    let script = String::from_utf8(cluster.run_tool("pg_dump", &[shop.fixture.database()]).stdout).unwrap();
    let target = Fixture::empty(cluster);
    let restore = cluster.psql(target.database(), Cluster::SUPERUSER, &script);
    assert!(restore.status.success() && restore.stderr.is_empty(), "{restore:?}");

    let usage = "select (u.*)::text from tenancy.quota_usage u order by 1";
    assert_eq!(target.superuser().texts(usage), shop.fixture.superuser().texts(usage));
    let mut acme = target.connect(&shop.app);
    acme.run("set tenancy.tenant_id = 'acme'; insert into orders (body) values ('c')");
    acme.refuses("insert into orders (body) values ('d')", "53400");
    assert!(target.superuser().texts("select tenant_id from tenancy.recount() where was <> now").is_empty());
    target.run("select tenancy.create_resource('another', 'rows')");
}
