//! Random histories of many actors with reorgs and rollbacks, while the follower is killed and its connections are cut.

use plimsoll_testkit::{devnet::Devnet, proxy::Proxy};

use super::process::{FollowerArgs, FollowerProcess};
use crate::{
    book::{assert_equal, simulation::Simulation},
    random::Random,
};

const SEED: u64 = 3;
/// Depths of reorgs that a running follower sees, each after a part of the history.
const REORG_DEPTHS: [u64; 5] = [1, MAX_REORG_DEPTH, MAX_REORG_DEPTH + 1, 30, MAX_REORG_DEPTH];
/// Number of steps in a part, most of them blocks. Keepers are killed now and then meanwhile.
const STEPS: u64 = 80;
/// Number of keepers that are killed while they catch up afterwards.
const KILLS: u64 = 6;
/// The least number of lines that a start prints: its starting block, and the blocks after the checkpoint.
const MIN_START_LINES: u64 = MAX_REORG_DEPTH;
/// The most actions in a block; the average is half of it.
const MAX_ACTIONS: u64 = 10;
/// The deepest reorg that the follower can revert, and the deepest that occurs, which leads to a rebuild.
const MAX_REORG_DEPTH: u64 = 64;
const DEEPEST: u64 = 90;

/// Random reorgs, rollbacks and cut connections, besides the actors' actions.
struct RandomChain {
    random: Random,
    /// Number of blocks that can be replaced: those before them have the contracts and the actors' balances.
    replaceable: u64,
    /// The largest such number so far.
    most_replaceable: u64,
    actions: u64,
    too_deep: u64,
}

impl RandomChain {
    async fn step(&mut self, simulation: &mut Simulation<'_>, proxy: &mut Proxy) -> eyre::Result<()> {
        match self.random.below(100) {
            0..8 => {
                let depth = self.depth();
                let actions = 1 + self.random.below(3 * depth.min(12));
                simulation.reorg(depth, actions).await?;
                self.actions += actions;
                self.too_deep += u64::from(depth > MAX_REORG_DEPTH);
            }
            8..11 => {
                let depth = self.depth().min(MAX_REORG_DEPTH);
                simulation.roll_back(depth).await?;
                self.replaceable -= depth;
            }
            11..18 => proxy.cut_connections().await?,
            _ => self.block(simulation).await?,
        }
        Ok(())
    }

    async fn block(&mut self, simulation: &mut Simulation<'_>) -> eyre::Result<()> {
        let actions = self.random.below(MAX_ACTIONS);
        for _ in 0..actions {
            simulation.random_action().await?;
        }
        let timestamp = simulation.next_timestamp();
        simulation.mine_at(timestamp).await?;
        (self.actions, self.replaceable) = (self.actions + actions, self.replaceable + 1);
        self.most_replaceable = self.most_replaceable.max(self.replaceable);
        Ok(())
    }

    /// Makes the chain at least as long as it ever was: a follower treats a node that is shorter by more than it can
    /// revert as one that is behind, and waits.
    async fn grow(&mut self, simulation: &mut Simulation<'_>) -> eyre::Result<()> {
        self.block(simulation).await?;
        while self.replaceable < self.most_replaceable {
            let timestamp = simulation.next_timestamp();
            simulation.mine_at(timestamp).await?;
            self.replaceable += 1;
        }
        Ok(())
    }

    /// Returns a random depth: mostly a few blocks, sometimes as many as can be reverted, rarely more.
    fn depth(&mut self) -> u64 {
        let depth = match self.random.below(8) {
            0..4 => 1 + self.random.below(4),
            4..6 => 1 + self.random.below(MAX_REORG_DEPTH),
            6 => MAX_REORG_DEPTH,
            _ => MAX_REORG_DEPTH + 1 + self.random.below(DEEPEST - MAX_REORG_DEPTH),
        };
        depth.min(self.replaceable.max(1))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_book_equals_the_chain_after_reorgs_kills_and_cut_connections() -> eyre::Result<()> {
    // An Anvil that keeps state on disk loses its contracts' code.
    let devnet = Devnet::start_with(&["--gas-limit", "2000000000", "--prune-history", "5000"]).await?;
    let mut simulation = Simulation::new(&devnet, SEED).await?;
    let mut proxy = Proxy::start(devnet.node.address()).await?;
    let folder = tempfile::tempdir()?;
    let mut follower =
        FollowerProcess::start(FollowerArgs::new(&simulation, &proxy, folder.path().to_path_buf()).await?)?;
    let mut chain =
        RandomChain { random: Random::from_seed(SEED), replaceable: 0, most_replaceable: 0, actions: 0, too_deep: 0 };
    for _ in 0..DEEPEST {
        chain.block(&mut simulation).await?;
    }
    let mut kill_random = Random::from_seed(SEED);
    let mut lines = |least: u64| least + kill_random.below(MIN_START_LINES);
    for depth in REORG_DEPTHS {
        follower.kill_after(lines(1));
        for _ in 0..STEPS {
            chain.step(&mut simulation, &mut proxy).await?;
            follower.poll(|| lines(MIN_START_LINES))?;
        }
        chain.grow(&mut simulation).await?;
        for _ in 0..KILLS {
            follower.kill_and_replace(lines(1)).await?;
        }
        assert_equal(&follower.book_at_head(&simulation).await?, &simulation).await?;

        follower.reports.reverted.clear();
        let rebuilt = follower.reports.rebuilt;
        simulation.reorg(depth, depth).await?;
        assert_equal(&follower.book_at_head(&simulation).await?, &simulation).await?;
        let deepest = follower.reports.reverted.iter().max().copied().unwrap_or_default();
        let is_rebuilt = depth > MAX_REORG_DEPTH;
        assert!(is_rebuilt || deepest == depth, "{depth} blocks were replaced: {follower:?}");
        assert_eq!(
            follower.reports.rebuilt - rebuilt,
            u64::from(is_rebuilt),
            "{depth} blocks were replaced: {follower:?}"
        );
    }

    // The checkpoint equals the chain, too, at its block.
    follower.stop().await?;
    let reports = follower.reports.clone();
    follower.restart()?;
    follower.book_at_head(&simulation).await?;
    let (from, head) = (follower.from, simulation.head_number().await?);
    follower.stop().await?;
    simulation.roll_back(head - from.unwrap_or(head)).await?;
    follower.restart()?;
    assert_equal(&follower.book_at_head(&simulation).await?, &simulation).await?;
    assert_eq!((follower.from, follower.reports.applied), (from, 0));

    // Every kind of event occurred.
    assert!(chain.actions > 2_000 && chain.too_deep > 3, "{} actions, {} too deep", chain.actions, chain.too_deep);
    assert!(reports.killed > 30 && reports.rejected == 0, "{reports:?}");
    Ok(())
}
