//! What would this market have done on that day?
//!
//! ```text
//!  file ─► prices ─► feed and clock ─► which second the next block is of, and what the oracle says in it
//!  setting ─► loans (drawn) ─┐              │
//!                            ├─► chain: the real contracts, a real exchange and the real keeper on a node ─► outcome
//!                            └─► model: arithmetic alone, by our rule of liquidation and by others' ───────► outcome
//!  outcomes ─► figures ─► report: a table, JSON, a page with charts
//! ```
//!
//! [`prices`] reads a recording. [`setting`] says what is chosen: LTVs, depth of the exchange, price of gas, who borrows.
//! The [`model`] plays by any of the [`rules`], the [`chain`] by what is deployed. A [`feed`] answers by heartbeat and
//! deviation, and its clock leaves out blocks in which nothing can happen. In a block the liquidator comes first, with
//! what it decided on the one before; then traders bring the exchange's price to the recorded one, which makes good what
//! a sale moved it by; then the feed answers. The liquidator's costs are always in it: the exchange's fee, what
//! selling moves the price by, and gas.

pub mod chain;
pub mod feed;
pub mod model;
pub mod outcome;
pub mod prices;
pub mod rules;
pub mod setting;
