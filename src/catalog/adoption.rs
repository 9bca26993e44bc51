//! What is in a schema that knows no tenants yet, and who uses it.
//!
//! The queries rely on the search path that the functions of `sql/install/19_adopt.sql` pin. They read catalogs and
//! records alone, with the rights of the extension's owner.

use super::spi;
use crate::error::{Error, Result};
use crate::sql::Ident;
use crate::sys::Oid;
use crate::sys::relation::Kind;

const RELATIONS: &str = include_str!("../../sql/queries/adopt/relations.sql");
const MATERIALIZED: &str = include_str!("../../sql/queries/adopt/materialized.sql");
const ROLES: &str = include_str!("../../sql/queries/adopt/roles.sql");

/// A relation that may hold rows.
#[derive(Debug, Clone)]
pub struct Found {
    pub oid: Oid,
    /// Schema-qualified.
    pub ident: Ident,
    pub kind: Kind,
    pub partition: bool,
    /// A parent whose columns it has: of a partition wherever it is, otherwise in the same schema.
    pub parent: Option<Oid>,
    /// Its columns are those of a type.
    pub typed: bool,
    pub in_extension: bool,
    /// As recorded.
    pub protected_as: Option<String>,
    pub protected_by: Option<String>,
    /// Of the column, where it is there.
    pub column_type: Option<Oid>,
    /// Whether the condition that stands in for NOT NULL is there, and validated.
    pub check: Option<bool>,
}

/// The schema of that name, if tables of users can be in it.
///
/// # Errors
/// 3F000 unknown; 0A000 a system schema or the extension's own.
pub fn schema(name: &str) -> Result<Oid> {
    let found = spi::read_latest(
        "SELECT oid, nspname OPERATOR(pg_catalog.~) '^(pg_|information_schema$|tenancy$)' FROM pg_catalog.pg_namespace \
         WHERE nspname OPERATOR(pg_catalog.=) $1::pg_catalog.name",
        &[name.into()],
        |row| Ok((row.require(1)?, row.require::<bool>(2)?)),
    )?;
    match found.into_iter().next() {
        None => Err(Error::UnknownSchema(name.to_owned())),
        Some((_, true)) => {
            let object = format!("schema {name}");
            Err(Error::UnsupportedRelation { object, reason: "it is a system schema" })
        }
        Some((oid, false)) => Ok(oid),
    }
}

/// The relations of a schema that may hold rows, temporary ones apart.
pub fn relations(schema: Oid, column: &str) -> Result<Vec<Found>> {
    spi::read_latest(RELATIONS, &[schema.into(), column.into()], |row| {
        Ok(Found {
            oid: row.require(1)?,
            ident: Ident::quoted(row.require(2)?),
            kind: Kind::from_code(row.require::<i8>(3)? as u8),
            partition: row.require(4)?,
            parent: row.get(5)?,
            typed: row.require(6)?,
            in_extension: row.require(7)?,
            protected_as: row.get(8)?,
            protected_by: row.get(9)?,
            column_type: row.get(10)?,
            check: row.get(11)?,
        })
    })
}

/// The materialized views that read the tables, also by way of views.
pub fn materialized(tables: &[Oid]) -> Result<Vec<Ident>> {
    spi::read_latest(MATERIALIZED, &[tables.to_vec().into()], |row| Ok(Ident::quoted(row.require(1)?)))
}

/// The roles that log in, reach the tables, are bound by row security, and act for no tenant yet.
pub fn roles(tables: &[Oid]) -> Result<Vec<Ident>> {
    spi::read_latest(ROLES, &[tables.to_vec().into()], |row| Ok(Ident::quoted(row.require(1)?)))
}

/// This database.
pub fn database() -> Result<Ident> {
    let name =
        spi::read_latest("SELECT pg_catalog.quote_ident(pg_catalog.current_database())", &[], |row| row.require(1))?;
    name.into_iter().next().map(Ident::quoted).ok_or_else(|| Error::Spi("the database has no name".into()))
}
