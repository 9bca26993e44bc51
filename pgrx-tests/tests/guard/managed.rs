//! Tables that come into a managed schema.

use std::process::Output;

use tenancy_harness::{Cluster, Session};

use crate::Shop;

/// A shop with schema `app`, managed, in which the owner may create.
fn managed(on_new: &str) -> Shop {
    let shop = Shop::new();
    shop.fixture.run(&format!(
        "create schema app; grant create, usage on schema app to {}; grant usage on schema app to {};
         select tenancy.manage_schema('app', '{on_new}')",
        shop.owner, shop.app
    ));
    shop
}

const COLUMNS: &str = "(id integer, tenant_id uuid, body text)";

/// Ways in which a table with a tenant column comes into schema `app` as `app.t`.
const ARRIVALS: [&str; 11] = [
    "create table app.t {columns}",
    "create table app.t as select * from orders",
    "select * into app.t from orders",
    "create table app.t (like orders)",
    "create table app.t (like orders including all)",
    "create table t {columns}; alter table t set schema app",
    "create table app.t (id integer); alter table app.t add column tenant_id uuid",
    "create table app.t (id integer, org uuid); alter table app.t rename column org to tenant_id",
    "create type whole as {columns}; create table app.t of whole",
    "create type whole as (id integer); create table app.t of whole; alter type whole add attribute tenant_id uuid cascade",
    "do $$ begin execute 'create table app.t {columns}'; end $$",
];

#[test]
fn a_table_with_the_tenant_column_is_protected_however_it_comes() {
    let shop = managed("protect");
    for role in [shop.owner.as_str(), "postgres"] {
        let mut client = shop.fixture.connect(role);
        for arrival in ARRIVALS {
            let mut tx = client.transaction().unwrap();
            tx.run(&arrival.replace("{columns}", COLUMNS));
            let state = "select relrowsecurity and relforcerowsecurity from pg_class where oid = 'app.t'::regclass";
            assert_eq!(tx.value(state).as_deref(), Some("t"), "{role}: {arrival}");
            tx.run("set local search_path = public");
            let missing = tx.texts("select tenancy.protect('app.t', dry_run => true)");
            assert!(missing.is_empty(), "{role}: {arrival}: {missing:?}");
            tx.rollback().unwrap();
        }
    }
}

#[test]
fn tables_made_with_their_schema_are_refused_or_protected_as_any() {
    let shop = managed("protect");
    let mut superuser = shop.fixture.superuser();
    superuser.run("create schema other create table t (id integer, tenant_id uuid) create table p (tenant_id uuid)");
    assert_eq!(shop.protected("other.%"), "0");
    superuser.run("create table app.p (id integer, tenant_id uuid) partition by list (id)");
    superuser.run("create table app.p_1 partition of app.p default");
    assert_eq!(shop.protected("app.%"), "2");
    assert!(shop.is_whole("app.p"));
}

#[test]
fn a_copy_by_a_bypassing_role_is_closed() {
    let shop = managed("protect");
    shop.fixture
        .run(&format!("create table app.copy as select * from orders; grant select on app.copy to {}", shop.app));
    assert_eq!(shop.seen_by_acme("app.copy"), ["acme"]);
    let mut superuser = shop.fixture.superuser();
    superuser.refuses("create table app.bad as select null::uuid as tenant_id", "23502");
    assert_eq!(superuser.value("select to_regclass('app.bad')"), None);
}

#[test]
fn tables_that_were_there_and_tables_without_the_column_are_left_alone() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    superuser.run("create schema app; create table app.old (tenant_id uuid); select tenancy.manage_schema('app')");
    superuser.run("alter table app.old add column body text; create table app.plain (id integer)");
    superuser.run("create temporary table tenant_less (tenant_id uuid)");
    superuser.run("create view app.v as select * from app.old; create table elsewhere (tenant_id uuid)");
    assert_eq!(shop.protected("%"), "1", "orders alone");
    superuser.run("create table app.fresh (tenant_id uuid); select tenancy.unprotect('app.fresh')");
    superuser.run("alter table app.fresh add column body text");
    assert_eq!(shop.protected("%"), "1", "what was unprotected stays so");
}

