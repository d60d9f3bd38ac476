//! Safety in front of the sender: each intent passes a [`Gate`], or is refused with figures. The reasons to refuse are
//! the kill file, an open circuit breaker, a cap on the day's loss, a low balance, back-off after failures, and a dry run.
//!
//! Breakers and caps follow from the [`ResultsLedger`]: what every mined transaction earned and cost, by its own receipt.
//! They hold for one strategy in one market, so that its failures stop nothing else; one cap holds for all together.
//!
//! The gate is pure. What it must remember through a restart – the ledger, which breakers are open – is a
//! [`SafetyRecord`], which its owner keeps in a [`SafetyStore`]. Transactions that are pending when the gate refuses
//! new ones are followed to their end as before; only the kill file keeps the sender from touching those, too.

mod back_off;
mod gate;
mod results;

use std::{future::Future, sync::Arc};

pub use self::{
    back_off::{BackOff, FailureCause, Wait},
    gate::{Gate, RiskContext, SafetyRecord, SafetySettings},
    results::{Contracts, Execution, LifetimeTotals, Realised, ResultsLedger, Sums},
};

/// Durable storage of a gate's record.
pub trait SafetyStore: Send + Sync + 'static {
    /// Reads the record that was written last, if there is one. Fails where it cannot be read.
    fn read(&self) -> impl Future<Output = Result<Option<SafetyRecord>, SafetyStoreError>> + Send;

    /// Writes the record in place of the last one. It survives a crash when this returns.
    fn write(&self, record: SafetyRecord) -> impl Future<Output = Result<(), SafetyStoreError>> + Send;
}

impl<S: SafetyStore> SafetyStore for Arc<S> {
    fn read(&self) -> impl Future<Output = Result<Option<SafetyRecord>, SafetyStoreError>> + Send {
        S::read(self)
    }

    fn write(&self, record: SafetyRecord) -> impl Future<Output = Result<(), SafetyStoreError>> + Send {
        S::write(self, record)
    }
}

/// The safety record cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the safety record: {problem}")]
pub struct SafetyStoreError {
    /// What went wrong, and what to do about it.
    pub problem: String,
}
