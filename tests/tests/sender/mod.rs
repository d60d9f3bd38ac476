//! The sender against a real node behind the rules of geth's transaction pool: K2 under faults.

mod faults;
mod fixture;
mod nonces;
mod prices;
mod refusals;
