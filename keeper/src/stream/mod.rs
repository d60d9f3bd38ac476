//! The stream: the events of our contracts on the canonical chain, block by block, read from endpoints that fail, lag
//! and lie.
//!
//! Guarantee: the blocks that were handed out and accepted, less those that were reverted, are the chain: every log of
//! our contracts, in order, exactly once. [`Stream::next`] hands out one [`Step`] at a time, and the same one again
//! until it is accepted or rejected; nothing is dropped, and at most one batch of steps is held ready.
//!
//! ```text
//! connection ──────► newest head of each endpoint        (one task per endpoint; notify_new_head)
//! head_selection ──► whose head to follow                (one endpoint leads; order of failover)
//! reorg ───────────► child of an applied block? reorg? too deep?
//! planner ─┬───────► block_logs                          (above finality depth: one block at a time, by hash)
//!          └───────► backfill                            (below it: many blocks at once, by log range)
//!    │
//!    └──► Step::Apply, Step::Revert, Step::Resync
//! ```
//!
//! `failover` decides in which order endpoints are asked, `ask` puts other parts' questions to them, with `hedging` where
//! one is slow, `rolling_check` looks for events that an endpoint left out, `endpoint_client` makes every request with a timeout, `rpc_error` classifies what went wrong, and
//! `endpoint_health` demotes endpoints that fail or answer falsely.

mod ask;
mod backfill;
mod block_logs;
mod connection;
mod endpoint_client;
mod endpoint_health;
mod failover;
mod head_selection;
mod hedging;
mod log_range;
mod planner;
mod progress;
mod reorg;
mod rolling_check;
mod rpc_error;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use alloy::{eips::BlockNumHash, primitives::B256};
use plimsoll_chain::endpoint::Endpoint;
use tokio::{sync::watch, task::JoinSet};

pub use self::{
    ask::AskPolicy,
    block_logs::newest_header,
    endpoint_health::{EndpointHealth, EndpointState, Latency},
    failover::StreamReader,
    progress::BackfillProgress,
};
use self::{
    block_logs::DisputedBlock,
    failover::EndpointPool,
    planner::{PlannedStep, StartPoint, StepBatch, StepPlanner},
    reorg::AppliedBlocks,
    rolling_check::{Omission, RecentBlocks, find_omission},
};
use crate::chain::{Event, Header, Sources};

/// The settings of a [`Stream`]: what differs from chain to chain and from operator to operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSettings {
    /// Chain id. An endpoint of another chain is excluded.
    pub chain_id: u64,
    /// Hash of the chain's first block, because chain ids are used twice; `None` to believe the first endpoint that
    /// answers.
    pub genesis: Option<B256>,
    /// Time between blocks, by which a slow answer is told from a late one.
    pub block_time: Duration,
    /// Time limit of one request.
    pub request_timeout: Duration,
    /// Interval between requests for the newest block where no WebSocket announces it.
    pub poll_interval: Duration,
    /// Time without an announcement after which a WebSocket endpoint is polled all the same.
    pub max_silence: Duration,
    /// Time for which all endpoints must agree that the newest applied block is gone, with no other in its place,
    /// before it is reverted: an endpoint that is a little behind looks the same.
    pub rollback_patience: Duration,
    /// Number of blocks by which an endpoint may be behind the newest applied block and still lead.
    pub max_lag: u64,
    /// Maximum number of blocks in one request for logs.
    pub max_log_range: u64,
    /// Number of ranges of logs that are fetched at the same time.
    pub concurrent_ranges: usize,
    /// Maximum delay before a disconnected endpoint is connected again.
    pub max_reconnect_delay: Duration,
    /// Whether the blooms in headers can be relied on. Some chains leave them empty; the logs of every block are
    /// requested there.
    pub blooms: bool,
}

/// Bounds of the poll interval, which follows from the time between blocks.
const POLL_INTERVAL_BOUNDS: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(4)];
/// Bounds of the maximum silence, which follows from the time between blocks.
const MAX_SILENCE_BOUNDS: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];

impl StreamSettings {
    /// Returns settings that suit most providers, for a chain with the given time between blocks.
    #[must_use]
    pub fn new(chain_id: u64, block_time: Duration) -> Self {
        let [fastest, slowest] = POLL_INTERVAL_BOUNDS;
        let poll_interval = (block_time / 2).clamp(fastest, slowest);
        let [shortest, longest] = MAX_SILENCE_BOUNDS;
        Self {
            chain_id,
            genesis: None,
            block_time,
            request_timeout: Duration::from_secs(5),
            poll_interval,
            max_silence: (block_time * 3).clamp(shortest, longest),
            rollback_patience: poll_interval * 3,
            max_lag: 3,
            max_log_range: 10_000,
            concurrent_ranges: 8,
            max_reconnect_delay: Duration::from_secs(15),
            blooms: true,
        }
    }
}

