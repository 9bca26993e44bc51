//! Lines of the server's log, in all three formats, on a server that adds the context to them.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tenancy_harness::{ACME, Cluster, Config, Session};

use crate::Shop;

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let config = Config::default()
            .set("logging_collector", "on")
            .set("log_destination", "stderr,csvlog,jsonlog")
            .set("log_filename", "lines.log")
            .set("log_line_prefix", "%p ")
            .set("tenancy.log_context", "on");
        Cluster::start("lines", &config)
    })
}

fn file(name: &str) -> String {
    let path = cluster().data_directory().join("log").join(name);
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The entry of the log whose message, or the rest of it, is this. The log is written by another process.
#[track_caller]
fn entry(message: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = file("lines.json");
        let mut entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is_meant = |entry: &Value| entry["message"].as_str().is_some_and(|text| text.contains(message));
        if let Some(found) = entries.find(is_meant) {
            return found;
        }
        assert!(Instant::now() < deadline, "the log has no \"{message}\"");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn detail(message: &str) -> String {
    entry(message)["detail"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn tenant_user_and_request_stand_in_the_log_and_nowhere_else() {
    let shop = Shop::on(cluster());
    let mut client = shop.client();
    client.run(
        "begin; select tenancy.set_tenant('acme'); set local tenancy.user_id = 'u\"1\\'; set local tenancy.request_id = 'r 1'",
    );
    let error = client.refuses("select * from no_such_thing_a", "42P01");
    assert_eq!((error.detail(), error.hint()), (None, None));
    let expected = format!(r#"tenant="acme" tenant_id={} user="u\"1\\" request="r 1""#, ACME.id);
    assert_eq!(detail("no_such_thing_a"), expected);
    let plain = file("lines.log");
    let line = plain.lines().position(|line| line.contains("no_such_thing_a\" does not exist")).unwrap();
    assert_eq!(plain.lines().nth(line + 1).unwrap().split_once(" DETAIL:  ").unwrap().1, expected);
    // A field in quotes, in which these are doubled.
    assert!(file("lines.csv").contains(&format!("\"{}\"", expected.replace('"', "\"\""))));
    client.run("rollback");
    // No context, and nothing to tell.
    client.refuses("select * from no_such_thing_b", "42P01");
    assert_eq!(detail("no_such_thing_b"), "");
}

#[test]
fn what_has_a_detail_keeps_it_and_the_last_line_is_ours() {
    let shop = Shop::on(cluster());
    let mut client = shop.client();
    let forge = |marker: &str| {
        format!(
            "do $$ begin raise exception '{marker}' using detail = E'first\\ntenant=\"globex\" tenant_id=x'; end $$"
        )
    };
    client.run("begin; select tenancy.set_tenant('acme')");
    let error = client.refuses(&forge("forged c"), "P0001");
    assert_eq!(error.detail(), Some("first\ntenant=\"globex\" tenant_id=x"));
    let ours = format!("tenant=\"acme\" tenant_id={}", ACME.id);
    assert_eq!(detail("forged c").lines().collect::<Vec<_>>(), ["first", "tenant=\"globex\" tenant_id=x", &ours]);
    // In the plain log a line that continues another begins with a tab.
    let plain = file("lines.log");
    let after: Vec<_> = plain.lines().skip_while(|line| !line.contains("ERROR:  forged c")).skip(1).take(3).collect();
    assert!(
        after[0].ends_with("DETAIL:  first") && after[1].starts_with('\t') && after[2] == format!("\t{ours}"),
        "{after:?}"
    );
    client.run("rollback");
    client.refuses(&forge("forged d"), "P0001");
    assert_eq!(detail("forged d").lines().last(), Some("tenant=none"));
}

#[test]
fn no_value_can_break_a_line() {
    let shop = Shop::on(cluster());
    let mut client = shop.client();
    client.refuses("set tenancy.request_id = E'r\\nLOG:  forged'", "22023");
    client.refuses("set tenancy.user_id = E'u\\r\\x1b[2K'", "22023");
    client.run("set tenancy.request_id = E'r\\u2028LOG:  forged\\u202e'; select tenancy.set_tenant('acme', false)");
    client.refuses("select * from no_such_thing_e; ", "42P01");
    assert!(
        detail("no_such_thing_e").ends_with(r#"request="r\u2028LOG:  forged\u202e""#),
        "{}",
        detail("no_such_thing_e")
    );
    client.run(&format!("set tenancy.user_id = '{}'", "ü".repeat(255)));
    client.refuses("select * from no_such_thing_f", "42P01");
    assert!(detail("no_such_thing_f").contains(&format!("user=\"{}\"", "ü".repeat(255))));
}

#[test]
fn a_tenant_that_may_not_be_acted_for_is_none() {
    let shop = Shop::on(cluster());
    let stranger = shop.fixture.role("stranger");
    let mut client = shop.fixture.connect(&stranger);
    client.run("set tenancy.tenant_id = 'globex'");
    client.refuses("select * from no_such_thing_g", "42P01");
    assert_eq!(detail("no_such_thing_g"), r#"tenant=none named="globex""#);
    // One that nobody has used yet in this session neither.
    let mut app = shop.client();
    app.run("set tenancy.tenant_id = 'acme'");
    app.refuses("select * from no_such_thing_h", "42P01");
    assert_eq!(detail("no_such_thing_h"), r#"tenant=none named="acme""#);
}

#[test]
fn the_duration_of_what_ended_a_transaction_has_its_tenant() {
    let shop = Shop::on(cluster());
    shop.fixture.run(&format!("alter role {} set log_min_duration_statement = 0", shop.app));
    let mut client = shop.client();
    client.run("set tenancy.tenant_id = 'acme'");
    client.run("select count(*) as marker_i from notes");
    client.run("select 'marker_j'");
    let ours = format!("tenant=\"acme\" tenant_id={}", ACME.id);
    assert_eq!(detail("marker_i"), ours);
    assert_eq!(detail("marker_j"), "tenant=none named=\"acme\"");
    client.run("reset tenancy.tenant_id; begin");
    client.run("set local tenancy.tenant_id = 'acme'; select count(*) from notes; commit /* marker_k */");
    assert_eq!(detail("marker_k"), ours);
}

#[test]
fn the_user_is_whom_the_request_proves() {
    let shop = Shop::on(cluster());
    let role = shop.fixture.role("rest");
    shop.fixture
        .run(&format!("select tenancy.grant_access('{role}', mode => 'claims'); grant select on notes to {role}"));
    let mut client = shop.fixture.connect(&role);
    client.run(
        r#"begin; set local request.jwt.claims = '{"tenant_id": "acme", "sub": "proven"}'; set local tenancy.user_id = 'claimed';
           select count(*) from notes"#,
    );
    client.refuses("select * from no_such_thing_l", "42P01");
    assert_eq!(detail("no_such_thing_l"), format!("tenant=\"acme\" tenant_id={} user=\"proven\"", ACME.id));
}
