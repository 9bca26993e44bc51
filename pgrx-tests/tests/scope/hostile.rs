//! What a script or a helper must not be talked into: another's code, a weaker key, text that is read otherwise.

use tenancy_harness::Session;

use crate::{definitions, fill, run_plan, shop};

/// CREATE INDEX CONCURRENTLY that fails leaves an index that enforces nothing.
#[test]
fn an_index_that_is_not_complete_takes_no_keys_place() {
    let (fixture, _) = shop();
    let mut superuser = fixture.superuser();
    superuser.run(&fill(
        "create table t (tenant_id uuid, code text); create unique index t_code on t (lower(code));
         select tenancy.protect('t'); insert into t values ('{acme}', 'a')",
    ));
    let steps = superuser.texts("select ddl from tenancy.scope_plan('t') order by step");
    assert_eq!(steps.len(), 2, "{steps:#?}");
    superuser.run(&steps[0]);
    let spoil = "update pg_index set indisvalid = false, indisready = false
                 where indexrelid = 't_code__scoping'::regclass";
    superuser.run(spoil);
    superuser.refuses(&steps[1], "55000");
    superuser.refuses(&fill("insert into t values ('{acme}', 'A')"), "23505");
    run_plan(&mut superuser, "t");
    superuser.refuses(&fill("insert into t values ('{acme}', 'A')"), "23505");
    superuser.run(&fill("insert into t values ('{globex}', 'A')"));
    assert_eq!(superuser.value("select count(*) from pg_index where not indisvalid").as_deref(), Some("0"));
}

/// Two names may differ where the name of what stands in has no room for it.
#[test]
fn a_script_that_goes_on_takes_no_foreign_key_for_another() {
    let (fixture, _) = shop();
    let mut superuser = fixture.superuser();
    let name = "n".repeat(61);
    superuser.run(&format!(
        "create table parent (tenant_id uuid, id integer primary key);
         create table child (tenant_id uuid, x integer constraint {name}_x references parent,
             y integer constraint {name}_y references parent);
         select tenancy.protect('parent'), tenancy.protect('child')"
    ));
    let steps = superuser.texts("select ddl from tenancy.scope_plan('parent') order by step");
    for step in &steps {
        // The first is not swapped, as where a lock can't be had.
        if !step.contains(&format!("DROP CONSTRAINT {name}_x")) {
            let _ = superuser.batch_execute(step);
        }
    }
    run_plan(&mut superuser, "parent");
    let definition =
        |column| format!("{name}_{column}: FOREIGN KEY (tenant_id, {column}) REFERENCES parent(tenant_id, id)");
    assert_eq!(definitions(&mut superuser, "child", "f"), [definition("x"), definition("y")]);
}

#[test]
fn a_script_takes_nothing_else_for_the_new_foreign_key() {
    let (fixture, _) = shop();
    let mut superuser = fixture.superuser();
    superuser.run(
        "create table parent (tenant_id uuid, id integer primary key);
         create table child (tenant_id uuid, x integer constraint k references parent,
             constraint k__scoping check (x > 0));
         select tenancy.protect('parent'), tenancy.protect('child')",
    );
    for step in superuser.texts("select ddl from tenancy.scope_plan('child') order by step") {
        let _ = superuser.batch_execute(&step);
    }
    assert_eq!(definitions(&mut superuser, "child", "f"), ["k: FOREIGN KEY (x) REFERENCES parent(id)"]);
}

/// Comparing columns of two types may call a cast, which is whoever's function.
#[test]
fn nobodys_cast_runs_as_the_caller() {
    let (fixture, _) = shop();
    let mallory = fixture.role("mallory");
    fixture.run(&format!("create schema m authorization {mallory}; select tenancy.grant_admin('{mallory}')"));
    let mut owner = fixture.connect(&mallory);
    owner.run(&fill(
        "create type m.t as enum ('a');
         create table m.seen (who text);
         create function m.number(m.t) returns integer language plpgsql as
             $$ begin insert into m.seen values (current_user); return 1; end $$;
         create cast (m.t as integer) with function m.number(m.t) as implicit;
         create domain m.d as m.t;
         create table m.parent (tenant_id uuid not null, id integer primary key);
         create table m.child (tenant_id uuid not null, x m.d constraint k references m.parent);
         insert into m.parent values ('{acme}', 1); insert into m.child values ('{acme}', 'a');
         alter table m.child add constraint new foreign key (x) references m.parent not valid;
         select tenancy.protect('m.parent'), tenancy.protect('m.child')",
    ));
    let mut superuser = fixture.superuser();
    for call in [
        "scope_unique('m.parent', 'parent_pkey')",
        "scope_unique('m.parent', 'parent_pkey', dry_run => true)",
        "scope_foreign_key('m.child', 'k')",
        "validate_foreign_key('m.child', 'new')",
    ] {
        let error = superuser.refuses(&format!("select tenancy.{call}"), "0A000");
        assert!(error.message().contains(&mallory), "{error:?}");
    }
    for table in ["m.parent", "m.child"] {
        let steps = superuser.texts(&format!("select ddl from tenancy.scope_plan('{table}') order by step"));
        assert!(!steps.iter().any(|step| step.contains("FOREIGN KEY")), "{steps:#?}");
    }
    assert_eq!(superuser.value("select string_agg(distinct who, ',') from m.seen").as_deref(), Some(mallory.as_str()));
    // Its own code, with its own rights.
    owner.run("select tenancy.validate_foreign_key('m.child', 'new')");
    owner.run("alter table m.child drop constraint new");
    owner.run("select tenancy.scope_unique('m.parent', 'parent_pkey')");
    assert_eq!(superuser.value("select string_agg(distinct who, ',') from m.seen").as_deref(), Some(mallory.as_str()));
}

