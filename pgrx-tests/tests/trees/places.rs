//! Placing tenants: who may, where they can be, and what becomes of those below.

use std::time::Duration;

use tenancy_harness::{Session, assert_sqlstate};

use crate::{Forest, begin, family, id, seen, visible};

const PARENT: &str = "select parent from tenancy.tenants where key = ";

#[test]
fn a_tenant_is_placed_when_it_is_made_and_later() {
    let forest = Forest::new();
    let mut superuser = forest.fixture.superuser();
    assert_eq!(superuser.value(&format!("{PARENT}'111'")), Some(id(11)));
    superuser.run(&format!("select tenancy.create_tenant('x', parent => '{}'), tenancy.set_parent('3', 'x')", id(2)));
    assert_eq!(superuser.value(&format!("{PARENT}'x'")), Some(id(2)));
    superuser.run("select tenancy.set_parent('3', null), tenancy.set_parent('3', null)");
}

#[test]
fn moves_are_written_down_once() {
    let forest = Forest::new();
    let mut superuser = forest.fixture.superuser();
    superuser.run("listen tenancy; select tenancy.set_parent('3', '2'); select tenancy.set_parent('3', '2')");
    let events = superuser.texts("select detail::text from tenancy.event_log where event = 'tenant.moved'");
    assert_eq!(events, [format!("{{\"parent\": \"{}\", \"parent_before\": null}}", id(2))]);
    let created = superuser.value("select detail ->> 'parent' from tenancy.event_log where event = 'tenant.created' and tenant_id = (select id from tenancy.tenants where key = '111')");
    assert_eq!(created, Some(id(11)));
    // The tenant itself is told, and nobody else.
    let mut client = forest.connect();
    let mut tx = begin(&mut client, 2);
    assert_eq!(tx.value("select count(*) from tenancy.event_log where event = 'tenant.moved'").as_deref(), Some("0"));
}

#[test]
fn nobody_is_below_himself() {
    let forest = Forest::new();
    let mut superuser = forest.fixture.superuser();
    for (tenant, parent) in [("1", "1"), ("1", "11"), ("1", "112"), ("11", "111")] {
        let error = superuser.refuses(&format!("select tenancy.set_parent('{tenant}', '{parent}')"), "22023");
        assert!(error.hint().is_some() && error.detail().is_some());
        superuser.refuses(
            &format!("update tenancy.tenants set parent = (select id from tenancy.tenants where key = '{parent}') where key = '{tenant}'"),
            "22023",
        );
    }
    // Two that change places in one statement are looked at together.
    superuser.run(&format!(
        "update tenancy.tenants set parent = case key when '1' then '{}'::uuid else null end where key in ('1', '11')",
        id(11)
    ));
    let mut client = forest.connect();
    assert_eq!(seen(&mut begin(&mut client, 11), "t_uuid"), family(1));
    superuser.refuses(
        &format!("insert into tenancy.tenants (id, key, parent) values ('{0}', 'self', '{0}')", id(9)),
        "22023",
    );
}

#[test]
fn trees_have_32_levels() {
    let forest = Forest::new();
    let mut superuser = forest.fixture.superuser();
    superuser.run("select tenancy.create_tenant('level 1')");
    for level in 2..=32 {
        superuser.run(&format!("select tenancy.create_tenant('level {level}', parent => 'level {}')", level - 1));
    }
    superuser.refuses("select tenancy.create_tenant('level 33', parent => 'level 32')", "54000");
    superuser.refuses("select tenancy.set_parent('3', 'level 32')", "54000");
    superuser.refuses("select tenancy.set_parent('1', 'level 30')", "54000");
    superuser.run("select tenancy.set_parent('1', 'level 29')");
    superuser.refuses("select tenancy.create_tenant('more', parent => '111')", "54000");
    superuser.refuses(&format!("insert into tenancy.tenants (key, parent) values ('more', '{}')", id(111)), "54000");
    superuser.refuses("select tenancy.set_parent('level 1', '2')", "54000");
    let mut client = forest.connect();
    let mut tx = client.transaction().unwrap();
    tx.run("set local tenancy.tenant_id = 'level 1'");
    assert_eq!(visible(&mut tx).len(), 32 + 5);
    assert_eq!(seen(&mut tx, "t_bigint"), family(1));
}

