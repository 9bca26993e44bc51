//! Registry and access functions.

use super::{jsonb, name_text, required};
use crate::catalog::tenants::pg_uuid;
use crate::registry::{self, Transition};
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
) -> Result<pgrx::Uuid, ErrorReport> {
    let id = id.map(|id| uuid::Uuid::from_bytes(*id.as_bytes()));
    Ok(pg_uuid(registry::create_tenant(key, id, name, plan, region, jsonb(settings))?))
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
