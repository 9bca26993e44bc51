//! Cursors, and other queries whose rows are taken in pieces: what they have read of a tenant is for that tenant alone,
//! whatever is set when the next rows are asked for, and for nobody once the tenant is suspended, or one below it whose rows
//! they may have read is below it no more.

use super::cache::Tenant;
use super::leftovers::Remedy;
use super::resolve::{admit, check_token, effective_name};
use super::{hot, visible};
use crate::error::{Error, Lifecycle, Result};
use crate::guc;
use crate::sys::flag::Flag;
use crate::sys::portal::{self, Piece, Query};
use crate::sys::{invalidation, role, xact};
use crate::tenant::{TenantKey, TenantRef};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use uuid::Uuid;

#[derive(Clone)]
struct Owner {
    id: Uuid,
    key: TenantKey,
}

/// What is known of a portal's query.
#[derive(Default)]
struct Cursor {
    /// The name of the tenant in force when it was opened; kept only where a transaction may have several.
    opened_for: Option<String>,
    /// The tenant for which it has read.
    read_for: Option<Owner>,
    /// What was visible when it first asked for that, as `visible::epoch` tells it.
    epoch: Option<u64>,
    holdable: Option<CString>,
}

/// A portal's query that is running.
struct Run {
    query: Query,
    /// The level of savepoints at which it began: an error takes it away with them.
    level: i32,
    began_for: Option<String>,
}

/// A cursor that holds the rows of a transaction that has ended, sealed against being read otherwise than by FETCH.
struct Held {
    name: CString,
    owner: Owner,
    epoch: Option<u64>,
    /// It is being read; or was, and failed.
    is_running: bool,
}

