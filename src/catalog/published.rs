//! What can be published of protected tables, for logical replication.

use super::spi;
use super::tenant_rows::value;
use crate::error::{Error, Result};
use crate::sql::Ident;
use crate::tenant::TenantKey;
use uuid::Uuid;

/// How a table's rows are known again on the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// By what includes the tenant column already.
    Known,
    /// By this index they could be.
    Index(Ident),
    /// By nothing less than all columns.
    Full,
    /// By nothing: no index will do, and not all columns are sent.
    Nothing,
}

/// A protected table, or a part of one.
#[derive(Debug, Clone)]
pub struct Published {
    /// Schema-qualified.
    pub ident: Ident,
    pub column: Ident,
    /// What the column holds for the tenant, as a literal; `None` where it can't hold it.
    pub value: Option<String>,
    pub kind: String,
    pub is_partitioned: bool,
    /// A partition that goes along with the table that it is a part of.
    pub goes_along: bool,
    pub is_logged: bool,
    /// The tenant column's type and collation are PostgreSQL's own.
    pub has_plain_column: bool,
    pub identity: Identity,
}

/// What is protected, by name, and what it holds for a tenant. Needs the rights of the extension's owner.
pub fn tables(id: Uuid, key: &TenantKey) -> Result<Vec<Published>> {
    const PUBLISHED: &str = include_str!("../../sql/queries/lifecycle/published.sql");
    spi::read_latest(PUBLISHED, &[], |row| {
        let is_known: bool = row.require(9)?;
        let index: Option<String> = row.get(10)?;
        Ok(Published {
            ident: Ident::quoted(row.require(1)?),
            column: Ident::quoted(row.require(2)?),
            value: value(row.require(3)?, id, key),
            kind: row.require(4)?,
            is_partitioned: row.require(5)?,
            goes_along: row.require(6)?,
            is_logged: row.require(7)?,
            has_plain_column: row.require(8)?,
            identity: match index {
                _ if is_known => Identity::Known,
                Some(index) => Identity::Index(Ident::quoted(index)),
                None if row.require(11)? => Identity::Full,
                None => Identity::Nothing,
            },
        })
    })
}

/// The name of a publication as it is written, and whether there is one.
pub fn publication(name: &str) -> Result<(Ident, bool)> {
    let rows = spi::read_latest(
        "SELECT pg_catalog.quote_ident($1), \
                EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname OPERATOR(pg_catalog.=) $1::pg_catalog.name)",
        &[name.into()],
        |row| Ok((Ident::quoted(row.require(1)?), row.require(2)?)),
    )?;
    rows.into_iter().next().ok_or(Error::NotInstalled)
}
