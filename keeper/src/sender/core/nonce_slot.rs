//! One nonce: which intents held it, what was signed for it, and what became of that.

use alloy::primitives::B256;

use crate::{
    intent::{Fees, Priority, Receipt},
    sender::{
        journal::{Attempt, AttemptKind, EntryState, JournalEntry},
        submit_result::SubmitResult,
    },
};

/// What a nonce is being used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoncePurpose {
    /// Executes the intent that holds it.
    Execute,
    /// Is used up by a cancellation.
    Cancel,
    /// Nodes rejected everything that was signed for it. The next intent may have it.
    Free,
}

/// How nodes responded to a signed transaction. It is not journalled, and unknown after a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AttemptStatus {
    /// A pool may have it.
    Unknown,
    /// A pool has it.
    Accepted,
    /// Rejected for its fees: what replaces it must offer more.
    Underpriced,
    /// Rejected by every node.
    Rejected,
}

/// An entry that holds or held the nonce.
#[derive(Debug)]
pub(super) struct NonceHolder {
    pub(super) entry: JournalEntry,
    /// Whether its end was reported.
    pub(super) reported: bool,
}

impl NonceHolder {
    /// Whether a transaction was signed for this entry.
    pub(super) fn has_attempt(&self, hash: B256) -> bool {
        self.entry.attempts.iter().any(|attempt| attempt.hash == hash)
    }
}

/// The state of one nonce. It exists until what became of the nonce is final.
#[derive(Debug)]
pub(super) struct NonceSlot {
    pub(super) nonce: u64,
    /// Every entry that was assigned the nonce, oldest first; the last holds it now.
    pub(super) holders: Vec<NonceHolder>,
    pub(super) purpose: NoncePurpose,
    /// Status of every attempt of every holder, the newest last.
    statuses: Vec<(B256, Fees, AttemptStatus)>,
    /// What is being signed.
    pub(super) signing: Option<(AttemptKind, Fees)>,
    /// Receipt of the attempt that is in a block now.
    pub(super) mined: Option<Receipt>,
    /// Block in which it was first seen that a foreign transaction used the nonce.
    pub(super) used_by_other_since: Option<u64>,
    /// Block at which something was last broadcast since the start.
    pub(super) last_broadcast: Option<u64>,
    /// Number of fee bumps since `last_broadcast` changed that did not wait for a block.
    pub(super) immediate_bumps: u32,
}

impl NonceSlot {
    pub(super) fn new(entry: JournalEntry) -> Self {
        let mut slot = Self {
            nonce: entry.nonce,
            holders: Vec::new(),
            purpose: NoncePurpose::Execute,
            statuses: Vec::new(),
            signing: None,
            mined: None,
            used_by_other_since: None,
            last_broadcast: None,
            immediate_bumps: 0,
        };
        slot.assign(entry);
        slot
    }

    /// Assigns the nonce to another entry. Everything that was signed before stays: any of it may still be mined.
    pub(super) fn assign(&mut self, entry: JournalEntry) {
        let is_cancelling = entry.attempts.last().is_some_and(|last| last.kind == AttemptKind::Cancel);
        self.purpose = if is_cancelling { NoncePurpose::Cancel } else { NoncePurpose::Execute };
        self.statuses.extend(entry.attempts.iter().map(|attempt| (attempt.hash, attempt.fees, AttemptStatus::Unknown)));
        self.holders.push(NonceHolder { entry, reported: false });
    }

    /// Returns the entry that holds the nonce now.
    pub(super) fn holder(&self) -> Option<&NonceHolder> {
        self.holders.last()
    }

    pub(super) fn holder_mut(&mut self) -> Option<&mut NonceHolder> {
        self.holders.last_mut()
    }

    /// Whether a transaction with the nonce is pending.
    pub(super) const fn is_pending(&self) -> bool {
        self.mined.is_none() && self.used_by_other_since.is_none() && !matches!(self.purpose, NoncePurpose::Free)
    }

    /// Whether any intent may have the nonce.
    pub(super) const fn is_free(&self) -> bool {
        self.mined.is_none() && self.used_by_other_since.is_none() && matches!(self.purpose, NoncePurpose::Free)
    }

    /// Whether an intent of high priority may take the nonce from its holder.
    pub(super) fn is_displaceable(&self) -> bool {
        let is_low = self.holder().is_some_and(|holder| holder.entry.intent.priority == Priority::Low);
        self.is_pending() && self.purpose == NoncePurpose::Execute && is_low
    }

    /// Whether an intent of high priority is pending with the nonce.
    pub(super) fn has_high_priority(&self) -> bool {
        self.is_pending() && self.holder().is_some_and(|holder| holder.entry.intent.priority == Priority::High)
    }

