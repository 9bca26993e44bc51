//! Views and functions over protected tables.

use tenancy_harness::{FAMILIES, Session, World, refuses_in_savepoint};

use crate::assert_owned;

#[test]
fn a_security_invoker_view_shows_and_changes_own_rows_only() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let view = format!("view_{}", family.column_type);
        world.fixture.run(&format!(
            "create view {view} with (security_invoker = true) as select id, tenant_id, body from {}",
            family.table()
        ));
        assert_eq!(client.texts(&format!("select body from {view}")).len(), 0);
        let mut tx = World::begin(&mut client, family.mine);
        assert_owned(&tx.texts(&format!("select body from {view}")), family.mine, World::MINE);
        let foreign = format!("insert into {view} values (99, {}, 'x')", family.literal(family.other));
        refuses_in_savepoint(&mut tx, &foreign, "42501");
        let moved = format!("update {view} set tenant_id = {}", family.literal(family.other));
        refuses_in_savepoint(&mut tx, &moved, "42501");
        assert_eq!(tx.affected(&format!("delete from {view}")), u64::try_from(World::MINE).unwrap());
    }
}

#[test]
fn a_view_of_the_tables_owner_shows_own_rows_only() {
    let world = World::new();
    let owner = world.fixture.role("owner");
    let mut client = world.connect();
    for family in &FAMILIES {
        let (table, view) = (family.table(), format!("owned_view_{}", family.column_type));
        world.fixture.run(&format!(
            "create view {view} as select * from {table};
             alter table {table} owner to {owner}; alter view {view} owner to {owner};
             grant select, delete on {view} to {}",
            world.app
        ));
        let mut tx = World::begin(&mut client, family.mine);
        assert_owned(&tx.texts(&format!("select body from {view}")), family.mine, World::MINE);
        assert_eq!(tx.affected(&format!("delete from {view}")), u64::try_from(World::MINE).unwrap());
    }
}

#[test]
fn a_security_definer_function_of_the_tables_owner_reads_own_rows_only() {
    let world = World::new();
    let owner = world.fixture.role("owner");
    let mut client = world.connect();
    for family in &FAMILIES {
        let (table, function) = (family.table(), format!("definer_{}", family.column_type));
        world.fixture.run(&format!(
            "alter table {table} owner to {owner};
             create function {function}() returns setof text language sql security definer
               set search_path = pg_catalog, pg_temp as 'select body from public.{table}';
             alter function {function}() owner to {owner}"
        ));
        assert_eq!(client.texts(&format!("select {function}()")).len(), 0);
        let mut tx = World::begin(&mut client, family.mine);
        assert_owned(&tx.texts(&format!("select {function}()")), family.mine, World::MINE);
    }
}

#[test]
fn a_function_written_with_begin_atomic_reads_own_rows_only() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let function = format!("atomic_{}", family.column_type);
        world.fixture.run(&format!(
            "create function {function}() returns setof text stable begin atomic select body from {}; end",
            family.table()
        ));
        let mut tx = World::begin(&mut client, family.mine);
        assert_owned(&tx.texts(&format!("select {function}()")), family.mine, World::MINE);
    }
}

#[test]
fn dynamic_sql_in_a_function_reads_own_rows_only() {
    let world = World::new();
    world.fixture.run(
        "create function run_any(query text) returns setof text language plpgsql as
         $$ begin return query execute query; end $$",
    );
    let mut client = world.connect();
    for family in &FAMILIES {
        let mut tx = World::begin(&mut client, family.mine);
        let query = format!("select run_any($q$select body from {} where true or $q$ || 'true')", family.table());
        assert_owned(&tx.texts(&query), family.mine, World::MINE);
    }
}

#[test]
fn a_trigger_on_a_protected_table_reads_own_rows_only() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let (table, function) = (family.table(), format!("count_{}", family.column_type));
        world.fixture.run(&format!(
            "create function {function}() returns trigger language plpgsql as $$
             begin new.body := new.body || (select count(*) from {table}); return new; end $$;
             create trigger counts before insert on {table} for each row execute function {function}()"
        ));
        let mut tx = World::begin(&mut client, family.mine);
        let insert = format!("insert into {table} (id, body) values (99, 'n=') returning body");
        assert_eq!(tx.value(&insert).unwrap(), format!("n={}", World::MINE));
    }
}

#[test]
fn a_temporary_copy_holds_own_rows_only() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let mut tx = World::begin(&mut client, family.mine);
        tx.run(&format!("create temporary table copied on commit drop as select body from {}", family.table()));
        assert_owned(&tx.texts("select body from copied"), family.mine, World::MINE);
        tx.commit().unwrap();
    }
}
