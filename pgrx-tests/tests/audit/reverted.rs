//! What undoing a transaction leaves: the rows as they were, to the last bit, or all as it is and an error.

use tenancy_harness::{GLOBEX, Session};

use crate::Shop;
use crate::revert::{acting, refused, revert, rows, transaction};

/// Undoing is refused for that reason, and changes nothing.
#[track_caller]
pub fn stays(shop: &Shop, table: &str, txid: &str, reason: &str) {
    let before = rows(shop, table);
    let told = refused(&mut acting(shop, "acme"), txid);
    assert!(told.contains(reason), "{told}");
    assert_eq!(rows(shop, table), before);
}

const PER_STATEMENT: &str = "create trigger zz_in after insert on items referencing new table as rows for each statement execute function added();
     create trigger zz_out after delete on items referencing old table as rows for each statement execute function removed()";
const DEFERRED: &str = "create constraint trigger zz_in after insert on items deferrable initially deferred for each row execute function added_one();
     create constraint trigger zz_out after delete on items deferrable initially deferred for each row execute function removed_one()";

#[test]
fn what_triggers_do_is_not_undone_twice() {
    for triggers in [PER_STATEMENT, DEFERRED] {
        let shop = Shop::with(&format!(
            "create table totals (tenant_id uuid not null, id int primary key, total int);
             create table items (tenant_id uuid not null, id int primary key, of int, amount int);
             create function added() returns trigger language plpgsql as $$ begin
               update totals t set total = total + (select sum(amount) from rows where of = t.id) where id in (select of from rows); return null; end $$;
             create function removed() returns trigger language plpgsql as $$ begin
               update totals t set total = total - (select sum(amount) from rows where of = t.id) where id in (select of from rows); return null; end $$;
             create function added_one() returns trigger language plpgsql as $$ begin
               update totals set total = total + new.amount where id = new.of; return null; end $$;
             create function removed_one() returns trigger language plpgsql as $$ begin
               update totals set total = total - old.amount where id = old.of; return null; end $$;
             select tenancy.protect('totals'); select tenancy.protect('items'); select tenancy.audit('totals'); select tenancy.audit('items');
             {triggers}"
        ));
        shop.act("acme", "insert into totals (id, total) values (1, 10)");
        let txid = transaction(&shop, "acme", "insert into items (id, of, amount) values (4, 1, 7)");
        assert_eq!(rows(&shop, "(select total from totals)"), ["(17)"]);
        stays(&shop, "totals", &txid, "would not be as it was");
        assert_eq!(rows(&shop, "(select id from items)"), ["(4)"]);
    }
    // Where the total comes first, undoing does it in the other order.
    let shop = Shop::with(
        "create table totals (tenant_id uuid not null, id int primary key, total int);
         create table items (tenant_id uuid not null, id int primary key, of int, amount int);
         create function count_it() returns trigger language plpgsql as $$ begin
           if tg_op = 'INSERT' then update totals set total = total + new.amount where id = new.of; return new; end if;
           update totals set total = total - old.amount where id = old.of; return old; end $$;
         create trigger counted before insert or delete on items for each row execute function count_it();
         select tenancy.protect('totals'); select tenancy.protect('items'); select tenancy.audit('totals'); select tenancy.audit('items')",
    );
    shop.act("acme", "insert into totals (id, total) values (1, 10)");
    let txid = transaction(&shop, "acme", "insert into items (id, of, amount) values (4, 1, 7), (5, 1, 1)");
    revert(&mut acting(&shop, "acme"), &txid, false);
    assert_eq!(rows(&shop, "(select total from totals)"), ["(10)"]);
    assert!(rows(&shop, "items").is_empty());
}

