//! The seal: a session's tenant and user, frozen until the one who holds the secret lifts it. Whatever is set,
//! reset or rolled back meanwhile, the session acts for them or for nobody.
//!
//! It is kept outside of the settings, and so outside of transactions. Parallel workers, which have the leader's
//! settings and nothing else, are told through the setting `tenancy.sealed`.

use super::cache::Trust;
use super::leftovers::Remedy;
use super::{hot, leftovers, pin, resolve, token};
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::backend::BackendCell;
use crate::sys::digest::Fingerprint;
use crate::sys::option::{self, Scope};
use crate::sys::{discretion, invalidation, role, xact};
use crate::tenant::{TenantKey, TenantRef};
use std::cell::RefCell;
use uuid::Uuid;

/// The shortest secret, in bytes: one that can't be guessed.
const MIN_SECRET_BYTES: usize = 16;

/// Wrong secrets until none is taken any more.
const MAX_WRONG: u32 = 10;

/// What a session is frozen to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frozen {
    tenant: Uuid,
    key: TenantKey,
    /// Empty when there was none.
    user: String,
}

impl Frozen {
    /// As parallel workers are told. Neither key nor user has control characters.
    fn write(&self) -> String {
        format!("{}\n{}\n{}", self.tenant, self.key.as_str(), self.user)
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.splitn(3, '\n');
        let tenant = Uuid::try_parse(lines.next()?).ok()?;
        let key = TenantKey::stored(lines.next()?.to_owned());
        Some(Self { tenant, key, user: lines.next()?.to_owned() })
    }

    fn is(&self, name: &str) -> bool {
        TenantRef::parse(name).is_ok_and(|tenant| tenant.names(self.tenant, &self.key))
    }
}

struct Seal {
    frozen: Frozen,
    lock: Fingerprint,
    wrong: u32,
}

thread_local! {
    static SEAL: RefCell<Option<Seal>> = const { RefCell::new(None) };
}

/// Whether there is a seal; apart, because it is asked whenever something is resolved.
static SEALED: BackendCell<bool> = BackendCell::new(false);

/// What the session is sealed to.
fn frozen() -> Option<Frozen> {
    if xact::in_parallel_worker() {
        return Frozen::read(&guc::sealed());
    }
    if !SEALED.get() {
        return None;
    }
    SEAL.with_borrow(|seal| seal.as_ref().map(|seal| seal.frozen.clone()))
}

/// Freezes the tenant and the user that the session acts for.
///
/// # Errors
/// 22023 for a secret that is too short; 42501 when sealed already, or when there is no tenant that holds longer
/// than the transaction; otherwise as for `resolve`.
pub fn seal(secret: &str) -> Result<()> {
    discretion::veil_statement_with(secret);
    // Code of others must not seal the session that calls it.
    if xact::in_restricted_operation() || xact::in_another_name() {
        return Err(Error::RestrictedOperation);
    }
    if secret.len() < MIN_SECRET_BYTES {
        let reason = format!("it has at least {MIN_SECRET_BYTES} bytes");
        return Err(Error::InvalidArgument { what: "secret", reason });
    }
    if SEALED.get() {
        return Err(Error::Sealed);
    }
    let (name, trust) = if guc::has_token() {
        (token::proven()?.tenant().to_owned(), Trust::Signed)
    } else {
        (guc::tenant(), Trust::Access)
    };
    let user = guc::user_id().unwrap_or_default();
    if name.is_empty() {
        return Err(Error::NothingToSeal("no tenant is set"));
    }
    for (setting, reason) in [
        (guc::TOKEN, "the token is set for the transaction alone"),
        (guc::TENANT_ID, "the tenant is set for the transaction alone"),
        (guc::USER_ID, "the user is set for the transaction alone"),
    ] {
        if option::origin(setting).local {
            return Err(Error::NothingToSeal(reason));
        }
    }
    invalidation::accept();
    let tenant = resolve::admit(role::outer(), &name, trust, Remedy::None)?;
    let lock = Fingerprint::of(secret).ok_or(Error::NotSupported("sealing without random numbers"))?;
    let frozen = Frozen { tenant: tenant.id, key: tenant.key.clone(), user };
    // From here on only what the session has set itself counts: a RESET leads to the default of the connection or
    // the role, which could be the same.
    let (setting, value) = if trust == Trust::Signed { (guc::TOKEN, guc::token()) } else { (guc::TENANT_ID, name) };
    pin::with_checked(|| option::set(setting, &value, Scope::Session));
    if trust == Trust::Access && !frozen.user.is_empty() {
        option::set(guc::USER_ID, &frozen.user, Scope::Session);
    }
    guc::tell_workers_of_seal(&frozen.write());
    SEAL.set(Some(Seal { frozen, lock, wrong: 0 }));
    SEALED.set(true);
    Ok(())
}

