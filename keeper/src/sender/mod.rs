//! The only part of the keeper that sends transactions.
//!
//! A nonce is reserved, a transaction signed, its bytes written to the [`journal`], and only then does anybody else see
//! them. An intent holds one nonce in its life: one that lost its nonce to another is over, on record, and whoever
//! wanted it decides again from the newest block. So no intent is ever carried out twice.
//!
//! [`core`] decides and does nothing, so that a crash can be tried at every step; [`start`] has a task do what it says.

mod configured;
pub mod core;
pub mod fees;
mod guard;
pub mod journal;
mod lane;
mod lock;
mod memory;
mod nodes;
pub mod outcome;
mod shell;
mod sign;
pub mod verdict;

pub use self::{
    lane::{LaneStatus, Pending},
    lock::{LockError, SignerLock},
    memory::MemoryJournal,
    nodes::Nodes,
    shell::{News, SenderHandle, SenderTasks, Settings, Signers, StartError, start},
};
