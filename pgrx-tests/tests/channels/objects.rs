//! 12–29: objects around the table.

use tenancy_harness::{ACME, GLOBEX, Session, World, refuses_in_savepoint, sqlstate};

use crate::{ACMES, ALL, Shop, seen_by};

/// 12
#[test]
fn a_superusers_view_is_reported_and_can_be_refused() {
    let shop = Shop::new();
    shop.fixture.run("create view recent as select * from orders");
    assert_eq!(shop.seen("recent"), ALL);
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    assert_eq!(tx.affected("update recent set body = body where id = 1"), 2, "globex's, too");
    drop(tx);
    shop.fixture.run(&shop.fill_in("alter role {app} set tenancy.on_bypass = error"));
    let mut app = shop.app();
    app.refuses("begin; select tenancy.set_tenant('acme'); select from recent", "42501");
    drop(app);
    shop.mend("VIEW_BYPASS", "public.recent");
    assert_eq!(shop.seen("recent"), ACMES);
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    assert_eq!(tx.affected("update recent set body = body where id = 1"), 1);
}

/// 13
#[test]
fn a_materialized_view_is_reported() {
    let shop = Shop::new();
    shop.fixture.run("create materialized view totals as select * from orders");
    assert_eq!(shop.seen("totals"), ALL);
    shop.mend("MATVIEW", "public.totals");
    shop.app().refuses("select from totals", "42501");
}

/// 14
#[test]
fn a_superusers_function_is_reported_and_can_be_refused() {
    let shop = Shop::new();
    shop.fixture.run(
        "create function recent() returns table (body text) language sql security definer
           set search_path = pg_catalog, pg_temp as 'select body from public.orders'",
    );
    assert_eq!(shop.seen("recent()"), ALL);
    shop.fixture.run(&shop.fill_in("alter role {app} set tenancy.on_bypass = error"));
    shop.app().refuses("begin; select tenancy.set_tenant('acme'); select recent()", "42501");
    shop.mend("SECDEF_BYPASS", "public.recent()");
    assert_eq!(shop.seen("recent()"), ACMES);
}

/// 15
#[test]
fn temporary_objects_do_not_stand_in_for_those_of_the_extension() {
    let shop = Shop::new();
    shop.fixture.run(&shop.fill_in(
        "grant temporary on database {db} to {app}; select tenancy.revoke_access('{app}');
         select tenancy.grant_access('{app}', 'acme')",
    ));
    let mut app = shop.app();
    app.run(&format!(
        "create temp table access (tenant_id uuid, role regrole, granted_at timestamptz);
         insert into access values (null, current_user::regrole, now());
         create temp table tenants (id uuid, key text, status text); insert into tenants values ('{}', 'globex', 'active');
         create temp view pg_roles as select * from pg_catalog.pg_roles;
         create domain pg_temp.uuid as pg_catalog.uuid; create domain pg_temp.regrole as pg_catalog.regrole;
         create domain pg_temp.text as pg_catalog.text;
         create function pg_temp.yes(pg_catalog.uuid, pg_catalog.uuid) returns boolean immutable language sql as 'select true';
         create operator pg_temp.= (leftarg = pg_catalog.uuid, rightarg = pg_catalog.uuid, function = pg_temp.yes)",
        GLOBEX.id
    ));
    for path in ["pg_temp, tenancy, public", "tenancy, pg_temp, pg_catalog", "pg_temp"] {
        app.run(&format!("set search_path = {path}"));
        app.refuses("select tenancy.set_tenant('globex'::pg_catalog.text, false)", "42501");
        app.refuses("begin; set local tenancy.tenant_id = 'globex'; select from public.orders", "42501");
        app.run("rollback");
        assert_eq!(seen_by_id(&mut app), ACMES, "{path}");
    }
}

/// As `seen_by`, where types may mean others than usual.
fn seen_by_id(client: &mut tenancy_harness::postgres::Client) -> Vec<String> {
    client.run("begin; set local tenancy.tenant_id = 'acme'");
    let seen = client.texts("select body from public.orders order by body::pg_catalog.text");
    client.run("rollback");
    seen
}

