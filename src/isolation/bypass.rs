//! Roles that row security does not bind: they may say why they read across tenants, and what they do
//! without saying so is noted or refused.

use super::unwritten;
use crate::catalog::event::{self, Record};
use crate::error::{Error, Result};
use crate::guc::{self, OnBypass};
use crate::sys::backend::{BackendCell, Raised};
use crate::sys::flag::Unsettled;
use crate::sys::{INVALID_OID, Oid, relation, report, role, session};
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How often the same is noted in one session.
const INTERVAL: Duration = Duration::from_secs(60);

/// How many different notes a session keeps in mind.
const LIMIT: usize = 100;

/// The longest reason, in characters.
const MAX_REASON: usize = 1000;

/// The role that declared a reason in this transaction.
static DECLARED: Unsettled<Oid> = Unsettled::new(INVALID_OID);

/// True while statements run of which nothing is to be left.
static UNRECORDED: BackendCell<bool> = BackendCell::new(false);

/// Notes nothing until what is returned is dropped; what is refused is refused all the same.
pub fn leave_unrecorded() -> Raised<'static> {
    UNRECORDED.raised()
}

/// Why a bypass needs no further reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Declared {
    /// By `tenancy.bypass()`, which has recorded it.
    ByReason,
    /// By what the session is; this names it.
    BySession(&'static str),
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pass,
    Note,
    Refuse,
}

fn verdict(mode: OnBypass, declared: Declared) -> Verdict {
    match (mode, declared) {
        (OnBypass::Allow, _) | (_, Declared::ByReason) => Verdict::Pass,
        (_, Declared::BySession(_)) | (OnBypass::Log, Declared::No) => Verdict::Note,
        (OnBypass::Error, Declared::No) => Verdict::Refuse,
    }
}

/// Declares for this transaction why the current user, and whoever acts for it, reads across tenants.
///
/// # Errors
/// 22023 unusable reason, 42501 for a role that row security binds, 55000 when it can't be recorded.
pub fn declare(reason: &str) -> Result<()> {
    check_reason(reason)?;
    let user = role::current();
    if !role::bypasses(user) {
        return Err(Error::NothingToBypass(role::name(user)));
    }
    let record = record("bypass.declared", user, None, Some(reason));
    if is_due(&record) {
        report::log(line("declared", &record));
        if event::outlasts() && !event::record_and_wait(&record) {
            forget(&record);
            return Err(Error::NotRecorded);
        }
    }
    DECLARED.set(user);
    REASON.set(Some(reason.to_owned()));
    Ok(())
}

/// The reason for which a role that row security does not bind changes rows now, if it was declared.
pub fn declared_reason(user: Oid) -> Option<String> {
    match declared(user) {
        Declared::ByReason => REASON.with_borrow(Clone::clone),
        Declared::BySession(why) => Some(why.to_owned()),
        Declared::No => None,
    }
}

fn check_reason(reason: &str) -> Result<()> {
    let wrong = if reason.trim().is_empty() {
        "it must say something"
    } else if reason.chars().any(char::is_control) {
        "it must not contain control characters"
    } else if reason.chars().count() > MAX_REASON {
        "it has at most 1000 characters"
    } else {
        return Ok(());
    };
    Err(Error::InvalidArgument { what: "reason", reason: wrong.into() })
}

/// A protected table is touched with the privileges of `user`, whom row security does not bind.
///
/// # Errors
/// 42501 when that takes a reason.
pub fn check(table: Oid, user: Oid) -> Result<()> {
    let declared = declared(user);
    let verdict = verdict(guc::on_bypass(), declared);
    if verdict == Verdict::Pass {
        return Ok(());
    }
    let (event, why) = match (verdict, declared) {
        (Verdict::Refuse, _) => ("bypass.refused", None),
        // One note for all tables: a dump reads every one of them.
        (_, Declared::BySession(why)) => ("bypass.declared", Some(why)),
        _ => ("bypass.undeclared", None),
    };
    let table_name = || relation::name(table).unwrap_or_else(|| table.to_u32().to_string());
    let object = why.is_none().then(table_name);
    let record = record(event, user, object, why);
    if !UNRECORDED.get() && is_due(&record) {
        report::log(line(event.trim_start_matches("bypass."), &record));
        if event::outlasts() {
            unwritten::add(record);
        }
    }
    match verdict {
        Verdict::Refuse => Err(Error::Bypass { relation: table_name(), role: role::name(user) }),
        _ => Ok(()),
    }
}

