//! 1–11: who is exempt from row security, or nearly so.

use std::time::{Duration, Instant};

use tenancy_harness::{ACME, Cluster, Config, Fixture, GLOBEX, Session, World, refuses_in_savepoint};

use crate::{ACMES, ALL, Shop, seen_by};

/// 1
#[test]
fn an_owner_who_is_not_bound_is_reported() {
    let shop = Shop::new();
    let mut owner = shop.fixture.connect(&shop.owner);
    let read = "select body from orders order by 1";
    assert_eq!(owner.texts(read).len(), 0);
    shop.weaken("alter table orders no force row level security");
    assert_eq!(owner.texts(read), ALL);
    shop.mend("RLS_NOT_FORCED", "public.orders");
    assert_eq!(owner.texts(read).len(), 0);
}

/// 2
#[test]
fn a_member_of_the_owner_is_bound_and_one_that_acts_for_tenants_is_reported() {
    let shop = Shop::new();
    shop.fixture.run(&shop.fill_in("revoke all on orders from {app}; grant {owner} to {app}"));
    let mut app = shop.app();
    assert_eq!(app.texts("select body from orders").len(), 0);
    assert_eq!(seen_by(&mut app, "orders"), ACMES);
    let mut tx = World::begin(&mut app, ACME);
    refuses_in_savepoint(&mut tx, &format!("insert into orders values (9, '{}', 'x')", GLOBEX.id), "42501");
    assert_eq!(tx.affected("delete from orders"), 2);
    drop(tx);
    shop.mend("ROLE_OWNS_TABLES", "{app}");
    app.refuses("select body from orders", "42501");
}

/// 3
#[test]
fn a_bypassing_application_is_reported_and_can_be_refused() {
    let shop = Shop::new();
    shop.fixture.run(&shop.fill_in("alter role {app} bypassrls"));
    assert_eq!(shop.seen("orders"), ALL);
    shop.fixture.run(&shop.fill_in("alter role {app} set tenancy.on_bypass = error"));
    let mut app = shop.app();
    app.refuses("begin; select tenancy.set_tenant('acme'); select body from orders", "42501");
    drop(app);
    shop.mend("ROLE_BYPASSRLS", "{app}");
    assert_eq!(shop.seen("orders"), ACMES);
}

/// 4
#[test]
fn a_member_of_a_bypassing_role_is_bound_until_it_takes_that_role_on() {
    let shop = Shop::new();
    let strong = shop.fixture.role("strong");
    shop.fixture.run(&shop.fill_in(&format!(
        "alter role {strong} bypassrls; grant select on orders to {strong}; grant {strong} to {{app}}"
    )));
    let mut app = shop.app();
    assert_eq!(seen_by(&mut app, "orders"), ACMES);
    app.run(&format!("set role {strong}"));
    assert_eq!(app.texts("select body from orders order by 1"), ALL);
    shop.fixture.run(&shop.fill_in("alter role {app} set tenancy.on_bypass = error"));
    shop.app().refuses(&format!("set role {strong}; select body from orders"), "42501");
    shop.mend("ROLE_CAN_BYPASS", "{app}");
    shop.app().refuses(&format!("set role {strong}"), "42501");
}

/// 5
#[test]
fn reading_all_data_reaches_beneath_the_tables_and_is_reported() {
    let shop = Shop::new();
    shop.fixture.run(&format!(
        "alter table orders alter body set storage external;
         insert into orders select 4, '{}', 'globex ' || string_agg(md5(n::text), '') from generate_series(1, 200) n;
         analyze orders",
        GLOBEX.id
    ));
    let toast = "select 'pg_toast.pg_toast_' || oid from pg_class where relname = 'orders'";
    let toast = shop.fixture.superuser().value(toast).unwrap();
    let beneath = [
        format!("select count(*) from {toast} where encode(chunk_data, 'escape') like 'globex%'"),
        "select count(*) from pg_statistic where starelid = 'orders'::regclass and stavalues1::text like '%globex%'"
            .into(),
    ];
    let mut app = shop.app();
    for query in &beneath {
        app.refuses(query, "42501");
    }
    shop.fixture.run(&shop.fill_in("grant pg_read_all_data to {app}"));
    assert_eq!(shop.seen("orders"), ACMES, "policies hold");
    for query in &beneath {
        assert_ne!(app.value(query).as_deref(), Some("0"), "{query}");
    }
    shop.mend("ROLE_CAN_BYPASS", "{app}");
    for query in &beneath {
        app.refuses(query, "42501");
    }
}

