//! `tenancy.event_log`: who changed what, when and why.

use super::worker::{self, Task};
use super::{spi, tenants::pg_uuid};
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::backend::{BackendCell, Raised};
use crate::sys::{recorder, role};
use pgrx::JsonB;
use serde::{Deserialize, Serialize};
use std::time::Duration;
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

/// Up while rows are written that have an entry each.
static TOLD: BackendCell<bool> = BackendCell::new(false);

/// What is written until the result is dropped has entries of its own.
pub fn told() -> Raised<'static> {
    TOLD.raised()
}

/// Whether what is being written has entries of its own.
pub fn is_told() -> bool {
    TOLD.get()
}

/// Writes the entry in the current transaction. Needs the rights of the extension's owner.
pub fn write(event: Event) -> Result<()> {
    write_returning(event).map(|_| ())
}

/// As `write`, and returns the entry's id.
pub fn write_returning(event: Event) -> Result<i64> {
    let ids = spi::write_kept(
        "INSERT INTO tenancy.event_log \
         (event, tenant_id, object, role_name, user_id, request_id, reason, detail) \
         VALUES ($1, $2, $3, $4::pg_catalog.name, $5, $6, $7, $8) RETURNING id",
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
        |row| row.require(1),
    )?;
    ids.into_iter().next().ok_or_else(|| Error::Spi("no entry was made".into()))
}

/// An entry that stays whatever becomes of the transaction: another process writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub event: String,
    pub object: Option<String>,
    pub role_name: String,
    pub session_role: String,
    pub user_id: Option<String>,
    pub request_id: Option<String>,
    pub reason: Option<String>,
    pub database: String,
    pub application: String,
    pub process: i32,
}

/// Whether such entries can be written here at all: not on a hot standby.
pub fn outlasts() -> bool {
    recorder::is_possible()
}

/// Has the entries written, soon, all by one worker; waits for a free one as long as there is `patience`. Returns false
/// when nobody can.
pub fn record(records: Vec<Record>, patience: Duration) -> bool {
    worker::send(&Task::Record(records), patience)
}

/// Has the entry written now. Returns whether it is.
pub fn record_and_wait(record: &Record) -> bool {
    worker::send_and_wait(&Task::Record(vec![record.clone()]), Duration::ZERO).is_some()
}

/// In the worker. The same by another session within the minute is enough.
pub fn write_record(record: Record) -> Result<()> {
    spi::run(
        "INSERT INTO tenancy.event_log \
         (event, object, role_name, session_role, user_id, request_id, reason, detail) \
         SELECT $1, $2, $3::pg_catalog.name, $4::pg_catalog.name, $5, $6, $7, \
                pg_catalog.jsonb_build_object('application', $8, 'process', $9) \
         WHERE NOT EXISTS ( \
             SELECT FROM tenancy.event_log AS e \
             WHERE e.event OPERATOR(pg_catalog.=) $1 \
               AND e.at OPERATOR(pg_catalog.>) \
                   (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) '1 minute'::pg_catalog.interval) \
               AND (e.object OPERATOR(pg_catalog.=) $2 OR e.object IS NULL AND $2 IS NULL) \
               AND e.role_name OPERATOR(pg_catalog.=) $3::pg_catalog.name \
               AND e.session_role OPERATOR(pg_catalog.=) $4::pg_catalog.name \
               AND (e.reason OPERATOR(pg_catalog.=) $7 OR e.reason IS NULL AND $7 IS NULL))",
        &[
            record.event.into(),
            record.object.into(),
            record.role_name.into(),
            record.session_role.into(),
            record.user_id.into(),
            record.request_id.into(),
            record.reason.into(),
            record.application.into(),
            record.process.into(),
        ],
    )?;
    Ok(())
}
