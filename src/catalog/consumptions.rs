//! `tenancy.consumptions`: idempotency keys. Needs the rights of the extension's owner.

use super::{spi, tenants::pg_uuid};
use crate::error::{Error, Result};
use crate::sys::slots::Key;

/// What became of an attempt to take a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nobody has it, or had it for too long.
    New,
    /// That much was taken with it.
    Taken(i64),
}

/// Takes an idempotency key for an amount, unless it was taken in the last so many seconds. Waits for a transaction that
/// is about to take it. Removes some that are older.
pub fn claim(key: &Key, name: &str, amount: i64, keep: i32) -> Result<Claim> {
    let claimed = spi::write(
        "INSERT INTO tenancy.consumptions AS c (tenant_id, resource_id, idempotency_key, amount) \
         VALUES ($1, $2, $3, $4) \
         ON CONFLICT (tenant_id, resource_id, idempotency_key) DO UPDATE \
         SET amount = EXCLUDED.amount, at = EXCLUDED.at \
         WHERE c.at OPERATOR(pg_catalog.<) (EXCLUDED.at OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => $5)) \
         RETURNING 1",
        &[pg_uuid(key.tenant).into(), key.resource.into(), name.into(), amount.into(), f64::from(keep).into()],
        |_| Ok(()),
    )?;
    if !claimed.is_empty() {
        sweep(key, keep)?;
        return Ok(Claim::New);
    }
    let before = spi::write(
        "SELECT amount FROM tenancy.consumptions WHERE tenant_id OPERATOR(pg_catalog.=) $1 \
         AND resource_id OPERATOR(pg_catalog.=) $2 AND idempotency_key OPERATOR(pg_catalog.=) $3",
        &[pg_uuid(key.tenant).into(), key.resource.into(), name.into()],
        |row| row.require(1),
    )?;
    before.first().map(|amount| Claim::Taken(*amount)).ok_or_else(|| Error::Spi("an idempotency key has gone".into()))
}

/// Two for each one that is made: so they come to an end.
fn sweep(key: &Key, keep: i32) -> Result<()> {
    spi::run(
        "DELETE FROM tenancy.consumptions WHERE (tenant_id, resource_id, idempotency_key) IN ( \
             SELECT c.tenant_id, c.resource_id, c.idempotency_key FROM tenancy.consumptions AS c \
             WHERE c.tenant_id OPERATOR(pg_catalog.=) $1 AND c.resource_id OPERATOR(pg_catalog.=) $2 \
               AND c.at OPERATOR(pg_catalog.<) \
                   (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => $3)) \
             ORDER BY c.at LIMIT 2 FOR UPDATE SKIP LOCKED)",
        &[pg_uuid(key.tenant).into(), key.resource.into(), f64::from(keep).into()],
    )?;
    Ok(())
}
