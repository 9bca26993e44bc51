//! What a row can be asked by.

use crate::{Shop, of, verdict, why};
use tenancy_harness::{ACME, GLOBEX, Session};

#[test]
fn malformed_keys_are_refused() {
    let shop = Shop::new();
    let mut client = shop.as_app();
    for key in
        ["{}", "[]", "[1]", "1", "\"id\"", "null", r#"{"id": "one"}"#, r#"{"id": {}}"#, r#"{"tenant_id": "acme"}"#]
    {
        client.refuses(&format!("select * from tenancy.why('orders', '{key}')"), "22023");
    }
    client.refuses("select * from tenancy.why('orders', null)", "22023");
    client.refuses("select * from tenancy.why(null, '{}')", "22023");
    for column in ["ida", "ctid", "tableoid", "ID", "id\" = 1 or \"id"] {
        let key = format!("{{\"{}\": 1}}", column.replace('"', "\\\""));
        client.refuses(&format!("select * from tenancy.why('orders', '{key}')"), "42703");
    }
}

#[test]
fn only_tables_of_users_can_be_asked_about() {
    let shop = Shop::new();
    shop.run("create view v as select * from orders; create sequence s");
    let mut client = shop.fixture.superuser();
    for (relation, sqlstate) in
        [("v", "42809"), ("s", "42809"), ("orders_pkey", "42809"), ("pg_class", "0A000"), ("tenancy.tenants", "0A000")]
    {
        client.refuses(&format!("select * from tenancy.why('{relation}', '{{\"id\": 1}}')"), sqlstate);
    }
    client.refuses("select * from tenancy.why(1::oid::regclass, '{\"id\": 1}')", "42P01");
}

#[test]
fn more_than_one_row_is_no_row() {
    let shop = Shop::new();
    shop.run(&format!("insert into orders values (4, '{0}', 'x'), (5, '{0}', 'x')", ACME.id));
    let checks = shop.told(r#"{"body": "x"}"#);
    assert_eq!(of(&checks, "row"), (Some(false), "more than one row has this key"));
    assert_eq!(verdict(&checks), [Some(false); 3]);
    assert_eq!(of(&shop.told(r#"{"body": "x", "id": 4}"#), "row").0, Some(true));
}

#[test]
fn a_key_within_the_tenant_means_the_tenant_s_row() {
    let shop = Shop::new();
    shop.run(&format!(
        "create table scoped (tenant_id uuid, n integer, hidden boolean, primary key (tenant_id, n));
         select tenancy.protect('scoped'); grant select on scoped to {{app}};
         create policy shown on scoped as restrictive using (not hidden);
         insert into scoped values ('{0}', 1, true), ('{1}', 1, false), ('{1}', 2, false)",
        ACME.id, GLOBEX.id
    ));
    let mut client = shop.fixture.connect(&shop.admin);
    client.run(&format!("set role {}; set tenancy.tenant_id = 'acme'", shop.app));
    let checks = why(&mut client, "scoped", r#"{"n": 1}"#);
    assert_eq!(of(&checks, "row_tenant").1, "it belongs to the tenant in force");
    assert_eq!(of(&checks, "policy shown USING").0, Some(false));
    assert_eq!(of(&why(&mut client, "scoped", r#"{"n": 2}"#), "row_tenant").1, "it belongs to another tenant");
}

#[test]
fn values_of_many_types() {
    let shop = Shop::new();
    shop.run(&format!(
        "create type mood as enum ('fine', 'ill'); create domain code as char(4) check (value <> 'none');
         create table \"It's\" (
             tenant_id uuid, a text, \"B c\" boolean, d numeric, e timestamptz, f mood, g code, h bytea, i integer[], j real
         );
         select tenancy.protect('\"It''s\"'); grant select on \"It's\" to {{app}};
         insert into \"It's\" values
             ('{}', 'it''s', true, 12.50, '2026-01-01 00:00+00', 'ill', 'ab', '\\x00ff', '{{1,2}}', null)",
        ACME.id
    ));
    let mut client = shop.as_app();
    for (key, found) in [
        (r#"{"a": "it''s"}"#, true),
        (r#"{"a": "its"}"#, false),
        (r#"{"B c": true}"#, true),
        (r#"{"B c": false}"#, false),
        (r#"{"d": 12.5}"#, true),
        (r#"{"e": "2026-01-01T01:00:00+01:00"}"#, true),
        (r#"{"f": "ill"}"#, true),
        (r#"{"g": "ab"}"#, true),
        (r#"{"g": "abcd"}"#, false),
        (r#"{"h": "\\x00ff"}"#, true),
        (r#"{"i": "{1,2}"}"#, true),
        (r#"{"j": null}"#, true),
        (r#"{"a": null}"#, false),
        (r#"{"a": "it''s", "d": "12.5", "j": null}"#, true),
    ] {
        let checks = why(&mut client, "\"It''s\"", key);
        assert_eq!(of(&checks, "row").0, Some(found), "{key}");
    }
    client.refuses(r#"select * from tenancy.why('"It''s"', '{"f": "well"}')"#, "22023");
}

#[test]
fn a_number_is_compared_to_its_last_digit() {
    let shop = Shop::new();
    shop.run(
        "create table numbers (n numeric primary key); insert into numbers values (12345678901234567890123), (0.1)",
    );
    let mut client = shop.fixture.superuser();
    for (number, found) in [("12345678901234567890123", true), ("12345678901234567890124", false), ("0.10", true)] {
        let checks = why(&mut client, "numbers", &format!("{{\"n\": {number}}}"));
        assert_eq!(of(&checks, "row").0, Some(found), "{number}");
    }
    assert_eq!(of(&why(&mut client, "numbers", r#"{"n": 1e400}"#), "row").0, Some(false));
}

#[test]
fn a_key_that_no_column_takes_is_malformed_however_large_or_deep_it_is() {
    let shop = Shop::new();
    let mut client = shop.as_app();
    client.refuses(r#"select tenancy.why('orders', '{"id": 1e400}')"#, "22023");
    client.refuses("select tenancy.why('orders', (repeat('[', 300) || repeat(']', 300))::jsonb)", "22023");
    client.refuses(
        r#"select tenancy.why('orders', ('{"id": ' || repeat('[', 300) || repeat(']', 300) || '}')::jsonb)"#,
        "22023",
    );
}
