//! Code that runs on somebody else's behalf in a maintenance command cannot set the context for what follows.

use tenancy_harness::{Fixture, Session};

use crate::context;

/// Bodies of functions that try to set a context for the session that calls them.
const ATTEMPTS: [&str; 4] = [
    "perform set_config('tenancy.tenant_id', 'acme', false)",
    "perform set_config('tenancy.tenant_id', 'acme', true)",
    "perform tenancy.set_tenant('acme', false)",
    "perform tenancy.set_tenant('acme', true)",
];

fn with_table_and_trap(attempt: &str) -> Fixture<'static> {
    let fixture = Fixture::new();
    fixture.run(&format!(
        "select tenancy.create_tenant('acme');
         create table plain (a integer); insert into plain values (1);
         create function trap(a integer) returns integer immutable language plpgsql as $$
           begin {attempt}; return a; end $$"
    ));
    fixture
}

#[test]
fn an_index_expression_cannot_set_the_context() {
    for attempt in ATTEMPTS {
        let fixture = with_table_and_trap(attempt);
        let mut superuser = fixture.superuser();
        superuser.refuses("begin; create index on plain (public.trap(a))", "42501");
        superuser.run("rollback");
        assert_eq!(context(&mut superuser), "none");
    }
}

#[test]
fn a_materialized_view_cannot_set_the_context() {
    for attempt in ATTEMPTS {
        let fixture = with_table_and_trap(attempt);
        let mut superuser = fixture.superuser();
        superuser.run("create materialized view m as select public.trap(a) from plain with no data");
        superuser.refuses("begin; refresh materialized view m", "42501");
        superuser.run("rollback");
        assert_eq!(context(&mut superuser), "none");
    }
}
