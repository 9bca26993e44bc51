//! From the host of a request to its tenant, before there is a context.

use super::{aside, cache, pin, resolve, seal, set};
use crate::catalog::host::Host;
use crate::catalog::tenants::TenantRow;
use crate::catalog::{hosts, tenants};
use crate::error::{Error, Result};
use crate::sys::{invalidation, role};
use crate::tenant::TenantRef;
use uuid::Uuid;

/// The tenant that is served under this host, if it is active here and the role may act for it, at least for its members;
/// within a transaction that has a tenant, for no other one. All else is as if there were no such host.
///
/// # Errors
/// 22023 malformed host.
pub fn resolve_host(host: &str) -> Result<Option<Uuid>> {
    let host = Host::parse(host)?;
    invalidation::accept();
    cache::refresh();
    let Some(tenant) = find(&host)? else { return Ok(None) };
    let is_known = aside::admits(tenant.id)
        && seal::check_resolved(tenant.id).is_ok()
        && pin::admits(Some(&tenant))
        && resolve::is_served_here(&tenant);
    let outer = role::outer();
    let is_told = is_known && (role::is_superuser(outer) || resolve::granted(outer, &tenant)?.is_some());
    Ok(is_told.then_some(tenant.id))
}

fn find(host: &Host) -> Result<Option<TenantRow>> {
    match hosts::tenant_of(host)? {
        Some(tenant) => tenants::find(&TenantRef::Id(tenant)),
        None => Ok(None),
    }
}

/// Acts for the tenant that is served under this host, as `set_tenant` does. Returns its id.
///
/// # Errors
/// 22023 malformed host; 42501 for a host that is unknown, or whose tenant is not active here or not the role's to act for;
/// otherwise as for `set_tenant`.
pub fn set_tenant_by_host(host: &str, is_local: bool) -> Result<Uuid> {
    let refused = || Error::NoSuchHost { host: host.into(), role: role::name(role::outer()) };
    let name = Host::parse(host)?;
    set::check_scope(is_local)?;
    invalidation::accept();
    let tenant = find(&name)?;
    // A host that is unknown is as one of somebody else's.
    match &tenant {
        None if seal::is_on() => return Err(Error::Sealed),
        Some(tenant) => seal::check_resolved(tenant.id)?,
        None => {}
    }
    if !pin::admits(tenant.as_ref()) {
        return Err(Error::SecondTenant);
    }
    let tenant = tenant.ok_or_else(refused)?;
    set::set_tenant(&tenant.id.to_string(), is_local).map_err(|error| match error {
        Error::NoSuchTenantOrAccess { .. } | Error::TenantNotActive { .. } | Error::OtherRegion { .. } => refused(),
        other => other,
    })
}
