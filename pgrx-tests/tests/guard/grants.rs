//! TRUNCATE, REFERENCES and TRIGGER lead round row security, and stay with the owner.

use tenancy_harness::Session;

use crate::Shop;

#[test]
fn dangerous_privileges_are_not_granted_again() {
    let shop = Shop::new();
    shop.fixture.run(&format!("grant create on database {} to {}", shop.fixture.database(), shop.owner));
    for role in [shop.owner.as_str(), "postgres"] {
        let mut client = shop.fixture.connect(role);
        for statement in [
            "grant truncate on orders to {app}",
            "grant references on orders to {app}",
            "grant trigger on orders to public",
            "grant all on orders to {app}",
            "grant references (id) on orders to {app}",
            "grant all on all tables in schema public to {app}",
            "grant truncate on orders to {app} with grant option",
            "create schema made grant truncate on public.orders to {app}",
            "create schema made create table t (id integer) grant all on public.orders to public",
            "do $$ begin execute 'grant truncate on orders to {app}'; end $$",
        ] {
            let error = client.refuses(&statement.replace("{app}", &shop.app), "42501");
            assert!(error.detail().is_some_and(|detail| detail.contains("public.orders")), "{statement}: {error:?}");
        }
    }
    assert!(shop.is_whole("orders"));
}

#[test]
fn other_grants_pass() {
    let shop = Shop::new();
    let mut client = shop.fixture.connect(&shop.owner);
    client.run(&format!(
        "grant select, insert, update, delete on orders to {0}; grant select (id) on orders to public;
         grant all on orders to {1}; revoke all on orders from {0}; create table plain (id integer);
         grant all on plain to {0}; grant truncate on plain to public; grant usage on schema public to {0}",
        shop.app, shop.owner
    ));
}

#[test]
fn a_grant_elsewhere_is_not_stopped_by_what_was_granted_before() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    superuser.run(&format!("set tenancy.guard_ddl = off; grant truncate on orders to {}", shop.app));
    superuser.run("reset tenancy.guard_ddl");
    let mut client = shop.fixture.connect(&shop.owner);
    client.run(&format!(
        "create table plain (id integer); grant all on plain to {0}; grant select on orders to {0}",
        shop.app
    ));
    client.refuses(&format!("grant trigger on orders to {}", shop.app), "42501");
    client.run(&format!("revoke truncate on orders from {}", shop.app));
    client.refuses(&format!("grant truncate on orders to {}", shop.app), "42501");
}

#[test]
fn default_privileges_do_not_come_in_with_a_part() {
    let shop = Shop::new();
    shop.fixture.run(&format!(
        "set role {}; create table parts (id integer, tenant_id uuid) partition by range (id); select tenancy.protect('parts');
         alter default privileges in schema public grant all on tables to {}, public",
        shop.owner, shop.app
    ));
    let mut owner = shop.fixture.connect(&shop.owner);
    owner.run("create table part partition of parts default; create table kid () inherits (orders)");
    for table in ["part", "kid"] {
        assert!(shop.is_whole(table), "{table}");
        shop.fixture.connect(&shop.app).refuses(&format!("truncate {table}"), "42501");
    }
}
