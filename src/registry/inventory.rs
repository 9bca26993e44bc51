//! Where a tenant's rows are, in the order in which they can be copied.

use super::order;
use crate::catalog::protection::{self, Root};
use crate::catalog::tenant_rows::{self, Table, Unit};
use crate::catalog::tenants::{self, TenantRow};
use crate::error::{Error, Lifecycle, Result};
use crate::guc;
use crate::sys::Oid;
use crate::tenant::TenantRef;
use std::collections::HashMap;

/// The tables of a tenant, and where its rows are in them.
pub struct Inventory {
    pub tenant: TenantRow,
    /// Those that are referred to first.
    pub tables: Vec<Table>,
    /// Places of tables that refer to each other, or of one; those that are referred to first.
    pub groups: Vec<Vec<usize>>,
    pub units: Vec<Unit>,
    /// Of the tables' tenant columns.
    pub column_names: Vec<String>,
    /// By the OIDs of the tables.
    predicates: HashMap<u32, String>,
}

impl Inventory {
    /// # Errors
    /// 42704 unknown tenant; 55000 when it is erased or of another region, or a table with a tenant column is neither
    /// protected nor classified.
    pub fn of(tenant: &str) -> Result<Self> {
        let found =
            tenants::find(&TenantRef::parse(tenant)?)?.ok_or_else(|| Error::UnknownTenant(tenant.to_owned()))?;
        if found.status == "erased" {
            return Err(Error::TenantNotActive { tenant: tenant.to_owned(), status: found.status });
        }
        if is_elsewhere(&found) {
            return Err(Error::OtherRegion { tenant: tenant.to_owned() });
        }
        let unclassified = tenant_rows::unclassified()?;
        if !unclassified.is_empty() {
            return Err(Lifecycle::UnclassifiedTables(unclassified.join(", ")).into());
        }
        let roots = protection::roots()?;
        let (tables, groups) = ordered(tenant_rows::tables(&roots)?)?;
        let column_names = column_names(&tables, &roots);
        let units = tenant_rows::units(&tables, &column_names)?;
        let predicates = tables
            .iter()
            .filter_map(|table| Some((table.oid.to_u32(), table.predicate(found.id, &found.key)?)))
            .collect();
        Ok(Self { tenant: found, tables, groups, units, column_names, predicates })
    }

    /// Units in the order of their tables, those that are referred to first.
    pub fn parts(&self) -> impl Iterator<Item = (&Table, &Unit, &str)> {
        self.tables.iter().flat_map(move |table| {
            let units = self.units.iter().filter(move |unit| unit.root == table.oid);
            units.filter_map(move |unit| Some((table, unit, self.predicate(table.oid)?)))
        })
    }

    pub fn predicate(&self, table: Oid) -> Option<&str> {
        self.predicates.get(&table.to_u32()).map(String::as_str)
    }
}

fn column_names(tables: &[Table], roots: &[Root]) -> Vec<String> {
    let name =
        |table: &Table| roots.iter().find(|root| root.relation == table.oid).map(|root| root.tenant_column.clone());
    tables.iter().map(|table| name(table).unwrap_or_default()).collect()
}

/// Those that are referred to first, and where those are that refer to each other.
fn ordered(tables: Vec<Table>) -> Result<(Vec<Table>, Vec<Vec<usize>>)> {
    let place = |oid: Oid| tables.iter().position(|table| table.oid == oid);
    let edges: Vec<(usize, usize)> = tenant_rows::references(&tables)?
        .into_iter()
        .filter_map(|(child, parent)| Some((place(child)?, place(parent)?)))
        .collect();
    let mut sorted = Vec::new();
    let mut groups = Vec::new();
    for group in order::referring_first(tables.len(), &edges).into_iter().rev() {
        groups.push((sorted.len()..sorted.len() + group.len()).collect());
        sorted.extend(group.into_iter().map(|node| tables[node].clone()));
    }
    Ok((sorted, groups))
}

/// Whether a tenant is kept in another region than this server's.
pub fn is_elsewhere(tenant: &TenantRow) -> bool {
    matches!((guc::region(), &tenant.region), (Some(here), Some(there)) if here != *there)
}