/// 5
#[test]
fn reading_the_statistics_or_what_is_stored_apart_is_reported() {
    let shop = Shop::new();
    shop.fixture.run("analyze orders");
    let mut app = shop.app();
    let query = "select count(*) from pg_statistic where starelid = 'orders'::regclass";
    for (grant, object) in [
        ("grant select on all tables in schema pg_catalog to {app}", "pg_catalog.pg_statistic"),
        ("grant select (starelid, stavalues1) on pg_statistic to public", "pg_catalog.pg_statistic"),
    ] {
        app.refuses(query, "42501");
        shop.fixture.run(&shop.fill_in(grant));
        assert_ne!(app.value(query).as_deref(), Some("0"));
        shop.mend("CATALOG_GRANT", object);
    }
    app.refuses(query, "42501");
    shop.fixture.run(&shop.fill_in("grant usage on schema pg_toast to {app}"));
    shop.mend("CATALOG_GRANT", "pg_toast");
}

/// 5
#[test]
fn writing_all_data_does_not_reach_the_registry() {
    let shop = Shop::new();
    shop.fixture.run(&shop.fill_in(
        "grant pg_read_all_data, pg_write_all_data to {app}; select tenancy.revoke_access('{app}');
         select tenancy.grant_access('{app}', 'acme')",
    ));
    let mut app = shop.app();
    app.refuses("insert into tenancy.access (role) values (current_user::regrole)", "42501");
    app.refuses("insert into tenancy.tenants (key) values ('mine')", "42501");
    app.refuses("insert into tenancy.event_log (event) values ('forged')", "42501");
    for statement in [
        "update tenancy.access set tenant_id = null",
        "update tenancy.tenants set status = 'active'",
        "delete from tenancy.access",
        "delete from tenancy.protection",
        "delete from tenancy.event_log",
        "delete from tenancy.managed_schema",
    ] {
        assert_eq!(app.affected(statement), 0, "{statement}");
    }
    for table in ["access", "protection", "plans"] {
        let rows = app.value(&format!("select count(*) from tenancy.{table}"));
        assert_eq!(rows.as_deref(), Some("0"), "{table}");
    }
    app.refuses("select tenancy.set_tenant('globex', false)", "42501");
}

/// 6
#[test]
fn decoding_changes_needs_an_attribute_that_is_reported() {
    let cluster = Cluster::start("decoding", &Config::default().set("wal_level", "logical"));
    let shop = Shop::on(&cluster);
    shop.fixture.run(&format!(
        "select pg_create_logical_replication_slot('open', 'test_decoding');
         insert into orders values (9, '{}', 'secret')",
        GLOBEX.id
    ));
    let peek = "select count(*) from pg_logical_slot_peek_changes('open', null, null) where data like '%secret%'";
    let make = "select pg_create_logical_replication_slot('own', 'test_decoding')";
    let mut app = shop.app();
    app.refuses(peek, "42501");
    app.refuses(make, "42501");
    shop.fixture.run(&shop.fill_in("alter role {app} replication"));
    assert_eq!(shop.app().value(peek).as_deref(), Some("1"));
    shop.mend("ROLE_REPLICATION", "{app}");
    let mut app = shop.app();
    app.refuses(peek, "42501");
    app.refuses(make, "42501");
    // What is published is sent whole, by whoever asks for it.
    shop.fixture.run("create publication feed for table orders");
    shop.mend("PUBLICATION", "feed");
}

/// 7
#[test]
fn row_security_off_stops_the_owner_too() {
    let shop = Shop::new();
    let mut owner = shop.fixture.connect(&shop.owner);
    owner.run("set row_security = off");
    for statement in
        ["select from orders", "update orders set body = ''", "delete from orders", "copy orders to stdout"]
    {
        owner.refuses(statement, "42501");
    }
    shop.app().run("alter role current_user set row_security = off");
    shop.app().refuses("select from orders", "42501");
    shop.mend("ROLE_SETTING", "{app}");
    assert_eq!(shop.seen("orders"), ACMES);
}

/// 8
#[test]
fn a_session_that_replicates_is_guarded_and_the_right_to_it_is_reported() {
    let shop = Shop::new();
    let mut app = shop.app();
    app.refuses("set session_replication_role = replica", "42501");
    shop.weaken("grant set on parameter session_replication_role to {app}, {owner}; grant truncate on orders to {app}");
    let mut app = shop.app();
    app.run("set session_replication_role = replica");
    assert_eq!(seen_by(&mut app, "orders"), ACMES);
    app.refuses("truncate orders", "42501");
    let mut owner = shop.fixture.connect(&shop.owner);
    owner.run("set session_replication_role = replica");
    owner.refuses("truncate orders", "42501");
    owner.refuses("alter table orders disable row level security", "42501");
    owner.refuses("drop policy tenant_isolation_floor on orders", "42501");
    // The registry's own triggers fire, too: a session learns of what another one changes.
    let mut tx = World::begin(&mut app, ACME);
    let mut superuser = shop.fixture.superuser();
    superuser.run("set session_replication_role = replica; update tenancy.tenants set status = 'suspended'");
    tx.refuses("select from orders", "55000");
    drop(tx);
    shop.mend("PARAMETER_GRANT", "session_replication_role");
    shop.app().refuses("set session_replication_role = replica", "42501");
}

