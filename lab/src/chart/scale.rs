//! Scales with round numbers: of values, so that the lines of a panel fit both sides, and of time.

use alloy::primitives::U256;
use plimsoll_contracts::quantity::decimal_text;
use plimsoll_keeper::amount::readable;

use crate::calendar::{self, DAY};

/// Number of spaces between the horizontal lines.
pub(super) const SPACES: u64 = 5;
/// Steps between lines, times a power of ten.
const STEPS: [u128; 10] = [10, 12, 15, 20, 25, 30, 40, 50, 60, 80];
/// Smallest value that is written in millions.
const MILLION: u128 = 1_000_000;
const MILLION_DECIMALS: u8 = 6;
/// Possible distances of time labels, in seconds.
const SPANS: [u64; 17] = [
    60,
    2 * 60,
    5 * 60,
    10 * 60,
    15 * 60,
    30 * 60,
    3_600,
    2 * 3_600,
    3 * 3_600,
    4 * 3_600,
    6 * 3_600,
    12 * 3_600,
    DAY,
    2 * DAY,
    5 * DAY,
    10 * DAY,
    30 * DAY,
];

/// How times are labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// As hours since the beginning.
    Beginning,
    /// As dates and times, for a beginning at this Unix timestamp.
    Unix(u64),
}

/// The range of values of a panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    low: u128,
    step: u128,
    decimals: u8,
}

impl Scale {
    /// Creates a scale with room for all values.
    pub(super) fn of(values: impl Iterator<Item = u128>, decimals: u8, from_zero: bool) -> Self {
        let (low, high) = values.fold((u128::MAX, 0), |(low, high), value| (value.min(low), value.max(high)));
        let least = if from_zero { 0 } else { low.min(high) };
        let room = |step: &u128| (least / step * step).saturating_add(step * u128::from(SPACES)) >= high;
        let powers = (0..=36).map(|power| 10_u128.pow(power));
        let mut steps = powers.flat_map(|power| STEPS.map(|step| (step * power).div_ceil(10)));
        let step = steps.find(room).unwrap_or(u128::MAX / u128::from(SPACES));
        Self { low: least / step * step, step, decimals }
    }

    /// Returns the height of a value in a panel.
    pub(super) fn above(&self, value: u128, height: u64) -> u64 {
        let span = self.step * u128::from(SPACES);
        let above = value.saturating_sub(self.low).min(span).saturating_mul(u128::from(height)) / span;
        u64::try_from(above).unwrap_or(height)
    }

    /// Returns the labels of the lines, from the lowest to the highest.
    pub(super) fn labels(&self) -> Vec<String> {
        let million = MILLION.saturating_mul(10_u128.saturating_pow(self.decimals.into()));
        let line = |number: u128| self.low.saturating_add(self.step * number);
        let (lines, high) = ((0..=u128::from(SPACES)).map(line), line(SPACES.into()));
        lines
            .map(|value| match value {
                0 => "0".to_owned(),
                _ if high >= million && self.step >= million / 100 => {
                    format!("{}M", readable(&decimal_text(U256::from(value), self.decimals + MILLION_DECIMALS)))
                }
                _ => readable(&decimal_text(U256::from(value), self.decimals)),
            })
            .collect()
    }
}

/// Returns at most `most` round times within a period of `secs` seconds, each with its label.
pub(super) fn times(clock: Clock, secs: u64, most: u64) -> Vec<(u64, String)> {
    let longest = secs.div_ceil(most.max(1));
    let span = SPANS.into_iter().find(|span| *span >= longest).unwrap_or_else(|| longest.next_multiple_of(30 * DAY));
    let begin = match clock {
        Clock::Beginning => 0,
        Clock::Unix(begin) => begin,
    };
    let told = |unix: u64| match clock {
        Clock::Beginning if span < 3_600 => format!("{} min", unix / 60),
        Clock::Beginning => format!("{} h", unix / 3_600),
        Clock::Unix(_) if unix.is_multiple_of(DAY) => calendar::day(unix),
        Clock::Unix(_) => calendar::time(unix),
    };
    let end = begin.saturating_add(secs);
    let mut times = Vec::new();
    let mut next = begin.checked_next_multiple_of(span);
    while let Some(unix) = next.filter(|unix| *unix <= end) {
        times.push((unix - begin, told(unix)));
        next = unix.checked_add(span);
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[u128], decimals: u8, from_zero: bool) -> Vec<String> {
        Scale::of(values.iter().copied(), decimals, from_zero).labels()
    }

    #[test]
    fn a_scale_has_round_numbers_and_room_for_every_value() {
        assert_eq!(labels(&[83, 254], 0, false), ["80", "120", "160", "200", "240", "280"]);
        assert_eq!(labels(&[8_800, 10_004], 4, false), ["0.87", "0.9", "0.93", "0.96", "0.99", "1.02"]);
        assert_eq!(labels(&[2_300_000], 0, true), ["0", "0.5M", "1M", "1.5M", "2M", "2.5M"]);
        assert_eq!(labels(&[], 0, false), ["0", "1", "2", "3", "4", "5"]);
        for (least, most) in [(0, 0), (7, 7), (0, 1), (99, 101), (1, u128::MAX / 20), (u128::MAX / 30, u128::MAX / 29)]
        {
            let scale = Scale::of([least, most].into_iter(), 6, false);
            assert!(scale.above(least, 1_000) <= scale.above(most, 1_000), "{scale:?}");
            assert!(scale.low <= least && most <= scale.low + scale.step * 5, "{scale:?}");
        }
    }

    #[test]
    fn time_labels_are_round_and_fit_the_room() {
        let told = |clock, secs, most| times(clock, secs, most).into_iter().map(|(_, told)| told).collect::<Vec<_>>();
        assert_eq!(told(Clock::Beginning, DAY, 6), ["0 h", "4 h", "8 h", "12 h", "16 h", "20 h", "24 h"]);
        assert_eq!(told(Clock::Beginning, 3_600, 4), ["0 min", "15 min", "30 min", "45 min", "60 min"]);
        let evening = Clock::Unix(1_584_007_980);
        assert_eq!(told(evening, 50_000, 4), ["12:00", "16:00", "20:00", "13 Mar"]);
        assert_eq!(times(evening, 50_000, 4).first().map(|(second, _)| *second), Some(6_420));
        assert!(times(Clock::Unix(0), 400 * DAY, 8).len() <= 9);
        assert_eq!(times(Clock::Unix(u64::MAX - 5), 100, 8), []);
    }
}
