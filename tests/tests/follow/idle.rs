//! The keeper's calls to its main endpoint while nothing happens.

use std::time::Duration;

use alloy::{
    eips::{BlockId, BlockNumHash},
    providers::{DynProvider, Provider, ext::AnvilApi},
};
use eyre::ContextCompat;
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_keeper::{
    chain::Sources,
    engine::{Follower, FollowerEvent, RestoredBook},
    store::{Identity, Store},
    stream::{Stream, StreamSettings},
};
use plimsoll_testkit::{
    borrowers::{Borrowers, NewLoan},
    devnet::Devnet,
    market::{LocalMarket, units},
    proxy::{Counts, Proxy},
};

/// Number of blocks over which calls are averaged.
pub(crate) const IDLE_BLOCKS: u64 = 100;
/// As on Ethereum.
const BLOCK_TIME: Duration = Duration::from_secs(12);
const GAS_LIMIT: u64 = 2_000_000_000;

/// Has `mine` mine idle blocks, each when `follow` reports that the keeper has finished with the last, and counts the
/// keeper's calls to its main endpoint. The figure is [`Counts::per_block`].
pub(crate) async fn rpc_calls_over_idle_blocks(
    node: &DynProvider,
    endpoint: &Proxy,
    mut mine: impl AsyncFnMut() -> eyre::Result<()>,
    mut follow: impl AsyncFnMut(BlockNumHash) -> eyre::Result<()>,
) -> eyre::Result<Counts> {
    follow(newest(node).await?).await?;
    endpoint.reset_counts();
    for _ in 0..IDLE_BLOCKS {
        mine().await?;
        follow(newest(node).await?).await?;
    }
    endpoint.wait_for(|counts| counts.blocks() >= IDLE_BLOCKS).await
}

async fn newest(node: &DynProvider) -> eyre::Result<BlockNumHash> {
    let head = node.get_block(BlockId::latest()).await?.wrap_err("a chain has a head")?.header;
    Ok(BlockNumHash { number: head.number, hash: head.hash })
}

/// Returns the calls of following alone, with a number of loans in the book.
async fn following(loans: usize) -> eyre::Result<Counts> {
    let devnet = Devnet::start_with(&["--gas-limit", &GAS_LIMIT.to_string()]).await?;
    let market = LocalMarket::deploy(&devnet).await?;
    market.supply(&devnet, devnet.node.account(1)?, 10_000_000).await?;
    let borrowers = Borrowers::deploy(&devnet, market.core, GAS_LIMIT / 2).await?;
    let loan = NewLoan { collateral: units(1, 18).to(), debt: units(1_000, 6).to() };
    borrowers.open(&market.params, &vec![loan; loans]).await?;

    let proxy = Proxy::start(devnet.node.address()).await?;
    let folder = tempfile::tempdir()?;
    let chain_id = devnet.provider().get_chain_id().await?;
    let genesis = devnet.provider().get_block(BlockId::number(0)).await?.wrap_err("no first block")?.header.hash;
    let store = Store::open(folder.path(), &Identity { chain_id, genesis, core: market.core, rewards: None })?;
    let sources = Sources::all(market.core, None);
    let loaded = RestoredBook::load(&store.checkpoint, &sources).await?;
    let endpoints = [proxy.ws_url().parse::<Endpoint>()?];
    let stream = Stream::start(endpoints, sources, loaded.cursor(1), StreamSettings::new(chain_id, BLOCK_TIME));
    let mut follower = Follower::new(stream, loaded, store.checkpoint, 1);
    let mine = async || {
        devnet.provider().evm_mine(None).await?;
        eyre::Ok(())
    };
    let counts = rpc_calls_over_idle_blocks(devnet.provider(), &proxy, mine, async |block| {
        loop {
            let step = follower.next_step().await;
            if matches!(follower.process(step).await?, FollowerEvent::Applied(applied) if applied.hash == block.hash) {
                return Ok(());
            }
        }
    })
    .await?;
    let positions: usize = follower.book().markets().map(|market| market.positions().count()).sum();
    assert_eq!(positions, loans + 1, "the lender, too");
    Ok(counts)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_block_costs_at_most_one_call_however_many_positions_there_are() -> eyre::Result<()> {
    let (few, many) = (following(10).await?, following(1_000).await?);
    assert!(few.total() <= IDLE_BLOCKS, "{few:?}");
    assert_eq!(few.by_method(), many.by_method());
    Ok(())
}
