//! A few texts by name in `journal.db`, such as what was lost today.

use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::{StoreError, journal::Journal, worker::Worker};

/// Texts by name. Clones write to the same file.
#[derive(Debug, Clone)]
pub struct Notes {
    journal: Arc<Worker<Journal>>,
}

impl Notes {
    pub(super) const fn new(journal: Arc<Worker<Journal>>) -> Self {
        Self { journal }
    }

    /// What was written last under this name.
    pub async fn read(&self, name: &'static str) -> Result<Option<String>, StoreError> {
        self.journal
            .ask(move |journal| {
                journal.run(|connection| {
                    let mut select = connection.prepare_cached("SELECT text FROM notes WHERE name = ?1")?;
                    select.query_row([name], |row| row.get(0)).optional()
                })
            })
            .await
    }

    /// Writes a text under this name, in place of what was there. It is safe on disk when this returns.
    pub async fn write(&self, name: &'static str, text: String) -> Result<(), StoreError> {
        self.journal
            .ask(move |journal| {
                journal.run(|connection| {
                    let mut upsert =
                        connection.prepare_cached("INSERT OR REPLACE INTO notes (name, text) VALUES (?1, ?2)")?;
                    upsert.execute((name, text)).map(drop)
                })
            })
            .await
    }
}
