//! Taking from slots and giving back, as the module's page argues.

use super::allot::{self, allot, share, spread, stage, used};
use super::{locks, warning};
use crate::catalog::quotas::{self, Limit};
use crate::error::{Error, Result};
use crate::sys::slots::{self, Key, Outcome, Seen, Slot, Slots};
use crate::sys::subxact::{self, Failure};
use crate::sys::{tally, xact};

/// The most slots of a tenant and resource: about as many sessions write for it without waiting for each other. A few more
/// may come of several sessions making one at once.
const MAX_SLOTS: usize = 64;

/// The slot that every tenant and resource has from the start.
const FIRST: i64 = 0;

/// A slot is split only when what is left in it is worth so many times what is taken: near the limit all credit should
/// be in few places.
const WORTH_SPLITTING: i64 = 8;

/// Takes an amount, from one slot or several.
///
/// # Errors
/// 53400 when it does not fit under the limit.
pub fn take(key: &Key, amount: i64) -> Result<()> {
    slots::with(quotas::slots()?, |slots| {
        xact::next_command();
        if let Some(slot) = slots.last_used(key)
            && slot.credit() >= amount
            && slots.update(key, &slot, &taken(&slot, amount)?) == Outcome::Done
        {
            return Ok(());
        }
        let mut found = slots.read(key, Seen::Passing);
        if found.is_empty() {
            make_first(slots, key)?;
            found = slots.read(key, Seen::AtOnce);
        }
        let mut busy = 0;
        for slot in in_own_order(&found) {
            if slot.credit() < amount {
                continue;
            }
            let (to, other) = widened(key, &taken(slot, amount)?, amount, busy, found.len());
            match slots.update(key, slot, &to) {
                Outcome::Done => {
                    if let Some(other) = other {
                        slots.insert(key, &other);
                    }
                    return Ok(());
                }
                Outcome::Busy => busy += 1,
                Outcome::Changed => {}
            }
        }
        if busy > 0 && take_from_new(slots, key, amount) {
            return Ok(());
        }
        decide(slots, key, amount)
    })
}

/// Gives an amount back, to any slot.
pub fn give(key: &Key, amount: i64) -> Result<()> {
    slots::with(quotas::slots()?, |slots| {
        loop {
            xact::next_command();
            if let Some(slot) = slots.last_used(key)
                && slots.update(key, &slot, &taken(&slot, -amount)?) == Outcome::Done
            {
                return warning::rearm_if_due(slots, key, &slot);
            }
            let found = slots.read(key, Seen::Passing);
            if found.is_empty() {
                make_first(slots, key)?;
                continue;
            }
            let mut busy = None;
            for slot in in_own_order(&found) {
                match slots.update(key, slot, &taken(slot, -amount)?) {
                    Outcome::Done => {
                        return warning::rearm_if_due(slots, key, slot);
                    }
                    Outcome::Busy => busy = busy.or(Some(*slot)),
                    Outcome::Changed => {}
                }
            }
            if let Some(busy) = busy {
                if give_to_new(slots, key, amount) {
                    return Ok(());
                }
                // It may be this transaction's own, locked in another savepoint: so it is kept.
                if slots.lock(&busy, true) == Outcome::Done
                    && slots.update_held(key, &busy, &taken(&busy, -amount)?) == Outcome::Done
                {
                    return warning::rearm_if_due(slots, key, &busy);
                }
            }
        }
    })
}

/// Gives back what was taken, and no more.
///
/// # Errors
/// 22023.
pub fn give_taken(key: &Key, amount: i64) -> Result<()> {
    slots::with(quotas::slots()?, |slots| {
        loop {
            xact::next_command();
            let found = slots.read(key, Seen::Passing);
            let last = slots.last_used(key);
            for slot in last.iter().chain(in_own_order(&found)).filter(|slot| slot.used >= amount) {
                if slots.update(key, slot, &taken(slot, -amount)?) == Outcome::Done {
                    return warning::rearm_if_due(slots, key, slot);
                }
            }
            // It may still be in several.
            let mut outcome = Decision::Again;
            let kept = subxact::kept_if(
                |is_given| *is_given,
                || {
                    let Some((held, busy)) = hold_free(slots, key) else { return Ok(false) };
                    if used(&held) < amount {
                        outcome = match busy {
                            Some(slot) => Decision::Wait(slot),
                            None => Decision::Full { used: used(&held), limit: 0 },
                        };
                        return Ok(false);
                    }
                    put(slots, key, &held, &allot::withdraw(&held, amount))?;
                    Ok(true)
                },
            );
            if kept.map_err(Failure::pass_on)? {
                return Ok(());
            }
            match outcome {
                Decision::Wait(slot) => wait_for(slots, &slot)?,
                Decision::Full { used, .. } => {
                    return Err(Error::InvalidArgument {
                        what: "amount",
                        reason: format!("it is more than was taken, which is {used}"),
                    });
                }
                _ => {}
            }
        }
    })
}

