//! 51–72: whose context it is, how long it lasts, and what a pooled session hands on.

use tenancy_harness::{ACME, GLOBEX, RawSession, Session, World, assert_sqlstate};

use crate::{ACMES, ALL, Shop, seen_by};

const READ: &str = "select body from orders order by 1";

/// 51
#[test]
fn what_a_setting_says_is_authorised_before_a_row_is_seen() {
    let shop = Shop::new();
    shop.fixture
        .run(&shop.fill_in("select tenancy.revoke_access('{app}'); select tenancy.grant_access('{app}', 'acme')"));
    for way in [
        "set tenancy.tenant_id = 'globex'",
        "select set_config('tenancy.tenant_id', 'globex', false)",
        "update pg_settings set setting = 'globex' where name = 'tenancy.tenant_id'",
        "alter role current_user set tenancy.tenant_id = 'globex'",
    ] {
        shop.app().run(way);
        let mut app = shop.app();
        app.run(way);
        app.refuses(READ, "42501");
        app.run("alter role current_user reset tenancy.tenant_id");
    }
    let mut app = shop.fixture.try_connect(&shop.app, "-c tenancy.tenant_id=globex").unwrap();
    app.refuses(READ, "42501");
    assert_eq!(shop.seen("orders"), ACMES);
}

/// 52
#[test]
fn a_superusers_setting_that_a_role_may_set_is_reported() {
    let shop = Shop::new();
    let set = "set tenancy.default_tenant = 'globex'";
    shop.app().refuses(set, "42501");
    shop.fixture.run(&shop.fill_in(
        "grant set on parameter tenancy.default_tenant to {app}; select tenancy.revoke_access('{app}');
         select tenancy.grant_access('{app}', 'acme')",
    ));
    let mut app = shop.app();
    app.run(set);
    assert_eq!(app.texts(READ), ALL[2..], "a tenant that it has no access to");
    drop(app);
    shop.mend("PARAMETER_GRANT", "tenancy.default_tenant");
    let mut app = shop.app();
    app.refuses(set, "42501");
    assert_eq!(app.texts(READ).len(), 0);
}

/// 55
#[test]
fn rows_of_an_empty_name_are_nobodys() {
    let shop = Shop::new();
    shop.fixture.run(
        "create table notes (tenant_id text collate \"C\", body text); insert into notes values ('', 'lost'), ('acme', 'mine');
         select tenancy.protect('notes')",
    );
    let mut app = shop.app();
    for leave in ["begin; set local tenancy.tenant_id = 'acme'; commit", "set tenancy.tenant_id = ''", "reset all"] {
        app.run(leave);
        assert_eq!(app.texts("select body from notes").len(), 0, "{leave}");
        app.refuses("insert into notes values ('', 'x')", "42501");
    }
    assert_eq!(seen_by(&mut app, "notes"), ["mine"]);
    app.refuses("select tenancy.set_tenant('', false)", "22023");
}

/// 60
#[test]
fn a_plan_that_was_made_while_bypassing_is_not_used_afterwards() {
    let shop = Shop::new();
    shop.fixture.run(&shop.fill_in("alter role {app} bypassrls"));
    for mode in ["force_generic_plan", "force_custom_plan", "auto"] {
        let mut app = shop.app();
        app.run(&format!("set plan_cache_mode = {mode}"));
        let statement = app.prepare(READ).unwrap();
        for _ in 0..7 {
            assert_eq!(app.query(&statement, &[]).unwrap().len(), 5, "{mode}");
        }
        shop.fixture.run(&shop.fill_in("alter role {app} nobypassrls"));
        assert_eq!(app.query(&statement, &[]).unwrap().len(), 0, "{mode}");
        let mut tx = World::begin(&mut app, ACME);
        assert_eq!(tx.query(&statement, &[]).unwrap().len(), 2, "{mode}");
        drop(tx);
        shop.fixture.run(&shop.fill_in("alter role {app} bypassrls"));
    }
}

