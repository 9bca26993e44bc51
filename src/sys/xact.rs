//! Transactions: where we are in one, and being told of its end.

use crate::sys::backend::BackendCell;
use crate::sys::flag::{AT_END, BEFORE_COMMIT, Flag};
use pgrx::pg_sys;
use std::cell::RefCell;
use std::ffi::c_void;

/// Whether the client has opened a transaction block (BEGIN, or several statements sent as one).
pub fn in_block() -> bool {
    // SAFETY: reads the backend's transaction state.
    unsafe { pg_sys::IsTransactionBlock() }
}

/// Whether a transaction is in progress, so that state can be tied to it.
pub fn in_transaction() -> bool {
    // SAFETY: reads the backend's transaction state.
    unsafe { pg_sys::IsTransactionState() }
}

/// Whether the transaction may not write: it was begun so, or the server is a standby.
pub fn is_read_only() -> bool {
    // SAFETY: a flag of this backend.
    unsafe { pg_sys::XactReadOnly }
}

/// Whether the transaction is serializable, and so watched for what it reads.
pub fn is_serializable() -> bool {
    // SAFETY: a variable of this backend.
    unsafe { pg_sys::XactIsoLevel == pg_sys::XACT_SERIALIZABLE as i32 }
}

/// Whether each statement sees what was committed before it.
pub fn is_read_committed() -> bool {
    // SAFETY: a variable of this backend.
    unsafe { pg_sys::XactIsoLevel == pg_sys::XACT_READ_COMMITTED as i32 }
}

/// Whether this process is a parallel worker that is being given its leader's state.
pub fn starting_parallel_worker() -> bool {
    // SAFETY: a flag of this backend.
    unsafe { pg_sys::InitializingParallelWorker }
}

/// Whether this process is a parallel worker.
pub fn in_parallel_worker() -> bool {
    // SAFETY: a variable of this backend; -1 outside of workers.
    unsafe { pg_sys::ParallelWorkerNumber >= 0 }
}

/// Whether an operation is running in which settings must not be changed (maintenance commands
/// that run a table owner's functions, for one).
pub fn in_restricted_operation() -> bool {
    // SAFETY: reads the backend's security context.
    unsafe { pg_sys::InSecurityRestrictedOperation() }
}

/// What the running command has done so far is seen by what follows. Raises an error when the command was cancelled.
pub fn next_command() {
    pg_sys::check_for_interrupts!();
    // SAFETY: in a transaction that is not parallel; what PostgreSQL does between commands.
    unsafe { pg_sys::CommandCounterIncrement() }
}

/// Whether parallel workers are at work, or this is one: no setting may be changed.
pub fn in_parallel_mode() -> bool {
    // SAFETY: reads the transaction's state.
    unsafe { pg_sys::IsInParallelMode() }
}

/// How deep in savepoints we are: 1 outside of them. Within a callback of `on_rollback_to_savepoint`, the level of that
/// savepoint.
pub fn nest_level() -> i32 {
    // SAFETY: reads the backend's transaction state.
    unsafe { pg_sys::GetCurrentTransactionNestLevel() }
}

/// Whether code runs as another user than the session's, as in SECURITY DEFINER functions and table owners' code.
pub fn in_another_name() -> bool {
    // SAFETY: reads the backend's security context.
    unsafe { pg_sys::InLocalUserIdChange() }
}

/// What is called when top-level transactions of this backend end.
#[derive(Default)]
struct Endings {
    at_end: Vec<fn(bool)>,
    before_commit: Vec<Ending>,
}

/// What to do when a top-level transaction is about to end.
struct Ending {
    /// Up while there is anything to do.
    due: Flag,
    about_to: fn(),
    /// Before it is prepared as well.
    before_prepare: bool,
}

thread_local! {
    static ENDINGS: RefCell<Endings> = RefCell::default();
}

/// What is called in any case.
static ALWAYS: BackendCell<Option<fn()>> = BackendCell::new(None);

