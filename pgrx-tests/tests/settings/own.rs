//! PostgreSQL's own settings: in force with the context, and undone with it.

use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;
use tenancy_harness::{Cluster, Config, Fixture, Session, sqlstate};

use crate::Shop;

/// Names and what acme has of them; the defaults are others.
const NAMES: [(&str, &str); 5] = [
    ("statement_timeout", "7s"),
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "11min"),
    ("work_mem", "9MB"),
    ("temp_file_limit", "77MB"),
];

/// acme has all of them, from three levels; globex only the default for work_mem.
fn shop() -> Shop {
    let shop = Shop::new();
    shop.fixture.run(
        r#"select tenancy.set_setting('postgres.work_mem', '"5MB"'),
                  tenancy.set_setting('postgres', '{"work_mem": "9MB", "temp_file_limit": "77MB", "lock_timeout": 1}', plan => 'gold'),
                  tenancy.set_setting('postgres.statement_timeout', '7000', 'acme'),
                  tenancy.set_setting('postgres.lock_timeout', '"3s"', 'acme'),
                  tenancy.set_setting('postgres.idle_in_transaction_session_timeout', '"11min"', 'acme')"#,
    );
    shop
}

#[track_caller]
fn shown(session: &mut impl Session) -> Vec<String> {
    NAMES.iter().map(|(name, _)| session.value(&format!("show {name}")).unwrap()).collect()
}

fn of_acme() -> Vec<String> {
    NAMES.iter().map(|(_, value)| (*value).to_owned()).collect()
}

/// A session that has seen what holds without a tenant.
fn plain(shop: &Shop) -> (Client, Vec<String>) {
    let mut client = shop.fixture.connect(&shop.app);
    let before = shown(&mut client);
    (client, before)
}

const TAKES: [&str; 3] = [
    "select tenancy.set_tenant('acme')",
    "set local tenancy.tenant_id = 'acme'; select 1",
    "select set_config('tenancy.tenant_id', 'acme', true); select 1",
];

#[test]
fn they_are_in_force_with_the_transactions_tenant_and_end_with_it() {
    let shop = shop();
    let (mut client, before) = plain(&shop);
    for takes in TAKES {
        for ends in ["commit", "rollback"] {
            client.run(&format!("begin; {takes}"));
            assert_eq!(shown(&mut client), of_acme(), "{takes}");
            client.run(ends);
            assert_eq!(shown(&mut client), before, "{takes} {ends}");
        }
    }
    client.run("begin; select tenancy.set_tenant('globex')");
    assert_eq!(client.value("show work_mem").as_deref(), Some("5MB"));
    assert_eq!(client.value("show statement_timeout").as_deref(), Some(before[0].as_str()));
    client.run("commit");
    // Where they come from is as it was, so that the server's configuration is followed again.
    let sources =
        "select string_agg(source, ' ' order by name) from pg_settings where name in ('work_mem', 'statement_timeout')";
    let fresh = shop.fixture.connect(&shop.app).value(sources);
    assert_eq!(client.value(sources), fresh);
}

#[test]
fn they_last_with_the_sessions_tenant() {
    let shop = shop();
    let (mut client, before) = plain(&shop);
    for (takes, leaves) in [
        ("select tenancy.set_tenant('acme', false)", "select tenancy.clear_tenant(false)"),
        ("set tenancy.tenant_id = 'acme'", "reset tenancy.tenant_id"),
        ("select set_config('tenancy.tenant_id', 'acme', false)", "discard all"),
        ("begin; set tenancy.tenant_id = 'acme'; commit", "reset all"),
    ] {
        client.run(takes);
        client.run("select 1");
        for between in ["select 1", "begin; select 1; rollback", "begin; select 1; commit"] {
            client.run(between);
            assert_eq!(shown(&mut client), of_acme(), "{takes} {between}");
        }
        assert!(client.batch_execute("select 1 / 0").is_err());
        assert_eq!(shown(&mut client), of_acme(), "{takes} after an error");
        client.run(leaves);
        client.run("select 1");
        assert_eq!(shown(&mut client), before, "{leaves}");
    }
    client.run("begin; set tenancy.tenant_id = 'acme'; select 1; rollback; select 1");
    assert_eq!(shown(&mut client), before, "a SET that was rolled back");
    // From one tenant to the next, as in a pooled session.
    for statement in ["set tenancy.tenant_id = 'acme'", "select 1", "set tenancy.tenant_id = 'globex'", "select 1"] {
        client.run(statement);
    }
    assert_eq!(client.value("show work_mem").as_deref(), Some("5MB"));
    assert_eq!(client.value("show temp_file_limit").as_deref(), Some(before[4].as_str()));
    let options = "-c tenancy.tenant_id=acme -c work_mem=6MB";
    let mut client = shop.fixture.try_connect(&shop.app, options).unwrap();
    client.run("select 1");
    assert_eq!(shown(&mut client), of_acme());
    client.run("set tenancy.tenant_id = ''; select 1");
    assert_eq!(client.value("show work_mem").as_deref(), Some("6MB"));
}

