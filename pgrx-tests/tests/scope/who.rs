//! Who may do it, and with what settings.

use tenancy_harness::postgres::Client;
use tenancy_harness::{Fixture, Session};

use crate::{definitions, fill, run_plan, shop};

/// A database whose tables belong to an administrator whom row security binds.
fn owned() -> (Fixture<'static>, Client, String) {
    let (fixture, _) = shop();
    let owner = fixture.role("owner");
    fixture.run(&format!("select tenancy.grant_admin('{owner}'); create schema app authorization {owner}"));
    let mut client = fixture.connect(&owner);
    client.run(
        "create table app.parent (tenant_id uuid, id integer primary key, note text unique);
         create table app.child (tenant_id uuid, x integer constraint k references app.parent on delete cascade);
         select tenancy.protect('app.parent'), tenancy.protect('app.child')",
    );
    (fixture, client, owner)
}

const CROSSING: &str = "insert into app.parent values ('{globex}', 1); insert into app.child values ('{acme}', 1)";

/// PostgreSQL checks a new foreign key for the rows that its owner sees: none, under forced row security.
#[test]
fn an_owner_who_sees_no_rows_is_told_of_all() {
    let (fixture, mut owner, _) = owned();
    fixture.run(&fill(CROSSING));
    assert_eq!(owner.value("select count(*) from app.child").as_deref(), Some("0"));
    for call in
        ["scope_unique('app.parent', 'parent_pkey')", "scope_foreign_key('app.child', 'k')", "scope_plan('app.child')"]
    {
        let error = owner.refuses(&format!("select tenancy.{call}"), "23503");
        assert_eq!(error.detail(), Some("1 row of app.child by k."));
    }
    fixture.run("delete from app.child");
    owner.run("select tenancy.scope_unique('app.parent', 'parent_pkey')");
    owner.refuses(
        &fill("begin; set local tenancy.tenant_id = 'acme'; insert into app.child values ('{acme}', 1)"),
        "42501",
    );
}

#[test]
fn an_owners_script_checks_all_rows() {
    let (fixture, mut owner, _) = owned();
    fixture.run(&fill("insert into app.parent values ('{globex}', 1, 'a'), ('{acme}', 2, 'b'); insert into app.child values ('{globex}', 1)"));
    let steps = owner.texts("select ddl from tenancy.scope_plan('app.child') order by step");
    let check = steps.iter().position(|step| step.starts_with("SELECT tenancy.validate_foreign_key")).expect("a check");
    for step in &steps[..check] {
        owner.run(step);
    }
    // Somebody who can't be seen comes in between, past the new key.
    fixture.run(&fill("set session_replication_role = replica; insert into app.child values ('{acme}', 1)"));
    owner.refuses(&steps[check], "23503");
    // The script goes on as psql does; the former key stays, since the new one does not hold.
    for step in &steps[check + 1..] {
        owner.refuses(step, "23503");
    }
    assert_eq!(definitions(&mut owner, "app.child", "f").len(), 2);
    fixture.run(&fill("delete from app.child where tenant_id = '{acme}'"));
    run_plan(&mut owner, "app.child");
    assert_eq!(
        definitions(&mut owner, "app.child", "f"),
        ["k: FOREIGN KEY (tenant_id, x) REFERENCES app.parent(tenant_id, id) ON DELETE CASCADE"]
    );
    run_plan(&mut owner, "app.parent");
    assert_eq!(run_plan(&mut owner, "app.parent").len() + run_plan(&mut owner, "app.child").len(), 0);
    assert_eq!(
        definitions(&mut owner, "app.parent", "p,u"),
        ["parent_note_key: UNIQUE (tenant_id, note)", "parent_pkey: PRIMARY KEY (tenant_id, id)"]
    );
}

#[test]
fn an_interrupted_script_is_taken_up_again() {
    for stop in 1..20 {
        let (fixture, mut owner, _) = owned();
        let mut superuser = fixture.superuser();
        let client = if stop % 2 == 0 { &mut owner } else { &mut superuser };
        let steps = client.texts("select ddl from tenancy.scope_plan('app.parent') order by step");
        if stop > steps.len() {
            assert!(stop > 5, "the script has {} steps", steps.len());
            return;
        }
        for step in &steps[..stop] {
            client.run(step);
        }
        run_plan(client, "app.parent");
        assert_eq!(
            definitions(client, "app.child", "f"),
            ["k: FOREIGN KEY (tenant_id, x) REFERENCES app.parent(tenant_id, id) ON DELETE CASCADE"],
            "after step {stop}"
        );
        let keys = ["parent_note_key: UNIQUE (tenant_id, note)", "parent_pkey: PRIMARY KEY (tenant_id, id)"];
        assert_eq!(definitions(client, "app.parent", "p,u"), keys, "after step {stop}");
        let unique =
            client.value("select count(*) from pg_index where indrelid = 'app.parent'::regclass and indisunique");
        assert_eq!(unique.as_deref(), Some("2"), "after step {stop}");
    }
    panic!("the script has too many steps");
}

