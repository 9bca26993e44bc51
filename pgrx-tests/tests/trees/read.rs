//! What a tenant reads of the tenants below it, and nobody else's.

use tenancy_harness::{Session, refuses_in_savepoint};

use crate::{Forest, PLACES, ROWS, TYPES, begin, family, fill, id, literal, seen, visible};

#[test]
fn a_tenant_reads_its_own_rows_and_those_of_all_below() {
    let forest = Forest::new();
    let mut client = forest.connect();
    for column_type in TYPES {
        let table = format!("t_{column_type}");
        for (key, _) in PLACES {
            let mut tx = begin(&mut client, key);
            let expected = family(key);
            assert_eq!(seen(&mut tx, &table), expected, "{table} as {key}");
            let count = tx.value(&format!("select count(*) from {table}"));
            assert_eq!(count, Some((expected.len() * ROWS).to_string()), "{table} as {key}");
        }
    }
    assert_eq!(family(1), ["1", "11", "111", "112", "12"]);
}

#[test]
fn the_functions_tell_the_tenant_and_all_below() {
    let forest = Forest::new();
    forest.fixture.run("select tenancy.create_tenant('unnumbered', parent => '21')");
    let mut client = forest.connect();
    for function in ["visible_tenants", "visible_keys", "visible_key_ints"] {
        assert_eq!(client.value(&format!("select tenancy.{function}()")), None, "{function}");
    }
    let mut tx = begin(&mut client, 2);
    for _ in 0..2 {
        assert_eq!(tx.value("select tenancy.visible_keys()").as_deref(), Some("{2,21,unnumbered}"));
        assert_eq!(tx.value("select tenancy.visible_key_ints()").as_deref(), Some("{2,21}"));
        assert_eq!(tx.value("select array_length(tenancy.visible_tenants(), 1)").as_deref(), Some("3"));
        let first = tx.value("select (tenancy.visible_tenants())[1]");
        assert_eq!(first, Some(id(2)));
    }
    drop(tx);
    let mut tx = client.transaction().unwrap();
    tx.run("set local tenancy.tenant_id = 'unnumbered'");
    assert_eq!(tx.value("select tenancy.visible_key_ints()").as_deref(), Some("{}"));
    assert_eq!(tx.value("select tenancy.visible_keys()").as_deref(), Some("{unnumbered}"));
    // Values of a procedure outlive the transaction that they come from.
    drop(tx);
    client.run("set tenancy.tenant_id = '1'; create temporary table kept (keys text[])");
    client.run(
        "do $$ declare keys text[] := tenancy.visible_keys(); begin commit; insert into kept values (keys); end $$",
    );
    assert_eq!(client.value("select keys from kept").as_deref(), Some("{1,11,12,111,112}"));
}

#[test]
fn without_a_tenant_there_is_nothing() {
    let forest = Forest::new();
    let mut client = forest.connect();
    for column_type in TYPES {
        assert!(seen(&mut client, &format!("t_{column_type}")).is_empty());
    }
    client.run("set tenancy.on_missing = 'error'");
    client.refuses("select * from t_uuid", "42501");
    client.run("reset tenancy.on_missing; set tenancy.tenant_id = 'nobody'");
    client.refuses("select * from t_uuid", "42501");
    client.refuses("select tenancy.visible_tenants()", "42501");
}

#[test]
fn nothing_gives_the_right_to_act_for_a_tenant_below() {
    let forest = Forest::new();
    let narrow = forest.fixture.role("narrow");
    forest.fixture.run(&format!(
        "grant select, insert, update, delete on all tables in schema public to {narrow};
         select tenancy.grant_access('{narrow}', '1'), tenancy.add_member('1', 'alice')"
    ));
    let mut client = forest.fixture.connect(&narrow);
    let mut tx = begin(&mut client, 1);
    assert_eq!(seen(&mut tx, "t_uuid"), family(1));
    drop(tx);
    for key in ["11", "111", "2"] {
        client.refuses(&format!("select tenancy.set_tenant('{key}', false)"), "42501");
        client.refuses(&format!("begin; set local tenancy.tenant_id = '{key}'; select * from t_uuid"), "42501");
        client.run("rollback");
    }
    // One tenant a transaction, below or not.
    let mut tx = begin(&mut client, 1);
    seen(&mut tx, "t_uuid");
    refuses_in_savepoint(&mut tx, "set local tenancy.tenant_id = '11'", "42501");
    drop(tx);
    // Members of the one above are members of it alone.
    forest.fixture.run(&format!(
        "select tenancy.revoke_access('{narrow}', '1'), tenancy.grant_access('{narrow}', require_membership => true)"
    ));
    client.run("set tenancy.user_id = 'alice'");
    let mut tx = begin(&mut client, 1);
    assert_eq!(seen(&mut tx, "t_uuid"), family(1));
    drop(tx);
    client.refuses("select tenancy.set_tenant('11', false)", "42501");
    // The registry shows the tenant in force, and not those below.
    let mut tx = begin(&mut client, 1);
    assert_eq!(tx.texts("select key from tenancy.tenants"), ["1"]);
}

