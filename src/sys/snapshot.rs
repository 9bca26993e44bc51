//! Looking back: the database as the statement that is running found it.

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use std::ffi::CStr;

/// Opens a cursor over `query`, a SELECT, that doesn't see what the running statement has done so far,
/// and returns its name. `None` when that can't be seen any more, since the statement has committed
/// on its way (as with CONCURRENTLY). Only within an SPI connection.
pub fn open_before_statement(query: &CStr, args: &[DatumWithOid<'_>]) -> Option<String> {
    let mut types: Vec<pg_sys::Oid> = args.iter().map(DatumWithOid::oid).collect();
    let mut nulls = Vec::with_capacity(args.len());
    let mut values = Vec::with_capacity(args.len());
    for arg in args {
        let value = arg.datum().map(pgrx::datum::Datum::sans_lifetime);
        nulls.push(if value.is_some() { b' ' } else { b'n' } as std::ffi::c_char);
        values.push(value.unwrap_or(pg_sys::Datum::null()));
    }
    // SAFETY: PostgreSQL took the active snapshot before it ran the statement, and whoever needs a newer
    // one pushes it on top and pops it again. A read-only cursor uses the active one. Types, values and
    // nulls have one entry per argument and outlive the call, which copies them; the portal is valid,
    // and its name lives as long as it does.
    unsafe {
        if !pg_sys::ActiveSnapshotSet() {
            return None;
        }
        let portal = pg_sys::SPI_cursor_open_with_args(
            std::ptr::null(),
            query.as_ptr(),
            args.len() as i32,
            types.as_mut_ptr(),
            values.as_mut_ptr(),
            nulls.as_ptr(),
            true,
            0,
        );
        Some(CStr::from_ptr((*portal).name).to_string_lossy().into_owned())
    }
}
