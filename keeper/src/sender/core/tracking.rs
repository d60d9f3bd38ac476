//! Tracking of broadcast transactions: responses of nodes, receipts, reorganisations, rebroadcast, fee bumping and
//! cancellation.

use std::mem;

use alloy::primitives::B256;

use super::{
    ChainStatus, Core, Effect, MAX_FEE_BUMPS_PER_BLOCK,
    nonce_slot::{NonceHolder, NoncePurpose, NonceSlot},
    report,
};
use crate::{
    chain::Header,
    intent::{DropReason, Outcome, Receipt, SenderAlert},
    sender::{
        journal::{AttemptKind, EntryState, JournalEntry},
        submit_result::SubmitResult,
    },
};

impl Core {
    /// Handles the endpoints' responses to a broadcast.
    pub(super) fn on_broadcast_result(&mut self, nonce: u64, hash: B256, result: SubmitResult) {
        self.one_at_a_time |= result == SubmitResult::DelegatedAccountLimit;
        let Some(slot) = self.slots.get_mut(&nonce) else { return };
        if slot.record_response(hash, result) {
            let reason = if result == SubmitResult::InsufficientFunds {
                DropReason::InsufficientFunds
            } else {
                DropReason::RejectedByNodes
            };
            if let Some(holder) = slot.holder_mut().filter(|holder| !holder.reported) {
                holder.reported = true;
                let dropped = report(&holder.entry, Outcome::Dropped(reason));
                self.effects.push(Effect::Report(dropped));
            }
            self.effects.extend(end_displaced(slot));
        }
        match result {
            SubmitResult::Accepted => self.funds_alerted = false,
            SubmitResult::InsufficientFunds => {
                (self.is_short_of_funds, self.wants_balance) = (true, true);
                if !mem::replace(&mut self.funds_alerted, true) {
                    self.effects.push(Effect::Alert(SenderAlert::InsufficientFunds { signer: self.signer }));
                }
            }
            SubmitResult::Underpriced => self.bump_fee_at_once(nonce, hash),
            SubmitResult::NonceUsed => self.fetch_receipts(|slot| slot.nonce == nonce),
            _ => {}
        }
    }

    /// Bumps the fees of a transaction that nodes call underpriced, without waiting for a block.
    fn bump_fee_at_once(&mut self, nonce: u64, hash: B256) {
        let Some(head) = self.head else { return };
        let holds_up_others = self.last_pending() > Some(nonce);
        let Some(slot) = self.slots.get_mut(&nonce) else { return };
        let is_newest = slot.newest_attempt().is_some_and(|newest| newest.hash == hash);
        if is_newest && slot.is_pending() && slot.immediate_bumps < MAX_FEE_BUMPS_PER_BLOCK {
            slot.immediate_bumps += 1;
            self.bump_fee(nonce, head, holds_up_others);
        }
    }

    /// Handles a new head: drops queued intents whose deadline has passed, and fetches the receipts of pending
    /// transactions.
    pub(super) fn on_block(&mut self, header: Header) {
        let is_child_of_head = self.head.is_some_and(|head| head.hash == header.parent_hash);
        self.head = Some(header);
        let depth = self.settings.finality_depth;
        // What was obsolete may not be as of this head, which may have taken the place of one of the same height.
        self.slots.values_mut().for_each(|slot| slot.is_obsolete = false);
        let first_block = *self.first_block.get_or_insert(header.number);
        if self.settings.in_bundles {
            let has_passed = |slot: &&mut NonceSlot| slot.last_broadcast.unwrap_or(first_block) < header.number;
            self.slots.values_mut().filter(has_passed).for_each(NonceSlot::expire_bundles);
        }
        self.recent_hashes.split_off(&header.number);
        self.recent_hashes.insert(header.number, header.hash);
        self.recent_hashes = self.recent_hashes.split_off(&header.number.saturating_sub(depth));
        for (id, intent) in mem::take(&mut self.queues).into_iter().flatten() {
            if header.timestamp >= intent.deadline {
                self.drop_intent(id, intent, DropReason::DeadlinePassed);
            } else {
                self.queue(intent.priority).push_back((id, intent));
            }
        }
        let recent_hashes = mem::take(&mut self.recent_hashes);
        let chain_nonce = self.chain_nonce;
        self.fetch_receipts(|slot| match (slot.mined, slot.used_by_other_since) {
            // A mined transaction changes only by a reorganisation, or if its block is not in this branch: nodes do not
            // switch branches together.
            (Some(Receipt { inclusion, .. }), _) => {
                let is_elsewhere =
                    recent_hashes.get(&inclusion.block).is_some_and(|hash| *hash != inclusion.block_hash);
                !is_child_of_head || is_elsewhere || header.number >= inclusion.block.saturating_add(depth)
            }
            (None, Some(_)) => true,
            (None, None) => {
                let is_used = slot.nonce < chain_nonce;
                slot.purpose != NoncePurpose::Free || is_used || slot.is_look_up_due(header.number)
            }
        });
        self.recent_hashes = recent_hashes;
    }

