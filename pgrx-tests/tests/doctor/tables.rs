//! Protected tables, and those that should be.

use crate::{Clinic, codes_on, heals};

heals! {
    row_security_off: "RLS_DISABLED" on "app.orders" by "alter table app.orders disable row level security";
    row_security_off_on_a_partition: "RLS_DISABLED" on "app.events_2026_rest"
        by "alter table app.events_2026_rest disable row level security";
    row_security_off_on_an_own_table: "RLS_DISABLED" on "tenancy.tenants"
        by "alter table tenancy.tenants disable row level security";
    row_security_not_forced: "RLS_NOT_FORCED" on "app.orders" by "alter table app.orders no force row level security";
    a_new_partition: "PARTITION_UNPROTECTED" on "app.events_2024"
        by "create table app.events_2024 partition of app.events for values from ('2024-01-01') to ('2025-01-01')";
    an_attached_table: "PARTITION_UNPROTECTED" on "app.loose"
        by "create table app.loose (tenant_id uuid not null, at date not null, what text not null);
            grant all on app.loose to {app};
            alter table app.events attach partition app.loose for values from ('2024-01-01') to ('2025-01-01')";
    a_new_child: "PARTITION_UNPROTECTED" on "app.grandchild" by "create table app.grandchild () inherits (app.child)";
    an_open_parent: "PARENT_UNPROTECTED" on "app.everything"
        by "create table app.everything (tenant_id uuid, email text); alter table app.orders inherit app.everything";
    an_open_parent_without_tenants: "PARENT_UNPROTECTED" on "app.everything"
        by "create table app.everything (note text); alter table app.orders inherit app.everything";
    an_open_partitioned_parent: "PARENT_UNPROTECTED" on "app.sessions"
        by "create table app.sessions (tenant_id uuid, at date) partition by range (at);
            create table app.sessions_1 partition of app.sessions default; select tenancy.protect('app.sessions_1')";
    a_nullable_tenant: "TENANT_ID_NULLABLE" on "app.journal"
        by "alter table app.journal alter tenant_id drop not null";
    a_default_of_ones_own: "TENANT_ID_DEFAULT" on "app.orders"
        by "alter table app.orders alter tenant_id set default gen_random_uuid()";
    no_default: "TENANT_ID_DEFAULT" on "app.prices" by "alter table app.prices alter tenant_id drop default";
    no_index: "INDEX_NOT_TENANT_LED" on "app.journal" by "drop index app.journal_tenant_id_idx";
    an_index_of_another_order: "INDEX_NOT_TENANT_LED" on "app.events"
        by "alter table app.events drop constraint events_pkey; create index on app.events (at, tenant_id)";
    a_renamed_tenant_column: "TENANT_COLUMN_MISSING" on "app.orders"
        by "alter table app.orders rename tenant_id to customer";
    a_new_table: "UNCLASSIFIED_TABLE" on "app.notes"
        by "create table app.notes (tenant_id uuid, note text); grant select on app.notes to {app}";
    a_new_table_of_another_schema: "UNCLASSIFIED_TABLE" on "\"My Notes\".\"It's\""
        by "create schema \"My Notes\"; create table \"My Notes\".\"It's\" (tenant_id uuid, note text)";
    a_new_table_is_open: "RLS_DISABLED" on "app.notes" by "create table app.notes (tenant_id text collate \"C\")";
    a_new_table_with_row_security_of_its_own: "RLS_NOT_FORCED" on "app.notes"
        by "create table app.notes (tenant_id bigint); alter table app.notes enable row level security";
    a_new_table_with_a_tenant_column_of_another_name: "UNCLASSIFIED_TABLE" on "app.notes"
        by "create table app.first (\"Customer\" uuid); create table app.notes (\"Customer\" uuid);
            select tenancy.protect('app.first', 'Customer')";
    a_padded_tenant: "TENANT_ID_FUZZY_TYPE" on "app.notes" by "create table app.notes (tenant_id char(8), note text)";
    a_tenant_of_many_spellings: "TENANT_ID_FUZZY_TYPE" on "app.notes"
        by "create collation app.fuzzy (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
            create table app.notes (tenant_id text collate app.fuzzy)";
    a_table_without_tenants: "TABLE_WITHOUT_TENANT" on "app.currencies"
        by "create table app.currencies (code text); grant select on app.currencies to {app}";
    a_foreign_table: "FOREIGN_TABLE" on "app.remote"
        by "create foreign data wrapper remote;
            create server elsewhere foreign data wrapper remote options (host 'elsewhere.example');
            create foreign table app.remote (tenant_id uuid) server elsewhere; grant select on app.remote to {app}";
    a_foreign_partition: "FOREIGN_TABLE" on "app.remote"
        by "create foreign data wrapper remote;
            create server elsewhere foreign data wrapper remote options (host 'elsewhere.example');
            create table app.loose (tenant_id uuid, at date) partition by list (at);
            select tenancy.protect('app.loose');
            create foreign table app.remote partition of app.loose default server elsewhere";
}

