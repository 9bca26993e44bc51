//! Host functions, and keys for caches.

use super::required;
use crate::catalog::host::Host;
use crate::catalog::tenants::pg_uuid;
use crate::error::Error;
use crate::sys::datum;
use crate::{context, registry};
use pgrx::AnyArray;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

#[pg_extern(sql = false)]
fn add_host(host: Option<&str>, tenant: Option<&str>) -> Result<(), ErrorReport> {
    Ok(registry::add_host(required(host, "host")?, required(tenant, "tenant")?)?)
}

#[pg_extern(sql = false)]
fn remove_host(host: Option<&str>) -> Result<(), ErrorReport> {
    Ok(registry::remove_host(required(host, "host")?)?)
}

#[pg_extern(sql = false)]
fn normalize_host(host: &str) -> Option<String> {
    Host::parse_pattern(host).ok().map(|host| host.as_str().to_owned())
}

#[pg_extern(sql = false)]
fn resolve_host(host: Option<&str>) -> Result<Option<pgrx::Uuid>, ErrorReport> {
    Ok(context::resolve_host(required(host, "host")?)?.map(pg_uuid))
}

#[pg_extern(sql = false)]
fn set_tenant_by_host(host: Option<&str>, is_local: Option<bool>) -> Result<pgrx::Uuid, ErrorReport> {
    let is_local = required(is_local, "is_local")?;
    Ok(pg_uuid(context::set_tenant_by_host(required(host, "host")?, is_local)?))
}

#[pg_extern(sql = false)]
fn cache_key(parts: Option<AnyArray>) -> Result<String, ErrorReport> {
    let array = required(parts, "parts")?;
    // Arrays of other shapes would have the same parts.
    if datum::dimensions(&array) > 1 {
        return Err(
            Error::InvalidArgument { what: "parts", reason: "they are an array of one dimension".into() }.into()
        );
    }
    let parts = AnyArray::into::<Vec<Option<String>>>(&array).unwrap_or_default();
    Ok(context::cache_key(&parts)?)
}
