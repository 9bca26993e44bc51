//! DDL that weakens a protected table is refused to everybody, DDL that doesn't passes.

use tenancy_harness::{Session, refuses_in_savepoint};

use crate::Shop;

/// What weakens table `orders`; `{app}` is the application's role.
const WEAKENING: [&str; 26] = [
    "alter table orders disable row level security",
    "alter table orders no force row level security",
    "alter table orders no force row level security, disable row level security",
    "drop policy tenant_isolation on orders",
    "drop policy tenant_isolation_floor on orders",
    "alter policy tenant_isolation on orders using (true)",
    "alter policy tenant_isolation_floor on orders using (true) with check (true)",
    "alter policy tenant_isolation_floor on orders to {app}",
    "alter policy tenant_isolation_floor on orders rename to harmless",
    "alter table orders drop column tenant_id cascade",
    "alter table orders rename column tenant_id to org_id",
    "alter table orders alter tenant_id drop not null",
    "alter table orders alter tenant_id drop default",
    "alter table orders alter tenant_id set default gen_random_uuid()",
    "drop trigger tenant_isolation_truncate on orders",
    "alter trigger tenant_isolation_truncate on orders rename to harmless",
    "alter table orders disable trigger tenant_isolation_truncate",
    "alter table orders disable trigger user",
    "alter table only orders disable trigger user",
    "alter table if exists orders disable row level security",
    "alter table orders enable replica trigger tenant_isolation_truncate",
    "create rule spy as on insert to orders do also notify spied",
    "create or replace rule spy as on update to orders do instead nothing",
    "do $$ begin execute 'alter table orders disable row level security'; end $$",
    "alter table orders add column extra text, alter tenant_id drop default",
    "create or replace trigger tenant_isolation_truncate before truncate on orders
       for each statement when (false) execute function tenancy.guard_truncate()",
];

/// What doesn't.
const HARMLESS: [&str; 14] = [
    "create policy debugging on orders using (true) with check (true)",
    "create policy narrower on orders as restrictive using (id > 0)",
    "alter table orders add column extra text not null default ''",
    "alter table orders alter body type varchar(200)",
    "alter table orders drop column body",
    "alter table orders rename column body to content",
    "alter table orders rename to purchases",
    "alter table orders enable row level security",
    "alter table orders alter tenant_id set default tenancy.current_tenant()",
    "alter table orders enable always trigger tenant_isolation_truncate",
    "create index on orders (body)",
    "drop index orders_tenant_id_idx",
    "comment on table orders is 'orders'",
    "drop table orders",
];

#[test]
fn weakening_ddl_is_refused_to_the_owner_and_to_a_superuser() {
    let shop = Shop::new();
    for role in [shop.owner.as_str(), "postgres"] {
        let mut client = shop.fixture.connect(role);
        for statement in WEAKENING {
            let statement = statement.replace("{app}", &shop.app);
            let error = client.refuses(&statement, "42501");
            assert!(error.detail().is_some_and(|detail| detail.contains("public.orders")), "{statement}: {error:?}");
            assert!(error.hint().is_some_and(|hint| hint.contains("guard_ddl")), "{statement}: {error:?}");
        }
    }
    assert!(shop.is_whole("orders"));
    assert_eq!(shop.seen_by_acme("orders"), ["acme"]);
}

#[test]
fn what_was_lost_is_named() {
    let shop = Shop::new();
    let mut client = shop.fixture.connect(&shop.owner);
    for (statement, words) in [
        ("drop policy tenant_isolation_floor on orders", "policy tenant_isolation_floor"),
        ("alter table orders no force row level security", "forced row level security"),
        ("alter table orders alter tenant_id drop not null", "NOT NULL"),
        ("alter table orders rename tenant_id to org", "the tenant column"),
        ("create rule spy as on insert to orders do also notify spied", "rule spy"),
    ] {
        let error = client.refuses(statement, "42501");
        assert!(error.detail().unwrap().contains(words), "{error:?}");
    }
}

#[test]
fn ddl_that_weakens_nothing_passes() {
    let shop = Shop::new();
    let mut client = shop.fixture.connect(&shop.owner);
    for statement in HARMLESS {
        let mut tx = client.transaction().unwrap();
        tx.run(statement);
        tx.rollback().unwrap();
    }
}

