//! Locks that are held until the transaction ends, prepared transactions included.

use pgrx::pg_sys;

/// What others may hold meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Others may hold the same.
    Shared,
    /// Nobody else holds any.
    Alone,
}

fn level(mode: Mode) -> pg_sys::LOCKMODE {
    let level = match mode {
        Mode::Shared => pg_sys::RowExclusiveLock,
        Mode::Alone => pg_sys::ShareRowExclusiveLock,
    };
    level as pg_sys::LOCKMODE
}

/// Locks what the numbers stand for. They mean something within the table alone, which is not locked.
pub fn object(table: pg_sys::Oid, number: u32, part: u16, mode: Mode) {
    // SAFETY: takes a heavyweight lock in the running transaction; any numbers will do.
    unsafe { pg_sys::LockDatabaseObject(table, pg_sys::Oid::from(number), part, level(mode)) }
}

/// As `object`, unless somebody would have to be waited for.
pub fn try_object(table: pg_sys::Oid, number: u32, part: u16, mode: Mode) -> bool {
    // SAFETY: as above.
    unsafe { pg_sys::ConditionalLockDatabaseObject(table, pg_sys::Oid::from(number), part, level(mode)) }
}

/// Keeps TRUNCATE, DROP and the like away from a table, while readers and writers go on.
pub fn against_removal(table: pg_sys::Oid) {
    // SAFETY: takes a lock, held to the end of the transaction.
    unsafe { pg_sys::LockRelationOid(table, pg_sys::AccessShareLock as pg_sys::LOCKMODE) }
}

/// Keeps writers away from a table, while readers go on.
pub fn against_writes(table: pg_sys::Oid) {
    // SAFETY: takes a lock, held to the end of the transaction.
    unsafe { pg_sys::LockRelationOid(table, pg_sys::ShareRowExclusiveLock as pg_sys::LOCKMODE) }
}
