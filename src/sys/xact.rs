//! Transactions: where we are in one, and being told of its end.

use pgrx::pg_sys;
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

/// Calls `at_end` whenever a top-level transaction of this backend ends, with whether it was committed
/// (or prepared). It must not fail: it runs where an error can't be handled any more.
pub fn on_end(at_end: fn(bool)) {
    unsafe extern "C-unwind" fn callback(event: pg_sys::XactEvent::Type, arg: *mut c_void) {
        use pg_sys::XactEvent::*;
        if matches!(
            event,
            XACT_EVENT_COMMIT
                | XACT_EVENT_ABORT
                | XACT_EVENT_PREPARE
                | XACT_EVENT_PARALLEL_COMMIT
                | XACT_EVENT_PARALLEL_ABORT
        ) {
            // SAFETY: `arg` is the `fn(bool)` that `on_end` registered, and nothing else.
            let at_end: fn(bool) = unsafe { std::mem::transmute(arg) };
            at_end(!matches!(event, XACT_EVENT_ABORT | XACT_EVENT_PARALLEL_ABORT));
        }
    }
    // SAFETY: the callback has the signature that PostgreSQL asks for and lives as long as the library,
    // which is never unloaded.
    unsafe { pg_sys::RegisterXactCallback(Some(callback), at_end as *mut c_void) }
}

/// Calls `before_commit` whenever a top-level transaction of this backend is about to be committed or prepared, where
/// what fails fails the transaction. Not in parallel workers.
pub fn on_commit(before_commit: fn()) {
    unsafe extern "C-unwind" fn callback(event: pg_sys::XactEvent::Type, arg: *mut c_void) {
        use pg_sys::XactEvent::*;
        if matches!(event, XACT_EVENT_PRE_COMMIT | XACT_EVENT_PRE_PREPARE) {
            // SAFETY: `arg` is the `fn()` that `on_commit` registered, and nothing else. The guard is called from a
            // function that PostgreSQL called, with nothing to drop.
            unsafe {
                let before_commit: fn() = std::mem::transmute(arg);
                pg_sys::panic::pgrx_extern_c_guard(before_commit);
            }
        }
    }
    // SAFETY: as above.
    unsafe { pg_sys::RegisterXactCallback(Some(callback), before_commit as *mut c_void) }
}

/// Aborts whatever transaction there is. For a session that ends.
pub fn abort() {
    // SAFETY: what PostgreSQL itself does first when a session ends; where there is none it does nothing.
    unsafe { pg_sys::AbortOutOfAnyTransaction() }
}

/// Calls `rolled_back` whenever a savepoint (an exception block too) is rolled back; as for `on_end`.
pub fn on_rollback_to_savepoint(rolled_back: fn()) {
    unsafe extern "C-unwind" fn callback(
        event: pg_sys::SubXactEvent::Type,
        _savepoint: pg_sys::SubTransactionId,
        _parent: pg_sys::SubTransactionId,
        arg: *mut c_void,
    ) {
        if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
            // SAFETY: `arg` is the `fn()` that `on_rollback_to_savepoint` registered, and nothing else.
            let rolled_back: fn() = unsafe { std::mem::transmute(arg) };
            rolled_back();
        }
    }
    // SAFETY: as above.
    unsafe { pg_sys::RegisterSubXactCallback(Some(callback), rolled_back as *mut c_void) }
}
