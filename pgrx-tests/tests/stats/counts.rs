//! Known work, and what is counted of it: each step as a session's first, where the session has used no tenant yet, and again.

use std::time::{Duration, Instant};

use tenancy_harness::{Session, postgres::Client};

use crate::Shop;

/// Runs the statements twice in one session, and expects the same to be added each time.
#[track_caller]
fn adds(shop: &Shop<'_>, statements: &str, expected: [i64; 7]) {
    let mut client = shop.client();
    for turn in ["first", "second"] {
        let added = shop.added(|| client.run(statements));
        assert_eq!(added, expected, "{turn} time: {statements}");
    }
}

fn within(statements: &str) -> String {
    format!("begin; select tenancy.set_tenant('acme'); {statements}; commit")
}

#[test]
fn statements_and_rows_are_those_that_the_client_sent() {
    let shop = Shop::new();
    shop.fill();
    shop.fixture.run(
        "create table copies (id integer, tenant_id uuid not null default tenancy.current_tenant(), body text);
         select tenancy.protect('copies')",
    );
    // Of each: statements and rows beyond those of set_tenant.
    for (statements, count, rows) in [
        ("select * from notes", 1, 10),
        ("select * from notes; select id from notes limit 3", 2, 13),
        ("insert into copies select * from notes; update copies set body = ''; delete from copies", 3, 30),
        ("with gone as (delete from copies returning 1) select count(*) from gone", 1, 1),
        ("do $$ begin for i in 1..5 loop perform count(*) from notes; end loop; end $$", 1, 0),
        ("declare c cursor for select * from notes; fetch 4 from c; fetch all from c; close c", 3, 10),
        ("declare c cursor for select * from notes; move 4 from c; fetch all from c; close c", 3, 6),
        ("prepare p as select * from notes; execute p; deallocate p", 2, 10),
        ("prepare p as insert into copies select * from notes; execute p; deallocate p", 2, 10),
        ("set local work_mem = '1MB'; show work_mem; reset work_mem", 0, 0),
        ("savepoint s; select count(*) from notes; rollback to s; release s", 1, 1),
        ("explain analyze select * from notes", 1, 0),
    ] {
        adds(&shop, &within(statements), [1, 0, 1 + count, 1 + rows, 0, 0, 0]);
    }
}

#[test]
fn what_came_before_the_tenant_and_what_uses_none_is_nobodys() {
    let shop = Shop::new();
    shop.fill();
    adds(&shop, "begin; select 1; select tenancy.set_tenant('acme'); select 1; commit", [1, 0, 2, 2, 0, 0, 0]);
    // A tenant of the session counts where it is used, be it while the statement is planned.
    adds(&shop, "set tenancy.tenant_id = 'acme'", [0; 7]);
    adds(&shop, "set tenancy.tenant_id = 'acme'; select * from notes", [1, 0, 1, 10, 0, 0, 0]);
    let mut client = shop.client();
    client.run("set tenancy.tenant_id = 'acme'");
    for statement in ["select * from notes where tenant_id = tenancy.current_tenant()", "table notes"] {
        assert_eq!(shop.added(|| client.run(statement)), [1, 0, 1, 10, 0, 0, 0], "{statement}");
    }
    assert_eq!(shop.added(|| client.run("select 1; reset tenancy.tenant_id; select * from notes")), [0; 7]);
}

#[test]
fn a_transaction_that_is_rolled_back_counts() {
    let shop = Shop::new();
    adds(
        &shop,
        "begin; select tenancy.set_tenant('acme'); insert into notes (id) values (1), (2); rollback",
        [1, 1, 2, 3, 0, 0, 0],
    );
    // One that the client leaves by going.
    let mut client = shop.client();
    client.run("begin; select tenancy.set_tenant('acme')");
    let pid = client.value("select pg_backend_pid()").unwrap();
    let added = shop.added(|| {
        drop(client);
        let gone = format!("not exists (select from pg_stat_activity where pid = {pid})");
        shop.fixture.cluster().wait_until(&mut shop.fixture.superuser(), &gone);
    });
    assert_eq!(added, [1, 1, 2, 2, 0, 0, 0]);
}

