//! Undoing a transaction.

use postgres::Client;
use tenancy_harness::{Session, sqlstate};

use crate::Shop;

/// Runs statements in one transaction of a tenant's, and returns its number.
pub fn transaction(shop: &Shop, tenant: &str, statements: &str) -> String {
    let mut client = shop.fixture.connect(&shop.app);
    client.run(&format!("begin; select tenancy.set_tenant('{tenant}'); {statements}"));
    let txid = client.value("select pg_current_xact_id()::text").unwrap();
    client.run("commit");
    txid
}

pub fn acting(shop: &Shop, tenant: &str) -> Client {
    let mut client = shop.fixture.connect(&shop.app);
    client.run(&format!("set tenancy.tenant_id = '{tenant}'"));
    client
}

pub fn revert(client: &mut Client, txid: &str, dry_run: bool) -> Vec<String> {
    client.texts(&format!("select s from tenancy.audit_revert('{txid}', {dry_run}) s"))
}

pub fn rows(shop: &Shop, table: &str) -> Vec<String> {
    shop.superuser().texts(&format!("select t::text from {table} t order by t::text"))
}

/// The DETAIL of what is refused with 55000.
pub fn refused(client: &mut Client, txid: &str) -> String {
    let error = client.batch_execute(&format!("select tenancy.audit_revert('{txid}', false)")).unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "55000", "{error:?}");
    format!("{} {}", error.message(), error.detail().unwrap_or_default())
}

#[test]
fn a_transaction_is_undone_and_that_is_recorded() {
    let shop = Shop::with(
        "create table orders (id integer primary key, tenant_id uuid not null, item text, amount numeric, at timestamptz);
         select tenancy.protect('orders'); select tenancy.audit('orders')",
    );
    shop.act(
        "acme",
        "insert into orders (id, item, amount) values (1, 'a', 1.50), (2, 'b''s \\ \"q\"', null), (3, 'c', 3)",
    );
    shop.act("globex", "insert into orders (id, item) values (10, 'theirs')");
    let before = rows(&shop, "orders");
    let txid = transaction(
        &shop,
        "acme",
        "insert into orders (id, item) values (4, 'd'), (5, 'e'); update orders set item = 'D' where id = 4;
         update orders set amount = amount * 2, at = now() where id <> 2; update orders set id = 7 where id = 1;
         update orders set item = 'A' where id = 7; delete from orders where id in (2, 3)",
    );
    let after = rows(&shop, "orders");
    let mut client = acting(&shop, "acme");
    let rehearsed = revert(&mut client, &txid, true);
    assert_eq!(rows(&shop, "orders"), after);
    let entries = shop.count().parse::<usize>().unwrap();
    let done = revert(&mut client, &txid, false);
    assert_eq!(rehearsed, done);
    assert!(done.first().is_some_and(|first| first.starts_with("INSERT INTO public.orders ")), "{done:#?}");
    assert_eq!(rows(&shop, "orders"), before);
    assert!(shop.count().parse::<usize>().unwrap() > entries);
    let told = "select concat_ws(' ', event, detail ->> 'txid') from tenancy.event_log where event = 'audit.reverted'";
    assert_eq!(shop.superuser().texts(told), [format!("audit.reverted {txid}")]);
    // Not twice, not for somebody else, not without a tenant.
    assert!(refused(&mut client, &txid).contains("can't be undone"));
    assert_eq!(revert(&mut acting(&shop, "globex"), &txid, false), Vec::<String>::new());
    shop.fixture.connect(&shop.app).refuses(&format!("select tenancy.audit_revert('{txid}')"), "42501");
    shop.superuser().refuses(&format!("select tenancy.audit_revert('{txid}')"), "42501");
    // What a superuser acting for a tenant undoes is that tenant's alone.
    assert_eq!(rows(&shop, "orders"), before);
}

