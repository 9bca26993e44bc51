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