#[test]
fn what_triggers_make_of_it_is_looked_at() {
    let shop = Shop::new();
    shop.act("acme", "insert into orders (id, item) values (1, 'a'), (2, 'b')");
    let deleted = transaction(&shop, "acme", "delete from orders where id = 1");
    let updated = transaction(&shop, "acme", "update orders set item = 'c' where id = 2");
    let body = |body: &str, event: &str| {
        shop.fixture.run(&format!(
            "create or replace function meddle() returns trigger language plpgsql as $$ begin {body} end $$;
             create or replace trigger meddle before {event} on orders for each row execute function meddle()"
        ));
    };
    body("return null;", "insert");
    stays(&shop, "orders", &deleted, "would not be as it was");
    body("new.id := new.id + 1000; return new;", "insert");
    stays(&shop, "orders", &deleted, "would not be as it was");
    body("return null;", "update");
    stays(&shop, "orders", &updated, "would not be as it was");
    body("new.item := 'rewritten'; return new;", "update");
    stays(&shop, "orders", &updated, "would not be as it was");
    // Unless such a column is nobody's business.
    shop.fixture.run("select tenancy.audit('orders', ignore => '{item}')");
    revert(&mut acting(&shop, "acme"), &updated, false);
    shop.fixture.run("drop trigger meddle on orders");
    revert(&mut acting(&shop, "acme"), &deleted, false);
    assert_eq!(rows(&shop, "(select id, item from orders)"), ["(1,a)", "(2,rewritten)"]);
}

#[test]
fn who_made_a_domain_gets_no_rights_by_it() {
    let shop = Shop::new();
    let mallory = shop.fixture.app_named("mallory");
    shop.fixture.run(&format!(
        "create schema theirs; grant usage on schema theirs to public; grant create on schema theirs to {mallory}"
    ));
    let mut client = shop.fixture.connect(&mallory);
    client.run(
        "create function theirs.is_good(value int) returns boolean language plpgsql as $$ begin
           if (select rolsuper from pg_roles where rolname = current_user) then raise 'as superuser'; end if; return true; end $$;
         create domain theirs.number as int constraint good check (theirs.is_good(value))",
    );
    shop.fixture.run(
        "create table tree (tenant_id uuid not null, id theirs.number primary key, parent theirs.number references tree on delete cascade, n theirs.number, many theirs.number[]);
         create table lists (tenant_id uuid not null, ids theirs.number[] primary key, parent theirs.number[] references lists on delete cascade);
         select tenancy.protect(t), tenancy.audit(t) from unnest('{tree,lists}'::regclass[]) t",
    );
    let txid = transaction(
        &shop,
        "acme",
        "insert into tree (id, parent, n, many) values (1, null, 1, '{1}'), (2, 1, 1, '{2}')",
    );
    revert(&mut acting(&shop, "acme"), &txid, false);
    assert!(rows(&shop, "tree").is_empty());
    let txid = transaction(&shop, "acme", "insert into lists (ids) values ('{1}')");
    stays(&shop, "lists", &txid, "domain within");
}

#[test]
fn constraints_that_wait_still_wait_afterwards() {
    let shop = Shop::with(
        "create table a (tenant_id uuid not null, id int primary key); create table b (tenant_id uuid not null, id int primary key, a int references a deferrable initially deferred);
         select tenancy.protect('a'); select tenancy.protect('b'); select tenancy.audit('a'); select tenancy.audit('b')",
    );
    let txid = transaction(&shop, "acme", "insert into b (id, a) values (1, 1); insert into a (id) values (1)");
    let mut client = acting(&shop, "acme");
    client.run("begin");
    revert(&mut client, &txid, false);
    client.run("insert into b (id, a) values (2, 2); insert into a (id) values (2); commit");
    assert_eq!(rows(&shop, "(select id from b)"), ["(2)"]);
}

#[test]
fn keys_are_those_of_one_table() {
    let shop = Shop::with(
        "create table par (tenant_id uuid not null, id int primary key, item text); create table chi (primary key (id)) inherits (par);
         select tenancy.protect('par'); select tenancy.audit('par')",
    );
    shop.act("acme", "insert into par (id, item) values (1, 'a'); insert into chi (id, item) values (1, 'b')");
    let txid = transaction(&shop, "acme", "update only par set item = 'b' where id = 1");
    stays(&shop, "par", &txid, "Several rows");
    shop.act("acme", "update chi set item = 'c'");
    stays(&shop, "par", &txid, "Several rows");
    let txid = transaction(&shop, "acme", "insert into par (id, item) values (12, 'z')");
    shop.act("acme", "insert into chi (id, item) values (12, 'z')");
    stays(&shop, "par", &txid, "Several rows");
    shop.act("acme", "delete from only par where id = 1");
    let txid = transaction(&shop, "acme", "update par set item = 'only' where id = 1");
    revert(&mut acting(&shop, "acme"), &txid, false);
    assert_eq!(rows(&shop, "(select item from only chi where id = 1)"), ["(c)"]);
}

