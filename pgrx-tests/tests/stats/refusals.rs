//! Writes that row security refused, and what limits did.

use tenancy_harness::{GLOBEX, Session};

use crate::Shop;

/// A row of globex, which acme may not write.
fn foreign() -> String {
    format!("insert into notes (id, tenant_id) values (7, '{}')", GLOBEX.id)
}

#[test]
fn a_refused_write_counts_once_and_when_it_is_caught_as_well() {
    let shop = Shop::new();
    shop.fill();
    shop.fixture.run(
        "create table inner_notes (id integer, tenant_id uuid not null);
         create table outer_notes (id integer, tenant_id uuid not null default tenancy.current_tenant());
         select tenancy.protect(t) from unnest('{inner_notes, outer_notes}'::regclass[]) t",
    );
    shop.fixture.run(&format!(
        "create function onwards() returns trigger language plpgsql as
           $$ begin insert into inner_notes values (1, '{}'); return new; end $$;
         create trigger onwards before insert on outer_notes for each row execute function onwards()",
        GLOBEX.id
    ));
    // As the first thing that a session does.
    let mut client = shop.fixture.try_connect(&shop.app, "-c tenancy.tenant_id=acme").unwrap();
    let added = shop.added(|| {
        client.refuses(&foreign(), "42501");
    });
    assert_eq!(added, [1, 1, 1, 0, 1, 1, 0]);
    for statement in [
        foreign(),
        format!("update notes set tenant_id = '{}'", GLOBEX.id),
        format!("with w as ({} returning 1) select * from w", foreign()),
        "insert into outer_notes (id) values (1)".to_owned(),
    ] {
        let added = shop.added(|| {
            client.refuses(&statement, "42501");
        });
        assert_eq!(added, [1, 1, 1, 0, 1, 1, 0], "{statement}");
    }
    let caught = format!("do $$ begin {}; exception when insufficient_privilege then null; end $$", foreign());
    assert_eq!(shop.added(|| client.run(&caught)), [1, 0, 1, 0, 0, 1, 0]);
    // Nothing is refused to who finds nothing to change, nor by a SELECT that may not be.
    shop.fixture.run("create table secrets (id integer); revoke all on secrets from public");
    shop.fixture.run(&format!("revoke all on secrets from {}", shop.app));
    let added = shop.added(|| {
        client.run(&format!("update notes set body = '' where tenant_id = '{}'", GLOBEX.id));
        client.refuses("begin; select count(*) from notes; select * from secrets", "42501");
        client.run("rollback");
    });
    assert_eq!(added, [2, 1, 2, 1, 1, 0, 0]);
}

#[test]
fn what_stops_nothing_is_no_refusal() {
    let shop = Shop::new();
    shop.fixture.run(
        "create function warn() returns trigger language plpgsql as
           $$ begin raise warning 'look out' using errcode = '42501'; return new; end $$;
         create trigger warn before insert on notes for each row execute function warn()",
    );
    let mut client = shop.client();
    client.run("set tenancy.tenant_id = 'acme'");
    for id in 1..=2 {
        let added = shop.added(|| client.run(&format!("insert into notes (id) values ({id})")));
        assert_eq!(added, [1, 0, 1, 1, 0, 0, 0], "{id}");
    }
    assert_eq!(shop.added(|| drop(client.refuses(&foreign(), "42501"))), [1, 1, 1, 0, 1, 1, 0]);
}

#[test]
fn an_attack_by_prove_is_none_of_the_tenants() {
    let shop = Shop::new();
    let mut superuser = shop.fixture.superuser();
    let added = shop.added(|| {
        superuser.run("begin; select tenancy.set_tenant('acme'); select count(*) from tenancy.prove('notes'); commit");
    });
    assert_eq!(added, [1, 0, 2, 2, 0, 0, 0]);
}

#[test]
fn an_error_that_passes_functions_in_rust_counts_once() {
    let shop = Shop::new();
    shop.fixture.run(&format!("grant create on schema public to {}", shop.app));
    shop.client().run(&format!(
        "create function react(uuid, jsonb) returns void language plpgsql as
           $$ begin insert into public.notes (id, tenant_id) values (7, '{}'); end $$",
        GLOBEX.id
    ));
    shop.fixture.run("create table plain (id integer); select tenancy.on_lifecycle('suspended', 'react(uuid, jsonb)')");
    let mut superuser = shop.fixture.superuser();
    let outer = "insert into plain select 1 from tenancy.suspend_tenant('globex')";
    for _ in 0..2 {
        let added = shop.added(|| {
            superuser.run("begin; select tenancy.set_tenant('acme')");
            superuser.refuses(outer, "42501");
            superuser.run("rollback");
        });
        assert_eq!(added, [1, 1, 2, 1, 1, 1, 0]);
    }
    // What follows on one that was caught counts by itself.
    let added = shop.added(|| {
        superuser.run(&format!(
            "begin; select tenancy.set_tenant('acme');
             do $$ begin for i in 1..2 loop
               begin {outer}; exception when insufficient_privilege then null; end;
             end loop; end $$;
             commit"
        ));
    });
    assert_eq!(added, [1, 0, 2, 1, 0, 2, 0]);
}

#[test]
fn what_quotas_rates_and_sessions_refuse_counts_for_the_tenant() {
    let shop = Shop::new();
    shop.fixture.run(
        "select tenancy.create_resource('notes', 'rows'); select tenancy.create_resource('calls', 'rate');
         select tenancy.attach_quota('notes', 'notes'); select tenancy.set_quota('acme', 'notes', 3);
         select tenancy.set_quota('acme', 'calls', 1, '1 hour')",
    );
    let mut client = shop.client();
    client.run("set tenancy.tenant_id = 'acme'");
    let many = "insert into notes (id) select generate_series(1, 4)";
    // The rows were written, and are gone with the statement.
    let added = shop.added(|| {
        client.refuses(many, "53400");
    });
    assert_eq!(added, [1, 1, 1, 4, 1, 0, 1]);
    let caught = format!("do $$ begin {many}; exception when others then null; end $$");
    assert_eq!(shop.added(|| client.run(&caught)), [1, 0, 1, 0, 0, 0, 1]);
    client.run("select tenancy.consume('calls')");
    let added = shop.added(|| {
        client.refuses("select tenancy.consume('calls')", "53400");
    });
    assert_eq!(added, [1, 1, 1, 0, 1, 0, 1]);
    // Who is refused a session has no transaction.
    shop.fixture
        .run("select tenancy.create_resource('sessions', 'sessions'); select tenancy.set_quota('acme', 'sessions', 0)");
    let mut other = shop.client();
    let added = shop.added(|| {
        other.refuses("select tenancy.set_tenant('acme', false)", "53400");
    });
    assert_eq!(added, [0, 0, 0, 0, 0, 0, 1]);
    // Asking is none.
    assert_eq!(shop.counted("globex"), [0; 7]);
}
