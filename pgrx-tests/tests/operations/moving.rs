//! A tenant that is replicated elsewhere, and what then becomes of it here.

use tenancy_harness::{ACME, Cluster, Config, Fixture, GLOBEX, Session};

use crate::replication::{give_to_a_plain_role, publish, subscribe};

fn logical(name: &str) -> Cluster {
    Cluster::start(name, &Config::default().set("wal_level", "logical"))
}

/// Generated columns are not sent: `size` comes first among the candidates where it is in a key.
const GENERATED: &str = "
    create table plain (id integer primary key, tenant_id uuid not null, body text not null,
        size integer not null generated always as (length(body)) stored, unique (tenant_id, size), unique (id, tenant_id, body));
    create table whole (id integer not null, tenant_id uuid not null, body text not null,
        size integer generated always as (length(body)) stored, unique (tenant_id, id));
    alter table whole replica identity full;
    create table sized (id integer not null, tenant_id uuid not null, body text not null,
        size integer generated always as (length(body)) stored, primary key (tenant_id, size), unique (tenant_id, id));
    create table parts (id integer not null, tenant_id uuid not null, body text not null,
        size integer generated always as (length(body)) stored, unique (tenant_id, id)) partition by range (id);
    create table parts_1 partition of parts for values from (0) to (2); create table parts_2 partition of parts default;
    alter table parts replica identity full; alter table parts_1 replica identity full;";

/// Known by nothing less than all columns.
const BARE: &str = "create table bare (id integer primary key, tenant_id uuid not null, body text not null,
                        size integer generated always as (length(body)) stored);";

/// The tables of [`GENERATED`], and those that this version of PostgreSQL takes besides.
fn generated(fixture: &Fixture<'_>) -> (Vec<&'static str>, String) {
    let mut tables = vec!["plain", "whole", "sized", "parts"];
    let mut ddl = GENERATED.to_owned();
    if fixture.major_version() >= 18 {
        ddl.push_str("alter table whole add half integer generated always as (length(body) / 2) virtual;");
    } else {
        ddl.push_str(BARE);
        tables.push("bare");
    }
    ddl.extend(tables.iter().map(|table| format!("select tenancy.protect('{table}');")));
    (tables, ddl)
}

#[test]
fn tables_with_generated_columns_are_changed_and_the_changes_arrive() {
    let cluster = logical("generated");
    let (publisher, subscriber) = (Fixture::on(&cluster), Fixture::on(&cluster));
    let (tables, ddl) = generated(&publisher);
    publisher.register(&[ACME, GLOBEX]);
    subscriber.register(&[ACME]);
    publisher.run(&ddl);
    subscriber.run(&ddl);
    give_to_a_plain_role(&subscriber);
    let (mut here, mut there) = (publisher.superuser(), subscriber.superuser());
    for table in &tables {
        here.run(&format!(
            "insert into {table} (id, tenant_id, body) select n, '{}', repeat('a', n) from generate_series(1, 3) n;
             insert into {table} (id, tenant_id, body) select 10 + n, '{}', repeat('g', n) from generate_series(1, 3) n",
            ACME.id, GLOBEX.id
        ));
    }
    publish(&mut here, &mut there, "'acme', 'generated'");
    subscribe(&publisher, &mut there, "generated", Cluster::SUPERUSER);
    for table in &tables {
        here.run(&format!(
            "update {table} set body = body || 'changed' where id in (1, 11); delete from {table} where id in (2, 12);
             insert into {table} (id, tenant_id, body) values (4, '{}', 'four of acme')",
            ACME.id
        ));
    }
    for table in &tables {
        cluster.wait_until(&mut there, &format!("exists (select from {table} where id = 4)"));
        let expected = here.texts(&format!("select t::text from {table} t where tenant_id = '{}' order by 1", ACME.id));
        assert_eq!(expected.len(), 3, "{table}");
        assert_eq!(there.texts(&format!("select t::text from {table} t order by 1")), expected, "{table}");
    }
    there.run("drop subscription generated");
}

#[test]
fn a_table_with_generated_columns_that_no_index_tells_apart_is_not_published_where_that_stops_its_changes() {
    let fixture = Fixture::new();
    fixture.register(&[ACME]);
    fixture.run(&format!("{BARE} select tenancy.protect('bare')"));
    let mut superuser = fixture.superuser();
    let statements = "select tenancy.publication_sql('acme')";
    if fixture.major_version() < 18 {
        assert!(superuser.texts(statements)[0].ends_with("ALTER TABLE ONLY public.bare REPLICA IDENTITY FULL;"));
        return;
    }
    for change in [
        "",
        "alter table bare replica identity full",
        "alter table bare drop column size; alter table bare add size integer generated always as (length(body)) virtual",
    ] {
        superuser.run(change);
        let error = superuser.refuses(statements, "0A000");
        assert!(error.message().contains("public.bare"), "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("tenancy.scope_unique()")), "{error:?}");
    }
    superuser.run("select tenancy.scope_unique('bare', 'bare_pkey')");
    superuser.texts(statements).iter().for_each(|statement| superuser.run(statement));
    superuser.run(&format!(
        "insert into bare values (1, '{}', 'x'); update bare set body = 'changed'; delete from bare",
        ACME.id
    ));
}
