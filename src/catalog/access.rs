//! `tenancy.access`: which role may act for which tenants.

use super::{registry, spi, tenants::pg_uuid};
use crate::error::Result;
use crate::sys::scan::{self, Key};
use crate::sys::{Oid, role};
use uuid::Uuid;

// Attribute numbers of the table, fixed by its DDL; new columns come after these.
const TENANT_ID: i16 = 1;
const ROLE: i16 = 2;
const MODE: i16 = 4;

/// What proves that a role may act for a tenant, the strictest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// The role is trusted to name the tenant.
    Direct,
    /// What PostgREST says of the request.
    Claims,
    /// A token.
    Signed,
}

impl Mode {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "direct" => Some(Self::Direct),
            "claims" => Some(Self::Claims),
            "signed" => Some(Self::Signed),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Claims => "claims",
            Self::Signed => "signed",
        }
    }
}

/// The mode in which `role` has, itself or by inheritance, access to this tenant in particular.
pub fn to_tenant(role: Oid, tenant: Uuid) -> Result<Option<Mode>> {
    strictest(role, Key::Uuid(tenant))
}

/// The mode in which `role` has, itself or by inheritance, access to any tenant.
pub fn to_any(role: Oid) -> Result<Option<Mode>> {
    strictest(role, Key::Null)
}

/// Who asks for a proof is not to be passed by with another row.
fn strictest(role: Oid, tenant: Key<'_>) -> Result<Option<Mode>> {
    let registry = registry::get()?;
    let mut strictest = None;
    scan::find(registry.access, registry.access_by_tenant, &[(TENANT_ID, tenant)], |row| {
        if row.oid(ROLE as usize).is_some_and(|grantee| role::has_privileges_of(role, grantee)) {
            // What nobody knows is not trusted.
            let mode = row.text(MODE as usize).and_then(|name| Mode::parse(&name)).unwrap_or(Mode::Signed);
            strictest = strictest.max(Some(mode));
        }
        strictest == Some(Mode::Signed)
    });
    Ok(strictest)
}

/// Records access to one tenant, or to any. Returns false when it is there already, in that mode.
pub fn put(role: Oid, tenant: Option<Uuid>, mode: Mode) -> Result<bool> {
    let count = spi::run(
        "INSERT INTO tenancy.access AS a (tenant_id, role, mode) VALUES ($2, $1::pg_catalog.regrole, $3) \
         ON CONFLICT (tenant_id, role) DO UPDATE SET mode = excluded.mode \
         WHERE a.mode OPERATOR(pg_catalog.<>) excluded.mode",
        &[role.into(), tenant.map(pg_uuid).into(), mode.name().into()],
    )?;
    Ok(count > 0)
}

/// Removes access to one tenant, or the access to any. Returns false when there was none.
pub fn delete(role: Oid, tenant: Option<Uuid>) -> Result<bool> {
    let count = spi::run(
        "DELETE FROM tenancy.access \
         WHERE role OPERATOR(pg_catalog.=) $1 \
         AND tenant_id IS NOT DISTINCT FROM $2",
        &[role.into(), tenant.map(pg_uuid).into()],
    )?;
    Ok(count > 0)
}
