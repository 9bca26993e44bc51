//! `tenancy.on_missing`.

use tenancy_harness::{ACME, Session, refuses_in_savepoint};

use crate::Shop;

const TOUCHES: [&str; 8] = [
    "select from orders",
    "select from seen",
    "insert into orders values (3, null, '')",
    "update orders set body = ''",
    "delete from orders",
    "copy orders to stdout",
    "declare c cursor with hold for select from orders",
    "explain select from orders",
];

fn shop() -> Shop<'static> {
    let shop = Shop::new();
    shop.fixture.run(
        "create view seen with (security_invoker) as select * from orders; create table plain (id integer);
         create table kinds (tenant_id uuid); select tenancy.protect('kinds', kind => 'shared');
         create table places (id integer primary key); insert into places values (1), (2);
         create table stays (tenant_id uuid not null, place integer references places on delete cascade);
         select tenancy.protect('stays')",
    );
    shop
}

#[test]
fn empty_finds_no_rows() {
    let shop = shop();
    let mut app = shop.fixture.connect(&shop.app);
    assert_eq!(app.value("select count(*) from orders").as_deref(), Some("0"));
    assert_eq!(app.affected("update orders set body = ''"), 0);
}

#[test]
fn error_refuses_whatever_touches_a_protected_table() {
    let shop = shop();
    let mut app = shop.fixture.connect(&shop.app);
    app.run("set tenancy.on_missing = error");
    for statement in TOUCHES {
        let error = app.refuses(statement, "42501");
        assert!(error.message().contains("is used without a tenant"), "{statement}: {error}");
    }
    app.refuses("select from kinds", "42501");
    app.run("select from plain");
    // A context that is there and no longer.
    let mut tx = app.transaction().unwrap();
    tx.run("select tenancy.set_tenant('acme')");
    assert_eq!(tx.texts("select body from orders"), ["acme"]);
    tx.run("select tenancy.clear_tenant()");
    refuses_in_savepoint(&mut tx, "select from orders", "42501");
    tx.rollback().unwrap();
    app.refuses("select from orders", "42501");
    app.run("set tenancy.tenant_id = 'acme'; select from orders; reset tenancy.tenant_id");
    app.refuses("select from orders", "42501");
}

#[test]
fn a_default_tenant_is_a_context() {
    let shop = shop();
    shop.fixture.run(&format!("alter role {} set tenancy.default_tenant = 'acme'", shop.app));
    let mut app = shop.fixture.connect(&shop.app);
    app.run("set tenancy.on_missing = error");
    assert_eq!(app.texts("select body from orders"), ["acme"]);
}

#[test]
fn foreign_keys_and_bypassing_roles_need_none() {
    let shop = shop();
    let mut superuser = shop.superuser("allow");
    superuser.run(&format!("set tenancy.on_missing = error; insert into stays values ('{}', 1)", ACME.id));
    let mut app = shop.fixture.connect(&shop.app);
    app.run("set tenancy.on_missing = error; delete from places where id = 1");
    assert_eq!(superuser.value("select count(*) from stays").as_deref(), Some("0"));
}

#[test]
fn an_owner_validates_a_foreign_key_without_a_context() {
    let shop = shop();
    let owner = shop.fixture.role("owner");
    shop.fixture.run(&format!(
        "alter table stays owner to {owner}; alter table places owner to {owner}; insert into stays values ('{}', 1)",
        ACME.id
    ));
    let mut owner = shop.fixture.connect(&owner);
    owner.run("set tenancy.on_missing = error");
    owner.run("alter table stays add constraint again foreign key (place) references places not valid");
    owner.run("alter table stays validate constraint again");
}

#[test]
fn any_role_may_choose_it() {
    let shop = shop();
    let mut app = shop.fixture.connect(&shop.app);
    app.run(&format!("alter role {} set tenancy.on_missing = error", shop.app));
    shop.fixture.connect(&shop.app).refuses("select from orders", "42501");
}
