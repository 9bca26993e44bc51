//! A tenant goes to another database, or comes under another name, through psql.

use tenancy_harness::{ACME, Cluster, Fixture, Session};

/// Tables of every kind that a tenant's rows may be in.
const TABLES: &str = r#"
    create schema "Odd ""schema";
    create type mood as enum ('sad', 'happy');
    create domain short as text check (length(value) < 300);
    create table parents (tenant_id uuid, id integer generated always as identity, boss integer, body text,
        twice integer generated always as (id * 2) stored, primary key (tenant_id, id),
        foreign key (tenant_id, boss) references parents);
    create table children (tenant_id uuid, id serial, parent integer not null, primary key (tenant_id, id),
        foreign key (tenant_id, parent) references parents);
    create table chickens (tenant_id uuid, id integer, egg integer, primary key (tenant_id, id));
    create table eggs (tenant_id uuid, id integer, chicken integer not null, primary key (tenant_id, id),
        foreign key (tenant_id, chicken) references chickens);
    alter table chickens add foreign key (tenant_id, egg) references eggs;
    create table "Odd ""schema"."Odd 'table\" ("the tenant" text, "a:b" text, "C ""c" short, "order" mood);
    create table kinds (tenant_id varchar, j jsonb, b bytea, n numeric, f float8, t timestamptz, i interval, a text[][], r int4range,
        x text default 'x', m money, e inet);
    create table days (tenant_id uuid, day date, body text) partition by range (day);
    create table days_1 partition of days for values from ('2020-01-01') to ('2021-01-01');
    create table days_2 (body text, tenant_id uuid not null, gone integer, day date); alter table days_2 drop column gone;
    alter table days attach partition days_2 default;
    create table base (tenant_id uuid, body text); create table derived (more text) inherits (base);
    create table prices (tenant_id uuid, body text); create table log (tenant_id uuid, body text);
    create table flags (tenant_id uuid);
    create table countries (id integer primary key, body text); insert into countries values (1, 'all');
    create table visits (tenant_id uuid, country integer references countries);
    select tenancy.protect(t) from unnest('{parents,children,chickens,eggs,kinds,days,base,flags,visits}'::regclass[]) t;
    select tenancy.protect('"Odd ""schema"."Odd ''table\"', 'the tenant');
    select tenancy.protect('prices', kind => 'shared'); select tenancy.protect('log', kind => 'append_only');
    select tenancy.classify('countries', 'global');
    insert into prices values (null, 'for all');
    select tenancy.audit('parents');
    create function loud() returns trigger language plpgsql as $$ begin new.body := 'changed'; return new; end $$;
    create trigger loud before insert on log for each row execute function loud();
    alter table log disable trigger loud"#;

const ROWS: &str = r#"
    insert into parents (tenant_id, id, boss, body) overriding system value select '{id}', n, nullif(n - 1, 0), 'p' || n from generate_series(1, 10) n;
    insert into children (tenant_id, id, parent) select '{id}', n, n from generate_series(1, 10) n;
    insert into chickens select '{id}', n, null from generate_series(1, 5) n; insert into eggs select '{id}', n, n from generate_series(1, 5) n;
    update chickens set egg = id where tenant_id = '{id}';
    insert into "Odd ""schema"."Odd 'table\" values ('{key}', E'tab\there\nnewline \\. \\N back\\slash', '', 'happy'), ('{key}', null, $$it's :x :'y' "q"$$, null);
    insert into kinds values ('{key}', '{"a": [1, null, "\"\\\u00e9"], "n": 1.10}', '\x00ff5c0a', 'NaN', 'Infinity', '2020-01-01 12:00+05', '1 mon -2 days', '{{a,"b,c"},{null,"\\"}}', '[1,5)', null, 12.5, '::1'),
        ('{key}', 'null', '', 1.100, 0.1, '-infinity', '0', '{}', 'empty', '\.', null, null);
    insert into days values ('{id}', '2020-05-05', 'in'), ('{id}', '2024-05-05', 'out');
    insert into base values ('{id}', 'b'); insert into derived values ('{id}', 'd', 'more');
    insert into prices values ('{id}', 'own'); insert into log values ('{id}', 'as it is'); insert into flags values ('{id}'), ('{id}');
    insert into visits values ('{id}', 1), ('{id}', null);
    select tenancy.add_member('{key}', 'alice', 'owner'), tenancy.set_number('{key}', 'invoice', 41),
           tenancy.set_setting('theme', '"it''s \\"', tenant => '{key}')"#;

fn fill(fixture: &Fixture<'_>, key: &str, id: &str) {
    fixture.run(&format!("select tenancy.create_tenant($k${key}$k$, id => '{id}', name => $$It's \\ {key}$$)"));
    fixture.run(&ROWS.replace("{key}", &key.replace('\'', "''")).replace("{id}", id));
}

const KEY: &str = "it's \\acme:'x'";

