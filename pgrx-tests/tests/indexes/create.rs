//! `tenancy.create_index`: what it makes, and what it refuses.

use tenancy_harness::{ACME, Fixture, Session, World};

use crate::fixture_with_tenants;

fn orders(fixture: &Fixture<'_>) {
    fixture.run(
        "create table orders (tenant_id uuid, id integer, email text, doc jsonb, at timestamptz, total numeric, place point);
         select tenancy.protect('orders', create_index => false)",
    );
}

/// Makes the index that the arguments after the table's name describe, and returns what comes after the table in its definition.
#[track_caller]
fn made(session: &mut impl Session, arguments: &str) -> String {
    let name = session.value(&format!("select tenancy.create_index('orders', {arguments})")).unwrap();
    let definition = session.value(&format!("select pg_get_indexdef('{name}'::regclass)")).unwrap();
    definition.split_once(" USING ").unwrap().1.to_owned()
}

#[test]
fn the_tenant_column_comes_first_whatever_the_rest_is() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    let mut superuser = fixture.superuser();
    for (arguments, definition) in [
        ("'{}'", "btree (tenant_id)"),
        ("'{email}'", "btree (tenant_id, email)"),
        ("'{id,at}'", "btree (tenant_id, id, at)"),
        ("array['lower(email)', '(total * 2)']", "btree (tenant_id, lower(email), ((total * (2)::numeric)))"),
        (
            "array['email collate \"C\" text_pattern_ops desc nulls last']",
            "btree (tenant_id, email COLLATE \"C\" text_pattern_ops DESC NULLS LAST)",
        ),
        ("array['id -- the number', 'at /* when */']", "btree (tenant_id, id, at)"),
        ("'{id}', include => '{at,email}'", "btree (tenant_id, id) INCLUDE (at, email)"),
        ("'{id}', predicate => 'total > 5 and (id = 1 or id = 2)'", "WHERE"),
        ("'{at}', method => 'brin'", "brin (tenant_id, at)"),
        ("'{}', method => 'hash'", "hash (tenant_id)"),
    ] {
        let found = made(&mut superuser, arguments);
        assert!(found == definition || found.contains(definition), "{arguments}: {found}");
        assert!(found.split_once('(').unwrap().1.starts_with("tenant_id"), "{found}");
    }
    made(&mut superuser, "'{id}', is_unique => true");
    superuser.run("insert into orders (tenant_id, id) values (gen_random_uuid(), 1), (gen_random_uuid(), 1)");
    let double = "insert into orders (tenant_id, id) select tenant_id, id from orders";
    superuser.refuses(double, "23505");
}

#[test]
fn a_tenant_column_that_is_named_is_not_repeated() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    let mut superuser = fixture.superuser();
    assert_eq!(made(&mut superuser, "'{tenant_id}'"), "btree (tenant_id)");
    assert_eq!(made(&mut superuser, "'{tenant_id desc,id}'"), "btree (tenant_id DESC, id)");
    assert_eq!(made(&mut superuser, "'{id,TENANT_ID}'"), "btree (tenant_id, id)");
}

#[test]
fn gin_and_gist_want_the_extension_that_knows_the_tenants_type() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    let mut superuser = fixture.superuser();
    for (column, method) in [("doc", "gin"), ("place", "gist")] {
        let call = format!("select tenancy.create_index('orders', '{{{column}}}', method => '{method}')");
        let error = superuser.refuses(&call, "42704");
        assert_eq!(error.hint(), Some(format!("CREATE EXTENSION btree_{method} provides one.").as_str()));
        superuser.run(&format!("create extension btree_{method}"));
        let arguments = format!("'{{{column}}}', method => '{method}'");
        assert_eq!(made(&mut superuser, &arguments), format!("{method} (tenant_id, {column})"));
    }
}

