//! The lease on the signers, where keepers share a journal: taken, renewed at a third of its term, and given up when it
//! cannot be renewed or when the keeper is cut off from the chain.

use std::{sync::Arc, time::Duration};

use alloy::primitives::Address;
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant, MissedTickBehavior},
};
use tracing::{error, info, warn};

use super::{
    admission::Admission,
    fleet::FleetStatus,
    journal::{Journal, JournalError, Lease},
    stopped,
};
use crate::{
    intent::{SenderAlert, SenderEvent},
    safety::SafetyStore,
};

/// Takes and renews the lease on all of a keeper's signers.
#[derive(Debug)]
pub(super) struct LeaseTask<J, S> {
    pub(super) journal: Arc<J>,
    pub(super) safety_store: Arc<S>,
    pub(super) admission: Arc<Admission>,
    /// Accounts of the signers.
    pub(super) signers: Vec<Address>,
    /// Term of a lease.
    pub(super) term: Duration,
    /// The lease that the keeper has, for the tasks of its signers.
    pub(super) lease: Arc<watch::Sender<Option<Lease>>>,
    /// Who else shares the journal.
    pub(super) fleet: watch::Sender<FleetStatus>,
    pub(super) events: mpsc::UnboundedSender<SenderEvent>,
}

impl<J: Journal, S: SafetyStore> LeaseTask<J, S> {
    /// Runs until it is told to stop and every signer's task has ended; then another keeper can take over at once. `lost`
    /// receives the number of a lease that a signer's task could not write under.
    pub(super) async fn run(self, mut lost: mpsc::UnboundedReceiver<i64>, mut stop: watch::Receiver<bool>) {
        let mut ticks = time::interval(self.term / 3);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewed_at = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(fence) = lost.recv() => {
                    if self.current().is_some_and(|lease| lease.fence == fence) {
                        self.give_up("it could not be written under");
                    }
                    continue;
                }
                _ = ticks.tick() => {}
            }
            let started = Instant::now();
            match self.journal.heartbeat(self.current(), self.admission.head_number()).await {
                Ok(status) => {
                    renewed_at = started;
                    let is_cut_off = status.is_cut_off();
                    self.fleet.send_replace(status);
                    match self.current() {
                        Some(lease) if is_cut_off => {
                            self.give_up("other keepers are blocks ahead: this one is cut off from the chain");
                            self.release(lease).await;
                        }
                        None if !is_cut_off && !self.signers.is_empty() => self.try_acquire().await,
                        _ => {}
                    }
                }
                Err(JournalError::Fenced) => self.give_up("another keeper has taken it over"),
                Err(problem) => {
                    warn!(%problem, "heartbeat failed");
                    self.fleet.send_modify(|fleet| fleet.is_reachable = false);
                    // By now the next attempt may come too late, and another keeper may take over then.
                    if renewed_at.elapsed() + self.term / 3 >= self.term && self.current().is_some() {
                        self.give_up("it could not be renewed");
                    }
                }
            }
        }
        // The tasks of the signers write to the end.
        while lost.recv().await.is_some() {}
        if let Some(lease) = self.current() {
            self.release(lease).await;
        }
        if let Err(problem) = self.journal.leave().await {
            warn!(%problem, "the other keepers were not told of the end: they miss this one");
        }
    }

    fn current(&self) -> Option<Lease> {
        *self.lease.borrow()
    }

    fn give_up(&self, reason: &str) {
        error!(reason, "lease on the signers given up");
        self.lease.send_replace(None);
        self.alert(SenderAlert::LeaseLost { reason: reason.to_owned() });
    }

    fn alert(&self, alert: SenderAlert) {
        // The receiver is gone only when the keeper is ending.
        self.events.send(SenderEvent::Alert(alert)).ok();
    }

    /// Name of the keeper that had the lease before, if it was not shut down.
    fn last_holder(&self) -> Option<String> {
        let fleet = self.fleet.borrow();
        let holders =
            fleet.leases.iter().filter(|lease| self.signers.contains(&lease.signer)).map(|lease| &lease.holder);
        let mut others = holders.filter_map(|holder| fleet.members.iter().find(|member| member.id == *holder));
        others.find(|member| !member.is_self).map(|member| member.name.clone())
    }

    /// Takes the lease if nobody has it, with the safety record that the last holder wrote.
    async fn try_acquire(&self) {
        match self.journal.acquire(&self.signers).await {
            Ok(Some(lease)) => match self.safety_store.read().await {
                Ok(record) => {
                    if lease.previous.is_none() {
                        self.admission.restore(record.unwrap_or_default());
                    }
                    info!(fence = lease.fence, "lease on the signers taken");
                    // Before the signers' tasks know of it, so before their reports.
                    self.events.send(SenderEvent::LeaseAcquired).ok();
                    self.lease.send_replace(Some(lease));
                    if let Some(from) = self.last_holder() {
                        self.alert(SenderAlert::LeaseTaken { from });
                    }
                }
                Err(problem) => {
                    error!(%problem, "lease on the signers not taken");
                    self.release(lease).await;
                }
            },
            Ok(None) => {}
            Err(problem) => warn!(%problem, "lease on the signers not taken"),
        }
    }

    async fn release(&self, lease: Lease) {
        if let Err(problem) = self.journal.release(lease).await {
            warn!(%problem, "lease on the signers not released: it expires");
        }
    }
}
