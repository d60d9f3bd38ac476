//! Routes through pools of Uniswap V2 and V3 and of their forks, without an API: pools are computed from the venues that
//! the executor contract lists, their state is read, and candidates are ranked by it.
//!
//! - [`pool`]: venues, the addresses of their pools, and the arithmetic of a swap: exact, as of the block that was read.
//! - [`concentrated`]: that of pools with concentrated liquidity, tick by tick.
//! - [`route`]: routes of up to three hops over hub tokens, ranked for an amount, and splits over several of them.
//! - [`venues`]: well-known factories of pools, by chain.
//! - [`spot_price`]: the price at the margin of a route that is given.
//! - [`router`]: which pools there are, and their state, read from a node in one request.
//!
//! A ranking only chooses what is tried on a node: the executor's trial says what a route really brings.

pub mod concentrated;
pub mod pool;
pub mod route;
pub mod router;
pub mod spot_price;
pub mod venues;

#[cfg(test)]
mod tests;
