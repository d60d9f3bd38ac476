//! What becomes of what was sent: answers, blocks, receipts, reorganisations, and what to do about them.

use std::mem;

use alloy::primitives::B256;

use super::{
    Alert, Core, Effect, Looked, MOST_RAISES_A_BLOCK, report,
    slot::{Aim, Slot},
};
use crate::{
    chain::Header,
    sender::{
        journal::{Entry, Kind, State},
        outcome::{DropReason, Outcome, Receipt},
        verdict::Verdict,
    },
};

impl Core {
    /// The endpoints answered a broadcast.
    pub(super) fn answered(&mut self, nonce: u64, hash: B256, verdict: Verdict) {
        self.one_at_a_time |= verdict == Verdict::OneAtATime;
        let Some(slot) = self.slots.get_mut(&nonce) else { return };
        if slot.judge(hash, verdict) {
            let reason = if verdict == Verdict::NoFunds { DropReason::NoFunds } else { DropReason::RefusedByNodes };
            if let Some(claim) = slot.holder_mut().filter(|claim| !claim.is_told) {
                claim.is_told = true;
                let dropped = report(&claim.entry, Outcome::Dropped(reason));
                self.effects.push(Effect::Report(dropped));
            }
        }
        match verdict {
            Verdict::NoFunds => self.effects.push(Effect::Alert(Alert::NoFunds { signer: self.signer })),
            Verdict::TooCheap => self.raise_at_once(nonce, hash),
            Verdict::NonceUsed => self.look_up(|slot| slot.nonce == nonce),
            _ => {}
        }
    }

    /// A price that nodes call too low is raised without waiting for a block.
    fn raise_at_once(&mut self, nonce: u64, hash: B256) {
        let Some(head) = self.head else { return };
        let Some(slot) = self.slots.get_mut(&nonce) else { return };
        let is_newest = slot.newest().is_some_and(|newest| newest.hash == hash);
        if is_newest && slot.is_pending() && slot.raised < MOST_RAISES_A_BLOCK {
            slot.raised += 1;
            self.replace(nonce, head);
        }
    }

    /// A new head. What became of transactions is looked up, if there are any.
    pub(super) fn block(&mut self, header: Header) {
        let follows = self.head.is_some_and(|head| head.hash == header.parent_hash);
        self.head = Some(header);
        let depth = self.settings.final_after_blocks;
        self.recent.split_off(&header.number);
        self.recent.insert(header.number, header.hash);
        self.recent = self.recent.split_off(&header.number.saturating_sub(depth));
        for (id, intent) in mem::take(&mut self.waiting).into_iter().flatten() {
            if header.timestamp >= intent.deadline {
                self.drop_intent(id, intent, DropReason::TooLate);
            } else {
                self.queue(intent.urgency).push_back((id, intent));
            }
        }
        let recent = mem::take(&mut self.recent);
        self.look_up(|slot| match (slot.mined, slot.taken_since) {
            // What is mined changes by a reorganisation only, or was never in this branch: nodes do not switch together.
            (Some(Receipt { place, .. }), _) => {
                let is_elsewhere = recent.get(&place.block).is_some_and(|hash| *hash != place.block_hash);
                !follows || is_elsewhere || header.number >= place.block.saturating_add(depth)
            }
            (None, Some(_)) => true,
            (None, None) => slot.aim != Aim::Vacant,
        });
        self.recent = recent;
    }

    /// Has looked up what these slots need, and vacancies with them, which alone are no reason to ask.
    fn look_up(&mut self, needs: impl Fn(&Slot) -> bool) {
        if !self.slots.values().any(&needs) {
            return;
        }
        let asked = self.slots.values().filter(|slot| needs(slot) || slot.aim == Aim::Vacant);
        let hashes = asked.flat_map(Slot::attempts).map(|attempt| attempt.hash).collect();
        self.effects.push(Effect::LookUp(hashes));
    }

