//! What of a tenant goes along besides its rows, and what the script that makes it elsewhere looks at itself.

use tenancy_harness::{ACME, Cluster, Fixture, GLOBEX, Session};

use crate::fixture_with_tenants;

fn exported(fixture: &Fixture<'_>, tenant: &str) -> String {
    let run = |script: &str| {
        let output = fixture.cluster().psql(fixture.database(), Cluster::SUPERUSER, script);
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&run(&format!("select tenancy.export_tenant('{tenant}')")))
}

/// What an importing script that must succeed, or must not, complained of.
fn import(fixture: &Fixture<'_>, script: &str, succeeds: bool) -> String {
    let output = fixture.cluster().psql(fixture.database(), Cluster::SUPERUSER, script);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.success(), succeeds, "{complaint}");
    complaint
}

const RESOURCES: &str = "select tenancy.create_resource('calls', 'counter'), tenancy.create_resource('rate', 'rate'),
                                tenancy.create_resource('elsewhere', 'counter'), tenancy.create_plan('gold')";

#[test]
fn quotas_hosts_and_being_suspended_go_along() {
    let source = fixture_with_tenants();
    source.run(RESOURCES);
    source.run(
        "select tenancy.set_quota('acme', 'calls', 5, null, 'track', null), tenancy.set_quota('acme', 'rate', 7, '1 mon 2 days'),
                tenancy.set_quota('acme', 'elsewhere', null),
                tenancy.add_host('acme.example', 'acme'), tenancy.add_host('*.acme.example', 'acme'), tenancy.add_host('globex.example', 'globex');
         update tenancy.tenants set plan = 'gold', name = '100% It''s \\ :x' where key = 'acme';
         select tenancy.suspend_tenant('acme', 'unpaid'); select tenancy.archive_tenant('acme')",
    );
    let script = exported(&source, "acme");
    let told = |fixture: &Fixture<'_>, id: &str| {
        fixture.superuser().texts(&format!(
            "select concat_ws('|', name, plan, settings, status) from tenancy.tenants where id = '{id}' union all
             select host from tenancy.hosts where tenant_id = '{id}' union all
             select concat_ws('|', r.name, max_amount, per, mode, warn_at) from tenancy.quotas join tenancy.resources r on r.id = resource_id
              where tenant_id = '{id}' order by 1"
        ))
    };
    let target = Fixture::on(source.cluster());
    target.run(&RESOURCES.replace("'elsewhere', 'counter'", "'elsewhere', 'rows'"));
    assert_eq!(import(&target, &script, true), "");
    let expected = [
        "*.acme.example",
        "100% It's \\ :x|gold|{}|suspended",
        "acme.example",
        "calls|5|track",
        "rate|7|1 mon 2 days|enforce|0.8",
    ];
    let mut found = told(&target, ACME.id);
    found.sort();
    assert_eq!(found, expected);
    // A copy has the limits, and a host leads to one tenant alone.
    assert_eq!(import(&source, &format!("\\set tenant_key copy\n{script}"), true), "");
    let id = source.superuser().value("select id from tenancy.tenants where key = 'copy'").unwrap();
    let mut found = told(&source, &id);
    found.sort();
    assert_eq!(
        found,
        [
            "100% It's \\ :x|gold|{}|suspended",
            "calls|5|track",
            "elsewhere|enforce|0.8",
            "rate|7|1 mon 2 days|enforce|0.8"
        ]
    );
    let clone = source.superuser().value("select tenancy.clone_tenant('acme', 'clone')").unwrap();
    let quotas = told(&source, &clone);
    assert!(quotas.contains(&"calls|5|track".to_owned()) && quotas.len() == 4, "{quotas:?}");
    // They hold for what has come with them.
    let limited = Fixture::on(source.cluster());
    for fixture in [&source, &limited] {
        fixture.run(
            "create table things (tenant_id uuid, n int); select tenancy.protect('things');
             select tenancy.create_resource('things', 'rows'); select tenancy.attach_quota('things', 'things')",
        );
    }
    source.run(&format!(
        "select tenancy.set_quota('globex', 'things', 3); insert into things select '{}', n from generate_series(1, 2) n",
        GLOBEX.id
    ));
    assert_eq!(import(&limited, &exported(&source, "globex"), true), "");
    let mut client = limited.superuser();
    let insert = format!("insert into things values ('{}', 3)", GLOBEX.id);
    client.run(&insert);
    client.refuses(&insert, "53400");
    // A host that is taken there is not taken away.
    let taken = Fixture::on(source.cluster());
    taken.run("select tenancy.create_tenant('other'); select tenancy.add_host('acme.example', 'other')");
    let complaint = import(&taken, &script, false);
    assert!(complaint.contains("acme.example"), "{complaint}");
}

#[test]
fn keys_that_are_checked_at_the_end_are_checked() {
    let source = fixture_with_tenants();
    source.run(&format!(
        "create table numbers (tenant_id uuid, n int, m int, constraint once unique (n, m) deferrable initially deferred);
         create table spans (tenant_id text, s int4range, on_it boolean,
             constraint apart exclude using gist ((int4range(lower(s), upper(s) + 1)) with &&) where (on_it) deferrable);
         create table days (tenant_id uuid, day int, n int, constraint one_a_day unique nulls not distinct (day, n) deferrable) partition by list (day);
         create table days_1 partition of days default;
         create table own (tenant_id uuid, n int, primary key (tenant_id, n) deferrable);
         select tenancy.protect(t) from unnest('{{numbers,spans,days,own}}'::regclass[]) t;
         insert into numbers values ('{0}', 1, null), ('{0}', 1, null), ('{0}', 1, 2); insert into spans values ('acme', '[1,5]', true), ('acme', '[1,5]', false);
         insert into days values ('{0}', 1, null); insert into own values ('{0}', 1), ('{1}', 1)",
        ACME.id, GLOBEX.id
    ));
    let script = format!("\\set tenant_key copy\n{}", exported(&source, "acme"));
    let mut client = source.superuser();
    for (remedy, name) in [
        ("delete from days", "one_a_day"),
        ("delete from numbers where m is not null", "once"),
        ("delete from spans where on_it", "apart"),
    ] {
        let complaint = import(&source, &script, false);
        assert!(
            complaint.contains("violate the key") && complaint.contains(&format!("\"{name}\"")),
            "{name}: {complaint}"
        );
        client.run(remedy);
    }
    assert_eq!(import(&source, &script, true), "");
    assert_eq!(client.value("select count(*) from own").as_deref(), Some("3"));
}

