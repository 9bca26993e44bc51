//! The warning that a limit is near: once when usage reaches that part of it, and again only after it was below.

use super::allot::{spread, used};
use super::escrow;
use crate::catalog::announce;
use crate::catalog::event::{self, Event};
use crate::catalog::quotas::{self, Limit};
use crate::catalog::registry::as_owner;
use crate::error::{Error, Result};
use crate::sys::report;
use crate::sys::slots::{Key, Slot, Slots};
use crate::sys::subxact::{self, Failure};
use serde_json::json;
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How often a session looks whether a tenant that was warned is below again.
const LOOK_EVERY: Duration = Duration::from_millis(100);

thread_local! {
    static LOOKED: RefCell<HashMap<Key, Instant>> = RefCell::default();
}

/// Warns of a usage: an entry in the event log, which is announced, and a WARNING to the session.
pub fn give(key: &Key, used: i64, limit: &Limit) -> Result<()> {
    let resource = quotas::resource_by_id(key.resource)?.name;
    let max = limit.max.unwrap_or(i64::MAX);
    let id = as_owner(|| {
        event::write_returning(Event {
            event: "quota.warning",
            tenant: Some(key.tenant),
            object: Some(resource.clone()),
            detail: Some(json!({ "used": used, "limit": max, "warn_at": limit.warn_at, "mode": limit.mode.as_str() })),
            ..Event::default()
        })
    })?;
    announce::at_commit(id);
    report::warn(&Error::QuotaNear { resource, used, limit: max });
    Ok(())
}

/// After something was given back to a slot: usage may have fallen below what was warned of.
pub fn rearm_if_due(slots: &Slots, key: &Key, slot: &Slot) -> Result<()> {
    if !slot.warned || !is_time_to_look(key) {
        return Ok(());
    }
    let Some((threshold, limit)) = escrow::threshold(key)? else { return Ok(()) };
    if escrow::used_in_passing(slots, key) >= threshold {
        return Ok(());
    }
    // Somebody else who has a slot may yet take it above again: then it is left to the next one who looks.
    let rearmed = subxact::kept_if(
        |rearmed| *rearmed,
        || {
            let Some((held, None)) = escrow::hold_free(slots, key) else { return Ok(false) };
            if used(&held) >= threshold {
                return Ok(false);
            }
            escrow::put(slots, key, &held, &spread(&held, limit.stage(used(&held))))?;
            Ok(true)
        },
    );
    rearmed.map(|_| ()).map_err(Failure::pass_on)
}

fn is_time_to_look(key: &Key) -> bool {
    LOOKED.with_borrow_mut(|looked| {
        let now = Instant::now();
        if looked.get(key).is_some_and(|last| now.duration_since(*last) < LOOK_EVERY) {
            return false;
        }
        if looked.len() >= 1024 {
            looked.clear();
        }
        looked.insert(*key, now);
        true
    })
}
