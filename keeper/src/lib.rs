//! The keeper: watches a chain, liquidates loans under water, and harvests staking rewards.
//!
//! ```text
//! heads + logs ──► stream ──► book ──► strategies ──► sender ──► chain
//!                 (canonical,   (exact state,  (pure:       (one nonce owner, journal,
//!                  reorgs,       ordered)       act / why    fees, replacement, recovery)
//!                  cursor)                      not)
//! ```
//!
//! [`stream`] is what happens on the chain, [`math`] the contracts' arithmetic, [`book`] every market, position and
//! stake, kept from events alone. [`prices`] says what things are worth, [`strategies`] what is worth doing and why the
//! rest is not. [`sender`] is who sends, [`safety`] what keeps it from that,
//! [`store`] what is remembered through a restart.

pub mod amount;
pub mod audit;
pub mod book;
pub mod chain;
pub mod cli;
pub mod config;
pub mod engine;
pub mod intent;
pub mod math;
pub mod outside;
pub mod prices;
pub mod report;
pub mod safety;
pub mod sender;
pub mod store;
pub mod strategies;
pub mod stream;
