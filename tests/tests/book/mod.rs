//! The keeper's book equals the chain (K1, A8): over random histories of many actors on a real node, the book that is
//! built from the logs equals the contracts' storage, market by market, pool by pool and account by account.

mod earning;
mod equality;
mod guarding;
mod lending;
pub(crate) mod simulation;
mod vaults;

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
    IPlimsoll::{self, IPlimsollEvents},
    IRewards::{self, IRewardsEvents},
};
use plimsoll_keeper::{
    book::{Block, Book, Row},
    chain::{Event, Followed},
    math::types::Liquidated,
};
use plimsoll_testkit::devnet::Devnet;

pub(crate) use self::equality::assert_equal;
use self::simulation::{LocalMarket, Simulation};

const BLOCKS: u64 = 700;
/// The most actions in a block; the average is half of it.
const MAX_ACTIONS: u64 = 10;
/// Number of blocks between two full comparisons.
const BLOCKS_BETWEEN_COMPARISONS: u64 = 60;
const SEED: u64 = 7;

/// A book that follows a chain, with its checkpoint.
#[derive(Default)]
struct BookFollower {
    book: Book,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    tip: Option<Block>,
}

impl BookFollower {
    /// Applies the logs of the blocks that the book does not have yet.
    async fn apply_new_blocks(&mut self, simulation: &Simulation<'_>) -> eyre::Result<Vec<Event>> {
        let provider = simulation.provider();
        let sources = simulation.sources();
        let filter = Filter::new().address(sources.addresses().collect::<Vec<_>>());
        let head = provider.get_block_number().await?;
        let mut all = Vec::new();
        for number in self.book.tip().map_or(0, |tip| tip + 1)..=head {
            let block = provider.get_block(BlockId::number(number)).await?.wrap_err("a block is missing")?;
            let logs = provider.get_logs(&filter.clone().at_block_hash(block.header.hash)).await?;
            let mut events = Vec::new();
            for log in logs {
                events.extend(sources.decode(&log.inner)?);
            }
            let tip = Block { number, timestamp: block.header.timestamp };
            let rows = self.book.apply(tip, &events)?;
            self.rows.extend(rows.iter().map(|row| (row.key(), row.value())));
            self.tip = Some(tip);
            all.extend(events);
        }
        Ok(all)
    }

    /// Reverts the blocks after this one, in book and checkpoint.
    fn revert_to(&mut self, block: u64) -> eyre::Result<()> {
        self.book.revert_to(block)?;
        self.rows = self.book.rows().map(|row| (row.key(), row.value())).collect();
        Ok(())
    }

    /// Discards the book and restores it from its rows.
    fn restart(&mut self) -> eyre::Result<()> {
        let tip = self.tip.wrap_err("there was no block")?;
        self.book = Book::restore(tip, &Followed::All, self.rows.iter().map(|(key, value)| Row::decode(key, value)))?;
        Ok(())
    }
}

/// Mines a block with a single liquidation, of some liquidatable accounts and some others. Each result must equal that
/// of the keeper's arithmetic.
async fn liquidate(follower: &mut BookFollower, simulation: &mut Simulation<'_>) -> eyre::Result<Vec<Event>> {
    let index = simulation.below(simulation.markets.len());
    let LocalMarket { params, price, scale, .. } = simulation.markets[index].clone();
    let timestamp = simulation.next_timestamp();
    let market = follower.book.market(params.id()).wrap_err("the market is not in the book")?;
    let mut borrowers: Vec<Address> = market.liquidatable(price, timestamp).iter().map(|found| found.account).collect();
    borrowers.truncate(1 + simulation.below(8));
    let somebody = simulation.anybody();
    if !borrowers.contains(&somebody) {
        borrowers.insert(simulation.below(borrowers.len() + 1), somebody);
    }
    let most = if simulation.below(2) == 0 { u128::MAX - 1 } else { 100_000_000 * scale };
    let limit = 1 + simulation.random.amount_to(most);

    let (mut totals, mut left, mut expected) = (market.at(timestamp), limit, BTreeMap::new());
    for borrower in &borrowers {
        let mut loan = market.position(*borrower).loan();
        let min_debt = market.risk().min_debt();
        if let Some(done) = totals.liquidate(&mut loan, market.liquidation_incentive(), price, min_debt, left) {
            left -= done.repaid;
            expected.insert(*borrower, done);
        }
    }

    let caller = simulation.anybody();
    let call = IPlimsoll::liquidateCall {
        params,
        borrowers,
        maxRepay: U256::from(limit),
        minSeizedPerRepaid: U256::ZERO,
        receiver: caller,
        data: Bytes::new(),
    };
    simulation.enqueue(caller, simulation.core, call.abi_encode()).await?;
    simulation.mine_at(timestamp).await?;
    let events = follower.apply_new_blocks(simulation).await?;
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
    assert_eq!(done, expected);
    Ok(events)
}

