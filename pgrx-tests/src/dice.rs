//! Chance that comes again with its seed.

use std::time::{SystemTime, UNIX_EPOCH};

/// The variable that names a seed.
const VARIABLE: &str = "PG_TENANCY_SEED";

/// `SplitMix64`: small, and good enough to choose what a client does next.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed that `PG_TENANCY_SEED` names, or else the time.
    #[must_use]
    pub fn seed() -> u64 {
        if let Ok(named) = std::env::var(VARIABLE) {
            return named.parse().unwrap_or_else(|_| panic!("{VARIABLE} is a number"));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        now.as_secs() * 1000 + u64::from(now.subsec_millis())
    }

    /// Dice of somebody else, that show something else.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self(self.throw())
    }

    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.throw() % bound as u64).expect("below a usize")
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}
