//! A streaming replica of a [`Cluster`].

use std::time::{Duration, Instant};

use crate::account::run;
use crate::cluster::{Cluster, Config};

impl Cluster {
    /// A hot standby that follows this server.
    pub fn standby(&self) -> Self {
        let standby = Self::prepare("standby");
        let mut backup = standby.server_program("pg_basebackup");
        backup
            .env("PGHOST", self.directory())
            .env("PGUSER", Self::SUPERUSER)
            .args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync", "--pgdata"])
            .arg(standby.data_directory());
        run(&mut backup);
        // The copied postgresql.conf names the primary's socket: the appended lines win.
        standby.append_settings(&Config::empty().set("hot_standby", "on"));
        standby.start_server();
        standby
    }

    /// Waits until this standby has replayed everything that `primary` has committed so far.
    #[track_caller]
    pub fn wait_for_catch_up(&self, primary: &Cluster) {
        let position: String = primary
            .connect(Self::SUPERUSER)
            .query_one("select pg_current_wal_flush_lsn()::text", &[])
            .expect("the primary tells its position")
            .get(0);
        let mut standby = self.connect(Self::SUPERUSER);
        let deadline = Instant::now() + Duration::from_secs(30);
        let replayed = format!("select coalesce(pg_last_wal_replay_lsn() >= '{position}', false)");
        while !standby.query_one(&replayed, &[]).expect("the standby tells its position").get::<_, bool>(0) {
            assert!(Instant::now() < deadline, "the standby does not reach {position}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