#[test]
fn a_row_that_was_given_away_is_left_alone() {
    let shop = Shop::new();
    shop.act("acme", "insert into orders (id, item) values (1, 'a')");
    let txid = transaction(&shop, "acme", "update orders set item = 'b' where id = 1");
    let inserted = transaction(&shop, "acme", "insert into orders (id, item) values (2, 'x')");
    let mut superuser = shop.superuser();
    superuser.run(&format!("update orders set tenant_id = '{}'", GLOBEX.id));
    let before = rows(&shop, "orders");
    superuser.run("set tenancy.tenant_id = 'acme'");
    assert!(refused(&mut superuser, &txid).contains("changed since"));
    assert!(refused(&mut superuser, &inserted).contains("changed since"));
    assert_eq!(rows(&shop, "orders"), before);
}

#[test]
fn what_json_does_not_hold_is_not_made_up() {
    let shop = Shop::with("create type pair as (a int, j json); create domain given as jsonb check (true)");
    let values = [
        ("json", "'{\"b\": 1,   \"a\":2, \"a\":3}'", "null", false),
        ("json", "'null'", "'1'", false),
        ("pair", "(1, '[1]')", "null", false),
        ("json", "null", "'1'", true),
        ("jsonb", "'null'", "'1'", true),
        ("jsonb", "'null'", "null", true),
        ("jsonb", "null", "'1'", true),
        ("jsonb", "null", "'null'", true),
        ("given", "'null'", "'1'", true),
        ("given", "null", "'null'", true),
        ("jsonb", "'{\"a\": null}'", "'1'", true),
        ("jsonb[]", "array['null'::jsonb]", "null", false),
        ("jsonb[]", "array['1'::jsonb]", "null", true),
        ("regclass", "'pg_class'", "null", false),
        ("int[]", "'{{1,2},{3,null}}'", "null", true),
        ("float8", "'NaN'", "0", true),
        ("timestamptz", "'2026-01-01 00:00+05:30'", "null", true),
        ("tstzmultirange", "'{[2026-01-01 00:00+05:30,)}'", "null", true),
    ];
    for (number, (column_type, value, other, is_held)) in values.iter().enumerate() {
        let table = format!("odd_{number}");
        shop.fixture.run(&format!(
            "create table {table} (tenant_id uuid not null, id int primary key, v {column_type});
             select tenancy.protect('{table}'); select tenancy.audit('{table}')"
        ));
        let zone = "set local timezone = 'Asia/Kolkata'";
        shop.act("acme", &format!("{zone}; insert into {table} (id, v) values (1, {value})"));
        let before = rows(&shop, &table);
        for change in [format!("update {table} set v = {other}"), format!("delete from {table}")] {
            let txid = transaction(&shop, "acme", &format!("{zone}; {change}"));
            if *is_held {
                revert(&mut acting(&shop, "acme"), &txid, false);
                assert_eq!(rows(&shop, &table), before, "{column_type} {value}");
            } else {
                stays(&shop, &table, &txid, "exactly");
                shop.act("acme", &format!("update {table} set v = {value}"));
            }
        }
    }
    // Where there is no key, it tells one row from the other.
    shop.fixture.run("create table bare (tenant_id uuid not null, v jsonb); select tenancy.protect('bare'); select tenancy.audit('bare')");
    shop.act("acme", "insert into bare (v) values (null), ('null'), ('null')");
    let before = rows(&shop, "bare");
    let txid = transaction(&shop, "acme", "delete from bare where v = 'null'; update bare set v = 'null'");
    revert(&mut acting(&shop, "acme"), &txid, false);
    assert_eq!(rows(&shop, "bare"), before);
    let noted = "select concat_ws(' ', op, old_row -> '', new_row -> '') from tenancy.audit_log where tbl = 'bare'::regclass and txid = ";
    let noted = shop.superuser().texts(&format!("{noted} '{txid}' order by id"));
    assert_eq!(noted, ["DELETE [\"v\"]", "DELETE [\"v\"]", "UPDATE [\"v\"]"]);
    // What is there is looked at to the last bit.
    shop.fixture.run(
        "create table odd (tenant_id uuid not null, id int primary key, b jsonb, a int[], f float8);
         select tenancy.protect('odd'); select tenancy.audit('odd')",
    );
    let txid = transaction(&shop, "acme", "insert into odd (id, a, f) values (1, '{1,2}', 0)");
    for later in ["a = '[5:6]={1,2}'", "f = '-0'", "b = 'null'"] {
        shop.act("acme", &format!("update odd set {later}"));
        stays(&shop, "odd", &txid, "changed since");
        shop.act("acme", "update odd set a = '{1,2}', f = 0, b = null");
    }
}

