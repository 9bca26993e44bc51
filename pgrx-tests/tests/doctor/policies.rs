//! Policies that are missing, changed, added, or believe the wrong thing.

use crate::{Clinic, codes_on, heals};

heals! {
    a_dropped_policy: "POLICY_DRIFT" on "app.orders" by "drop policy tenant_isolation on app.orders";
    a_dropped_truncate_trigger: "POLICY_DRIFT" on "app.orders"
        by "drop trigger tenant_isolation_truncate on app.orders";
    a_disabled_truncate_trigger_of_a_partition: "POLICY_DRIFT" on "app.events_2025"
        by "alter table app.events_2025 disable trigger tenant_isolation_truncate";
    a_changed_policy_of_a_partition: "POLICY_DRIFT" on "app.events_2025"
        by "alter policy tenant_isolation on app.events_2025 using (tenant_id is not null)";
    a_policy_of_another_kind: "POLICY_DRIFT" on "app.journal"
        by "drop policy tenant_isolation_floor_update on app.journal";
    no_floor: "NO_RESTRICTIVE_TO_PUBLIC" on "app.orders" by "drop policy tenant_isolation_floor on app.orders";
    a_floor_for_one_command_only: "NO_RESTRICTIVE_TO_PUBLIC" on "app.orders"
        by "drop policy tenant_isolation_floor on app.orders;
            create policy tenant_isolation_floor on app.orders as restrictive for select
                using (tenant_id = tenancy.current_tenant())";
    a_floor_for_one_role_only: "NO_RESTRICTIVE_TO_PUBLIC" on "app.orders"
        by "alter policy tenant_isolation_floor on app.orders to {app}";
    a_policy_for_one_role_only: "POLICY_NOT_PUBLIC" on "tenant_isolation ON app.orders"
        by "alter policy tenant_isolation on app.orders to {app}";
    a_policy_that_is_always_true: "POLICY_ALWAYS_TRUE" on "debug ON app.orders"
        by "create policy debug on app.orders using (true)";
    a_policy_that_is_true_in_the_end: "POLICY_ALWAYS_TRUE" on "\"Debug it\" ON app.orders"
        by "create policy \"Debug it\" on app.orders for select using (tenant_id = tenancy.current_tenant() or true)";
    our_policy_made_true: "POLICY_ALWAYS_TRUE" on "tenant_isolation ON app.orders"
        by "alter policy tenant_isolation on app.orders using (true)";
    a_policy_beside_ours: "POLICY_EXTRA" on "support ON app.orders"
        by "create policy support on app.orders for select using (note = 'shared')";
    a_policy_that_believes_a_setting: "POLICY_USERSET_GUC" on "by_setting ON app.orders"
        by "create policy by_setting on app.orders using (tenant_id = current_setting('app.tenant')::uuid)";
    a_policy_that_believes_a_setting_through_a_function: "POLICY_USERSET_GUC" on "by_function ON app.orders"
        by "create function app.tenant() returns uuid stable language sql
                as 'select nullif(current_setting(''app.tenant'', true), '''')::uuid';
            create policy by_function on app.orders using (tenant_id = app.tenant())";
    a_table_that_believes_a_setting: "POLICY_USERSET_GUC" on "by_setting ON app.notes"
        by "create table app.notes (owner text); select tenancy.classify('app.notes', 'global');
            alter table app.notes enable row level security;
            create policy by_setting on app.notes using (owner = current_setting('tenancy.user_id'))";
    a_volatile_function: "POLICY_NONSTABLE_FN" on "app.allowed(uuid)"
        by "create function app.allowed(uuid) returns boolean volatile language sql as 'select $1 is not null';
            create policy slow on app.orders as restrictive using (app.allowed(tenant_id))";
    an_immutable_function_that_reads_the_session: "POLICY_NONSTABLE_FN" on "app.who()"
        by "create function app.who() returns text immutable language sql as 'select current_user::text';
            create policy stale on app.orders as restrictive using (app.who() is not null)";
    a_policy_that_rolls_dice: "POLICY_NONSTABLE_FN" on "pg_catalog.random()"
        by "create policy dice on app.orders as restrictive using (note <> '' and random() < 0.5)";
    our_function_made_immutable: "POLICY_NONSTABLE_FN" on "tenancy.current_tenant()"
        by "alter function tenancy.current_tenant() immutable";
    a_policy_for_a_bypassing_role: "POLICY_FOR_BYPASSER" on "backup ON app.orders"
        by "alter role {other} bypassrls; create policy backup on app.orders as restrictive to {other} using (id > 0)";
    a_policy_for_a_bypassing_role_among_others: "POLICY_FOR_BYPASSER" on "backup ON app.orders"
        by "alter role {other} bypassrls;
            create policy backup on app.orders as restrictive to {app}, {other} using (id > 0)";
    a_wrong_policy_for_a_bypassing_role: "POLICY_FOR_BYPASSER" on "backup ON app.orders"
        by "alter role {other} bypassrls; create policy backup on app.orders to {app}, {other} using (true)";
    a_setting_believed_for_a_bypassing_role: "POLICY_FOR_BYPASSER" on "own ON app.notes"
        by "create table app.notes (owner text); select tenancy.classify('app.notes', 'global');
            alter table app.notes enable row level security; alter role {other} bypassrls;
            create policy own on app.notes to {app}, {other} using (owner = current_setting('tenancy.user_id'))";
    a_policy_that_asks_a_table_of_all: "POLICY_READS_OPEN_TABLE" on "members ON app.orders"
        by "create table app.members (who text); select tenancy.classify('app.members', 'global');
            grant select, insert on app.members to {app};
            create policy members on app.orders as restrictive using (exists (select from app.members where who = note))";
    a_policy_that_asks_a_column_of_all: "POLICY_READS_OPEN_TABLE" on "\"My members\" ON app.countries"
        by "create table app.members (who text); select tenancy.classify('app.members', 'global');
            grant select, update (who) on app.members to public; alter table app.countries enable row level security;
            create policy \"My members\" on app.countries using (exists (select from app.members where who = code))";
    policies_without_row_security: "POLICIES_DORMANT" on "app.notes"
        by "create table app.notes (owner name); create policy own on app.notes using (owner = current_user)";
}

#[test]
fn a_setting_that_only_superusers_change_may_be_believed() {
    let clinic = Clinic::new();
    clinic.run("create policy by_setting on app.orders as restrictive using (current_setting('tenancy.region') = '')");
    assert_eq!(clinic.illnesses(), []);
}

#[test]
fn a_restrictive_policy_of_ones_own_is_left_alone() {
    let clinic = Clinic::new();
    clinic.run("create policy known on app.orders as restrictive using (exists (select from app.countries))");
    clinic.run("revoke insert, update, delete on app.countries from {app}; create policy weekdays on app.orders as restrictive to {app} using (note <> 'secret')");
    let found = clinic.illnesses();
    assert!(codes_on(&found, "app.orders").is_empty(), "{found:#?}");
    assert_eq!(found, []);
}
