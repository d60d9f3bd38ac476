//! The sender as the rest of the keeper sees it: intents go in, news come out.
//!
//! Each signer has a task of its own. What an intent waits for between `submit` and its broadcast is a signature and one
//! write to the journal; nodes that stall delay nobody. While nothing is pending, a block costs no request.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy::{primitives::Address, signers::local::PrivateKeySigner};
use plimsoll_chain::error::ChainError;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use super::{
    core::{self, Alert, Core, RecoverError},
    guard::Guard,
    journal::{Journal, JournalError},
    lane::{Command, Lane, LaneStatus},
    lock::{LockError, SignerLock},
    nodes::Nodes,
    outcome::{DropReason, Outcome, Report},
};
use crate::{
    chain::Header,
    intent::{Intent, Urgency},
    safety::{self, BackOff, Cause, Gate, Notebook, NotebookError, Subject},
};

/// How a sender is to work.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The chain's number, which every signature contains.
    pub chain_id: u64,
    /// How transactions are sent.
    pub core: core::Settings,
    /// When they are not.
    pub safety: safety::Settings,
    /// While this file exists nothing is sent: new intents are refused, and what is pending is left as it is.
    pub kill_file: Option<PathBuf>,
    /// Whether to begin where journal and chain do not agree on the next nonce.
    pub adopt_nonce: bool,
    /// Where signers are locked, instead of the user's own place.
    pub lock_folder: Option<PathBuf>,
}

/// The keys. With one of them everything is signed by it.
#[derive(Debug, Clone, Default)]
pub struct Signers {
    /// For urgent intents.
    pub urgent: Option<PrivateKeySigner>,
    /// For patient ones.
    pub patient: Option<PrivateKeySigner>,
}

/// What the sender tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// What happened to an intent. After a restart the last one may be told again.
    Report(Box<Report>),
    /// What an operator must know.
    Alert(Alert),
}

impl News {
    /// Whether something was carried out.
    pub(crate) fn is_mined(&self) -> bool {
        matches!(self, Self::Report(report) if matches!(report.outcome, Outcome::Mined(_)))
    }
}

/// Why a sender does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nothing can be asked.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The nodes are another chain's.
    #[error("the node is on chain {said}, and the keeper is for chain {expected}; correct the endpoint or the record")]
    WrongChain {
        /// What was configured.
        expected: u64,
        /// What the node says.
        said: u64,
    },
    /// The key is used elsewhere on this machine.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Journal and chain do not agree.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What safety remembers cannot be read.
    #[error(transparent)]
    Notebook(#[from] NotebookError),
}

/// Commands the sender. Clones command the same one.
#[derive(Debug, Clone)]
pub struct SenderHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    lanes: Vec<LaneHandle>,
    guard: Arc<Guard>,
    news: mpsc::UnboundedSender<News>,
    next_id: AtomicU64,
}

#[derive(Debug)]
struct LaneHandle {
    signer: Address,
    takes: Vec<Urgency>,
    commands: mpsc::UnboundedSender<Command>,
    status: watch::Receiver<LaneStatus>,
}

/// The sender's tasks, and the locks on its keys.
#[derive(Debug)]
pub struct SenderTasks {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    _locks: Vec<SignerLock>,
}

/// Starts a sender: takes the keys' locks, reads the journal, and asks the chain where it is. Nothing is sent before the
/// first block. In a dry run no key is needed or used.
pub async fn start<J: Journal, N: Notebook>(
    settings: Settings,
    signers: Signers,
    nodes: Nodes,
    journal: J,
    notebook: N,
) -> Result<(SenderHandle, mpsc::UnboundedReceiver<News>, SenderTasks), StartError> {
    let record = notebook.read().await?.unwrap_or_default();
    let is_live = settings.safety.is_live;
    let guard = Arc::new(Guard::new(Gate::new(settings.safety, record), settings.kill_file));
    let (news, told) = mpsc::unbounded_channel();
    let (journal, nodes) = (Arc::new(journal), Arc::new(nodes));
    let mut locks = Vec::new();
    let mut lanes = Vec::new();
    // Nothing runs before everything is known to be well.
    for (signer, takes) in signers.lanes().into_iter().filter(|_| is_live) {
        let address = signer.address();
        locks.push(match &settings.lock_folder {
            Some(folder) => SignerLock::take_in(folder, settings.chain_id, address)?,
            None => SignerLock::take(settings.chain_id, address)?,
        });
        let standing = nodes.standing(address).await?;
        if standing.chain_id != settings.chain_id {
            return Err(StartError::WrongChain { expected: settings.chain_id, said: standing.chain_id });
        }
        let recovered = journal.recover(address).await?;
        let core = Core::recover(
            address,
            settings.core.clone(),
            recovered,
            standing.nonce,
            standing.has_code,
            settings.adopt_nonce,
        )?;
        lanes.push((core, signer, takes, standing.balance));
    }
    let next_id = AtomicU64::new(journal.next_id().await?);
    let mut tasks = SenderTasks { tasks: JoinSet::new(), stop: watch::Sender::new(false), _locks: locks };
    tasks.tasks.spawn(Guard::keep(guard.records(), notebook, tasks.stop.subscribe()));
    let lanes = lanes.into_iter().map(|(core, signer, takes, balance)| {
        let (commands, commanded) = mpsc::unbounded_channel();
        let address = signer.address();
        core.pending().for_each(|entry| guard.begin(entry.id, &entry.intent));
        let status = watch::Sender::new(LaneStatus::of(&core, address, Some(balance)));
        let handle = LaneHandle { signer: address, takes, commands, status: status.subscribe() };
        let lane = Lane {
            core,
            signer,
            chain_id: settings.chain_id,
            style: settings.core.fees.style,
            journal: Arc::clone(&journal),
            nodes: Arc::clone(&nodes),
            guard: Arc::clone(&guard),
            news: news.clone(),
            status,
            unwritten: BTreeMap::new(),
        };
        tasks.tasks.spawn(lane.run(commanded, tasks.stop.subscribe()));
        handle
    });
    let lanes = lanes.collect();
    Ok((SenderHandle(Arc::new(Shared { lanes, guard, news, next_id })), told, tasks))
}