#[test]
fn names_are_those_of_tenants() {
    let forest = Forest::new();
    let mut superuser = forest.fixture.superuser();
    for (statement, state) in [
        ("select tenancy.set_parent('nobody', '1')", "42704"),
        ("select tenancy.set_parent('3', 'nobody')", "42704"),
        ("select tenancy.create_tenant('x', parent => 'nobody')", "42704"),
        ("select tenancy.set_parent('', '1')", "22023"),
        ("select tenancy.set_parent('3', '')", "22023"),
        ("select tenancy.set_parent(null, '1')", "22023"),
        ("update tenancy.tenants set parent = gen_random_uuid() where key = '3'", "23503"),
        ("insert into tenancy.tenants (key, parent) values ('x', gen_random_uuid())", "23503"),
        ("delete from tenancy.tenants where key = '11'", "23503"),
        ("update tenancy.tenants set id = gen_random_uuid() where key = '11'", "23503"),
    ] {
        superuser.refuses(statement, state);
    }
    // All of a tree at once, in whatever order.
    superuser.run("delete from tenancy.tenants where key in ('1', '11', '111', '112', '12')");
}

#[test]
fn placing_is_for_administrators() {
    let forest = Forest::new();
    let admin = forest.fixture.role("admin");
    forest.fixture.run(&format!("select tenancy.grant_admin('{admin}')"));
    let mut client = forest.connect();
    client.refuses("select tenancy.set_parent('3', '2')", "42501");
    client.refuses("update tenancy.tenants set parent = null", "42501");
    let mut tx = begin(&mut client, 2);
    tx.refuses("select tenancy.set_parent('2', null)", "42501");
    drop(tx);
    let mut client = forest.fixture.connect(&admin);
    client.run("select tenancy.set_parent('3', '2')");
    client.refuses("select tenancy.set_parent('2', '3')", "22023");
}

#[test]
fn archived_and_erased_tenants_have_no_new_ones_below() {
    let forest = Forest::new();
    let mut superuser = forest.fixture.superuser();
    superuser.run(
        "select tenancy.suspend_tenant('2'); select tenancy.set_parent('3', '2'); select tenancy.set_parent('3', null)",
    );
    superuser.run("select tenancy.archive_tenant('2')");
    superuser.refuses("select tenancy.set_parent('3', '2')", "55000");
    superuser.refuses("select tenancy.create_tenant('x', parent => '2')", "55000");
    superuser.refuses("select tenancy.clone_tenant('21', 'x')", "55000");
    // Those that are below stay, and can be moved.
    let mut client = forest.connect();
    assert_eq!(seen(&mut begin(&mut client, 21), "t_uuid"), ["21"]);
    let erase = "select tenancy.erase_tenant('2', confirm => '2', dry_run => false)";
    let error = superuser.refuses(erase, "55000");
    assert!(error.hint().is_some_and(|hint| hint.contains("set_parent")), "{error:?}");
    superuser.run("select tenancy.erase_tenant('2')");
    superuser.run("select tenancy.set_parent('21', '3')");
    superuser.run(erase);
    superuser.refuses(&format!("select tenancy.set_parent('3', '{}')", id(2)), "55000");
    superuser.refuses(&format!("select tenancy.set_parent('{}', '3')", id(2)), "55000");
    superuser.refuses(&format!("update tenancy.tenants set parent = '{}' where key = '3'", id(2)), "23503");
    // An archived one below can be moved too, and leaves the tree when it is erased.
    superuser.run("select tenancy.suspend_tenant('111'); select tenancy.archive_tenant('111'); select tenancy.set_parent('111', '12')");
    superuser.run("select tenancy.erase_tenant('111', confirm => '111', dry_run => false)");
    let gone = format!("select concat(status, parent) from tenancy.tenants where id = '{}'", id(111));
    assert_eq!(superuser.value(&gone).as_deref(), Some("erased"));
    assert_eq!(seen(&mut begin(&mut client, 1), "t_uuid"), ["1", "11", "112", "12"]);
}

#[test]
fn a_copy_is_placed_where_the_original_is() {
    let forest = Forest::new();
    let mut superuser = forest.fixture.superuser();
    superuser.run("select tenancy.clone_tenant('11', '13')");
    assert_eq!(superuser.value(&format!("{PARENT}'13'")), Some(id(1)));
    let told = "select detail ->> 'parent' from tenancy.event_log where event = 'tenant.cloned'";
    assert_eq!(superuser.value(told), Some(id(1)));
    let mut client = forest.connect();
    let mut tx = begin(&mut client, 1);
    assert_eq!(tx.value("select count(*) from t_uuid").as_deref(), Some("30"));
    drop(tx);
    assert_eq!(visible(&mut begin(&mut client, 13)), ["13"]);
}

