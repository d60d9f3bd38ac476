//! Random histories of many actors, in which blocks are replaced and taken away, the keeper killed and its connections
//! cut.

use plimsoll_testkit::{devnet::Devnet, proxy::Proxy};

use super::process::{Errand, Keeper};
use crate::{
    book::{assert_equal, simulation::Simulation},
    random::Random,
};

const SEED: u64 = 3;
/// So many blocks are replaced under the eyes of a keeper that nobody kills, each time after a piece of history.
const SEEN_DEPTHS: [u64; 5] = [1, UNDO_BLOCKS, UNDO_BLOCKS + 1, 30, UNDO_BLOCKS];
/// Things that happen to the chain in a piece, most of them blocks. Now and then a keeper is killed meanwhile.
const STEPS: u64 = 80;
/// Then keepers are killed while they catch up.
const KILLS: u64 = 6;
/// A start says at least so many lines: of where it begins, and of the blocks that are not written down yet.
const MOST_LINES_ALONE: u64 = UNDO_BLOCKS;
/// Deeds in a block, on average half as many.
const MOST_DEEDS: u64 = 10;
/// How far back the keeper can go, and how far it is made to begin anew.
const UNDO_BLOCKS: u64 = 64;
const DEEPEST: u64 = 90;

/// What is done to the chain and to the keeper, besides what people do.
struct Fate {
    random: Random,
    /// Blocks that may go: those before them hold the contracts and everybody's wealth.
    blocks: u64,
    /// The most that there ever were.
    most_blocks: u64,
    deeds: u64,
    too_deep: u64,
}

impl Fate {
    async fn step(&mut self, simulation: &mut Simulation<'_>, proxy: &mut Proxy) -> eyre::Result<()> {
        match self.random.below(100) {
            0..8 => {
                let depth = self.depth();
                let deeds = 1 + self.random.below(3 * depth.min(12));
                simulation.reorganise(depth, deeds).await?;
                self.deeds += deeds;
                self.too_deep += u64::from(depth > UNDO_BLOCKS);
            }
            8..11 => {
                let depth = self.depth().min(UNDO_BLOCKS);
                simulation.roll_back(depth).await?;
                self.blocks -= depth;
            }
            11..18 => proxy.cut_connections().await?,
            _ => self.block(simulation).await?,
        }
        Ok(())
    }

    async fn block(&mut self, simulation: &mut Simulation<'_>) -> eyre::Result<()> {
        let deeds = self.random.below(MOST_DEEDS);
        for _ in 0..deeds {
            simulation.deed().await?;
        }
        let timestamp = simulation.next_timestamp();
        simulation.mine_at(timestamp).await?;
        (self.deeds, self.blocks) = (self.deeds + deeds, self.blocks + 1);
        self.most_blocks = self.most_blocks.max(self.blocks);
        Ok(())
    }

    /// Makes the chain at least as long as it ever was: a keeper waits for one that is shorter by more than can be taken
    /// back, as for one that is behind.
    async fn grow(&mut self, simulation: &mut Simulation<'_>) -> eyre::Result<()> {
        self.block(simulation).await?;
        while self.blocks < self.most_blocks {
            let timestamp = simulation.next_timestamp();
            simulation.mine_at(timestamp).await?;
            self.blocks += 1;
        }
        Ok(())
    }

    /// Mostly few blocks, sometimes as many as can be taken back, now and then more.
    fn depth(&mut self) -> u64 {
        let depth = match self.random.below(8) {
            0..4 => 1 + self.random.below(4),
            4..6 => 1 + self.random.below(UNDO_BLOCKS),
            6 => UNDO_BLOCKS,
            _ => UNDO_BLOCKS + 1 + self.random.below(DEEPEST - UNDO_BLOCKS),
        };
        depth.min(self.blocks.max(1))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_book_equals_the_chain_after_reorgs_kills_and_cut_connections() -> eyre::Result<()> {
    // An Anvil that keeps a state on disk forgets its contracts' code.
    let devnet = Devnet::start_with(&["--gas-limit", "2000000000", "--prune-history", "5000"]).await?;
    let mut simulation = Simulation::new(&devnet, SEED).await?;
    let mut proxy = Proxy::start(devnet.node.address()).await?;
    let folder = tempfile::tempdir()?;
    let mut keeper = Keeper::start(Errand::to(&simulation, &proxy, folder.path().to_path_buf()).await?)?;
    let mut fate = Fate { random: Random::from_seed(SEED), blocks: 0, most_blocks: 0, deeds: 0, too_deep: 0 };
    for _ in 0..DEEPEST {
        fate.block(&mut simulation).await?;
    }
    let mut lives = Random::from_seed(SEED);
    let mut life = |least: u64| least + lives.below(MOST_LINES_ALONE);
    for depth in SEEN_DEPTHS {
        keeper.doom(life(1));
        for _ in 0..STEPS {
            fate.step(&mut simulation, &mut proxy).await?;
            keeper.tend(|| life(MOST_LINES_ALONE))?;
        }
        fate.grow(&mut simulation).await?;
        for _ in 0..KILLS {
            keeper.die_after(life(1)).await?;
        }
        assert_equal(&keeper.book_at_head(&simulation).await?, &simulation).await?;

        keeper.story.undone.clear();
        let rebuilt = keeper.story.rebuilt;
        simulation.reorganise(depth, depth).await?;
        assert_equal(&keeper.book_at_head(&simulation).await?, &simulation).await?;
        let deepest = keeper.story.undone.iter().max().copied().unwrap_or_default();
        let begins_anew = depth > UNDO_BLOCKS;
        assert!(begins_anew || deepest == depth, "{depth} blocks were replaced: {keeper:?}");
        assert_eq!(keeper.story.rebuilt - rebuilt, u64::from(begins_anew), "{depth} blocks were replaced: {keeper:?}");
    }

    // What it wrote down is the book as well, of the block that it says.
    keeper.stop().await?;
    let story = keeper.story.clone();
    keeper.go_on()?;
    keeper.book_at_head(&simulation).await?;
    let (from, head) = (keeper.from, simulation.head_number().await?);
    keeper.stop().await?;
    simulation.roll_back(head - from.unwrap_or(head)).await?;
    keeper.go_on()?;
    assert_equal(&keeper.book_at_head(&simulation).await?, &simulation).await?;
    assert_eq!((keeper.from, keeper.story.applied), (from, 0));

    // Everything that was to happen happened.
    assert!(fate.deeds > 2_000 && fate.too_deep > 3, "{} deeds, {} too deep", fate.deeds, fate.too_deep);
    assert!(story.killed > 30 && story.refused == 0, "{story:?}");
    Ok(())
}