#[test]
fn the_callers_settings_do_not_blind_the_guard() {
    let shop = Shop::new();
    let mut client = shop.fixture.superuser();
    for setting in [
        "quote_all_identifiers = on",
        "standard_conforming_strings = off",
        "search_path = ''",
        "session_replication_role = replica",
        "row_security = off",
    ] {
        client.run(&format!("set {setting}"));
        client.refuses("alter table public.orders disable row level security", "42501");
        client.refuses("drop policy tenant_isolation_floor on public.orders", "42501");
        client.run("alter table public.orders add column extra text; alter table public.orders drop column extra");
    }
}

#[test]
fn nothing_hides_in_a_transaction() {
    let shop = Shop::new();
    let mut client = shop.fixture.connect(&shop.owner);
    let mut tx = client.transaction().unwrap();
    tx.run("alter table orders add column extra text");
    refuses_in_savepoint(&mut tx, "alter table orders disable row level security", "42501");
    refuses_in_savepoint(&mut tx, "drop policy tenant_isolation on orders", "42501");
    tx.run("alter table orders drop column extra");
    tx.commit().unwrap();
    assert!(shop.is_whole("orders"));
}

#[test]
fn a_superuser_may_switch_the_guard_off_and_nobody_else() {
    let shop = Shop::new();
    shop.fixture.connect(&shop.owner).refuses("set tenancy.guard_ddl = off", "42501");
    let mut superuser = shop.fixture.superuser();
    superuser.run("set tenancy.guard_ddl = off; alter table orders no force row level security");
    superuser.run("drop policy tenant_isolation_floor on orders; reset tenancy.guard_ddl");

    // What is weak already is not the next command's doing; what is left is still guarded.
    let mut client = shop.fixture.connect(&shop.owner);
    client.run("alter table orders add column extra text");
    client.refuses("alter table orders disable row level security", "42501");
    client.run("select tenancy.protect('orders')");
    client.refuses("alter table orders no force row level security", "42501");
}

#[test]
fn protecting_otherwise_and_unprotecting_pass() {
    let shop = Shop::new();
    let mut client = shop.fixture.connect(&shop.owner);
    client.run("select tenancy.protect('orders', kind => 'append_only')");
    client.run("select tenancy.protect('orders', kind => 'shared'); select tenancy.protect('orders')");
    client.run("select tenancy.unprotect('orders')");
    let triggers = "select count(*) from pg_trigger where tgname = 'tenant_isolation_truncate'";
    assert_eq!(client.value(triggers).unwrap(), "0");
    client.run("alter table orders rename column tenant_id to org_id; drop table orders");
}

#[test]
fn a_typed_tables_column_is_kept_through_its_type() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    superuser
        .run("create type order_type as (id integer, tenant_id uuid, body text); create table typed of order_type");
    superuser.run("select tenancy.protect('typed')");
    superuser.refuses("alter type order_type rename attribute tenant_id to org_id cascade", "42501");
    superuser.refuses("alter type order_type drop attribute tenant_id cascade", "42501");
    superuser.run("alter type order_type rename attribute body to content cascade");
    superuser.run("create domain tenant_ref as uuid; create table odd (tenant_id tenant_ref, body text)");
    superuser.run("select tenancy.protect('odd')");
    superuser.refuses("drop domain tenant_ref cascade", "42501");
}

#[test]
fn an_application_role_does_not_become_the_owner() {
    let shop = Shop::new();
    let member = shop.fixture.role("member");
    let other = shop.fixture.role("other");
    shop.fixture.run(&format!("grant {} to {member}", shop.app));
    let mut superuser = shop.fixture.superuser();
    for role in [&shop.app, &member] {
        superuser.refuses(&format!("alter table orders owner to {role}"), "42501");
    }
    superuser.run(&format!("alter table orders owner to {other}; alter table orders owner to {}", shop.owner));
    superuser.run("alter table orders owner to postgres");
}

