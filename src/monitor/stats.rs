//! What is done for each tenant, as `sys::tally` counts it.

use crate::catalog::tenants::find;
use crate::error::{Error, Result};
use crate::sys::role;
use crate::sys::tally::{self, Tally};
use crate::tenant::TenantRef;
use uuid::Uuid;

const FEATURE: &str = "tenancy.stat_tenants";

/// What was done for a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub id: Uuid,
    /// `None` when it is not registered any more.
    pub key: Option<String>,
    pub tally: Tally,
}

/// Whether whoever calls sees what is done for all tenants: superusers, and those who watch the server. Who calls is the
/// session's role, whatever function it does so by.
pub fn sees_all() -> bool {
    role::has_privileges_of(role::outer(), role::MONITOR)
}

/// What was done for the tenants of this database, or for one.
///
/// # Errors
/// 55000 without shared memory.
pub fn tenants(only: Option<Uuid>) -> Result<Vec<Tenant>> {
    check()?;
    let tenant = |(id, tally)| {
        let key = find(&TenantRef::Id(id))?.map(|row| row.key.as_str().to_owned());
        Ok(Tenant { id, key, tally })
    };
    tally::read(only).into_iter().map(tenant).collect()
}

/// Forgets what was counted of this database's tenants, or of one.
///
/// # Errors
/// 55000 without shared memory, 42704 unknown tenant.
pub fn reset(tenant: Option<&str>) -> Result<()> {
    check()?;
    let tenant = match tenant {
        None => None,
        Some(name) => {
            let row = find(&TenantRef::parse(name)?)?;
            Some(row.ok_or_else(|| Error::UnknownTenant(name.to_owned()))?.id)
        }
    };
    tally::reset(tenant);
    Ok(())
}

fn check() -> Result<()> {
    if tally::exists() { Ok(()) } else { Err(Error::NeedsPreload(FEATURE)) }
}

/// How the memory for statistics is used, by all databases.
pub struct Tracking {
    pub slots: i64,
    pub used: i64,
    pub evicted: i64,
}

/// How the memory for statistics is used.
///
/// # Errors
/// 55000 without shared memory.
pub fn tracking() -> Result<Tracking> {
    let usage = tally::usage().ok_or(Error::NeedsPreload(FEATURE))?;
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    Ok(Tracking { slots: number(usage.slots), used: number(usage.used), evicted: number(usage.lost) })
}
