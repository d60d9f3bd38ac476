//! What somebody has yet to be told: kept until it was delivered, so that it arrives at least once.

use std::sync::Arc;

use super::{StoreError, journal::Journal, worker::Worker};

/// Something that somebody is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its number. No other alert of this folder has it, ever, so that whoever is told twice can know.
    pub id: i64,
    /// What it is about.
    pub kind: String,
    /// What is said.
    pub body: String,
}

/// Alerts in their order.
#[derive(Debug, Clone)]
pub struct AlertQueue {
    journal: Arc<Worker<Journal>>,
}

impl AlertQueue {
    pub(super) const fn new(journal: Arc<Worker<Journal>>) -> Self {
        Self { journal }
    }

    /// Keeps an alert until it is delivered. It is safe on disk when this returns its number.
    pub async fn enqueue(&self, kind: &str, body: &str) -> Result<i64, StoreError> {
        let alert = (kind.to_owned(), body.to_owned());
        self.journal
            .ask(move |journal| {
                journal.run(|connection| {
                    let mut insert = connection.prepare_cached("INSERT INTO alerts (kind, body) VALUES (?1, ?2)")?;
                    insert.insert(alert)
                })
            })
            .await
    }

    /// The oldest alerts that were not delivered, at most so many, in their order.
    pub async fn pending(&self, limit: u32) -> Result<Vec<Alert>, StoreError> {
        self.journal
            .ask(move |journal| {
                journal.run(|connection| {
                    let mut select =
                        connection.prepare_cached("SELECT id, kind, body FROM alerts ORDER BY id LIMIT ?1")?;
                    let alerts = select.query_map([limit], |row| {
                        Ok(Alert { id: row.get(0)?, kind: row.get(1)?, body: row.get(2)? })
                    })?;
                    alerts.collect()
                })
            })
            .await
    }

    /// An alert was delivered, and is forgotten. One that is not there is fine.
    pub async fn delivered(&self, id: i64) -> Result<(), StoreError> {
        self.journal
            .ask(move |journal| {
                journal.run(|connection| {
                    connection.prepare_cached("DELETE FROM alerts WHERE id = ?1")?.execute([id]).map(drop)
                })
            })
            .await
    }
}
