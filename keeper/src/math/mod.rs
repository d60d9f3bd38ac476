//! The contracts' arithmetic in exact integers, bit for bit: interest, shares, debt, surge limit, health factor,
//! liquidation, rewards, orders.
//!
//! Every function is the twin of one in `contracts/src/libraries` or `contracts/src/rewards` and carries its name and
//! its rounding. Amounts that the contract stores in 128 bits or fewer are `u128` here; larger intermediate values are
//! [`U256`](alloy::primitives::U256). Nothing here panics: where the contract relies on a bound that its storage
//! guarantees, the twin saturates.

pub mod debt;
pub mod guard;
pub mod interest;
pub mod liquidation;
pub mod market;
pub mod rewards;
pub mod shares;
pub mod surge;
pub mod types;
pub mod wide;
