//! What things are worth: collateral by each market's own oracle, and tokens in the chain's coin.
//!
//! A market's price decides who can be liquidated, so it is read in every block, of all markets in one call to the
//! lens: [`snapshot`]. What tokens are worth in the coin that gas is paid in decides whether that pays; it is read only
//! when something waits for it, and once a block: [`Valuer`].
//!
//! A price is there or there is a reason why not. Nothing is guessed, and no old value stands in for a missing one.

mod node;
mod rate;
mod snapshot;
mod tick;
mod valuer;

pub use self::{
    node::{Answer, Call, Node, Reads, Refusal, Trial},
    rate::Rate,
    snapshot::{NoPrice, Prices, snapshot},
    valuer::{NoValuation, PoolHop, Source, Valuer, Values},
};
