//! Rates: what is taken by name, so many per interval, whatever becomes of the transaction.

use super::bucket::{Rate, Verdict};
use crate::catalog::bounds;
use crate::catalog::quotas::{Kind, Mode};
use crate::error::{Error, Result};
use crate::guc;
use crate::sys::rates::State;
use crate::sys::slots::Key;
use crate::sys::{clock, rates, report, seats, tally};
use uuid::Uuid;

const FEATURE: &str = "a rate";

/// Asks for shared memory. Called once per backend.
pub fn init() {
    rates::init(guc::max_tracked_tenants());
}

/// The rate that holds for a tenant, if it is limited.
///
/// # Errors
/// 55000 without shared memory, also where there is no limit: there may be one tomorrow.
fn rate(key: &Key) -> Result<Option<Rate>> {
    if !rates::exist() {
        return Err(Error::NeedsPreload(FEATURE));
    }
    let Some(bound) = bounds::of(key)? else { return Ok(None) };
    let Some(max) = bound.limit.max else { return Ok(None) };
    // Only who took the constraints away can have made a limit without an interval.
    let per = bound.per.ok_or(Error::NotInstalled)?;
    let (is_enforced, threshold) = (bound.limit.mode == Mode::Enforce, bound.limit.threshold());
    Ok(Some(Rate { max, per, is_enforced, threshold }))
}

/// Whether an amount would fit now.
///
/// # Errors
/// 55000 without shared memory.
pub fn fits(key: &Key, amount: i64) -> Result<bool> {
    let Some(rate) = rate(key)? else { return Ok(true) };
    Ok(rate.fits(&rates::read(bounds::resources()?, key).unwrap_or_default(), clock::monotonic(), amount))
}

/// Takes an amount. Returns what is left, `None` where there is no limit.
///
/// # Errors
/// 53400 when it doesn't fit; 55000 without shared memory.
pub fn take(key: &Key, resource: &str, amount: i64) -> Result<Option<i64>> {
    let Some(rate) = rate(key)? else { return Ok(None) };
    let now = clock::monotonic();
    if amount == 0 {
        let state = rates::read(bounds::resources()?, key).unwrap_or_default();
        return Ok(Some(rate.max.saturating_sub(rate.used(&state, now))));
    }
    let verdict = rates::update(bounds::resources()?, key, now, |state: &mut State| rate.take(state, now, amount));
    match verdict.ok_or(Error::NeedsPreload(FEATURE))? {
        Verdict::Taken { used, left, warns } => {
            if warns {
                report::warn(&Error::RateNear { resource: resource.to_owned(), used, limit: rate.max });
            }
            Ok(Some(left))
        }
        Verdict::Refused { used, wait } => {
            tally::quota_refused(key.tenant);
            Err(Error::RateExceeded { resource: resource.to_owned(), used, limit: rate.max, requested: amount, wait })
        }
    }
}

/// What a tenant has spent of a rate, or how many sessions act for it. `None` for other resources, and where nothing is
/// known.
pub fn usage_in_memory(tenant: Uuid, resource: i32) -> Result<Option<i64>> {
    let key = Key { tenant, resource };
    match bounds::kind(resource)? {
        // One without an interval is refused where it is asked for, not where it is looked at.
        Some(Kind::Rate) if rates::exist() && bounds::of(&key)?.is_some_and(|bound| bound.per.is_some()) => {
            let rate = rate(&key)?;
            let state = rates::read(bounds::resources()?, &key).unwrap_or_default();
            Ok(rate.map(|rate| rate.used(&state, clock::monotonic())))
        }
        Some(Kind::Sessions) => Ok(seats::taken(tenant)),
        _ => Ok(None),
    }
}

/// How the memory for rates is used.
pub struct Tracking {
    pub slots: i64,
    pub used: i64,
    pub evicted: i64,
    pub evicted_spent: i64,
}

/// How the memory for rates is used.
///
/// # Errors
/// 55000 without shared memory.
pub fn tracking() -> Result<Tracking> {
    let usage = rates::usage(clock::monotonic()).ok_or(Error::NeedsPreload(FEATURE))?;
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    Ok(Tracking {
        slots: number(usage.slots),
        used: number(usage.used),
        evicted: number(usage.evicted),
        evicted_spent: number(usage.lost),
    })
}
