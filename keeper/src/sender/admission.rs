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
    chain::Header,
    intent::{DropReason, Intent, Outcome, Report, SafetyRefusal, Subject},
    safety::{FailureCause, Gate, RiskContext, SafetyRecord, SafetyStore},
};

/// Decides whether an intent is admitted, and learns from what becomes of admitted ones.
#[derive(Debug)]
pub(super) struct Admission {
    gate: Mutex<(Gate, Option<Header>)>,
    /// Intents that are being executed, by id.
    in_flight: Mutex<BTreeMap<u64, InFlight>>,
    kill_file: Option<PathBuf>,
    /// The newest record, for the task that writes it to the store.
    record: watch::Sender<SafetyRecord>,
}

/// An intent that is being executed.
#[derive(Debug)]
struct InFlight {
    intent: Intent,
    /// Block that ended it, while that block is still to be applied: nodes report it before strategies see it.
    ended_in: Option<u64>,
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
        self.lock_in_flight().insert(id, InFlight { intent: intent.clone(), ended_in: None });
    }

    /// Returns the subjects that are in flight, each with the id of its newest intent.
    pub(super) fn in_flight(&self) -> HashMap<Subject, u64> {
        let in_flight = self.lock_in_flight();
        let subjects = |(id, InFlight { intent, .. }): (&u64, &InFlight)| {
            let id = *id;
            intent.purpose.subjects().into_iter().map(move |subject| (subject, id))
        };
        in_flight.iter().flat_map(subjects).collect()
    }

    /// Returns the intents in flight that no block has ended yet, each with its id.
    pub(super) fn open_intents(&self) -> Vec<(u64, Intent)> {
        let in_flight = self.lock_in_flight();
        let open = in_flight.iter().filter(|(_, in_flight)| in_flight.ended_in.is_none());
        open.map(|(id, in_flight)| (*id, in_flight.intent.clone())).collect()
    }

    /// Learns from what became of an intent.
    pub(super) fn on_report(&self, report: &Report) {
        match report.outcome {
            Outcome::Sent { .. } => {}
            Outcome::Reorged => self.begin(report.id, &report.intent),
            Outcome::Mined(receipt) | Outcome::Reverted(receipt) => self.end(report, receipt.inclusion.block),
            _ => self.end(report, 0),
        }
        let (gate, head) = &mut *self.lock_gate();
        let (now, block) = head.map_or((0, 0), |head| (head.timestamp, head.number));
        if let Outcome::Dropped(DropReason::InsufficientFunds | DropReason::RejectedByNodes) = report.outcome {
            // Nodes would reject the same again; each time it is signed, journalled and broadcast.
            for subject in report.intent.purpose.subjects() {
                gate.record_failure(subject, FailureCause::Reverts, block);
            }
        }
        if gate.on_report(report, now, block) {
            self.record.send_replace(gate.record().clone());
        }
    }

    /// Takes an intent that ended in this block out of flight, as soon as that block is applied.
    fn end(&self, report: &Report, block: u64) {
        // The gate stays locked, so that the block cannot be applied in between.
        let gate = self.lock_gate();
        let is_applied = block <= gate.1.map_or(0, |head| head.number);
        let mut in_flight = self.lock_in_flight();
        if is_applied {
            in_flight.remove(&report.id);
        } else if let Some(in_flight) = in_flight.get_mut(&report.id) {
            in_flight.ended_in = Some(block);
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
        self.lock_in_flight().retain(|_, in_flight| in_flight.ended_in.is_none_or(|block| block > header.number));
    }

    /// Returns the number of the newest applied block, and 0 before the first.
    pub(super) fn head_number(&self) -> u64 {
        self.lock_gate().1.map_or(0, |head| head.number)
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
