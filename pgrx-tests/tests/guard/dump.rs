//! A dump of guarded tables restores without a complaint, and guarded.

use tenancy_harness::{Cluster, Fixture, Session};

use crate::Shop;

/// A database with partitions, inheritance, every kind, grants, and a managed schema.
fn source() -> Shop {
    let shop = Shop::new();
    shop.fixture.run(&format!(
        "create schema app; select tenancy.manage_schema('app', 'reject'); grant usage on schema app to {0};
         create table app.parts (id integer, tenant_id uuid, body text, primary key (id, tenant_id)) partition by range (id);
         create table app.parts_1 partition of app.parts for values from (0) to (10) partition by hash (id);
         create table app.parts_1_1 partition of app.parts_1 for values with (modulus 1, remainder 0);
         create table app.parts_2 partition of app.parts default;
         create table app.parent (id integer, tenant_id uuid); create table app.child (extra text) inherits (app.parent);
         create table app.prices (tenant_id text, body text); select tenancy.protect('app.prices', kind => 'shared');
         create table app.log (tenant_id uuid, body text); select tenancy.protect('app.log', kind => 'append_only');
         insert into app.parts select id, tenant_id, body from orders;
         create policy narrower on orders as restrictive using (id > 0);
         create policy wider on orders using (true);
         grant select, insert on all tables in schema public, app to {0}; grant select (id) on orders to public",
        shop.app
    ));
    shop
}

fn state(fixture: &Fixture<'_>) -> Vec<String> {
    fixture.superuser().texts(
        "select format('%s %s %s', c.oid::regclass, relrowsecurity, relforcerowsecurity) from pg_class c
          where relnamespace in ('app'::regnamespace, 'public'::regnamespace) and relkind in ('r', 'p')
         union all select format('%s %s %s %s', schemaname, tablename, policyname, qual) from pg_policies
         union all select format('%s %s %s', tgrelid::regclass, tgname, tgenabled) from pg_trigger where not tgisinternal
         union all select format('%s %s %s', relation, kind, tenant_column) from tenancy.protection
         union all select format('%s %s', schema, on_new) from tenancy.managed_schema order by 1",
    )
}

#[track_caller]
fn assert_guarded(target: &Fixture<'_>, shop: &Shop) {
    assert_eq!(state(target), state(&shop.fixture));
    let mut superuser = target.superuser();
    for table in ["public.orders", "app.parts", "app.parts_1_1", "app.child", "app.prices", "app.log"] {
        superuser.refuses(&format!("alter table {table} disable row level security"), "42501");
        superuser.refuses(&format!("grant truncate on {table} to public"), "42501");
    }
    superuser.refuses("create table app.plain (id integer)", "42501");
    superuser.run("create table app.parts_3 partition of app.parts for values from (10) to (20)");
    assert_eq!(
        superuser.value("select tenancy.protect('app.parts', dry_run => true)::text union all select 'none'").unwrap(),
        "none"
    );
    target.connect(&shop.owner).refuses("truncate public.orders", "42501");
}

#[test]
fn a_plain_dump_restores_guarded() {
    let shop = source();
    let cluster = shop.fixture.cluster();
    let script = String::from_utf8(cluster.run_tool("pg_dump", &[shop.fixture.database()]).stdout).unwrap();
    let target = Fixture::empty(cluster);
    let output = cluster.psql(target.database(), Cluster::SUPERUSER, &script);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_guarded(&target, &shop);
}

#[test]
fn a_custom_dump_restores_guarded_in_one_transaction_or_by_several_jobs() {
    let shop = source();
    let cluster = shop.fixture.cluster();
    let file = cluster.directory().join(format!("{}.guarded", shop.fixture.database()));
    let file = file.to_str().unwrap();
    cluster.run_tool("pg_dump", &["-Fc", "-f", file, shop.fixture.database()]);
    for arguments in [vec!["--single-transaction"], vec!["--jobs=3", "--exit-on-error"]] {
        let target = Fixture::empty(cluster);
        let output = cluster.tool("pg_restore").args(arguments).args(["-d", target.database(), file]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert_guarded(&target, &shop);
    }
}

/// Several jobs restore data and policies side by side, and what the guard then writes may come before the log's own rows.
#[test]
fn entries_made_during_a_restore_do_not_collide_with_the_restored() {
    let shop = source();
    let cluster = shop.fixture.cluster();
    let file = cluster.directory().join(format!("{}.entries", shop.fixture.database()));
    let file = file.to_str().unwrap();
    let entries = "select count(*) from tenancy.event_log";
    let count = |fixture: &Fixture<'_>| fixture.superuser().value(entries).unwrap().parse::<i64>().unwrap();
    let dumped = count(&shop.fixture);
    cluster.run_tool("pg_dump", &["-Fc", "-f", file, shop.fixture.database()]);
    let target = Fixture::empty(cluster);
    cluster.run_tool("pg_restore", &["--section=pre-data", "-d", target.database(), file]);
    target.run("select tenancy.create_plan('made_meanwhile')");
    let made = count(&target);
    assert!(made > 0 && dumped > made);
    let output = cluster.run_tool("pg_restore", &["--section=data", "-d", target.database(), file]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    target.run("select tenancy.create_plan('made_afterwards')");
    assert_eq!(count(&target), dumped + 2 * made);
}

#[test]
fn a_table_restores_into_a_managed_schema_with_the_guard_off() {
    let shop = source();
    let cluster = shop.fixture.cluster();
    let dump = cluster.run_tool("pg_dump", &["-t", "app.log", shop.fixture.database()]);
    shop.fixture.run("drop table app.log");
    let script = format!("set tenancy.guard_ddl = off;\n{}", String::from_utf8(dump.stdout).unwrap());
    let output = cluster.psql(shop.fixture.database(), Cluster::SUPERUSER, &script);
    assert!(output.status.success(), "{output:?}");
    shop.fixture.run("select tenancy.protect('app.log', kind => 'append_only')");
    shop.fixture.superuser().refuses("alter table app.log disable row level security", "42501");
}
