//! The hooks of `tenancy.tenant_id`.

use super::reported::{self, Form};
use super::*;
use crate::sys::portal;

/// The form in which it was reported last.
static REPORTED: BackendCell<Form> = BackendCell::new(reported::NOTHING);

#[pg_guard]
pub unsafe extern "C-unwind" fn check(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: PostgreSQL passes its own copy of the new value, or NULL.
    let value = unsafe {
        take_name(value);
        borrowed(value)
    };
    match check_name(value, source) {
        Ok(()) => true,
        Err(error) => option::refuse(&error),
    }
}

/// What a pooler was told is taken for what it stands for.
///
/// # Safety
/// `value` is what a string check hook gets: a pointer to a C string of PostgreSQL's own, or to NULL.
unsafe fn take_name(value: *mut *mut c_char) {
    // SAFETY: by the contract above. A name is shorter than its form, and holds no NUL: it fits where that is.
    unsafe {
        let Some(name) = reported::name(borrowed(value)).and_then(|name| CString::new(name).ok()) else { return };
        libc::strcpy(*value, name.as_ptr());
    }
}

fn check_name(value: &str, source: pg_sys::GucSource::Type) -> Result<()> {
    if LOADING.get() || xact::starting_parallel_worker() {
        return Ok(());
    }
    let by_session = source == pg_sys::GucSource::PGC_S_SESSION;
    if by_session && xact::in_restricted_operation() {
        return Err(Error::RestrictedOperation);
    }
    let listener = LISTENER.get().filter(|_| by_session);
    if let Some(listener) = listener {
        (listener.tenant_chosen)(value)?;
    }
    // The pooler would only lose its connection; the client is told at first use.
    if value.is_empty() || reported::is_unnamed(value) {
        return Ok(());
    }
    let tenant = TenantRef::parse(value)?;
    match listener {
        Some(listener) if xact::in_transaction() => (listener.tenant_set)(&tenant),
        _ => Ok(()),
    }
}

pub unsafe extern "C-unwind" fn changed(value: *const c_char, _extra: *mut c_void) {
    context_changed();
    // SAFETY: PostgreSQL passes the value that is about to be in force, or NULL.
    let value = unsafe {
        subject::TENANT.becomes(value);
        assigned(value)
    };
    if let Some(listener) = LISTENER.get() {
        (listener.tenant_becomes)(value);
    }
}

/// As it was set, to who asks; between statements nobody does, and it is reported.
#[pg_guard]
pub unsafe extern "C-unwind" fn show() -> *const c_char {
    let name = subject::TENANT.text();
    if portal::is_in_statement() {
        return name.as_ptr();
    }
    REPORTED.set(reported::form(name.to_str().unwrap_or_default()));
    REPORTED.as_ptr().cast()
}
