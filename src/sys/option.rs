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
    set_to(name, value.as_ptr(), pg_sys::GucContext::PGC_USERSET, scope);
}

/// Sets the value as a superuser would. A refusal is raised as an error.
pub fn set_as_superuser(name: &CStr, value: &CStr, scope: Scope) {
    set_to(name, value.as_ptr(), pg_sys::GucContext::PGC_SUSET, scope);
}

fn set_to(name: &CStr, value: *const c_char, context: pg_sys::GucContext::Type, scope: Scope) {
    let action = match scope {
        Scope::Transaction => pg_sys::GucAction::GUC_ACTION_LOCAL,
        Scope::Session => pg_sys::GucAction::GUC_ACTION_SET,
    };
    // SAFETY: both strings outlive the call, which copies them; a NULL value means the session's default.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value,
            context,
            pg_sys::GucSource::PGC_S_SESSION,
            action,
            true,
            0,
            false,
        );
    }
}

/// Sets the value and its default at once, in a way that no end of a transaction and no RESET takes back, and that
/// parallel workers are told. A refusal is raised as an error.
pub fn set_for_good(name: &CStr, value: &str) {
    set_unstacked(name, value, pg_sys::GucSource::PGC_S_OVERRIDE, 0);
}

/// Has a setting that nobody has set take the value that ALTER ROLE or ALTER DATABASE gives to sessions which begin now, as
/// if this one did: RESET leads to it, no end of a transaction takes it back, and parallel workers are told. What the setting
/// refuses is told in the log.
pub fn take_given(name: &CStr, value: &str) {
    set_unstacked(name, value, pg_sys::GucSource::PGC_S_DATABASE_USER, pgrx::PgLogLevel::LOG as i32);
}

/// `level` is that of a refusal; 0 for PostgreSQL's choice. The source is one whose values are not stacked.
fn set_unstacked(name: &CStr, value: &str, source: pg_sys::GucSource::Type, level: i32) {
    let Ok(value) = CString::new(value) else {
        return;
    };
    // SAFETY: both strings outlive the call, which copies them.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            source,
            pg_sys::GucAction::GUC_ACTION_SET,
            true,
            level,
            false,
        );
    }
}

/// What a setting was before something stood in for it.
#[derive(Debug)]
pub struct Stood {
    value: CString,
    source: pg_sys::GucSource::Type,
    /// When the server's configuration had been read last.
    reloaded: pg_sys::TimestampTz,
}

/// Has a value stand in for that which the session began with: RESET leads to it, what the session sets comes before it,
/// and no end of a transaction takes it back. `None`, with a line in the log, when the setting doesn't take it.
pub fn stand_in(name: &CStr, value: &str) -> Option<Stood> {
    let value = CString::new(value).ok()?;
    // SAFETY: the record of a setting stays where it is as long as the session; the text is copied at once.
    let stood = unsafe {
        let record = record(name);
        if record.is_null() {
            return None;
        }
        let value = pg_sys::GetConfigOptionResetString(name.as_ptr());
        if value.is_null() {
            return None;
        }
        Stood {
            value: CStr::from_ptr(value).to_owned(),
            source: (*record).reset_source,
            reloaded: pg_sys::PgReloadTime,
        }
    };
    put_default(name, &value).then_some(stood)
}

/// Puts back what `stand_in` has replaced. Can't fail.
pub fn stand_down(name: &CStr, stood: &Stood) {
    put_default(name, &stood.value);
    // What comes from the server's configuration is to follow it again. PostgreSQL keeps a list of all settings whose source is
    // not DEFAULT, in which this one stays.
    let source = stood.source.max(pg_sys::GucSource::PGC_S_DYNAMIC_DEFAULT);
    let put_back = |of: &mut pg_sys::GucSource::Type| {
        if *of == pg_sys::GucSource::PGC_S_OVERRIDE {
            *of = source;
        }
    };
    // SAFETY: the record of a setting stays where it is as long as the session, and so do the entries of its stack until it is
    // set again; nobody else refers to them here.
    unsafe {
        let record = record(name);
        if record.is_null() {
            return;
        }
        put_back(&mut (*record).source);
        put_back(&mut (*record).reset_source);
        let mut entry = (*record).stack;
        while !entry.is_null() {
            put_back(&mut (*entry).source);
            entry = (*entry).prev;
        }
        // What was read meanwhile did not come in against this value: it is read again before the next command.
        if pg_sys::PgReloadTime != stood.reloaded {
            pg_sys::ConfigReloadPending = 1;
        }
    }
}

fn put_default(name: &CStr, value: &CStr) -> bool {
    // A value that is refused raises no error. Negative where the session has set it to something else, which stays in force.
    offer_default(name, value, true, pgrx::PgLogLevel::LOG) != 0
}

/// Raises an error (22023) unless the setting takes the value.
pub fn check(name: &CStr, value: &str) {
    let value = CString::new(value).unwrap_or_default();
    offer_default(name, &value, false, pgrx::PgLogLevel::ERROR);
}

/// Has a setting take a value in place of its default, or only look whether it would. What is refused is told at that level.
fn offer_default(name: &CStr, value: &CStr, take: bool, level: pgrx::PgLogLevel) -> i32 {
    // SAFETY: both strings outlive the call, which copies them. A value from this source is not stacked.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_OVERRIDE,
            pg_sys::GucAction::GUC_ACTION_SET,
            take,
            level as i32,
            false,
        )
    }
}

/// Where the value that is in force comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Somebody set it in this session, and no RESET has come since.
    pub set: bool,
    /// Nobody set it, in no way.
    pub default: bool,
    /// It ends with the transaction, or with a function.
    pub local: bool,
    /// It was set in this transaction, which can take it back.
    pub stacked: bool,
}

/// The origin of the value of a setting that exists.
pub fn origin(name: &CStr) -> Origin {
    // SAFETY: the record of a setting stays where it is as long as the session; its stack has an entry on top
    // while there is something to go back to.
    unsafe {
        let record = record(name);
        if record.is_null() {
            return Origin { set: false, default: true, local: false, stacked: false };
        }
        let stack = (*record).stack;
        Origin {
            set: (*record).source == pg_sys::GucSource::PGC_S_SESSION,
            default: (*record).source == pg_sys::GucSource::PGC_S_DEFAULT,
            local: !stack.is_null() && (*stack).state != pg_sys::GucStackState::GUC_SET,
            stacked: !stack.is_null(),
        }
    }
}

/// # Safety
/// Reads the backend's table of settings: from the backend's own thread alone.
unsafe fn record(name: &CStr) -> *mut pg_sys::config_generic {
    // SAFETY: no placeholder is made, and absence is NULL.
    #[cfg(not(feature = "pg15"))]
    unsafe {
        pg_sys::find_option(name.as_ptr(), false, true, 0)
    }
    // SAFETY: the table has that many entries, each a valid record with a name.
    #[cfg(feature = "pg15")]
    unsafe {
        let table = std::slice::from_raw_parts(pg_sys::get_guc_variables(), pg_sys::GetNumConfigOptions() as usize);
        let found = table.iter().copied().find(|record| CStr::from_ptr((**record).name) == name);
        found.unwrap_or(std::ptr::null_mut())
    }
}

/// Gives the setting, until the transaction ends, the value that the session began with.
pub fn reset(name: &CStr) {
    set_to(name, std::ptr::null(), pg_sys::GucContext::PGC_USERSET, Scope::Transaction);
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
