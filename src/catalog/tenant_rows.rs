//! The rows of one tenant, in every table that has some: which tables these are, and removing and counting.

use super::protection::Root;
use super::spi;
use super::tenants::pg_uuid;
use crate::error::{Error, Result};
use crate::sql::{self, Ident};
use crate::sys::types::{self, Base};
use crate::sys::{Oid, foreign};
use crate::tenant::TenantKey;
use uuid::Uuid;

const TREE: &str = include_str!("../../sql/queries/lifecycle/tree.sql");
const TABLES: &str = include_str!("../../sql/queries/lifecycle/tables.sql");
const REFERENCES: &str = include_str!("../../sql/queries/lifecycle/references.sql");
const UNCLASSIFIED: &str = include_str!("../../sql/queries/lifecycle/unclassified.sql");

/// A protected table that is no part of another.
#[derive(Debug, Clone)]
pub struct Table {
    pub oid: Oid,
    pub ident: Ident,
    pub owner: Oid,
    pub column: Ident,
    column_type: Oid,
    /// Deferrable constraints that removing rows may wake.
    deferrable: Vec<String>,
    /// It, and all that inherits from it.
    pub parts: Vec<Oid>,
}

impl Table {
    /// What is true of the tenant's rows; `None` where the column can't hold the tenant.
    pub fn predicate(&self, id: Uuid, key: &TenantKey) -> Option<String> {
        Some(sql::equal(&self.column, self.value(id, key)?))
    }

    /// What the column holds for a tenant, as a literal; `None` where it can't hold it.
    fn value(&self, id: Uuid, key: &TenantKey) -> Option<String> {
        let (text, type_name) = match types::base(self.column_type) {
            Base::Uuid => (id.to_string(), "uuid"),
            Base::Text => (key.as_str().to_owned(), "text"),
            Base::Integer(integer) => {
                (key.number().filter(|number| types::holds(integer, *number))?.to_string(), "int8")
            }
            Base::Other => return None,
        };
        Some(format!("{}::pg_catalog.{type_name}", sql::literal(&text)))
    }
}

/// Tables with a tenant column that nobody has protected or classified. Needs the rights of the extension's owner.
pub fn unclassified() -> Result<Vec<String>> {
    spi::read_latest(UNCLASSIFIED, &[], |row| row.require(1))
}

/// What there is to know of protected tables, by name. Needs the rights of the extension's owner.
pub fn tables(roots: &[Root]) -> Result<Vec<Table>> {
    let oids: Vec<Oid> = roots.iter().map(|root| root.relation).collect();
    let columns: Vec<String> = roots.iter().map(|root| root.tenant_column.clone()).collect();
    spi::read(&format!("{TREE}{TABLES}"), &[oids.into(), columns.into()], |row| {
        Ok(Table {
            oid: row.require(1)?,
            ident: Ident::quoted(row.require(2)?),
            owner: row.require(3)?,
            column: Ident::quoted(row.require(4)?),
            column_type: row.require(5)?,
            deferrable: row.require(6)?,
            parts: row.require(7)?,
        })
    })
}

/// Which of the tables refers to which other, by foreign keys of theirs or of their parts.
pub fn references(tables: &[Table]) -> Result<Vec<(Oid, Oid)>> {
    let oids: Vec<Oid> = tables.iter().map(|table| table.oid).collect();
    spi::read(&format!("{TREE}{REFERENCES}"), &[oids.into()], |row| Ok((row.require(1)?, row.require(2)?)))
}

/// Counts the rows of a table for which that is true, as its owner.
pub fn count(table: &Table, predicate: &str) -> Result<i64> {
    let query = format!("SELECT pg_catalog.count(*) FROM {} WHERE {predicate}", table.ident);
    foreign::on_the_table_of(table.owner, || one(&query))
}

/// Removes rows of tables of one owner, as this owner, in one statement, so that they may refer to each other. Returns
/// how many rows of each.
pub fn delete(tables: &[(&Table, &str)]) -> Result<Vec<i64>> {
    let Some((first, _)) = tables.first() else { return Ok(Vec::new()) };
    let names: Vec<&str> = tables.iter().flat_map(|(table, _)| &table.deferrable).map(String::as_str).collect();
    let parts = tables.iter().enumerate().map(|(n, (table, predicate))| {
        format!("removed_{n} AS (DELETE FROM {} WHERE {predicate} RETURNING 1)", table.ident)
    });
    let counts = (0..tables.len()).map(|n| format!("(SELECT pg_catalog.count(*) FROM removed_{n})"));
    let statement = format!(
        "WITH {} SELECT ARRAY[{}]",
        parts.collect::<Vec<_>>().join(", "),
        counts.collect::<Vec<_>>().join(", ")
    );
    foreign::on_the_table_of(first.owner, || {
        make_immediate(names)?;
        let counts = spi::write(&statement, &[], |row| row.require::<Vec<i64>>(1))?;
        Ok(counts.into_iter().next().unwrap_or_default())
    })
}

