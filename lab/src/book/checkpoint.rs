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

/// The measured times.
pub(super) struct Times {
    /// Time to encode all rows, write them and close the file. A keeper does this incrementally.
    pub(super) save: Duration,
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
    let images = book.rows().map(|row| (row.key(), row.value())).collect::<Vec<Image>>();
    let block = |number| CheckpointTip { number, hash: B256::ZERO, timestamp: tip.timestamp };
    store.checkpoint.record(block(tip.number), images).await?;
    // A block is written once it is too deep to be reverted.
    store.checkpoint.record(block(tip.number + MAX_REORG_DEPTH), Vec::new()).await?;
    store.checkpoint.flush().await?;
    drop(store);
    let save = started.elapsed();
    drop(book);

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
    Ok(Times { save, load })
}
