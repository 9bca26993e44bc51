//! Messages that stop nothing.

use crate::error::Error;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode};

/// Tells as a WARNING what would be an error elsewhere.
pub fn warn(error: &Error) {
    let mut report = ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, error.to_string(), "pg_tenancy");
    if let Some(detail) = error.detail() {
        report = report.set_detail(detail);
    }
    if let Some(hint) = error.hint() {
        report = report.set_hint(hint);
    }
    report.report(PgLogLevel::WARNING);
}

/// Tells the client what it may not have meant.
pub fn notice(message: String, hint: &str) {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, message, "pg_tenancy")
        .set_hint(hint)
        .report(PgLogLevel::NOTICE);
}

/// Writes a line to the server's log, and nowhere else.
pub fn log(message: String) {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, message, "pg_tenancy")
        .report(PgLogLevel::LOG_SERVER_ONLY);
}
