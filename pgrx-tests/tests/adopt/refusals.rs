//! What can't be adopted, and for whom.

use tenancy_harness::{ACME, Fixture, Session};

#[test]
fn what_can_not_be_done_is_refused_by_both() {
    let fixture = Fixture::new();
    let app = fixture.role("app");
    fixture.run(&format!(
        "select tenancy.create_tenant('acme', id => '{}'), tenancy.create_tenant('old');
         select tenancy.suspend_tenant('old');
         create schema app; create table app.notes (id int); create view app.seen as select * from app.notes;
         create table public.elsewhere (id int);
         create schema computed; create table computed.t (tenant_id uuid generated always as (null::uuid) stored);
         create schema short; create table short.t (tenant_id varchar(3));
         create schema padded; create table padded.t (tenant_id char(10));
         create schema numbers; create table numbers.t (tenant_id int);
         create schema kept; create table kept.t (tenant_id uuid); select tenancy.protect('kept.t');
         grant usage on schema app to {app}",
        ACME.id
    ));
    let mut superuser = fixture.superuser();
    for (arguments, sqlstate) in [
        ("'nowhere', 'acme'", "3F000"),
        ("'pg_catalog', 'acme'", "0A000"),
        ("'tenancy', 'acme'", "0A000"),
        ("'app', 'nobody'", "42704"),
        ("'app', ' acme'", "22023"),
        ("'app', 'old'", "55000"),
        ("null, 'acme'", "22023"),
        ("'app', null", "22023"),
        ("'app', 'acme', null", "22023"),
        ("'app', 'acme', '{null}'", "22023"),
        ("'app', 'acme', '{public.elsewhere}'", "22023"),
        ("'app', 'acme', '{app.seen}'", "22023"),
        ("'kept', 'acme', '{kept.t}'", "55000"),
        ("'numbers', 'acme'", "42804"),
        ("'computed', 'acme'", "42804"),
        ("'short', 'acme'", "42804"),
        ("'padded', 'acme'", "42804"),
    ] {
        for function in ["adopt", "adopt_plan"] {
            superuser.refuses(&format!("select tenancy.{function}({arguments})"), sqlstate);
        }
    }
    let mut client = fixture.connect(&app);
    for function in ["adopt", "adopt_plan"] {
        client.refuses(&format!("select tenancy.{function}('app', 'acme')"), "42501");
    }
    superuser.run(&format!("select tenancy.grant_admin('{app}')"));
    for function in ["adopt", "adopt_plan"] {
        let error = client.refuses(&format!("select tenancy.{function}('app', 'acme')"), "42501");
        assert!(error.message().contains("must be owner of relation app.notes"), "{error:?}");
    }
    assert_eq!(
        superuser.texts("select attname::text from pg_attribute where attrelid = 'app.notes'::regclass and attnum > 0"),
        ["id"]
    );
}
