//! Rules, triggers, large objects, publications, foreign servers.

use crate::heals;

heals! {
    a_rule: "RULE" on "copy ON app.orders"
        by "create rule copy as on insert to app.orders do also insert into app.countries values ('xx')";
    a_tenants_trigger: "TRIGGER_OF_TENANTS" on "spy ON app.orders"
        by "create function app.spy() returns trigger language plpgsql as 'begin return new; end';
            alter function app.spy() owner to {app};
            create trigger spy before insert on app.orders for each row execute function app.spy()";
    a_tenants_trigger_on_a_partitioned_table: "TRIGGER_OF_TENANTS" on "spy ON app.events"
        by "create function app.spy() returns trigger language plpgsql as 'begin return new; end';
            alter function app.spy() owner to {app};
            create trigger spy before insert on app.events for each row execute function app.spy()";
    a_tenants_domain: "TYPE_OF_TENANTS" on "app.email"
        by "create domain app.email as text; alter domain app.email owner to {other}; grant {other} to {app};
            create table app.notes (tenant_id uuid, email app.email); select tenancy.protect('app.notes')";
    a_tenants_domain_deep_inside: "TYPE_OF_TENANTS" on "app.\"It's\""
        by "create domain app.\"It's\" as text; create domain app.outer as app.\"It's\";
            create type app.pair as (a integer, b app.outer[]); alter domain app.\"It's\" owner to {app};
            create table app.notes (tenant_id uuid, pairs app.pair[]); select tenancy.protect('app.notes')";
    a_tenants_function_in_a_condition: "FUNCTION_OF_TENANTS" on "app.f(text)"
        by "create function app.f(text) returns boolean language plpgsql as 'begin return true; end';
            alter function app.f(text) owner to {app}; alter table app.orders add check (app.f(note))";
    a_tenants_function_in_a_default: "FUNCTION_OF_TENANTS" on "app.f()"
        by "create function app.f() returns text language plpgsql as 'begin return 1; end';
            alter function app.f() owner to {app}; alter table app.events_2025 alter what set default app.f()";
    a_tenants_function_in_an_index: "FUNCTION_OF_TENANTS" on "app.f(text)"
        by "create function app.f(text) returns text immutable language plpgsql as 'begin return $1; end';
            alter function app.f(text) owner to {app}; create index on app.orders (tenant_id, app.f(note))";
    a_tenants_function_in_a_policy: "FUNCTION_OF_TENANTS" on "app.f(uuid)"
        by "create function app.f(uuid) returns boolean stable language plpgsql as 'begin return true; end';
            alter function app.f(uuid) owner to {app};
            create policy narrow on app.orders as restrictive using (app.f(tenant_id))";
    a_tenants_function_in_a_domain: "FUNCTION_OF_TENANTS" on "app.f(text)"
        by "create function app.f(text) returns boolean language plpgsql as 'begin return true; end';
            create domain app.email as text check (app.f(value)); alter function app.f(text) owner to {app};
            create table app.notes (tenant_id uuid, email app.email); select tenancy.protect('app.notes')";
    a_large_object: "LO_COLUMN" on "app.orders.scan" by "alter table app.orders add scan oid default 0";
    a_publication_of_a_table: "PUBLICATION" on "feed" by "create publication feed for table app.orders";
    a_publication_of_a_schema: "PUBLICATION" on "feed" by "create publication feed for tables in schema app";
    a_publication_of_everything: "PUBLICATION" on "\"Feed\"" by "create publication \"Feed\" for all tables";
    a_server_that_leads_back: "FDW_LOOPBACK" on "back"
        by "create foreign data wrapper dblink_fdw;
            create server back foreign data wrapper dblink_fdw options (host 'localhost', dbname '{db}');
            create user mapping for {app} server back options (user 'postgres')";
    a_server_that_leads_back_for_all: "FDW_LOOPBACK" on "back"
        by "create foreign data wrapper dblink_fdw; create server back foreign data wrapper dblink_fdw;
            create user mapping for public server back";
}

#[test]
fn a_filtered_publication_is_left_alone() {
    let clinic = crate::Clinic::new();
    clinic.run("create publication feed for table app.journal where (tenant_id = 42)");
    assert_eq!(clinic.illnesses(), []);
}

#[test]
fn a_superusers_trigger_is_worth_a_note() {
    let clinic = crate::Clinic::new();
    let notes = |clinic: &crate::Clinic<'_>| {
        let found = clinic.findings().into_iter().filter(|found| found.code == "TRIGGER_BYPASS");
        found.map(|found| (found.severity, found.object, found.fix)).collect::<Vec<_>>()
    };
    assert_eq!(notes(&clinic), [("info".to_owned(), "touch ON app.orders".to_owned(), None)]);
    clinic.run("alter function app.touch() security invoker");
    assert_eq!(notes(&clinic), []);
}
