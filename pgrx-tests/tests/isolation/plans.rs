//! Plans that outlive a transaction: prepared statements and cached plans while the tenant changes.

use postgres::Client;
use tenancy_harness::{FAMILIES, Family, Session, World, postgres};

use crate::assert_owned;

/// More executions than the five after which PostgreSQL may switch to a generic plan.
const ROUNDS: usize = 8;
const MODES: [&str; 3] = ["auto", "force_custom_plan", "force_generic_plan"];

/// Runs `read` in turn for both of the family's tenants, in a transaction each, under every plan cache mode.
fn alternate(
    client: &mut Client,
    family: &Family,
    mut read: impl FnMut(&mut postgres::Transaction<'_>) -> Vec<String>,
) {
    for mode in MODES {
        client.run(&format!("set plan_cache_mode = {mode}"));
        for _ in 0..ROUNDS {
            for (tenant, count) in [(family.mine, World::MINE), (family.other, World::OTHERS)] {
                let mut tx = World::begin(client, tenant);
                assert_owned(&read(&mut tx), tenant, count);
                tx.commit().unwrap();
            }
        }
        assert!(read(&mut client.transaction().unwrap()).is_empty(), "rows without a context");
    }
}

#[test]
fn a_protocol_level_prepared_statement_follows_the_tenant() {
    let world = World::new();
    for family in &FAMILIES {
        let mut client = world.connect();
        let all = client.prepare(&format!("select body from {} where id >= $1", family.table())).unwrap();
        alternate(&mut client, family, |tx| tx.query(&all, &[&1_i32]).unwrap().iter().map(|row| row.get(0)).collect());
    }
}

#[test]
fn an_sql_level_prepared_statement_follows_the_tenant() {
    let world = World::new();
    tolerate_leftovers(&world);
    for family in &FAMILIES {
        let mut client = world.connect();
        client.run(&format!("prepare p(integer) as select body from {} where id >= $1", family.table()));
        alternate(&mut client, family, |tx| tx.texts("execute p(1)"));
    }
}

#[test]
fn a_statement_prepared_under_one_tenant_returns_the_next_ones_rows_only() {
    let world = World::new();
    for family in &FAMILIES {
        let mut client = world.connect();
        let mut tx = World::begin(&mut client, family.other);
        let statement = tx.prepare(&format!("select body from {}", family.table())).unwrap();
        assert_eq!(tx.query(&statement, &[]).unwrap().len(), 30);
        tx.commit().unwrap();

        let mut tx = World::begin(&mut client, family.mine);
        let bodies: Vec<String> = tx.query(&statement, &[]).unwrap().iter().map(|row| row.get(0)).collect();
        assert_owned(&bodies, family.mine, World::MINE);
    }
}

#[test]
fn prepared_writes_touch_the_current_tenant_only() {
    let world = World::new();
    for family in &FAMILIES {
        let mut client = world.connect();
        client.run("set plan_cache_mode = force_generic_plan");
        let table = family.table();
        let update = client.prepare(&format!("update {table} set body = body || '' where id >= $1")).unwrap();
        let insert = client.prepare(&format!("insert into {table} (id, body) values ($1, $2)")).unwrap();
        for round in 0..4_i32 {
            for (tenant, count) in [(family.mine, World::MINE), (family.other, World::OTHERS)] {
                let mut tx = World::begin(&mut client, tenant);
                let rows = u64::try_from(count).unwrap() + u64::try_from(round).unwrap();
                assert_eq!(tx.execute(&update, &[&1_i32]).unwrap(), rows);
                let body = format!("{} new", tenant.key);
                assert_eq!(tx.execute(&insert, &[&(1000 + round), &body]).unwrap(), 1);
                tx.commit().unwrap();
            }
        }
    }
}

#[test]
fn a_plpgsql_function_with_a_cached_plan_follows_the_tenant() {
    let world = World::new();
    for family in &FAMILIES {
        let function = format!("bodies_{}", family.column_type);
        world.fixture.run(&format!(
            "create function {function}(floor_id integer) returns setof text stable language plpgsql as $$
             begin return query select body from {} where id >= floor_id; end $$",
            family.table()
        ));
        let mut client = world.connect();
        alternate(&mut client, family, |tx| tx.texts(&format!("select {function}(1)")));
    }
}

#[test]
fn an_sql_function_follows_the_tenant() {
    let world = World::new();
    for family in &FAMILIES {
        let (inlined, opaque) = (format!("inlined_{}", family.column_type), format!("opaque_{}", family.column_type));
        world.fixture.run(&format!(
            "create function {inlined}(floor_id integer) returns setof text stable language sql
               as $$ select body from {0} where id >= floor_id $$;
             create function {opaque}(floor_id integer) returns setof text volatile language sql
               as $$ select body from {0} where id >= floor_id $$",
            family.table()
        ));
        let mut client = world.connect();
        alternate(&mut client, family, |tx| tx.texts(&format!("select * from {inlined}(1)")));
        alternate(&mut client, family, |tx| tx.texts(&format!("select {opaque}(1)")));
    }
}

#[test]
fn a_cached_plan_is_replaced_when_the_table_becomes_protected() {
    let world = World::new();
    for family in &FAMILIES {
        let table = format!("late_{}", family.column_type);
        world.create_table(family, &table);
        world.fixture.run(&format!("grant select on {table} to {}", world.app));
        let mut client = world.connect();
        client.run("set plan_cache_mode = force_generic_plan");
        let statement = client.prepare(&format!("select body from {table}")).unwrap();
        assert_eq!(client.query(&statement, &[]).unwrap().len(), 50);

        world.fixture.run(&format!("select tenancy.protect('{table}')"));

        assert_eq!(client.query(&statement, &[]).unwrap().len(), 0);
        let mut tx = World::begin(&mut client, family.mine);
        let bodies: Vec<String> = tx.query(&statement, &[]).unwrap().iter().map(|row| row.get(0)).collect();
        assert_owned(&bodies, family.mine, World::MINE);
    }
}

#[test]
fn one_session_whose_role_changes_keeps_no_plan_of_the_exempt_role() {
    let world = World::new();
    let family = &FAMILIES[0];
    let exempt = world.fixture.name("exempt");
    world.fixture.run(&format!(
        "create role {exempt} bypassrls; grant {exempt} to {0}; grant select on {1} to {exempt}",
        world.app,
        family.table()
    ));
    let mut client = world.connect();
    client.run("set plan_cache_mode = force_generic_plan");
    let statement = client.prepare(&format!("select body from {}", family.table())).unwrap();

    client.run(&format!("set role {exempt}"));
    assert_eq!(client.query(&statement, &[]).unwrap().len(), 50);
    client.run("reset role");

    assert_eq!(client.query(&statement, &[]).unwrap().len(), 0);
}

/// Statements prepared with SQL may count as left-overs of a tenant; these tests mean to keep them.
fn tolerate_leftovers(world: &World<'_>) {
    world.fixture.run(&format!(
        "do $$ begin
           if exists (select from pg_settings where name = 'tenancy.on_leftovers') then
             alter role {} set tenancy.on_leftovers = 'ignore';
           end if;
         end $$",
        world.app
    ));
}
