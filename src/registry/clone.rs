//! Making a tenant that has what another one has, in the same database.

use super::handlers::{self, Kind};
use super::inventory::Inventory;
use super::lifecycle::identity;
use super::parents;
use crate::catalog::event::Event;
use crate::catalog::tenant_rows::{self, Table, Unit};
use crate::catalog::{hierarchy, removal};
use crate::error::{Error, Lifecycle, Result};
use serde_json::json;
use uuid::Uuid;

/// Makes an active tenant with copies of another one's rows, members, numbers and quotas, and with its plan, region, settings and
/// place in a tree. Called as the extension's owner.
///
/// # Errors
/// 42704 unknown tenant; 22023 malformed key, or one that a tenant column can't hold; 42710 id or key taken; 55000 when the
/// tenant is erased or of another region, its parent is archived, a table with a tenant column is neither protected nor classified, or rows
/// have a key that is not led by the tenant; what triggers and handlers raise.
pub fn clone_tenant(tenant: &str, new_key: Option<&str>, id: Option<Uuid>, name: Option<&str>) -> Result<Uuid> {
    removal::run_deferred()?;
    let inventory = Inventory::of(tenant)?;
    let (id, key) = identity(new_key, id)?;
    check_keys(&inventory)?;
    let wanted = key.as_ref().map(|key| key.as_str().to_owned());
    let taken = || Error::AlreadyExists(format!("tenant \"{}\"", new_key.unwrap_or("with that id")));
    // It stays where it is: whoever gets to see it next is not shown a copy among those whom it has left.
    hierarchy::lock_moves()?;
    let parent = match hierarchy::parent(inventory.tenant.id)? {
        Some(parent) => Some(parents::place_below(&parent.to_string(), parent)?),
        None => None,
    };
    let copy = tenant_rows::insert_like(inventory.tenant.id, id, wanted.as_deref(), name, parent)?;
    let (id, key) = copy.ok_or_else(taken)?;
    for group in &inventory.groups {
        let mut units: Vec<(&Table, &Unit, &str, String)> = Vec::new();
        for table in group.iter().map(|place| &inventory.tables[*place]) {
            let Some(predicate) = inventory.predicate(table.oid) else { continue };
            let Some(value) = table.value(id, &key) else {
                if tenant_rows::count(table, predicate)? == 0 {
                    continue;
                }
                let reason = format!("the tenant column of {} can't hold it", table.ident);
                return Err(Error::InvalidArgument { what: "key", reason });
            };
            let of_table = inventory.units.iter().filter(|unit| unit.root == table.oid);
            units.extend(of_table.map(|unit| (table, unit, predicate, value.clone())));
        }
        if units.iter().any(|(_, unit, ..)| unit.owner != units[0].1.owner) {
            let names: Vec<&str> = units.iter().map(|(_, unit, ..)| unit.ident.as_str()).collect();
            return Err(Lifecycle::OwnersDiffer(names.join(", ")).into());
        }
        tenant_rows::copy(&units)?;
    }
    tenant_rows::copy_own(inventory.tenant.id, id)?;
    let mut told = json!({ "from": inventory.tenant.id.to_string() });
    if let Some(parent) = parent {
        told["parent"] = parent.to_string().into();
    }
    let mut detail = told.clone();
    detail["key"] = key.as_str().into();
    let entry = Event { event: "tenant.cloned", tenant: Some(id), detail: Some(detail), ..Event::default() };
    handlers::happened(Kind::Created, key.as_str(), entry, told)?;
    Ok(id)
}

/// A copy would have the same values as the original: the tenant has to be a part of each key.
fn check_keys(inventory: &Inventory) -> Result<()> {
    for (root, key, relation) in tenant_rows::unscoped_keys(&inventory.tables, &inventory.column_names)? {
        let Some(table) = inventory.tables.iter().find(|table| table.oid == root) else { continue };
        let Some(predicate) = inventory.predicate(root) else { continue };
        if tenant_rows::count(table, predicate)? > 0 {
            return Err(Lifecycle::KeyOfAll { key, relation }.into());
        }
    }
    Ok(())
}
