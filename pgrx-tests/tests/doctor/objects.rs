//! Rules, triggers, large objects, publications, foreign servers.

use tenancy_harness::Session;

use crate::{Clinic, heals};

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
    a_tenants_function_behind_an_operator: "FUNCTION_OF_TENANTS" on "app.f(text, text)"
        by "create function app.f(text, text) returns boolean language plpgsql as 'begin return true; end';
            create operator app.=== (leftarg = text, rightarg = text, function = app.f);
            alter table app.orders add check (note operator(app.===) 'x'); alter function app.f(text, text) owner to {app}";
    a_tenants_function_in_a_domain: "FUNCTION_OF_TENANTS" on "app.f(text)"
        by "create function app.f(text) returns boolean language plpgsql as 'begin return true; end';
            create domain app.email as text check (app.f(value)); alter function app.f(text) owner to {app};
            create table app.notes (tenant_id uuid, email app.email); select tenancy.protect('app.notes')";
    a_tenants_function_with_its_own_rights: "FUNCTION_OF_TENANTS" on "app.f(text)"
        by "create function app.f(text) returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp
                as 'begin return true; end';
            alter function app.f(text) owner to {app}; alter table app.orders add check (app.f(note))";
    a_publication_of_a_table: "PUBLICATION" on "feed" by "create publication feed for table app.orders";
    a_publication_of_a_schema: "PUBLICATION" on "feed" by "create publication feed for tables in schema app";
    a_publication_of_everything: "PUBLICATION" on "\"Feed\"" by "create publication \"Feed\" for all tables";
    a_publication_of_a_tenant_that_never_was: "PUBLICATION_STALE" on "feed"
        by "create publication feed for table app.orders where (tenant_id = 'aaaaaaaa-0000-4000-8000-000000000001'),
                                        only app.prices where (tenant_id is null or tenant_id = 'acme')";
    a_publication_of_a_tenant_with_another_key_since: "PUBLICATION_STALE" on "\"The feed\""
        by "select tenancy.create_tenant('42'); create publication \"The feed\" for table app.journal where (tenant_id = 42);
            update tenancy.tenants set key = '43' where key = '42'";
    a_server_that_leads_back: "FDW_LOOPBACK" on "back"
        by "create foreign data wrapper dblink_fdw;
            create server back foreign data wrapper dblink_fdw options (host 'localhost', dbname '{db}');
            create user mapping for {app} server back options (user 'postgres')";
    a_server_that_leads_back_for_all: "FDW_LOOPBACK" on "back"
        by "create foreign data wrapper dblink_fdw; create server back foreign data wrapper dblink_fdw;
            create user mapping for public server back";
}

#[test]
fn a_publication_of_tenants_that_are_there_is_left_alone() {
    let clinic = Clinic::new();
    clinic.run(
        "select tenancy.create_tenant('42'), tenancy.create_tenant('acme', id => 'aaaaaaaa-0000-4000-8000-000000000001');
         create publication feed for table app.journal where (tenant_id = 42 and line <> ''), app.countries where (code = 'none');
         create publication parts for table app.events_2025 where (tenant_id = 'aaaaaaaa-0000-4000-8000-000000000001')",
    );
    for statement in clinic.fixture.superuser().texts("select tenancy.publication_sql('42')") {
        clinic.run(&statement);
    }
    clinic.run("select tenancy.suspend_tenant('42'), tenancy.archive_tenant('42')");
    assert_eq!(clinic.illnesses(), []);
}

#[test]
fn who_else_is_in_a_filter_stays_published() {
    let clinic = Clinic::new();
    clinic.run("select tenancy.create_tenant('42')");
    clinic.is_told(
        "PUBLICATION_STALE",
        "feed",
        "create publication feed for table app.journal where (tenant_id in (42, 43))",
        "out of the filter",
    );
    let mut superuser = clinic.fixture.superuser();
    let found = |client: &mut tenancy_harness::postgres::Client, schema: &str| {
        client.texts(&format!("select code from tenancy.doctor('{schema}') where code = 'PUBLICATION_STALE'")).len()
    };
    assert_eq!((found(&mut superuser, "app"), found(&mut superuser, "public")), (1, 0));
}

#[test]
fn a_superusers_trigger_is_worth_a_note() {
    let clinic = Clinic::new();
    let notes = |clinic: &Clinic<'_>| {
        let found = clinic.findings().into_iter().filter(|found| found.code == "TRIGGER_BYPASS");
        found.map(|found| (found.severity, found.object, found.fix)).collect::<Vec<_>>()
    };
    assert_eq!(notes(&clinic), [("info".to_owned(), "touch ON app.orders".to_owned(), None)]);
    clinic.run("alter function app.touch() security invoker");
    assert_eq!(notes(&clinic), []);
}

