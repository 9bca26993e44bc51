//! Every attack can succeed: a table is broken in one way, and exactly the attacks that go that way do.

use crate::{Lab, of, open, prove};
use tenancy_harness::Session;

/// Everything that policies alone keep from happening.
const BY_POLICY: [&str; 20] = [
    "read",
    "count",
    "aggregate",
    "cursor",
    "prepared_plan",
    "leaky_function",
    "own_view",
    "view",
    "row_security_off",
    "no_context",
    "reset_context",
    "insert",
    "update",
    "update_all",
    "delete",
    "delete_all",
    "move_row",
    "move_all",
    "upsert",
    "merge",
];

fn but<'a>(all: &[&'a str], exceptions: &[&str]) -> Vec<&'a str> {
    all.iter().copied().filter(|attack| !exceptions.contains(attack)).collect()
}

/// One test per line: its name, the table, what breaks it, and the attacks that then succeed.
macro_rules! breaks {
    ($($name:ident: $table:literal by $broken_by:literal opens $open:expr;)*) => {
        $(#[test]
        fn $name() {
            let expected: Vec<&str> = $open.to_vec();
            assert_eq!(Lab::new().open_after($table, $broken_by), expected);
        })*
    };
}

breaks! {
    row_security_off: "app.orders" by "alter table app.orders disable row level security" opens BY_POLICY;
    no_floor_and_an_open_policy: "app.orders"
        by "drop policy tenant_isolation_floor on app.orders; create policy debug on app.orders using (true)"
        opens but(&BY_POLICY, &["row_security_off"]);
    an_open_policy_for_reading: "app.orders"
        by "drop policy tenant_isolation_floor on app.orders; create policy debug on app.orders for select using (true)"
        opens ["read", "count", "aggregate", "cursor", "prepared_plan", "leaky_function", "own_view", "view",
               "no_context", "reset_context"];
    no_check_of_what_is_written: "app.orders"
        by "alter policy tenant_isolation on app.orders with check (true);
            alter policy tenant_isolation_floor on app.orders with check (true)"
        opens ["insert", "move_all", "merge"];
    an_open_policy_for_updates: "app.orders"
        by "drop policy tenant_isolation_floor on app.orders;
            create policy floor on app.orders as restrictive for select using (tenant_id = tenancy.current_tenant());
            create policy debug on app.orders for update using (true) with check (tenant_id = tenancy.current_tenant())"
        opens ["update_all"];
    an_open_policy_for_deletes: "app.orders"
        by "drop policy tenant_isolation_floor on app.orders;
            create policy floor on app.orders as restrictive for select using (tenant_id = tenancy.current_tenant());
            create policy debug on app.orders for delete using (true)"
        opens ["delete_all"];
    rows_that_are_seen_without_a_tenant: "app.orders"
        by "alter policy tenant_isolation on app.orders
                using (tenant_id = tenancy.current_tenant() or tenancy.current_tenant() is null);
            alter policy tenant_isolation_floor on app.orders
                using (tenant_id = tenancy.current_tenant() or tenancy.current_tenant() is null)"
        opens ["cursor", "no_context", "reset_context"];
    a_plan_that_keeps_its_tenant: "app.orders" by "alter function tenancy.current_tenant() immutable"
        opens ["prepared_plan"];
    a_function_that_is_trusted_not_to_leak: "app.journal"
        by "alter function pg_catalog.int4div leakproof cost 0.0001; alter function pg_catalog.int4gt cost 0.0001;
            alter function pg_catalog.int4eq cost 0.0001; alter function tenancy.current_key_int() cost 1000;
            drop index app.journal_tenant_id_idx"
        opens ["leaky_function"];
    a_view_of_a_superuser: "app.orders"
        by "create view app.all_mail as select email from app.orders; grant select on app.all_mail to {app}"
        opens ["view"];
    a_view_over_a_view: "app.orders"
        by "create view app.open as select * from app.orders; create view app.counted as select count(*) from app.open;
            grant select on app.counted to public"
        opens ["view"];
    a_key_of_all_tenants: "app.orders" by "create unique index on app.orders (lower(email))" opens ["unique_oracle"];
    a_key_of_all_tenants_that_is_partial: "app.orders" by "create unique index on app.orders (email) where id < 0"
        opens ["unique_oracle"];
    a_key_of_all_tenants_on_a_partition: "app.events" by "create unique index on app.events_2025 (what)"
        opens ["unique_oracle"];
    a_foreign_key_to_all_tenants: "app.lines"
        by "alter table app.orders add constraint global unique (id);
            alter table app.lines add constraint loose foreign key (order_id) references app.orders (id) not valid"
        opens ["foreign_key_oracle"];
    truncate_without_guard: "app.orders"
        by "grant truncate on app.orders, app.lines to {app}; drop trigger tenant_isolation_truncate on app.orders;
            drop trigger tenant_isolation_truncate on app.lines"
        opens ["truncate"];
    truncate_of_a_partition: "app.events"
        by "grant truncate on app.events_2025 to public;
            drop trigger tenant_isolation_truncate on app.events_2025"
        opens ["part_truncate"];
    a_right_to_make_triggers: "app.orders" by "grant trigger on app.orders to {app}" opens ["create_trigger"];
    a_right_to_refer: "app.orders" by "grant references (tenant_id, id) on app.orders to public" opens ["references"];
    an_open_partition: "app.events" by "alter table app.events_2026_rest disable row level security"
        opens ["part_read", "part_insert", "part_update", "part_delete"];
    an_open_child: "app.parent" by "alter table app.child disable row level security"
        opens ["part_read", "part_insert", "part_update", "part_delete"];
    a_partition_that_takes_anything: "app.events"
        by "alter policy tenant_isolation on app.events_2025 with check (true);
            alter policy tenant_isolation_floor on app.events_2025 with check (true)"
        opens ["part_insert"];
    shared_rows_that_anybody_writes: "app.prices"
        by "drop policy tenant_isolation_floor_update on app.prices;
            create policy floor on app.prices as restrictive for update
                using (tenant_id = tenancy.current_key() or tenant_id is null);
            create policy helpful on app.prices for update using (tenant_id is null)"
        opens ["update_all", "write_shared"];
    history_that_can_be_rewritten: "app.journal"
        by "drop policy tenant_isolation_floor_delete on app.journal;
            create policy own on app.journal for delete using (tenant_id = tenancy.current_key_int())"
        opens ["change_own"];
    a_policy_for_one_role: "app.orders"
        by "drop policy tenant_isolation_floor on app.orders;
            create policy support on app.orders for select to {app} using (true)"
        opens ["read", "count", "aggregate", "cursor", "prepared_plan", "leaky_function", "own_view", "view",
               "no_context", "reset_context"];
    an_application_that_owns_the_table: "app.journal"
        by "grant create on schema app to {app}; alter table app.journal owner to {app}"
        opens ["create_trigger"];
    an_application_that_owns_the_table_and_is_not_bound: "app.journal"
        by "grant create on schema app to {app}; alter table app.journal owner to {app};
            alter table app.journal no force row level security"
        opens ["read", "count", "aggregate", "cursor", "prepared_plan", "leaky_function", "own_view",
               "row_security_off", "no_context", "reset_context", "insert", "update", "update_all", "delete", "delete_all",
               "move_row", "move_all", "upsert", "merge", "change_own", "no_force_rls", "create_policy", "create_trigger"];
}