impl Signers {
    /// Each key with what it signs.
    fn lanes(self) -> Vec<(PrivateKeySigner, Vec<Urgency>)> {
        let both = || vec![Urgency::Urgent, Urgency::Patient];
        match (self.urgent, self.patient) {
            (Some(urgent), Some(patient)) if urgent.address() != patient.address() => {
                vec![(urgent, vec![Urgency::Urgent]), (patient, vec![Urgency::Patient])]
            }
            (Some(only), _) | (None, Some(only)) => vec![(only, both())],
            (None, None) => Vec::new(),
        }
    }
}

impl SenderHandle {
    /// Wants an intent carried out. Returns at once, with the id under which the news will tell what became of it.
    pub fn submit(&self, intent: Intent) -> u64 {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let lane = self.lane(intent.urgency);
        let balance = lane.and_then(|lane| lane.status.borrow().balance);
        let outcome = match (self.0.guard.admit(&intent, balance), lane) {
            (Err(refusal), _) => Outcome::Refused(refusal),
            (Ok(()), None) => Outcome::Dropped(DropReason::NoSigner),
            (Ok(()), Some(lane)) => {
                self.0.guard.begin(id, &intent);
                if lane.commands.send(Command::Submit(id, Box::new(intent.clone()))).is_ok() {
                    return id;
                }
                Outcome::Dropped(DropReason::Stopped)
            }
        };
        let signer = lane.map(|lane| lane.signer).unwrap_or_default();
        // Nobody listens only when the keeper is ending.
        self.0.news.send(News::Report(Box::new(Report { id, signer, intent, outcome }))).ok();
        id
    }

    /// The chain has a new head. To be called for every block that is applied, before what is decided on it.
    pub fn on_block(&self, header: Header) {
        self.0.guard.set_head(header);
        let is_killed = self.0.guard.is_killed();
        for lane in &self.0.lanes {
            // A lane that has stopped has told why.
            lane.commands.send(Command::Hold(is_killed)).ok();
            lane.commands.send(Command::Block(header)).ok();
        }
    }

    /// Who signs such intents, if anybody does.
    #[must_use]
    pub fn signer(&self, urgency: Urgency) -> Option<Address> {
        self.lane(urgency).map(|lane| lane.signer)
    }

    /// How each signer is doing.
    #[must_use]
    pub fn status(&self) -> Vec<LaneStatus> {
        self.0.lanes.iter().map(|lane| lane.status.borrow().clone()).collect()
    }

    /// The status of whoever signs such intents, for whoever waits for it to change.
    #[must_use]
    pub fn watch(&self, urgency: Urgency) -> Option<watch::Receiver<LaneStatus>> {
        self.lane(urgency).map(|lane| lane.status.clone())
    }

    /// What is being done about what, by the id of the intent, until it is mined or over: what was not finished when the
    /// keeper ended included. Whoever decides passes it over.
    #[must_use]
    pub fn in_flight(&self) -> HashMap<Subject, u64> {
        self.0.guard.in_flight()
    }

    /// Something came to nothing without a transaction, or for a better known reason than that it reverted.
    pub fn failed(&self, subject: Subject, cause: Cause) {
        self.0.guard.with(|gate, head| gate.failed(subject, cause, head.map_or(0, |head| head.number)));
    }

    /// What is left alone for now, which strategies pass over.
    #[must_use]
    pub fn back_off(&self) -> BackOff {
        self.0.guard.with(|gate, _| gate.back_off().clone())
    }

    /// Asks or tells the gate something: what was lost today, whether the breaker is open, that it be closed. It comes
    /// with the newest block.
    pub fn with_gate<T>(&self, act: impl FnOnce(&mut Gate, Option<Header>) -> T) -> T {
        self.0.guard.with(act)
    }

    fn lane(&self, urgency: Urgency) -> Option<&LaneHandle> {
        self.0.lanes.iter().find(|lane| lane.takes.contains(&urgency))
    }
}

impl SenderTasks {
    /// Waits until a task ends, which none does before [`SenderTasks::shut_down`] unless it panics.
    pub async fn ended(&mut self) {
        self.tasks.join_next().await;
    }

    /// Takes no more intents, ends between two steps and frees the keys. What is pending is in the journal, and is gone on
    /// with at the next start.
    pub async fn shut_down(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}
