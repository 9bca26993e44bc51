//! `tenancy.access`: which role may act for which tenants.

use super::{registry, spi, tenants::pg_uuid};
use crate::error::Result;
use crate::sys::scan::{self, Key};
use crate::sys::{Oid, role};
use uuid::Uuid;

// Attribute numbers of the table, fixed by its DDL; new columns come after these.
const TENANT_ID: i16 = 1;
const ROLE: i16 = 2;

/// Whether `role` has, itself or by inheritance, access to the tenant or to any tenant.
pub fn allows(role: Oid, tenant: Uuid) -> Result<bool> {
    let registry = registry::get()?;
    let mut allowed = false;
    for tenant in [Key::Uuid(tenant), Key::Null] {
        scan::find(registry.access, registry.access_by_tenant, &[(TENANT_ID, tenant)], |row| {
            allowed = row.oid(ROLE as usize).is_some_and(|granted| role::has_privileges_of(role, granted));
            allowed
        });
        if allowed {
            break;
        }
    }
    Ok(allowed)
}

/// Records access to one tenant, or to any. Returns false when it is there already.
pub fn insert(role: Oid, tenant: Option<Uuid>) -> Result<bool> {
    let count = spi::run(
        "INSERT INTO tenancy.access (tenant_id, role) VALUES ($2, $1::pg_catalog.regrole) \
         ON CONFLICT (tenant_id, role) DO NOTHING",
        &[role.into(), tenant.map(pg_uuid).into()],
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
