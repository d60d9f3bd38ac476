//! What strangers create on chain neither gets into the book nor stops it (K8).

use std::time::Duration;

use alloy::{
    eips::BlockId,
    primitives::U256,
    providers::{Provider, ext::AnvilApi},
};
use eyre::{ContextCompat, ensure};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_contracts::{IPlimsoll, MarketParams, Risk};
use plimsoll_keeper::{
    book::Book,
    chain::{Followed, Sources},
    engine::{Follower, FollowerEvent, RestoredBook},
    store::{Identity, Store},
    stream::{Stream, StreamSettings},
};
use plimsoll_testkit::{
    devnet::{Devnet, mined},
    market::LocalMarket,
};

/// Markets that a stranger creates, half of them before the keeper starts.
const JUNK_MARKETS: u128 = 1_000;
const GAS_LIMIT: &str = "2000000000";

/// Creates markets with these numbers in one block. The core itself stands for their loan token and their oracle: any call
/// to either reverts.
async fn create_junk(
    devnet: &Devnet,
    market: &LocalMarket,
    numbers: std::ops::Range<u128>,
) -> eyre::Result<Vec<MarketParams>> {
    let (core, provider) = (IPlimsoll::new(market.core, devnet.provider()), devnet.provider());
    let stranger = devnet.node.account(5)?;
    provider.anvil_set_auto_mine(false).await?;
    let mut created = Vec::new();
    for number in numbers {
        let risk = Risk::new(8_000, 8_600, 10_000 + number)?;
        let params =
            MarketParams { risk: risk.word(), loanToken: market.core, oracle: market.core, ..market.params.clone() };
        let _pending = core.createMarket(params.clone()).from(stranger).gas(1_000_000).send().await?;
        created.push(params);
    }
    provider.evm_mine(None).await?;
    provider.anvil_set_auto_mine(true).await?;
    Ok(created)
}

/// Follows until the book is at the newest block.
async fn follow_to_head(follower: &mut Follower, devnet: &Devnet) -> eyre::Result<u64> {
    let head = devnet.provider().get_block(BlockId::latest()).await?.wrap_err("a chain has a head")?.header.hash;
    let mut events = 0;
    loop {
        let step = follower.next_step().await;
        if let FollowerEvent::Applied(block) = follower.process(step).await? {
            events += u64::try_from(block.events.len())?;
            if block.hash == head {
                return Ok(events);
            }
        }
    }
}

fn positions(book: &Book) -> usize {
    book.markets().map(|market| market.positions().count()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_markets_are_neither_read_nor_kept_while_backfilling_and_while_following() -> eyre::Result<()> {
    let devnet = Devnet::start_with(&["--gas-limit", GAS_LIMIT]).await?;
    let market = LocalMarket::deploy(&devnet).await?;
    let junk = create_junk(&devnet, &market, 0..JUNK_MARKETS / 2).await?;
    market.supply(&devnet, devnet.node.account(1)?, 10_000_000).await?;
    // More blocks than a reorg could replace, so that all of this is read by range.
    devnet.provider().anvil_mine(Some(100), None).await?;

    let provider = devnet.provider();
    let chain_id = provider.get_chain_id().await?;
    let genesis = provider.get_block(BlockId::number(0)).await?.wrap_err("no first block")?.header.hash;
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path(), &Identity { chain_id, genesis, core: market.core, rewards: None })?;
    let followed = Followed::only([market.params.id().0]);
    let sources = Sources { followed, ..Sources::all(market.core, None) };
    let loaded = RestoredBook::load(&store.checkpoint, &sources).await?;
    let endpoints = [devnet.node.ws_url().parse::<Endpoint>()?];
    let settings = StreamSettings::new(chain_id, Duration::from_secs(1));
    let stream = Stream::start(endpoints, sources, loaded.cursor(1), settings);
    let mut follower = Follower::new(stream, loaded, store.checkpoint, 1);
    let events = follow_to_head(&mut follower, &devnet).await?;
    ensure!(events < 10, "{events} events were read for one market and one supply");

    let more = create_junk(&devnet, &market, JUNK_MARKETS / 2..JUNK_MARKETS).await?;
    let core = IPlimsoll::new(market.core, provider);
    let stranger = devnet.node.account(5)?;
    mined(core.setCoverLimit(market.params.id().0, U256::MAX).from(stranger)).await?;
    market.open_loan(&devnet, devnet.node.account(2)?, 1, 1_000).await?;
    follow_to_head(&mut follower, &devnet).await?;

    let book = follower.book();
    assert_eq!(book.markets().map(|found| found.id()).collect::<Vec<_>>(), [market.params.id()]);
    assert_eq!((positions(book), book.covers().count()), (2, 0));
    for params in [junk.last(), more.last()] {
        let created = core.market(params.wrap_err("nothing was created")?.id().0).call().await?;
        assert!(!created.lastUpdate.is_zero(), "the chain has the strangers' markets");
    }
    Ok(())
}
