//! A rate of so many per interval: what a call takes, and when the next one fits. Pure.
//!
//! It is the generic cell rate algorithm (ITU-T I.371) in the shape of a bucket that leaks: what is spent comes back
//! continuously, at the speed of `max` in each interval, and at most `max` is spent at a time. So a tenant that has not called for
//! an interval may call `max` times at once; who calls all the time is admitted `max` times in each interval. All is
//! reckoned in whole numbers, without rounding: a unit has as many parts as the interval has nanoseconds, of which `max` come
//! back in each.

use crate::sys::rates::State;

/// So many per interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Not negative.
    pub max: i64,
    /// The interval in nanoseconds, above 0.
    pub per: u64,
    /// Whether calls are refused that don't fit.
    pub is_enforced: bool,
    /// The amount spent at which a warning is due.
    pub threshold: Option<i64>,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// With what is left afterwards, which is negative where more is spent than the rate allows, and whether a warning is due.
    Taken { used: i64, left: i64, warns: bool },
    /// With what is spent, and after how many nanoseconds it will fit, if ever.
    Refused { used: i64, wait: Option<u64> },
}

impl Rate {
    fn max(&self) -> u128 {
        u128::try_from(self.max).unwrap_or(0)
    }

    fn capacity(&self) -> u128 {
        self.max().saturating_mul(self.per.into())
    }

    /// The state as it has become by now, under this rate. An amount that was spent under another rate stays spent until it
    /// would be back under that one or is under this one, but for what is more than this one allows.
    fn now(&self, state: &State, now: u64) -> State {
        let (per, before) = (u128::from(self.per), u128::from(state.per));
        let mut spent = if now >= state.full_at {
            0
        } else if before == per {
            state.spent
        } else {
            // A part of a unit, rounded up.
            let before = before.max(1);
            let (units, parts) = (state.spent / before, state.spent % before);
            units.saturating_mul(per).saturating_add((parts * per).div_ceil(before))
        };
        if self.is_enforced {
            spent = spent.min(self.capacity());
        }
        let back = u128::from(now.saturating_sub(state.at)).saturating_mul(self.max());
        State { spent: spent.saturating_sub(back), per: self.per, at: state.at.max(now), ..*state }
    }

    /// Whole units, a part of one counting as one.
    fn units(&self, parts: u128) -> i64 {
        i64::try_from(parts.div_ceil(self.per.max(1).into())).unwrap_or(i64::MAX)
    }

    /// After how many nanoseconds so much has come back.
    fn time_for(&self, parts: u128) -> u64 {
        match self.max() {
            0 if parts > 0 => u64::MAX,
            0 => 0,
            max => u64::try_from(parts.div_ceil(max)).unwrap_or(u64::MAX),
        }
    }

    /// What is spent by now.
    pub fn used(&self, state: &State, now: u64) -> i64 {
        self.units(self.now(state, now).spent)
    }

    /// Whether an amount, not negative, would fit now.
    pub fn fits(&self, state: &State, now: u64, amount: i64) -> bool {
        let mut state = *state;
        matches!(self.take(&mut state, now, amount), Verdict::Taken { .. })
    }

