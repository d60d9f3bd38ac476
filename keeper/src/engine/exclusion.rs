//! What strategies must leave alone in a block.

use std::collections::HashMap;

use super::division::Division;
use crate::{control::Paused, intent::Subject, safety::BackOff, strategies::SkipReason};

/// Subjects that are excluded from decisions in a block: those that are paused, those of intents in flight, those in
/// back-off, and those that another keeper of the fleet acts on.
#[derive(Debug)]
pub(super) struct Exclusion {
    /// What the operator has paused.
    pub(super) paused: Paused,
    /// Subjects of intents that are not mined or given up yet, with the intent's id.
    pub(super) in_flight: HashMap<Subject, u64>,
    /// Subjects of failed attempts.
    pub(super) back_off: BackOff,
    /// Number of the block that is decided on.
    pub(super) block: u64,
    /// What other keepers act on; `None` where none shares the database.
    pub(super) division: Option<Division>,
}

impl Exclusion {
    /// Why nothing may be decided about a subject now; `None` where something may.
    pub(super) fn skip_reason(&self, subject: &Subject) -> Option<SkipReason> {
        let is_paused = match subject {
            Subject::Loan { market, .. } | Subject::Position { market, .. } | Subject::Order { market, .. } => {
                self.paused.includes(market)
            }
            Subject::Rewards { .. }
            | Subject::Vault(_)
            | Subject::Operation(_)
            | Subject::Job(_)
            | Subject::Node(_)
            | Subject::Jar(_) => self.paused.everything,
            // The operator's own command.
            Subject::Sweep { .. } => false,
        };
        if is_paused {
            return Some(SkipReason::Held { rule: "paused by the operator".to_owned() });
        }
        if self.in_flight.contains_key(subject) {
            return Some(SkipReason::InFlight);
        }
        if let Some(wait) = self.back_off.wait(subject, self.block) {
            let cause = format!("it failed {} times in a row", wait.reverts.max(1));
            return Some(SkipReason::BackingOff { until_block: wait.until_block, cause });
        }
        self.division.as_ref()?.skip_reason(subject, self.block)
    }
}
