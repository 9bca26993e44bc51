//! 73–87: what is learnt without reading a row, and the extension itself.

use tenancy_harness::postgres::fallible_iterator::FallibleIterator;
use tenancy_harness::{ACME, Fixture, GLOBEX, Session, World};

use crate::Shop;

/// 73
#[test]
fn statistics_of_columns_and_expressions_are_hidden() {
    let shop = Shop::new();
    shop.fixture.run(
        "insert into orders select n, tenant_id, 'globex' from orders, generate_series(10, 500) n where body = 'globex 1';
         create statistics together (mcv, dependencies) on id, body from orders;
         create statistics expressions (mcv) on (lower(body)), (id % 7) from orders; analyze orders",
    );
    let queries = [
        "select count(*) from pg_stats where tablename = 'orders'",
        "select count(*) from pg_stats_ext where tablename = 'orders'",
        "select count(*) from pg_stats_ext_exprs where tablename = 'orders'",
    ];
    for query in queries {
        assert_ne!(shop.fixture.superuser().value(query).as_deref(), Some("0"), "{query}");
        for role in [&shop.app, &shop.owner] {
            let mut client = shop.fixture.connect(role);
            assert_eq!(client.value(query).as_deref(), Some("0"), "{query} by {role}");
        }
    }
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    for query in queries {
        assert_eq!(tx.value(query).as_deref(), Some("0"), "{query}");
    }
    for catalog in ["pg_statistic", "pg_statistic_ext_data"] {
        tenancy_harness::refuses_in_savepoint(&mut tx, &format!("select from {catalog}"), "42501");
    }
}

/// 74
#[test]
fn an_operator_that_estimates_is_not_shown_other_tenants_values() {
    let shop = Shop::new();
    shop.fixture.run(&shop.fill_in(
        "create schema lab; grant usage, create on schema lab to {app}; insert into orders
             select n, tenant_id, 'globex' from orders, generate_series(10, 500) n where body = 'globex 1';
         create table parts (id integer, tenant_id uuid, body text) partition by hash (id);
         create table parts_0 partition of parts for values with (modulus 1, remainder 0);
         select tenancy.protect('parts'); insert into parts select * from orders;
         create statistics together (mcv) on id, body from orders; analyze orders; analyze parts",
    ));
    let mut app = shop.app();
    let operators = [("<=>", "eqsel"), ("<<>", "scalarltsel"), ("<>>", "scalargesel"), ("<&>", "matchingsel")];
    app.run(
        "create function lab.met(text, text) returns boolean immutable cost 0.0001 language plpgsql as $$
         begin
             if $1 like 'globex%' or $2 like 'globex%' then raise exception 'met % %', $1, $2; end if;
             return false;
         end $$",
    );
    for (operator, estimator) in operators {
        app.run(&format!(
            "create operator lab.{operator} (leftarg = text, rightarg = text, function = lab.met, restrict = {estimator})"
        ));
    }
    let mut tx = World::begin(&mut app, ACME);
    for (operator, _) in operators {
        for table in ["orders", "parts", "parts_0"] {
            for query in ["explain select", "select"] {
                tx.run(&format!("{query} from {table} where body operator(lab.{operator}) 'acme'"));
                tx.run(&format!("{query} from {table} where 'acme' operator(lab.{operator}) body and id = 3"));
            }
        }
    }
    drop(tx);
    // Whom row security does not bind, it meets.
    shop.fixture.run(&shop.fill_in("alter role {app} bypassrls"));
    for (operator, _) in operators {
        shop.app().refuses(&format!("explain select from orders where body operator(lab.{operator}) 'acme'"), "P0001");
    }
}

/// Of 75 and 76.
const EXPLAINS: [&str; 2] = [
    "explain select from orders where body = 'rare disease'",
    "explain (analyze, costs off, timing off, summary off) select from orders",
];

/// Adds many rows of globex, all alike, and as many of acme's that are not.
fn with_common_value(shop: &Shop<'_>) {
    shop.fixture.run(&format!(
        "insert into orders select n, '{}', 'rare disease' from generate_series(100, 3099) n;
         insert into orders select n, '{}', 'acme ' || n from generate_series(100, 2099) n; analyze orders",
        GLOBEX.id, ACME.id
    ));
}

/// 75
#[test]
fn estimates_tell_of_other_tenants_unless_the_role_is_strict() {
    let shop = Shop::new();
    with_common_value(&shop);
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    let mut estimate = |body: &str| {
        let plan = tx.texts(&format!("explain select from orders where body = '{body}'"));
        let rows = plan[0].split("rows=").nth(1).and_then(|rest| rest.split(' ').next());
        rows.and_then(|rows| rows.parse::<u64>().ok()).expect("an estimate")
    };
    assert!(estimate("rare disease") > 100, "acme has none");
    assert_eq!(estimate("no disease"), 1);
    drop(tx);
    shop.harden("strict");
    shop.app().refuses(EXPLAINS[0], "42501");
}

