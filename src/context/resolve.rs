//! From the setting to an authorised tenant: registry row, access, status, region.

use super::cache::{self, Tenant, Trust};
use super::leftovers::{self, Remedy};
use super::token::{self, Proof};
use super::{aside, claims, cursors, hot, pin, seal};
use crate::catalog::access::{self, Mode};
use crate::catalog::{registry, tenants};
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::{Oid, invalidation, role};
use crate::tenant::TenantRef;
use std::rc::Rc;
use uuid::Uuid;

/// The name of the tenant in force, and why it is; `None` without a context. A token that proves nothing names nobody: the
/// name is empty, and `admit` says why.
pub fn effective_name() -> Option<(String, Trust)> {
    if guc::has_token() {
        if !seal::admits_token() {
            return None;
        }
        let name = token::proven().map(|proof| proof.tenant().to_owned()).unwrap_or_default();
        return Some((name, Trust::Signed));
    }
    if seal::is_on() {
        return seal::tenant().map(|name| (name, Trust::Access));
    }
    let name = guc::tenant();
    if !name.is_empty() {
        return Some((name, Trust::Access));
    }
    if let Some(request) = claims::in_force() {
        return Some((request.tenant, Trust::Claims));
    }
    let name = guc::default_tenant();
    (!name.is_empty()).then_some((name, Trust::Default))
}

/// The user whom a token or the request names, who may be nobody; `None` where neither is in force.
pub fn proven_user() -> Option<Option<String>> {
    if guc::has_token() {
        return Some(token::proven().ok().and_then(|proof| proof.user().map(str::to_owned)));
    }
    if seal::is_on() || !guc::tenant().is_empty() {
        return None;
    }
    claims::in_force().map(|request| request.user)
}

/// Says why a token that is in force names nobody, if it is one that does.
pub fn check_token(trust: Trust) -> Result<()> {
    if trust == Trust::Signed { token::proven().map(|_| ()) } else { Ok(()) }
}

