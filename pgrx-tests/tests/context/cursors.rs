//! A cursor's rows are for the tenant that it was opened and read for, whatever is set when the next ones are asked for.

use tenancy_harness::postgres::{Client, Transaction};
use tenancy_harness::{ACME, GLOBEX, Session, World, refuses_in_savepoint};

use crate::READ;

/// Plans that ask for the tenant at each row, or once and for all.
const PLANS: [&str; 3] = [
    "set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off; set enable_sort = on",
    "set enable_seqscan = off; set enable_bitmapscan = off",
    "set enable_seqscan = off; set enable_indexscan = off",
];

/// Queries whose plans stream, and that keep what they have read.
const QUERIES: [&str; 4] = [
    READ,
    "select body from notes_uuid order by body",
    "select body from reading()",
    "select b from (select distinct body as b from notes_uuid) d",
];

/// Statements that leave acme, in a session that may switch.
const SWITCHES: [&str; 5] = [
    "select tenancy.set_tenant('globex')",
    "set local tenancy.tenant_id = 'globex'",
    "select tenancy.set_tenant('globex'), tenancy.current_tenant()",
    "select tenancy.clear_tenant()",
    "reset tenancy.tenant_id",
];

/// A world whose role may act for several tenants in one transaction, with `reading()`, which returns a tenant's rows, and
/// `everybody`, a table of 60 tenants' keys that is nobody's.
fn world_of_jobs() -> World<'static> {
    let world = World::new();
    world.fixture.run(&format!(
        "create function reading() returns table (body text) language plpgsql as
           $$ begin return query select n.body from notes_uuid n; end $$;
         create table everybody (key text);
         insert into everybody select 'tenant ' || n from generate_series(1, 60) n;
         select tenancy.create_tenant(key) from everybody; grant select on everybody to public;
         alter role {} set tenancy.allow_switch = on",
        world.app
    ));
    world
}

fn switching<'t>(client: &'t mut Client, plan: &str) -> Transaction<'t> {
    client.run(plan);
    World::begin(client, ACME)
}

#[test]
fn a_cursor_is_not_read_for_another_tenant() {
    let world = world_of_jobs();
    for plan in PLANS {
        for query in QUERIES {
            for switch in SWITCHES {
                for read_before in [true, false] {
                    let what = format!("{query}, {switch}, read before: {read_before}, {plan}");
                    let mut client = world.connect();
                    let mut tx = switching(&mut client, plan);
                    tx.run(&format!("declare c cursor for {query}"));
                    if read_before {
                        assert!(tx.texts("fetch 3 from c").iter().all(|body| body.starts_with("acme ")), "{what}");
                    }
                    tx.run(switch);
                    let outcome = tx.batch_execute("savepoint s; fetch all from c");
                    assert_eq!(tenancy_harness::sqlstate(&outcome), Some("55000"), "{what}");
                    // Once refused it stays so.
                    tx.run("rollback to s; select tenancy.set_tenant('acme')");
                    tx.refuses("fetch all from c", "55000");
                }
            }
        }
    }
}

#[test]
fn a_cursor_goes_on_when_its_tenant_is_back() {
    let world = world_of_jobs();
    for plan in PLANS {
        for query in QUERIES {
            let mut client = world.connect();
            let mut tx = switching(&mut client, plan);
            tx.run(&format!("declare c scroll cursor for {query}"));
            tx.run("fetch 3 from c; select tenancy.set_tenant('globex')");
            assert_eq!(tx.texts(READ).len(), 30);
            tx.run(&format!("set local tenancy.tenant_id = '{}'", ACME.id));
            let rest = tx.texts("fetch all from c");
            assert_eq!(rest.len(), 17, "{query}, {plan}");
            assert!(rest.iter().all(|body| body.starts_with("acme ")), "{query}, {plan}: {rest:?}");
            assert_eq!(tx.texts("fetch backward all from c").len(), 20);
            tx.run("select tenancy.set_tenant('globex')");
            tx.refuses("fetch first from c", "55000");
        }
    }
}

#[test]
fn each_tenant_has_its_own_cursor_beside_the_others() {
    let world = world_of_jobs();
    let mut client = world.connect();
    let mut tx = switching(&mut client, PLANS[1]);
    tx.run(&format!("declare a cursor for {READ}; fetch 3 from a"));
    tx.run(&format!("select tenancy.set_tenant('globex'); declare g cursor for {READ}; fetch 3 from g"));
    for (tenant, cursor, rows) in [(ACME, "a", 17), (GLOBEX, "g", 27)] {
        tx.run(&format!("select tenancy.set_tenant('{}')", tenant.key));
        let bodies = tx.texts(&format!("fetch all from {cursor}"));
        assert_eq!(bodies.len(), rows);
        assert!(bodies.iter().all(|body| body.starts_with(tenant.key)), "{bodies:?}");
    }
    // A new cursor by an old one's name is the new tenant's.
    tx.run(&format!("close a; declare a cursor for {READ}"));
    assert_eq!(tx.texts("fetch all from a").len(), 30);
}

