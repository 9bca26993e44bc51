//! From the setting to an authorised tenant: registry row, access, status, region.

use super::cache::{self, Tenant, Trust};
use super::leftovers::{self, Remedy};
use super::{aside, cursors, given, hot, membership, pin, presence, seal};
use crate::catalog::access::{self, Grant};
use crate::catalog::{registry, tenants};
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::{Oid, counting, invalidation, role};
use crate::tenant::TenantRef;
use std::rc::Rc;
use uuid::Uuid;

/// The name of the tenant in force, and why it is; `None` without a context.
pub fn effective_name() -> Option<(String, Trust)> {
    if seal::is_on() {
        return seal::tenant().map(|name| (name, Trust::Access));
    }
    let name = guc::tenant();
    if !name.is_empty() {
        return Some((name, Trust::Access));
    }
    let name = Some(guc::default_tenant()).filter(|name| !name.is_empty()).unwrap_or_else(given::default_tenant);
    (!name.is_empty()).then_some((name, Trust::Default))
}

/// Resolves the context for the current outer role, for the hot path to read.
///
/// # Errors
/// 42501 when the tenant is unknown, the role has no access to it, or the transaction has another
/// one; 55000 when it is not active or belongs to another region, or a cursor was opened for another
/// one; 53400 when too many sessions act for it; 22023 when the name is malformed.
pub fn resolve() -> Result<()> {
    invalidation::accept();
    given::look_up();
    let role = role::outer();
    match effective_name() {
        None => {
            cursors::note(None)?;
            hot::remember(role, None);
        }
        Some((name, trust)) => {
            let tenant = admit(role, &name, trust, Remedy::None).inspect_err(|_| presence::refused())?;
            // The attacks of `prove` are none of the tenant's statements.
            if !aside::is_set() {
                counting::is_used(tenant.id)?;
            }
            cursors::note(Some(&tenant))?;
            hot::remember(role, Some(&tenant));
        }
    }
    Ok(())
}

/// Something that the context rests on has changed since it was resolved: the transaction's tenant is
/// authorised anew, so that what is in the middle of reading stops too, whatever is set meanwhile.
pub fn recheck() -> Result<()> {
    // The transaction may have dropped the extension; then nothing is left that asks for the tenant.
    if registry::get().is_err() {
        return Ok(());
    }
    let effective = effective_name();
    let trust = effective.as_ref().map_or(Trust::Access, |(_, trust)| *trust);
    let name = match (pin::known(), effective) {
        (Some(tenant), Some((name, _))) if TenantRef::parse(&name)?.names(tenant.id, &tenant.key) => name,
        (Some(tenant), _) => tenant.id.to_string(),
        (None, Some((name, _))) => name,
        (None, None) => return Ok(()),
    };
    admit(role::outer(), &name, trust, Remedy::None).map(|_| ())
}

/// Authorises the tenant for this transaction, and holds it until the end of it.
pub fn admit(role: Oid, name: &str, trust: Trust, remedy: Remedy) -> Result<Rc<Tenant>> {
    if let Some(tenant) = cache::get_last(role, trust, name) {
        check_member(role, name, &tenant)?;
        take(role, name, &tenant, remedy)?;
        if !cache::is_stale() {
            cache::hold(&tenant);
            return Ok(tenant);
        }
    }
    let reference = TenantRef::parse(name)?;
    pin::check(&reference)?;
    // A change may arrive while the registry is being read, and is announced only once.
    let tenant = loop {
        cache::refresh();
        let tenant = lookup(role, name, &reference, trust)?;
        take(role, name, &tenant, remedy)?;
        if !cache::is_stale() {
            break tenant;
        }
    };
    cache::hold(&tenant);
    cache::put_last(role, trust, name, &tenant);
    Ok(tenant)
}

fn take(role: Oid, name: &str, tenant: &Rc<Tenant>, remedy: Remedy) -> Result<()> {
    if !aside::admits(tenant.id) {
        return Err(Error::NoSuchTenantOrAccess { tenant: name.into(), role: role::name(role) });
    }
    seal::check_resolved(tenant.id)?;
    pin::hold(tenant)?;
    leftovers::take(tenant, remedy)?;
    presence::take(tenant)
}

