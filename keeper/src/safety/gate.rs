//! The gate: whether an intent may be sent now. Circuit breakers, loss caps and back-off follow from what became of
//! earlier intents, each for one scope: reverts of one strategy or market stop nothing else.

use std::collections::VecDeque;

use alloy::primitives::U256;
use serde::{Deserialize, Serialize};

use super::{
    back_off::{BackOff, FailureCause},
    results::{Contracts, Realised, ResultsLedger},
};
use crate::intent::{Intent, Outcome, Report, SafetyRefusal, Scope, Subject};

/// Limits within which transactions are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetySettings {
    /// Whether anything is sent at all; `false` for a dry run.
    pub is_live: bool,
    /// Cap on the loss of all transactions within a UTC day, in wei: what those that cost more than they brought cost too
    /// much.
    pub loss_cap_per_day: U256,
    /// The same for the transactions of one scope.
    pub scope_loss_cap_per_day: U256,
    /// Number of reverts within the window that opens the circuit breaker of a scope.
    pub breaker_reverts: usize,
    /// Window in which reverts are counted, in seconds.
    pub breaker_window_secs: u64,
    /// Time for which a breaker stays open, in seconds.
    pub breaker_pause_secs: u64,
    /// Balance below which a signer sends nothing, in wei.
    pub minimum_balance: U256,
    /// Contracts whose events tell what a transaction brought.
    pub contracts: Contracts,
}

/// Circumstances under which an intent is admitted or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RiskContext {
    /// Timestamp of the newest block, in seconds.
    pub now: u64,
    /// Number of the newest block.
    pub block: u64,
    /// The signer's balance in wei, if it is known.
    pub balance: Option<U256>,
    /// Whether the kill file exists.
    pub is_killed: bool,
}

/// What a gate remembers through a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredRecord")]
pub struct SafetyRecord {
    /// What mined transactions earned and cost.
    pub results: ResultsLedger,
    /// Circuit breakers of scopes with reverts.
    breakers: Vec<(Scope, Breaker)>,
}

/// A record as this version or the one before wrote it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StoredRecord {
    results: Option<ResultsLedger>,
    breakers: Vec<(Scope, Breaker)>,
    /// Before there was a ledger: the UTC day of `lost`.
    day: u64,
    /// The loss of that day, in wei.
    lost: U256,
}

impl From<StoredRecord> for SafetyRecord {
    fn from(StoredRecord { results, breakers, day, lost }: StoredRecord) -> Self {
        Self { results: results.unwrap_or_else(|| ResultsLedger::with_loss(day, lost)), breakers }
    }
}

/// The circuit breaker of a scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Breaker {
    /// Timestamps of the last reverts in seconds, oldest first.
    reverts: VecDeque<u64>,
    /// Time at which it closes, in seconds, if it is open.
    open_until: Option<u64>,
}

impl Breaker {
    /// Returns the seconds until it closes, and `None` if it is closed.
    fn open_for(&self, now: u64) -> Option<u64> {
        self.open_until.and_then(|until| until.checked_sub(now)).filter(|left| *left > 0)
    }
}

/// Decides what may be sent.
#[derive(Debug)]
pub struct Gate {
    settings: SafetySettings,
    record: SafetyRecord,
    back_off: BackOff,
}

impl Gate {
    /// Continues where a record ends.
    #[must_use]
    pub fn new(settings: SafetySettings, record: SafetyRecord) -> Self {
        Self { settings, record, back_off: BackOff::default() }
    }

    /// Continues where another record ends.
    pub fn restore(&mut self, record: SafetyRecord) {
        self.record = record;
    }

    /// Admits an intent, or fails with the first reason against it. A dry run is the last reason, so that it shows what
    /// would have been sent.
    pub fn admit(&self, intent: &Intent, context: &RiskContext) -> Result<(), SafetyRefusal> {
        let SafetySettings { loss_cap_per_day: cap, minimum_balance: minimum, .. } = self.settings;
        if context.is_killed {
            return Err(SafetyRefusal::KillFile);
        }
        if let Some(left_secs) = self.breaker(&intent.scope).and_then(|breaker| breaker.open_for(context.now)) {
            let (reverts, window_secs) = (self.settings.breaker_reverts, self.settings.breaker_window_secs);
            return Err(SafetyRefusal::BreakerOpen { reverts, window_secs, left_secs });
        }
        let lost = self.lost_on(context.now);
        if lost >= cap {
            return Err(SafetyRefusal::LossCap { lost, cap });
        }
        let (lost, cap) =
            (self.record.results.of_scope(&intent.scope, context.now).lost_wei, self.settings.scope_loss_cap_per_day);
        if lost >= cap {
            return Err(SafetyRefusal::ScopeLossCap { scope: intent.scope.clone(), lost, cap });
        }
        if let Some(balance) = context.balance.filter(|balance| self.is_balance_low(*balance)) {
            return Err(SafetyRefusal::LowBalance { balance, minimum });
        }
        for subject in intent.purpose.subjects() {
            if let Some(wait) = self.back_off.wait(&subject, context.block) {
                let (reverts, until_block) = (wait.reverts, wait.until_block);
                return Err(SafetyRefusal::BackedOff { subject, reverts, until_block });
            }
        }
        if self.settings.is_live { Ok(()) } else { Err(SafetyRefusal::DryRun) }
    }