/// Resolves the context for the current outer role, for the hot path to read.
///
/// # Errors
/// 42501 when the tenant is unknown, the role has no access to it, or the transaction has another
/// one; 55000 when it is not active or belongs to another region, or a cursor was opened for another
/// one; 22023 when the name is malformed.
pub fn resolve() -> Result<()> {
    invalidation::accept();
    let role = role::outer();
    match effective_name() {
        None => {
            cursors::note(None)?;
            hot::remember(role, None);
        }
        Some((name, trust)) => {
            let tenant = admit(role, &name, trust, Remedy::None)?;
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
    check_token(trust)?;
    let name = match (pin::known(), effective) {
        (Some(tenant), Some((name, _))) if TenantRef::parse(&name)?.names(tenant.id, &tenant.key) => name,
        (Some(tenant), Some(_)) => tenant.id.to_string(),
        // What was proved is not proved again, but whether the role may still act for the tenant.
        (Some(tenant), None) => {
            return admit_by(role::outer(), &tenant.id.to_string(), Trust::Signed, Remedy::None, || Ok(None))
                .map(|_| ());
        }
        (None, Some((name, _))) => name,
        (None, None) => return Ok(()),
    };
    admit(role::outer(), &name, trust, Remedy::None).map(|_| ())
}

/// Authorises the tenant for this transaction, and holds it until the end of it.
pub fn admit(role: Oid, name: &str, trust: Trust, remedy: Remedy) -> Result<Rc<Tenant>> {
    admit_by(role, name, trust, remedy, || match trust {
        Trust::Signed => token::proven().map(Some),
        Trust::Access | Trust::Claims | Trust::Default => Ok(None),
    })
}

/// Authorises the tenant of the token in force.
pub fn admit_token() -> Result<()> {
    match effective_name() {
        Some((name, trust)) => admit(role::outer(), &name, trust, Remedy::None).map(|_| ()),
        None => Ok(()),
    }
}

/// As `admit`, on the proof that is asked for whenever something may have changed.
pub fn admit_by(
    role: Oid,
    name: &str,
    trust: Trust,
    remedy: Remedy,
    prove: impl Fn() -> Result<Option<Rc<Proof>>>,
) -> Result<Rc<Tenant>> {
    let proof = prove()?;
    if let Some(tenant) = cache::get_last(role, trust, name) {
        take(role, name, &tenant, proof.as_deref(), remedy)?;
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
        let proof = prove()?;
        let tenant = lookup(role, name, &reference, trust)?;
        take(role, name, &tenant, proof.as_deref(), remedy)?;
        if !cache::is_stale() {
            break tenant;
        }
    };
    cache::hold(&tenant);
    cache::put_last(role, trust, name, &tenant);
    Ok(tenant)
}

fn take(role: Oid, name: &str, tenant: &Rc<Tenant>, proof: Option<&Proof>, remedy: Remedy) -> Result<()> {
    if !aside::admits(tenant.id) {
        return Err(Error::NoSuchTenantOrAccess { tenant: name.into(), role: role::name(role) });
    }
    seal::check_resolved(tenant.id)?;
    if let Some(proof) = proof {
        seal::check_user(proof.user().unwrap_or_default())?;
        check_by_hand(role, tenant)?;
    }
    pin::hold(tenant, proof.map(Proof::token))?;
    leftovers::take(tenant, remedy)
}

/// Next to a token, a tenant that is set by hand has to stand for itself, and to be the same.
fn check_by_hand(role: Oid, tenant: &Rc<Tenant>) -> Result<()> {
    let name = guc::tenant();
    if name.is_empty() {
        return Ok(());
    }
    let reference = TenantRef::parse(&name)?;
    if lookup(role, &name, &reference, Trust::Access)?.id != tenant.id {
        return Err(Error::TokenOfOtherTenant);
    }
    Ok(())
}

/// The tenant of that name, if the session may act for it; it isn't taken thereby.
pub fn find(name: &str, trust: Trust) -> Option<Rc<Tenant>> {
    invalidation::accept();
    cache::refresh();
    lookup(role::outer(), name, &TenantRef::parse(name).ok()?, trust).ok()
}

fn lookup(role: Oid, name: &str, reference: &TenantRef, trust: Trust) -> Result<Rc<Tenant>> {
    if let Some(tenant) = cache::get(role, trust, name) {
        return Ok(tenant);
    }
    let tenant = Rc::new(Tenant::new(authorise(role, name, reference, trust)?));
    if !cache::is_stale() {
        cache::put(role, trust, name, &tenant);
    }
    Ok(tenant)
}

/// Unknown and forbidden tenants get the same answer, so that nobody can probe for names.
fn authorise(role: Oid, name: &str, reference: &TenantRef, trust: Trust) -> Result<tenants::TenantRow> {
    let refused = || Error::NoSuchTenantOrAccess { tenant: name.into(), role: role::name(role) };
    let tenant = tenants::find(reference)?.ok_or_else(refused)?;
    let trusted = trust == Trust::Default || role::is_superuser(role);
    if !trusted && !may_act_for(role, tenant.id, trust)? {
        return Err(refused());
    }
    if !tenant.is_active() {
        return Err(Error::TenantNotActive { tenant: name.into(), status: tenant.status });
    }
    // Only somebody who took the registry's constraints away can have made such a key.
    if !TenantRef::parse(tenant.key.as_str()).is_ok_and(|key| key.names(tenant.id, &tenant.key)) {
        return Err(Error::MalformedKey { tenant: name.into() });
    }
    match (guc::region(), &tenant.region) {
        (Some(here), Some(there)) if here != *there => Err(Error::OtherRegion { tenant: name.into() }),
        _ => Ok(tenant),
    }
}

/// Whether the role may act for the tenant on that proof. What is said of the tenant itself goes before what is said of any.
fn may_act_for(role: Oid, tenant: Uuid, trust: Trust) -> Result<bool> {
    let mode = match access::to_tenant(role, tenant)? {
        Some(mode) => Some(mode),
        None => to_any(role)?,
    };
    // A stronger proof does for what asks for a weaker one.
    let proof = match trust {
        Trust::Signed => Mode::Signed,
        Trust::Claims => Mode::Claims,
        Trust::Access | Trust::Default => Mode::Direct,
    };
    Ok(mode.is_some_and(|mode| mode <= proof))
}

/// Most applications' roles have access to any tenant, which need not be looked up for each of them.
pub fn to_any(role: Oid) -> Result<Option<Mode>> {
    match cache::any_tenant(role) {
        Some(any) => Ok(any),
        None => {
            let any = access::to_any(role)?;
            cache::put_any_tenant(role, any);
            Ok(any)
        }
    }
}