    /// Drops queued intents that are obsolete, and marks those that have a nonce: they are given up when a node has said
    /// that they are not mined.
    pub(super) fn on_obsolete(&mut self, ids: &[u64]) {
        let Some(head) = self.head else { return };
        for (id, intent) in mem::take(&mut self.queues).into_iter().flatten() {
            if ids.contains(&id) {
                self.drop_intent(id, intent, DropReason::Obsolete);
            } else {
                self.queue(intent.priority).push_back((id, intent));
            }
        }
        for slot in self.slots.values_mut().filter(|slot| slot.is_pending() && slot.purpose == NoncePurpose::Execute) {
            let is_obsolete = |holder: &&mut NonceHolder| !holder.reported && ids.contains(&holder.entry.id);
            let Some(holder) = slot.holder_mut().filter(is_obsolete) else { continue };
            if holder.entry.attempts.is_empty() {
                // No node can know of it.
                holder.reported = true;
                self.effects.push(Effect::Report(report(&holder.entry, Outcome::Dropped(DropReason::Obsolete))));
                slot.release(head.number);
                self.effects.extend(end_displaced(slot));
            } else {
                slot.is_obsolete = true;
            }
        }
    }

    /// Gives up the intent that holds a nonce which is not used: the next intent may have the nonce.
    fn release(&mut self, nonce: u64, reason: DropReason, head: Header, changed: &mut Vec<JournalEntry>) {
        self.withdraw_bundle(nonce, head);
        let Some(slot) = self.slots.get_mut(&nonce) else { return };
        slot.release(head.number);
        self.effects.extend(end_displaced(slot));
        let Some(holder) = slot.holder_mut() else { return };
        set_state(&mut holder.entry, EntryState::Released, head, changed);
        if !mem::replace(&mut holder.reported, true) {
            self.effects.push(Effect::Report(report(&holder.entry, Outcome::Dropped(reason))));
        }
    }

    /// Fetches the receipts of the slots that need them, and with them those of free nonces, which alone are no reason
    /// to ask a node.
    fn fetch_receipts(&mut self, needs: impl Fn(&NonceSlot) -> bool) {
        if !self.slots.values().any(&needs) {
            return;
        }
        let asked = self.slots.values().filter(|slot| needs(slot) || slot.purpose == NoncePurpose::Free);
        let hashes = asked.flat_map(NonceSlot::attempts_to_look_up).map(|attempt| attempt.hash).collect();
        self.effects.push(Effect::FetchReceipts(hashes));
    }

    /// Handles a node's answer about the signer's nonce and the transactions asked for.
    pub(super) fn on_chain_status(&mut self, status: &ChainStatus) {
        let Some(head) = self.head else { return };
        let mut changed = Vec::new();
        for nonce in self.slots.keys().copied().collect::<Vec<_>>() {
            let Some(slot) = self.slots.get(&nonce) else { continue };
            let mut of_slot = status.receipts.iter().filter(|(hash, _)| slot.has_attempt(*hash)).peekable();
            if of_slot.peek().is_none() {
                continue;
            }
            match of_slot.find_map(|(_, receipt)| *receipt) {
                Some(receipt) => self.on_mined(nonce, receipt, head, &mut changed),
                None if status.nonce > nonce => self.on_used_by_other(nonce, head, &mut changed),
                None => self.on_not_mined(nonce, head, &mut changed),
            }
        }
        let expected = self.next_nonce();
        if status.nonce > expected {
            self.effects.push(Effect::Alert(SenderAlert::KeyUsedElsewhere { signer: self.signer, nonce: expected }));
        }
        self.chain_nonce = status.nonce;
        self.set_balance(status.balance);
        if !changed.is_empty() {
            self.effects.push(Effect::DeferWrite(changed));
        }
    }

