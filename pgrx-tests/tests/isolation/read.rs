//! Reading: plain queries, joins, locking, COPY TO, and what looks at rows in unusual ways.

use std::io::Read;

use tenancy_harness::{FAMILIES, Session, World};

use crate::{as_mine, assert_owned};

#[test]
fn select_returns_own_rows_only() {
    as_mine(|_, family, tx| {
        let bodies = tx.texts(&format!("select body from {}", family.table()));
        assert_owned(&bodies, family.mine, World::MINE);
    });
}

#[test]
fn a_condition_cannot_reach_foreign_rows() {
    as_mine(|_, family, tx| {
        let (table, other) = (family.table(), family.literal(family.other));
        for condition in [
            format!("tenant_id = {other}"),
            format!("tenant_id in ({other}, {})", family.literal(family.mine)),
            format!("tenant_id <> {}", family.literal(family.mine)),
            format!("body like '{} %'", family.other.key),
            "true or tenant_id is null".to_owned(),
        ] {
            let bodies = tx.texts(&format!("select body from {table} where {condition}"));
            let foreign: Vec<_> = bodies.iter().filter(|body| body.starts_with(family.other.key)).collect();
            assert!(foreign.is_empty(), "{condition}: {foreign:?}");
        }
    });
}

#[test]
fn aggregates_count_own_rows_only() {
    as_mine(|_, family, tx| {
        let query =
            format!("select count(*) || ' ' || max(id) || ' ' || count(distinct tenant_id) from {}", family.table());
        assert_eq!(tx.value(&query).unwrap(), format!("{0} {0} 1", World::MINE));
    });
}

#[test]
fn joins_subqueries_and_common_table_expressions_stay_within_the_tenant() {
    as_mine(|_, family, tx| {
        let table = family.table();
        for query in [
            format!("select a.body from {table} a join {table} b using (id)"),
            format!("select b.body from (select body from {table}) b"),
            format!("with c as materialized (select * from {table}) select body from c"),
            format!("select b.body from {table} a, lateral (select body from {table} x where x.id = a.id) b"),
            format!("select (select body from {table} x where x.id = a.id) from {table} a"),
            format!("select body from {table} except all select null"),
        ] {
            assert_owned(&tx.texts(&query), family.mine, World::MINE);
        }
    });
}

#[test]
fn every_access_path_returns_own_rows_only() {
    as_mine(|_, family, tx| {
        let query = format!("select body from {} where id between 1 and 1000", family.table());
        for allowed in ["seqscan", "indexscan", "bitmapscan"] {
            for path in ["seqscan", "indexscan", "indexonlyscan", "bitmapscan"] {
                tx.run(&format!("set local enable_{path} = {}", path == allowed));
            }
            assert_owned(&tx.texts(&query), family.mine, World::MINE);
        }
    });
}

#[test]
fn row_locks_take_own_rows_only() {
    as_mine(|_, family, tx| {
        for strength in ["update", "no key update", "share", "key share"] {
            let bodies = tx.texts(&format!("select body from {} for {strength}", family.table()));
            assert_owned(&bodies, family.mine, World::MINE);
        }
    });
}

#[test]
fn physical_addresses_and_samples_show_own_rows_only() {
    as_mine(|_, family, tx| {
        let table = family.table();
        let by_address = format!(
            "select body from {table} where ctid = any (select format('(0,%s)', n)::tid from generate_series(1, 200) n)"
        );
        assert_owned(&tx.texts(&by_address), family.mine, World::MINE);
        let sample = format!("select body from {table} tablesample system (100)");
        assert_owned(&tx.texts(&sample), family.mine, World::MINE);
    });
}

#[test]
fn a_cheap_function_in_the_condition_never_meets_foreign_rows() {
    let world = World::new();
    world.fixture.run(
        "create function trip(body text, foreign_key text) returns boolean language plpgsql cost 0.0001 as $$
         begin
           if body like foreign_key || ' %' then raise exception 'met a foreign row: %', body; end if;
           return true;
         end $$",
    );
    let mut client = world.connect();
    for family in &FAMILIES {
        let mut tx = World::begin(&mut client, family.mine);
        let bodies = tx.texts(&format!("select body from {} where trip(body, '{}')", family.table(), family.other.key));
        assert_owned(&bodies, family.mine, World::MINE);
    }
}

#[test]
fn without_context_nothing_is_visible() {
    let world = World::new();
    let mut client = world.connect();
    for family in &FAMILIES {
        assert_eq!(client.value(&format!("select count(*) from {}", family.table())).unwrap(), "0");
    }
}

#[test]
fn a_tenant_without_rows_sees_nothing() {
    let world = World::new();
    world.fixture.run("select tenancy.create_tenant('303')");
    let mut client = world.connect();
    for family in &FAMILIES {
        let mut tx = client.transaction().unwrap();
        tx.run("select tenancy.set_tenant('303')");
        assert_eq!(tx.value(&format!("select count(*) from {}", family.table())).unwrap(), "0");
    }
}

#[test]
fn a_tenant_whose_key_is_no_number_sees_nothing_in_integer_tables() {
    let world = World::new();
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, tenancy_harness::ACME);
    for family in FAMILIES.iter().filter(|family| family.mine.key == "101") {
        assert_eq!(tx.value(&format!("select count(*) from {}", family.table())).unwrap(), "0");
    }
}

#[test]
fn copy_to_writes_own_rows_only() {
    as_mine(|_, family, tx| {
        let table = family.table();
        for statement in
            [format!("copy {table} (body) to stdout"), format!("copy (select body from {table}) to stdout")]
        {
            let mut text = String::new();
            tx.copy_out(&statement).unwrap().read_to_string(&mut text).unwrap();
            let bodies: Vec<String> = text.lines().map(str::to_owned).collect();
            assert_owned(&bodies, family.mine, World::MINE);
        }
    });
}

#[test]
fn turning_row_security_off_raises_an_error_instead_of_showing_rows() {
    as_mine(|_, family, tx| {
        tx.run("set local row_security = off");
        tx.refuses(&format!("select body from {}", family.table()), "42501");
    });
}

#[test]
fn column_statistics_are_hidden() {
    let world = World::new();
    world.fixture.run("analyze");
    let mut client = world.connect();
    let mut tx = World::begin(&mut client, FAMILIES[0].mine);
    let seen = tx.value("select count(*) from pg_stats where schemaname = 'public' and tablename like 'notes%'");
    assert_eq!(seen.unwrap(), "0");
}

#[test]
fn roles_that_may_read_and_write_all_data_are_still_bound_to_their_tenant() {
    let world = World::new();
    world.fixture.run(&format!("grant pg_read_all_data, pg_write_all_data to {}", world.app));
    let mut client = world.connect();
    for family in &FAMILIES {
        let mut tx = World::begin(&mut client, family.mine);
        assert_owned(&tx.texts(&format!("select body from {}", family.table())), family.mine, World::MINE);
        let insert = format!("insert into {} values (99, {}, 'x')", family.table(), family.literal(family.other));
        tx.refuses(&insert, "42501");
    }
}
