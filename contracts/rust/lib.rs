//! Typed bindings of Plimsoll's contracts, generated from their interface files when this crate is built.
//!
//! Each Solidity interface is a module of the same name with its calls, events and errors, and – over a provider –
//! an instance: `IThing::new(address, provider)`. Solidity's user-defined value types become their underlying integers.

#[cfg(test)]
mod joining;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    rustdoc::all,
    clippy::allow_attributes_without_reason,
    clippy::redundant_clone,
    clippy::use_self,
    reason = "generated from the interface files, which carry the documentation"
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

/// Bindings of the harnesses that run the contracts' arithmetic on many states in one call: `IMathHarness` and
/// `IRewardsHarness`. For tests.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    rustdoc::all,
    clippy::allow_attributes_without_reason,
    clippy::redundant_clone,
    clippy::use_self,
    reason = "generated from the interface files, which carry the documentation"
)]
pub mod harness {
    include!(concat!(env!("OUT_DIR"), "/harness.rs"));
}

pub mod deployment;
pub mod governance;
pub mod market;
pub mod quantity;
pub mod simulator;

pub use bindings::*;
pub use market::{InvalidParams, MarketId, RateCurve, Risk, SurgeLimit};
