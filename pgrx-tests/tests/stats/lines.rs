//! Lines of the server's log, in all three formats, on a server that adds the context to them.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tenancy_harness::{ACME, Cluster, Config, GLOBEX, Session};

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

/// What is found in a file of the log, which another process writes.
#[track_caller]
fn found<T>(name: &str, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = find(&file(name)) {
            return found;
        }
        assert!(Instant::now() < deadline, "{name} has no \"{what}\"");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The entry of the log whose message, or a part of it, is this.
#[track_caller]
fn entry(message: &str) -> Value {
    found("lines.json", message, |text| {
        let mut entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.find(|entry| entry["message"].as_str().is_some_and(|text| text.contains(message)))
    })
}

/// So many whole lines of the plain log, from the one on that has this in it.
#[track_caller]
fn plain(message: &str, count: usize) -> Vec<String> {
    found("lines.log", message, |text| {
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines: Vec<_> =
            whole.lines().skip_while(|line| !line.contains(message)).take(count).map(str::to_owned).collect();
        (lines.len() == count).then_some(lines)
    })
}

/// The detail of what is said of this statement.
#[track_caller]
fn entry_of_statement(statement: &str) -> String {
    found("lines.json", statement, |text| {
        let mut entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let entry = entries.find(|entry| entry["statement"].as_str() == Some(statement))?;
        Some(entry["detail"].as_str().unwrap_or_default().to_owned())
    })
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
    assert_eq!(plain("no_such_thing_a\" does not exist", 2)[1].split_once(" DETAIL:  ").unwrap().1, expected);
    // A field in quotes, in which these are doubled.
    let quoted = format!("\"{}\"", expected.replace('"', "\"\""));
    found("lines.csv", &quoted, |text| text.contains(&quoted).then_some(()));
    // The block has failed, and is this tenant's until it ends.
    client.refuses("select 'after a'", "25P02");
    assert_eq!(entry_of_statement("select 'after a'"), expected);
    client.run("rollback");
    // No context, and nothing to tell.
    client.refuses("select * from no_such_thing_b", "42P01");
    assert_eq!(detail("no_such_thing_b"), "");
}

#[test]
fn terse_lines_are_those_of_the_plain_log_alone() {
    let shop = Shop::on(cluster());
    shop.fixture.run(&format!("alter role {} set log_error_verbosity = terse", shop.app));
    let mut client = shop.client();
    client.run("begin; select tenancy.set_tenant('acme'); set local tenancy.request_id = 'terse 1'");
    client.refuses("select * from no_such_thing_t", "42P01");
    let expected = format!("tenant=\"acme\" tenant_id={} request=\"terse 1\"", ACME.id);
    assert_eq!(detail("no_such_thing_t"), expected);
    let quoted = format!("\"{}\"", expected.replace('"', "\"\""));
    found("lines.csv", &quoted, |text| text.contains(&quoted).then_some(()));
    plain("no_such_thing_t\" does not exist", 1);
    assert!(!file("lines.log").contains("terse 1\"\n"), "{}", file("lines.log"));
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
    let lines = plain("ERROR:  forged c", 4);
    assert!(
        lines[1].ends_with("DETAIL:  first") && lines[2].starts_with('\t') && lines[3] == format!("\t{ours}"),
        "{lines:?}"
    );
    client.run("rollback");
    client.refuses(&forge("forged d"), "P0001");
    assert_eq!(detail("forged d").lines().last(), Some("tenant=none"));
}

#[test]
fn a_line_follows_what_is_set_and_taken_back_within_a_transaction() {
    let shop = Shop::on(cluster());
    let mut client = shop.client();
    let steps = [
        ("begin; select tenancy.set_tenant('acme')", ""),
        ("set local tenancy.request_id = 'r 1'", r#" request="r 1""#),
        ("set local tenancy.user_id = 'u 1'", r#" user="u 1" request="r 1""#),
        (
            "savepoint s; set local tenancy.request_id = 'r 2'; set local tenancy.user_id = 'u 2'",
            r#" user="u 2" request="r 2""#,
        ),
        ("rollback to s", r#" user="u 1" request="r 1""#),
        ("reset tenancy.user_id", r#" request="r 1""#),
        ("commit; begin; select tenancy.set_tenant('acme')", ""),
    ];
    for (number, (statement, more)) in steps.into_iter().enumerate() {
        client.run(statement);
        // Twice: the second line is the first one again.
        for time in ["a", "b"] {
            let marker = format!("follows {number} {time}");
            client.run(&format!("do $$ begin raise warning '{marker}'; end $$"));
            assert_eq!(detail(&marker), format!("tenant=\"acme\" tenant_id={}{more}", ACME.id), "after {statement}");
        }
    }
    client.run(
        "rollback; begin; select tenancy.set_tenant('globex'); do $$ begin raise warning 'follows globex'; end $$",
    );
    assert_eq!(detail("follows globex"), format!("tenant=\"globex\" tenant_id={}", GLOBEX.id));
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
    // User and request as they were in it, though they are gone with it.
    client.run("reset tenancy.tenant_id; begin");
    client.run(
        "set local tenancy.tenant_id = 'acme'; set local tenancy.user_id = 'u'; set local tenancy.request_id = 'r'",
    );
    client.run("select count(*) from notes; commit /* marker_k */");
    assert_eq!(detail("marker_k"), format!("{ours} user=\"u\" request=\"r\""));
    // What follows is not about it any more.
    client.run("select 'marker_m'");
    assert_eq!(detail("marker_m"), "");
    client.run("begin; savepoint s");
    client.refuses("select * from no_such_thing_n", "42P01");
    client.refuses("select 'after n'", "25P02");
    assert_eq!((detail("no_such_thing_n"), entry_of_statement("select 'after n'")), Default::default());
    client.run("rollback; begin; select tenancy.set_tenant('acme'); savepoint s");
    client.refuses("select * from no_such_thing_o", "42P01");
    client.refuses("select 'after o'", "25P02");
    assert_eq!((detail("no_such_thing_o"), entry_of_statement("select 'after o'")), (ours.clone(), ours));
}

#[test]
fn what_a_parallel_worker_says_is_about_the_tenant() {
    let shop = Shop::on(cluster());
    shop.fixture.run(
        "create function fails(text, integer) returns integer language plpgsql parallel safe as
           $$ begin raise exception '% in %', $1, case when pg_backend_pid() = $2 then 'the leader' else 'a worker' end; end $$;
         create function elsewhere() returns text language plpgsql stable parallel safe set tenancy.tenant_id = 'globex' as
           $$ begin return tenancy.current_key(); end $$;
         create table prices as select generate_series(1, 10) as id; grant select on prices to public",
    );
    shop.fill();
    let force = if shop.fixture.major_version() < 16 { "force_parallel_mode" } else { "debug_parallel_query" };
    let mut client = shop.client();
    client.run(&format!(
        "set {force} = on; set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
         set parallel_leader_participation = off"
    ));
    client.run("begin; select tenancy.set_tenant('acme')");
    let pid = client.value("select pg_backend_pid()").unwrap();
    client.refuses(&format!("select count(*) from notes where fails('marker_p', {pid}) > id"), "P0001");
    assert!(detail("marker_p in a worker").starts_with("tenant=\"acme\""), "{}", detail("marker_p in a worker"));
    // Nor does a worker have to read the tenant's rows for that.
    client.run("rollback; begin; select tenancy.set_tenant('acme')");
    client.refuses(&format!("select count(*) from prices where fails('marker_q', {pid}) > id"), "P0001");
    assert!(detail("marker_q in a worker").starts_with("tenant=\"acme\""), "{}", detail("marker_q in a worker"));
    // A tenant that may not be acted for is refused where it is asked for, not by the log.
    client.run("rollback; begin; set local tenancy.tenant_id = 'nobody'");
    assert_eq!(client.value("select count(*) from prices").as_deref(), Some("10"));
    // And for the log's sake the transaction has no tenant that it would not have had.
    client.run("rollback; set tenancy.tenant_id = 'acme'");
    assert_eq!(client.value("select count(*) from prices where elsewhere() = 'globex'").as_deref(), Some("10"));
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
