//! The hooks that the extension puts into PostgreSQL. Each one runs its own check behind a guard and
//! then calls on outside of it, so that errors of others pass through untouched and at no cost.

use crate::error::{Error, Result};
use crate::sys::backend::{BackendCell, Raised};
use crate::sys::{leftovers, procedure};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use std::ffi::{CStr, c_char};

/// What to ask before PostgreSQL goes on.
#[derive(Clone, Copy)]
pub struct Checks {
    /// Whether `before_run` has anything to do; asked before each run of a plan, can't fail.
    pub watches_runs: fn() -> bool,
    /// Before a plan is run, or run on, as FETCH does; told whether it may start parallel workers.
    pub before_run: fn(bool) -> Result<()>,
    /// Before a procedure is called; can't fail.
    pub procedure_begins: fn(),
    /// Before `SET LOCAL <name>` runs as a statement of its own.
    pub set_local: fn(&str) -> Result<()>,
}

#[derive(Clone, Copy)]
struct Previous {
    run: pg_sys::ExecutorRun_hook_type,
    utility: pg_sys::ProcessUtility_hook_type,
}

static CHECKS: BackendCell<Option<Checks>> = BackendCell::new(None);
/// True while the extension runs statements of its own, of which nothing need be asked.
static INTERNAL: BackendCell<bool> = BackendCell::new(false);

/// The extension runs statements of its own until what is returned is dropped.
pub fn internal() -> Raised<'static> {
    INTERNAL.raised()
}

static PREVIOUS: BackendCell<Previous> = BackendCell::new(Previous { run: None, utility: None });

/// PostgreSQL's own executors, declared past pgrx's guard: an error that they raise must jump over
/// the hooks below as if these were not there. The hooks hold nothing that needs dropping.
mod standard {
    use super::*;
    unsafe extern "C-unwind" {
        #[cfg(not(feature = "pg18"))]
        #[link_name = "standard_ExecutorRun"]
        pub fn run(query: *mut pg_sys::QueryDesc, direction: pg_sys::ScanDirection::Type, count: u64, once: bool);
        #[cfg(feature = "pg18")]
        #[link_name = "standard_ExecutorRun"]
        pub fn run(query: *mut pg_sys::QueryDesc, direction: pg_sys::ScanDirection::Type, count: u64);
        #[link_name = "standard_ProcessUtility"]
        pub fn utility(
            statement: *mut pg_sys::PlannedStmt,
            text: *const c_char,
            read_only_tree: bool,
            context: pg_sys::ProcessUtilityContext::Type,
            params: pg_sys::ParamListInfo,
            environment: *mut pg_sys::QueryEnvironment,
            receiver: *mut pg_sys::DestReceiver,
            completion: *mut pg_sys::QueryCompletion,
        );
    }
}

/// Runs a check; its error, or a panic in it, becomes a PostgreSQL error.
///
/// # Safety
/// Only from an `extern "C-unwind"` function that PostgreSQL called, with nothing to drop.
unsafe fn guarded(check: impl FnOnce() -> Result<()>) {
    // SAFETY: the caller is such a function.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            if let Err(error) = check() {
                raise(error);
            }
        });
    }
}

/// Raises the error; does not return.
pub fn raise(error: Error) {
    ErrorReport::from(error).report(pgrx::PgLogLevel::ERROR);
}

/// # Safety
/// As for `guarded`.
#[inline]
unsafe fn ask_before_run(parallel: bool) {
    if let Some(checks) = CHECKS.get()
        && !INTERNAL.get()
        && (checks.watches_runs)()
    {
        // SAFETY: passed on to the caller.
        unsafe { guarded(|| (checks.before_run)(parallel)) };
    }
}

/// # Safety
/// As for `guarded`; `query` is the descriptor of a started query.
#[inline]
unsafe fn before_run(query: *mut pg_sys::QueryDesc) {
    // SAFETY: a started query has a plan.
    unsafe { ask_before_run((*(*query).plannedstmt).parallelModeNeeded) };
}

#[cfg(not(feature = "pg18"))]
unsafe extern "C-unwind" fn executor_run(
    query: *mut pg_sys::QueryDesc,
    direction: pg_sys::ScanDirection::Type,
    count: u64,
    once: bool,
) {
    // SAFETY: called by PostgreSQL, arguments are passed on as they came.
    unsafe {
        before_run(query);
        match PREVIOUS.get().run {
            Some(previous) => previous(query, direction, count, once),
            None => standard::run(query, direction, count, once),
        }
    }
}

#[cfg(feature = "pg18")]
unsafe extern "C-unwind" fn executor_run(
    query: *mut pg_sys::QueryDesc,
    direction: pg_sys::ScanDirection::Type,
    count: u64,
) {
    // SAFETY: called by PostgreSQL, arguments are passed on as they came.
    unsafe {
        before_run(query);
        match PREVIOUS.get().run {
            Some(previous) => previous(query, direction, count),
            None => standard::run(query, direction, count),
        }
    }
}

unsafe extern "C-unwind" fn process_utility(
    statement: *mut pg_sys::PlannedStmt,
    text: *const c_char,
    read_only_tree: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    params: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    receiver: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: called by PostgreSQL with a valid statement; the node is read as what its tag says;
    // arguments are passed on as they came.
    unsafe {
        let node = (*statement).utilityStmt;
        leftovers::note(node);
        if (*node).type_ == pg_sys::NodeTag::T_CallStmt {
            procedure::begins();
            if let Some(checks) = CHECKS.get()
                && procedure::is_running()
            {
                (checks.procedure_begins)();
            }
        }
        // A cursor that is held, and COPY of a table without row security, get by without the executor.
        if matches!((*node).type_, pg_sys::NodeTag::T_FetchStmt | pg_sys::NodeTag::T_CopyStmt) {
            ask_before_run(false);
        }
        if context == pg_sys::ProcessUtilityContext::PROCESS_UTILITY_TOPLEVEL
            && (*node).type_ == pg_sys::NodeTag::T_VariableSetStmt
        {
            let set = node.cast::<pg_sys::VariableSetStmt>();
            if (*set).is_local && !(*set).name.is_null() {
                let name = CStr::from_ptr((*set).name);
                if let Some(checks) = CHECKS.get() {
                    guarded(|| (checks.set_local)(&name.to_string_lossy()));
                }
            }
        }
        let run = PREVIOUS.get().utility.unwrap_or(standard::utility);
        run(statement, text, read_only_tree, context, params, environment, receiver, completion);
    }
}

/// Puts the hooks in front of those that are there. Called once per backend.
pub fn install(checks: Checks) {
    CHECKS.set(Some(checks));
    leftovers::assume_any_unless_preloading();
    procedure::assume_running_unless_preloading();
    // SAFETY: the hook variables are this backend's own, and only set while the library loads.
    unsafe {
        PREVIOUS.set(Previous { run: pg_sys::ExecutorRun_hook, utility: pg_sys::ProcessUtility_hook });
        pg_sys::ExecutorRun_hook = Some(executor_run);
        pg_sys::ProcessUtility_hook = Some(process_utility);
    }
}
