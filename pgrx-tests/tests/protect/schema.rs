//! `protect_schema`, and tenant columns that are domains.

use tenancy_harness::{ACME, GLOBEX, Session};

use crate::{catalog, fixture_with_tenants, seen_by_acme};

#[test]
fn protect_schema_protects_every_table_that_has_the_column() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(&format!(
        "create schema shop; grant usage on schema shop to {app};
         create table shop.a (tenant_id uuid, body text); create table shop.\"B c\" (tenant_id text, body text);
         create table shop.d (id integer, body text); create table public.e (tenant_id uuid, body text);
         create table shop.f (tenant_id uuid, body text) partition by hash (body);
         create table shop.f_1 partition of shop.f for values with (modulus 1, remainder 0);
         create view shop.g as select * from shop.a;
         insert into shop.a values ('{0}', 'acme'), ('{1}', 'globex');
         insert into shop.\"B c\" values ('acme', 'acme'), ('globex', 'globex');
         insert into shop.f values ('{0}', 'acme'), ('{1}', 'globex');
         grant select on all tables in schema shop to {app}",
        ACME.id, GLOBEX.id
    ));
    let mut superuser = fixture.superuser();
    let told = superuser.texts("select tenancy.protect_schema('shop', dry_run => true)");
    let untouched = "select count(*) from pg_policies where schemaname = 'shop'";
    assert_eq!(superuser.value(untouched).unwrap(), "0");

    let done = superuser.texts("select tenancy.protect_schema('shop')");

    assert_eq!(done, told);
    assert_eq!(superuser.texts("select tenancy.protect_schema('shop')").len(), 0);
    for table in ["shop.a", "shop.\"B c\"", "shop.f", "shop.f_1"] {
        assert_eq!(seen_by_acme(&fixture, &app, table), ["acme"], "{table}");
    }
    let secured = superuser.texts(
        "select relname from pg_class where relrowsecurity and relnamespace::regnamespace::text in ('shop', 'public') order by 1",
    );
    assert_eq!(secured, ["B c", "a", "f", "f_1"]);
}

#[test]
fn protect_schema_keeps_the_kind_a_table_already_has() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(&format!(
        "create schema shop; grant usage on schema shop to {app};
         create table shop.prices (tenant_id uuid, body text); insert into shop.prices values (null, 'common');
         create table shop.countries (tenant_id uuid, body text); insert into shop.countries values (null, 'global');
         create table shop.log (tenant_id uuid, body text); insert into shop.log values ('{}', 'acme');
         grant all on all tables in schema shop to {app};
         select tenancy.protect('shop.prices', kind => 'shared');
         select tenancy.protect('shop.log', kind => 'append_only');
         select tenancy.classify('shop.countries', 'global')",
        ACME.id
    ));
    fixture.run("select tenancy.protect_schema('shop')");
    assert_eq!(seen_by_acme(&fixture, &app, "shop.prices"), ["common"]);
    assert_eq!(seen_by_acme(&fixture, &app, "shop.countries"), ["global"]);
    let mut client = fixture.connect(&app);
    client.run("begin; select tenancy.set_tenant('acme')");
    assert_eq!(client.affected("delete from shop.log"), 0);
}

#[test]
fn protect_schema_with_another_column_and_a_schema_that_is_not_there() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(&format!(
        "create table a (\"Org\" uuid, body text); insert into a values ('{}', 'acme'), ('{}', 'globex')",
        ACME.id, GLOBEX.id
    ));
    let mut superuser = fixture.superuser();
    assert_eq!(superuser.texts("select tenancy.protect_schema('public')").len(), 0);
    superuser.run("select tenancy.protect_schema('public', 'Org')");
    assert_eq!(seen_by_acme(&fixture, &app, "a"), ["acme"]);
    superuser.refuses("select tenancy.protect_schema('nowhere')", "3F000");
}

#[test]
fn protect_schema_is_all_or_nothing() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run("create table a (tenant_id uuid); create table b (tenant_id uuid); insert into b values (null)");
    let mut superuser = fixture.superuser();
    let before = catalog(&mut superuser, "a");
    superuser.refuses("select tenancy.protect_schema('public')", "23502");
    assert_eq!(catalog(&mut superuser, "a"), before);
}

#[test]
fn a_domain_over_a_fitting_type_is_a_tenant_column() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(
        "select tenancy.create_tenant('7');
         create domain d_uuid as uuid; create domain d_text as text check (value <> ''); create domain d_int as integer;
         create domain d_varchar as varchar(40); create domain d_deep as d_uuid",
    );
    for (domain, mine, other, key) in [
        ("d_uuid", ACME.id, GLOBEX.id, "acme"),
        ("d_deep", ACME.id, GLOBEX.id, "acme"),
        ("d_text", "acme", "globex", "acme"),
        ("d_varchar", "acme", "globex", "acme"),
        ("d_int", "7", "8", "7"),
    ] {
        fixture.run(&format!(
            "create table t (id integer, tenant_id {domain}, body text);
             insert into t values (1, '{mine}', 'mine'), (2, '{other}', 'other'); select tenancy.protect('t')"
        ));
        let mut superuser = fixture.superuser();
        assert_eq!(superuser.texts("select tenancy.protect('t')").len(), 0, "{domain}");
        let mut client = fixture.connect(&app);
        let mut tx = client.transaction().unwrap();
        tx.run(&format!("select tenancy.set_tenant('{key}')"));
        assert_eq!(tx.texts("select body from t"), ["mine"], "{domain}");
        assert_eq!(tx.value("insert into t (id, body) values (3, 'new') returning tenant_id").as_deref(), Some(mine));
        tenancy_harness::refuses_in_savepoint(&mut tx, &format!("insert into t values (4, '{other}', 'x')"), "42501");
        drop(tx);
        superuser.run("drop table t");
    }
}

#[test]
fn a_short_varchar_never_takes_a_cut_key_for_another_tenants() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(
        "select tenancy.create_tenant('acme_and_sons');
         create table t (tenant_id varchar(4), body text); insert into t values ('acme', 'acme');
         select tenancy.protect('t')",
    );
    let mut client = fixture.connect(&app);
    let mut tx = client.transaction().unwrap();
    tx.run("select tenancy.set_tenant('acme_and_sons')");
    assert_eq!(tx.texts("select body from t").len(), 0);
    tenancy_harness::refuses_in_savepoint(&mut tx, "insert into t (body) values ('x')", "22001");
    tenancy_harness::refuses_in_savepoint(&mut tx, "insert into t values ('acme', 'x')", "42501");
}
