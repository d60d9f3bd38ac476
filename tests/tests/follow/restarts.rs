//! What a keeper does with the book that the one before it wrote down.

use std::{collections::BTreeMap, fs, path::Path};

use alloy::{primitives::B256, providers::Provider, rpc::types::Filter};
use eyre::ContextCompat;
use plimsoll_keeper::store::{CheckpointTip, Store};
use plimsoll_testkit::{devnet::Devnet, proxy::Proxy};
use tempfile::TempDir;

use super::process::{Errand, Keeper};
use crate::book::{assert_equal, simulation::Simulation};

const SEED: u64 = 3;
/// More than can be taken back.
const BLOCKS: u64 = 80;
const UNDO_BLOCKS: u64 = 64;
/// What a start from nothing says.
const BEFORE_ALL: u64 = 0;

/// A keeper that has followed a simulation, and was stopped at its newest block.
struct Scene<'a> {
    simulation: Simulation<'a>,
    proxy: Proxy,
    keeper: Keeper,
    errand: Errand,
    folder: TempDir,
}

impl<'a> Scene<'a> {
    async fn new(devnet: &'a Devnet) -> eyre::Result<Self> {
        let mut simulation = Simulation::new(devnet, SEED).await?;
        live(&mut simulation, BLOCKS).await?;
        let proxy = Proxy::start(devnet.node.address()).await?;
        let folder = tempfile::tempdir()?;
        let errand = Errand::to(&simulation, &proxy, folder.path().to_path_buf()).await?;
        let mut keeper = Keeper::start(errand.clone())?;
        keeper.book_at_head(&simulation).await?;
        keeper.stop().await?;
        Ok(Self { simulation, proxy, keeper, errand, folder })
    }

    /// Starts it again, and compares everything.
    async fn assert_goes_on(&mut self) -> eyre::Result<()> {
        self.keeper.go_on()?;
        let book = self.keeper.book_at_head(&self.simulation).await?;
        assert_equal(&book, &self.simulation).await
    }
}

async fn live(simulation: &mut Simulation<'_>, blocks: u64) -> eyre::Result<()> {
    for _ in 0..blocks {
        for _ in 0..3 {
            simulation.deed().await?;
        }
        let timestamp = simulation.next_timestamp();
        simulation.mine_at(timestamp).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_reads_only_the_blocks_after_the_checkpoint() -> eyre::Result<()> {
    let devnet = Devnet::start().await?;
    let mut scene = Scene::new(&devnet).await?;
    let head = scene.simulation.head_number().await?;
    scene.proxy.reset_counts();
    scene.assert_goes_on().await?;
    let from = head - UNDO_BLOCKS;
    assert_eq!((scene.keeper.from, scene.keeper.story.applied), (Some(from), UNDO_BLOCKS));
    // One by one, and none where nothing happened.
    let ours = scene.simulation.sources().addresses().collect::<Vec<_>>();
    let logs = scene.simulation.provider().get_logs(&Filter::new().address(ours).from_block(from + 1)).await?;
    let mut blocks: Vec<_> = logs.iter().map(|log| log.block_number).collect();
    blocks.dedup();
    let counts = scene.proxy.counts();
    assert_eq!(counts.of("eth_getLogs"), u64::try_from(blocks.len())?, "{counts:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_whose_block_was_reorged_is_rebuilt() -> eyre::Result<()> {
    let devnet = Devnet::start().await?;
    let mut scene = Scene::new(&devnet).await?;
    let checkpoint = scene.simulation.head_number().await? - UNDO_BLOCKS;
    scene.simulation.reorganise(UNDO_BLOCKS + 6, 60).await?;
    scene.assert_goes_on().await?;
    assert_eq!((scene.keeper.from, scene.keeper.story.rebuilt), (Some(checkpoint), 1));
    // What is written down from then on is of the new chain.
    scene.keeper.stop().await?;
    scene.assert_goes_on().await?;
    assert_eq!((scene.keeper.from, scene.keeper.story.rebuilt), (Some(checkpoint), 0));

    // Back behind it, and past it again.
    scene.keeper.stop().await?;
    scene.simulation.roll_back(UNDO_BLOCKS + 6).await?;
    live(&mut scene.simulation, 10).await?;
    scene.assert_goes_on().await?;
    assert_eq!((scene.keeper.from, scene.keeper.story.rebuilt), (Some(checkpoint), 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_damaged_book_is_rebuilt_from_the_chain() -> eyre::Result<()> {
    let devnet = Devnet::start().await?;
    let mut scene = Scene::new(&devnet).await?;
    let (book, old) = (scene.folder.path().join("book.db"), scene.folder.path().join("book.db.old"));

    fs::remove_file(&book)?;
    scene.assert_goes_on().await?;
    assert_eq!((scene.keeper.from, old.exists()), (Some(BEFORE_ALL), false));
    scene.keeper.stop().await?;

    let mut damaged = fs::read(&book)?;
    damaged.iter_mut().skip(5_000).step_by(3).for_each(|byte| *byte ^= 0x55);
    fs::write(&book, &damaged)?;
    scene.assert_goes_on().await?;
    assert_eq!((scene.keeper.from, fs::read(&old)?), (Some(BEFORE_ALL), damaged));
    scene.keeper.stop().await?;

    falsify(&scene.errand).await?;
    scene.assert_goes_on().await?;
    assert_eq!(scene.keeper.from, Some(BEFORE_ALL));
    scene.keeper.stop().await?;

    scene.assert_goes_on().await?;
    assert_eq!(scene.keeper.from, Some(scene.simulation.head_number().await? - UNDO_BLOCKS));
    Ok(())
}

/// Writes down something that nothing on the chain makes: everything is as it should be but the rows.
async fn falsify(errand: &Errand) -> eyre::Result<()> {
    let store = Store::open(&errand.folder, &errand.identity)?;
    let read = store.checkpoint.load(|tip, rows| (tip, rows.collect::<Vec<_>>())).await?;
    let (tip, rows) = read.wrap_err("there is no checkpoint")?;
    let (key, mut value) =
        rows.into_iter().find(|(key, _)| key.first() == Some(&2)).wrap_err("there is no position")?;
    // Shares that no market has given out.
    value.first_mut().into_iter().for_each(|first| *first ^= 1);
    let next = CheckpointTip { number: tip.number + 1, ..tip };
    store.checkpoint.record(next, vec![(key, value)]).await?;
    store.checkpoint.record(CheckpointTip { number: next.number + UNDO_BLOCKS, ..tip }, Vec::new()).await?;
    Ok(store.checkpoint.flush().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_of_another_chain_is_refused_and_left_unchanged() -> eyre::Result<()> {
    let devnet = Devnet::start().await?;
    let mut scene = Scene::new(&devnet).await?;
    let before = files(scene.folder.path())?;
    assert!(before.contains_key("book.db") && before.contains_key("journal.db"), "{:?}", before.keys());
    let mut identity = scene.errand.identity;
    identity.genesis = B256::repeat_byte(1);
    let said = Errand { identity, ..scene.errand.clone() }.refused()?;
    for word in ["journal.db", "genesis", &scene.errand.identity.genesis.to_string(), "or a new one"] {
        assert!(said.contains(word), "{word} is not in: {said}");
    }
    assert_eq!(files(scene.folder.path())?, before);
    scene.assert_goes_on().await?;
    assert_ne!(scene.keeper.from, Some(BEFORE_ALL));
    Ok(())
}

/// What is in every file but the lock, which says who had the folder last.
fn files(folder: &Path) -> eyre::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?);
    }
    files.remove("lock");
    Ok(files)
}
