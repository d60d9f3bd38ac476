//! Routes through pools of Uniswap V2 and V3 and of their forks, without an API: pools are computed from the venues that
//! the executor contract lists, their state is read, and candidates are ranked by it.
//!
//! - [`pool`]: venues, the addresses of their pools, and the arithmetic of a swap: exact for pairs, conservative for
//!   pools with concentrated liquidity.
//! - [`route`]: routes of up to three hops over hub tokens, ranked for an amount.
//! - [`venues`]: well-known factories of pools, by chain.
//! - [`router`]: which pools there are, and their state, read from a node in one request.
//!
//! A ranking only chooses what is tried on a node: the executor's trial says what a route really brings.

pub mod pool;
pub mod route;
pub mod router;
pub mod venues;

#[cfg(test)]
mod tests;
