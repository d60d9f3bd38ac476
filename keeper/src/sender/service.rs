//! The sender as the rest of the keeper sees it: intents go in, events come out.
//!
//! Each signer has a task of its own, on the sender's thread. Between `submit` and broadcast an intent waits for one signature
//! and one write to the journal; a node that stalls delays nothing. While no transaction is pending, a block costs no
//! request.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy::{
    primitives::{Address, U256},
    signers::local::PrivateKeySigner,
};
use plimsoll_chain::{error::ChainError, signer::TransactionSigner};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tracing::{Instrument, info_span};

use super::{
    admission::Admission,
    core::{CancelRefusal, Core, CoreSettings, RecoverError},
    fleet::FleetStatus,
    journal::{Journal, JournalError, Lease},
    lease::LeaseTask,
    lock::{LockError, SignerLock},
    nodes::Nodes,
    signer_task::{Cancellation, Command, SignerStatus, SignerTask},
    thread::SenderThread,
};
use crate::{
    chain::Header,
    intent::{DropReason, Intent, Outcome, Priority, Report, SenderEvent, Subject},
    safety::{BackOff, FailureCause, Gate, SafetySettings, SafetyStore, SafetyStoreError},
};

/// How a sender works.
#[derive(Debug, Clone)]
pub struct SenderSettings {
    /// Chain id, which every signature contains.
    pub chain_id: u64,
    /// How transactions are sent.
    pub core: CoreSettings,
    /// When transactions are refused.
    pub safety: SafetySettings,
    /// While this file exists nothing is sent: new intents are refused, and pending transactions are left as they are.
    pub kill_file: Option<PathBuf>,
    /// Whether to start even if journal and chain do not agree on the next nonce.
    pub adopt_nonce: bool,
    /// Folder of the signers' lock files; `None` for the user's own.
    pub lock_folder: Option<PathBuf>,
}

/// What signs, by priority of the intents. If there is only one, it signs everything.
#[derive(Debug, Clone, Default)]
pub struct Signers {
    /// Signer of intents of high priority.
    pub high_priority: Option<TransactionSigner>,
    /// Signer of intents of low priority.
    pub low_priority: Option<TransactionSigner>,
    /// Key by which relays know the keeper. It signs no transaction.
    pub relays: Option<PrivateKeySigner>,
}

/// The sender cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No node answers.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The node is on another chain.
    #[error("the node is on chain {found}, and the keeper is for chain {expected}; correct the endpoint or the record")]
    WrongChain {
        /// Chain id of the settings.
        expected: u64,
        /// Chain id of the node.
        found: u64,
    },
    /// Another keeper on this machine uses the key, or it cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Journal and chain do not agree on the next nonce.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The safety record cannot be read.
    #[error(transparent)]
    SafetyStore(#[from] SafetyStoreError),
    /// The sender gets no thread.
    #[error("the sender's thread cannot be started: {0}")]
    Thread(#[source] io::Error),
}

/// Why no transaction was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// The signer refuses.
    #[error(transparent)]
    Refused(#[from] CancelRefusal),
    /// No signer has this account.
    #[error("{account} is no signer of this keeper; {}", listed(.signers))]
    UnknownAccount {
        /// The account.
        account: Address,
        /// The accounts that sign.
        signers: Vec<Address>,
    },
    /// More than one signer has a pending transaction with the nonce.
    #[error("more than one signer has a pending transaction with nonce {nonce}: say which with --account; {}", listed(.signers))]
    Ambiguous {
        /// The nonce.
        nonce: u64,
        /// The accounts.
        signers: Vec<Address>,
    },
    /// Nothing signs.
    #[error("nothing is signed here: it is a dry run, or [signers] names no key")]
    NoSigner,
    /// The keeper is ending.
    #[error("the keeper is ending")]
    Stopped,
}

fn listed(accounts: &[Address]) -> String {
    let accounts: Vec<_> = accounts.iter().map(Address::to_string).collect();
    format!("signers are {}", accounts.join(" and "))
}

/// Handle of a running sender. Clones command the same sender.
#[derive(Debug, Clone)]
pub struct SenderHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    signers: Vec<SignerHandle>,
    admission: Arc<Admission>,
    events: mpsc::UnboundedSender<SenderEvent>,
    next_id: AtomicU64,
    /// Who else shares the journal; `None` where nobody can.
    fleet: Option<watch::Receiver<FleetStatus>>,
}

