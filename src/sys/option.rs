//! Settings (GUCs): setting one from code, and refusing a value from a check hook.

use crate::error::Error;
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

/// How long a value that code sets stays in force.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Until the transaction (or the savepoint's rollback) ends, like SET LOCAL.
    Transaction,
    /// Until the session ends, like SET.
    Session,
}

/// Sets the value as the current user would. A refusal is raised as an error.
pub fn set(name: &CStr, value: &str, scope: Scope) {
    let Ok(value) = CString::new(value) else {
        // A text of PostgreSQL never holds a NUL.
        return;
    };
    let action = match scope {
        Scope::Transaction => pg_sys::GucAction::GUC_ACTION_LOCAL,
        Scope::Session => pg_sys::GucAction::GUC_ACTION_SET,
    };
    // SAFETY: both strings outlive the call, which copies them.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            action,
            true,
            0,
            false,
        );
    }
}

/// Runs `work` with PostgreSQL's own schema as the search path, whatever the session's is.
pub fn with_plain_path<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: a nest level of settings is opened and closed as for a function's SET clause; both strings outlive
    // the call. When an error jumps over this, the abort of the (sub)transaction closes the level.
    let level = unsafe {
        let level = pg_sys::NewGUCNestLevel();
        pg_sys::set_config_option(
            c"search_path".as_ptr(),
            c"pg_catalog, pg_temp".as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
        level
    };
    let result = work();
    // SAFETY: closes the level that was opened above.
    unsafe { pg_sys::AtEOXact_GUC(true, level) };
    result
}

/// Gives a check hook's refusal its SQLSTATE, message, DETAIL and HINT; returns false for the hook.
pub fn refuse(error: &Error) -> bool {
    let text = |text: String| {
        let text = CString::new(text).unwrap_or_default();
        // SAFETY: copies into the current memory context, which lives until the hook's caller has
        // made its report of it.
        unsafe { pg_sys::pstrdup(text.as_ptr()) }
    };
    // SAFETY: these are the variables behind the GUC_check_err* macros of check hooks.
    unsafe {
        pg_sys::GUC_check_errcode(error.sqlstate() as i32);
        pg_sys::GUC_check_errmsg_string = text(error.to_string());
        if let Some(detail) = error.detail() {
            pg_sys::GUC_check_errdetail_string = text(detail);
        }
        if let Some(hint) = error.hint() {
            pg_sys::GUC_check_errhint_string = text(hint);
        }
    }
    false
}