#[test]
fn scrolling_back_makes_a_cursor_its_tenants() {
    let world = world_of_jobs();
    for plan in PLANS {
        let mut client = world.connect();
        client.run(plan);
        let mut tx = client.transaction().unwrap();
        tx.run(&format!("declare c scroll cursor for {READ}"));
        assert!(tx.texts("fetch 2 from c").is_empty());
        tx.run("select tenancy.set_tenant('acme')");
        let first = tx.texts("fetch first from c");
        tx.run("select tenancy.set_tenant('globex')");
        // A plan that keeps what it has read kept nothing.
        if first.is_empty() {
            assert!(tx.texts("fetch all from c").is_empty(), "{plan}");
        } else {
            assert_eq!(first, ["acme 1"]);
            tx.refuses("fetch 2 from c", "55000");
        }
        drop(tx);
        let mut client = world.connect();
        let mut tx = switching(&mut client, plan);
        tx.run(&format!("declare c scroll cursor for {READ}; fetch 3 from c"));
        for (back, expected) in [
            ("fetch first from c", vec!["acme 1"]),
            ("fetch next from c", vec!["acme 2"]),
            ("fetch absolute 4 from c", vec!["acme 4"]),
            ("fetch backward 2 from c", vec!["acme 3", "acme 2"]),
            ("fetch backward all from c", vec!["acme 1"]),
            ("fetch 2 from c", vec!["acme 1", "acme 2"]),
            ("fetch relative 2 from c", vec!["acme 4"]),
            ("fetch last from c", vec!["acme 20"]),
        ] {
            assert_eq!(tx.texts(back), expected, "{back}, {plan}");
        }
    }
}

#[test]
fn a_portal_and_a_functions_cursor_are_not_read_for_another_tenant() {
    let world = world_of_jobs();
    for plan in PLANS {
        for read_before in [true, false] {
            let mut client = world.connect();
            let mut tx = switching(&mut client, plan);
            let portal = tx.bind(READ, &[]).unwrap();
            if read_before {
                assert_eq!(tx.query_portal(&portal, 5).unwrap().len(), 5);
            }
            tx.run("select tenancy.set_tenant('globex')");
            tenancy_harness::assert_sqlstate(tx.query_portal(&portal, 5), "55000");
        }
        for block in [
            "c refcursor; r record; begin open c for select body from notes_uuid; fetch c into r;
             perform tenancy.set_tenant('globex'); fetch c into r;",
            "c refcursor; r record; begin open c for select body from notes_uuid;
             perform tenancy.set_tenant('globex'); fetch c into r;",
            "r record; begin for r in select body from notes_uuid loop
               if r.body not like 'acme %' then raise exception 'foreign row %', r.body; end if;
               perform tenancy.set_tenant('globex');
             end loop;",
        ] {
            let mut client = world.connect();
            let mut tx = switching(&mut client, plan);
            tx.refuses(&format!("do $$ declare {block} end $$"), "55000");
        }
    }
}

#[test]
fn a_savepoint_does_not_wash_a_cursor_clean() {
    let world = world_of_jobs();
    let mut client = world.connect();
    client.run(PLANS[1]);
    client.run("begin; declare c cursor for select body from notes_uuid; savepoint s");
    client.run("select tenancy.set_tenant('acme'); fetch 3 from c; rollback to s");
    client.refuses("fetch 3 from c", "55000");
    client.run("rollback");
    client.run("begin; select tenancy.set_tenant('acme'); declare c cursor for select body from notes_uuid");
    client.run("do $$ begin perform 1 / 0; exception when division_by_zero then null; end $$");
    client.run("fetch 3 from c; savepoint s; select tenancy.set_tenant('globex'); rollback to s");
    assert_eq!(client.texts("fetch all from c").len(), 17, "the tenant is back as well");
}

#[test]
fn a_job_goes_through_all_tenants_in_one_loop() {
    let world = world_of_jobs();
    world.fixture.run(
        "create function processed(tenant text) returns bigint language plpgsql as $$ begin
           perform tenancy.set_tenant(tenant);
           insert into notes_uuid (id, body) values (1, tenant);
           return (select count(*) from notes_uuid); end $$",
    );
    let mut client = world.connect();
    for block in [
        "for t in select key from everybody loop
           perform tenancy.set_tenant(t.key); n := n + (select count(*) from notes_uuid) + processed(t.key); end loop",
        "for t in select processed(key) as rows from everybody loop n := n + t.rows; end loop",
        "perform tenancy.set_tenant('acme');
         for t in select processed(key) as rows from everybody order by key loop n := n + t.rows; end loop",
    ] {
        let block = format!(
            "do $$ declare t record; n bigint := 0; begin {block};
             if n <> 60 then raise exception 'saw % rows', n; end if; end $$"
        );
        client.run(&format!("begin; {block}; rollback"));
    }
    let mut tx = client.transaction().unwrap();
    tx.run("declare c cursor for select key, processed(key) from everybody");
    for _ in 0..60 {
        assert_eq!(tx.texts("fetch 1 from c").len(), 1);
    }
}

