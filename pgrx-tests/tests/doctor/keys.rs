//! Keys, foreign keys and their indexes.

use tenancy_harness::Session;

use crate::{Clinic, heals};

heals! {
    a_global_unique_constraint: "UNIQUE_GLOBAL" on "orders_note_key ON app.orders"
        by "alter table app.orders add unique (note)";
    a_global_unique_index: "UNIQUE_GLOBAL" on "\"By Note\" ON app.orders"
        by "create unique index \"By Note\" on app.orders (lower(note)) where note <> ''";
    a_global_primary_key: "UNIQUE_GLOBAL" on "notes_pkey ON app.notes"
        by "create table app.notes (tenant_id uuid, name text primary key); select tenancy.protect('app.notes')";
    a_global_surrogate_key: "UNIQUE_GLOBAL" on "notes_pkey ON app.notes"
        by "create table app.notes (tenant_id uuid, id uuid primary key default gen_random_uuid());
            select tenancy.protect('app.notes')";
    a_global_key_of_a_partitioned_table: "UNIQUE_GLOBAL" on "parts_pkey ON app.parts"
        by "create table app.parts (\"Ten\\ant\" uuid, at date primary key) partition by range (at);
            create table app.parts_1 partition of app.parts default; select tenancy.protect('app.parts', 'Ten\\ant')";
    a_global_exclusion_constraint: "UNIQUE_GLOBAL" on "bookings_during_excl ON app.bookings"
        by "create table app.bookings (tenant_id uuid, during tsrange, exclude using gist (during with &&));
            select tenancy.protect('app.bookings')";
    a_foreign_key_across_tenants: "FK_CROSS_TENANT" on "notes_order_id_fkey ON app.notes"
        by "alter table app.orders add constraint orders_id_key unique (id);
            create table app.notes (tenant_id uuid, order_id integer
                references app.orders (id) on update cascade on delete set null deferrable initially deferred);
            select tenancy.protect('app.notes')";
    foreign_keys_to_a_primary_key: "FK_CROSS_TENANT" on "branch_trunk_id_fkey1 ON app.branch"
        by "create table app.trunk (tenant_id uuid, id integer primary key, above integer references app.trunk);
            create table app.branch (tenant_id uuid, trunk_id integer references app.trunk,
                foreign key (trunk_id) references app.trunk on delete cascade);
            select tenancy.protect('app.trunk'), tenancy.protect('app.branch')";
    a_key_that_tenants_cascade_by: "FK_CASCADE" on "notes_country_fkey ON app.notes"
        by "create table app.notes (tenant_id uuid, country text references app.countries on delete cascade on update set null);
            create index on app.notes (country); select tenancy.protect('app.notes')";
    a_key_that_tenants_change: "FK_CASCADE" on "notes_country_fkey ON app.notes"
        by "revoke insert, update, delete on app.countries from {app}; grant update (code) on app.countries to public;
            create table app.notes (tenant_id uuid, country text references app.countries on update cascade);
            create index on app.notes (country); select tenancy.protect('app.notes')";
    a_foreign_key_without_an_index: "FK_NO_INDEX" on "notes_country_fkey ON app.notes"
        by "create table app.notes (tenant_id uuid, country text references app.countries);
            select tenancy.protect('app.notes')";
    a_composite_foreign_key_without_an_index: "FK_NO_INDEX" on "notes_tenant_id_order_id_fkey ON app.notes"
        by "create table app.notes (tenant_id uuid, order_id integer,
                foreign key (tenant_id, order_id) references app.orders (tenant_id, id));
            select tenancy.protect('app.notes')";
}

#[test]
fn a_key_by_which_nothing_is_done_or_whose_table_has_row_security_is_left_alone() {
    let clinic = Clinic::new();
    clinic.run(
        "create table app.notes (tenant_id uuid, country text references app.countries on delete restrict,
             other text references app.countries, own text references app.countries on delete cascade);
         create index on app.notes (country); create index on app.notes (other); create index on app.notes (own);
         select tenancy.protect('app.notes');
         alter table app.countries enable row level security; create policy none on app.countries for select using (code <> '')",
    );
    assert_eq!(clinic.illnesses(), []);
}

#[test]
fn a_scoped_foreign_key_does_what_the_old_one_did() {
    let clinic = Clinic::new();
    clinic.run(
        "alter table app.orders add constraint orders_id_key unique (id);
         create table app.notes (tenant_id uuid, order_id integer references app.orders (id) on delete set null);
         select tenancy.protect('app.notes')",
    );
    clinic.fix_all();
    let query =
        "select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'app.notes'::regclass and contype = 'f'";
    let definition = clinic.fixture.superuser().value(query).expect("a foreign key");
    assert_eq!(
        definition,
        "FOREIGN KEY (tenant_id, order_id) REFERENCES app.orders(tenant_id, id) ON DELETE SET NULL (order_id)"
    );
}

