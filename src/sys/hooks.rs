//! The hooks that the extension puts into PostgreSQL. Each one runs its own check behind a guard and
//! then calls on outside of it, so that errors of others pass through untouched and at no cost.

use crate::error::{Error, Result};
use crate::sys::backend::{BackendCell, Raised};
use crate::sys::flag::{Flag, LISTENS, WATCHES_PORTALS};
use crate::sys::portal::{self, Piece, Query};
use crate::sys::statement::{self, Statement};
use crate::sys::tally::{self, Watch};
use crate::sys::{counting, directory, inserting, key_action, leftovers, merge, procedure, xact};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use std::ffi::{CStr, c_char, c_int};

/// What to ask before PostgreSQL goes on.
#[derive(Clone, Copy)]
pub struct Checks {
    /// Whether another role acts than when `before_run` was last called. Can't fail.
    pub is_another_role: fn() -> bool,
    /// Whether `before_run` has anything to do, after the announcements have been taken in; told whether
    /// the plan may start parallel workers. Can't fail.
    pub has_to_check: fn(bool) -> bool,
    /// The check itself.
    pub before_run: fn(bool) -> Result<()>,
    /// Whether no statement has run yet since the context was set; asked before utility statements. Can't fail.
    pub is_new_to: fn() -> bool,
    /// Before a utility statement that may leave something behind runs, where `is_new_to` says so.
    pub before_utility: fn() -> Result<()>,
    /// Before a procedure is called; can't fail.
    pub procedure_begins: fn(),
    /// Before `SET LOCAL <name>` runs as a statement of its own.
    pub set_local: fn(&str) -> Result<()>,
    /// A portal is being opened for a query, where `flag::WATCHES_PORTALS`.
    pub opens: fn(Query) -> Result<()>,
    /// Before a portal's query runs, for the first time or again.
    pub piece_begins: fn(Piece) -> Result<()>,
    /// After it has run without an error. Can't fail.
    pub piece_ended: fn(Query),
    /// Before FETCH from a cursor that is sealed: whether it may be unsealed for that.
    pub may_fetch_held: fn(&CStr) -> Result<bool>,
    /// After it was unsealed and fetched from without an error. Can't fail.
    pub fetched_held: fn(&CStr),
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
    /// A relation is about to be dropped.
    dropping: fn(pg_sys::Oid) -> Result<()>,
}

