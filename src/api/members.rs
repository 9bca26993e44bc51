//! Membership functions.

use super::required;
use crate::catalog::tenants::pg_uuid;
use crate::native_text_test;
use crate::{context, registry};
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

native_text_test! {
    /// `tenancy.has_role(role)`: whether the user has at least that role within the tenant in force.
    tenancy_has_role, pg_finfo_tenancy_has_role, context::has_rank, context::has_role
}

#[pg_extern(sql = false)]
fn is_current_member() -> Result<bool, ErrorReport> {
    Ok(context::is_current_member()?)
}

#[pg_extern(sql = false)]
fn is_member(user_id: &str) -> Result<bool, ErrorReport> {
    Ok(context::is_member(user_id)?)
}

#[pg_extern(sql = false)]
fn is_member_by_name(user_id: &str, tenant: &str) -> Result<bool, ErrorReport> {
    Ok(context::is_member_of(user_id, tenant)?)
}

#[pg_extern(sql = false)]
fn is_member_by_id(user_id: &str, tenant: pgrx::Uuid) -> Result<bool, ErrorReport> {
    Ok(context::is_member_of(user_id, &uuid::Uuid::from_bytes(*tenant.as_bytes()).to_string())?)
}

#[pg_extern(sql = false)]
fn add_member(tenant: Option<&str>, user_id: Option<&str>, role: Option<&str>) -> Result<(), ErrorReport> {
    let (tenant, user) = (required(tenant, "tenant")?, required(user_id, "user_id")?);
    Ok(registry::add_member(tenant, user, required(role, "role")?)?)
}

#[pg_extern(sql = false)]
fn remove_member(tenant: Option<&str>, user_id: Option<&str>) -> Result<(), ErrorReport> {
    Ok(registry::remove_member(required(tenant, "tenant")?, required(user_id, "user_id")?)?)
}

#[pg_extern(sql = false)]
fn invite_member(tenant: Option<&str>, role: Option<&str>, expires: Option<Interval>) -> Result<String, ErrorReport> {
    let (tenant, role) = (required(tenant, "tenant")?, required(role, "role")?);
    Ok(registry::invite_member(tenant, role, required(expires, "expires")?)?)
}

#[pg_extern(sql = false)]
fn revoke_invitation(token: Option<&str>) -> Result<(), ErrorReport> {
    Ok(registry::revoke_invitation(required(token, "token")?)?)
}

#[pg_extern(sql = false)]
fn accept_invitation(token: Option<&str>, user_id: Option<&str>) -> Result<pgrx::Uuid, ErrorReport> {
    let (token, user) = (required(token, "token")?, required(user_id, "user_id")?);
    Ok(pg_uuid(registry::accept_invitation(token, user, context::may_join)?))
}
