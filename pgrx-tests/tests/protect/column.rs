//! `tenancy.add_tenant_column`: rows that knew no tenants are given to one.

use tenancy_harness::{ACME, Fixture, Session};

use crate::{fixture_with_tenants, seen_by_acme};

fn file_of(fixture: &Fixture<'_>, table: &str) -> String {
    fixture.superuser().value(&format!("select relfilenode from pg_class where oid = '{table}'::regclass")).unwrap()
}

#[test]
fn the_rows_are_the_tenants_and_are_not_rewritten() {
    let (fixture, app) = fixture_with_tenants();
    fixture
        .run("create table \"Old notes\" (id integer, body text); insert into \"Old notes\" values (1, 'a'), (2, 'b')");
    let before = file_of(&fixture, "\"Old notes\"");
    fixture.run("select tenancy.add_tenant_column('\"Old notes\"', 'acme')");
    assert_eq!(file_of(&fixture, "\"Old notes\""), before);
    let mut superuser = fixture.superuser();
    assert_eq!(superuser.value("select distinct tenant_id from \"Old notes\"").unwrap(), ACME.id);
    assert_eq!(
        superuser.texts("select event || ' ' || object from tenancy.event_log where event like 'table.%'"),
        ["table.tenant_column_added public.\"Old notes\""]
    );

    let done = superuser.texts("select tenancy.protect('\"Old notes\"')");

    assert!(!done.iter().any(|ddl| ddl.contains("NOT NULL") || ddl.contains("DEFAULT")), "{done:?}");
    fixture.run(&format!("grant select, insert on \"Old notes\" to {app}"));
    assert_eq!(seen_by_acme(&fixture, &app, "\"Old notes\""), ["a", "b"]);
    fixture
        .connect(&app)
        .run("begin; select tenancy.set_tenant('globex'); insert into \"Old notes\" values (3, 'c'); commit");
    assert_eq!(seen_by_acme(&fixture, &app, "\"Old notes\"").len(), 2);
}

#[test]
fn every_type_of_tenant_column_partitions_and_children() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run(
        "select tenancy.create_tenant('42'); create schema app; create domain app.\"Owner\" as text;
         create table parts (id integer) partition by range (id); create table parts_1 partition of parts default;
         create table parent (id integer); create table child () inherits (parent);
         insert into parts values (1); insert into parent values (1); insert into child values (2)",
    );
    let mut superuser = fixture.superuser();
    for (column, of) in [("u", "uuid"), ("t", "text"), ("v", "varchar"), ("s", "int2"), ("i", "int4"), ("b", "bigint")]
    {
        superuser.run(&format!("select tenancy.add_tenant_column('parts', '42', '{column}', '{of}')"));
    }
    superuser.run("select tenancy.add_tenant_column('parent', '42', 'Whose \"row\"', 'app.\"Owner\"')");
    assert_eq!(
        superuser.value("select concat_ws(' ', t, v, s, i, b, u = (select id from tenancy.tenants where key = '42')) from parts_1").unwrap(),
        "42 42 42 42 42 t"
    );
    assert_eq!(superuser.texts("select \"Whose \"\"row\"\"\" from parent"), ["42", "42"]);
    superuser.run("select tenancy.protect('parent', 'Whose \"row\"'), tenancy.protect('parts', 'i')");
}

#[test]
fn a_table_of_a_managed_schema_is_protected_with_its_column() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run(
        "create table notes (body text); insert into notes values ('a');
         select tenancy.manage_schema('public'); select tenancy.add_tenant_column('notes', 'acme')",
    );
    let mut superuser = fixture.superuser();
    assert_eq!(superuser.value("select kind from tenancy.protected_tables").unwrap(), "tenant");
    assert!(superuser.texts("select tenancy.protect('notes')").is_empty());
}

#[test]
fn what_can_not_be_done_changes_nothing() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(&format!(
        "create table notes (body text); create view seen as select * from notes; create temporary table passing ();
         create table kept (id integer, tenant_id uuid not null); select tenancy.protect('kept');
         create table parent (id integer); create table child (tenant_id uuid) inherits (parent);
         create table parts (id integer) partition by list (id); create table parts_1 partition of parts default;
         grant create on schema public to {app}; create table own (id integer);
         alter table own owner to {app}"
    ));
    let mut superuser = fixture.superuser();
    for (call, sqlstate) in [
        ("'notes', 'nobody'", "42704"),
        ("'notes', ' acme'", "22023"),
        ("'notes', null", "22023"),
        ("'notes', 'acme', 'body'", "42701"),
        ("'notes', 'acme', column_type => 'numeric'", "42804"),
        ("'notes', 'acme', column_type => 'char'", "42804"),
        ("'notes', 'acme', column_type => 'int'", "42804"),
        ("'notes', 'acme', column_type => 0", "42704"),
        ("'seen', 'acme'", "42809"),
        ("'pg_class', 'acme'", "0A000"),
        ("'tenancy.tenants', 'acme'", "0A000"),
        ("'kept', 'acme', 'owner'", "55000"),
        ("'parent', 'acme'", "42701"),
        ("'parts_1', 'acme'", "42809"),
    ] {
        superuser.refuses(&format!("select tenancy.add_tenant_column({call})"), sqlstate);
    }
    superuser.run("select tenancy.create_tenant('99999')");
    superuser.refuses("select tenancy.add_tenant_column('notes', '99999', column_type => 'int2')", "42804");
    let mut client = fixture.connect(&app);
    client.refuses("select tenancy.add_tenant_column('own', 'acme')", "42501");
    superuser.run(&format!("select tenancy.grant_admin('{app}')"));
    client.refuses("select tenancy.add_tenant_column('notes', 'acme')", "42501");
    client.run("select tenancy.add_tenant_column('own', 'acme')");
    assert_eq!(
        superuser.texts("select attrelid::regclass::text from pg_attribute where attname = 'tenant_id' and attrelid in ('notes'::regclass, 'parent'::regclass, 'parts'::regclass, 'own'::regclass)"),
        ["own"]
    );
}