#[test]
fn a_record_without_its_table() {
    Clinic::new().heals(
        "RECORD_STALE",
        "tenancy.protection",
        "alter event trigger tenancy_forget_dropped disable; drop table app.journal;
         alter event trigger tenancy_forget_dropped enable always",
    );
}

#[test]
fn a_table_that_is_ill_in_many_ways_is_healed_at_once() {
    let clinic = Clinic::new();
    clinic.run(
        "alter table app.orders disable row level security, no force row level security, alter tenant_id drop default;
         drop policy tenant_isolation on app.orders; alter policy tenant_isolation_floor on app.orders to {app};
         grant all on app.orders to {other}",
    );
    let found = clinic.illnesses();
    let codes = codes_on(&found, "app.orders");
    for code in ["RLS_DISABLED", "POLICY_DRIFT", "DANGEROUS_PRIV", "TENANT_ID_DEFAULT", "NO_RESTRICTIVE_TO_PUBLIC"] {
        assert!(codes.contains(&code), "{code} is not among {codes:?}");
    }
    clinic.fix_all();
    assert_eq!(clinic.illnesses(), []);
}

#[test]
fn what_is_classified_as_global_or_of_an_extension_or_temporary_is_left_alone() {
    let clinic = Clinic::new();
    clinic.run(
        "create table app.both (tenant_id uuid); select tenancy.classify('app.both', 'global');
         create temporary table mine (tenant_id uuid)",
    );
    assert_eq!(clinic.illnesses(), []);
}

/// A rewrite checks conditions as whoever runs it.
#[test]
fn a_table_of_somebody_else_is_not_rewritten() {
    let clinic = Clinic::new();
    clinic.run(
        "create schema lab authorization {other}; set role {other};
         create function lab.check(v text) returns boolean language plpgsql as $$ begin
           if (select rolsuper from pg_roles where rolname = current_user) then
             execute 'alter role {other} superuser';
           end if;
           return true;
         end $$;
         create table lab.t (tenant_id char(5) check (lab.check(tenant_id))); insert into lab.t values ('acme');
         create table lab.plain (tenant_id char(5));
         create function lab.same(a text, b text) returns boolean language plpgsql as 'begin return lab.check(a); end';
         create operator lab.=== (leftarg = text, rightarg = text, function = lab.same);
         reset role; set search_path = lab, app, public;
         create table app.borrows (tenant_id char(5), note text, check (lab.check(note)));
         create table app.compares (tenant_id char(5), note text, check (note === 'x'));
         create table app.above (tenant_id char(5)); create table lab.below () inherits (app.above);
         alter table lab.below owner to {other}",
    );
    clinic.fix_all();
    assert!(!clinic.is_superuser(&clinic.other));
    let found = clinic.illnesses();
    for table in ["lab.t", "lab.plain", "app.borrows", "app.compares", "app.above"] {
        let told = found.iter().filter(|found| found.object == table).collect::<Vec<_>>();
        let codes: Vec<_> = told.iter().map(|found| found.code.as_str()).collect();
        assert!(codes.contains(&"TENANT_ID_FUZZY_TYPE") && told.iter().all(|found| found.fix.is_none()), "{told:#?}");
        assert!(told[0].detail.contains("have its owner give the column"), "{told:#?}");
    }
}
