//! What the sessions of calm clients keep for themselves, as long as they live.
//!
//! PostgreSQL's caches of its catalogs grow as tenants come and go, ever more slowly, and the buffers of temporary tables up to their
//! limit; all else that a session has should stay as it is. So what is judged is the process's private memory without those: what the
//! library has from the heap, and all other contexts, saved plans and prepared statements among them.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

/// A session tells its process, and what caches of catalogs and local buffers have in use, in KiB.
pub const LOOK: &str = "select concat_ws(' ', pg_backend_pid(), (sum(used_bytes) filter (where name in ('CacheMemoryContext', 'index info',
    'relation rules', 'row security descriptor', 'partition key', 'partition descriptor', 'LocalBufferContext')) / 1024)::bigint) from pg_backend_memory_contexts";

/// How the fault begins.
pub const FAULT: &str = "MEMORY";

/// A superuser's SQL after which sessions keep something of each of their writes for good.
pub const LEAK: &str = "
    create function leak() returns trigger language plpgsql as $$ begin
      perform set_config('leak.l' || replace(gen_random_uuid()::text, '-', ''), repeat('x', 2000), false);
      return null;
    end $$;
    create trigger leak after insert or update or delete on orders for each statement execute function leak();
    create trigger leak after insert or update or delete on notes for each statement execute function leak();
    create trigger leak after insert or update or delete on points for each statement execute function leak()";

/// What a session may grow by with each transaction, once it has warmed up, and by how much more in all: the heap settles slowly, some 70 KiB
/// were seen in 240 transactions, and no more in 1200. A leak of a kilobyte is then found in less than 200.
const BYTES_EACH: f64 = 100.0;
const BYTES_IN_ALL: f64 = 150.0 * 1024.0;
/// How much caches may take in meanwhile, be it thousands of transactions.
const CACHES_KIB: i64 = 2 * 1024;

/// From fewer looks nothing is told; of more, so many are compared with each other.
const LOOKS: usize = 15;
const COMPARED: usize = 200;

/// The sessions of all calm clients, by whose they are and their process.
#[derive(Debug)]
pub struct Memory {
    warm_up: Duration,
    sessions: BTreeMap<(&'static str, i32), Session>,
}

#[derive(Debug)]
struct Session {
    born: Instant,
    transactions: u64,
    looks: Vec<Look>,
}

/// What a session had when it had done so many transactions.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    transactions: u64,
    kib: i64,
    caches_kib: i64,
}

/// How a session has grown in the second half of its life.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    pub transactions: u64,
    pub during: Duration,
    /// With each transaction.
    pub bytes_each: f64,
    to_kib: i64,
    caches_kib: i64,
}

impl Memory {
    /// For a soak of such a length. Until it has warmed up, a session plans all there is to plan, and gets to know the tenants.
    pub fn new(length: Duration) -> Self {
        Self { warm_up: (length / 8).min(Duration::from_secs(60)), sessions: BTreeMap::new() }
    }

    /// One more transaction of this process's session.
    pub fn transaction(&mut self, whose: &'static str, pid: i32) {
        let session = Session { born: Instant::now(), transactions: 0, looks: Vec::new() };
        self.sessions.entry((whose, pid)).or_insert(session).transactions += 1;
    }

    /// What [`LOOK`] said, of a session that does nothing meanwhile.
    pub fn look(&mut self, whose: &'static str, said: &str) -> Option<()> {
        let (pid, caches_kib) = said.split_once(' ')?;
        let (pid, caches_kib) = (pid.parse().ok()?, caches_kib.parse::<i64>().ok()?);
        let kib = private_kib(pid)? - caches_kib;
        let session = self.sessions.get_mut(&(whose, pid))?;
        session.looks.push(Look { at: Instant::now(), transactions: session.transactions, kib, caches_kib });
        Some(())
    }

    /// Of each session that lived long enough, and whose it is.
    pub fn growths(&self) -> impl Iterator<Item = (&'static str, Growth)> {
        let growths = self.sessions.iter().map(|((whose, _), session)| (*whose, session.growth(self.warm_up)));
        growths.filter_map(|(whose, growth)| Some((whose, growth?)))
    }

    /// So many transactions were judged of those of a calm client, at most.
    pub fn judged(&self, whose: &str) -> u64 {
        let those = self.growths().filter(|(other, _)| *other == whose);
        those.map(|(_, growth)| growth.transactions).max().unwrap_or_default()
    }

    /// Those that have grown by more than they may.
    pub fn leaks(&self) -> Vec<String> {
        let leaking = self.growths().filter(|(_, growth)| growth.is_leak());
        leaking.map(|(whose, growth)| format!("{whose}: {}", growth.line())).collect()
    }

    /// Of each kind of client the session that has grown most.
    pub fn line(&self) -> String {
        let mut largest: BTreeMap<&str, Growth> = BTreeMap::new();
        for (whose, growth) in self.growths() {
            let most = largest.entry(whose).or_insert(growth);
            if growth.bytes_each > most.bytes_each {
                *most = growth;
            }
        }
        let lines: Vec<String> =
            largest.iter().map(|(whose, growth)| format!("memory of {whose}: {}", growth.line())).collect();
        if lines.is_empty() { "memory: no session old enough".to_owned() } else { lines.join("; ") }
    }
}