#[test]
fn a_column_that_was_redacted_once_is_not_one_that_came_later() {
    let shop = Shop::with(
        "create table people (id int primary key, tenant_id uuid not null, name text, password text);
         create table plain (id int primary key, tenant_id uuid not null, name text);
         select tenancy.protect('people'); select tenancy.audit('people', redact => '{password}');
         select tenancy.protect('plain'); select tenancy.audit('plain')",
    );
    shop.act(
        "acme",
        "insert into people (id, name, password) values (1, 'a', 's'); insert into plain (id, name) values (1, 'a')",
    );
    let (deleted, plain) =
        (transaction(&shop, "acme", "delete from people"), transaction(&shop, "acme", "delete from plain"));
    shop.fixture.run("select tenancy.audit('people'); alter table plain add more text default 'm'");
    stays(&shop, "people", &deleted, "\"password\" was not recorded");
    shop.fixture.run("select tenancy.unaudit('people')");
    stays(&shop, "people", &deleted, "\"password\" was not recorded");
    revert(&mut acting(&shop, "acme"), &plain, false);
    assert_eq!(rows(&shop, "(select id, name, more from plain)"), ["(1,a,m)"]);
}

#[test]
fn who_begins_to_refer_to_the_row_meanwhile_is_waited_for() {
    let shop = Shop::with(
        "create table par (tenant_id uuid not null, id int primary key); create table chi (tenant_id uuid not null, id int primary key, par int references par on delete cascade);
         select tenancy.protect('par'); select tenancy.protect('chi'); select tenancy.audit('par'); select tenancy.audit('chi')",
    );
    let txid = transaction(&shop, "acme", "insert into par (id) values (1)");
    let mut other = acting(&shop, "acme");
    other.run("begin; insert into chi (id, par) values (1, 1)");
    std::thread::scope(|scope| {
        let told = scope.spawn(|| refused(&mut acting(&shop, "acme"), &txid));
        let waits =
            "count(*) = 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        shop.fixture.cluster().wait_until(&mut shop.superuser(), waits);
        other.run("commit");
        assert!(told.join().unwrap().contains("refer to the row"));
    });
    assert_eq!(rows(&shop, "(select id from chi)"), ["(1)"]);
}

#[test]
fn whoever_refers_to_the_row_keeps_his() {
    let shop = Shop::with(
        "create table pt (tenant_id uuid not null, id int primary key) partition by range (id); create table pt1 partition of pt for values from (0) to (100);
         create table pc (tenant_id uuid not null, id int primary key, pt int references pt1 on delete cascade);
         create table gl (id int primary key); create table gc (tenant_id uuid not null, id int primary key, gl int references gl on delete cascade);
         select tenancy.protect(t), tenancy.audit(t) from unnest('{pt,pc,gc}'::regclass[]) t;
         select tenancy.classify('gl', 'global'); select tenancy.audit('gl')",
    );
    let app = &shop.app;
    shop.fixture.run(&format!("grant select, insert, update, delete on gl to {app}"));
    let txid = transaction(&shop, "acme", "insert into pt (id) values (1)");
    shop.act("acme", "insert into pc (id, pt) values (1, 1)");
    stays(&shop, "pc", &txid, "refer to the row");
    let txid = transaction(&shop, "acme", "insert into gl (id) values (1)");
    shop.act("globex", "insert into gc (id, gl) values (1, 1)");
    stays(&shop, "gc", &txid, "refer to the row");
}

