//! Counters: what is taken and given back by name, for the tenant in force.

use super::escrow;
use crate::catalog::consumptions::{self, Claim};
use crate::catalog::quotas::{self, Kind, Resource};
use crate::catalog::registry::as_owner;
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::slots::Key;
use crate::sys::xact;
use uuid::Uuid;

/// The longest idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 255;

/// Whether the tenant could have that much more. Somebody else may take it meanwhile.
///
/// # Errors
/// 42704 unknown resource; 22023 a negative amount.
pub fn check(tenant: Uuid, resource: &str, amount: i64) -> Result<bool> {
    let (key, _) = checked(tenant, resource, amount)?;
    let free = escrow::free(&key)?;
    Ok(free.is_none_or(|free| free >= amount))
}

/// Takes an amount. Returns what is left, `None` where there is no limit. With an idempotency key, the same again takes
/// nothing more.
///
/// # Errors
/// 53400 when it doesn't fit; 42704 unknown resource; 22023 for one that is no counter, a negative amount, or a key that
/// another amount was taken with; 25006 in a read-only transaction.
pub fn consume(tenant: Uuid, resource: &str, amount: i64, idempotency_key: Option<&str>) -> Result<Option<i64>> {
    let key = counter(tenant, resource, amount, "tenancy.consume()")?;
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
/// As for `consume`; 22023 for more than was taken.
pub fn release(tenant: Uuid, resource: &str, amount: i64) -> Result<Option<i64>> {
    let key = counter(tenant, resource, amount, "tenancy.release()")?;
    if amount > 0 {
        escrow::give_taken(&key, amount)?;
    }
    escrow::left(&key)
}

fn counter(tenant: Uuid, resource: &str, amount: i64, call: &'static str) -> Result<Key> {
    let (key, found) = checked(tenant, resource, amount)?;
    if found.kind != Kind::Counter {
        return Err(Error::InvalidArgument {
            what: "resource",
            reason: format!("\"{resource}\" counts the {} of tables", found.kind.as_str()),
        });
    }
    if xact::is_read_only() {
        return Err(Error::ReadOnly(call));
    }
    Ok(key)
}

fn checked(tenant: Uuid, resource: &str, amount: i64) -> Result<(Key, Resource)> {
    if amount < 0 {
        return Err(Error::InvalidArgument { what: "amount", reason: "it must not be negative".into() });
    }
    let found = as_owner(|| quotas::resource_named(resource))?;
    Ok((Key { tenant, resource: found.id }, found))
}
