//! Each kind of statement leaves one entry for each row that it changed.

use tenancy_harness::{Cluster, Session};

use crate::Shop;

#[test]
fn insert_update_delete_and_truncate_are_recorded() {
    let shop = Shop::new();
    shop.act("acme", "insert into orders (id, item) values (1, 'anvil'), (2, 'rope')");
    shop.act("acme", "update orders set item = 'saw', amount = 1.50 where id = 2; delete from orders where id = 1");
    shop.fixture.run("truncate orders");
    assert_eq!(
        shop.log(),
        [
            r#"INSERT {"id": 1} {"id": 1, "item": "anvil", "amount": null}"#,
            r#"INSERT {"id": 2} {"id": 2, "item": "rope", "amount": null}"#,
            r#"UPDATE {"id": 2} {"id": 2, "item": "rope", "amount": null} {"id": 2, "item": "saw", "amount": 1.50} {item,amount}"#,
            r#"DELETE {"id": 1} {"id": 1, "item": "anvil", "amount": null}"#,
            "TRUNCATE",
        ]
    );
}

#[test]
fn what_changes_nothing_is_not_recorded() {
    let shop = Shop::new();
    shop.act("acme", "insert into orders (id, item) values (1, 'anvil')");
    shop.act(
        "acme",
        "update orders set item = 'anvil'; update orders set item = 'x' where false; delete from orders where id = 9",
    );
    assert_eq!(shop.count(), "1");
    // A number is what it is written like: 1.5 and 1.50 are not the same row.
    shop.act("acme", "update orders set amount = 1.5; update orders set amount = 1.50");
    assert_eq!(shop.count(), "3");
}

#[test]
fn copy_merge_and_on_conflict_are_recorded() {
    let shop = Shop::new();
    shop.act("acme", "insert into orders (id, item) values (1, 'a')");
    let acme = tenancy_harness::ACME.id;
    let script = format!("copy orders (id, item, tenant_id) from stdin;\n2\tb\t{acme}\n3\tc\t{acme}\n\\.\n");
    let output = shop.fixture.cluster().psql(shop.fixture.database(), Cluster::SUPERUSER, &script);
    assert!(output.status.success(), "{output:?}");
    shop.act(
        "acme",
        "insert into orders (id, item) values (3, 'C'), (4, 'd')
           on conflict (id) do update set item = excluded.item;
         insert into orders (id, item) values (4, 'D') on conflict do nothing;
         merge into orders using (values (1, 'A'), (2, 'b'), (5, 'e')) as new (id, item) on orders.id = new.id
           when matched and new.id = 2 then delete
           when matched then update set item = new.item
           when not matched then insert (id, item) values (new.id, new.item)",
    );
    let mut superuser = shop.superuser();
    let operations = superuser.texts("select op || ' ' || (row_key ->> 'id') from tenancy.audit_log order by id");
    assert_eq!(operations[..3], ["INSERT 1", "INSERT 2", "INSERT 3"]);
    let sorted = |range: std::ops::Range<usize>| {
        let mut some = operations[range].to_vec();
        some.sort();
        some
    };
    assert_eq!(sorted(3..5), ["INSERT 4", "UPDATE 3"]);
    assert_eq!(sorted(5..8), ["DELETE 2", "INSERT 5", "UPDATE 1"]);
    assert_eq!(operations.len(), 8);
}

#[test]
fn cascades_and_several_changes_in_one_statement_are_recorded() {
    let shop = Shop::with(
        "create table orders (id integer, tenant_id uuid, primary key (tenant_id, id));
         create table lines (id integer, tenant_id uuid, order_id integer,
           foreign key (tenant_id, order_id) references orders (tenant_id, id) on delete cascade on update cascade);
         select tenancy.protect('orders'), tenancy.protect('lines');
         alter table lines add primary key (tenant_id, id);
         select tenancy.audit('orders'), tenancy.audit('lines')",
    );
    shop.act("acme", "insert into orders (id) values (1), (2), (3); insert into lines (id, order_id) select n, 1 + n % 3 from generate_series(1, 9) n");
    shop.act("acme", "update orders set id = id + 10 where id < 3");
    shop.act("acme", "delete from orders");
    let mut superuser = shop.superuser();
    let counts = superuser.texts(
        "select concat_ws(' ', table_name, op, count(*)) from tenancy.audit_log group by table_name, op order by 1",
    );
    assert_eq!(
        counts,
        [
            "public.lines DELETE 9",
            "public.lines INSERT 9",
            "public.lines UPDATE 6",
            "public.orders DELETE 3",
            "public.orders INSERT 3",
            "public.orders UPDATE 2"
        ]
    );
    shop.act(
        "acme",
        "with first as (insert into orders (id) values (1) returning id), second as (insert into orders (id) values (2)
         returning id) update lines set order_id = null where false",
    );
    assert_eq!(
        superuser
            .value("select count(*) from tenancy.audit_log where op = 'INSERT' and tbl = 'orders'::regclass")
            .unwrap(),
        "5"
    );
}

