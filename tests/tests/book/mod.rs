//! The keeper's book against the chain (K1, A8): random histories of many actors on a real node, and the book made from
//! its logs equals the contract's storage, market by market and position by position.

mod world;

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    eips::BlockId,
    primitives::{Address, Bytes, U256},
    providers::Provider,
    rpc::types::Filter,
    sol_types::SolCall,
};
use eyre::ContextCompat;
use plimsoll_contracts::{
    ILens,
    IPlimsoll::{self, IPlimsollEvents},
    Market,
};
use plimsoll_keeper::{
    book::{Block, Book, CoverKey, MarketBook},
    chain::{Event, Sources},
    math::{self, market::Liquidated},
};
use plimsoll_lab::rig::Rig;

use self::world::{LocalMarket, World};

const BLOCKS: u64 = 600;
/// Deeds in a block, on average half as many.
const MOST_DEEDS: u64 = 10;
/// How often everything is compared on the way.
const BLOCKS_BETWEEN_COMPARISONS: u64 = 60;
const SEED: u64 = 7;

/// Reads the logs of the blocks that the book lacks and applies them.
async fn catch_up(book: &mut Book, world: &World<'_>) -> eyre::Result<Vec<Event>> {
    let provider = world.provider();
    let head = provider.get_block_number().await?;
    let sources = Sources { core: world.core, rewards: None };
    let mut all = Vec::new();
    for number in book.tip().map_or(0, |tip| tip + 1)..=head {
        let block = provider.get_block(BlockId::number(number)).await?.wrap_err("a block is missing")?;
        let logs = provider.get_logs(&Filter::new().address(world.core).at_block_hash(block.header.hash)).await?;
        let mut events = Vec::new();
        for log in logs {
            events.extend(sources.decode(&log.inner)?);
        }
        book.apply(Block { number, timestamp: block.header.timestamp }, &events)?;
        all.extend(events);
    }
    Ok(all)
}

/// Every market, every position and all cover are what the contract has stored, and who is under water is who the
/// contract's own arithmetic says is.
async fn assert_equal(book: &Book, world: &World<'_>) -> eyre::Result<()> {
    let core = IPlimsoll::new(world.core, world.provider());
    assert_eq!(book.markets().count(), world.markets.len());
    for (market, local) in book.markets().zip(&world.markets) {
        let id = market.id().0;
        assert_eq!(stored(market), core.market(id).call().await?, "market {id}");
        assert_eq!(market.state().fee_recipient, core.feeRecipient(id).call().await?);
        assert_eq!(market.state().backstop, core.backstop(id).call().await?);
        for actor in &world.actors {
            let position = market.position(*actor);
            let on_chain = core.position(id, *actor).call().await?;
            assert_eq!(U256::from(position.supply_shares), on_chain.supplyShares, "{actor} in {id}");
            assert_eq!(U256::from(position.borrow_shares), on_chain.borrowShares, "{actor} in {id}");
            assert_eq!(U256::from(position.collateral), on_chain.collateral, "{actor} in {id}");
            let limit = core.coverLimit(*actor, id).call().await?;
            assert_eq!(book.cover(CoverKey::Limit(*actor, market.id())), limit, "{actor} for {id}");
            let token = local.params.loanToken;
            assert_eq!(book.cover(CoverKey::Amount(*actor, token)), core.cover(*actor, token).call().await?);
            assert_eq!(book.cover(CoverKey::Floor(*actor, token)), core.coverFloor(*actor, token).call().await?);
        }
        assert_same_waterlines(market, local, world).await?;
    }
    Ok(())
}

async fn assert_same_waterlines(market: &MarketBook, local: &LocalMarket, world: &World<'_>) -> eyre::Result<()> {
    let lens = ILens::new(world.lens, world.provider());
    let lines = lens.positions(market.id().0, world.actors.clone()).call().await?.lines;
    let mut under_water = BTreeSet::new();
    for line in lines {
        assert_eq!(line.waterlinePrice, market.waterline(line.account, world.timestamp), "{}", line.account);
        if line.debt != U256::ZERO && line.health < U256::from(math::wide::WAD) {
            under_water.insert(line.account);
        }
    }
    let found = market.liquidatable(local.price, world.timestamp);
    assert_eq!(found.iter().map(|candidate| candidate.account).collect::<BTreeSet<_>>(), under_water);
    Ok(())
}

fn stored(market: &MarketBook) -> Market {
    let totals = market.state().totals;
    Market {
        supplyAssets: U256::from(totals.supply_assets),
        supplyShares: U256::from(totals.supply_shares),
        borrowAssets: U256::from(totals.borrow_assets),
        borrowShares: U256::from(totals.borrow_shares),
        lastUpdate: U256::from(totals.last_update),
        feeBps: U256::from(totals.fee_bps),
        rateAtTarget: U256::from(totals.rate_at_target),
        interestRemainder: U256::from(totals.interest_remainder),
        reserveShares: U256::from(totals.reserve_shares),
    }
}

