//! `tenancy.managed_schema`: what happens to tables that come into a schema.

use super::spi;
use crate::error::{Error, Result};

/// Records what happens. Returns whether anything changed.
///
/// # Errors
/// 3F000 unknown schema; 0A000 for a system schema or the extension's own.
pub fn put(schema: &str, on_new: &str) -> Result<bool> {
    let known = spi::read_latest(
        "SELECT nspname OPERATOR(pg_catalog.~) '^(pg_|information_schema$|tenancy$)' FROM pg_catalog.pg_namespace \
         WHERE nspname OPERATOR(pg_catalog.=) $1::pg_catalog.name",
        &[schema.into()],
        |row| row.require::<bool>(1),
    )?;
    match known.first() {
        None => return Err(Error::UnknownSchema(schema.to_owned())),
        Some(true) => {
            let object = format!("schema {schema}");
            return Err(Error::UnsupportedRelation { object, reason: "it is a system schema" });
        }
        Some(false) => {}
    }
    let count = spi::run(
        "INSERT INTO tenancy.managed_schema AS m (schema, on_new) \
         VALUES ($1::pg_catalog.name, $2) \
         ON CONFLICT (schema) DO UPDATE SET on_new = EXCLUDED.on_new \
         WHERE m.on_new OPERATOR(pg_catalog.<>) EXCLUDED.on_new",
        &[schema.into(), on_new.into()],
    )?;
    Ok(count > 0)
}

/// Keeps what is recorded of a schema under its new name. Needs the rights of the extension's owner.
pub fn rename(from: &str, to: &str) -> Result<()> {
    // What a schema of that name had left, if its end was not noticed.
    spi::run(
        "DELETE FROM tenancy.managed_schema WHERE schema OPERATOR(pg_catalog.=) $1::pg_catalog.name",
        &[to.into()],
    )?;
    spi::run(
        "UPDATE tenancy.managed_schema SET schema = $2::pg_catalog.name \
         WHERE schema OPERATOR(pg_catalog.=) $1::pg_catalog.name",
        &[from.into(), to.into()],
    )?;
    Ok(())
}