    /// Learns from what became of an intent. Returns whether the record changed.
    pub fn on_report(&mut self, report: &Report, now: u64, block: u64) -> bool {
        let subjects = || report.intent.purpose.subjects();
        match &report.outcome {
            Outcome::Mined(_) => subjects().iter().for_each(|subject| self.back_off.record_success(subject)),
            Outcome::Reverted(_) => {
                for subject in subjects() {
                    self.back_off.record_failure(subject, FailureCause::Reverts, block);
                }
            }
            Outcome::Reorged => return self.record.results.take_back(report.id),
            _ => {}
        }
        let Some(realised) = Realised::of(report, &self.settings.contracts, now) else { return false };
        let (scope, has_reverted) = (realised.scope.clone(), realised.has_reverted);
        let is_new = self.record.results.record(realised);
        if is_new && has_reverted {
            self.record_revert(scope, now);
        }
        is_new
    }

    /// Records that something failed without a transaction, or for a better known cause than that it reverted.
    pub fn record_failure(&mut self, subject: Subject, cause: FailureCause, block: u64) {
        self.back_off.record_failure(subject, cause, block);
    }

    /// Returns the subjects in back-off, which strategies skip.
    #[must_use]
    pub const fn back_off(&self) -> &BackOff {
        &self.back_off
    }

    /// Forgets failures that no longer matter in this block.
    pub fn prune(&mut self, block: u64) {
        self.back_off.prune(block);
    }

    /// Closes every circuit breaker before its time is over, and forgets the reverts that it had counted.
    pub fn close_breakers(&mut self) {
        self.record.breakers.clear();
    }

    /// Returns the scopes whose circuit breakers are open, each with the seconds until it closes.
    #[must_use]
    pub fn open_breakers(&self, now: u64) -> Vec<(Scope, u64)> {
        let open = |(scope, breaker): &(Scope, Breaker)| Some((scope.clone(), breaker.open_for(now)?));
        self.record.breakers.iter().filter_map(open).collect()
    }

    /// Returns the scopes whose loss of the UTC day of this timestamp has reached its cap.
    #[must_use]
    pub fn capped_scopes(&self, now: u64) -> Vec<Scope> {
        let cap = self.settings.scope_loss_cap_per_day;
        self.record
            .results
            .scopes_on_day(now)
            .filter(|(_, sums)| sums.lost_wei >= cap)
            .map(|(scope, _)| scope.clone())
            .collect()
    }

    /// Returns the number of reverts within the window, of the scope with most of them.
    #[must_use]
    pub fn recent_reverts(&self, now: u64) -> usize {
        let is_recent = |then: &&u64| now.saturating_sub(**then) < self.settings.breaker_window_secs;
        self.record
            .breakers
            .iter()
            .map(|(_, breaker)| breaker.reverts.iter().filter(is_recent).count())
            .max()
            .unwrap_or(0)
    }

    /// Returns the loss of the UTC day of this timestamp, in wei.
    #[must_use]
    pub fn lost_on(&self, now: u64) -> U256 {
        self.record.results.on_day(now).lost_wei
    }

    /// Returns what must be remembered through a restart.
    #[must_use]
    pub const fn record(&self) -> &SafetyRecord {
        &self.record
    }

    /// Whether a signer with this balance, in wei, sends nothing.
    #[must_use]
    pub fn is_balance_low(&self, balance: U256) -> bool {
        balance < self.settings.minimum_balance
    }

    fn breaker(&self, scope: &Scope) -> Option<&Breaker> {
        self.record.breakers.iter().find(|(known, _)| known == scope).map(|(_, breaker)| breaker)
    }

    /// Counts a revert, and opens the scope's breaker if there are too many within the window.
    fn record_revert(&mut self, scope: Scope, now: u64) {
        let SafetySettings { breaker_reverts, breaker_window_secs: window, breaker_pause_secs, .. } = self.settings;
        let breakers = &mut self.record.breakers;
        for (_, breaker) in breakers.iter_mut() {
            breaker.reverts.retain(|then| now.saturating_sub(*then) < window);
        }
        breakers.retain(|(known, breaker)| {
            *known == scope || !breaker.reverts.is_empty() || breaker.open_for(now).is_some()
        });
        if !breakers.iter().any(|(known, _)| *known == scope) {
            breakers.push((scope.clone(), Breaker::default()));
        }
        let Some((_, breaker)) = breakers.iter_mut().find(|(known, _)| *known == scope) else { return };
        breaker.reverts.push_back(now);
        if breaker.reverts.len() >= breaker_reverts {
            breaker.reverts.clear();
            breaker.open_until = Some(now.saturating_add(breaker_pause_secs));
        }
    }
}

#[cfg(test)]
mod tests;
