//! `tenancy.protection`: which tables are protected, by which column, as what kind.

use super::spi;
use crate::error::Result;
use crate::sys::Oid;

/// What is recorded of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protection {
    pub kind: String,
    /// `None` for a global table.
    pub tenant_column: Option<String>,
}

/// The record of a table, if it has one. Needs the rights of the extension's owner.
pub fn find(relation: Oid) -> Result<Option<Protection>> {
    let rows = spi::read(
        "SELECT kind, tenant_column::pg_catalog.text FROM tenancy.protection \
         WHERE relation OPERATOR(pg_catalog.=) $1",
        &[relation.into()],
        |row| Ok(Protection { kind: row.require(1)?, tenant_column: row.get(2)? }),
    )?;
    Ok(rows.into_iter().next())
}

/// A protected table that is no part of another.
#[derive(Debug, Clone)]
pub struct Root {
    pub relation: Oid,
    pub kind: String,
    pub tenant_column: String,
    /// Schema-qualified.
    pub name: String,
}

/// The protected tables that exist and are no part of another one. Needs the rights of the
/// extension's owner.
pub fn roots() -> Result<Vec<Root>> {
    const ROOTS: &str = include_str!("../../sql/queries/protected_roots.sql");
    spi::read(ROOTS, &[], |row| {
        Ok(Root {
            relation: row.require(1)?,
            kind: row.require(2)?,
            tenant_column: row.require(3)?,
            name: row.require(4)?,
        })
    })
}

/// Records a table. Returns whether anything changed.
pub fn put(relation: Oid, protection: &Protection) -> Result<bool> {
    if find(relation)?.as_ref() == Some(protection) {
        return Ok(false);
    }
    spi::run(
        "INSERT INTO tenancy.protection (relation, kind, tenant_column) \
         VALUES ($1, $2, $3::pg_catalog.name) \
         ON CONFLICT (relation) DO UPDATE \
         SET kind = EXCLUDED.kind, tenant_column = EXCLUDED.tenant_column",
        &[relation.into(), protection.kind.as_str().into(), protection.tenant_column.as_deref().into()],
    )?;
    Ok(true)
}

/// Removes the record of a table. Returns whether there was one.
pub fn remove(relation: Oid) -> Result<bool> {
    let count =
        spi::run("DELETE FROM tenancy.protection WHERE relation OPERATOR(pg_catalog.=) $1", &[relation.into()])?;
    Ok(count > 0)
}

/// Removes the records of the tables and managed schemas that the current command dropped. For a `sql_drop` event
/// trigger alone.
pub fn forget_dropped() -> Result<()> {
    spi::run(
        "DELETE FROM tenancy.protection AS p \
         USING pg_catalog.pg_event_trigger_dropped_objects() AS d \
         WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass \
           AND d.objsubid OPERATOR(pg_catalog.=) 0 \
           AND d.objid OPERATOR(pg_catalog.=) p.relation",
        &[],
    )?;
    spi::run(
        "DELETE FROM tenancy.managed_schema AS m \
         USING pg_catalog.pg_event_trigger_dropped_objects() AS d \
         WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass \
           AND d.objid OPERATOR(pg_catalog.=) m.schema",
        &[],
    )?;
    Ok(())
}