#[test]
fn two_moves_at_once_make_no_circle() {
    let forest = Forest::new();
    let (mut one, mut two) = (forest.fixture.superuser(), forest.fixture.superuser());
    one.run("begin; select tenancy.set_parent('2', '3')");
    let second = std::thread::spawn(move || two.batch_execute("select tenancy.set_parent('3', '2')"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!second.is_finished(), "the second move did not wait");
    one.run("commit");
    assert_sqlstate(second.join().unwrap(), "22023");

    // Nor is a tenant placed below one that is being erased.
    let mut superuser = forest.fixture.superuser();
    superuser.run("select tenancy.suspend_tenant('12'); select tenancy.archive_tenant('12')");
    one.run("begin; select tenancy.erase_tenant('12', confirm => '12', dry_run => false)");
    let below = format!("insert into tenancy.tenants (key, parent) values ('late', '{}')", id(12));
    let second = std::thread::spawn(move || superuser.batch_execute(&below));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!second.is_finished(), "the new tenant did not wait");
    one.run("commit");
    assert_sqlstate(second.join().unwrap(), "23503");

    // New ones don't wait for each other.
    let mut other = forest.fixture.superuser();
    one.run("begin; select tenancy.create_tenant('a', parent => '11')");
    other.run("set lock_timeout = '5s'; select tenancy.create_tenant('b', parent => '11')");
    one.run("commit");
}

#[test]
fn a_copy_is_where_the_tenant_is_by_then() {
    let forest = Forest::new();
    let (mut one, mut two) = (forest.fixture.superuser(), forest.fixture.superuser());
    one.run("begin; select tenancy.set_parent('11', '2')");
    let second = std::thread::spawn(move || two.batch_execute("select tenancy.clone_tenant('11', '13')"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!second.is_finished(), "the copy did not wait");
    one.run("commit");
    second.join().unwrap().expect("a copy");
    let parent = "select p.key from tenancy.tenants t join tenancy.tenants p on p.id = t.parent where t.key = '13'";
    assert_eq!(one.value(parent).as_deref(), Some("2"));
}

#[test]
fn nobody_waits_for_an_erasure_of_somebody_else() {
    let forest = Forest::new();
    let (mut one, mut other) = (forest.fixture.superuser(), forest.fixture.superuser());
    other.run("set lock_timeout = '5s'");
    let erase = |key: u32| format!("select tenancy.erase_tenant('{key}', confirm => '{key}', dry_run => false)");
    one.run("select tenancy.suspend_tenant('12'); select tenancy.archive_tenant('12')");
    one.run(&format!("begin; {}", erase(12)));
    other.run("select tenancy.create_tenant('a', parent => '21'), tenancy.set_parent('3', '2')");
    one.run("rollback; begin; select tenancy.create_tenant('b', parent => '21'), tenancy.create_tenant('c', parent => '11')");
    // What can't be erased is refused at once, whoever is being placed below it.
    other.refuses(&erase(11), "55000");
    other.refuses("select tenancy.erase_tenant('12', confirm => '11', dry_run => false)", "22023");
    other.run(&erase(12));
    one.run("commit");
}

#[test]
fn moves_by_statement_and_by_function_wait_for_each_other_in_one_order() {
    let forest = Forest::new();
    let (mut one, mut two) = (forest.fixture.superuser(), forest.fixture.superuser());
    for statement in [
        format!("update tenancy.tenants set parent = '{}' where key in ('21', '3')", id(12)),
        "delete from tenancy.tenants where key = '21'".into(),
    ] {
        one.run("begin; select tenancy.set_parent('2', '11')");
        let second = std::thread::spawn(move || (two.batch_execute(&statement), two));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!second.is_finished(), "the statement did not wait");
        one.run("select tenancy.set_parent('21', '1'); commit");
        let (outcome, session) = second.join().unwrap();
        outcome.expect("no deadlock");
        two = session;
        one.run("select tenancy.set_parent('2', null)");
    }
}

#[test]
fn numbers_are_given_out_while_tenants_are_placed() {
    let forest = Forest::new();
    let nil = "00000000-0000-0000-0000-000000000000";
    forest.fixture.run(&format!("select tenancy.create_tenant('nil', id => '{nil}')"));
    let mut placing = forest.fixture.superuser();
    placing.run("begin; select tenancy.create_tenant('a', parent => '1')");
    let mut client = forest.connect();
    client.run("set lock_timeout = '5s'; set tenancy.tenant_id = 'nil'");
    client.run("select tenancy.reserve_numbers('invoice', 10)");
    placing.run("rollback");
}
