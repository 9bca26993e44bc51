//! The last owner stays.

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Session, World, sqlstate};

use crate::{is_true, session_of, world_with_members};

const IS_LEFT: &str = "select string_agg(user_id, ' ' order by user_id) from tenancy.members where role = 'owner'";

#[test]
fn the_last_owner_is_neither_removed_nor_made_less() {
    let world = world_with_members();
    let mut admin = world.fixture.superuser();
    for change in [
        "select tenancy.remove_member('acme', 'owner')",
        "select tenancy.add_member('acme', 'owner', 'admin')",
        "delete from tenancy.members where role = 'owner'",
        "delete from tenancy.members",
        "update tenancy.members set role = 'viewer'",
        "update tenancy.members set tenant_id = (select id from tenancy.tenants where key = 'globex') where role = 'owner'",
    ] {
        let error = admin.refuses(change, "55000");
        assert!(error.hint().is_some_and(|hint| hint.contains("add_member")), "{error:?}");
    }
    assert_eq!(admin.value(IS_LEFT).as_deref(), Some("owner"));
}

#[test]
fn an_owner_can_go_when_there_is_another_one() {
    let world = world_with_members();
    let mut admin = world.fixture.superuser();
    admin.run("select tenancy.add_member('acme', 'admin', 'owner'), tenancy.remove_member('acme', 'owner')");
    assert_eq!(admin.value(IS_LEFT).as_deref(), Some("admin"));
    // In one statement.
    admin.run(
        "update tenancy.members set role = case user_id when 'viewer' then 'owner' else 'viewer' end
          where user_id in ('viewer', 'admin')",
    );
    assert_eq!(admin.value(IS_LEFT).as_deref(), Some("viewer"));
    admin.run("update tenancy.members set user_id = 'renamed' where role = 'owner'");
    assert_eq!(admin.value(IS_LEFT).as_deref(), Some("renamed"));
}

#[test]
fn a_tenant_that_goes_takes_its_owners_along() {
    let world = world_with_members();
    let mut admin = world.fixture.superuser();
    admin.run("select tenancy.create_tenant('brief'), tenancy.add_member('brief', 'alice', 'owner')");
    admin.run("delete from tenancy.tenants where key = 'brief'");
    admin.run("select tenancy.suspend_tenant('acme')");
    admin.refuses("select tenancy.remove_member('acme', 'owner')", "55000");
    admin.run("select tenancy.archive_tenant('acme'), tenancy.remove_member('acme', 'owner')");
    assert_eq!(admin.value(IS_LEFT), None);
}

/// Two sessions, each of which takes away another one of the two owners there are, at once.
fn both_go(world: &World<'_>, level: &str, change: impl Fn(&str) -> String + Sync) {
    let begun = |owner: &str| -> Client {
        let mut client = world.fixture.superuser();
        client.run(&format!("begin isolation level {level}; select 1 from tenancy.members; {}", change(owner)));
        client
    };
    let mut first = begun("owner");
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            let mut client = world.fixture.superuser();
            let outcome = client.batch_execute(&format!(
                "begin isolation level {level}; select 1 from tenancy.members; {}",
                change("admin")
            ));
            let _ = client.batch_execute("commit");
            sqlstate(&outcome).map(str::to_owned)
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        first.run("commit");
        assert_eq!(second.join().expect("it ends").as_deref(), Some("55000"), "{level}");
    });
}

#[test]
fn two_who_go_at_once_do_not_both_go() {
    for level in ["read committed", "repeatable read"] {
        for change in [
            |owner: &str| format!("select tenancy.remove_member('acme', '{owner}')"),
            |owner: &str| format!("select tenancy.add_member('acme', '{owner}', 'viewer')"),
            |owner: &str| format!("delete from tenancy.members where user_id = '{owner}'"),
        ] {
            let world = world_with_members();
            world.fixture.run("select tenancy.add_member('acme', 'admin', 'owner')");
            both_go(&world, level, change);
            assert_eq!(world.fixture.superuser().value(IS_LEFT).as_deref(), Some("admin"));
        }
    }
}

#[test]
fn what_is_replicated_is_taken_as_it_comes() {
    let world = world_with_members();
    let mut admin = world.fixture.superuser();
    admin.run("set session_replication_role = replica; delete from tenancy.members where role = 'owner'");
    assert_eq!(admin.value(IS_LEFT), None);
    let doctor = "select code from tenancy.doctor() where object like '%keep_owner%'";
    assert_eq!(admin.texts(doctor), Vec::<String>::new());
}

#[test]
fn sessions_hear_of_members_that_are_replicated() {
    let world = world_with_members();
    let mut admin = world.fixture.superuser();
    admin.run("set session_replication_role = replica");
    let mut client = session_of(&world, "viewer", "acme");
    for (change, has) in [
        ("update tenancy.members set role = 'admin' where user_id = 'viewer'", true),
        ("delete from tenancy.members where user_id = 'viewer'", false),
        ("insert into tenancy.members select id, 'viewer', 'admin' from tenancy.tenants where key = 'acme'", true),
        ("truncate tenancy.members", false),
    ] {
        assert_eq!(is_true(&mut client, "tenancy.has_role('admin')"), !has, "before {change}");
        admin.run(change);
        assert_eq!(is_true(&mut client, "tenancy.has_role('admin')"), has, "{change}");
    }
    let doctor = "select code from tenancy.doctor() where object like '%members_changed%'";
    assert_eq!(admin.texts(doctor), Vec::<String>::new());
    let disabled =
        "alter table tenancy.members disable trigger members_changed, disable trigger members_changed_in_bulk";
    admin.run(disabled);
    let fixes = admin.texts("select fix from tenancy.doctor() where object like '%members_changed%'");
    assert_eq!(fixes.len(), 2);
    fixes.iter().for_each(|fix| admin.run(fix));
    let enabled =
        "select string_agg(tgenabled::text, '' order by tgname) from pg_trigger where tgname like 'members_changed%'";
    assert_eq!(admin.value(enabled).as_deref(), Some("RA"));
    assert_eq!(admin.texts(doctor), Vec::<String>::new());
}

#[test]
fn a_tenant_without_an_owner_may_stay_so() {
    let world = world_with_members();
    world.fixture.run(&format!(
        "select tenancy.add_member('globex', 'alice'), tenancy.remove_member('globex', 'alice');
         select tenancy.add_member('{}', 'second', 'owner')",
        ACME.id
    ));
}

#[test]
fn a_hostile_search_path_lets_no_owner_go() {
    let world = world_with_members();
    world.fixture.run(
        "create schema evil;
         create function evil.no(text, text) returns boolean immutable language sql as 'select false';
         create operator evil.= (leftarg = text, rightarg = text, function = evil.no)",
    );
    let mut admin = world.fixture.superuser();
    admin.run("set search_path = evil, pg_catalog");
    admin.refuses("delete from tenancy.members", "55000");
}