#[test]
fn where_no_sql_can_mend_a_key_there_is_none() {
    let clinic = Clinic::new();
    clinic.run(
        "alter table app.prices add id integer unique;
         create table app.uses (tenant_id text collate \"C\", price_id integer references app.prices (id));
         select tenancy.protect('app.uses');
         alter table app.orders add constraint orders_id_key unique (id);
         create table app.global_uses (order_id integer references app.orders (id));
         select tenancy.classify('app.global_uses', 'global')",
    );
    let without_fix: Vec<_> = clinic
        .illnesses()
        .into_iter()
        .filter(|found| found.fix.is_none())
        .map(|found| (found.code, found.object))
        .collect();
    let expected = [
        ("UNIQUE_GLOBAL", "orders_id_key ON app.orders"),
        ("UNIQUE_GLOBAL", "prices_id_key ON app.prices"),
        ("FK_CROSS_TENANT", "uses_price_id_fkey ON app.uses"),
    ];
    assert_eq!(without_fix, expected.map(|(code, object)| (code.to_owned(), object.to_owned())));
    clinic.fix_all();
}

#[test]
fn a_key_that_nobody_chooses_is_no_great_matter() {
    let clinic = Clinic::new();
    clinic.run(
        "create table app.notes (tenant_id uuid, id bigint generated always as identity primary key, name text unique);
         select tenancy.protect('app.notes')",
    );
    let severities: Vec<_> = clinic.illnesses().into_iter().map(|found| (found.object, found.severity)).collect();
    let expected = [("notes_name_key ON app.notes", "high"), ("notes_pkey ON app.notes", "low")];
    assert_eq!(severities, expected.map(|(object, severity)| (object.to_owned(), severity.to_owned())));
}

#[test]
fn an_indexs_name_is_no_sql_in_the_fix() {
    let clinic = Clinic::new();
    let column = clinic.fill(" ON app.t (b); ALTER ROLE {other} SUPERUSER; --");
    clinic.run(&format!(
        "create table app.t (id integer, b integer, \"{column}\" uuid); create unique index \"a USING btree (\" on app.t (id);
         select tenancy.protect('app.t', '{column}')"
    ));
    clinic.fix_all();
    assert!(!clinic.is_superuser(&clinic.other));
    let columns = "select string_agg(attname, ', ' order by attnum) from pg_attribute where attrelid = 'app.\"a USING btree (\"'::regclass";
    assert_eq!(clinic.fixture.superuser().value(columns), Some(format!("{column}, id")));
    assert_eq!(clinic.illnesses(), []);
}

#[test]
fn a_tenants_own_table_that_others_refer_to_may_bear_what_he_likes() {
    Clinic::new().is_told(
        "FK_CASCADE",
        "notes_country_fkey ON app.notes",
        "revoke insert, update, delete on app.countries from {app}; alter table app.countries owner to {app};
         create table app.notes (tenant_id uuid, country text references app.countries on delete set default);
         create index on app.notes (country); select tenancy.protect('app.notes')",
        "give it to a role",
    );
}

/// To add a foreign key is to compare all rows, by a cast that may be anybody's.
#[test]
fn a_key_that_needs_a_cast_of_somebodys_own_has_no_fix() {
    let clinic = Clinic::new();
    clinic.run(
        "create type app.code as enum ('a');
         create function app.to_number(app.code) returns integer language sql immutable as $$ select 1 $$;
         create cast (app.code as integer) with function app.to_number(app.code) as implicit;
         alter table app.orders add constraint orders_id_key unique (id);
         create table app.notes (tenant_id uuid, order_id app.code references app.orders (id));
         create index on app.notes (tenant_id, order_id); select tenancy.protect('app.notes')",
    );
    let found = clinic.illnesses();
    let key = found.iter().find(|found| found.code == "FK_CROSS_TENANT").expect("a foreign key");
    assert_eq!(key.fix, None);
    clinic.fix_all();
}

#[test]
fn an_index_of_a_partitioned_table_comes_back_with_its_parts() {
    let clinic = Clinic::new();
    clinic.heals(
        "UNIQUE_GLOBAL",
        "parts_at_idx ON app.parts",
        "create table app.parts (tenant_id uuid, at date) partition by range (at);
         create table app.parts_1 partition of app.parts default; create unique index on app.parts (at);
         select tenancy.protect('app.parts')",
    );
    let unique = "select count(*) from pg_index where indisunique and indisvalid and indnatts = 2 and
                  indrelid in ('app.parts'::regclass, 'app.parts_1'::regclass)";
    assert_eq!(clinic.fixture.superuser().value(unique).as_deref(), Some("2"));
}
