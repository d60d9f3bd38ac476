//! The undo log: the previous value of everything that a block changed, so that a reorged block can be reverted.

use std::collections::VecDeque;

use alloy::primitives::{Address, U256};

use super::{
    error::RevertError,
    governance::GovernanceState,
    jobs::{JobState, NodeState},
    market::{CoverKey, MarketState},
    orders::PlacedOrder,
    positions::Position,
    rewards::{IndexedLedger, PoolState},
    vaults::VaultState,
};
use crate::math::guard::OrderKind;

/// Maximum number of blocks that can be reverted after a reorg. A block this far below the newest one is treated as
/// final.
pub const MAX_REORG_DEPTH: u64 = 64;

/// One change, with the previous value. Changes are reverted in reverse order.
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
    Ledger { pool: u32, stream: usize, slot: u32, before: Box<IndexedLedger> },
    Order { market: u32, account: Address, kind: OrderKind, before: Option<Box<PlacedOrder>> },
    VaultCreated { vault: u32 },
    Vault { vault: u32, before: Box<VaultState> },
    Governance { before: Box<GovernanceState> },
    Job { id: u64, before: Option<Box<JobState>> },
    Node { id: u32, before: Option<NodeState> },
}

/// The row that a change is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RowLocation<'a> {
    Market(u32),
    Position { market: u32, slot: u32 },
    Cover(&'a CoverKey),
    Pool(u32),
    Staker { pool: u32, slot: u32 },
    Order { market: u32, account: Address, kind: OrderKind },
    Vault(u32),
    Governance,
    Job(u64),
    Node(u32),
}

impl Change {
    /// Returns the row that the change is in.
    pub(super) fn location(&self) -> RowLocation<'_> {
        match self {
            Self::MarketCreated { market } | Self::Market { market, .. } => RowLocation::Market(*market),
            Self::PositionCreated { market, slot } | Self::Position { market, slot, .. } => {
                RowLocation::Position { market: *market, slot: *slot }
            }
            Self::Cover(cover) => RowLocation::Cover(&cover.0),
            Self::PoolCreated { pool } | Self::Pool { pool, .. } => RowLocation::Pool(*pool),
            Self::StakerCreated { pool, slot } | Self::Stake { pool, slot, .. } | Self::Ledger { pool, slot, .. } => {
                RowLocation::Staker { pool: *pool, slot: *slot }
            }
            Self::Order { market, account, kind, .. } => {
                RowLocation::Order { market: *market, account: *account, kind: *kind }
            }
            Self::VaultCreated { vault } | Self::Vault { vault, .. } => RowLocation::Vault(*vault),
            Self::Governance { .. } => RowLocation::Governance,
            Self::Job { id, .. } => RowLocation::Job(*id),
            Self::Node { id, .. } => RowLocation::Node(*id),
        }
    }
}

/// The changes of the last [`MAX_REORG_DEPTH`] blocks.
#[derive(Debug, Default)]
pub(super) struct UndoLog {
    blocks: VecDeque<(u64, Vec<Change>)>,
    /// Number of the last applied block.
    tip: Option<u64>,
    /// Number of the oldest block that can be reverted to.
    oldest: u64,
}

impl UndoLog {
    /// Creates the log of a book that begins at a block and cannot be reverted below it.
    pub(super) const fn beginning_at(block: u64) -> Self {
        Self { blocks: VecDeque::new(), tip: Some(block), oldest: block }
    }

    pub(super) const fn tip(&self) -> Option<u64> {
        self.tip
    }

    /// Records the changes of a new block, and drops those of blocks that cannot be reverted any more.
    pub(super) fn push(&mut self, block: u64, changes: Vec<Change>) {
        self.tip = Some(block);
        self.blocks.push_back((block, changes));
        self.oldest = self.oldest.max(block.saturating_sub(MAX_REORG_DEPTH));
        while self.blocks.front().is_some_and(|(block, _)| *block <= self.oldest) {
            self.blocks.pop_front();
        }
    }

    /// Removes and returns the changes after `block`, the last first. Fails if `block` is below the oldest one that can
    /// be reverted to.
    pub(super) fn pop_after(&mut self, block: u64) -> Result<Vec<Change>, RevertError> {
        if self.tip.is_none_or(|tip| tip <= block) {
            return Ok(Vec::new());
        }
        if block < self.oldest {
            return Err(RevertError { wanted: block, oldest: self.oldest });
        }
        let kept = self.blocks.partition_point(|(number, _)| *number <= block);
        let reverted = self.blocks.split_off(kept);
        self.tip = Some(block);
        Ok(reverted.into_iter().rev().flat_map(|(_, changes)| changes.into_iter().rev()).collect())
    }
}
