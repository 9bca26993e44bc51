//! 30–43: statements that read and write.

use tenancy_harness::{ACME, GLOBEX, Session, World, refuses_in_savepoint};

use crate::{ACMES, Shop, seen_by};

/// 34
#[test]
fn merge_on_a_global_key_tells_no_more_than_that_the_value_is_taken() {
    let shop = Shop::new();
    shop.weaken("create unique index on orders (body)");
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    let error = refuses_in_savepoint(
        &mut tx,
        "merge into orders o using (values ('globex 1')) v (body) on o.body = v.body
         when matched then update set id = 9 when not matched then insert (id, body) values (9, v.body)",
        "23505",
    );
    assert_eq!(error.detail(), None, "{error:?}");
    drop(tx);
    shop.mend("UNIQUE_GLOBAL", "orders_body_idx ON public.orders");
    let mut tx = World::begin(&mut app, ACME);
    let merge = "merge into orders o using (values ('globex 1')) v (body) on o.body = v.body
                 when matched then update set id = 9 when not matched then insert (id, body) values (9, v.body)";
    assert_eq!(tx.affected(merge), 1);
    assert_eq!(tx.value("select tenant_id from orders where id = 9").as_deref(), Some(ACME.id));
}

/// 35
#[test]
fn copy_reaches_neither_files_nor_programs() {
    let shop = Shop::new();
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    for statement in [
        "copy orders to program 'cat'",
        "copy orders from program 'true'",
        "copy orders to '/tmp/orders'",
        "copy orders from '/etc/passwd'",
        "copy (select 1) to program 'cat'",
    ] {
        refuses_in_savepoint(&mut tx, statement, "42501");
    }
}

/// 37
#[test]
fn a_probe_by_foreign_key_is_refused() {
    let shop = Shop::new();
    shop.fixture.run(&shop.fill_in("create schema lab; grant all on schema lab to {app}"));
    let mut app = shop.app();
    app.refuses(
        "create table lab.probe (tenant_id uuid, id integer, foreign key (tenant_id, id) references orders)",
        "42501",
    );
    app.refuses("create table lab.probe (id uuid references tenancy.tenants)", "42501");
    shop.weaken("grant references on orders to {app}");
    app.run("create table lab.probe (tenant_id uuid, id integer, foreign key (tenant_id, id) references orders)");
    shop.mend("DANGEROUS_PRIV", "public.orders");
    shop.mend("SCHEMA_CREATE", "lab");
    app.refuses(
        "create table lab.other (tenant_id uuid, id integer, foreign key (tenant_id, id) references orders)",
        "42501",
    );
}

/// 38
#[test]
fn a_trigger_in_other_tenants_writes_is_refused() {
    let shop = Shop::new();
    shop.fixture.run(&shop.fill_in("create schema lab; grant all on schema lab to {app}"));
    let mut app = shop.app();
    app.run("create function lab.spy() returns trigger language plpgsql as 'begin return new; end'");
    let spy = "create trigger spy before insert on orders for each row execute function lab.spy()";
    app.refuses(spy, "42501");
    shop.weaken("grant trigger on orders to {app}");
    app.run(spy);
    shop.mend("DANGEROUS_PRIV", "public.orders");
    shop.mend("TRIGGER_OF_TENANTS", "spy ON public.orders");
    app.refuses(spy, "42501");
}

/// 39
#[test]
fn a_new_table_sheds_what_default_privileges_gave_it() {
    let shop = Shop::new();
    shop.fixture.run(&shop.fill_in(
        "create schema work; grant usage on schema work to {app}; select tenancy.manage_schema('work');
         alter default privileges in schema work grant all on tables to {app}, public;
         create table work.notes (tenant_id uuid, body text); create table work.places (id integer)",
    ));
    let may = |table: &str, privilege: &str| {
        let query = format!("select has_table_privilege('{}', '{table}', '{privilege}')", shop.app);
        shop.fixture.superuser().value(&query).unwrap() == "t"
    };
    for privilege in ["truncate", "references", "trigger"] {
        assert!(!may("work.notes", privilege), "{privilege}");
        assert!(may("work.places", privilege), "{privilege}: it has no tenants");
    }
    assert!(may("work.notes", "insert"));
    shop.app().refuses("truncate work.notes", "42501");
    shop.mend("DEFAULT_PRIV", "work of postgres");
    shop.fixture.run("create table work.later (tenant_id uuid)");
    assert!(!may("work.later", "truncate"));
}

