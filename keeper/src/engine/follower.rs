//! The book kept equal to the chain, and its checkpoint kept behind it: what stream, book and store do together.

use std::{collections::BTreeSet, sync::Arc};

use alloy::{eips::BlockNumHash, primitives::B256};
use thiserror::Error;
use tracing::{debug, error, info, instrument, warn};

use crate::{
    book::{ApplyError, Block, Book, Row, VaultBook},
    chain::{Followed, Sources},
    store::{Checkpoint, CheckpointTip, Image, StoreError},
    stream::{BlockEvents, Cursor, ResyncReason, Step, Stream},
};

/// The book as restored from its checkpoint, or an empty one.
#[derive(Debug, Default)]
pub struct RestoredBook {
    book: Book,
    tip: Option<CheckpointTip>,
}

/// The book, the stream of blocks that it is made from, and the checkpoint that it is written to.
#[derive(Debug)]
pub struct Follower {
    stream: Stream,
    book: Book,
    checkpoint: Checkpoint,
    /// First block of the deployment.
    first_block: u64,
    /// Whether the book was made from the checkpoint and nothing has confirmed it since.
    is_checkpoint_tried: bool,
    /// Whether the newest applied block is unconfirmed, and the stream waits for it to be accepted or rejected.
    is_unconfirmed: bool,
    /// Whether this process has applied every event since the first block itself, without a checkpoint.
    from_nothing: bool,
    /// Whether the book was reset and has not reached the head since.
    is_rebuilding: bool,
    /// The block that the book rejected last, and the market, pool, backstop or vault of the event that was inconsistent.
    rejected: Option<(u64, B256)>,
    /// Why the checkpoint is not written any more.
    checkpoint_problem: Option<String>,
}

/// A change of the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowerEvent {
    /// A block was applied.
    Applied(Arc<BlockEvents>),
    /// Every block after this one was reorged and is reverted.
    Reverted {
        /// The last block that stays applied.
        to: BlockNumHash,
    },
    /// The book was taken back to its checkpoint, or emptied; the blocks that rebuild it follow.
    Reset,
    /// The book refused a block as inconsistent; it is fetched again from another endpoint.
    Rejected,
    /// The events of a market, pool, backstop or vault do not add up although they are certainly the chain's: the book goes on
    /// without it.
    Quarantined {
        /// Id of the market or pool, or address of the backstop or vault as a word.
        id: B256,
        /// What is wrong with the events.
        reason: ResyncReason,
    },
}

/// The chain cannot be followed, and another attempt would not help.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the book was rebuilt from block {first_block} on, and still: {reason}")]
pub struct FollowError {
    /// First block of the deployment.
    pub first_block: u64,
    /// What is wrong with the events.
    pub reason: ResyncReason,
}

impl RestoredBook {
    /// Restores the book of what is followed from its checkpoint. A checkpoint whose
    /// rows are inconsistent, or that lacks some of these, is cleared, and the book is empty. Fails where the checkpoint cannot be read or cleared.
    pub async fn load(checkpoint: &Checkpoint, sources: &Sources) -> Result<Self, StoreError> {
        let followed = &sources.followed;
        let wanted = followed.clone();
        let restore = move |tip: CheckpointTip, images: &mut dyn Iterator<Item = Image>| {
            let block = Block { number: tip.number, timestamp: tip.timestamp };
            let rows = images.map(|(key, value)| Row::decode(&key, &value));
            Book::restore(block, &wanted, rows).map(|book| (book, tip))
        };
        let nothing = || Self { book: Book::following(followed.clone()), tip: None };
        match checkpoint.load(restore).await? {
            None => return Ok(nothing()),
            Some(Ok((book, tip))) if covers(&book, sources) => return Ok(Self { book, tip: Some(tip) }),
            Some(Ok((book, _))) => {
                warn!(missing = book.coverage().missing().len(), "checkpoint discarded: more is followed now");
            }
            Some(Err(error)) => warn!(%error, "checkpoint discarded"),
        }
        checkpoint.clear().await?;
        Ok(nothing())
    }

    /// The cursor from which the stream must begin, for a deployment whose events begin in `first_block`.
    #[must_use]
    pub fn cursor(&self, first_block: u64) -> Cursor {
        self.tip.map_or_else(|| before(first_block), |tip| Cursor { number: tip.number, hash: Some(tip.hash) })
    }
}

