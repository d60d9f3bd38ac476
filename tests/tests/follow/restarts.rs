//! Restarts of a follower from its checkpoint.

use std::{collections::BTreeMap, fs, path::Path};

use alloy::{primitives::B256, providers::Provider, rpc::types::Filter};
use eyre::ContextCompat;
use plimsoll_keeper::store::{CheckpointTip, Store};
use plimsoll_testkit::{devnet::Devnet, proxy::Proxy};
use tempfile::TempDir;

use super::process::{FollowerArgs, FollowerProcess};
use crate::book::{assert_equal, simulation::Simulation};

const SEED: u64 = 3;
/// More than can be reverted.
const BLOCKS: u64 = 80;
const MAX_REORG_DEPTH: u64 = 64;
/// The block that a start without a checkpoint begins after.
const BEFORE_FIRST_BLOCK: u64 = 0;

/// A follower that has followed a simulation, and was stopped at its newest block.
struct Fixture<'a> {
    simulation: Simulation<'a>,
    proxy: Proxy,
    follower: FollowerProcess,
    args: FollowerArgs,
    folder: TempDir,
}

impl<'a> Fixture<'a> {
    async fn new(devnet: &'a Devnet) -> eyre::Result<Self> {
        let mut simulation = Simulation::new(devnet, SEED).await?;
        mine_random_blocks(&mut simulation, BLOCKS).await?;
        let proxy = Proxy::start(devnet.node.address()).await?;
        let folder = tempfile::tempdir()?;
        let args = FollowerArgs::new(&simulation, &proxy, folder.path().to_path_buf()).await?;
        let mut follower = FollowerProcess::start(args.clone())?;
        follower.book_at_head(&simulation).await?;
        follower.stop().await?;
        Ok(Self { simulation, proxy, follower, args, folder })
    }

    /// Restarts the follower, and asserts that its book equals the chain.
    async fn assert_restart_equals_chain(&mut self) -> eyre::Result<()> {
        self.follower.restart()?;
        let book = self.follower.book_at_head(&self.simulation).await?;
        assert_equal(&book, &self.simulation).await
    }
}

