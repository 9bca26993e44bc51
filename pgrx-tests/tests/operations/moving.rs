//! A tenant that is replicated elsewhere, and what then becomes of it here.

use std::time::Duration;

use tenancy_harness::{ACME, Cluster, Config, FAMILIES, Fixture, GLOBEX, Session, World};

use crate::replication::{families_in, give_to_a_plain_role, publish, subscribe};

fn logical(name: &str) -> Cluster {
    Cluster::start(name, &Config::default().set("wal_level", "logical"))
}

#[test]
fn a_tenant_whose_key_is_a_number_moves_and_what_it_left_is_erased_here_alone() {
    let cluster = logical("moving");
    let publisher = World::within(Fixture::on(&cluster));
    let subscriber = Fixture::on(&cluster);
    families_in(&subscriber);
    give_to_a_plain_role(&subscriber);
    let mut here = publisher.fixture.superuser();
    let mut there = subscriber.superuser();
    let id = here.value("select id from tenancy.tenants where key = '101'").unwrap();
    subscriber.run(&format!("select tenancy.create_tenant('101', id => '{id}')"));
    here.run(&format!(
        "insert into notes_uuid select n, '{id}', '101 ' || n from generate_series(1, 20) n;
         insert into notes_text select n, '101', '101 ' || n from generate_series(1, 20) n;
         insert into notes_varchar select n, '101', '101 ' || n from generate_series(1, 20) n"
    ));
    publish(&mut here, &mut there, "'101', 'numbered'");
    subscribe(&publisher.fixture, &mut there, "numbered", Cluster::SUPERUSER);
    let all = FAMILIES.map(|family| family.table());
    for table in &all {
        here.run(&format!(
            "update {table} set body = body || ' changed' where id = 7; delete from {table} where id = 8;
             insert into {table} select 100, tenant_id, '101 100' from {table} where body = '101 1'"
        ));
    }
    cluster.wait_until(&mut there, "(select count(*) from notes_bigint where id = 100) = 1");
    let rows = |table: &str| format!("select t::text from {table} t where body ~ '^101 ' order by 1");
    let mut left = Vec::new();
    for table in &all {
        let expected = here.texts(&rows(table));
        assert_eq!(expected.len(), 20, "{table}");
        cluster.wait_until(&mut there, &format!("exists (select from {table} where id = 100)"));
        assert_eq!(there.texts(&format!("select t::text from {table} t order by 1")), expected, "{table}");
        left.push(expected);
    }

    // Erased while it is still sent, it would be erased there too.
    let erase = "select tenancy.erase_tenant('101', '101', false)";
    here.run("select tenancy.suspend_tenant('101'), tenancy.archive_tenant('101')");
    let error = here.refuses(erase, "55000");
    assert!(error.detail().is_some_and(|detail| detail.contains("numbered")), "{error:?}");
    there.run("drop subscription numbered");
    here.refuses(erase, "55000");
    here.run("drop publication numbered");
    here.run(erase);
    for (table, expected) in all.iter().zip(left) {
        assert_eq!(here.texts(&rows(table)), Vec::<String>::new(), "{table}");
        assert_eq!(there.texts(&format!("select t::text from {table} t order by 1")), expected, "{table}");
    }
}

#[test]
fn a_tenant_is_not_erased_while_a_publication_names_it() {
    let world = World::new();
    let mut superuser = world.fixture.superuser();
    superuser.run(
        "create table prices (tenant_id varchar, body text); select tenancy.protect('prices', kind => 'shared');
         select tenancy.suspend_tenant(t), tenancy.archive_tenant(t) from unnest('{acme,101}'::text[]) t",
    );
    // Those of others are in nobody's way, nor is one of all tenants.
    for statement in superuser.texts("select tenancy.publication_sql('globex')") {
        superuser.run(&statement);
    }
    superuser.run("create publication everything for all tables with (publish = 'insert'); create publication of_notes for table notes_text");
    let own = format!("tenancy_{}", ACME.id.replace('-', ""));
    for (tenant, name, publication) in [
        ("acme", own.as_str(), format!("create publication {own}")),
        ("acme", "made", "select tenancy.publication_sql('acme', 'made') \\gexec".into()),
        (
            "acme",
            "\"by \"\"hand\"",
            format!("create publication \"by \"\"hand\" for table notes_uuid where (tenant_id = '{}')", ACME.id),
        ),
        ("acme", "part", "create publication part for table notes_text where (tenant_id = 'acme' and id > 3)".into()),
        (
            "acme",
            "several",
            "create publication several for table notes_text where (tenant_id in ('acme', 'globex'))".into(),
        ),
        (
            "acme",
            "common",
            "create publication common for table prices where (tenant_id is null or tenant_id = 'acme')".into(),
        ),
        ("101", "made", "select tenancy.publication_sql('101', 'made') \\gexec".into()),
        ("101", "numbers", "create publication numbers for table notes_bigint where (tenant_id = 101)".into()),
        ("101", "small", "create publication small for table notes_smallint where (tenant_id in (101, 202))".into()),
    ] {
        match publication.strip_suffix(" \\gexec") {
            Some(query) => superuser.texts(query).iter().for_each(|statement| superuser.run(statement)),
            None => superuser.run(&publication),
        }
        for call in [format!("'{tenant}', '{tenant}', false"), format!("'{tenant}'")] {
            let error = superuser.refuses(&format!("select tenancy.erase_tenant({call})"), "55000");
            assert!(error.detail().is_some_and(|detail| detail.contains(name)), "{publication}: {error:?}");
            assert!(error.hint().is_some_and(|hint| hint.contains("DROP PUBLICATION")), "{error:?}");
        }
        superuser.run(&format!("drop publication {name}"));
    }
    for tenant in ["acme", "101"] {
        superuser.run(&format!("select tenancy.erase_tenant('{tenant}', '{tenant}', false)"));
    }
}

#[test]
fn what_is_published_while_a_tenant_is_erased_keeps_it() {
    let world = World::new();
    let mut writer = world.fixture.superuser();
    writer.run("select tenancy.suspend_tenant('acme'), tenancy.archive_tenant('acme')");
    writer.run(&format!("begin; insert into notes_uuid values (500, '{}', 'meanwhile')", ACME.id));
    std::thread::scope(|scope| {
        let erasing = scope
            .spawn(|| world.fixture.superuser().refuses("select tenancy.erase_tenant('acme', 'acme', false)", "55000"));
        std::thread::sleep(Duration::from_millis(700));
        world.fixture.run("create publication late for table notes_text where (tenant_id = 'acme')");
        writer.run("commit");
        let error = erasing.join().unwrap();
        assert!(error.detail().is_some_and(|detail| detail.contains("late")), "{error:?}");
    });
    assert_eq!(writer.value("select count(*) from notes_text where tenant_id = 'acme'").as_deref(), Some("20"));
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