impl Follower {
    /// Follows the chain from a restored book; `stream` must begin at [`RestoredBook::cursor`].
    #[must_use]
    pub fn new(stream: Stream, restored: RestoredBook, checkpoint: Checkpoint, first_block: u64) -> Self {
        let RestoredBook { book, tip } = restored;
        Self {
            stream,
            book,
            checkpoint,
            first_block,
            is_checkpoint_tried: tip.is_some(),
            is_unconfirmed: false,
            from_nothing: tip.is_none(),
            is_rebuilding: false,
            rejected: None,
            checkpoint_problem: None,
        }
    }

    /// The book after the last step.
    #[must_use]
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// The stream that blocks come from.
    #[must_use]
    pub const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Why the checkpoint is not written any more. The book is correct all the same.
    #[must_use]
    pub fn checkpoint_problem(&self) -> Option<&str> {
        self.checkpoint_problem.as_deref()
    }

    /// Waits for the next step of the stream. A block that was not refuted until then counts as confirmed. May be dropped
    /// at any point.
    pub async fn next_step(&mut self) -> Step {
        if std::mem::take(&mut self.is_unconfirmed) {
            self.stream.accept();
        }
        self.stream.next().await
    }

    /// Carries out a step on book and checkpoint. Must be awaited to its end: dropped half way, the two would differ.
    /// Where events of one market are inconsistent from the first block on and certainly the chain's, the market is
    /// quarantined. Fails when a followed address logs what none of our contracts logs.
    pub async fn process(&mut self, step: Step) -> Result<FollowerEvent, FollowError> {
        match step {
            Step::Apply(block) => Ok(self.apply(block).await),
            Step::Revert { to } => {
                if !self.revert_book(to.number).await {
                    return Ok(FollowerEvent::Reset);
                }
                self.stream.accept();
                Ok(FollowerEvent::Reverted { to })
            }
            Step::Resync(reason) => {
                let is_certain = match &reason {
                    ResyncReason::InconsistentEvents { untried_endpoint, .. } => !untried_endpoint,
                    ResyncReason::ForeignEvent { .. } => true,
                    ResyncReason::NotCanonical { .. } | ResyncReason::ReorgTooDeep { .. } => false,
                };
                if is_certain && self.from_nothing {
                    if let ResyncReason::InconsistentEvents { number, .. } = reason
                        && let Some((_, id)) = self.rejected.take().filter(|(block, _)| *block == number)
                    {
                        self.quarantine(id);
                        self.stream.retry();
                        return Ok(FollowerEvent::Quarantined { id, reason });
                    }
                    return Err(FollowError { first_block: self.first_block, reason });
                }
                warn!(%reason, "book reset");
                self.rebuild().await;
                Ok(FollowerEvent::Reset)
            }
        }
    }

    /// Reverts the newest block if it is [unconfirmed](BlockEvents::unconfirmed), because what was read in it contradicts
    /// that it has no events; it is fetched again from another endpoint. Does nothing and returns `None` for any other
    /// block.
    pub async fn refute(&mut self, block: u64, reason: String) -> Option<FollowerEvent> {
        if !std::mem::take(&mut self.is_unconfirmed) {
            return None;
        }
        self.stream.reject(reason);
        let is_reverted = self.revert_book(block.saturating_sub(1)).await;
        Some(if is_reverted { FollowerEvent::Rejected } else { FollowerEvent::Reset })
    }

    /// Reverts every block after `to`, in book and checkpoint. Returns false if the book is rebuilt instead, because its
    /// history begins later: that of a restored one begins at its checkpoint, and the stream may know older blocks.
    async fn revert_book(&mut self, to: u64) -> bool {
        if let Err(error) = self.book.revert_to(to) {
            warn!(block = to, reason = %error, "book reset");
            self.rebuild().await;
            return false;
        }
        let written = self.checkpoint.revert_to(to).await;
        self.note_checkpoint(written);
        true
    }

    /// Waits until everything that the checkpoint may contain, all but the newest blocks, is on disk.
    pub async fn flush(&mut self) {
        let written = self.checkpoint.flush().await;
        self.note_checkpoint(written);
    }

