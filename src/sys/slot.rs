//! A slot by itself: numbers, and no table. Pure.

use pgrx::pg_sys;

/// What went through a slot, and how it stood when the hour began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Meter {
    /// All that was ever taken.
    pub(super) taken: i64,
    /// When the hour began that it was last changed in, as PostgreSQL counts time.
    pub(super) hour: i64,
    /// `used` and `taken` as they were then.
    pub(super) used_before: i64,
    pub(super) taken_before: i64,
}

/// A version of a slot.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    pub number: i64,
    pub used: i64,
    pub(super) meter: Meter,
    pub share: Option<i64>,
    pub warned: bool,
    pub(super) place: pg_sys::ItemPointerData,
    /// The running (sub)transaction made this version, and nobody has locked it since.
    pub(super) is_own: bool,
    /// The transaction has locked this version.
    pub(super) is_held: bool,
}

/// The most that a slot counts: so much that what all slots of a tenant count can be summed up, whatever others add meanwhile.
const MAX_AMOUNT: i64 = i64::MAX >> 8;

impl Slot {
    /// One that is to be made.
    pub fn new(number: i64, used: i64, share: Option<i64>, warned: bool) -> Self {
        let meter = Meter { taken: used.max(0), ..Meter::default() };
        let place = pg_sys::ItemPointerData::default();
        Self { number, used, meter, share, warned, place, is_own: false, is_held: false }
    }

    /// The same after an amount was taken from it, or, where it is negative, given back to it. `None` where it comes to more than a
    /// slot counts.
    pub fn add(&self, amount: i64) -> Option<Self> {
        let used = self.used.checked_add(amount)?;
        if used.unsigned_abs() > MAX_AMOUNT.unsigned_abs().max(self.used.unsigned_abs()) {
            return None;
        }
        // What went through is for the record: it must never be the reason that something is refused.
        let taken = self.meter.taken.saturating_add(amount.max(0)).min(MAX_AMOUNT.max(self.meter.taken));
        Some(Self { used, meter: Meter { taken, ..self.meter }, ..*self })
    }

    /// The same with another share.
    pub fn with_share(&self, share: Option<i64>) -> Self {
        Self { share, ..*self }
    }

    /// The same with all that is in another one, which is to be removed.
    pub fn absorb(&self, other: &Self) -> Option<Self> {
        let hour = self.meter.hour.max(other.meter.hour);
        let (own, other) = (self.in_hour(hour), other.in_hour(hour));
        let meter = Meter {
            taken: own.meter.taken.saturating_add(other.meter.taken).min(MAX_AMOUNT),
            hour,
            used_before: own.meter.used_before.saturating_add(other.meter.used_before),
            taken_before: own.meter.taken_before.saturating_add(other.meter.taken_before).min(MAX_AMOUNT),
        };
        Some(Self { used: own.used.checked_add(other.used)?, meter, ..own })
    }

    /// The same in an hour, which may have begun since it was last changed.
    pub(super) fn in_hour(&self, hour: i64) -> Self {
        if self.meter.hour >= hour {
            return *self;
        }
        let meter = Meter { hour, used_before: self.used, taken_before: self.meter.taken, ..self.meter };
        Self { meter, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(used: i64, hour: i64) -> Slot {
        let slot = Slot::new(0, used, None, false);
        Slot { meter: Meter { hour, ..slot.meter }, ..slot }
    }

    #[test]
    fn what_goes_through_is_metered_by_the_hour() {
        let first = slot(5, 1).add(3).and_then(|slot| slot.add(-2)).unwrap();
        assert_eq!((first.used, first.meter), (6, Meter { taken: 8, hour: 1, used_before: 0, taken_before: 0 }));
        let later = first.in_hour(3).add(1).unwrap();
        assert_eq!((later.used, later.meter), (7, Meter { taken: 9, hour: 3, used_before: 6, taken_before: 8 }));
        // A clock that is behind changes nothing.
        assert_eq!(later.in_hour(2).meter, later.meter);
    }

    #[test]
    fn slots_never_count_more_than_can_be_summed_up() {
        let full = slot(0, 1).add(MAX_AMOUNT).unwrap();
        assert!(full.add(1).is_none());
        assert!(slot(0, 1).add(-MAX_AMOUNT).unwrap().add(-1).is_none());
        let again = full.add(-MAX_AMOUNT).and_then(|slot| slot.add(MAX_AMOUNT)).unwrap();
        assert_eq!((again.used, again.meter.taken), (MAX_AMOUNT, MAX_AMOUNT));
        // What came together in one goes again.
        let more = full.absorb(&full).unwrap();
        assert_eq!(more.meter.taken, MAX_AMOUNT);
        assert!(more.add(1).is_none());
        assert_eq!(more.add(-1).unwrap().used, 2 * MAX_AMOUNT - 1);
    }

    #[test]
    fn one_that_takes_in_another_has_what_both_had_when_the_hour_began() {
        let (old, new) = (slot(5, 1), slot(4, 1).in_hour(2).add(-1).unwrap());
        for both in [old.absorb(&new), new.absorb(&old)] {
            let both = both.unwrap();
            assert_eq!((both.used, both.meter), (8, Meter { taken: 9, hour: 2, used_before: 9, taken_before: 9 }));
        }
    }
}
