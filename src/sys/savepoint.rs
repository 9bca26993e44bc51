//! Savepoints of our own: trying what may fail.

use crate::error::Result;
use pgrx::{PgSqlErrorCode, PgTryBuilder, pg_sys};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe};

/// Runs `work` in a savepoint. `None` when it failed with that SQLSTATE: then the savepoint is rolled back, and the
/// transaction goes on. Any other error passes, and the savepoint is rolled back before: PostgreSQL would take one that
/// is left open for the client's, and leave the session in it.
pub fn attempt<T: UnwindSafe + RefUnwindSafe>(expected: PgSqlErrorCode, work: impl FnOnce() -> T) -> Option<T> {
    bracket(|| Some(work()), Some((expected, || None)), Option::is_some)
}

/// As `attempt`, for what may also return an error: then the savepoint is rolled back as well.
pub fn attempt_whole<T>(expected: PgSqlErrorCode, work: impl FnOnce() -> Result<T>) -> Result<Option<T>>
where
    Result<T>: UnwindSafe + RefUnwindSafe,
{
    bracket(|| Some(work()), Some((expected, || None)), |result| matches!(result, Some(Ok(_)))).transpose()
}

/// Runs `work` in a savepoint, and rolls that back whatever comes of it.
pub fn rehearse<T: UnwindSafe + RefUnwindSafe>(work: impl FnOnce() -> T) -> T {
    bracket(work, None, |_| false)
}

/// Runs `work` in a savepoint, which is released where `keeps` says so of the result and rolled back otherwise. An error with
/// the SQLSTATE that is expected gives the result beside it; any other passes.
fn bracket<T: UnwindSafe + RefUnwindSafe>(
    work: impl FnOnce() -> T,
    expected: Option<(PgSqlErrorCode, fn() -> T)>,
    keeps: impl FnOnce(&T) -> bool,
) -> T {
    // SAFETY: what PL/pgSQL does around a block with an exception clause: memory context and resource owner, which
    // starting and ending a subtransaction change, are put back, whatever the way it ends.
    unsafe {
        let (context, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        let end = move |end: unsafe fn()| {
            end();
            pg_sys::MemoryContextSwitchTo(context);
            pg_sys::CurrentResourceOwner = owner;
        };
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let (work, on_error) = (AssertUnwindSafe(work), AssertUnwindSafe(end));
        let mut attempt = PgTryBuilder::new(move || { work }.0());
        if let Some((code, value)) = expected {
            attempt = attempt.catch_when(code, move |_| value());
        }
        let result = attempt
            .catch_others(move |error| {
                { &on_error }.0(pg_sys::RollbackAndReleaseCurrentSubTransaction);
                error.rethrow()
            })
            .execute();
        end(if keeps(&result) {
            pg_sys::ReleaseCurrentSubTransaction
        } else {
            pg_sys::RollbackAndReleaseCurrentSubTransaction
        });
        result
    }
}
