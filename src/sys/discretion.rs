//! Keeps statements that may hold a token or a secret out of the server's log, where PostgreSQL would add them to what it
//! reports: the statement that failed, and the SQL in an error's context. Statements that the log is told to have
//! (`log_statement`, `log_min_duration_statement`) are its message itself, and stay.

use crate::sys::backend::BackendCell;
use pgrx::pg_sys;
use std::ffi::{CStr, c_char};

/// What such statements have in them: our names, and the beginning of every token (`{"` in base64).
const MARKS: [&[u8]; 5] = [b"tenancy.token", b"authenticate", b"jwt_key", b"import_jwks", b"eyJ"];

static PREVIOUS: BackendCell<pg_sys::emit_log_hook_type> = BackendCell::new(None);

unsafe extern "C-unwind" fn emit_log(report: *mut pg_sys::ErrorData) {
    // SAFETY: PostgreSQL passes the report that it is about to write; its texts, and the statement, are C strings or
    // NULL. Nothing here can fail.
    unsafe {
        if may_tell(pg_sys::debug_query_string) {
            (*report).hide_stmt = true;
        }
        if may_tell((*report).context) {
            (*report).hide_ctx = true;
        }
        if let Some(previous) = PREVIOUS.get() {
            previous(report);
        }
    }
}

/// # Safety
/// NULL or a valid C string.
unsafe fn may_tell(text: *const c_char) -> bool {
    // SAFETY: by the contract above.
    !text.is_null() && has_mark(unsafe { CStr::from_ptr(text) }.to_bytes())
}

fn has_mark(text: &[u8]) -> bool {
    MARKS.iter().any(|mark| text.windows(mark.len()).any(|part| part.eq_ignore_ascii_case(mark)))
}

/// Called once per backend.
pub fn install() {
    // SAFETY: the hook variable is this backend's own, and only set while the library loads.
    unsafe {
        PREVIOUS.set(pg_sys::emit_log_hook);
        pg_sys::emit_log_hook = Some(emit_log);
    }
}

#[cfg(test)]
mod tests {
    use super::has_mark;

    #[test]
    fn statements_with_tokens_and_secrets_are_known() {
        for text in ["SET Tenancy.Token = ''", "select authenticate($1)", "x eyJhbGciOiJub25lIn0", "add_jwt_key"] {
            assert!(has_mark(text.as_bytes()), "{text}");
        }
        for text in ["", "select 1", "set tenancy.tenant_id = 'acme'"] {
            assert!(!has_mark(text.as_bytes()), "{text}");
        }
    }
}
