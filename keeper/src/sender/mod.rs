//! The only part of the keeper that sends transactions: nonce management, fees and fee bumping, broadcast,
//! reorganisations, recovery after a crash.
//!
//! A nonce is assigned, a transaction signed, its bytes written to the [`journal`], and only then are they broadcast.
//! An intent holds one nonce in its life: one that lost its nonce to another intent is over, with a reason on record,
//! and the strategy decides again from the newest block. So no intent is ever executed twice.
//!
//! [`core`] is pure: it decides and does nothing itself, so that a crash can be simulated before every effect.
//! [`start`] gives each signer a task that carries the effects out, all on a thread of the sender's own (`thread`).

mod admission;
pub mod core;
pub mod fees;
pub mod fleet;
pub mod journal;
mod lease;
mod lock;
#[cfg(test)]
pub(crate) mod memory_journal;
mod nodes;
mod service;
mod sign;
mod signer_task;
mod standby;
pub mod submit_result;
mod thread;

use tokio::sync::watch;

pub use self::{
    lock::{LockError, SignerLock},
    nodes::Nodes,
    service::{CancelError, SenderHandle, SenderSettings, SenderTasks, Signers, StartError, start},
    signer_task::{Cancellation, PendingTransaction, SignerStatus},
};
pub use crate::intent::{SenderAlert, SenderEvent};

/// Waits until the sender is told to stop, or until the other end of the channel is dropped.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    stop.wait_for(|stop| *stop).await.ok();
}
