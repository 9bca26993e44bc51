//! What the clients' sessions on the server keep for themselves, as long as they live.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use tenancy_harness::postgres::Client;

use crate::site::Site;

/// How much a session may grow after it has warmed up, however long it lives: what the catalog's caches take in as tenants come and go.
pub const BOUND_KIB: i64 = 2 * 1024;

/// So many samples at each end are looked at: what a session has in use at the moment goes up and down.
const SAMPLES: usize = 5;

/// Private memory of each session, by its process, whenever it was looked at.
#[derive(Debug)]
pub struct Memory {
    warm_up: Duration,
    sessions: HashMap<(i32, String), Vec<(Instant, i64)>>,
}

/// How much a session has grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Growth {
    pub kib: i64,
    pub during: Duration,
    /// To so much.
    to: i64,
}

impl Memory {
    /// For a soak of such a length. Until it has warmed up, a session plans all there is to plan, and gets to know the tenants.
    pub fn new(length: Duration) -> Self {
        Self { warm_up: (length / 8).min(Duration::from_secs(60)), sessions: HashMap::new() }
    }

    pub fn sample(&mut self, site: &Site<'_>, client: &mut Client) {
        let query = "select pid, backend_start::text from pg_stat_activity where usename = any($1)";
        let Ok(rows) = client.query(query, &[&site.roles().as_slice()]) else { return };
        for row in rows {
            let (pid, start) = (row.get(0), row.get(1));
            let Some(kib) = private_kib(pid) else { continue };
            self.sessions.entry((pid, start)).or_default().push((Instant::now(), kib));
        }
    }

    /// The growth of each session that lived long enough.
    fn growths(&self) -> impl Iterator<Item = Growth> {
        self.sessions.values().filter_map(|samples| growth(samples, self.warm_up))
    }

    /// Of the session that has grown most.
    pub fn largest(&self) -> Option<Growth> {
        self.growths().max()
    }

    /// How long the session was watched that was watched for longest.
    pub fn longest(&self) -> Duration {
        self.growths().map(|growth| growth.during).max().unwrap_or_default()
    }

    pub fn line(&self) -> String {
        match self.largest() {
            Some(Growth { kib, during, to }) => format!(
                "memory of {} sessions: at most {kib:+} KiB in {} s, to {to} KiB; the longest watched for {} s",
                self.growths().count(),
                during.as_secs(),
                self.longest().as_secs()
            ),
            None => "memory: no session old enough".to_owned(),
        }
    }
}

/// Between the first samples of a warm session and its last ones, by the lowest of each.
fn growth(samples: &[(Instant, i64)], warm_up: Duration) -> Option<Growth> {
    let born = samples.first()?.0;
    let warm: Vec<_> = samples.iter().filter(|(at, _)| *at - born >= warm_up).collect();
    if warm.len() < 2 * SAMPLES {
        return None;
    }
    let lowest = |samples: &[&(Instant, i64)]| samples.iter().map(|(_, kib)| *kib).min();
    let (from, to) = (lowest(&warm[..SAMPLES])?, lowest(&warm[warm.len() - SAMPLES..])?);
    Some(Growth { kib: to - from, during: warm.last()?.0 - warm.first()?.0, to })
}

/// Not shared with other processes: contexts, and everything else that the process has allocated.
fn private_kib(pid: i32) -> Option<i64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session of a minute, looked at every two seconds.
    fn grown(kib_at: impl Fn(u64) -> i64) -> Option<i64> {
        let born = Instant::now();
        let samples: Vec<_> = (0..30).map(|n| (born + Duration::from_secs(2 * n), kib_at(2 * n))).collect();
        growth(&samples, Duration::from_secs(20)).map(|growth| growth.kib)
    }

    #[test]
    fn what_leaks_after_the_warm_up_is_growth() {
        assert_eq!(grown(|second| 1000 + i64::try_from(second).unwrap() * 10), Some(300));
    }

    #[test]
    fn what_comes_and_goes_is_none_nor_is_what_comes_before() {
        assert_eq!(
            grown(|second| if second < 20 { 500 } else { 1000 + i64::try_from(second % 4).unwrap() * 50 }),
            Some(0)
        );
    }

    #[test]
    fn a_young_session_tells_nothing() {
        assert_eq!(growth(&[(Instant::now(), 1)], Duration::ZERO), None);
    }
}
