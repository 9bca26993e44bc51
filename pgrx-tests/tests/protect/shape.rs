//! What a protected table looks like, and that `dry_run` tells it beforehand.

use tenancy_harness::{ACME, FAMILIES, Session, World};

use crate::{catalog, fixture_with_tenants, orders, seen_by_acme};

#[test]
fn protect_makes_a_permissive_and_a_restrictive_policy_for_everybody() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    let mut superuser = fixture.superuser();

    superuser.run("select tenancy.protect('orders')");

    let policies = superuser.texts(
        "select format('%s %s %s %s', policyname, permissive, roles, cmd) from pg_policies
          where tablename = 'orders' order by 1",
    );
    assert_eq!(
        policies,
        ["tenant_isolation PERMISSIVE {public} ALL", "tenant_isolation_floor RESTRICTIVE {public} ALL"]
    );
    let expressions = superuser.texts("select distinct qual from pg_policies where tablename = 'orders'");
    assert_eq!(expressions, ["(tenant_id = tenancy.current_tenant())"]);
    let checks = superuser.texts("select distinct with_check from pg_policies where tablename = 'orders'");
    assert_eq!(checks, expressions);
}

#[test]
fn protect_makes_the_column_not_null_with_a_default_from_the_context() {
    let world = World::new();
    let mut superuser = world.fixture.superuser();
    for family in &FAMILIES {
        let column = superuser.value(&format!(
            "select attnotnull || ' ' || pg_get_expr(adbin, adrelid)
               from pg_attribute join pg_attrdef on adrelid = attrelid and adnum = attnum
              where attrelid = '{}'::regclass and attname = 'tenant_id'",
            family.table()
        ));
        let column = column.unwrap();
        assert!(column.starts_with("true ") && column.contains("tenancy.current_"), "{column}");
    }
}

#[test]
fn protect_makes_a_tenant_led_index_unless_there_is_one_or_it_is_not_wanted() {
    let (fixture, _) = fixture_with_tenants();
    let led = "select count(*) from pg_index where indrelid = '{}'::regclass
                 and indkey[0] = (select attnum from pg_attribute where attrelid = indrelid and attname = 'tenant_id')";
    for (definition, arguments, expected) in [
        ("(id integer primary key, tenant_id uuid)", "", "1"),
        ("(id integer, tenant_id uuid, primary key (tenant_id, id))", "", "1"),
        ("(id integer, tenant_id uuid)", ", create_index => false", "0"),
    ] {
        fixture.run(&format!("create table t {definition}; select tenancy.protect('t'{arguments})"));
        let count = fixture.superuser().value(&led.replace("{}", "t"));
        assert_eq!(count.as_deref(), Some(expected), "{definition} {arguments}");
        fixture.run("drop table t");
    }
}

#[test]
fn protect_does_not_take_a_partial_or_invalid_index_for_a_tenant_led_one() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run(
        "create table t (id integer, tenant_id uuid);
         create index partial on t (tenant_id) where id > 10;
         create index by_expression on t ((tenant_id::text))",
    );
    fixture.run("select tenancy.protect('t')");
    let usable = "select count(*) from pg_index where indrelid = 't'::regclass and indpred is null and indkey[0] <> 0";
    assert_eq!(fixture.superuser().value(usable).as_deref(), Some("1"));
}

#[test]
fn protect_revokes_what_goes_round_row_security_from_everybody_but_the_owner() {
    let (fixture, app) = fixture_with_tenants();
    orders(&fixture);
    fixture.run(&format!(
        "grant all on orders to public; grant all on orders to {app} with grant option;
         set role {app}; grant truncate on orders to public, postgres"
    ));
    let mut superuser = fixture.superuser();

    let output = superuser.texts("select tenancy.protect('orders')").join("\n").to_lowercase();

    for privilege in ["truncate", "references", "trigger"] {
        for role in [app.as_str(), "public"] {
            let may = superuser.value(&format!("select has_table_privilege('{role}', 'orders', '{privilege}')"));
            assert_eq!(may.as_deref(), Some("f"), "{role} {privilege}");
        }
        assert!(output.contains(privilege), "{output}");
    }
    for privilege in ["select", "insert", "update", "delete"] {
        let may = superuser.value(&format!("select has_table_privilege('{app}', 'orders', '{privilege}')"));
        assert_eq!(may.as_deref(), Some("t"), "{privilege}");
    }
}