#[test]
fn a_method_that_can_not_have_the_tenant_in_front_is_refused() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    let mut superuser = fixture.superuser();
    for (method, state) in
        [("hash", "0A000"), ("spgist", "0A000"), ("heap", "55000"), ("quick", "42704"), ("", "42704")]
    {
        let call = format!("select tenancy.create_index('orders', '{{id}}', method => '{method}')");
        let outcome = superuser.batch_execute(&call);
        let found = tenancy_harness::sqlstate(&outcome);
        // PostgreSQL's own word for an access method of tables differs between its versions.
        assert!(found == Some(state) || method == "heap" && found.is_some(), "{method}: {found:?}");
    }
}

#[test]
fn a_text_is_one_column_expression_or_condition_and_nothing_more() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    let mut superuser = fixture.superuser();
    let before = superuser.value("select count(*) from pg_index where indrelid = 'orders'::regclass");
    for text in [
        "",
        "id, at",
        "id) where (true",
        "id) include (at",
        "id) with (fillfactor = 10",
        "id) tablespace pg_default where (true",
        "id) nulls not distinct where (true",
        "id); drop table orders; create index on orders (id",
        "id; drop table orders",
        "id) --",
        "id /*",
        "id 'x",
        "id $$",
        "total * 2",
        "select 1",
    ] {
        let literal = text.replace('\'', "''");
        let error = superuser.refuses(&format!("select tenancy.create_index('orders', array['{literal}'])"), "22023");
        assert!(error.message().starts_with("invalid columns"), "{text}: {error}");
        superuser.refuses(
            &format!("select tenancy.create_index('orders', '{{at}}', include => array['{literal}'])"),
            "22023",
        );
    }
    for text in
        ["", "true) tablespace (x", "true); drop table orders; select (1", "id = 1 --)", "id = 1; select 1", "a b"]
    {
        let call = format!("select tenancy.create_index('orders', '{{id}}', predicate => '{text}')");
        let outcome = superuser.batch_execute(&call);
        // A comment at the end is a comment.
        let expected = if text.contains("--") { None } else { Some("22023") };
        assert_eq!(tenancy_harness::sqlstate(&outcome), expected, "{text}");
        superuser.run("drop index if exists orders_tenant_id_id_idx");
    }
    assert_eq!(superuser.value("select count(*) from pg_index where indrelid = 'orders'::regclass"), before);
    for call in ["'orders', null", "'orders', array[null]", "'orders', '{id}', method => null", "null, '{id}'"] {
        superuser.refuses(&format!("select tenancy.create_index({call})"), "22023");
    }
    superuser.refuses("select tenancy.create_index('orders', '{nothing}')", "42703");
    superuser.refuses("select tenancy.create_index('orders', '{random()}')", "42P17");
}

#[test]
fn a_name_is_made_or_taken_as_given() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    let mut superuser = fixture.superuser();
    let mut named = |arguments: &str| superuser.value(&format!("select tenancy.create_index('orders', {arguments})"));
    assert_eq!(named("'{id}'").as_deref(), Some("orders_tenant_id_id_idx"));
    assert_eq!(named("'{id}'").as_deref(), Some("orders_tenant_id_id_idx1"));
    assert_eq!(named("'{lower(email)}'").as_deref(), Some("orders_tenant_id_expr_idx"));
    assert_eq!(named("'{id}', 'By \"Id\"'").as_deref(), Some("\"By \"\"Id\"\"\""));
    superuser.refuses("select tenancy.create_index('orders', '{at}', 'By \"Id\"')", "42P07");
    superuser.refuses("select tenancy.create_index('orders', '{at}', 'orders')", "42P07");
}

#[test]
fn partitions_get_theirs_and_odd_names_are_no_trouble() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run(
        r#"create schema "It's; a \ schema";
           create table "It's; a \ schema"."T, ""1"" --" ("Ten'ant \ ID" varchar(40), "x)(" date) partition by range ("x)(");
           create table "It's; a \ schema".part partition of "It's; a \ schema"."T, ""1"" --" default;
           select tenancy.protect('"It''s; a \ schema"."T, ""1"" --"', 'Ten''ant \ ID', create_index => false);
           set standard_conforming_strings = off; set quote_all_identifiers = on; set escape_string_warning = off;
           select tenancy.create_index($$"It's; a \ schema"."T, ""1"" --"$$, array[$$"x)("$$]);
           select tenancy.create_index($$"It's; a \ schema".part$$, array[$$"x)(" desc$$], $$'; --$$)"#,
    );
    let query = "select count(*) || ' ' || bool_and(a.attname like 'Ten%') from pg_index i
                 join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
                 where i.indrelid::regclass::text like '%It''s; a%'";
    assert_eq!(fixture.superuser().value(query).as_deref(), Some("3 true"));
}

