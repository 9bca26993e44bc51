//! Counting what clients send: a statement counts for the tenant that it begins under, and for each one that it comes to use
//! before it ends.

use crate::error::Result;
use crate::sys::backend::BackendCell;
use crate::sys::flag::Flag;
use crate::sys::xact;
use pgrx::pg_sys;
use std::cell::RefCell;
use uuid::Uuid;

/// Who counts.
#[derive(Clone, Copy)]
struct Counter {
    acting: fn() -> Result<Option<Uuid>>,
    take: fn(Uuid) -> Result<()>,
}

static COUNTER: BackendCell<Counter> = BackendCell::new(Counter { acting: || Ok(None), take: |_| Ok(()) });

/// While `Flag::StatementsCounted` is up, has `take` called for each statement that a client sends: before it
/// begins, for the tenant that `acting` tells, and before it uses another one. Not counted is what functions and triggers
/// run, nor are those that begin and end transactions, settings, and what cleans up.
pub fn watch(acting: fn() -> Result<Option<Uuid>>, take: fn(Uuid) -> Result<()>) {
    COUNTER.set(Counter { acting, take });
}

/// A statement that a client has sent is running, and what is started meanwhile is a part of it.
const RUNNING: Flag = Flag::StatementRunning;

/// Whom the statement that runs, or ran last, has counted for.
static COUNTED: BackendCell<Option<Uuid>> = BackendCell::new(None);

/// Counts changes of the context.
static CHANGES: BackendCell<u64> = BackendCell::new(0);

/// When the client sent the message for which something ran last without a portal.
static MESSAGE: BackendCell<i64> = BackendCell::new(0);

/// A portal's query, which may be run long after it was started, and in pieces.
struct Started {
    query: usize,
    counted: Option<Uuid>,
    changes: u64,
}

/// Queries kept in mind. Of more that a transaction has started, the first are taken for new ones when they are run.
const CAPACITY: usize = 32;

/// Whether any is kept; apart, because it is asked at the end of each transaction.
const ANY: Flag = Flag::StatementKnown;

thread_local! {
    static STARTED: RefCell<Vec<Started>> = const { RefCell::new(Vec::new()) };
}

