//! The time, in microseconds since 1970.

use pgrx::pg_sys;

/// From PostgreSQL's epoch, 2000-01-01, to that of others.
const EPOCHS_APART: i64 = 946_684_800_000_000;

/// What PostgreSQL keeps as a `timestamptz`.
pub fn since_1970(timestamp: i64) -> i64 {
    timestamp.saturating_add(EPOCHS_APART)
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
