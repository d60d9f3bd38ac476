//! Staking rewards in the book: pools, their reward streams, stakes, and which accounts can be harvested.

mod harvest_queue;
mod pool;
mod stakers;

pub(super) use self::stakers::IndexedLedger;
pub use self::{
    pool::{HarvestCandidate, PendingHarvest, PoolBook, PoolState, StreamBook},
    stakers::{HarvestConsent, RewardLedger},
};
