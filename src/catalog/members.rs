//! `tenancy.members` and `tenancy.invitations`: who the users of a tenant are.

use super::{event, registry, spi, tenants::pg_uuid};
use crate::error::{Error, Result};
use crate::sys::scan::{self, Key};
use crate::sys::xact;
use pgrx::datum::Interval;
use uuid::Uuid;

// Attribute numbers of the table, fixed by its DDL; new columns come after these.
const TENANT_ID: i16 = 1;
const USER_ID: i16 = 2;
const ROLE: i16 = 3;

/// The longest name of a user, in characters: that of the setting.
pub const MAX_USER_CHARS: usize = 255;

/// What a member may do, in the application's own terms: each role has what those before it have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Viewer = 1,
    Member = 2,
    Admin = 3,
    Owner = 4,
}

impl Role {
    /// Reads a role's name.
    ///
    /// # Errors
    /// 22023 for another name.
    pub fn parse(name: &str) -> Result<Self> {
        Self::named(name.as_bytes()).ok_or_else(|| Error::InvalidArgument {
            what: "role",
            reason: format!("\"{name}\" is none of owner, admin, member, viewer"),
        })
    }

    /// The role of that name.
    #[inline]
    pub fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"viewer" => Some(Self::Viewer),
            b"member" => Some(Self::Member),
            b"admin" => Some(Self::Admin),
            b"owner" => Some(Self::Owner),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The greater the more he may; above 0.
    #[inline]
    pub fn rank(self) -> u8 {
        self as u8
    }
}

/// The role of a user within a tenant, as last committed; `None` when he is no member.
pub fn role_of(tenant: Uuid, user: &str) -> Result<Option<Role>> {
    let registry = registry::get()?;
    let mut found = Ok(None);
    let keys = [(TENANT_ID, Key::Uuid(tenant)), (USER_ID, Key::Text(user))];
    scan::find(registry.members, registry.members_by_user, &keys, |row| {
        found = match row.text(ROLE as usize) {
            Some(role) => Role::parse(&role).map(Some),
            None => Err(Error::NotInstalled),
        };
        true
    });
    found
}

/// What became of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Added,
    /// His role was another one.
    Changed,
    /// He had the role already.
    Nothing,
}

/// Makes a user a member, or gives a member that role. Needs the rights of the extension's owner.
pub fn put(tenant: Uuid, user: &str, role: Role) -> Result<Change> {
    put_unless(tenant, user, role, |has| has == role)
}

/// As `put`, but never takes a greater role away.
pub fn raise(tenant: Uuid, user: &str, role: Role) -> Result<Change> {
    put_unless(tenant, user, role, |has| has >= role)
}

fn put_unless(tenant: Uuid, user: &str, role: Role, suffices: impl Fn(Role) -> bool) -> Result<Change> {
    let args = [pg_uuid(tenant).into(), user.into(), role.as_str().into()];
    loop {
        let _told = event::told();
        let added = spi::run_kept(
            "INSERT INTO tenancy.members (tenant_id, user_id, role) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            &args,
        )?;
        if added > 0 {
            return Ok(Change::Added);
        }
        match role_of_locked(tenant, user)? {
            Some(has) if suffices(has) => return Ok(Change::Nothing),
            Some(_) => {
                spi::run(
                    "UPDATE tenancy.members SET role = $3 \
                     WHERE tenant_id OPERATOR(pg_catalog.=) $1 AND user_id OPERATOR(pg_catalog.=) $2",
                    &args,
                )?;
                return Ok(Change::Changed);
            }
            // Somebody has removed him in between.
            None => {}
        }
    }
}

fn role_of_locked(tenant: Uuid, user: &str) -> Result<Option<Role>> {
    let rows = spi::write(
        "SELECT role FROM tenancy.members \
         WHERE tenant_id OPERATOR(pg_catalog.=) $1 AND user_id OPERATOR(pg_catalog.=) $2 FOR NO KEY UPDATE",
        &[pg_uuid(tenant).into(), user.into()],
        |row| Role::parse(&row.require::<String>(1)?),
    )?;
    Ok(rows.into_iter().next())
}

/// Takes membership from a user. Returns false when he had none. Needs the rights of the extension's owner.
pub fn delete(tenant: Uuid, user: &str) -> Result<bool> {
    let count = spi::run(
        "DELETE FROM tenancy.members \
         WHERE tenant_id OPERATOR(pg_catalog.=) $1 AND user_id OPERATOR(pg_catalog.=) $2",
        &[pg_uuid(tenant).into(), user.into()],
    )?;
    Ok(count > 0)
}