/// A helper that fails midway, in a transaction of its own, leaves the session as any statement does.
#[test]
fn a_session_goes_on_after_a_helper_has_failed_midway() {
    let (fixture, _) = shop();
    let mut superuser = fixture.superuser();
    superuser.run(
        "create table parent (tenant_id uuid, id integer primary key);
         create table child (tenant_id uuid, x integer constraint k references parent);
         select tenancy.protect('parent'), tenancy.protect('child');
         create function stop() returns event_trigger language plpgsql as
             $$ begin if exists (select from pg_event_trigger_ddl_commands() where object_identity = 'public.child')
             then raise 'stop'; end if; end $$;
         create event trigger stop on ddl_command_end when tag in ('ALTER TABLE') execute function stop()",
    );
    let before = definitions(&mut superuser, "child", "f");
    for call in ["scope_unique('parent', 'parent_pkey')", "scope_foreign_key('child', 'k')"] {
        superuser.refuses(&format!("select tenancy.{call}"), "P0001");
        assert_eq!(definitions(&mut superuser, "child", "f"), before);
        superuser.run("begin; create table witness (); commit; drop table witness");
    }
    superuser.run("drop event trigger stop; select tenancy.scope_unique('parent', 'parent_pkey')");
    // What is caught goes on, too.
    superuser.run("begin; savepoint a");
    superuser.refuses("select tenancy.scope_unique('parent', 'nothing')", "42704");
    superuser.run("rollback to a; commit");
}

/// Building an index calls the functions of its expressions, as the table's owner.
#[test]
fn an_owners_expression_sees_no_rows_that_its_owner_does_not() {
    let (fixture, _) = shop();
    let mallory = fixture.role("mallory");
    fixture.run(&format!("create schema m authorization {mallory}"));
    let mut owner = fixture.connect(&mallory);
    owner.run(
        "create table m.secret (tenant_id uuid, x text); create table m.t (tenant_id uuid, x text);
         create table m.seen (rows bigint);
         create function m.look() returns void language plpgsql as
             $$ begin insert into m.seen select count(*) from m.secret; end $$;
         create function m.same(text) returns text language plpgsql immutable as
             $$ begin perform m.look(); return $1; end $$",
    );
    fixture.run(&fill(
        "select tenancy.protect('m.secret'), tenancy.protect('m.t');
         insert into m.secret values ('{acme}', 'a'), ('{globex}', 'b'); insert into m.t values ('{acme}', 'c')",
    ));
    owner.run("create unique index ix on m.t (m.same(x))");
    fixture.run("select tenancy.scope_unique('m.t', 'ix')");
    assert_eq!(fixture.superuser().texts("select rows::text from m.seen"), ["0", "0"]);
}

/// PostgreSQL refuses UPDATE and DELETE of a published table whose key is not in the list of columns.
#[test]
fn a_publication_that_lacks_the_tenant_column_is_not_broken() {
    let (fixture, _) = shop();
    let mut superuser = fixture.superuser();
    superuser.run(&fill(
        "create table t (tenant_id uuid, id integer primary key, note text);
         select tenancy.protect('t'); insert into t values ('{acme}', 1);
         set client_min_messages = error; create publication part for table t (id, note)",
    ));
    let error = superuser.refuses("select tenancy.scope_unique('t', 't_pkey')", "2BP01");
    assert!(error.detail().is_some_and(|detail| detail.contains("publication part")), "{error:?}");
    superuser.run("update t set note = 'x'");
    superuser.run("alter publication part set table t (id, note, tenant_id)");
    superuser.run("select tenancy.scope_unique('t', 't_pkey'); update t set note = 'y'");
}

#[test]
fn an_index_that_is_there_becomes_the_key_with_its_parameters() {
    let (fixture, _) = shop();
    let mut superuser = fixture.superuser();
    for table in ["t", "u"] {
        superuser.run(&format!(
            "create table {table} (tenant_id uuid, id integer, constraint {table}_pkey primary key (id) with (fillfactor = 50));
             select tenancy.protect('{table}'); create unique index on {table} (tenant_id, id)"
        ));
    }
    superuser.run("select tenancy.scope_unique('t', 't_pkey')");
    run_plan(&mut superuser, "u");
    let options = superuser.texts("select reloptions::text from pg_class where relname in ('t_pkey', 'u_pkey')");
    assert_eq!(options, ["{fillfactor=50}", "{fillfactor=50}"]);
}

/// A session may read backslashes in literals as escapes: the script is for this session.
#[test]
fn a_script_says_what_it_means_to_its_session() {
    for setting in ["on", "off"] {
        let (fixture, _) = shop();
        let mut superuser = fixture.superuser();
        superuser.run(
            r"create table t (tenant_id uuid, code text); select tenancy.protect('t');
              create unique index t_code on t (code) where code <> '\'';' || 'a\b'",
        );
        let predicate = "select pg_get_expr(indpred, indrelid) from pg_index where indexrelid = 't_code'::regclass";
        let before = superuser.value(predicate);
        superuser.run(&format!("set standard_conforming_strings = {setting}"));
        run_plan(&mut superuser, "t");
        superuser.run("set standard_conforming_strings = on");
        assert_eq!(superuser.value(predicate), before);
        assert!(before.is_some_and(|text| text.contains(r"a\b")));
        assert_eq!(
            superuser.value("select pg_get_indexdef('t_code'::regclass, 1, true)").as_deref(),
            Some("tenant_id")
        );
    }
}
