//! Identifiers that need quoting, that are long, or that look like SQL.

use tenancy_harness::{ACME, GLOBEX, Session};

use crate::{catalog, fixture_with_tenants, seen_by_acme};

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Schema, table and column names; each is used in every place.
fn odd_names() -> Vec<String> {
    [
        "Mixed Case",
        "select",
        "with.dot",
        "it's",
        "say \"hi\"",
        "100 % %I %s %L",
        "back\\slash",
        "semi;colon -- /* */",
        "$$dollar$tag$",
        "новый 日本",
        "line\nbreak",
        "tenancy",
    ]
    .iter()
    .map(|name| (*name).to_owned())
    // 63 bytes is as long as a name can be; an index named after it has to be cut.
    .chain(["x".repeat(63), "ü".repeat(31) + "x", "\"".repeat(63)])
    .collect()
}

#[test]
fn any_name_of_schema_table_and_column_is_protected_in_every_kind() {
    let (fixture, app) = fixture_with_tenants();
    for name in odd_names() {
        let q = quoted(&name);
        let schema = if name == "tenancy" { "public".to_owned() } else { q.clone() };
        for kind in ["tenant", "shared", "append_only"] {
            fixture.run(&format!(
                "create schema if not exists {schema}; grant usage on schema {schema} to {app};
                 create table {schema}.{q} ({q} uuid, body text) partition by hash (body);
                 create table {schema}.part partition of {schema}.{q} for values with (modulus 1, remainder 0);
                 insert into {schema}.{q} values ('{0}', 'acme'), ('{1}', 'globex');
                 grant all on all tables in schema {schema} to {app}",
                ACME.id, GLOBEX.id
            ));
            let mut superuser = fixture.superuser();
            let table = format!("{schema}.{q}");
            let call = |more: &str| {
                format!("select tenancy.protect($t${table}$t$, tenant_column => $c${name}$c$, kind => '{kind}'{more})")
            };
            let done = superuser.texts(&call(""));
            assert!(!done.is_empty());
            let again = superuser.texts(&call(""));
            assert!(again.is_empty(), "{table}: {again:?}");
            assert_eq!(seen_by_acme(&fixture, &app, &table), ["acme"], "{table}");
            assert_eq!(seen_by_acme(&fixture, &app, &format!("{schema}.part")), ["acme"], "{table}");
            let unused = superuser.value(&format!("select count(*) from pg_indexes where tablename = $t${name}$t$"));
            assert_eq!(unused.as_deref(), Some("1"), "{table}: one tenant-led index");
            superuser.run(&format!("select tenancy.unprotect($t${table}$t$); drop table {table}"));
        }
    }
}

#[test]
fn long_names_that_begin_alike_get_indexes_of_their_own() {
    let (fixture, app) = fixture_with_tenants();
    for last in ["a", "b", "c"] {
        let table = format!("{}{last}", "t".repeat(62));
        fixture.run(&format!(
            "create table {table} (id integer, tenant_id uuid, body text);
             insert into {table} values (1, '{}', 'acme'), (2, '{}', 'globex'); select tenancy.protect('{table}')",
            ACME.id, GLOBEX.id
        ));
        assert_eq!(seen_by_acme(&fixture, &app, &table), ["acme"]);
        let mut superuser = fixture.superuser();
        let again = superuser.texts(&format!("select tenancy.protect('{table}')"));
        assert!(again.is_empty(), "{again:?}");
    }
    let indexes = "select count(*) from pg_index join pg_class t on t.oid = indrelid where relname like 'tttt%'";
    assert_eq!(fixture.superuser().value(indexes).unwrap(), "3");
}

#[test]
fn a_name_that_is_taken_does_not_stop_the_index() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run("create table t (tenant_id uuid); select tenancy.protect('t')");
    let mut superuser = fixture.superuser();
    let index = superuser.value("select indexrelid::regclass from pg_index where indrelid = 't'::regclass").unwrap();
    superuser.run(&format!("drop index {index}; create table {index} (a integer)"));
    assert!(!superuser.texts("select tenancy.protect('t')").is_empty());
    let led = superuser.value("select count(*) from pg_index where indrelid = 't'::regclass");
    assert_eq!(led.as_deref(), Some("1"));
}

#[test]
fn a_renamed_table_or_column_stays_protected() {
    let (fixture, app) = fixture_with_tenants();
    crate::orders(&fixture);
    fixture.run(
        "select tenancy.protect('orders'); alter table orders rename to \"Old Orders\"; set tenancy.guard_ddl = off;
         alter table \"Old Orders\" rename tenant_id to \"Owner\"",
    );
    assert_eq!(seen_by_acme(&fixture, &app, "\"Old Orders\""), ["acme"]);
    let mut superuser = fixture.superuser();
    let before = catalog(&mut superuser, "\"Old Orders\"");
    let again = superuser.texts("select tenancy.protect('\"Old Orders\"', 'Owner')");
    assert!(again.is_empty(), "{again:?}");
    assert_eq!(catalog(&mut superuser, "\"Old Orders\""), before);
}

#[test]
fn a_hostile_search_path_of_the_caller_does_not_matter() {
    let (fixture, app) = fixture_with_tenants();
    crate::orders(&fixture);
    fixture.run(
        "create schema evil;
         create function evil.yes(uuid, uuid) returns boolean immutable language sql as 'select true';
         create function evil.yes(name, name) returns boolean immutable language sql as 'select true';
         create function evil.yes(text, text) returns boolean immutable language sql as 'select true';
         create function evil.yes(oid, oid) returns boolean immutable language sql as 'select true';
         create operator evil.= (leftarg = uuid, rightarg = uuid, function = evil.yes);
         create operator evil.= (leftarg = name, rightarg = name, function = evil.yes);
         create operator evil.= (leftarg = text, rightarg = text, function = evil.yes);
         create operator evil.= (leftarg = oid, rightarg = oid, function = evil.yes);
         create function evil.current_tenant() returns uuid stable language sql as 'select null::uuid';
         create function evil.format(text, variadic text[]) returns text language sql as $$ select 'select 1/0' $$;
         create function evil.quote_ident(text) returns text language sql as $$ select 'evil' $$;
         create function evil.pg_get_expr(pg_node_tree, oid) returns text language sql as $$ select 'evil' $$;
         create table evil.pg_policy (polname name); create table evil.pg_class (relname name);
         create table evil.orders (id integer)",
    );
    let mut superuser = fixture.superuser();
    superuser.run("set search_path = evil, tenancy, public, pg_catalog");
    superuser.run("select tenancy.protect('public.orders')");

    let policies = superuser.texts(
        "select distinct qual from pg_catalog.pg_policies where tablename::text operator(pg_catalog.=) 'orders'",
    );
    assert_eq!(policies.len(), 1);
    assert!(policies[0].contains("current_tenant()") && !policies[0].contains("evil."), "{policies:?}");
    assert_eq!(seen_by_acme(&fixture, &app, "public.orders"), ["acme"]);
    let mut plain = fixture.superuser();
    let again = plain.texts("select tenancy.protect('public.orders')");
    assert!(again.is_empty(), "{again:?}");
}
