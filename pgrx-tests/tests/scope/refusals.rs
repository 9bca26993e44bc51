//! What can't be scoped, or not yet, is refused in words, and nothing is changed.

use tenancy_harness::postgres::Client;
use tenancy_harness::{Fixture, Session};

use crate::{definitions, fill, shop};

/// `parent` and `child` with a foreign key `k` of one column.
const PAIR: &str = "create table parent (tenant_id uuid, id integer primary key);
    create table child (tenant_id uuid, x integer constraint k references parent);";

#[track_caller]
fn refused(
    set_up: &str,
    call: &str,
    sqlstate: &str,
) -> (Fixture<'static>, Client, tenancy_harness::postgres::error::DbError) {
    let (fixture, _) = shop();
    let mut superuser = fixture.superuser();
    superuser.run("set tenancy.guard_ddl = off");
    superuser.run(&fill(set_up));
    let shape = "select string_agg(conrelid::regclass || conname || pg_get_constraintdef(oid), ' ' order by conname)
                 from pg_constraint where connamespace = 'public'::regnamespace";
    let before = superuser.value(shape);
    let error = superuser.refuses(&format!("select {call}"), sqlstate);
    assert_eq!(superuser.value(shape), before);
    (fixture, superuser, error)
}

const KEY: &str = "tenancy.scope_unique('parent', 'parent_pkey')";
const FOREIGN_KEY: &str = "tenancy.scope_foreign_key('child', 'k')";
const BOTH: [&str; 2] = [KEY, FOREIGN_KEY];
const PROTECT: &str = "select tenancy.protect('parent'), tenancy.protect('child');";

#[test]
fn references_across_tenants_are_counted_and_not_shown() {
    for call in BOTH {
        let rows = "insert into parent values ('{globex}', 4711), ('{acme}', 1);
                    insert into child values ('{acme}', 4711), ('{acme}', 4711), ('{acme}', 1), ('{acme}', null);";
        let (_fixture, mut superuser, error) = refused(&format!("{PAIR} {rows} {PROTECT}"), call, "23503");
        assert_eq!(error.detail(), Some("2 rows of public.child by k."));
        let text = format!("{error:?}");
        assert!(!text.contains("4711") && !text.contains("bbbb"), "{text}");
        let hint = error.hint().expect("a hint");
        let query = hint.split_once(": ").expect("a query").1.to_owned();
        assert_eq!(superuser.texts(&format!("select f.x::text from ({query}) f")), ["4711", "4711"]);
        superuser.refuses("select * from tenancy.scope_plan('child')", "23503");
        superuser.run("delete from child where x = 4711");
        superuser.run(&format!("select {call}"));
        assert_eq!(
            definitions(&mut superuser, "child", "f"),
            ["k: FOREIGN KEY (tenant_id, x) REFERENCES parent(tenant_id, id)"]
        );
    }
}

#[test]
fn tables_without_tenants_are_left_alone() {
    for call in BOTH {
        refused(&format!("{PAIR} select tenancy.protect('parent')"), call, "55000");
        refused(
            &format!("{PAIR} select tenancy.protect('child'), tenancy.classify('parent', 'global')"),
            call,
            "55000",
        );
        let (_f, _s, error) = refused(
            &format!("{PAIR} select tenancy.protect('parent'), tenancy.classify('child', 'global')"),
            call,
            "55000",
        );
        assert!(error.message().contains("classified as global"), "{error:?}");
    }
}

#[test]
fn what_shared_rows_rule_out_is_refused() {
    refused(
        "create table parent (tenant_id uuid, id integer not null unique); create table child (tenant_id uuid, x integer constraint k references parent (id));
         select tenancy.protect('parent', kind => 'shared'), tenancy.protect('child')",
        FOREIGN_KEY, "0A000",
    );
    refused(
        "create table parent (tenant_id uuid, id integer primary key); select tenancy.protect('parent', kind => 'shared')",
        KEY,
        "0A000",
    );
    refused(
        "create table parent (tenant_id uuid, id integer unique); select tenancy.protect('parent', kind => 'shared')",
        "tenancy.scope_unique('parent', 'parent_id_key')",
        "0A000",
    );
    // A row of nobody's that refers to a tenant's.
    refused(
        &format!(
            "{PAIR} insert into parent values ('{{acme}}', 1); insert into child values (null, 1);
                  select tenancy.protect('parent'), tenancy.protect('child', kind => 'shared')"
        ),
        FOREIGN_KEY,
        "23503",
    );
}

