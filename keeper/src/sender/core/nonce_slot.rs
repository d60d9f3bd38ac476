//! One nonce: which intents held it, what was signed for it, and what became of that.

use std::collections::HashSet;

use alloy::primitives::{B256, U256};

use crate::{
    intent::{Fees, Inclusion, Priority, Receipt, Subject},
    sender::{
        journal::{Attempt, AttemptKind, EntryState, JournalEntry},
        submit_result::SubmitResult,
    },
};

/// Number of intents, the newest, whose receipts are asked for while the nonce is not used.
const MAX_LOOKED_UP: usize = 8;

/// Number of blocks after an intent was given up in which its receipts are asked for in every block.
const PROMPT_LOOK_UPS: u64 = 3;

/// Blocks between two requests for the receipts of an intent that was given up longer ago.
const LOOK_UP_INTERVAL: u64 = 8;

/// What a nonce is being used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoncePurpose {
    /// Executes the intent that holds it.
    Execute,
    /// Is used up by a cancellation.
    Cancel,
    /// Nodes rejected everything that was signed for it, or its intent is obsolete. The next intent may have it.
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
    /// It was in a bundle for a block that has passed: no pool holds it.
    Expired,
}

/// Whether a pool or a builder may have an attempt with this status.
const fn is_held(status: AttemptStatus) -> bool {
    !matches!(status, AttemptStatus::Rejected | AttemptStatus::Expired)
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
    /// Whether the holder's intent is no longer worth executing as of the newest head.
    pub(super) is_obsolete: bool,
    /// Block in which the holder's intent was given up while pools could have its transactions; 0 if that was before the
    /// start.
    pub(super) released_at: Option<u64>,
    /// Whether a public pool may have any of its transactions.
    pub(super) is_public: bool,
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
            is_obsolete: false,
            released_at: None,
            is_public: false,
        };
        slot.assign(entry);
        slot
    }

    /// Assigns the nonce to another entry. Everything that was signed before stays: any of it may still be mined.
    pub(super) fn assign(&mut self, entry: JournalEntry) {
        let is_cancelling = entry.attempts.last().is_some_and(|last| last.kind == AttemptKind::Cancel);
        let is_released = entry.state == EntryState::Released;
        self.purpose = match (is_released, is_cancelling) {
            (true, _) => NoncePurpose::Free,
            (false, true) => NoncePurpose::Cancel,
            (false, false) => NoncePurpose::Execute,
        };
        self.is_obsolete = false;
        self.released_at = is_released.then_some(0);
        self.statuses.extend(entry.attempts.iter().map(|attempt| (attempt.hash, attempt.fees, AttemptStatus::Unknown)));
        self.holders.push(NonceHolder { entry, reported: is_released });
    }

    /// Takes the nonce from the holder, whose intent is no longer wanted.
    pub(super) fn release(&mut self, block: u64) {
        self.purpose = NoncePurpose::Free;
        self.is_obsolete = false;
        self.released_at = Some(block);
    }

    /// Uses the nonce for what was signed last for its holder; for nothing if the holder's end was reported.
    pub(super) fn resume(&mut self) {
        let Some(holder) = self.holder() else { return };
        let is_cancelling = holder.entry.attempts.last().is_some_and(|last| last.kind == AttemptKind::Cancel);
        self.purpose = match (is_cancelling, holder.reported) {
            (true, _) => NoncePurpose::Cancel,
            (false, true) => NoncePurpose::Free,
            (false, false) => NoncePurpose::Execute,
        };
    }

    /// Forgets a holder for which nothing was signed: no node can have seen anything of it.
    pub(super) fn forget_unsigned_holder(&mut self) {
        self.holders.pop_if(|holder| holder.entry.attempts.is_empty());
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
        let is_free = matches!(self.purpose, NoncePurpose::Free) && self.signing.is_none();
        is_free && self.mined.is_none() && self.used_by_other_since.is_none()
    }

    /// Whether an intent of this priority may take the nonce from its holder: from any that is being cancelled, and one of
    /// high priority from one of low priority.
    pub(super) fn is_displaceable(&self, by: Priority, max_holders: usize) -> bool {
        let is_low = self.holder().is_some_and(|holder| holder.entry.intent.priority == Priority::Low);
        let is_cancelled = self.purpose == NoncePurpose::Cancel;
        let gives_way = is_cancelled || (is_low && by == Priority::High);
        self.is_pending() && self.signing.is_none() && gives_way && self.can_be_handed_over(max_holders)
    }

    /// Whether pools may have something of the nonce, none of which can be mined at this base fee.
    pub(super) fn is_below(&self, base_fee: u64) -> bool {
        self.fees_to_outbid().is_some_and(|fees| fees.max_fee_per_gas < u128::from(base_fee))
    }

    /// Whether another intent may get the nonce after those that had it.
    pub(super) const fn can_be_handed_over(&self, max_holders: usize) -> bool {
        self.holders.len() < max_holders
    }

    /// Whether a holder's intent was about one of these subjects.
    pub(super) fn is_about(&self, subjects: &HashSet<Subject>) -> bool {
        let mut held = self.holders.iter().flat_map(|holder| holder.entry.intent.purpose.subjects());
        held.any(|subject| subjects.contains(&subject))
    }

    /// Whether receipts of the free nonce are worth a request of their own: in the blocks after it was given up, and now
    /// and then as long as pools may have its transactions.
    pub(super) fn is_look_up_due(&self, block: u64) -> bool {
        let since = self.released_at.map(|at| block.saturating_sub(at));
        since.is_some_and(|blocks| blocks <= PROMPT_LOOK_UPS || blocks % LOOK_UP_INTERVAL == 0)
    }

    /// Returns the most that a transaction with the nonce may cost, in wei.
    pub(super) fn committed(&self, cancel_gas: u64) -> U256 {
        let cost = |gas_limit: u64, fees: Fees| U256::from(gas_limit).saturating_mul(U256::from(fees.max_fee_per_gas));
        let gas_limit = |holder: &NonceHolder, kind| match kind {
            AttemptKind::Call => holder.entry.intent.gas_limit,
            AttemptKind::Cancel => cancel_gas,
        };
        let signed = self.holders.iter().flat_map(|holder| {
            let may_be_pooled = |attempt: &&Attempt| !self.is_rejected(attempt.hash);
            let attempts = holder.entry.attempts.iter().filter(may_be_pooled);
            attempts.map(move |attempt| cost(gas_limit(holder, attempt.kind), attempt.fees))
        });
        let signing = self.signing.zip(self.holder()).map(|((kind, fees), holder)| cost(gas_limit(holder, kind), fees));
        signed.chain(signing).max().unwrap_or_default()
    }

    fn is_rejected(&self, hash: B256) -> bool {
        self.statuses.iter().any(|(known, _, status)| *known == hash && *status == AttemptStatus::Rejected)
    }

    /// Whether an intent of high priority is being executed with the nonce.
    pub(super) fn has_high_priority(&self) -> bool {
        let is_executed = self.is_pending() && self.purpose == NoncePurpose::Execute;
        is_executed && self.holder().is_some_and(|holder| holder.entry.intent.priority == Priority::High)
    }

    /// Iterates over the attempts of every holder, oldest first.
    pub(super) fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.holders.iter().flat_map(|holder| &holder.entry.attempts)
    }

    /// Iterates over the attempts whose receipts are to be asked for: those of the newest holders, and those of all once
    /// the nonce is used.
    pub(super) fn attempts_to_look_up(&self) -> impl Iterator<Item = &Attempt> {
        let is_used = self.used_by_other_since.is_some() || self.inclusion().is_some();
        let first = if is_used { 0 } else { self.holders.len().saturating_sub(MAX_LOOKED_UP) };
        self.holders.iter().skip(first).flat_map(|holder| &holder.entry.attempts)
    }

    /// Whether a transaction was signed for the nonce.
    pub(super) fn has_attempt(&self, hash: B256) -> bool {
        self.attempts().any(|attempt| attempt.hash == hash)
    }

    /// Adds a transaction that was signed for the holder. `now` is the newest block's timestamp.
    pub(super) fn add_attempt(&mut self, attempt: Attempt, now: u64) {
        self.statuses.push((attempt.hash, attempt.fees, AttemptStatus::Unknown));
        if let Some(holder) = self.holder_mut() {
            let is_given_up = holder.entry.state == EntryState::Released && attempt.kind == AttemptKind::Cancel;
            holder.entry.attempts.push(attempt);
            if !is_given_up {
                holder.entry.state = EntryState::Sent;
            }
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

    /// Marks what was in bundles, whose block has passed.
    pub(super) fn expire_bundles(&mut self) {
        for (_, _, status) in self.statuses.iter_mut().filter(|(_, _, status)| *status != AttemptStatus::Rejected) {
            *status = AttemptStatus::Expired;
        }
    }

    /// Returns the fees that a replacement must outbid, where a pool may hold something with this nonce.
    pub(super) fn fees_to_outbid(&self) -> Option<Fees> {
        let counted = self.statuses.iter().filter(|(_, _, status)| is_held(*status));
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
            SubmitResult::Underpriced if matches!(status, AttemptStatus::Unknown | AttemptStatus::Expired) => {
                *status = AttemptStatus::Underpriced
            }
            SubmitResult::InsufficientFunds | SubmitResult::Invalid => *status = AttemptStatus::Rejected,
            _ => {}
        }
        let is_rejection = matches!(result, SubmitResult::InsufficientFunds | SubmitResult::Invalid);
        let is_held = self.statuses.iter().any(|(_, _, status)| is_held(*status));
        let becomes_free = is_rejection && self.is_pending() && !is_held;
        if becomes_free {
            self.purpose = NoncePurpose::Free;
        }
        becomes_free
    }

    /// Returns where one of its transactions was mined, as far as is known, also from before a restart.
    pub(super) fn inclusion(&self) -> Option<Inclusion> {
        let journalled = || {
            self.holders.iter().find_map(|holder| match holder.entry.state {
                EntryState::Mined(inclusion) => Some(inclusion),
                _ => None,
            })
        };
        self.mined.map(|receipt| receipt.inclusion).or_else(journalled)
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
        self.released_at = None;
        self.holders.push(winner);
    }
}