/// Whether a tenant in use is left without an owner. Others who change its owners wait until this transaction ends. Needs
/// the rights of the extension's owner.
pub fn is_orphaned(tenant: Uuid) -> Result<bool> {
    let in_use = spi::write(
        "SELECT 1 FROM tenancy.tenants \
         WHERE id OPERATOR(pg_catalog.=) $1 \
         AND (status OPERATOR(pg_catalog.=) 'active' OR status OPERATOR(pg_catalog.=) 'suspended') FOR NO KEY UPDATE",
        &[pg_uuid(tenant).into()],
        |_| Ok(()),
    )?;
    if in_use.is_empty() {
        return Ok(false);
    }
    xact::next_command();
    // Whoever had the lock before may have committed after this transaction's snapshot was taken.
    let owners = spi::read_latest(
        "SELECT 1 FROM tenancy.members \
         WHERE tenant_id OPERATOR(pg_catalog.=) $1 AND role OPERATOR(pg_catalog.=) 'owner' LIMIT 1",
        &[pg_uuid(tenant).into()],
        |_| Ok(()),
    )?;
    Ok(owners.is_empty())
}

/// Keeps an invitation, known by the hash of its token. Returns false when it would have expired already. Needs the rights of
/// the extension's owner.
pub fn invite(hash: &[u8], tenant: Uuid, role: Role, expires: Interval) -> Result<bool> {
    let count = spi::run(
        "INSERT INTO tenancy.invitations (token_hash, tenant_id, role, expires_at) \
         SELECT $1, $2, $3, until.at FROM (SELECT pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) $4) AS until(at) \
         WHERE until.at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()",
        &[hash.to_vec().into(), pg_uuid(tenant).into(), role.as_str().into(), expires.into()],
    )?;
    Ok(count > 0)
}

/// Uses an invitation up, if there is one that has not expired. Of several who come with the same token one gets it. Needs
/// the rights of the extension's owner.
pub fn take_invitation(hash: &[u8]) -> Result<Option<(Uuid, Role)>> {
    let rows = spi::write(
        "DELETE FROM tenancy.invitations \
         WHERE token_hash OPERATOR(pg_catalog.=) $1 \
         AND expires_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp() \
         RETURNING tenant_id, role",
        &[hash.to_vec().into()],
        invitation,
    )?;
    Ok(rows.into_iter().next())
}

/// Takes an invitation back, whether it has expired or not; `None` when there is none. Needs the rights of the extension's owner.
pub fn revoke_invitation(hash: &[u8]) -> Result<Option<(Uuid, Role)>> {
    let rows = spi::write(
        "DELETE FROM tenancy.invitations WHERE token_hash OPERATOR(pg_catalog.=) $1 RETURNING tenant_id, role",
        &[hash.to_vec().into()],
        invitation,
    )?;
    Ok(rows.into_iter().next())
}

fn invitation(row: spi::Row<'_>) -> Result<(Uuid, Role)> {
    let tenant = Uuid::from_bytes(*row.require::<pgrx::Uuid>(1)?.as_bytes());
    Ok((tenant, Role::parse(&row.require::<String>(2)?)?))
}

/// Forgets some of the invitations that have expired, of any tenant, and waits for none. Needs the rights of the extension's owner.
pub fn forget_expired() -> Result<()> {
    spi::run(
        "DELETE FROM tenancy.invitations WHERE token_hash OPERATOR(pg_catalog.=) ANY (ARRAY( \
             SELECT token_hash FROM tenancy.invitations \
             WHERE expires_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp() \
             ORDER BY expires_at LIMIT 100 FOR UPDATE SKIP LOCKED))",
        &[],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_is_above_admin_above_member_above_viewer() {
        let names = ["viewer", "member", "admin", "owner"];
        let roles: Vec<Role> = names.iter().map(|name| Role::parse(name).unwrap()).collect();
        assert!(roles.is_sorted());
        for (role, name) in roles.iter().zip(names) {
            assert_eq!(role.as_str(), name);
        }
        assert!(Role::Viewer.rank() > 0);
    }

    #[test]
    fn other_words_are_no_roles() {
        for name in ["", "Owner", "owners", " owner", "root"] {
            assert!(Role::parse(name).is_err(), "{name}");
        }
    }
}