async fn mine_random_blocks(simulation: &mut Simulation<'_>, blocks: u64) -> eyre::Result<()> {
    for _ in 0..blocks {
        for _ in 0..3 {
            simulation.random_action().await?;
        }
        let timestamp = simulation.next_timestamp();
        simulation.mine_at(timestamp).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_reads_only_the_blocks_after_the_checkpoint() -> eyre::Result<()> {
    let devnet = Devnet::start().await?;
    let mut fixture = Fixture::new(&devnet).await?;
    let head = fixture.simulation.head_number().await?;
    fixture.proxy.reset_counts();
    fixture.assert_restart_equals_chain().await?;
    let from = head - MAX_REORG_DEPTH;
    assert_eq!((fixture.follower.from, fixture.follower.reports.applied), (Some(from), MAX_REORG_DEPTH));
    // Blocks are read one by one, and only those with events.
    let ours = fixture.simulation.sources().addresses().collect::<Vec<_>>();
    let logs = fixture.simulation.provider().get_logs(&Filter::new().address(ours).from_block(from + 1)).await?;
    let mut blocks: Vec<_> = logs.iter().map(|log| log.block_number).collect();
    blocks.dedup();
    // What 32 blocks had is looked for once more.
    let counts = fixture.proxy.counts();
    let once = u64::try_from(blocks.len())?;
    assert!((once..=once + MAX_REORG_DEPTH / 32).contains(&counts.of("eth_getLogs")), "{once}: {counts:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_whose_block_was_reorged_is_rebuilt() -> eyre::Result<()> {
    let devnet = Devnet::start().await?;
    let mut fixture = Fixture::new(&devnet).await?;
    let checkpoint = fixture.simulation.head_number().await? - MAX_REORG_DEPTH;
    fixture.simulation.reorg(MAX_REORG_DEPTH + 6, 60).await?;
    fixture.assert_restart_equals_chain().await?;
    assert_eq!((fixture.follower.from, fixture.follower.reports.rebuilt), (Some(checkpoint), 1));
    // The next checkpoint is of the new chain.
    fixture.follower.stop().await?;
    fixture.assert_restart_equals_chain().await?;
    assert_eq!((fixture.follower.from, fixture.follower.reports.rebuilt), (Some(checkpoint), 0));

    // The chain becomes shorter than the checkpoint, and longer again.
    fixture.follower.stop().await?;
    fixture.simulation.roll_back(MAX_REORG_DEPTH + 6).await?;
    mine_random_blocks(&mut fixture.simulation, 10).await?;
    fixture.assert_restart_equals_chain().await?;
    assert_eq!((fixture.follower.from, fixture.follower.reports.rebuilt), (Some(checkpoint), 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_damaged_book_is_rebuilt_from_the_chain() -> eyre::Result<()> {
    let devnet = Devnet::start().await?;
    let mut fixture = Fixture::new(&devnet).await?;
    let (book, old) = (fixture.folder.path().join("book.db"), fixture.folder.path().join("book.db.old"));

    fs::remove_file(&book)?;
    fixture.assert_restart_equals_chain().await?;
    assert_eq!((fixture.follower.from, old.exists()), (Some(BEFORE_FIRST_BLOCK), false));
    fixture.follower.stop().await?;

    let mut damaged = fs::read(&book)?;
    damaged.iter_mut().skip(5_000).step_by(3).for_each(|byte| *byte ^= 0x55);
    fs::write(&book, &damaged)?;
    fixture.assert_restart_equals_chain().await?;
    assert_eq!((fixture.follower.from, fs::read(&old)?), (Some(BEFORE_FIRST_BLOCK), damaged));
    fixture.follower.stop().await?;

    write_false_row(&fixture.args).await?;
    fixture.assert_restart_equals_chain().await?;
    assert_eq!(fixture.follower.from, Some(BEFORE_FIRST_BLOCK));
    fixture.follower.stop().await?;

    fixture.assert_restart_equals_chain().await?;
    assert_eq!(fixture.follower.from, Some(fixture.simulation.head_number().await? - MAX_REORG_DEPTH));
    Ok(())
}

/// Writes a row to the checkpoint that does not follow from the chain, in a valid form.
async fn write_false_row(args: &FollowerArgs) -> eyre::Result<()> {
    let store = Store::open(&args.folder, &args.identity)?;
    let read = store.checkpoint.load(|tip, rows| (tip, rows.collect::<Vec<_>>())).await?;
    let (tip, rows) = read.wrap_err("there is no checkpoint")?;
    let (key, mut value) =
        rows.into_iter().find(|(key, _)| key.first() == Some(&2)).wrap_err("there is no position")?;
    // Shares that no market has issued.
    value.first_mut().into_iter().for_each(|first| *first ^= 1);
    let next = CheckpointTip { number: tip.number + 1, ..tip };
    store.checkpoint.record(next, vec![(key, value)]).await?;
    store.checkpoint.record(CheckpointTip { number: next.number + MAX_REORG_DEPTH, ..tip }, Vec::new()).await?;
    Ok(store.checkpoint.flush().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_of_another_chain_is_refused_and_left_unchanged() -> eyre::Result<()> {
    let devnet = Devnet::start().await?;
    let mut fixture = Fixture::new(&devnet).await?;
    let before = files(fixture.folder.path())?;
    assert!(before.contains_key("book.db") && before.contains_key("journal.db"), "{:?}", before.keys());
    let mut identity = fixture.args.identity;
    identity.genesis = B256::repeat_byte(1);
    let said = FollowerArgs { identity, ..fixture.args.clone() }.refused()?;
    for word in ["journal.db", "was started again", &identity.chain_id.to_string(), "delete that folder"] {
        assert!(said.contains(word), "{word} is not in: {said}");
    }
    assert_eq!(files(fixture.folder.path())?, before);
    fixture.assert_restart_equals_chain().await?;
    assert_ne!(fixture.follower.from, Some(BEFORE_FIRST_BLOCK));
    Ok(())
}

/// Returns the content of every file but the lock, which records its last owner.
fn files(folder: &Path) -> eyre::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?);
    }
    files.remove("lock");
    Ok(files)
}
