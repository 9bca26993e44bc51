//! The tree of tenants: who is placed below whom.

use super::handlers;
use crate::catalog::event::{self, Event};
use crate::catalog::tenants::{self, TenantRow};
use crate::catalog::{announce, hierarchy};
use crate::error::{Error, Lifecycle, Result};
use crate::sys::transition::{self, Fired, Side};
use crate::sys::xact;
use crate::tenant::TenantRef;
use serde_json::json;
use uuid::Uuid;

// Attribute number of tenancy.tenants, fixed by its DDL.
const ID: i16 = 1;

/// Places a tenant, with all below it, below another one, or below none. Called as the extension's owner.
///
/// # Errors
/// 42704 unknown tenant or parent; 22023 malformed name, or when the parent is the tenant itself or below it; 55000 when the
/// tenant is erased, or the parent archived or erased; 54000 when the tree would get too many levels.
pub fn set_parent(tenant: &str, parent: Option<&str>) -> Result<()> {
    let (name, parent_name) = (TenantRef::parse(tenant)?, parent.map(TenantRef::parse).transpose()?);
    hierarchy::lock()?;
    let above = match parent.zip(parent_name) {
        Some((parent, name)) => {
            let id = known(parent, &name)?;
            hierarchy::lock_places_below(id)?;
            Some((parent, id))
        }
        None => None,
    };
    let found = tenants::lock(&name)?.ok_or_else(|| Error::UnknownTenant(tenant.to_owned()))?;
    if found.status == "erased" {
        let wanted = "active, suspended or archived";
        return Err(Error::WrongStatus { tenant: tenant.to_owned(), status: found.status, wanted });
    }
    let above = above.map(|(parent, id)| usable(parent, tenants::lock(&TenantRef::Id(id))?)).transpose()?;
    let before = hierarchy::parent(found.id)?;
    if above == before {
        return Ok(());
    }
    if let Some(above) = above {
        hierarchy::check_place(Some(found.id), above)?;
    }
    hierarchy::set_parent(found.id, above)?;
    let text = |id: Option<Uuid>| id.map(|id| id.to_string());
    let detail = json!({ "parent": text(above), "parent_before": text(before) });
    let entry = Event { event: "tenant.moved", tenant: Some(found.id), detail: Some(detail), ..Event::default() };
    announce::at_commit(event::write_returning(entry)?);
    Ok(())
}

/// Where a new tenant is to be placed. It stays possible until the transaction ends.
///
/// # Errors
/// As for `set_parent`.
pub(super) fn place(parent: &str) -> Result<Uuid> {
    place_below(parent, known(parent, &TenantRef::parse(parent)?)?)
}

/// The same of a parent whose id is known.
///
/// # Errors
/// As for `set_parent`.
pub(super) fn place_below(name: &str, parent: Uuid) -> Result<Uuid> {
    hierarchy::lock_moves()?;
    hierarchy::lock_places_below(parent)?;
    let above = usable(name, tenants::find(&TenantRef::Id(parent))?)?;
    hierarchy::check_place(None, above)?;
    Ok(above)
}

/// The id of whoever has that name by now, in whatever status.
fn known(name: &str, parsed: &TenantRef) -> Result<Uuid> {
    tenants::find(parsed)?.map(|found| found.id).ok_or_else(|| Error::UnknownTenant(name.to_owned()))
}

fn usable(name: &str, found: Option<TenantRow>) -> Result<Uuid> {
    let found = found.ok_or_else(|| Error::UnknownTenant(name.to_owned()))?;
    match found.status.as_str() {
        "active" | "suspended" => Ok(found.id),
        _ => Err(Error::WrongStatus { tenant: name.to_owned(), status: found.status, wanted: "active or suspended" }),
    }
}

/// Tenants are placed below others, by whatever statement, or are about to be moved or removed by one.
///
/// # Errors
/// 23503, 22023, 54000, as for `hierarchy::check_place`.
pub fn parent_set(fired: Fired<'_>) -> Result<()> {
    let Some(new) = fired.row(Side::New) else {
        // Before the statement has locked any row, as `set_parent` does. Who is being erased leaves the tree, and nobody is
        // below him.
        return if handlers::is_erasing() { Ok(()) } else { hierarchy::lock() };
    };
    let (Some(id), Some(parent)) = (new.uuid(ID), new.uuid(hierarchy::PARENT)) else { return Ok(()) };
    // A new tenant has nobody below it, and takes no other one along.
    if fired.event() == transition::Event::Insert { hierarchy::lock_moves() } else { hierarchy::lock() }?;
    hierarchy::lock_places_below(parent)?;
    xact::next_command();
    hierarchy::check_place(Some(id), parent)
}

/// A tenant is gone, or has another id, by whatever statement.
///
/// # Errors
/// 23503 when others are below it.
pub fn parent_left(fired: Fired<'_>) -> Result<()> {
    let id = fired.row(Side::Old).and_then(|row| row.uuid(ID)).ok_or(Error::NotInstalled)?;
    hierarchy::lock()?;
    xact::next_command();
    if hierarchy::has_children(id)? { Err(Lifecycle::StillParent.into()) } else { Ok(()) }
}
