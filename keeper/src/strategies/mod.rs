//! What is worth doing, and for everything that is not done, why not.
//!
//! A strategy decides from the book, prices and costs of one block. What it thinks is pure: the same block gives the
//! same decisions. Only exact amounts through a real exchange are asked of the chain itself, by trying the very call
//! that would be sent, before it is decided.
//!
//! [`liquidate`] finds loans under water and who pays for the gas of it, [`harvest`] rewards whose tips do. Each answers
//! [`Intent`](crate::intent::Intent)s, which guard themselves on chain, and a [`Decision`] for every loan or account
//! that it looked at.

pub mod gas;
pub mod harvest;
pub mod liquidate;
mod reverts;
mod why_not;

pub use self::{
    reverts::Revert,
    why_not::{Decision, WhyNot},
};
