//! The sender's pure core: nonce management for one signer. Events go in, effects come out; it knows no clock, no
//! network and no disk.
//!
//! It can be stopped between any two effects and started again from the journal. Its promise holds through that: every
//! nonce that it used ends as one mined transaction, and the journal names the intent that the transaction served.
//!
//! `nonce_slot` is the state of one nonce, `offers` finds the fees that the signer can pay, `tracking` follows what was broadcast through blocks and reorganisations.

mod messages;
mod nonce_slot;
mod offers;
mod tracking;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    mem,
};

use alloy::primitives::{Address, B256, Bytes, U256};

pub use self::messages::{
    BroadcastRoute, CancelRefusal, ChainStatus, CoreSettings, Effect, Event, PrivateFirst, RecoverError,
    SignedTransaction, UnsignedTransaction,
};
use self::nonce_slot::{NoncePurpose, NonceSlot};
use super::journal::{Attempt, AttemptKind, EntryState, JournalEntry, Recovered};
use crate::{
    chain::Header,
    intent::{DropReason, Fees, Intent, Outcome, Priority, Report, SenderAlert},
};

/// Maximum number of intents that wait for a nonce. Any more would be outdated by the time a nonce is free for them.
const MAX_QUEUED: usize = 256;

/// Maximum number of fee bumps within one block because nodes call a transaction underpriced: enough to pass a pool's
/// own minimum soon, too few for a node that calls everything underpriced to drive the fee to its limit at once.
const MAX_FEE_BUMPS_PER_BLOCK: u32 = 4;

/// The state of one signer.
#[derive(Debug)]
pub struct Core {
    signer: Address,
    settings: CoreSettings,
    head: Option<Header>,
    /// Number of the first head since the start. What was in bundles before is for the block after it at the latest.
    first_block: Option<u64>,
    /// Hashes of the blocks that may still be reorganised away, as far as they were seen, by number.
    recent_hashes: BTreeMap<u64, B256>,
    /// First nonce that the chain had not used when it was last read.
    chain_nonce: u64,
    slots: BTreeMap<u64, NonceSlot>,
    /// Intents that wait for a nonce, of high and of low priority.
    queues: [VecDeque<(u64, Intent)>; 2],
    /// Pools take one transaction at a time from this signer, because its account has code.
    one_at_a_time: bool,
    is_on_hold: bool,
    has_failed: bool,
    /// The signer's balance in wei when it was last read; `None` before that.
    balance: Option<U256>,
    /// A node has said that the balance does not suffice, and it was not read since.
    is_short_of_funds: bool,
    /// Something was not sent for lack of funds, so that the balance should be read again.
    wants_balance: bool,
    /// The operator was told that the balance does not suffice, and no node has accepted anything since.
    funds_alerted: bool,
    to_sign: Vec<UnsignedTransaction>,
    effects: Vec<Effect>,
}

impl Core {
    /// Starts where the journal ends. `chain_nonce` is the signer's next nonce in the newest block, `has_code` says
    /// whether its account has code (EIP-7702), and `adopts` makes it start even if chain and journal do not agree,
    /// which is an error otherwise.
    pub fn recover(
        signer: Address,
        settings: CoreSettings,
        recovered: Recovered,
        chain_nonce: u64,
        has_code: bool,
        adopts: bool,
    ) -> Result<Self, RecoverError> {
        let journal = recovered.next_nonce.unwrap_or(chain_nonce);
        if chain_nonce > journal && !adopts {
            return Err(RecoverError::ChainAhead { signer, chain: chain_nonce, journal });
        }
        let mut slots = BTreeMap::<u64, NonceSlot>::new();
        let mut unsettled = recovered.unsettled;
        unsettled.sort_by_key(|entry| (entry.nonce, entry.replacement_index));
        for entry in unsettled {
            match slots.get_mut(&entry.nonce) {
                Some(slot) => slot.assign(entry),
                None => drop(slots.insert(entry.nonce, NonceSlot::new(entry))),
            }
        }
        slots.values_mut().for_each(|slot| slot.is_public = settings.private.is_none() && !settings.in_bundles);
        let missing = (chain_nonce..journal).find(|nonce| !slots.contains_key(nonce));
        if let Some(missing) = missing.filter(|_| !adopts) {
            return Err(RecoverError::ChainBehind { signer, chain: chain_nonce, missing });
        }
        Ok(Self { chain_nonce, slots, one_at_a_time: has_code, ..Self::idle(signer, settings) })
    }

