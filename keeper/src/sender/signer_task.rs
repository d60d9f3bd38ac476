//! The task of one signer: it carries out the effects of its core, and feeds it with what happens.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt, future, mem,
    sync::Arc,
    time::Duration,
};

use alloy::primitives::{Address, B256, Log, U256};
use plimsoll_chain::signer::TransactionSigner;
use plimsoll_contracts::quantity::decimal_text;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task, time,
};
use tracing::{Instrument, debug, error, info, info_span};

use super::{
    admission::Admission,
    core::{CancelRefusal, Core, CoreSettings, Effect, Event, SignedTransaction, UnsignedTransaction},
    fees::TxFees,
    journal::{Journal, JournalEntry, JournalError, Lease},
    nodes::{FetchedStatus, Nodes, begin},
    sign::sign,
    standby::claim_end,
    stopped,
};
use crate::{
    chain::Header,
    intent::{DropReason, Fees, Inclusion, Intent, Outcome, Purpose, Report, SenderAlert, SenderEvent},
    record::{self, Stage},
};

/// Maximum number of commands that are processed together.
const MAX_COMMANDS_AT_ONCE: usize = 64;

/// Idle time after which deferred entries are written: transactions that are decided on a block are not delayed by the
/// outcomes of earlier ones.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// Number of tasks that a request passes, one after the other: one knows what was asked, one writes to the socket.
const TASKS_OF_CONNECTION: usize = 2;

/// Decimals of a gas price in gwei.
const GWEI_DECIMALS: u8 = 9;

/// A command to the task.
#[derive(Debug)]
pub(super) enum Command {
    /// Execute this intent, which has this id.
    Submit(u64, Box<Intent>),
    /// The chain has a new head, as of which the intents with these ids are obsolete.
    Block(Header, Vec<u64>),
    /// Put sending on hold (`true`), or allow it again (`false`).
    Hold(bool),
    /// Cancel the pending transaction with this nonce, and respond with the cancellation or why there is none.
    Cancel(u64, oneshot::Sender<Result<Cancellation, CancelRefusal>>),
}

/// A cancellation that the operator ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    /// Id of the intent that it gives up.
    pub intent: u64,
    /// Account that signed it.
    pub signer: Address,
    /// Nonce that it uses up.
    pub nonce: u64,
    /// Hash of the transaction that it replaces.
    pub replaced: B256,
    /// Its hash.
    pub hash: B256,
    /// Fees that it offers.
    pub fees: Fees,
}

impl fmt::Display for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signer, nonce, replaced, hash, fees, .. } = self;
        let gwei = decimal_text(U256::from(fees.max_fee_per_gas), GWEI_DECIMALS);
        write!(f, "nonce {nonce} of {signer}: {replaced} is replaced by the cancellation {hash} at up to {gwei} gwei")
    }
}

/// What the task does next.
#[derive(Debug)]
enum Job {
    Event(Event),
    Cancel(u64, oneshot::Sender<Result<Cancellation, CancelRefusal>>),
}

/// The state of one signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerStatus {
    /// Account that signs.
    pub signer: Address,
    /// Balance in wei when it was last read, which is whenever a transaction is pending.
    pub balance: Option<U256>,
    /// Nonce of its next new transaction.
    pub next_nonce: u64,
    /// Pending transactions, by nonce.
    pub pending: Vec<PendingTransaction>,
    /// Number of intents that wait for a nonce.
    pub queued: usize,
    /// Whether it stopped sending because its journal cannot be written.
    pub has_failed: bool,
    /// Whether it sends nothing because the keeper has no lease on it.
    pub is_standby: bool,
}

/// A pending transaction and the intent that it executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingTransaction {
    /// Id of the intent.
    pub id: u64,
    /// Nonce that the intent holds.
    pub nonce: u64,
    /// What the intent is meant to achieve.
    pub purpose: Purpose,
    /// Hash of the newest attempt.
    pub hash: B256,
    /// Fees that the newest attempt offers.
    pub fees: Fees,
    /// Number of transactions that were signed for the intent.
    pub attempts: usize,
    /// Number of the newest block when the first of them was signed.
    pub since_block: u64,
}

