//! A signer's task where keepers share the journal: standby, take-over, the loss of a lease, and claims.

use std::{mem, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time,
};
use tracing::{error, info};

use super::{
    core::{CancelRefusal, Core, Event},
    journal::{Claim, Journal, Lease},
    signer_task::{Command, Ended, SignerTask},
    stopped,
};
use crate::intent::{DropReason, Intent, Outcome, Report, SenderAlert, SenderEvent};

/// Pause after a take-over that failed, before the next attempt.
const TAKE_OVER_INTERVAL: Duration = Duration::from_secs(1);

impl<J: Journal> SignerTask<J> {
    /// Declines everything until the keeper has a lease and the signer is taken over.
    pub(super) async fn stand_by(
        &mut self,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        stop: &mut watch::Receiver<bool>,
    ) -> Ended {
        self.publish_status();
        let mut leases = self.leases.clone();
        let (mut head, mut is_on_hold) = (None, false);
        let mut attempt_at = time::Instant::now();
        while self.lease.is_none() {
            let take_over = async {
                let lease = leases.wait_for(Option::is_some).await.ok().and_then(|lease| *lease);
                time::sleep_until(attempt_at).await;
                lease
            };
            tokio::select! {
                biased;
                () = stopped(stop) => return Ended::Stopped,
                command = commands.recv() => match command {
                    None => return Ended::Stopped,
                    Some(Command::Submit(id, intent)) => self.report_drop(id, *intent, DropReason::Standby),
                    Some(Command::Block(header, _)) => head = Some(header),
                    Some(Command::Hold(hold)) => is_on_hold = hold,
                    Some(Command::Cancel(_, respond)) => {
                        respond.send(Err(CancelRefusal::Standby)).ok();
                    }
                },
                Some(lease) = take_over => {
                    match self.take_over(lease).await {
                        Ok(()) => info!(fence = lease.fence, pending = self.core.pending().count(), "signer taken over"),
                        Err(problem) => {
                            error!(problem, "signer not taken over");
                            self.alert_not_taken_over(problem);
                            attempt_at = time::Instant::now() + TAKE_OVER_INTERVAL;
                        }
                    }
                }
            }
        }
        // What is pending is rebroadcast with the newest block, as it is with every block.
        self.initial = [Event::Hold(is_on_hold)].into_iter().chain(head.map(Event::Block)).collect();
        Ended::LeaseLost
    }

    /// Recovers the signer from the journal and the chain, under a lease. Entries that this keeper wrote under the lease
    /// before are written again first, where nobody else has had one since: a database that failed over to a replica may have
    /// lost the last of them.
    async fn take_over(&mut self, lease: Lease) -> Result<(), String> {
        let signer = self.signer.address();
        let account = self.nodes.account_state(signer).await.map_err(|error| error.to_string())?;
        if account.chain_id != self.chain_id {
            return Err(format!("the node is on chain {}, and the keeper is for {}", account.chain_id, self.chain_id));
        }
        // A lower number than that of the last lease is of a database that has lost what followed.
        let is_own = lease.previous.zip(self.last_fence).is_some_and(|(previous, last)| previous <= last);
        if is_own {
            let mut known = self.deferred.clone();
            known.extend(self.core.entries().map(|entry| (entry.id, entry.clone())));
            self.journal.record(lease, known.into_values().collect()).await.map_err(|error| error.to_string())?;
        }
        let recovered = self.journal.recover(signer).await.map_err(|error| error.to_string())?;
        let (settings, adopts) = (self.core_settings.clone(), self.adopt_nonce || is_own);
        let mut core = Core::recover(signer, settings, recovered, account.nonce, account.has_code, adopts)
            .map_err(|error| error.to_string())?;
        core.set_balance(account.balance);
        core.pending().for_each(|entry| self.admission.begin(entry.id, &entry.intent));
        (self.core, self.lease, self.last_fence) = (core, Some(lease), Some(lease.fence));
        self.deferred.clear();
        self.take_over_alerted = false;
        self.status.send_modify(|status| status.balance = Some(account.balance));
        self.publish_status();
        Ok(())
    }

    /// Alerts the operator of a take-over that failed, once for each lease.
    fn alert_not_taken_over(&mut self, problem: String) {
        if !mem::replace(&mut self.take_over_alerted, true) {
            let alert = SenderAlert::NotTakenOver { signer: self.signer.address(), problem };
            self.events.send(SenderEvent::Alert(alert)).ok();
        }
    }

    /// Ends to be active: nothing more is journalled or broadcast. What is pending is its next holder's to follow.
    pub(super) fn lose_lease(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        self.lost.send(lease.fence).ok();
        self.ended.clear();
        for (id, intent) in self.core.open_intents() {
            self.report_drop(id, intent, DropReason::LeaseLost);
        }
    }

    pub(super) fn report_drop(&mut self, id: u64, intent: Intent, reason: DropReason) {
        let (signer, outcome) = (self.signer.address(), Outcome::Dropped(reason));
        self.report(Box::new(Report { id, signer, intent, outcome, logs: Vec::new() }));
    }

    /// Claims the subjects of intents that were submitted, and drops those of which another keeper has a subject.
    pub(super) async fn claim(&mut self, event: Event) -> Event {
        let (Event::Submit(intents), Some(lease), true) = (&event, self.lease, self.is_shared) else { return event };
        let claim = |(id, intent): &(u64, Intent)| {
            let (intent_id, deadline) = (*id, intent.deadline);
            let subjects = intent.purpose.subjects().into_iter();
            subjects.map(move |subject| Claim { subject: format!("{subject:?}"), intent: intent_id, deadline })
        };
        let claims = intents.iter().flat_map(claim).collect();
        let head = self.admission.head().map_or((0, 0), |head| (head.number, head.timestamp));
        match self.journal.claim(lease, self.signer.address(), claims, head).await {
            Ok(held) if held.is_empty() => event,
            Ok(held) => {
                let Event::Submit(intents) = event else { return event };
                let (held, granted): (Vec<_>, Vec<_>) = intents.into_iter().partition(|(id, _)| held.contains(id));
                for (id, intent) in held {
                    // Of an intent with several subjects some may have been granted.
                    self.ended.push((id, Some(0)));
                    self.report_drop(id, intent, DropReason::HeldByPeer);
                }
                Event::Submit(granted)
            }
            Err(problem) => {
                error!(%problem, "subjects not claimed");
                let Event::Submit(intents) = event else { return event };
                self.lose_lease();
                intents.into_iter().for_each(|(id, intent)| self.report_drop(id, intent, DropReason::LeaseLost));
                Event::Submit(Vec::new())
            }
        }
    }
}

/// Returns the block with which an intent of this outcome leaves its subjects to others: 0 for at once, `None` inside for not
/// any more. `None` where that does not change.
pub(super) const fn claim_end(outcome: &Outcome) -> Option<Option<u64>> {
    match outcome {
        Outcome::Sent { .. } => None,
        Outcome::Reorged => Some(None),
        Outcome::Mined(receipt) | Outcome::Reverted(receipt) | Outcome::Cancelled(receipt) => {
            Some(Some(receipt.inclusion.block))
        }
        Outcome::Replaced { .. }
        | Outcome::Dropped(_)
        | Outcome::Refused(_)
        | Outcome::NonceUsedByOther { .. }
        | Outcome::Lost { .. } => Some(Some(0)),
    }
}