/// The block after which a stream begins: the last one that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Number of the block.
    pub number: u64,
    /// Block hash; `None` if nothing was applied yet, and `number` is then that before the first block of interest.
    pub hash: Option<B256>,
}

/// The next thing to do to the state that is built from the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Revert every block after `to`: the chain was reorganised.
    Revert {
        /// The last block that stays.
        to: BlockNumHash,
    },
    /// Apply a block.
    Apply(Arc<BlockEvents>),
    /// Discard the state and begin again from an older one or from nothing, then call [`Stream::restart`].
    Resync(ResyncReason),
}

/// A block and our contracts' events in it. Blocks without events are left out below the finality depth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockEvents {
    /// Number of the block.
    pub number: u64,
    /// Block hash.
    pub hash: B256,
    /// Block timestamp, in seconds.
    pub timestamp: u64,
    /// The block's header if it is the newest known block, by which decisions are made; `None` while catching up.
    pub tip: Option<Header>,
    /// Events in the order of their logs.
    pub events: Vec<Event>,
    /// Whether an endpoint's word is all that says that there are no events, although the block's bloom is positive. It is
    /// confirmed or refuted by what the block's calls read. Only of the newest block.
    pub unconfirmed: bool,
}

/// The reason why the state must be rebuilt from an older one or from nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResyncReason {
    /// The block from which the stream was to begin has been replaced by another.
    #[error("block {number} ({hash}), which was applied, is not canonical: it has been reorged")]
    NotCanonical {
        /// Number of the block.
        number: u64,
        /// Hash of the block that was applied.
        hash: B256,
    },
    /// More blocks were replaced than can be reverted.
    #[error("the chain was reorganised below block {oldest}, the oldest that can be reverted to from block {tip}")]
    ReorgTooDeep {
        /// The newest applied block.
        tip: u64,
        /// The oldest block that can be reverted to.
        oldest: u64,
    },
    /// The book rejects events that are certainly the chain's, so that an earlier event must be missing.
    #[error(
        "the events of block {number} are inconsistent with those before ({reason}), and they are what the chain has: \
         an earlier event was missed, or the addresses in the configuration are of another deployment"
    )]
    InconsistentEvents {
        /// Number of the block.
        number: u64,
        /// Why the book rejects the block.
        reason: String,
        /// Whether an endpoint is left that did not supply the earlier blocks, so that a resync may help: the stream
        /// asks that one first.
        untried_endpoint: bool,
    },
    /// A followed address logs what none of our contracts logs.
    #[error(
        "in block {number} {problem}: the addresses in the configuration are of another deployment, or of a version \
         that this keeper does not know"
    )]
    ForeignEvent {
        /// Number of the block.
        number: u64,
        /// Description of the log.
        problem: String,
    },
}

/// The chain's events, one step after another.
pub struct Stream {
    pool: Arc<EndpointPool>,
    /// The blocks of all accepted steps.
    accepted: StartPoint,
    /// Steps that are ready, the next one first.
    ready: VecDeque<PlannedStep>,
    /// The blocks that will be applied once all steps in `ready` are accepted.
    planned: StartPoint,
    /// The block that the book rejected, with its number, until it or a later one is accepted.
    disputed: Option<(u64, DisputedBlock)>,
    /// Endpoints that supplied accepted blocks since the last restart. Logs that they omitted from a range show only in
    /// later blocks.
    suppliers: BTreeSet<usize>,
    /// Endpoints that supplied blocks which proved inconsistent in the end.
    blamed: BTreeSet<usize>,
    /// The newest accepted blocks, which are checked once more.
    recent: RecentBlocks,
    /// The check that is being made.
    check: JoinSet<Option<Omission>>,
    /// Plans the steps after `planned` while those in `ready` are being applied.
    planner: JoinSet<StepBatch>,
    /// One task per endpoint; they end with the stream.
    _connections: JoinSet<()>,
}

