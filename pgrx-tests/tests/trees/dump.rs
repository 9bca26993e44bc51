//! The tree goes along with dumps, whatever order the tenants lie in, with exports, and with subscriptions.

use std::process::Output;
use std::time::{Duration, Instant};

use tenancy_harness::{Cluster, Config, Fixture, Session};

use crate::{Forest, begin, family, id, seen, visible};

fn assert_clean(tool: &str, output: &Output) {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{tool}: {complaint}");
}

/// A forest in which those below lie before those above them.
fn shuffled() -> Forest<'static> {
    let forest = Forest::new();
    for key in ["11", "1", "2"] {
        forest.fixture.run(&format!("update tenancy.tenants set name = 'moved {key}' where key = '{key}'"));
    }
    forest.fixture.run("vacuum full tenancy.tenants");
    let order = forest.fixture.superuser().texts("select key from tenancy.tenants");
    let at = |key: &str| order.iter().position(|one| one == key).unwrap();
    assert!(at("111") < at("11") && at("11") < at("1"), "{order:?}");
    forest
}

fn assert_same(target: &Fixture<'_>, forest: &Forest<'_>) {
    let tenants = "select t::text from tenancy.tenants t order by 1";
    assert_eq!(target.superuser().texts(tenants), forest.fixture.superuser().texts(tenants));
    let mut client = target.connect(&forest.app);
    for key in [1, 11, 2, 111] {
        let mut tx = begin(&mut client, key);
        for table in ["t_uuid", "t_varchar", "t_smallint"] {
            assert_eq!(seen(&mut tx, table), family(key), "{table} as {key}");
        }
    }
    assert!(target.superuser().texts("select tenancy.protect('t_varchar', kind => 'tree')").is_empty());
    target.superuser().refuses("select tenancy.set_parent('1', '111')", "22023");
}

#[test]
fn a_dump_restores_the_tree_by_copy_and_by_insert() {
    let forest = shuffled();
    let cluster = forest.fixture.cluster();
    for arguments in [&[][..], &["--inserts"], &["--column-inserts", "--rows-per-insert=1"], &["--rows-per-insert=3"]] {
        let script = cluster.tool("pg_dump").args(arguments).arg(forest.fixture.database()).output().unwrap();
        assert_clean("pg_dump", &script);
        let target = Fixture::empty(cluster);
        let text = String::from_utf8(script.stdout).unwrap();
        assert_clean("psql", &cluster.psql(target.database(), Cluster::SUPERUSER, &text));
        assert_same(&target, &forest);
    }
}

#[test]
fn an_archive_restores_the_tree() {
    let forest = shuffled();
    let cluster = forest.fixture.cluster();
    let file = cluster.directory().join(format!("{}.dump", forest.fixture.database()));
    let file = file.to_str().unwrap();
    assert_clean("pg_dump", &cluster.run_tool("pg_dump", &["-Fc", "-f", file, forest.fixture.database()]));
    let target = Fixture::empty(cluster);
    let restore = cluster.run_tool("pg_restore", &["--exit-on-error", "-d", target.database(), file]);
    assert_clean("pg_restore", &restore);
    assert_same(&target, &forest);
}

#[test]
fn an_export_places_the_tenant_where_its_parent_is() {
    let forest = Forest::new();
    let cluster = forest.fixture.cluster();
    let target = Fixture::on(cluster);
    target.run("create table t_uuid (id integer not null, tenant_id uuid not null, body text not null, primary key (tenant_id, id));
                select tenancy.protect('t_uuid', kind => 'tree')");
    for column_type in ["text", "varchar", "smallint", "integer", "bigint"] {
        target.run(&format!(
            "create table t_{column_type} (id integer not null, tenant_id {column_type} not null, body text not null, primary key (tenant_id, id));
             select tenancy.protect('t_{column_type}', kind => 'tree')"
        ));
    }
    let psql = |fixture: &Fixture<'_>, script: &str| {
        let output = fixture.cluster().psql(fixture.database(), Cluster::SUPERUSER, script);
        assert_clean("psql", &output);
        String::from_utf8(output.stdout).unwrap()
    };
    let export =
        |key: &str| psql(&forest.fixture, &psql(&forest.fixture, &format!("select tenancy.export_tenant('{key}')")));
    let parent =
        |key: &str| target.superuser().value(&format!("select parent from tenancy.tenants where key = '{key}'"));
    // Without its parent it is in no tree, and with it in the same place.
    psql(&target, &export("112"));
    assert_eq!(parent("112"), None);
    psql(&target, &export("1"));
    psql(&target, &export("11"));
    psql(&target, &export("111"));
    assert_eq!((parent("11"), parent("111"), parent("1")), (Some(id(1)), Some(id(11)), None));
    let app = target.app_named("reader");
    let mut client = target.connect(&app);
    assert_eq!(seen(&mut begin(&mut client, 1), "t_integer"), ["1", "11", "111"]);
}

#[test]
fn a_subscription_brings_the_tree_and_its_moves() {
    let cluster = Cluster::start("publishing", &Config::default().set("wal_level", "logical"));
    let forest = Forest::within(Fixture::on(&cluster));
    let publisher = &forest.fixture;
    let subscriber = Fixture::on(publisher.cluster());
    let app = subscriber.app_named("reader");
    publisher.run("create publication trees for table tenancy.tenants");
    let slot = publisher.name("trees");
    publisher.run(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
    subscriber.run(&format!(
        "create subscription trees connection 'host={} port=5432 dbname={} user=postgres' publication trees
         with (create_slot = false, slot_name = '{slot}')",
        publisher.cluster().directory().display(),
        publisher.database()
    ));
    let mut client = subscriber.connect(&app);
    let mut wait_for = |tenant: &str, expected: &[&str]| {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            client.run(&format!("select tenancy.set_tenant('{tenant}', false)"));
            if visible(&mut client) == expected {
                return;
            }
            assert!(Instant::now() < deadline, "never {expected:?}: {:?}", visible(&mut client));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    subscriber.cluster().wait_until(&mut subscriber.superuser(), "count(*) = 8 from tenancy.tenants");
    wait_for("2", &["2", "21"]);
    publisher.run("select tenancy.create_tenant('22', parent => '21')");
    wait_for("2", &["2", "21", "22"]);
    publisher.run("select tenancy.set_parent('22', '2'), tenancy.set_parent('21', null)");
    wait_for("2", &["2", "22"]);
    subscriber.run("drop subscription trees");
}