#[test]
fn a_second_run_has_nothing_to_do() {
    let world = World::new();
    let mut superuser = world.fixture.superuser();
    for family in &FAMILIES {
        let again = superuser.texts(&format!("select tenancy.protect('{}')", family.table()));
        assert!(again.is_empty(), "{}: {again:?}", family.column_type);
    }
    for kind in ["shared", "append_only"] {
        world.fixture.run(&format!("create table {kind} (tenant_id uuid)"));
        assert!(!superuser.texts(&format!("select tenancy.protect('{kind}', kind => '{kind}')")).is_empty());
        let again = superuser.texts(&format!("select tenancy.protect('{kind}', kind => '{kind}')"));
        assert!(again.is_empty(), "{kind}: {again:?}");
    }
}

#[test]
fn a_second_run_has_nothing_to_do_whatever_the_session_is_set_to() {
    let world = World::new();
    let mut superuser = world.fixture.superuser();
    for setting in [
        "quote_all_identifiers = on",
        "standard_conforming_strings = off",
        "search_path = pg_catalog",
        "search_path = tenancy, public",
        "search_path = ''",
        "datestyle = 'German'",
        "bytea_output = 'escape'",
        "row_security = off",
        "check_function_bodies = off",
        "default_transaction_isolation = 'serializable'",
    ] {
        superuser.run(&format!("set {setting}"));
        let again = superuser.texts("select tenancy.protect('public.notes_text')");
        assert!(again.is_empty(), "{setting}: {again:?}");
        superuser.run("reset all");
    }
}

/// For each way of protecting: what a dry run prints must, run by hand, give what the real run gives.
#[test]
fn a_dry_run_changes_nothing_and_prints_what_would_be_done() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(&format!(
        "create table plain (id integer, tenant_id uuid); grant all on plain to public, {app};
         create table unindexed (id integer, tenant_id uuid);
         create table texts (id integer, tenant_id text collate \"C\"); create index on texts (tenant_id, id);
         create table parts (id integer, tenant_id bigint) partition by range (id);
         create table parts_1 partition of parts for values from (0) to (10) partition by hash (id);
         create table parts_1_1 partition of parts_1 for values with (modulus 1, remainder 0);
         create table parts_2 partition of parts default;
         grant truncate on parts_2 to {app};
         create table parent (tenant_id integer); create table child (more text) inherits (parent);
         create table half (tenant_id uuid not null); alter table half enable row level security;
         create policy tenant_isolation on half using (true);
         create table prices (tenant_id uuid); create table log (tenant_id uuid);
         create table referring (tenant_id uuid)"
    ));
    for arguments in [
        "'plain'",
        "'unindexed', create_index => false",
        "'texts'",
        "'parts'",
        "'parent'",
        "'half'",
        "'prices', kind => 'shared'",
        "'log', kind => 'append_only'",
        "'referring', reference_tenants => true",
    ] {
        let table = arguments.split('\'').nth(1).unwrap();
        let mut superuser = fixture.superuser();
        let before = catalog(&mut superuser, table);
        let mut tx = superuser.transaction().unwrap();
        let done = tx.texts(&format!("select tenancy.protect({arguments})"));
        let protected = catalog(&mut tx, table);
        tx.rollback().unwrap();

        let told = superuser.texts(&format!("select tenancy.protect({arguments}, dry_run => true)"));

        assert_eq!(told, done, "{arguments}");
        assert_eq!(catalog(&mut superuser, table), before, "{arguments}");
        for statement in &told {
            superuser.run(statement);
        }
        assert_eq!(catalog(&mut superuser, table), protected, "{arguments}");
        superuser.run(&format!("select tenancy.protect({arguments})"));
        assert_eq!(catalog(&mut superuser, table), protected, "{arguments}");
    }
}

