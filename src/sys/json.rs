//! `jsonb` values, for PostgreSQL to take apart: no number in them is too large, and none too long.

use crate::sys::datum;
use pgrx::datum::{AnyElement, DatumWithOid};
use pgrx::pg_sys;

/// A `jsonb` value as it came.
#[derive(Debug, Clone, Copy)]
pub struct Jsonb(pg_sys::Datum);

impl Jsonb {
    /// From the argument of a function that is declared to take one; `None` where it is of another type. Its type is not known
    /// where the function is called without an expression.
    pub fn from_argument(argument: AnyElement) -> Option<Self> {
        [pg_sys::JSONBOID, pg_sys::InvalidOid].contains(&argument.oid()).then_some(Self(argument.datum()))
    }

    /// As the argument of a query.
    pub fn as_argument(&self) -> DatumWithOid<'_> {
        // SAFETY: a datum of that type; an argument outlives the call of the function that it is for.
        unsafe { datum::argument(self.0, pg_sys::JSONBOID) }
    }
}

/// A value that may be missing, as the argument of a query.
pub fn argument(value: Option<&Jsonb>) -> DatumWithOid<'_> {
    value.map_or_else(|| DatumWithOid::null_oid(pg_sys::JSONBOID), Jsonb::as_argument)
}
