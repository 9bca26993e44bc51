//! Whom the session acts for, in the lines of the server's log: tenant, user and request, as the last line of the DETAIL.
//!
//! PostgreSQL has no escape of `log_line_prefix` for extensions. Of all parts of a report only `detail_log` goes to the log alone,
//! in every format, and never to the client. What is written there is ASCII where it separates, its values are
//! in quotes and can't contain line breaks. Nothing here can fail: where no memory is left, the line is left out.

use crate::sys::backend::BackendCell;
use crate::sys::flag::Flag;
use pgrx::pg_sys;
use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt::{self, Write};
use std::ptr;
use uuid::Uuid;

/// The longest key, user or request, in characters. What is longer was set before the library could refuse it, and is cut off.
const MAX_CHARS: usize = 255;

/// The same in bytes.
const MAX_TEXT: usize = MAX_CHARS * 4;

/// Four of these, with every character escaped, and what is between them.
const MAX_LINE: usize = 4 * MAX_CHARS * 8 + 256;

const WANTED: Flag = Flag::SubjectsLogged;

/// What a setting says, as its assign hook was told last. PostgreSQL keeps the string as long as that is so. To look the setting
/// up with each line would cost more than all the rest.
pub struct Setting(BackendCell<*const c_char>);

pub static TENANT: Setting = Setting::new();
pub static USER: Setting = Setting::new();
static REQUEST: Setting = Setting::new();

impl Setting {
    const fn new() -> Self {
        Self(BackendCell::new(ptr::null()))
    }

    /// For the setting's assign hook. Can't fail.
    ///
    /// # Safety
    /// `value` is what the hook gets: a C string that is in force until the hook is called again, or NULL.
    pub unsafe fn becomes(&self, value: *const c_char) {
        self.0.set(value);
        changed();
    }

    /// Empty where there is none.
    pub fn text(&self) -> &'static CStr {
        let value = self.0.get();
        // SAFETY: by the contract of `becomes`; what is returned is used before anything can be set.
        if value.is_null() { c"" } else { unsafe { CStr::from_ptr(value) } }
    }

    fn get(&self) -> &'static [u8] {
        self.text().to_bytes()
    }
}

/// What was known of the transaction that last used a tenant, and room for a line about it.
struct Subject {
    known: UnsafeCell<Known>,
    line: UnsafeCell<Line>,
}

struct Known {
    id: Uuid,
    key: Text,
    /// Whom a token or the request names, or the transaction ended with. Nothing while the setting names the user.
    user: Text,
    /// What the transaction ended with. Nothing while the setting tells.
    request: Text,
}

/// A text of limited length, or none, in memory that can't be missing.
struct Text {
    bytes: [u8; MAX_TEXT],
    length: Option<usize>,
}

impl Text {
    const fn none() -> Self {
        Self { bytes: [0; MAX_TEXT], length: None }
    }

    fn set(&mut self, text: Option<&[u8]>) {
        self.length = text.map(|text| {
            let length = text.len().min(MAX_TEXT);
            if let (Some(place), Some(text)) = (self.bytes.get_mut(..length), text.get(..length)) {
                place.copy_from_slice(text);
            }
            length
        });
    }

    fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.length?)
    }
}

// SAFETY: as for `BackendCell`; no reference is kept beyond a call, and none of the calls below calls another.
unsafe impl Sync for Subject {}

static SUBJECT: Subject = Subject {
    known: UnsafeCell::new(Known { id: Uuid::nil(), key: Text::none(), user: Text::none(), request: Text::none() }),
    line: UnsafeCell::new(Line { text: [0; MAX_LINE], length: 0 }),
};

/// The transaction uses the tenant that is known.
static IN_FORCE: BackendCell<bool> = BackendCell::new(false);

/// This parallel worker has looked for it.
static SOUGHT: BackendCell<bool> = BackendCell::new(false);

/// The line is about the tenant in force, and nothing of what it tells has changed since.
static WRITTEN: BackendCell<bool> = BackendCell::new(false);

/// The transaction that ended last had used it.
static WAS_IN_FORCE: BackendCell<bool> = BackendCell::new(false);

/// The client's message with which that transaction ended: its duration is logged afterwards.
static ENDED_WITH: BackendCell<i64> = BackendCell::new(0);

/// PostgreSQL's own functions, past pgrx's guard: they can't fail so.
mod raw {
    use super::*;
    unsafe extern "C-unwind" {
        #[link_name = "GetCurrentStatementStartTimestamp"]
        pub fn message_time() -> i64;
        #[link_name = "IsTransactionState"]
        pub fn is_in_transaction() -> bool;
        #[link_name = "IsAbortedTransactionBlockState"]
        pub fn is_in_failed_block() -> bool;
        #[link_name = "GetCurrentTransactionNestLevel"]
        pub fn nest_level() -> c_int;
        #[link_name = "MemoryContextAllocExtended"]
        pub fn allocate(context: pg_sys::MemoryContext, size: usize, flags: i32) -> *mut c_void;
    }
}