    /// Handles the inclusion of one of the nonce's transactions in a block.
    fn on_mined(&mut self, nonce: u64, receipt: Receipt, head: Header, changed: &mut Vec<JournalEntry>) {
        let inclusion = receipt.inclusion;
        if self.slots.get(&nonce).and_then(NonceSlot::inclusion).is_some_and(|known| known != inclusion) {
            // What was mined before is not part of the chain any more, whatever takes its place.
            self.on_reorg(nonce, head, changed);
        }
        let Some(slot) = self.slots.get_mut(&nonce) else { return };
        let Some(winner) = slot.holders.iter().position(|holder| holder.has_attempt(inclusion.hash)) else { return };
        let Some((by, kind)) = slot.holders.get(winner).and_then(|holder| {
            let mined = holder.entry.attempts.iter().find(|attempt| attempt.hash == inclusion.hash)?;
            Some((holder.entry.id, mined.kind))
        }) else {
            return;
        };
        let is_new = slot.mined.is_none_or(|known| known.inclusion != inclusion);
        let is_elsewhere = self.recent_hashes.get(&inclusion.block).is_some_and(|hash| *hash != inclusion.block_hash);
        let is_deep = head.number >= inclusion.block.saturating_add(self.settings.finality_depth);
        let is_final = is_deep && !is_elsewhere;
        slot.mined = Some(receipt);
        slot.used_by_other_since = None;
        for (at, holder) in slot.holders.iter_mut().enumerate() {
            let is_winner = at == winner;
            let state = match (is_final, is_winner, kind) {
                (false, true, _) => EntryState::Mined(inclusion),
                (false, false, _) if holder.entry.state == EntryState::Released => EntryState::Released,
                (false, false, _) => EntryState::Sent,
                (true, true, AttemptKind::Call) => EntryState::Final(inclusion),
                (true, true, AttemptKind::Cancel) => EntryState::Cancelled(inclusion),
                (true, false, _) => EntryState::Replaced { by },
            };
            set_state(&mut holder.entry, state, head, changed);
            let must_report = if is_winner { is_new } else { !holder.reported };
            if must_report {
                holder.reported = true;
                let outcome = match (is_winner, kind, receipt.success) {
                    (false, ..) => Outcome::Replaced { by },
                    (true, AttemptKind::Cancel, _) => Outcome::Cancelled(receipt),
                    (true, AttemptKind::Call, true) => Outcome::Mined(receipt),
                    (true, AttemptKind::Call, false) => Outcome::Reverted(receipt),
                };
                self.effects.push(Effect::Report(report(&holder.entry, outcome)));
            }
        }
        if is_final {
            self.slots.remove(&nonce);
        }
    }

    /// Handles a nonce that is used, but by none of its transactions. That is believed when a second block confirms it,
    /// since a node may read nonce and receipts from different blocks.
    fn on_used_by_other(&mut self, nonce: u64, head: Header, changed: &mut Vec<JournalEntry>) {
        self.on_reorg(nonce, head, changed);
        let Some(slot) = self.slots.get_mut(&nonce) else { return };
        let since = *slot.used_by_other_since.get_or_insert(head.number);
        if head.number <= since {
            return;
        }
        let is_final = head.number >= since.saturating_add(self.settings.finality_depth);
        let mut is_new = false;
        for holder in &mut slot.holders {
            if !holder.reported {
                holder.reported = true;
                is_new = true;
                self.effects.push(Effect::Report(report(&holder.entry, Outcome::NonceUsedByOther { nonce })));
            }
            if is_final {
                set_state(&mut holder.entry, EntryState::Lost, head, changed);
                self.effects.push(Effect::Report(report(&holder.entry, Outcome::Lost { nonce })));
            }
        }
        if is_new {
            self.effects.push(Effect::Alert(SenderAlert::KeyUsedElsewhere { signer: self.signer, nonce }));
        }
        if is_final {
            self.slots.remove(&nonce);
        }
    }

    /// Handles a nonce that is not used: gives its intent up, rebroadcasts its transaction, bumps its fees, or cancels it.
    fn on_not_mined(&mut self, nonce: u64, head: Header, changed: &mut Vec<JournalEntry>) {
        let was_reorged = self.on_reorg(nonce, head, changed);
        let holds_up_others = self.last_pending() > Some(nonce);
        let Some(slot) = self.slots.get_mut(&nonce) else { return };
        slot.used_by_other_since = None;
        if self.is_on_hold || self.has_failed || slot.purpose == NoncePurpose::Free {
            return;
        }
        if slot.is_obsolete {
            self.release(nonce, DropReason::Obsolete, head, changed);
            return;
        }
        let Some(holder) = slot.holder() else { return };
        let is_below_base_fee = slot.is_below(head.base_fee);
        // After its end was reported a strategy may have decided again: the intent must not be executed after all.
        let is_over = holder.reported || head.timestamp >= holder.entry.intent.deadline;
        let may_broadcast = !holder.reported;
        if was_reorged {
            // A transaction that was mined in another branch is likely to be mined again unchanged.
            self.broadcast(nonce);
        } else if slot.purpose == NoncePurpose::Execute && is_over && self.settings.in_bundles {
            // Nobody includes its bundles any more.
            self.release(nonce, DropReason::DeadlinePassed, head, changed);
        } else if slot.purpose == NoncePurpose::Execute && is_over {
            let is_parked = is_below_base_fee && !holds_up_others;
            if is_parked {
                // Nothing of it can be mined now, so that its end need not wait for the cancellation, which takes the
                // place of its bytes in the pools: it must not be mined later, when gas is cheap and it brings nothing.
                self.release(nonce, DropReason::DeadlinePassed, head, changed);
            }
            if self.cancel(nonce, head, holds_up_others).is_err() && may_broadcast && !is_parked {
                self.broadcast(nonce);
            }
        } else if slot.last_broadcast != Some(head.number)
            && !(self.is_fee_bump_due(nonce, head, holds_up_others) && self.bump_fee(nonce, head, holds_up_others))
        {
            self.broadcast(nonce);
        }
    }

