//! Admission of intents: the safety gate as all signers share it, the kill file, and which subjects are in flight.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use alloy::primitives::U256;
use tokio::sync::watch;
use tracing::error;

use super::stopped;
use crate::{
    book::MAX_REORG_DEPTH,
    chain::Header,
    intent::{DropReason, Intent, Outcome, Report, SafetyRefusal, Subject},
    safety::{FailureCause, Gate, RiskContext, SafetyRecord, SafetyStore},
};

/// Decides whether an intent is admitted, and learns from what becomes of admitted ones.
#[derive(Debug)]
pub(super) struct Admission {
    gate: Mutex<(Gate, Option<Header>)>,
    /// Intents that are being executed, or that a reorg may have executed again, by id.
    in_flight: Mutex<BTreeMap<u64, InFlight>>,
    kill_file: Option<PathBuf>,
    /// The newest record, for the task that writes it to the store.
    record: watch::Sender<SafetyRecord>,
}

/// Number of blocks, from a reorg on, in which it is not known whether a transaction of a reverted block is mined, unless its
/// signer reports sooner.
const DOUBTFUL_BLOCKS: u8 = 5;

/// An intent that is being executed, or that ended in a block that a reorg may still revert.
#[derive(Debug)]
struct InFlight {
    intent: Intent,
    /// Block that ended it. Nodes report it before strategies see it.
    ended_in: Option<u64>,
    /// Further blocks in which it is not known whether it has ended: its block was reverted, and its signer has still to find
    /// out whether it is mined in the new branch or to be rebroadcast. To decide again meanwhile would send it twice.
    doubtful_blocks: u8,
}

impl InFlight {
    /// Whether the intent may still be executed on top of this block.
    fn is_open_at(&self, head: u64) -> bool {
        self.doubtful_blocks > 0 || self.ended_in.is_none_or(|block| block > head)
    }
}

impl Admission {
    pub(super) fn new(gate: Gate, kill_file: Option<PathBuf>) -> Self {
        let record = watch::Sender::new(gate.record().clone());
        Self { gate: Mutex::new((gate, None)), in_flight: Mutex::default(), kill_file, record }
    }

    /// Whether the kill file exists. A folder that cannot be read counts as if it did.
    pub(super) fn is_killed(&self) -> bool {
        self.kill_file.as_ref().is_some_and(|file| file.try_exists().unwrap_or(true))
    }

    /// Asks the gate whether an intent may be sent by a signer with this balance in wei. Fails with the reason against
    /// it.
    pub(super) fn admit(&self, intent: &Intent, balance: Option<U256>) -> Result<(), SafetyRefusal> {
        let is_killed = self.is_killed();
        let (gate, head) = &*self.lock_gate();
        let (now, block) = head.map_or((0, 0), |head| (head.timestamp, head.number));
        gate.admit(intent, &RiskContext { now, block, balance, is_killed })
    }

    /// Marks an intent as in flight: one that was just admitted, or that the journal still had pending.
    pub(super) fn begin(&self, id: u64, intent: &Intent) {
        self.lock_in_flight().insert(id, InFlight { intent: intent.clone(), ended_in: None, doubtful_blocks: 0 });
    }

    /// Returns the subjects that are in flight, each with the id of its newest intent.
    pub(super) fn in_flight(&self) -> HashMap<Subject, u64> {
        let gate = self.lock_gate();
        let head = gate.1.map_or(0, |head| head.number);
        let in_flight = self.lock_in_flight();
        let open = in_flight.iter().filter(|(_, in_flight)| in_flight.is_open_at(head));
        let subjects = |(id, InFlight { intent, .. }): (&u64, &InFlight)| {
            let id = *id;
            intent.purpose.subjects().into_iter().map(move |subject| (subject, id))
        };
        open.flat_map(subjects).collect()
    }

    /// Whether there are intents in flight that no block has ended yet.
    pub(super) fn has_open_intents(&self) -> bool {
        self.lock_in_flight().values().any(|in_flight| in_flight.ended_in.is_none())
    }

    /// Returns the intents in flight that no block has ended yet, each with its id.
    pub(super) fn open_intents(&self) -> Vec<(u64, Intent)> {
        let in_flight = self.lock_in_flight();
        let open = in_flight.iter().filter(|(_, in_flight)| in_flight.ended_in.is_none());
        open.map(|(id, in_flight)| (*id, in_flight.intent.clone())).collect()
    }

