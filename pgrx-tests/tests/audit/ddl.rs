//! Having a table audited, and what DDL does to it afterwards.

use tenancy_harness::{Cluster, Fixture, Session};

use crate::Shop;

#[test]
fn what_can_be_audited_and_by_whom() {
    let shop = Shop::new();
    let mut superuser = shop.superuser();
    superuser.run(
        "create table plain (id integer, tenant_id uuid); create view seen as select 1; create temporary table own (id int);
         create table keyed (id integer primary key, tenant_id uuid not null, secret text); select tenancy.protect('keyed')",
    );
    for (statement, sqlstate) in [
        ("select tenancy.audit('plain')", "55000"),
        ("select tenancy.audit('seen')", "42809"),
        ("select tenancy.audit('pg_class')", "0A000"),
        ("select tenancy.audit('tenancy.audit_log')", "0A000"),
        ("select tenancy.audit('keyed', redact => '{nope}')", "42703"),
        ("select tenancy.audit('keyed', ignore => '{nope}')", "42703"),
        ("select tenancy.audit('keyed', redact => '{id}')", "22023"),
        ("select tenancy.audit('keyed', redact => '{tenant_id}')", "22023"),
        ("select tenancy.audit('keyed', redact => null)", "22023"),
        ("select tenancy.unaudit('keyed')", "55000"),
    ] {
        superuser.refuses(statement, sqlstate);
    }
    let admin = shop.fixture.role("admin");
    shop.fixture.run(&format!("select tenancy.grant_admin('{admin}')"));
    shop.fixture.connect(&admin).refuses("select tenancy.audit('orders')", "42501");
    shop.fixture.run(&format!("grant create on schema public to {admin}; alter table orders owner to {admin}; create table own_one (tenant_id uuid); alter table own_one owner to {admin}"));
    let mut owner = shop.fixture.connect(&admin);
    owner.run("select tenancy.protect('own_one'); select tenancy.audit('own_one'); select tenancy.unaudit('own_one'); select tenancy.audit('orders', ignore => '{item}')");
    let audited = "select relation::text || audit from tenancy.protected_tables order by 1";
    assert_eq!(owner.texts(audited), ["keyedfalse", "orderstrue", "own_onefalse"]);
    let events = "select event || ' ' || object || coalesce(' ' || detail::text, '') from tenancy.event_log where event like '%audited' order by id";
    assert_eq!(
        superuser.texts(events),
        [
            r#"table.audited public.orders {"ignore": [], "redact": []}"#,
            r#"table.audited public.own_one {"ignore": [], "redact": []}"#,
            "table.unaudited public.own_one",
            r#"table.audited public.orders {"ignore": ["item"], "redact": []}"#
        ]
    );
}

#[test]
fn ignored_columns_alone_are_no_change_and_redacted_ones_never_leave() {
    let shop = Shop::with(
        "create table people (id integer primary key, tenant_id uuid not null, name text, password text, seen_at integer);
         select tenancy.protect('people'); select tenancy.audit('people', ignore => '{seen_at}', redact => '{password}')",
    );
    shop.act(
        "acme",
        "insert into people (id, name, password) values (1, 'a', 'hunter2');
         update people set seen_at = 1; update people set seen_at = 2, name = 'b'; update people set password = 'hunter3';
         update people set name = 'c', password = 'hunter4'; delete from people",
    );
    assert_eq!(
        shop.log(),
        [
            r#"INSERT {"id": 1} {"id": 1, "name": "a", "seen_at": null}"#,
            r#"UPDATE {"id": 1} {"id": 1, "name": "a", "seen_at": 1} {"id": 1, "name": "b", "seen_at": 2} {name}"#,
            r#"UPDATE {"id": 1} {"id": 1, "name": "b", "seen_at": 2} {"id": 1, "name": "b", "seen_at": 2} {password}"#,
            r#"UPDATE {"id": 1} {"id": 1, "name": "b", "seen_at": 2} {"id": 1, "name": "c", "seen_at": 2} {name,password}"#,
            r#"DELETE {"id": 1} {"id": 1, "name": "c", "seen_at": 2}"#,
        ]
    );
    assert_eq!(
        shop.superuser().value("select count(*) from tenancy.audit_log l where l::text like '%hunter%'").unwrap(),
        "0"
    );
}

