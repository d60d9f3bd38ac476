//! Endpoint health: an endpoint that fails, is slow or answers falsely is demoted to the end of the failover order for
//! a while, longer each time, and must answer once before it is trusted again.

use std::time::Duration;

use tokio::time::Instant;

/// Duration of the first demotion after a failure.
const FAILURE_DEMOTION: Duration = Duration::from_secs(1);

/// Minimum duration of a demotion after a false answer: a failure is noticed at once, but a false answer costs a block
/// that does not add up.
const FALSE_ANSWER_DEMOTION: Duration = Duration::from_secs(60);

/// Maximum duration of any demotion.
const MAX_DEMOTION: Duration = Duration::from_secs(600);

/// Duration of a rate limit that the endpoint does not state.
const DEFAULT_RATE_LIMIT: Duration = Duration::from_secs(2);

/// Weight of the average latency against a new one: the new one counts for one part in this many.
const LATENCY_PARTS: u32 = 8;

/// The health of an endpoint, as shown to operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointHealth {
    /// Scheme and host of the endpoint.
    pub name: String,
    /// Whether the endpoint is used, and why not.
    pub state: EndpointState,
    /// Number of the endpoint's newest block.
    pub head: Option<u64>,
    /// Number of blocks by which the endpoint is behind the newest block of all endpoints.
    pub lag: Option<u64>,
    /// The last error, without secrets.
    pub last_error: Option<String>,
    /// Time that answers take.
    pub latency: Option<Latency>,
    /// Number of answered requests.
    pub answered: u64,
    /// Number of failed requests.
    pub failed: u64,
    /// Number of false answers.
    pub false_answers: u64,
}

/// Whether an endpoint is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointState {
    /// It is asked in its turn.
    Healthy,
    /// It is asked only if no healthy endpoint can answer.
    Demoted {
        /// The reason for the demotion.
        reason: String,
        /// Minimum remaining time, in seconds.
        remaining_secs: u64,
    },
    /// It is not connected; a connection is attempted again and again.
    Disconnected,
    /// It is never asked, because it is of another chain.
    Excluded {
        /// The difference from our chain.
        reason: String,
    },
}

/// The time that an endpoint takes to answer. By its average much faster endpoints are asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Latency of the last answer.
    pub last: Duration,
    /// Exponential moving average.
    pub average: Duration,
}

/// Tracks the results of an endpoint's requests, and decides about demotion.
#[derive(Debug, Clone, Default)]
pub(super) struct HealthTracker {
    demotion: Option<Demotion>,
    /// End and duration of the last demotion, from which the next one's duration follows. It is forgotten after as much
    /// time without a failure.
    last_demotion: Option<(Instant, Duration)>,
    /// Whether the last request failed, so that the endpoint's head may be out of date.
    pub(super) last_request_failed: bool,
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) false_answers: u64,
    pub(super) last_error: Option<String>,
    pub(super) latency: Option<Latency>,
}

/// The demotion of an endpoint to the end of the failover order.
#[derive(Debug, Clone)]
pub(super) struct Demotion {
    pub(super) reason: String,
    /// The time from which an answer ends the demotion.
    pub(super) until: Instant,
    /// Whether the endpoint demands the pause, so that it must not be asked even if there is no other.
    pub(super) is_rate_limit: bool,
}

impl HealthTracker {
    /// Returns true if the endpoint is not demoted.
    pub(super) const fn is_healthy(&self) -> bool {
        self.demotion.is_none()
    }

    pub(super) const fn demotion(&self) -> Option<&Demotion> {
        self.demotion.as_ref()
    }

    /// Records an answer. Returns true if it ended a demotion.
    pub(super) fn record_answer(&mut self, latency: Duration, now: Instant) -> bool {
        self.answered += 1;
        self.last_request_failed = false;
        let before = self.latency.map_or(latency, |latency| latency.average);
        let average = (before * (LATENCY_PARTS - 1) + latency) / LATENCY_PARTS;
        self.latency = Some(Latency { last: latency, average });
        let is_over = self.demotion.as_ref().is_some_and(|demotion| demotion.until <= now);
        if is_over {
            self.demotion = None;
        }
        is_over
    }

    /// Returns the endpoint's reason for its rate limit while that is in effect.
    pub(super) fn rate_limit(&self, now: Instant) -> Option<&str> {
        let demotion = self.demotion.as_ref().filter(|demotion| demotion.is_rate_limit && now < demotion.until);
        demotion.map(|demotion| demotion.reason.as_str())
    }

    /// Records that the endpoint could not be reached. Once it can be, that does not count against it.
    pub(super) fn record_disconnect(&mut self, reason: String) {
        self.failed += 1;
        self.last_error = Some(reason);
    }

    /// Records that a request was not answered, or not properly, and demotes the endpoint.
    pub(super) fn record_failure(&mut self, reason: String, now: Instant) {
        self.failed += 1;
        self.last_request_failed = true;
        self.demote(reason, FAILURE_DEMOTION, now);
    }

