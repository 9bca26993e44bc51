//! One tenant's rows, and nobody else's, go to another server.

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Cluster, Config, FAMILIES, Fixture, GLOBEX, Session, World, refuses_in_savepoint};

use crate::replication::{families_in, give_to_a_plain_role, publish, subscribe};

/// Tables of every kind and shape beside those of the families, in both databases.
const TABLES: &str = "
    create schema \"Shop's\";
    create table \"Shop's\".\"Order's\" (id integer primary key, \"tenant's id\" uuid not null, item text);
    select tenancy.protect('\"Shop''s\".\"Order''s\"', 'tenant''s id');
    create table prices (id integer, tenant_id text, body text); select tenancy.protect('prices', kind => 'shared');
    create table log (id integer, tenant_id uuid, body text, unique (tenant_id, id), unique (id, tenant_id));
    alter table log alter id set not null; select tenancy.protect('log', kind => 'append_only');
    create table parts (id integer not null, tenant_id uuid not null, body text) partition by range (id);
    create table parts_1 partition of parts for values from (0) to (100);
    create table parts_2 partition of parts default; select tenancy.protect('parts');
    create table own_keys (id integer not null, tenant_id uuid not null, body text) partition by range (id);
    create table own_keys_1 partition of own_keys default; alter table own_keys_1 add primary key (tenant_id, id);
    select tenancy.protect('own_keys');
    create table parent (id integer primary key, tenant_id uuid not null, body text);
    create table child (extra text, primary key (id)) inherits (parent); select tenancy.protect('parent');
    create unlogged table gone (tenant_id uuid); select tenancy.protect('gone');
    create table other_numbers (tenant_id smallint, body text); select tenancy.protect('other_numbers');";

fn statements(client: &mut Client, arguments: &str) -> Vec<String> {
    client.texts(&format!("select tenancy.publication_sql({arguments})"))
}

#[test]
fn a_tenant_is_replicated_to_another_database_and_nothing_of_another_arrives() {
    let cluster = Cluster::start("publishing", &Config::default().set("wal_level", "logical"));
    let publisher = World::within(Fixture::on(&cluster));
    let subscriber = Fixture::on(&cluster);
    publisher.fixture.run(TABLES);
    families_in(&subscriber);
    subscriber.run(TABLES);
    subscriber.run(&format!("select tenancy.create_tenant('acme', id => '{}')", ACME.id));
    give_to_a_plain_role(&subscriber);
    let fill = |n: i32| {
        format!(
            "insert into \"Shop's\".\"Order's\" values ({n}, '{0}', 'acme'), (10 + {n}, '{1}', 'globex');
             insert into prices values ({n}, null, 'common'), ({n}, 'acme', 'acme'), ({n}, 'globex', 'globex');
             insert into log values ({n}, '{0}', 'acme'), ({n}, '{1}', 'globex');
             insert into parts values ({n}, '{0}', 'acme'), ({n}, '{1}', 'globex'), (100 + {n}, '{0}', 'acme');
             insert into own_keys values ({n}, '{0}', 'acme'), ({n}, '{1}', 'globex');
             insert into parent values ({n}, '{0}', 'acme'), (10 + {n}, '{1}', 'globex');
             insert into child values (20 + {n}, '{0}', 'acme'), (30 + {n}, '{1}', 'globex')",
            ACME.id, GLOBEX.id
        )
    };
    let mut here = publisher.fixture.superuser();
    let mut there = subscriber.superuser();
    here.run(&fill(1));
    publish(&mut here, &mut there, "'acme'");
    let name = format!("tenancy_{}", ACME.id.replace('-', ""));
    // Who carries the rows there is bound by row security as any other, in the first copy as well.
    let carrier = publisher.fixture.role("carrier");
    here.run(&format!(
        "alter role {carrier} replication; alter role {carrier} in database {} set tenancy.tenant_id = 'acme';
         grant usage on schema \"Shop's\" to {carrier}; grant select on all tables in schema public, \"Shop's\" to {carrier};
         select tenancy.grant_access('{carrier}', 'acme')",
        publisher.fixture.database()
    ));
    // What was there, and then what is inserted, changed, moved between partitions and removed.
    subscribe(&publisher.fixture, &mut there, &name, &carrier);
    assert_eq!(there.texts("select count(*) from parts union all select count(*) from notes_text"), ["2", "20"]);
    here.run(&fill(2));
    here.run(
        "update \"Shop's\".\"Order's\" set item = item || ' changed'; update parts set body = body || ' changed';
         update own_keys set body = body || ' changed'; update parts set id = 150 where id = 2; delete from parent where id % 10 = 1; update child set extra = 'changed';
         update prices set body = body || ' changed'; delete from log where id = 1; update notes_uuid set body = body || ' changed';
         delete from notes_text where id = 1",
    );
    cluster.wait_until(&mut there, "(select count(*) from notes_text) = 19");
    let filtered = [
        ("\"Shop's\".\"Order's\"", "\"tenant's id\"", ACME.id),
        ("prices", "coalesce(tenant_id, 'acme')", "acme"),
        ("log", "tenant_id", ACME.id),
        ("parts", "tenant_id", ACME.id),
        ("own_keys", "tenant_id", ACME.id),
        ("only parent", "tenant_id", ACME.id),
        ("child", "tenant_id", ACME.id),
        ("notes_uuid", "tenant_id", ACME.id),
        ("notes_text", "tenant_id", "acme"),
        ("notes_varchar", "tenant_id", "acme"),
    ];
    for (table, column, own) in filtered {
        let rows = format!("select t::text from {table} t where {column}::text = '{own}' order by 1");
        let expected = here.texts(&rows);
        assert!(!expected.is_empty(), "{table}");
        let all = there.texts(&format!("select t::text from {table} t order by 1"));
        assert_eq!(all, expected, "{table}");
        assert!(!all.iter().any(|row| row.contains("globex")), "{all:?}");
    }
    for family in FAMILIES.iter().skip(3) {
        assert_eq!(there.value(&format!("select count(*) from {}", family.table())).as_deref(), Some("0"));
    }

    // Tables that came since are taken into the publication that exists.
    let later = "create table later (id integer primary key, tenant_id uuid not null); select tenancy.protect('later')";
    here.run(&format!("{later}; grant select on later to {carrier}"));
    there.run(later);
    for statement in statements(&mut here, "'acme'") {
        assert!(!statement.starts_with("CREATE"), "{statement}");
        here.run(&statement);
    }
    here.run(&format!("insert into later values (1, '{}'), (2, '{}')", ACME.id, GLOBEX.id));
    give_to_a_plain_role(&subscriber);
    there.run(&format!("alter subscription {name} refresh publication"));
    cluster.wait_until(&mut there, "(select string_agg(id::text, ' ') from later) = '1'");

    let app = subscriber.app();
    let mut client = subscriber.connect(&app);
    let mut tx = World::begin(&mut client, ACME);
    assert_eq!(tx.value("select count(*) from later").as_deref(), Some("1"));
    refuses_in_savepoint(&mut tx, &format!("insert into later values (3, '{}')", GLOBEX.id), "42501");
    drop(tx);
    there.run(&format!("drop subscription {name}"));
}