    /// What a node says of the nonce and the transactions asked for.
    pub(super) fn looked(&mut self, looked: &Looked) {
        let Some(head) = self.head else { return };
        let mut images = Vec::new();
        for nonce in self.slots.keys().copied().collect::<Vec<_>>() {
            let Some(slot) = self.slots.get(&nonce) else { continue };
            let mut of_slot = looked.receipts.iter().filter(|(hash, _)| slot.has(*hash)).peekable();
            if of_slot.peek().is_none() {
                continue;
            }
            match of_slot.find_map(|(_, receipt)| *receipt) {
                Some(receipt) => self.is_mined(nonce, receipt, head, &mut images),
                None if looked.nonce > nonce => self.is_taken(nonce, head, &mut images),
                None => self.is_not_mined(nonce, head, &mut images),
            }
        }
        let expected = self.next_nonce();
        if looked.nonce > expected {
            self.effects.push(Effect::Alert(Alert::KeyUsedElsewhere { signer: self.signer, nonce: expected }));
        }
        self.chain_nonce = looked.nonce;
        if !images.is_empty() {
            self.effects.push(Effect::Note(images));
        }
    }

    /// One of the nonce's transactions is in a block.
    fn is_mined(&mut self, nonce: u64, receipt: Receipt, head: Header, images: &mut Vec<Entry>) {
        let Some(slot) = self.slots.get_mut(&nonce) else { return };
        let hash = receipt.place.hash;
        let Some(winner) = slot.claims.iter().position(|claim| claim.has(hash)) else { return };
        let Some((by, kind)) = slot.claims.get(winner).and_then(|claim| {
            let mined = claim.entry.attempts.iter().find(|attempt| attempt.hash == hash)?;
            Some((claim.entry.id, mined.kind))
        }) else {
            return;
        };
        let is_news = slot.mined.is_none_or(|known| known.place != receipt.place);
        let is_elsewhere = self.recent.get(&receipt.place.block).is_some_and(|hash| *hash != receipt.place.block_hash);
        let is_deep = head.number >= receipt.place.block.saturating_add(self.settings.final_after_blocks);
        let is_final = is_deep && !is_elsewhere;
        slot.mined = Some(receipt);
        slot.taken_since = None;
        for (at, claim) in slot.claims.iter_mut().enumerate() {
            let is_winner = at == winner;
            let state = match (is_final, is_winner, kind) {
                (false, true, _) => State::Mined(receipt.place),
                (false, false, _) => State::Sent,
                (true, true, Kind::Call) => State::Final(receipt.place),
                (true, true, Kind::Cancel) => State::Cancelled(receipt.place),
                (true, false, _) => State::Replaced { by },
            };
            change(&mut claim.entry, state, head, images);
            let is_due = if is_winner { is_news } else { !claim.is_told };
            if is_due {
                claim.is_told = true;
                let outcome = match (is_winner, kind, receipt.success) {
                    (false, ..) => Outcome::Replaced { by },
                    (true, Kind::Cancel, _) => Outcome::Cancelled(receipt),
                    (true, Kind::Call, true) => Outcome::Mined(receipt),
                    (true, Kind::Call, false) => Outcome::Reverted(receipt),
                };
                self.effects.push(Effect::Report(report(&claim.entry, outcome)));
            }
        }
        if is_final {
            self.slots.remove(&nonce);
        }
    }

    /// The nonce is used, and by none of its transactions. Believed when a second block says so, since a node may answer
    /// the two questions from different blocks.
    fn is_taken(&mut self, nonce: u64, head: Header, images: &mut Vec<Entry>) {
        self.take_back(nonce, head, images);
        let Some(slot) = self.slots.get_mut(&nonce) else { return };
        let since = *slot.taken_since.get_or_insert(head.number);
        if head.number <= since {
            return;
        }
        let is_final = head.number >= since.saturating_add(self.settings.final_after_blocks);
        let mut is_news = false;
        for claim in &mut slot.claims {
            if !claim.is_told {
                claim.is_told = true;
                is_news = true;
                self.effects.push(Effect::Report(report(&claim.entry, Outcome::NonceUsedByOther { nonce })));
            }
            if is_final {
                change(&mut claim.entry, State::Lost, head, images);
                self.effects.push(Effect::Report(report(&claim.entry, Outcome::Lost { nonce })));
            }
        }
        if is_news {
            self.effects.push(Effect::Alert(Alert::KeyUsedElsewhere { signer: self.signer, nonce }));
        }
        if is_final {
            self.slots.remove(&nonce);
        }
    }

