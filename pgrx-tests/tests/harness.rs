//! What the other tests rely on: servers that start, survive what they should, and leave nothing behind.

use std::process::Command;

use tenancy_harness::{Cluster, Config, assert_sqlstate, sqlstate};

fn plain_cluster() -> Cluster {
    Cluster::start("plain", &Config::without_preload().set("work_mem", "5MB"))
}

#[test]
fn a_dropped_cluster_leaves_no_server_and_no_directory() {
    let cluster = plain_cluster();
    let directory = cluster.directory().to_owned();
    let pid: i32 = cluster.connect(Cluster::SUPERUSER).query_one("select pg_backend_pid()", &[]).unwrap().get(0);

    drop(cluster);

    assert!(!directory.exists());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn settings_reach_the_server_and_errors_keep_their_sqlstate() {
    let cluster = plain_cluster();
    let mut client = cluster.connect(Cluster::SUPERUSER);

    let work_mem: String = client.query_one("show work_mem", &[]).unwrap().get(0);
    let failure = client.batch_execute("select 1/0");

    assert_eq!(work_mem, "5MB");
    assert_eq!(sqlstate(&failure), Some("22012"));
    assert_sqlstate(failure, "22012");
}

#[test]
fn a_killed_cluster_restarts_with_its_committed_rows() {
    let cluster = plain_cluster();
    let script = "create table t (a int); insert into t values (1);";
    assert!(cluster.psql("postgres", Cluster::SUPERUSER, script).status.success());

    cluster.kill9();
    assert!(!cluster.is_running());
    cluster.restart();

    let rows: i64 = cluster.connect(Cluster::SUPERUSER).query_one("select count(*) from t", &[]).unwrap().get(0);
    assert_eq!(rows, 1);
}

#[test]
fn a_standby_follows_its_primary() {
    let primary = plain_cluster();
    let standby = primary.standby();
    primary.connect(Cluster::SUPERUSER).batch_execute("create table t as select 1 as a").unwrap();

    standby.wait_for_catch_up(&primary);

    let row =
        standby.connect(Cluster::SUPERUSER).query_one("select count(*), pg_is_in_recovery() from t", &[]).unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1)), (1, true));
}

#[test]
fn a_client_program_talks_to_the_cluster() {
    let cluster = plain_cluster();

    let dump = cluster.run_tool("pg_dump", &["--schema-only", "postgres"]);

    assert!(String::from_utf8_lossy(&dump.stdout).contains("PostgreSQL database dump"));
}

/// The guard must work when no destructor runs: this test program starts itself and lets the copy be killed.
#[test]
fn a_killed_test_program_leaves_no_server() {
    const MARK: &str = "TENANCY_HARNESS_VICTIM";
    if let Ok(report) = std::env::var(MARK) {
        let cluster = plain_cluster();
        std::fs::write(report, cluster.directory().to_str().unwrap()).unwrap();
        std::process::abort();
    }
    let report = tempfile::NamedTempFile::new().unwrap();
    let name = "a_killed_test_program_leaves_no_server";
    let program = std::env::current_exe().unwrap();

    let output = Command::new(program).args(["--exact", name]).env(MARK, report.path()).output().unwrap();

    assert!(!output.status.success());
    let directory = std::fs::read_to_string(report.path()).unwrap();
    assert!(directory.contains("/tenancy-plain-"), "{directory:?}");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while std::path::Path::new(&directory).exists() {
        assert!(std::time::Instant::now() < deadline, "{directory} is still there");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
