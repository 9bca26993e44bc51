//! Writing: INSERT, UPDATE, DELETE, MERGE, RETURNING, COPY FROM, TRUNCATE.

use tenancy_harness::{FAMILIES, Session, World, refuses_in_savepoint};

use crate::{as_mine, assert_owned};

#[test]
fn insert_stamps_the_context_when_the_tenant_column_is_left_out() {
    as_mine(|_, family, tx| {
        let insert = format!(
            "insert into {} (id, body) values (99, '{} 99') returning tenant_id",
            family.table(),
            family.mine.key
        );
        let stamped = tx.value(&insert).unwrap();
        assert_eq!(stamped, family.literal(family.mine).trim_matches('\''));
    });
}

#[test]
fn insert_accepts_the_own_tenant_and_refuses_another() {
    as_mine(|_, family, tx| {
        let table = family.table();
        let own = format!("insert into {table} values (99, {}, '{} 99')", family.literal(family.mine), family.mine.key);
        assert_eq!(tx.affected(&own), 1);

        let other = family.literal(family.other);
        for foreign in [
            format!("insert into {table} values (100, {other}, 'x')"),
            format!("insert into {table} values (101, {}, 'x'), (102, {other}, 'x')", family.literal(family.mine)),
            format!("insert into {table} select id + 1000, {other}, body from {table}"),
            format!("with w as (insert into {table} values (103, {other}, 'x') returning 1) select * from w"),
        ] {
            refuses_in_savepoint(tx, &foreign, "42501");
        }
    });
}

#[test]
fn insert_refuses_a_null_tenant() {
    as_mine(|_, family, tx| {
        tx.refuses(&format!("insert into {} values (99, null, 'x')", family.table()), "42501");
    });
}

#[test]
fn insert_without_context_is_refused() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let table = family.table();
        client.refuses(&format!("insert into {table} (id, body) values (99, 'x')"), "42501");
        let explicit = format!("insert into {table} values (99, {}, 'x')", family.literal(family.mine));
        client.refuses(&explicit, "42501");
    }
}

#[test]
fn update_touches_own_rows_only() {
    as_mine(|_, family, tx| {
        let update = format!("update {} set body = body || '!'", family.table());
        assert_eq!(tx.affected(&update), u64::try_from(World::MINE).unwrap());
        let foreign = format!("{update} where tenant_id = {}", family.literal(family.other));
        assert_eq!(tx.affected(&foreign), 0);
    });
}

#[test]
fn update_cannot_move_a_row_to_another_tenant() {
    as_mine(|_, family, tx| {
        let (table, other) = (family.table(), family.literal(family.other));
        for statement in [
            format!("update {table} set tenant_id = {other}, id = id + 1000"),
            format!("update {table} set tenant_id = {other}, id = 1000 where id = 1"),
            format!("update {table} set tenant_id = null where id = 1"),
        ] {
            refuses_in_savepoint(tx, &statement, "42501");
        }
    });
}

#[test]
fn update_joined_with_another_table_touches_own_rows_only() {
    as_mine(|_, family, tx| {
        let update = format!("update {0} t set body = t.body || '!' from {0} o where o.id = t.id", family.table());
        assert_eq!(tx.affected(&update), u64::try_from(World::MINE).unwrap());
    });
}

#[test]
fn delete_removes_own_rows_only() {
    as_mine(|_, family, tx| {
        let table = family.table();
        let foreign = format!("delete from {table} where tenant_id = {}", family.literal(family.other));
        assert_eq!(tx.affected(&foreign), 0);
        assert_eq!(tx.affected(&format!("delete from {table}")), u64::try_from(World::MINE).unwrap());
    });
}

#[test]
fn writes_without_context_touch_nothing() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let table = family.table();
        let before = world.true_rows(&table);
        assert_eq!(client.affected(&format!("update {table} set body = 'gone'")), 0);
        assert_eq!(client.affected(&format!("delete from {table}")), 0);
        assert_eq!(world.true_rows(&table), before);
    }
}