#[test]
fn unprotect_takes_away_what_protect_made() {
    let (fixture, app) = fixture_with_tenants();
    orders(&fixture);
    fixture.run("select tenancy.protect('orders')");
    assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme"]);

    fixture.run("select tenancy.unprotect('orders')");

    let mut superuser = fixture.superuser();
    assert_eq!(superuser.value("select count(*) from pg_policies where tablename = 'orders'").unwrap(), "0");
    let listed = "select count(*) from tenancy.protected_tables where relation::text = 'orders'";
    assert_eq!(superuser.value(listed).unwrap(), "0");
    assert!(!superuser.texts("select tenancy.protect('orders')").is_empty(), "it can be protected again");
    assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme"]);
}

#[test]
fn protected_tables_lists_what_is_protected() {
    let (fixture, _) = fixture_with_tenants();
    fixture.run(
        "create table a (tenant_id uuid); select tenancy.protect('a');
         create table b (org text); select tenancy.protect('b', 'org', 'append_only');
         create table c (tenant_id bigint) partition by list (tenant_id);
         create table c_1 partition of c default; select tenancy.protect('c', kind => 'shared');
         create table d (tenant_id uuid)",
    );
    let listed = fixture.superuser().texts(
        "select format('%s %s %s %s', relation, \"column\", kind, forced) from tenancy.protected_tables order by 1",
    );
    for line in ["a tenant_id tenant t", "b org append_only t", "c tenant_id shared t"] {
        assert!(listed.iter().any(|listed| listed == line), "{line} in {listed:?}");
    }
    assert!(!listed.iter().any(|line| line.starts_with("d ")), "{listed:?}");
}

#[test]
fn reference_tenants_adds_a_foreign_key_to_the_registry() {
    let (fixture, app) = fixture_with_tenants();
    fixture.run(
        "create table by_id (body text, tenant_id uuid); create table by_key (body text, tenant_id text);
         select tenancy.protect('by_id', reference_tenants => true);
         select tenancy.protect('by_key', reference_tenants => true)",
    );
    let mut superuser = fixture.superuser();
    superuser.refuses("insert into by_id values ('x', '99999999-0000-4000-8000-000000000009')", "23503");
    superuser.refuses("insert into by_key values ('x', 'nobody_here')", "23503");
    superuser
        .run(&format!("insert into by_id values ('acme', '{}'); insert into by_key values ('acme', 'acme')", ACME.id));
    for table in ["by_id", "by_key"] {
        let again = superuser.texts(&format!("select tenancy.protect('{table}', reference_tenants => true)"));
        assert!(again.is_empty(), "{again:?}");
        assert_eq!(seen_by_acme(&fixture, &app, table), ["acme"]);
        let mut client = fixture.connect(&app);
        client.run("begin; select tenancy.set_tenant('acme')");
        client.run(&format!("insert into {table} (body) values ('new'); commit"));
    }
}

#[test]
fn without_reference_tenants_no_foreign_key_is_made() {
    let (fixture, _) = fixture_with_tenants();
    orders(&fixture);
    fixture.run("select tenancy.protect('orders')");
    let keys = "select count(*) from pg_constraint where conrelid = 'orders'::regclass and contype = 'f'";
    assert_eq!(fixture.superuser().value(keys).unwrap(), "0");
}

#[test]
fn two_sessions_that_protect_at_once_protect_once() {
    let (fixture, app) = fixture_with_tenants();
    orders(&fixture);
    let mut first = fixture.superuser();
    first.run("begin; select tenancy.protect('orders')");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| fixture.superuser().texts("select tenancy.protect('orders')"));
        std::thread::sleep(std::time::Duration::from_millis(300));
        first.run("commit");
        let done = waiting.join().unwrap();
        assert!(done.is_empty(), "{done:?}");
    });
    assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme"]);
}

#[test]
fn protecting_inside_a_transaction_is_undone_with_it() {
    let (fixture, app) = fixture_with_tenants();
    orders(&fixture);
    let mut superuser = fixture.superuser();
    let before = catalog(&mut superuser, "orders");
    superuser.run("begin; select tenancy.protect('orders'); rollback");
    assert_eq!(catalog(&mut superuser, "orders"), before);
    assert!(!superuser.texts("select tenancy.protect('orders')").is_empty());
    assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme"]);
}
