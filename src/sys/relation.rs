//! Relations by OID: owner, schema, locks.

use crate::error::{Error, Result};
use pgrx::pg_sys;
use std::ffi::CStr;

/// What the catalog says of a relation before anything is done to it.
#[derive(Debug, Clone, Copy)]
pub struct Brief {
    pub owner: pg_sys::Oid,
    pub schema: pg_sys::Oid,
    pub kind: Kind,
}

/// What kind of relation it is, as far as row security is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Table,
    Partitioned,
    View,
    MaterializedView,
    ForeignTable,
    Other,
}

impl Kind {
    /// From `pg_class.relkind`.
    pub fn from_code(code: u8) -> Self {
        match code {
            pg_sys::RELKIND_RELATION => Self::Table,
            pg_sys::RELKIND_PARTITIONED_TABLE => Self::Partitioned,
            pg_sys::RELKIND_VIEW => Self::View,
            pg_sys::RELKIND_MATVIEW => Self::MaterializedView,
            pg_sys::RELKIND_FOREIGN_TABLE => Self::ForeignTable,
            _ => Self::Other,
        }
    }
}

/// Reads `pg_class` through the system cache.
pub fn brief(relation: pg_sys::Oid) -> Result<Brief> {
    // SAFETY: a valid cache tuple holds a pg_class row; it is released before returning.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as i32, pg_sys::Datum::from(relation));
        if tuple.is_null() {
            return Err(Error::UnknownRelation(relation.to_u32()));
        }
        let form = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>();
        let brief = Brief {
            owner: (*form).relowner,
            schema: (*form).relnamespace,
            kind: Kind::from_code((*form).relkind as u8),
        };
        pg_sys::ReleaseSysCache(tuple);
        Ok(brief)
    }
}

/// Whether the current user is the relation's owner, has the owner's privileges, or is a superuser.
pub fn is_owned(relation: pg_sys::Oid) -> bool {
    // SAFETY: a catalog look-up for an existing relation.
    unsafe {
        #[cfg(feature = "pg15")]
        return pg_sys::pg_class_ownercheck(relation, pg_sys::GetUserId());
        #[cfg(not(feature = "pg15"))]
        return pg_sys::object_ownercheck(pg_sys::RelationRelationId, relation, pg_sys::GetUserId());
    }
}

/// Whether the OID is one that PostgreSQL itself came with.
#[inline]
pub fn is_built_in(relation: pg_sys::Oid) -> bool {
    relation.to_u32() < pg_sys::FirstNormalObjectId
}

/// Schema and name, quoted where they must be; `None` for a relation that has gone.
pub fn name(relation: pg_sys::Oid) -> Option<String> {
    // SAFETY: catalog look-ups that give NULL for what is missing, and palloc'd strings otherwise.
    unsafe {
        let name = pg_sys::get_rel_name(relation);
        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(relation));
        if name.is_null() || schema.is_null() {
            return None;
        }
        let quoted = |name| pgrx::spi::quote_identifier(CStr::from_ptr(name).to_string_lossy());
        Some(format!("{}.{}", quoted(schema), quoted(name)))
    }
}

/// Whether the relation lies in a system schema.
pub fn is_system(brief: &Brief) -> bool {
    // SAFETY: compares OIDs, and looks the schema's name up for TOAST schemas.
    unsafe { pg_sys::IsCatalogNamespace(brief.schema) || pg_sys::IsToastNamespace(brief.schema) }
}

/// Whether the relation lies in the extension's own schema.
pub fn is_extension_schema(brief: &Brief) -> bool {
    // SAFETY: a syscache look-up; with `missing_ok` absence is an invalid OID.
    unsafe { pg_sys::get_namespace_oid(c"tenancy".as_ptr(), true) == brief.schema }
}

/// Keeps other schema changes of the relation away until the transaction ends, while reads and
/// writes go on.
pub fn lock_definition(relation: pg_sys::Oid) {
    // SAFETY: takes a lock, held to the end of the transaction.
    unsafe { pg_sys::LockRelationOid(relation, pg_sys::ShareUpdateExclusiveLock as pg_sys::LOCKMODE) }
}

/// Runs `work` while no other session runs its own for that part of the relation. The lock is one of a kind that
/// nothing but this takes.
pub fn one_at_a_time<T>(relation: pg_sys::Oid, part: u32, work: impl FnOnce() -> T) -> T {
    let (part, mode) = (pg_sys::Oid::from(part), pg_sys::ExclusiveLock as pg_sys::LOCKMODE);
    // SAFETY: takes a lock and gives it back; when an error passes, the end of the (sub)transaction does so.
    unsafe { pg_sys::LockDatabaseObject(relation, part, 1, mode) };
    let result = work();
    // SAFETY: as above.
    unsafe { pg_sys::UnlockDatabaseObject(relation, part, 1, mode) };
    result
}

/// Keeps everybody else away from the relation until the transaction ends.
pub fn lock_exclusively(relation: pg_sys::Oid) {
    // SAFETY: takes a lock, held to the end of the transaction.
    unsafe { pg_sys::LockRelationOid(relation, pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE) }
}
