//! Which state of the database a query sees: its transaction's may be older than what others have committed.

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use std::ffi::{CStr, c_char};

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

    /// Opens a cursor over the query, which sees what has been committed by now, whatever the isolation level, and
    /// all that this transaction has done. Returns its name. Only within an SPI connection, with arguments of the
    /// types that it was kept with.
    pub fn open(self, args: &[DatumWithOid<'_>]) -> String {
        // SAFETY: within a transaction, as SPI is. What is pushed is popped.
        unsafe {
            pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
            let name = self.open_under_active(args);
            pg_sys::PopActiveSnapshot();
            name
        }
    }

    /// As `open`, twice: without what the running statement has done so far, and with it. Nothing else tells the two
    /// apart: what others have committed since the statement began is in both, since it counts as being there before,
    /// as it does for the statement, which waited for their locks. `None` when what was before can't be seen any
    /// more, since the statement has committed on its way (as with CONCURRENTLY).
    pub fn open_around(self, args: &[DatumWithOid<'_>]) -> Option<(String, String)> {
        // SAFETY: as in `open`. PostgreSQL took the active snapshot before it ran the statement, and whoever needs a
        // newer one pushes it on top and pops it again: its command id is that of the statement's beginning. Both
        // that are pushed are copies, of the same one: nobody else holds the one that is changed here.
        unsafe {
            if !pg_sys::ActiveSnapshotSet() {
                return None;
            }
            let command = (*pg_sys::GetActiveSnapshot()).curcid;
            pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
            pg_sys::PushCopiedSnapshot(pg_sys::GetActiveSnapshot());
            (*pg_sys::GetActiveSnapshot()).curcid = command;
            let before = self.open_under_active(args);
            pg_sys::PopActiveSnapshot();
            let now = self.open_under_active(args);
            pg_sys::PopActiveSnapshot();
            Some((before, now))
        }
    }

    /// # Safety
    /// With an active snapshot, and otherwise as for `open`.
    unsafe fn open_under_active(self, args: &[DatumWithOid<'_>]) -> String {
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
            let portal = pg_sys::SPI_cursor_open(std::ptr::null(), self.0, values.as_mut_ptr(), nulls.as_ptr(), true);
            CStr::from_ptr((*portal).name).to_string_lossy().into_owned()
        }
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