#[test]
fn reject_refuses_tables_without_the_column() {
    let shop = managed("reject");
    let mut owner = shop.fixture.connect(&shop.owner);
    for statement in [
        "create table app.plain (id integer)",
        "create table app.plain as select 1 as id",
        "select 1 as id into app.plain",
        "create table plain (id integer); alter table plain set schema app",
    ] {
        let error = owner.refuses(statement, "42501");
        assert!(error.hint().is_some_and(|hint| hint.contains("classify")), "{error:?}");
        owner.run("drop table if exists plain");
    }
    owner.run("create table app.t (tenant_id uuid)");
    assert_eq!(shop.protected("app.%"), "1");
    owner.run(
        "create table countries (id integer); select tenancy.classify('countries', 'global');
         alter table countries set schema app; alter table app.countries add column name text",
    );
}

#[test]
fn warn_warns_and_off_does_nothing() {
    let shop = managed("warn");
    let warned = |script: &str| {
        let output: Output = shop.fixture.cluster().psql(shop.fixture.database(), Cluster::SUPERUSER, script);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).matches("WARNING").count()
    };
    assert_eq!(warned("create table app.a (id integer)"), 1);
    assert_eq!(warned("create table app.b (tenant_id uuid)"), 1);
    assert_eq!(warned("alter table app.a add column body text"), 0);
    shop.fixture.run("select tenancy.manage_schema('app', 'off')");
    assert_eq!(warned("create table app.c (tenant_id uuid)"), 0);
    assert_eq!(shop.protected("app.%"), "0");
}

#[test]
fn only_an_admin_manages_and_only_schemas_that_can_be() {
    let shop = managed("protect");
    shop.fixture.connect(&shop.app).refuses("select tenancy.manage_schema('app')", "42501");
    let mut owner = shop.fixture.connect(&shop.owner);
    owner.refuses("select tenancy.manage_schema('nowhere')", "3F000");
    owner.refuses("select tenancy.manage_schema('app', 'sometimes')", "22023");
    owner.refuses("select tenancy.manage_schema('pg_catalog')", "0A000");
    owner.refuses("select tenancy.manage_schema('tenancy')", "0A000");
    owner.refuses("select tenancy.manage_schema(null)", "22023");
    owner.refuses("insert into tenancy.managed_schema values ('app', 'off')", "42501");
    owner.run("select tenancy.manage_schema('app', 'warn'); select tenancy.manage_schema('app', 'warn')");
    let mut superuser = shop.fixture.superuser();
    let logged = "select string_agg(object || ' ' || (detail->>'on_new'), ', ' order by id) from tenancy.event_log
                  where event = 'schema.managed'";
    assert_eq!(superuser.value(logged).as_deref(), Some("app protect, app warn"));
    superuser.run("drop schema app");
    assert_eq!(superuser.value("select count(*) from tenancy.managed_schema").as_deref(), Some("0"));
}

#[test]
fn the_recorded_column_counts() {
    let shop = managed("protect");
    shop.fixture.run("update tenancy.managed_schema set tenant_column = 'org'");
    shop.fixture.run("create table app.a (tenant_id uuid); create table app.b (org uuid)");
    assert_eq!(shop.protected("app.%"), "1");
    assert_eq!(shop.protected("app.b"), "1");
}

#[test]
fn a_schema_stays_managed_under_another_name() {
    let shop = managed("protect");
    let mut superuser = shop.fixture.superuser();
    superuser.run(
        "alter schema app rename to \"App Two\"; do 'begin alter schema \"App Two\" rename to \"Three\"; end';
         create table \"Three\".t (tenant_id uuid); create schema app; create table app.t (tenant_id uuid)",
    );
    assert_eq!(superuser.texts("select schema::text from tenancy.managed_schema"), ["Three"]);
    assert_eq!((shop.protected("\"Three\".%"), shop.protected("app.%")), ("1".into(), "0".into()));
    superuser.run("begin; alter schema \"Three\" rename to four; rollback; create table \"Three\".u (tenant_id uuid)");
    assert_eq!(shop.protected("\"Three\".%"), "2");
    superuser.run("drop schema \"Three\" cascade");
    assert_eq!(superuser.value("select count(*) from tenancy.managed_schema").as_deref(), Some("0"));
}