#[test]
fn sequences_go_past_what_came_and_no_others_matter() {
    let source = fixture_with_tenants();
    source.run(&format!(
        "create table counted (tenant_id uuid, id serial primary key, named text);
         create sequence names owned by counted.named; select tenancy.protect('counted');
         insert into counted values ('{}', 1, 'x')",
        ACME.id
    ));
    let script = exported(&source, "acme");
    let target = Fixture::on(source.cluster());
    target.run(
        "create table counted (tenant_id uuid, id serial primary key, named text);
         create sequence names owned by counted.named; select tenancy.protect('counted')",
    );
    assert_eq!(import(&target, &script, true), "");
    let insert = format!("insert into counted (tenant_id) values ('{}') returning id", ACME.id);
    assert_eq!(target.superuser().value(&insert).as_deref(), Some("2"));
}

#[test]
fn what_inherits_from_two_tables_has_its_rows_once() {
    let fixture = fixture_with_tenants();
    fixture.run(&format!(
        "create table one (tenant_id uuid, a int); create table two (tenant_id uuid, b int);
         create table child (c int) inherits (one, two);
         select tenancy.protect('one'); select tenancy.protect('two'); insert into child values ('{}', 1, 2, 3)",
        ACME.id
    ));
    let mut client = fixture.superuser();
    client.run("select tenancy.clone_tenant('acme', 'clone')");
    assert_eq!(client.value("select count(*) from child").as_deref(), Some("2"));
    import(&fixture, &format!("\\set tenant_key copy\n{}", exported(&fixture, "acme")), true);
    assert_eq!(client.value("select count(*) from child").as_deref(), Some("3"));
    let lines = "select count(*) || ' ' || sum(rows) from tenancy.tenant_digest('acme')";
    assert_eq!(client.value(lines).as_deref(), Some("3 1"));
}

#[test]
fn settings_of_either_database_change_no_value() {
    let source = fixture_with_tenants();
    // Not every server is built with XML.
    let has_xml = source.superuser().batch_execute("select xmlparse(content 'a')").is_ok();
    let (xml, value) = if has_xml { ("xml", "xmlparse(content 'a <b/> c')") } else { ("text", "'a'") };
    let tables = &format!(
        "create table kept (tenant_id uuid, a text[], m money, x {xml}, i interval, t timestamptz, d date, f float8, b bytea);
         select tenancy.protect('kept')"
    );
    source.run(tables);
    source.run(&format!(
        "insert into kept values ('{}', '{{NULL,\"NULL\"}}', 1234.5, {value}, '-1 mon 2 days 03:00',
                                  '2020-02-01 00:00+00', '2020-02-01', 0.1, '\\x00ff5c')",
        ACME.id
    ));
    let target = Fixture::on(source.cluster());
    target.run(tables);
    for fixture in [&source, &target] {
        fixture.run(&format!(
            "alter database {0} set array_nulls = off; alter database {0} set xmloption = document; alter database {0} set datestyle = 'SQL, DMY';
             alter database {0} set intervalstyle = sql_standard; alter database {0} set extra_float_digits = -10;
             alter database {0} set bytea_output = escape; alter database {0} set xmlbinary = hex; alter database {0} set standard_conforming_strings = off;
             alter database {0} set timezone = 'Asia/Tokyo'; alter database {0} set quote_all_identifiers = on",
            fixture.database()
        ));
    }
    assert_eq!(import(&target, &exported(&source, "acme"), true), "");
    let digest = "select digest from tenancy.tenant_digest('acme')";
    assert_eq!(target.superuser().value(digest), source.superuser().value(digest));
}

/// Each row's hash, sorted; their hashes by the first byte; and the hash of these.
#[test]
fn a_digest_is_what_it_is_said_to_be() {
    let fixture = fixture_with_tenants();
    fixture.run(&format!(
        "create table counted (tenant_id uuid, n int, body text); select tenancy.protect('counted');
         insert into counted select '{}', n, case n % 3 when 0 then 'x' || n end from generate_series(1, 2000) n;
         insert into counted select tenant_id, n, body from counted limit 100",
        ACME.id
    ));
    let mut client = fixture.superuser();
    let own = "select encode(sha256(string_agg(h, '' order by first)), 'hex') from (
                 select get_byte(h, 0) first, sha256(string_agg(h, '' order by h)) h
                   from (select sha256(convert_to(row(body, n)::text, 'UTF8')) h from counted) r group by 1) b";
    let digest = client.value("select digest from tenancy.tenant_digest('acme')");
    assert_eq!(client.value(own), digest);
    client.run("update counted set n = n; delete from counted where n = 7; insert into counted values ('aaaaaaaa-0000-4000-8000-000000000001', 7, null)");
    let rows = "select rows from tenancy.tenant_digest('acme')";
    let count = client.value(rows);
    let again = client.value("select digest from tenancy.tenant_digest('acme')");
    assert_eq!(again == digest, count.as_deref() == Some("2100"));
}