/// 40
#[test]
fn a_lock_on_the_table_stops_other_tenants_unless_the_role_is_strict() {
    let shop = Shop::new();
    let lock = "lock table orders in access exclusive mode";
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    tx.run(lock);
    let mut other = shop.app();
    other
        .refuses("set lock_timeout = '200ms'; begin; select tenancy.set_tenant('globex'); select from orders", "55P03");
    drop(tx);
    drop(app);
    shop.harden("strict");
    for mode in ["access share", "row exclusive", "access exclusive"] {
        shop.app().refuses(&format!("begin; lock table orders in {mode} mode"), "42501");
    }
}

/// 41
#[test]
fn functions_that_run_queries_or_fail_meet_own_rows_only() {
    let shop = Shop::new();
    shop.fixture.run("create extension tablefunc");
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    let as_text = "select query_to_xml('select body from orders', true, true, '')::text";
    let has_xml = shop.fixture.superuser().query(as_text, &[]).is_ok();
    let of_xml = [
        as_text,
        "select table_to_xml('orders', true, true, '')::text",
        "select schema_to_xml('public', true, true, '')::text",
        "select database_to_xml(true, true, '')::text",
    ];
    let others = [
        "select string_agg(word, ' ') from ts_stat($$ select to_tsvector('simple', body) from orders $$)",
        "select string_agg(t, ' ') from crosstab($$ select id, 1, body from orders $$) as c (id integer, t text)",
        "select string_agg(t::text, '') from orders t",
    ];
    for query in of_xml.iter().filter(|_| has_xml).chain(&others) {
        let text = tx.value(query).unwrap_or_else(|| panic!("nothing from {query}"));
        assert!(text.contains("acme") && !text.contains("globex"), "{query}: {text}");
    }
    // Errors that would tell the value they fail on, were it ever looked at.
    for condition in
        ["100 / (length(body) - length('globex 1')) < 0", "100 / strpos(body, 'acme') = 100", "body::integer > 0"]
    {
        let mut savepoint = tx.transaction().unwrap();
        if let Err(error) = savepoint.query(&format!("select body from orders where {condition}"), &[]) {
            assert!(!format!("{error:?}").contains("globex"), "{condition}: {error:?}");
            assert!(condition.contains("::integer"), "{condition}: {error:?}");
        }
    }
    refuses_in_savepoint(
        &mut tx,
        "create function pg_temp.f() returns integer leakproof language sql as 'select 1'",
        "42501",
    );
}