#[test]
fn what_tenants_own_goes_to_nobody_with_more_rights() {
    let clinic = Clinic::new();
    let make = "create domain app.email as text; alter domain app.email owner to {app};
                create function app.f(text) returns boolean language plpgsql as 'begin return true; end';
                alter function app.f(text) owner to {app}; alter table app.orders add check (app.f(note));
                create table app.notes (tenant_id uuid, email app.email); select tenancy.protect('app.notes');
                create schema lab authorization {app}; create table lab.t (); alter table lab.t owner to {other};";
    clinic.run(make);
    // The roles that things are given to; no fix is told of with what to do.
    let new_owners = || {
        let of = ["app.email", "app.f(text)", "lab"];
        let found = clinic.illnesses().into_iter().filter(|found| of.contains(&found.object.as_str()));
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), 3, "{found:#?}");
        let told = found.iter().filter(|found| found.detail.contains("a role that acts for no tenants")).count();
        let fixes: Vec<_> = found.into_iter().filter_map(|found| found.fix).collect();
        assert_eq!(told, 3 - fixes.len(), "{fixes:#?}");
        let owners = fixes.iter().filter_map(|fix| Some(fix.split_once("OWNER TO ")?.1.to_owned()));
        let owners: Vec<_> = owners.collect();
        assert_eq!(owners.len(), fixes.len(), "{fixes:#?}");
        owners
    };
    let keeper = [clinic.keeper.clone(), clinic.keeper.clone(), clinic.keeper.clone()];
    assert_eq!(new_owners(), keeper);
    for attribute in ["superuser", "bypassrls", "createrole", "createdb", "replication"] {
        clinic.run(&format!("alter role {{keeper}} {attribute}"));
        assert!(new_owners().is_empty(), "{attribute}");
        clinic.run(&format!("alter role {{keeper}} no{attribute}"));
    }
    for (grant, revoke) in [
        ("grant pg_read_all_settings to {keeper}", "revoke pg_read_all_settings from {keeper}"),
        ("grant {keeper} to {app}", "revoke {keeper} from {app}"),
        ("alter database {db} owner to postgres", "alter database {db} owner to {keeper}"),
    ] {
        clinic.run(grant);
        assert!(new_owners().is_empty(), "{grant}");
        clinic.run(revoke);
        assert_eq!(new_owners(), keeper, "{revoke}");
    }
    // Then the one who owns protected tables; of two neither.
    clinic.run("alter database {db} owner to postgres; alter table app.journal owner to {other}");
    assert_eq!(new_owners(), [clinic.other.clone(), clinic.other.clone(), clinic.other.clone()]);
    clinic.run("alter table app.prices owner to {keeper}");
    assert!(new_owners().is_empty());
}

/// A function, an index expression and a materialized view run with the rights of whoever owns them, and bear what their
/// former owner wrote.
#[test]
fn what_tenants_wrote_runs_with_nobodys_rights_but_theirs() {
    for owner in ["postgres", "{keeper}"] {
        let clinic = Clinic::new();
        let app = &clinic.app;
        clinic.run(&format!(
            "alter database {{db}} owner to {owner}; create schema lab authorization {{app}};
                             grant usage on schema lab to public; select tenancy.create_tenant('acme')"
        ));
        let mut client = clinic.fixture.connect(app);
        client.run(
            "create table lab.t (id int, tenant_id uuid); create table lab.seen (who text);
                    grant insert on lab.seen to public",
        );
        clinic.run("select tenancy.protect('lab.t'); select tenancy.classify('lab.seen', 'global')");
        client.run(&format!(
            "create function lab.rise() returns boolean language plpgsql as $$ begin
               insert into lab.seen values (current_user);
               if (select rolsuper from pg_roles where rolname = current_user) then
                 execute 'alter role {app} superuser';
               end if;
               return true;
             end $$;
             create function lab.f(x int) returns boolean language plpgsql security definer as
               $$ begin return lab.rise(); end $$;
             create function lab.g(x int) returns int language plpgsql immutable as
               $$ begin perform lab.rise(); return x; end $$;
             alter table lab.t add check (lab.f(id)); create index on lab.t (lab.g(id));
             create materialized view lab.m as select lab.rise(), count(*) from lab.t;
             begin; select tenancy.set_tenant('acme'); insert into lab.t values (1); commit"
        ));
        clinic.fix_all();
        let _ = client.batch_execute("select lab.f(1)");
        clinic.run("analyze lab.t; refresh materialized view lab.m");
        assert!(!clinic.is_superuser(app), "{owner}");
        let seen = clinic.fixture.superuser().texts("select distinct who from lab.seen");
        assert_eq!(seen, [app.as_str()], "{owner}");
    }
}

#[test]
fn a_large_object_is_read_for_nobody() {
    let clinic = Clinic::new();
    clinic.is_told(
        "LO_COLUMN",
        "app.orders.scan",
        "alter table app.orders add scan oid default 0; select lo_from_bytea(4712, 'not for tenants');
         select tenancy.create_tenant('acme'); insert into app.orders (id, tenant_id, scan) select 1, id, 4712 from tenancy.tenants",
        "type bytea",
    );
    assert_eq!(clinic.fixture.superuser().value("select scan from app.orders").as_deref(), Some("4712"));
    clinic.run("select lo_unlink(4712)");
}
