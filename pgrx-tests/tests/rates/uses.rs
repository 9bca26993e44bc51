//! A rate of statements, for those that come to use a tenant otherwise than by beginning under it.

use tenancy_harness::{Cluster, Session};

use crate::Desk;
use crate::statements::{costs, desk};

/// A desk with a table of notes of each tenant.
fn desk_with_notes(max: u32) -> Desk<'static> {
    let desk = desk(max);
    desk.fixture.run(
        "create table notes (id integer, tenant_id uuid not null default tenancy.current_tenant());
         select tenancy.protect('notes')",
    );
    for tenant in ["acme", "globex"] {
        desk.fixture
            .connect(Cluster::SUPERUSER)
            .run(&format!("set tenancy.tenant_id = '{tenant}'; insert into notes select generate_series(1, 3)"));
    }
    desk.fixture.run(&format!(
        "grant select, insert on notes to {0};
         create function by_setting() returns bigint language sql set tenancy.tenant_id = 'acme'
           as 'select count(*) from notes'",
        desk.app
    ));
    desk
}

const NAMING: [&str; 4] = [
    "begin; with s as materialized (select tenancy.set_tenant('acme') as id) select count(*) from s, notes; commit",
    "do $$ begin perform set_config('tenancy.tenant_id', 'acme', true);
       for n in 1..50 loop insert into notes values (n); end loop; end $$",
    "select by_setting(), by_setting()",
    "begin; select set_config('tenancy.tenant_id', 'acme', true), (select count(*) from notes); commit",
];

#[test]
fn a_statement_that_names_its_tenant_itself_counts_when_it_uses_it() {
    let desk = desk_with_notes(100);
    let mut client = desk.client();
    for statement in NAMING {
        assert_eq!(costs(&desk, &mut client, statement), 1, "{statement}");
    }
    // Once, too, where the statements after it count when they begin.
    let several = "begin; select tenancy.set_tenant('acme'); select count(*) from notes; select 1; commit";
    assert_eq!(costs(&desk, &mut client, several), 2);
    // And for each of several tenants.
    client.run("set tenancy.tenant_id = 'globex'");
    desk.fixture.run("select tenancy.set_quota('globex', 'calls', 0, '1 hour')");
    client.refuses("select 1", "53400");
    desk.fixture.run("select tenancy.set_quota('acme', 'calls', 0, '1 hour')");
    client.run("reset all");
    for statement in NAMING {
        client.refuses(statement, "53400");
        client.run("rollback");
    }
}

#[test]
fn a_statement_that_is_bound_before_its_tenant_is_set_counts_when_it_is_run() {
    let desk = desk_with_notes(2);
    let mut client = desk.client();
    let mut tx = client.transaction().unwrap();
    let portals: Vec<_> = (0..3).map(|_| tx.bind("select count(*) from notes", &[]).unwrap()).collect();
    let pieces = tx.bind("select id from notes", &[]).unwrap();
    tx.run("set local tenancy.tenant_id = 'acme'");
    for _ in 0..3 {
        assert_eq!(tx.query_portal(&pieces, 1).unwrap().len(), 1);
    }
    assert_eq!(desk.used("acme", "calls"), 1);
    tx.query_portal(&portals[0], 0).unwrap();
    assert_eq!(desk.used("acme", "calls"), 2);
    let error = tx.query_portal(&portals[1], 0).unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("53400"));
}

#[test]
fn what_is_run_while_a_statement_is_planned_counts() {
    let desk = desk_with_notes(100);
    desk.fixture.run(
        "create function constant() returns bigint language plpgsql immutable
           as $$ begin for n in 1..9 loop perform count(*) from notes; end loop; return 1; end $$",
    );
    let mut client = desk.acting_for("acme");
    assert_eq!(costs(&desk, &mut client, "select constant()"), 2);
    desk.allow(0, "1 hour");
    client.refuses("explain select constant()", "53400");
    client.run("begin");
    let error = client.prepare("select constant()").and_then(|prepared| client.query(&prepared, &[])).unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("53400"));
}

#[test]
fn what_rules_add_is_a_part_of_the_statement() {
    let desk = desk(100);
    desk.fixture.run(&format!(
        "create table calls (id integer); create table seen (id integer); grant insert on calls, seen to {};
         create rule also as on insert to calls do also insert into seen values (new.id);
         create rule more as on insert to calls do also select 1",
        desk.app
    ));
    let mut client = desk.acting_for("acme");
    for insert in ["insert into calls values (4)", "insert into calls values (5); insert into calls values (6)"] {
        let statements = insert.matches("insert").count() as i64;
        assert_eq!(costs(&desk, &mut client, insert), statements, "{insert}");
    }
}

#[test]
fn a_cursor_that_is_held_counts_where_it_is_declared() {
    let desk = desk_with_notes(1);
    let mut client = desk.acting_for("acme");
    client.run("begin; declare c cursor with hold for select generate_series(1, 9), id from notes; commit");
    assert_eq!(desk.used("acme", "calls"), 1);
}
