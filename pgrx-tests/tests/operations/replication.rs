//! Short forms for replicating from one database of a server to another.

use tenancy_harness::postgres::Client;
use tenancy_harness::{FAMILIES, Fixture, Session};

/// The tables of the families, protected and empty.
pub fn families_in(subscriber: &Fixture<'_>) {
    for family in &FAMILIES {
        subscriber.run(&format!(
            "create table {0} (id integer not null, tenant_id {1} not null, body text not null, primary key (tenant_id, id));
             select tenancy.protect('{0}')",
            family.table(),
            family.column_type
        ));
    }
}

/// Has all protected tables belong to a role without attributes, as they do in practice: row security binds it.
pub fn give_to_a_plain_role(fixture: &Fixture<'_>) {
    let role = fixture.name("keeper");
    fixture.run(&format!(
        "do $$ declare tbl regclass; begin
             if not exists (select from pg_roles where rolname = '{role}') then create role {role}; end if;
             for tbl in select relation from tenancy.protection order by 1 loop
                 execute format('alter table %s owner to {role}', tbl);
             end loop;
         end $$"
    ));
}

/// Runs what `tenancy.publication_sql()` gives; rows are known by the same columns on the other side.
#[track_caller]
pub fn publish(here: &mut Client, there: &mut Client, arguments: &str) {
    for statement in here.texts(&format!("select tenancy.publication_sql({arguments})")) {
        here.run(&statement);
        if statement.contains("REPLICA IDENTITY") {
            there.run(&statement);
        }
    }
}

/// Subscribes to a publication under its name, by `role`, and waits until what is there has come: each table is copied by
/// itself, and followed only then. From PostgreSQL 16 on a subscription writes as the tables' owners unless it is told otherwise.
#[track_caller]
pub fn subscribe(publisher: &Fixture<'_>, there: &mut Client, publication: &str, role: &str) {
    let cluster = publisher.cluster();
    let slot = publisher.name(publication);
    // Within one server CREATE SUBSCRIPTION would wait for itself.
    publisher.run(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
    let as_itself = if publisher.major_version() >= 16 { ", run_as_owner = true" } else { "" };
    there.run(&format!(
        "create subscription {publication} connection 'host={} port=5432 dbname={} user={role}' publication {publication}
         with (create_slot = false, slot_name = '{slot}'{as_itself})",
        cluster.directory().display(),
        publisher.database()
    ));
    cluster.wait_until(there, "not exists (select from pg_subscription_rel where srsubstate <> 'r')");
}