#[test]
fn later_changes_are_not_lost() {
    let shop = Shop::with(
        "create table orders (id integer primary key, tenant_id uuid not null, item text, amount numeric, seen int);
         select tenancy.protect('orders'); select tenancy.audit('orders', ignore => '{seen}')",
    );
    shop.act("acme", "insert into orders (id, item, amount) select n, 'a', 1 from generate_series(1, 4) n");
    let mut client = acting(&shop, "acme");
    let updated = transaction(&shop, "acme", "update orders set item = 'b'");
    shop.act("acme", "update orders set item = 'c' where id = 3");
    let entry = shop
        .superuser()
        .value(&format!("select id from tenancy.audit_log where txid = '{updated}' and row_key = '{{\"id\": 3}}'"))
        .unwrap();
    let state = rows(&shop, "orders");
    let told = refused(&mut client, &updated);
    assert!(told.contains(&format!("entry {entry} of the audit log, of public.orders,")), "{told}");
    assert_eq!(rows(&shop, "orders"), state);
    // Changes of other columns are none of its business, and stay.
    shop.act("acme", "update orders set item = 'b' where id = 3; update orders set amount = 5, seen = 9");
    revert(&mut client, &updated, false);
    let is = "select string_agg(concat(item, amount, seen), ' ' order by id) from orders";
    assert_eq!(client.value(is).unwrap(), "a59 a59 a59 a59");
    // A row that has changed is not removed, one whose key is in use not brought back.
    let inserted = transaction(
        &shop,
        "acme",
        "insert into orders (id, item) values (8, 'x'); update orders set amount = 1 where id = 8",
    );
    shop.act("acme", "update orders set item = 'y' where id = 8");
    assert!(refused(&mut client, &inserted).contains("changed since"));
    shop.act("acme", "update orders set item = 'x', seen = 4 where id = 8");
    revert(&mut client, &inserted, false);
    let deleted = transaction(&shop, "acme", "delete from orders where id = 1");
    shop.act("acme", "insert into orders (id, item) values (1, 'new')");
    assert!(refused(&mut client, &deleted).contains("in use"));
}

#[test]
fn foreign_keys_and_triggers_are_no_obstacle() {
    let shop = Shop::with(
        "create table orders (tenant_id uuid not null, id int, parent int, item text, primary key (tenant_id, id),
           foreign key (tenant_id, parent) references orders on delete cascade);
         create table lines (tenant_id uuid not null, id int generated always as identity, order_id int, note text, twice text generated always as (note || note) stored,
           primary key (tenant_id, id), foreign key (tenant_id, order_id) references orders on update cascade on delete cascade);
         create function touch() returns trigger language plpgsql as $$ begin new.touched := old.touched + 1; return new; end $$;
         create table notes (tenant_id uuid not null, id int primary key, item text, touched int default 0);
         create trigger touch before update on notes for each row execute function touch();
         select tenancy.protect(t), tenancy.audit(t) from unnest('{orders,lines}'::regclass[]) t;
         select tenancy.protect('notes'); select tenancy.audit('notes', ignore => '{touched}')",
    );
    shop.act(
        "acme",
        "insert into orders (id) values (1), (2); insert into orders (id, parent) values (3, 2), (4, 3);
                      insert into lines (order_id, note) values (1, 'a'), (2, 'b'), (4, 'c');
                      insert into notes (id, item) values (1, 'a'), (2, 'b')",
    );
    let state = |shop: &Shop| {
        let mut superuser = shop.superuser();
        let mut state = superuser.texts("select concat_ws(' ', id, parent, item) from orders order by id");
        state.extend(superuser.texts("select concat_ws(' ', id, order_id, note, twice) from lines order by id"));
        state.extend(superuser.texts("select concat_ws(' ', id, item) from notes order by id"));
        state
    };
    let before = state(&shop);
    let mut client = acting(&shop, "acme");
    for statements in [
        "delete from orders where id = 2",
        "update notes set item = 'x'; update notes set item = 'y'; update lines set note = 'z'",
        "update orders set id = 9 where id = 1",
        "insert into orders (id) values (20); insert into orders (id, parent) values (21, 20); insert into lines (order_id, note) values (21, 'n')",
    ] {
        let txid = transaction(&shop, "acme", statements);
        assert_ne!(state(&shop), before, "{statements}");
        revert(&mut client, &txid, false);
        assert_eq!(state(&shop), before, "{statements}");
    }
    // What came later would go along.
    let txid = transaction(&shop, "acme", "insert into orders (id) values (30)");
    shop.act("acme", "insert into lines (order_id, note) values (30, 'later')");
    assert!(refused(&mut client, &txid).contains("refer to the row"));
}