/// A helper in place of a half-run script takes away what that left.
#[test]
fn what_a_script_left_is_gone_after_the_helper() {
    let (_fixture, mut owner, _) = owned();
    let steps = owner.texts("select ddl from tenancy.scope_plan('app.child') order by step");
    let added = steps.iter().position(|step| step.contains("NOT VALID")).expect("a new key");
    for step in &steps[..=added] {
        owner.run(step);
    }
    owner.run("select tenancy.scope_foreign_key('app.child', 'k')");
    assert_eq!(definitions(&mut owner, "app.child", "f").len(), 1);
}

#[test]
fn only_administrators_who_own_all_the_tables_may() {
    let (fixture, _, owner) = owned();
    let stranger = fixture.role("stranger");
    let mut client = fixture.connect(&stranger);
    let calls = [
        "scope_unique('app.parent', 'parent_pkey')",
        "scope_foreign_key('app.child', 'k')",
        "scope_plan('app.child')",
        "validate_foreign_key('app.child', 'k')",
    ];
    fixture.run(&format!("grant usage on schema app to {stranger}"));
    for call in calls {
        client.refuses(&format!("select tenancy.{call}"), "42501");
    }
    fixture.run(&format!("select tenancy.grant_admin('{stranger}')"));
    for call in calls {
        client.refuses(&format!("select tenancy.{call}"), "42501");
    }
    fixture.run(&format!("alter table app.child owner to {stranger}"));
    client.refuses("select tenancy.scope_foreign_key('app.child', 'k')", "42501");
    fixture.connect(&owner).refuses("select tenancy.scope_unique('app.parent', 'parent_pkey')", "42501");
    // A member of both owners may, and sees all rows where both bind him.
    fixture.run(&fill(CROSSING));
    let both = fixture.role("both");
    fixture.run(&format!("grant {owner}, {stranger} to {both}; grant create on schema app to {stranger}, {both}"));
    fixture.connect(&both).refuses("select tenancy.scope_foreign_key('app.child', 'k')", "23503");
    fixture.run("delete from app.child");
    fixture.connect(&both).run("select tenancy.scope_foreign_key('app.child', 'k')");
}

#[test]
fn a_hostile_session_changes_nothing() {
    let (fixture, _, _) = owned();
    let mut owner = fixture.superuser();
    owner.run(
        "create schema evil;
         create function evil.same(uuid, uuid) returns boolean language sql as 'select true';
         create operator evil.= (leftarg = uuid, rightarg = uuid, function = evil.same);
         create function evil.same(integer, integer) returns boolean language sql as 'select true';
         create operator evil.= (leftarg = integer, rightarg = integer, function = evil.same);
         create table evil.parent (id integer); create table evil.child (id integer)",
    );
    owner.run(&fill(CROSSING));
    owner.run(
        "set search_path = evil, pg_catalog; set quote_all_identifiers = on; set standard_conforming_strings = off;
         set tenancy.on_bypass = error; set row_security = off",
    );
    for call in
        ["scope_unique('app.parent', 'parent_pkey')", "scope_foreign_key('app.child', 'k')", "scope_plan('app.child')"]
    {
        owner.refuses(&format!("select tenancy.{call}"), "23503");
    }
    fixture.run("delete from app.child");
    let steps = run_plan(&mut owner, "app.parent");
    assert!(steps.len() > 4, "{steps:?}");
    assert_eq!(
        definitions(&mut fixture.superuser(), "app.child", "f"),
        ["k: FOREIGN KEY (tenant_id, x) REFERENCES app.parent(tenant_id, id) ON DELETE CASCADE"]
    );
}

/// Two who scope keys of tables that refer to each other wait, and don't fail.
#[test]
fn two_at_once_take_turns() {
    let (fixture, _) = shop();
    fixture.run(
        "create table a (tenant_id uuid, id integer primary key, b integer);
         create table b (tenant_id uuid, id integer primary key, a integer references a);
         alter table a add foreign key (b) references b;
         select tenancy.protect('a'), tenancy.protect('b')",
    );
    std::thread::scope(|scope| {
        for table in ["a", "b"] {
            let fixture = &fixture;
            scope.spawn(move || {
                fixture.superuser().run(&format!("select tenancy.scope_unique('{table}', '{table}_pkey')"))
            });
        }
    });
    let mut superuser = fixture.superuser();
    for (table, other) in [("a", "b"), ("b", "a")] {
        assert_eq!(
            definitions(&mut superuser, table, "f,p"),
            [
                format!("{table}_{other}_fkey: FOREIGN KEY (tenant_id, {other}) REFERENCES {other}(tenant_id, id)"),
                format!("{table}_pkey: PRIMARY KEY (tenant_id, id)")
            ]
        );
    }
}