fn source() -> Fixture<'static> {
    let fixture = Fixture::new();
    fixture.run(TABLES);
    fill(&fixture, KEY, ACME.id);
    fill(&fixture, "other", "bbbbbbbb-0000-4000-8000-000000000002");
    fixture.run("alter table log enable trigger loud");
    fixture
}

/// What psql writes when it runs a script that must succeed.
fn psql(fixture: &Fixture<'_>, script: &str) -> String {
    let output = fixture.cluster().psql(fixture.database(), Cluster::SUPERUSER, script);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// The script that makes the tenant elsewhere.
fn exported(fixture: &Fixture<'_>, tenant: &str) -> String {
    let script = psql(fixture, &format!("select tenancy.export_tenant($t${tenant}$t$)"));
    psql(fixture, &script)
}

fn digests(fixture: &Fixture<'_>, tenant: &str) -> Vec<String> {
    let query =
        format!("select concat_ws(' ', tbl, rows, digest) from tenancy.tenant_digest($t${tenant}$t$) order by 1");
    fixture.superuser().texts(&query)
}

#[test]
fn what_is_imported_elsewhere_is_what_was_exported() {
    let source = source();
    let target = Fixture::on(source.cluster());
    target.run(TABLES);
    target.run("alter table log enable trigger loud");
    psql(&target, &exported(&source, KEY));
    let expected = digests(&source, KEY);
    assert_eq!(digests(&target, KEY), expected);
    assert_eq!(expected.iter().filter(|line| line.contains(" 0 ")).count(), 0, "{expected:?}");
    let row = "select t::text from (select id, key, name, status, plan, region, settings from tenancy.tenants where id = 'ID') t";
    let row = row.replace("ID", ACME.id);
    assert_eq!(target.superuser().value(&row), source.superuser().value(&row));
    let mut client = target.superuser();
    for (query, expected) in [
        ("select string_agg(user_id || role, ',') from tenancy.members", "aliceowner"),
        ("select last_value from tenancy.numbers", "41"),
        ("select twice from parents where id = 10", "20"),
        ("select count(*) from prices", "2"),
        ("select body from log", "as it is"),
        ("select count(*) from days_1", "1"),
        ("select more from derived", "more"),
    ] {
        assert_eq!(client.value(query).as_deref(), Some(expected), "{query}");
    }
    // Numbers that are drawn go on after those that came.
    client.run(&format!(
        "insert into parents (tenant_id) values ('{0}'); insert into children (tenant_id, parent) values ('{0}', 1)",
        ACME.id
    ));
}

#[test]
fn another_id_and_key_make_another_tenant_in_the_same_database() {
    let source = source();
    let script = exported(&source, KEY);
    let again = source.cluster().psql(source.database(), Cluster::SUPERUSER, &script);
    assert!(!again.status.success());
    psql(&source, &format!("\\set tenant_key copy\n{script}"));
    let id = "cccccccc-0000-4000-8000-000000000003";
    psql(&source, &format!("\\set tenant_id {id}\n\\set tenant_key 'co''py 2'\n{script}"));
    let expected = digests(&source, KEY);
    assert_eq!(digests(&source, "copy"), expected);
    assert_eq!(digests(&source, id), expected);
    let mut client = source.superuser();
    let keys = client.texts("select distinct \"the tenant\" from \"Odd \"\"schema\".\"Odd 'table\\\" order by 1");
    assert_eq!(keys, ["co'py 2", "copy", KEY, "other"]);
}

#[test]
fn what_refers_to_nothing_there_is_not_imported() {
    let source = source();
    let target = Fixture::on(source.cluster());
    target.run(TABLES);
    target.run("delete from countries");
    let output = target.cluster().psql(target.database(), Cluster::SUPERUSER, &exported(&source, KEY));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && complaint.contains("visits_country_fkey"), "{complaint}");
    assert_eq!(target.superuser().value("select count(*) from tenancy.tenants").as_deref(), Some("0"));
}

#[test]
fn what_changes_on_the_way_is_noticed() {
    let source = source();
    let target = Fixture::on(source.cluster());
    target.run(TABLES);
    let script = exported(&source, KEY).replace("as it is", "as it was");
    let output = target.cluster().psql(target.database(), Cluster::SUPERUSER, &script);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && complaint.contains("not what was exported"), "{complaint}");
    assert_eq!(target.superuser().value("select count(*) from tenancy.tenants").as_deref(), Some("0"));
}