#[test]
fn savepoints_take_them_back_with_the_tenant() {
    let shop = shop();
    let (mut client, before) = plain(&shop);
    client.run("begin; savepoint one; select tenancy.set_tenant('acme')");
    assert_eq!(shown(&mut client), of_acme());
    client.run("rollback to one; select 1");
    assert_eq!(shown(&mut client), before);
    client.run("select tenancy.set_tenant('acme'); savepoint two; select 1; rollback to two; select 1");
    assert_eq!(shown(&mut client), of_acme());
    client.run("savepoint three; set local tenancy.tenant_id = ''; select 1");
    assert_eq!(shown(&mut client), before);
    client.run("rollback to three; select 1");
    assert_eq!(shown(&mut client), of_acme());
    client.run("release two; select 1");
    assert_eq!(shown(&mut client), of_acme());
    client.run("commit");
    assert_eq!(shown(&mut client), before);
}

#[test]
fn what_the_application_sets_comes_first_and_is_not_lost() {
    let shop = shop();
    let (mut client, before) = plain(&shop);
    client.run("set work_mem = '21MB'; begin; select tenancy.set_tenant('acme')");
    assert_eq!(client.value("show work_mem").as_deref(), Some("21MB"));
    assert_eq!(client.value("show lock_timeout").as_deref(), Some("3s"));
    client.run("set local lock_timeout = '1s'; savepoint one; set local lock_timeout = '2s'; rollback to one");
    assert_eq!(client.value("show lock_timeout").as_deref(), Some("1s"));
    client.run("reset work_mem");
    assert_eq!(client.value("show work_mem").as_deref(), Some("9MB"));
    client.run("commit");
    assert_eq!(shown(&mut client), before);
    client.run("begin; select tenancy.set_tenant('acme'); set work_mem = '22MB'; commit");
    assert_eq!(client.value("show work_mem").as_deref(), Some("22MB"));
    client.run("reset work_mem");
    assert_eq!(shown(&mut client), before);
}

#[test]
fn a_change_is_in_force_at_the_next_statement() {
    let shop = shop();
    let (mut client, before) = plain(&shop);
    client.run("begin; select tenancy.set_tenant('acme')");
    shop.fixture.run("select tenancy.set_setting('postgres.work_mem', '\"12MB\"', 'acme')");
    client.run("select count(*) from tenancy.tenants; select 1");
    assert_eq!(client.value("show work_mem").as_deref(), Some("12MB"));
    shop.fixture.run("update tenancy.tenants set settings = '{}', plan = null; delete from tenancy.default_settings");
    client.run("select count(*) from tenancy.tenants; select 1");
    assert_eq!(shown(&mut client), before);
    client.run("commit");
}

#[test]
fn a_tenant_that_may_not_be_acted_for_gives_nothing() {
    let shop = shop();
    let stranger = shop.fixture.role("stranger");
    let mut client = shop.fixture.connect(&stranger);
    let before = shown(&mut client);
    client.run("set tenancy.tenant_id = 'acme'; select 1");
    assert_eq!(shown(&mut client), before);
    let (mut client, before) = plain(&shop);
    client.run("set tenancy.tenant_id = 'acme'; select 1");
    assert_eq!(shown(&mut client), of_acme());
    shop.fixture.run("select tenancy.suspend_tenant('acme')");
    client.run("select count(*) from pg_class; select 1");
    assert_eq!(shown(&mut client), before);
}

