//! Savepoints of our own: trying what may fail.

use crate::error::Result;
use pgrx::{PgSqlErrorCode, PgTryBuilder, pg_sys};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe};

/// Runs `work` in a savepoint. `None` when it failed with that SQLSTATE: then the savepoint is rolled back, and the
/// transaction goes on. Any other error passes, and the savepoint is rolled back before: PostgreSQL would take one that
/// is left open for the client's, and leave the session in it.
pub fn attempt<T: UnwindSafe + RefUnwindSafe>(expected: PgSqlErrorCode, work: impl FnOnce() -> T) -> Option<T> {
    // SAFETY: what PL/pgSQL does around a block with an exception clause: memory context and resource owner, which
    // starting and ending a subtransaction change, are put back, whatever the way it ends.
    unsafe {
        let (context, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let work = AssertUnwindSafe(work);
        let roll_back = move || {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
            pg_sys::MemoryContextSwitchTo(context);
            pg_sys::CurrentResourceOwner = owner;
        };
        let roll_back = AssertUnwindSafe(roll_back);
        let result = PgTryBuilder::new(move || Some({ work }.0()))
            .catch_when(expected, |_| None)
            .catch_others(move |error| {
                { &roll_back }.0();
                error.rethrow()
            })
            .execute();
        match result {
            Some(_) => pg_sys::ReleaseCurrentSubTransaction(),
            None => pg_sys::RollbackAndReleaseCurrentSubTransaction(),
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
        result
    }
}

/// As `attempt`, for what may also return an error: then the savepoint is rolled back as well.
pub fn attempt_whole<T: UnwindSafe + RefUnwindSafe>(
    expected: PgSqlErrorCode,
    work: impl FnOnce() -> Result<T>,
) -> Result<Option<T>>
where
    Result<T>: UnwindSafe + RefUnwindSafe,
{
    // SAFETY: as for `attempt`.
    unsafe {
        let (context, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let work = AssertUnwindSafe(work);
        let roll_back = move || {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
            pg_sys::MemoryContextSwitchTo(context);
            pg_sys::CurrentResourceOwner = owner;
        };
        let on_error = AssertUnwindSafe(roll_back);
        let result: Option<Result<T>> = PgTryBuilder::new(move || Some({ work }.0()))
            .catch_when(expected, |_| None)
            .catch_others(move |error| {
                { &on_error }.0();
                error.rethrow()
            })
            .execute();
        if let Some(Ok(_)) = result {
            pg_sys::ReleaseCurrentSubTransaction();
            pg_sys::MemoryContextSwitchTo(context);
            pg_sys::CurrentResourceOwner = owner;
        } else {
            roll_back();
        }
        result.transpose()
    }
}

/// Runs `work` in a savepoint, and rolls that back whatever comes of it.
pub fn rehearse<T: UnwindSafe + RefUnwindSafe>(work: impl FnOnce() -> T) -> T {
    // SAFETY: as for `attempt`.
    unsafe {
        let (context, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let work = AssertUnwindSafe(work);
        let roll_back = move || {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
            pg_sys::MemoryContextSwitchTo(context);
            pg_sys::CurrentResourceOwner = owner;
        };
        let on_error = AssertUnwindSafe(roll_back);
        let result = PgTryBuilder::new(move || { work }.0())
            .catch_others(move |error| {
                { &on_error }.0();
                error.rethrow()
            })
            .execute();
        roll_back();
        result
    }
}