/// The task of one signer, with everything that it needs.
#[derive(Debug)]
pub(super) struct SignerTask<J> {
    pub(super) core: Core,
    pub(super) signer: TransactionSigner,
    pub(super) chain_id: u64,
    pub(super) style: TxFees,
    pub(super) journal: Arc<J>,
    pub(super) nodes: Arc<Nodes>,
    pub(super) admission: Arc<Admission>,
    pub(super) events: mpsc::UnboundedSender<SenderEvent>,
    pub(super) status: watch::Sender<SignerStatus>,
    /// Entries whose write was deferred, by id. What they say can be found out from the chain again.
    pub(super) deferred: BTreeMap<u64, JournalEntry>,
    /// Whether the operator knows that its signer does not sign.
    pub(super) sign_alerted: bool,
    /// Events of the transactions that the response that is being processed reports as mined, by hash.
    pub(super) logs: HashMap<B256, Vec<Log>>,
    /// How the core sends, and whether it starts at the chain's nonce: for a core that takes over.
    pub(super) core_settings: CoreSettings,
    pub(super) adopt_nonce: bool,
    /// The lease that the keeper has on its signers.
    pub(super) leases: watch::Receiver<Option<Lease>>,
    /// The lease under which the core was recovered; `None` in standby.
    pub(super) lease: Option<Lease>,
    /// Number of the last lease under which the core was recovered.
    pub(super) last_fence: Option<i64>,
    /// Whether the operator knows that the signer cannot be taken over.
    pub(super) take_over_alerted: bool,
    /// Receives the number of a lease that could not be written under.
    pub(super) lost: mpsc::UnboundedSender<i64>,
    /// Whether keepers share the journal, so that subjects are claimed before anything is sent for them.
    pub(super) is_shared: bool,
    /// Claims to end with the next write: ids of intents, and the block that ended each.
    pub(super) ended: Vec<(u64, Option<u64>)>,
    /// What the core learns first when it takes over: the newest block of the time in standby, and whether sending is on hold.
    pub(super) initial: Vec<Event>,
}

/// Why a task stopped to be active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The keeper is ending.
    Stopped,
    /// The lease is lost.
    LeaseLost,
}

/// What a node responded to a request that ran in the background.
#[derive(Debug)]
struct NodeResponse {
    event: Event,
    /// Events of mined transactions, by hash.
    logs: HashMap<B256, Vec<Log>>,
}

