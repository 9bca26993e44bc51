//! The kinds of table other than `tenant`: rows for everybody, and rows that never change.

use tenancy_harness::{ACME, FAMILIES, Family, GLOBEX, Session, World, refuses_in_savepoint, sqlstate};

use crate::assert_owned;

const COMMON: i64 = 5;

/// A table of kind `shared`: both tenants' rows and five that belong to nobody.
fn shared_table(world: &World<'_>, family: &Family) -> String {
    let table = format!("prices_{}", family.column_type);
    world.fixture.run(&format!(
        "create table {table} (id integer not null, tenant_id {} , body text not null);
         {} insert into {table} select n, null, 'common ' || n from generate_series(1, {COMMON}) n;
         select tenancy.protect('{table}', kind => 'shared')",
        family.column_type,
        world.fill(family, &table)
    ));
    table
}

fn append_only_table(world: &World<'_>, family: &Family) -> String {
    let table = format!("events_{}", family.column_type);
    world.create_table(family, &table);
    world.fixture.run(&format!("select tenancy.protect('{table}', kind => 'append_only')"));
    table
}

#[test]
fn shared_rows_are_visible_to_every_tenant_beside_its_own() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let table = shared_table(&world, family);
        for (tenant, count) in [(family.mine, World::MINE), (family.other, World::OTHERS)] {
            let mut tx = World::begin(&mut client, tenant);
            let own = tx.texts(&format!("select body from {table} where tenant_id is not null"));
            assert_owned(&own, tenant, count);
            let common = tx.value(&format!("select count(*) from {table} where tenant_id is null"));
            assert_eq!(common.unwrap(), COMMON.to_string());
        }
    }
}

#[test]
fn shared_rows_are_invisible_without_context() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let table = shared_table(&world, family);
        assert_eq!(client.texts(&format!("select body from {table}")).len(), 0);
    }
}

#[test]
fn shared_rows_are_written_by_no_tenant() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let table = shared_table(&world, family);
        let foreign = format!("select t::text from {table} t where body not like '{} %' order by 1", family.mine.key);
        let before = world.fixture.superuser().texts(&foreign);

        let mut tx = World::begin(&mut client, family.mine);
        let insert = format!("insert into {table} values (99, null, 'mine')");
        refuses_in_savepoint(&mut tx, &insert, "42501");
        let give_away = format!("update {table} set tenant_id = null where tenant_id is not null");
        refuses_in_savepoint(&mut tx, &give_away, "42501");
        tx.run(&format!("update {table} set body = '{} !' ", family.mine.key));
        tx.run(&format!("delete from {table}"));
        assert_eq!(tx.value(&format!("select count(*) from {table}")).unwrap(), COMMON.to_string());
        tx.commit().unwrap();

        assert_eq!(world.fixture.superuser().texts(&foreign), before);
    }
}

#[test]
fn shared_rows_cannot_be_taken_over() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let table = shared_table(&world, family);
        let mut tx = World::begin(&mut client, family.mine);
        let take = format!("update {table} set tenant_id = {} where tenant_id is null", family.literal(family.mine));
        assert_eq!(tx.affected(&take), 0);
        let merge = format!(
            "merge into {table} t using (select 1) s on t.tenant_id is null
             when matched then update set tenant_id = {}",
            family.literal(family.mine)
        );
        // MERGE sees what may be read and says so when it may not be changed.
        let outcome = tx.batch_execute(&merge);
        assert!(matches!(sqlstate(&outcome), None | Some("42501")), "{outcome:?}");
        drop(tx);
        let common = format!("select count(*) from {table} where tenant_id is null");
        assert_eq!(world.fixture.superuser().value(&common).unwrap(), COMMON.to_string());
    }
}

#[test]
fn a_shared_table_stamps_the_context_on_new_rows() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let table = shared_table(&world, family);
        let mut tx = World::begin(&mut client, family.mine);
        let insert = format!("insert into {table} (id, body) values (99, 'x') returning tenant_id");
        assert_eq!(tx.value(&insert).unwrap(), family.literal(family.mine).trim_matches('\''));
        drop(tx);
        client.refuses(&format!("insert into {table} (id, body) values (99, 'x')"), "42501");
    }
}

#[test]
fn an_append_only_table_accepts_and_shows_own_rows() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let table = append_only_table(&world, family);
        let mut tx = World::begin(&mut client, family.mine);
        let insert = format!("insert into {table} (id, body) values (99, '{} 99') returning body", family.mine.key);
        assert_owned(&tx.texts(&insert), family.mine, 1);
        assert_owned(&tx.texts(&format!("select body from {table}")), family.mine, World::MINE + 1);
        let foreign = format!("insert into {table} values (99, {}, 'x')", family.literal(family.other));
        refuses_in_savepoint(&mut tx, &foreign, "42501");
    }
}

#[test]
fn an_append_only_table_never_changes_a_row() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let table = append_only_table(&world, family);
        let before = world.true_rows(&table);
        for statement in [
            format!("update {table} set body = 'x'"),
            format!("update {table} set body = 'x' where id = 1"),
            format!("delete from {table}"),
            format!(
                "insert into {table} (id, body) values (1, 'x') on conflict (tenant_id, id) do update set body = 'x'"
            ),
            format!("merge into {table} t using (select 1 as id) s on t.id = s.id when matched then delete"),
            format!(
                "merge into {table} t using (select 1 as id) s on t.id = s.id when matched then update set body = 'x'"
            ),
        ] {
            let mut tx = World::begin(&mut client, family.mine);
            // Row security hides rows from a plain change and refuses one that names them.
            let outcome = tx.batch_execute(&statement);
            assert!(matches!(sqlstate(&outcome), None | Some("42501")), "{statement}: {outcome:?}");
            tx.commit().unwrap();
            assert_eq!(world.true_rows(&table), before, "{statement}");
        }
    }
}

#[test]
fn partitions_carry_the_kind_of_their_parent() {
    let world = World::new();
    let mut client = world.connect();
    world.fixture.run(&format!(
        "create table log (id integer, tenant_id uuid, body text) partition by range (id);
         create table log_1 partition of log default;
         insert into log values (1, '{}', 'acme 1'), (2, '{}', 'globex 2');
         select tenancy.protect('log', kind => 'append_only');
         create table hints (id integer, tenant_id uuid, body text) partition by range (id);
         create table hints_1 partition of hints default;
         insert into hints values (1, null, 'common 1'), (2, '{1}', 'globex 2');
         select tenancy.protect('hints', kind => 'shared')",
        ACME.id, GLOBEX.id
    ));
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(tx.texts("select body from log_1"), ["acme 1"]);
    assert_eq!(tx.affected("delete from log_1"), 0);
    assert_eq!(tx.texts("select body from hints_1"), ["common 1"]);
    assert_eq!(tx.affected("delete from hints_1"), 0);
}
