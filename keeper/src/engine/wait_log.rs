//! Log lines about nodes that are waited for.

use std::{collections::HashMap, fmt::Display};

use tokio::time::{Duration, Instant};
use tracing::warn;

/// Time after which a problem that lasts is logged again. A node is asked every two seconds, also all night.
const REPEAT_INTERVAL: Duration = Duration::from_secs(60);

/// The problem of each node that was logged last, and when.
#[derive(Debug, Default)]
pub(super) struct WaitLog(HashMap<String, (String, Instant)>);

impl WaitLog {
    /// Logs why a node is waited for, if that is another reason than before, or once a minute.
    pub(super) fn warn(&mut self, node: &impl Display, problem: &impl Display) {
        if self.is_due(Instant::now(), node.to_string(), problem.to_string()) {
            warn!(endpoint = %node, %problem, "waiting for a node");
        }
    }

    fn is_due(&mut self, now: Instant, node: String, problem: String) -> bool {
        let is_repeated = |(last, at): &(String, Instant)| *last == problem && now < *at + REPEAT_INTERVAL;
        if self.0.get(&node).is_some_and(is_repeated) {
            return false;
        }
        self.0.insert(node, (problem, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_logged_when_it_changes_and_once_a_minute() {
        let (mut log, start) = (WaitLog::default(), Instant::now());
        let mut due = |secs: u64, node: &str, problem: &str| {
            log.is_due(start + Duration::from_secs(secs), node.to_owned(), problem.to_owned())
        };
        assert!(due(0, "one", "refused") && due(0, "two", "refused"));
        assert!(!due(2, "one", "refused") && !due(2, "two", "refused"));
        assert!(due(4, "one", "no answer") && due(6, "one", "refused"));
        assert!(!due(65, "one", "refused") && due(66, "one", "refused") && !due(68, "one", "refused"));
    }
}
