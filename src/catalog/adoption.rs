//! What is in a schema that knows no tenants yet, and who uses it.
//!
//! The queries rely on the search path that the functions of `sql/install/19_adopt.sql` pin. They read catalogs and
//! records alone, with the rights of the extension's owner.

use super::{relations, spi};
use crate::error::{Error, Result};
use crate::guc;
use crate::sql::{self, Ident};
use crate::sys::option::{self, Scope};
use crate::sys::relation::Kind;
use crate::sys::{Oid, foreign};

const RELATIONS: &str = include_str!("../../sql/queries/adopt/relations.sql");
const CODE: &str = include_str!("../../sql/queries/adopt/code.sql");
const READERS: &str = include_str!("../../sql/queries/adopt/readers.sql");
const REFERENCES: &str = include_str!("../../sql/queries/adopt/references.sql");
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
    /// How many characters the column holds at most, where that is limited.
    pub column_length: Option<i32>,
}

/// A foreign key that has the tenant column already.
#[derive(Debug, Clone)]
pub struct Reference {
    /// With its table.
    pub name: String,
    /// It has no other column.
    pub alone: bool,
    /// As a query names it: partitions belong to it, what inherits from it does not.
    parent: String,
    owner: Oid,
    parent_column: Ident,
    operator: String,
    type_name: String,
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
            column_length: row.get(12)?,
        })
    })
}

/// The type of a table's column, and how many characters it holds at most, where that is limited.
///
/// # Errors
/// 42703.
pub fn column_type(table: Oid, column: &str) -> Result<(Oid, Option<i32>)> {
    let found = spi::read_latest(
        "SELECT a.atttypid, CASE WHEN a.atttypid = 'varchar'::regtype AND a.atttypmod > 0 THEN a.atttypmod - 4 END \
         FROM pg_attribute AS a WHERE a.attrelid = $1 AND a.attname = $2::name AND a.attnum > 0 AND NOT a.attisdropped",
        &[table.into(), column.into()],
        |row| Ok((row.require(1)?, row.get(2)?)),
    )?;
    match found.into_iter().next() {
        Some(found) => Ok(found),
        None => Err(Error::NoSuchColumn { relation: relations::name(table)?, column: column.to_owned() }),
    }
}

/// The foreign keys of a table that have the column, and hold.
pub fn references(table: Oid, column: &str) -> Result<Vec<Reference>> {
    spi::read_latest(REFERENCES, &[table.into(), column.into()], |row| {
        Ok(Reference {
            name: row.require(1)?,
            alone: row.require(2)?,
            parent: row.require(3)?,
            owner: row.require(4)?,
            parent_column: Ident::quoted(row.require(5)?),
            operator: row.require(6)?,
            type_name: row.require(7)?,
        })
    })
}

/// Whether there is what a foreign key of the column alone refers to, if it holds this value; it then stays until the
/// transaction ends. Asked as PostgreSQL asks it: as the owner of the table that it refers to.
pub fn refers_to_something(reference: &Reference, value: &str, hold: bool) -> Result<bool> {
    let query = format!(
        "SELECT 1 FROM {} AS p WHERE p.{} {} {}::{}{}",
        reference.parent,
        reference.parent_column,
        reference.operator,
        sql::literal(value),
        reference.type_name,
        if hold { " FOR KEY SHARE" } else { "" }
    );
    let found = foreign::on_the_table_of(reference.owner, || {
        if hold { spi::write(&query, &[], |_| Ok(())) } else { spi::read(&query, &[], |_| Ok(())) }
    })?;
    Ok(!found.is_empty())
}

/// Whether an UPDATE of a table runs functions of roles that are no superusers, also while its triggers are silenced.
pub fn has_code(table: Oid) -> Result<bool> {
    Ok(spi::read_latest(CODE, &[table.into()], |row| row.require(1))?.into_iter().next().unwrap_or(true))
}

/// Gives rows of a table that belong to nobody to a tenant, by a statement that is run as the table's owner, and returns how
/// many. It runs what the owner made of the table, by `search_path`. `silently` it does not fire triggers and rules, other than
/// those that are to fire always: they can know nothing of the column. Nor would any other table's, by the code that runs.
pub fn fill(owner: Oid, statement: &str, search_path: &str, silently: bool) -> Result<i64> {
    foreign::on_the_table_of(owner, || {
        if silently {
            option::set_as_superuser(c"session_replication_role", c"replica", Scope::Transaction);
        }
        option::set(guc::SEARCH_PATH, search_path, Scope::Transaction);
        let rows = spi::run(statement, &[])?;
        Ok(i64::try_from(rows).unwrap_or(i64::MAX))
    })
}

/// The views that show all rows of the tables to whoever reads them, and whether each is materialized.
pub fn readers(tables: &[Oid]) -> Result<Vec<(Ident, bool)>> {
    spi::read_latest(READERS, &[tables.to_vec().into()], |row| Ok((Ident::quoted(row.require(1)?), row.require(2)?)))
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
