//! Tables that have the column already: their rows are given to the tenant with the rights of the table's owner, and nothing
//! that held before is broken.

use tenancy_harness::{ACME, Fixture, GLOBEX, Session};

const PLAN: &str = "select ddl from tenancy.adopt_plan('app', 'acme') order by step";

fn fixture() -> Fixture<'static> {
    let fixture = Fixture::new();
    fixture.register(&[ACME, GLOBEX]);
    fixture.run("create schema app");
    fixture
}

/// A table of somebody else's, full of his code, and rows that belong to nobody.
fn trapped(fixture: &Fixture<'_>) -> String {
    let owner = fixture.role("owner");
    fixture.run(&format!(
        r"grant usage, create on schema app to {owner}; set role {owner}; set search_path = app;
          create table ran (what text, who text);
          create function note(what text, id int) returns boolean language plpgsql immutable as
              $$ begin perform log_it(what); return true; end $$;
          create function log_it(what text) returns void language plpgsql as
              $$ begin insert into app.ran values (what, current_user); end $$;
          create table t (id int, body text, touched int default 0, tenant_id uuid,
              derived boolean generated always as (note('generated', id)) stored, check (note('condition', id)));
          insert into t select n, 'a' from generate_series(1, 2000) n;
          create function touch() returns trigger language plpgsql as
              $$ begin perform note('trigger', new.id); new.touched := 1; return new; end $$;
          create trigger touch before update on t for each row execute function touch();
          create function always() returns trigger language plpgsql as
              $$ begin perform note('always', new.id); return new; end $$;
          create trigger always before update on t for each row execute function always();
          alter table t enable always trigger always;
          delete from ran"
    ));
    owner
}

#[test]
fn what_an_owner_made_of_a_table_runs_as_the_owner() {
    for at_once in [false, true] {
        let fixture = fixture();
        let owner = trapped(&fixture);
        let mut superuser = fixture.superuser();
        // What it calls, it finds by the path of who runs the plan.
        superuser.run("set search_path = app");
        if at_once {
            for function in ["note(text, int)", "always()", "touch()"] {
                fixture.run(&format!("alter function app.{function} set search_path = app"));
            }
            superuser.run("select tenancy.adopt('app', 'acme')");
        } else {
            for step in superuser.texts(PLAN) {
                superuser.run(&step);
            }
        }
        let ran = "select distinct what || ' ' || who from app.ran order by 1";
        // Nor is anything silenced while they run.
        let expected = ["always", "condition", "generated", "trigger"].map(|what| format!("{what} {owner}"));
        assert_eq!(superuser.texts(ran), expected);
        let rows = format!("select count(*) from app.t where tenant_id = '{}'", ACME.id);
        assert_eq!(superuser.value(&rows).as_deref(), Some("2000"));
        assert_eq!(superuser.value("show session_replication_role").as_deref(), Some("origin"));
        assert_eq!(superuser.value("show search_path").as_deref(), Some("app"));
    }
}

#[test]
fn triggers_and_rules_are_not_set_off() {
    for at_once in [false, true] {
        let fixture = fixture();
        let owner = fixture.role("owner");
        fixture.run(&format!(
            "grant usage, create on schema app to {owner}; set role {owner}; set search_path = app;
             create table t (id int primary key check (id > 0), updated_at timestamptz, tenant_id uuid);
             insert into t select n, '2020-01-01' from generate_series(1, 2000) n;
             create function touch() returns trigger language plpgsql as
                 $$ begin new.updated_at := now(); return new; end $$;
             create trigger touch before update on t for each row execute function touch();
             create rule no as on update to t do instead nothing"
        ));
        let mut superuser = fixture.superuser();
        if at_once {
            superuser.run("select tenancy.adopt('app', 'acme')");
        } else {
            for step in superuser.texts(PLAN) {
                superuser.run(&step);
            }
        }
        let rows = format!("select count(*) from app.t where tenant_id = '{}' and updated_at = '2020-01-01'", ACME.id);
        assert_eq!(superuser.value(&rows).as_deref(), Some("2000"));
    }
}

#[test]
fn a_foreign_key_that_has_the_column_is_not_broken() {
    let fixture = fixture();
    // Never checked, since a part of it is NULL: it refers to nothing.
    fixture.run(
        "create table app.parents (tenant_id uuid, id int, unique (tenant_id, id));
         create table app.children (tenant_id uuid, parent_id int, foreign key (tenant_id, parent_id) references app.parents (tenant_id, id));
         insert into app.children values (null, 99)",
    );
    let mut superuser = fixture.superuser();
    for call in ["select tenancy.adopt_plan('app', 'acme')", "select tenancy.adopt('app', 'acme')"] {
        let error = superuser.refuses(call, "55000");
        assert!(error.message().contains("children_tenant_id_parent_id_fkey ON app.children"), "{error:?}");
    }
    superuser.refuses("select tenancy.adopt_rows('app.children', 'acme')", "55000");
    // Without rows that have no tenant there is nothing in the way.
    superuser.run("delete from app.children");
    for step in superuser.texts(PLAN) {
        superuser.run(&step);
    }
    assert_eq!(superuser.texts(PLAN), Vec::<String>::new());
}

