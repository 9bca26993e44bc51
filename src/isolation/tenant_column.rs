//! Giving the rows of a table that knew no tenants to one tenant.

use super::policy::context_function;
use crate::catalog::event::{self, Event};
use crate::catalog::registry::as_owner;
use crate::catalog::relations;
use crate::catalog::{protection, tenants};
use crate::error::{Error, Result};
use crate::sql::{self, Ident};
use crate::sys::types;
use crate::sys::{Oid, relation};
use crate::tenant::TenantRef;
use serde_json::json;

/// Adds a tenant column to a table and all that inherits from it: NOT NULL, default from the context, and all rows that
/// are there given to one tenant, without rewriting them.
///
/// # Errors
/// 42501 when the caller doesn't own the table; 42809, 0A000 when it is no table of a user; 22023, 42704 malformed and
/// unknown tenant; 42701 when there is such a column; 42804 for a type that can't hold the tenant; 55000 when the
/// table is protected.
pub fn add_tenant_column(table: Oid, tenant: &str, column: &str, type_oid: Oid) -> Result<()> {
    relations::check_owned(table)?;
    let found = tenants::find(&TenantRef::parse(tenant)?)?.ok_or_else(|| Error::UnknownTenant(tenant.to_owned()))?;
    let type_name = relations::type_name(type_oid)?;
    relation::lock_definition(table);
    let name = relations::name(table)?;
    if let Some(record) = as_owner(|| protection::find(table))?
        && record.tenant_column.is_some()
    {
        return Err(Error::IsProtected(name));
    }
    // A child's own column would be merged with the new one, and its rows stay as they are.
    if let Some(holder) = relations::tree(table, column)?.into_iter().find(|relation| relation.column.is_some()) {
        return Err(Error::ColumnExists { relation: holder.ident.to_string(), column: column.to_owned() });
    }
    let (family, owner) = relations::held_value(types::base(type_oid), found.id, &found.key)
        .map_err(|reason| Error::UnsuitableColumn { relation: name.clone(), column: column.to_owned(), reason })?;
    let ident = relations::quoted(column)?;
    let relation = Ident::quoted(name.clone());
    let added = format!("ADD COLUMN {ident} {type_name} NOT NULL DEFAULT {}", sql::literal(&owner));
    relations::execute(&sql::alter_table(&relation, &added))?;
    let default = format!("SET DEFAULT {}", context_function(family));
    relations::execute(&sql::alter_column(&relation, &ident, &default))?;
    as_owner(|| {
        event::write(Event {
            event: "table.tenant_column_added",
            tenant: Some(found.id),
            object: Some(name),
            detail: Some(json!({ "tenant_column": column, "type": type_name })),
            ..Event::default()
        })
    })
}