#[test]
fn a_right_to_truncate_alone_is_held_up_by_the_guard() {
    assert_eq!(Lab::new().open_after("app.orders", "grant truncate on app.orders, app.lines to {app}"), [""; 0]);
}

#[test]
fn an_owner_weakens_the_table_where_no_guard_holds_him() {
    let lab = Lab::new();
    lab.run("grant create on schema app to {app}; alter table app.journal owner to {app}");
    let mut client = lab.fixture.superuser();
    client.run("set tenancy.guard_ddl = off");
    let findings = prove(&mut client, "tenancy.prove('app.journal')");
    assert_eq!(open(&findings), ["disable_rls", "no_force_rls", "create_trigger"]);
    let detail = &of(&findings, "disable_rls").detail;
    assert_eq!(*detail, lab.fill("as a member of {app}: permitted"));
}

#[test]
fn a_session_that_may_switch_is_found_to_do_so() {
    let lab = Lab::new();
    let mut client = lab.fixture.superuser();
    client.run("set tenancy.allow_switch = on");
    assert_eq!(open(&prove(&mut client, "tenancy.prove('app.orders')")), ["second_tenant"]);
}

#[test]
fn a_leak_of_certain_rows_is_found_where_there_are_such_rows() {
    let lab = Lab::new();
    lab.run("update app.orders set note = 'public' where id = 3 and tenant_id = (select id from tenancy.tenants where key = 'acme')");
    let opened = lab.open_after(
        "app.orders",
        "drop policy tenant_isolation_floor on app.orders;
         create policy published on app.orders for select using (note = 'public')",
    );
    assert!(opened.contains(&"read".to_owned()), "{opened:?}");
}

#[test]
fn a_global_key_can_take_a_row_over_once_updates_are_open() {
    let lab = Lab::new();
    lab.run("create unique index on app.orders (email)");
    let opened = lab.prove("app.orders");
    assert_eq!(open(&opened), ["unique_oracle"]);
    lab.run(
        "drop policy tenant_isolation_floor on app.orders;
         create policy debug on app.orders using (true) with check (tenant_id = tenancy.current_tenant())",
    );
    let upsert = of(&lab.prove("app.orders"), "upsert").clone();
    assert_eq!((upsert.blocked, upsert.detail.as_str()), (Some(false), "1 row"));
}

#[test]
fn the_detail_says_what_happened_and_on_which_part() {
    let lab = Lab::new();
    lab.run("alter table app.events_2026_rest disable row level security");
    let findings = lab.prove("app.events");
    assert_eq!(of(&findings, "part_read").detail, "app.events_2026_rest: 1 row");
    assert_eq!(of(&findings, "read").detail, "0 rows");
    assert_eq!(of(&findings, "insert").detail, "SQLSTATE 42501");
}

#[test]
fn one_open_table_among_others_is_told_by_its_name() {
    let lab = Lab::new();
    lab.run("alter table app.lines disable row level security");
    let mut client = lab.fixture.superuser();
    let tables = client.texts("select distinct tbl::text from tenancy.prove() where not blocked");
    assert_eq!(tables, ["app.lines"]);
}