#[test]
fn what_the_tenants_rows_refer_to_must_be_there() {
    let fixture = fixture();
    fixture.run(
        "create schema lists;
         create table lists.customers (id uuid, primary key (id)) partition by hash (id);
         create table lists.customers_0 partition of lists.customers for values with (modulus 1, remainder 0);
         create table app.notes (id int, tenant_id uuid references lists.customers);
         insert into app.notes values (1, null)",
    );
    let mut superuser = fixture.superuser();
    for call in [
        "select tenancy.adopt_plan('app', 'acme')",
        "select tenancy.adopt('app', 'acme')",
        "select tenancy.adopt_rows('app.notes', 'acme')",
    ] {
        superuser.refuses(call, "55000");
    }
    superuser.run(&format!("insert into lists.customers values ('{}')", ACME.id));
    // It can't go while the rows come.
    superuser.run("begin; select tenancy.adopt_rows('app.notes', 'acme', 0, 128)");
    let mut other = fixture.superuser();
    other.run("set lock_timeout = '100ms'");
    other.refuses("delete from lists.customers", "55P03");
    superuser.run("commit");
    for step in superuser.texts(PLAN) {
        superuser.run(&step);
    }
    assert_eq!(superuser.texts(PLAN), Vec::<String>::new());
    superuser.refuses("delete from lists.customers", "23503");
}

#[test]
fn rows_are_given_page_by_page_and_those_that_others_hold_are_left() {
    let fixture = fixture();
    let stranger = fixture.role("stranger");
    fixture.run(&format!(
        "create table app.notes (id int, tenant_id uuid); insert into app.notes select n from generate_series(1, 1000) n;
         create table app.done (tenant_id uuid); select tenancy.protect('app.done', kind => 'shared');
         create table app.plain (id int); grant usage on schema app to {stranger}; select tenancy.grant_admin('{stranger}')"
    ));
    let mut holder = fixture.superuser();
    holder.run("begin; update app.notes set id = id where id in (1, 1000)");
    let mut superuser = fixture.superuser();
    let first = superuser.value("select tenancy.adopt_rows('app.notes', 'acme', 0, 1)").expect("a count");
    let rest = superuser.value("select tenancy.adopt_rows('app.notes', 'acme', 1, 1000)").expect("a count");
    assert_eq!(first.parse::<i32>().unwrap() + rest.parse::<i32>().unwrap(), 998, "{first} {rest}");
    assert_ne!(first, "0");
    holder.run("rollback");
    assert_eq!(superuser.value("select tenancy.adopt_rows('app.notes', 'acme')").as_deref(), Some("2"));
    for (arguments, sqlstate) in [
        ("'app.notes', 'acme', -1, 1", "22023"),
        ("'app.notes', 'acme', 0, 0", "22023"),
        ("'app.notes', 'acme', 1", "22023"),
        ("'app.notes', 'acme', null", "22023"),
        ("'app.notes', null", "22023"),
        ("'app.notes', 'nobody'", "42704"),
        ("'app.plain', 'acme'", "42703"),
        ("'app.done', 'acme'", "55000"),
        ("'pg_catalog.pg_class', 'acme'", "0A000"),
    ] {
        superuser.refuses(&format!("select tenancy.adopt_rows({arguments})"), sqlstate);
    }
    fixture.connect(&stranger).refuses("select tenancy.adopt_rows('app.notes', 'acme')", "42501");
}

#[test]
fn a_column_that_is_added_has_no_domains_conditions() {
    let fixture = fixture();
    fixture.run(
        "create domain app.owner as text check (value <> ''); create table app.a (id int primary key, tenant_id app.owner);
         insert into app.a values (1, null); create table app.b (a_id int references app.a); insert into app.b values (1)",
    );
    let mut superuser = fixture.superuser();
    let before = superuser.value("select pg_relation_filenode('app.b')");
    for step in superuser.texts(PLAN) {
        superuser.run(&step);
    }
    assert_eq!(superuser.value("select pg_relation_filenode('app.b')"), before, "the table is not rewritten");
    assert_eq!(superuser.texts("select pg_typeof(tenant_id) || ' ' || tenant_id from app.b"), ["text acme"]);
    let key = "select pg_get_constraintdef(oid) from pg_constraint where contype = 'f' and connamespace = 'app'::regnamespace";
    assert_eq!(superuser.value(key).as_deref(), Some("FOREIGN KEY (tenant_id, a_id) REFERENCES app.a(tenant_id, id)"));
}