#[test]
fn rows_are_made_known_by_an_index_with_the_tenant_where_there_is_one() {
    let world = World::new();
    world.fixture.run(TABLES);
    world.fixture.run(
        "create table keyed (id integer not null, tenant_id uuid not null, unique (tenant_id, id)) partition by hash (tenant_id);
         create table keyed_1 partition of keyed (unique (tenant_id)) for values with (modulus 1, remainder 0);
         select tenancy.protect('keyed')",
    );
    let mut superuser = world.fixture.superuser();
    let ddl = statements(&mut superuser, "'acme', 'to \"the\" north'");
    let of = |table: &str| ddl.iter().find(|line| line.contains(table) && line.contains("REPLICA IDENTITY")).cloned();
    assert_eq!(of("public.notes_uuid"), None, "the primary key has the column");
    assert!(of("public.log").unwrap().ends_with("REPLICA IDENTITY USING INDEX log_id_tenant_id_key;"));
    assert!(of("public.parent").unwrap().ends_with("\nALTER TABLE ONLY public.parent REPLICA IDENTITY FULL;"));
    assert!(of("public.parts_1").is_some() && of("public.parts ").is_some());
    // A partition by what its root is known by, whatever keys it has beside.
    assert!(of("public.own_keys_1").unwrap().ends_with("REPLICA IDENTITY FULL;"));
    assert!(of("public.keyed ").unwrap().ends_with("REPLICA IDENTITY USING INDEX keyed_tenant_id_id_key;"));
    assert!(of("public.keyed_1").unwrap().ends_with("REPLICA IDENTITY USING INDEX keyed_1_tenant_id_id_key;"));
    let last = ddl.last().unwrap();
    assert!(last.starts_with("CREATE PUBLICATION \"to \"\"the\"\" north\" FOR TABLE\n"), "{last}");
    assert!(!last.contains("gone") && !last.contains("smallint") && !last.contains("parts_1"), "{last}");
    // Run once, the tables need nothing more.
    ddl.iter().for_each(|statement| superuser.run(statement));
    let again = statements(&mut superuser, "'acme', 'to \"the\" north'");
    assert_eq!(again.len(), 2, "{again:?}");
    again.iter().for_each(|statement| superuser.run(statement));
}

