//! Staking programmes in the book: pools, their streams of rewards, and who is to be harvested.

mod pool;
mod ripeness;
mod stakers;
mod stream;

pub(super) use self::stakers::Account;
pub use self::{
    pool::{PoolBook, PoolState},
    stakers::{HarvestConsent, Ledger},
    stream::{HarvestCandidate, Ripening, StreamBook},
};
