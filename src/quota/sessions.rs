//! How many sessions act for a tenant at a time.

use crate::catalog::bounds;
use crate::catalog::quotas::Mode;
use crate::error::{Error, Result};
use crate::sys::seats::{self, Outcome};
use crate::sys::slots::Key;
use crate::sys::tally;
use uuid::Uuid;

/// Has this session count for a tenant, and for none else. Returns the warnings to give once that is noted, each of which may
/// be interrupted, or `None` where nothing limits sessions and it counts for nobody.
///
/// # Errors
/// 53400 when as many do as there may be; 55000 when that is limited and there is no shared memory.
pub fn enter(tenant: Uuid) -> Result<Option<Vec<Error>>> {
    let resources = bounds::sessions()?;
    if resources.is_empty() {
        return Ok(None);
    }
    let (mut lowest, mut warnings) = (None, Vec::new());
    for resource in resources.iter() {
        let Some(bound) = bounds::of(&Key { tenant, resource: resource.id })? else { continue };
        let Some(max) = bound.limit.max else { continue };
        warnings.extend(bound.limit.threshold().map(|threshold| (threshold, max, &resource.name)));
        if bound.limit.mode == Mode::Enforce && lowest.is_none_or(|(lowest, _)| max < lowest) {
            lowest = Some((max, &resource.name));
        }
    }
    match (seats::take(tenant, lowest.map(|(max, _)| max)), lowest) {
        (Outcome::Taken(count), _) => {
            let due = warnings.into_iter().filter(|(threshold, ..)| *threshold == count);
            Ok(Some(
                due.map(|(_, limit, resource)| Error::SessionsNear { resource: resource.clone(), used: count, limit })
                    .collect(),
            ))
        }
        (Outcome::Full(used), Some((limit, resource))) => {
            tally::quota_refused(tenant);
            Err(Error::TooManySessions { resource: resource.clone(), used, limit })
        }
        (Outcome::NoSeats, None) => Ok(None),
        (Outcome::Full(_) | Outcome::NoSeats, _) => Err(Error::NeedsPreload("a limit of sessions")),
    }
}

/// This session counts for nobody.
pub fn leave() {
    seats::leave();
}

/// Whether so many more sessions could act for the tenant.
///
/// # Errors
/// 55000 without shared memory.
pub fn fits(key: &Key, amount: i64) -> Result<bool> {
    let taken = seats::taken(key.tenant).ok_or(Error::NeedsPreload("a limit of sessions"))?;
    let limit = bounds::of(key)?.map(|bound| bound.limit).filter(|limit| limit.mode == Mode::Enforce);
    Ok(limit.and_then(|limit| limit.max).is_none_or(|max| amount == 0 || taken.saturating_add(amount) <= max))
}
