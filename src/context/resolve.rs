//! From the setting to an authorised tenant: registry row, access, status, region.

use super::cache::{self, Tenant, Trust};
use super::leftovers::{self, Remedy};
use super::token::{self, Proof};
use super::{aside, claims, cursors, given, hot, membership, own, pin, presence, seal};
use crate::catalog::access::{self, Access, Grant, Mode};
use crate::catalog::{extension, registry, tenants};
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::{Oid, counting, invalidation, role, subject, tally};
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

/// The name of the tenant that stays in force beyond the transaction. It is read off the settings and what is known of the
/// token, and of no table, so that it can be asked for while a transaction ends; what is said of a request ends with it.
pub fn lasting_name() -> Option<String> {
    if guc::has_token() {
        return if seal::admits_token() { token::named_by(&guc::token()) } else { None };
    }
    if seal::is_on() {
        return seal::tenant();
    }
    [guc::tenant(), guc::default_tenant()].into_iter().find(|name| !name.is_empty())
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
/// one; 55000 when it is not active or belongs to another region, a cursor was opened for another
/// one, or the extension is newer than the library; 53400 when too many sessions act for it; 22023 when the name is malformed.
pub fn resolve() -> Result<()> {
    invalidation::accept();
    given::look_up();
    let role = role::outer();
    let effective = effective_name();
    claims::watch(!seal::is_on() && matches!(effective, None | Some((_, Trust::Claims | Trust::Default))));
    match effective {
        None => {
            cursors::note(None)?;
            hot::remember(role, None);
        }
        Some((name, trust)) => {
            if trust == Trust::Claims {
                // Nobody has told of them.
                own::context_changed();
            }
            let tenant = loop {
                let tenant = admit(role, &name, trust, Remedy::None).inspect_err(|_| presence::refused())?;
                // The attacks of `prove` are none of the tenant's statements.
                if !aside::is_set() {
                    counting::is_used(tenant.id)?;
                }
                // Counting may read tables, and hear of a change on the way.
                if !cache::is_stale() {
                    break tenant;
                }
            };
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
    admit_by(role, name, trust, remedy, || prove(trust))
}

fn prove(trust: Trust) -> Result<Option<Rc<Proof>>> {
    match trust {
        Trust::Signed => token::proven().map(Some),
        Trust::Access | Trust::Claims | Trust::Default => Ok(None),
    }
}

/// Parallel workers resolve for themselves, and what they find is gone with them: what they may find is the transaction's
/// before they start, also where the leader does not look at it.
pub fn prepare_workers() -> Result<()> {
    given::look_up();
    // Where the extension is not installed, a setting of its name means nothing.
    match effective_name().filter(|_| registry::get().is_ok()) {
        // They can't look at the clock.
        Some((name, trust @ Trust::Signed)) => admit(role::outer(), &name, trust, Remedy::None).map(|_| ()),
        // A name that is malformed is refused where it is used.
        Some((name, Trust::Claims)) => TenantRef::parse(&name).map_or(Ok(()), |name| pin::set(&name)),
        _ => Ok(()),
    }
}

/// A parallel worker is about to run its part, in which it may never look at the tenant: of several that share a bitmap one alone
/// reads the index. What it says in the log is about the one that is set all the same, if that may be acted for; the transaction
/// doesn't use it thereby.
pub fn tell_log_of_worker() {
    given::look_up();
    let Some((name, trust)) = effective_name() else { return };
    // A refusal is for whatever asks for the tenant.
    if registry::get().is_ok()
        && let Ok(tenant) = find(&name, trust)
    {
        tell_log(&tenant, trust, token::last().as_deref());
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
        Claimant { role, trust, proof: proof.as_deref() }.check_member(name, &tenant)?;
        take(role, name, &tenant, proof.as_deref(), remedy)?;
        if !cache::is_stale() {
            hold(&tenant, trust, proof.as_deref());
            return Ok(tenant);
        }
    }
    let reference = TenantRef::parse(name)?;
    pin::check(&reference)?;
    // A change may arrive while the registry is being read, and is announced only once.
    let (tenant, proof) = loop {
        cache::refresh();
        let proof = prove()?;
        let tenant = lookup(Claimant { role, trust, proof: proof.as_deref() }, name, &reference)?;
        take(role, name, &tenant, proof.as_deref(), remedy)?;
        if !cache::is_stale() {
            break (tenant, proof);
        }
    };
    hold(&tenant, trust, proof.as_deref());
    cache::put_last(role, trust, name, &tenant);
    Ok(tenant)
}

/// The transaction uses the tenant from here on.
fn hold(tenant: &Rc<Tenant>, trust: Trust, proof: Option<&Proof>) {
    cache::hold(tenant);
    // The attacks of `prove` are none of the tenant's doing.
    if aside::is_set() {
        return;
    }
    tally::is_used(tenant.id);
    if subject::is_wanted() {
        tell_log(tenant, trust, proof);
    }
}

/// Lines of the log are about the tenant from here on.
fn tell_log(tenant: &Tenant, trust: Trust, proof: Option<&Proof>) {
    let by_request = if trust == Trust::Claims { claims::in_force().and_then(|request| request.user) } else { None };
    let user = match (trust, proof) {
        (Trust::Signed, Some(proof)) => Some(proof.user()),
        // What was proved before is known.
        (Trust::Signed, None) => return,
        (Trust::Claims, _) => Some(by_request.as_deref()),
        (Trust::Access | Trust::Default, _) => None,
    };
    subject::is_used(tenant.id, tenant.key.as_str(), user);
}

fn take(role: Oid, name: &str, tenant: &Rc<Tenant>, proof: Option<&Proof>, remedy: Remedy) -> Result<()> {
    if !aside::admits(tenant.id) {
        return Err(Error::NoSuchTenantOrAccess { tenant: name.into(), role: role::name(role) });
    }
    seal::check_resolved(tenant.id)?;
    if let Some(proof) = proof {
        seal::check_user(proof.user().unwrap_or_default())?;
        check_by_hand(role, tenant, proof)?;
    }
    pin::hold(tenant, proof.map(Proof::token))?;
    leftovers::take(tenant, remedy)?;
    presence::take(tenant)
}

/// Next to a token, a tenant that is set by hand has to stand for itself, and to be the same.
fn check_by_hand(role: Oid, tenant: &Rc<Tenant>, proof: &Proof) -> Result<()> {
    let name = guc::tenant();
    if name.is_empty() {
        return Ok(());
    }
    let reference = TenantRef::parse(&name)?;
    if lookup(Claimant { role, trust: Trust::Access, proof: Some(proof) }, &name, &reference)?.id != tenant.id {
        return Err(Error::TokenOfOtherTenant);
    }
    Ok(())
}

/// The tenant of that name, if the session may act for it; it isn't taken thereby.
///
/// # Errors
/// As for `resolve`, but for the transaction's tenant and the number of sessions, which are not asked for.
pub fn find(name: &str, trust: Trust) -> Result<Rc<Tenant>> {
    invalidation::accept();
    cache::refresh();
    let proof = prove(trust)?;
    let claimant = Claimant { role: role::outer(), trust, proof: proof.as_deref() };
    match cache::get_last(claimant.role, trust, name) {
        Some(tenant) => claimant.check_member(name, &tenant).map(|()| tenant),
        None => lookup(claimant, name, &TenantRef::parse(name)?),
    }
}

/// Who asks for a tenant, and on what grounds.
#[derive(Clone, Copy)]
struct Claimant<'a> {
    role: Oid,
    trust: Trust,
    proof: Option<&'a Proof>,
}

impl Claimant<'_> {
    /// The user who is in force together with the tenant, maybe from now on.
    fn user(&self) -> Option<String> {
        match (self.proof, self.trust) {
            (Some(proof), _) => proof.user().map(str::to_owned),
            // Set by hand, it comes before what the request says.
            (None, Trust::Access) if !guc::has_token() => guc::chosen_user(),
            // What was proved before is not proved again.
            (None, Trust::Signed) => match token::last() {
                Some(proof) => proof.user().map(str::to_owned),
                None => guc::user_id(),
            },
            (None, _) => guc::user_id(),
        }
    }

    fn is_member(&self, tenant: Uuid) -> Result<bool> {
        membership::is_member_as(tenant, self.user().as_deref())
    }

    fn check_member(&self, name: &str, tenant: &Tenant) -> Result<()> {
        if tenant.members_only && !self.is_member(tenant.id)? { Err(self.refused(name)) } else { Ok(()) }
    }

    fn refused(&self, name: &str) -> Error {
        Error::NoSuchTenantOrAccess { tenant: name.into(), role: role::name(self.role) }
    }
}

fn lookup(claimant: Claimant<'_>, name: &str, reference: &TenantRef) -> Result<Rc<Tenant>> {
    let Claimant { role, trust, .. } = claimant;
    if let Some(tenant) = cache::get(role, trust, name) {
        claimant.check_member(name, &tenant)?;
        return Ok(tenant);
    }
    extension::check_not_newer()?;
    let (row, members_only) = authorise(claimant, name, reference)?;
    let tenant = Rc::new(Tenant::new(row, members_only));
    if !cache::is_stale() {
        cache::put(role, trust, name, &tenant);
    }
    Ok(tenant)
}

/// The tenant, and whether only its members may be acted for. Unknown and forbidden tenants, and those of others than the
/// user, get the same answer, so that nobody can probe for names.
fn authorise(claimant: Claimant<'_>, name: &str, reference: &TenantRef) -> Result<(tenants::TenantRow, bool)> {
    let Claimant { role, trust, .. } = claimant;
    let refused = || claimant.refused(name);
    let tenant = tenants::find(reference)?.ok_or_else(refused)?;
    let trusted = trust == Trust::Default || role::is_superuser(role);
    let grant = if trusted { Some(Grant::Everybody) } else { granted_by(role, tenant.id, mode(trust))? };
    let members_only = match grant {
        Some(Grant::Everybody) => false,
        Some(Grant::Members) if claimant.is_member(tenant.id)? => true,
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

/// What is proved thereby.
fn mode(trust: Trust) -> Mode {
    match trust {
        Trust::Signed => Mode::Signed,
        Trust::Claims => Mode::Claims,
        Trust::Access | Trust::Default => Mode::Direct,
    }
}

/// The access that a role has to a tenant on what the session has to prove it with.
pub fn granted(role: Oid, tenant: &tenants::TenantRow) -> Result<Option<Grant>> {
    let is_named = |name: &str| TenantRef::parse(name).is_ok_and(|name| name.names(tenant.id, &tenant.key));
    let proof = match effective_name() {
        Some((name, trust)) if is_named(&name) => mode(trust),
        _ => Mode::Direct,
    };
    granted_by(role, tenant.id, proof)
}

fn granted_by(role: Oid, tenant: Uuid, proof: Mode) -> Result<Option<Grant>> {
    Ok(to_tenant(role, tenant)?.grant(&to_any(role)?, proof))
}

/// Where all access is to any tenant, none need be looked up for this one.
fn to_tenant(role: Oid, tenant: Uuid) -> Result<Access> {
    let is_named = match cache::names_tenants() {
        Some(any) => any,
        None => {
            let any = access::names_tenants()?;
            cache::put_names_tenants(any);
            any
        }
    };
    if is_named { access::to_tenant(role, tenant) } else { Ok(Access::default()) }
}

/// Most applications' roles have access to any tenant, which need not be looked up for each of them.
pub fn to_any(role: Oid) -> Result<Access> {
    match cache::any_tenant(role) {
        Some(any) => Ok(any),
        None => {
            let any = access::to_any(role)?;
            cache::put_any_tenant(role, any);
            Ok(any)
        }
    }
}

/// The tenant in force.
pub fn acting() -> Result<Option<Rc<Tenant>>> {
    given::look_up();
    let Some((name, trust)) = effective_name() else { return Ok(None) };
    resolve()?;
    admit(role::outer(), &name, trust, Remedy::None).map(Some)
}
