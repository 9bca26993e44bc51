//! A log that is published along with its tables arrives whole, and nothing is recorded twice.

use tenancy_harness::{ACME, Cluster, Config, Fixture, Session};

#[test]
fn a_published_log_arrives_and_what_is_applied_is_not_recorded_again() {
    let cluster = Cluster::start("logical", &Config::default().set("wal_level", "logical"));
    let (publisher, subscriber) = (Fixture::on(&cluster), Fixture::on(&cluster));
    for fixture in [&publisher, &subscriber] {
        fixture.run(&format!(
            "select tenancy.create_tenant('acme', id => '{}');
             create table orders (id integer primary key, tenant_id uuid not null, item text);
             select tenancy.protect('orders'); select tenancy.audit('orders')",
            ACME.id
        ));
    }
    let insert = |from: i32, to: i32| {
        publisher.run(&format!("insert into orders select n, '{}', 'x' from generate_series({from}, {to}) n", ACME.id));
    };
    insert(1, 5);
    let slot = publisher.name("slot");
    publisher
        .run("create publication shop for table orders, tenancy.audit_log with (publish_via_partition_root = true)");
    publisher.run(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
    subscriber.run(&format!(
        "create subscription shop connection 'host={} port=5432 dbname={} user=postgres' publication shop
         with (create_slot = false, slot_name = '{slot}')",
        cluster.directory().display(),
        publisher.database()
    ));
    let mut here = subscriber.superuser();
    cluster.wait_until(&mut here, "count(*) = 5 from tenancy.audit_log");
    cluster.wait_until(&mut here, "count(*) = 5 from orders");
    insert(6, 8);
    publisher.run("update orders set item = 'y' where id = 1; delete from orders where id = 2; truncate orders");
    cluster.wait_until(&mut here, "count(*) = 11 from tenancy.audit_log");
    cluster.wait_until(&mut here, "count(*) = 0 from orders");
    let log = "select tenancy.audit_json(l) || tbl::text from tenancy.audit_log as l order by id";
    assert_eq!(here.texts(log), publisher.superuser().texts(log));
    subscriber
        .run("alter subscription shop disable; alter subscription shop set (slot_name = none); drop subscription shop");
    publisher.run(&format!("select pg_drop_replication_slot('{slot}')"));
}