impl Stream {
    /// Starts to follow the chain after the block `from`. No endpoint needs to be reachable yet. Must be called within
    /// a tokio runtime.
    #[must_use]
    pub fn start(
        endpoints: impl IntoIterator<Item: Into<Arc<Endpoint>>>,
        sources: Sources,
        from: Cursor,
        settings: StreamSettings,
    ) -> Self {
        let endpoints = endpoints.into_iter().map(Into::into).collect();
        let pool = Arc::new(EndpointPool::new(endpoints, sources, settings));
        let mut connections = JoinSet::new();
        for index in 0..pool.clients.len() {
            connections.spawn(connection::keep_connected(Arc::clone(&pool), index));
        }
        let mut stream = Self {
            pool,
            accepted: StartPoint::Unverified(from),
            ready: VecDeque::new(),
            planned: StartPoint::Unverified(from),
            disputed: None,
            suppliers: BTreeSet::new(),
            blamed: BTreeSet::new(),
            recent: RecentBlocks::default(),
            check: JoinSet::new(),
            planner: JoinSet::new(),
            _connections: connections,
        };
        stream.spawn_planner();
        stream
    }

    /// Waits for the next step and returns it: the same one until it is accepted or rejected. Cancel safe: the future
    /// may be dropped at any point.
    pub async fn next(&mut self) -> Step {
        loop {
            if let Some(ready) = self.ready.front() {
                return ready.step.clone();
            }
            tokio::select! {
                biased;
                planned = self.planner.join_next() => match planned {
                    Some(Ok(batch)) => self.receive(batch),
                    Some(Err(error)) => {
                        // The planner panicked, which is a defect of ours; its work is planned again.
                        tracing::error!(%error, "step planner failed");
                        self.spawn_planner();
                    }
                    None => self.spawn_planner(),
                },
                Some(checked) = self.check.join_next() => {
                    if let Ok(Some(omission)) = checked {
                        self.on_omission(omission);
                    }
                }
            }
        }
    }

    /// Records that the step was carried out. Does nothing if none was handed out, or if it is [`Step::Resync`].
    pub fn accept(&mut self) {
        let Some(ready) = self.ready.front() else { return };
        match (&mut self.accepted, &ready.step) {
            (_, Step::Resync(_)) => return,
            (StartPoint::Verified(applied), Step::Revert { to }) => {
                applied.revert_to(*to);
                self.recent.revert_to(to.number);
            }
            (StartPoint::Verified(applied), Step::Apply(block)) => {
                applied.push(block.id());
                self.recent.push(Arc::clone(block), ready.supplier);
                if block.tip.is_some()
                    && let Some(blocks) = self.recent.take_due()
                {
                    self.check.spawn(find_omission(Arc::clone(&self.pool), blocks));
                }
                self.suppliers.extend(ready.supplier);
                if self.disputed.as_ref().is_some_and(|(number, _)| *number <= block.number) {
                    self.disputed = None;
                }
            }
            (StartPoint::Unverified(_), _) => {}
        }
        self.ready.pop_front();
    }

    /// Records that the book rejects the block, or that it is unconfirmed and was refuted: it is fetched again from another
    /// endpoint, and the one that supplied it is demoted. Once it is proven that the block is what the chain has, or every
    /// endpoint says so, [`ResyncReason::InconsistentEvents`] follows, or the block as it was, now confirmed.
    pub fn reject(&mut self, reason: impl Into<String>) {
        let Some(PlannedStep { step: Step::Apply(block), supplier }) = self.ready.pop_front() else { return };
        let reason = reason.into();
        tracing::warn!(block = block.number, reason, "block rejected");
        let client = supplier.and_then(|index| Some((index, self.pool.clients.get(index)?)));
        let (_, disputed) = self.disputed.take().filter(|(number, _)| *number == block.number).unwrap_or_default();
        let mut disputed = DisputedBlock { reason, is_refuted: block.unconfirmed, ..disputed };
        if let Some((index, client)) = client {
            client.report_false_answer(&if block.unconfirmed {
                format!("it left out events of block {}", block.number)
            } else {
                format!("its events of block {} do not add up", block.number)
            });
            disputed.suppliers.push(index);
        }
        disputed.rejected.push(Arc::clone(&block));
        self.disputed = Some((block.number, disputed));
        self.plan_from(self.accepted.clone());
    }

    /// Plans again from the accepted blocks, once what spoke against the next one is mended without a resync.
    pub fn retry(&mut self) {
        self.disputed = None;
        self.plan_from(self.accepted.clone());
    }

    /// Continues from another block, over the same connections.
    pub fn restart(&mut self, from: Cursor) {
        self.disputed = None;
        self.suppliers.clear();
        self.recent = RecentBlocks::default();
        self.check = JoinSet::new();
        self.accepted = StartPoint::Unverified(from);
        self.plan_from(StartPoint::Unverified(from));
    }

    /// Returns the health of each endpoint, in the order of the configuration.
    #[must_use]
    pub fn health(&self) -> Vec<EndpointHealth> {
        self.pool.health()
    }

    /// Returns the progress of the last backfill; `None` if there was none.
    #[must_use]
    pub fn backfill_progress(&self) -> Option<BackfillProgress> {
        self.pool.progress().progress()
    }

