//! The book kept equal to the chain, and its checkpoint behind it: what stream, book and store do together.

use std::sync::Arc;

use alloy::eips::BlockNumHash;
use thiserror::Error;

use crate::{
    book::{Block, Book, Row},
    store::{Checkpoint, CheckpointTip, Image, StoreError},
    stream::{BlockEvents, Cursor, Rebuild, Step, Stream},
};

/// The book as a checkpoint has it, or an empty one.
#[derive(Debug, Default)]
pub struct Loaded {
    book: Book,
    tip: Option<CheckpointTip>,
}

/// The book, and what keeps it.
#[derive(Debug)]
pub struct Follower {
    stream: Stream,
    book: Book,
    checkpoint: Checkpoint,
    /// Where the deployment's events begin.
    first_block: u64,
    /// Whether this process has read every event since the first block itself.
    from_nothing: bool,
    /// Why the checkpoint is not written any more.
    checkpoint_problem: Option<String>,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// This block was applied.
    Applied(Arc<BlockEvents>),
    /// Every block after this one was taken back.
    Undone {
        /// The last block that stays.
        to: BlockNumHash,
    },
    /// The book is empty, and is made anew.
    Rebuilt,
    /// The book refused what an endpoint said, which is fetched again.
    Refused,
}

/// The chain cannot be followed, and trying again would not help.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the book was made anew from block {first_block} on, and still: {reason}")]
pub struct FollowError {
    /// Where the book began.
    pub first_block: u64,
    /// What is wrong.
    pub reason: Rebuild,
}

impl Loaded {
    /// Reads the checkpoint. One whose rows do not add up is thrown away: the book is made anew from the chain.
    pub async fn from(checkpoint: &Checkpoint) -> Result<Self, StoreError> {
        let restore = |tip: CheckpointTip, images: &mut dyn Iterator<Item = Image>| {
            let block = Block { number: tip.number, timestamp: tip.timestamp };
            let rows = images.map(|(key, value)| Row::decode(&key, &value));
            Book::restore(block, rows).map(|book| (book, tip))
        };
        match checkpoint.load(restore).await? {
            None => Ok(Self::default()),
            Some(Ok((book, tip))) => Ok(Self { book, tip: Some(tip) }),
            Some(Err(error)) => {
                tracing::warn!(%error, "the checkpoint is thrown away, and the book is made anew from the chain");
                checkpoint.clear().await?;
                Ok(Self::default())
            }
        }
    }

    /// From where to follow the chain, for a deployment whose events begin in `first_block`.
    #[must_use]
    pub fn cursor(&self, first_block: u64) -> Cursor {
        self.tip.map_or_else(|| before(first_block), |tip| Cursor { number: tip.number, hash: Some(tip.hash) })
    }
}

impl Follower {
    /// Follows the chain; `stream` must begin at [`Loaded::cursor`].
    #[must_use]
    pub fn new(stream: Stream, loaded: Loaded, checkpoint: Checkpoint, first_block: u64) -> Self {
        let from_nothing = loaded.tip.is_none();
        Self { stream, book: loaded.book, checkpoint, first_block, from_nothing, checkpoint_problem: None }
    }

    /// The book as of the last step.
    #[must_use]
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// Where the blocks come from.
    #[must_use]
    pub const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Why the checkpoint is not written any more; the book is right all the same.
    #[must_use]
    pub fn checkpoint_problem(&self) -> Option<&str> {
        self.checkpoint_problem.as_deref()
    }

    /// Waits until there is something to do. May be dropped at any point.
    pub async fn wait(&mut self) -> Step {
        self.stream.next().await
    }

    /// Does it. Must not be dropped half way: book and checkpoint would part. Fails when the chain's own events do not
    /// add up.
    pub async fn take(&mut self, step: Step) -> Result<News, FollowError> {
        match step {
            Step::Apply(block) => Ok(self.apply(block).await),
            Step::Undo { to } => {
                if let Err(error) = self.book.undo_to(to.number) {
                    // A checkpoint's book begins at its block, and the stream may know blocks before it.
                    tracing::warn!(%error, "the book is made anew from the chain");
                    self.rebuild().await;
                    return Ok(News::Rebuilt);
                }
                self.stream.accept();
                let kept = self.checkpoint.undo_to(to.number).await;
                self.keep(kept);
                Ok(News::Undone { to })
            }
            Step::Rebuild(reason) => {
                let is_the_chains = match &reason {
                    Rebuild::DoesNotAddUp { elsewhere, .. } => !elsewhere,
                    Rebuild::Foreign { .. } => true,
                    Rebuild::NotCanonical { .. } | Rebuild::TooDeep { .. } => false,
                };
                if is_the_chains && self.from_nothing {
                    return Err(FollowError { first_block: self.first_block, reason });
                }
                tracing::warn!(%reason, "the book is made anew from the chain");
                self.rebuild().await;
                Ok(News::Rebuilt)
            }
        }
    }

    /// Waits until all of the checkpoint that is deep enough is on disk.
    pub async fn flush(&mut self) {
        let kept = self.checkpoint.flush().await;
        self.keep(kept);
    }

    async fn apply(&mut self, block: Arc<BlockEvents>) -> News {
        let BlockEvents { number, hash, timestamp, ref events, .. } = *block;
        match self.book.apply(Block { number, timestamp }, events) {
            Ok(rows) => {
                self.stream.accept();
                let images = rows.iter().map(|row| (row.key(), row.value())).collect();
                let kept = self.checkpoint.record(CheckpointTip { number, hash, timestamp }, images).await;
                self.keep(kept);
                News::Applied(block)
            }
            Err(error) => {
                self.stream.reject(error.to_string());
                News::Refused
            }
        }
    }

    /// Forgets everything, and reads the chain again from the deployment's first block on.
    pub async fn rebuild(&mut self) {
        self.book = Book::new();
        self.from_nothing = true;
        let kept = self.checkpoint.clear().await;
        self.keep(kept);
        self.stream.restart(before(self.first_block));
    }

    /// A checkpoint that cannot be written costs time at the next start, and nothing else.
    fn keep(&mut self, kept: Result<(), StoreError>) {
        if let Err(error) = kept
            && self.checkpoint_problem.is_none()
        {
            tracing::error!(%error, "the checkpoint is not written any more; the next start reads more of the chain");
            self.checkpoint_problem = Some(error.to_string());
        }
    }
}

/// Nothing was applied yet.
const fn before(first_block: u64) -> Cursor {
    Cursor { number: first_block.saturating_sub(1), hash: None }
}