/// 66
#[test]
fn a_second_statement_does_not_pass_the_extended_protocol() {
    let shop = Shop::new();
    let mut app = shop.app();
    let mut tx = World::begin(&mut app, ACME);
    let injected = "select body from orders; commit; begin; select tenancy.set_tenant('globex')";
    assert_sqlstate(tx.query(injected, &[]), "42601");
}

/// 66
#[test]
fn statements_that_end_the_transaction_name_another_tenant_where_the_role_may() {
    let shop = Shop::new();
    let injected = "select 1; commit; begin; select tenancy.set_tenant('globex'); select body from orders; commit";
    let attack = || {
        let mut session = RawSession::open(shop.fixture.cluster(), shop.fixture.database(), &shop.app, "");
        session.query("begin");
        session.query("select tenancy.set_tenant('acme')");
        let reply = session.query(injected);
        (reply.errors, reply.rows.into_iter().flatten().filter(|row| row.starts_with("globex")).count())
    };
    assert_eq!(attack(), (Vec::new(), 3), "the documented limit of mode direct and access to any tenant");
    shop.fixture
        .run(&shop.fill_in("select tenancy.revoke_access('{app}'); select tenancy.grant_access('{app}', 'acme')"));
    assert_eq!(attack(), (vec!["42501".to_owned()], 0));
}

/// 66
#[test]
fn a_statement_outside_of_a_transaction_is_one_and_may_name_its_tenant() {
    let shop = Shop::new();
    // A query within the query is planned, and so asks for the tenant, only after the setting was changed.
    let injected = "select set_config('tenancy.tenant_id', 'globex', false) || ' sees ' || (select string_agg(word, ' ' order by word)
                        from ts_stat($$ select to_tsvector('simple', body) from orders $$))";
    let mut app = shop.app();
    app.run("select tenancy.set_tenant('acme', is_local => false)");
    assert_eq!(app.texts(injected), ["globex sees 1 2 3 globex"], "the documented limit of a tenant of the session");
    // A transaction that has taken its tenant is not led out of it, nor is a session that was sealed.
    let mut tx = World::begin(&mut app, ACME);
    tx.refuses(injected, "42501");
    drop(tx);
    app.run("select tenancy.set_tenant('acme', is_local => false); select tenancy.seal('a secret of the application')");
    app.refuses(injected, "42501");
    shop.fixture
        .run(&shop.fill_in("select tenancy.revoke_access('{app}'); select tenancy.grant_access('{app}', 'acme')"));
    let mut app = shop.app();
    app.run("select tenancy.set_tenant('acme', is_local => false)");
    app.refuses(injected, "42501");
}

/// 66
#[test]
fn statements_that_end_the_transaction_name_no_tenant_where_a_token_is_needed() {
    let shop = Shop::new();
    shop.fixture.run(&shop.fill_in("select tenancy.grant_access('{app}', mode => 'signed')"));
    let mut app = shop.app();
    for injected in ["select tenancy.set_tenant('globex')", "set local tenancy.tenant_id = 'globex'"] {
        app.run("begin");
        app.refuses(&format!("select 1; commit; begin; {injected}; select body from orders"), "42501");
        app.run("rollback");
    }
}

/// 69
#[test]
fn a_setting_left_behind_misleads_the_next_tenant_unless_the_role_is_strict() {
    let shop = Shop::new();
    let poisons = [
        ("set search_path = pg_catalog", "42P01"),
        ("select set_config('search_path', 'pg_catalog', false)", "42P01"),
        ("set default_transaction_read_only = on", "25006"),
        ("set statement_timeout = 150", "57014"),
    ];
    let next = "begin; select tenancy.set_tenant('globex');
                update orders set body = body; select pg_sleep(0.4); commit";
    for (poison, failure) in poisons {
        let mut app = shop.app();
        app.run("begin; select tenancy.set_tenant('acme')");
        app.run(&format!("{poison}; commit"));
        app.refuses(next, failure);
        app.run("rollback");
        app.run("discard all");
        app.run(next);
    }
    shop.harden("strict");
    for (poison, _) in poisons {
        let mut app = shop.app();
        app.run("begin; select tenancy.set_tenant('acme')");
        app.refuses(poison, "42501");
        app.run("rollback");
        app.run(next);
    }
}