/// What is left of the limit, if there is one: negative where more is used.
pub fn left(key: &Key) -> Result<Option<i64>> {
    let limit = quotas::limit(key)?;
    limit.and_then(|limit| limit.max).map(|max| Ok(max.saturating_sub(used_by_now(key)?))).transpose()
}

/// What may still be taken; `None`: any amount.
pub fn free(key: &Key) -> Result<Option<i64>> {
    let limit = quotas::limit(key)?.filter(|limit| limit.mode == quotas::Mode::Enforce);
    limit.and_then(|limit| limit.max).map(|max| Ok(max.saturating_sub(used_by_now(key)?))).transpose()
}

/// The usage that is committed, or this transaction's. A serializable transaction must not fail for having asked: it looks
/// in passing.
fn used_by_now(key: &Key) -> Result<i64> {
    let seen = if xact::is_serializable() { Seen::Passing } else { Seen::AtOnce };
    slots::with(quotas::slots()?, |slots| {
        xact::next_command();
        Ok(used(&slots.read(key, seen)))
    })
}

fn taken(slot: &Slot, amount: i64) -> Result<Slot> {
    slot.add(amount).ok_or(Error::AmountOutOfRange)
}

/// Each session looks at the slots from another one on.
fn in_own_order(found: &[Slot]) -> impl Iterator<Item = &Slot> {
    let (before, after) = found.split_at(slots::first_choice(found.len()).min(found.len()));
    after.iter().chain(before)
}

/// When half of the slots were found locked, another one is made out of what is left in this one. Returns this one as it is
/// then, and the other.
fn widened(key: &Key, slot: &Slot, amount: i64, busy: usize, count: usize) -> (Slot, Option<Slot>) {
    let is_worth = slot.share.is_none() || slot.credit() / WORTH_SPLITTING >= amount;
    let wanted = busy > 0 && busy * 2 >= count && count < MAX_SLOTS && is_worth;
    if !wanted || !locks::try_shares(key) {
        return (*slot, None);
    }
    let half = slot.share.map(|_| slot.credit() / 2);
    let rest = slot.share.zip(half).map(|(share, half)| share - half);
    (slot.with_share(rest), Some(Slot::new(slots::draw_number(), 0, half, slot.warned)))
}

/// Gives an amount back to a slot of its own, for others have all there are. Not beside one in debt.
fn give_to_new(slots: &Slots, key: &Key, amount: i64) -> bool {
    if !locks::try_shares(key) {
        return false;
    }
    // Whoever changed the limit has committed by now, and what he left is seen.
    let found = slots.read(key, Seen::AtOnce);
    let Some(any) = found.first() else { return false };
    if found.len() >= MAX_SLOTS || found.iter().any(|slot| slot.credit() < 0) {
        return false;
    }
    let Some(slot) = Slot::new(slots::draw_number(), 0, any.share.map(|_| 0), any.warned).add(-amount) else {
        return false;
    };
    slots.insert(key, &slot);
    true
}

/// Takes an amount from a slot of its own, where there is no limit and others have all there are.
fn take_from_new(slots: &Slots, key: &Key, amount: i64) -> bool {
    if !locks::try_shares(key) {
        return false;
    }
    let found = slots.read(key, Seen::AtOnce);
    if found.is_empty() || found.len() >= MAX_SLOTS || found.iter().any(|slot| slot.share.is_some()) {
        return false;
    }
    // What is tracked may be limited again up to the warning, by somebody who doesn't see this slot yet.
    if found.iter().any(|slot| slot.warned) {
        return false;
    }
    let Some(slot) = Slot::new(slots::draw_number(), 0, None, false).add(amount) else { return false };
    slots.insert(key, &slot);
    true
}