/// Has constraints checked at once: what is left for the end of the transaction would be done as somebody else.
fn make_immediate(mut names: Vec<&str>) -> Result<()> {
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        spi::run(&format!("SET CONSTRAINTS {} IMMEDIATE", names.join(", ")), &[])?;
    }
    Ok(())
}

/// A table of the extension's own with rows of tenants, and its name.
#[derive(Debug, Clone)]
pub struct Own {
    pub oid: Oid,
    ident: String,
}

/// The extension's own tables, other than its logs, that have rows of tenants.
pub fn own_tables() -> Result<Vec<Own>> {
    spi::read_latest(
        "SELECT c.oid, pg_catalog.format('tenancy.%I', c.relname) \
         FROM pg_catalog.pg_class AS c \
         JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) c.oid \
         WHERE c.relnamespace OPERATOR(pg_catalog.=) 'tenancy'::pg_catalog.regnamespace \
           AND c.relkind OPERATOR(pg_catalog.=) 'r' AND NOT c.relispartition \
           AND a.attname OPERATOR(pg_catalog.=) 'tenant_id' AND NOT a.attisdropped \
           AND a.atttypid OPERATOR(pg_catalog.=) 'pg_catalog.uuid'::pg_catalog.regtype \
           AND c.relname NOT IN ('event_log', 'audit_erased') \
           AND c.relname OPERATOR(pg_catalog.!~) '^audit_log' \
         ORDER BY c.relname OPERATOR(pg_catalog.=) 'quota_slots', c.relname",
        &[],
        |row| Ok(Own { oid: row.require(1)?, ident: row.require(2)? }),
    )
}

const OF_TENANT: &str = "WHERE tenant_id OPERATOR(pg_catalog.=) $1";

/// Counts a tenant's rows. Needs the rights of the extension's owner, as all that follows.
pub fn count_own(table: &Own, tenant: Uuid) -> Result<i64> {
    one_of(&format!("SELECT pg_catalog.count(*) FROM {} {OF_TENANT}", table.ident), tenant)
}

/// Removes a tenant's rows. Returns how many.
pub fn delete_own(table: &Own, tenant: Uuid) -> Result<i64> {
    changed(&format!("DELETE FROM {} {OF_TENANT}", table.ident), tenant)
}

/// Takes out of the event log what tells of a tenant more than that something became of it.
pub fn strip_events(tenant: Uuid) -> Result<i64> {
    changed(
        &format!(
            "UPDATE tenancy.event_log SET object = NULL, user_id = NULL, request_id = NULL, reason = NULL, detail = NULL \
             {OF_TENANT}"
        ),
        tenant,
    )
}

/// Leaves the id of a tenant, and that it is erased.
pub fn strip_tenant(tenant: Uuid) -> Result<()> {
    changed(
        "UPDATE tenancy.tenants SET key = id::pg_catalog.text, name = NULL, status = 'erased', plan = NULL, region = NULL, \
                settings = '{}', status_changed_at = pg_catalog.now() \
         WHERE id OPERATOR(pg_catalog.=) $1",
        tenant,
    )
    .map(|_| ())
}

/// The OID of the event log, and of the audit log.
pub fn logs() -> Result<(Oid, Oid)> {
    let rows = spi::read(
        "SELECT 'tenancy.event_log'::pg_catalog.regclass::pg_catalog.oid, \
                'tenancy.audit_log'::pg_catalog.regclass::pg_catalog.oid",
        &[],
        |row| Ok((row.require(1)?, row.require(2)?)),
    )?;
    rows.into_iter().next().ok_or(Error::NotInstalled)
}

/// Entries of the event log, or the audit log, that are a tenant's.
pub fn count_log(log: &str, tenant: Uuid) -> Result<i64> {
    one_of(&format!("SELECT pg_catalog.count(*) FROM tenancy.{log} {OF_TENANT}"), tenant)
}

fn one(query: &str) -> Result<i64> {
    spi::write(query, &[], |row| row.require(1))?.into_iter().next().ok_or(Error::NotInstalled)
}

fn one_of(query: &str, tenant: Uuid) -> Result<i64> {
    let rows = spi::write(query, &[pg_uuid(tenant).into()], |row| row.require(1))?;
    rows.into_iter().next().ok_or(Error::NotInstalled)
}

fn changed(statement: &str, tenant: Uuid) -> Result<i64> {
    Ok(i64::try_from(spi::run(statement, &[pg_uuid(tenant).into()])?).unwrap_or(i64::MAX))
}