/// The setting's assign hook.
///
/// # Safety
/// For PostgreSQL alone.
pub unsafe extern "C-unwind" fn wanted(wanted: bool, _extra: *mut c_void) {
    WANTED.set(wanted);
}

/// Whether lines of the log are to tell it.
#[inline]
pub fn is_wanted() -> bool {
    WANTED.get()
}

/// Something that lines tell is another one now. Can't fail.
pub fn changed() {
    WRITTEN.set(false);
}

/// The assign hook of the request, which matters to nothing else.
///
/// # Safety
/// For PostgreSQL alone.
pub unsafe extern "C-unwind" fn request_changed(value: *const c_char, _extra: *mut c_void) {
    // SAFETY: what such a hook gets.
    unsafe { REQUEST.becomes(value) };
}

/// Whether a parallel worker, which begins without knowing what its leader does, is to look for whom its lines are about: once.
#[inline]
pub fn is_to_be_found() -> bool {
    WANTED.get() && !IN_FORCE.get() && !SOUGHT.replace(true)
}

/// The transaction uses this tenant; `user` is whom the token or the request names, if one is in force. Can't fail.
pub fn is_used(id: Uuid, key: &str, user: Option<Option<&str>>) {
    // SAFETY: see `Subject`.
    let known = unsafe { &mut *SUBJECT.known.get() };
    known.id = id;
    known.key.set(Some(key.as_bytes()));
    known.user.set(user.map(|user| user.unwrap_or_default().as_bytes()));
    known.request.set(None);
    IN_FORCE.set(true);
    changed();
}

/// The top-level transaction has ended; before settings go back to what they were without it. Can't fail.
pub fn transaction_ended(committed: bool) {
    changed();
    let was_in_force = IN_FORCE.replace(false);
    WAS_IN_FORCE.set(was_in_force);
    if was_in_force {
        // SAFETY: reads a variable of this backend.
        ENDED_WITH.set(unsafe { raw::message_time() });
        if !committed || are_durations_logged() {
            remember();
        }
    }
}

/// Whether a line may follow when a transaction was committed.
fn are_durations_logged() -> bool {
    // SAFETY: reads settings.
    unsafe {
        pg_sys::log_duration
            || pg_sys::log_min_duration_statement >= 0
            || pg_sys::log_min_duration_sample >= 0
            || pg_sys::log_xact_sample_rate > 0.0
    }
}

/// Keeps whom the transaction acted for until its last line is written.
#[cold]
fn remember() {
    // SAFETY: see `Subject`.
    let known = unsafe { &mut *SUBJECT.known.get() };
    if known.user.get().is_none() {
        known.user.set(Some(named_user()));
    }
    known.request.set(Some(REQUEST.get()));
}

/// A text of limited length that is put together without asking for memory.
struct Line {
    text: [u8; MAX_LINE],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.length + part.len();
        let place = self.text.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(part.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// A value in quotes, with everything escaped that ends it, or can't be seen, or changes how others look.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let mut left = MAX_CHARS;
        for chunk in self.0.utf8_chunks() {
            // Nearly always.
            if chunk.valid().len() <= left && chunk.valid().bytes().all(is_plain) {
                left -= chunk.valid().len();
                f.write_str(chunk.valid())?;
            } else {
                left = write_escaped(f, chunk.valid(), left)?;
            }
            for byte in chunk.invalid().iter().take(left) {
                left -= 1;
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_char('"')
    }
}

/// What stands for itself, and is one character.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// Writes no more than so many characters, and returns how many are left.
fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str, mut left: usize) -> Result<usize, fmt::Error> {
    for c in text.chars().take(left) {
        left -= 1;
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            c if is_unfit(c) => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    Ok(left)
}

fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || u32::from(c) >= 0xe_0000
}

/// What is to be told. Without a tenant that may be acted for, the one that is merely set is told as such.
#[derive(Clone, Copy, Default)]
struct Parts<'a> {
    tenant: Option<(&'a [u8], Uuid)>,
    named: &'a [u8],
    user: &'a [u8],
    request: &'a [u8],
}

impl Parts<'_> {
    fn is_empty(&self) -> bool {
        self.tenant.is_none() && self.named.is_empty() && self.user.is_empty() && self.request.is_empty()
    }
}

impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tenant {
            Some((key, id)) => write!(f, "tenant={} tenant_id={id}", Quoted(key))?,
            None if self.named.is_empty() => f.write_str("tenant=none")?,
            None => write!(f, "tenant=none named={}", Quoted(self.named))?,
        }
        for (name, value) in [("user", self.user), ("request", self.request)] {
            if !value.is_empty() {
                write!(f, " {name}={}", Quoted(value))?;
            }
        }
        Ok(())
    }
}

/// Whom the setting names, which counts for nothing next to a token.
fn named_user() -> &'static [u8] {
    if Flag::TokenSet.get() { &[] } else { USER.get() }
}

