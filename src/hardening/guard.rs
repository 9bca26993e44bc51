//! The statement guard: finds out whether the session is watched, and refuses what `rules` say.
//!
//! Watched are the session's user and the role it acts as, each by its own profile or that of a role it inherits
//! from; SET ROLE leads neither in nor out of it unseen. Code that runs as somebody else by SECURITY DEFINER was
//! reviewed, and is as watched as he is.

use super::profile::Profile;
use super::rules::{self, Strict};
use crate::catalog::hardening;
use crate::error::Result;
use crate::guc;
use crate::sys::backend::BackendCell;
use crate::sys::statement::Statement;
use crate::sys::{INVALID_OID, Oid, hooks, invalidation, role};
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    /// Whether each role that was asked for is strict.
    static KNOWN: RefCell<HashMap<Oid, bool>> = RefCell::default();
}

/// Set by invalidation callbacks, which may do no more.
static STALE: BackendCell<bool> = BackendCell::new(false);

/// Puts the guard up. Called once per backend, when the library loads.
pub fn init() {
    invalidation::on_relation(|relation| {
        if relation == INVALID_OID || hardening::is_record(relation) {
            STALE.set(true);
        }
    });
    invalidation::on_role(|| STALE.set(true));
    hooks::guard_statements(check_statement);
    hooks::guard_functions(rules::is_watched, check_function);
}

fn check_statement(statement: &Statement) -> Result<()> {
    match strict().and_then(|strict| rules::refused(statement, strict)) {
        Some(refusal) => Err(refusal),
        None => Ok(()),
    }
}

fn check_function(function: Oid) -> Result<()> {
    match rules::refused_function(function).filter(|_| strict().is_some()) {
        Some(refusal) => Err(refusal),
        None => Ok(()),
    }
}

/// How the session is watched; `None` when it isn't.
fn strict() -> Option<Strict> {
    // A function of one's own lends nothing.
    let current = role::current();
    if role::is_changed_locally() && current != role::session() && current != role::outer() {
        return is_strict(current).then_some(Strict { user: true, login: true });
    }
    // A superuser who chose the profile for a database, say, must be able to take it back.
    let by_setting = |role| guc::profile() == guc::Profile::Strict && !role::is_superuser(role);
    let is_watched = |role| by_setting(role) || is_strict(role);
    let user = is_watched(role::session());
    (user || is_strict(role::outer())).then(|| Strict { user, login: is_watched(role::login()) })
}

fn is_strict(role: Oid) -> bool {
    invalidation::accept();
    // A change may arrive while the catalogs are being read, and is announced only once.
    loop {
        if STALE.replace(false) {
            KNOWN.with_borrow_mut(HashMap::clear);
        }
        if let Some(known) = KNOWN.with_borrow(|known| known.get(&role).copied()) {
            return known;
        }
        let strict = hardening::has_profile(role, Profile::Strict.as_str());
        if !STALE.get() {
            KNOWN.with_borrow_mut(|known| known.insert(role, strict));
            return strict;
        }
    }
}
