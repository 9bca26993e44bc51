//! Context functions.

use super::required;
use crate::catalog::tenants::pg_uuid;
use crate::context;
use crate::{native_array_support, native_function};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

native_function! {
    /// `tenancy.current_tenant()`: the tenant's id, or NULL without a context.
    tenancy_current_tenant, pg_finfo_tenancy_current_tenant, context::current_id, context::copied_id
}

native_function! {
    /// `tenancy.current_key()`: the tenant's key, or NULL without a context.
    tenancy_current_key, pg_finfo_tenancy_current_key, context::current_key, context::copied_key
}

native_function! {
    /// `tenancy.current_key_int()`: the tenant's key as a number, or NULL when it is none.
    tenancy_current_key_int, pg_finfo_tenancy_current_key_int, context::current_number,
    context::copied_number
}

native_function! {
    /// `tenancy.visible_tenants()`: the ids of the tenant and of all below it, or NULL without a context.
    tenancy_visible_tenants, pg_finfo_tenancy_visible_tenants, context::current_ids, context::copied_ids
}

native_function! {
    /// `tenancy.visible_keys()`: their keys, or NULL without a context.
    tenancy_visible_keys, pg_finfo_tenancy_visible_keys, context::current_keys, context::copied_keys
}

native_function! {
    /// `tenancy.visible_key_ints()`: their keys as numbers, as far as they are some, or NULL without a context.
    tenancy_visible_key_ints, pg_finfo_tenancy_visible_key_ints, context::current_visible_numbers,
    context::copied_visible_numbers
}

native_array_support! {
    /// `tenancy.visible_support()`: what the comparison with such an array costs.
    tenancy_visible_support, pg_finfo_tenancy_visible_support, context::expected_count
}

#[pg_extern(sql = false)]
fn set_tenant_by_name(tenant: Option<&str>, is_local: Option<bool>) -> Result<pgrx::Uuid, ErrorReport> {
    let id = context::set_tenant(required(tenant, "tenant")?, required(is_local, "is_local")?)?;
    Ok(pg_uuid(id))
}

#[pg_extern(sql = false)]
fn set_tenant_by_id(tenant: Option<pgrx::Uuid>, is_local: Option<bool>) -> Result<pgrx::Uuid, ErrorReport> {
    let id = uuid::Uuid::from_bytes(*required(tenant, "tenant")?.as_bytes());
    let id = context::set_tenant(&id.to_string(), required(is_local, "is_local")?)?;
    Ok(pg_uuid(id))
}

#[pg_extern(sql = false)]
fn authenticate(token: Option<&str>, is_local: Option<bool>) -> Result<pgrx::Uuid, ErrorReport> {
    Ok(pg_uuid(context::authenticate(required(token, "token")?, required(is_local, "is_local")?)?))
}

#[pg_extern(sql = false)]
fn clear_tenant(is_local: Option<bool>) -> Result<(), ErrorReport> {
    Ok(context::clear_tenant(required(is_local, "is_local")?)?)
}

#[pg_extern(sql = false)]
fn require_tenant() -> Result<pgrx::Uuid, ErrorReport> {
    Ok(pg_uuid(context::require()?))
}

#[pg_extern(sql = false)]
fn seal(secret: Option<&str>) -> Result<(), ErrorReport> {
    Ok(context::seal(required(secret, "secret")?)?)
}

#[pg_extern(sql = false)]
fn unseal(secret: Option<&str>) -> Result<(), ErrorReport> {
    Ok(context::unseal(required(secret, "secret")?)?)
}