#[derive(Default)]
struct State {
    cursors: HashMap<Query, Cursor>,
    runs: Vec<Run>,
    held: Vec<Held>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// A query is running that doesn't know yet for whom it reads; asked where a policy reads the context.
const UNNOTED: Flag = Flag::PortalUnnoted;

/// Whether something is known of any portal; apart, because it is asked before each statement.
const KNOWN: Flag = Flag::PortalKnown;

/// A sealed cursor has been opened for being read.
const UNSEALED: Flag = Flag::CursorUnsealed;

/// Whether `note` is wanted.
pub fn wants_note() -> bool {
    UNNOTED.get()
}

/// The context has changed, and with it for whom the running queries read on. Can't fail.
pub fn context_changed() {
    if KNOWN.get() {
        UNNOTED.set(true);
    }
}

/// A portal is being opened for the query.
pub fn opens(query: Query) -> Result<()> {
    let opened_for = if guc::allow_switch() { effective_name().map(|(name, _)| name) } else { None };
    STATE.with_borrow_mut(|state| {
        // What another query left at the same address is forgotten.
        state.cursors.remove(&query);
        if opened_for.is_some() {
            state.cursors.insert(query, Cursor { opened_for, ..Cursor::default() });
            KNOWN.set(true);
        }
    });
    Ok(())
}

/// A portal's query is about to run.
pub fn begins(piece: Piece) -> Result<()> {
    let read_for = STATE.with_borrow(|state| {
        let cursor = state.cursors.get(&piece.query)?;
        Some((cursor.read_for.clone()?, cursor.epoch))
    });
    if let Some((owner, epoch)) = read_for {
        check(&owner, epoch)?;
    }
    let began_for = effective_name().map(|(name, _)| name);
    STATE.with_borrow_mut(|state| {
        if piece.holdable.is_some() {
            state.cursors.entry(piece.query).or_default().holdable = piece.holdable;
        }
        state.runs.push(Run { query: piece.query, level: xact::nest_level(), began_for });
    });
    KNOWN.set(true);
    UNNOTED.set(true);
    hot::close_fast_path();
    Ok(())
}

/// The query has run.
pub fn ended(query: Query) {
    STATE.with_borrow_mut(|state| {
        if let Some(place) = state.runs.iter().rposition(|run| run.query == query) {
            state.runs.truncate(place);
        }
    });
}

/// What runs reads for this tenant, or for none. A query that was begun for another one is left alone: a function in it
/// sets the tenant, and answers for what it returns.
pub fn note(tenant: Option<&Tenant>) -> Result<()> {
    UNNOTED.set(false);
    STATE.with_borrow_mut(|state| {
        let State { cursors, runs, .. } = state;
        for run in runs.iter() {
            if !names(run.began_for.as_deref(), tenant) {
                continue;
            }
            let opened_for = cursors.get(&run.query).and_then(|cursor| cursor.opened_for.as_deref());
            if opened_for.is_some() && !names(opened_for, tenant) {
                return Err(Error::CursorOfOtherTenant);
            }
            if let Some(tenant) = tenant {
                let owner = Owner { id: tenant.id, key: tenant.key.clone() };
                cursors.entry(run.query).or_default().read_for = Some(owner);
            }
        }
        Ok(())
    })
}

/// What runs, and reads for this tenant, has asked what is visible.
pub fn note_epoch(tenant: Uuid, epoch: u64) {
    STATE.with_borrow_mut(|state| {
        let State { cursors, runs, .. } = state;
        for run in runs.iter() {
            if let Some(cursor) = cursors.get_mut(&run.query)
                && cursor.read_for.as_ref().is_some_and(|owner| owner.id == tenant)
            {
                cursor.epoch.get_or_insert(epoch);
            }
        }
    });
}

/// Whether that is the tenant's name, or no name where there is no tenant.
fn names(name: Option<&str>, tenant: Option<&Tenant>) -> bool {
    match (name, tenant) {
        (Some(name), Some(tenant)) => {
            TenantRef::parse(name).is_ok_and(|reference| reference.names(tenant.id, &tenant.key))
        }
        (name, tenant) => name.is_none() && tenant.is_none(),
    }
}

/// Refuses what was read for the owner to anybody else, and to him when he may not be acted for any more, or could not read
/// all of it any more.
fn check(owner: &Owner, epoch: Option<u64>) -> Result<()> {
    let (name, trust) = effective_name().ok_or(Error::CursorOfOtherTenant)?;
    check_token(trust)?;
    if !TenantRef::parse(&name)?.names(owner.id, &owner.key) {
        return Err(Error::CursorOfOtherTenant);
    }
    invalidation::accept();
    // The name may have passed to another tenant.
    if admit(role::outer(), &name, trust, Remedy::None)?.id != owner.id {
        return Err(Error::CursorOfOtherTenant);
    }
    match epoch {
        Some(epoch) if visible::epoch(owner.id)? != epoch => Err(Lifecycle::CursorOfOtherTree.into()),
        _ => Ok(()),
    }
}

/// Whether a sealed cursor may be read, since its owner is in force. PostgreSQL refuses one that has failed meanwhile.
pub fn may_fetch_held(name: &CStr) -> Result<bool> {
    let find = |state: &State| {
        let held = state.held.iter().find(|held| held.name.as_c_str() == name && !held.is_running)?;
        Some((held.owner.clone(), held.epoch))
    };
    let Some((owner, epoch)) = STATE.with_borrow(find) else { return Ok(false) };
    check(&owner, epoch)?;
    set_running(name, true);
    UNSEALED.set(true);
    Ok(true)
}

/// A sealed cursor has been read.
pub fn fetched_held(name: &CStr) {
    set_running(name, false);
    portal::seal(name);
}

fn set_running(name: &CStr, is_running: bool) {
    STATE.with_borrow_mut(|state| {
        if let Some(held) = state.held.iter_mut().find(|held| held.name.as_c_str() == name) {
            held.is_running = is_running;
        }
    });
}

/// An error came between opening a sealed cursor and reading it, or while it was read: what can still be read is sealed
/// again. Can't fail.
fn seal_again() {
    if UNSEALED.replace(false) {
        STATE.with_borrow_mut(|state| {
            for held in state.held.iter_mut().filter(|held| held.is_running) {
                if portal::seal(&held.name) {
                    held.is_running = false;
                }
            }
        });
    }
}

/// The top-level transaction has ended. Can't fail.
pub fn transaction_ended(committed: bool) {
    seal_again();
    UNNOTED.set(false);
    if !KNOWN.replace(false) {
        return;
    }
    STATE.with_borrow_mut(|state| {
        state.runs.clear();
        state.held.retain(|held| portal::is_sealed(&held.name));
        for cursor in std::mem::take(&mut state.cursors).into_values() {
            if let (true, Some(name), Some(owner)) = (committed, cursor.holdable, cursor.read_for)
                && portal::seal(&name)
            {
                state.held.push(Held { name, owner, epoch: cursor.epoch, is_running: false });
            }
        }
    });
}

/// A savepoint was rolled back, with what ran in it. Can't fail.
pub fn savepoint_rolled_back() {
    seal_again();
    if KNOWN.get() {
        let level = xact::nest_level();
        STATE.with_borrow_mut(|state| state.runs.retain(|run| run.level < level));
    }
}
