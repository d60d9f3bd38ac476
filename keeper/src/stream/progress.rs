//! Progress of a backfill, and an estimate of the time that remains.

use std::{collections::VecDeque, fmt, time::Duration};

use tokio::time::Instant;

/// Number of samples that are kept; with more, every second one is dropped.
const MAX_SAMPLES: usize = 256;
/// Interval between two log lines.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// How far a backfill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackfillProgress {
    /// Last block before the backfill.
    pub from: u64,
    /// Last block whose logs were fetched.
    pub block: u64,
    /// Last block of the backfill; later ones are followed one by one.
    pub target: u64,
    /// Time that remains; `None` while too little was fetched to tell.
    pub remaining: Option<Duration>,
}

impl BackfillProgress {
    /// Returns the fetched part, in percent.
    #[must_use]
    pub fn percent(&self) -> u64 {
        let whole = self.target.saturating_sub(self.from).max(1);
        self.block.saturating_sub(self.from).saturating_mul(100) / whole
    }
}

impl fmt::Display for BackfillProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {} of {} ({} %)", self.block, self.target, self.percent())?;
        match self.remaining.map(|remaining| remaining.as_secs()) {
            None => Ok(()),
            Some(secs @ 0..120) => write!(f, ", about {secs} s left"),
            Some(secs @ 120..7_200) => write!(f, ", about {} min left", secs.div_ceil(60)),
            Some(secs) => write!(f, ", about {} h left", secs.div_ceil(3_600)),
        }
    }
}

/// Follows the progress of a backfill. The speed is that of the later half of the time so far: ranges are short in the
/// beginning, until the endpoint's limit is found.
#[derive(Debug, Default)]
pub(super) struct ProgressTracker {
    /// Times and blocks, the first of which is the beginning.
    samples: VecDeque<(Instant, u64)>,
    target: u64,
    next_log: Option<Instant>,
}

impl ProgressTracker {
    /// Begins, or goes on, after this block.
    pub(super) fn start(&mut self, block: u64, target: u64, now: Instant) {
        if self.samples.back().is_none_or(|(_, last)| *last != block) {
            self.samples = VecDeque::from([(now, block)]);
            self.next_log = Some(now + LOG_INTERVAL);
        }
        self.target = target;
    }

    /// Records that the logs up to this block were fetched. Returns the progress if it is to be logged.
    pub(super) fn record(&mut self, block: u64, now: Instant) -> Option<BackfillProgress> {
        if self.samples.len() >= MAX_SAMPLES {
            let mut index = 0;
            self.samples.retain(|_| {
                index += 1;
                index % 2 == 1
            });
        }
        self.samples.push_back((now, block));
        self.next_log.take_if(|next| *next <= now)?;
        self.next_log = Some(now + LOG_INTERVAL);
        self.progress()
    }

    /// Returns the progress; `None` if there is no backfill.
    pub(super) fn progress(&self) -> Option<BackfillProgress> {
        let ((start, from), (now, block)) = (*self.samples.front()?, *self.samples.back()?);
        let half = start + (now - start) / 2;
        let (since, before) = *self.samples.iter().rfind(|(time, _)| *time <= half)?;
        let (blocks, left) = (block.saturating_sub(before), self.target.saturating_sub(block));
        let remaining = u32::try_from(blocks).ok().filter(|blocks| *blocks > 0).map(|blocks| {
            let per_block = (now - since).as_nanos() / u128::from(blocks);
            Duration::from_nanos(u64::try_from(per_block * u128::from(left)).unwrap_or(u64::MAX))
        });
        Some(BackfillProgress { from, block, target: self.target, remaining })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remaining_time_follows_from_the_later_half() {
        let (mut tracker, start) = (ProgressTracker::default(), Instant::now());
        tracker.start(1_000, 11_000, start);
        assert_eq!(tracker.progress().unwrap().remaining, None);
        // Slow for ten seconds, then 100 blocks a second.
        tracker.record(1_010, start + Duration::from_secs(10));
        for second in 1..=20 {
            tracker.record(1_010 + second * 100, start + Duration::from_secs(10 + second));
        }
        let progress = tracker.progress().unwrap();
        assert_eq!((progress.block, progress.percent()), (3_010, 20));
        assert_eq!(progress.remaining, Some(Duration::from_millis(79_900)));
        assert_eq!(progress.to_string(), "block 3010 of 11000 (20 %), about 79 s left");
    }

    #[test]
    fn the_estimate_is_the_same_however_many_samples_there_are() {
        let (mut tracker, start) = (ProgressTracker::default(), Instant::now());
        tracker.start(0, 100_000, start);
        for number in 1..=10_000 {
            tracker.record(number, start + Duration::from_millis(number));
        }
        assert!(tracker.samples.len() <= MAX_SAMPLES);
        assert_eq!(tracker.progress().unwrap().remaining, Some(Duration::from_secs(90)));
    }

    #[test]
    fn a_backfill_that_goes_on_keeps_its_beginning_and_another_one_does_not() {
        let (mut tracker, start) = (ProgressTracker::default(), Instant::now());
        tracker.start(0, 100, start);
        tracker.record(10, start + Duration::from_secs(1));
        tracker.start(10, 120, start);
        assert_eq!(tracker.progress().map(|progress| (progress.from, progress.target)), Some((0, 120)));
        tracker.start(5, 120, start);
        assert_eq!(tracker.progress().map(|progress| progress.from), Some(5));
    }

    #[test]
    fn progress_is_logged_from_time_to_time() {
        let (mut tracker, start) = (ProgressTracker::default(), Instant::now());
        tracker.start(0, 1_000, start);
        let logged = (1..=35).filter(|second| tracker.record(*second, start + Duration::from_secs(*second)).is_some());
        assert_eq!(logged.collect::<Vec<_>>(), [10, 20, 30]);
    }
}