/// How long a statement ran until it was cancelled.
fn cancelled_after(client: &mut Client, statement: &str) -> Duration {
    let started = Instant::now();
    let outcome = client.batch_execute(statement);
    assert_eq!(sqlstate(&outcome), Some("57014"), "{statement}: {outcome:?}");
    started.elapsed()
}

#[test]
fn a_statements_time_is_limited() {
    let shop = Shop::new();
    shop.fixture.run("select tenancy.set_setting('postgres.statement_timeout', '\"300ms\"', 'acme')");
    let (mut client, _) = plain(&shop);
    for takes in [
        "begin; select tenancy.set_tenant('acme')",
        "set tenancy.tenant_id = 'acme'",
        "begin; set local tenancy.tenant_id = 'acme'",
    ] {
        client.run(takes);
        // The first statement, and later ones.
        assert!(cancelled_after(&mut client, "select pg_sleep(20)") < Duration::from_secs(10), "{takes}");
        client.run("rollback");
        client.run(takes);
        client.run("select 1");
        assert!(cancelled_after(&mut client, "select pg_sleep(20)") < Duration::from_secs(10), "{takes}");
        // And no longer when the tenant has gone, from the first statement on.
        client.run("rollback");
        client.run("reset tenancy.tenant_id");
        client.run("select pg_sleep(0.6)");
    }
    client.run("set tenancy.tenant_id = 'acme'; select 1");
    client.run("discard all");
    client.run("select pg_sleep(0.6)");
}

