//! From the host of a request to its tenant, before there is a context.

use super::{aside, cache, pin, resolve, seal, set};
use crate::catalog::host::Host;
use crate::catalog::{hosts, tenants};
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::{invalidation, role};
use crate::tenant::TenantRef;
use uuid::Uuid;

/// The tenant that is served under this host, if it is active and the role may act for it, at least for its members;
/// within a transaction that has a tenant, for no other one. All else is as if there were no such host.
///
/// # Errors
/// 22023 malformed host.
pub fn resolve_host(host: &str) -> Result<Option<Uuid>> {
    let host = Host::parse(host)?;
    invalidation::accept();
    cache::refresh();
    let Some(tenant) = hosts::tenant_of(&host)? else { return Ok(None) };
    let reference = TenantRef::Id(tenant);
    let is_known = aside::admits(tenant)
        && seal::check_resolved(tenant).is_ok()
        && pin::check(&reference).is_ok()
        && tenants::find(&reference)?.is_some_and(|tenant| tenant.is_active());
    let outer = role::outer();
    Ok((is_known && (role::is_superuser(outer) || resolve::granted(outer, tenant)?.is_some())).then_some(tenant))
}

/// Acts for the tenant that is served under this host, as `set_tenant` does. Returns its id.
///
/// # Errors
/// 22023 malformed host; 42501 for a host that is unknown, or whose tenant is not active or not the role's to act for;
/// otherwise as for `set_tenant`.
pub fn set_tenant_by_host(host: &str, is_local: bool) -> Result<Uuid> {
    let refused = || Error::NoSuchHost { host: host.into(), role: role::name(role::outer()) };
    let name = Host::parse(host)?;
    set::check_scope(is_local)?;
    invalidation::accept();
    let Some(tenant) = hosts::tenant_of(&name)? else {
        // As it would be for a host of somebody else's.
        return Err(match pin::known() {
            _ if seal::is_on() => Error::Sealed,
            Some(_) if !guc::allow_switch() => Error::SecondTenant,
            _ => refused(),
        });
    };
    set::set_tenant(&tenant.to_string(), is_local).map_err(|error| match error {
        Error::NoSuchTenantOrAccess { .. } | Error::TenantNotActive { .. } => refused(),
        other => other,
    })
}