#[test]
fn a_table_without_key_is_known_by_its_rows() {
    let shop = Shop::with(
        "create table notes (tenant_id uuid not null, note text, pin text); select tenancy.protect('notes');
         select tenancy.audit('notes', redact => '{pin}');
         create table marked (tenant_id uuid not null, mark text not null, note text); select tenancy.protect('marked');
         create unique index marks on marked (mark); alter table marked replica identity using index marks;
         select tenancy.audit('marked')",
    );
    shop.act("acme", "insert into notes (note, pin) values ('a', 'secret'); update notes set note = 'b'; insert into marked (mark, note) values ('m', 'n')");
    let keys = "select row_key - 'tenant_id' from tenancy.audit_log order by id";
    assert_eq!(shop.superuser().texts(keys), [r#"{"note": "a"}"#, r#"{"note": "b"}"#, r#"{"mark": "m"}"#]);
}

#[test]
fn columns_come_go_and_are_renamed() {
    let shop = Shop::with(
        "create table people (gone text, id integer primary key, tenant_id uuid not null, name text, password text, seen_at integer);
         alter table people drop gone; select tenancy.protect('people');
         select tenancy.audit('people', ignore => '{seen_at}', redact => '{password}')",
    );
    let mut client = shop.fixture.connect(&shop.app);
    let mut act =
        |statements: &str| client.run(&format!("begin; select tenancy.set_tenant('acme'); {statements}; commit"));
    act("insert into people (id, name, password) values (1, 'a', 'hunter2')");
    shop.fixture.run("alter table people rename password to pass_phrase; alter table people rename seen_at to last_seen; alter table people add column added text default 'x'");
    act("update people set pass_phrase = 'hunter3'; update people set last_seen = 3; update people set name = 'b'");
    shop.fixture.run("alter table people drop column name; alter table people rename to persons; alter table persons alter id type bigint; alter table persons drop last_seen");
    act("update persons set added = 'y'; delete from persons");
    assert_eq!(
        shop.log(),
        [
            r#"INSERT {"id": 1} {"id": 1, "name": "a", "seen_at": null}"#,
            r#"UPDATE {"id": 1} {"id": 1, "name": "a", "added": "x", "last_seen": null} {"id": 1, "name": "a", "added": "x", "last_seen": null} {pass_phrase}"#,
            r#"UPDATE {"id": 1} {"id": 1, "name": "a", "added": "x", "last_seen": 3} {"id": 1, "name": "b", "added": "x", "last_seen": 3} {name}"#,
            r#"UPDATE {"id": 1} {"id": 1, "added": "x"} {"id": 1, "added": "y"} {added}"#,
            r#"DELETE {"id": 1} {"id": 1, "added": "y"}"#,
        ]
    );
    let mut superuser = shop.superuser();
    assert_eq!(
        superuser.texts("select distinct table_name from tenancy.audit_log order by 1"),
        ["public.people", "public.persons"]
    );
    // With the guard asleep nobody follows, and nothing is given away.
    superuser.run("set tenancy.guard_ddl = off; alter event trigger tenancy_guard_command disable; alter table persons rename pass_phrase to secret;
                   alter event trigger tenancy_guard_command enable always");
    superuser.refuses(
        "insert into persons (id, tenant_id, secret) select 2, id, 'hunter5' from tenancy.tenants limit 1",
        "55000",
    );
    superuser.run("select tenancy.audit('persons', redact => '{secret}'); insert into persons (id, tenant_id, secret) select 2, id, 'hunter5' from tenancy.tenants limit 1");
    assert_eq!(superuser.value("select count(*) from tenancy.audit_log l where l::text like '%hunter%'").unwrap(), "0");
}

#[test]
fn entries_outlive_the_table() {
    let shop = Shop::new();
    shop.act("acme", "insert into orders (id) values (1)");
    shop.fixture.run("drop table orders");
    let mut superuser = shop.superuser();
    assert_eq!(
        superuser.value("select concat_ws(' ', count(*), min(table_name)) from tenancy.audit_log").unwrap(),
        "1 public.orders"
    );
    assert_eq!(superuser.value("select count(*) from tenancy.audited").unwrap(), "0");
}

#[test]
fn what_records_is_guarded() {
    let shop = Shop::with(
        "create table orders (id integer primary key, tenant_id uuid not null); create table items (code text primary key);
         create table free (id int);
         select tenancy.protect('orders'); select tenancy.classify('items', 'global'); select tenancy.audit('orders'), tenancy.audit('items')",
    );
    let owner = shop.fixture.role("owner");
    shop.fixture.run(&format!("alter table orders owner to {owner}; alter table items owner to {owner}; grant create on schema public to {owner}"));
    for role in [owner.as_str(), "postgres"] {
        let mut client = shop.fixture.connect(role);
        for statement in [
            "drop trigger tenancy_audit_insert on orders",
            "alter table orders disable trigger tenancy_audit_update",
            "alter table items disable trigger all",
            "alter table orders disable trigger user",
            "alter table orders enable trigger tenancy_audit_delete",
            "alter table orders enable replica trigger tenancy_audit_delete",
            "alter trigger tenancy_audit_truncate on items rename to other",
            "do $$ begin execute 'drop trigger tenancy_audit_insert on items'; end $$",
        ] {
            let sqlstate = tenancy_harness::sqlstate(&client.batch_execute(statement)).map(str::to_owned);
            assert_eq!(sqlstate.as_deref(), Some("42501"), "{role}: {statement}");
        }
    }
    let mut superuser = shop.superuser();
    superuser.run("set tenancy.guard_ddl = off; drop trigger tenancy_audit_insert on orders; reset tenancy.guard_ddl; select tenancy.audit('orders')");
    superuser.refuses("drop trigger tenancy_audit_insert on orders", "42501");
    superuser.run("set session_replication_role = replica; insert into items values ('x')");
    assert_eq!(shop.count(), "1");
    superuser.run("reset session_replication_role; select tenancy.unaudit('items'); insert into items values ('y')");
    assert_eq!(shop.count(), "1");
}

/// As when a restore makes the triggers of several tables at once.
#[test]
fn what_others_do_at_the_same_time_is_not_held_against_a_command() {
    let shop = Shop::new();
    let (mut changing, mut other) = (shop.superuser(), shop.superuser());
    changing.run("set tenancy.guard_ddl = off");
    std::thread::scope(|scope| {
        let changes = scope.spawn(move || {
            for _ in 0..300 {
                changing.run("drop trigger tenancy_audit_insert on orders");
                changing.run("select tenancy.audit('orders')");
            }
        });
        while !changes.is_finished() {
            other.run("create table passing (); drop table passing");
        }
    });
}

#[test]
fn a_dump_restores_the_log_and_goes_on() {
    let shop = Shop::with(
        "create table orders (id integer primary key, tenant_id uuid not null, item text) partition by range (id);
         create table orders_1 partition of orders default; select tenancy.protect('orders');
         select tenancy.audit('orders', redact => '{item}')",
    );
    shop.act("acme", "insert into orders (id, item) select n, 'secret' from generate_series(1, 10) n; delete from orders where id > 5");
    let cluster = shop.fixture.cluster();
    let state = |fixture: &Fixture<'_>| {
        let mut superuser = fixture.superuser();
        let mut state = superuser.texts("select l::text from tenancy.audit_log l order by id");
        state.extend(superuser.texts(
            "select concat_ws(' ', indexdef) from pg_indexes where tablename like 'audit%'
             union all select concat_ws(' ', tgrelid::regclass, tgname, tgenabled) from pg_trigger where not tgisinternal
             union all select concat_ws(' ', oid::regclass, relrowsecurity, pg_get_expr(relpartbound, oid)) from pg_class where relname like 'audit%' and relkind in ('r', 'p')
             union all select a::text from (select relation, ignore, redact from tenancy.audited) a order by 1",
        ));
        state
    };
    let file = cluster.directory().join(format!("{}.audited", shop.fixture.database()));
    let file = file.to_str().unwrap();
    cluster.run_tool("pg_dump", &["-Fc", "-f", file, shop.fixture.database()]);
    let script = String::from_utf8(cluster.run_tool("pg_dump", &[shop.fixture.database()]).stdout).unwrap();
    for arguments in [None, Some(vec!["--single-transaction"]), Some(vec!["--jobs=3", "--exit-on-error"])] {
        let target = Fixture::empty(cluster);
        let output = match arguments {
            None => cluster.psql(target.database(), Cluster::SUPERUSER, &script),
            Some(arguments) => {
                cluster.tool("pg_restore").args(arguments).args(["-d", target.database(), file]).output().unwrap()
            }
        };
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert_eq!(state(&target), state(&shop.fixture));
        let mut superuser = target.superuser();
        superuser.refuses("delete from tenancy.audit_log", "42501");
        superuser.refuses("drop trigger tenancy_audit_insert on orders_1", "42501");
        superuser.run("update orders set id = 11, item = 'new secret' where id = 1; select tenancy.audit_maintain()");
        assert_eq!(
            superuser.value("select concat_ws(' ', max(id), count(*)) from tenancy.audit_log").unwrap(),
            "16 16"
        );
        assert_eq!(
            superuser.value("select count(*) from tenancy.audit_log l where l::text like '%secret%'").unwrap(),
            "0"
        );
    }
}
