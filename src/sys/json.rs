//! `jsonb` values, for PostgreSQL to take apart: no number in them is too large, and none too long.

use crate::sys::datum;
use pgrx::datum::{AnyElement, DatumWithOid};
use pgrx::{FromDatum, pg_sys};
use std::ffi::{CStr, CString};

/// A `jsonb` value as it came.
#[derive(Debug, Clone, Copy)]
pub struct Jsonb(pg_sys::Datum);

impl Jsonb {
    /// From the argument of a function that is declared to take one; `None` where it is of another type. Its type is not known
    /// where the function is called without an expression.
    pub fn from_argument(argument: AnyElement) -> Option<Self> {
        [pg_sys::JSONBOID, pg_sys::InvalidOid].contains(&argument.oid()).then_some(Self(argument.datum()))
    }

    /// As the result of a function that is declared to return one.
    pub fn into_result(self) -> Option<AnyElement> {
        // SAFETY: a datum of that type.
        unsafe { AnyElement::from_polymorphic_datum(self.0, false, pg_sys::JSONBOID) }
    }

    /// As JSON text.
    pub fn to_text(self) -> String {
        // SAFETY: a datum of that type, compressed or not; the text is copied.
        let text: Option<&CStr> = unsafe { pgrx::direct_function_call(pg_sys::jsonb_out, &[Some(self.0)]) };
        text.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// As the argument of a query.
    pub fn as_argument(&self) -> DatumWithOid<'_> {
        // SAFETY: a datum of that type; an argument outlives the call of the function that it is for.
        unsafe { datum::argument(self.0, pg_sys::JSONBOID) }
    }
}

/// A value that is kept, and handed out in copies.
#[derive(Debug)]
pub struct JsonbImage(Box<[u32]>);

impl JsonbImage {
    /// Of JSON text.
    pub fn new(json: &str) -> Self {
        let json = CString::new(json).unwrap_or_default();
        // SAFETY: the function takes a C string, raises an error for what is no JSON, and returns an uncompressed varlena
        // in the current memory context; source and target do not overlap.
        unsafe {
            let argument = pg_sys::Datum::from(json.as_ptr());
            let value = pgrx::direct_function_call_as_datum(pg_sys::jsonb_in, &[Some(argument)]);
            let start = value.map_or(std::ptr::null(), |value| value.cast_mut_ptr::<u8>().cast_const());
            let size = if start.is_null() { 0 } else { pgrx::varsize_any(start.cast()) };
            let mut words = vec![0u32; size.div_ceil(4)].into_boxed_slice();
            std::ptr::copy_nonoverlapping(start, words.as_mut_ptr().cast::<u8>(), size);
            Self(words)
        }
    }

    /// In the current memory context.
    pub fn copy(&self) -> Jsonb {
        // SAFETY: what `new` has copied, which begins with its size.
        Jsonb(unsafe { datum::copy_varlena(pg_sys::Datum::from(self.0.as_ptr())) })
    }
}

/// A value that may be missing, as the argument of a query.
pub fn argument(value: Option<&Jsonb>) -> DatumWithOid<'_> {
    value.map_or_else(|| DatumWithOid::null_oid(pg_sys::JSONBOID), Jsonb::as_argument)
}
