//! Numbers that each tenant counts for itself: without gaps, or in blocks.

use crate::catalog::event::{self, Event};
use crate::catalog::numbers::{self, Numbers};
use crate::catalog::tenants;
use crate::error::{Error, Result};
use crate::sys::xact;
use crate::tenant::TenantRef;
use serde_json::json;
use uuid::Uuid;

/// The tenant's next number by that name. Who else draws one for the same tenant and name waits for this transaction to
/// end; when it is rolled back, the number is given out again.
///
/// # Errors
/// 22023 malformed name; 25006 in a read-only transaction; 55000 when numbers of that name are given out in blocks; 40001
/// when the isolation level forbids to see what another transaction has drawn.
pub fn next_number(tenant: Uuid, name: &str) -> Result<i64> {
    check(name, "tenancy.next_number()")?;
    numbers::next(tenant, name)?.ok_or_else(|| Error::NumbersAreBlocks(name.into()))
}

/// Reserves a block for the tenant, whatever becomes of the transaction: first and last number. Nobody waits for the
/// transaction to end.
///
/// # Errors
/// 22023 malformed name, or a count below 1; 25006 in a read-only transaction; 22003 when there are not so many numbers
/// left; 55000 when numbers of that name are gapless, or no background worker could reserve them.
pub fn reserve_numbers(tenant: Uuid, name: &str, count: i32) -> Result<(i64, i64)> {
    check(name, "tenancy.reserve_numbers()")?;
    if count < 1 {
        return Err(Error::InvalidArgument { what: "count", reason: format!("{count} is less than 1") });
    }
    match numbers::find(tenant, name)? {
        Some(Numbers { gapless: true, .. }) => {
            return Err(Error::NumbersAreGapless(name.into()));
        }
        Some(Numbers { last_value, .. }) if last_value > i64::MAX - i64::from(count) => {
            return Err(Error::NumbersExhausted(name.into()));
        }
        _ => {}
    }
    let last = numbers::reserve(tenant, name, count)?.ok_or_else(|| Error::NumbersNotReserved(name.into()))?;
    Ok((last - i64::from(count) + 1, last))
}

/// Sets the number that a tenant has given out last. Called as the extension's owner.
///
/// # Errors
/// 42704 unknown tenant; 22023 malformed name, or a negative value; 55000 when numbers of that name are of the other kind.
pub fn set_number(tenant: &str, name: &str, last_value: i64, gapless: bool) -> Result<()> {
    check_name(name)?;
    if last_value < 0 {
        return Err(Error::InvalidArgument { what: "last_value", reason: format!("{last_value} is negative") });
    }
    let id = tenants::find(&TenantRef::parse(tenant)?)?.ok_or_else(|| Error::UnknownTenant(tenant.to_owned()))?.id;
    let before = numbers::find(id, name)?.map(|found| found.last_value);
    if !numbers::set(id, name, Numbers { gapless, last_value })? {
        let other = if gapless { Error::NumbersAreBlocks } else { Error::NumbersAreGapless };
        return Err(other(name.into()));
    }
    event::write(Event {
        event: "number.set",
        tenant: Some(id),
        object: Some(name.to_owned()),
        detail: Some(json!({ "before": before, "last_value": last_value, "gapless": gapless })),
        ..Event::default()
    })
}

fn check(name: &str, call: &'static str) -> Result<()> {
    check_name(name)?;
    if xact::is_read_only() { Err(Error::ReadOnly(call)) } else { Ok(()) }
}

fn check_name(name: &str) -> Result<()> {
    let length = name.chars().count();
    if (1..=255).contains(&length) {
        return Ok(());
    }
    Err(Error::InvalidArgument { what: "name", reason: format!("it has {length} characters, not 1 to 255") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_255_characters() {
        assert!(check_name("").is_err());
        assert!(check_name(&"ü".repeat(255)).is_ok());
        assert!(check_name(&"ü".repeat(256)).is_err());
    }
}