/// PostgreSQL's own functions, past pgrx's guard: they can't fail.
mod raw {
    use super::*;
    unsafe extern "C-unwind" {
        #[link_name = "pg_trigger_depth"]
        pub fn trigger_depth(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
        #[link_name = "GetCurrentStatementStartTimestamp"]
        pub fn message_time() -> i64;
    }
}

/// The tenant may be another one from here on. Can't fail.
pub fn context_changed() {
    CHANGES.set(CHANGES.get().wrapping_add(1));
}

/// A savepoint was rolled back, or the transaction. When no portal is active, that was with a statement that failed, over
/// whose hooks the error has jumped. Can't fail.
pub fn rolled_back() {
    if !has_portal() {
        RUNNING.set(false);
    }
}

/// The top-level transaction has ended, and with it its portals, but for those that are not run any more. Can't fail.
pub fn transaction_ended() {
    rolled_back();
    if ANY.replace(false) {
        STARTED.with_borrow_mut(Vec::clear);
    }
}

/// What follows is part of a statement until `leave`; returns whether it is the statement itself.
pub fn enter() -> bool {
    !RUNNING.replace(true)
}

/// The statement itself is over, or waits for the client.
pub fn leave(is_statement: bool) {
    if is_statement {
        RUNNING.set(false);
    }
}

/// Whether a portal is being run. Can't fail.
#[inline]
pub fn has_portal() -> bool {
    // SAFETY: reads a variable of this backend.
    unsafe { !pg_sys::ActivePortal.is_null() }
}

/// How deep in triggers we are; 0 outside of them. Can't fail.
#[inline]
pub fn trigger_depth() -> i32 {
    // SAFETY: a function that looks at nothing it is given.
    unsafe { raw::trigger_depth(std::ptr::null_mut()) }.value() as i32
}

/// Whether something that begins now is no part of a statement that runs, and not of a transaction that is ending: the
/// triggers that this fires may open portals of their own. Can't fail.
#[inline]
pub fn is_due() -> bool {
    Flag::StatementsCounted.get()
        && !RUNNING.get()
        && xact::in_transaction()
        && !xact::in_parallel_worker()
        && trigger_depth() == 0
}

/// Whether a portal's statement is one that rules have added to what the client sent.
///
/// # Safety
/// The portal is valid.
#[inline]
pub unsafe fn is_added(portal: pg_sys::Portal, statement: *mut pg_sys::PlannedStmt) -> bool {
    // SAFETY: by the contract above; a portal's list is one of statements, and none where there are none.
    unsafe {
        let all = (*portal).stmts;
        !all.is_null()
            && (1..(*all).length as usize).any(|place| (*(*all).elements.add(place)).ptr_value.cast() == statement)
    }
}

/// Whether the transaction ends that has opened a cursor, and the rest of its rows is kept.
///
/// # Safety
/// The portal is valid.
pub unsafe fn is_being_held(portal: pg_sys::Portal) -> bool {
    // SAFETY: by the contract above.
    unsafe { (*portal).strategy == pg_sys::PortalStrategy::PORTAL_ONE_SELECT && !(*portal).holdStore.is_null() }
}

fn begin() -> Result<()> {
    COUNTED.set(None);
    match (COUNTER.get().acting)()? {
        Some(tenant) => take(tenant),
        None => Ok(()),
    }
}

fn take(tenant: Uuid) -> Result<()> {
    (COUNTER.get().take)(tenant)?;
    COUNTED.set(Some(tenant));
    Ok(())
}

/// A statement begins where `is_due` says so. What no portal runs counts when it is run.
pub fn begins(statement: *mut pg_sys::PlannedStmt) -> Result<()> {
    // SAFETY: the active portal is valid.
    if !has_portal() || unsafe { is_added(pg_sys::ActivePortal, statement) } {
        return Ok(());
    }
    begin()
}

/// A query has begun that was no part of another. Can't fail.
pub fn has_begun(query: *mut pg_sys::QueryDesc) {
    if !Flag::StatementsCounted.get() || !has_portal() {
        return;
    }
    ANY.set(true);
    STARTED.with_borrow_mut(|started| {
        started.retain(|one| one.query != query as usize);
        if started.len() >= CAPACITY {
            started.remove(0);
        }
        started.push(Started { query: query as usize, counted: COUNTED.get(), changes: CHANGES.get() });
    });
}

/// A query is about to be run, for the first time or again, where `is_due` says so.
pub fn runs(query: *mut pg_sys::QueryDesc) -> Result<()> {
    if !has_portal() {
        // What the planner calls, or the client by itself: one for each of his messages.
        // SAFETY: reads a variable of this backend.
        let message = unsafe { raw::message_time() };
        return if MESSAGE.replace(message) == message { Ok(()) } else { begin() };
    }
    // SAFETY: the active portal is valid.
    if unsafe { is_being_held(pg_sys::ActivePortal) } {
        return Ok(());
    }
    let known = STARTED.with_borrow(|started| {
        started.iter().rfind(|one| one.query == query as usize).map(|one| (one.counted, one.changes))
    });
    let (counted, changes) = known.unwrap_or((None, 0));
    COUNTED.set(counted);
    if changes != CHANGES.get()
        && let Some(tenant) = (COUNTER.get().acting)()?
        && counted != Some(tenant)
    {
        return take(tenant);
    }
    Ok(())
}

/// A query was run that is no part of another. Can't fail.
pub fn has_run(query: *mut pg_sys::QueryDesc) {
    if !ANY.get() {
        return;
    }
    STARTED.with_borrow_mut(|started| {
        if let Some(one) = started.iter_mut().rfind(|one| one.query == query as usize) {
            (one.counted, one.changes) = (COUNTED.get(), CHANGES.get());
        }
    });
}

/// Whether a statement runs that has not counted for the tenant. Can't fail.
pub fn owes(tenant: Uuid) -> bool {
    RUNNING.get() && Flag::StatementsCounted.get() && COUNTED.get() != Some(tenant) && !xact::in_parallel_worker()
}

/// The tenant is about to be used. If a statement runs, it counts for it.
pub fn is_used(tenant: Uuid) -> Result<()> {
    if owes(tenant) { take(tenant) } else { Ok(()) }
}
