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
         SELECT oid::pg_catalog.regnamespace, $2 FROM pg_catalog.pg_namespace \
         WHERE nspname OPERATOR(pg_catalog.=) $1::pg_catalog.name \
         ON CONFLICT (schema) DO UPDATE SET on_new = EXCLUDED.on_new \
         WHERE m.on_new OPERATOR(pg_catalog.<>) EXCLUDED.on_new",
        &[schema.into(), on_new.into()],
    )?;
    Ok(count > 0)
}
