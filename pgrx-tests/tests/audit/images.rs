//! What stands in the log of a row is what `to_jsonb()` makes of it, and which columns have JSON's null.

use tenancy_harness::{FAMILIES, Session, World};

use crate::Shop;

/// Types with values, edges among them.
const COLUMNS: [(&str, &str); 35] = [
    ("boolean", "(true), (false)"),
    ("smallint", "(0), (-32768), (32767)"),
    ("integer", "(0), (10), (10000), (2147483647), (-2147483648)"),
    ("bigint", "(0), (-1), (100000000), (9223372036854775807), (-9223372036854775808)"),
    (
        "numeric",
        "(0), (0.000), (1.50), (-1e-30), (1e50), ('NaN'), ('Infinity'), ('-Infinity'), (123456789012345678901234567890.123)",
    ),
    ("numeric(10,2)", "(1.005), (99999999.99)"),
    ("real", "(0), (1.1), ('NaN'), ('-Infinity'), (1e-37)"),
    ("double precision", "(0.1 + 0.2), (-0.0), ('Infinity'), (1e308), (5e-324)"),
    ("text", "(''), ('\"\\/ \t\n'), (repeat('x', 100000)), ('é€😀')"),
    ("varchar(20)", "('a b ')"),
    ("char(5)", "('ab'), ('')"),
    ("\"char\"", "('x')"),
    ("name", "('some name')"),
    ("uuid", "('A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11')"),
    ("date", "('2026-02-28'), ('infinity'), ('-infinity'), ('0044-03-15 BC'), ('10000-01-01')"),
    ("time", "('04:05:06.789')"),
    ("timetz", "('04:05:06+02')"),
    ("timestamp", "('2026-01-02 03:04:05.000001'), ('infinity'), ('0044-03-15 00:00:00 BC')"),
    ("timestamptz", "('2026-01-02 03:04:05.6+00'), ('-infinity')"),
    ("interval", "('1 year -2 months 3 days -04:05:06.7')"),
    ("bytea", "('\\x00ff'), ('')"),
    ("json", "('{\"b\": 1, \"a\": [1, null, \"x\"], \"b\": 2}'), ('null'), ('\"x\"'), ('1.0')"),
    ("jsonb", "('{\"b\": {\"c\": []}, \"a\": [1, true]}'), ('null'), ('\"x\"'), ('1.0'), ('[]'), ('true')"),
    ("integer[]", "('{}'), ('{1,null,3}'), ('{{1,2},{3,4}}')"),
    ("text[]", "('{\"a,b\",null}')"),
    ("timestamptz[]", "('{2026-01-02 03:04:05+00}')"),
    ("inet", "('10.0.0.1'), ('::1/64')"),
    ("money", "(12.34)"),
    ("int4range", "('[1,5)'), ('empty')"),
    ("tstzrange", "('[2026-01-01 00:00:00+00,)')"),
    ("point", "('(1.5,2)')"),
    ("bit varying", "('101')"),
    ("regclass", "('pg_class')"),
    ("tsvector", "('a:1 b')"),
    ("pg_lsn", "('16/B374D848')"),
];