#[test]
fn a_prepared_transaction_counts_when_it_is_prepared() {
    let shop = Shop::new();
    let name = shop.fixture.name("prepared");
    let mut client = shop.client();
    let prepared = shop.added(|| {
        client.run(&format!(
            "begin; select tenancy.set_tenant('acme'); insert into notes (id) values (1); prepare transaction '{name}'"
        ));
    });
    assert_eq!(prepared, [1, 0, 2, 2, 0, 0, 0]);
    assert_eq!(shop.added(|| client.run(&format!("commit prepared '{name}'"))), [0; 7]);
}

#[test]
fn a_procedure_is_one_statement_of_several_transactions() {
    let shop = Shop::new();
    shop.fixture.run(
        "create procedure thrice() language plpgsql as
           $$ begin for i in 1..3 loop perform count(*) from notes; commit; end loop; perform count(*) from notes; rollback; end $$",
    );
    adds(&shop, "set tenancy.tenant_id = 'acme'", [0; 7]);
    let mut client = shop.client();
    client.run("set tenancy.tenant_id = 'acme'");
    for turn in ["first", "second"] {
        assert_eq!(shop.added(|| client.run("call thrice()")), [4, 1, 1, 0, 0, 0, 0], "{turn}");
    }
}

#[test]
fn rows_that_parallel_workers_find_count_once() {
    let shop = Shop::new();
    shop.fill();
    let force = if shop.fixture.major_version() < 16 { "force_parallel_mode" } else { "debug_parallel_query" };
    let mut client = shop.client();
    client.run(&format!(
        "set {force} = on; set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
         set tenancy.tenant_id = 'acme'"
    ));
    let plan = client.texts("explain select * from notes");
    assert!(plan.iter().any(|line| line.contains("Gather")), "{plan:?}");
    assert_eq!(shop.added(|| client.run("select * from notes")), [1, 0, 1, 10, 0, 0, 0]);
    assert_eq!(shop.added(|| client.run("select count(*) from notes")), [1, 0, 1, 1, 0, 0, 0]);
}

#[test]
fn what_foreign_keys_rules_and_triggers_do_is_part_of_the_statement() {
    let shop = Shop::new();
    shop.fixture.run(
        "create table parents (id integer not null, tenant_id uuid not null default tenancy.current_tenant(), primary key (tenant_id, id));
         create table children (id integer, parent integer, tenant_id uuid not null default tenancy.current_tenant(),
           foreign key (tenant_id, parent) references parents deferrable initially deferred);
         create table logs (id integer, tenant_id uuid not null default tenancy.current_tenant());
         select tenancy.protect(t) from unnest('{parents, children, logs}'::regclass[]) t;
         create function log() returns trigger language plpgsql as $$ begin insert into logs (id) values (new.id); return new; end $$;
         create trigger log after insert on parents for each row execute function log();
         create table plain (id integer);
         create rule copy as on insert to plain do also insert into logs (id) values (new.id);",
    );
    let mut client = shop.client();
    let added = shop.added(|| {
        client.run(&within(
            "insert into children (id, parent) values (1, 1), (2, 1); insert into parents values (1);
                           insert into plain values (5)",
        ));
    });
    assert_eq!(added, [1, 0, 4, 5, 0, 0, 0]);
    assert_eq!(shop.fixture.superuser().value("select count(*) from logs").as_deref(), Some("2"));
}

#[test]
fn what_rules_make_of_a_statement_is_one() {
    let shop = Shop::new();
    shop.fill();
    shop.fixture.run(
        "create table logs (id integer, tenant_id uuid not null default tenancy.current_tenant());
         select tenancy.protect('logs');
         create view shown as select * from notes;
         create rule hidden as on delete to shown do instead update notes set body = null where id = old.id;
         create table plain (id integer, done boolean);
         insert into plain values (1), (2);
         create rule noted as on update to plain do also insert into logs (id) values (new.id);
         create rule kept as on delete to plain do instead
           (insert into logs (id) values (old.id); update plain set done = true where id = old.id);
         create rule told as on insert to plain do also notify plain;
         create table copied (id integer);
         create rule copied as on insert to copied do also insert into logs (id) values (new.id);
         create table silent (id integer);
         create rule silent as on insert to silent do instead notify silent",
    );
    // Of each: the rows that the client is told of.
    for (statement, rows) in [
        ("delete from shown where id = 1", 0),
        ("update plain set done = true", 2),
        ("delete from plain", 0),
        ("insert into plain values (3)", 1),
        ("insert into copied values (1)", 1),
        ("insert into silent values (1)", 0),
    ] {
        adds(&shop, &within(statement), [1, 0, 2, 1 + rows, 0, 0, 0]);
    }
    // Where a rule is the first to use the tenant, that is before the client's own update, and after its insert.
    for (statement, rows) in [("update plain set done = true where id = 1", 1), ("insert into copied values (1)", 0)] {
        let mut client = shop.client();
        client.run("set tenancy.tenant_id = 'acme'");
        for turn in ["first", "second"] {
            assert_eq!(shop.added(|| client.run(statement)), [1, 0, 1, rows, 0, 0, 0], "{turn} time: {statement}");
        }
    }
}