#[test]
fn temporary_files_are_limited() {
    let shop = Shop::new();
    shop.fixture
        .run(r#"select tenancy.set_setting('postgres', '{"temp_file_limit": "1MB", "work_mem": "64kB"}', 'acme')"#);
    let (mut client, _) = plain(&shop);
    let sort = "select count(*) from (select n from generate_series(1, 300000) n order by -n offset 0) s";
    client.run(sort);
    client.run("begin; select tenancy.set_tenant('acme')");
    client.refuses(sort, "53400");
    client.run("rollback");
    client.run(sort);
    client.refuses("set temp_file_limit = -1", "42501");
}

#[test]
fn parallel_queries_have_them() {
    let shop = shop();
    let setting = if shop.fixture.major_version() >= 16 { "debug_parallel_query" } else { "force_parallel_mode" };
    let (mut client, before) = plain(&shop);
    client.run(&format!("set {setting} = on; begin; set local tenancy.tenant_id = 'acme'"));
    client.run("select count(*) from pg_class");
    assert_eq!(client.value("select current_setting('work_mem')").as_deref(), Some("9MB"));
    client.run("commit");
    assert_eq!(client.value("select current_setting('work_mem')"), Some(before[3].clone()));
}

#[test]
fn others_are_refused_and_so_are_bad_values() {
    let shop = shop();
    let mut admin = shop.fixture.superuser();
    for call in [
        r#"set_setting('postgres.session_replication_role', '"replica"')"#,
        r#"set_setting('postgres.row_security', '"off"', 'acme')"#,
        r#"set_setting('postgres.tenancy.tenant_id', '"globex"', 'acme')"#,
        r#"set_setting('postgres.Work_Mem', '"1MB"')"#,
        r#"set_setting('postgres.work_mem', '"lots"')"#,
        r#"set_setting('postgres.work_mem', '"1"')"#,
        r#"set_setting('postgres.work_mem', 'true')"#,
        r#"set_setting('postgres.work_mem', 'null')"#,
        r#"set_setting('postgres.work_mem', '{}')"#,
        r#"set_setting('postgres.statement_timeout', '-1')"#,
        r#"set_setting('postgres', '1')"#,
        r#"set_setting('postgres', '{"work_mem": "lots"}', plan => 'gold')"#,
        r#"create_plan('odd', '{"postgres": {"fsync": false}}')"#,
        r#"create_tenant('odd', settings => '{"postgres": {"work_mem": []}}')"#,
    ] {
        admin.refuses(&format!("select tenancy.{call}"), "22023");
    }
    assert_eq!(admin.value("show work_mem"), shop.fixture.superuser().value("show work_mem"));
    // What was put there past the function is passed over, and the rest is not.
    shop.fixture.run(
        r#"update tenancy.tenants set settings = '{"postgres": {"work_mem": "lots", "fsync": false, "lock_timeout": "4s"}}' where key = 'acme'"#,
    );
    let (mut client, before) = plain(&shop);
    client.run("set tenancy.tenant_id = 'acme'; select 1");
    assert_eq!(client.value("show lock_timeout").as_deref(), Some("4s"));
    assert_eq!(client.value("show work_mem"), Some(before[3].clone()));
}

#[test]
fn who_comes_next_in_a_session_is_not_limited_by_them() {
    let shop = shop();
    shop.fixture.run("select tenancy.set_setting('postgres.idle_in_transaction_session_timeout', '300', 'acme')");
    for leaves in ["reset tenancy.tenant_id", "discard all", "set tenancy.tenant_id = 'globex'"] {
        let (mut client, _) = plain(&shop);
        for statement in ["set tenancy.tenant_id = 'acme'", "select 1", leaves, "begin"] {
            client.run(statement);
        }
        std::thread::sleep(Duration::from_millis(900));
        assert!(client.batch_execute("select 1").is_ok(), "{leaves}");
    }
}

#[test]
fn they_follow_the_user_and_the_role() {
    let shop = shop();
    let stranger = shop.fixture.role("stranger");
    shop.fixture.run(&format!(
        "select tenancy.add_member('acme', 'alice'), tenancy.grant_access('{}', require_membership => true)",
        shop.app
    ));
    let (mut client, before) = plain(&shop);
    client.run("set tenancy.tenant_id = 'acme'; select 1");
    assert_eq!(shown(&mut client), before, "no user");
    client.run("set tenancy.user_id = 'alice'");
    client.run("select 1");
    assert_eq!(shown(&mut client), of_acme(), "a member");
    shop.fixture.run("select tenancy.remove_member('acme', 'alice')");
    client.run("select count(*) from pg_class; select 1");
    assert_eq!(shown(&mut client), before, "a member no more");
    let mut client = shop.fixture.superuser();
    let before = shown(&mut client);
    client.run(&format!("set role {stranger}; set tenancy.tenant_id = 'acme'"));
    client.run("select 1");
    assert_eq!(shown(&mut client), before, "a role without access");
    client.run("reset role");
    client.run("select 1");
    assert_eq!(shown(&mut client), of_acme(), "a role with access");
}

#[test]
fn a_bad_one_stands_in_no_other_settings_way() {
    let shop = shop();
    shop.fixture
        .run(r#"update tenancy.tenants set settings = '{"postgres": {"work_mem": "lots"}}' where key = 'acme'"#);
    let mut admin = shop.fixture.superuser();
    admin.run("select tenancy.set_setting('seats', '4', 'acme')");
    admin.refuses(r#"select tenancy.set_setting('postgres.lock_timeout', '"4s"', 'acme')"#, "22023");
    admin.run("select tenancy.set_setting('postgres.work_mem', null, 'acme')");
    admin.run(r#"select tenancy.set_setting('postgres.lock_timeout', '"4s"', 'acme')"#);
}

#[test]
fn a_configuration_that_is_read_meanwhile_is_not_lost() {
    let cluster = Cluster::start("settings-reload", &Config::default());
    let fixture = Fixture::on(&cluster);
    let app = fixture.app();
    fixture.run(
        r#"select tenancy.create_tenant('acme'); select tenancy.set_setting('postgres.work_mem', '"9MB"', 'acme')"#,
    );
    let mut client = fixture.connect(&app);
    client.run("set tenancy.tenant_id = 'acme'; select 1");
    let mut admin = fixture.superuser();
    admin.run("alter system set work_mem = '33MB'");
    admin.run("select pg_reload_conf()");
    std::thread::sleep(Duration::from_millis(500));
    client.run("select 1");
    assert_eq!(client.value("show work_mem").as_deref(), Some("9MB"));
    client.run("reset tenancy.tenant_id");
    client.run("select 1");
    assert_eq!(client.value("show work_mem").as_deref(), Some("33MB"));
}