#[test]
fn tenant_columns_of_different_types_are_refused() {
    for call in BOTH {
        refused(
            "create table parent (tenant_id uuid, id integer primary key);
             create table child (tenant_id text, x integer constraint k references parent);
             select tenancy.protect('parent'), tenancy.protect('child')",
            call,
            "42804",
        );
    }
}

#[test]
fn actions_that_would_set_the_tenant_are_refused() {
    for action in ["set null", "set default"] {
        for call in BOTH {
            refused(
                &format!("create table parent (tenant_id uuid, id integer primary key);
                          create table child (tenant_id uuid, x integer constraint k references parent on update {action}); {PROTECT}"),
                call, "0A000",
            );
        }
    }
}

#[test]
fn a_tenant_column_that_pairs_with_another_is_refused() {
    refused(
        "create table parent (tenant_id uuid, id uuid primary key); create table child (tenant_id uuid constraint k references parent);
         select tenancy.protect('parent'), tenancy.protect('child')",
        FOREIGN_KEY, "0A000",
    );
    refused(
        "create table parent (tenant_id uuid, id integer, primary key (tenant_id, id));
         create table child (tenant_id uuid, other uuid, x integer, constraint k foreign key (other, x) references parent);
         select tenancy.protect('parent'), tenancy.protect('child')",
        FOREIGN_KEY, "0A000",
    );
}

#[test]
fn what_a_view_builds_on_is_named() {
    let (_f, mut superuser, error) = refused(
        "create table parent (tenant_id uuid, id integer primary key, name text);
         create view names as select id, name, count(*) from parent group by id; select tenancy.protect('parent')",
        KEY,
        "2BP01",
    );
    assert!(error.detail().is_some_and(|detail| detail.contains("view public.names")), "{error:?}");
    let steps = superuser.texts("select ddl from tenancy.scope_plan('parent')");
    assert!(steps.len() == 1 && steps[0].starts_with("-- parent_pkey ON public.parent stays"), "{steps:?}");
    superuser.run(&steps[0]);
}

#[test]
fn parts_of_keys_and_unknown_ones_are_refused() {
    let parts = "create table parent (tenant_id uuid, id integer primary key) partition by hash (id);
                 create table part partition of parent for values with (modulus 1, remainder 0);
                 create table child (tenant_id uuid, x integer constraint k references parent) partition by hash (x);
                 create table piece partition of child for values with (modulus 1, remainder 0);
                 select tenancy.protect('parent'), tenancy.protect('child')";
    refused(parts, "tenancy.scope_unique('part', 'part_pkey')", "55000");
    refused(parts, "tenancy.scope_foreign_key('piece', 'k')", "55000");
    refused(parts, "tenancy.scope_foreign_key('child', 'parent_pkey')", "42704");
    refused(parts, "tenancy.scope_unique('parent', 'nothing')", "42704");
    refused(parts, "tenancy.scope_unique('pg_class', 'pg_class_oid_index')", "0A000");
    refused(parts, "tenancy.scope_unique(null, 'nothing')", "22023");
    refused(parts, "tenancy.scope_unique('parent', null)", "22023");
}

#[test]
fn an_unprotected_tenant_column_is_mended_first() {
    let (_f, mut superuser, _) =
        refused(&format!("{PAIR} {PROTECT} alter table child alter tenant_id drop not null"), FOREIGN_KEY, "55000");
    superuser.run("select tenancy.protect('child'), tenancy.scope_foreign_key('child', 'k')");
}
