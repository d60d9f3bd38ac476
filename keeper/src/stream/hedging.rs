//! Hedging: a question that a decision waits for is asked of a second endpoint as well, once the first takes longer than
//! it usually does. A budget keeps a slow day from doubling the number of requests.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Number of latencies that are remembered.
const REMEMBERED: usize = 32;
/// Number of latencies from which on they tell what is usual.
const FEWEST: usize = 8;

/// Shortest delay of a hedge.
const MIN_HEDGE_DELAY: Duration = Duration::from_millis(2);

/// Bounds of the time after which a request is late.
const LATE_BOUNDS: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(2)];

/// What a hedge costs; a question earns one part.
const PARTS_PER_HEDGE: u32 = 10;
/// Most parts that are saved: eight hedges.
const MAX_PARTS: u32 = 8 * PARTS_PER_HEDGE;

/// The time that an endpoint took for its last answers to other parts of the keeper.
#[derive(Debug, Clone, Default)]
pub(super) struct RecentLatencies(VecDeque<Duration>);

impl RecentLatencies {
    pub(super) fn record(&mut self, latency: Duration) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(latency);
    }

    /// Returns the time in which nine of ten answers came; `None` while there were too few.
    fn percentile_90(&self) -> Option<Duration> {
        let mut sorted: Vec<_> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        sorted
            .get((sorted.len() * 9 / 10).min(sorted.len().saturating_sub(1)))
            .copied()
            .filter(|_| sorted.len() >= FEWEST)
    }

    /// Returns the time after which the next endpoint is asked as well: a quarter more than nine of ten answers took, at
    /// most an eighth of the time between blocks.
    pub(super) fn hedge_delay(&self, block_time: Duration) -> Duration {
        let longest = block_time / 8;
        let usual = self.percentile_90().map_or(longest, |usual| usual * 5 / 4);
        usual.max(MIN_HEDGE_DELAY).min(longest)
    }
}

/// Returns the time after which an endpoint is taken not to answer: the next one is asked whatever that costs, and other
/// questions go to others first.
pub(super) fn late_after(block_time: Duration) -> Duration {
    let [shortest, longest] = LATE_BOUNDS;
    (block_time / 4).clamp(shortest, longest)
}

/// Allows hedges for one question in ten, and a few at once.
#[derive(Debug)]
pub(super) struct HedgeBudget(AtomicU32);

impl Default for HedgeBudget {
    fn default() -> Self {
        Self(AtomicU32::new(MAX_PARTS))
    }
}

impl HedgeBudget {
    /// Records a question.
    pub(super) fn record_question(&self) {
        self.update(|parts| Some((parts + 1).min(MAX_PARTS)));
    }

    /// Takes a hedge. Returns false if there is none left.
    pub(super) fn take(&self) -> bool {
        self.update(|parts| parts.checked_sub(PARTS_PER_HEDGE))
    }

    fn update(&self, change: impl Fn(u32) -> Option<u32>) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK_TIME: Duration = Duration::from_secs(12);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_hedge_waits_for_a_quarter_more_than_nine_of_ten_answers_took() {
        let mut latencies = RecentLatencies::default();
        (0..7).for_each(|_| latencies.record(ms(8)));
        assert_eq!(latencies.hedge_delay(BLOCK_TIME), ms(1_500), "too few answers");
        latencies.record(ms(8));
        assert_eq!(latencies.hedge_delay(BLOCK_TIME), ms(10));
        (0..3).for_each(|_| latencies.record(ms(400)));
        (0..21).for_each(|_| latencies.record(ms(8)));
        assert_eq!(latencies.hedge_delay(BLOCK_TIME), ms(10), "3 of 32 are slow");
        (0..3).for_each(|_| latencies.record(ms(400)));
        assert_eq!(latencies.hedge_delay(BLOCK_TIME), ms(500));
        (0..32).for_each(|_| latencies.record(ms(0)));
        assert_eq!(latencies.hedge_delay(BLOCK_TIME), MIN_HEDGE_DELAY);
        assert_eq!(latencies.hedge_delay(ms(8)), ms(1), "an eighth of the time between blocks");
    }

    #[test]
    fn one_question_in_ten_may_be_hedged_and_eight_at_once() {
        let budget = HedgeBudget::default();
        assert_eq!((0..20).filter(|_| budget.take()).count(), 8);
        let hedges = (0..1_000).filter(|_| {
            budget.record_question();
            budget.take()
        });
        assert_eq!(hedges.count(), 100);
    }
}
