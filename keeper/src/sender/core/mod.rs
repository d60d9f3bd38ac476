//! The sender's pure core: what happened goes in, what is to be done comes out. It knows no clock, no network and no disk.
//!
//! One core owns one signer. It can be stopped between any two effects and started again from the journal; what it
//! promises then is what it promises always: every nonce that it used ends as one mined transaction, and the journal
//! names the intent that it served.

mod follow;
mod slot;
mod words;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use alloy::primitives::{Address, B256, Bytes};

use self::slot::{Aim, Slot};
pub use self::words::{Alert, Effect, Event, Looked, Order, PrivateFirst, RecoverError, Route, Settings, Signed};
use super::{
    fees::TooDear,
    journal::{Attempt, Entry, Fees, Kind, Recovered, State},
    outcome::{DropReason, Outcome, Report},
};
use crate::{
    chain::Header,
    intent::{Intent, Urgency},
};

/// How many intents may wait for a nonce. More than this were decided too long ago when their turn comes.
const MOST_WAITING: usize = 256;

/// How often a price is raised within one block because nodes call it too low: enough to pass a pool's own minimum
/// soon, too few for a node that always says so to bid us up to our limit at once.
const MOST_RAISES_A_BLOCK: u32 = 4;

/// The state of one signer.
#[derive(Debug)]
pub struct Core {
    signer: Address,
    settings: Settings,
    head: Option<Header>,
    /// The hashes of the blocks that may still be taken back, as far as they were shown.
    recent: BTreeMap<u64, B256>,
    /// The first nonce that the chain has not seen used, as far as was looked.
    chain_nonce: u64,
    slots: BTreeMap<u64, Slot>,
    waiting: [VecDeque<(u64, Intent)>; 2],
    one_at_a_time: bool,
    is_held: bool,
    has_failed: bool,
    orders: Vec<Order>,
    effects: Vec<Effect>,
}

impl Core {
    /// Begins where the journal ends. `chain_nonce` is the signer's next nonce in the newest block, `has_code` whether
    /// its account has code (EIP-7702), `adopts` whether it begins although chain and
    /// journal do not agree.
    pub fn recover(
        signer: Address,
        settings: Settings,
        recovered: Recovered,
        chain_nonce: u64,
        has_code: bool,
        adopts: bool,
    ) -> Result<Self, RecoverError> {
        let journal = recovered.next_nonce.unwrap_or(chain_nonce);
        if chain_nonce > journal && !adopts {
            return Err(RecoverError::ChainAhead { signer, chain: chain_nonce, journal });
        }
        let mut slots = BTreeMap::<u64, Slot>::new();
        let mut unsettled = recovered.unsettled;
        unsettled.sort_by_key(|entry| (entry.nonce, entry.turn));
        for entry in unsettled {
            match slots.get_mut(&entry.nonce) {
                Some(slot) => slot.hand_to(entry),
                None => drop(slots.insert(entry.nonce, Slot::new(entry))),
            }
        }
        let missing = (chain_nonce..journal).find(|nonce| !slots.contains_key(nonce));
        if let Some(missing) = missing.filter(|_| !adopts) {
            return Err(RecoverError::ChainBehind { signer, chain: chain_nonce, missing });
        }
        Ok(Self {
            signer,
            settings,
            head: None,
            recent: BTreeMap::new(),
            chain_nonce,
            slots,
            waiting: [VecDeque::new(), VecDeque::new()],
            one_at_a_time: has_code,
            is_held: false,
            has_failed: false,
            orders: Vec::new(),
            effects: Vec::new(),
        })
    }

