//! The stream: the canonical chain's events of our contracts, block by block, out of endpoints that fail, lag and lie.
//!
//! It promises that what was handed out and accepted, less what was taken back, is the chain: every log of our
//! contracts, in order, once. [`Stream::next`] hands out one [`Step`] at a time and the same one until it is accepted or
//! rejected; nothing is dropped, and no more than a batch is held ready.
//!
//! ```text
//! endpoints ──attend──► heads ──choice──► follow ──► fetch, catch_up ──► steps
//!  (node, standing)      (bell)   (who leads)  (history: extends,   (logs, checked)
//!                                               leaves, too deep)
//! ```

mod attend;
mod catch_up;
mod choice;
mod fetch;
mod follow;
mod head;
mod history;
mod node;
mod pool;
mod range;
mod refusal;
mod settings;
mod standing;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use alloy::{eips::BlockNumHash, primitives::B256};
use plimsoll_chain::endpoint::Endpoint;
use tokio::{sync::watch, task::JoinSet};

use self::{
    fetch::Doubt,
    follow::{Batch, Follower, Ready, Start},
    history::History,
    pool::Pool,
};
pub use self::{
    pool::{EndpointHealth, EndpointState, Reader},
    settings::Settings,
    standing::Latency,
};
use crate::chain::{Event, Header, Sources};

/// The last block that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Its height.
    pub number: u64,
    /// Its hash; none where nothing was applied yet, and the height is that before the first block of interest.
    pub hash: Option<B256>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To take back every block after this one.
    Undo {
        /// The last block that stays.
        to: BlockNumHash,
    },
    /// To apply a block.
    Apply(Arc<BlockEvents>),
    /// To begin anew, from an older state or from nothing; then [`Stream::restart`].
    Rebuild(Rebuild),
}

/// A block and what our contracts did in it. Deep in the past, blocks without events are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockEvents {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its second.
    pub timestamp: u64,
    /// Its header, where it is the newest block that is known: the one to decide by.
    pub tip: Option<Header>,
    /// The events, in order.
    pub events: Vec<Event>,
}

/// Why the book has to begin anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rebuild {
    /// A block that was applied has been replaced.
    #[error("block {number} ({hash}), which was applied, is not on the chain: it was replaced meanwhile")]
    NotCanonical {
        /// Its height.
        number: u64,
        /// Its hash.
        hash: B256,
    },
    /// More blocks were replaced than can be taken back.
    #[error("the chain was reorganised below block {oldest}, further from block {tip} than can be taken back")]
    TooDeep {
        /// The last that was applied.
        tip: u64,
        /// The oldest that can be gone back to.
        oldest: u64,
    },
    /// The book refuses what is certainly the chain's.
    #[error(
        "the events of block {number} do not add up ({reason}), and they are what the chain has: an earlier event was \
         missed, or the addresses in the configuration are of another deployment"
    )]
    DoesNotAddUp {
        /// The block.
        number: u64,
        /// What the book says.
        reason: String,
        /// Whether there is an endpoint on whose word the past was not taken yet, so that to begin anew may help: the
        /// stream asks it first then.
        elsewhere: bool,
    },
    /// Somebody else's contract.
    #[error(
        "in block {number} {problem}: the addresses in the configuration are of another deployment, or of a version that \
         this keeper does not know"
    )]
    Foreign {
        /// The block.
        number: u64,
        /// What was found.
        problem: String,
    },
}

/// The chain's events, one step after another.
pub struct Stream {
    pool: Arc<Pool>,
    /// What was accepted.
    accepted: Start,
    /// What is ready, the next first, and `planned` is what will be accepted by then.
    ready: VecDeque<Ready>,
    planned: Start,
    /// A block that was refused, with its height.
    doubt: Option<(u64, Doubt)>,
    /// On whose word what was accepted was taken: what is left out, not everybody can tell at once.
    trusted: BTreeSet<usize>,
    /// On whose word it was taken when it did not add up in the end.
    blamed: BTreeSet<usize>,
    /// Finds what comes after what is ready, while that is being applied.
    follower: JoinSet<Batch>,
    /// Attend to the endpoints.
    _attendants: JoinSet<()>,
}

impl Stream {
    /// Begins to follow the chain after a block. Needs no endpoint to be there yet. Must be called within tokio.
    #[must_use]
    pub fn start(
        endpoints: impl IntoIterator<Item: Into<Arc<Endpoint>>>,
        sources: Sources,
        from: Cursor,
        settings: Settings,
    ) -> Self {
        let endpoints = endpoints.into_iter().map(Into::into).collect();
        let pool = Arc::new(Pool::new(endpoints, sources, settings));
        let mut attendants = JoinSet::new();
        for index in 0..pool.nodes.len() {
            attendants.spawn(attend::attend(Arc::clone(&pool), index));
        }
        let mut stream = Self {
            pool,
            accepted: Start::Unchecked(from),
            ready: VecDeque::new(),
            planned: Start::Unchecked(from),
            doubt: None,
            trusted: BTreeSet::new(),
            blamed: BTreeSet::new(),
            follower: JoinSet::new(),
            _attendants: attendants,
        };
        stream.follow_on();
        stream
    }

