//! Views and materialized views over protected tables.

use crate::{Clinic, codes_on, heals};

heals! {
    a_superusers_view: "VIEW_BYPASS" on "app.all_orders" by "create view app.all_orders as select * from app.orders";
    a_superusers_view_of_a_partition: "VIEW_BYPASS" on "app.v" by "create view app.v as select * from app.events_2025";
    a_view_of_a_view: "VIEW_BYPASS" on "app.top"
        by "create view app.bottom with (security_invoker) as select * from app.orders;
            create view app.middle with (security_invoker) as select * from app.bottom;
            create view app.top as select (select count(*) from app.middle)";
    a_view_of_somebody_else: "VIEW_NOT_INVOKER" on "app.v"
        by "grant usage, create on schema app to {other}; grant select on app.orders to {other};
            set role {other}; create view app.v as select * from app.orders";
    a_view_that_hides_rows: "VIEW_NO_BARRIER" on "app.v"
        by "create view app.v with (security_invoker) as select * from app.orders where note <> 'secret'";
    a_view_that_hides_rows_by_joining: "VIEW_NO_BARRIER" on "app.v"
        by "create view app.v with (security_invoker) as select o.* from app.orders o join app.lines l using (tenant_id, id)";
    a_rule_of_a_superusers_view: "RULE" on "copy ON app.v"
        by "create view app.v with (security_invoker) as select id, note from app.orders;
            create rule copy as on insert to app.v do instead insert into app.countries select note from app.orders";
    a_rule_that_reads_through_a_view: "RULE" on "\"It's\" ON app.countries"
        by "create view app.v with (security_invoker, security_barrier) as select note from app.orders;
            create rule \"It's\" as on update to app.countries do also delete from app.v";
    a_materialized_view_for_tenants: "MATVIEW" on "app.totals" by "grant select on app.totals to {app}";
    a_materialized_view_for_all: "MATVIEW" on "app.totals" by "grant select on app.totals to public";
}

#[test]
fn a_view_of_other_tables_is_left_alone() {
    let clinic = Clinic::new();
    clinic.run("create view app.v as select * from app.countries where code <> 'xx'");
    let found = clinic.illnesses();
    assert!(codes_on(&found, "app.v").is_empty(), "{found:#?}");
}

#[test]
fn rules_that_have_no_rights_of_a_bypassing_role_are_left_alone() {
    let clinic = Clinic::new();
    clinic.run(
        "grant usage, create on schema app to {other}; grant select, insert on app.orders to {other}; set role {other};
         create view app.v with (security_invoker, security_barrier) as select id, note from app.orders;
         create rule own as on insert to app.v do instead insert into app.orders (id, note) values (new.id, new.note);
         reset role; create rule plain as on insert to app.countries do also notify countries",
    );
    let found = clinic.illnesses();
    assert!(found.iter().all(|found| found.code != "RULE"), "{found:#?}");
}

#[test]
fn a_tenants_materialized_view_is_refreshed_with_nobody_elses_rights() {
    let clinic = Clinic::new();
    clinic.is_told("MATVIEW", "app.totals", "alter materialized view app.totals owner to {app}", "make it anew");
}
