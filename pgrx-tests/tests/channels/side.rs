//! 73–87: what is learnt without reading a row, and the extension itself.

use tenancy_harness::postgres::fallible_iterator::FallibleIterator;
use tenancy_harness::{ACME, Fixture, Session, World};

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
