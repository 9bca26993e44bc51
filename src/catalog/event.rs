//! `tenancy.event_log`: who changed what, when and why.

use super::{spi, tenants::pg_uuid};
use crate::error::Result;
use crate::guc;
use crate::sys::role;
use pgrx::JsonB;
use uuid::Uuid;

/// One entry; who and when are added.
#[derive(Debug, Default)]
pub struct Event {
    /// What happened, as `object.verb` (`tenant.suspended`).
    pub event: &'static str,
    pub tenant: Option<Uuid>,
    /// The table or role it happened to.
    pub object: Option<String>,
    pub reason: Option<String>,
    pub detail: Option<serde_json::Value>,
}

/// Writes the entry in the current transaction. Needs the rights of the extension's owner.
pub fn write(event: Event) -> Result<()> {
    spi::run(
        "INSERT INTO tenancy.event_log \
         (event, tenant_id, object, role_name, user_id, request_id, reason, detail) \
         VALUES ($1, $2, $3, $4::pg_catalog.name, $5, $6, $7, $8)",
        &[
            event.event.into(),
            event.tenant.map(pg_uuid).into(),
            event.object.into(),
            role::name(role::outer()).into(),
            guc::user_id().into(),
            guc::request_id().into(),
            event.reason.into(),
            event.detail.map(JsonB).into(),
        ],
    )?;
    Ok(())
}
