//! Prices and valuations: collateral by each market's own oracle, tokens in the chain's native currency.
//!
//! A market's liquidation price decides which of its loans are liquidatable. It is read in every block, for all markets
//! together, from their oracles: [`snapshot`]. A token's value in the native currency, which gas is paid in, decides whether
//! a liquidation or harvest is profitable. It is read at most once a block: [`Valuer`], from price feeds, pools (TWAP or
//! spot) or fixed rates.
//!
//! A price is either known, or there is a reason why not ([`NoPrice`], [`NoValuation`]). Nothing is guessed, and no
//! earlier value stands in for a missing one.
//!
//! [`ChainReader`] is the seam to the nodes, and tests replace it: it runs any number of calls in one `eth_call`. What a
//! block's decisions will need is asked for together as soon as its head is known, and kept as [`Answers`].

mod answers;
mod rate;
mod reader;
mod snapshot;
mod token;
mod twap;
mod valuer;

pub(crate) use self::token::IToken;
pub use self::{
    answers::{Answers, BlockReader},
    rate::Rate,
    reader::{Call, CallError, CallResult, ChainReader, EndpointReader, SimulatedCall, UNSIGNED_ACCOUNT},
    snapshot::{NoPrice, PricedMarket, Prices, price_calls, read_markets, snapshot},
    valuer::{NoValuation, PoolHop, Source, Valuer, Values},
};
