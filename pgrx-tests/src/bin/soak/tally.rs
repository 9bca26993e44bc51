//! What has happened so far, and what may happen.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Errors that a client may meet, and why. Which of them a statement may meet, and when, the clients know.
const EXPECTED: [(&str, &str); 15] = [
    ("08P01", "PgBouncer: its connection to the server was killed"),
    ("22012", "asked for: a statement that fails"),
    ("22P02", "asked for: a statement whose error tells its tenant's own data"),
    ("23505", "two clients MERGE the same new row"),
    ("25P01", "asked for: a tenant of the transaction outside of one"),
    ("28000", "a token of a tenant that is gone"),
    ("40001", "two clients change the same row under REPEATABLE READ"),
    ("40P01", "two clients wait for each other's rows or limits, or one for tables of a tenant that is erased"),
    ("42501", "attacks, tenants that are gone, and hosts of those that are suspended"),
    ("53400", "a quota or a rate is exhausted"),
    ("55000", "the tenant was suspended, or a plain SET LOCAL found left-overs"),
    ("57P01", "the session was terminated"),
    ("57P02", "another session was killed, and the server restarts"),
    ("57P03", "the server is not up again"),
    ("58000", "PgBouncer: it has no connection to the server"),
];

/// What the server's log has beside these: the client is not there any more to be told, or it is no client's.
const LOGGED: [(&str, &str); 2] = [("08006", ""), ("57014", "ERROR:  canceling autovacuum task")];

#[derive(Debug, Default)]
pub struct Tally {
    pub transactions: AtomicU64,
    pub commits: AtomicU64,
    pub statements: AtomicU64,
    pub bytes: AtomicU64,
    /// How often a client has received its own tenant's canary.
    pub canaries: AtomicU64,
    pub disconnects: AtomicU64,
    pub created: AtomicU64,
    pub suspended: AtomicU64,
    pub resumed: AtomicU64,
    pub erased: AtomicU64,
    pub terminated: AtomicU64,
    pub crashes: AtomicU64,
    /// How often a quota of rows or bytes or a counter was exhausted, and how often a rate.
    pub quotas: AtomicU64,
    pub rates: AtomicU64,
    errors: Mutex<BTreeMap<String, u64>>,
    faults: Mutex<Vec<String>>,
}

pub fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

pub fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Tally {
    /// A client met an error.
    pub fn error(&self, code: &str, complaint: &str) {
        match code {
            "53400" if complaint.contains("rate \"") => add(&self.rates, 1),
            "53400" => add(&self.quotas, 1),
            _ if !EXPECTED.iter().any(|(expected, _)| *expected == code) => {
                self.fault(format!("not an expected error: {complaint}"));
            }
            _ => {}
        }
        *self.errors.lock().unwrap_or_else(PoisonError::into_inner).entry(code.to_owned()).or_default() += 1;
    }

    /// The server logged this, with such a code.
    pub fn logged(&self, code: &str, line: &str) {
        let is_known = EXPECTED.iter().any(|(expected, _)| *expected == code)
            || LOGGED.iter().any(|(expected, words)| *expected == code && line.starts_with(words));
        if !is_known {
            self.fault(format!("not an expected error in the log: {line}"));
        }
    }

    /// Something is not as it should be.
    pub fn fault(&self, what: String) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = |what: &str| what.split(':').next().unwrap_or_default().to_owned();
        if faults.len() < 100 && faults.iter().filter(|other| kind(other) == kind(&what)).count() < 10 {
            println!("FAULT: {what}");
        }
        faults.push(what);
    }

    pub fn faults(&self) -> usize {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Something was found that begins so.
    pub fn has_fault(&self, beginning: &str) -> bool {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().any(|fault| fault.starts_with(beginning))
    }

    /// Errors by SQLSTATE, on one line.
    pub fn errors(&self) -> String {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.iter().map(|(code, count)| format!("{code}×{count}")).collect::<Vec<_>>().join(" ")
    }

    /// Errors by SQLSTATE, with the reason for each.
    pub fn explained(&self) -> String {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let why = |code: &str| {
            let found = EXPECTED.iter().find(|(expected, _)| *expected == code);
            found.map_or("NOT EXPECTED", |(_, why)| why)
        };
        errors.iter().map(|(code, count)| format!("  {code} {count:>8}  {}\n", why(code))).collect()
    }

    pub fn line(&self) -> String {
        format!(
            "{} transactions, {} statements, {} MB looked through, {} own canaries; tenants: {} created, {} suspended, {} resumed, {} erased; \
             {} sessions terminated, {} crashes, {} disconnects; {} quotas and {} rates exhausted; {}; {} faults",
            read(&self.transactions),
            read(&self.statements),
            read(&self.bytes) >> 20,
            read(&self.canaries),
            read(&self.created),
            read(&self.suspended),
            read(&self.resumed),
            read(&self.erased),
            read(&self.terminated),
            read(&self.crashes),
            read(&self.disconnects),
            read(&self.quotas),
            read(&self.rates),
            self.errors(),
            self.faults()
        )
    }
}