    /// The nonce is not used: it is shown again, for more, or used up.
    fn is_not_mined(&mut self, nonce: u64, head: Header, images: &mut Vec<Entry>) {
        let was_taken_back = self.take_back(nonce, head, images);
        let Some(slot) = self.slots.get_mut(&nonce) else { return };
        slot.taken_since = None;
        if self.is_held || self.has_failed || slot.is_vacant() {
            return;
        }
        let Some(holder) = slot.holder() else { return };
        // Whoever was told that it is over may have decided anew: it must not happen after all.
        let is_over = holder.is_told || head.timestamp >= holder.entry.intent.deadline;
        let may_show = !holder.is_told;
        if was_taken_back {
            // What is in a block of another branch is likely to be mined as it is.
            self.show(nonce);
        } else if slot.aim == Aim::Call && is_over {
            if self.cancel(nonce, head).is_err() && may_show {
                self.show(nonce);
            }
        } else if slot.shown_at != Some(head.number)
            && !(self.is_due_for_more(nonce, head) && self.replace(nonce, head))
        {
            self.show(nonce);
        }
    }

    /// What was mined no longer is. Whether that was so.
    fn take_back(&mut self, nonce: u64, head: Header, images: &mut Vec<Entry>) -> bool {
        let Some(slot) = self.slots.get_mut(&nonce) else { return false };
        let journalled = slot.claims.iter().find_map(|claim| match claim.entry.state {
            State::Mined(place) => Some(place),
            _ => None,
        });
        let Some(place) = slot.mined.take().map(|receipt| receipt.place).or(journalled) else { return false };
        slot.take_back(place.hash);
        if let Some(winner) = slot.holder_mut() {
            change(&mut winner.entry, State::Sent, head, images);
            self.effects.push(Effect::Report(report(&winner.entry, Outcome::TakenBack)));
        }
        true
    }

    fn is_due_for_more(&self, nonce: u64, head: Header) -> bool {
        let Some(newest) = self.slots.get(&nonce).and_then(Slot::newest) else { return false };
        let waited = head.number.saturating_sub(newest.block);
        let is_outbid = self.settings.fees.is_outbid(newest.fees, head.base_fee);
        waited >= self.settings.replace_after_blocks || (is_outbid && waited > 0)
    }

    /// Has what a nonce is for signed again at a higher price, where that is worth it. Whether it was.
    fn replace(&mut self, nonce: u64, head: Header) -> bool {
        if self.is_held || self.has_failed {
            return false;
        }
        let Some(slot) = self.slots.get(&nonce) else { return false };
        let Some(claim) = slot.holder() else { return false };
        let policy = &self.settings.fees;
        let (kind, offer) = match slot.aim {
            Aim::Call => (Kind::Call, policy.offer(&claim.entry.intent, head.base_fee, slot.floor())),
            Aim::Cancel => (Kind::Cancel, policy.offer_for_cancelling(head.base_fee, slot.floor())),
            Aim::Vacant => return false,
        };
        let Ok(fees) = offer else { return false };
        self.order(nonce, kind, fees);
        true
    }
}

/// Changes a state, and keeps the entry's new image if that is a change.
fn change(entry: &mut Entry, state: State, head: Header, images: &mut Vec<Entry>) {
    if entry.state != state && !entry.attempts.is_empty() {
        entry.state = state;
        entry.changed_at = head.timestamp;
        images.push(entry.clone());
    }
}
