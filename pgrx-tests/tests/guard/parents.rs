//! Row security asks the table that is named: a protected table does not become a part of an open one.

use tenancy_harness::Session;

use crate::Shop;

/// A shop with open tables that `orders` could become a part of.
fn with_open_parents() -> Shop {
    let shop = Shop::new();
    shop.fixture.run(&format!(
        "set role {};
         create table open (id integer not null, tenant_id uuid not null, body text);
         create table parts (id integer not null, tenant_id uuid not null, body text) partition by range (id);
         create table flat (id integer not null, tenant_id uuid not null, body text) partition by range (id);
         create table deeper partition of parts for values from (0) to (200) partition by range (id);
         create table worldwide (id integer not null, tenant_id uuid not null, body text);
         select tenancy.classify('worldwide', 'global');
         create table safe (id integer not null, tenant_id uuid not null, body text); select tenancy.protect('safe');
         grant select on open, parts, worldwide, safe to {}",
        shop.owner, shop.app
    ));
    shop
}

#[test]
fn an_open_parent_is_refused_however_it_comes() {
    let shop = with_open_parents();
    for role in [shop.owner.as_str(), "postgres"] {
        let mut client = shop.fixture.connect(role);
        for (statement, parent) in [
            ("alter table orders inherit open", "public.open"),
            ("alter table orders inherit worldwide", "public.worldwide"),
            ("alter table flat attach partition orders default", "public.flat"),
            ("alter table deeper attach partition orders for values from (0) to (10)", "public.deeper"),
            ("create table kid () inherits (safe, open)", "public.open"),
            ("create table kid () inherits (open, safe)", "public.open"),
            (
                "create table kid () inherits (open); alter table kid inherit safe; alter table kid inherit worldwide",
                "public.",
            ),
            ("do $$ begin execute 'alter table orders inherit open'; end $$", "public.open"),
        ] {
            let error = client.refuses(statement, "42501");
            assert!(error.detail().is_some_and(|detail| detail.contains(parent)), "{statement}: {error:?}");
        }
    }
    assert_eq!(shop.seen_by_acme("orders"), ["acme"]);
    assert!(shop.seen_by_acme("open").is_empty() && shop.seen_by_acme("parts").is_empty());
}

#[test]
fn a_parent_that_is_protected_takes_the_table_in() {
    let shop = with_open_parents();
    let mut client = shop.fixture.connect(&shop.owner);
    client.run("alter table orders inherit safe");
    assert_eq!(shop.seen_by_acme("safe"), ["acme"]);
    client.run("alter table orders no inherit safe; select tenancy.protect('parts')");
    client.run("alter table deeper attach partition orders for values from (0) to (10)");
    assert_eq!(shop.seen_by_acme("parts"), ["acme"]);
    assert_eq!(shop.seen_by_acme("orders"), ["acme"]);
    client.run("select tenancy.protect('open'); create table kid () inherits (open, safe)");
    assert!(shop.is_whole("open") && shop.is_whole("safe") && shop.is_whole("parts"));
}

#[test]
fn an_open_parent_that_was_there_stops_no_other_command() {
    let shop = with_open_parents();
    shop.fixture.run("set tenancy.guard_ddl = off; alter table orders inherit open");
    let mut client = shop.fixture.connect(&shop.owner);
    client.run("alter table orders add column extra text; alter table open add column more text");
    client.refuses("alter table orders inherit worldwide", "42501");
    client.run("alter table worldwide add column more text; alter table orders no inherit open");
    client.refuses("alter table orders inherit open", "42501");
}

#[test]
fn what_an_open_parent_passes_on_to_a_protected_child_is_seen() {
    let shop = with_open_parents();
    shop.fixture.run(
        "set tenancy.guard_ddl = off; create table middle () inherits (open); create table kid () inherits (middle, safe);
         set tenancy.guard_ddl = on; select tenancy.protect('safe')",
    );
    assert!(shop.is_whole("kid"));
    let mut superuser = shop.fixture.superuser();
    for parent in ["open", "middle"] {
        for change in ["alter tenant_id set default gen_random_uuid()", "alter tenant_id drop default"] {
            let error = superuser.refuses(&format!("alter table {parent} {change}"), "42501");
            assert!(error.detail().is_some_and(|detail| detail.contains("public.kid")), "{error:?}");
        }
        let outcome = superuser.batch_execute(&format!("alter table {parent} alter tenant_id drop not null"));
        // Since PostgreSQL 18 the constraint that comes from the other parent stays.
        assert!(outcome.is_err() || shop.is_whole("kid"), "{parent}");
        superuser.run(&format!("alter table {parent} add column from_{parent} text"));
    }
    assert!(shop.is_whole("kid"));
}
