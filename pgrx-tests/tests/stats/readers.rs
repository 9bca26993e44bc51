//! Who reads the statistics, and who resets them.

use tenancy_harness::{Cluster, Fixture, Session};

use crate::Shop;

const TENANTS: &str = "select tenant from tenancy.stat_tenants order by 1";

fn used() -> Shop<'static> {
    let shop = Shop::new();
    for tenant in ["acme", "globex"] {
        shop.client().run(&format!("begin; select tenancy.set_tenant('{tenant}'); select * from notes; commit"));
    }
    shop
}

#[test]
fn a_tenant_reads_its_own_and_who_watches_the_server_reads_all() {
    let shop = used();
    let watcher = shop.fixture.role("watcher");
    shop.fixture.run(&format!("grant pg_monitor to {watcher}"));
    for role in [&watcher, Cluster::SUPERUSER] {
        assert_eq!(shop.fixture.connect(role).texts(TENANTS), ["acme", "globex"], "{role}");
    }
    let mut client = shop.client();
    assert_eq!(client.texts(TENANTS), Vec::<String>::new());
    client.run("set tenancy.tenant_id = 'acme'");
    assert_eq!(client.texts(TENANTS), ["acme"]);
    // A function that tells on what it sees sees no more.
    client.run(
        "create function pg_temp.seen(text) returns boolean language plpgsql cost 0.0001 as $$ begin raise notice '%', $1; return true; end $$",
    );
    assert_eq!(client.texts("select tenant from tenancy.stat_tenants where pg_temp.seen(tenant)"), ["acme"]);
    // Nor does what runs as somebody else: the session's role is asked.
    shop.fixture.run(&format!(
        "create function all_tenants() returns bigint security definer language sql
           begin atomic select count(*) from tenancy.stat_tenants; end;
         grant execute on function all_tenants() to {}",
        shop.app
    ));
    assert_eq!(client.value("select all_tenants()").as_deref(), Some("1"));
    shop.fixture.run(&format!("select tenancy.revoke_access('{}')", shop.app));
    client.refuses(TENANTS, "42501");
    // Another database has its own.
    assert_eq!(Shop::new().fixture.superuser().texts(TENANTS), Vec::<String>::new());
}

#[test]
fn only_administrators_reset() {
    let shop = used();
    let mut client = shop.client();
    client.refuses("select tenancy.reset_stats()", "42501");
    client.refuses("select tenancy.stats_tracking()", "42501");
    let admin = shop.fixture.role("admin");
    shop.fixture.run(&format!("select tenancy.grant_admin('{admin}')"));
    let mut admin = shop.fixture.connect(&admin);
    admin.run("select tenancy.reset_stats('acme')");
    assert_eq!(shop.fixture.superuser().texts(TENANTS), ["globex"]);
    assert_eq!(shop.counted("acme"), [0; 7]);
    admin.refuses("select tenancy.reset_stats('initech')", "42704");
    let others = used();
    admin.run("select tenancy.reset_stats()");
    assert_eq!(shop.fixture.superuser().texts(TENANTS), Vec::<String>::new());
    assert_eq!(others.fixture.superuser().texts(TENANTS), ["acme", "globex"]);
    // It goes on from there.
    client.run("begin; select tenancy.set_tenant('acme'); commit");
    assert_eq!(shop.counted("acme"), [1, 0, 1, 1, 0, 0, 0]);
    let since =
        "select stats_since > now() - interval '1 minute' and last_seen >= stats_since from tenancy.stat_tenants";
    assert_eq!(shop.fixture.superuser().value(since).as_deref(), Some("t"));
}

#[test]
fn what_is_not_wanted_is_not_counted() {
    let shop = Shop::new();
    let mut client = shop.client();
    client.refuses("set tenancy.track_stats = off", "42501");
    client.refuses("set tenancy.log_context = off", "42501");
    shop.fixture.run(&format!("alter role {} set tenancy.track_stats = off", shop.app));
    let mut other = shop.client();
    let work = "begin; select tenancy.set_tenant('acme'); select * from notes; commit";
    assert_eq!(shop.added(|| other.run(work)), [0; 7]);
    assert_eq!(shop.added(|| client.run(work)), [1, 0, 2, 1, 0, 0, 0]);
    other.refuses("begin; select tenancy.set_tenant('acme'); select 1 / (select count(*) from notes)", "22012");
    other.run("rollback");
    assert_eq!(shop.counted("acme"), [1, 0, 2, 1, 0, 0, 0]);
}

#[test]
fn a_tenant_that_is_gone_is_known_by_its_id() {
    let shop = used();
    shop.fixture.run("delete from tenancy.tenants where key = 'acme'");
    let query = "select coalesce(tenant, tenant_id::text) from tenancy.stat_tenants order by tenant nulls first";
    assert_eq!(shop.fixture.superuser().texts(query), [tenancy_harness::ACME.id, "globex"]);
}

#[test]
fn without_preload_there_are_none_and_tenants_notice_nothing() {
    let shop = Shop::within(Fixture::without_preload());
    shop.client().run("begin; select tenancy.set_tenant('acme'); select * from notes; commit");
    let mut superuser = shop.fixture.superuser();
    for query in [TENANTS, "select tenancy.reset_stats()", "select tenancy.stats_tracking()"] {
        let error = superuser.refuses(query, "55000");
        assert!(error.hint().is_some_and(|hint| hint.contains("shared_preload_libraries")), "{query}");
    }
    let health = |check: &str| format!("select ok from tenancy.health() where \"check\" = '{check}'");
    for check in ["library", "rates_memory", "stats_memory"] {
        assert_eq!(superuser.value(&health(check)).as_deref(), Some("f"), "{check}");
    }
}
