//! Statements of an attacker, run as a client's would be, and what the catalogs tell of where to attack.

use super::spi;
use crate::error::Result;
use crate::sql::Ident;
use crate::sys::Oid;

const KEYS: &str = include_str!("../../sql/queries/proof/keys.sql");
const FOREIGN_KEYS: &str = include_str!("../../sql/queries/proof/foreign_keys.sql");
const VIEWS: &str = include_str!("../../sql/queries/proof/views.sql");
const NUMBERS: &str = include_str!("../../sql/queries/proof/numbers.sql");
const ROLES: &str = include_str!("../../sql/queries/proof/roles.sql");

/// Runs a statement whose only parameter, if it has one, is a text. Returns the number of rows that it returned,
/// or touched; execution stops at `limit` rows returned (0: none).
pub fn run(statement: &str, parameter: Option<&str>, limit: usize) -> Result<usize> {
    spi::run_as_client(statement, parameter, limit)
}

/// As `run`, for a query of one text.
pub fn text(query: &str) -> Result<Option<String>> {
    spi::text_as_client(query)
}

/// Opens a cursor, calls `meanwhile`, and fetches. Returns the number of rows.
pub fn fetch_after(query: &str, limit: usize, meanwhile: impl FnOnce()) -> Result<usize> {
    spi::fetch_after(query, limit, meanwhile)
}

/// Prepares one query and runs it each time that it is asked to, from one plan. Returns what `work` does.
pub fn prepared<T>(query: &str, work: impl FnOnce(&mut dyn FnMut() -> Result<usize>) -> Result<T>) -> Result<T> {
    spi::prepared_as_client(query, work)
}

/// A unique or exclusion index.
#[derive(Debug, Clone)]
pub struct Key {
    pub table: Oid,
    pub name: String,
    /// Quoted and comma-separated, where ON CONFLICT and REFERENCES can name them.
    pub columns: Option<String>,
    /// Contains the tenant column.
    pub scoped: bool,
}

/// The keys of the tables, the primary one first.
pub fn keys(tables: &[Oid], tenant_column: &str) -> Result<Vec<Key>> {
    spi::read(KEYS, &[tables.to_vec().into(), tenant_column.into()], |row| {
        Ok(Key { table: row.require(1)?, name: row.require(2)?, columns: row.get(3)?, scoped: row.require(4)? })
    })
}

/// Foreign keys to protected tables that don't pair the tenant columns: table and name. Needs the rights of the
/// extension's owner.
pub fn unscoped_foreign_keys(tables: &[Oid]) -> Result<Vec<(Oid, String)>> {
    spi::read(FOREIGN_KEYS, &[tables.to_vec().into()], |row| Ok((row.require(1)?, row.require(2)?)))
}

/// A view that tenants may read.
#[derive(Debug, Clone)]
pub struct View {
    /// The table that it is over.
    pub table: Oid,
    pub ident: Ident,
    /// It shows the tenant column, or another by its name and of its type.
    pub shows_tenant: bool,
    /// The table's owner may read it.
    pub owner_reads: bool,
}

/// The views over tables, with the names of their tenant columns. Needs the rights of the extension's owner.
pub fn views(tables: &[Oid], tenant_columns: &[String]) -> Result<Vec<View>> {
    spi::read(VIEWS, &[tables.to_vec().into(), tenant_columns.to_vec().into()], |row| {
        Ok(View {
            table: row.require(1)?,
            ident: Ident::quoted(row.require(2)?),
            shows_tenant: row.require(3)?,
            owner_reads: row.require(4)?,
        })
    })
}

/// A role that acts for tenants and has more to do with a table than others.
#[derive(Debug, Clone)]
pub struct Entitled {
    pub table: Oid,
    pub ident: Ident,
    /// The roles whose rights it has there, as far as the table's owner has them too.
    pub joined: Vec<String>,
    /// What it was granted, as GRANT names it.
    pub privileges: Vec<String>,
    /// Roles whose rights the table's owner does not have.
    pub lent: Vec<String>,
}

/// One role for each set of such rights. Needs the rights of the extension's owner.
pub fn entitled(tables: &[Oid]) -> Result<Vec<Entitled>> {
    spi::read(ROLES, &[tables.to_vec().into()], |row| {
        Ok(Entitled {
            table: row.require(1)?,
            ident: Ident::quoted(row.require(2)?),
            joined: row.require(3)?,
            privileges: row.require(4)?,
            lent: row.require(5)?,
        })
    })
}

/// Names that nothing has yet: one for roles and the schema, and two numbers that no tenant has as its key. They
/// fit a `smallint` where that is asked for, and are short where there are short ones left.
pub fn unused_names(small: bool) -> Result<(String, Vec<String>)> {
    let names = spi::read(
        "SELECT 'tenancy_prove_' OPERATOR(pg_catalog.||) \
                pg_catalog.substr(pg_catalog.md5(pg_catalog.gen_random_uuid()::pg_catalog.text), 1, 12)",
        &[],
        |row| row.require::<String>(1),
    )?;
    let numbers = spi::read(NUMBERS, &[small.into()], |row| row.require(1))?;
    Ok((names.into_iter().next().unwrap_or_default(), numbers))
}

/// Whether the current role has the privilege on the table, or on a column of it.
pub fn has_privilege(table: Oid, privilege: &str) -> Result<bool> {
    let function = if privilege == "REFERENCES" { "has_any_column_privilege" } else { "has_table_privilege" };
    let query = format!("SELECT pg_catalog.{function}($1, $2)");
    Ok(spi::read(&query, &[table.into(), privilege.into()], |row| row.require(1))?.into_iter().any(|has| has))
}
