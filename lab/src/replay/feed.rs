//! When a price feed answers, and when a block is worth mining.
//!
//! The feed is like Chainlink's: it answers when the price is off its last answer by the deviation, and at the latest
//! after the heartbeat. Nothing happens in blocks between two answers while nobody is under water, so they are left
//! out: the chain's clock jumps.

use serde::Serialize;

use super::prices::Prices;
use plimsoll_testkit::scenario::BLOCK_SECS;

/// The longest that is jumped over while somebody is under water and the keeper does nothing about it.
const LONGEST_WAIT_SECS: u64 = 600;
/// After the end of the recording, what has been begun has so many blocks to end.
const MOST_BLOCKS_BEYOND: u64 = 300;
const BPS: u128 = 10_000;

/// When a feed answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Feed {
    /// After so many seconds at the latest.
    pub heartbeat_secs: u64,
    /// When the price is off by this much.
    pub deviation_bps: u64,
}

/// What a feed said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// When.
    pub second: u64,
    /// Which price.
    pub price: u128,
}

/// What is going on in the newest block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Nobody is under water.
    Quiet,
    /// Somebody is, and nothing is being done about it.
    Stuck,
    /// Something is being done.
    Busy,
}

/// Tells which second the next block is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    now: u64,
    wait: u64,
}

impl Feed {
    /// What it answers in the block of a second, where it answers anything new.
    #[must_use]
    pub fn answer(self, last: Answer, second: u64, price: u128) -> Option<Answer> {
        let late = second.saturating_sub(last.second) >= self.heartbeat_secs;
        let off = price.abs_diff(last.price) * BPS >= last.price * u128::from(self.deviation_bps);
        (late || (off && price != last.price)).then_some(Answer { second, price })
    }
}

impl Clock {
    /// At the beginning.
    #[must_use]
    pub const fn new() -> Self {
        Self { now: 0, wait: BLOCK_SECS }
    }

    /// The second of the newest block.
    #[must_use]
    pub const fn now(self) -> u64 {
        self.now
    }

    /// Moves on to the next block that matters, and tells its second; nothing where none does any more.
    pub fn tick(&mut self, prices: &Prices, feed: Feed, last: Answer, mood: Mood) -> Option<u64> {
        let latest = match mood {
            Mood::Busy => self.now + BLOCK_SECS,
            Mood::Stuck => self.now + self.wait,
            Mood::Quiet => u64::MAX,
        };
        self.wait = if mood == Mood::Stuck { (self.wait * 2).min(LONGEST_WAIT_SECS) } else { BLOCK_SECS };
        let mut second = self.now + BLOCK_SECS;
        while second < latest && second < prices.end() && feed.answer(last, second, prices.at(second)).is_none() {
            second += BLOCK_SECS;
        }
        let beyond = if mood == Mood::Busy { MOST_BLOCKS_BEYOND * BLOCK_SECS } else { 0 };
        if second > prices.end() + beyond {
            return None;
        }
        self.now = second;
        Some(second)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEED: Feed = Feed { heartbeat_secs: 120, deviation_bps: 50 };

    fn answers(text: &str) -> Vec<(u64, u128)> {
        let prices = Prices::parse(text, None).unwrap();
        let (mut clock, mut last) = (Clock::new(), Answer { second: 0, price: prices.first() });
        let mut answers = Vec::new();
        while let Some(second) = clock.tick(&prices, FEED, last, Mood::Quiet) {
            if let Some(answer) = FEED.answer(last, second, prices.at(second)) {
                last = answer;
                answers.push((second, answer.price / 1_000_000));
            }
        }
        answers
    }

    #[test]
    fn a_feed_answers_by_heartbeat_and_by_deviation() {
        let quiet = answers("ts,price\n0,100\n60,100.4\n300,100.4\n");
        assert_eq!(quiet, [(120, 10_040), (240, 10_040)]);
        let fall = answers("ts,price\n0,100\n60,99\n100,98.9\n110,98.5\n121,98.5\n");
        assert_eq!(fall, [(60, 9_900), (120, 9_850)]);
    }

    #[test]
    fn liquidatable_loans_are_retried_at_growing_intervals() {
        let prices = Prices::parse("ts,price\n0,100\n4000,100\n", None).unwrap();
        let last = Answer { second: 0, price: prices.first() };
        let feed = Feed { heartbeat_secs: 3_600, ..FEED };
        let mut clock = Clock::new();
        let mut tick = |mood| clock.tick(&prices, feed, last, mood);
        assert_eq!([tick(Mood::Busy), tick(Mood::Busy), tick(Mood::Stuck)], [Some(12), Some(24), Some(36)]);
        assert_eq!([tick(Mood::Stuck), tick(Mood::Stuck), tick(Mood::Busy)], [Some(60), Some(108), Some(120)]);
        assert_eq!([tick(Mood::Stuck), tick(Mood::Quiet)], [Some(132), Some(3_600)]);
    }

    #[test]
    fn liquidations_in_progress_are_finished_after_the_recording_within_a_limit() {
        let prices = Prices::parse("ts,price\n0,100\n60,99\n", None).unwrap();
        let last = Answer { second: 0, price: prices.first() };
        let mut clock = Clock::new();
        while clock.tick(&prices, FEED, last, Mood::Busy).is_some() {}
        assert_eq!(clock.now(), prices.end() + 300 * BLOCK_SECS);
        assert_eq!(clock.tick(&prices, FEED, last, Mood::Stuck), None);
    }
}