#[test]
fn every_type_is_recorded_as_to_jsonb_has_it() {
    let shop = Shop::with(
        "create type mood as enum ('sad', 'glad'); create domain price as numeric check (value >= 0);
         create domain prices as price[]; create type pair as (a integer, \"B\" text); create domain tag as text",
    );
    let own = [
        ("mood", "('sad'), ('glad')"),
        ("price", "(1.20)"),
        ("prices", "('{1.0,2}')"),
        ("pair", "((1, 'x')::pair), (row(null, null)::pair)"),
        ("pair[]", "(array[(1, 'x')::pair])"),
        ("tag", "('x')"),
        ("mood[]", "('{sad}')"),
    ];
    let mut superuser = shop.superuser();
    for (number, (column_type, values)) in COLUMNS.iter().chain(&own).enumerate() {
        let table = format!("typed_{number}");
        superuser.run(&format!(
            "create table {table} (\"Some Value\" {column_type}, tenant_id uuid not null, dropped int,
               id integer generated always as identity primary key,
               twice integer generated always as (id * 2) stored);
             alter table {table} drop dropped; select tenancy.protect('{table}'); select tenancy.audit('{table}');
             set timezone = 'Asia/Kolkata';
             insert into {table} (\"Some Value\", tenant_id) select v::{column_type}, '{}' from (values {values}, (null)) as v (v);
             insert into {table} (\"Some Value\", tenant_id) select \"Some Value\", tenant_id from {table};",
            tenancy_harness::ACME.id
        ));
        let differing = format!(
            "select new_row::text || ' instead of ' || image::text from tenancy.audit_log l
             full join {table} t on l.row_key = jsonb_build_object('id', t.id)
             cross join lateral (select case when to_jsonb(t.\"Some Value\") = 'null'
               then to_jsonb(t) || '{{\"\": [\"Some Value\"]}}' else to_jsonb(t) end) i(image)
             where l.tbl = '{table}'::regclass and (new_row is distinct from image or new_row::text <> image::text
                   or new_row - 'id' = new_row or jsonb_hash(new_row) <> jsonb_hash(image))"
        );
        assert_eq!(superuser.texts(&differing), Vec::<String>::new(), "{column_type}");
        let count = format!(
            "select count(*) = (select count(*) from {table}) and count(*) > 2 from tenancy.audit_log where tbl = '{table}'::regclass"
        );
        assert_eq!(superuser.value(&count).unwrap(), "t", "{column_type}");
        superuser.run(&format!("update {table} set \"Some Value\" = \"Some Value\""));
        let updates =
            format!("select count(*) from tenancy.audit_log where tbl = '{table}'::regclass and op = 'UPDATE'");
        assert_eq!(superuser.value(&updates).unwrap(), "0", "{column_type}");
    }
}

#[test]
fn wide_rows_and_odd_names_are_recorded() {
    let columns: Vec<String> =
        (0..200).map(|n| format!("\"c{} é\"\" {n}\" integer default {n}", "x".repeat(n % 20))).collect();
    let shop = Shop::with(&format!(
        "create schema \"Odd Schema\"; create table \"Odd Schema\".\"a table\" (tenant_id uuid not null, {}, primary key (tenant_id));
         select tenancy.protect('\"Odd Schema\".\"a table\"'); select tenancy.audit('\"Odd Schema\".\"a table\"');
         insert into \"Odd Schema\".\"a table\" (tenant_id) select id from tenancy.tenants",
        columns.join(", ")
    ));
    let same = "select count(*) from tenancy.audit_log l join \"Odd Schema\".\"a table\" t on l.tenant_id = t.tenant_id
                where new_row = to_jsonb(t) and table_name = '\"Odd Schema\".\"a table\"'
                  and (select count(*) from jsonb_each(new_row)) = 201
                  and not exists (select from jsonb_each(new_row) e where new_row -> e.key <> to_jsonb(t) -> e.key)";
    assert_eq!(shop.superuser().value(same).unwrap(), "2");
}

#[test]
fn settings_of_the_session_lose_nothing() {
    let shop = Shop::with(
        "create table readings (id integer primary key, tenant_id uuid not null, f double precision, i interval, b bytea);
         select tenancy.protect('readings'); select tenancy.audit('readings')",
    );
    shop.act(
        "acme",
        "set local extra_float_digits = -15; set local intervalstyle = sql_standard; set local datestyle = 'German, DMY';
         set local bytea_output = escape; set local standard_conforming_strings = off; set local quote_all_identifiers = on;
         set local search_path = pg_temp; insert into public.readings (id, f, i, b)
           values (1, 0.1::float8 + 0.2::float8, '-1 day +02:03', decode('00', 'hex'))",
    );
    assert_eq!(
        shop.superuser().value("select new_row - 'tenant_id' from tenancy.audit_log").unwrap(),
        r#"{"b": "\\x00", "f": 0.30000000000000004, "i": "-1 days +02:03:00", "id": 1}"#
    );
    // And what the session set is still set.
    shop.act("acme", "set local extra_float_digits = 0; insert into readings (id) values (2); do $$ begin assert current_setting('extra_float_digits') = '0' and (0.1::float8 + 0.2::float8)::text = '0.3'; end $$");
}

#[test]
fn tenants_of_every_column_type_are_known() {
    let world = World::new();
    for family in &FAMILIES {
        let table = family.table();
        world.fixture.run(&format!("select tenancy.audit('{table}'); update {table} set body = body || '!'"));
        let owners = format!(
            "select tenant_id || ' ' || count(*) from tenancy.audit_log where tbl = '{table}'::regclass group by tenant_id order by 1"
        );
        let expected =
            [format!("{} {}", family.mine.id, World::MINE), format!("{} {}", family.other.id, World::OTHERS)];
        assert_eq!(world.fixture.superuser().texts(&owners), expected, "{table}");
    }
}

#[test]
fn toasted_values_are_recorded_whole_and_compared() {
    let shop = Shop::new();
    shop.act(
        "acme",
        "insert into orders (id, item) select n, (select string_agg(md5(n::text || i::text), '') from generate_series(1, 500) i) from generate_series(1, 20) n;
         update orders set amount = id; update orders set item = item || '!' where id <= 5; update orders set item = item where id > 5",
    );
    let mut superuser = shop.superuser();
    assert_eq!(
        superuser.texts(
            "select changed::text || count(*) from tenancy.audit_log where op = 'UPDATE' group by changed order by 1"
        ),
        ["{amount}20", "{item}5"]
    );
    let same = "select count(*) from orders o join lateral (select new_row from tenancy.audit_log where row_key = jsonb_build_object('id', o.id)
                order by id desc limit 1) l on l.new_row = to_jsonb(o)";
    assert_eq!(superuser.value(same).unwrap(), "20");
}
