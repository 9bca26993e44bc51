//! What is below is never written nor locked, by whatever statement.

use tenancy_harness::{Session, refuses_in_savepoint, sqlstate};

use crate::{Forest, ROWS, TYPES, begin, family, literal, seen};

#[test]
fn rows_of_tenants_below_are_neither_changed_nor_taken_nor_given() {
    let forest = Forest::new();
    let mut client = forest.connect();
    for column_type in TYPES {
        let table = format!("t_{column_type}");
        let before = forest.rows(&table);
        let (mine, theirs) = (literal(column_type, 1), literal(column_type, 111));
        let mut tx = begin(&mut client, 1);
        for statement in [
            format!("update {table} set body = 'x' where tenant_id = {theirs}"),
            format!("update {table} set tenant_id = {mine}, id = id + 100 where tenant_id = {theirs}"),
            format!("delete from {table} where tenant_id = {theirs}"),
            format!("delete from {table} where body like '11%'"),
            format!("delete from {table} t using {table} u where t.id = u.id and t.tenant_id <> {mine}"),
        ] {
            assert_eq!(tx.affected(&statement), 0, "{statement}");
        }
        for statement in [
            format!("insert into {table} values (99, {theirs}, 'x')"),
            format!("insert into {table} values (1, {theirs}, 'x') on conflict do nothing"),
            format!(
                "insert into {table} values (1, {theirs}, 'x') on conflict (tenant_id, id) do update set body = 'x'"
            ),
            format!(
                "insert into {table} values (1, {mine}, 'x') on conflict (tenant_id, id) do update set tenant_id = {theirs}"
            ),
            format!("update {table} set tenant_id = {theirs} where tenant_id = {mine}"),
            format!("update {table} set tenant_id = {theirs}"),
            format!("insert into {table} (id, tenant_id, body) select id + 50, tenant_id, body from {table}"),
        ] {
            refuses_in_savepoint(&mut tx, &statement, "42501");
        }
        for action in ["update set body = 'x'", "delete", "do nothing"] {
            let merge =
                format!("merge into {table} t using (select 1) s on t.tenant_id = {theirs} when matched then {action}");
            // MERGE sees what may be read, and says so when it may not be changed.
            let mut savepoint = tx.transaction().unwrap();
            let outcome = savepoint.batch_execute(&merge);
            assert!(matches!(sqlstate(&outcome), None | Some("42501")), "{merge}: {outcome:?}");
        }
        tx.commit().unwrap();
        assert_eq!(forest.rows(&table), before, "{table}");

        // Everything at once is everything of one's own.
        let mut tx = begin(&mut client, 1);
        assert_eq!(tx.affected(&format!("update {table} set body = body || '!'")), ROWS as u64);
        assert_eq!(tx.affected(&format!("delete from {table}")), ROWS as u64);
        assert_eq!(
            tx.value(&format!("insert into {table} (id, body) values (1, '1 1') returning tenant_id::text"))
                .unwrap()
                .trim_start_matches("00000000-0000-4000-8000-")
                .parse(),
            Ok(1)
        );
        assert_eq!(seen(&mut tx, &table), family(1));
        tx.rollback().unwrap();
        assert_eq!(forest.rows(&table), before, "{table}");
    }
}

#[test]
fn rows_of_tenants_below_are_not_locked() {
    let forest = Forest::new();
    let mut client = forest.connect();
    let mut other = forest.connect();
    for column_type in TYPES {
        let table = format!("t_{column_type}");
        let theirs = literal(column_type, 111);
        let mut tx = begin(&mut client, 11);
        for strength in ["update", "no key update", "share", "key share"] {
            let query = format!("select body from {table} order by body for {strength}");
            assert_eq!(tx.texts(&query).len(), ROWS, "{query}");
            assert!(
                tx.texts(&format!("select body from {table} where tenant_id = {theirs} for {strength}")).is_empty()
            );
        }
        let mut theirs_tx = begin(&mut other, 111);
        assert_eq!(theirs_tx.texts(&format!("select id::text from {table} for update nowait")).len(), ROWS);
    }
}

#[test]
fn the_floor_holds_against_a_policy_that_lets_everything_pass() {
    let forest = Forest::new();
    forest.fixture.run("create policy open on t_uuid using (true) with check (true)");
    let before = forest.rows("t_uuid");
    let mut client = forest.connect();
    assert!(seen(&mut client, "t_uuid").is_empty());
    let mut tx = begin(&mut client, 11);
    assert_eq!(seen(&mut tx, "t_uuid"), family(11));
    for other in [1, 12, 111] {
        let theirs = literal("uuid", other);
        assert_eq!(tx.affected(&format!("update t_uuid set body = 'x' where tenant_id = {theirs}")), 0);
        assert_eq!(tx.affected(&format!("delete from t_uuid where tenant_id = {theirs}")), 0);
        refuses_in_savepoint(&mut tx, &format!("insert into t_uuid values (99, {theirs}, 'x')"), "42501");
    }
    tx.commit().unwrap();
    assert_eq!(forest.rows("t_uuid"), before);
}

#[test]
fn a_table_goes_from_kind_to_kind_and_back() {
    let forest = Forest::new();
    let policies = "select string_agg(concat_ws(' ', polname, polcmd, polpermissive, pg_get_expr(polqual, polrelid),
                                      pg_get_expr(polwithcheck, polrelid)), E'\n' order by polname)
                      from pg_policy where polrelid = 't_varchar'::regclass";
    let mut superuser = forest.fixture.superuser();
    let as_tree = superuser.value(policies);
    assert!(superuser.texts("select tenancy.protect('t_varchar', kind => 'tree')").is_empty());
    assert!(superuser.texts("select code from tenancy.doctor() where code = 'POLICY_DRIFT'").is_empty());
    for kind in ["tenant", "append_only"] {
        superuser.run(&format!("select tenancy.protect('t_varchar', kind => '{kind}')"));
        let mut client = forest.connect();
        let mut tx = begin(&mut client, 1);
        assert_eq!(seen(&mut tx, "t_varchar"), ["1"], "{kind}");
        drop(tx);
        superuser.run("select tenancy.protect('t_varchar', kind => 'tree')");
        assert_eq!(superuser.value(policies), as_tree);
    }
    // What somebody changes is refused, found, and mended.
    superuser.refuses("drop policy tenant_isolation_floor_select on t_varchar", "42501");
    superuser.run("set tenancy.guard_ddl = off; alter policy tenant_isolation_floor_update on t_varchar using (tenant_id = any (tenancy.visible_keys()));
                   drop policy tenant_isolation_delete on t_varchar; reset tenancy.guard_ddl");
    let fix =
        superuser.value("select fix from tenancy.doctor() where code = 'POLICY_DRIFT' and object = 'public.t_varchar'");
    superuser.run(&fix.unwrap());
    assert_eq!(superuser.value(policies), as_tree);
    superuser.run("select tenancy.unprotect('t_varchar')");
    assert_eq!(superuser.value(policies), None);
}