#[test]
fn pairs_of_old_and_new_belong_together() {
    let shop = Shop::new();
    shop.act(
        "acme",
        "insert into orders (id, item) select n, 'old ' || n from generate_series(1, 3000) n;
         update orders set item = 'new ' || id, id = 10000 - id",
    );
    let wrong = "select count(*) from tenancy.audit_log where op = 'UPDATE'
                  and (old_row ->> 'item' <> 'old ' || (old_row ->> 'id') or new_row ->> 'item' <> 'new ' || (old_row ->> 'id')
                       or (old_row ->> 'id')::int + (new_row ->> 'id')::int <> 10000 or new_row -> 'id' <> row_key -> 'id')";
    let mut superuser = shop.superuser();
    assert_eq!(superuser.value(wrong).unwrap(), "0");
    assert_eq!(superuser.value("select count(*) from tenancy.audit_log where op = 'UPDATE'").unwrap(), "3000");
}

#[test]
fn what_is_rolled_back_is_not_recorded() {
    let shop = Shop::new();
    let mut client = shop.fixture.connect(&shop.app);
    client.run(
        "begin; select tenancy.set_tenant('acme'); insert into orders (id) values (1);
         savepoint s; insert into orders (id) values (2); rollback to s; insert into orders (id) values (3); commit;
         begin; select tenancy.set_tenant('acme'); insert into orders (id) values (4); rollback",
    );
    assert_eq!(shop.superuser().texts("select row_key ->> 'id' from tenancy.audit_log order by id"), ["1", "3"]);
}

#[test]
fn a_prepared_transaction_is_recorded_when_it_commits() {
    let shop = Shop::new();
    let name = shop.fixture.name("audited");
    shop.act("acme", "insert into orders (id) values (1)");
    let mut client = shop.fixture.connect(&shop.app);
    client.run(&format!(
        "begin; select tenancy.set_tenant('acme'); insert into orders (id) values (2); prepare transaction '{name}'"
    ));
    assert_eq!(shop.count(), "1");
    shop.fixture.run(&format!("commit prepared '{name}'"));
    assert_eq!(shop.count(), "2");
}

#[test]
fn a_crash_loses_neither_the_rows_nor_their_entries() {
    let cluster = Cluster::start("crash", &tenancy_harness::Config::default().set("fsync", "on"));
    let fixture = tenancy_harness::Fixture::on(&cluster);
    fixture.run(
        "select tenancy.create_tenant('acme', id => 'aaaaaaaa-0000-4000-8000-000000000001');
         create table orders (id integer primary key, tenant_id uuid not null);
         select tenancy.protect('orders'); select tenancy.audit('orders');
         insert into orders select n, 'aaaaaaaa-0000-4000-8000-000000000001' from generate_series(1, 2000) n",
    );
    let mut open = fixture.superuser();
    open.run(
        "begin; insert into orders select n, 'aaaaaaaa-0000-4000-8000-000000000001' from generate_series(2001, 4000) n",
    );
    cluster.kill9();
    drop(open);
    cluster.restart();
    let mut superuser = fixture.superuser();
    assert_eq!(superuser.value("select count(*) from tenancy.audit_log where row_key is not null").unwrap(), "2000");
    superuser.run("set enable_seqscan = off");
    let by_index = "select count(*) from orders o, tenancy.audit_history('orders', jsonb_build_object('id', o.id))";
    assert_eq!(superuser.value(by_index).unwrap(), "2000");
}
