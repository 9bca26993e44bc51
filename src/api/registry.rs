//! Registry and access functions.

use super::{jsonb, name_text, required};
use crate::catalog::tenants::pg_uuid;
use crate::registry::{self, Transition};
use crate::sys::Oid;
use crate::tenant::TenantRef;
use pgrx::AnyElement;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::ffi::CStr;

#[pg_extern(sql = false)]
fn is_tenant_key(key: Option<&str>, id: Option<pgrx::Uuid>) -> Option<bool> {
    let id = id.map(|id| uuid::Uuid::from_bytes(*id.as_bytes()));
    key.map(|key| TenantRef::is_key(key, id))
}

#[pg_extern(sql = false)]
fn create_tenant(
    key: Option<&str>,
    id: Option<pgrx::Uuid>,
    name: Option<String>,
    plan: Option<String>,
    region: Option<String>,
    settings: Option<AnyElement>,
    parent: Option<&str>,
) -> Result<pgrx::Uuid, ErrorReport> {
    let id = id.map(|id| uuid::Uuid::from_bytes(*id.as_bytes()));
    Ok(pg_uuid(registry::create_tenant(key, id, name, plan, region, jsonb(settings), parent)?))
}

#[pg_extern(sql = false)]
fn set_parent(tenant: Option<&str>, parent: Option<&str>) -> Result<(), ErrorReport> {
    Ok(registry::set_parent(required(tenant, "tenant")?, parent)?)
}

#[pg_extern(sql = false)]
fn suspend_tenant(tenant: Option<&str>, reason: Option<String>) -> Result<(), ErrorReport> {
    Ok(registry::transition(required(tenant, "tenant")?, Transition::Suspend, reason)?)
}

#[pg_extern(sql = false)]
fn resume_tenant(tenant: Option<&str>, reason: Option<String>) -> Result<(), ErrorReport> {
    Ok(registry::transition(required(tenant, "tenant")?, Transition::Resume, reason)?)
}

#[pg_extern(sql = false)]
fn archive_tenant(tenant: Option<&str>, reason: Option<String>) -> Result<(), ErrorReport> {
    Ok(registry::transition(required(tenant, "tenant")?, Transition::Archive, reason)?)
}

#[pg_extern(sql = false)]
fn create_plan(name: Option<&str>, settings: Option<AnyElement>) -> Result<(), ErrorReport> {
    Ok(registry::create_plan(required(name, "name")?, jsonb(settings))?)
}

#[pg_extern(sql = false)]
fn grant_access(
    role: Option<&CStr>,
    tenant: Option<&str>,
    mode: Option<&str>,
    require_membership: Option<bool>,
) -> Result<(), ErrorReport> {
    Ok(registry::grant_access(
        &name_text(required(role, "role")?),
        tenant,
        required(mode, "mode")?,
        required(require_membership, "require_membership")?,
    )?)
}

#[pg_extern(sql = false)]
fn revoke_access(role: Option<&CStr>, tenant: Option<&str>) -> Result<(), ErrorReport> {
    Ok(registry::revoke_access(&name_text(required(role, "role")?), tenant)?)
}

#[pg_extern(sql = false)]
fn grant_admin(role: Option<&CStr>) -> Result<(), ErrorReport> {
    Ok(registry::grant_admin(&name_text(required(role, "role")?))?)
}

#[pg_extern(sql = false)]
fn revoke_admin(role: Option<&CStr>) -> Result<(), ErrorReport> {
    Ok(registry::revoke_admin(&name_text(required(role, "role")?))?)
}

#[pg_extern(sql = false)]
fn on_lifecycle(event: Option<&str>, handler: Option<Oid>) -> Result<(), ErrorReport> {
    Ok(registry::on_lifecycle(required(event, "event")?, required(handler, "handler")?)?)
}

#[pg_extern(sql = false)]
fn off_lifecycle(event: Option<&str>, handler: Option<Oid>) -> Result<(), ErrorReport> {
    Ok(registry::off_lifecycle(required(event, "event")?, handler)?)
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn erase_tenant(
    tenant: Option<&str>,
    confirm: Option<&str>,
    dry_run: Option<bool>,
    erase_audit: Option<bool>,
) -> Result<TableIterator<'static, (name!(tbl, Oid), name!(rows, i64))>, ErrorReport> {
    let (dry_run, erase_audit) = (required(dry_run, "dry_run")?, required(erase_audit, "erase_audit")?);
    Ok(TableIterator::new(registry::erase_tenant(required(tenant, "tenant")?, confirm, dry_run, erase_audit)?))
}

#[pg_extern(sql = false)]
fn export_tenant(tenant: Option<&str>) -> Result<SetOfIterator<'static, String>, ErrorReport> {
    Ok(SetOfIterator::new(registry::export_tenant(required(tenant, "tenant")?)?))
}

#[pg_extern(sql = false)]
fn publication_sql(
    tenant: Option<&str>,
    publication: Option<&CStr>,
) -> Result<SetOfIterator<'static, String>, ErrorReport> {
    let name = publication.map(name_text);
    Ok(SetOfIterator::new(registry::publication_sql(required(tenant, "tenant")?, name.as_deref())?))
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn tenant_digest(
    tenant: Option<&str>,
) -> Result<TableIterator<'static, (name!(tbl, Oid), name!(rows, i64), name!(digest, String))>, ErrorReport> {
    Ok(TableIterator::new(registry::tenant_digest(required(tenant, "tenant")?)?))
}

#[pg_extern(sql = false)]
fn clone_tenant(
    tenant: Option<&str>,
    new_key: Option<&str>,
    id: Option<pgrx::Uuid>,
    name: Option<&str>,
) -> Result<pgrx::Uuid, ErrorReport> {
    let id = id.map(|id| uuid::Uuid::from_bytes(*id.as_bytes()));
    Ok(pg_uuid(registry::clone_tenant(required(tenant, "tenant")?, new_key, id, name)?))
}
