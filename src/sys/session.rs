//! What there is to know of the session itself.

use pgrx::pg_sys;
use std::ffi::{CStr, c_char, c_int};

/// Who is at work here, for logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub database: String,
    pub application: String,
    pub process: i32,
}

/// This session.
pub fn current() -> Session {
    // SAFETY: variables of this backend; the strings are valid until they are set again.
    unsafe {
        Session {
            database: text(pg_sys::get_database_name(pg_sys::MyDatabaseId)),
            application: text(pg_sys::application_name),
            process: pg_sys::MyProcPid,
        }
    }
}

/// What the client calls itself.
pub fn application() -> String {
    // SAFETY: a variable of this backend, valid until it is set again.
    unsafe { text(pg_sys::application_name) }
}

/// The database's OID.
pub fn database() -> pg_sys::Oid {
    // SAFETY: reads a variable of this backend.
    unsafe { pg_sys::MyDatabaseId }
}

/// Whether the session asks for errors instead of rows that row security has left out. `row_security = off`
/// does so, and is what pg_dump and pg_restore set.
pub fn has_row_security_off() -> bool {
    // SAFETY: reads a setting.
    unsafe { !pg_sys::row_security }
}

/// Whether the client speaks the replication protocol.
pub fn is_replication() -> bool {
    // SAFETY: reads a variable of this process.
    unsafe { pg_sys::MyBackendType == pg_sys::BackendType::B_WAL_SENDER }
}

/// Whether this process applies what a subscription receives, or copies a table for one.
pub fn applies_subscription() -> bool {
    unsafe extern "C" {
        #[link_name = "IsLogicalWorker"]
        fn is_logical_worker() -> bool;
    }
    // SAFETY: reads a variable of this process, and can't raise an error.
    unsafe { is_logical_worker() }
}

/// Where the client connected from, as an `inet` in the current memory context; nothing for a Unix socket.
pub fn client_address() -> Option<pg_sys::Datum> {
    // SAFETY: a process without a client has no port, for which the function looks itself; it takes no arguments.
    unsafe { pgrx::direct_function_call_as_datum(pg_sys::inet_client_addr, &[]) }
}

/// Calls `at_exit` when the session ends, while it can still use shared memory; told whether it ends in order.
pub fn on_exit(at_exit: fn(bool)) {
    #[pgrx::pg_guard]
    unsafe extern "C-unwind" fn callback(code: c_int, arg: pg_sys::Datum) {
        // SAFETY: `arg` is the `fn(bool)` that `on_exit` registered, and nothing else.
        let at_exit: fn(bool) = unsafe { std::mem::transmute(arg.value()) };
        at_exit(code == 0);
    }
    // SAFETY: the callback has the signature that PostgreSQL asks for, and the library stays loaded.
    unsafe { pg_sys::before_shmem_exit(Some(callback), pg_sys::Datum::from(at_exit as usize)) }
}

/// The limit for a statement that is set, in milliseconds; 0 for none.
pub fn statement_timeout() -> c_int {
    // SAFETY: reads a setting.
    unsafe { pg_sys::StatementTimeout }
}

/// Has the running statement's time limited by what is set now, counted from when the statement came, as PostgreSQL does.
pub fn restart_statement_timeout() {
    /// `TimeoutId`, the same in all versions.
    const STATEMENT_TIMEOUT: c_int = 3;
    unsafe extern "C-unwind" {
        #[link_name = "get_timeout_active"]
        fn get_timeout_active(id: c_int) -> bool;
        #[link_name = "enable_timeout_at"]
        fn enable_timeout_at(id: c_int, at: pg_sys::TimestampTz);
        #[link_name = "disable_timeout"]
        fn disable_timeout(id: c_int, keep_indicator: bool);
    }
    // SAFETY: every backend has registered this timeout; what PostgreSQL does when a statement begins. A process that runs no
    // client's statements counts no time.
    unsafe {
        if pg_sys::MyBackendType != pg_sys::BackendType::B_BACKEND {
            return;
        }
        if get_timeout_active(STATEMENT_TIMEOUT) {
            disable_timeout(STATEMENT_TIMEOUT, false);
        }
        if pg_sys::StatementTimeout > 0 {
            let limit = i64::from(pg_sys::StatementTimeout) * 1000;
            enable_timeout_at(STATEMENT_TIMEOUT, pg_sys::GetCurrentStatementStartTimestamp() + limit);
        }
    }
}

/// # Safety
/// NULL or a valid C string.
unsafe fn text(text: *const c_char) -> String {
    // SAFETY: by the contract above.
    if text.is_null() { String::new() } else { unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned() }
}
