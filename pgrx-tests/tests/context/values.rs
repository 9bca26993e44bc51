//! What a name of a tenant may look like, and what the functions make of it.

use tenancy_harness::{Fixture, Session, World, sqlstate};

use crate::context;

/// SQL expressions for names that no tenant can have.
const MALFORMED: [&str; 8] = [
    "' acme'",
    "'acme '",
    "E'acme\\n'",
    "E'ac\\x07me'",
    "E'\\tacme'",
    "E'ac\\x7fme'",
    "repeat('x', 256)",
    "repeat('ü', 256)",
];

#[test]
fn malformed_names_are_refused_by_every_way_in() {
    let world = World::new();
    let mut client = world.connect();
    for name in MALFORMED {
        client.refuses(&format!("begin; select tenancy.set_tenant({name})"), "22023");
        client.run("rollback");
        client.refuses(&format!("select tenancy.set_tenant({name}, false)"), "22023");
        client.refuses(&format!("select set_config('tenancy.tenant_id', {name}, false)"), "22023");
        assert_eq!(context(&mut client), "none", "{name}");
    }
    client.refuses("set tenancy.tenant_id = ' acme'", "22023");
    client.refuses(&format!("alter role {} set tenancy.tenant_id = ' acme'", world.app), "22023");
}

#[test]
fn a_malformed_name_leaves_the_context_that_was_there() {
    let world = World::new();
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'");
    client.refuses("set tenancy.tenant_id = ' globex'", "22023");
    client.refuses("select tenancy.set_tenant(' globex', false)", "22023");
    assert_eq!(context(&mut client), "acme");
}

#[test]
fn set_tenant_to_nothing_is_an_error_and_not_a_silent_no() {
    let world = World::new();
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'");
    for nothing in ["''", "null::text", "null::uuid"] {
        let outcome = client.batch_execute(&format!("select tenancy.set_tenant({nothing}, false)"));
        assert!(matches!(sqlstate(&outcome), Some("22023" | "22004")), "{nothing}: {outcome:?}");
    }
}

#[test]
fn an_empty_setting_means_no_context() {
    let world = World::new();
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'");
    client.run("set tenancy.tenant_id = ''");
    assert_eq!(context(&mut client), "none");
    assert_eq!(client.texts(crate::READ).len(), 0);
}

#[test]
fn names_are_compared_to_the_letter() {
    let world = World::new();
    let mut client = world.connect();
    for name in ["ACME", "Acme", "acm", "acme1", "acme%", "AAAAAAAA-0000-4000-8000-00000000000"] {
        client.refuses(&format!("select tenancy.set_tenant('{name}', false)"), "42501");
    }
}

#[test]
fn long_and_odd_names_are_as_good_as_any() {
    let fixture = Fixture::new();
    let app = fixture.app();
    let mut client = fixture.connect(&app);
    let mut superuser = fixture.superuser();
    for name in
        ["x".repeat(255), "ü".repeat(255), "it's \"50 %\" \\ $$ {x}".to_owned(), "a b".to_owned(), "-1".to_owned()]
    {
        superuser.execute("select tenancy.create_tenant($1)", &[&name]).unwrap();
        for backslashes in ["on", "off"] {
            client.run(&format!("set standard_conforming_strings = {backslashes}"));
            let mut tx = client.transaction().unwrap();
            tx.execute("select tenancy.set_tenant($1::text)", &[&name]).unwrap();
            assert_eq!(context(&mut tx), name);
            tx.commit().unwrap();
        }
    }
}

#[test]
fn a_key_is_a_number_only_in_its_canonical_form() {
    let fixture = Fixture::new();
    let app = fixture.app();
    let mut client = fixture.connect(&app);
    for (key, number) in [
        ("0", Some("0")),
        ("42", Some("42")),
        ("-5", Some("-5")),
        ("9223372036854775807", Some("9223372036854775807")),
        ("-9223372036854775808", Some("-9223372036854775808")),
        ("9223372036854775808", None),
        ("007", None),
        ("-0", None),
        ("+5", None),
        ("5.0", None),
        ("1e3", None),
        ("0x10", None),
        ("1_000", None),
        ("٤٢", None),
        ("acme", None),
    ] {
        fixture.run(&format!("select tenancy.create_tenant('{key}')"));
        let mut tx = client.transaction().unwrap();
        tx.run(&format!("select tenancy.set_tenant('{key}')"));
        assert_eq!(tx.value("select tenancy.current_key_int()").as_deref(), number, "{key}");
        assert_eq!(context(&mut tx), key);
        tx.commit().unwrap();
    }
}

#[test]
fn the_prefix_is_reserved() {
    let world = World::new();
    let mut client = world.connect();
    client.refuses("set tenancy.nonsense = 1", "42602");
    client.refuses("select set_config('tenancy.tenant', 'acme', false)", "42602");
}

#[test]
fn the_context_functions_are_safe_to_use_in_policies_and_indexes_of_plans() {
    let fixture = Fixture::new();
    let marks = fixture.superuser().texts(
        "select format('%s %s %s %s %s', proname, provolatile, proparallel, proleakproof, pronargs)
         from pg_proc where pronamespace = 'tenancy'::regnamespace
           and proname in ('current_tenant', 'current_key', 'current_key_int') order by proname",
    );
    assert_eq!(marks, ["current_key s s t 0", "current_key_int s s t 0", "current_tenant s s t 0"]);
}