#[test]
fn returning_shows_own_rows_only() {
    as_mine(|_, family, tx| {
        let (table, key) = (family.table(), family.mine.key);
        let inserted = tx.texts(&format!("insert into {table} (id, body) values (99, '{key} 99') returning body"));
        assert_owned(&inserted, family.mine, 1);
        let updated = tx.texts(&format!("update {table} set body = body || '!' returning body"));
        assert_owned(&updated, family.mine, World::MINE + 1);
        let deleted = tx.texts(&format!("delete from {table} t using {table} o where o.id = t.id returning o.body"));
        assert_owned(&deleted, family.mine, World::MINE + 1);
    });
}

#[test]
fn merge_changes_own_rows_only() {
    as_mine(|_, family, tx| {
        let merge = format!(
            "merge into {} t using generate_series(1, 1000) n on t.id = n
             when matched and n % 2 = 0 then delete
             when matched then update set body = body || '!'",
            family.table()
        );
        assert_eq!(tx.affected(&merge), u64::try_from(World::MINE).unwrap());
    });
}

#[test]
fn merge_inserts_for_the_own_tenant_what_only_another_tenant_has() {
    as_mine(|_, family, tx| {
        let (table, key) = (family.table(), family.mine.key);
        let merge = format!(
            "merge into {table} t using generate_series(1, {}) n on t.id = n
             when not matched then insert (id, body) values (n, '{key} ' || n)
             when matched then do nothing",
            World::OTHERS
        );
        assert_eq!(tx.affected(&merge), u64::try_from(World::OTHERS - World::MINE).unwrap());
        assert_owned(&tx.texts(&format!("select body from {table}")), family.mine, World::OTHERS);
    });
}

#[test]
fn merge_cannot_insert_for_or_move_to_another_tenant() {
    as_mine(|_, family, tx| {
        let (table, other) = (family.table(), family.literal(family.other));
        let insert = format!(
            "merge into {table} t using (select 1 as id) s on t.id = s.id and t.tenant_id = {other}
             when matched then delete
             when not matched then insert values (1000, {other}, 'x')"
        );
        refuses_in_savepoint(tx, &insert, "42501");
        let update = format!(
            "merge into {table} t using (select 1 as id) s on t.id = s.id
             when matched then update set tenant_id = {other}, id = 1000"
        );
        refuses_in_savepoint(tx, &update, "42501");
    });
}

#[test]
fn copy_from_is_refused() {
    let world = World::new();
    for family in &FAMILIES {
        let before = world.true_rows(&family.table());
        let line = format!("99\t{}\tx", family.literal(family.other).trim_matches('\''));
        let script = format!(
            "begin;\nselect tenancy.set_tenant('{}');\n\\set VERBOSITY verbose\n\\copy {} from stdin\n{line}\n\\.\ncommit;\n",
            family.mine.key,
            family.table()
        );
        let output = world.fixture.cluster().psql(world.fixture.database(), &world.app, &script);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.contains("0A000"), "{complaint}");
        assert_eq!(world.true_rows(&family.table()), before);
    }
}

#[test]
fn truncate_is_refused_even_to_roles_that_had_been_granted_everything() {
    let world = World::new();
    for family in &FAMILIES {
        let table = format!("granted_{}", family.column_type);
        world.create_table(family, &table);
        world.fixture.run(&format!("grant all on {table} to {}, public", world.app));
        world.fixture.run(&format!("select tenancy.protect('{table}')"));
        let mut client = world.connect();
        let mut tx = World::begin(&mut client, family.mine);
        tx.refuses(&format!("truncate {table}"), "42501");
    }
}

#[test]
fn the_owner_is_bound_like_everybody_else() {
    let world = World::new();
    let owner = world.fixture.role("owner");
    world.fixture.run(&format!("select tenancy.grant_access('{owner}')"));
    let mut client = world.fixture.connect(&owner);
    for family in &FAMILIES {
        let table = family.table();
        world.fixture.run(&format!("set tenancy.guard_ddl = off; alter table {table} owner to {owner}"));
        let mut tx = World::begin(&mut client, family.mine);
        assert_owned(&tx.texts(&format!("select body from {table}")), family.mine, World::MINE);
        assert_eq!(tx.affected(&format!("delete from {table}")), u64::try_from(World::MINE).unwrap());
    }
}
