//! Data types by OID.

use crate::sys::datum;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

/// What is under all domains, as far as tenants are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    Uuid,
    /// `text` or `varchar`.
    Text,
    /// `smallint`, `integer` or `bigint`.
    Integer(pg_sys::Oid),
    Other,
}

/// `text`, which `varchar` is compared as.
pub const TEXT: pg_sys::Oid = pg_sys::TEXTOID;

/// `uuid`.
pub const UUID: pg_sys::Oid = pg_sys::UUIDOID;

/// `smallint`.
#[cfg(test)]
pub const INT2: pg_sys::Oid = pg_sys::INT2OID;

/// Whether an integer type takes a number.
pub fn holds(integer_type: pg_sys::Oid, number: i64) -> bool {
    match integer_type {
        pg_sys::INT2OID => i16::try_from(number).is_ok(),
        pg_sys::INT4OID => i32::try_from(number).is_ok(),
        _ => integer_type == pg_sys::INT8OID,
    }
}

/// The type under all domains, by OID.
pub fn under_domains(type_oid: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: a system cache look-up; the type is that of an existing column.
    unsafe { pg_sys::getBaseType(type_oid) }
}

/// The type under all domains.
pub fn base(type_oid: pg_sys::Oid) -> Base {
    match under_domains(type_oid) {
        pg_sys::UUIDOID => Base::Uuid,
        pg_sys::TEXTOID | pg_sys::VARCHAROID => Base::Text,
        base @ (pg_sys::INT2OID | pg_sys::INT4OID | pg_sys::INT8OID) => Base::Integer(base),
        _ => Base::Other,
    }
}

/// The type to which PostgreSQL casts a value before it compares it for equality, where it does:
/// domains are cast to what is under them, and `varchar` is compared as `text`.
pub fn coercion(type_oid: pg_sys::Oid, base: Base) -> Option<String> {
    let compared_as = match base {
        Base::Uuid => pg_sys::UUIDOID,
        Base::Text => pg_sys::TEXTOID,
        Base::Integer(base) => base,
        Base::Other => return None,
    };
    (compared_as != type_oid).then(|| name(compared_as))
}

/// The type's SQL name, as it stands in a deparsed cast.
fn name(type_oid: pg_sys::Oid) -> String {
    // SAFETY: returns a palloc'd string for any OID.
    unsafe {
        let name = pg_sys::format_type_be(type_oid);
        CStr::from_ptr(name).to_string_lossy().into_owned()
    }
}

/// A value made from text by its type.
#[derive(Debug)]
pub struct Value {
    datum: pg_sys::Datum,
    type_oid: pg_sys::Oid,
}

impl Value {
    /// As the argument of a query.
    pub fn as_argument(&self) -> DatumWithOid<'_> {
        // SAFETY: a datum of that type, which outlives what is returned.
        unsafe { datum::argument(self.datum, self.type_oid) }
    }
}

/// Has the type read a value, as the current user, and no cast of anybody's: what is in PostgreSQL's memory lives as long
/// as the (sub)transaction. `None` for what is no text of PostgreSQL's; the type raises an error where it takes no such value.
pub fn read(type_oid: pg_sys::Oid, text: &str) -> Option<Value> {
    let text = CString::new(text).ok()?;
    let (mut function, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
    // SAFETY: the type is that of an existing column, and the text outlives the call.
    let datum = unsafe {
        pg_sys::getTypeInputInfo(type_oid, &mut function, &mut parameter);
        pg_sys::OidInputFunctionCall(function, text.as_ptr().cast_mut(), parameter, -1)
    };
    Some(Value { datum, type_oid })
}
