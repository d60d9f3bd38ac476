//! What a keeper remembers through a restart: files of SQLite's in one folder, which one keeper has at a time.
//!
//! - `journal.db` is precious: what was signed and sent, what was lost today, what somebody has yet to be told. Every
//!   write is safe on disk before it returns. It is never removed or replaced.
//! - `book.db` is a [`Checkpoint`] of the book, which can be thrown away and is made again from the chain.
//!
//! Each file is owned by a thread of its own behind a bounded queue, so that a slow disk delays no decision, and
//! nothing for one file queues behind a large write to the other. A file of another chain or another deployment is
//! refused with the remedy.

mod alerts;
mod checkpoint;
mod database;
mod entries;
mod error;
mod folder;
mod identity;
mod journal;
mod notes;
mod pending;
mod worker;

#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use self::folder::Folder;
pub use self::{
    alerts::{Alert, AlertQueue},
    checkpoint::{Checkpoint, CheckpointTip, Image},
    entries::SqliteJournal,
    error::StoreError,
    identity::Identity,
    notes::Notes,
};

/// The files of a keeper. The folder is free for another one when all parts of this are gone.
#[derive(Debug)]
pub struct Store {
    /// The book as it was at least 64 blocks ago.
    pub checkpoint: Checkpoint,
    /// Every transaction that was signed.
    pub journal: SqliteJournal,
    /// What safety remembers.
    pub notes: Notes,
    /// What somebody has yet to be told.
    pub alerts: AlertQueue,
}

impl Store {
    /// Takes the folder and opens its files, which are made where they are missing. Fails when another keeper has the
    /// folder, and when a file is not this keeper's.
    pub fn open(folder: &Path, identity: &Identity) -> Result<Self, StoreError> {
        let folder = Arc::new(Folder::take(folder)?);
        let journal = journal::open(&folder, identity)?;
        let checkpoint = Checkpoint::open(&folder, identity)?;
        Ok(Self {
            checkpoint,
            journal: SqliteJournal::new(Arc::clone(&journal)),
            notes: Notes::new(Arc::clone(&journal)),
            alerts: AlertQueue::new(journal),
        })
    }
}
