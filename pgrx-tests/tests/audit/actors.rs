//! Who did it: what the server knows can't be forged, what the application says is written down.

use tenancy_harness::{ACME, Fixture, GLOBEX, Session};

use crate::Shop;

#[test]
fn an_entry_says_who_when_and_for_whom() {
    let shop = Shop::new();
    let mut client = shop.fixture.try_connect(&shop.app, "-c application_name=web").unwrap();
    client.run(
        "begin; select tenancy.set_tenant('acme'); set local tenancy.user_id = 'u1'; set local tenancy.request_id = 'r1';
         insert into orders (id) values (1)",
    );
    let txid = client.value("select pg_current_xact_id()").unwrap();
    client.run("commit");
    let entry = "select concat_ws(' ', tenant_id, user_id, request_id, role_name, session_role, application_name, txid, tbl,
                   table_name, bypass, reason, client_addr, at between now() - '1 minute'::interval and now()) from tenancy.audit_log";
    assert_eq!(
        shop.superuser().value(entry).unwrap(),
        format!("{} u1 r1 {app} {app} web {txid} orders public.orders f t", ACME.id, app = shop.app)
    );
}

#[test]
fn role_time_and_transaction_cannot_be_forged() {
    let shop = Shop::new();
    let other = shop.fixture.role("other");
    shop.fixture.run(&format!(
        "grant {other} to {app}; grant insert on orders to {other}; select tenancy.grant_access('{other}');
         create function wrapped() returns void language sql security definer
           as $$ insert into orders (id, tenant_id) values (2, '{}') $$",
        ACME.id,
        app = shop.app
    ));
    let mut client = shop.fixture.connect(&shop.app);
    client.run(&format!(
        "begin; set local role {other}; select tenancy.set_tenant('acme'); set local timezone = 'Asia/Tokyo';
         set local application_name = 'postgres'; insert into orders (id) values (1); commit;
         begin; select tenancy.set_tenant('acme'); select wrapped(); commit"
    ));
    let mut superuser = shop.superuser();
    // What a function of the superuser's does is done past row security, on behalf of the application's role.
    assert_eq!(
        superuser.texts("select concat_ws(' ', role_name, session_role, bypass) from tenancy.audit_log order by id"),
        [format!("{other} {} f", shop.app), format!("{app} {app} t", app = shop.app)]
    );
    for statement in [
        format!("insert into tenancy.audit_log select * from tenancy.audit_log where tenant_id = '{}'", ACME.id),
        "update tenancy.audit_log set role_name = 'x'".into(),
        "delete from tenancy.audit_log".into(),
        "truncate tenancy.audit_log".into(),
        "select * from tenancy.audited".into(),
        "select tenancy.audit('orders')".into(),
        "select tenancy.audit_maintain()".into(),
        "select nextval('tenancy.audit_log_id_seq')".into(),
        "create temporary table own (id int); create trigger t after insert on own referencing new table as new_rows
           execute function tenancy.audit_change()"
            .into(),
    ] {
        client.refuses(&statement, "42501");
    }
    client.refuses("select tenancy.audit_change()", "42501");
}

#[test]
fn who_bypasses_row_security_says_why() {
    let shop = Shop::new();
    let job = shop.fixture.role("job");
    shop.fixture.run(&format!("alter role {job} bypassrls; grant select, insert, update on orders to {job}"));
    let mut client = shop.fixture.connect(&job);
    client.run(&format!(
        "insert into orders (id, tenant_id) values (1, '{}'), (2, '{}');
         begin; select tenancy.bypass('nightly clean-up'); update orders set item = 'x'; commit;
         update orders set item = 'y'; set row_security = off; update orders set item = 'z' where id = 1",
        ACME.id, GLOBEX.id
    ));
    let mut superuser = shop.superuser();
    assert_eq!(
        superuser.texts(
            "select concat_ws(' ', op, left(tenant_id::text, 1), bypass, reason) from tenancy.audit_log order by id"
        ),
        [
            "INSERT a t",
            "INSERT b t",
            "UPDATE a t nightly clean-up",
            "UPDATE b t nightly clean-up",
            "UPDATE a t",
            "UPDATE b t",
            "UPDATE a t row_security = off"
        ]
    );
}

#[test]
fn a_row_that_changes_hands_leaves_one_log_and_comes_to_another() {
    let shop = Shop::new();
    shop.act("acme", "insert into orders (id, item) values (1, 'secret of acme')");
    shop.fixture.run(&format!("update orders set tenant_id = '{}', item = 'clean'", GLOBEX.id));
    let mut client = shop.fixture.connect(&shop.app);
    client.run("begin; select tenancy.set_tenant('globex')");
    assert_eq!(
        client.texts(&format!("{} from tenancy.audit_log order by id", crate::SHORT)),
        [r#"INSERT {"id": 1} {"id": 1, "item": "clean", "amount": null}"#]
    );
    client.run("rollback; begin; select tenancy.set_tenant('acme')");
    assert_eq!(client.texts("select op from tenancy.audit_log order by id"), ["INSERT", "DELETE"]);
}

#[test]
fn a_global_table_is_recorded_for_whom_the_session_acts() {
    let shop = Shop::with(
        "create table countries (code text primary key, name text); select tenancy.classify('countries', 'global');
         select tenancy.audit('countries'); insert into countries values ('fr', 'France')",
    );
    shop.act("acme", "update countries set name = 'FRANCE'");
    let mut superuser = shop.superuser();
    assert_eq!(
        superuser.texts(
            "select concat_ws(' ', op, coalesce(tenant_id::text, 'none'), bypass) from tenancy.audit_log order by id"
        ),
        ["INSERT none f".to_owned(), format!("UPDATE {} f", ACME.id)]
    );
}

#[test]
fn a_late_library_records_as_well() {
    let shop = Shop::within(
        Fixture::without_preload(),
        "create table orders (id integer primary key, tenant_id uuid not null); select tenancy.protect('orders');
         select tenancy.audit('orders')",
    );
    shop.fixture.run(&format!("insert into orders values (1, '{}')", ACME.id));
    assert_eq!(shop.count(), "1");
}