/// Handle of one signer's task.
#[derive(Debug)]
struct SignerHandle {
    signer: Address,
    priorities: Vec<Priority>,
    commands: mpsc::UnboundedSender<Command>,
    status: watch::Receiver<SignerStatus>,
}

/// The sender's tasks, and the locks on its keys.
#[derive(Debug)]
pub struct SenderTasks {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    /// Kept while the tasks of the signers watch it.
    _lease: Arc<watch::Sender<Option<Lease>>>,
    _locks: Vec<SignerLock>,
    /// Where they run. Dropped after them.
    _thread: SenderThread,
}

/// Starts a sender: locks the keys, reads the journal, and compares it with the chain. Nothing is sent before the first
/// block. A dry run needs no key and uses none.
///
/// Fails if a key is in use, if no node answers or it is on another chain, if journal or safety record cannot be read,
/// or if journal and chain do not agree.
pub async fn start<J: Journal, S: SafetyStore>(
    settings: SenderSettings,
    signers: Signers,
    nodes: Nodes,
    journal: J,
    safety_store: S,
) -> Result<(SenderHandle, mpsc::UnboundedReceiver<SenderEvent>, SenderTasks), StartError> {
    let record = safety_store.read().await?.unwrap_or_default();
    let is_live = settings.safety.is_live;
    let admission = Arc::new(Admission::new(Gate::new(settings.safety.clone(), record), settings.kill_file.clone()));
    let (events, receiver) = mpsc::unbounded_channel();
    let (journal, nodes, safety_store) = (Arc::new(journal), Arc::new(nodes), Arc::new(safety_store));
    let lease_term = journal.lease_term();
    let mut locks = Vec::new();
    let mut recovered_signers = Vec::new();
    // No task starts before every signer is known to be able to.
    for (signer, priorities) in signers.by_key().into_iter().filter(|_| is_live) {
        let address = signer.address();
        let folder = settings.lock_folder.as_deref();
        let (core, balance) = if lease_term.is_some() {
            locks.push(SignerLock::share(folder, settings.chain_id, address)?);
            // Its task takes over what the journal has, once the keeper has a lease.
            (Core::idle(address, settings.core.clone()), None)
        } else {
            locks.push(SignerLock::take(folder, settings.chain_id, address)?);
            let (core, balance) = recover(&settings, address, &nodes, journal.as_ref()).await?;
            (core, Some(balance))
        };
        recovered_signers.push((core, signer, priorities, balance));
    }
    let next_id = AtomicU64::new(journal.next_id().await?);
    let thread = SenderThread::start().map_err(StartError::Thread)?;
    let (mut tasks, runtime) = (JoinSet::new(), thread.runtime());
    let stop = watch::Sender::new(false);
    tasks.spawn_on(Admission::persist(admission.records(), Arc::clone(&safety_store), stop.subscribe()), runtime);
    if is_live {
        tasks.spawn_on(Arc::clone(&nodes).keep_warm(stop.subscribe()), runtime);
    }
    let exclusive = lease_term.is_none().then_some(Lease::EXCLUSIVE);
    let lease = watch::Sender::new(exclusive);
    let (lost, losses) = mpsc::unbounded_channel();
    let addresses = recovered_signers.iter().map(|(_, signer, ..)| signer.address()).collect();
    let handles = recovered_signers.into_iter().map(|(core, signer, priorities, balance)| {
        let (commands, command_receiver) = mpsc::unbounded_channel();
        let address = signer.address();
        core.pending().for_each(|entry| admission.begin(entry.id, &entry.intent));
        let status = watch::Sender::new(SignerStatus::of(&core, address, balance, exclusive.is_none()));
        let handle = SignerHandle { signer: address, priorities, commands, status: status.subscribe() };
        let task = SignerTask {
            core,
            signer,
            chain_id: settings.chain_id,
            style: settings.core.fees.style,
            journal: Arc::clone(&journal),
            nodes: Arc::clone(&nodes),
            admission: Arc::clone(&admission),
            events: events.clone(),
            status,
            deferred: BTreeMap::new(),
            sign_alerted: false,
            logs: HashMap::new(),
            core_settings: settings.core.clone(),
            adopt_nonce: settings.adopt_nonce,
            leases: lease.subscribe(),
            lease: exclusive,
            last_fence: None,
            take_over_alerted: false,
            lost: lost.clone(),
            is_shared: lease_term.is_some(),
            ended: Vec::new(),
            initial: Vec::new(),
        };
        let run = task.run(command_receiver, stop.subscribe());
        tasks.spawn_on(run.instrument(info_span!("signer", %address)), runtime);
        handle
    });
    let signers = handles.collect();
    drop(lost);
    let lease = Arc::new(lease);
    let fleet = lease_term.map(|term| {
        // The journal has just been read.
        let unknown = FleetStatus { is_reachable: true, ..FleetStatus::default() };
        let (fleet, lease) = (watch::Sender::new(unknown), Arc::clone(&lease));
        let subscription = fleet.subscribe();
        let (journal, admission) = (Arc::clone(&journal), Arc::clone(&admission));
        let events = events.clone();
        let task = LeaseTask { journal, safety_store, admission, signers: addresses, term, lease, fleet, events };
        tasks.spawn_on(task.run(losses, stop.subscribe()), runtime);
        subscription
    });
    let tasks = SenderTasks { tasks, stop, _lease: lease, _locks: locks, _thread: thread };
    Ok((SenderHandle(Arc::new(Shared { signers, admission, events, next_id, fleet })), receiver, tasks))
}

