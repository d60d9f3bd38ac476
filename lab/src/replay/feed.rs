//! When a price feed answers, and which blocks have to be mined.
//!
//! The feed behaves like Chainlink's: it answers when the price deviates from its last answer by the threshold, and at
//! the latest after the heartbeat. While no loan is liquidatable nothing happens between two answers, so those blocks
//! are skipped: the chain's time jumps.

use serde::Serialize;

use super::prices::Prices;
use plimsoll_testkit::scenario::BLOCK_SECS;

/// The longest jump while loans are liquidatable and the keeper does not act.
const MAX_WAIT_SECS: u64 = 600;
/// Blocks after the end of the prices in which liquidations in progress can be finished.
const MAX_BLOCKS_AFTER_END: u64 = 300;
const BPS: u128 = 10_000;

/// The thresholds of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Feed {
    /// The longest time between two answers, in seconds.
    pub heartbeat_secs: u64,
    /// The deviation of the price from the last answer that leads to a new one.
    pub deviation_bps: u64,
}

/// An answer of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Seconds since the beginning.
    pub second: u64,
    /// The price.
    pub price: u128,
}

/// The state of liquidations after a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// No loan is liquidatable.
    Idle,
    /// Loans are liquidatable, and none is being liquidated.
    Stuck,
    /// Loans are being liquidated.
    Busy,
}

/// Determines the time of the next block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    now: u64,
    wait: u64,
}

impl Feed {
    /// Returns the feed's new answer in a block at a second; none where the last one stands.
    #[must_use]
    pub fn answer(self, last: Answer, second: u64, price: u128) -> Option<Answer> {
        let is_due = second.saturating_sub(last.second) >= self.heartbeat_secs;
        let has_deviated = price.abs_diff(last.price) * BPS >= last.price * u128::from(self.deviation_bps);
        (is_due || (has_deviated && price != last.price)).then_some(Answer { second, price })
    }
}

impl Clock {
    /// Creates a clock at the beginning.
    #[must_use]
    pub const fn new() -> Self {
        Self { now: 0, wait: BLOCK_SECS }
    }

    /// Returns the second of the newest block.
    #[must_use]
    pub const fn now(self) -> u64 {
        self.now
    }

    /// Advances to the next block that is not idle, and returns its second; none after the last one.
    pub fn tick(&mut self, prices: &Prices, feed: Feed, last: Answer, activity: Activity) -> Option<u64> {
        let latest = match activity {
            Activity::Busy => self.now + BLOCK_SECS,
            Activity::Stuck => self.now + self.wait,
            Activity::Idle => u64::MAX,
        };
        self.wait = if activity == Activity::Stuck { (self.wait * 2).min(MAX_WAIT_SECS) } else { BLOCK_SECS };
        let mut second = self.now + BLOCK_SECS;
        while second < latest && second < prices.end() && feed.answer(last, second, prices.at(second)).is_none() {
            second += BLOCK_SECS;
        }
        let after_end = if activity == Activity::Busy { MAX_BLOCKS_AFTER_END * BLOCK_SECS } else { 0 };
        if second > prices.end() + after_end {
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
        while let Some(second) = clock.tick(&prices, FEED, last, Activity::Idle) {
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
        let mut tick = |activity| clock.tick(&prices, feed, last, activity);
        assert_eq!([tick(Activity::Busy), tick(Activity::Busy), tick(Activity::Stuck)], [Some(12), Some(24), Some(36)]);
        assert_eq!(
            [tick(Activity::Stuck), tick(Activity::Stuck), tick(Activity::Busy)],
            [Some(60), Some(108), Some(120)]
        );
        assert_eq!([tick(Activity::Stuck), tick(Activity::Idle)], [Some(132), Some(3_600)]);
    }

    #[test]
    fn liquidations_in_progress_are_finished_after_the_recording_within_a_limit() {
        let prices = Prices::parse("ts,price\n0,100\n60,99\n", None).unwrap();
        let last = Answer { second: 0, price: prices.first() };
        let mut clock = Clock::new();
        while clock.tick(&prices, FEED, last, Activity::Busy).is_some() {}
        assert_eq!(clock.now(), prices.end() + 300 * BLOCK_SECS);
        assert_eq!(clock.tick(&prices, FEED, last, Activity::Stuck), None);
    }
}
