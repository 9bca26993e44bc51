//! `tenancy.numbers`: the numbers that tenants have given out, by name.

use super::tenants::pg_uuid;
use super::worker::{self, Task};
use super::{
    registry::{as_owner, get},
    spi,
};
use crate::error::{Error, Result};
use crate::sys::{recorder, relation};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// How long to wait for a background worker to be free.
const PATIENCE: Duration = Duration::from_secs(5);

/// Numbers by one name, as last committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    pub gapless: bool,
    pub last_value: i64,
}

/// A block of numbers to be reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    pub tenant: [u8; 16],
    pub name: String,
    pub count: i32,
}

/// The tenant's numbers of that name, if any were given out.
pub fn find(tenant: Uuid, name: &str) -> Result<Option<Numbers>> {
    let rows = as_owner(|| {
        spi::read_latest(
            "SELECT n.gapless, n.last_value FROM tenancy.numbers AS n \
             WHERE n.tenant_id OPERATOR(pg_catalog.=) $1 AND n.name OPERATOR(pg_catalog.=) $2",
            &[pg_uuid(tenant).into(), name.into()],
            |row| Ok(Numbers { gapless: row.require(1)?, last_value: row.require(2)? }),
        )
    })?;
    Ok(rows.into_iter().next())
}

/// The next number, which the transaction keeps from others until it ends. `None` when numbers of that name are given out
/// in blocks.
pub fn next(tenant: Uuid, name: &str) -> Result<Option<i64>> {
    let rows = as_owner(|| {
        spi::write_kept(
            "INSERT INTO tenancy.numbers AS n (tenant_id, name, gapless, last_value) VALUES ($1, $2, true, 1) \
             ON CONFLICT (tenant_id, name) DO UPDATE SET last_value = n.last_value OPERATOR(pg_catalog.+) 1 \
             WHERE n.gapless \
             RETURNING n.last_value",
            &[pg_uuid(tenant).into(), name.into()],
            |row| row.require(1),
        )
    })?;
    Ok(rows.into_iter().next())
}

/// Has a block reserved in a transaction of its own. Returns its last number; `None` when that could not be done.
/// A tenant has one worker at a time, so that it can't keep all of them from the others.
pub fn reserve(tenant: Uuid, name: &str, count: i32) -> Result<Option<i64>> {
    if !recorder::is_possible() {
        return Ok(None);
    }
    let block = Block { tenant: *tenant.as_bytes(), name: name.to_owned(), count };
    let part = tenant.as_bytes().chunks(4).fold(0, |hash: u32, bytes| {
        bytes.iter().fold(hash.rotate_left(7), |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(*byte)))
    });
    let reserve = || worker::send_and_wait(&Task::Reserve(block), PATIENCE);
    Ok(relation::one_at_a_time(get()?.tenants, part, reserve))
}

/// Reserves a block in this transaction, which is to be committed at once. Returns its last number.
pub fn reserve_here(block: &Block) -> Result<i64> {
    let rows = spi::write(
        "INSERT INTO tenancy.numbers AS n (tenant_id, name, gapless, last_value) VALUES ($1, $2, false, $3) \
         ON CONFLICT (tenant_id, name) \
         DO UPDATE SET last_value = n.last_value OPERATOR(pg_catalog.+) EXCLUDED.last_value \
         WHERE NOT n.gapless \
         RETURNING n.last_value",
        &[pg_uuid(Uuid::from_bytes(block.tenant)).into(), block.name.as_str().into(), i64::from(block.count).into()],
        |row| row.require(1),
    )?;
    rows.into_iter().next().ok_or_else(|| Error::NumbersAreGapless(block.name.clone()))
}

/// Sets the number that was given out last. Returns false when numbers of that name are of the other kind. Needs the
/// rights of the extension's owner.
pub fn set(tenant: Uuid, name: &str, numbers: Numbers) -> Result<bool> {
    let rows = spi::write(
        "INSERT INTO tenancy.numbers AS n (tenant_id, name, gapless, last_value) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (tenant_id, name) DO UPDATE SET last_value = EXCLUDED.last_value \
         WHERE n.gapless OPERATOR(pg_catalog.=) EXCLUDED.gapless \
         RETURNING true",
        &[pg_uuid(tenant).into(), name.into(), numbers.gapless.into(), numbers.last_value.into()],
        |row| row.require::<bool>(1),
    )?;
    Ok(!rows.is_empty())
}