    /// Returns a channel with the newest header, which is published before the block's events are fetched.
    #[must_use]
    pub fn on_head(&self) -> watch::Receiver<Option<Header>> {
        self.pool.newest.subscribe()
    }

    /// Returns a channel with the hash of the chain's first block: known at once if it is in the settings, else once an
    /// endpoint has answered.
    #[must_use]
    pub fn genesis(&self) -> watch::Receiver<Option<B256>> {
        self.pool.genesis.subscribe()
    }

    /// The contracts that are followed.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.pool.sources
    }

    /// Returns a reader that makes other parts' requests to the same endpoints.
    #[must_use]
    pub fn reader(&self) -> StreamReader {
        StreamReader(Arc::clone(&self.pool))
    }

    /// Has the blocks from one on reverted of which another endpoint gives more events, and that one fetched again. Does
    /// nothing if it was reorged meanwhile.
    fn on_omission(&mut self, omission: Omission) {
        let Omission { block, supplier, accuser } = omission;
        let StartPoint::Verified(applied) = &self.accepted else { return };
        let Some(parent) = applied.before(block.id()) else { return };
        let base = Some(applied.clone());
        tracing::warn!(block = block.number, "another endpoint gives more events");
        if let Some(client) = supplier.and_then(|index| self.pool.clients.get(index)) {
            client.report_false_answer(&format!("it left out events of block {}", block.number));
        }
        let disputed = DisputedBlock {
            reason: "another endpoint gives more events".to_owned(),
            suppliers: supplier.into_iter().collect(),
            is_refuted: true,
            accuser: Some(accuser),
            rejected: vec![Arc::clone(&block)],
        };
        self.disputed = Some((block.number, disputed));
        self.planner = JoinSet::new();
        let revert = PlannedStep { step: Step::Revert { to: parent }, supplier: None };
        self.receive(StepBatch { base, steps: vec![revert] });
    }

    /// Discards everything that is planned and plans again.
    fn plan_from(&mut self, start: StartPoint) {
        self.ready.clear();
        self.planned = start;
        self.planner.abort_all();
        self.planner = JoinSet::new();
        self.spawn_planner();
    }

    fn spawn_planner(&mut self) {
        let planner = StepPlanner::new(Arc::clone(&self.pool), self.planned.clone(), self.disputed.clone());
        self.planner.spawn(planner.run());
    }

    /// Makes a batch ready to be handed out, and has what comes after it planned.
    fn receive(&mut self, batch: StepBatch) {
        let StepBatch { base, steps } = batch;
        if let Some(mut applied) = base {
            if matches!(self.accepted, StartPoint::Unverified(_)) {
                self.accepted = StartPoint::Verified(applied.clone());
            }
            follow_steps(&mut applied, &steps);
            self.planned = StartPoint::Verified(applied);
        }
        self.ready = steps.into();
        match self.ready.back_mut().map(|ready| &mut ready.step) {
            Some(Step::Resync(ResyncReason::InconsistentEvents { untried_endpoint, .. })) => {
                let had_suppliers = !self.suppliers.is_empty();
                self.blamed.append(&mut self.suppliers);
                *untried_endpoint =
                    had_suppliers && self.pool.clients_for(0).any(|(index, _)| !self.blamed.contains(&index));
                self.shift_blame();
            }
            Some(Step::Resync(_)) => {}
            _ => self.spawn_planner(),
        }
    }

    /// Clears the endpoints that supplied the disputed block and demotes those that supplied the blocks before it: the
    /// disputed block is true, so that an event before it is missing, and the resync asks the demoted endpoints last.
    fn shift_blame(&self) {
        for (index, client) in self.pool.clients.iter().enumerate() {
            if self.disputed.as_ref().is_some_and(|(_, disputed)| disputed.suppliers.contains(&index)) {
                client.state().health.clear_false_answer();
            }
            if self.blamed.contains(&index) {
                client.report_false_answer("the book that was made of its logs does not add up");
            }
        }
    }
}

impl BlockEvents {
    const fn id(&self) -> BlockNumHash {
        BlockNumHash { number: self.number, hash: self.hash }
    }
}

/// Does to the applied blocks what the steps will do once they are accepted.
fn follow_steps(applied: &mut AppliedBlocks, steps: &[PlannedStep]) {
    for planned in steps {
        match &planned.step {
            Step::Revert { to } => applied.revert_to(*to),
            Step::Apply(block) => applied.push(block.id()),
            Step::Resync(_) => {}
        }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("accepted", &self.accepted).finish_non_exhaustive()
    }
}