/// 16
#[test]
fn a_rule_that_lends_a_superusers_rights_is_reported_and_can_be_refused() {
    let shop = Shop::new();
    // The view itself reads with its reader's rights; what the rule does is done with its owner's.
    shop.fixture.run(
        "create view recent with (security_invoker) as select * from orders; create table copy (body text);
         create rule copy as on insert to recent do instead insert into copy select body from orders",
    );
    let steal = "insert into recent (id) values (7)";
    let mut app = shop.app();
    app.run("begin; select tenancy.set_tenant('acme')");
    app.run(steal);
    assert_eq!(app.texts("select body from copy order by 1"), ALL);
    app.run("rollback");
    shop.fixture.run(&shop.fill_in("alter role {app} set tenancy.on_bypass = error"));
    shop.app().refuses(&format!("begin; select tenancy.set_tenant('acme'); {steal}"), "42501");
    shop.mend("RULE", "copy ON public.recent");
    let mut app = shop.app();
    app.run("begin; select tenancy.set_tenant('acme')");
    app.run(steal);
    assert_eq!(app.texts("select body from copy").len(), 0);
    assert_eq!(app.value("select count(*) from orders").as_deref(), Some("3"));
}

/// 20
#[test]
fn a_copy_where_no_schema_is_managed_is_reported() {
    let shop = Shop::new();
    shop.fixture.run("create table copy as select * from orders; select body into bare from orders");
    assert_eq!(shop.seen("copy"), ALL);
    assert_eq!(shop.found("TABLE_WITHOUT_TENANT"), ["public.bare"]);
    assert_eq!(shop.found("RLS_DISABLED"), ["public.copy"]);
    shop.mend("UNCLASSIFIED_TABLE", "public.copy");
    assert_eq!(shop.seen("copy"), ACMES);
}

/// 22
#[test]
fn what_no_event_trigger_sees_is_reported() {
    let shop = Shop::new();
    let strong = shop.fixture.role("strong");
    shop.fixture.run(&format!("alter role {strong} superuser"));
    for (statement, code, object) in [
        ("alter role {app} bypassrls", "ROLE_BYPASSRLS", "{app}"),
        ("alter role {app} createrole", "ROLE_CREATEROLE", "{app}"),
        (&format!("grant {strong} to {{app}}"), "ROLE_CAN_BYPASS", "{app}"),
        ("alter role {app} set session_replication_role = replica", "ROLE_SETTING", "{app}"),
        ("alter event trigger tenancy_guard_command disable", "EVENT_TRIGGER_DISABLED", "tenancy_guard_command"),
        ("alter event trigger tenancy_guard_drop enable", "TRIGGER_NOT_ALWAYS", "tenancy_guard_drop"),
    ] {
        shop.fixture.run(&shop.fill_in(statement));
        shop.mend(code, object);
    }
    shop.fixture.superuser().refuses("alter table orders disable row level security", "42501");
}

/// 24
#[test]
fn roles_that_come_later_are_bound_and_those_that_go_take_no_policy_along() {
    let shop = Shop::new();
    let later = shop.fixture.role("later");
    shop.fixture.run(&format!("grant select on orders to {later}; select tenancy.grant_access('{later}', 'acme')"));
    shop.weaken("create policy debugging on orders to {app} using (true)");
    let mut client = shop.fixture.connect(&later);
    assert_eq!(client.texts("select body from orders").len(), 0);
    assert_eq!(seen_by(&mut client, "orders"), ACMES);
    shop.fixture.run(&shop.fill_in("drop owned by {app}"));
    assert_eq!(client.texts("select body from orders").len(), 0);
    assert_eq!(shop.found("POLICY_DRIFT"), [""; 0]);
}