#[test]
fn what_is_not_recorded_is_not_guessed() {
    let shop = Shop::with(
        "create table people (id int primary key, tenant_id uuid not null, name text, password text); create table \"Odd one\" (tenant_id uuid not null, \"a b\" int, p point);
         select tenancy.protect('people'); select tenancy.protect('\"Odd one\"');
         select tenancy.audit('people', redact => '{password}'); select tenancy.audit('\"Odd one\"')",
    );
    let mut client = acting(&shop, "acme");
    shop.act("acme", "insert into people (id, name, password) values (1, 'a', 's1'), (2, 'b', 's2')");
    // Of an UPDATE only what is recorded is given back.
    let txid = transaction(
        &shop,
        "acme",
        "update people set name = 'x', password = 's3' where id = 1; update people set password = 's4' where id = 2",
    );
    let statements = revert(&mut client, &txid, false);
    assert_eq!(rows(&shop, "(select id, name, password from people)"), ["(1,a,s3)", "(2,b,s4)"]);
    assert!(statements[0].starts_with("-- "), "{statements:#?}");
    let deleted = transaction(&shop, "acme", "delete from people where id = 1");
    assert!(refused(&mut client, &deleted).contains("\"password\" was not recorded"));
    // Without key.
    shop.act("acme", "insert into \"Odd one\" (\"a b\", p) values (1, '(1,2)'), (1, '(1,2)'), (2, '(3,4)')");
    let before = rows(&shop, "\"Odd one\"");
    let txid = transaction(
        &shop,
        "acme",
        "update \"Odd one\" set p = '(5,6)' where \"a b\" = 2; delete from \"Odd one\" where \"a b\" = 1; insert into \"Odd one\" (\"a b\") values (3)",
    );
    revert(&mut client, &txid, false);
    assert_eq!(rows(&shop, "\"Odd one\""), before);
    // Tables are known whatever their names, columns are not.
    let txid = transaction(
        &shop,
        "acme",
        "insert into \"Odd one\" (\"a b\") values (4); update people set name = 'n' where id = 2",
    );
    shop.fixture.run("alter table \"Odd one\" rename to odd; alter table people rename column name to called");
    assert!(refused(&mut client, &txid).contains("Column \"name\" is not there any more"));
    shop.fixture.run("alter table people rename column called to name");
    revert(&mut client, &txid, false);
    assert_eq!(rows(&shop, "odd"), before);
    // All or nothing.
    let txid =
        transaction(&shop, "acme", "insert into odd (\"a b\") values (5); update people set name = 'm' where id = 2");
    shop.fixture.run("drop table odd");
    assert!(refused(&mut client, &txid).contains("have gone"));
}

#[test]
fn the_rights_of_the_caller_count() {
    let shop = Shop::new();
    shop.act("acme", "insert into orders (id, item) values (1, 'a')");
    let txid = transaction(&shop, "acme", "update orders set item = 'b'");
    let reader = shop.fixture.app_named("reader");
    shop.fixture.run(&format!("revoke update, insert, delete on orders from {reader}"));
    let mut client = shop.fixture.connect(&reader);
    client.run("set tenancy.tenant_id = 'acme'");
    for dry_run in [true, false] {
        let outcome = client.batch_execute(&format!("select tenancy.audit_revert('{txid}', {dry_run})"));
        assert_eq!(sqlstate(&outcome), Some("42501"));
    }
    let mut superuser = shop.superuser();
    superuser.run("begin; select tenancy.bypass('test'); truncate orders");
    let txid = superuser.value("select pg_current_xact_id()::text").unwrap();
    superuser.run("commit; set tenancy.tenant_id = 'acme'");
    assert!(refused(&mut superuser, &txid).contains("truncated"));
}
