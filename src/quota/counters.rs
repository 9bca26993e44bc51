//! What is taken and given back by name, for the tenant in force.

use super::{escrow, rates, sessions};
use crate::catalog::bounds;
use crate::catalog::consumptions::{self, Claim};
use crate::catalog::quotas::{Kind, Resource};
use crate::catalog::registry::as_owner;
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::slots::Key;
use crate::sys::{invalidation, xact};
use std::rc::Rc;
use uuid::Uuid;

/// The longest idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 255;

/// Whether the tenant could have that much more. Somebody else may take it meanwhile.
///
/// # Errors
/// 42704 unknown resource; 22023 a negative amount.
pub fn check(tenant: Uuid, resource: &str, amount: i64) -> Result<bool> {
    let (key, resource) = checked(tenant, resource, amount)?;
    match resource.kind {
        Kind::Rate => rates::fits(&key, amount),
        Kind::Sessions => sessions::fits(&key, amount),
        Kind::Rows | Kind::Bytes | Kind::Counter => Ok(escrow::free(&key)?.is_none_or(|free| free >= amount)),
    }
}

/// Takes an amount. Returns what is left, `None` where there is no limit. With an idempotency key, the same again takes
/// nothing more.
///
/// # Errors
/// 53400 when it doesn't fit; 42704 unknown resource; 22023 for one that is neither counter nor rate, a negative amount, or
/// a key that another amount was taken with, or that a rate is called with; 25006 for a counter in a read-only transaction;
/// 55000 for a rate without shared memory.
pub fn consume(tenant: Uuid, resource: &str, amount: i64, idempotency_key: Option<&str>) -> Result<Option<i64>> {
    let (key, found) = checked(tenant, resource, amount)?;
    if found.kind == Kind::Rate {
        // It would have to outlive a transaction that is rolled back, as the call does.
        if idempotency_key.is_some() {
            return Err(Error::InvalidArgument { what: "idempotency_key", reason: "a call of a rate has none".into() });
        }
        return rates::take(&key, &found.name, amount);
    }
    check_counter(&found, "tenancy.consume()")?;
    if let Some(name) = idempotency_key {
        if name.is_empty() || name.len() > MAX_KEY_BYTES {
            return Err(Error::InvalidArgument {
                what: "idempotency_key",
                reason: format!("it has 1 to {MAX_KEY_BYTES} bytes"),
            });
        }
        let claim = as_owner(|| consumptions::claim(&key, name, amount, guc::keep_idempotency_keys()))?;
        match claim {
            Claim::New => {}
            Claim::Taken(before) if before == amount => return escrow::left(&key),
            Claim::Taken(_) => {
                return Err(Error::InvalidArgument {
                    what: "idempotency_key",
                    reason: "another amount was taken with it".into(),
                });
            }
        }
    }
    if amount > 0 {
        escrow::take(&key, amount)?;
    }
    escrow::left(&key)
}

/// Gives an amount back. Returns what is left, `None` where there is no limit.
///
/// # Errors
/// As for `consume`; 22023 for more than was taken, and for a rate.
pub fn release(tenant: Uuid, resource: &str, amount: i64) -> Result<Option<i64>> {
    let (key, found) = checked(tenant, resource, amount)?;
    check_counter(&found, "tenancy.release()")?;
    if amount > 0 {
        escrow::give_taken(&key, amount)?;
    }
    escrow::left(&key)
}

fn check_counter(resource: &Resource, call: &'static str) -> Result<()> {
    let reason = match resource.kind {
        Kind::Counter if xact::is_read_only() => return Err(Error::ReadOnly(call)),
        Kind::Counter => return Ok(()),
        Kind::Rows | Kind::Bytes => "is counted in tables",
        Kind::Rate => "is a rate: what was called is not given back",
        Kind::Sessions => "counts sessions by itself",
    };
    Err(Error::InvalidArgument { what: "resource", reason: format!("\"{}\" {reason}", resource.name) })
}

fn checked(tenant: Uuid, resource: &str, amount: i64) -> Result<(Key, Rc<Resource>)> {
    // A function in another language may call many times within one statement, which takes in nothing meanwhile.
    invalidation::accept();
    if amount < 0 {
        return Err(Error::InvalidArgument { what: "amount", reason: "it must not be negative".into() });
    }
    let found = bounds::resource(resource)?;
    Ok((Key { tenant, resource: found.id }, found))
}