#[test]
fn only_what_the_transaction_left_is_undone() {
    let shop = Shop::with(
        "create table orders (id integer primary key, tenant_id uuid not null, item text, note text, password text);
         select tenancy.protect('orders'); select tenancy.audit('orders', redact => '{password}')",
    );
    shop.act("acme", "insert into orders (id, item, note) values (1, 'a', 'n'), (2, 'open', 'ann')");
    let txid = transaction(
        &shop,
        "acme",
        "update orders set item = 'b' where id = 1; update orders set item = 'c' where id = 1",
    );
    shop.act("acme", "update orders set item = 'b' where id = 1");
    stays(&shop, "orders", &txid, "changed since");
    shop.act("acme", "update orders set item = 'a' where id = 1");
    stays(&shop, "orders", &txid, "changed since");
    // Another row by the same key.
    let txid = transaction(&shop, "acme", "update orders set item = 'closed' where id = 2");
    shop.act(
        "acme",
        "delete from orders where id = 2; insert into orders (id, item, note) values (2, 'closed', 'bob')",
    );
    stays(&shop, "orders", &txid, "another one came in its place");
    // A change of what isn't recorded.
    let txid = transaction(&shop, "acme", "insert into orders (id, item, password) values (5, 'five', 'x')");
    shop.act("acme", "update orders set password = 'y' where id = 5");
    stays(&shop, "orders", &txid, "changed since");
}

#[test]
fn without_key_it_is_the_row_itself() {
    let shop = Shop::with(
        "create table seen (tenant_id uuid not null, item text, seen int); select tenancy.protect('seen'); select tenancy.audit('seen', ignore => '{seen}')",
    );
    shop.act("acme", "insert into seen (item, seen) values ('b', 2)");
    let txid = transaction(&shop, "acme", "insert into seen (item, seen) values ('b', 9)");
    revert(&mut acting(&shop, "acme"), &txid, false);
    assert_eq!(rows(&shop, "(select item, seen from seen)"), ["(b,2)"]);
    let txid = transaction(&shop, "acme", "insert into seen (item, seen) values ('b', 9)");
    shop.act("acme", "update seen set seen = 3 where seen = 9");
    stays(&shop, "seen", &txid, "changed since");
}

#[test]
fn types_that_changed_lose_nothing() {
    let shop = Shop::with(
        "create type place as (street text, number int); create domain filled as text not null; create domain given as text check (value is not null);
         create table houses (tenant_id uuid not null, id int primary key, place place, price numeric(10,2), f filled default 'f', s given default 's');
         select tenancy.protect('houses'); select tenancy.audit('houses')",
    );
    shop.act("acme", "insert into houses (id, place, price) values (1, ('Main', 3), 1.5), (2, ('Side', 4), 2)");
    let updated = transaction(&shop, "acme", "update houses set price = 7 where id = 2");
    let mut client = acting(&shop, "acme");
    revert(&mut client, &updated, false);
    assert_eq!(rows(&shop, "(select id, price from houses)"), ["(1,1.50)", "(2,2.00)"]);
    let renamed = transaction(&shop, "acme", "delete from houses where id = 1");
    shop.fixture.run("alter type place rename attribute street to st");
    stays(&shop, "houses", &renamed, "type has changed");
    shop.fixture
        .run("alter type place rename attribute st to street; alter table houses alter price type numeric(10,0)");
    stays(&shop, "houses", &renamed, "type has changed");
}