    /// Learns from what became of an intent. Returns false for a transaction that was counted before, which is told of again after
    /// a restart.
    pub(super) fn on_report(&self, report: &Report) -> bool {
        match report.outcome {
            Outcome::Sent { .. } => {}
            Outcome::Reorged => self.begin(report.id, &report.intent),
            Outcome::Mined(receipt) | Outcome::Reverted(receipt) => {
                if let Some(in_flight) = self.lock_in_flight().get_mut(&report.id) {
                    (in_flight.ended_in, in_flight.doubtful_blocks) = (Some(receipt.inclusion.block), 0);
                }
            }
            _ => drop(self.lock_in_flight().remove(&report.id)),
        }
        let (gate, head) = &mut *self.lock_gate();
        let (now, block) = head.map_or((0, 0), |head| (head.timestamp, head.number));
        if let Outcome::Dropped(DropReason::InsufficientFunds | DropReason::RejectedByNodes) = report.outcome {
            // Nodes would reject the same again; each time it is signed, journalled and broadcast.
            for subject in report.intent.purpose.subjects() {
                gate.record_failure(subject, FailureCause::Reverts, block);
            }
        }
        let is_counted = gate.on_report(report, now, block);
        if is_counted {
            self.record.send_replace(gate.record().clone());
        }
        is_counted || report.outcome.receipt().is_none()
    }

    /// Learns that every block after `block` was reverted: what ended in one of them may have to be executed again.
    pub(super) fn on_revert(&self, block: u64) {
        for in_flight in self.lock_in_flight().values_mut() {
            if in_flight.ended_in.is_some_and(|ended_in| ended_in > block) {
                in_flight.doubtful_blocks = DOUBTFUL_BLOCKS;
            }
        }
    }

    /// Runs `act` on the gate together with the newest block. It must not change the gate's record.
    pub(super) fn with_gate<T>(&self, act: impl FnOnce(&mut Gate, Option<Header>) -> T) -> T {
        let (gate, head) = &mut *self.lock_gate();
        act(gate, *head)
    }

    /// Closes every circuit breaker before its time is over.
    pub(super) fn close_breakers(&self) {
        let (gate, _) = &mut *self.lock_gate();
        gate.close_breakers();
        self.record.send_replace(gate.record().clone());
    }

    /// Takes note of the newest applied block.
    pub(super) fn on_block(&self, header: Header) {
        let (gate, head) = &mut *self.lock_gate();
        gate.prune(header.number);
        *head = Some(header);
        let mut in_flight = self.lock_in_flight();
        in_flight.values_mut().for_each(|one| one.doubtful_blocks = one.doubtful_blocks.saturating_sub(1));
        let can_be_reverted = |block: u64| block.saturating_add(MAX_REORG_DEPTH) > header.number;
        in_flight.retain(|_, in_flight| in_flight.ended_in.is_none_or(can_be_reverted));
    }

    /// Returns the newest applied block.
    pub(super) fn head(&self) -> Option<Header> {
        self.lock_gate().1
    }

    /// Returns the number of the newest applied block, and 0 before the first.
    pub(super) fn head_number(&self) -> u64 {
        self.head().map_or(0, |head| head.number)
    }

    /// Continues with the record of the keeper that had the signers before.
    pub(super) fn restore(&self, record: SafetyRecord) {
        self.lock_gate().0.restore(record);
    }

    /// Whether a signer with this balance, in wei, is refused for it.
    pub(super) fn is_balance_low(&self, balance: U256) -> bool {
        self.lock_gate().0.is_balance_low(balance)
    }

