//! What an endpoint is worth by what it has delivered: who fails, is late or lies goes to the end of the queue for a
//! while, longer each time, and has to answer once before it is trusted again.

use std::time::Duration;

use tokio::time::Instant;

/// For how long the first failure counts.
const FIRST_REST: Duration = Duration::from_secs(1);

/// For how long a lie counts at least: a failure is noticed at once, a lie costs a block that did not add up.
const FIRST_REST_AFTER_LIE: Duration = Duration::from_secs(60);

/// For how long anything counts at most.
const LONGEST_REST: Duration = Duration::from_secs(600);

/// How long to leave alone who is busy and does not say for how long.
const BUSY_REST: Duration = Duration::from_secs(2);

/// What share of the average a new latency makes, one part in so many.
const LATENCY_PARTS: u32 = 8;

/// How fast an endpoint answers. Shown, and nothing is decided by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// The last time.
    pub last: Duration,
    /// On average, the last ones counting most.
    pub average: Duration,
}

/// What is known of an endpoint's worth.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    demotion: Option<Demotion>,
    /// The last rest, for the next to be longer. Forgotten after as long without fault.
    last_rest: Option<(Instant, Duration)>,
    /// Whether the last question was not answered.
    pub(super) is_silent: bool,
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) lied: u64,
    pub(super) last_error: Option<String>,
    pub(super) latency: Option<Latency>,
}

/// Why an endpoint is asked last, and until when.
#[derive(Debug, Clone)]
pub(super) struct Demotion {
    pub(super) reason: String,
    pub(super) until: Instant,
    /// Whether it asked for it, so that it is not even asked when there is nobody else.
    pub(super) is_asked_for: bool,
}

impl Standing {
    pub(super) const fn is_good(&self) -> bool {
        self.demotion.is_none()
    }

    pub(super) const fn demotion(&self) -> Option<&Demotion> {
        self.demotion.as_ref()
    }

    /// It answered. After its rest that makes it good again: true then.
    pub(super) fn answers(&mut self, latency: Duration, now: Instant) -> bool {
        self.answered += 1;
        self.is_silent = false;
        let before = self.latency.map_or(latency, |latency| latency.average);
        let average = (before * (LATENCY_PARTS - 1) + latency) / LATENCY_PARTS;
        self.latency = Some(Latency { last: latency, average });
        let has_rested = self.demotion.as_ref().is_some_and(|demotion| demotion.until <= now);
        if has_rested {
            self.demotion = None;
        }
        has_rested
    }

    /// Why it must not be asked now, if it must not.
    pub(super) fn wants_rest(&self, now: Instant) -> Option<&str> {
        let demotion = self.demotion.as_ref().filter(|demotion| demotion.is_asked_for && now < demotion.until);
        demotion.map(|demotion| demotion.reason.as_str())
    }

    /// It could not be reached. Nothing is held against it once it can be.
    pub(super) fn is_away(&mut self, reason: String) {
        self.failed += 1;
        self.last_error = Some(reason);
    }

    /// It did not answer, or not what was asked.
    pub(super) fn fails(&mut self, reason: String, now: Instant) {
        self.failed += 1;
        self.is_silent = true;
        self.demote(reason, FIRST_REST, now);
    }

    /// It said something that is not true.
    pub(super) fn lies(&mut self, reason: String, now: Instant) {
        self.lied += 1;
        self.demote(reason, FIRST_REST_AFTER_LIE, now);
    }

    /// What it said was true after all.
    pub(super) fn is_cleared(&mut self) {
        self.lied = self.lied.saturating_sub(1);
        self.demotion = None;
        self.last_rest = None;
    }

    /// It wants to be left alone.
    pub(super) fn is_busy(&mut self, reason: String, retry_after: Option<Duration>, now: Instant) {
        self.failed += 1;
        self.last_error = Some(reason.clone());
        let until = now + retry_after.unwrap_or(BUSY_REST).min(LONGEST_REST);
        if self.demotion.as_ref().is_none_or(|demotion| demotion.until < until) {
            self.demotion = Some(Demotion { reason, until, is_asked_for: true });
        }
    }

    fn demote(&mut self, reason: String, shortest: Duration, now: Instant) {
        self.last_error = Some(reason.clone());
        if self.demotion.as_ref().is_some_and(|demotion| now < demotion.until && shortest <= demotion.until - now) {
            return;
        }
        let recent = self.last_rest.filter(|(end, rest)| now < *end + *rest);
        let rest = recent.map_or(shortest, |(_, rest)| (rest * 2).clamp(shortest, LONGEST_REST));
        self.last_rest = Some((now + rest, rest));
        self.demotion = Some(Demotion { reason, until: now + rest, is_asked_for: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, secs: u64) -> Instant {
        start + Duration::from_secs(secs)
    }

    #[test]
    fn who_fails_is_good_again_after_a_rest_and_an_answer() {
        let (mut standing, start) = (Standing::default(), Instant::now());
        standing.fails("stalled".to_owned(), start);
        assert!(!standing.answers(Duration::ZERO, start) && !standing.is_good(), "it has not rested");
        assert!(standing.answers(Duration::ZERO, after(start, 1)) && standing.is_good());
        assert_eq!((standing.answered, standing.failed, standing.last_error.as_deref()), (2, 1, Some("stalled")));
    }

    #[test]
    fn who_fails_again_and_again_rests_longer_each_time() {
        let (mut standing, mut now) = (Standing::default(), Instant::now());
        let mut rests = Vec::new();
        for _ in 0..12 {
            standing.fails(String::new(), now);
            let until = standing.demotion().unwrap().until;
            rests.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        standing.answers(Duration::ZERO, now);
        now = after(now, 601);
        standing.fails(String::new(), now);
        assert_eq!(standing.demotion().unwrap().until, after(now, 1), "it was good for as long as its last rest");
    }

    #[test]
    fn several_failures_at_once_count_as_one() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        (0..5).for_each(|_| standing.fails(String::new(), now));
        assert_eq!(standing.demotion().unwrap().until, after(now, 1));
    }

    #[test]
    fn a_lie_counts_longer_than_a_failure_and_is_not_forgotten_for_one() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        standing.fails(String::new(), now);
        standing.lies("logs are missing".to_owned(), now);
        standing.fails("stalled".to_owned(), now);
        let demotion = standing.demotion().unwrap();
        assert_eq!((demotion.until, demotion.reason.as_str()), (after(now, 60), "logs are missing"));
    }

    #[test]
    fn an_accusation_that_was_wrong_is_forgotten() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        standing.lies("it does not add up".to_owned(), now);
        standing.is_cleared();
        assert!(standing.is_good() && standing.lied == 0);
    }

    #[test]
    fn who_is_busy_is_left_alone_for_as_long_as_it_says() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        standing.is_busy(String::new(), Some(Duration::from_secs(17)), now);
        assert_eq!(standing.demotion().unwrap().until, after(now, 17));
        standing.fails(String::new(), now);
        assert_eq!(standing.demotion().unwrap().until, after(now, 17));
        assert!(standing.wants_rest(after(now, 16)).is_some() && standing.wants_rest(after(now, 17)).is_none());
    }

    #[test]
    fn latency_is_an_average_in_which_the_last_count_most() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        standing.answers(Duration::from_millis(8), now);
        standing.answers(Duration::from_millis(16), now);
        let latency = Latency { last: Duration::from_millis(16), average: Duration::from_millis(9) };
        assert_eq!(standing.latency, Some(latency));
    }
}