/// 25
#[test]
fn a_foreign_table_that_leads_back_shows_nothing_or_is_reported() {
    let shop = Shop::new();
    shop.fixture.run(&shop.fill_in(&format!(
        "create extension postgres_fdw;
         create server back foreign data wrapper postgres_fdw options (host '{}', dbname '{{db}}');
         create user mapping for {{app}} server back options (user '{{app}}', password_required 'false');
         create foreign table far (id integer, tenant_id uuid, body text) server back options (table_name 'orders')",
        shop.fixture.cluster().directory().display()
    )));
    shop.fixture.superuser().refuses("alter table far enable row level security", "42809");
    assert_eq!(shop.seen("far").len(), 0, "the other session has no tenant");
    shop.fixture.run(&shop.fill_in("alter user mapping for {app} server back options (set user 'postgres')"));
    assert_eq!(shop.seen("far"), ALL);
    shop.mend("FOREIGN_TABLE", "public.far");
    shop.app().refuses("select from far", "42501");
    shop.mend("FDW_LOOPBACK", "back");
}

/// 26
#[test]
fn a_link_back_needs_a_password_and_then_a_tenant_of_its_own() {
    let shop = Shop::new();
    shop.fixture.run("create extension dblink");
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    for user in [&shop.app, &shop.owner, "postgres"] {
        let target = format!(
            "host={} dbname={} user={user}",
            shop.fixture.cluster().directory().display(),
            shop.fixture.database()
        );
        let query = format!("select * from dblink('{target}', 'select body from orders') as t(body text)");
        refuses_in_savepoint(&mut tx, &query, "2F003");
        // The server asks for none, so that it was given proves nothing.
        refuses_in_savepoint(&mut tx, &query.replace(" user=", " password=x user="), "2F003");
        refuses_in_savepoint(&mut tx, &format!("select dblink_connect_u('{target}')"), "42501");
    }
}

/// 27
#[test]
fn a_large_object_is_another_login_roles_or_everybodys_and_is_reported() {
    let shop = Shop::new();
    let other = shop.fixture.role("other");
    shop.fixture.run(&format!("select tenancy.grant_access('{other}')"));
    let mut app = shop.app();
    app.run("begin; select tenancy.set_tenant('acme'); select lo_from_bytea(4711, 'secret'); commit");
    shop.fixture.connect(&other).refuses("select lo_get(4711)", "42501");
    app.run("begin; select tenancy.set_tenant('globex')");
    assert_eq!(
        app.value("select convert_from(lo_get(4711), 'UTF8')").as_deref(),
        Some("secret"),
        "no tenant, no bound"
    );
    app.run("commit");
    shop.weaken("alter table orders add scan oid");
    assert_eq!(shop.found("LO_COLUMN"), ["public.orders.scan"]);
    shop.mend("LEAKY_BUILTIN_PUBLIC", "pg_catalog");
    app.refuses("select lo_get(4711)", "42501");
    shop.fixture.run("select lo_unlink(4711)");
}

/// 28
#[test]
fn a_sequence_tells_nothing_of_the_former_tenant() {
    let shop = Shop::new();
    shop.fixture.run(&shop.fill_in(
        "create table notes (id bigint generated always as identity, tenant_id uuid, primary key (tenant_id, id));
         select tenancy.protect('notes'); create sequence numbers; grant usage on sequence numbers to {app}",
    ));
    let mut app = shop.app();
    app.run("begin; select tenancy.set_tenant('acme'); insert into notes default values; commit");
    for statement in
        ["select nextval('notes_id_seq')", "select last_value from notes_id_seq", "select setval('notes_id_seq', 1)"]
    {
        app.refuses(statement, "42501");
    }
    app.run("begin; select tenancy.set_tenant('acme'); select nextval('numbers'); commit");
    for way_in in ["select tenancy.set_tenant('globex')", "set local tenancy.tenant_id = 'globex'"] {
        let mut tx = app.transaction().unwrap();
        tx.run(way_in);
        tx.refuses("select lastval()", "55000");
        drop(tx);
        app.run("begin; select tenancy.set_tenant('acme'); select nextval('numbers'), lastval(); commit");
    }
}