/// 42
#[test]
fn an_equality_of_ones_own_meets_own_rows_only_and_its_schema_is_reported() {
    let shop = Shop::new();
    let equality = "create function lab.eq(text, text) returns boolean immutable cost 0.0001 language plpgsql as $$
                        begin
                            if $1 like 'globex%' then raise exception 'met %', $1; end if;
                            return $1 operator(pg_catalog.=) $2;
                        end $$;
                    create operator lab.= (leftarg = text, rightarg = text, function = lab.eq, restrict = eqsel)";
    shop.fixture.run("create schema lab; analyze orders");
    let mut app = shop.app();
    app.refuses(equality, "42501");
    shop.fixture.run(&shop.fill_in("grant usage, create on schema lab to {app}"));
    app.run(equality);
    app.run("set search_path = lab, pg_catalog, public");
    let conditions = [
        "case body when 'acme 1' then true else false end",
        "body operator(lab.=) 'acme 1'",
        "body in ('acme 1')",
        "not body = any (array['acme 2'])",
        "nullif(body, 'acme 2') is not null",
    ];
    let cve = "select count(*) from tenancy.doctor() where code = 'SERVER_TOO_OLD' and detail like '%CVE-2026-116327%'";
    let is_reported = shop.fixture.superuser().value(cve).as_deref() == Some("1");
    let mut tx = World::begin(&mut app, ACME);
    for (number, condition) in conditions.into_iter().enumerate() {
        if number == 0 && is_reported {
            refuses_in_savepoint(&mut tx, &format!("select body from orders where {condition}"), "P0001");
            continue;
        }
        assert_eq!(tx.texts(&format!("select body from orders where {condition}")), ["acme 1"], "{condition}");
        tx.run(&format!("explain select from orders where {condition}"));
    }
    drop(tx);
    shop.mend("SCHEMA_CREATE", "lab");
    app.refuses("create table lab.t (a integer)", "42501");
    // Whom row security does not bind, it meets.
    shop.fixture.run(&shop.fill_in("alter role {app} bypassrls; grant usage on schema lab to {app}"));
    let mut app = shop.app();
    app.run("set search_path = lab, pg_catalog, public");
    app.refuses(&format!("select from orders where {}", conditions[1]), "P0001");
}

/// 43
#[test]
fn the_row_under_a_cursor_is_out_of_reach_after_a_switch() {
    let shop = Shop::new();
    shop.fixture.run(&shop.fill_in("alter role {app} set tenancy.allow_switch = on"));
    let mut app = shop.app();
    for lock in ["", " for update"] {
        let mut tx = World::begin(&mut app, ACME);
        tx.run(&format!("declare c cursor for select body from orders where id < 9{lock}"));
        assert_eq!(tx.texts("fetch 1 from c"), ["acme 1"]);
        tx.run("select tenancy.set_tenant('globex')");
        assert_eq!(tx.affected("update orders set body = 'stolen' where current of c"), 0);
        assert_eq!(tx.affected("delete from orders where current of c"), 0);
        drop(tx);
    }
    // Who may not switch, does not come as far.
    shop.fixture.run(&shop.fill_in("alter role {app} reset tenancy.allow_switch"));
    let mut app = shop.app();
    app.run("begin; select tenancy.set_tenant('acme'); declare c cursor for select body from orders; fetch 1 from c");
    app.refuses(&format!("set local tenancy.tenant_id = '{}'", GLOBEX.id), "42501");
    app.run("rollback");
    assert_eq!(seen_by(&mut app, "orders"), ACMES);
}

/// 90
#[test]
fn statements_of_newer_servers_meet_own_rows_only() {
    let shop = Shop::new();
    let version = shop.fixture.major_version();
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    if version >= 17 {
        let merge = "merge into orders o using (select 0) v on false when not matched by source then";
        let touched = tx.texts(&format!("{merge} update set body = o.body returning o.body"));
        assert_eq!(touched, ACMES);
        refuses_in_savepoint(
            &mut tx,
            &format!("{merge} update set tenant_id = '{}', id = o.id + 10", GLOBEX.id),
            "42501",
        );
    }
    if version >= 18 {
        assert_eq!(tx.texts("update orders set body = 'new' || id returning old.body"), ACMES);
        assert_eq!(tx.texts("delete from orders where id = 1 returning concat(old.body, new.body)"), ["new1"]);
        let upsert = "insert into orders (id, body) values (2, 'x'), (3, 'x') on conflict (tenant_id, id)
                      do update set body = 'y' returning coalesce(old.body, 'none')";
        assert_eq!(tx.texts(upsert), ["new2", "none"]);
    }
    drop(tx);
    let all = shop.fixture.superuser().value("select count(*) from orders");
    assert_eq!(all.as_deref(), Some("5"));
}