impl Session {
    /// By what each two looks say: a little less than the median, which neither single looks upset nor what is taken once, whenever that is.
    fn growth(&self, warm_up: Duration) -> Option<Growth> {
        let last = self.looks.last()?;
        if last.at - self.born < 2 * warm_up {
            return None;
        }
        let begin = self.looks.partition_point(|look| look.transactions * 2 < last.transactions);
        let later = &self.looks[begin..];
        let first = later.first().filter(|_| later.len() >= LOOKS)?;
        let compared: Vec<&Look> = later.iter().step_by(later.len().div_ceil(COMPARED)).collect();
        let pairs =
            compared.iter().enumerate().flat_map(|(number, to)| compared[..number].iter().map(move |from| (from, to)));
        let mut slopes: Vec<f64> = pairs.filter_map(|(from, to)| slope(from, to)).collect();
        slopes.sort_by(f64::total_cmp);
        Some(Growth {
            transactions: last.transactions - first.transactions,
            during: last.at - first.at,
            bytes_each: *slopes.get(slopes.len() * 2 / 5)?,
            to_kib: last.kib,
            caches_kib: last.caches_kib - first.caches_kib,
        })
    }
}

/// Bytes with each transaction between two looks.
fn slope(from: &Look, to: &Look) -> Option<f64> {
    let transactions = to.transactions.checked_sub(from.transactions).filter(|transactions| *transactions > 0)?;
    Some((to.kib - from.kib) as f64 * 1024.0 / transactions as f64)
}

impl Growth {
    fn is_leak(&self) -> bool {
        self.bytes_each > self.bound() || self.caches_kib > CACHES_KIB
    }

    fn bound(&self) -> f64 {
        BYTES_EACH + BYTES_IN_ALL / self.transactions.max(1) as f64
    }

    fn line(&self) -> String {
        let Self { transactions, during, bytes_each, to_kib, caches_kib } = self;
        format!(
            "{bytes_each:+.0} of {:.0} bytes with each of {transactions} transactions in {} s, to {to_kib} KiB, and {caches_kib:+} KiB in caches",
            self.bound(),
            during.as_secs()
        )
    }
}

/// Not shared with other processes: contexts, and everything else that the process has allocated.
fn private_kib(pid: i32) -> Option<i64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session that begins ten transactions a second and is looked at with each twentieth; pages are of 4 KiB.
    fn session(transactions: u64, bytes_after: impl Fn(u64) -> u64, caches_kib_after: impl Fn(u64) -> i64) -> Session {
        let born = Instant::now();
        let look = |transactions: u64| Look {
            at: born + Duration::from_millis(transactions * 100),
            transactions,
            kib: i64::try_from(5_000 + bytes_after(transactions) / 4096 * 4).unwrap(),
            caches_kib: caches_kib_after(transactions),
        };
        Session { born, transactions, looks: (0..=transactions / 20).map(|number| look(number * 20)).collect() }
    }

    fn growth(transactions: u64, bytes_after: impl Fn(u64) -> u64) -> Growth {
        session(transactions, bytes_after, |_| 900).growth(Duration::from_secs(15)).unwrap()
    }

    /// Of a soak of two minutes, and of one of half an hour.
    const LIVES: [u64; 2] = [1_200, 20_000];

    #[test]
    fn what_leaks_with_each_transaction_is_told() {
        for transactions in LIVES {
            for bytes in [500, 1_000, 3_500] {
                let growth = growth(transactions, |transactions| transactions * bytes);
                assert!(growth.is_leak() && (growth.bytes_each - bytes as f64).abs() < 60.0, "{bytes}: {growth:?}");
            }
        }
        assert!(growth(20_000, |transactions| transactions * 150).is_leak(), "the longer, the finer");
        let flat = growth(1_200, |_| 0);
        assert_eq!((flat.transactions, flat.during.as_secs()), (600, 60));
    }

    #[test]
    fn what_comes_before_and_what_comes_once_and_what_comes_and_goes_does_not_leak() {
        for life in LIVES {
            let warming = |transactions: u64| transactions.min(life / 2 - 50) * 4_000;
            let once = |transactions: u64| if transactions < life * 3 / 4 { 0 } else { 600_000 };
            let and_goes = |transactions: u64| transactions / 20 % 5 * 100_000;
            let settling = |transactions: u64| transactions.isqrt() * 6_000;
            let growths = [
                growth(life, |_| 0),
                growth(life, warming),
                growth(life, once),
                growth(life, and_goes),
                growth(life, settling),
            ];
            for growth in growths {
                assert!(!growth.is_leak(), "{growth:?}");
            }
        }
    }

    #[test]
    fn a_leak_is_told_from_what_comes_and_goes_with_it() {
        let growth = growth(1_200, |transactions| transactions * 1_000 + transactions / 20 % 5 * 100_000);
        assert!(growth.is_leak(), "{growth:?}");
    }

    #[test]
    fn caches_may_grow_a_little() {
        let grown = |kib: i64| {
            let caches = |transactions| i64::try_from(transactions).unwrap() * kib;
            session(1_200, |_| 0, caches).growth(Duration::ZERO).unwrap()
        };
        assert!(!grown(1).is_leak());
        assert!(grown(4).is_leak());
    }

    #[test]
    fn a_young_session_tells_nothing() {
        assert!(session(1_200, |_| 0, |_| 0).growth(Duration::from_secs(100)).is_none());
        let mut seldom = session(1_200, |_| 0, |_| 0);
        seldom.looks.truncate(LOOKS);
        assert!(seldom.growth(Duration::ZERO).is_none());
    }
}
