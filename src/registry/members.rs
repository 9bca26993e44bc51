//! Members: which users belong to a tenant, and how they come to it.

use super::access::known_tenant;
use crate::catalog::event::{self, Event};
use crate::catalog::members::{self, Change, MAX_USER_CHARS, Role};
use crate::catalog::registry::as_owner;
use crate::error::{Error, Result};
use crate::sys::digest;
use crate::sys::transition::{Fired, Side};
use crate::sys::xact;
use pgrx::datum::Interval;
use serde_json::json;
use uuid::Uuid;

// Attribute number of tenancy.members, fixed by its DDL.
const TENANT_ID: i16 = 1;

/// Makes a user a member of a tenant, or gives a member another role. Called as the extension's owner.
///
/// # Errors
/// 42704 unknown tenant; 22023 malformed user or unknown role; 55000 when the tenant would lose its last owner.
pub fn add_member(tenant: &str, user: &str, role: &str) -> Result<()> {
    let role = Role::parse(role)?;
    check_user(user)?;
    let tenant = known_tenant(tenant)?;
    match members::put(tenant, user, role)? {
        Change::Added => log("member.added", tenant, Some(user), role),
        Change::Changed => log("member.changed", tenant, Some(user), role),
        Change::Nothing => Ok(()),
    }
}

/// Ends a user's membership. Every session hears of it at its next statement after commit. Called as the extension's owner.
///
/// # Errors
/// 42704 unknown tenant, or no such member; 55000 when he is the last owner.
pub fn remove_member(tenant: &str, user: &str) -> Result<()> {
    let id = known_tenant(tenant)?;
    if !members::delete(id, user)? {
        return Err(Error::UnknownMember { tenant: tenant.to_owned(), user: user.to_owned() });
    }
    event::write(Event { event: "member.removed", tenant: Some(id), object: Some(user.to_owned()), ..Event::default() })
}

/// Makes an invitation to become a member, and returns its token, which is kept nowhere. Called as the extension's owner.
///
/// # Errors
/// 42704 unknown tenant; 22023 unknown role, or an interval that is not positive.
pub fn invite_member(tenant: &str, role: &str, expires: Interval) -> Result<String> {
    let role = Role::parse(role)?;
    let id = known_tenant(tenant)?;
    let token = digest::random_token().ok_or(Error::NotSupported("inviting without random numbers"))?;
    // Elsewhere a row that another transaction has removed meanwhile would be an error.
    if xact::is_read_committed() {
        members::forget_expired()?;
    }
    if !members::invite(&hash(&token)?, id, role, expires)? {
        return Err(Error::InvalidArgument { what: "expires", reason: "it must be a positive interval".into() });
    }
    log("member.invited", id, None, role)?;
    Ok(token)
}

/// Uses an invitation up: the user is a member from here on, with the role it was made for, unless he has a greater one.
/// Returns the tenant's id. Called by anybody; `may_join` tells whether the caller's role may act for the tenant.
///
/// # Errors
/// 28000 when there is no such invitation, or it was used, has expired, or is for a tenant that the role may not act for;
/// 22023 malformed user; 25006 in a read-only transaction; what `may_join` raises.
pub fn accept_invitation(token: &str, user: &str, may_join: fn(Uuid) -> Result<bool>) -> Result<Uuid> {
    check_user(user)?;
    if xact::is_read_only() {
        return Err(Error::ReadOnly("tenancy.accept_invitation()"));
    }
    let hash = hash(token)?;
    as_owner(|| {
        let (tenant, role) = members::take_invitation(&hash)?.ok_or(Error::InvalidInvitation)?;
        // The error brings the invitation back.
        if !may_join(tenant)? {
            return Err(Error::InvalidInvitation);
        }
        members::raise(tenant, user, role)?;
        log("member.joined", tenant, Some(user), role)?;
        Ok(tenant)
    })
}

/// Takes an invitation back: nobody becomes a member by it any more. Called as the extension's owner.
///
/// # Errors
/// 42704 when there is no such invitation, or it was used.
pub fn revoke_invitation(token: &str) -> Result<()> {
    let (tenant, role) = members::revoke_invitation(&hash(token)?)?.ok_or(Error::UnknownInvitation)?;
    log("member.uninvited", tenant, None, role)
}

fn hash(token: &str) -> Result<Vec<u8>> {
    digest::sha256(token.as_bytes()).ok_or(Error::NotSupported("invitations without SHA-256"))
}

fn check_user(user: &str) -> Result<()> {
    let reason = if user.is_empty() {
        "it must not be empty"
    } else if user.chars().count() > MAX_USER_CHARS {
        "it has at most 255 characters"
    } else if user.chars().any(char::is_control) {
        "it must not contain control characters"
    } else {
        return Ok(());
    };
    Err(Error::InvalidArgument { what: "user", reason: reason.into() })
}

fn log(event: &'static str, tenant: Uuid, user: Option<&str>, role: Role) -> Result<()> {
    let detail = Some(json!({ "role": role.as_str() }));
    event::write(Event { event, tenant: Some(tenant), object: user.map(str::to_owned), detail, ..Event::default() })
}

/// An owner has been removed, or made something else, by a function or by plain DML: there must be another one.
///
/// # Errors
/// 55000 when there is none.
pub fn owner_left(fired: Fired<'_>) -> Result<()> {
    xact::next_command();
    let tenant = fired.row(Side::Old).and_then(|row| row.uuid(TENANT_ID)).ok_or(Error::NotInstalled)?;
    if as_owner(|| members::is_orphaned(tenant))? { Err(Error::LastOwner) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::check_user;

    #[test]
    fn a_user_is_named_as_the_setting_names_him() {
        for user in ["alice", "a b", "ä@example.com", &"u".repeat(255)] {
            assert_eq!(check_user(user), Ok(()), "{user}");
        }
        for user in ["", "a\nb", &"u".repeat(256)] {
            assert!(check_user(user).is_err(), "{user:?}");
        }
    }
}
