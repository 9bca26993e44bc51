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

impl Slot {
    /// One that is to be made.
    pub fn new(number: i64, used: i64, share: Option<i64>, warned: bool) -> Self {
        let meter = Meter { taken: used.max(0), ..Meter::default() };
        let place = pg_sys::ItemPointerData::default();
        Self { number, used, meter, share, warned, place, is_own: false, is_held: false }
    }

    /// The same after an amount was taken from it, or, where it is negative, given back to it.
    pub fn add(&self, amount: i64) -> Option<Self> {
        let used = self.used.checked_add(amount)?;
        // What went through is for the record: it must never be the reason that something is refused.
        let taken = self.meter.taken.saturating_add(amount.max(0));
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
            taken: own.meter.taken.saturating_add(other.meter.taken),
            hour,
            used_before: own.meter.used_before.saturating_add(other.meter.used_before),
            taken_before: own.meter.taken_before.saturating_add(other.meter.taken_before),
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
        assert!(slot(i64::MAX, 1).add(1).is_none());
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