#[test]
fn a_portal_that_is_run_in_pieces_is_one_statement() {
    let shop = Shop::new();
    shop.fill();
    let mut client: Client = shop.client();
    let added = shop.added(|| {
        let mut transaction = client.transaction().unwrap();
        transaction.run("select tenancy.set_tenant('acme')");
        let portal = transaction.bind("select id from notes", &[]).unwrap();
        for rows in [4, 4, 2] {
            assert_eq!(transaction.query_portal(&portal, 4).unwrap().len(), rows);
        }
        transaction.commit().unwrap();
    });
    assert_eq!(added, [1, 0, 2, 11, 0, 0, 0]);
}

#[test]
fn each_of_several_tenants_in_one_transaction_has_its_own() {
    let shop = Shop::new();
    shop.fill();
    shop.fixture.run(&format!("alter role {} set tenancy.allow_switch = on", shop.app));
    let mut client = shop.client();
    client.run(
        "begin; select tenancy.set_tenant('acme'); select * from notes;
         select tenancy.set_tenant('globex'); select * from notes; commit",
    );
    // The statement that turns from one to the other is of both, and its row is the latter's.
    assert_eq!(shop.counted("acme"), [1, 0, 3, 11, 0, 0, 0]);
    assert_eq!(shop.counted("globex"), [1, 0, 2, 1, 0, 0, 0]);
}

#[test]
fn what_the_extension_asks_the_catalogs_is_no_statement() {
    let shop = Shop::new();
    shop.fixture.run(&format!("alter role {} set tenancy.allow_switch = on", shop.app));
    // It looks whether prepared statements are left when another tenant is set.
    adds(
        &shop,
        "begin; select tenancy.set_tenant('acme'); prepare p as select 1; deallocate p;
         set local tenancy.tenant_id = 'globex'; select 1; commit",
        [1, 0, 3, 2, 0, 0, 0],
    );
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

#[test]
fn time_is_that_of_the_statements() {
    let shop = Shop::new();
    let mut client = shop.client();
    let time = || {
        let query = "select exec_time from tenancy.stat_tenants where tenant = 'acme'";
        shop.fixture.superuser().value(query).unwrap().parse::<f64>().unwrap()
    };
    // It lies between what they sleep at least and what the client waits for them, however busy the machine is.
    let begin = Instant::now();
    client.run(&within("select pg_sleep(0.05)"));
    let (first, waited) = (time(), milliseconds(begin));
    assert!((50.0..waited).contains(&first), "{first} of {waited}");
    // In a block that waits, nothing runs; what fails ran as well, and so do triggers after a write.
    let begin = Instant::now();
    client.run("begin; select tenancy.set_tenant('acme')");
    let idle = Instant::now();
    std::thread::sleep(Duration::from_millis(300));
    let idle = milliseconds(idle);
    client.run("commit");
    client.refuses(
        "begin; select tenancy.set_tenant('acme'); set local statement_timeout = 60; select pg_sleep(5)",
        "57014",
    );
    client.run("rollback");
    shop.fixture.run(
        "create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.05); return new; end $$;
         create trigger slow after insert on notes for each row execute function slow()",
    );
    client.run(&within("insert into notes (id) values (1)"));
    shop.fixture.run(
        "create table plain (id integer);
         create rule slow as on insert to plain do also select pg_sleep(0.05)",
    );
    client.run(&within("insert into plain values (1)"));
    let (all, waited) = (time() - first, milliseconds(begin) - idle);
    assert!((160.0..waited).contains(&all), "{all} of {waited}");
}