/// The tenant of that name, if the session may act for it; it isn't taken thereby.
///
/// # Errors
/// As for `resolve`, but for the transaction's tenant and the number of sessions, which are not asked for.
pub fn find(name: &str, trust: Trust) -> Result<Rc<Tenant>> {
    invalidation::accept();
    cache::refresh();
    let role = role::outer();
    match cache::get_last(role, trust, name) {
        Some(tenant) => check_member(role, name, &tenant).map(|()| tenant),
        None => lookup(role, name, &TenantRef::parse(name)?, trust),
    }
}

fn lookup(role: Oid, name: &str, reference: &TenantRef, trust: Trust) -> Result<Rc<Tenant>> {
    if let Some(tenant) = cache::get(role, trust, name) {
        check_member(role, name, &tenant)?;
        return Ok(tenant);
    }
    let (row, members_only) = authorise(role, name, reference, trust)?;
    let tenant = Rc::new(Tenant::new(row, members_only));
    if !cache::is_stale() {
        cache::put(role, trust, name, &tenant);
    }
    Ok(tenant)
}

fn check_member(role: Oid, name: &str, tenant: &Tenant) -> Result<()> {
    if tenant.members_only && !membership::user_is_member(tenant.id)? {
        return Err(Error::NoSuchTenantOrAccess { tenant: name.into(), role: role::name(role) });
    }
    Ok(())
}

/// The tenant, and whether only its members may be acted for. Unknown and forbidden tenants, and those of others than the
/// user, get the same answer, so that nobody can probe for names.
fn authorise(role: Oid, name: &str, reference: &TenantRef, trust: Trust) -> Result<(tenants::TenantRow, bool)> {
    let refused = || Error::NoSuchTenantOrAccess { tenant: name.into(), role: role::name(role) };
    let tenant = tenants::find(reference)?.ok_or_else(refused)?;
    let trusted = trust == Trust::Default || role::is_superuser(role);
    let members_only = match if trusted { Some(Grant::Everybody) } else { granted(role, tenant.id)? } {
        Some(Grant::Everybody) => false,
        Some(Grant::Members) if membership::user_is_member(tenant.id)? => true,
        _ => return Err(refused()),
    };
    if !tenant.is_active() {
        return Err(Error::TenantNotActive { tenant: name.into(), status: tenant.status });
    }
    // Only somebody who took the registry's constraints away can have made such a key.
    if !TenantRef::parse(tenant.key.as_str()).is_ok_and(|key| key.names(tenant.id, &tenant.key)) {
        return Err(Error::MalformedKey { tenant: name.into() });
    }
    if is_elsewhere(&tenant) { Err(Error::OtherRegion { tenant: name.into() }) } else { Ok((tenant, members_only)) }
}

fn is_elsewhere(tenant: &tenants::TenantRow) -> bool {
    matches!((guc::region(), &tenant.region), (Some(here), Some(there)) if here != *there)
}

/// Whether the tenant is active, and its region is this one.
pub fn is_served_here(tenant: &tenants::TenantRow) -> bool {
    tenant.is_active() && !is_elsewhere(tenant)
}

/// The access that a role has to a tenant. Most applications' roles have access to any tenant, which need not be looked up
/// for each of them.
pub fn granted(role: Oid, tenant: Uuid) -> Result<Option<Grant>> {
    let any = match cache::any_tenant(role) {
        Some(any) => any,
        None => {
            let any = access::to_any(role)?;
            cache::put_any_tenant(role, any);
            any
        }
    };
    if any == Some(Grant::Everybody) { Ok(any) } else { Ok(any.max(access::to_tenant(role, tenant)?)) }
}

/// The tenant in force.
pub fn acting() -> Result<Option<Rc<Tenant>>> {
    given::look_up();
    let Some((name, trust)) = effective_name() else { return Ok(None) };
    resolve()?;
    admit(role::outer(), &name, trust, Remedy::None).map(Some)
}
