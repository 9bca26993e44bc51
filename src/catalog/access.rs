//! `tenancy.access`: which role may act for which tenants.

use super::{registry, spi, tenants::pg_uuid};
use crate::error::Result;
use crate::sys::scan::{self, Key};
use crate::sys::{Oid, role};
use uuid::Uuid;

// Attribute numbers of the table, fixed by its DDL; new columns come after these.
const TENANT_ID: i16 = 1;
const ROLE: i16 = 2;
const REQUIRE_MEMBERSHIP: i16 = 4;

/// For whom a role may act for a tenant. Grants add up, so the greatest one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// For members of the tenant.
    Members,
    /// For anybody.
    Everybody,
}

/// The access that `role` has, itself or by inheritance, to this tenant.
pub fn to_tenant(role: Oid, tenant: Uuid) -> Result<Option<Grant>> {
    greatest(role, Key::Uuid(tenant))
}

/// The access that `role` has, itself or by inheritance, to any tenant.
pub fn to_any(role: Oid) -> Result<Option<Grant>> {
    greatest(role, Key::Null)
}

fn greatest(role: Oid, tenant: Key<'_>) -> Result<Option<Grant>> {
    let registry = registry::get()?;
    let mut greatest = None;
    scan::find(registry.access, registry.access_by_tenant, &[(TENANT_ID, tenant)], |row| {
        if row.oid(ROLE as usize).is_some_and(|grantee| role::has_privileges_of(role, grantee)) {
            // A missing answer asks for more.
            let members = row.boolean(REQUIRE_MEMBERSHIP as usize).unwrap_or(true);
            greatest = greatest.max(Some(if members { Grant::Members } else { Grant::Everybody }));
        }
        greatest == Some(Grant::Everybody)
    });
    Ok(greatest)
}

/// Records access to one tenant, or to any. Returns false when it is there already as it should be.
pub fn put(role: Oid, tenant: Option<Uuid>, require_membership: bool) -> Result<bool> {
    let count = spi::run(
        "INSERT INTO tenancy.access AS a (tenant_id, role, require_membership) \
         VALUES ($2, $1::pg_catalog.regrole, $3) \
         ON CONFLICT (tenant_id, role) DO UPDATE SET require_membership = excluded.require_membership \
         WHERE a.require_membership IS DISTINCT FROM excluded.require_membership",
        &[role.into(), tenant.map(pg_uuid).into(), require_membership.into()],
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