#[test]
fn a_publication_stays_its_tenants() {
    let world = World::new();
    world.fixture.run(TABLES);
    let mut superuser = world.fixture.superuser();
    let (publish, again) = ("'acme', 'elsewhere'", "'101', 'numbers'");
    for statement in statements(&mut superuser, publish).into_iter().chain(statements(&mut superuser, again)) {
        superuser.run(&statement);
    }
    let published = "select pubname || tablename || rowfilter from pg_publication_tables order by 1";
    let before = superuser.texts(published);
    for other in ["'globex', 'elsewhere'", "'101', 'elsewhere'", "'202', 'numbers'", "'acme', 'numbers'"] {
        let error = superuser.refuses(&format!("select tenancy.publication_sql({other})"), "42710");
        assert!(
            error.detail().is_some_and(|detail| detail.contains("public.") || detail.contains("Shop")),
            "{error:?}"
        );
    }
    // Its own is given what there is, also when a table is protected no more, or gone.
    superuser.run("select tenancy.unprotect('prices'); select tenancy.unprotect('notes_varchar'); drop table log");
    for own in [publish, again] {
        statements(&mut superuser, own).iter().for_each(|statement| superuser.run(statement));
    }
    let after = superuser.texts(published);
    let stays = |row: &&String| {
        !["prices", "notes_varchar", "elsewherelog", "numberslog"].iter().any(|name| row.contains(name))
    };
    assert_eq!(after, before.iter().filter(stays).cloned().collect::<Vec<_>>());
    // One that sends more than the tenant's rows is not its own.
    superuser.run(
        "create publication unfiltered for table notes_uuid; create publication whole for all tables;
         create publication of_schema for tables in schema public; create publication empty",
    );
    superuser.run(&format!("create publication wide for table notes_uuid where (tenant_id = '{}' or id > 7)", ACME.id));
    for name in ["unfiltered", "whole", "of_schema", "wide"] {
        superuser.refuses(&format!("select tenancy.publication_sql('acme', '{name}')"), "42710");
    }
    for statement in statements(&mut superuser, "'acme', 'empty'") {
        superuser.run(&statement);
    }
    // The name that is made of its id says whose it is, whatever becomes of its key.
    statements(&mut superuser, "'acme'").iter().for_each(|statement| superuser.run(statement));
    superuser.run("update tenancy.tenants set key = 'acme-2' where key = 'acme'");
    superuser.refuses("select tenancy.publication_sql('acme-2', 'elsewhere')", "42710");
    statements(&mut superuser, "'acme-2'").iter().for_each(|statement| superuser.run(statement));
    let filter = "select rowfilter from pg_publication_tables where pubname ~ '^tenancy_' and tablename = 'notes_text'";
    assert_eq!(superuser.value(filter).as_deref(), Some("(tenant_id = 'acme-2'::text)"));
}

#[test]
fn hostile_settings_and_names_change_nothing() {
    let world = World::new();
    world.fixture.run("select tenancy.create_tenant('o''neil\\''; drop table notes_text; --')");
    let mut superuser = world.fixture.superuser();
    superuser.run(
        "set standard_conforming_strings = off; set escape_string_warning = off; set quote_all_identifiers = on;
         create schema hostile; create function hostile.format(text, variadic text[]) returns text language sql as 'select null';
         set search_path = hostile, pg_catalog",
    );
    let key = superuser.value("select key from tenancy.tenants where key like 'o%'").unwrap();
    let statement = "select tenancy.publication_sql((select id::text from tenancy.tenants where key like 'o%'), 'odd')";
    for ddl in superuser.texts(statement) {
        superuser.run(&ddl);
    }
    // What it made is known again under the same settings.
    assert!(!superuser.texts(statement).is_empty());
    superuser.run("set standard_conforming_strings = on");
    let filter = superuser.value("select rowfilter from pg_publication_tables where tablename = 'notes_text'").unwrap();
    let literal = filter.split(" = ").nth(1).unwrap().trim_end_matches(')').to_owned();
    assert_eq!(superuser.value(&format!("select {literal}")), Some(key));
}

#[test]
fn only_administrators_get_the_statements_and_only_for_tenants_that_are_there() {
    let world = World::new();
    world.connect().refuses("select tenancy.publication_sql('acme')", "42501");
    let admin = world.fixture.role("admin");
    world.fixture.run(&format!("select tenancy.grant_admin('{admin}')"));
    let mut client = world.fixture.connect(&admin);
    assert_eq!(statements(&mut client, "'acme'").len(), 1);
    client.refuses("select tenancy.publication_sql('nobody_here')", "42704");
    client.refuses("select tenancy.publication_sql(null)", "22023");
    let mut superuser = world.fixture.superuser();
    superuser.run("create domain key as text; create table odd (tenant_id key); select tenancy.protect('odd')");
    let error = superuser.refuses("select tenancy.publication_sql('acme')", "0A000");
    assert!(error.message().contains("public.odd"), "{error:?}");
    superuser.run(
        "drop table odd; select tenancy.suspend_tenant('globex'), tenancy.archive_tenant('globex');
         select tenancy.erase_tenant('globex', 'globex', false)",
    );
    superuser.refuses(&format!("select tenancy.publication_sql('{}')", GLOBEX.id), "55000");
    let nothing = Fixture::new();
    nothing.run("select tenancy.create_tenant('acme')");
    assert_eq!(statements(&mut nothing.superuser(), "'acme'"), Vec::<String>::new());
}
