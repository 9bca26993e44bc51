//! PostgreSQL's own settings that a tenant is to have: in force while it is the context, and no longer.
//!
//! They stand in for what the session began with, so that no transaction or savepoint takes them back by itself, RESET leads
//! to them, and what the application sets comes before them.

use super::cache::Tenant;
use super::resolve::{effective_name, find, lasting_name};
use super::settings;
use crate::error::Result;
use crate::guc;
use crate::sys::backend::BackendCell;
use crate::sys::flag::Flag;
use crate::sys::option::{self, Stood};
use crate::sys::{INVALID_OID, Oid, role, session, xact};
use crate::tenant::TenantRef;
use std::cell::RefCell;
use std::ffi::CStr;
use std::rc::Rc;

struct Applied {
    name: &'static CStr,
    value: String,
    before: Stood,
}

thread_local! {
    static APPLIED: RefCell<Vec<Applied>> = const { RefCell::new(Vec::new()) };
    /// Values that were not taken: the log has told of each once.
    static NOT_TAKEN: RefCell<Vec<(&'static CStr, String)>> = const { RefCell::new(Vec::new()) };
    /// Whose settings are applied.
    static OWNER: RefCell<Option<Rc<Tenant>>> = const { RefCell::new(None) };
}

const MAX_NOT_TAKEN: usize = 64;

/// The context, or what it is to have, may be another one than when `before_run` last looked; set by hooks and callbacks,
/// which can do no more.
const PENDING: Flag = Flag::SettingsPending;

/// As whom `before_run` last looked: another role may act for others.
static ROLE: BackendCell<Oid> = BackendCell::new(INVALID_OID);

/// Whether a tenant was set then that could not be acted for; later it may be.
const REFUSED: Flag = Flag::SettingsRefused;

/// Whether anything is applied; apart, because it is asked at the end of each transaction.
const ANY: Flag = Flag::SettingsApplied;

/// Can't fail.
pub fn context_changed() {
    PENDING.set(true);
}

/// Whether `before_run` has anything to do.
pub fn is_pending() -> bool {
    PENDING.get() || is_another_role()
}

/// Whether another role acts than the one that `before_run` last looked for.
pub fn is_another_role() -> bool {
    ROLE.get() != role::outer()
}

/// A statement is about to run: it has the settings of the tenant that is set, if that may be acted for.
pub fn before_run() -> Result<()> {
    // Workers have the leader's, and a leader sets nothing while they run.
    if !is_pending() || xact::in_parallel_mode() {
        return Ok(());
    }
    // What changes while looking makes it pending again.
    PENDING.set(false);
    ROLE.set(role::outer());
    let done = look_and_converge();
    if done.is_err() {
        PENDING.set(true);
    }
    done
}

fn look_and_converge() -> Result<()> {
    // Where nobody has such settings, which is told from memory, no tenant is looked up. A database without the extension
    // has none.
    let (is_named, owner) = match effective_name() {
        Some((name, trust)) if settings::any_postgres().unwrap_or(false) => (true, find(&name, trust).ok()),
        _ => (false, None),
    };
    REFUSED.set(is_named && owner.is_none());
    let wanted = owner.as_ref().map_or(Ok(Vec::new()), |tenant| settings::postgres(tenant.id))?;
    OWNER.set(owner);
    if converge(&wanted) {
        session::restart_statement_timeout();
    }
    Ok(())
}

fn is_not_taken(name: &CStr, value: &str) -> bool {
    NOT_TAKEN.with_borrow(|known| known.iter().any(|(other, refused)| *other == name && refused == value))
}

fn note_not_taken(name: &'static CStr, value: &str) {
    NOT_TAKEN.with_borrow_mut(|known| {
        if known.len() >= MAX_NOT_TAKEN {
            known.clear();
        }
        known.push((name, value.to_owned()));
    });
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
            if applied.iter().any(|one| one.name == *name) || is_not_taken(name, value) {
                continue;
            }
            match option::stand_in(name, value) {
                Some(before) => applied.push(Applied { name, value: value.clone(), before }),
                None => note_not_taken(name, value),
            }
        }
        ANY.set(!applied.is_empty());
    });
    session::statement_timeout() != limit
}

/// The top-level transaction has ended. A context that ends with it, or has been left for none or another one, takes its
/// settings along: the next statement's timeout counts from before `before_run`, and who waits in a transaction, in a session
/// that a pooler has handed on, is not to be limited by them. Can't fail.
pub fn transaction_ended(committed: bool) {
    if ANY.get() {
        let origin = option::origin(if guc::has_token() { guc::TOKEN } else { guc::TENANT_ID });
        let ends = origin.local || origin.stacked && !committed;
        if ends || !lasting_name().is_some_and(|name| is_owner(&name)) {
            converge(&[]);
        }
        PENDING.set(true);
    } else if REFUSED.get() {
        PENDING.set(true);
    }
}

/// Whether this names the tenant whose settings are applied.
fn is_owner(name: &str) -> bool {
    OWNER.with_borrow(|owner| {
        let is = |tenant: &Rc<Tenant>| TenantRef::parse(name).is_ok_and(|name| name.names(tenant.id, &tenant.key));
        owner.as_ref().is_some_and(is)
    })
}
