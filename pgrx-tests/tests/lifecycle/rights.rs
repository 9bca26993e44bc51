//! Whatever hangs on a tenant's tables and events, it never runs with the rights of somebody else.

use tenancy_harness::{ACME, Fixture, GLOBEX, Session, postgres::Client};

use crate::fixture_with_tenants;

/// An administrator with a schema of his own, in which he may drop what others have.
fn fixture_with_admin() -> (Fixture<'static>, String) {
    let fixture = fixture_with_tenants();
    let admin = fixture.role("admin");
    fixture.run(&format!(
        "select tenancy.grant_admin('{admin}'); create schema theirs authorization {admin};
         create table theirs.seen (what text, who text); alter table theirs.seen owner to {admin};
         create function theirs.note() returns trigger language plpgsql as
           $$ begin insert into theirs.seen values (tg_argv[0], current_user); return coalesce(old, new); end $$;
         alter function theirs.note() owner to {admin}"
    ));
    (fixture, admin)
}

fn archive(client: &mut Client, key: &str) {
    client.run(&format!("select tenancy.suspend_tenant('{key}'); select tenancy.archive_tenant('{key}')"));
}

fn seen(client: &mut Client) -> Vec<String> {
    client.texts("select concat_ws(' ', what, who) from theirs.seen order by 1")
}

#[test]
fn what_was_left_for_the_end_of_the_transaction_runs_as_who_left_it() {
    let (fixture, admin) = fixture_with_admin();
    fixture.run(&format!(
        "create schema app; grant create, usage on schema app to {admin};
         create table app.parents (tenant_id uuid, id int, primary key (tenant_id, id));
         create table app.children (tenant_id uuid, id int,
             constraint named foreign key (tenant_id, id) references app.parents deferrable initially deferred);
         select tenancy.protect('app.parents'), tenancy.protect('app.children');
         insert into app.parents values ('{}', 1); insert into app.children values ('{}', 1)",
        GLOBEX.id, GLOBEX.id
    ));
    let mut client = fixture.connect(&admin);
    client.run(
        "create table app.mine (a int);
         create constraint trigger named after insert on app.mine deferrable initially deferred
           for each row execute function theirs.note('deferred')",
    );
    archive(&mut client, ACME.key);
    for call in ["erase_tenant('acme', 'acme', false)", "clone_tenant('globex', 'copy')"] {
        client.run(&format!("begin; insert into app.mine values (1); select * from tenancy.{call}; commit"));
        assert_eq!(seen(&mut client), [format!("deferred {admin}")], "{call}");
        client.run("delete from theirs.seen");
    }
}

#[test]
fn a_handler_that_another_one_has_replaced_runs_as_its_owner_of_now() {
    let (fixture, admin) = fixture_with_admin();
    let mut client = fixture.connect(&admin);
    client.run(
        "create function theirs.first(uuid, jsonb) returns void language plpgsql as $$ begin
             drop function theirs.last(uuid, jsonb);
             create function theirs.last(uuid, jsonb) returns void language sql as
               'insert into theirs.seen values (''handler'', current_user)';
         end $$;
         select tenancy.on_lifecycle('suspended', 'theirs.first(uuid, jsonb)')",
    );
    fixture.run(
        "create function theirs.last(uuid, jsonb) returns void language sql as '';
         select tenancy.on_lifecycle('suspended', 'theirs.last(uuid, jsonb)')",
    );
    client.run("select tenancy.suspend_tenant('acme')");
    assert_eq!(seen(&mut client), [format!("handler {admin}")]);
}