/// Whether a reason was given that covers the user.
pub fn is_declared(user: Oid) -> bool {
    matches!(declared(user), Declared::ByReason)
}

fn declared(user: Oid) -> Declared {
    let by = DECLARED.get();
    // What the outer role declared covers the views and functions that it uses. What one of those
    // declared covers what has the same owner alone.
    if by != INVALID_OID && (by == user || by == role::outer()) {
        Declared::ByReason
    } else if session::has_row_security_off() {
        Declared::BySession("row_security = off")
    } else if session::is_replication() {
        Declared::BySession("replication connection")
    } else {
        Declared::No
    }
}

/// The transaction has ended, and what was declared for it.
pub fn transaction_ended(_committed: bool) {
    if DECLARED.reset(INVALID_OID) != INVALID_OID {
        REASON.set(None);
    }
}

fn record(event: &'static str, user: Oid, object: Option<String>, reason: Option<&str>) -> Record {
    let here = session::current();
    Record {
        event: event.into(),
        object,
        role_name: role::name(user),
        session_role: role::name(role::session()),
        user_id: guc::user_id(),
        request_id: guc::request_id(),
        reason: reason.map(Into::into),
        database: here.database,
        application: here.application,
        process: here.process,
    }
}

fn line(what: &str, record: &Record) -> String {
    format!(
        "bypass of row security ({what}): role \"{}\" (session \"{}\"), relation {}, database \"{}\", application \"{}\", reason: {}",
        record.role_name,
        record.session_role,
        record.object.as_deref().unwrap_or("any"),
        record.database,
        record.application,
        record.reason.as_deref().unwrap_or("none"),
    )
}

/// What was noted last, and when.
type Noted = HashMap<(String, Option<String>, String, Option<String>), Instant>;

thread_local! {
    static NOTED: RefCell<Noted> = RefCell::default();
    /// What was declared in this transaction.
    static REASON: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn key(record: &Record) -> (String, Option<String>, String, Option<String>) {
    (record.event.clone(), record.object.clone(), record.role_name.clone(), record.reason.clone())
}

/// Whether this is to be noted now. Then it counts as noted.
fn is_due(record: &Record) -> bool {
    NOTED.with_borrow_mut(|noted| {
        let now = Instant::now();
        noted.retain(|_, at| now.duration_since(*at) < INTERVAL);
        if noted.contains_key(&key(record)) {
            return false;
        }
        // What is too much is noted again, rather than not at all: nobody hides in a flood.
        if noted.len() >= LIMIT {
            noted.clear();
        }
        noted.insert(key(record), now);
        true
    })
}

/// It could not be recorded after all, and is due again.
fn forget(record: &Record) {
    NOTED.with_borrow_mut(|noted| noted.remove(&key(record)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_error_mode_refuses_and_only_what_is_not_declared() {
        let session = Declared::BySession("row_security = off");
        assert_eq!(verdict(OnBypass::Error, Declared::No), Verdict::Refuse);
        assert_eq!(verdict(OnBypass::Error, session), Verdict::Note);
        assert_eq!(verdict(OnBypass::Error, Declared::ByReason), Verdict::Pass);
        assert_eq!(verdict(OnBypass::Log, Declared::No), Verdict::Note);
        assert_eq!(verdict(OnBypass::Log, session), Verdict::Note);
        for declared in [Declared::No, session, Declared::ByReason] {
            assert_eq!(verdict(OnBypass::Allow, declared), Verdict::Pass);
        }
    }

    #[test]
    fn a_reason_says_something_in_one_line() {
        assert!(check_reason("monthly invoices").is_ok());
        for reason in ["", "  ", "a\nb", &"x".repeat(1001)] {
            assert!(check_reason(reason).is_err(), "{reason:?}");
        }
    }
}
