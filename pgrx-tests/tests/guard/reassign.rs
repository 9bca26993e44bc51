//! REASSIGN OWNED, of which no event trigger hears.

use tenancy_harness::{Fixture, Session};

use crate::Shop;

#[test]
fn a_protected_table_is_not_reassigned_to_a_role_that_acts_for_tenants() {
    let shop = Shop::new();
    let (member, group) = (shop.fixture.role("member"), shop.fixture.role("group"));
    shop.fixture.run(&format!("grant {} to {member}; grant {group} to {}", shop.app, shop.owner));
    let mut superuser = shop.fixture.superuser();
    for role in [&shop.app, &member] {
        for statement in [
            format!("reassign owned by {} to {role}", shop.owner),
            format!("reassign owned by {group}, {} to {role}", shop.owner),
            format!("do $$ begin execute 'reassign owned by {} to {role}'; end $$", shop.owner),
            format!("set role {}; reassign owned by current_user to {role}", shop.owner),
        ] {
            let error = superuser.refuses(&statement, "42501");
            superuser.run("reset role");
            if !statement.starts_with("set role") {
                let detail = error.detail().unwrap_or_default();
                assert!(detail.contains("public.orders") && detail.contains("acts for tenants"), "{error:?}");
                assert!(error.hint().is_some_and(|hint| hint.contains("guard_ddl")), "{error:?}");
            }
        }
    }
    let owner = "select relowner::regrole::text from pg_class where oid = 'orders'::regclass";
    assert_eq!(superuser.value(owner).unwrap(), shop.owner);
    assert!(shop.is_whole("orders"));
}

#[test]
fn what_weakens_nothing_is_reassigned() {
    let shop = Shop::new();
    let other = shop.fixture.role("other");
    let mut superuser = shop.fixture.superuser();
    superuser.run(&format!("create table plain (a integer); alter table plain owner to {other}"));
    superuser.run(&format!("reassign owned by {other} to {}", shop.app));
    superuser.run(&format!("reassign owned by {} to {other}", shop.owner));
    // Its own tables stay its own.
    superuser.run(&format!("reassign owned by {other} to {other}; reassign owned by {} to {}", shop.app, shop.app));
    superuser.run(&format!("reassign owned by {other} to postgres"));
    let tables = "select string_agg(relowner::regrole::text, ' ' order by relname) from pg_class
                  where relname in ('orders', 'plain')";
    assert_eq!(superuser.value(tables).unwrap(), format!("postgres {}", shop.app));
    superuser.refuses("reassign owned by nobody_at_all to postgres", "42704");
}

#[test]
fn a_part_is_not_reassigned_either() {
    let shop = Shop::new();
    let other = shop.fixture.role("other");
    let mut superuser = shop.fixture.superuser();
    superuser.run(&format!(
        "create table events (tenant_id uuid, at date) partition by range (at); select tenancy.protect('events');
         create table events_1 partition of events for values from ('2026-01-01') to ('2027-01-01');
         alter table events_1 owner to {other}"
    ));
    superuser.refuses(&format!("reassign owned by {other} to {}", shop.app), "42501");
}

#[test]
fn with_the_guard_off_it_passes() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    superuser.run(&format!("set tenancy.guard_ddl = off; reassign owned by {} to {}", shop.owner, shop.app));
}

#[test]
fn a_database_without_the_extension_is_left_alone() {
    let shop = Shop::new();
    let empty = Fixture::empty(shop.fixture.cluster());
    let mut superuser = empty.superuser();
    superuser.run(&format!("create table orders (a integer); alter table orders owner to {}", shop.owner));
    superuser.run(&format!("reassign owned by {} to {}", shop.owner, shop.app));
}

#[test]
fn who_may_not_reassign_learns_nothing_by_trying() {
    let shop = Shop::new();
    let stranger = shop.fixture.role("stranger");
    let group = shop.fixture.role("group");
    shop.fixture.run(&format!("grant {group} to {stranger}, {}", shop.app));
    let mut client = shop.fixture.connect(&stranger);
    for statement in [
        format!("reassign owned by {} to {}", shop.owner, shop.app),
        format!("reassign owned by {group}, {} to {group}", shop.owner),
        format!("reassign owned by {} to current_user", shop.owner),
    ] {
        let error = client.refuses(&statement, "42501");
        assert_eq!(error.message(), "permission denied to reassign objects", "{error:?}");
        assert!(!format!("{error:?}").contains("tenants"), "{error:?}");
    }
    // Who may both, and may not this.
    shop.fixture.run(&format!("grant {}, {} to {stranger}", shop.owner, shop.app));
    let error = client.refuses(&format!("reassign owned by {} to {}", shop.owner, shop.app), "42501");
    assert!(error.detail().is_some_and(|detail| detail.contains("acts for tenants")), "{error:?}");
}
