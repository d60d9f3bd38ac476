//! What was before: one record for each thing that a block changed, so that a reorganised block can be taken back.

use std::collections::VecDeque;

use alloy::primitives::U256;

use super::{
    cover::CoverKey,
    error::UndoError,
    market::MarketState,
    positions::Position,
    rewards::{Account, PoolState},
};

/// How many blocks can be taken back.
pub const UNDO_BLOCKS: u64 = 64;

/// One thing as it was before a change. Taken back in reverse order.
#[derive(Debug)]
pub(super) enum Change {
    MarketCreated { market: u32 },
    Market { market: u32, before: Box<MarketState> },
    PositionCreated { market: u32, slot: u32 },
    Position { market: u32, slot: u32, before: Position },
    Cover(Box<(CoverKey, U256)>),
    PoolCreated { pool: u32 },
    Pool { pool: u32, before: Box<PoolState> },
    StakerCreated { pool: u32, slot: u32 },
    Stake { pool: u32, slot: u32, before: u128 },
    Ledger { pool: u32, stream: usize, slot: u32, before: Box<Account> },
}

/// Where something was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place<'a> {
    Market(u32),
    Position { market: u32, slot: u32 },
    Cover(&'a CoverKey),
    Pool(u32),
    Staker { pool: u32, slot: u32 },
}

impl Change {
    pub(super) fn place(&self) -> Place<'_> {
        match self {
            Self::MarketCreated { market } | Self::Market { market, .. } => Place::Market(*market),
            Self::PositionCreated { market, slot } | Self::Position { market, slot, .. } => {
                Place::Position { market: *market, slot: *slot }
            }
            Self::Cover(cover) => Place::Cover(&cover.0),
            Self::PoolCreated { pool } | Self::Pool { pool, .. } => Place::Pool(*pool),
            Self::StakerCreated { pool, slot } | Self::Stake { pool, slot, .. } | Self::Ledger { pool, slot, .. } => {
                Place::Staker { pool: *pool, slot: *slot }
            }
        }
    }
}

/// The changes of the last blocks.
#[derive(Debug, Default)]
pub(super) struct History {
    blocks: VecDeque<(u64, Vec<Change>)>,
    /// The last applied block.
    tip: Option<u64>,
    /// What was dropped was at or below this block.
    oldest: u64,
}

impl History {
    /// Nothing to be taken back at or below a block.
    pub(super) const fn beginning_at(block: u64) -> Self {
        Self { blocks: VecDeque::new(), tip: Some(block), oldest: block }
    }

    pub(super) const fn tip(&self) -> Option<u64> {
        self.tip
    }

    /// Keeps what a new block changed, and forgets what is too far back.
    pub(super) fn push(&mut self, block: u64, changes: Vec<Change>) {
        self.tip = Some(block);
        self.blocks.push_back((block, changes));
        self.oldest = self.oldest.max(block.saturating_sub(UNDO_BLOCKS));
        while self.blocks.front().is_some_and(|(block, _)| *block <= self.oldest) {
            self.blocks.pop_front();
        }
    }

    /// The changes after `block`, the last first.
    pub(super) fn pop_after(&mut self, block: u64) -> Result<Vec<Change>, UndoError> {
        if self.tip.is_none_or(|tip| tip <= block) {
            return Ok(Vec::new());
        }
        if block < self.oldest {
            return Err(UndoError { wanted: block, oldest: self.oldest });
        }
        let kept = self.blocks.partition_point(|(number, _)| *number <= block);
        let taken = self.blocks.split_off(kept);
        self.tip = Some(block);
        Ok(taken.into_iter().rev().flat_map(|(_, changes)| changes.into_iter().rev()).collect())
    }
}
