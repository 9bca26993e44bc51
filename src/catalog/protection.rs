//! `tenancy.protection`: which tables are protected, by which column, as what kind.

use super::{registry, spi};
use crate::error::Result;
use crate::sys::backend::BackendCell;
use crate::sys::scan::{self, Key};
use crate::sys::{INVALID_OID, Oid, invalidation, relation};
use std::cell::RefCell;
use std::collections::HashMap;

// Attribute numbers of the table, fixed by its DDL; new columns come after these.
const RELATION: i16 = 1;
const TENANT_COLUMN: i16 = 3;

/// Relations kept in memory as protected or not; when there are more, all are looked up again.
const CAPACITY: usize = 10_000;

#[derive(Default)]
struct Known {
    is_protected: HashMap<Oid, bool>,
    /// Counts changes, so that what was read across one is not kept.
    changes: u64,
}

/// Relations that were found not to be protected, each in the place that its number leads to: asked with each statement.
static UNPROTECTED: [BackendCell<Oid>; 64] = [const { BackendCell::new(INVALID_OID) }; 64];

fn place(relation: Oid) -> &'static BackendCell<Oid> {
    &UNPROTECTED[relation.to_u32() as usize % UNPROTECTED.len()]
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// Drops what is known of a relation that changed; an invalid OID stands for all. Can't fail.
pub fn relation_changed(relation: Oid) {
    KNOWN.with_borrow_mut(|known| {
        known.changes += 1;
        if relation == INVALID_OID || registry::is_protection(relation) {
            known.is_protected.clear();
            UNPROTECTED.iter().for_each(|place| place.set(INVALID_OID));
        } else {
            known.is_protected.remove(&relation);
            place(relation).set(INVALID_OID);
        }
    });
}

/// Whether the relation is known not to be protected. Looks into memory alone, and can't fail.
#[inline]
pub fn is_known_unprotected(relation: Oid) -> bool {
    relation::is_built_in(relation) || place(relation).get() == relation
}

/// Whether the relation is protected, by itself or as a part of a protected table. Keeps the answer.
pub fn is_protected(relation: Oid) -> bool {
    if relation::is_built_in(relation) {
        return false;
    }
    let (known, changes) = KNOWN.with_borrow(|known| (known.is_protected.get(&relation).copied(), known.changes));
    if let Some(protected) = known {
        if !protected {
            place(relation).set(relation);
        }
        return protected;
    }
    let protected = look_up(relation);
    KNOWN.with_borrow_mut(|known| {
        if known.changes == changes {
            if known.is_protected.len() >= CAPACITY {
                known.is_protected.clear();
            }
            known.is_protected.insert(relation, protected);
            if !protected {
                place(relation).set(relation);
            }
        }
    });
    protected
}

/// Where the extension is not installed, nothing is protected.
fn look_up(relation: Oid) -> bool {
    let Ok(registry) = registry::get() else { return false };
    let mut protected = false;
    scan::find(registry.protection, registry.protection_by_relation, &[(RELATION, Key::Oid(relation))], |row| {
        protected = !row.is_null(TENANT_COLUMN as usize);
        true
    });
    protected
}

/// The tenant column that a table is protected by, if it is. Read as catalogs are, whoever asks.
pub fn recorded_column(relation: Oid) -> Result<Option<String>> {
    let registry = registry::get()?;
    let mut column = None;
    scan::find(registry.protection, registry.protection_by_relation, &[(RELATION, Key::Oid(relation))], |row| {
        column = row.name(TENANT_COLUMN as usize);
        true
    });
    Ok(column)
}

/// What is recorded of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protection {
    pub kind: String,
    /// `None` for a global table.
    pub tenant_column: Option<String>,
}

/// The record of a table, if it has one. Needs the rights of the extension's owner.
pub fn find(relation: Oid) -> Result<Option<Protection>> {
    let rows = spi::read_latest(
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
    spi::read_latest(ROOTS, &[], |row| {
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
    invalidation::announce(relation);
    Ok(true)
}

/// Removes the record of a table. Returns whether there was one.
pub fn remove(relation: Oid) -> Result<bool> {
    let count =
        spi::run("DELETE FROM tenancy.protection WHERE relation OPERATOR(pg_catalog.=) $1", &[relation.into()])?;
    if count > 0 {
        invalidation::announce(relation);
    }
    Ok(count > 0)
}

/// Removes the records of the tables, audited or not, and managed schemas that the current command dropped. For a `sql_drop` event
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
        "DELETE FROM tenancy.audited AS a \
         USING pg_catalog.pg_event_trigger_dropped_objects() AS d \
         WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass \
           AND d.objsubid OPERATOR(pg_catalog.=) 0 \
           AND d.objid OPERATOR(pg_catalog.=) a.relation",
        &[],
    )?;
    spi::run(
        "DELETE FROM tenancy.managed_schema AS m \
         USING pg_catalog.pg_event_trigger_dropped_objects() AS d \
         WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass \
           AND d.object_name OPERATOR(pg_catalog.=) m.schema::pg_catalog.text",
        &[],
    )?;
    Ok(())
}