/// Mines a block with a single harvest, of some harvestable accounts and some others. Each payment must equal that by
/// the book.
async fn harvest(follower: &mut BookFollower, simulation: &mut Simulation<'_>) -> eyre::Result<Vec<Event>> {
    let streams: Vec<_> = follower.book.rewards().collect();
    let stream = streams[simulation.below(streams.len())];
    let (pool, reward_token, timestamp) = (stream.pool().id(), stream.reward_token(), simulation.next_timestamp());
    let mut expected = BTreeMap::new();
    for found in stream.harvestable(timestamp).into_iter().take(1 + simulation.below(8)) {
        expected.insert(found.account, (U256::from(found.claimable), found.consent.compounds));
    }
    let mut accounts: Vec<Address> = expected.keys().copied().collect();
    let harvestable: BTreeSet<_> = stream.harvestable(timestamp).into_iter().map(|found| found.account).collect();
    let somebody = simulation.anybody();
    if expected.contains_key(&somebody) || !harvestable.contains(&somebody) {
        accounts.insert(simulation.below(accounts.len() + 1), somebody);
    }

    let caller = simulation.anybody();
    let call = IRewards::harvestCall { pool, rewardToken: reward_token, accounts };
    simulation.enqueue(caller, simulation.rewards, call.abi_encode()).await?;
    simulation.mine_at(timestamp).await?;
    let events = follower.apply_new_blocks(simulation).await?;
    let mut done = BTreeMap::new();
    for event in &events {
        if let Event::Rewards(IRewardsEvents::Harvest(event)) = event {
            done.insert(event.account, (event.amount, event.compounded));
        }
    }
    assert_eq!(done, expected);
    Ok(events)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_book_equals_the_chain_through_random_histories() -> eyre::Result<()> {
    let devnet = Devnet::start_with(&["--gas-limit", "2000000000"]).await?;
    let mut simulation = Simulation::new(&devnet, SEED).await?;
    let mut follower = BookFollower::default();
    follower.apply_new_blocks(&simulation).await?;
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut compared_surges = 0;
    for number in 1..=BLOCKS {
        let events = match simulation.random.below(8) {
            0 | 1 => liquidate(&mut follower, &mut simulation).await?,
            2 => harvest(&mut follower, &mut simulation).await?,
            3 => guarding::execute_order(&mut follower, &mut simulation).await?,
            _ => {
                for _ in 0..1 + simulation.random.below(MAX_ACTIONS) {
                    simulation.random_action().await?;
                }
                let timestamp = simulation.next_timestamp();
                simulation.mine_at(timestamp).await?;
                follower.apply_new_blocks(&simulation).await?
            }
        };
        for event in &events {
            if !matches!(event, Event::Core(IPlimsollEvents::SetAuthorization(_))) {
                *seen.entry(kind(event)).or_default() += 1;
            }
        }
        if number % BLOCKS_BETWEEN_COMPARISONS == 0 {
            assert_equal(&follower.book, &simulation).await?;
            compared_surges += follower.book.markets().filter(|market| market.state().totals.surge_level != 0).count();
            follower.restart()?;
            assert_equal(&follower.book, &simulation).await?;
        }
    }
    // Every event that changes the book occurred.
    let total: u32 = seen.values().sum();
    assert!(seen.len() == CHANGING_EVENTS && total > 2_500, "{total} events, {}: {seen:?}", seen.len());
    assert!(compared_surges > 0, "the surge limit was never in use where the book was compared");
    Ok(())
}

/// Number of events that change the book once its markets and pools exist: 18 of lending, 8 of staking, 5 of the guard.
const CHANGING_EVENTS: usize = 31;

/// Returns the contract and the name of an event.
fn kind(event: &impl std::fmt::Debug) -> String {
    format!("{event:?}").split(['(', ' ']).take(2).collect::<Vec<_>>().join(" ")
}
