//! Prices and valuations: collateral by each market's own oracle, tokens in the chain's native currency.
//!
//! A market's liquidation price decides which of its loans are liquidatable. It is read in every block, for all markets
//! together, through the lens: [`snapshot`]. A token's value in the native currency, which gas is paid in, decides whether a
//! liquidation or harvest is profitable. It is read only when something depends on it, and at most once a block:
//! [`Valuer`], from price feeds, pools (TWAP or spot) or fixed rates.
//!
//! A price is either known, or there is a reason why not ([`NoPrice`], [`NoValuation`]). Nothing is guessed, and no
//! earlier value stands in for a missing one.
//!
//! [`ChainReader`] is the seam to the nodes: it runs `eth_call` and `eth_simulateV1`, and tests replace it.

mod rate;
mod reader;
mod snapshot;
mod twap;
mod valuer;

pub use self::{
    rate::Rate,
    reader::{Call, CallError, CallResult, ChainReader, EndpointReader, SimulatedCall},
    snapshot::{NoPrice, Prices, snapshot},
    valuer::{NoValuation, PoolHop, Source, Valuer, Values},
};