#[test]
fn every_type_of_tenant_column_can_lead() {
    let world = World::new();
    for family in &tenancy_harness::FAMILIES {
        let mut superuser = world.fixture.superuser();
        superuser.run(&format!("select tenancy.create_index('{}', '{{body}}')", family.table()));
        let mut client = world.connect();
        client.run("set enable_seqscan = off; set enable_bitmapscan = off");
        let mut tx = World::begin(&mut client, family.mine);
        let plan =
            tx.texts(&format!("explain (costs off) select id from {} where body = 'x'", family.table())).join("\n");
        assert!(plan.contains("Index Cond: ((") && plan.contains("body = 'x'") && !plan.contains("Filter"), "{plan}");
    }
}

#[test]
fn who_may_is_the_owner_who_administers() {
    let (fixture, app) = fixture_with_tenants();
    let owner = fixture.role("owner");
    fixture.run(&format!("grant create on schema public to {owner}"));
    let mut session = fixture.connect(&owner);
    session.run("create table t (tenant_id uuid, body text)");
    session.refuses("select tenancy.create_index('t', '{body}')", "42501");
    fixture.run(&format!("select tenancy.grant_admin('{owner}'); select tenancy.protect('t')"));
    session.run("select tenancy.create_index('t', '{body}')");
    fixture.run("create table other (tenant_id uuid); select tenancy.protect('other')");
    session.refuses("select tenancy.create_index('other', '{}')", "42501");
    fixture.connect(&app).refuses("select tenancy.create_index('t', '{body}')", "42501");

    let mut superuser = fixture.superuser();
    superuser.run("create table plain (tenant_id uuid, body text); create view v as select * from t");
    for (table, state) in [("plain", "55000"), ("v", "42809"), ("pg_class", "0A000"), ("tenancy.tenants", "0A000")] {
        superuser.refuses(&format!("select tenancy.create_index('{table}', '{{}}')"), state);
    }
    superuser.refuses("select tenancy.create_index(1::oid::regclass, '{}')", "42P01");
}

/// Expressions are read with the caller's search path, as in his own CREATE INDEX; the extension's own queries are not.
#[test]
fn a_search_path_is_for_expressions_alone() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    let mut superuser = fixture.superuser();
    superuser.run(
        "create schema mine; create function mine.short(text) returns text immutable language sql as 'select left($1, 3)';
         create function mine.never(name, name) returns boolean language sql as 'select false';
         create operator mine.= (leftarg = name, rightarg = name, function = mine.never);
         create function mine.never(oid, oid) returns boolean language sql as 'select false';
         create operator mine.= (leftarg = oid, rightarg = oid, function = mine.never);
         set search_path = mine, pg_catalog",
    );
    superuser.run("select tenancy.create_index('public.orders', '{short(email)}')");
    superuser.run("set search_path = mine, public");
    superuser.run("select tenancy.create_index('orders', '{short(email)}')");
}

/// The table's owner's functions run as he does, and not as who makes the index.
#[test]
fn an_expression_runs_as_the_tables_owner() {
    let (fixture, _) = fixture_with_tenants();
    let owner = fixture.role("owner");
    fixture.run(&format!("grant create on schema public to {owner}"));
    let mut session = fixture.connect(&owner);
    session.run(
        "create table t (tenant_id uuid, body text);
         create function who(text) returns text immutable language plpgsql as
           'begin if current_user = ''postgres'' then raise exception ''caught''; end if; return current_user; end'",
    );
    fixture.run(&format!("select tenancy.protect('t'); insert into t values ('{}', 'x')", ACME.id));
    fixture.run("select tenancy.create_index('t', '{who(body)}')");
}
