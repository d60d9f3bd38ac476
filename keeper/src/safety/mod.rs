//! What stands before the sender: each intent passes a gate, or is refused with figures.
//!
//! The gate is pure. What it must remember through a restart – what was lost today, whether the breaker is open – is a
//! [`Record`], which whoever drives it keeps in a [`Notebook`]. What is pending when the gate closes is followed to its
//! end as before; only the kill file keeps the sender from touching that, too.

mod back_off;
mod gate;

use std::{fmt::Display, future::Future};

use crate::store::Notes;

pub use self::{
    back_off::{BackOff, Cause, Subject, Wait},
    gate::{Circumstances, Gate, Record, Refusal, Settings},
};

/// Where a gate's record is kept.
pub trait Notebook: Send + Sync + 'static {
    /// What was written last.
    fn read(&self) -> impl Future<Output = Result<Option<Record>, NotebookError>> + Send;

    /// Writes in place of what was there. It is safe from a crash when this returns.
    fn write(&self, record: Record) -> impl Future<Output = Result<(), NotebookError>> + Send;
}

/// The record cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what safety remembers: {problem}")]
pub struct NotebookError {
    /// What happened, and the remedy.
    pub problem: String,
}

/// Under what name the store keeps it.
const NOTE: &str = "safety";

impl Notebook for Notes {
    async fn read(&self) -> Result<Option<Record>, NotebookError> {
        let text = Self::read(self, NOTE).await.map_err(problem)?;
        text.map(|text| serde_json::from_str(&text).map_err(problem)).transpose()
    }

    async fn write(&self, record: Record) -> Result<(), NotebookError> {
        let text = serde_json::to_string(&record).map_err(problem)?;
        Self::write(self, NOTE, text).await.map_err(problem)
    }
}

fn problem(error: impl Display) -> NotebookError {
    NotebookError { problem: error.to_string() }
}