#[test]
fn claims_of_a_request_are_of_one_tenant() {
    let forest = Forest::new();
    let web = forest.fixture.role("web");
    forest.fixture.run(&format!(
        "grant select on all tables in schema public to {web}; select tenancy.grant_access('{web}', '1', mode => 'claims')"
    ));
    let mut client = forest.fixture.connect(&web);
    let begin = |tenant: &str| format!("begin; set local request.jwt.claims = '{{\"tenant_id\": \"{tenant}\"}}'");
    client.run(&begin("1"));
    assert_eq!(seen(&mut client, "t_uuid"), family(1));
    client.run("rollback");
    client.run(&begin("11"));
    assert!(seen(&mut client, "t_uuid").is_empty());
    client.run("rollback");
}

#[test]
fn suspended_and_archived_tenants_below_are_read_and_not_acted_for() {
    let forest = Forest::new();
    let mut client = forest.connect();
    forest.fixture.run("select tenancy.suspend_tenant('11'), tenancy.suspend_tenant('112')");
    forest.fixture.run("select tenancy.archive_tenant('112')");
    let mut tx = begin(&mut client, 1);
    assert_eq!(seen(&mut tx, "t_uuid"), family(1));
    drop(tx);
    client.refuses("begin; set local tenancy.tenant_id = '11'; select * from t_uuid", "55000");
    client.run("rollback");
    let mut tx = begin(&mut client, 111);
    assert_eq!(seen(&mut tx, "t_uuid"), ["111"]);
    drop(tx);
    forest.fixture.run("select tenancy.suspend_tenant('1')");
    client.refuses("begin; set local tenancy.tenant_id = '1'; select * from t_uuid", "55000");
}

#[test]
fn tenants_of_another_region_are_left_out() {
    let forest = Forest::new();
    forest.fixture.run("update tenancy.tenants set region = 'eu' where key in ('11', '2'); update tenancy.tenants set region = 'us' where key = '12'");
    let read = |region: &str| {
        forest.fixture.run(&format!("alter system set tenancy.region = '{region}'"));
        forest.fixture.run("select pg_reload_conf()");
        let mut client = forest.connect();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while client.value("show tenancy.region").as_deref() != Some(region) {
            assert!(std::time::Instant::now() < until, "the region is not {region:?}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let mut tx = begin(&mut client, 1);
        (seen(&mut tx, "t_uuid"), visible(&mut tx))
    };
    // What is below one that is left out is not.
    let us: Vec<String> = ["1", "111", "112", "12"].map(String::from).to_vec();
    let eu: Vec<String> = ["1", "11", "111", "112"].map(String::from).to_vec();
    assert_eq!(read("us"), (us.clone(), us));
    assert_eq!(read("eu"), (eu.clone(), eu));
    assert_eq!(read(""), (family(1), family(1)));
}

#[test]
fn partitions_and_children_are_read_the_same_way() {
    let forest = Forest::new();
    let mut superuser = forest.fixture.superuser();
    superuser.run(
        "create table parted (id integer, tenant_id uuid, body text) partition by range (id);
         create table parted_1 partition of parted for values from (0) to (3); create table parted_2 partition of parted default;
         create table base (id integer, tenant_id integer, body text); create table derived () inherits (base)",
    );
    for (table, column_type) in [("parted", "uuid"), ("base", "integer"), ("derived", "integer")] {
        fill(&mut superuser, table, column_type);
    }
    superuser.run("select tenancy.protect('parted', kind => 'tree'), tenancy.protect('base', kind => 'tree')");
    superuser.run("create table parted_3 partition of parted for values from (100) to (200)");
    let of_part = "select kind || ' ' || array_length(policies, 1) from tenancy.protected_tables where relation = 'parted_3'::regclass";
    assert_eq!(superuser.value(of_part).as_deref(), Some("tree 8"));
    let mut client = forest.connect();
    for key in [1, 11, 21] {
        let mut tx = begin(&mut client, key);
        for table in ["parted", "parted_1", "parted_2", "base", "derived"] {
            assert_eq!(seen(&mut tx, table), family(key), "{table} as {key}");
        }
        let below = format!("delete from parted_1 where tenant_id <> '{}'", id(key));
        assert_eq!(tx.affected(&below), 0);
        assert_eq!(tx.affected(&format!("update derived set body = body where tenant_id <> {key}")), 0);
        refuses_in_savepoint(
            &mut tx,
            &format!("insert into parted_1 values (1, {}, 'x')", literal("uuid", 111)),
            "42501",
        );
    }
    superuser.refuses("select tenancy.protect('parted_1')", "55000");
}