static GUARDS: BackendCell<Guards> = BackendCell::new(Guards {
    statement: |_| Ok(()),
    reassign: |_, _| Ok(()),
    is_watched: |_| false,
    function: |_| Ok(()),
    dropping: |_| Ok(()),
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

/// Has `dropping` called before a relation is dropped, while its rows can still be read.
pub fn watch_dropping(dropping: fn(pg_sys::Oid) -> Result<()>) {
    GUARDS.set(Guards { dropping, ..GUARDS.get() });
}

/// # Safety
/// As for `guarded`.
#[inline]
unsafe fn count_statement(statement: *mut pg_sys::PlannedStmt) {
    if !INTERNAL.get() && counting::is_due() {
        // SAFETY: passed on to the caller.
        unsafe { guarded(|| counting::begins(statement)) }
    }
}

#[derive(Clone, Copy)]
struct Previous {
    start: pg_sys::ExecutorStart_hook_type,
    run: pg_sys::ExecutorRun_hook_type,
    finish: pg_sys::ExecutorFinish_hook_type,
    utility: pg_sys::ProcessUtility_hook_type,
    access: pg_sys::object_access_hook_type,
}

static CHECKS: BackendCell<Option<Checks>> = BackendCell::new(None);
/// True while the extension runs statements of its own, of which nothing need be asked.
static INTERNAL: BackendCell<bool> = BackendCell::new(false);

/// True until the statement of the extension's own that is about to run has been asked about its tables; what it calls
/// is asked as any other.
static UNCHECKED: BackendCell<bool> = BackendCell::new(false);

/// The extension runs a statement of its own until this is dropped.
pub struct Internal {
    _raised: Raised<'static>,
}

impl Drop for Internal {
    fn drop(&mut self) {
        UNCHECKED.set(false);
    }
}

/// The extension runs a statement of its own until what is returned is dropped.
#[must_use]
pub fn internal() -> Internal {
    UNCHECKED.set(true);
    Internal { _raised: INTERNAL.raised() }
}

/// Whether the tables that are being asked about are those of the extension's own statement itself.
pub fn is_own_statement() -> bool {
    UNCHECKED.replace(false)
}

static PREVIOUS: BackendCell<Previous> =
    BackendCell::new(Previous { start: None, run: None, finish: None, utility: None, access: None });

/// The top-level transaction has ended. Can't fail.
pub fn transaction_ended() {
    counting::transaction_ended();
    leftovers::rolled_back(0);
    key_action::transaction_ended();
    inserting::forget();
    Flag::SwitchUsed.set(Flag::SwitchAllowed.get());
}

/// A savepoint was rolled back. Can't fail.
pub fn savepoint_rolled_back() {
    counting::rolled_back();
    leftovers::rolled_back(xact::nest_level());
    key_action::rolled_back(xact::nest_level());
    inserting::forget();
}

/// PostgreSQL's own functions, declared past pgrx's guard: an error that they raise must jump over
/// the hooks below as if these were not there. The hooks hold nothing that needs dropping.
mod standard {
    use super::*;
    unsafe extern "C-unwind" {
        #[link_name = "AcceptInvalidationMessages"]
        pub fn accept_invalidation_messages();
        #[link_name = "max_prepared_xacts"]
        pub static max_prepared_transactions: c_int;
        #[link_name = "ExecutorRewind"]
        pub fn rewind(query: *mut pg_sys::QueryDesc);
        #[link_name = "standard_ExecutorStart"]
        pub fn start(query: *mut pg_sys::QueryDesc, flags: c_int);
        #[cfg(not(feature = "pg18"))]
        #[link_name = "standard_ExecutorRun"]
        pub fn run(query: *mut pg_sys::QueryDesc, direction: pg_sys::ScanDirection::Type, count: u64, once: bool);
        #[cfg(feature = "pg18")]
        #[link_name = "standard_ExecutorRun"]
        pub fn run(query: *mut pg_sys::QueryDesc, direction: pg_sys::ScanDirection::Type, count: u64);
        #[link_name = "standard_ExecutorFinish"]
        pub fn finish(query: *mut pg_sys::QueryDesc);
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
        && (parallel || LISTENS.any() || (checks.is_another_role)())
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

/// Returns whether `after_run` is to be called.
///
/// # Safety
/// As for `guarded`; `query` is the descriptor of a started query.
#[inline]
unsafe fn before_run(query: *mut pg_sys::QueryDesc, direction: pg_sys::ScanDirection::Type, count: u64) -> bool {
    // SAFETY: a started query has a plan; a cursor that scrolls has one that can be rewound. The rest is passed on to the
    // caller.
    unsafe {
        ask_before_run((*(*query).plannedstmt).parallelModeNeeded);
        if !portal::runs(query) || INTERNAL.get() || !WATCHES_PORTALS.any() && !portal::is_piece(query, count) {
            return false;
        }
        let Some(checks) = CHECKS.get() else { return false };
        guarded(|| (checks.piece_begins)(portal::piece(query)));
        // Once more, now that it is known who asks.
        if direction != pg_sys::ScanDirection::NoMovementScanDirection && portal::is_rewound(query) {
            standard::rewind(query);
        }
        true
    }
}

/// What `before_run` asked for; not when an error jumps over it, which ends a transaction or savepoint.
fn after_run(query: *mut pg_sys::QueryDesc) {
    if let Some(checks) = CHECKS.get() {
        (checks.piece_ended)(Query::of(query));
    }
}

#[cfg_attr(target_os = "linux", unsafe(link_section = ".text.hot"))]
unsafe extern "C-unwind" fn executor_start(query: *mut pg_sys::QueryDesc, flags: c_int) {
    // SAFETY: called by PostgreSQL, arguments are passed on as they came.
    unsafe {
        count_statement((*query).plannedstmt);
        let is_statement = counting::enter();
        if WATCHES_PORTALS.any()
            && let Some(checks) = CHECKS.get()
            && !INTERNAL.get()
            && let Some(opening) = portal::opening(query)
        {
            guarded(|| (checks.opens)(opening));
        }
        match PREVIOUS.get().start {
            Some(previous) => previous(query, flags),
            None => standard::start(query, flags),
        }
        merge::has_started(query);
        counting::leave(is_statement);
        if is_statement {
            counting::has_begun(query);
        }
    }
}

/// Has `run` run the query, and does what belongs before and after it.
///
/// # Safety
/// As for `guarded`; `query` is the descriptor of a started query.
#[inline(always)]
unsafe fn run_watched(
    query: *mut pg_sys::QueryDesc,
    direction: pg_sys::ScanDirection::Type,
    count: u64,
    run: impl FnOnce(),
) {
    // SAFETY: by the contract above. An error in `run` jumps over this frame, which has nothing to drop.
    unsafe {
        let is_piece = before_run(query, direction, count);
        let is_action = key_action::begins(query);
        if !INTERNAL.get() && counting::is_due() {
            guarded(|| counting::runs(query));
        }
        let is_statement = counting::enter();
        let is_tallied = is_statement && !INTERNAL.get();
        let mut watch = Watch::new();
        watch.query_begins(query, is_tallied);
        run();
        watch.query_ended(query, is_tallied);
        counting::leave(is_statement);
        if is_statement {
            counting::has_run(query);
        }
        if is_action {
            key_action::ended();
        }
        if is_piece {
            after_run(query);
        }
    }
}

#[cfg(not(feature = "pg18"))]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".text.hot"))]
unsafe extern "C-unwind" fn executor_run(
    query: *mut pg_sys::QueryDesc,
    direction: pg_sys::ScanDirection::Type,
    count: u64,
    once: bool,
) {
    // SAFETY: called by PostgreSQL, arguments are passed on as they came.
    unsafe {
        let run = PREVIOUS.get().run.unwrap_or(standard::run);
        run_watched(query, direction, count, || run(query, direction, count, once));
    }
}

#[cfg(feature = "pg18")]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".text.hot"))]
unsafe extern "C-unwind" fn executor_run(
    query: *mut pg_sys::QueryDesc,
    direction: pg_sys::ScanDirection::Type,
    count: u64,
) {
    // SAFETY: called by PostgreSQL, arguments are passed on as they came.
    unsafe {
        let run = PREVIOUS.get().run.unwrap_or(standard::run);
        run_watched(query, direction, count, || run(query, direction, count));
    }
}

/// What triggers do after a statement is a part of it.
#[cfg_attr(target_os = "linux", unsafe(link_section = ".text.hot"))]
unsafe extern "C-unwind" fn executor_finish(query: *mut pg_sys::QueryDesc) {
    // SAFETY: called by PostgreSQL, arguments are passed on as they came.
    unsafe {
        let is_statement = counting::enter();
        let outer = inserting::finishes(query);
        match PREVIOUS.get().finish {
            Some(previous) => previous(query),
            None => standard::finish(query),
        }
        inserting::finished(outer);
        tally::finished(query, is_statement && !INTERNAL.get());
        counting::leave(is_statement);
    }
}

/// # Safety
/// As for `guarded`; `node` is that of a utility statement.
unsafe fn ask_guards(node: *mut pg_sys::Node) {
    // SAFETY: by the contract above.
    unsafe {
        // In a failed transaction no catalog can be read, and what still runs there, PREPARE TRANSACTION included,
        // ends in its rollback.
        if !xact::in_transaction() {
            return;
        }
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

#[cfg_attr(target_os = "linux", unsafe(link_section = ".text.hot"))]
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
        if access == pg_sys::ObjectAccessType::OAT_DROP && class == pg_sys::RelationRelationId && part == 0 {
            guarded(|| (GUARDS.get().dropping)(object));
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
        // What a utility statement calls is nobody's own.
        UNCHECKED.set(false);
        inserting::forget();
        if !statement::is_free(node) {
            count_statement(statement);
        }
        ask_guards(node);
        if let Some(checks) = CHECKS.get()
            && (checks.is_new_to)()
            && !INTERNAL.get()
            && leftovers::may_leave(node)
        {
            guarded(checks.before_utility);
        }
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
        // The prepared transaction may have changed the registry. Within a block PostgreSQL refuses to commit one, and the
        // block may stay open for long after that. Elsewhere the transaction ends at once, even where there is no such
        // transaction, or it is somebody else's: then what is shared is read anew from the registry, which costs a little
        // and changes no answer. Whoever may prepare transactions can have that with one of his own.
        if (*node).type_ == pg_sys::NodeTag::T_TransactionStmt
            && (*node.cast::<pg_sys::TransactionStmt>()).kind == pg_sys::TransactionStmtKind::TRANS_STMT_COMMIT_PREPARED
            && standard::max_prepared_transactions > 0
            && !xact::in_block()
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
        let executes = leftovers::executes(node);
        let unsealed = unsealed(node);
        let is_statement = counting::enter();
        let is_tallied = is_statement && !INTERNAL.get();
        let mut watch = Watch::new();
        watch.utility_begins(statement, is_tallied);
        let run = PREVIOUS.get().utility.unwrap_or(standard::utility);
        run(statement, text, read_only_tree, context, params, environment, receiver, completion);
        watch.utility_ended(is_tallied, completion);
        counting::leave(is_statement);
        if executes {
            leftovers::executed();
        }
        if let Some(checks) = CHECKS.get()
            && !unsealed.is_null()
        {
            (checks.fetched_held)(CStr::from_ptr(unsealed));
        }
    }
}

/// Unseals the cursor that is to be fetched from, if it is sealed and may be. Returns its name then, otherwise NULL.
///
/// # Safety
/// As for `guarded`; `node` is a valid parse node.
unsafe fn unsealed(node: *mut pg_sys::Node) -> *const c_char {
    // SAFETY: by the contract above; the node is read as what its tag says, and names a cursor as long as it lives.
    unsafe {
        if (*node).type_ == pg_sys::NodeTag::T_FetchStmt {
            let name = (*node.cast::<pg_sys::FetchStmt>()).portalname;
            if let Some(checks) = CHECKS.get()
                && !name.is_null()
                && portal::is_sealed(CStr::from_ptr(name))
            {
                let mut may = false;
                guarded(|| {
                    may = (checks.may_fetch_held)(CStr::from_ptr(name))?;
                    Ok(())
                });
                if may {
                    portal::unseal(CStr::from_ptr(name));
                    return name;
                }
            }
        }
        std::ptr::null()
    }
}

/// Puts the hooks in front of those that are there. Called once per backend.
pub fn install(checks: Checks) {
    CHECKS.set(Some(checks));
    leftovers::assume_any_unless_preloading();
    procedure::assume_running_unless_preloading();
    key_action::install();
    merge::install();
    // SAFETY: the hook variables are this backend's own, and only set while the library loads.
    unsafe {
        PREVIOUS.set(Previous {
            start: pg_sys::ExecutorStart_hook,
            run: pg_sys::ExecutorRun_hook,
            finish: pg_sys::ExecutorFinish_hook,
            utility: pg_sys::ProcessUtility_hook,
            access: pg_sys::object_access_hook,
        });
        pg_sys::ExecutorStart_hook = Some(executor_start);
        pg_sys::ExecutorRun_hook = Some(executor_run);
        pg_sys::ExecutorFinish_hook = Some(executor_finish);
        pg_sys::ProcessUtility_hook = Some(process_utility);
        pg_sys::object_access_hook = Some(object_access);
    }
}
