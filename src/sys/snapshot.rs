//! Which state of the database a query sees: its transaction's may be older than what others have committed.

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use std::ffi::{CStr, c_char};

/// What a query sees of what was committed, or done by this transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// All of it, whatever the isolation level.
    Now,
    /// All but what the running statement has done so far.
    BeforeStatement,
}

/// A SELECT that is planned once and kept as long as the session.
#[derive(Debug, Clone, Copy)]
pub struct Plan(pg_sys::SPIPlanPtr);

impl Plan {
    /// Only within an SPI connection; `None` when it can't be kept.
    pub fn keep(query: &CStr, types: &[pg_sys::Oid]) -> Option<Self> {
        let mut types = types.to_vec();
        // SAFETY: query and types outlive the call, which copies them; a plan that is kept is no longer tied to
        // the connection, and is never freed.
        unsafe {
            let plan = pg_sys::SPI_prepare(query.as_ptr(), types.len() as i32, types.as_mut_ptr());
            (!plan.is_null() && pg_sys::SPI_keepplan(plan) == 0).then_some(Self(plan))
        }
    }

    /// Opens a cursor over the query and returns its name. `None` when what was before the running statement
    /// can't be seen any more, since it has committed on its way (as with CONCURRENTLY). Only within an SPI
    /// connection, with arguments of the types that it was kept with.
    pub fn open(self, seen: Seen, args: &[DatumWithOid<'_>]) -> Option<String> {
        let mut nulls = Vec::with_capacity(args.len());
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            let value = arg.datum().map(pgrx::datum::Datum::sans_lifetime);
            nulls.push(if value.is_some() { b' ' } else { b'n' } as c_char);
            values.push(value.unwrap_or(pg_sys::Datum::null()));
        }
        // SAFETY: the plan lives as long as the session. Values and nulls have one entry per argument and
        // outlive the call, which copies them. A read-only cursor uses the active snapshot, and keeps a
        // reference of its own. The portal is valid, and its name lives as long as it does.
        unsafe {
            push(seen).then(|| {
                let portal =
                    pg_sys::SPI_cursor_open(std::ptr::null(), self.0, values.as_mut_ptr(), nulls.as_ptr(), true);
                pg_sys::PopActiveSnapshot();
                CStr::from_ptr((*portal).name).to_string_lossy().into_owned()
            })
        }
    }
}

/// Makes a snapshot the active one, unless there is none such.
///
/// # Safety
/// In a transaction; the caller pops the snapshot.
unsafe fn push(seen: Seen) -> bool {
    // SAFETY: PostgreSQL took the active snapshot before it ran the statement, and whoever needs a newer one pushes
    // it on top and pops it again: its command id is that of the statement's beginning. What others have committed
    // since then counts as being there before, as it does for the command, which waited for their locks. The
    // latest snapshot is copied when it is pushed, so nobody else holds what is changed here.
    unsafe {
        let command = match seen {
            Seen::Now => None,
            Seen::BeforeStatement if !pg_sys::ActiveSnapshotSet() => return false,
            Seen::BeforeStatement => Some((*pg_sys::GetActiveSnapshot()).curcid),
        };
        pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
        if let Some(command) = command {
            (*pg_sys::GetActiveSnapshot()).curcid = command;
        }
        true
    }
}

/// Frees the rows that the last SPI call returned. Only within an SPI connection, when nobody reads them any more.
pub fn free_rows() {
    // SAFETY: NULL, or what the last call made, which is then taken away.
    unsafe {
        if !pg_sys::SPI_tuptable.is_null() {
            pg_sys::SPI_freetuptable(pg_sys::SPI_tuptable);
            pg_sys::SPI_tuptable = std::ptr::null_mut();
        }
    }
}
