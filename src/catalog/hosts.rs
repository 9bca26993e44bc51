//! `tenancy.hosts`: under which names tenants are served.

use super::host::Host;
use super::{event, registry, spi, tenants::pg_uuid};
use crate::error::Result;
use crate::sys::scan::{self, Key};
use uuid::Uuid;

// Attribute numbers of the table, fixed by its DDL; new columns come after these.
const HOST: i16 = 1;
const TENANT_ID: usize = 2;

/// The tenant that is served under this host, as last committed: by the host itself, or else by a wildcard.
pub fn tenant_of(host: &Host) -> Result<Option<Uuid>> {
    let exact = registered(host)?;
    match host.wildcard() {
        Some(wildcard) if exact.is_none() => registered(&wildcard),
        _ => Ok(exact),
    }
}

fn registered(host: &Host) -> Result<Option<Uuid>> {
    let registry = registry::get()?;
    let mut tenant = None;
    scan::find(registry.hosts, registry.hosts_by_name, &[(HOST, Key::Text(host.as_str()))], |row| {
        tenant = row.uuid(TENANT_ID);
        true
    });
    Ok(tenant)
}

/// Registers a host. Returns false when it is taken. Needs the rights of the extension's owner.
pub fn insert(host: &Host, tenant: Uuid) -> Result<bool> {
    let _told = event::told();
    let count = spi::run_kept(
        "INSERT INTO tenancy.hosts (host, tenant_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        &[host.as_str().into(), pg_uuid(tenant).into()],
    )?;
    Ok(count > 0)
}

/// Removes a host, and returns whose it was. Needs the rights of the extension's owner.
pub fn delete(host: &Host) -> Result<Option<Uuid>> {
    let rows = spi::write(
        "DELETE FROM tenancy.hosts WHERE host OPERATOR(pg_catalog.=) $1 RETURNING tenant_id",
        &[host.as_str().into()],
        |row| row.require::<pgrx::Uuid>(1),
    )?;
    Ok(rows.first().map(|id| Uuid::from_bytes(*id.as_bytes())))
}