#[test]
fn a_digest_knows_rows_and_not_the_session() {
    let source = source();
    let expected = digests(&source, KEY);
    assert_eq!(digests(&source, "other"), expected);
    let mut client = source.superuser();
    client.run("set search_path = pg_catalog; set DateStyle = 'German'; set TimeZone = 'Asia/Tokyo'; set bytea_output = 'escape';
                set IntervalStyle = 'iso_8601'; set extra_float_digits = -5; set quote_all_identifiers = on");
    let mine = client.texts(&format!("select digest from tenancy.tenant_digest($t${KEY}$t$) order by 1"));
    let mut plain: Vec<_> = expected.iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
    plain.sort();
    assert_eq!(mine, plain);
    client.run("update public.flags set tenant_id = tenant_id; update public.days set body = 'x' where body = 'in'");
    let changed = digests(&source, KEY);
    let differ: Vec<_> = expected
        .iter()
        .zip(&changed)
        .filter(|(one, other)| one != other)
        .map(|(one, _)| one.split(' ').next().unwrap())
        .collect();
    assert_eq!(differ, ["days"]);
}

#[test]
fn it_is_for_administrators_and_tells_what_it_can_not_do() {
    let source = source();
    let (app, admin) = (source.app(), source.role("admin"));
    source.run(&format!("select tenancy.grant_admin('{admin}')"));
    for call in ["export_tenant('other')", "tenant_digest('other')"] {
        source.connect(&app).refuses(&format!("select * from tenancy.{call}"), "42501");
        source.connect(&admin).run(&format!("select * from tenancy.{call}"));
        source.superuser().refuses(&format!("select * from tenancy.{}", call.replace("other", "nobody")), "42704");
    }
    // The rows themselves are read with the rights of who runs the script.
    let script = psql(&source, "select tenancy.export_tenant('other')");
    source.run(&format!("grant select on all tables in schema public to {admin}"));
    let output = source.cluster().psql(source.database(), &admin, &script);
    assert!(!output.status.success(), "{output:?}");
    source.run("create table forgotten (tenant_id uuid)");
    source.superuser().refuses("select tenancy.export_tenant('other')", "55000");
}

#[test]
fn a_clone_has_all_that_the_original_has() {
    let source = source();
    source.run("alter table log disable trigger loud; update tenancy.tenants set region = 'eu' where key = 'other'");
    let mut client = source.superuser();
    let id = client.value(&format!("select tenancy.clone_tenant($t${KEY}$t$, 'copy', name => 'The copy')")).unwrap();
    assert_eq!(digests(&source, "copy"), digests(&source, KEY));
    let registered =
        format!("select concat_ws('|', key, name, status, settings->>'theme') from tenancy.tenants where id = '{id}'");
    assert_eq!(client.value(&registered).as_deref(), Some("copy|The copy|active|it's \\"));
    let own = format!(
        "select (select user_id from tenancy.members where tenant_id = '{id}') || (select last_value from tenancy.numbers where tenant_id = '{id}')"
    );
    assert_eq!(client.value(&own).as_deref(), Some("alice41"));
    client.refuses(&format!("select tenancy.clone_tenant('other', 'copy2', id => '{id}')"), "42710");
    client.refuses("select tenancy.clone_tenant('other', 'copy')", "42710");
    client.refuses("select tenancy.clone_tenant('nobody', 'copy2')", "42704");
    client.refuses("select tenancy.clone_tenant('other', ' copy2')", "22023");
    source.connect(&source.app()).refuses("select tenancy.clone_tenant('other', 'copy2')", "42501");
}

#[test]
fn a_key_of_all_tenants_is_named_before_anything_is_copied() {
    let source = source();
    let mut client = source.superuser();
    client
        .run(&format!("delete from days where tenant_id <> '{0}'; delete from base where tenant_id <> '{0}'", ACME.id));
    client
        .run("create unique index body_idx on days_1 (day, body); alter table base add constraint once unique (body)");
    for (drop, key, relation) in [
        ("drop index body_idx", "body_idx", "public.days_1"),
        ("alter table base drop constraint once", "once", "public.base"),
    ] {
        let error = client.refuses(&format!("select tenancy.clone_tenant($t${KEY}$t$, 'copy')"), "55000");
        assert!(error.message().contains(key) && error.message().contains(relation), "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("scope_unique")));
        client.run(drop);
    }
    client.run("create table counted (tenant_id integer, n integer); select tenancy.protect('counted')");
    client.run("select tenancy.create_tenant('7'); insert into counted values (7, 1)");
    client.refuses("select tenancy.clone_tenant('7', 'seven')", "22023");
    client.run("select tenancy.clone_tenant('7', '8')");
    assert_eq!(client.texts("select tenant_id || ' ' || n from counted order by 1"), ["7 1", "8 1"]);
}

#[test]
fn a_tenant_of_another_region_is_neither_exported_nor_cloned() {
    use tenancy_harness::Config;
    let cluster = Cluster::start("region", &Config::default().set("tenancy.region", "eu"));
    let fixture = Fixture::on(&cluster);
    fixture.run("select tenancy.create_tenant('here', region => 'eu'), tenancy.create_tenant('there', region => 'us')");
    let mut client = fixture.superuser();
    for call in ["export_tenant('T')", "tenant_digest('T')", "clone_tenant('T', 'T2')"] {
        client.run(&format!("select * from tenancy.{}", call.replace('T', "here")));
        client.refuses(&format!("select * from tenancy.{}", call.replace('T', "there")), "55000");
    }
}