/// 69
#[test]
fn nobody_sees_the_former_tenants_rows_by_its_settings() {
    let shop = Shop::new();
    let mut app = shop.app();
    app.run("begin; select tenancy.set_tenant('acme', false)");
    app.run("set search_path = pg_temp, public; set row_security = on; set tenancy.user_id = 'alice'; select setseed(0.5); commit");
    let mut tx = World::begin(&mut app, GLOBEX);
    assert_eq!(tx.texts(READ), ALL[2..]);
    // What stays of it until DISCARD ALL: the user named for the event log; and beyond: the seed of random().
    assert_eq!(tx.value("select current_setting('tenancy.user_id')").as_deref(), Some("alice"));
    let drawn = tx.value("select random()");
    drop(tx);
    app.run("discard all");
    app.run("select setseed(0.5)");
    assert_eq!(app.value("select random()"), drawn);
}

/// 70
#[test]
fn what_a_role_sets_for_itself_is_reported_and_refused_to_strict_roles() {
    let shop = Shop::new();
    let change = "alter role current_user set search_path = pg_temp, public";
    shop.app().run(change);
    assert_eq!(shop.app().value("show search_path").as_deref(), Some("pg_temp, public"), "every later session's");
    shop.mend("ROLE_SETTING", "{app}");
    shop.harden("strict");
    let mut app = shop.app();
    for change in [
        change,
        "alter role current_user in database {db} set row_security = off",
        "alter role current_user password 'x'",
        "alter role current_user set tenancy.on_missing = 'empty'",
    ] {
        app.refuses(&shop.fill_in(change), "42501");
    }
    assert_eq!(shop.app().value("show search_path").as_deref(), Some("\"$user\", public"));
}

/// 71
#[test]
fn settings_of_the_caller_bring_no_value_of_the_registry_into_a_message() {
    let shop = Shop::new();
    shop.fixture.run(&shop.fill_in(
        "select tenancy.suspend_tenant('globex', 'a secret reason'); select tenancy.revoke_access('{app}');
         select tenancy.grant_access('{app}', 'acme')",
    ));
    let mut app = shop.app();
    for setting in [
        "plpgsql.print_strict_params = on",
        "plpgsql.extra_errors = 'all'",
        "standard_conforming_strings = off",
        "quote_all_identifiers = on",
        "check_function_bodies = off",
        "client_min_messages = debug5",
        "debug_print_plan = on",
    ] {
        app.run(&format!("set {setting}"));
        let error = app.refuses("select tenancy.set_tenant('globex', false)", "42501");
        assert!(
            !format!("{error:?}").contains("secret") && !format!("{error:?}").contains(GLOBEX.id),
            "{setting}: {error:?}"
        );
        assert_eq!(seen_by(&mut app, "orders"), ACMES, "{setting}");
        app.run("reset all");
    }
    let interpreted = shop.fixture.superuser().texts(
        "select p.oid::regprocedure from pg_proc p join pg_language l on l.oid = p.prolang
          where p.pronamespace = 'tenancy'::regnamespace and l.lanname <> 'c' and p.prosqlbody is null",
    );
    assert_eq!(
        interpreted, [""; 0],
        "what is neither C nor parsed when it was made is read under the caller's settings"
    );
}

/// 72
#[test]
fn no_secret_is_kept_where_everybody_reads() {
    let shop = Shop::new();
    let mut app = shop.app();
    for query in [
        "select prosrc from pg_proc where pronamespace = 'tenancy'::regnamespace and prosrc !~ '^[a-z_]*$'",
        "select oid::regclass::text from pg_class where relnamespace = 'tenancy'::regnamespace and relkind = 'r'
            and has_table_privilege(oid, 'select') and not relrowsecurity",
    ] {
        assert_eq!(app.texts(query), [""; 0], "{query}");
    }
    app.refuses("select from tenancy.access", "42501");
}
