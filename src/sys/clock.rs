//! Clocks: what PostgreSQL takes for the time, in microseconds since 1970, and one that nobody sets.

use pgrx::pg_sys;

/// From PostgreSQL's epoch, 2000-01-01, to that of others.
const EPOCHS_APART: i64 = 946_684_800_000_000;

/// What PostgreSQL keeps as a `timestamptz`.
pub fn since_1970(timestamp: i64) -> i64 {
    timestamp.saturating_add(EPOCHS_APART)
}

/// As PostgreSQL keeps it.
pub fn timestamp(since_1970: i64) -> i64 {
    since_1970.saturating_sub(EPOCHS_APART)
}

/// Now, whenever the transaction began.
pub fn now() -> i64 {
    // SAFETY: asks the operating system for the time.
    since_1970(unsafe { pg_sys::GetCurrentTimestamp() })
}

/// When the transaction began; in a parallel worker that of the leader.
pub fn transaction_start() -> i64 {
    // SAFETY: reads a variable of this backend.
    since_1970(unsafe { pg_sys::GetCurrentTransactionStartTimestamp() })
}

/// Nanoseconds since some moment before the server was started, which all processes of the server read alike.
pub fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to the place that it is given; the clock exists, so it does not fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    u64::try_from(now.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}