    /// Iterates over the attempts of every holder, oldest first.
    pub(super) fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.holders.iter().flat_map(|holder| &holder.entry.attempts)
    }

    /// Whether a transaction was signed for the nonce.
    pub(super) fn has_attempt(&self, hash: B256) -> bool {
        self.attempts().any(|attempt| attempt.hash == hash)
    }

    /// Adds a transaction that was signed for the holder. `now` is the newest block's timestamp.
    pub(super) fn add_attempt(&mut self, attempt: Attempt, now: u64) {
        self.statuses.push((attempt.hash, attempt.fees, AttemptStatus::Unknown));
        if let Some(holder) = self.holder_mut() {
            holder.entry.attempts.push(attempt);
            holder.entry.state = EntryState::Sent;
            holder.entry.changed_at = now;
        }
    }

    /// Returns the transaction that was signed last.
    pub(super) fn newest_attempt(&self) -> Option<&Attempt> {
        self.holders.iter().rev().find_map(|holder| holder.entry.attempts.last())
    }

    /// Returns the attempt of the holder to broadcast: the newest that serves the nonce's purpose and was not rejected,
    /// or else the newest that serves the purpose.
    pub(super) fn attempt_to_broadcast(&self) -> Option<&Attempt> {
        let kind = if self.purpose == NoncePurpose::Cancel { AttemptKind::Cancel } else { AttemptKind::Call };
        let attempts = &self.holder()?.entry.attempts;
        let find = |hash| attempts.iter().find(|attempt| attempt.hash == hash && attempt.kind == kind);
        let newest_first = || self.statuses.iter().rev();
        let not_rejected = newest_first().filter(|(_, _, status)| *status != AttemptStatus::Rejected);
        not_rejected.chain(newest_first()).find_map(|(hash, ..)| find(*hash))
    }

    /// Returns the fees that a replacement must outbid, where a pool may hold something with this nonce.
    pub(super) fn fees_to_outbid(&self) -> Option<Fees> {
        let counted = self.statuses.iter().filter(|(_, _, status)| *status != AttemptStatus::Rejected);
        counted.map(|(_, fees, _)| *fees).reduce(|a, b| Fees {
            max_fee_per_gas: a.max_fee_per_gas.max(b.max_fee_per_gas),
            max_priority_fee_per_gas: a.max_priority_fee_per_gas.max(b.max_priority_fee_per_gas),
        })
    }

    /// Records what nodes responded to an attempt. Returns true if every attempt has now been rejected and the nonce
    /// has just become free.
    pub(super) fn record_response(&mut self, hash: B256, result: SubmitResult) -> bool {
        let Some((_, _, status)) = self.statuses.iter_mut().find(|(known, ..)| *known == hash) else { return false };
        match result {
            SubmitResult::Accepted => *status = AttemptStatus::Accepted,
            SubmitResult::Underpriced if *status == AttemptStatus::Unknown => *status = AttemptStatus::Underpriced,
            SubmitResult::InsufficientFunds | SubmitResult::Invalid => *status = AttemptStatus::Rejected,
            _ => {}
        }
        let is_rejected = |(_, _, status): &(B256, Fees, AttemptStatus)| *status == AttemptStatus::Rejected;
        let becomes_free = self.is_pending() && self.statuses.iter().all(is_rejected);
        if becomes_free {
            self.purpose = NoncePurpose::Free;
        }
        becomes_free
    }

    /// Gives the nonce back to the entry whose transaction a reorganisation removed, which is then broadcast before
    /// anything else. What pools still have is unknown from now on.
    pub(super) fn on_reorg(&mut self, removed: B256) {
        for (_, _, status) in &mut self.statuses {
            *status = AttemptStatus::Unknown;
        }
        if let Some(at) = self.statuses.iter().position(|(hash, ..)| *hash == removed) {
            let status = self.statuses.remove(at);
            self.statuses.push(status);
        }
        let Some(at) = self.holders.iter().position(|holder| holder.has_attempt(removed)) else { return };
        let mut winner = self.holders.remove(at);
        winner.reported = false;
        if let Some(last) = self.holders.last() {
            let next_index = last.entry.replacement_index.saturating_add(1);
            winner.entry.replacement_index = winner.entry.replacement_index.max(next_index);
        }
        let is_cancellation = |attempt: &Attempt| attempt.hash == removed && attempt.kind == AttemptKind::Cancel;
        let was_cancelled = winner.entry.attempts.iter().any(is_cancellation);
        self.purpose = if was_cancelled { NoncePurpose::Cancel } else { NoncePurpose::Execute };
        self.holders.push(winner);
    }
}
