//! Who may protect: superusers everything, an admin what it owns, others nothing.

use tenancy_harness::{Fixture, Session};

use crate::{catalog, fixture_with_tenants, orders, seen_by_acme};

/// A login role that owns table `orders`.
fn owner_of_orders(fixture: &Fixture<'_>) -> String {
    let owner = fixture.role("owner");
    orders(fixture);
    fixture.run(&format!("grant create on schema public to {owner}; alter table orders owner to {owner}"));
    owner
}

#[test]
fn an_owner_who_is_an_admin_protects_its_own_table() {
    let (fixture, app) = fixture_with_tenants();
    let owner = owner_of_orders(&fixture);
    fixture.run(&format!("select tenancy.grant_admin('{owner}')"));
    let mut client = fixture.connect(&owner);

    let done = client.texts("select tenancy.protect('orders')");

    assert!(!done.is_empty());
    assert_eq!(client.texts("select tenancy.protect('orders')").len(), 0);
    assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme"]);
    assert_eq!(client.texts("select body from orders").len(), 0, "the owner is bound too");
    let policies_owner = "select count(*) from pg_policies where tablename = 'orders'";
    assert_eq!(client.value(policies_owner).unwrap(), "2");
    client.run("select tenancy.unprotect('orders')");
    assert_eq!(client.value(policies_owner).unwrap(), "0");
}

#[test]
fn the_owners_protection_is_the_superusers() {
    let (fixture, _) = fixture_with_tenants();
    let owner = owner_of_orders(&fixture);
    fixture.run(&format!("select tenancy.grant_admin('{owner}')"));
    fixture.connect(&owner).run("select tenancy.protect('orders')");
    let mut superuser = fixture.superuser();
    let before = catalog(&mut superuser, "orders");
    let again = superuser.texts("select tenancy.protect('orders')");
    assert!(again.is_empty(), "{again:?}");
    assert_eq!(catalog(&mut superuser, "orders"), before);
}

#[test]
fn an_owner_who_is_no_admin_may_not() {
    let (fixture, app) = fixture_with_tenants();
    let owner = owner_of_orders(&fixture);
    let mut client = fixture.connect(&owner);
    for statement in [
        "select tenancy.protect('orders')",
        "select tenancy.protect('orders', dry_run => true)",
        "select tenancy.unprotect('orders')",
        "select tenancy.classify('orders', 'global')",
        "select tenancy.protect_schema('public')",
    ] {
        client.refuses(statement, "42501");
    }
    assert_eq!(fixture.connect(&app).texts("select body from orders").len(), 2);
}

#[test]
fn an_admin_may_not_touch_a_table_of_somebody_else() {
    let (fixture, app) = fixture_with_tenants();
    owner_of_orders(&fixture);
    let admin = fixture.role("admin");
    fixture.run(&format!("select tenancy.grant_admin('{admin}'); grant all on orders to {admin}"));
    let mut client = fixture.connect(&admin);
    client.refuses("select tenancy.protect('orders')", "42501");
    client.refuses("select tenancy.classify('orders', 'global')", "42501");

    fixture.run("select tenancy.protect('orders')");
    client.refuses("select tenancy.unprotect('orders')", "42501");
    client.refuses("select tenancy.protect('orders', kind => 'shared')", "42501");
    assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme"]);
}

#[test]
fn a_member_of_the_owning_role_may_when_it_is_an_admin() {
    let (fixture, app) = fixture_with_tenants();
    let owner = owner_of_orders(&fixture);
    let member = fixture.role("member");
    fixture.run(&format!("grant {owner} to {member}; select tenancy.grant_admin('{member}')"));
    fixture.connect(&member).run("select tenancy.protect('orders')");
    assert_eq!(seen_by_acme(&fixture, &app, "orders"), ["acme"]);
}

#[test]
fn an_owner_protects_its_partitioned_table_with_text_and_number_columns() {
    let (fixture, _) = fixture_with_tenants();
    let owner = owner_of_orders(&fixture);
    fixture.run(&format!("select tenancy.grant_admin('{owner}')"));
    let mut client = fixture.connect(&owner);
    for column_type in ["uuid", "text", "bigint"] {
        client.run(&format!(
            "create table parts (id integer, tenant_id {column_type}) partition by hash (id);
             create table parts_1 partition of parts for values with (modulus 1, remainder 0);
             select tenancy.protect('parts')"
        ));
        assert_eq!(client.texts("select tenancy.protect('parts')").len(), 0);
        client.run("drop table parts");
    }
}

#[test]
fn a_function_in_the_owners_schema_does_not_run_as_somebody_else() {
    let (fixture, _) = fixture_with_tenants();
    let owner = owner_of_orders(&fixture);
    fixture.run(&format!(
        "select tenancy.grant_admin('{owner}'); create table witness (who text); grant insert on witness to public"
    ));
    let mut client = fixture.connect(&owner);
    client.run(
        "create function public.spy() returns event_trigger language plpgsql as $$
           begin insert into public.witness values (current_user); end $$;
         create function public.check_body(text) returns boolean immutable language plpgsql as $$
           begin insert into public.witness values (current_user); return true; end $$;
         alter table orders add column flag integer,
           add constraint spied check (public.check_body(body)) not valid",
    );
    client.run("select tenancy.protect('orders')");
    let others = format!("select count(*) from witness where who <> '{owner}'");
    assert_eq!(fixture.superuser().value(&others).unwrap(), "0");
}