    /// What is to be done now that this happened.
    #[must_use]
    pub fn handle(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Submit(intents) => self.submit(intents),
            Event::Signed(signed) => self.signed(signed),
            Event::Answered { nonce, hash, verdict } => self.answered(nonce, hash, verdict),
            Event::Block(header) => self.block(header),
            Event::Looked(looked) => self.looked(&looked),
            Event::Hold(is_held) => self.is_held = is_held,
            Event::JournalFailed => self.fail(),
        }
        self.fill();
        if !self.orders.is_empty() {
            self.effects.push(Effect::Sign(mem::take(&mut self.orders)));
        }
        mem::take(&mut self.effects)
    }

    /// The nonce that the next new transaction has: the first that is neither used nor held.
    #[must_use]
    pub fn next_nonce(&self) -> u64 {
        let held = self.slots.range(self.chain_nonce..).map(|(nonce, _)| *nonce);
        held.fold(self.chain_nonce, |next, nonce| if nonce == next { next.saturating_add(1) } else { next })
    }

    /// The entries that wait to be mined, by nonce.
    pub fn pending(&self) -> impl Iterator<Item = &Entry> {
        self.slots.values().filter(|slot| slot.is_pending()).filter_map(|slot| Some(&slot.holder()?.entry))
    }

    /// Whether nothing is sent any more, because the journal cannot be written.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// How many intents wait for a nonce.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.iter().map(VecDeque::len).sum()
    }

    fn submit(&mut self, intents: Vec<(u64, Intent)>) {
        for (id, intent) in intents {
            let refusal = if self.has_failed {
                Some(DropReason::NoJournal)
            } else if self.is_held {
                Some(DropReason::Held)
            } else if self.is_over(&intent) {
                Some(DropReason::TooLate)
            } else {
                (self.waiting() >= MOST_WAITING).then_some(DropReason::QueueFull(MOST_WAITING))
            };
            match refusal {
                Some(reason) => self.drop_intent(id, intent, reason),
                None => self.queue(intent.urgency).push_back((id, intent)),
            }
        }
    }

    /// Gives nonces to those who wait, urgent ones first, as far as there is room.
    fn fill(&mut self) {
        let Some(head) = self.head.filter(|_| !self.is_held && !self.has_failed) else { return };
        while let Some((id, intent)) = self.take_next() {
            if let Err(reason) = self.settings.fees.offer(&intent, head.base_fee, None) {
                self.drop_intent(id, intent, reason.into());
                continue;
            }
            let Some((nonce, fees)) = self.place_for(&intent, head) else {
                self.queue(intent.urgency).push_front((id, intent));
                break;
            };
            let turn = self.slots.get(&nonce).map_or(0, |slot| slot.claims.len());
            let entry = Entry {
                id,
                signer: self.signer,
                nonce,
                turn: u32::try_from(turn).unwrap_or(u32::MAX),
                intent,
                attempts: Vec::new(),
                state: State::Reserved,
                created_at: head.timestamp,
                changed_at: head.timestamp,
            };
            match self.slots.get_mut(&nonce) {
                Some(slot) => slot.hand_to(entry),
                None => drop(self.slots.insert(nonce, Slot::new(entry))),
            }
            self.order(nonce, Kind::Call, fees);
        }
        self.close_gaps(head);
    }

    /// Whoever is next, if it may go now: a patient intent does not go beside urgent ones.
    fn take_next(&mut self) -> Option<(u64, Intent)> {
        if let Some(urgent) = self.queue(Urgency::Urgent).pop_front() {
            return Some(urgent);
        }
        let yields = self.slots.values().any(Slot::is_urgent);
        if yields { None } else { self.queue(Urgency::Patient).pop_front() }
    }

    /// Where an intent goes, and at what price: into a vacancy, over a patient one, or behind all others.
    fn place_for(&mut self, intent: &Intent, head: Header) -> Option<(u64, Fees)> {
        let policy = self.settings.fees;
        let offer = |slot: &Slot| policy.offer(intent, head.base_fee, slot.floor()).map(|fees| (slot.nonce, fees));
        if let Some(slot) = self.slots.values().find(|slot| slot.is_vacant()) {
            let nonce = slot.nonce;
            match offer(slot) {
                Ok(place) => return Some(place),
                // What must be outbid is more than it brings: the nonce is used up another way.
                Err(_) => self.cancel(nonce, head).ok()?,
            }
        }
        if intent.urgency == Urgency::Urgent {
            let patient = self.slots.values().filter(|slot| slot.is_displaceable() && slot.signing.is_none());
            if let Some(place) = patient.filter_map(|slot| offer(slot).ok()).next() {
                return Some(place);
            }
        }
        let most = if self.one_at_a_time { 1 } else { self.settings.most_pending };
        let pending = self.slots.values().filter(|slot| slot.is_pending()).count();
        let fees = policy.offer(intent, head.base_fee, None).ok()?;
        (pending < most).then(|| (self.next_nonce(), fees))
    }

    /// Uses up vacant nonces below others, which could not be mined otherwise.
    fn close_gaps(&mut self, head: Header) {
        let last =
            self.slots.values().filter(|slot| slot.is_pending()).map(|slot| slot.nonce).max().unwrap_or_default();
        let gaps = self.slots.range(..last).filter(|(_, slot)| slot.is_vacant()).map(|(nonce, _)| *nonce);
        for nonce in gaps.collect::<Vec<_>>() {
            // A gap that costs more than is ever paid stays until gas is cheaper.
            self.cancel(nonce, head).ok();
        }
    }

    /// Has a nonce used up.
    fn cancel(&mut self, nonce: u64, head: Header) -> Result<(), TooDear> {
        let Some(slot) = self.slots.get_mut(&nonce) else { return Ok(()) };
        let fees = self.settings.fees.offer_for_cancelling(head.base_fee, slot.floor())?;
        slot.aim = Aim::Cancel;
        self.order(nonce, Kind::Cancel, fees);
        Ok(())
    }

    /// Has something signed for the holder of a nonce.
    fn order(&mut self, nonce: u64, kind: Kind, fees: Fees) {
        let Some(slot) = self.slots.get_mut(&nonce).filter(|slot| slot.signing.is_none()) else { return };
        let Some(claim) = slot.claims.last() else { return };
        let intent = &claim.entry.intent;
        let order = match kind {
            Kind::Call => {
                Order { nonce, kind, to: intent.to, data: intent.data.clone(), gas_limit: intent.gas_limit, fees }
            }
            Kind::Cancel => {
                let gas_limit = self.settings.cancel_gas;
                Order { nonce, kind, to: self.signer, data: Bytes::new(), gas_limit, fees }
            }
        };
        slot.signing = Some((kind, fees));
        self.orders.push(order);
    }

    /// What was signed is written down, and then shown.
    fn signed(&mut self, signed: Vec<Signed>) {
        let (block, now) = self.head.map_or((0, 0), |head| (head.number, head.timestamp));
        let mut images = Vec::new();
        let mut shown = Vec::new();
        for Signed { nonce, raw, hash } in signed {
            let Some(slot) = self.slots.get_mut(&nonce) else { continue };
            let Some((kind, fees)) = slot.signing.take() else { continue };
            slot.push(Attempt { kind, raw, hash, fees, block }, now);
            let Some(entry) = slot.holder().map(|claim| &claim.entry) else { continue };
            images.push(entry.clone());
            let is_first = entry.attempts.len() == 1 && kind == Kind::Call;
            let sent = Outcome::Sent { nonce, hash, fees };
            shown.push((nonce, is_first.then(|| report(entry, sent))));
        }
        if images.is_empty() {
            return;
        }
        self.effects.push(Effect::Journal(images));
        for (nonce, report) in shown {
            self.show(nonce);
            self.effects.extend(report.map(Effect::Report));
        }
    }

    /// Broadcasts what was signed last for a nonce and not refused.
    fn show(&mut self, nonce: u64) {
        let Some(head) = self.head.filter(|_| !self.is_held && !self.has_failed) else { return };
        let route = self.route(nonce, head.number);
        let Some(slot) = self.slots.get_mut(&nonce) else { return };
        let Some((hash, raw)) = slot.to_show().map(|attempt| (attempt.hash, attempt.raw.clone())) else { return };
        if slot.shown_at.replace(head.number) != Some(head.number) {
            slot.raised = 0;
        }
        self.effects.push(Effect::Broadcast { nonce, hash, raw, route });
    }

    fn route(&self, nonce: u64, block: u64) -> Route {
        let Some(private) = self.settings.private else { return Route::Public };
        let holder = self.slots.get(&nonce).and_then(Slot::holder);
        let first = holder.and_then(|claim| claim.entry.attempts.first()).map_or(block, |attempt| attempt.block);
        let is_over = private.public_after_blocks.is_some_and(|after| block.saturating_sub(first) >= after);
        if is_over { Route::Public } else { Route::Private }
    }

    /// Nothing is sent without a journal.
    fn fail(&mut self) {
        if mem::replace(&mut self.has_failed, true) {
            return;
        }
        self.effects.push(Effect::Alert(Alert::NoJournal { signer: self.signer }));
        for (id, intent) in mem::take(&mut self.waiting).into_iter().flatten() {
            self.drop_intent(id, intent, DropReason::NoJournal);
        }
    }

    fn is_over(&self, intent: &Intent) -> bool {
        self.head.is_some_and(|head| head.timestamp >= intent.deadline)
    }

    fn queue(&mut self, urgency: Urgency) -> &mut VecDeque<(u64, Intent)> {
        let [urgent, patient] = &mut self.waiting;
        match urgency {
            Urgency::Urgent => urgent,
            Urgency::Patient => patient,
        }
    }

    fn drop_intent(&mut self, id: u64, intent: Intent, reason: DropReason) {
        let report = Box::new(Report { id, signer: self.signer, intent, outcome: Outcome::Dropped(reason) });
        self.effects.push(Effect::Report(report));
    }
}

fn report(entry: &Entry, outcome: Outcome) -> Box<Report> {
    Box::new(Report { id: entry.id, signer: entry.signer, intent: entry.intent.clone(), outcome })
}