/// 76
#[test]
fn what_was_filtered_out_is_counted_unless_the_role_is_strict() {
    let shop = Shop::new();
    with_common_value(&shop);
    let mut app = shop.app();
    app.run("set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off");
    let mut tx = World::begin(&mut app, ACME);
    let plan = tx.texts(EXPLAINS[1]).join("\n");
    assert!(plan.contains("Rows Removed by Filter: 3003"), "{plan}");
    drop(tx);
    shop.harden("strict");
    let mut app = shop.app();
    app.refuses(EXPLAINS[1], "42501");
    app.refuses(&format!("do $$ begin execute '{}'; end $$", EXPLAINS[1]), "42501");
}

/// 77
#[test]
fn an_index_of_all_tenants_is_not_the_only_one() {
    let shop = Shop::new();
    shop.fixture.run(
        "create table notes (id bigint, tenant_id uuid, body text); create index on notes (body);
         select tenancy.protect('notes')",
    );
    let mut app = shop.app();
    app.run("set enable_seqscan = off; set enable_bitmapscan = off; begin; select tenancy.set_tenant('acme')");
    let plan = app.texts("explain (costs off) select from notes").join("\n");
    assert!(plan.contains("Index Cond: (tenant_id = tenancy.current_tenant())"), "{plan}");
    app.run("rollback");
    shop.weaken("drop index notes_tenant_id_idx");
    shop.mend("INDEX_NOT_TENANT_LED", "public.notes");
}

/// 78
#[test]
fn another_sessions_query_is_seen_by_its_own_login_role_unless_it_is_hardened() {
    let shop = Shop::new();
    let other = shop.fixture.role("other");
    let mut one = shop.app();
    let mut look = shop.app();
    let seen = format!(
        "select query from pg_stat_activity where pid = {}",
        one.value("select pg_backend_pid()").expect("a number")
    );
    one.run("select 'a secret'");
    assert_eq!(look.texts(&seen), ["select 'a secret'"]);
    assert_eq!(shop.fixture.connect(&other).texts(&seen), ["<insufficient privilege>"]);
    one.query("select $1::text", &[&"a secret"]).unwrap();
    assert_eq!(look.texts(&seen), ["select $1::text"], "a bind parameter is not");
    shop.harden("standard");
    look.refuses(&seen, "42501");
    shop.app().refuses("select pg_stat_get_backend_activity(1)", "42501");
}

/// 80
#[test]
fn another_session_is_ended_by_its_own_login_role_unless_it_is_hardened() {
    let shop = Shop::new();
    let mut one = shop.app();
    let end = format!("select pg_terminate_backend({})", one.value("select pg_backend_pid()").expect("a number"));
    let other = shop.fixture.role("other");
    shop.fixture.connect(&other).refuses(&end, "42501");
    shop.app().run(&end);
    one.batch_execute("select 1").expect_err("it is gone");
    shop.harden("standard");
    let mut one = shop.app();
    let end = format!("select pg_terminate_backend({})", one.value("select pg_backend_pid()").expect("a number"));
    shop.app().refuses(&end, "42501");
    one.run("select 1");
}

/// 81
#[test]
fn locks_without_a_table_are_everybodys_and_end_with_the_transaction_where_the_role_is_hardened() {
    let shop = Shop::new();
    shop.harden("standard");
    let (mut one, mut other) = (shop.app(), shop.app());
    one.refuses("select pg_advisory_lock(7)", "42501");
    one.refuses("select pg_try_advisory_lock(7)", "42501");
    other.refuses("select objid from pg_locks where locktype = 'advisory'", "42501");
    // What stays: whoever knows a key can hold it for as long as a transaction lasts.
    let mut tx = World::begin(&mut one, ACME);
    tx.run("select pg_advisory_xact_lock(7)");
    let free = "select pg_try_advisory_xact_lock(7)";
    assert_eq!(World::begin(&mut other, GLOBEX).value(free).as_deref(), Some("f"));
    tx.commit().unwrap();
    assert_eq!(World::begin(&mut other, GLOBEX).value(free).as_deref(), Some("t"));
}