    /// Returns the core of a signer that nothing is known of, and that sends nothing.
    #[must_use]
    pub fn idle(signer: Address, settings: CoreSettings) -> Self {
        Self {
            signer,
            settings,
            head: None,
            first_block: None,
            recent_hashes: BTreeMap::new(),
            chain_nonce: 0,
            slots: BTreeMap::new(),
            queues: [VecDeque::new(), VecDeque::new()],
            one_at_a_time: false,
            is_on_hold: false,
            has_failed: false,
            balance: None,
            is_short_of_funds: false,
            wants_balance: false,
            funds_alerted: false,
            to_sign: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Takes note of the signer's balance in wei.
    pub const fn set_balance(&mut self, balance: U256) {
        self.balance = Some(balance);
        self.is_short_of_funds = false;
        self.wants_balance = false;
    }

    /// Whether something was not sent for lack of funds since the balance was last read.
    #[must_use]
    pub const fn wants_balance(&self) -> bool {
        self.wants_balance
    }

    /// Handles an event and returns the effects to carry out, in order.
    #[must_use]
    pub fn handle(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Submit(intents) => self.submit(intents),
            Event::Signed(signed) => self.on_signed(signed),
            Event::BroadcastResult { nonce, hash, result } => self.on_broadcast_result(nonce, hash, result),
            Event::Block(header) => self.on_block(header),
            Event::Obsolete(ids) => self.on_obsolete(&ids),
            Event::ChainStatus(status) => self.on_chain_status(&status),
            Event::Hold(is_on_hold) => self.is_on_hold = is_on_hold,
            Event::JournalFailed => self.fail(),
        }
        self.assign_nonces();
        self.take_effects()
    }

    /// Orders a cancellation of the pending transaction with a nonce, because the operator says so. Returns what is to be
    /// done as [`Core::handle`] does. Fails, and changes nothing, if there is none or if it cannot be cancelled.
    pub fn order_cancellation(&mut self, nonce: u64) -> Result<Vec<Effect>, CancelRefusal> {
        let head = self.head.ok_or(CancelRefusal::NoBlock)?;
        if self.has_failed {
            return Err(CancelRefusal::JournalFailed);
        }
        if self.is_on_hold {
            return Err(CancelRefusal::OnHold);
        }
        match self.slots.get(&nonce).filter(|slot| slot.is_pending() && slot.signing.is_none()) {
            None => {
                let pending = self.slots.values().filter(|slot| slot.is_pending()).map(|slot| slot.nonce).collect();
                Err(CancelRefusal::NotPending { signer: self.signer, nonce, pending })
            }
            Some(slot) if slot.purpose == NoncePurpose::Cancel => Err(CancelRefusal::AlreadyCancelling { nonce }),
            Some(_) => {
                self.cancel(nonce, head, self.last_pending() > Some(nonce))?;
                Ok(self.take_effects())
            }
        }
    }

    fn take_effects(&mut self) -> Vec<Effect> {
        if !self.to_sign.is_empty() {
            self.effects.push(Effect::Sign(mem::take(&mut self.to_sign)));
        }
        mem::take(&mut self.effects)
    }

    /// Returns the nonce of the next new transaction: the first that is neither used nor held.
    #[must_use]
    pub fn next_nonce(&self) -> u64 {
        let held = self.slots.range(self.chain_nonce..).map(|(nonce, _)| *nonce);
        held.fold(self.chain_nonce, |next, nonce| if nonce == next { next.saturating_add(1) } else { next })
    }

    /// Iterates over the entries that are pending, by nonce.
    pub fn pending(&self) -> impl Iterator<Item = &JournalEntry> {
        self.slots.values().filter(|slot| slot.is_pending()).filter_map(|slot| Some(&slot.holder()?.entry))
    }

    /// Iterates over all journalled entries that are not settled, pending or not.
    pub fn entries(&self) -> impl Iterator<Item = &JournalEntry> {
        let entries = self.slots.values().flat_map(|slot| &slot.holders).map(|holder| &holder.entry);
        entries.filter(|entry| entry.state != EntryState::Reserved)
    }

    /// Returns the intents whose end was not reported, each with its id: those that hold a nonce, and those that wait for one.
    #[must_use]
    pub fn open_intents(&self) -> Vec<(u64, Intent)> {
        let holders = self.slots.values().flat_map(|slot| &slot.holders).filter(|holder| !holder.reported);
        let holding = holders.map(|holder| (holder.entry.id, holder.entry.intent.clone()));
        holding.chain(self.queues.iter().flatten().cloned()).collect()
    }

    /// Whether nothing is sent any more because the journal cannot be written.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Returns the number of intents that wait for a nonce.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    /// Queues intents, or drops those that cannot be sent.
    fn submit(&mut self, intents: Vec<(u64, Intent)>) {
        for (id, intent) in intents {
            let refusal = if self.has_failed {
                Some(DropReason::JournalFailed)
            } else if self.is_on_hold {
                Some(DropReason::OnHold)
            } else if self.is_expired(&intent) {
                Some(DropReason::DeadlinePassed)
            } else {
                (self.queued() >= MAX_QUEUED).then_some(DropReason::QueueFull(MAX_QUEUED))
            };
            match refusal {
                Some(reason) => self.drop_intent(id, intent, reason),
                None => self.queue(intent.priority).push_back((id, intent)),
            }
        }
    }

    /// Assigns nonces to queued intents, those of high priority first, as long as one can be had.
    fn assign_nonces(&mut self) {
        let Some(head) = self.head.filter(|_| !self.is_on_hold && !self.has_failed) else { return };
        while let Some((id, intent)) = self.next_queued() {
            let (nonce, fees) = match self.choose_nonce(&intent, head) {
                Ok(Some(choice)) => choice,
                Ok(None) => {
                    self.queue(intent.priority).push_front((id, intent));
                    break;
                }
                Err(reason) => {
                    self.wants_balance |= matches!(reason, DropReason::Unaffordable { .. });
                    self.drop_intent(id, intent, reason);
                    continue;
                }
            };
            let replaced = self.slots.get(&nonce).map_or(0, |slot| slot.holders.len());
            let entry = JournalEntry {
                id,
                signer: self.signer,
                nonce,
                replacement_index: u32::try_from(replaced).unwrap_or(u32::MAX),
                intent,
                attempts: Vec::new(),
                state: EntryState::Reserved,
                created_at: head.timestamp,
                changed_at: head.timestamp,
            };
            if self.slots.get(&nonce).is_some_and(NonceSlot::is_pending) {
                self.withdraw_bundle(nonce, head);
            }
            match self.slots.get_mut(&nonce) {
                Some(slot) => slot.assign(entry),
                None => drop(self.slots.insert(nonce, NonceSlot::new(entry))),
            }
            self.order_signature(nonce, AttemptKind::Call, fees);
        }
        self.use_up_free_nonces(head);
    }

    /// Takes the next intent from the queues. One of low priority stays there while one of high priority is pending.
    fn next_queued(&mut self) -> Option<(u64, Intent)> {
        if let Some(high) = self.queue(Priority::High).pop_front() {
            return Some(high);
        }
        let must_wait = self.slots.values().any(NonceSlot::has_high_priority);
        if must_wait { None } else { self.queue(Priority::Low).pop_front() }
    }

    /// Chooses a nonce for an intent, and its fees: a free one, preferably one whose transactions are about the same, one
    /// of a pending transaction that may be displaced, or the next one. Returns `None` while there is none for it, and
    /// fails if no fees can be offered for it.
    fn choose_nonce(&mut self, intent: &Intent, head: Header) -> Result<Option<(u64, Fees)>, DropReason> {
        self.settings.fees.fees_for(intent, head.base_fee, None)?;
        if self.is_short_of_funds {
            return Err(DropReason::InsufficientFunds);
        }
        let subjects: HashSet<_> = intent.purpose.subjects().into_iter().collect();
        let mut free: Vec<_> = self.free_slots().collect();
        // A transaction of the same loans may still be mined with that nonce, and not besides it with another.
        free.sort_by_key(|slot| (!slot.is_about(&subjects), slot.nonce));
        let max_holders = self.settings.max_holders();
        let fits = |slot: &&NonceSlot| self.call_fees(intent, Some(slot), head).ok().map(|fees| (slot.nonce, fees));
        if let Some(choice) = free.iter().filter(|slot| slot.can_be_handed_over(max_holders)).find_map(fits) {
            return Ok(Some(choice));
        }
        if let Some(slot) = free.first() {
            // The intent cannot outbid what was signed for this nonce before, so the nonce is used up.
            let nonce = slot.nonce;
            if self.cancel(nonce, head, true).is_err() {
                return Ok(None);
            }
        }
        let mut displaceable: Vec<_> =
            self.slots.values().filter(|slot| slot.is_displaceable(intent.priority, max_holders)).collect();
        displaceable.sort_by_key(|slot| (!slot.is_about(&subjects), slot.nonce));
        let fits = |slot: &&NonceSlot| self.call_fees(intent, Some(slot), head).ok().map(|fees| (slot.nonce, fees));
        if let Some(choice) = displaceable.iter().find_map(fits) {
            return Ok(Some(choice));
        }
        let max_pending = if self.one_at_a_time || self.settings.in_bundles { 1 } else { self.settings.max_pending };
        let pending = self.slots.values().filter(|slot| slot.is_pending()).count();
        if pending >= max_pending {
            return Ok(None);
        }
        let fees = self.call_fees(intent, None, head)?;
        Ok(Some((self.next_nonce(), fees)))
    }

    /// Iterates over the slots whose nonces any intent may have. One that the chain has used, by what was read last, is none,
    /// whichever transaction used it.
    fn free_slots(&self) -> impl Iterator<Item = &NonceSlot> {
        self.slots.range(self.chain_nonce..).map(|(_, slot)| slot).filter(|slot| slot.is_free())
    }

    /// Orders the signature of a transaction for the holder of a nonce, unless one is being signed.
    fn order_signature(&mut self, nonce: u64, kind: AttemptKind, fees: Fees) {
        let Some(slot) = self.slots.get_mut(&nonce).filter(|slot| slot.signing.is_none()) else { return };
        let Some(holder) = slot.holders.last() else { return };
        let intent = &holder.entry.intent;
        let (to, data, gas_limit) = match kind {
            AttemptKind::Call => (intent.to, intent.data.clone(), intent.gas_limit),
            AttemptKind::Cancel => (self.signer, Bytes::new(), self.settings.cancel_gas),
        };
        slot.signing = Some((kind, fees));
        self.to_sign.push(UnsignedTransaction { nonce, kind, to, data, gas_limit, fees });
    }

    /// Writes signed transactions to the journal, and then broadcasts them.
    fn on_signed(&mut self, signed: Vec<SignedTransaction>) {
        let (block, now) = self.head.map_or((0, 0), |head| (head.number, head.timestamp));
        let mut changed = Vec::new();
        let mut to_broadcast = Vec::new();
        for SignedTransaction { nonce, raw, hash } in signed {
            let Some(slot) = self.slots.get_mut(&nonce) else { continue };
            let Some((kind, fees)) = slot.signing.take() else { continue };
            if slot.purpose == NoncePurpose::Free {
                // The intent was given up meanwhile, and nobody has seen these bytes.
                slot.forget_unsigned_holder();
                slot.resume();
                if slot.holders.is_empty() {
                    self.slots.remove(&nonce);
                }
                continue;
            }
            slot.add_attempt(Attempt { kind, raw, hash, fees, block }, now);
            let Some(entry) = slot.holder().map(|holder| &holder.entry) else { continue };
            changed.push(entry.clone());
            let is_first = entry.attempts.len() == 1 && kind == AttemptKind::Call;
            let sent = Outcome::Sent { nonce, hash, fees };
            to_broadcast.push((nonce, is_first.then(|| report(entry, sent))));
        }
        self.forget_unsigned();
        if changed.is_empty() {
            return;
        }
        self.effects.push(Effect::WriteJournal(changed));
        for (nonce, report) in to_broadcast {
            self.broadcast(nonce);
            self.effects.extend(report.map(Effect::Report));
        }
    }

    /// Ends intents whose first transaction was not signed, and leaves other nonces to what was signed for them before.
    fn forget_unsigned(&mut self) {
        for slot in self.slots.values_mut().filter(|slot| slot.signing.is_some()) {
            slot.signing = None;
            if let Some(holder) = slot.holder().filter(|holder| holder.entry.attempts.is_empty() && !holder.reported) {
                self.effects.push(Effect::Report(report(&holder.entry, Outcome::Dropped(DropReason::NotSigned))));
            }
            slot.forget_unsigned_holder();
            slot.resume();
        }
        self.slots.retain(|_, slot| !slot.holders.is_empty());
    }

    /// Broadcasts the newest transaction with this nonce that serves its purpose, unless sending is on hold.
    fn broadcast(&mut self, nonce: u64) {
        let Some(head) = self.head.filter(|_| !self.is_on_hold && !self.has_failed) else { return };
        let route = self.route(nonce, head.number);
        let Some(slot) = self.slots.get_mut(&nonce) else { return };
        let attempt = slot.attempt_to_broadcast().map(|attempt| (attempt.hash, attempt.raw.clone()));
        let Some((hash, raw)) = attempt else { return };
        slot.is_public |= route == BroadcastRoute::Public;
        if slot.last_broadcast.replace(head.number) != Some(head.number) {
            slot.immediate_bumps = 0;
        }
        self.effects.push(Effect::Broadcast { nonce, hash, raw, route });
    }

    /// Chooses the endpoints for a nonce: relays for the next block, or private ones until the intent has been pending for
    /// too long.
    fn route(&self, nonce: u64, block: u64) -> BroadcastRoute {
        let holder = self.slots.get(&nonce).and_then(NonceSlot::holder);
        if self.settings.in_bundles {
            let intent = holder.map_or(0, |holder| holder.entry.id);
            return BroadcastRoute::Bundle { block: block.saturating_add(1), intent };
        }
        let Some(private) = self.settings.private else { return BroadcastRoute::Public };
        let first = holder.and_then(|holder| holder.entry.attempts.first()).map_or(block, |attempt| attempt.block);
        let is_over = private.public_after_blocks.is_some_and(|after| block.saturating_sub(first) >= after);
        if is_over { BroadcastRoute::Public } else { BroadcastRoute::Private }
    }

    /// Withdraws the bundle of a nonce's holder that is for a block to come, if there is one: relays would include it, though
    /// its intent is not wanted any more.
    fn withdraw_bundle(&mut self, nonce: u64, head: Header) {
        let Some(slot) = self.slots.get(&nonce).filter(|_| self.settings.in_bundles) else { return };
        let Some(holder) = slot.holder() else { return };
        // One that went out before this head is for this block or an earlier one, unless the head was reorganised.
        let Some(sent_at) = slot.last_broadcast.or(self.first_block).filter(|at| *at >= head.number) else { return };
        self.effects.push(Effect::WithdrawBundle { block: sent_at.saturating_add(1), intent: holder.entry.id });
    }

    /// Stops sending for good, because nothing is sent without a journal.
    fn fail(&mut self) {
        if mem::replace(&mut self.has_failed, true) {
            return;
        }
        self.effects.push(Effect::Alert(SenderAlert::JournalFailed { signer: self.signer }));
        for (id, intent) in mem::take(&mut self.queues).into_iter().flatten() {
            self.drop_intent(id, intent, DropReason::JournalFailed);
        }
    }

    fn is_expired(&self, intent: &Intent) -> bool {
        self.head.is_some_and(|head| head.timestamp >= intent.deadline)
    }

    fn queue(&mut self, priority: Priority) -> &mut VecDeque<(u64, Intent)> {
        let [high, low] = &mut self.queues;
        match priority {
            Priority::High => high,
            Priority::Low => low,
        }
    }

    fn drop_intent(&mut self, id: u64, intent: Intent, reason: DropReason) {
        let report =
            Box::new(Report { id, signer: self.signer, intent, outcome: Outcome::Dropped(reason), logs: Vec::new() });
        self.effects.push(Effect::Report(report));
    }
}

fn report(entry: &JournalEntry, outcome: Outcome) -> Box<Report> {
    Box::new(Report { id: entry.id, signer: entry.signer, intent: entry.intent.clone(), outcome, logs: Vec::new() })
}
