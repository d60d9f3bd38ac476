//! The only part of the keeper that sends transactions.
//!
//! A nonce is reserved, a transaction signed, its bytes written to the [`journal`], and only then does anybody else see
//! them. An intent holds one nonce in its life: one that lost its nonce to another is over, on record, and whoever
//! wanted it decides again from the newest block. So no intent is ever carried out twice.
//!
//! [`core`] decides and does nothing, so that a crash can be tried at every step.

pub mod core;
pub mod fees;
pub mod journal;
mod memory;
pub mod outcome;
pub mod verdict;

pub use memory::MemoryJournal;