    /// Records an answer that is not true, and demotes the endpoint.
    pub(super) fn record_false_answer(&mut self, reason: String, now: Instant) {
        self.false_answers += 1;
        self.demote(reason, FALSE_ANSWER_DEMOTION, now);
    }

    /// Takes back a false answer that proved to be true, and ends the demotion.
    pub(super) fn clear_false_answer(&mut self) {
        self.false_answers = self.false_answers.saturating_sub(1);
        self.demotion = None;
        self.last_demotion = None;
    }

    /// Records a rate limit, and demotes the endpoint for as long as it demands, at most for [`MAX_DEMOTION`].
    pub(super) fn record_rate_limit(&mut self, reason: String, retry_after: Option<Duration>, now: Instant) {
        self.failed += 1;
        self.last_error = Some(reason.clone());
        let until = now + retry_after.unwrap_or(DEFAULT_RATE_LIMIT).min(MAX_DEMOTION);
        if self.demotion.as_ref().is_none_or(|demotion| demotion.until < until) {
            self.demotion = Some(Demotion { reason, until, is_rate_limit: true });
        }
    }

    /// Demotes the endpoint for twice as long as the last time, and at least for `shortest`. A longer demotion that is
    /// in effect stays.
    fn demote(&mut self, reason: String, shortest: Duration, now: Instant) {
        self.last_error = Some(reason.clone());
        if self.demotion.as_ref().is_some_and(|demotion| now < demotion.until && shortest <= demotion.until - now) {
            return;
        }
        let recent = self.last_demotion.filter(|(end, duration)| now < *end + *duration);
        let duration = recent.map_or(shortest, |(_, duration)| (duration * 2).clamp(shortest, MAX_DEMOTION));
        self.last_demotion = Some((now + duration, duration));
        self.demotion = Some(Demotion { reason, until: now + duration, is_rate_limit: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, secs: u64) -> Instant {
        start + Duration::from_secs(secs)
    }

    #[test]
    fn a_demotion_ends_with_the_first_answer_after_its_time() {
        let (mut health, start) = (HealthTracker::default(), Instant::now());
        health.record_failure("stalled".to_owned(), start);
        assert!(!health.record_answer(Duration::ZERO, start) && !health.is_healthy(), "too early");
        assert!(health.record_answer(Duration::ZERO, after(start, 1)) && health.is_healthy());
        assert_eq!((health.answered, health.failed, health.last_error.as_deref()), (2, 1, Some("stalled")));
    }

    #[test]
    fn repeated_failures_are_demoted_for_longer_each_time() {
        let (mut health, mut now) = (HealthTracker::default(), Instant::now());
        let mut durations = Vec::new();
        for _ in 0..12 {
            health.record_failure(String::new(), now);
            let until = health.demotion().unwrap().until;
            durations.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(durations, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        health.record_answer(Duration::ZERO, now);
        now = after(now, 601);
        health.record_failure(String::new(), now);
        assert_eq!(health.demotion().unwrap().until, after(now, 1), "healthy for as long as the last demotion");
    }

    #[test]
    fn failures_at_the_same_time_count_as_one() {
        let (mut health, now) = (HealthTracker::default(), Instant::now());
        (0..5).for_each(|_| health.record_failure(String::new(), now));
        assert_eq!(health.demotion().unwrap().until, after(now, 1));
    }

    #[test]
    fn a_false_answer_is_demoted_for_longer_than_a_failure_and_not_shortened_by_one() {
        let (mut health, now) = (HealthTracker::default(), Instant::now());
        health.record_failure(String::new(), now);
        health.record_false_answer("logs are missing".to_owned(), now);
        health.record_failure("stalled".to_owned(), now);
        let demotion = health.demotion().unwrap();
        assert_eq!((demotion.until, demotion.reason.as_str()), (after(now, 60), "logs are missing"));
    }

    #[test]
    fn an_answer_that_proves_true_ends_its_demotion() {
        let (mut health, now) = (HealthTracker::default(), Instant::now());
        health.record_false_answer("it does not add up".to_owned(), now);
        health.clear_false_answer();
        assert!(health.is_healthy() && health.false_answers == 0);
    }

    #[test]
    fn a_rate_limit_is_in_effect_for_as_long_as_the_endpoint_states() {
        let (mut health, now) = (HealthTracker::default(), Instant::now());
        health.record_rate_limit(String::new(), Some(Duration::from_secs(17)), now);
        assert_eq!(health.demotion().unwrap().until, after(now, 17));
        health.record_failure(String::new(), now);
        assert_eq!(health.demotion().unwrap().until, after(now, 17));
        assert!(health.rate_limit(after(now, 16)).is_some() && health.rate_limit(after(now, 17)).is_none());
    }

    #[test]
    fn the_average_latency_weighs_a_new_answer_by_an_eighth() {
        let (mut health, now) = (HealthTracker::default(), Instant::now());
        health.record_answer(Duration::from_millis(8), now);
        health.record_answer(Duration::from_millis(16), now);
        let latency = Latency { last: Duration::from_millis(16), average: Duration::from_millis(9) };
        assert_eq!(health.latency, Some(latency));
    }
}
