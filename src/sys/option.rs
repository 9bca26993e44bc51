//! Settings (GUCs): setting one from code, and refusing a value from a check hook.

use crate::error::Error;
use pgrx::pg_sys;
use std::ffi::{CStr, CString, c_char};

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
    set_to(name, value.as_ptr(), scope);
}

fn set_to(name: &CStr, value: *const c_char, scope: Scope) {
    let action = match scope {
        Scope::Transaction => pg_sys::GucAction::GUC_ACTION_LOCAL,
        Scope::Session => pg_sys::GucAction::GUC_ACTION_SET,
    };
    // SAFETY: both strings outlive the call, which copies them; a NULL value means the session's default.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value,
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            action,
            true,
            0,
            false,
        );
    }
}

/// Gives the setting, until the transaction ends, the value that the session began with.
pub fn reset(name: &CStr) {
    set_to(name, std::ptr::null(), Scope::Transaction);
}

/// The setting's value; `None` when there is no such setting.
pub fn get(name: &CStr) -> Option<String> {
    // SAFETY: with `missing_ok` absence gives NULL; the string is good until a setting changes, and copied at once.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
    }
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