impl<J: Journal> SignerTask<J> {
    /// Runs until it is told to stop, always between two events, or until every handle that could command it is dropped: in
    /// standby while the keeper has no lease, and active while it has.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>, mut stop: watch::Receiver<bool>) {
        loop {
            if self.lease.is_some() && self.run_active(&mut commands, &mut stop).await == Ended::Stopped {
                return;
            }
            if self.stand_by(&mut commands, &mut stop).await == Ended::Stopped {
                return;
            }
        }
    }

    /// Carries out commands and follows transactions, until the lease is lost.
    async fn run_active(
        &mut self,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        stop: &mut watch::Receiver<bool>,
    ) -> Ended {
        let (responses, mut responded) = mpsc::unbounded_channel();
        let mut ready = Vec::new();
        let mut leases = self.leases.clone();
        for event in mem::take(&mut self.initial) {
            self.process_event(event, &responses).await;
        }
        while self.lease.is_some() {
            let lease = self.lease;
            tokio::select! {
                biased;
                () = stopped(stop) => {
                    // Entries that cannot be written any more are found out again at the next start.
                    let _ = self.write_deferred().await;
                    return Ended::Stopped;
                }
                () = lost(&mut leases, lease) => self.lose_lease(),
                count = commands.recv_many(&mut ready, MAX_COMMANDS_AT_ONCE) => {
                    if count == 0 {
                        return Ended::Stopped;
                    }
                    for job in jobs(ready.drain(..)) {
                        match job {
                            Job::Event(event) => {
                                let event = self.claim(event).await;
                                self.process_event(event, &responses).await;
                            }
                            Job::Cancel(nonce, respond) => {
                                // Who ordered it may be gone; it is done all the same.
                                respond.send(self.cancel(nonce, &responses).await).ok();
                            }
                        }
                    }
                }
                Some(response) = responded.recv() => {
                    if let Event::ChainStatus(status) = &response.event {
                        let balance = status.balance;
                        self.status.send_modify(|status| status.balance = Some(balance));
                    }
                    self.logs = response.logs;
                    self.process_event(response.event, &responses).await;
                    self.logs.clear();
                }
                () = time::sleep(FLUSH_INTERVAL), if !self.deferred.is_empty() || !self.ended.is_empty() => {
                    if let Some(failure) = self.write_deferred().await {
                        self.process_event(failure, &responses).await;
                    }
                }
            }
        }
        Ended::LeaseLost
    }

    /// Feeds the core with an event, and carries out the effects in order.
    async fn process_event(&mut self, event: Event, responses: &mpsc::UnboundedSender<NodeResponse>) {
        if self.lease.is_none() {
            return self.decline(event);
        }
        let is_block = matches!(event, Event::Block(_));
        let effects = self.core.handle(event);
        let reads_balance = self.carry_out_all(effects, responses).await;
        let balance = self.status.borrow().balance;
        let is_low = balance.is_some_and(|balance| self.admission.is_balance_low(balance));
        if is_block && !reads_balance && (is_low || self.core.wants_balance()) {
            // With nothing pending and nothing to be sent, only this notices that the signer was funded.
            self.fetch_status(Vec::new(), responses);
        }
        self.publish_status();
    }

    /// Drops what was submitted after the lease was lost.
    fn decline(&mut self, event: Event) {
        if let Event::Submit(intents) = event {
            intents.into_iter().for_each(|(id, intent)| self.report_drop(id, intent, DropReason::LeaseLost));
        }
    }

    /// Replaces the pending transaction with a nonce by a cancellation, which is journalled before it is broadcast, like
    /// every transaction.
    async fn cancel(
        &mut self,
        nonce: u64,
        responses: &mpsc::UnboundedSender<NodeResponse>,
    ) -> Result<Cancellation, CancelRefusal> {
        let newest = |core: &Core| {
            let entry = core.pending().find(|entry| entry.nonce == nonce)?;
            entry.attempts.last().map(|attempt| (entry.id, attempt.hash, attempt.fees))
        };
        if self.lease.is_none() {
            return Err(CancelRefusal::Standby);
        }
        let replaced = newest(&self.core);
        let effects = self.core.order_cancellation(nonce)?;
        self.carry_out_all(effects, responses).await;
        self.publish_status();
        if self.lease.is_none() {
            return Err(CancelRefusal::Standby);
        }
        if self.core.has_failed() {
            return Err(CancelRefusal::JournalFailed);
        }
        let signed = replaced.zip(newest(&self.core)).filter(|((_, before, _), (_, now, _))| before != now);
        let Some(((intent, replaced, _), (_, hash, fees))) = signed else {
            return Err(CancelRefusal::NotSigned { signer: self.signer.address() });
        };
        info!(nonce, %replaced, %hash, "transaction cancelled by the operator");
        Ok(Cancellation { intent, signer: self.signer.address(), nonce, replaced, hash, fees })
    }

    /// Carries out effects in order, and those of the events that they result in. Returns whether the balance is read.
    async fn carry_out_all(
        &mut self,
        mut effects: Vec<Effect>,
        responses: &mpsc::UnboundedSender<NodeResponse>,
    ) -> bool {
        let (mut events, mut reads_balance) = (VecDeque::new(), false);
        loop {
            let mut left = effects.into_iter();
            while let Some(effect) = left.next() {
                reads_balance |= matches!(effect, Effect::FetchReceipts(_));
                let next = self.carry_out(effect, responses).await;
                if self.lease.is_none() {
                    // What was not journalled must not be broadcast, and nothing else is this keeper's to do any more.
                    self.report_ends(left);
                    return reads_balance;
                }
                if let Some(next) = next {
                    let has_failed = matches!(next, Event::JournalFailed);
                    events.push_back(next);
                    if has_failed {
                        // The effects after one that failed must not happen.
                        self.report_ends(left);
                        break;
                    }
                }
            }
            let Some(event) = events.pop_front() else { return reads_balance };
            effects = self.core.handle(event);
        }
    }

    /// Carries out one effect. Returns an event that it results in at once.
    async fn carry_out(&mut self, effect: Effect, responses: &mpsc::UnboundedSender<NodeResponse>) -> Option<Event> {
        match effect {
            Effect::Sign(transactions) => return Some(Event::Signed(self.sign(transactions).await)),
            Effect::WriteJournal(entries) => {
                self.defer_write(entries);
                let _timer = record::stage(Stage::Journal);
                return self.write_entries().await;
            }
            Effect::DeferWrite(entries) => self.defer_write(entries),
            Effect::Broadcast { nonce, hash, raw, route } => {
                debug!(nonce, %hash, ?route, "transaction broadcast");
                let (nodes, responses) = (Arc::clone(&self.nodes), responses.clone());
                let broadcast = async move {
                    let timer = record::stage(Stage::Broadcast);
                    let result = nodes.broadcast(route, raw).await;
                    drop(timer);
                    // A task that has stopped broadcasts again when it starts.
                    let event = Event::BroadcastResult { nonce, hash, result };
                    responses.send(NodeResponse { event, logs: HashMap::new() }).ok();
                };
                begin(broadcast.instrument(info_span!("broadcast", nonce, %hash))).await;
                // The tasks of the connections write the requests before anything else is done here, such as logging.
                for _ in 0..TASKS_OF_CONNECTION {
                    task::yield_now().await;
                }
            }
            Effect::WithdrawBundle { block, intent } => {
                debug!(block, intent, "bundle withdrawn");
                let nodes = Arc::clone(&self.nodes);
                tokio::spawn(async move { nodes.withdraw_bundle(block, intent).await }.in_current_span());
            }
            Effect::FetchReceipts(hashes) => self.fetch_status(hashes, responses),
            Effect::Report(mut report) => {
                if let Outcome::Mined(receipt) = &report.outcome {
                    report.logs = self.logs.remove(&receipt.inclusion.hash).unwrap_or_default();
                }
                if self.is_shared
                    && let Some(block) = claim_end(&report.outcome)
                {
                    self.ended.push((report.id, block));
                }
                self.report(report);
            }
            Effect::Alert(alert) => {
                error!(%alert, "sender alert");
                self.events.send(SenderEvent::Alert(alert)).ok();
            }
        }
        None
    }

    /// Reports the ends of intents among effects that are not carried out: the core says each once, and without a report
    /// nothing would be decided for its subjects any more.
    fn report_ends(&self, effects: impl Iterator<Item = Effect>) {
        for effect in effects {
            match effect {
                Effect::Report(report) if !matches!(report.outcome, Outcome::Sent { .. }) => self.report(report),
                _ => {}
            }
        }
    }

    pub(super) fn report(&self, report: Box<Report>) {
        if self.admission.on_report(&report) {
            log_report(&report);
        }
        // Receivers of the report look at the status.
        self.publish_status();
        self.events.send(SenderEvent::Report(report)).ok();
    }

    /// Signs transactions, and leaves those out that are not signed. The operator is alerted to the first of them.
    async fn sign(&mut self, transactions: Vec<UnsignedTransaction>) -> Vec<SignedTransaction> {
        let mut signed = Vec::new();
        for unsigned in transactions {
            match sign(&self.signer, self.chain_id, self.style, unsigned).await {
                Ok(transaction) => {
                    self.sign_alerted = false;
                    signed.push(transaction);
                }
                Err(error) => {
                    error!(%error, "transaction not signed");
                    if !mem::replace(&mut self.sign_alerted, true) {
                        let alert =
                            SenderAlert::NotSigned { signer: self.signer.address(), problem: error.to_string() };
                        self.events.send(SenderEvent::Alert(alert)).ok();
                    }
                }
            }
        }
        signed
    }

    /// Keeps the newest version of each entry until it is written.
    fn defer_write(&mut self, entries: Vec<JournalEntry>) {
        self.deferred.extend(entries.into_iter().map(|entry| (entry.id, entry)));
    }

    /// Writes all deferred entries, and ends the claims of intents that have ended. Returns an event if the journal has failed;
    /// the lease is lost if nothing can be written under it.
    async fn write_deferred(&mut self) -> Option<Event> {
        let failure = self.write_entries().await;
        if failure.is_some() || self.lease.is_none() || self.ended.is_empty() {
            return failure;
        }
        // The claims of a keeper that ends before they are written end at their deadline.
        let ended = mem::take(&mut self.ended);
        let error = self.journal.end_claims(self.signer.address(), ended).await.err()?;
        self.not_written(&error)
    }

    /// Writes all deferred entries. What a transaction waits for is this alone: claims of others can end later.
    async fn write_entries(&mut self) -> Option<Event> {
        let lease = self.lease?;
        let entries = mem::take(&mut self.deferred).into_values().collect();
        let error = self.journal.record(lease, entries).await.err()?;
        self.not_written(&error)
    }

    fn not_written(&mut self, error: &JournalError) -> Option<Event> {
        error!(%error, "journal not written");
        if matches!(error, JournalError::Failed { .. }) {
            return Some(Event::JournalFailed);
        }
        self.lose_lease();
        None
    }

    /// Asks a node in the background for nonce, balance and these receipts.
    fn fetch_status(&self, hashes: Vec<B256>, responses: &mpsc::UnboundedSender<NodeResponse>) {
        let (nodes, responses) = (Arc::clone(&self.nodes), responses.clone());
        let (signer, block) = (self.signer.address(), self.admission.head_number());
        let fetch = async move {
            // If no node answers, the next block asks again.
            if let Some(FetchedStatus { status, logs }) = nodes.fetch_status(signer, &hashes, block).await {
                responses.send(NodeResponse { event: Event::ChainStatus(status), logs }).ok();
            }
        };
        tokio::spawn(fetch.in_current_span());
    }

    pub(super) fn publish_status(&self) {
        let (signer, is_standby) = (self.signer.address(), self.lease.is_none());
        self.status.send_modify(|status| *status = SignerStatus::of(&self.core, signer, status.balance, is_standby));
    }
}

