//! Rows that are made up: what they must be like, and putting them in.
//!
//! They go in as the table's owner, exempt from row security, so that checks and other code that hang on the
//! table run with its owner's rights and no others. The owner may be a superuser, so the search path is none
//! that a caller can choose.

use super::spi;
use crate::error::Result;
use crate::guc;
use crate::sql::Ident;
use crate::sys::option::{self, Scope};
use crate::sys::{Oid, relation, role};

const FOREIGN_TYPES: &str = include_str!("../../sql/queries/proof/foreign_types.sql");
const COLUMNS: &str = include_str!("../../sql/queries/proof/columns.sql");

/// Where a column's value comes from when none is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    None,
    Default,
    /// A sequence, from which nothing is to be drawn.
    Sequence,
}

/// A column, and what a value of it must be like.
#[derive(Debug, Clone)]
pub struct Column {
    pub ident: Ident,
    /// As SQL names it, with its modifier.
    pub type_name: String,
    /// The name of the type under all domains.
    pub base: String,
    /// PostgreSQL's category of that type.
    pub category: char,
    pub is_tenant: bool,
    pub required: bool,
    pub generated: bool,
    pub source: Source,
    /// In a key that doesn't contain the tenant column.
    pub in_global_key: bool,
    /// Conditions on this column alone.
    pub checks: Vec<String>,
    /// Texts in which permitted values may stand.
    pub hints: Vec<String>,
    /// Of an enum.
    pub labels: Vec<String>,
    pub is_domain: bool,
}

/// The table's columns in their order.
pub fn columns(table: Oid, tenant_column: &str) -> Result<Vec<Column>> {
    spi::read(COLUMNS, &[table.into(), tenant_column.into()], |row| {
        Ok(Column {
            ident: Ident::quoted(row.require(1)?),
            type_name: row.require(2)?,
            base: row.require(3)?,
            category: char::from(row.require::<i8>(4)? as u8),
            is_tenant: row.require(5)?,
            required: row.require(6)?,
            generated: row.require(7)?,
            source: match row.require::<String>(8)?.as_str() {
                "sequence" => Source::Sequence,
                "default" => Source::Default,
                _ => Source::None,
            },
            in_global_key: row.require(9)?,
            checks: row.require(10)?,
            hints: row.require(11)?,
            labels: row.require(12)?,
            is_domain: row.require(13)?,
        })
    })
}

/// The condition that rows of a partition meet, if the table is one.
pub fn partition_condition(table: Oid) -> Result<Option<String>> {
    let query = "SELECT pg_catalog.pg_get_partition_constraintdef($1)";
    Ok(spi::read(query, &[table.into()], |row| row.get(1))?.into_iter().next().flatten())
}

/// Triggers and rules of users that act whatever `session_replication_role` says, each with its kind, and types of columns
/// that run what neither a superuser nor the table's owner wrote.
pub fn restless(tables: &[Oid]) -> Result<Vec<String>> {
    let mut acting = spi::read(
        "SELECT pg_catalog.format('trigger %I', t.tgname) FROM pg_catalog.pg_trigger AS t \
         JOIN pg_catalog.pg_proc AS f ON f.oid OPERATOR(pg_catalog.=) t.tgfoid \
         WHERE t.tgrelid OPERATOR(pg_catalog.=) ANY ($1) AND t.tgenabled IN ('A', 'R') AND NOT t.tgisinternal \
         AND f.pronamespace OPERATOR(pg_catalog.<>) 'tenancy'::pg_catalog.regnamespace \
         UNION ALL \
         SELECT pg_catalog.format('rule %I', r.rulename) FROM pg_catalog.pg_rewrite AS r \
         WHERE r.ev_class OPERATOR(pg_catalog.=) ANY ($1) AND r.ev_enabled IN ('A', 'R') ORDER BY 1",
        &[tables.to_vec().into()],
        |row| row.require(1),
    )?;
    acting.extend(spi::read(FOREIGN_TYPES, &[tables.to_vec().into()], |row| row.require::<String>(1))?);
    Ok(acting)
}

/// Runs a statement as the table's owner, exempt from its row security. Returns the number of rows. To be called in
/// a subtransaction, which restores the search path after an error.
pub fn run(table: Oid, statement: &str) -> Result<usize> {
    as_owner_of(table, || spi::run(statement, &[]))
}

/// As `run`, for a query of one text.
pub fn text(table: Oid, query: &str) -> Result<Option<String>> {
    as_owner_of(table, || Ok(spi::write(query, &[], |row| row.get(1))?.into_iter().next().flatten()))
}

fn as_owner_of<T>(table: Oid, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let owner = relation::brief(table)?.owner;
    let path = option::get(guc::SEARCH_PATH).unwrap_or_default();
    option::set(guc::SEARCH_PATH, guc::SAFE_PATH, Scope::Transaction);
    let outcome = role::acting_as_table_owner(owner, work)?;
    option::set(guc::SEARCH_PATH, &path, Scope::Transaction);
    Ok(outcome)
}