#[test]
fn keys_that_follow_others_are_found_again() {
    let shop = Shop::with(
        "create table p (tenant_id uuid not null, id int, primary key (tenant_id, id));
         create table c (tenant_id uuid not null, pid int, no int, note text, primary key (tenant_id, pid, no), foreign key (tenant_id, pid) references p on update cascade);
         create table sh (tenant_id uuid not null, id int primary key, v text);
         select tenancy.protect(t), tenancy.audit(t) from unnest('{p,c,sh}'::regclass[]) t",
    );
    shop.act("acme", "insert into p (id) values (1), (2); insert into c (pid, no, note) values (1, 1, 'a'), (1, 2, 'b'), (2, 1, 'c');
                      insert into sh (id, v) select n, n from generate_series(50, 1, -1) n");
    let (p, c, sh) = (rows(&shop, "p"), rows(&shop, "c"), rows(&shop, "sh"));
    let txid = transaction(
        &shop,
        "acme",
        "update p set id = 9 where id = 1; update c set note = 'x' where no = 1; update sh set id = id + 1; update sh set v = 'z' where id = 2",
    );
    assert_ne!(rows(&shop, "c"), c);
    let mut client = acting(&shop, "acme");
    client.run("set enable_nestloop = off; set jit = off");
    revert(&mut client, &txid, false);
    assert_eq!((rows(&shop, "p"), rows(&shop, "c"), rows(&shop, "sh")), (p, c, sh));
}

#[test]
fn what_foreign_keys_did_is_undone_with_its_cause() {
    let shop = Shop::with(
        "create table p (tenant_id uuid not null, id int primary key);
         create table n (tenant_id uuid not null, id int primary key, p int references p on delete set null);
         create table s (tenant_id uuid not null, id int primary key, parent int references s on update cascade);
         create table f (tenant_id uuid not null, id int primary key);
         create table g (tenant_id uuid not null, id int primary key, f int references f on update cascade);
         select tenancy.protect(t), tenancy.audit(t) from unnest('{p,n,s,f,g}'::regclass[]) t",
    );
    shop.act("acme", "insert into p (id) values (3), (4); insert into n (id, p) values (1, 3), (2, 4); insert into s (id, parent) values (1, null), (2, 1), (3, 2);
                      insert into f (id) values (1), (2); insert into g (id, f) values (1, 1), (2, 2)");
    let state = |shop: &Shop| ["p", "n", "s", "f", "g"].map(|table| rows(shop, table));
    let before = state(&shop);
    for statements in [
        "delete from p where id = 3",
        "update s set id = 12 where id = 1",
        "update f set id = 14 where id = 1; update g set f = 2 where id = 1",
        "insert into p (id) values (5); update n set p = 5 where id = 1",
    ] {
        let txid = transaction(&shop, "acme", statements);
        assert_ne!(state(&shop), before, "{statements}");
        let mut client = acting(&shop, "acme");
        let rehearsed = revert(&mut client, &txid, true);
        assert_eq!(revert(&mut client, &txid, false), rehearsed, "{statements}");
        assert_eq!(state(&shop), before, "{statements}");
    }
    // What can't be done in any order says why.
    let txid = transaction(&shop, "acme", "update n set p = 4 where id = 1");
    shop.act("acme", "delete from p where id = 3");
    let mut client = acting(&shop, "acme");
    client.refuses(&format!("select tenancy.audit_revert('{txid}', false)"), "23503");
}

#[test]
fn periods_that_overlap_are_not_the_same() {
    let fixture = tenancy_harness::Fixture::new();
    if fixture.major_version() < 18 {
        return;
    }
    let shop = Shop::within(
        fixture,
        "create table bookings (tenant_id uuid not null, rooms int4range default '[1,2)', during int4range, v text, primary key (rooms, during without overlaps));
         select tenancy.protect('bookings'); select tenancy.audit('bookings')",
    );
    shop.act("acme", "insert into bookings (during, v) values ('[1,10)', 'a')");
    let txid = transaction(&shop, "acme", "update bookings set v = 'b'");
    revert(&mut acting(&shop, "acme"), &txid, false);
    assert_eq!(rows(&shop, "(select during, v from bookings)"), ["(\"[1,10)\",a)"]);
    let txid = transaction(&shop, "acme", "update bookings set v = 'b'");
    shop.act("acme", "update bookings set during = '[1,5)'; insert into bookings (during, v) values ('[5,20)', 'b')");
    stays(&shop, "bookings", &txid, "changed since");
}

#[test]
fn a_transaction_that_is_not_known_is_an_error() {
    let shop = Shop::new();
    let mut running = acting(&shop, "acme");
    running.run("begin; insert into orders (id) values (1)");
    let txid = running.value("select pg_current_xact_id()::text").unwrap();
    let mut client = acting(&shop, "acme");
    for txid in [txid.as_str(), "0", "18446744073709551615"] {
        assert!(refused(&mut client, txid).contains("not ended"));
    }
    running.run("rollback");
    assert!(revert(&mut client, &txid, false).is_empty());
    client.run("begin; select pg_current_xact_id()");
    let own = client.value("select pg_current_xact_id()::text").unwrap();
    assert!(revert(&mut client, &own, false).is_empty());
}

#[test]
fn many_rows_are_undone_together() {
    let shop = Shop::new();
    shop.act("acme", "insert into orders (id, item) select n, 'a' from generate_series(1, 5000) n");
    let txid = transaction(&shop, "acme", "update orders set item = 'b'");
    let mut client = acting(&shop, "acme");
    assert_eq!(revert(&mut client, &txid, false).len(), 1);
    assert_eq!(client.value("select count(*) from orders where item = 'a'").unwrap(), "5000");
}