#[test]
fn a_suspended_tenants_cursor_is_stopped_where_several_are_allowed() {
    let world = world_of_jobs();
    for (plan, switch) in PLANS.iter().flat_map(|plan| [(plan, ""), (plan, SWITCHES[1]), (plan, SWITCHES[4])]) {
        let mut client = world.connect();
        let mut tx = switching(&mut client, plan);
        tx.run(&format!("declare fresh cursor for {READ}; declare c cursor for {READ}"));
        let portal = tx.bind(READ, &[]).unwrap();
        tx.query_portal(&portal, 3).unwrap();
        tx.run("fetch 3 from c");
        world.fixture.run("select tenancy.suspend_tenant('acme')");
        tx.run(switch);
        refuses_in_savepoint(&mut tx, "fetch 3 from c", "55000");
        refuses_in_savepoint(&mut tx, "fetch 3 from fresh", "55000");
        tenancy_harness::assert_sqlstate(tx.query_portal(&portal, 3), "55000");
        world.fixture.run("select tenancy.resume_tenant('acme')");
    }
}

#[test]
fn a_key_that_passed_to_another_tenant_takes_no_cursor_along() {
    let world = world_of_jobs();
    let mut client = world.connect();
    let mut tx = switching(&mut client, PLANS[1]);
    tx.run("declare c cursor for select body from notes_uuid; fetch 3 from c");
    world.fixture.run(
        "update tenancy.tenants set key = 'old acme' where key = 'acme';
         update tenancy.tenants set key = 'acme' where key = 'globex'",
    );
    tx.refuses("fetch 3 from c", "55000");
}

#[test]
fn a_cursor_ends_with_its_context_where_one_tenant_is_the_rule() {
    let world = World::new();
    for plan in PLANS {
        for exit in ["select tenancy.clear_tenant()", "reset tenancy.tenant_id", "set local tenancy.tenant_id = ''"] {
            let mut client = world.connect();
            let mut tx = switching(&mut client, plan);
            tx.run(&format!("declare c cursor for {READ}; fetch 3 from c; {exit}"));
            refuses_in_savepoint(&mut tx, "fetch all from c", "55000");
            tx.run(&format!("select tenancy.set_tenant('acme'); declare again cursor for {READ}; fetch 3 from again"));
            tx.run(&format!("{exit}; select tenancy.set_tenant('{}')", ACME.id));
            assert_eq!(tx.texts("fetch all from again").len(), 17, "{exit}");
        }
    }
}

#[test]
fn a_cursor_over_a_function_that_sets_its_own_tenant_goes_on() {
    let world = World::new();
    for language in ["language sql", "language plpgsql"] {
        let body =
            if language.contains("plpgsql") { format!("begin return query {READ}; end") } else { READ.to_owned() };
        world.fixture.run(&format!(
            "create or replace function as_acme() returns setof text {language} set tenancy.tenant_id = 'acme' as $$ {body} $$"
        ));
        let mut client = world.connect();
        let mut tx = client.transaction().unwrap();
        tx.run("declare c cursor for select as_acme()");
        let bodies = [tx.texts("fetch 5 from c"), tx.texts("fetch all from c")].concat();
        assert_eq!(bodies.len(), 20, "{language}");
    }
}

/// An error between opening a held cursor and reading it, here a stack that is too deep, leaves nothing open.
#[test]
fn a_held_cursor_stays_closed_after_an_error_on_the_way() {
    let world = World::new();
    world.fixture.run(&format!("alter role {} set tenancy.on_leftovers = ignore", world.app));
    let mut client = world.connect();
    client.run(
        "create function pg_temp.deeper(n int) returns void language plpgsql as
         $$ begin execute 'fetch absolute 1 from held'; perform pg_temp.deeper(n + 1); end $$;
         set tenancy.tenant_id = 'acme'",
    );
    client.run("declare held scroll cursor with hold for select body from notes_uuid");
    client.run("do $$ begin perform pg_temp.deeper(0); exception when others then null; end $$");
    client.run("set tenancy.tenant_id = 'globex'");
    assert!(client.simple_query("fetch absolute 2 from held").is_err());
}
