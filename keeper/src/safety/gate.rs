//! The gate: whether an intent may be sent now. Circuit breaker, loss cap and back-off follow from the outcomes of
//! earlier intents.

use std::collections::VecDeque;

use alloy::primitives::{B256, U256};
use serde::{Deserialize, Serialize};

use super::back_off::{BackOff, FailureCause};
use crate::intent::{Intent, Outcome, Receipt, Report, SafetyRefusal, Subject};

const SECONDS_PER_DAY: u64 = 86_400;

/// Maximum number of transactions that are remembered as counted, so that one that is mined again after a
/// reorganisation or reported again after a restart counts once. More are not mined between two reports of one.
const MAX_COUNTED: usize = 256;

/// Limits within which transactions are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetySettings {
    /// Whether anything is sent at all; `false` for a dry run.
    pub is_live: bool,
    /// Cap on the gas of reverted and cancelled transactions within a UTC day, in wei.
    pub loss_cap_per_day: U256,
    /// Number of reverts within the window that opens the circuit breaker.
    pub breaker_reverts: usize,
    /// Window in which reverts are counted, in seconds.
    pub breaker_window_secs: u64,
    /// Time for which the breaker stays open, in seconds.
    pub breaker_pause_secs: u64,
    /// Balance below which a signer sends nothing, in wei.
    pub minimum_balance: U256,
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
pub struct SafetyRecord {
    /// UTC day that `lost` belongs to, counted from 1970.
    pub day: u64,
    /// Gas of transactions that reverted or were cancelled on that day, in wei.
    pub lost: U256,
    /// Timestamps of the last reverts in seconds, oldest first.
    pub reverts: VecDeque<u64>,
    /// Time at which an open breaker closes, in seconds.
    pub open_until: Option<u64>,
    /// Hashes of the transactions that were counted last, oldest first.
    pub counted: VecDeque<B256>,
}

/// Decides what may be sent. Its circuit breaker opens after too many reverts.
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

    /// Admits an intent, or fails with the first reason against it. A dry run is the last reason, so that it shows what
    /// would have been sent.
    pub fn admit(&self, intent: &Intent, context: &RiskContext) -> Result<(), SafetyRefusal> {
        let SafetySettings { loss_cap_per_day: cap, minimum_balance: minimum, .. } = self.settings;
        if context.is_killed {
            return Err(SafetyRefusal::KillFile);
        }
        if let Some(left_secs) = self.breaker_open_for(context.now) {
            let (reverts, window_secs) = (self.settings.breaker_reverts, self.settings.breaker_window_secs);
            return Err(SafetyRefusal::BreakerOpen { reverts, window_secs, left_secs });
        }
        let lost = self.lost_on(context.now);
        if lost >= cap {
            return Err(SafetyRefusal::LossCap { lost, cap });
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
        match &report.outcome {
            Outcome::Mined(_) => {
                report.intent.purpose.subjects().iter().for_each(|subject| self.back_off.record_success(subject));
                false
            }
            Outcome::Reverted(receipt) => {
                for subject in report.intent.purpose.subjects() {
                    self.back_off.record_failure(subject, FailureCause::Reverts, block);
                }
                let is_new = self.record_loss(receipt, now);
                if is_new {
                    self.record_revert(now);
                }
                is_new
            }
            Outcome::Cancelled(receipt) => self.record_loss(receipt, now),
            _ => false,
        }
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

    /// Closes the breaker by hand, which changes the record.
    pub fn close_breaker(&mut self) {
        self.record.open_until = None;
        self.record.reverts.clear();
    }

    /// Returns the seconds until an open breaker closes, and `None` if it is closed.
    #[must_use]
    pub fn breaker_open_for(&self, now: u64) -> Option<u64> {
        self.record.open_until.and_then(|until| until.checked_sub(now)).filter(|left| *left > 0)
    }

    /// Returns the loss of the UTC day of this timestamp, in wei.
    #[must_use]
    pub fn lost_on(&self, now: u64) -> U256 {
        if now / SECONDS_PER_DAY == self.record.day { self.record.lost } else { U256::ZERO }
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

    /// Adds what a transaction cost to the day's loss, once. Returns whether it was new.
    fn record_loss(&mut self, receipt: &Receipt, now: u64) -> bool {
        let hash = receipt.inclusion.hash;
        if self.record.counted.contains(&hash) {
            return false;
        }
        self.record.counted.push_back(hash);
        if self.record.counted.len() > MAX_COUNTED {
            self.record.counted.pop_front();
        }
        self.record.lost = self.lost_on(now).saturating_add(receipt.fee());
        self.record.day = now / SECONDS_PER_DAY;
        true
    }

    /// Counts a revert, and opens the breaker if there are too many within the window.
    fn record_revert(&mut self, now: u64) {
        let window = self.settings.breaker_window_secs;
        self.record.reverts.push_back(now);
        self.record.reverts.retain(|then| now.saturating_sub(*then) < window);
        if self.record.reverts.len() >= self.settings.breaker_reverts {
            self.record.reverts.clear();
            self.record.open_until = Some(now.saturating_add(self.settings.breaker_pause_secs));
        }
    }
}

#[cfg(test)]
mod tests;
