//! The gate: whether an intent may be sent now, and what the outcomes of earlier ones have to do with it.

use std::collections::VecDeque;

use alloy::primitives::{B256, U256};
use serde::{Deserialize, Serialize};

use super::back_off::{BackOff, Cause, Subject, Wait};
use crate::{
    intent::Intent,
    sender::outcome::{Outcome, Receipt, Report},
};

const SECONDS_A_DAY: u64 = 86_400;

/// How many transactions are remembered as counted, so that one that is mined twice, or reported twice after a restart,
/// counts once. More are not mined between two reports of one.
const MOST_COUNTED: usize = 256;

/// When nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Only where somebody said so is anything sent.
    pub is_live: bool,
    /// What gas may cost within a UTC day for transactions that reverted or were cancelled, in wei.
    pub loss_cap_per_day: U256,
    /// After so many reverts …
    pub breaker_reverts: usize,
    /// … within so many seconds …
    pub breaker_window_secs: u64,
    /// … nothing is sent for so many.
    pub breaker_pause_secs: u64,
    /// With less than this, in wei, a signer sends nothing.
    pub minimum_balance: U256,
}

/// What is so at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// The newest block's second.
    pub now: u64,
    /// The newest block.
    pub block: u64,
    /// What the signer has, in wei, as far as is known.
    pub balance: Option<U256>,
    /// Whether the kill file is there.
    pub is_killed: bool,
}

/// What is remembered through a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The UTC day, counted from 1970, that `lost` is of.
    pub day: u64,
    /// What was paid on that day for transactions that reverted or were cancelled, in wei.
    pub lost: U256,
    /// The seconds of the last reverts, oldest first.
    pub reverts: VecDeque<u64>,
    /// Nothing is sent before this second.
    pub open_until: Option<u64>,
    /// The transactions that were counted, oldest first.
    pub counted: VecDeque<B256>,
}

/// Why an intent is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody said that anything may be sent.
    #[error("dry run: start with --live to send it")]
    DryRun,
    /// The kill file is there.
    #[error("the kill file exists; remove it to send again")]
    KillFile,
    /// Too much reverted.
    #[error("{reverts} transactions reverted within {window_secs} s; nothing is sent for {left_secs} s more")]
    BreakerOpen {
        /// How many.
        reverts: usize,
        /// Within how long.
        window_secs: u64,
        /// How long that lasts.
        left_secs: u64,
    },
    /// Too much was lost today.
    #[error("{lost} wei of gas were lost today (UTC), and the cap is {cap}")]
    LossCap {
        /// What was lost.
        lost: U256,
        /// What may be lost.
        cap: U256,
    },
    /// The signer has too little left.
    #[error("the signer has {balance} wei, and is to keep {minimum}; send coins to it")]
    LowBalance {
        /// What it has.
        balance: U256,
        /// What it must have.
        minimum: U256,
    },
    /// It failed a short while ago.
    #[error("{subject:?} failed {} times in a row; it is tried again in block {}", .wait.reverts, .wait.until_block)]
    BackedOff {
        /// What failed.
        subject: Subject,
        /// How long it is left alone.
        wait: Wait,
    },
}

/// Decides what may be sent.
#[derive(Debug)]
pub struct Gate {
    settings: Settings,
    record: Record,
    back_off: BackOff,
}

impl Gate {
    /// A gate that goes on where a record ends.
    #[must_use]
    pub fn new(settings: Settings, record: Record) -> Self {
        Self { settings, record, back_off: BackOff::default() }
    }

    /// Whether an intent may be sent. A dry run is the last reason, so that it shows what would have been sent.
    pub fn admit(&self, intent: &Intent, circumstances: &Circumstances) -> Result<(), Refusal> {
        let Settings { loss_cap_per_day: cap, minimum_balance: minimum, .. } = self.settings;
        if circumstances.is_killed {
            return Err(Refusal::KillFile);
        }
        if let Some(left_secs) = self.breaker_open_for(circumstances.now) {
            let (reverts, window_secs) = (self.settings.breaker_reverts, self.settings.breaker_window_secs);
            return Err(Refusal::BreakerOpen { reverts, window_secs, left_secs });
        }
        let lost = self.lost_on(circumstances.now);
        if lost >= cap {
            return Err(Refusal::LossCap { lost, cap });
        }
        if let Some(balance) = circumstances.balance.filter(|balance| self.is_low(*balance)) {
            return Err(Refusal::LowBalance { balance, minimum });
        }
        for subject in intent.purpose.subjects() {
            if let Some(wait) = self.back_off.wait(&subject, circumstances.block) {
                return Err(Refusal::BackedOff { subject, wait });
            }
        }
        if self.settings.is_live { Ok(()) } else { Err(Refusal::DryRun) }
    }

    /// Learns from what became of an intent. Whether the record changed.
    pub fn note(&mut self, report: &Report, now: u64, block: u64) -> bool {
        match &report.outcome {
            Outcome::Mined(_) => {
                report.intent.purpose.subjects().iter().for_each(|subject| self.back_off.worked(subject));
                false
            }
            Outcome::Reverted(receipt) => {
                for subject in report.intent.purpose.subjects() {
                    self.back_off.failed(subject, Cause::Reverts, block);
                }
                let is_new = self.lose(receipt, now);
                if is_new {
                    self.revert_at(now);
                }
                is_new
            }
            Outcome::Cancelled(receipt) => self.lose(receipt, now),
            _ => false,
        }
    }

    /// Something came to nothing without a transaction, or for a better known reason than that it reverted.
    pub fn failed(&mut self, subject: Subject, cause: Cause, block: u64) {
        self.back_off.failed(subject, cause, block);
    }

    /// What is left alone, which strategies pass over.
    #[must_use]
    pub const fn back_off(&self) -> &BackOff {
        &self.back_off
    }

    /// Forgets what is long over.
    pub fn prune(&mut self, block: u64) {
        self.back_off.prune(block);
    }

    /// Closes the breaker by hand. The record changes.
    pub fn close_breaker(&mut self) {
        self.record.open_until = None;
        self.record.reverts.clear();
    }

    /// For how many seconds more the breaker keeps everything from being sent.
    #[must_use]
    pub fn breaker_open_for(&self, now: u64) -> Option<u64> {
        self.record.open_until.and_then(|until| until.checked_sub(now)).filter(|left| *left > 0)
    }

    /// What was lost on the day of this second, in wei.
    #[must_use]
    pub fn lost_on(&self, now: u64) -> U256 {
        if now / SECONDS_A_DAY == self.record.day { self.record.lost } else { U256::ZERO }
    }

    /// What must be remembered.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Whether anything is sent at all.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.settings.is_live
    }

    /// Whether a signer with so much in wei sends nothing.
    #[must_use]
    pub fn is_low(&self, balance: U256) -> bool {
        balance < self.settings.minimum_balance
    }

    /// Counts what a transaction cost, once. Whether it was new.
    fn lose(&mut self, receipt: &Receipt, now: u64) -> bool {
        if self.record.counted.contains(&receipt.place.hash) {
            return false;
        }
        self.record.counted.push_back(receipt.place.hash);
        if self.record.counted.len() > MOST_COUNTED {
            self.record.counted.pop_front();
        }
        self.record.lost = self.lost_on(now).saturating_add(receipt.fee());
        self.record.day = now / SECONDS_A_DAY;
        true
    }

    fn revert_at(&mut self, now: u64) {
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
