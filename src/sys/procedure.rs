//! Whether a procedure is running. It may end the transaction under which its arguments were made.

use crate::sys::flag::Flag;
use crate::sys::xact;
use pgrx::pg_sys;

/// Up from the first CALL of a statement until the transaction that ends with no statement running.
const RUNNING: Flag = Flag::ProcedureRunning;

/// A CALL begins. Inside of a transaction block it can't end the transaction.
pub fn begins() {
    if !xact::in_block() {
        RUNNING.set(true);
    }
}

/// Whether datums may have to outlive the transaction.
pub fn is_running() -> bool {
    RUNNING.get()
}

/// A library that is loaded into a running session can't know what is being called.
pub fn assume_running_unless_preloading() {
    // SAFETY: reads flags of this process. A parallel worker runs no procedures.
    RUNNING.set(!unsafe { pg_sys::process_shared_preload_libraries_in_progress || pg_sys::InitializingParallelWorker });
}

/// The transaction has ended: by a procedure in the middle of a statement, or after the statement.
pub fn transaction_ended() {
    // SAFETY: reads a variable of this backend.
    if unsafe { pg_sys::ActivePortal.is_null() } {
        RUNNING.set(false);
    }
}
