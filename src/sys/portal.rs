//! Portals: cursors, and queries whose rows a client takes in pieces.

use pgrx::pg_sys;
use std::ffi::{CStr, CString};

/// A query that was started, by the address of its descriptor. The address passes to another query once this one
/// has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Query(usize);

impl Query {
    pub fn of(query: *mut pg_sys::QueryDesc) -> Self {
        Self(query as usize)
    }
}

/// A portal's query that is about to run, maybe for a part of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub query: Query,
    /// The cursor's name, if it is one that can outlive its transaction.
    pub holdable: Option<CString>,
}

/// The query, when it is the one that a portal is being opened for.
///
/// # Safety
/// `query` is the descriptor of a query that is being started.
pub unsafe fn opening(query: *mut pg_sys::QueryDesc) -> Option<Query> {
    // SAFETY: a portal that is active, if any, is valid; it is defined, but not ready, while it is being opened.
    unsafe {
        let portal = pg_sys::ActivePortal;
        let opens = !portal.is_null() && (*portal).status == pg_sys::PortalStatus::PORTAL_DEFINED;
        opens.then_some(Query::of(query))
    }
}

/// Whether the query is that of the active portal.
///
/// # Safety
/// `query` is the descriptor of a query that was started.
#[inline]
pub unsafe fn runs(query: *mut pg_sys::QueryDesc) -> bool {
    // SAFETY: as for `opening`.
    unsafe { !pg_sys::ActivePortal.is_null() && (*pg_sys::ActivePortal).queryDesc == query }
}

/// Whether this run may be neither the first nor the last. `count` is the number of rows that are asked for; zero for
/// all.
///
/// # Safety
/// `query` is the query of the active portal.
pub unsafe fn is_piece(query: *mut pg_sys::QueryDesc, count: u64) -> bool {
    let again = pg_sys::CURSOR_OPT_SCROLL | pg_sys::CURSOR_OPT_HOLD;
    // SAFETY: by the contract above.
    unsafe { count != 0 || (*query).already_executed || (*pg_sys::ActivePortal).cursorOptions & again as i32 != 0 }
}

/// The run that is about to begin.
///
/// # Safety
/// `query` is the query of the active portal.
pub unsafe fn piece(query: *mut pg_sys::QueryDesc) -> Piece {
    // SAFETY: by the contract above; a portal's name is a C string that lives as long as it does.
    unsafe {
        let portal = pg_sys::ActivePortal;
        let holds = (*portal).cursorOptions & pg_sys::CURSOR_OPT_HOLD as i32 != 0;
        Piece { query: Query::of(query), holdable: holds.then(|| CStr::from_ptr((*portal).name).to_owned()) }
    }
}

/// Whether a statement is at work, of a client or of the server's own. Between two of them PostgreSQL tells the client which
/// settings have changed.
pub fn is_in_statement() -> bool {
    // SAFETY: reads variables of this process.
    unsafe {
        // A block that failed keeps its snapshot until it is rolled back, and no statement asks for anything in it.
        if pg_sys::IsAbortedTransactionBlockState() {
            return false;
        }
        // Outside of a block the transaction is over when settings are told; a walsender's SHOW has neither portal nor snapshot.
        let is_alone = pg_sys::IsTransactionState() && !pg_sys::IsTransactionBlock();
        is_alone || !pg_sys::ActivePortal.is_null() || pg_sys::ActiveSnapshotSet()
    }
}

/// Whether the query was scrolled back to its beginning before this run, or the rows of a cursor are about to be put by,
/// which does the same. That asks for the tenant where an index does, and no hook is told.
///
/// # Safety
/// `query` is the query of the active portal.
pub unsafe fn is_rewound(query: *mut pg_sys::QueryDesc) -> bool {
    // SAFETY: by the contract above.
    unsafe {
        let portal = pg_sys::ActivePortal;
        let scrolls = (*portal).cursorOptions & pg_sys::CURSOR_OPT_SCROLL as i32 != 0;
        scrolls && (!(*portal).holdStore.is_null() || (*portal).atStart && (*query).already_executed)
    }
}

/// PostgreSQL's InvalidSubTransactionId, a macro.
const INVALID_SUBTRANSACTION: pg_sys::SubTransactionId = 0;

/// The portal of that name, if it holds the rows of a transaction that has ended.
fn held(name: &CStr) -> Option<pg_sys::Portal> {
    // SAFETY: a look-up by name; absence gives NULL. A portal that survives its transaction has no subtransaction.
    unsafe {
        let portal = pg_sys::GetPortalByName(name.as_ptr());
        let holds =
            !portal.is_null() && !(*portal).holdStore.is_null() && (*portal).createSubid == INVALID_SUBTRANSACTION;
        holds.then_some(portal)
    }
}

/// Has PostgreSQL refuse to run a cursor that holds its rows, by whatever way, until it is unsealed: not all ways lead
/// through a hook. Returns whether there is such a cursor.
pub fn seal(name: &CStr) -> bool {
    let Some(portal) = held(name) else { return false };
    // SAFETY: the portal is valid. Its query has ended, so that there is nothing to be cleaned up on failure: the state
    // only says that it can't be run. A portal that is pinned belongs to a procedure that is running.
    unsafe {
        if (*portal).portalPinned || (*portal).status != pg_sys::PortalStatus::PORTAL_READY {
            return false;
        }
        (*portal).status = pg_sys::PortalStatus::PORTAL_FAILED;
        true
    }
}

/// Lets PostgreSQL run a sealed cursor again.
pub fn unseal(name: &CStr) {
    if let Some(portal) = held(name) {
        // SAFETY: the portal is valid, and was ready when it was sealed.
        unsafe { (*portal).status = pg_sys::PortalStatus::PORTAL_READY }
    }
}

/// Whether there is a cursor of that name that holds its rows and can't be run.
pub fn is_sealed(name: &CStr) -> bool {
    // SAFETY: the portal is valid.
    held(name).is_some_and(|portal| unsafe { (*portal).status == pg_sys::PortalStatus::PORTAL_FAILED })
}

/// Whether the portal of that name is running, or is needed by what is running.
pub fn is_busy(name: &CStr) -> bool {
    // SAFETY: a look-up by name; absence gives NULL.
    unsafe {
        let portal = pg_sys::GetPortalByName(name.as_ptr());
        !portal.is_null() && ((*portal).portalPinned || (*portal).status == pg_sys::PortalStatus::PORTAL_ACTIVE)
    }
}
