//! What to take from which slot, and how a limit is shared out among them. Pure.

use crate::catalog::quotas::{Limit, Mode};
use crate::sys::slots::Slot;

/// How much may be taken in all, until the next decision is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// `None`: any amount.
    pub share: Option<i64>,
    /// The warning has been given.
    pub warned: bool,
}

impl Limit {
    /// The usage at which to warn, if there is one.
    pub fn threshold(&self) -> Option<i64> {
        let max = self.max.filter(|max| *max > 0)?;
        // As it is written: 0.8 of 10 is 8, though the nearest number to 0.8 is a little more.
        let part: f64 = self.warn_at?.to_string().parse().ok()?;
        Some(((part * max as f64 - 1e-6).ceil() as i64).clamp(1, max))
    }

    /// What holds at a usage.
    pub fn stage(&self, used: i64) -> Stage {
        let Some(max) = self.max else { return Stage { share: None, warned: false } };
        let all = match self.mode {
            Mode::Enforce => Some(max),
            Mode::Track => None,
        };
        match self.threshold() {
            Some(threshold) if used < threshold => Stage { share: Some(threshold - 1), warned: false },
            Some(_) => Stage { share: all, warned: true },
            None => Stage { share: all, warned: false },
        }
    }
}

/// What holds at a usage, with a limit or without one.
pub fn stage(limit: Option<&Limit>, used: i64) -> Stage {
    limit.map_or(Stage { share: None, warned: false }, |limit| limit.stage(used))
}

impl Slot {
    /// What may be taken from it; negative where more than its share is used.
    pub fn credit(&self) -> i64 {
        self.share.map_or(i64::MAX, |share| share.saturating_sub(self.used))
    }
}

/// The usage that the slots stand for.
pub fn used(slots: &[Slot]) -> i64 {
    let sum: i128 = slots.iter().map(|slot| i128::from(slot.used)).sum();
    sum.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// What may be taken from the slots together; `None`: any amount.
pub fn share(slots: &[Slot]) -> Option<i64> {
    slots.iter().map(|slot| slot.share).sum()
}

/// The slots after an amount was taken from them; `None` when there is not as much. What is missing in one is made up
/// for by the next.
pub fn allot(slots: &[Slot], amount: i64) -> Option<Vec<Slot>> {
    let credit: i128 = slots.iter().map(|slot| i128::from(slot.credit())).sum();
    if credit < amount.into() {
        return None;
    }
    let mut after = slots.to_vec();
    if let Some(one) = after.iter_mut().find(|slot| slot.credit() >= amount) {
        *one = one.add(amount)?;
        return Some(after);
    }
    let mut missing = amount;
    for slot in &mut after {
        let part = slot.credit().clamp(0, missing);
        *slot = slot.add(part)?;
        missing -= part;
    }
    (missing == 0).then_some(after)
}

/// The slots after an amount was given back to those from which it was taken; they have as much.
pub fn withdraw(slots: &[Slot], amount: i64) -> Vec<Slot> {
    let mut after = slots.to_vec();
    let mut missing = amount;
    for slot in &mut after {
        let part = slot.used.clamp(0, missing);
        *slot = slot.add(-part).unwrap_or(*slot);
        missing -= part;
    }
    after
}

/// The slots with a share that is shared out anew. Where more than that is used, the first gets the debt; nobody must
/// find credit in the others then.
pub fn spread(slots: &[Slot], stage: Stage) -> Vec<Slot> {
    let mut after = slots.to_vec();
    for slot in &mut after {
        slot.warned = stage.warned;
        slot.share = stage.share.map(|_| slot.used);
    }
    if let Some(share) = stage.share {
        let credit = share.saturating_sub(used(slots));
        let count = after.len().max(1) as i64;
        let (each, rest) = if credit < 0 { (0, credit) } else { (credit / count, credit % count) };
        for (place, slot) in after.iter_mut().enumerate() {
            let own = if place == 0 { each.saturating_add(rest) } else { each };
            slot.share = Some(slot.used.saturating_add(own));
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(max: i64, mode: Mode, warn_at: Option<f32>) -> Limit {
        Limit { max: Some(max), mode, warn_at }
    }

    #[test]
    fn the_warning_is_due_when_usage_reaches_its_part_of_the_limit() {
        for (max, warn_at, threshold) in
            [(10, 0.8, Some(8)), (10, 0.7, Some(7)), (100, 0.57, Some(57)), (3, 0.8, Some(3)), (1, 0.1, Some(1))]
        {
            assert_eq!(limit(max, Mode::Enforce, Some(warn_at)).threshold(), threshold, "{warn_at} of {max}");
        }
        assert_eq!(limit(10, Mode::Enforce, Some(1.0)).threshold(), Some(10));
        assert_eq!(limit(0, Mode::Enforce, Some(0.8)).threshold(), None);
        assert_eq!(limit(10, Mode::Enforce, None).threshold(), None);
    }

    #[test]
    fn what_is_tracked_is_not_limited_once_the_warning_is_given() {
        let tracked = limit(10, Mode::Track, Some(0.8));
        assert_eq!(tracked.stage(7), Stage { share: Some(7), warned: false });
        assert_eq!(tracked.stage(8), Stage { share: None, warned: true });
        assert_eq!(limit(10, Mode::Enforce, Some(0.8)).stage(12), Stage { share: Some(10), warned: true });
        assert_eq!(stage(None, 5), Stage { share: None, warned: false });
    }

    fn slots(numbers: &[(i64, i64)]) -> Vec<Slot> {
        let slot = |(number, (used, share)): (i64, &(i64, i64))| Slot::new(number, *used, Some(*share), false);
        (0..).zip(numbers).map(slot).collect()
    }

    proptest! {
        #[test]
        fn what_is_allotted_is_taken_from_credit_that_is_there(
            numbers in prop::collection::vec((-50i64..50, -50i64..50), 1..8),
            amount in 1i64..200,
        ) {
            // But for a single slot in debt, as `settle` leaves it, none has more used than its share.
            let numbers: Vec<_> = match numbers.as_slice() {
                [only] => vec![*only],
                many => many.iter().map(|(a, b)| (*a.min(b), *a.max(b))).collect(),
            };
            let before = slots(&numbers);
            let left = share(&before).unwrap() - used(&before);
            match allot(&before, amount) {
                None => prop_assert!(left < amount),
                Some(after) => {
                    prop_assert!(left >= amount);
                    prop_assert_eq!(used(&after), used(&before) + amount);
                    prop_assert_eq!(share(&after), share(&before));
                    prop_assert!(after.iter().all(|slot| slot.credit() >= 0));
                }
            }
        }

        #[test]
        fn a_share_is_shared_out_to_the_last(
            numbers in prop::collection::vec((-50i64..50, -50i64..50), 1..8),
            total in 0i64..500,
        ) {
            let before = slots(&numbers);
            let after = spread(&before, Stage { share: Some(total), warned: true });
            prop_assert_eq!(share(&after), Some(total));
            prop_assert_eq!(used(&after), used(&before));
            prop_assert!(after.iter().all(|slot| slot.warned));
            // Nobody finds credit beside a debt.
            let highest = if used(&before) > total { 0 } else { i64::MAX };
            let others = after.iter().skip(1).all(|slot| (0..=highest).contains(&slot.credit()));
            prop_assert!(others);
        }
    }
}
