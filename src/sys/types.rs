//! Data types by OID.

use pgrx::pg_sys;
use std::ffi::CStr;

/// The type under all domains.
pub fn base(type_oid: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: a system cache look-up; the type is that of an existing column.
    unsafe { pg_sys::getBaseType(type_oid) }
}

/// The type's SQL name, as it stands in a deparsed cast.
pub fn name(type_oid: pg_sys::Oid) -> String {
    // SAFETY: returns a palloc'd string for any OID.
    unsafe {
        let name = pg_sys::format_type_be(type_oid);
        CStr::from_ptr(name).to_string_lossy().into_owned()
    }
}