    #[instrument(name = "apply_block", skip_all, fields(block = block.number))]
    async fn apply(&mut self, block: Arc<BlockEvents>) -> FollowerEvent {
        let BlockEvents { number, hash, timestamp, ref events, tip, unconfirmed } = *block;
        match self.book.apply(Block { number, timestamp }, events) {
            Ok(rows) => {
                self.is_unconfirmed = unconfirmed;
                if !unconfirmed {
                    self.stream.accept();
                }
                let coverage = Row::Coverage(self.book.coverage().clone());
                let images = rows.iter().chain([&coverage]).map(|row| (row.key(), row.value())).collect();
                let written = self.checkpoint.record(CheckpointTip { number, hash, timestamp }, images).await;
                self.note_checkpoint(written);
                debug!(events = events.len(), "block applied");
                if tip.is_some() && std::mem::take(&mut self.is_rebuilding) {
                    info!("book rebuilt");
                }
                FollowerEvent::Applied(block)
            }
            Err(error) => {
                self.rejected = match &error {
                    ApplyError::InconsistentEvent { block, event, .. } => event.subject().map(|id| (*block, id)),
                    ApplyError::NotNext { .. } => None,
                };
                self.stream.reject(error.to_string());
                FollowerEvent::Rejected
            }
        }
    }

    /// Rebuilds the book: from the checkpoint, which is of a block that no reorg reaches, or from the deployment's first
    /// block where the checkpoint was tried already. Only then it is discarded.
    pub async fn rebuild(&mut self) {
        if !self.restore().await {
            self.read_again().await;
        }
    }

    /// Leaves out a market, pool, backstop or vault until everything is [read again](Self::read_again).
    pub(super) fn quarantine(&mut self, id: B256) {
        self.book.quarantine(id);
    }

    /// Records that the chain confirms the book, so that its checkpoint is worth another try.
    pub const fn confirm(&mut self) {
        self.is_checkpoint_tried = false;
    }

    /// Takes the book back to its checkpoint, and has the stream begin again there. Returns false if there is none, or if
    /// that was tried and the book was not [confirmed](Self::confirm) since. The checkpoint of a book that leaves something
    /// out is not tried, either.
    pub async fn restore(&mut self) -> bool {
        if self.is_checkpoint_tried || !self.book.coverage().missing().is_empty() {
            return false;
        }
        let Ok(restored) = RestoredBook::load(&self.checkpoint, self.stream.sources()).await else { return false };
        let Some(tip) = restored.tip else { return false };
        // Later blocks that wait to be written come again.
        if self.checkpoint.revert_to(tip.number).await.is_err() {
            return false;
        }
        let cursor = restored.cursor(self.first_block);
        self.book = restored.book;
        (self.is_checkpoint_tried, self.from_nothing, self.is_rebuilding) = (true, false, true);
        self.is_unconfirmed = false;
        info!(block = tip.number, "book restored from its checkpoint");
        self.stream.restart(cursor);
        true
    }

    /// Empties book and checkpoint, and has the stream begin again at the deployment's first block. Nothing is quarantined
    /// any more.
    pub(super) async fn read_again(&mut self) {
        self.book = Book::following(self.book.coverage().followed().clone());
        self.is_checkpoint_tried = false;
        (self.from_nothing, self.is_rebuilding, self.is_unconfirmed) = (true, true, false);
        let written = self.checkpoint.clear().await;
        self.note_checkpoint(written);
        self.stream.restart(before(self.first_block));
    }

    /// Remembers the first failure to write the checkpoint. It costs time at the next start, and nothing else.
    fn note_checkpoint(&mut self, written: Result<(), StoreError>) {
        if let Err(error) = written
            && self.checkpoint_problem.is_none()
        {
            error!(%error, remedy = "the next start reads more of the chain", "checkpoint not written");
            self.checkpoint_problem = Some(error.to_string());
        }
    }
}

/// Whether a restored book has all that is followed.
pub(crate) fn covers(book: &Book, sources: &Sources) -> bool {
    // A vault that was not followed for some time has missed events.
    let has_vaults = book.vaults().map(VaultBook::address).collect::<BTreeSet<_>>() == sources.vaults;
    // The manager's constructor has an event.
    let has_governance = sources.governance.is_none() || book.governance().is_seen;
    // Nodes that were not followed for some time have missed events.
    let has_nodes = matches!(sources.followed, Followed::Only(_)) || sources.nodes.is_some() != book.jobs().is_empty();
    book.coverage().missing().is_empty() && has_vaults && has_governance && has_nodes
}

/// The cursor of a book to which nothing was applied.
const fn before(first_block: u64) -> Cursor {
    Cursor { number: first_block.saturating_sub(1), hash: None }
}
