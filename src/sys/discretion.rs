//! Keeps statements that may hold a token or a secret out of the server's log, where PostgreSQL would add them to what it
//! reports: the statement that failed, the one within it, and the SQL in an error's context. Statements that the log is told to have
//! (`log_statement`, `log_min_duration_statement`) are its message itself, and stay. In `pg_stat_activity` they stand until
//! they come to what is to be kept.

use crate::jwt;
use crate::sys::backend::BackendCell;
use crate::sys::subject;
use pgrx::{PgSqlErrorCode, pg_guard, pg_sys};
use std::ffi::{CStr, c_char};
use std::ptr;

/// What such statements have in them: our names, and the beginning of nearly every token (`{"` in base64), which may be cut off.
const MARKS: [&[u8]; 8] = [
    b"tenancy.token",
    b"authenticate",
    b"jwt_key",
    b"import_jwks",
    b"eyJ",
    b"tenancy.seal",
    b"tenancy.unseal",
    b"seal(",
];

/// What the log has in place of a detail that may tell as much as its statement.
const NO_DETAIL: &CStr = c"The detail is not shown, since the statement has to do with tokens or secrets.";

static PREVIOUS: BackendCell<pg_sys::emit_log_hook_type> = BackendCell::new(None);

#[pg_guard]
unsafe extern "C-unwind" fn emit_log(report: *mut pg_sys::ErrorData) {
    // SAFETY: PostgreSQL passes the report that it is about to write; its texts, and the statement, are C strings or
    // NULL. Its own memory is the current one, and it gives free what is allocated there.
    unsafe {
        let hides_statement = may_tell(pg_sys::debug_query_string);
        (*report).hide_stmt |= hides_statement;
        // Its parameters are in the context (log_parameter_max_length_on_error), and so is what a parser chokes on.
        (*report).hide_ctx |= hides_statement || may_tell((*report).context);
        // The client does without it, too.
        if may_tell((*report).internalquery) {
            (*report).internalquery = ptr::null_mut();
            (*report).internalpos = 0;
        }
        // What is said of tokens is always the same, and others may want to know.
        let is_ours = (*report).sqlerrcode == PgSqlErrorCode::ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION as i32;
        if hides_statement && !is_ours && !(*report).detail.is_null() {
            (*report).detail_log = pg_sys::pstrdup(NO_DETAIL.as_ptr());
        }
        subject::add_to(report);
        if let Some(previous) = PREVIOUS.get() {
            previous(report);
        }
    }
}

/// What others are shown in place of the statement.
const VEIL: &CStr = c"<a statement with a token or a secret>";

/// Shows others no more of the statement that is running. Can't fail.
pub fn veil() {
    // SAFETY: writes to this backend's own entry, which has room for the text, whether there are such entries or not.
    unsafe { pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, VEIL.as_ptr()) };
}

/// The same, if it has this text in it: what comes as a parameter is not in it. Can't fail.
pub fn veil_statement_with(text: &str) {
    // SAFETY: PostgreSQL keeps the text of the statement until it has run, or NULL.
    let statement = unsafe { pg_sys::debug_query_string };
    if statement.is_null() || text.is_empty() || is_veiled() {
        return;
    }
    // SAFETY: as above; not NULL.
    if unsafe { CStr::from_ptr(statement) }.to_str().is_ok_and(|statement| statement.contains(text)) {
        veil();
    }
}

/// Whether others are shown the veil already: a statement may come to its tokens many times.
fn is_veiled() -> bool {
    // SAFETY: this backend's own entry, or NULL; nobody else writes to it, and the text in it ends with a zero.
    unsafe {
        let entry = pg_sys::MyBEEntry;
        !entry.is_null() && !(*entry).st_activity_raw.is_null() && CStr::from_ptr((*entry).st_activity_raw) == VEIL
    }
}

/// # Safety
/// NULL or a valid C string.
unsafe fn may_tell(text: *const c_char) -> bool {
    // SAFETY: by the contract above.
    !text.is_null() && has_mark(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// The bytes that marks have in one place, in either case.
const fn bytes_of_marks(place: usize) -> [bool; 256] {
    let mut found = [false; 256];
    let mut mark = 0;
    while mark < MARKS.len() {
        found[MARKS[mark][place].to_ascii_lowercase() as usize] = true;
        found[MARKS[mark][place].to_ascii_uppercase() as usize] = true;
        mark += 1;
    }
    found
}

/// With what marks begin: to look for each of them everywhere would take several times as long, for every line of the log.
static FIRST: [bool; 256] = bytes_of_marks(0);
static SECOND: [bool; 256] = bytes_of_marks(1);

fn has_mark(text: &[u8]) -> bool {
    let begins = |rest: &[u8], mark: &[u8]| rest.get(..mark.len()).is_some_and(|part| part.eq_ignore_ascii_case(mark));
    text.windows(2).enumerate().any(|(place, pair)| {
        FIRST[usize::from(pair[0])]
            && SECOND[usize::from(pair[1])]
            && MARKS.iter().any(|mark| begins(&text[place..], mark))
    }) || jwt::is_in(text)
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
        for text in [
            "SET Tenancy.Token = ''",
            "select authenticate($1)",
            "x eyJhbGciOiJub25lIn0",
            "add_jwt_key",
            "select Seal('x')",
            "EYJ",
            "...IMPORT_JWKS",
            "tetenancy.unseal",
        ] {
            assert!(has_mark(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "select 1",
            "set tenancy.tenant_id = 'acme'",
            "select sealed from envelopes",
            "tenancy.toke",
            "seal",
            "ey",
            "e",
        ] {
            assert!(!has_mark(text.as_bytes()), "{text}");
        }
    }
}