    /// Handles the removal of a mined transaction by a reorganisation. Returns false if none was mined with this nonce.
    fn on_reorg(&mut self, nonce: u64, head: Header, changed: &mut Vec<JournalEntry>) -> bool {
        let Some(slot) = self.slots.get_mut(&nonce) else { return false };
        let Some(inclusion) = slot.inclusion() else { return false };
        slot.mined = None;
        slot.on_reorg(inclusion.hash);
        if let Some(winner) = slot.holder_mut() {
            set_state(&mut winner.entry, EntryState::Sent, head, changed);
            self.effects.push(Effect::Report(report(&winner.entry, Outcome::Reorged)));
        }
        true
    }

    /// Returns the highest nonce of a pending transaction: those below it must be used first.
    pub(super) fn last_pending(&self) -> Option<u64> {
        self.slots.values().filter(|slot| slot.is_pending()).map(|slot| slot.nonce).max()
    }

    /// Whether a pending transaction has waited too long, or no longer covers the base fee.
    fn is_fee_bump_due(&self, nonce: u64, head: Header, holds_up_others: bool) -> bool {
        let Some(slot) = self.slots.get(&nonce) else { return false };
        let Some(newest) = slot.newest_attempt() else { return false };
        if newest.kind == AttemptKind::Cancel && slot.is_below(head.base_fee) && !holds_up_others {
            // It has taken the place of what it cancels, and waits until gas is cheaper.
            return false;
        }
        let waited = head.number.saturating_sub(newest.block);
        let is_below_base_fee = self.settings.fees.is_below_base_fee(newest.fees, head.base_fee);
        // A bundle that is not included is not outbid by itself.
        let is_late = waited >= self.settings.replace_after_blocks && !self.settings.in_bundles;
        is_late || (is_below_base_fee && waited > 0)
    }

    /// Orders a replacement with higher fees for the same purpose. Returns false if it would not be worth them.
    fn bump_fee(&mut self, nonce: u64, head: Header, holds_up_others: bool) -> bool {
        if self.is_on_hold || self.has_failed {
            return false;
        }
        let Some(slot) = self.slots.get(&nonce) else { return false };
        let Some(holder) = slot.holder() else { return false };
        let (kind, fees) = match slot.purpose {
            NoncePurpose::Execute => (AttemptKind::Call, self.call_fees(&holder.entry.intent, Some(slot), head)),
            NoncePurpose::Cancel => (AttemptKind::Cancel, self.cancellation_fees(slot, head, holds_up_others)),
            NoncePurpose::Free => return false,
        };
        let Ok(fees) = fees else { return false };
        self.order_signature(nonce, kind, fees);
        true
    }
}

/// Ends the intents from which a nonce was taken that is now free: it may stay so for long.
fn end_displaced(slot: &mut NonceSlot) -> Vec<Effect> {
    let Some((last, displaced)) = slot.holders.split_last_mut() else { return Vec::new() };
    let mut ended = Vec::new();
    for holder in displaced {
        if !mem::replace(&mut holder.reported, true) {
            ended.push(Effect::Report(report(&holder.entry, Outcome::Replaced { by: last.entry.id })));
        }
    }
    ended
}

/// Sets an entry's state, and adds the entry to those that have to be written if that changed it.
fn set_state(entry: &mut JournalEntry, state: EntryState, head: Header, changed: &mut Vec<JournalEntry>) {
    if entry.state != state && !entry.attempts.is_empty() {
        entry.state = state;
        entry.changed_at = head.timestamp;
        changed.push(entry.clone());
    }
}
