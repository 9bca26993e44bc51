//! Alternating runs and what is computed from them.

use std::time::Duration;

/// Times of one way to do something: seconds of each round, and how many calls a round has.
#[derive(Clone, Debug)]
pub struct Times {
    pub rounds: Vec<f64>,
    pub calls: u64,
}

impl Times {
    /// Seconds per call, in the median round.
    pub fn per_call(&self) -> f64 {
        median(&self.rounds) / self.calls as f64
    }
}

/// A ratio as it came out in the rounds.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    pub median: f64,
    pub lowest: f64,
    pub highest: f64,
    /// Between these the median lies, with 95% confidence: of as many rounds again it would, nineteen times of twenty.
    pub confidence: (f64, f64),
}

impl Ratio {
    /// `above / below`, per call and taken round by round.
    pub fn of(above: &Times, below: &Times) -> Self {
        let scale = below.calls as f64 / above.calls as f64;
        let mut ratios: Vec<f64> =
            above.rounds.iter().zip(&below.rounds).map(|(above, below)| scale * above / below).collect();
        ratios.sort_by(f64::total_cmp);
        let last = ratios.len() - 1;
        let outside = beyond_confidence(ratios.len());
        Self {
            median: median(&ratios),
            lowest: ratios[0],
            highest: ratios[last],
            confidence: (ratios[outside], ratios[last - outside]),
        }
    }
}

/// How many of the lowest of so many values, and as many of the highest, may be left away so that the median still lies
/// within the others, but for a chance of 2.5% at either end: each value is above or below the median like a coin that is
/// tossed, whatever their distribution.
fn beyond_confidence(values: usize) -> usize {
    let mut chance = 0.5_f64.powi(i32::try_from(values).unwrap_or(i32::MAX));
    let (mut sum, mut heads) = (chance, 0);
    while sum <= 0.025 {
        heads += 1;
        chance *= (values + 1 - heads) as f64 / heads as f64;
        sum += chance;
    }
    heads.saturating_sub(1)
}

/// How often the ways take turns.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    pub rounds: usize,
    /// Turns within one round, which add up: the shorter they are, the less a slow moment favours one way.
    pub slices: usize,
    /// Calls that each run makes; the caller's business, noted here to be divided by.
    pub calls: u64,
}

/// Runs all ways in turn and returns their times in the same order. Each turn begins with another way, and each time all have
/// begun the order turns round, so that what one leaves behind is not always the same one's to pay for. The first round warms up
/// and does not count.
pub fn alternate<W: Copy, const N: usize>(
    turns: Turns,
    ways: [W; N],
    mut run: impl FnMut(W) -> Duration,
) -> [Times; N] {
    let mut times = ways.map(|_| Times { rounds: Vec::new(), calls: turns.calls * turns.slices as u64 });
    for number in 0..=turns.rounds {
        let mut sums = [0.0; N];
        for slice in 0..turns.slices {
            let turn = number * turns.slices + slice;
            let backwards = turn / N % 2 == 1;
            for step in 0..N {
                let place = (turn + if backwards { N - step } else { step }) % N;
                sums[place] += run(ways[place]).as_secs_f64();
            }
        }
        if number > 0 {
            for (times, sum) in times.iter_mut().zip(sums) {
                times.rounds.push(sum);
            }
        }
    }
    times
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], sorted[middle]) } else { sorted[middle] }
}

/// Numbers that look random and are the same in every run (SplitMix64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub fn new() -> Self {
        Self(1)
    }

    /// A number from 0 to `limit` - 1.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_round_by_round_and_per_call() {
        let above = Times { rounds: vec![4.0, 8.0, 30.0], calls: 2 };
        let below = Times { rounds: vec![1.0, 2.0, 5.0], calls: 1 };
        let ratio = Ratio::of(&above, &below);
        assert_eq!((ratio.median, ratio.lowest, ratio.highest), (2.0, 2.0, 3.0));
    }

    #[test]
    fn as_many_values_are_beyond_confidence_as_tables_of_the_sign_test_say() {
        let known = [(5, 0), (6, 0), (9, 1), (15, 3), (31, 9)];
        assert_eq!(known.map(|(values, _)| (values, beyond_confidence(values))), known);
    }

    #[test]
    fn the_warm_up_round_does_not_count_and_turns_alternate() {
        let mut order = String::new();
        let turns = Turns { rounds: 1, slices: 3, calls: 5 };
        let times = alternate(turns, ['a', 'b', 'c'], |way| {
            order.push(way);
            Duration::from_secs(if way == 'b' { 3 } else { 1 })
        });
        assert_eq!(order, "abcbcacab".to_owned() + "acbbaccba");
        assert_eq!((times[0].rounds.as_slice(), times[0].calls), ([3.0].as_slice(), 15));
        assert_eq!(times[1].rounds, [9.0]);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