/// 10
#[test]
fn a_dump_is_whole_or_fails_unless_it_is_asked_for_less() {
    let shop = Shop::new();
    let (cluster, database) = (shop.fixture.cluster(), shop.fixture.database());
    let dump = |role: &str, arguments: &[&str]| {
        let arguments = [&["--data-only", "--table=orders", "--username", role], arguments, &[database]].concat();
        let output = cluster.tool("pg_dump").args(arguments).output().expect("pg_dump runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let rows = text.lines().filter(|line| line.contains("acme ") || line.contains("globex ")).count();
        (output.status.success(), rows)
    };
    for role in [&shop.owner, &shop.app] {
        assert_eq!(dump(role, &[]), (false, 0), "{role}");
        assert_eq!(dump(role, &["--enable-row-security"]), (true, 0), "{role}: silently nothing");
    }
    let backup = shop.fixture.role("backup");
    shop.fixture.run(&format!("alter role {backup} bypassrls; grant select on orders to {backup}"));
    assert_eq!(dump(&backup, &[]), (true, 5));
    assert_eq!(dump(Cluster::SUPERUSER, &[]), (true, 5));
}

/// What a subscription says to a table whose row security binds who writes for it.
const BOUND: &str = "cannot replicate into relation with row-level security enabled: \"orders\"";

#[track_caller]
fn wait_for_refusal(cluster: &Cluster) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !cluster.log().contains(BOUND) {
        assert!(Instant::now() < deadline, "{}", cluster.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A shop that publishes its orders, and a database that could have them.
fn feed(cluster: &Cluster) -> (Shop<'_>, Fixture<'_>) {
    let from = Shop::on(cluster);
    from.fixture.run("create publication feed for table orders");
    from.fixture.run("select pg_create_logical_replication_slot('feed', 'pgoutput')");
    let to = Fixture::on(cluster);
    to.run(
        "create table orders (id integer, tenant_id uuid, body text, primary key (tenant_id, id));
         select tenancy.protect('orders')",
    );
    (from, to)
}

/// 11
#[test]
fn a_subscription_of_a_bound_owner_writes_nothing() {
    let cluster = Cluster::start("subscription", &Config::default().set("wal_level", "logical"));
    let (from, to) = feed(&cluster);
    let owner = to.role("subscriber");
    let without_password = if to.major_version() >= 16 { ", password_required = false" } else { "" };
    to.run(&format!(
        "alter table orders owner to {owner}; alter role {owner} superuser;
         set role {owner};
         create subscription feed connection 'host={} dbname={} user=postgres' publication feed
             with (create_slot = false, slot_name = feed, enabled = false{without_password});
         reset role; alter role {owner} nosuperuser",
        cluster.directory().display(),
        from.fixture.database()
    ));
    to.run("alter subscription feed enable");
    wait_for_refusal(&cluster);
    let mut superuser = to.superuser();
    assert_eq!(superuser.value("select count(*) from orders").as_deref(), Some("0"));
    superuser
        .run("alter subscription feed disable; alter subscription feed set (slot_name = none); drop subscription feed");
}

/// 11
#[test]
fn a_subscription_that_writes_as_a_bound_owner_of_tables_writes_nothing() {
    let cluster = Cluster::start("table_owner", &Config::default().set("wal_level", "logical"));
    let (from, to) = feed(&cluster);
    to.run(&format!("alter table orders owner to {}", to.role("keeper")));
    let mut superuser = to.superuser();
    superuser.run(&format!(
        "create subscription feed connection 'host={} dbname={} user=postgres' publication feed
             with (create_slot = false, slot_name = feed)",
        cluster.directory().display(),
        from.fixture.database()
    ));
    // Before 16 it wrote as its own owner always.
    if to.major_version() >= 16 {
        wait_for_refusal(&cluster);
        assert_eq!(superuser.value("select count(*) from orders").as_deref(), Some("0"));
        superuser.run("alter subscription feed set (run_as_owner = true)");
    }
    cluster.wait_until(&mut superuser, "(select count(*) from orders) = 5");
    superuser.run("drop subscription feed");
}
