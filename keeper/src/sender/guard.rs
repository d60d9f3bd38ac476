//! The gate of safety, as lanes and callers share it, with what it goes by: the newest block and the kill file.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use alloy::primitives::U256;
use tokio::sync::watch;
use tracing::error;

use super::{
    lane::stopped,
    outcome::{Outcome, Report},
};
use crate::{
    chain::Header,
    intent::Intent,
    safety::{Circumstances, Gate, Notebook, Record, Refusal, Subject},
};

/// A gate in its place.
#[derive(Debug)]
pub(super) struct Guard {
    gate: Mutex<(Gate, Option<Header>)>,
    in_flight: Mutex<HashMap<Subject, Flight>>,
    kill_file: Option<PathBuf>,
    /// Whoever writes records down takes the newest.
    record: watch::Sender<Record>,
}

/// Something is being done about a subject.
#[derive(Debug, Clone, Copy)]
struct Flight {
    /// By this intent.
    id: u64,
    /// It is done in this block, which is still to be applied: nodes know of it before whoever decides.
    landed: Option<u64>,
}

impl Guard {
    pub(super) fn new(gate: Gate, kill_file: Option<PathBuf>) -> Self {
        let record = watch::Sender::new(gate.record().clone());
        Self { gate: Mutex::new((gate, None)), in_flight: Mutex::default(), kill_file, record }
    }

    /// Looks for the kill file. A folder that cannot be read is no reason to send.
    pub(super) fn is_killed(&self) -> bool {
        self.kill_file.as_ref().is_some_and(|file| file.try_exists().unwrap_or(true))
    }

    pub(super) fn admit(&self, intent: &Intent, balance: Option<U256>) -> Result<(), Refusal> {
        let is_killed = self.is_killed();
        let (gate, head) = &*self.lock();
        let (now, block) = head.map_or((0, 0), |head| (head.timestamp, head.number));
        gate.admit(intent, &Circumstances { now, block, balance, is_killed })
    }

    /// Something is wanted, or was when the keeper ended.
    pub(super) fn begin(&self, id: u64, intent: &Intent) {
        let subjects = intent.purpose.subjects();
        self.flights().extend(subjects.into_iter().map(|subject| (subject, Flight { id, landed: None })));
    }

    /// What is being done about what, by id.
    pub(super) fn in_flight(&self) -> HashMap<Subject, u64> {
        self.flights().iter().map(|(subject, flight)| (*subject, flight.id)).collect()
    }

    /// Learns from what became of an intent.
    pub(super) fn note(&self, report: &Report) {
        match report.outcome {
            Outcome::Sent { .. } => {}
            Outcome::TakenBack => self.begin(report.id, &report.intent),
            Outcome::Mined(receipt) | Outcome::Reverted(receipt) => self.land(report, receipt.place.block),
            _ => self.land(report, 0),
        }
        let (gate, head) = &mut *self.lock();
        let (now, block) = head.map_or((0, 0), |head| (head.timestamp, head.number));
        if gate.note(report, now, block) {
            self.record.send_replace(gate.record().clone());
        }
    }

    /// What was wanted is over, in this block.
    fn land(&self, report: &Report, block: u64) {
        // Held on to, so that the block is not applied in between.
        let gate = self.lock();
        let is_applied = block <= gate.1.map_or(0, |head| head.number);
        let mut flights = self.flights();
        for subject in report.intent.purpose.subjects() {
            let Entry::Occupied(mut flight) = flights.entry(subject) else { continue };
            match flight.get().id == report.id {
                true if is_applied => drop(flight.remove()),
                true => flight.get_mut().landed = Some(block),
                false => {}
            }
        }
    }

    /// Asks or tells the gate something. `now` and the newest block come with it.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Gate, Option<Header>) -> T) -> T {
        let (gate, head) = &mut *self.lock();
        let before = gate.record().clone();
        let result = act(gate, *head);
        if before != *gate.record() {
            self.record.send_replace(gate.record().clone());
        }
        result
    }

    pub(super) fn set_head(&self, header: Header) {
        let (gate, head) = &mut *self.lock();
        gate.prune(header.number);
        *head = Some(header);
        self.flights().retain(|_, flight| flight.landed.is_none_or(|block| block > header.number));
    }

    /// The newest block's height.
    pub(super) fn block(&self) -> u64 {
        self.lock().1.map_or(0, |head| head.number)
    }

    pub(super) fn is_low(&self, balance: U256) -> bool {
        self.lock().0.is_low(balance)
    }

    /// Writes every change of the record down until it is stopped.
    pub(super) async fn keep<N: Notebook>(
        mut records: watch::Receiver<Record>,
        notebook: N,
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
            if let Err(error) = notebook.write(record).await {
                error!("{error}");
            }
        }
    }

    pub(super) fn records(&self) -> watch::Receiver<Record> {
        self.record.subscribe()
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Subject, Flight>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A panic elsewhere leaves a whole gate behind, so the lock's poison is no matter.
    fn lock(&self) -> MutexGuard<'_, (Gate, Option<Header>)> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