/// Who had to wait makes another slot out of the largest rest, if that is worth it.
fn split(key: &Key, after: &mut [Slot], amount: i64) -> Option<Slot> {
    let largest = after.iter_mut().max_by_key(|slot| slot.credit())?;
    let share = largest.share.filter(|_| largest.credit() / WORTH_SPLITTING >= amount && locks::try_shares(key))?;
    let half = largest.credit() / 2;
    *largest = largest.with_share(Some(share - half));
    Some(Slot::new(slots::draw_number(), 0, Some(half), largest.warned))
}

/// Makes a tenant's first slot, unless somebody else has meanwhile.
fn make_first(slots: &Slots, key: &Key) -> Result<()> {
    locks::shares(key)?;
    make_first_held(slots, key)
}

/// The same for who keeps others from making one.
fn make_first_held(slots: &Slots, key: &Key) -> Result<()> {
    if slots.read(key, Seen::AtOnce).is_empty() {
        let stage = stage(quotas::limit(key)?.as_ref(), 0);
        slots.insert(key, &Slot::new(FIRST, 0, stage.share, stage.warned));
    }
    Ok(())
}

/// What came of an attempt to hold all slots.
enum Decision {
    /// With the usage and the limit at which a warning is due.
    Taken(Option<(i64, Limit)>),
    Full {
        used: i64,
        limit: i64,
    },
    /// Somebody else has this one.
    Wait(Slot),
    /// Something has changed meanwhile.
    Again,
}

/// Takes an amount from all that is left, or finds that it doesn't suffice.
fn decide(slots: &Slots, key: &Key, amount: i64) -> Result<()> {
    let mut has_waited = false;
    loop {
        xact::next_command();
        let decision = subxact::kept_if(
            |decision| matches!(decision, Decision::Taken(_)),
            || attempt(slots, key, amount, has_waited),
        );
        match decision.map_err(Failure::pass_on)? {
            Decision::Taken(None) => return Ok(()),
            Decision::Taken(Some((used, limit))) => return warning::give(key, used, &limit),
            Decision::Full { used, limit } => {
                let resource = quotas::resource_by_id(key.resource)?.name;
                tally::quota_refused(key.tenant);
                return Err(Error::QuotaExceeded { resource, used, limit, requested: amount });
            }
            Decision::Wait(slot) => {
                wait_for(slots, &slot)?;
                has_waited = true;
            }
            Decision::Again => {}
        }
    }
}

fn attempt(slots: &Slots, key: &Key, amount: i64, has_waited: bool) -> Result<Decision> {
    let (held, busy) = match hold_free(slots, key) {
        Some(held) => held,
        None => return Ok(Decision::Again),
    };
    if let Some(mut after) = allot(&held, amount) {
        let is_room = has_waited && slots.read(key, Seen::Passing).len() < MAX_SLOTS;
        let other = if is_room { split(key, &mut after, amount) } else { None };
        put(slots, key, &held, &after)?;
        if let Some(other) = other {
            slots.insert(key, &other);
        }
        return Ok(Decision::Taken(None));
    }
    if let Some(busy) = busy {
        return Ok(Decision::Wait(busy));
    }
    let now = used(&held);
    let limit = quotas::limit(key)?;
    // Until the warning, the slots share less than the limit.
    if let Some(limit) = limit.filter(|_| !is_warned(&held))
        && let Some(threshold) = limit.threshold()
    {
        let wider = spread(&held, limit.stage(threshold.max(now)));
        if let Some(after) = allot(&wider, amount) {
            put(slots, key, &held, &after)?;
            return Ok(Decision::Taken(Some((now.saturating_add(amount), limit))));
        }
    }
    let limit = limit.and_then(|limit| limit.max).or(share(&held)).unwrap_or(i64::MAX);
    Ok(Decision::Full { used: now, limit })
}

/// Whether the warning has been given, as the first slot says: others may have been under way when it was, or when it became
/// due again.
fn is_warned(held: &[Slot]) -> bool {
    held.iter().any(|slot| slot.number == FIRST && slot.warned)
}

