//! A protected schema as it should be.

use std::time::{Duration, Instant};

use crate::{Lab, open, prove};
use tenancy_harness::{FAMILIES, Session, World};

/// Whatever the table.
const ALWAYS: [&str; 27] = [
    "read",
    "count",
    "aggregate",
    "cursor",
    "prepared_plan",
    "leaky_function",
    "own_view",
    "row_security_off",
    "no_context",
    "reset_context",
    "second_tenant",
    "insert",
    "update",
    "update_all",
    "delete",
    "delete_all",
    "move_row",
    "move_all",
    "upsert",
    "merge",
    "truncate",
    "disable_rls",
    "no_force_rls",
    "create_policy",
    "create_trigger",
    "unique_oracle",
    "foreign_key_oracle",
];

#[test]
fn every_attack_on_every_kind_of_table_is_blocked() {
    let lab = Lab::new();
    let findings = prove(&mut lab.fixture.superuser(), "tenancy.prove()");
    let faults: Vec<_> = findings.iter().filter(|found| found.blocked != Some(true)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    let mut tables: Vec<&str> = findings.iter().map(|found| found.table.as_str()).collect();
    tables.dedup();
    assert_eq!(tables, ["app.events", "app.journal", "app.lines", "app.orders", "app.parent", "app.prices"]);
    for table in tables {
        let attacks: Vec<&str> =
            findings.iter().filter(|found| found.table == table).map(|found| found.attack.as_str()).collect();
        let missing: Vec<_> = ALWAYS.iter().filter(|attack| !attacks.contains(attack)).collect();
        assert!(missing.is_empty(), "{table} lacks {missing:?}");
        let special = |attack: &str| attacks.contains(&attack);
        assert_eq!(special("write_shared"), table == "app.prices", "{table}");
        assert_eq!(special("change_own"), table == "app.journal", "{table}");
        assert_eq!(special("part_read"), ["app.events", "app.parent"].contains(&table), "{table}");
        assert_eq!(special("view"), table == "app.orders", "{table}");
    }
}

#[test]
fn attacks_come_in_one_order() {
    let lab = Lab::new();
    let attacks = |table| lab.prove(table).into_iter().map(|found| found.attack).collect::<Vec<_>>();
    let first = attacks("app.orders");
    assert_eq!(first, attacks("app.orders"));
    let places = |name: &str| first.iter().position(|attack| attack == name);
    assert!(places("read") < places("insert") && places("insert") < places("truncate"), "{first:?}");
    let details = || lab.prove("app.events").into_iter().map(|found| found.detail).collect::<Vec<_>>();
    assert_eq!(details(), details());
}

#[test]
fn tables_with_the_rows_of_real_tenants_are_proved_as_well() {
    let world = World::new();
    let findings = prove(&mut world.fixture.superuser(), "tenancy.prove()");
    assert_eq!(open(&findings), [""; 0], "{findings:#?}");
    assert!(findings.iter().all(|found| found.blocked == Some(true)), "{findings:#?}");
    for family in &FAMILIES {
        assert!(findings.iter().any(|found| found.table == family.table()), "{}", family.table());
    }
}

#[test]
fn a_table_that_is_a_part_of_another_can_be_proved_alone() {
    let lab = Lab::new();
    let findings = lab.prove("app.events_2025");
    assert!(findings.iter().all(|found| found.blocked == Some(true)), "{findings:#?}");
}

#[test]
fn a_hundred_tables_take_seconds() {
    let lab = Lab::empty();
    lab.run(
        "do $$ begin
             for n in 1..100 loop
                 execute format('create table t%s (id bigint generated always as identity, tenant_id uuid,
                                                   item text not null, primary key (tenant_id, id))', n);
                 perform tenancy.protect(format('t%s', n)::regclass);
             end loop;
         end $$",
    );
    let mut client = lab.fixture.superuser();
    let start = Instant::now();
    let open =
        client.value("select count(*) filter (where blocked is not true) || ' of ' || count(*) from tenancy.prove()");
    assert_eq!(open.as_deref(), Some("0 of 2800"));
    // Five seconds on an idle machine; this one may have much else to do.
    assert!(start.elapsed() < Duration::from_secs(90), "{:?}", start.elapsed());
}