/// Whether lines are still about the transaction that has ended: as long as its message is being answered and nothing else has begun,
/// or the client has not ended the block that failed. With a savepoint's failure the transaction goes on.
fn is_not_over() -> bool {
    // SAFETY: reads variables of this backend.
    unsafe {
        raw::is_in_failed_block() && raw::nest_level() <= 1
            || ENDED_WITH.get() == raw::message_time()
                && !pg_sys::debug_query_string.is_null()
                && !raw::is_in_transaction()
    }
}

/// What is to be told now.
fn parts() -> Parts<'static> {
    // SAFETY: see `Subject`; what is returned is used before anything can change.
    let known = unsafe { &*SUBJECT.known.get() };
    let known = Some(known).filter(|_| IN_FORCE.get() || WAS_IN_FORCE.get() && is_not_over());
    Parts {
        tenant: known.map(|known| (known.key.get().unwrap_or_default(), known.id)),
        named: if known.is_some() || Flag::TokenSet.get() { &[] } else { TENANT.get() },
        user: known.and_then(|known| known.user.get()).unwrap_or_else(named_user),
        request: known.and_then(|known| known.request.get()).unwrap_or_else(|| REQUEST.get()),
    }
}

/// Adds it to a report that is about to be written.
///
/// # Safety
/// For the hook that PostgreSQL calls with such a report, whose own memory is the current one.
pub unsafe fn add_to(report: *mut pg_sys::ErrorData) {
    // SAFETY: by the contract above: texts are C strings or NULL. What is asked for here is given free with the report.
    unsafe {
        if !WANTED.get() || pg_sys::MyDatabaseId == pg_sys::InvalidOid {
            return;
        }
        let before = if (*report).detail_log.is_null() { (*report).detail } else { (*report).detail_log };
        // See `Subject`.
        let line = &mut *SUBJECT.line.get();
        if !WRITTEN.get() {
            let parts = parts();
            // Where there is a detail, its last line is to be ours: nobody's data can stand in for it.
            if parts.is_empty() && before.is_null() {
                return;
            }
            line.length = 0;
            if write!(line, "{parts}").is_err() {
                return;
            }
            WRITTEN.set(IN_FORCE.get());
        }
        let before = if before.is_null() { &[] } else { CStr::from_ptr(before).to_bytes() };
        let size = before.len() + 1 + line.length + 1;
        let place = raw::allocate(pg_sys::CurrentMemoryContext, size, pg_sys::MCXT_ALLOC_NO_OOM as i32).cast::<u8>();
        if place.is_null() {
            return;
        }
        let mut end = place;
        if !before.is_empty() {
            ptr::copy_nonoverlapping(before.as_ptr(), end, before.len());
            end = end.add(before.len());
            end.write(b'\n');
            end = end.add(1);
        }
        ptr::copy_nonoverlapping(line.text.as_ptr(), end, line.length);
        end.add(line.length).write(0);
        (*report).detail_log = place.cast();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        Quoted(text.as_bytes()).to_string()
    }

    #[test]
    fn a_value_ends_where_its_quotes_do() {
        assert_eq!(shown("acme"), r#""acme""#);
        assert_eq!(shown("a\" tenant=\"globex"), r#""a\" tenant=\"globex""#);
        assert_eq!(shown("a\nb\u{2028}\u{202e}\\"), r#""a\u000ab\u2028\u202e\\""#);
        assert_eq!(Quoted(b"a\xff").to_string(), r#""a\xff""#);
    }

    #[test]
    fn what_is_merely_set_is_told_as_such() {
        let id = Uuid::from_u128(1);
        let parts = Parts { tenant: Some((b"acme", id)), user: b"u", request: b"r", named: b"" };
        assert_eq!(
            parts.to_string(),
            r#"tenant="acme" tenant_id=00000000-0000-0000-0000-000000000001 user="u" request="r""#
        );
        let parts = Parts { named: b"globex", ..Parts::default() };
        assert_eq!(shown(&"x".repeat(1000)).len(), MAX_CHARS + 2);
        assert_eq!(parts.to_string(), r#"tenant=none named="globex""#);
        assert_eq!(Parts::default().to_string(), "tenant=none");
    }

    proptest! {
        #[test]
        fn every_line_fits_and_is_one(texts in prop::array::uniform4("\\PC{0,255}|[\\x01-\\x1f\\u{e0000}-\\u{e007f}]{0,255}")) {
            let [key, named, user, request] = texts.each_ref().map(|text| text.as_bytes());
            for tenant in [Some((key, Uuid::nil())), None] {
                let mut line = Line { text: [0; MAX_LINE], length: 0 };
                let fits = write!(line, "{}", Parts { tenant, named, user, request }).is_ok();
                prop_assert!(fits);
                prop_assert!(!line.text[..line.length].iter().any(u8::is_ascii_control));
            }
        }
    }
}
