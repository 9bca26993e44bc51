//! Running what others wrote: functions and triggers, with the rights of whoever answers for them.

use crate::sys::role;
use pgrx::pg_sys::panic::{CaughtError, ErrorReport};
use pgrx::{IntoDatum, PgLogLevel, PgTryBuilder, pg_sys};
use std::panic::AssertUnwindSafe;

/// Runs `work`, which calls a function of `owner`, with his privileges. The settings that it changes are put back.
///
/// Unless he is a superuser, or whoever the session acts as, it is a security-restricted operation: nothing that he has
/// left to be run later (a deferred trigger, a temporary table's, a held cursor) would be run as somebody else.
pub fn in_the_name_of<T>(owner: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    let is_own = role::outer() == owner && role::session() == owner;
    restored(|| {
        if role::is_superuser(owner) || is_own {
            role::acting_as(owner, work)
        } else {
            role::acting_restricted(owner, work)
        }
    })
}

/// Runs `work`, which changes rows of a table of `owner`, as PostgreSQL changes them for a foreign key: as the owner, past
/// forced row security; and with what its triggers do restricted. The settings that these change are put back.
pub fn on_the_table_of<T>(owner: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    restored(|| role::acting_as_table_owner(owner, work))
}

/// Calls a function of (uuid, jsonb), whatever it returns, by its OID: by now its name could be another one's. It sees all
/// that this transaction has done.
pub fn call(function: pg_sys::Oid, tenant: pgrx::Uuid, what: pgrx::JsonB) {
    // SAFETY: the record is a call of two arguments, neither of which is NULL, and lives as long as the call. What is called is
    // entered and left as the function manager does it; the boundary turns its errors into panics. The snapshot is popped
    // again, after an error by the end of the (sub)transaction.
    unsafe {
        let size = size_of::<pg_sys::FunctionCallInfoBaseData>() + 2 * size_of::<pg_sys::NullableDatum>();
        let record: pg_sys::FunctionCallInfo = pg_sys::palloc0(size).cast();
        let found: *mut pg_sys::FmgrInfo = pg_sys::palloc0(size_of::<pg_sys::FmgrInfo>()).cast();
        pg_sys::fmgr_info(function, found);
        (*record).flinfo = found;
        (*record).nargs = 2;
        for (place, value) in [tenant.into_datum(), what.into_datum()].into_iter().enumerate() {
            let argument = (*record).args.as_mut_ptr().add(place);
            (*argument).value = value.unwrap_or(pg_sys::Datum::null());
        }
        pg_sys::CommandCounterIncrement();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        if let Some(address) = (*found).fn_addr {
            pg_sys::ffi::pg_guard_ffi_boundary(|| address(record));
        }
        pg_sys::PopActiveSnapshot();
    }
}

/// Puts settings back that `work` changes.
fn restored<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: opens a nest level, as functions with a SET clause do. An error ends the (sub)transaction, which closes it.
    let level = unsafe { pg_sys::NewGUCNestLevel() };
    let result = work();
    // SAFETY: closes the level that was opened, and puts back what was set within.
    unsafe { pg_sys::AtEOXact_GUC(false, level) };
    result
}

/// Has an error that `work` raises say what failed, with its SQLSTATE, DETAIL and HINT as they are. What ends the session
/// or cancels the statement passes.
pub fn naming<T>(what: &str, work: impl FnOnce() -> T) -> T {
    PgTryBuilder::new(AssertUnwindSafe(work))
        .catch_others(|caught| {
            if let CaughtError::PostgresError(raised) | CaughtError::ErrorReport(raised) = &caught {
                let code = raised.sql_error_code();
                if !is_from_outside(code) {
                    let mut report =
                        ErrorReport::new(code, format!("{what} failed: {}", raised.message()), "pg_tenancy");
                    if let Some(detail) = raised.detail() {
                        report = report.set_detail(detail);
                    }
                    if let Some(hint) = raised.hint() {
                        report = report.set_hint(hint);
                    }
                    report.report(PgLogLevel::ERROR);
                }
            }
            caught.rethrow()
        })
        .execute()
}

/// Cancelled, or the session is ended: class 57.
fn is_from_outside(code: pgrx::PgSqlErrorCode) -> bool {
    let class = code as u32 & 0xfff;
    class == (u32::from(b'5' - b'0') | (u32::from(b'7' - b'0') << 6))
}

#[cfg(test)]
mod tests {
    use super::is_from_outside;
    use pgrx::PgSqlErrorCode;

    #[test]
    fn who_cancels_is_not_the_handler() {
        assert!(is_from_outside(PgSqlErrorCode::ERRCODE_QUERY_CANCELED));
        assert!(is_from_outside(PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN));
        assert!(!is_from_outside(PgSqlErrorCode::ERRCODE_CHECK_VIOLATION));
    }
}