/// Lifts the seal. What is set stays set.
///
/// # Errors
/// 55000 when there is none; 42501 for another secret, and for every one after too many of those.
pub fn unseal(secret: &str) -> Result<()> {
    discretion::veil_statement_with(secret);
    if !SEALED.get() {
        return Err(Error::NotSealed);
    }
    let opens = SEAL.with_borrow_mut(|seal| {
        seal.as_mut().is_some_and(|seal| {
            let right = seal.lock.is_of(secret);
            let opens = right && seal.wrong < MAX_WRONG;
            seal.wrong = if opens { 0 } else { seal.wrong.saturating_add(1) };
            opens
        })
    });
    if !opens {
        return Err(Error::WrongSecret);
    }
    guc::tell_workers_of_seal("");
    SEALED.set(false);
    SEAL.set(None);
    // What is set counts again, and may be another tenant: a default of the role.
    hot::forget();
    leftovers::context_changed();
    Ok(())
}

/// The session sets a tenant, or none.
pub fn check_tenant(name: &str) -> Result<()> {
    match frozen() {
        Some(frozen) if !frozen.is(name) => Err(Error::Sealed),
        _ => Ok(()),
    }
}

/// The session sets a user, or none.
pub fn check_user(user: &str) -> Result<()> {
    match frozen() {
        Some(frozen) if frozen.user != user => Err(Error::Sealed),
        _ => Ok(()),
    }
}

/// What is set has turned out to be this tenant: the key may have passed to another one since.
pub fn check_resolved(tenant: Uuid) -> Result<()> {
    match frozen() {
        Some(frozen) if frozen.tenant != tenant => Err(Error::Sealed),
        _ => Ok(()),
    }
}

/// Whether there is a seal.
pub fn is_on() -> bool {
    SEALED.get() || xact::in_parallel_worker() && !guc::sealed().is_empty()
}

/// The tenant that is set, if the seal lets it count.
pub fn tenant() -> Option<String> {
    let name = guc::tenant();
    (frozen()?.is(&name) && option::origin(guc::TENANT_ID).set).then_some(name)
}

/// Whether a token counts: under a seal only one that the session has set itself, which is to be for whom it is sealed to.
pub fn admits_token() -> bool {
    !is_on() || option::origin(guc::TOKEN).set
}

/// Whether the user that is set counts.
pub fn admits_user(user: &str) -> bool {
    frozen().is_none_or(|frozen| frozen.user == user && option::origin(guc::USER_ID).set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_read_what_the_leader_wrote() {
        for user in ["", "alice", "a b"] {
            let frozen =
                Frozen { tenant: Uuid::nil(), key: TenantKey::stored("acme eu".into()), user: user.to_owned() };
            assert_eq!(Frozen::read(&frozen.write()), Some(frozen));
        }
        assert_eq!(Frozen::read(""), None);
    }

    #[test]
    fn a_tenant_is_known_by_both_names() {
        let frozen = Frozen { tenant: Uuid::nil(), key: TenantKey::stored("acme".into()), user: String::new() };
        assert!(frozen.is("acme") && frozen.is("00000000000000000000000000000000"));
        assert!(!frozen.is("globex") && !frozen.is("") && !frozen.is(" acme"));
    }
}
