//! Measures the time to save the whole book to a checkpoint and to load it after a restart.

use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256};
use eyre::{ContextCompat, ensure};
use plimsoll_keeper::{
    book::{Block, Book, MAX_REORG_DEPTH, Row},
    chain::Followed,
    store::{CheckpointTip, Identity, Image, Store},
};
use plimsoll_testkit::workspace::workspace;

/// Rows that a block changes while the whole book is written: with 64 blocks that wait for their depth, no second copy of
/// the book is in memory.
const ROWS_PER_BLOCK: usize = 2_000;
/// Rows of the block that is written to the full checkpoint.
pub(super) const CHANGED_ROWS: usize = 10_000;

/// The measured times.
pub(super) struct Times {
    /// Time to encode all rows, write them block by block and close the file.
    pub(super) save: Duration,
    /// Time to write the rows of one block that changed [`CHANGED_ROWS`] positions, with the whole book in the file.
    pub(super) save_changed: Duration,
    /// Time to open and check the file, read all rows and build a book that is ready for the next block.
    pub(super) load: Duration,
}

/// Saves and loads a book of one market, on the disk that the repository is on. The file may still be in the system's
/// page cache when it is loaded.
pub(super) async fn times(book: Book, tip: Block) -> eyre::Result<Times> {
    let folder = tempfile::tempdir_in(workspace()?.target())?;
    let identity = Identity { chain_id: 1, genesis: B256::ZERO, core: Address::ZERO, rewards: None };
    let market = book.markets().next().wrap_err("the book has no market")?;
    let (id, count) = (market.id(), market.positions().count());

    let started = Instant::now();
    let store = Store::open(folder.path(), &identity)?;
    let block = |number| CheckpointTip { number, hash: B256::ZERO, timestamp: tip.timestamp };
    let (mut rows, mut number) = (book.rows(), tip.number);
    loop {
        let images: Vec<Image> = rows.by_ref().take(ROWS_PER_BLOCK).map(|row| (row.key(), row.value())).collect();
        if images.is_empty() {
            break;
        }
        store.checkpoint.record(block(number), images).await?;
        number += 1;
    }
    // A block is written once it is too deep to be reverted.
    number += MAX_REORG_DEPTH;
    store.checkpoint.record(block(number), Vec::new()).await?;
    store.checkpoint.flush().await?;
    drop(store);
    let save = started.elapsed();

    let store = Store::open(folder.path(), &identity)?;
    let changed: Vec<Image> = book
        .rows()
        .step_by((count / CHANGED_ROWS).max(1))
        .take(CHANGED_ROWS)
        .map(|row| (row.key(), row.value()))
        .collect();
    drop(rows);
    drop(book);
    let started = Instant::now();
    store.checkpoint.record(block(number + 1), changed).await?;
    store.checkpoint.record(block(number + 1 + MAX_REORG_DEPTH), Vec::new()).await?;
    store.checkpoint.flush().await?;
    let save_changed = started.elapsed();
    drop(store);

    let started = Instant::now();
    let store = Store::open(folder.path(), &identity)?;
    let restored = store.checkpoint.load(|tip, images| {
        let tip = Block { number: tip.number, timestamp: tip.timestamp };
        Book::restore(tip, &Followed::All, images.map(|(key, value)| Row::decode(&key, &value)))
    });
    let restored = restored.await?.wrap_err("there is no checkpoint")??;
    let load = started.elapsed();
    let positions = restored.market(id).wrap_err("the market is gone")?.positions().count();
    ensure!(positions == count, "{positions} positions came back of {count}");
    Ok(Times { save, save_changed, load })
}