/// 81
#[test]
fn what_everybody_can_listen_to_names_no_tenant() {
    let shop = Shop::new();
    let mut app = shop.app();
    app.run("listen tenancy; listen orders");
    shop.fixture.run(
        "select tenancy.suspend_tenant('globex', 'a secret'); select tenancy.resume_tenant('globex');
         select tenancy.create_tenant('initech'); notify orders, 'heard'",
    );
    let mut heard = Vec::new();
    while !heard.contains(&"heard".to_owned()) {
        app.run("select pg_sleep(0.02)");
        let mut notifications = app.notifications();
        heard.extend(
            std::iter::from_fn(|| notifications.iter().next().ok().flatten()).map(|one| one.payload().to_owned()),
        );
    }
    let telling: Vec<_> =
        heard.iter().filter(|payload| *payload != "heard" && payload.parse::<u64>().is_err()).collect();
    assert!(telling.is_empty(), "{telling:?}");
}

/// 82
#[test]
fn sizes_are_for_nobody_who_is_hardened_and_the_catalogs_still_tell_of_volume() {
    let shop = Shop::new();
    with_common_value(&shop);
    shop.fixture.run(&shop.fill_in(
        "create table visits (tenant_id text collate \"C\", day date) partition by list (tenant_id);
         create table visits_globex partition of visits for values in ('globex'); select tenancy.protect('visits');
         grant select on visits to {app}",
    ));
    let sizes = [
        "select pg_total_relation_size('orders')",
        "select n_live_tup from pg_stat_all_tables where relname = 'orders'",
    ];
    let mut app = shop.app();
    for query in sizes {
        assert_ne!(app.value(query).as_deref(), Some("0"), "{query}");
    }
    shop.harden("strict");
    let mut app = shop.app();
    for query in sizes {
        app.refuses(query, "42501");
    }
    let mut tx = World::begin(&mut app, ACME);
    for (query, told) in [
        ("select reltuples from pg_class where oid = 'orders'::regclass", "5005"),
        ("select (max(ctid)::text::point)[0] > 10 from orders", "t"),
        (
            "select pg_get_expr(relpartbound, oid) from pg_class where relname = 'visits_globex'",
            "FOR VALUES IN ('globex')",
        ),
        ("select qual from pg_policies where tablename = 'orders' limit 1", "(tenant_id = tenancy.current_tenant())"),
        ("select count(*) > 1 from pg_roles", "t"),
    ] {
        assert_eq!(tx.value(query).as_deref(), Some(told), "{query}");
    }
}

/// 84
#[test]
fn the_errors_of_an_administrators_functions_tell_nothing_to_others() {
    let shop = Shop::new();
    let mut app = shop.app();
    for function in [
        "suspend_tenant('{t}')",
        "resume_tenant('{t}')",
        "archive_tenant('{t}')",
        "grant_access('{app}', '{t}')",
        "create_tenant('{t}')",
    ] {
        let said = ["globex", "nobody_here"].map(|tenant| {
            let call = shop.fill_in(&format!("select tenancy.{function}")).replace("{t}", tenant);
            format!("{:?}", app.refuses(&call, "42501"))
        });
        assert_eq!(said[0], said[1], "{function}");
    }
}

/// 87
#[test]
fn a_schema_that_somebody_else_made_does_not_become_the_extensions() {
    let shop = Shop::new();
    let target = Fixture::empty(shop.fixture.cluster());
    let squatter = target.role("squatter");
    target.run(&format!("grant create on database {} to {squatter}", target.database()));
    target.connect(&squatter).run("create schema tenancy");
    target.superuser().refuses("create extension pg_tenancy", "42P06");
    target.superuser().refuses("create extension pg_tenancy schema public", "0A000");
}

/// 87
#[test]
fn the_script_finds_its_own_names_whatever_was_put_before_them() {
    let target = Fixture::empty(Fixture::new().cluster());
    target.run(
        "create function public.now() returns timestamptz language plpgsql as $$ begin raise exception 'public.now'; end $$;
         create function public.format(text, variadic text[]) returns text language plpgsql as
             $$ begin raise exception 'public.format'; end $$;
         create function public.yes(name, text) returns boolean language plpgsql as $$ begin raise exception 'public.='; end $$;
         create operator public.= (leftarg = name, rightarg = text, function = public.yes);
         create function public.eq(text, name) returns boolean language plpgsql as $$ begin raise exception 'public.<>'; end $$;
         create operator public.<> (leftarg = text, rightarg = name, function = public.eq);
         create function public.getdatabaseencoding() returns text language sql as $$ select 'LATIN1' $$;
         create domain public.text as pg_catalog.text check (false)",
    );
    let mut superuser = target.superuser();
    superuser.run("set search_path = public, pg_catalog");
    superuser.run("create extension pg_tenancy");
    superuser.run("select tenancy.create_tenant('acme'::pg_catalog.text)");
}