impl SignerStatus {
    pub(super) fn of(core: &Core, signer: Address, balance: Option<U256>, is_standby: bool) -> Self {
        let pending = core.pending().filter(|_| !is_standby).filter_map(|entry| {
            let (first, newest) = (entry.attempts.first()?, entry.attempts.last()?);
            Some(PendingTransaction {
                id: entry.id,
                nonce: entry.nonce,
                purpose: entry.intent.purpose.clone(),
                hash: newest.hash,
                fees: newest.fees,
                attempts: entry.attempts.len(),
                since_block: first.block,
            })
        });
        Self {
            signer,
            balance,
            next_nonce: core.next_nonce(),
            pending: pending.collect(),
            queued: core.queued(),
            has_failed: core.has_failed(),
            is_standby,
        }
    }
}

/// Waits until the keeper has another lease than this, or none.
async fn lost(leases: &mut watch::Receiver<Option<Lease>>, lease: Option<Lease>) {
    if leases.wait_for(|current| *current != lease).await.is_err() {
        // The sender's other end lives as long as the keeper.
        future::pending().await
    }
}

/// Turns commands into what is to be done. Intents that were submitted together are signed and written together.
fn jobs(commands: impl Iterator<Item = Command>) -> Vec<Job> {
    let mut jobs = Vec::new();
    for command in commands {
        match (command, jobs.last_mut()) {
            (Command::Submit(id, intent), Some(Job::Event(Event::Submit(intents)))) => intents.push((id, *intent)),
            (Command::Submit(id, intent), _) => jobs.push(Job::Event(Event::Submit(vec![(id, *intent)]))),
            (Command::Block(header, obsolete), _) => {
                jobs.push(Job::Event(Event::Block(header)));
                if !obsolete.is_empty() {
                    jobs.push(Job::Event(Event::Obsolete(obsolete)));
                }
            }
            (Command::Hold(is_on_hold), _) => jobs.push(Job::Event(Event::Hold(is_on_hold))),
            (Command::Cancel(nonce, respond), _) => jobs.push(Job::Cancel(nonce, respond)),
        }
    }
    jobs
}