    /// Takes an amount, not negative, if it fits.
    pub fn take(&self, state: &mut State, now: u64, amount: i64) -> Verdict {
        *state = self.now(state, now);
        let before = self.units(state.spent);
        let wanted = u128::try_from(amount).unwrap_or(0).saturating_mul(self.per.into());
        let spent = state.spent.saturating_add(wanted);
        if self.is_enforced && wanted > 0 && spent > self.capacity() {
            let until_full = state.full_at.saturating_sub(state.at);
            let wait = (amount <= self.max).then(|| self.time_for(spent - self.capacity()).min(until_full));
            return Verdict::Refused { used: before, wait };
        }
        // What is only watched may go far beyond; it has an end where it could not be told any more.
        state.spent = spent.min(u128::from(self.per).saturating_mul(i64::MAX as u128));
        state.full_at = state.at.saturating_add(self.time_for(state.spent));
        let used = self.units(state.spent);
        let crosses = self.threshold.is_some_and(|threshold| before < threshold && used >= threshold);
        // A tenant that calls about as often as that would be warned again and again.
        let warns = crosses && (state.warned_at == 0 || state.at - state.warned_at.min(state.at) >= self.per);
        if warns {
            state.warned_at = state.at;
        }
        Verdict::Taken { used, left: self.max.saturating_sub(used), warns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(max: i64, per: u64) -> Rate {
        Rate { max, per, is_enforced: true, threshold: None }
    }

    fn takes(rate: Rate, state: &mut State, now: u64, amount: i64) -> bool {
        matches!(rate.take(state, now, amount), Verdict::Taken { .. })
    }

    #[test]
    fn as_many_as_the_rate_are_admitted_at_once_and_no_more() {
        // Intervals and numbers that divide into no whole number of nanoseconds, too.
        for (max, per) in [(1, SECOND), (3, SECOND), (7, 60 * SECOND), (100_003, SECOND), (5, 1), (1_000_000, 7)] {
            let mut state = State::default();
            for turn in 0..max {
                assert!(takes(rate(max, per), &mut state, SECOND, 1), "{turn} of {max} per {per}");
            }
            assert!(!takes(rate(max, per), &mut state, SECOND, 1), "{max} per {per}");
        }
        let mut state = State::default();
        assert!(takes(rate(100, SECOND), &mut state, 5, 50) && takes(rate(100, SECOND), &mut state, 5, 50));
        assert_eq!(rate(100, SECOND).take(&mut state, 5, 101), Verdict::Refused { used: 100, wait: None });
    }

    #[test]
    fn what_is_spent_comes_back_continuously() {
        let rate = rate(60, 60 * SECOND);
        let mut state = State::default();
        assert!(takes(rate, &mut state, 0, 60));
        assert_eq!(rate.take(&mut state, SECOND / 4, 1), Verdict::Refused { used: 60, wait: Some(3 * SECOND / 4) });
        assert!(takes(rate, &mut state, SECOND, 1));
        assert!(!takes(rate, &mut state, SECOND, 1));
        assert!(!rate.fits(&state, 3 * SECOND, 3) && rate.fits(&state, 4 * SECOND, 3));
        assert_eq!(rate.used(&state, 31 * SECOND), 30);
        assert_eq!(rate.used(&state, 1000 * SECOND), 0);
        assert_eq!(state.full_at, 61 * SECOND);
    }

    #[test]
    fn a_clock_that_is_read_late_takes_nothing_back() {
        let rate = rate(2, SECOND);
        let mut state = State::default();
        assert!(takes(rate, &mut state, 100 * SECOND, 2));
        assert!(!takes(rate, &mut state, 0, 1));
        assert!(!takes(rate, &mut state, 100 * SECOND, 1));
        assert!(takes(rate, &mut state, 100 * SECOND + SECOND / 2, 1));
    }

    #[test]
    fn what_was_spent_stays_spent_under_another_limit() {
        let mut state = State::default();
        assert!(takes(rate(10, SECOND), &mut state, 0, 10));
        let raised = rate(15, 2 * SECOND);
        assert_eq!(raised.take(&mut state, 0, 5), Verdict::Taken { used: 15, left: 0, warns: false });
        // More was spent than the lower limit allows: nothing is left, but no debt either.
        let lowered = rate(4, 60 * SECOND);
        assert_eq!(lowered.take(&mut state, 0, 1), Verdict::Refused { used: 4, wait: Some(2 * SECOND) });
        // All would be back under the limit that held.
        assert!(!lowered.fits(&state, 2 * SECOND - 1, 1) && lowered.fits(&state, 2 * SECOND, 4));
        assert!(takes(lowered, &mut state, 15 * SECOND, 1));
        let none = rate(0, SECOND);
        assert_eq!(none.take(&mut state, 15 * SECOND, 1), Verdict::Refused { used: 0, wait: None });
        assert!(none.fits(&state, 15 * SECOND, 0));
    }

    #[test]
    fn what_is_watched_is_not_refused_and_warned_of_once_an_interval() {
        let rate = Rate { max: 10, per: SECOND, is_enforced: false, threshold: Some(8) };
        let mut state = State::default();
        let warnings = |state: &mut State, now, times: usize| {
            let verdicts = (0..times).map(|_| rate.take(state, now, 1)).collect::<Vec<_>>();
            verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Taken { warns: true, .. })).count()
        };
        assert_eq!(warnings(&mut state, SECOND, 25), 1);
        assert_eq!(rate.used(&state, SECOND), 25);
        assert_eq!(rate.take(&mut state, SECOND, 0), Verdict::Taken { used: 25, left: -15, warns: false });
        assert_eq!(warnings(&mut state, 2 * SECOND + 800_000_000, 1), 1, "below, and up again");
        assert_eq!(warnings(&mut state, 2 * SECOND + 950_000_000, 5), 0, "within an interval");
    }

    proptest! {
        /// Never more than the rate and what came back meanwhile, and whoever waits as long as he is told is admitted.
        #[test]
        fn admits_what_the_rate_allows(
            max in 1i64..1000,
            per in prop::sample::select(vec![1u64, 999, SECOND, 60 * SECOND, 86_400 * SECOND]),
            calls in prop::collection::vec((0.0f64..0.2, 1i64..50), 1..100),
        ) {
            let rate = rate(max, per);
            let (mut state, mut now, mut admitted) = (State::default(), 7u64, 0u128);
            for (pause, amount) in calls {
                now += (pause * per as f64) as u64;
                let before = state;
                match rate.take(&mut state, now, amount) {
                    Verdict::Taken { used, left, .. } => {
                        admitted += amount as u128;
                        prop_assert_eq!(left, max - used);
                        prop_assert!(left >= 0);
                    }
                    Verdict::Refused { used, wait } => {
                        prop_assert!(used + amount > max, "{} + {} fits", used, amount);
                        prop_assert_eq!(wait.is_none(), amount > max);
                        if let Some(wait) = wait {
                            prop_assert!(wait > 0);
                            prop_assert!(rate.fits(&before, now + wait, amount));
                            prop_assert!(!rate.fits(&before, now + wait - 1, amount));
                        }
                    }
                }
                let allowed = max as u128 * u128::from(per) + max as u128 * u128::from(now - 7);
                prop_assert!(admitted * u128::from(per) <= allowed);
            }
        }

        /// Who always calls is admitted the rate, and once as much at the beginning. (Of one at a time, the time is lost until
        /// the next call.)
        #[test]
        fn admits_the_whole_rate(max in 2i64..200, step in 1u64..40) {
            let rate = rate(max, 1_000);
            let mut state = State::default();
            let mut admitted = 0;
            for now in (0..=50_000).step_by(step as usize) {
                while takes(rate, &mut state, now, 1) {
                    admitted += 1;
                }
            }
            let all = max + 50 * max;
            prop_assert!((all - 1 - max * step as i64 / 1_000..=all).contains(&admitted), "{} of {}", admitted, all);
        }
    }
}