    /// Writes every change of the record to the store until it is stopped.
    pub(super) async fn persist<S: SafetyStore>(
        mut records: watch::Receiver<SafetyRecord>,
        store: S,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let is_last = tokio::select! {
                biased;
                changed = records.changed() => changed.is_err(),
                () = stopped(&mut stop) => true,
            };
            if is_last {
                return;
            }
            let record = records.borrow_and_update().clone();
            if let Err(error) = store.write(record).await {
                error!(%error, "safety record not written");
            }
        }
    }

    /// Subscribes to changes of the record.
    pub(super) fn records(&self) -> watch::Receiver<SafetyRecord> {
        self.record.subscribe()
    }

    fn lock_in_flight(&self) -> MutexGuard<'_, BTreeMap<u64, InFlight>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A panic elsewhere leaves the gate in a valid state, so a poisoned lock is used all the same.
    fn lock_gate(&self) -> MutexGuard<'_, (Gate, Option<Header>)> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256};

    use super::*;
    use crate::{
        intent::{GuardKind, Inclusion, Priority, Purpose, Receipt, Scope},
        safety::{Contracts, SafetySettings},
    };

    fn admission() -> Admission {
        let settings = SafetySettings {
            is_live: true,
            loss_cap_per_day: U256::MAX,
            scope_loss_cap_per_day: U256::MAX,
            breaker_reverts: 3,
            breaker_window_secs: 60,
            breaker_pause_secs: 600,
            minimum_balance: U256::ZERO,
            contracts: Contracts::default(),
        };
        Admission::new(Gate::new(settings, SafetyRecord::default()), None)
    }

    fn intent() -> Intent {
        Intent {
            purpose: Purpose::Rebalance { vault: Address::ZERO },
            priority: Priority::Low,
            to: Address::ZERO,
            data: Vec::new().into(),
            gas_limit: 1,
            expected_gas: 1,
            expected_gain: U256::ZERO,
            extra_wei: U256::ZERO,
            margin_bps: 0,
            deadline: 1,
            scope: Scope::new("rebalance", B256::ZERO),
            guard: GuardKind::OnChain,
            bid: 0,
            profit: None,
        }
    }

    fn report(outcome: Outcome) -> Report {
        Report { id: 1, signer: Address::ZERO, intent: intent(), outcome, logs: Vec::new() }
    }

    fn mined_in(block: u64) -> Report {
        let inclusion = Inclusion { hash: B256::ZERO, block, block_hash: B256::ZERO };
        let receipt = Receipt { inclusion, success: true, gas_used: 0, effective_gas_price: 1, data_fee: 0 };
        report(Outcome::Mined(receipt))
    }

    /// Applies a block, and returns whether the intent is in flight in it.
    fn is_in_flight_at(admission: &Admission, number: u64) -> bool {
        admission.on_block(Header { number, ..Header::default() });
        !admission.in_flight().is_empty()
    }

    #[test]
    fn an_intent_is_in_flight_until_the_block_that_ended_it_is_applied() {
        let admission = admission();
        admission.begin(1, &intent());
        assert!(is_in_flight_at(&admission, 9));
        assert!(admission.on_report(&mined_in(11)));
        assert!(!admission.on_report(&mined_in(11)), "it is known, and told of again after a restart");
        assert!(admission.open_intents().is_empty());
        assert!(is_in_flight_at(&admission, 10));
        assert!(!is_in_flight_at(&admission, 11));
    }

    #[test]
    fn after_a_reorg_it_is_in_flight_again_before_its_signer_knows_and_until_it_does() {
        let admission = admission();
        admission.begin(1, &intent());
        admission.on_report(&mined_in(10));
        assert!(!is_in_flight_at(&admission, 10));
        admission.on_revert(10);
        assert!(admission.in_flight().is_empty(), "its block stayed");
        admission.on_revert(9);
        assert!(is_in_flight_at(&admission, 10) && is_in_flight_at(&admission, 11));
        admission.on_report(&report(Outcome::Reorged));
        assert!((12..30).all(|number| is_in_flight_at(&admission, number)));
        admission.on_report(&mined_in(30));
        assert!(!is_in_flight_at(&admission, 30));
        // A block that was reverted and came again: its signer has nothing to say.
        admission.on_revert(29);
        let doubtful = (30..40).filter(|number| is_in_flight_at(&admission, *number)).count();
        assert_eq!(doubtful, usize::from(DOUBTFUL_BLOCKS) - 1);
    }

    #[test]
    fn what_no_reorg_reaches_any_more_is_forgotten() {
        let admission = admission();
        admission.begin(1, &intent());
        admission.on_report(&mined_in(10));
        assert!(!is_in_flight_at(&admission, 10 + MAX_REORG_DEPTH));
        admission.on_revert(9);
        assert!(admission.in_flight().is_empty());
    }
}
