//! The sender against a real node behind geth's transaction pool: K2 where something goes wrong on the way.

mod faults;
mod fixture;
mod nonces;
mod prices;
mod refusals;
