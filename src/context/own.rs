//! PostgreSQL's own settings that a tenant is to have: in force while it is the context, and no longer.
//!
//! They stand in for what the session began with, so that no transaction or savepoint takes them back by itself, RESET leads
//! to them, and what the application sets comes before them.

use super::resolve::{effective_name, find};
use super::settings;
use crate::error::Result;
use crate::guc;
use crate::sys::backend::BackendCell;
use crate::sys::option::{self, Stood};
use crate::sys::{session, xact};
use std::cell::RefCell;
use std::ffi::CStr;

struct Applied {
    name: &'static CStr,
    value: String,
    before: Stood,
}

thread_local! {
    static APPLIED: RefCell<Vec<Applied>> = const { RefCell::new(Vec::new()) };
}

/// The context, or what it is to have, may be another one than when `before_run` last looked; set by hooks and callbacks,
/// which can do no more.
static PENDING: BackendCell<bool> = BackendCell::new(false);

/// Whether anything is applied; apart, because it is asked at the end of each transaction.
static ANY: BackendCell<bool> = BackendCell::new(false);

/// Can't fail.
pub fn context_changed() {
    PENDING.set(true);
}

/// Whether `before_run` has anything to do.
pub fn is_pending() -> bool {
    PENDING.get()
}

/// A statement is about to run: it has the settings of the tenant that is set, if that may be acted for.
pub fn before_run() -> Result<()> {
    // Workers have the leader's, and a leader sets nothing while they run.
    if !PENDING.get() || xact::in_parallel_mode() {
        return Ok(());
    }
    // Where nobody has such settings, which is told from memory, no tenant is looked up. A database without the extension
    // has none.
    let wanted = match effective_name() {
        Some((name, trust)) if settings::any_postgres().unwrap_or(false) => match find(&name, trust) {
            Some(tenant) => settings::postgres(tenant.id)?,
            None => Vec::new(),
        },
        _ => Vec::new(),
    };
    PENDING.set(false);
    if converge(&wanted) {
        session::restart_statement_timeout();
    }
    Ok(())
}

/// Returns whether the limit for statements is another one now. Can't fail.
fn converge(wanted: &[(&'static CStr, String)]) -> bool {
    if wanted.is_empty() && !ANY.get() {
        return false;
    }
    let limit = session::statement_timeout();
    APPLIED.with_borrow_mut(|applied| {
        applied.retain(|one| {
            let stays = wanted.iter().any(|(name, value)| *name == one.name && *value == one.value);
            if !stays {
                option::stand_down(one.name, &one.before);
            }
            stays
        });
        for (name, value) in wanted {
            if applied.iter().all(|one| one.name != *name)
                && let Some(before) = option::stand_in(name, value)
            {
                applied.push(Applied { name, value: value.clone(), before });
            }
        }
        ANY.set(!applied.is_empty());
    });
    session::statement_timeout() != limit
}

/// The top-level transaction has ended. A context that ends with it takes its settings along: the next statement's
/// timeout counts from before `before_run`. Can't fail.
pub fn transaction_ended(committed: bool) {
    if !ANY.get() {
        return;
    }
    let origin = option::origin(guc::TENANT_ID);
    if origin.local || origin.stacked && !committed {
        converge(&[]);
    }
    PENDING.set(true);
}