/// 29
#[test]
fn tables_restored_without_the_extension_are_closed() {
    let shop = Shop::new();
    let cluster = shop.fixture.cluster();
    let dump = cluster.run_tool("pg_dump", &["--exclude-schema=tenancy", shop.fixture.database()]);
    let dump = String::from_utf8(dump.stdout).expect("UTF-8");
    let dump: String =
        dump.lines().filter(|line| !line.contains("EXTENSION")).map(|line| format!("{line}\n")).collect();
    assert!(dump.contains("FORCE ROW LEVEL SECURITY"));
    // What fails first: the default; what fails after it was taken out: the policies.
    for script in [dump.clone(), dump.replace(" DEFAULT tenancy.current_tenant()", "")] {
        let target = tenancy_harness::Fixture::empty(cluster);
        let script = format!("\\set ON_ERROR_STOP 0\n{script}");
        cluster.psql(target.database(), "postgres", &script);
        let rows = target.superuser().query("select from orders", &[]).map(|rows| rows.len());
        for role in [&shop.app, &shop.owner] {
            match target.connect(role).query("select from orders", &[]) {
                Ok(seen) => assert_eq!((seen.len(), rows.as_ref().ok()), (0, Some(&5)), "{role}"),
                error => assert_eq!(sqlstate(&error), Some("42P01"), "{role}: {error:?}"),
            }
        }
    }
}

/// 88
#[test]
fn the_owner_of_a_domain_asks_all_rows_and_is_reported() {
    let shop = Shop::new();
    shop.weaken(
        "create domain note as text; alter table orders alter body type note; alter domain note owner to {app}",
    );
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    refuses_in_savepoint(&mut tx, "alter domain note add check (value <> 'globex 3')", "23514");
    tx.run("alter domain note add check (value <> 'globex 9')");
    drop(tx);
    shop.mend("TYPE_OF_TENANTS", "public.note");
    app.refuses("alter domain note add check (value <> 'globex 3')", "42501");
    shop.harden("standard");
}

/// 88
#[test]
fn a_function_of_a_tenant_in_other_tenants_statements_is_reported() {
    let shop = Shop::new();
    shop.weaken(
        "create schema lab; grant all on schema lab to {app};
         create function lab.ok(text) returns boolean language plpgsql as 'begin return true; end';
         alter table orders add check (lab.ok(body)); alter function lab.ok(text) owner to {app}",
    );
    let mut app = shop.app();
    app.run(
        "create or replace function lab.ok(text) returns boolean language plpgsql as
         $$ begin perform pg_notify('heard', $1); return true; end $$; listen heard",
    );
    shop.app().run(
        "begin; select tenancy.set_tenant('globex'); insert into orders (id, body) values (9, 'globex 9'); commit",
    );
    app.run("select 1");
    assert_eq!(app.notifications().len(), 1);
    shop.mend("FUNCTION_OF_TENANTS", "lab.ok(text)");
    app.refuses("create or replace function lab.ok(text) returns boolean language sql as 'select true'", "42501");
    shop.mend("SCHEMA_CREATE", "lab");
    shop.harden("standard");
}

/// 89
#[test]
fn an_owners_ddl_reads_all_rows_and_no_hardened_role_owns_anything() {
    let shop = Shop::new();
    let mut owner = shop.fixture.connect(&shop.owner);
    for ddl in [
        "alter table orders add constraint asked check (body <> 'globex 3')",
        "alter table orders alter body type text using (case body when 'globex 3' then 1 / (id - 3) end)::text",
        "create index on orders ((1 / (case body when 'globex 3' then 0 else 1 end)))",
    ] {
        let outcome = owner.batch_execute(ddl);
        assert!(matches!(sqlstate(&outcome), Some("23514" | "22012")), "{ddl}: {outcome:?}");
    }
    let harden = format!("select tenancy.harden_role('{}')", shop.owner);
    let error = shop.fixture.superuser().refuses(&harden, "55000");
    assert!(error.detail().is_some_and(|detail| detail.contains("public.orders")), "{error:?}");
    shop.weaken("alter table orders owner to {app}");
    assert_eq!(shop.found("ROLE_OWNS_TABLES"), ["public.orders"]);
    shop.fixture.run(&shop.fill_in("alter table orders owner to {owner}"));
    shop.app().refuses("alter table orders add constraint asked check (body <> 'globex 3')", "42501");
}