/// Recovers a signer from journal and chain. Returns its core, and its balance in wei.
async fn recover<J: Journal>(
    settings: &SenderSettings,
    signer: Address,
    nodes: &Nodes,
    journal: &J,
) -> Result<(Core, U256), StartError> {
    let account = nodes.account_state(signer).await?;
    if account.chain_id != settings.chain_id {
        return Err(StartError::WrongChain { expected: settings.chain_id, found: account.chain_id });
    }
    let recovered = journal.recover(signer).await?;
    let core_settings = settings.core.clone();
    let mut core =
        Core::recover(signer, core_settings, recovered, account.nonce, account.has_code, settings.adopt_nonce)?;
    core.set_balance(account.balance);
    Ok((core, account.balance))
}

impl Signers {
    /// Returns each key with the priorities that it signs for.
    fn by_key(self) -> Vec<(TransactionSigner, Vec<Priority>)> {
        let both = || vec![Priority::High, Priority::Low];
        match (self.high_priority, self.low_priority) {
            (Some(high), Some(low)) if high.address() != low.address() => {
                vec![(high, vec![Priority::High]), (low, vec![Priority::Low])]
            }
            (Some(only), _) | (None, Some(only)) => vec![(only, both())],
            (None, None) => Vec::new(),
        }
    }
}

impl SenderHandle {
    /// Submits an intent. Returns at once, with the id under which events report what became of it.
    pub fn submit(&self, intent: Intent) -> u64 {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let signer = self.signer_for(intent.priority);
        let balance = signer.and_then(|signer| signer.status.borrow().balance);
        let outcome = match (self.0.admission.admit(&intent, balance), signer) {
            (Err(refusal), _) => Outcome::Refused(refusal),
            (Ok(()), None) => Outcome::Dropped(DropReason::NoSigner),
            (Ok(()), Some(signer)) => {
                self.0.admission.begin(id, &intent);
                if signer.commands.send(Command::Submit(id, Box::new(intent.clone()))).is_ok() {
                    return id;
                }
                Outcome::Dropped(DropReason::Stopped)
            }
        };
        let signer = signer.map(|signer| signer.signer).unwrap_or_default();
        // The receiver is gone only when the keeper is ending.
        self.0
            .events
            .send(SenderEvent::Report(Box::new(Report { id, signer, intent, outcome, logs: Vec::new() })))
            .ok();
        id
    }

    /// Announces a new head, and the ids of the intents in flight that are not worth executing any more as of it. To be
    /// called for every block that is applied, before the intents that are decided on it.
    pub fn on_block(&self, header: Header, obsolete: &[u64]) {
        self.0.admission.on_block(header);
        let is_killed = self.0.admission.is_killed();
        for signer in &self.0.signers {
            // A signer that has stopped has reported why.
            signer.commands.send(Command::Hold(is_killed)).ok();
            signer.commands.send(Command::Block(header, obsolete.to_vec())).ok();
        }
    }

    /// Announces that every block after `block` was reverted. To be called before anything is decided in the new branch.
    pub fn on_revert(&self, block: u64) {
        self.0.admission.on_revert(block);
    }

