//! One row's life, and the log as lines of JSON.

use tenancy_harness::Session;

use crate::Shop;

fn history(client: &mut impl Session, key: &str) -> Vec<String> {
    client.texts(&format!(
        "select concat_ws(' ', op, old_row ->> 'id', old_row ->> 'item', new_row ->> 'id', new_row ->> 'item')
         from tenancy.audit_history('orders', '{key}')"
    ))
}

#[test]
fn a_row_is_followed_through_its_keys() {
    let shop = Shop::new();
    shop.act("acme", "insert into orders (id, item) values (1, 'a'), (2, 'b')");
    shop.act("acme", "update orders set item = 'A' where id = 1; update orders set id = 7 where id = 1; update orders set item = 'AA' where id = 7");
    shop.act("acme", "insert into orders (id, item) values (1, 'another'); delete from orders where id = 7");
    let mut superuser = shop.superuser();
    let life = ["INSERT 1 a", "UPDATE 1 a 1 A", "UPDATE 1 A 7 A", "UPDATE 7 A 7 AA", "DELETE 7 AA"];
    assert_eq!(history(&mut superuser, r#"{"id": 7}"#), life);
    assert_eq!(history(&mut superuser, r#"{"id": 1}"#), ["INSERT 1 a", "UPDATE 1 a 1 A", "INSERT 1 another"]);
    assert_eq!(history(&mut superuser, r#"{"id": 2}"#), ["INSERT 2 b"]);
    assert_eq!(history(&mut superuser, r#"{"id": 3}"#), Vec::<String>::new());
    let mut client = shop.fixture.connect(&shop.app);
    assert_eq!(history(&mut client, r#"{"id": 7}"#), Vec::<String>::new());
    client.run("begin; select tenancy.set_tenant('globex')");
    assert_eq!(history(&mut client, r#"{"id": 7}"#), Vec::<String>::new());
    client.run("rollback; begin; select tenancy.set_tenant('acme')");
    assert_eq!(history(&mut client, r#"{"id": 7}"#), life);
    // By index, for a tenant too.
    client.run("set local enable_seqscan = off");
    let plan = client.texts(
        "explain with known(key, hash) as materialized (values ('{\"id\": 7}'::jsonb, 5::bigint))
         select l.* from known join tenancy.audit_log l on l.row_hash = known.hash and l.tbl = 'orders'::regclass where l.row_key = known.key",
    );
    assert!(
        plan.iter().any(|line| line.contains("Index Cond: (row_hash = known.hash)")
            || line.contains("Index Cond: ((row_hash = known.hash)")),
        "{plan:#?}"
    );
}

#[test]
fn a_row_without_key_is_followed_too() {
    let shop = Shop::with(
        "create table orders (tenant_id uuid not null, id int, item text); select tenancy.protect('orders'); select tenancy.audit('orders')",
    );
    shop.act("acme", "insert into orders (id, item) values (1, 'a'), (2, 'b'); update orders set item = 'c' where id = 1; update orders set item = 'd' where id = 1");
    let mut superuser = shop.superuser();
    let key = superuser.value("select to_jsonb(o)::text from orders o where id = 1").unwrap();
    assert_eq!(history(&mut superuser, &key), ["INSERT 1 a", "UPDATE 1 a 1 c", "UPDATE 1 c 1 d"]);
}

#[test]
fn entries_are_exported_as_lines_of_json() {
    let shop = Shop::new();
    shop.act("acme", "insert into orders (id, item) values (1, E'line\\none \\\"quoted\\\" \\\\ é'); update orders set amount = 1.50");
    let script = "copy (select tenancy.audit_json(l) from tenancy.audit_log as l order by txid, id) to stdout
                  with (format csv, quote E'\\x01', delimiter E'\\x02');";
    let output = shop.fixture.cluster().psql(shop.fixture.database(), "postgres", script);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    let mut superuser = shop.superuser();
    for (place, line) in lines.iter().enumerate() {
        let sql = format!(
            "select (j -> 'new_row' = new_row and j -> 'row_key' = row_key and j ->> 'txid' = txid::text and (j ->> 'at')::timestamptz = at
                     and j -> 'changed' is not distinct from coalesce(to_jsonb(changed), 'null') and j ->> 'op' = op and (j -> 'id')::bigint = id
                     and j ->> 'tenant_id' = tenant_id::text and j -> 'bypass' = to_jsonb(bypass) and (select count(*) from jsonb_each(j)) = 18)::text
             from (select l.*, $json${line}$json$::jsonb as j from tenancy.audit_log as l order by id offset {place} limit 1) as l"
        );
        assert_eq!(superuser.value(&sql).unwrap(), "true", "{line}");
    }
}