#[test]
fn a_role_that_an_application_role_can_become_does_not_become_the_owner() {
    let shop = Shop::new();
    let group = shop.fixture.role("group");
    let other = shop.fixture.role("other");
    shop.fixture.run(&format!("grant {group} to {}; grant {other} to {}", shop.app, shop.owner));
    let mut superuser = shop.fixture.superuser();
    let error = superuser.refuses(&format!("alter table orders owner to {group}"), "42501");
    assert!(error.detail().is_some_and(|detail| detail.contains(&shop.app)), "{error:?}");
    superuser.run(&format!("alter table orders owner to {other}"));
    superuser.run(&format!("alter role {} superuser; alter table orders owner to {group}", shop.app));
}

#[test]
fn tables_are_not_reassigned_to_an_application_role() {
    let shop = Shop::new();
    let (group, other) = (shop.fixture.role("group"), shop.fixture.role("other"));
    shop.fixture.run(&format!("grant {group} to {}", shop.app));
    shop.fixture.run(
        "create schema hostile; create function hostile.always(text, text) returns boolean language sql as 'select true';
         create operator hostile.= (leftarg = text, rightarg = text, function = hostile.always)",
    );
    let mut superuser = shop.fixture.superuser();
    for setting in ["search_path = hostile, pg_catalog", "search_path = ''", "quote_all_identifiers = on"] {
        superuser.run(&format!("set {setting}"));
        for role in [&shop.app, &group] {
            let error = superuser.refuses(&format!("reassign owned by {} to {role}", shop.owner), "42501");
            assert!(error.detail().is_some_and(|detail| detail.contains(role.as_str())), "{error:?}");
        }
    }
    superuser.refuses(&format!("do $$ begin reassign owned by {} to {}; end $$", shop.owner, shop.app), "42501");
    superuser.run(&format!("reset all; reassign owned by {} to {other}", shop.owner));
    superuser.run("select 1 from public.orders");
    superuser.run(&format!("set tenancy.guard_ddl = off; reassign owned by {other} to {}", shop.app));
}

#[test]
fn odd_names_hide_nothing() {
    let shop = Shop::new();
    let mut owner = shop.fixture.connect(&shop.owner);
    shop.fixture
        .run(&format!("create schema \"S.\"\"x\"; grant create, usage on schema \"S.\"\"x\" to {}", shop.owner));
    let long = "ä".repeat(31);
    for (table, column) in [
        ("\"S.\"\"x\".\"T.able \"\"1\"".to_owned(), "\"Tenant.Id \"\"1\"".to_owned()),
        ("\"S.\"\"x\".\"it's \\ $$\"".to_owned(), "\"'\"".to_owned()),
        (format!("\"S.\"\"x\".\"{long}\""), format!("\"{long}\"")),
        ("\"S.\"\"x\".\"select\"".to_owned(), "\"from\"".to_owned()),
    ] {
        let literal = |text: &str| text.trim_matches('"').replace("\"\"", "\"").replace('\'', "''");
        owner.run(&format!("create table {table} ({column} uuid not null, body text)"));
        owner.run(&format!("select tenancy.protect('{}', '{}')", table.replace('\'', "''"), literal(&column)));
        for statement in [
            format!("alter table {table} disable row level security"),
            format!("drop policy tenant_isolation_floor on {table}"),
            format!("drop trigger tenant_isolation_truncate on {table}"),
            format!("alter table {table} alter {column} drop default"),
            format!("alter table {table} alter {column} drop not null"),
            format!("alter table {table} rename {column} to other"),
            format!("alter table {table} drop column {column} cascade"),
            format!("grant truncate on {table} to public"),
            format!("create rule spy as on insert to {table} do also notify spied"),
            format!("truncate {table}"),
        ] {
            owner.refuses(&statement, "42501");
        }
        owner.run(&format!("create table \"S.\"\"x\".\"a.kid\" () inherits ({table})"));
        owner.refuses("drop policy tenant_isolation on \"S.\"\"x\".\"a.kid\"", "42501");
        owner.run(&format!("drop table {table} cascade"));
    }
}

