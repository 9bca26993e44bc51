//! What can be published of protected tables, for logical replication.

use super::spi;
use super::tenant_rows::{held, named, value};
use crate::error::{Error, Result};
use crate::sql::{Ident, filter};
use crate::sys::Oid;
use crate::tenant::{TenantKey, TenantRef};
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

/// A publication by its name.
#[derive(Debug, Clone)]
pub struct Publication {
    /// As it is written.
    pub ident: Ident,
    pub exists: bool,
    /// Also of tables that it does not name: all, or all of a schema.
    pub is_of_more: bool,
}

/// What there is by that name.
pub fn publication(name: &str) -> Result<Publication> {
    let rows = spi::read_latest(
        "SELECT pg_catalog.quote_ident($1), pub.oid IS NOT NULL, \
                coalesce(pub.puballtables \
                         OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace AS n \
                                    WHERE n.pnpubid OPERATOR(pg_catalog.=) pub.oid), false) \
         FROM (SELECT 1) AS one \
         LEFT JOIN pg_catalog.pg_publication AS pub ON pub.pubname OPERATOR(pg_catalog.=) $1::pg_catalog.name",
        &[name.into()],
        |row| {
            Ok(Publication {
                ident: Ident::quoted(row.require(1)?),
                exists: row.require(2)?,
                is_of_more: row.require(3)?,
            })
        },
    )?;
    rows.into_iter().next().ok_or(Error::NotInstalled)
}

/// A column that a table in a publication may be filtered by: of a protected one the tenant column, of another one any.
#[derive(Debug, Clone)]
pub struct Filter {
    pub publication: Ident,
    /// Schema-qualified.
    pub table: Ident,
    pub schema: String,
    /// As PostgreSQL writes the row filter; empty where there is none.
    pub text: String,
    column: Option<(Ident, Oid)>,
}

impl Filter {
    /// Whether it lets the tenant's rows through, and besides them at most those of nobody.
    pub fn is_of(&self, id: Uuid, key: &TenantKey) -> bool {
        let Some((column, column_type)) = &self.column else { return false };
        let held = held(*column_type, id, key).map(|(text, _)| text);
        held.is_some() && held == filter::only_value(&self.text, column)
    }

    /// Whether it names the tenant, or may do so in a way that is not understood.
    pub fn names(&self, id: Uuid, key: &TenantKey) -> bool {
        let Some((column, column_type)) = &self.column else { return false };
        let held = held(*column_type, id, key).map(|(text, _)| text);
        held.is_some_and(|held| filter::may_name(&self.text, column, &held))
    }

    /// The tenants that it lets through by name, and whether it is by one alone.
    pub fn tenants(&self) -> (Vec<TenantRef>, bool) {
        let Some((column, column_type)) = &self.column else { return (Vec::new(), false) };
        let values = if filter::is_plain(&self.text) { filter::values(&self.text, column) } else { Vec::new() };
        let tenants = values.into_iter().map(|value| named(*column_type, value)).collect();
        (tenants, filter::only_value(&self.text, column).is_some())
    }
}

/// The row filters on tenant columns of protected tables in all publications; or of all tables in one, those included that have
/// none. Needs the rights of the extension's owner, and `standard_conforming_strings`.
pub fn filters(publication: Option<&str>) -> Result<Vec<Filter>> {
    const FILTERS: &str = include_str!("../../sql/queries/lifecycle/filters.sql");
    spi::read_latest(FILTERS, &[publication.into()], |row| {
        let column: Option<String> = row.get(5)?;
        let column_type: Option<Oid> = row.get(6)?;
        Ok(Filter {
            publication: Ident::quoted(row.require(1)?),
            table: Ident::quoted(row.require(2)?),
            schema: row.require(3)?,
            text: row.require(4)?,
            column: column.map(Ident::quoted).zip(column_type),
        })
    })
}
