//! The hooks that the extension puts into PostgreSQL. Each one runs its own check behind a guard and
//! then calls on outside of it, so that errors of others pass through untouched and at no cost.

use crate::error::{Error, Result};
use crate::sys::backend::{BackendCell, Raised};
use crate::sys::statement::{self, Statement};
use crate::sys::{directory, leftovers, permissions, procedure};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use std::ffi::{CStr, c_char};

/// What to ask before PostgreSQL goes on.
#[derive(Clone, Copy)]
pub struct Checks {
    /// Whether what other sessions announce matters to this one now; asked before a plan is run, or run
    /// on, as FETCH does. Can't fail.
    pub listens: fn() -> bool,
    /// Whether `before_run` has anything to do, after the announcements have been taken in; told whether
    /// the plan may start parallel workers. Can't fail.
    pub has_to_check: fn(bool) -> bool,
    /// The check itself.
    pub before_run: fn(bool) -> Result<()>,
    /// Before a procedure is called; can't fail.
    pub procedure_begins: fn(),
    /// Before `SET LOCAL <name>` runs as a statement of its own.
    pub set_local: fn(&str) -> Result<()>,
}

/// Who may object to a statement. Each is asked before it runs, and only of what it watches.
#[derive(Clone, Copy)]
struct Guards {
    statement: fn(&Statement) -> Result<()>,
    /// REASSIGN OWNED: from whom, to whom.
    reassign: fn(&[pg_sys::Oid], pg_sys::Oid) -> Result<()>,
    /// Whether a function may be refused; asked for every function that a plan calls. Can't fail.
    is_watched: fn(pg_sys::Oid) -> bool,
    function: fn(pg_sys::Oid) -> Result<()>,
}

static GUARDS: BackendCell<Guards> = BackendCell::new(Guards {
    statement: |_| Ok(()),
    reassign: |_, _| Ok(()),
    is_watched: |_| false,
    function: |_| Ok(()),
});

/// Has `guard` asked before statements that it may object to.
pub fn guard_statements(guard: fn(&Statement) -> Result<()>) {
    GUARDS.set(Guards { statement: guard, ..GUARDS.get() });
}

/// Has `guard` asked before what somebody owns is given to somebody else.
pub fn guard_reassigning(guard: fn(&[pg_sys::Oid], pg_sys::Oid) -> Result<()>) {
    GUARDS.set(Guards { reassign: guard, ..GUARDS.get() });
}

/// Has `guard` asked before a function is called that is watched.
pub fn guard_functions(is_watched: fn(pg_sys::Oid) -> bool, guard: fn(pg_sys::Oid) -> Result<()>) {
    GUARDS.set(Guards { is_watched, function: guard, ..GUARDS.get() });
}

#[derive(Clone, Copy)]
struct Previous {
    run: pg_sys::ExecutorRun_hook_type,
    utility: pg_sys::ProcessUtility_hook_type,
    access: pg_sys::object_access_hook_type,
}

static CHECKS: BackendCell<Option<Checks>> = BackendCell::new(None);
/// True while the extension runs statements of its own, of which nothing need be asked.
static INTERNAL: BackendCell<bool> = BackendCell::new(false);

/// The extension runs statements of its own until what is returned is dropped.
pub fn internal() -> Raised<'static> {
    INTERNAL.raised()
}

/// Whether a statement of the extension's own is running.
pub fn is_internal() -> bool {
    INTERNAL.get()
}

static PREVIOUS: BackendCell<Previous> = BackendCell::new(Previous { run: None, utility: None, access: None });

/// PostgreSQL's own functions, declared past pgrx's guard: an error that they raise must jump over
/// the hooks below as if these were not there. The hooks hold nothing that needs dropping.
mod standard {
    use super::*;
    unsafe extern "C-unwind" {
        #[link_name = "AcceptInvalidationMessages"]
        pub fn accept_invalidation_messages();
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
        && (checks.listens)()
    {
        // SAFETY: what PostgreSQL itself does whenever it takes a lock; we are in a transaction. It is
        // called past pgrx's guard, so its error jumps over this frame, which has nothing to drop.
        // The rest is passed on to the caller.
        unsafe {
            standard::accept_invalidation_messages();
            if (checks.has_to_check)(parallel) {
                guarded(|| (checks.before_run)(parallel));
            }
        }
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

/// # Safety
/// As for `guarded`; `node` is that of a utility statement.
unsafe fn ask_guards(node: *mut pg_sys::Node) {
    // SAFETY: by the contract above.
    unsafe {
        if let Some(statement) = statement::read(node) {
            guarded(move || {
                (GUARDS.get().statement)(&statement)?;
                match statement {
                    Statement::ReassignOwned => match statement::reassigned(node) {
                        Some((from, to)) => (GUARDS.get().reassign)(&from, to),
                        None => Ok(()),
                    },
                    _ => Ok(()),
                }
            });
        }
    }
}

unsafe extern "C-unwind" fn object_access(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    part: std::ffi::c_int,
    arg: *mut std::ffi::c_void,
) {
    // SAFETY: called by PostgreSQL, arguments are passed on as they came.
    unsafe {
        if access == pg_sys::ObjectAccessType::OAT_FUNCTION_EXECUTE && (GUARDS.get().is_watched)(object) {
            guarded(|| (GUARDS.get().function)(object));
        }
        if let Some(previous) = PREVIOUS.get().access {
            previous(access, class, object, part, arg);
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
        ask_guards(node);
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
        // The prepared transaction may have changed the registry.
        if (*node).type_ == pg_sys::NodeTag::T_TransactionStmt
            && (*node.cast::<pg_sys::TransactionStmt>()).kind == pg_sys::TransactionStmtKind::TRANS_STMT_COMMIT_PREPARED
        {
            directory::change_begins();
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
        if (*node).type_ == pg_sys::NodeTag::T_AlterTableStmt {
            // Should it fail, `permissions::rolled_back` lowers the flag.
            let before = permissions::set_altering(true);
            run(statement, text, read_only_tree, context, params, environment, receiver, completion);
            permissions::set_altering(before);
        } else {
            run(statement, text, read_only_tree, context, params, environment, receiver, completion);
        }
    }
}

/// Puts the hooks in front of those that are there. Called once per backend.
pub fn install(checks: Checks) {
    CHECKS.set(Some(checks));
    leftovers::assume_any_unless_preloading();
    procedure::assume_running_unless_preloading();
    // SAFETY: the hook variables are this backend's own, and only set while the library loads.
    unsafe {
        PREVIOUS.set(Previous {
            run: pg_sys::ExecutorRun_hook,
            utility: pg_sys::ProcessUtility_hook,
            access: pg_sys::object_access_hook,
        });
        pg_sys::ExecutorRun_hook = Some(executor_run);
        pg_sys::ProcessUtility_hook = Some(process_utility);
        pg_sys::object_access_hook = Some(object_access);
    }
}
