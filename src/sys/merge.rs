//! MERGE into partitioned tables whose triggers are told of rows.
//!
//! An INSERT that is routed to a partition leaves the row as it was before with what collects rows for triggers, and some minor releases of
//! PostgreSQL (18.6 is one, 15.20 is none) take that row for what an UPDATE of the same MERGE has made of another one. So what is left there
//! is taken away before each row that MERGE looks at, as PostgreSQL itself does it for an UPDATE that moves a row.

use crate::sys::flag::Flag;
use crate::sys::list::elements;
use crate::sys::xact;
use pgrx::pg_sys;
use std::cell::RefCell;

/// A plan below MERGE, and what collects the rows that MERGE writes.
struct Source {
    plan: *mut pg_sys::PlanState,
    next: unsafe extern "C-unwind" fn(*mut pg_sys::PlanState) -> *mut pg_sys::TupleTableSlot,
    capture: *mut pg_sys::TransitionCaptureState,
}

thread_local! {
    /// Of the queries of this transaction. They are few; those that have ended are never asked for again.
    static SOURCES: RefCell<Vec<Source>> = const { RefCell::new(Vec::new()) };
}

/// Called once per backend.
pub fn install() {
    xact::on_end(|_| SOURCES.with_borrow_mut(Vec::clear));
}

/// Watches the MERGE in a query that was started, if there is one. Can't fail.
///
/// # Safety
/// `query` is the descriptor of a started query.
#[inline]
pub unsafe fn has_started(query: *mut pg_sys::QueryDesc) {
    // SAFETY: by the contract above; a started query has a plan and its state.
    unsafe {
        if (*query).operation == pg_sys::CmdType::CMD_MERGE || (*(*query).plannedstmt).hasModifyingCTE {
            watch_all(query);
        }
    }
}

/// # Safety
/// As for `has_started`.
#[cold]
unsafe fn watch_all(query: *mut pg_sys::QueryDesc) {
    // SAFETY: by the contract above; the list, or NIL, is of the states of those that are no query's main one.
    unsafe {
        watch((*query).planstate);
        for other in elements((*(*query).estate).es_auxmodifytables) {
            watch(other);
        }
    }
}

/// # Safety
/// `plan` is NULL or the state of a plan.
unsafe fn watch(plan: *mut pg_sys::PlanState) {
    // SAFETY: by the contract above; a node is read as what its tag says. Where rows come from is called through the pointer that
    // PostgreSQL calls itself, once it has looked whether the stack is deep.
    unsafe {
        if plan.is_null() || (*plan).type_ != pg_sys::NodeTag::T_ModifyTableState {
            return;
        }
        let merge = plan.cast::<pg_sys::ModifyTableState>();
        let (capture, source) = ((*merge).mt_transition_capture, (*plan).lefttree);
        if (*merge).operation != pg_sys::CmdType::CMD_MERGE || capture.is_null() || source.is_null() {
            return;
        }
        let Some(next) = (*source).ExecProcNodeReal else { return };
        SOURCES.with_borrow_mut(|sources| {
            // Memory that was another's, of a query that has ended.
            sources.retain(|known| known.plan != source);
            sources.push(Source { plan: source, next, capture });
        });
        (*source).ExecProcNodeReal = Some(next_row);
        Flag::Unsettled.set(true);
    }
}

unsafe extern "C-unwind" fn next_row(plan: *mut pg_sys::PlanState) -> *mut pg_sys::TupleTableSlot {
    let found = SOURCES.with_borrow(|sources| {
        sources.iter().rev().find(|source| source.plan == plan).map(|source| (source.next, source.capture))
    });
    // SAFETY: called by PostgreSQL for a plan that is watched, whose query runs. An error jumps over this frame, which has nothing to
    // drop.
    unsafe {
        let Some((next, capture)) = found else {
            return pg_sys::panic::pgrx_extern_c_guard(|| pgrx::error!("a MERGE reads rows that are not its own"));
        };
        (*capture).tcs_original_insert_tuple = std::ptr::null_mut();
        next(plan)
    }
}