    /// The next step: the same until it is accepted or rejected. May be dropped at any point without losing anything.
    pub async fn next(&mut self) -> Step {
        loop {
            if let Some(ready) = self.ready.front() {
                return ready.step.clone();
            }
            match self.follower.join_next().await {
                Some(Ok(batch)) => self.take(batch),
                Some(Err(error)) => {
                    // A defect of ours; what it was at is begun anew.
                    tracing::error!(%error, "following the chain has failed and is begun again");
                    self.follow_on();
                }
                None => self.follow_on(),
            }
        }
    }

    /// The step was carried out. Does nothing where none was handed out, or where it is to begin anew.
    pub fn accept(&mut self) {
        let Some(ready) = self.ready.front() else { return };
        match (&mut self.accepted, &ready.step) {
            (_, Step::Rebuild(_)) => return,
            (Start::At(history), Step::Undo { to }) => history.undo_to(*to),
            (Start::At(history), Step::Apply(block)) => {
                history.push(block.place());
                self.trusted.extend(ready.from);
                if self.doubt.as_ref().is_some_and(|(number, _)| *number <= block.number) {
                    self.doubt = None;
                }
            }
            (Start::Unchecked(_), _) => {}
        }
        self.ready.pop_front();
    }

    /// The book refuses the block: it is fetched again elsewhere, and whoever gave it is asked last for a while. When
    /// there is proof that it is what the chain has, or everybody says so, [`Rebuild::DoesNotAddUp`] follows.
    pub fn reject(&mut self, reason: impl Into<String>) {
        let Some(Ready { step: Step::Apply(block), from }) = self.ready.pop_front() else { return };
        let reason = reason.into();
        tracing::warn!(block = block.number, reason, "the book refuses a block, which is fetched again");
        let node = from.and_then(|index| Some((index, self.pool.nodes.get(index)?)));
        let (_, doubt) = self.doubt.take().filter(|(number, _)| *number == block.number).unwrap_or_default();
        let mut doubt = Doubt { reason, ..doubt };
        if let Some((index, node)) = node {
            node.lied(&format!("its events of block {} do not add up", block.number));
            doubt.from.push(index);
        }
        doubt.refused.push(Arc::clone(&block));
        self.doubt = Some((block.number, doubt));
        self.begin_at(self.accepted.clone());
    }

    /// Goes on from another block, over the same connections.
    pub fn restart(&mut self, from: Cursor) {
        self.doubt = None;
        self.trusted.clear();
        self.accepted = Start::Unchecked(from);
        self.begin_at(Start::Unchecked(from));
    }

    /// How the endpoints are doing.
    #[must_use]
    pub fn health(&self) -> Vec<EndpointHealth> {
        self.pool.health()
    }

    /// The newest block from the moment on at which it is known, before its events are.
    #[must_use]
    pub fn on_head(&self) -> watch::Receiver<Option<Header>> {
        self.pool.newest.subscribe()
    }

    /// The hash of the chain's first block, once an endpoint has said it or if it was given.
    #[must_use]
    pub fn genesis(&self) -> watch::Receiver<Option<B256>> {
        self.pool.genesis.subscribe()
    }

    /// Asks the endpoints for others.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader(Arc::clone(&self.pool))
    }

    fn begin_at(&mut self, start: Start) {
        self.ready.clear();
        self.planned = start;
        self.follower.abort_all();
        self.follower = JoinSet::new();
        self.follow_on();
    }

    fn follow_on(&mut self) {
        let follower = Follower::new(Arc::clone(&self.pool), self.planned.clone(), self.doubt.clone());
        self.follower.spawn(follower.run());
    }

    /// Takes what was found, and has what comes after it looked for.
    fn take(&mut self, batch: Batch) {
        let Batch { base, steps } = batch;
        if let Some(mut history) = base {
            if matches!(self.accepted, Start::Unchecked(_)) {
                self.accepted = Start::At(history.clone());
            }
            apply(&mut history, &steps);
            self.planned = Start::At(history);
        }
        self.ready = steps.into();
        match self.ready.back_mut().map(|ready| &mut ready.step) {
            Some(Step::Rebuild(Rebuild::DoesNotAddUp { elsewhere, .. })) => {
                let was_trusted = !self.trusted.is_empty();
                self.blamed.append(&mut self.trusted);
                *elsewhere = was_trusted && self.pool.order(0).iter().any(|index| !self.blamed.contains(index));
                self.blame();
            }
            Some(Step::Rebuild(_)) => {}
            _ => self.follow_on(),
        }
    }

    /// What the book refused is true, so that something is missing before it: not who said the one, but who said the
    /// other is asked last when the book begins anew.
    fn blame(&self) {
        for (index, node) in self.pool.nodes.iter().enumerate() {
            if self.doubt.as_ref().is_some_and(|(_, doubt)| doubt.from.contains(&index)) {
                node.state().standing.is_cleared();
            }
            if self.blamed.contains(&index) {
                node.lied("the book that was made of its logs does not add up");
            }
        }
    }
}

impl BlockEvents {
    const fn place(&self) -> BlockNumHash {
        BlockNumHash { number: self.number, hash: self.hash }
    }
}

fn apply(history: &mut History, steps: &[Ready]) {
    for ready in steps {
        match &ready.step {
            Step::Undo { to } => history.undo_to(*to),
            Step::Apply(block) => history.push(block.place()),
            Step::Rebuild(_) => {}
        }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("accepted", &self.accepted).finish_non_exhaustive()
    }
}
