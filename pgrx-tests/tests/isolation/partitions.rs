//! Partitions and inheritance children can be named in a query, past their parent.

use tenancy_harness::{FAMILIES, Family, Session, World, refuses_in_savepoint};

use crate::assert_owned;

/// A partitioned table, its leaves and what to call them in a message.
struct Layout {
    partition_by: &'static str,
    children: fn(&Family, &str) -> String,
}

const LAYOUTS: [Layout; 4] = [
    Layout {
        partition_by: "list (tenant_id)",
        children: |family, table| {
            format!(
                "create table {table}_1 partition of {table} for values in ({});
                 create table {table}_2 partition of {table} for values in ({});",
                family.literal(family.mine),
                family.literal(family.other)
            )
        },
    },
    Layout {
        partition_by: "hash (tenant_id)",
        children: |_, table| {
            format!(
                "create table {table}_1 partition of {table} for values with (modulus 2, remainder 0);
                 create table {table}_2 partition of {table} for values with (modulus 2, remainder 1);"
            )
        },
    },
    Layout {
        partition_by: "range (id)",
        children: |_, table| {
            format!(
                "create table {table}_1 partition of {table} for values from (1) to (10);
                 create table {table}_2 partition of {table} default;"
            )
        },
    },
    Layout {
        partition_by: "range (id)",
        children: |_, table| {
            format!(
                "create table {table}_sub partition of {table} default partition by hash (id);
                 create table {table}_1 partition of {table}_sub for values with (modulus 2, remainder 0);
                 create table {table}_2 partition of {table}_sub for values with (modulus 2, remainder 1);"
            )
        },
    },
];

/// Makes and protects one table per layout for `family` and calls `check` with each name.
fn for_each_layout(world: &World<'_>, family: &Family, check: impl Fn(&str)) {
    for (number, layout) in LAYOUTS.iter().enumerate() {
        let table = format!("parts_{}_{number}", family.column_type);
        world.fixture.run(&format!(
            "create table {table} (id integer not null, tenant_id {} not null, body text not null) partition by {};
             {} {}
             select tenancy.protect('{table}')",
            family.column_type,
            layout.partition_by,
            (layout.children)(family, &table),
            world.fill(family, &table)
        ));
        check(&table);
    }
}

#[test]
fn a_partition_read_directly_shows_own_rows_only() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        for_each_layout(&world, family, |table| {
            let mut client = world.connect();
            let mut tx = World::begin(&mut client, family.mine);
            assert_owned(&tx.texts(&format!("select body from {table}")), family.mine, World::MINE);
            let leaves = format!("select body from {table}_1 union all select body from {table}_2");
            assert_owned(&tx.texts(&leaves), family.mine, World::MINE);
        });
        let leaf = format!("parts_{}_0_2", family.column_type);
        assert_eq!(client.value(&format!("select count(*) from {leaf}")).unwrap(), "0", "without context");
    }
}

#[test]
fn a_partition_written_directly_takes_own_rows_only() {
    let world = World::new();
    for family in &FAMILIES {
        for_each_layout(&world, family, |table| {
            let others = format!("select t::text from {table} t where body like '{} %' order by 1", family.other.key);
            let before = world.fixture.superuser().texts(&others);
            let mut client = world.connect();
            let mut tx = World::begin(&mut client, family.mine);
            for leaf in [format!("{table}_1"), format!("{table}_2")] {
                let insert = format!("insert into {leaf} values (99, {}, 'x')", family.literal(family.other));
                refuses_in_savepoint(&mut tx, &insert, "42501");
                tx.run(&format!("update {leaf} set body = body || '!'"));
                tx.run(&format!("delete from {leaf}"));
            }
            assert_eq!(tx.value(&format!("select count(*) from {table}")).unwrap(), "0");
            tx.commit().unwrap();
            assert_eq!(world.fixture.superuser().texts(&others), before);
        });
    }
}

#[test]
fn the_parent_of_partitions_takes_own_rows_only() {
    let world = World::new();
    for family in &FAMILIES {
        for_each_layout(&world, family, |table| {
            let mut client = world.connect();
            let mut tx = World::begin(&mut client, family.mine);
            let own = format!("insert into {table} (id, body) values (99, '{} 99') returning body", family.mine.key);
            assert_owned(&tx.texts(&own), family.mine, 1);
            let foreign = format!("insert into {table} values (99, {}, 'x')", family.literal(family.other));
            refuses_in_savepoint(&mut tx, &foreign, "42501");
            let moved = format!("update {table} set tenant_id = {}", family.literal(family.other));
            refuses_in_savepoint(&mut tx, &moved, "42501");
        });
    }
}

#[test]
fn an_inheritance_child_shows_own_rows_only() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let (parent, child) = (format!("parent_{}", family.column_type), format!("child_{}", family.column_type));
        world.create_table(family, &parent);
        world.fixture.run(&format!(
            "create table {child} (extra text) inherits ({parent}); {} select tenancy.protect('{parent}')",
            world.fill(family, &child)
        ));
        let mut tx = World::begin(&mut client, family.mine);
        assert_owned(&tx.texts(&format!("select body from {child}")), family.mine, World::MINE);
        assert_owned(&tx.texts(&format!("select body from only {parent}")), family.mine, World::MINE);
        assert_owned(&tx.texts(&format!("select body from {parent}")), family.mine, 2 * World::MINE);
        let insert = format!("insert into {child} values (99, {}, 'x')", family.literal(family.other));
        refuses_in_savepoint(&mut tx, &insert, "42501");
        let stamp = format!("insert into {child} (id, body) values (99, '{} 99') returning body", family.mine.key);
        assert_owned(&tx.texts(&stamp), family.mine, 1);
        assert_eq!(tx.affected(&format!("delete from {child}")), u64::try_from(World::MINE).unwrap() + 1);
    }
}