#[test]
fn ddl_inside_of_functions_and_procedures_is_judged_like_any() {
    let shop = Shop::new();
    let mut owner = shop.fixture.connect(&shop.owner);
    owner.run(
        "create function weaken() returns void language plpgsql set search_path = '' as
           $$ begin alter table public.orders disable row level security; end $$;
         create function weaken_as_owner() returns void language sql security definer as
           'alter table orders disable row level security';
         create procedure weaken_and_commit() language plpgsql as
           $$ begin commit; alter table orders disable row level security; commit; end $$;
         create function caught() returns text language plpgsql as
           $$ begin alter table orders disable row level security; return 'weakened';
              exception when insufficient_privilege then return 'refused'; end $$",
    );
    for statement in ["select weaken()", "select weaken_as_owner()", "call weaken_and_commit()"] {
        owner.refuses(statement, "42501");
    }
    owner.refuses("do $$ begin commit; execute 'drop policy tenant_isolation on orders'; end $$", "42501");
    assert_eq!(owner.value("select caught()").as_deref(), Some("refused"));
    assert!(shop.is_whole("orders"));
}

#[test]
fn an_extension_that_goes_takes_no_guard_along() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    if superuser.value("select count(*) from pg_available_extensions where name = 'hstore'").unwrap() == "0" {
        eprintln!("skipped: this server comes without hstore");
        return;
    }
    superuser
        .run("create extension hstore; alter trigger tenant_isolation_truncate on orders depends on extension hstore");
    superuser.refuses("drop extension hstore", "42501");
    superuser
        .run("alter trigger tenant_isolation_truncate on orders no depends on extension hstore; drop extension hstore");
    superuser.run("create extension hstore; alter extension hstore add table orders");
    superuser.refuses("alter table orders disable row level security", "42501");
    superuser.run("alter extension hstore drop table orders");
    superuser.refuses("alter extension pg_tenancy drop function tenancy.current_tenant(); drop function tenancy.current_tenant() cascade", "42501");
}

#[test]
fn what_postgresql_18_brought_weakens_nothing() {
    let shop = Shop::new();
    if shop.fixture.major_version() < 18 {
        eprintln!("skipped: named NOT NULL constraints came with PostgreSQL 18");
        return;
    }
    let mut owner = shop.fixture.connect(&shop.owner);
    for statement in [
        "alter table orders drop constraint orders_tenant_id_not_null",
        "alter table orders drop constraint orders_tenant_id_not_null, add constraint loose not null tenant_id not valid",
        "alter table orders alter tenant_id drop not null, add constraint loose not null tenant_id not valid",
    ] {
        owner.refuses(statement, "42501");
    }
    for statement in [
        "alter table orders rename constraint orders_tenant_id_not_null to owned",
        "alter table orders alter constraint owned no inherit; create table kid () inherits (orders)",
        "alter table orders add column twice integer generated always as (id * 2) virtual",
        "create table bookings (tenant_id uuid, room integer, during tstzrange,
                                primary key (tenant_id, room, during without overlaps)); select tenancy.protect('bookings')",
    ] {
        // A key over integers and ranges needs btree_gist.
        if let Err(error) = owner.batch_execute(statement) {
            assert!(statement.contains("overlaps"), "{statement}: {error:?}");
        }
    }
    assert!(shop.is_whole("orders") && shop.is_whole("kid"));
    owner.run("create table made (id integer, body text, tenant_id integer generated always as (id) virtual)");
    owner.refuses("select tenancy.protect('made')", "42804");
    owner.run("create table kind (id integer, tenant_id integer); select tenancy.protect('kind')");
    owner.refuses(
        "alter table kind alter tenant_id drop default, alter tenant_id add generated always as identity",
        "42501",
    );
}

#[test]
fn dropping_what_somebody_owns_or_was_granted_passes() {
    let shop = Shop::new();
    shop.fixture.run(&format!("drop owned by {}", shop.app));
    assert!(shop.is_whole("orders"));
    shop.fixture.run(&format!("drop owned by {}", shop.owner));
    assert_eq!(shop.protected("orders"), "0");
}

#[test]
fn other_extensions_come_change_and_go() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    superuser.run("select tenancy.manage_schema('public', 'reject')");
    for extension in ["plpgsql_check", "citext", "pg_stat_statements", "hstore"] {
        let known = format!("select count(*) from pg_available_extensions where name = '{extension}'");
        if superuser.value(&known).unwrap() == "1" {
            superuser.run(&format!("create extension {extension} schema public; alter extension {extension} update"));
            superuser.run(&format!("drop extension {extension} cascade"));
        }
    }
}
