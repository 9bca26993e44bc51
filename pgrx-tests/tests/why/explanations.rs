//! Each thing that decides over a row has a line of its own, and the verdict is what the server then does.

use crate::{NO, Shop, YES, of, verdict, why};
use tenancy_harness::{ACME, GLOBEX, Session};

#[test]
fn an_own_row_is_explained_whole() {
    let shop = Shop::new();
    let checks = shop.told(r#"{"id": 1}"#);
    assert!(checks.iter().all(|check| check.passed == Some(true)), "{checks:#?}");
    assert_eq!(of(&checks, "protected").1, "kind tenant, tenant column tenant_id");
    assert_eq!(of(&checks, "context").1, format!("tenant 'acme' ({})", ACME.id));
    assert_eq!(of(&checks, "access").1, "to any tenant");
    assert_eq!(of(&checks, "row_tenant").1, "it belongs to the tenant in force");
    assert_eq!(
        of(&checks, "policy tenant_isolation_floor USING"),
        (Some(true), "restrictive, for ALL: it lets the row pass")
    );
    assert_eq!(verdict(&checks), YES);
}

#[test]
fn an_administrator_learns_that_a_row_is_another_tenant_s() {
    let shop = Shop::new();
    let checks = shop.told_to_admin(r#"{"id": 2}"#);
    assert_eq!(of(&checks, "row"), (Some(true), "there is one, and the role does not see it"));
    assert_eq!(of(&checks, "row_tenant"), (Some(false), "it belongs to another tenant"));
    assert_eq!(of(&checks, "policy tenant_isolation USING").0, Some(false));
    assert_eq!(verdict(&checks), NO);
    assert_eq!(of(&checks, "can_select").1, "policy tenant_isolation_floor does not let it pass");
    assert_eq!(of(&shop.told_to_admin(r#"{"id": 3}"#), "row"), (Some(false), "there is none"));
    assert_eq!(verdict(&shop.told_to_admin(r#"{"id": 1}"#)), YES);
}

#[test]
fn a_superuser_who_takes_the_role_is_told_the_same() {
    let shop = Shop::new();
    let mut client = shop.fixture.superuser();
    client.run(&format!("set role {}; set tenancy.tenant_id = 'acme'", shop.app));
    let told = why(&mut client, "orders", r#"{"id": 2}"#);
    assert_eq!(told, shop.told_to_admin(r#"{"id": 2}"#));
    client.run("reset role; reset tenancy.tenant_id");
    let checks = why(&mut client, "orders", r#"{"id": 2}"#);
    assert_eq!(of(&checks, "role"), (Some(false), "postgres: a superuser, whom row security does not bind"));
    assert_eq!(of(&checks, "policy tenant_isolation USING").1, "permissive, for ALL: row security does not hold");
    assert_eq!(of(&checks, "row_tenant").1, "it belongs to a tenant, and none is in force");
    assert_eq!(verdict(&checks), YES);
}

#[test]
fn a_policy_that_hides_an_own_row_is_named_to_administrators() {
    let shop = Shop::new();
    shop.run(
        "create policy \"Not Secret\" on orders as restrictive for select to {app} using (body not like 'secret%')",
    );
    let checks = shop.told_to_admin(r#"{"id": 1}"#);
    assert_eq!(of(&checks, "row_tenant"), (Some(true), "it belongs to the tenant in force"));
    assert_eq!(of(&checks, "policy \"Not Secret\" USING").0, Some(false));
    assert_eq!(of(&checks, "can_delete"), (Some(false), "policy \"Not Secret\" does not let it pass"));
}

#[test]
fn a_policy_for_others_is_not_asked() {
    let shop = Shop::new();
    shop.run("create policy boss on orders as restrictive to pg_monitor using (1 / 0 = 1)");
    let checks = shop.told(r#"{"id": 1}"#);
    assert_eq!(of(&checks, "policy boss USING"), (None, "restrictive, for ALL: it is for other roles"));
    assert_eq!(verdict(&checks), YES);
}

#[test]
fn each_command_has_policies_of_its_own() {
    let shop = Shop::new();
    shop.run(
        "create policy frozen on orders as restrictive for update using (true) with check (body = 'new');
              create policy kept on orders as restrictive for delete using (false)",
    );
    let checks = shop.told(r#"{"id": 1}"#);
    assert_eq!(verdict(&checks), [Some(true), Some(false), Some(false)]);
    assert_eq!(of(&checks, "policy frozen USING").0, Some(true));
    assert_eq!(of(&checks, "policy frozen WITH CHECK").0, Some(false));
    assert_eq!(of(&checks, "can_delete").1, "policy kept does not let it pass");
    let mut client = shop.as_app();
    assert_eq!(client.affected("delete from orders where id = 1"), 0);
    client.refuses("update orders set id = id where id = 1", "42501");
}

#[test]
fn a_policy_with_a_subquery_and_the_whole_row_is_asked_as_in_a_query() {
    let shop = Shop::new();
    shop.run("create table hidden (body text); grant select on hidden to public; insert into hidden values ('secret of acme');
              create function fits(orders) returns boolean stable language plpgsql
                  as 'begin return exists (select from hidden where body = $1.body); end';
              create policy listed on orders as restrictive using (exists (select from hidden h where h.body = orders.body));
              create policy whole on orders as restrictive using (fits(orders))");
    let checks = shop.told(r#"{"id": 1}"#);
    assert_eq!(of(&checks, "policy listed USING").0, Some(true));
    assert_eq!(of(&checks, "policy whole USING").0, Some(true));
    assert_eq!(verdict(&checks), YES);
    shop.run("truncate hidden");
    let checks = shop.told_to_admin(r#"{"id": 1}"#);
    assert_eq!(of(&checks, "policy listed USING").0, Some(false));
    assert_eq!(of(&checks, "policy whole USING").0, Some(false));
}

#[test]
fn kinds_of_tables() {
    let shop = Shop::new();
    shop.run(&format!(
        "create table prices (id integer, tenant_id text, item text); select tenancy.protect('prices', kind => 'shared');
         insert into prices values (1, null, 'bread'), (2, 'acme', 'cake'), (3, 'globex', 'pie');
         create table journal (id integer, tenant_id uuid); select tenancy.protect('journal', kind => 'append_only');
         insert into journal values (1, '{}');
         create table countries (code text); select tenancy.classify('countries', 'global');
         insert into countries values ('fr'); grant select on countries to {{app}};
         grant select, insert, update, delete on prices, journal to {{app}}",
        ACME.id
    ));
    let mut client = shop.as_app();
    let told = |client: &mut _, table, key| verdict(&why(client, table, key));
    assert_eq!(told(&mut client, "prices", r#"{"id": 1}"#), [Some(true), Some(false), Some(false)]);
    assert_eq!(of(&why(&mut client, "prices", r#"{"id": 1}"#), "row_tenant").1, "it belongs to no tenant");
    assert_eq!(told(&mut client, "prices", r#"{"id": 2}"#), YES);
    assert_eq!(told(&mut client, "prices", r#"{"id": 3}"#), NO);
    assert_eq!(told(&mut client, "journal", r#"{"id": 1}"#), [Some(true), Some(false), Some(false)]);
    let checks = why(&mut client, "countries", r#"{"code": "fr"}"#);
    assert_eq!(of(&checks, "protected"), (Some(false), "classified as global: it has no tenants"));
    assert_eq!(of(&checks, "row_security").0, Some(false));
    assert_eq!(verdict(&checks), YES);
}

#[test]
fn partitions_by_their_parent_and_by_themselves() {
    let shop = Shop::new();
    shop.run(&format!(
        "create table events (tenant_id uuid, at date) partition by range (at);
         create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
         select tenancy.protect('events'); insert into events values ('{}', '2026-05-01'), ('{}', '2026-06-01');
         grant select on events, events_2026 to {{app}}",
        ACME.id, GLOBEX.id
    ));
    let mut client = shop.as_app();
    for table in ["events", "events_2026"] {
        assert_eq!(of(&why(&mut client, table, r#"{"at": "2026-05-01"}"#), "can_select").0, Some(true), "{table}");
        assert_eq!(of(&why(&mut client, table, r#"{"at": "2026-06-01"}"#), "can_select").0, Some(false), "{table}");
    }
}

#[test]
fn what_is_missing_on_the_table() {
    let shop = Shop::new();
    shop.run(
        "alter table orders disable row level security, no force row level security;
              drop trigger tenant_isolation_truncate on orders",
    );
    let checks = shop.told(r#"{"id": 2}"#);
    assert_eq!(of(&checks, "row_security"), (Some(false), "not enabled: policies do not count"));
    assert_eq!(of(&checks, "forced"), (Some(false), "the owner is exempt"));
    assert_eq!(of(&checks, "truncate_guard"), (Some(false), "no trigger refuses TRUNCATE"));
    assert_eq!(of(&checks, "row_tenant"), (Some(false), "it belongs to another tenant"));
    assert_eq!(verdict(&checks), YES);
    let mut client = shop.fixture.superuser();
    client.run("set tenancy.guard_ddl = off");
    let checks = why(&mut client, "orders", r#"{"id": 2}"#);
    assert_eq!(of(&checks, "ddl_guard"), (Some(false), "tenancy.guard_ddl is off"));
}

#[test]
fn the_role_and_what_it_owns() {
    let shop = Shop::new();
    shop.run("grant create on schema public to {app}; alter table orders owner to {app}");
    let checks = shop.told(r#"{"id": 2}"#);
    assert_eq!(of(&checks, "owner"), (Some(true), "has the owner's rights, and row security is forced"));
    assert_eq!(verdict(&checks), NO);
    shop.run("alter table orders no force row level security");
    let checks = shop.told(r#"{"id": 2}"#);
    assert_eq!(of(&checks, "owner"), (Some(false), "has the owner's rights, and row security is not forced"));
    assert_eq!(verdict(&checks), YES);
    shop.run("alter role {app} bypassrls; alter table orders force row level security");
    let checks = shop.told(r#"{"id": 2}"#);
    assert_eq!(of(&checks, "role").0, Some(false));
    assert_eq!(verdict(&checks), YES);
}

#[test]
fn privileges() {
    let shop = Shop::new();
    shop.run("revoke all on orders from {app}; grant select, update (body) on orders to {app}");
    let checks = shop.told(r#"{"id": 1}"#);
    assert_eq!(of(&checks, "grant_select"), (Some(true), "on the table"));
    assert_eq!(of(&checks, "grant_update"), (Some(true), "on columns body alone"));
    assert_eq!(of(&checks, "grant_insert"), (Some(false), "not granted"));
    assert_eq!(verdict(&checks), [Some(true), Some(true), Some(false)]);
    assert_eq!(of(&checks, "can_delete").1, "the role has no privilege DELETE");
    shop.run("revoke select on orders from {app}");
    let checks = shop.told(r#"{"id": 1}"#);
    assert_eq!(of(&checks, "row"), (None, "not looked up: the role may not read the table"));
    assert_eq!(verdict(&checks), NO);
    shop.run("create schema app; alter table orders set schema app; grant select on app.orders to {app}");
    let table = shop.fixture.superuser().value("select 'app.orders'::regclass::oid::text").unwrap();
    let checks = why(&mut shop.as_app(), &table, r#"{"id": 1}"#);
    assert_eq!(of(&checks, "schema_usage"), (Some(false), "not granted"));
    assert_eq!(of(&checks, "can_select"), (Some(false), "the role may not use the schema"));
}

#[test]
fn what_the_tenant_is_proved_by() {
    let shop = Shop::new();
    for (mode, detail) in [
        ("direct", "to any tenant"),
        ("signed", "to any tenant, with a token"),
        ("claims", "to any tenant, by the claims of the request"),
    ] {
        shop.run(&format!("select tenancy.grant_access('{{app}}', mode => '{mode}')"));
        let checks = why(&mut shop.fixture.connect(&shop.app), "orders", r#"{"id": 1}"#);
        assert_eq!(of(&checks, "access"), (Some(true), detail));
    }
}

#[test]
fn the_context_and_the_access() {
    let shop = Shop::new();
    let mut client = shop.fixture.connect(&shop.app);
    let checks = why(&mut client, "orders", r#"{"id": 1}"#);
    assert_eq!(of(&checks, "context"), (Some(false), "no tenant is set"));
    assert_eq!(verdict(&checks), NO);
    client.run("set tenancy.tenant_id = 'nobody'");
    let checks = why(&mut client, "orders", r#"{"id": 1}"#);
    assert_eq!(of(&checks, "context").0, Some(false));
    assert_eq!(of(&checks, "access"), (Some(false), "none to that tenant, or there is no such tenant"));
    assert_eq!(of(&checks, "row"), (None, "not looked up: the tenant that is set can't be acted for"));
    shop.run("select tenancy.suspend_tenant('acme')");
    client.run("set tenancy.tenant_id = 'acme'");
    let checks = why(&mut client, "orders", r#"{"id": 1}"#);
    assert_eq!(of(&checks, "context"), (Some(false), "tenant \"acme\" is suspended"));
    assert_eq!(of(&checks, "access").0, None);
    assert_eq!(verdict(&checks), NO);
    shop.run(
        "select tenancy.resume_tenant('acme'); select tenancy.revoke_access('{app}');
              select tenancy.grant_access('{app}', 'acme')",
    );
    assert_eq!(of(&why(&mut client, "orders", r#"{"id": 1}"#), "access"), (Some(true), "to this tenant"));
    shop.run("select tenancy.revoke_access('{app}', 'acme')");
    assert_eq!(of(&why(&mut client, "orders", r#"{"id": 1}"#), "access").0, Some(false));
}

#[test]
fn settings_that_refuse_whole_statements() {
    let shop = Shop::new();
    let mut client = shop.fixture.connect(&shop.app);
    client.run("set tenancy.on_missing = error");
    let checks = why(&mut client, "orders", r#"{"id": 1}"#);
    assert_eq!(of(&checks, "can_select"), (Some(false), "no tenant is set, and tenancy.on_missing is error"));
    client.refuses("select * from orders", "42501");
    let mut client = shop.fixture.superuser();
    client.run("set tenancy.on_bypass = error");
    let checks = why(&mut client, "orders", r#"{"id": 1}"#);
    assert_eq!(of(&checks, "bypass_guard"), (Some(true), "tenancy.on_bypass is error"));
    assert_eq!(of(&checks, "can_select"), (Some(true), "yes, once tenancy.bypass() has been given a reason"));
    client.refuses("select * from orders", "42501");
    client.run("set tenancy.on_bypass = allow");
    assert_eq!(of(&why(&mut client, "orders", r#"{"id": 1}"#), "bypass_guard").0, Some(false));
}

#[test]
fn row_security_that_a_session_has_turned_off() {
    let shop = Shop::new();
    let mut client = shop.as_app();
    client.run("set row_security = off");
    let checks = why(&mut client, "orders", r#"{"id": 1}"#);
    assert_eq!(of(&checks, "row_security_setting").0, Some(false));
    assert_eq!(of(&checks, "row"), (None, "not looked up: row_security is off"));
    assert_eq!(verdict(&checks), NO);
    client.refuses("select * from orders", "42501");
}

#[test]
fn asking_changes_nothing_and_works_where_nothing_can_be_changed() {
    let shop = Shop::new();
    let mut client = shop.as_app();
    client.run("begin read only");
    assert_eq!(verdict(&why(&mut client, "orders", r#"{"id": 1}"#)), YES);
    assert_eq!(client.value("select pg_current_xact_id_if_assigned()::text"), None);
    client.run("commit");
    client.run("begin; update orders set id = 7 where id = 1");
    assert_eq!(verdict(&why(&mut client, "orders", r#"{"id": 7}"#)), YES);
    assert_eq!(verdict(&why(&mut client, "orders", r#"{"id": 1}"#)), NO);
    assert_eq!(client.value("show search_path").as_deref(), Some("\"$user\", public"));
    client.refuses("select tenancy.set_tenant('globex')", "42501");
}

#[test]
fn what_the_session_holds_is_not_lost_sight_of() {
    let shop = Shop::new();
    shop.run(&format!("grant temporary on database {} to {{app}}", shop.fixture.database()));
    let mut client = shop.fixture.connect(&shop.app);
    client.run("begin; select tenancy.set_tenant('acme'); create temporary table left_over (n integer)");
    why(&mut client, "orders", r#"{"id": 1}"#);
    client.run("commit");
    client.refuses("begin; select tenancy.set_tenant('globex')", "55000");
}
