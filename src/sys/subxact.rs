//! Subtransactions: work that may fail without failing the transaction, or that is to leave nothing behind.

use crate::error::{Error, Result};
use pgrx::pg_sys::panic::CaughtError;
use pgrx::{PgSqlErrorCode, PgTryBuilder, pg_sys};
use std::panic::AssertUnwindSafe;

/// Why work in a subtransaction failed. What it did is rolled back.
#[derive(Debug)]
pub enum Failure {
    /// Our own code refused.
    Own(Error),
    /// PostgreSQL, or somebody's function, raised an error.
    Raised(Box<CaughtError>),
}

impl Failure {
    /// The error's SQLSTATE, and no word of its text, which may hold a row's values.
    pub fn sqlstate(&self) -> String {
        let code = match self {
            Self::Own(error) => error.sqlstate(),
            Self::Raised(caught) => match &**caught {
                CaughtError::PostgresError(report)
                | CaughtError::ErrorReport(report)
                | CaughtError::RustPanic { ereport: report, .. } => report.sql_error_code(),
            },
        };
        unpack(code)
    }

    /// Whether to go on would be wrong: the statement was cancelled, the server is short of something, or
    /// there is a fault in our own code.
    fn ends_everything(&self) -> bool {
        let panicked = matches!(self, Self::Raised(caught) if matches!(**caught, CaughtError::RustPanic { .. }));
        panicked || ["53", "57", "58"].contains(&&self.sqlstate()[..2])
    }

    /// The failure as an error; does not return when it was raised.
    pub fn pass_on(self) -> Error {
        match self {
            Self::Own(error) => error,
            Self::Raised(caught) => caught.rethrow(),
        }
    }
}

/// Five characters, each of them six bits of the number.
fn unpack(code: PgSqlErrorCode) -> String {
    let code = code as u32;
    (0..5).map(|place| char::from(((code >> (6 * place)) & 0x3f) as u8 + b'0')).collect()
}

/// Runs `work` in a subtransaction, kept when it succeeds and rolled back when it fails.
pub fn attempt<T>(work: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failure> {
    run(work, |_| true)
}

/// Runs `work` in a subtransaction, which is kept when `keep` says so of what came out.
pub fn kept_if<T>(keep: impl FnOnce(&T) -> bool, work: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failure> {
    run(work, keep)
}

/// Runs `work` in a subtransaction that is rolled back in any case. What it returns must not point into
/// PostgreSQL's memory.
pub fn discarded<T>(work: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failure> {
    run(work, |_| false)
}

fn run<T>(work: impl FnOnce() -> Result<T>, keep: impl FnOnce(&T) -> bool) -> std::result::Result<T, Failure> {
    // SAFETY: we are in a transaction and in the function manager's care. Beginning and ending come in pairs,
    // since nothing between them unwinds. Ending a subtransaction leaves another memory context and resource
    // owner than there were, so these are put back; both outlive it. User and security context are put back by
    // PostgreSQL on a rollback, and by whoever changed them otherwise.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        let outcome = PgTryBuilder::new(AssertUnwindSafe(|| work().map_err(Failure::Own)))
            .catch_others(|caught| Err(Failure::Raised(Box::new(caught))))
            .execute();
        if outcome.as_ref().is_ok_and(keep) {
            pg_sys::ReleaseCurrentSubTransaction();
        } else {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        }
        pg_sys::CurrentMemoryContext = context;
        pg_sys::CurrentResourceOwner = owner;
        match outcome {
            Err(failure) if failure.ends_everything() => Err(Failure::Own(failure.pass_on())),
            outcome => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_as_in_the_manual() {
        assert_eq!(unpack(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE), "42501");
        assert_eq!(unpack(PgSqlErrorCode::ERRCODE_QUERY_CANCELED), "57014");
        assert_eq!(unpack(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR), "XX000");
    }

    #[test]
    fn a_cancelled_statement_ends_everything() {
        let own = |error: Error| Failure::Own(error).ends_everything();
        assert!(!own(Error::NoTenant));
        assert!(!own(Error::Spi("x".into())));
    }
}