/// A block with nothing in it but a liquidation of some of those under water and some others. What the contract did is
/// what the keeper's arithmetic foresaw, loan by loan.
async fn liquidate(book: &mut Book, world: &mut World<'_>) -> eyre::Result<Vec<Event>> {
    let index = world.below(world.markets.len());
    let LocalMarket { params, price, .. } = world.markets[index].clone();
    let timestamp = world.next_timestamp();
    let market = book.market(params.id()).wrap_err("the market is not in the book")?;
    let mut borrowers: Vec<Address> = market.liquidatable(price, timestamp).iter().map(|found| found.account).collect();
    borrowers.truncate(1 + world.below(8));
    let somebody = world.anybody();
    if !borrowers.contains(&somebody) {
        borrowers.insert(world.below(borrowers.len() + 1), somebody);
    }
    let most = if world.below(2) == 0 { u128::MAX - 1 } else { 100_000_000 };
    let limit = 1 + world.random.amount_to(most);

    let (mut totals, mut left, mut foreseen) = (market.at(timestamp), limit, BTreeMap::new());
    for borrower in &borrowers {
        let mut loan = market.position(*borrower).loan();
        let smallest_debt = market.risk().smallest_debt();
        if let Some(done) = totals.liquidate(&mut loan, market.terms(), price, smallest_debt, left) {
            left -= done.repaid;
            foreseen.insert(*borrower, done);
        }
    }

    let caller = world.anybody();
    let call = IPlimsoll::liquidateCall {
        params,
        borrowers,
        maxRepay: U256::from(limit),
        minSeizedPerRepaid: U256::ZERO,
        receiver: caller,
        data: Bytes::new(),
    };
    world.enqueue(caller, world.core, call.abi_encode()).await?;
    world.mine_at(timestamp).await?;
    let events = catch_up(book, world).await?;
    let mut done = BTreeMap::new();
    for event in &events {
        if let Event::Core(IPlimsollEvents::Liquidate(event)) = event {
            let liquidated = Liquidated {
                repaid: event.repaid.try_into()?,
                shares: event.shares.try_into()?,
                seized: event.seized.try_into()?,
                bad_debt: event.badDebt.try_into()?,
            };
            done.insert(event.borrower, liquidated);
        }
    }
    assert_eq!(done, foreseen);
    Ok(events)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_book_equals_the_chain_through_random_histories() -> eyre::Result<()> {
    let rig = Rig::start(&["--gas-limit", "2000000000"]).await?;
    let mut world = World::new(&rig, SEED).await?;
    let mut book = Book::new();
    catch_up(&mut book, &world).await?;
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for number in 1..=BLOCKS {
        let events = if world.random.below(4) == 0 {
            liquidate(&mut book, &mut world).await?
        } else {
            for _ in 0..1 + world.random.below(MOST_DEEDS) {
                world.deed(&book).await?;
            }
            let timestamp = world.next_timestamp();
            world.mine_at(timestamp).await?;
            catch_up(&mut book, &world).await?
        };
        for event in &events {
            if let Event::Core(event) = event {
                *seen.entry(name(event)).or_default() += 1;
            }
        }
        if number % BLOCKS_BETWEEN_COMPARISONS == 0 {
            assert_equal(&book, &world).await?;
        }
    }
    // Everything that changes the book happened.
    let total: u32 = seen.values().sum();
    assert!(seen.len() == CHANGING_EVENTS && total > 3_000, "{total} events: {seen:?}");
    Ok(())
}

/// How many kinds of events change the book once its markets are there.
const CHANGING_EVENTS: usize = 17;

fn name(event: &IPlimsollEvents) -> &'static str {
    match event {
        IPlimsollEvents::Accrue(_) => "Accrue",
        IPlimsollEvents::Supply(_) => "Supply",
        IPlimsollEvents::Withdraw(_) => "Withdraw",
        IPlimsollEvents::SupplyCollateral(_) => "SupplyCollateral",
        IPlimsollEvents::WithdrawCollateral(_) => "WithdrawCollateral",
        IPlimsollEvents::Borrow(_) => "Borrow",
        IPlimsollEvents::Repay(_) => "Repay",
        IPlimsollEvents::Liquidate(_) => "Liquidate",
        IPlimsollEvents::RealiseLoss(_) => "RealiseLoss",
        IPlimsollEvents::CollectReserve(_) => "CollectReserve",
        IPlimsollEvents::DepositCover(_) => "DepositCover",
        IPlimsollEvents::WithdrawCover(_) => "WithdrawCover",
        IPlimsollEvents::SetCoverFloor(_) => "SetCoverFloor",
        IPlimsollEvents::SetCoverLimit(_) => "SetCoverLimit",
        IPlimsollEvents::SetFee(_) => "SetFee",
        IPlimsollEvents::SetFeeRecipient(_) => "SetFeeRecipient",
        IPlimsollEvents::SetBackstop(_) => "SetBackstop",
        _ => "another",
    }
}
