//! ON CONFLICT, where a row that the policy hides can still be the one that conflicts.

use tenancy_harness::{FAMILIES, Session, World, refuses_in_savepoint};

use crate::{as_mine, assert_owned};

#[test]
fn upsert_changes_the_own_row_and_leaves_its_namesake_alone() {
    as_mine(|_, family, tx| {
        let upsert = format!(
            "insert into {} (id, body) values (1, 'x') on conflict (tenant_id, id)
             do update set body = '{} changed' returning body",
            family.table(),
            family.mine.key
        );
        assert_owned(&tx.texts(&upsert), family.mine, 1);
    });
}

#[test]
fn upsert_of_an_id_that_only_another_tenant_has_inserts_an_own_row() {
    as_mine(|_, family, tx| {
        let (table, key) = (family.table(), family.mine.key);
        let upsert = format!(
            "insert into {table} (id, body) select n, '{key} new' from generate_series(1, {}) n
             on conflict (tenant_id, id) do nothing returning body",
            World::OTHERS
        );
        assert_owned(&tx.texts(&upsert), family.mine, World::OTHERS - World::MINE);
    });
}

#[test]
fn upsert_for_another_tenant_is_refused_whatever_the_conflict_action() {
    as_mine(|_, family, tx| {
        let insert = format!("insert into {} values (1, {}, 'x')", family.table(), family.literal(family.other));
        for action in ["do nothing", "(tenant_id, id) do nothing", "(tenant_id, id) do update set body = 'x'"] {
            refuses_in_savepoint(tx, &format!("{insert} on conflict {action}"), "42501");
        }
    });
}

#[test]
fn upsert_cannot_move_the_conflicting_row_to_another_tenant() {
    as_mine(|_, family, tx| {
        let upsert = format!(
            "insert into {} (id, body) values (1, 'x')
             on conflict (tenant_id, id) do update set tenant_id = {}, id = 1000",
            family.table(),
            family.literal(family.other)
        );
        tx.refuses(&upsert, "42501");
    });
}

/// A key without the tenant column makes tenants collide; the colliding row must stay unseen and unchanged.
#[test]
fn upsert_on_a_global_key_never_shows_or_changes_the_foreign_row() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        let table = format!("global_{}", family.column_type);
        world.fixture.run(&format!(
            "create table {table} (id integer primary key, tenant_id {} not null, body text not null);
             insert into {table} values (1, {}, 'secret');
             select tenancy.protect('{table}')",
            family.column_type,
            family.literal(family.other)
        ));
        let before = world.true_rows(&table);
        let mut tx = World::begin(&mut client, family.mine);

        let insert = format!("insert into {table} (id, body) values (1, 'mine')");
        let skipped = tx.texts(&format!("{insert} on conflict do nothing returning body"));
        assert!(skipped.is_empty(), "{skipped:?}");
        for action in [
            "on conflict (id) do update set body = excluded.body",
            "on conflict (id) do update set body = global.body returning body",
            "on conflict (id) do update set body = 'x' where global.body like 's%'",
        ] {
            let statement = format!("{insert} {action}").replace("global.", &format!("{table}."));
            let error = refuses_in_savepoint(&mut tx, &statement, "42501");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
        tx.commit().unwrap();
        assert_eq!(world.true_rows(&table), before);
    }
}