/// One callback for all: PostgreSQL calls each with every event. As all that is called with each statement, it lies with the
/// rest of that, so that little code is fetched for it.
#[cfg_attr(target_os = "linux", unsafe(link_section = ".text.hot"))]
unsafe extern "C-unwind" fn ends(event: pg_sys::XactEvent::Type, _arg: *mut c_void) {
    use pg_sys::XactEvent::*;
    match event {
        XACT_EVENT_COMMIT | XACT_EVENT_PREPARE | XACT_EVENT_PARALLEL_COMMIT => has_ended(true),
        XACT_EVENT_ABORT | XACT_EVENT_PARALLEL_ABORT => has_ended(false),
        XACT_EVENT_PRE_COMMIT | XACT_EVENT_PRE_PREPARE if BEFORE_COMMIT.any() => {
            // SAFETY: called from a function that PostgreSQL called, with nothing to drop.
            unsafe { pg_sys::panic::pgrx_extern_c_guard(|| is_about_to_end(event == XACT_EVENT_PRE_PREPARE)) }
        }
        _ => {}
    }
}

#[inline]
fn has_ended(committed: bool) {
    if let Some(always) = ALWAYS.get() {
        always();
    }
    // An error may have jumped over what takes a flag down, and over what puts one up.
    if committed && !AT_END.any() {
        return;
    }
    Flag::Unsettled.set(false);
    ENDINGS.with_borrow(|endings| endings.at_end.iter().for_each(|at_end| at_end(committed)));
}

fn is_about_to_end(by_prepare: bool) {
    ENDINGS.with_borrow(|endings| {
        let is_due = |ending: &&Ending| ending.due.get() && (ending.before_prepare || !by_prepare);
        endings.before_commit.iter().filter(is_due).for_each(|ending| (ending.about_to)());
    });
}

fn register() {
    static REGISTERED: BackendCell<bool> = BackendCell::new(false);
    if !REGISTERED.replace(true) {
        // SAFETY: the callback has the signature that PostgreSQL asks for and lives as long as the library, which is never
        // unloaded.
        unsafe { pg_sys::RegisterXactCallback(Some(ends), std::ptr::null_mut()) }
    }
}

/// Calls `at_end` when a top-level transaction of this backend ends, with whether it was committed (or prepared): whenever
/// it is rolled back, and otherwise when one of `flag::AT_END` is up. It must not fail: it runs where an error can't be
/// handled any more.
pub fn on_end(at_end: fn(bool)) {
    ENDINGS.with_borrow_mut(|endings| endings.at_end.push(at_end));
    register();
}

/// Calls `at_end` at the end of every top-level transaction, before what `on_end` was given; as for that.
pub fn on_every_end(at_end: fn()) {
    ALWAYS.set(Some(at_end));
    register();
}

/// While the flag is up, calls `about_to` before a top-level transaction of this backend commits; not before it is prepared,
/// and not in parallel workers. It may still fail, and so fail the transaction.
pub fn before_commit(due: Flag, about_to: fn()) {
    before_end(Ending { due, about_to, before_prepare: false });
}

/// As `before_commit`, and before the transaction is prepared as well.
pub fn before_commit_or_prepare(due: Flag, about_to: fn()) {
    before_end(Ending { due, about_to, before_prepare: true });
}

fn before_end(ending: Ending) {
    ENDINGS.with_borrow_mut(|endings| endings.before_commit.push(ending));
    register();
}

/// Aborts whatever transaction there is. For a session that ends.
pub fn abort() {
    // SAFETY: what PostgreSQL itself does first when a session ends; where there is none it does nothing.
    unsafe { pg_sys::AbortOutOfAnyTransaction() }
}

/// Calls `rolled_back` whenever a savepoint (an exception block too) is rolled back; as for `on_end`.
pub fn on_rollback_to_savepoint(rolled_back: fn()) {
    on_end_of_savepoint::<{ pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB }>(rolled_back);
}

/// Calls `released` whenever a savepoint is released; as for `on_end`.
pub fn on_release_of_savepoint(released: fn()) {
    on_end_of_savepoint::<{ pg_sys::SubXactEvent::SUBXACT_EVENT_COMMIT_SUB }>(released);
}

fn on_end_of_savepoint<const EVENT: pg_sys::SubXactEvent::Type>(ended: fn()) {
    unsafe extern "C-unwind" fn callback<const EVENT: pg_sys::SubXactEvent::Type>(
        event: pg_sys::SubXactEvent::Type,
        _savepoint: pg_sys::SubTransactionId,
        _parent: pg_sys::SubTransactionId,
        arg: *mut c_void,
    ) {
        if event == EVENT {
            // SAFETY: `arg` is the `fn()` that was registered, and nothing else.
            let ended: fn() = unsafe { std::mem::transmute(arg) };
            ended();
        }
    }
    // SAFETY: as for `on_end`.
    unsafe { pg_sys::RegisterSubXactCallback(Some(callback::<EVENT>), ended as *mut c_void) }
}
