//! Which markets and staking pools a book contains, and which rows of a checkpoint are theirs.
//!
//! Anybody can create markets and pools, so a book contains those that are followed. The set may change at a restart: a
//! smaller one leaves rows in the checkpoint that are not loaded any more, a larger one needs events from before.

use std::collections::BTreeSet;

use alloy::primitives::B256;

use crate::chain::Followed;

/// The part of the chain that a book is of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coverage {
    /// The markets and pools that are followed.
    pub(super) followed: Followed,
    /// Those of them that the book does not contain, because events are missing or do not add up.
    pub(super) missing: BTreeSet<B256>,
    /// Numbers of markets whose rows do not count any more.
    pub(super) dropped_markets: BTreeSet<u32>,
    /// Numbers of pools whose rows do not count any more.
    pub(super) dropped_pools: BTreeSet<u32>,
    /// Number of the next market. No number is given twice, since rows of the first would be taken for the second's.
    pub(super) next_market: u32,
    /// Number of the next pool.
    pub(super) next_pool: u32,
}

impl Coverage {
    /// Everything that is followed is there from the first block on.
    pub(super) fn of(followed: Followed) -> Self {
        Self { followed, ..Self::default() }
    }

    /// Returns the coverage for another set of markets and pools, after which those that were not followed until now are
    /// missing. `None` if these cannot be named, because all are wanted.
    pub(super) fn narrowed(self, followed: &Followed) -> Option<Self> {
        let missing = match (followed, &self.followed) {
            (Followed::All, Followed::All) => self.missing,
            (Followed::All, Followed::Only(_)) => return None,
            (Followed::Only(wanted), had) => {
                let is_missing = |id: &&B256| !had.contains(id) || self.missing.contains(*id);
                wanted.iter().filter(is_missing).copied().collect()
            }
        };
        Some(Self { followed: followed.clone(), missing, ..self })
    }

    /// The markets and pools that are followed.
    #[must_use]
    pub const fn followed(&self) -> &Followed {
        &self.followed
    }

    /// Markets and pools that are followed and not in the book, because events are missing or do not add up.
    #[must_use]
    pub const fn missing(&self) -> &BTreeSet<B256> {
        &self.missing
    }

    /// Returns whether the book contains what there is of a market or pool.
    #[must_use]
    pub fn contains(&self, id: &B256) -> bool {
        self.followed.contains(id) && !self.missing.contains(id)
    }
}