/// Logs what happened to an intent, with a fixed message for each outcome.
fn log_report(report: &Report) {
    let intent = report.id;
    match &report.outcome {
        Outcome::Sent { nonce, hash, fees: Fees { max_fee_per_gas, max_priority_fee_per_gas } } => {
            info!(intent, nonce, %hash, max_fee_per_gas, max_priority_fee_per_gas, "transaction sent");
        }
        Outcome::Mined(receipt) => {
            let Inclusion { hash, block, .. } = receipt.inclusion;
            info!(intent, %hash, block, fee_wei = %receipt.fee(), "transaction mined");
        }
        Outcome::Reverted(receipt) => {
            let Inclusion { hash, block, .. } = receipt.inclusion;
            info!(intent, %hash, block, fee_wei = %receipt.fee(), "transaction reverted");
        }
        Outcome::Cancelled(receipt) => {
            let Inclusion { hash, block, .. } = receipt.inclusion;
            info!(intent, %hash, block, fee_wei = %receipt.fee(), "transaction cancelled");
        }
        Outcome::Reorged => info!(intent, "transaction reorged"),
        Outcome::Replaced { by } => info!(intent, by, "transaction replaced"),
        Outcome::Dropped(reason) => info!(intent, %reason, "intent dropped"),
        Outcome::Refused(reason) => info!(intent, %reason, "intent refused"),
        Outcome::NonceUsedByOther { nonce } => info!(intent, nonce, "nonce used by another program"),
        Outcome::Lost { nonce } => info!(intent, nonce, "nonce lost"),
    }
}