/// Locks all slots that are free, and tells of one that is not, if there is any. `None` when one changes meanwhile. With
/// none locked by others, what is returned is all that is committed.
pub fn hold_free(slots: &Slots, key: &Key) -> Option<(Vec<Slot>, Option<Slot>)> {
    let mut held: Vec<Slot> = Vec::new();
    let mut busy: Option<Slot> = None;
    loop {
        let mut is_all = true;
        for slot in slots.read(key, Seen::AtOnce) {
            let is_known = |known: &Slot| known.number == slot.number;
            if held.iter().any(is_known) || busy.as_ref().is_some_and(is_known) {
                continue;
            }
            match slots.lock(&slot, false) {
                Outcome::Done => {
                    held.push(slot);
                    is_all = false;
                }
                Outcome::Busy => busy = busy.or(Some(slot)),
                Outcome::Changed => return None,
            }
        }
        if is_all {
            return Some((held, busy));
        }
    }
}

/// Writes what has changed in slots that are held.
pub fn put(slots: &Slots, key: &Key, held: &[Slot], after: &[Slot]) -> Result<()> {
    for (slot, to) in held.iter().zip(after) {
        let is_same = slot.used == to.used && slot.share == to.share && slot.warned == to.warned;
        if !is_same && slots.update_held(key, slot, to) != Outcome::Done {
            return Err(Error::Spi("a slot that is held has changed".into()));
        }
    }
    Ok(())
}

/// Waits until the slot's holder has ended, and holds nothing for it.
fn wait_for(slots: &Slots, slot: &Slot) -> Result<()> {
    let waited = subxact::discarded(|| {
        slots.lock(slot, true);
        Ok(())
    });
    waited.map_err(Failure::pass_on)
}

/// Corrects the usage by `correction`, and shares out the limit that holds now. Waits for all who count for the tenant.
pub fn settle(key: &Key, correction: i64) -> Result<()> {
    locks::shares(key)?;
    settle_held(key, correction)
}

/// The same for who keeps others from making slots of the tenant.
pub fn settle_held(key: &Key, correction: i64) -> Result<()> {
    slots::with(quotas::slots()?, |slots| {
        xact::next_command();
        if correction != 0 {
            make_first_held(slots, key)?;
        }
        let held = hold_all(slots, key);
        let Some(first) = held.first() else { return Ok(()) };
        let used = used(&held).checked_add(correction).ok_or(Error::AmountOutOfRange)?;
        let stage = stage(quotas::limit(key)?.as_ref(), used);
        let mut before = held.clone();
        before[0] = taken(first, correction)?;
        if stage.share.is_some_and(|share| used > share) {
            let mut only = [before[0]];
            for slot in &held[1..] {
                only[0] = only[0].absorb(slot).ok_or(Error::AmountOutOfRange)?;
                slots.delete(slot);
            }
            return put(slots, key, &held[..1], &spread(&only, stage));
        }
        put(slots, key, &held, &spread(&before, stage))
    })
}

/// Locks every slot, in the order of their numbers, which begins with the first.
fn hold_all(slots: &Slots, key: &Key) -> Vec<Slot> {
    let mut held: Vec<Slot> = Vec::new();
    loop {
        let unknown = slots.read(key, Seen::AtOnce).into_iter();
        let mut unknown = unknown.filter(|slot| held.iter().all(|known| known.number != slot.number)).peekable();
        if unknown.peek().is_none() {
            held.sort_by_key(|slot| slot.number);
            return held;
        }
        let unknown: Vec<Slot> = unknown.collect();
        for slot in unknown {
            if slots.lock(&slot, true) != Outcome::Done {
                break;
            }
            held.push(slot);
        }
    }
}

/// The usage at which a warning becomes due again, once it has fallen below.
pub fn threshold(key: &Key) -> Result<Option<(i64, Limit)>> {
    let limit = quotas::limit(key)?;
    Ok(limit.and_then(|limit| limit.threshold().map(|threshold| (threshold, limit))))
}

/// The usage as it is seen in passing.
pub fn used_in_passing(slots: &Slots, key: &Key) -> i64 {
    allot::used(&slots.read(key, Seen::Passing))
}
