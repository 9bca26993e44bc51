//! `tenancy.health()` of servers that follow each other.

use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;

use tenancy_harness::{Cluster, Config, Fixture, Session};

use crate::Shop;

fn seen(session: &mut impl Session) -> String {
    session
        .value("select concat_ws(' ', ok, detail) from tenancy.health() where \"check\" = 'replication'")
        .expect("the check")
}

/// A way to the server in that directory, by another port, on which each connection stops after so many bytes from the server, as
/// if the network had become that slow.
fn narrow(directory: &Path, port: u16, bytes: u64) {
    let path = directory.join(format!(".s.PGSQL.{port}"));
    let listener = UnixListener::bind(&path).expect("a socket");
    fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("everybody may connect");
    let server = directory.join(".s.PGSQL.5432");
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.expect("a client"), UnixStream::connect(&server).expect("the server"));
            let (from, to) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
            thread::spawn(move || io::copy(&mut &from, &mut &to));
            thread::spawn(move || {
                let copied = io::copy(&mut (&server).take(bytes), &mut &client);
                // Open as long as the test runs.
                if copied.is_ok_and(|copied| copied == bytes) {
                    thread::park();
                }
            });
        }
    });
}

#[test]
fn a_standby_is_behind_what_it_has_not_received() {
    let primary = Cluster::start("primary", &Config::default());
    let shop = Shop::on(&primary);
    let standby = primary.standby();
    let mut here = shop.fixture.superuser();
    // Who begins anew does so with a segment of WAL.
    here.run("select pg_switch_wal()");
    standby.wait_for_catch_up(&primary);
    let mut there = standby.connect_to(shop.fixture.database(), Cluster::SUPERUSER);
    assert_eq!(seen(&mut there), "t a standby that is even with its primary");
    assert!(seen(&mut here).starts_with("t a primary with 1 standbys, the slowest "));

    let follow = |there: &mut _, parameters: &str| {
        for statement in [&format!("alter system set primary_conninfo = '{parameters}'"), "select pg_reload_conf()"] {
            Session::run(there, statement);
        }
    };
    there.run("alter system set wal_retrieve_retry_interval = '100ms'");
    follow(&mut there, "host=/nowhere");
    primary.wait_until(&mut here, "not exists (select from pg_stat_replication)");
    assert_eq!(seen(&mut here), "t a primary without standbys");
    for _ in 0..8 {
        here.run("select pg_logical_emit_message(true, '', repeat('x', 1000000))");
    }
    narrow(primary.directory(), 6000, 1_000_000);
    follow(&mut there, &format!("host={} port=6000 user=postgres", primary.directory().display()));
    primary.wait_until(
        &mut here,
        "exists (select from pg_stat_replication where state = 'catchup' and replay_lsn is not null)",
    );
    standby.wait_until(
        &mut there,
        "exists (select from pg_stat_wal_receiver where status = 'streaming' and latest_end_lsn > pg_last_wal_receive_lsn())",
    );
    assert!(seen(&mut here).starts_with("f a primary with 1 standbys, 1 of them catching up, "), "{}", seen(&mut here));
    assert!(
        seen(&mut there).starts_with("t a standby that streams; the last replayed commit is "),
        "{}",
        seen(&mut there)
    );
    // As soon as it has it all, both are well.
    follow(&mut there, &format!("host={} port=5432 user=postgres", primary.directory().display()));
    standby.wait_for_catch_up(&primary);
    standby.wait_until(
        &mut there,
        "(select ok and detail ~ 'even' from tenancy.health() where \"check\" = 'replication')",
    );
    primary.wait_until(
        &mut here,
        "(select ok and detail ~ '1 standbys' from tenancy.health() where \"check\" = 'replication')",
    );
}

/// Ends what it holds.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_keeps_wal_and_who_subscribes_is_no_standby() {
    let cluster = Cluster::start("senders", &Config::default().set("wal_level", "logical"));
    let (shop, subscriber) = (Shop::on(&cluster), Fixture::empty(&cluster));
    let mut superuser = shop.fixture.superuser();
    let mut receiver = cluster.tool("pg_receivewal");
    receiver.arg("--directory").arg(cluster.directory()).stdout(Stdio::null()).stderr(Stdio::null());
    let _receiver = Running(receiver.spawn().expect("pg_receivewal"));
    let streams = |name: &str| {
        format!("exists (select from pg_stat_replication where application_name = '{name}' and state = 'streaming')")
    };
    cluster.wait_until(&mut superuser, &streams("pg_receivewal"));
    superuser.run("create table things (id integer); create publication things for table things");
    superuser.run("select pg_create_logical_replication_slot('things', 'pgoutput')");
    subscriber.run(&format!(
        "create table things (id integer);
         create subscription things connection 'host={} port=5432 dbname={} user=postgres' publication things
           with (create_slot = false, slot_name = 'things')",
        cluster.directory().display(),
        shop.fixture.database()
    ));
    cluster.wait_until(
        &mut superuser,
        &format!("{} and exists (select from pg_stat_replication where replay_lsn is not null)", streams("things")),
    );
    assert_eq!(seen(&mut superuser), "t a primary without standbys");
    subscriber.run(
        "alter subscription things disable; alter subscription things set (slot_name = none); drop subscription things",
    );
}