#[test]
fn a_table_that_a_trigger_has_replaced_is_left_alone() {
    let (fixture, admin) = fixture_with_admin();
    fixture.run(&format!(
        "create table theirs.a (tenant_id uuid, id int); create table theirs.last (tenant_id uuid, id int);
         create table theirs.z (tenant_id uuid, id int); select tenancy.protect(t) from unnest('{{theirs.a,theirs.last,theirs.z}}'::regclass[]) t;
         alter table theirs.a owner to {admin}; alter table theirs.z owner to {admin}"
    ));
    for tenant in [ACME, GLOBEX] {
        fixture.run(&format!(
            "insert into theirs.a values ('{0}', 1); insert into theirs.z values ('{0}', 1); insert into theirs.last values ('{0}', 1)",
            tenant.id
        ));
    }
    let mut client = fixture.connect(&admin);
    client.run(
        "create function theirs.replace() returns trigger language plpgsql as $$ begin
             alter table theirs.last rename to gone;
             create table theirs.last (tenant_id uuid, id int);
             create trigger note before insert or delete on theirs.last for each row execute function theirs.note('table');
             insert into theirs.last values ('aaaaaaaa-0000-4000-8000-000000000001', 1);
             return coalesce(old, new);
         end $$;
         create trigger replace before insert or delete on theirs.a for each row execute function theirs.replace();
         create trigger replace before insert or delete on theirs.z for each row execute function theirs.replace()",
    );
    // He owns the schema, not the table: a superuser's own slip is what lets him rename it.
    fixture.run(&format!("alter table theirs.last owner to {admin}"));
    archive(&mut client, ACME.key);
    let mut superuser = fixture.superuser();
    for call in ["erase_tenant('acme', 'acme', false)", "clone_tenant('globex', 'copy')"] {
        let error = superuser.refuses(&format!("select tenancy.{call}"), "55000");
        assert!(error.message().contains("theirs.last") && error.hint().is_some(), "{call}: {error:?}");
    }
    assert_eq!(superuser.value("select count(*) from theirs.last").as_deref(), Some("2"));
    // Dropped and made anew by the schema's owner, it would be a superuser's in name alone.
    fixture.run("alter table theirs.last owner to postgres");
    client.run(
        "create or replace function theirs.replace() returns trigger language plpgsql as $$ begin
             drop table theirs.last; create table theirs.last (tenant_id uuid, id int);
             create trigger note before insert or delete on theirs.last for each row execute function theirs.note('table');
             insert into theirs.last values ('aaaaaaaa-0000-4000-8000-000000000001', 1);
             return coalesce(old, new);
         end $$",
    );
    for call in ["erase_tenant('acme', 'acme', false)", "clone_tenant('globex', 'copy')"] {
        superuser.refuses(&format!("select tenancy.{call}"), "55000");
    }
}

#[test]
fn a_part_that_somebody_else_owns_is_emptied_as_its_owner() {
    let (fixture, admin) = fixture_with_admin();
    fixture.run(&format!(
        "create table tree (tenant_id uuid, id int) partition by list (id);
         create table theirs.leaf partition of tree for values in (1); create table other_leaf partition of tree default;
         create table base (tenant_id uuid, id int); create table theirs.derived (more int) inherits (base);
         alter table theirs.leaf owner to {admin}; alter table theirs.derived owner to {admin};
         select tenancy.protect('tree'); select tenancy.protect('base')"
    ));
    for tenant in [ACME, GLOBEX] {
        fixture.run(&format!(
            "insert into tree values ('{0}', 1), ('{0}', 2); insert into theirs.derived values ('{0}', 1, 1)",
            tenant.id
        ));
    }
    let mut client = fixture.connect(&admin);
    client.run(
        "create trigger note before insert or delete on theirs.leaf for each row execute function theirs.note('leaf');
         create trigger note before insert or delete on theirs.derived for each row execute function theirs.note('derived')",
    );
    let mut superuser = fixture.superuser();
    let error = superuser.refuses("select tenancy.clone_tenant('globex', 'copy')", "55000");
    assert!(error.detail().is_some_and(|detail| detail.contains("theirs.")), "{error:?}");
    superuser.run("select tenancy.suspend_tenant('acme'); select tenancy.archive_tenant('acme')");
    superuser.run("select tenancy.erase_tenant('acme', 'acme', false)");
    assert_eq!(seen(&mut superuser), [format!("derived {admin}"), format!("leaf {admin}")]);
    let left = "select (select count(*) from tree) || ' ' || (select count(*) from base)";
    assert_eq!(superuser.value(left).as_deref(), Some("2 1"));
}