    /// Replaces the pending transaction with a nonce by a cancellation, which the operator orders; of this account, which
    /// can be left out where only one signer has such a transaction. Returns when the cancellation is journalled and being
    /// broadcast. Fails with the reason if there is none to cancel.
    pub async fn cancel(&self, nonce: u64, account: Option<Address>) -> Result<Cancellation, CancelError> {
        let signers = &self.0.signers;
        let has_nonce = |signer: &&SignerHandle| {
            signer.status.borrow().pending.iter().any(|transaction| transaction.nonce == nonce)
        };
        let accounts = |signers: &[&SignerHandle]| signers.iter().map(|signer| signer.signer).collect();
        let candidates: Vec<_> = signers.iter().filter(has_nonce).collect();
        let signer = match (account, candidates.as_slice()) {
            (Some(account), _) => signers.iter().find(|signer| signer.signer == account).ok_or_else(|| {
                CancelError::UnknownAccount { account, signers: accounts(&signers.iter().collect::<Vec<_>>()) }
            })?,
            (None, [only]) => only,
            (None, []) => signers.first().ok_or(CancelError::NoSigner)?,
            (None, several) => return Err(CancelError::Ambiguous { nonce, signers: accounts(several) }),
        };
        let (respond, response) = oneshot::channel();
        signer.commands.send(Command::Cancel(nonce, respond)).map_err(|_| CancelError::Stopped)?;
        Ok(response.await.map_err(|_| CancelError::Stopped)??)
    }

    /// Returns the account that signs intents of this priority, if there is one.
    #[must_use]
    pub fn signer(&self, priority: Priority) -> Option<Address> {
        self.signer_for(priority).map(|signer| signer.signer)
    }

    /// Whether nothing is sent because the keeper has no lease on its signers.
    #[must_use]
    pub fn is_standby(&self) -> bool {
        self.0.signers.iter().all(|signer| signer.status.borrow().is_standby) && !self.0.signers.is_empty()
    }

    /// Returns who else shares the journal; `None` where nobody can.
    #[must_use]
    pub fn fleet(&self) -> Option<FleetStatus> {
        self.0.fleet.as_ref().map(|fleet| fleet.borrow().clone())
    }

    /// Returns the state of every signer.
    #[must_use]
    pub fn status(&self) -> Vec<SignerStatus> {
        self.0.signers.iter().map(|signer| signer.status.borrow().clone()).collect()
    }

    /// Subscribes to the state of the signer for intents of this priority, if there is one.
    #[must_use]
    pub fn watch_status(&self, priority: Priority) -> Option<watch::Receiver<SignerStatus>> {
        self.signer_for(priority).map(|signer| signer.status.clone())
    }

    /// Returns the subjects of intents that are in flight, each with the id of its intent, until the block that ended
    /// the intent is applied. Intents that were pending when the keeper last ended are included. Strategies skip these.
    #[must_use]
    pub fn in_flight(&self) -> HashMap<Subject, u64> {
        self.0.admission.in_flight()
    }

    /// Whether there are intents in flight that no block has ended yet.
    #[must_use]
    pub fn has_open_intents(&self) -> bool {
        self.0.admission.has_open_intents()
    }

    /// Returns the intents in flight that no block has ended yet, each with its id.
    #[must_use]
    pub fn open_intents(&self) -> Vec<(u64, Intent)> {
        self.0.admission.open_intents()
    }

    /// Records that something failed without a transaction, or for a better known cause than that it reverted.
    pub fn record_failure(&self, subject: Subject, cause: FailureCause) {
        self.0
            .admission
            .with_gate(|gate, head| gate.record_failure(subject, cause, head.map_or(0, |head| head.number)));
    }

    /// Returns the subjects in back-off, which strategies skip.
    #[must_use]
    pub fn back_off(&self) -> BackOff {
        self.0.admission.with_gate(|gate, _| gate.back_off().clone())
    }

    /// Runs `read` on the safety gate together with the newest block: to read the day's loss, or the ledger.
    pub fn with_gate<T>(&self, read: impl FnOnce(&Gate, Option<Header>) -> T) -> T {
        self.0.admission.with_gate(|gate, head| read(gate, head))
    }

    /// Closes every circuit breaker before its time is over.
    pub fn close_breakers(&self) {
        self.0.admission.close_breakers();
    }

    fn signer_for(&self, priority: Priority) -> Option<&SignerHandle> {
        self.0.signers.iter().find(|signer| signer.priorities.contains(&priority))
    }
}

impl SenderTasks {
    /// Waits until a task ends, which none does before [`SenderTasks::shut_down`] unless it panics.
    pub async fn ended(&mut self) {
        self.tasks.join_next().await;
    }

    /// Stops every task between two events and frees the keys. Pending transactions are in the journal, and are taken
    /// up again at the next start.
    pub async fn shut_down(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}
