//! Where attacks take place: a table with rows of two made-up tenants, and a role that may act for both of them.

use super::plant::Bed;
use crate::catalog::attack::{self, Key, View};
use crate::catalog::planting;
use crate::catalog::relations::{Column, Family};
use crate::error::Result;
use crate::guc;
use crate::sql::{self, Ident};
use crate::sys::option::{self, Scope};
use crate::sys::{Oid, role, subxact};
use std::any::Any;
use uuid::Uuid;

/// Takes off what the transaction has of a context, keeps it from acting for others than these tenants, and guards from
/// recording anything, until what it returns is dropped.
pub type SetAside = fn(&[Uuid]) -> Box<dyn Any>;

/// A made-up tenant.
#[derive(Debug, Clone)]
pub struct Tenant {
    pub id: Uuid,
    pub key: String,
}

impl Tenant {
    /// What the column holds for the tenant, as SQL.
    pub fn literal(&self, column: &Column) -> Option<String> {
        let value = match column.family? {
            Family::Id => self.id.to_string(),
            Family::Key | Family::Number => self.key.clone(),
        };
        Some(format!("CAST({} AS {})", sql::literal(&value), column.type_name))
    }
}

/// What all attacks share.
pub struct Lab {
    pub mine: Tenant,
    pub other: Tenant,
    /// A schema that the attackers own.
    pub schema: Ident,
    pub set_aside: SetAside,
}

impl Lab {
    /// No context, and none but the made-up tenants to act for, until what is returned is dropped.
    #[must_use]
    pub fn aside(&self) -> Box<dyn Any> {
        (self.set_aside)(&[self.mine.id, self.other.id])
    }

    /// Runs `work` as the first statements of a transaction of `attacker` for the tenant of that key, or for none,
    /// and rolls them back. A failure is told by its SQLSTATE.
    pub fn transaction<T>(
        &self,
        attacker: Oid,
        key: &str,
        work: impl FnOnce() -> Result<T>,
    ) -> std::result::Result<T, String> {
        let outcome = subxact::discarded(|| {
            let _aside = self.aside();
            role::in_role(attacker, || {
                // What policies call may need the path that sessions have.
                option::reset(guc::SEARCH_PATH);
                act_for(key);
                work()
            })
        });
        outcome.map_err(|failure| failure.sqlstate())
    }
}

/// Sets the tenant as a session would, for what is left of the transaction.
pub fn act_for(key: &str) {
    // A token of the session's would be another way in.
    option::set(guc::TOKEN, "", Scope::Transaction);
    option::set(guc::TENANT_ID, key, Scope::Transaction);
}

/// One relation of a protected table, with the rows planted in it.
#[derive(Debug)]
pub struct Ground {
    pub bed: Bed,
    /// A row of each tenant as text, or why there is none.
    pub rows: std::result::Result<Rows, String>,
}

#[derive(Debug, Clone)]
pub struct Rows {
    pub mine: String,
    pub other: String,
    /// How many rows the attacker's tenant has.
    pub count: usize,
}

/// A protected table under attack.
pub struct Target {
    pub kind: String,
    pub tenant_column: Ident,
    /// What the tenant column holds for the attacker's tenant, and for the other, as SQL.
    pub mine: String,
    pub other: String,
    pub root: Ground,
    /// Partitions and children.
    pub parts: Vec<Ground>,
    pub keys: Vec<Key>,
    pub foreign_keys: Vec<String>,
    pub views: Vec<View>,
    /// A row without tenant has been planted.
    pub has_shared_row: bool,
}

/// What a statement came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    Rows(usize),
    /// With this SQLSTATE.
    Refused(String),
}

/// An attacker before a table.
pub struct Scene<'a> {
    pub lab: &'a Lab,
    pub target: &'a Target,
    pub attacker: Oid,
}

impl Scene<'_> {
    /// Runs one statement for the attacker's tenant, until it has returned `limit` rows (0: to its end).
    pub fn run(&self, statement: &str, limit: usize) -> Came {
        self.as_mine(|| attack::run(statement, None, limit))
    }

    /// As `run`, with a row as the statement's parameter.
    pub fn run_with(&self, statement: &str, row: &str) -> Came {
        self.as_mine(|| attack::run(statement, Some(row), 0))
    }

    /// Runs statements for the attacker's tenant; the last one's rows count.
    pub fn as_mine(&self, work: impl FnOnce() -> Result<usize>) -> Came {
        came(self.lab.transaction(self.attacker, &self.lab.mine.key, work))
    }

    /// As `as_mine`, for no tenant.
    pub fn as_nobody(&self, work: impl FnOnce() -> Result<usize>) -> Came {
        came(self.lab.transaction(self.attacker, "", work))
    }

    /// The table, as SQL names it.
    pub fn table(&self) -> &Ident {
        &self.target.root.bed.ident
    }

    /// A condition that holds for rows of other tenants.
    pub fn foreign(&self, column: &str) -> String {
        let differs = format!("({}) IS NOT TRUE", sql::equal(column, &self.target.mine));
        if self.target.kind == "shared" { format!("({differs} AND {column} IS NOT NULL)") } else { differs }
    }

    /// The planted rows; none where there are none.
    pub fn rows(&self) -> Option<&Rows> {
        self.target.root.rows.as_ref().ok()
    }

    /// Takes a tenant's planted rows away, as the table's owner. To be called within a transaction of the attacker.
    pub fn remove(&self, tenant: &str) -> Result<()> {
        let (table, column) = (self.table(), &self.target.tenant_column);
        planting::run(
            self.target.root.bed.table,
            &format!("DELETE FROM {table} WHERE {}", sql::equal(column, tenant)),
        )?;
        Ok(())
    }

    /// How many rows a tenant has, up to a thousand.
    pub fn count(&self, tenant: &str) -> Result<usize> {
        count(&self.target.root.bed, &self.target.tenant_column, tenant)
    }
}

/// How many rows a tenant has, up to a thousand.
pub fn count(bed: &Bed, column: &Ident, tenant: &str) -> Result<usize> {
    let rows = format!("SELECT 1 FROM {} WHERE {} LIMIT 1000", bed.ident, sql::equal(column, tenant));
    let text = planting::text(bed.table, &format!("SELECT pg_catalog.count(*)::pg_catalog.text FROM ({rows}) AS own"))?;
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// A statement that puts a row in, given as its parameter, as a row of `tenant`.
pub fn insert(bed: &Bed, tenant: &str) -> String {
    let columns: Vec<String> = bed.insertable().map(|column| column.ident.to_string()).collect();
    let values = values_of(bed, tenant);
    let ident = &bed.ident;
    format!(
        "INSERT INTO {ident} ({}) OVERRIDING SYSTEM VALUE SELECT {values} FROM (SELECT $1::{ident} AS whole) AS given",
        columns.join(", ")
    )
}

/// The values of `given.whole`, with `tenant` in the tenant column's place.
pub fn values_of(bed: &Bed, tenant: &str) -> String {
    let values = bed
        .insertable()
        .map(|column| if column.is_tenant { tenant.to_owned() } else { format!("(given.whole).{}", column.ident) });
    values.collect::<Vec<_>>().join(", ")
}

fn came(outcome: std::result::Result<usize, String>) -> Came {
    match outcome {
        Ok(rows) => Came::Rows(rows),
        Err(sqlstate) => Came::Refused(sqlstate),
    }
}
