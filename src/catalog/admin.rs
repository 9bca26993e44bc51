//! Administrators: roles that may execute the functions which change things.

use super::{registry, spi};
use crate::error::Result;
use crate::sys::{Oid, relation};

/// What an administrator is granted: each function of the schema that PUBLIC may not execute and
/// that SQL can call. Rows are complete GRANT targets.
const FUNCTIONS: &str = include_str!("../../sql/queries/admin_functions.sql");

/// The functions that only administrators may execute, as `schema.name(types)`.
pub fn functions() -> Result<Vec<String>> {
    spi::read(FUNCTIONS, &[], |row| row.require(1))
}

/// Whether the role is an administrator: it may execute what others may not.
pub fn is_admin(role: Oid) -> Result<bool> {
    let may = spi::read(
        "SELECT pg_catalog.has_function_privilege($1, 'tenancy.prove(regclass)', 'EXECUTE')",
        &[role.into()],
        |row| row.require(1),
    )?;
    Ok(may.into_iter().any(|may| may))
}

/// Keeps others from granting and revoking administration until the transaction ends: PostgreSQL
/// fails when two sessions change the privileges of one function at once.
pub fn lock() -> Result<()> {
    relation::lock_definition(registry::get()?.access);
    Ok(())
}

/// Runs one composed GRANT or REVOKE.
pub fn execute(ddl: &str) -> Result<()> {
    spi::run(ddl, &[])?;
    Ok(())
}
