//! What the clients' sessions on the server keep for themselves, as long as they live.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;

use crate::site::Site;

/// Until a session has planned all there is to plan, and knows the tenants.
const WARM_UP: Duration = Duration::from_secs(20);

/// How much a session may grow after that: what the catalog's caches take in as tenants come and go, and no more however long it lives.
pub const BOUND_KIB: i64 = 6 * 1024;

#[derive(Clone, Copy, Debug)]
struct Session {
    first_seen: Instant,
    warm: Option<(Instant, i64)>,
    last: (Instant, i64),
}

/// Private memory of each session, by its process.
#[derive(Debug, Default)]
pub struct Memory(HashMap<i32, Session>);

impl Memory {
    pub fn sample(&mut self, site: &Site<'_>, client: &mut Client) {
        let query = "select pid from pg_stat_activity where usename in ($1, $2)";
        let Ok(rows) = client.query(query, &[&site.app, &site.api]) else { return };
        let now = Instant::now();
        for row in rows {
            let pid = row.get(0);
            let Some(kib) = private_kib(pid) else { continue };
            let session = self.0.entry(pid).or_insert(Session { first_seen: now, warm: None, last: (now, kib) });
            session.last = (now, kib);
            if session.warm.is_none() && now - session.first_seen >= WARM_UP {
                session.warm = Some((now, kib));
            }
        }
    }

    /// The growth of the session that has grown most, after so many seconds, to so much; in KiB.
    pub fn largest_growth(&self) -> Option<(i64, u64, i64)> {
        let grown = self.0.values().filter_map(|session| {
            let (since, warm) = session.warm?;
            let (until, last) = session.last;
            Some((last - warm, (until - since).as_secs(), last))
        });
        grown.max()
    }

    pub fn line(&self) -> String {
        match self.largest_growth() {
            Some((growth, seconds, kib)) => format!("memory +{growth} KiB in {seconds} s, to {kib} KiB"),
            None => "memory: no session old enough".to_owned(),
        }
    }
}

/// Not shared with other processes: contexts, and everything else that the process has allocated.
fn private_kib(pid: i32) -> Option<i64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse().ok())
}
