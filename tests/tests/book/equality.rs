//! Equality of a book and a chain: every word that the contracts store, and the results of their views.

use std::collections::BTreeSet;

use alloy::primitives::U256;
use plimsoll_contracts::{ILens, IPlimsoll, IRewards, Market};
use plimsoll_keeper::{
    book::{Book, CoverKey, HarvestConsent, MarketBook, PoolBook, StreamBook},
    math,
};

use super::{
    guarding::assert_same_orders,
    simulation::{LocalMarket, Simulation},
};

/// Seconds ahead for which claims are compared.
const AHEAD_SECS: u64 = 1_000_000;

/// Asserts that every market, position, pool, stake, consent, order and all cover equal the contracts' storage, and that
/// liquidatable and harvestable accounts are those by the contracts' own arithmetic.
pub(crate) async fn assert_equal(book: &Book, simulation: &Simulation<'_>) -> eyre::Result<()> {
    let core = IPlimsoll::new(simulation.core, simulation.provider());
    assert_eq!(book.markets().count(), simulation.markets.len());
    for (market, local) in book.markets().zip(&simulation.markets) {
        let id = market.id().0;
        assert_eq!(Market::from(market.state().totals), core.market(id).call().await?, "market {id}");
        assert_eq!(market.state().fee_recipient, core.feeRecipient(id).call().await?);
        assert_eq!(market.state().backstop, core.backstop(id).call().await?);
        for actor in &simulation.actors {
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
        assert_same_waterlines(market, local, simulation).await?;
        assert_same_orders(market, local.price, simulation).await?;
    }
    assert_eq!(book.pools().count(), simulation.pools.len());
    for pool in book.pools() {
        assert_same_pool(pool, simulation).await?;
        for stream in pool.streams() {
            assert_same_stream(stream, simulation).await?;
        }
    }
    Ok(())
}

async fn assert_same_waterlines(
    market: &MarketBook,
    local: &LocalMarket,
    simulation: &Simulation<'_>,
) -> eyre::Result<()> {
    let lens = ILens::new(simulation.lens, simulation.provider());
    let lines = lens.positions(market.id().0, simulation.actors.clone()).call().await?.lines;
    let mut liquidatable = BTreeSet::new();
    for line in lines {
        assert_eq!(line.waterlinePrice, market.waterline(line.account, simulation.timestamp), "{}", line.account);
        if line.debt != U256::ZERO && line.health < U256::from(math::wide::WAD) {
            liquidatable.insert(line.account);
        }
    }
    let found = market.liquidatable(local.price, simulation.timestamp);
    assert_eq!(found.iter().map(|candidate| candidate.account).collect::<BTreeSet<_>>(), liquidatable);
    Ok(())
}

async fn assert_same_pool(pool: &PoolBook, simulation: &Simulation<'_>) -> eyre::Result<()> {
    let rewards = IRewards::new(simulation.rewards, simulation.provider());
    let state = rewards.poolState(pool.id()).call().await?;
    assert_eq!(pool.stake_token(), state.stakeToken);
    assert_eq!(pool.reward_tokens(), state.rewardTokens);
    assert_eq!(U256::from(pool.state().total_staked), state.totalStaked);
    for actor in &simulation.actors {
        assert_eq!(U256::from(pool.stake(*actor)), rewards.staked(pool.id(), *actor).call().await?, "{actor}");
    }
    Ok(())
}

async fn assert_same_stream(stream: StreamBook<'_>, simulation: &Simulation<'_>) -> eyre::Result<()> {
    let rewards = IRewards::new(simulation.rewards, simulation.provider());
    let (pool, token) = (stream.pool().id(), stream.reward_token());
    let (found, stored) = (stream.state(), rewards.streamState(pool, token).call().await?);
    assert_eq!(found.accumulator, stored.accumulator);
    assert_eq!(U256::from(found.last_update), stored.lastUpdate);
    assert_eq!(U256::from(found.remainder), stored.remainder);
    assert_eq!(U256::from(found.epoch_amount), stored.epochAmount);
    assert_eq!(U256::from(found.last_funded_epoch), stored.lastFundedEpoch);
    assert_eq!(U256::from(found.funded), stored.funded);
    let schedule = rewards.schedule(pool, token).call().await?;
    let amounts: Vec<_> = stream.schedule(simulation.timestamp).into_iter().map(U256::from).collect();
    assert_eq!(amounts, schedule.amounts);

    let mut harvestable = BTreeSet::new();
    for actor in simulation.actors.iter().copied() {
        let offset = rewards.rewardOffset(pool, token, actor).call().await?;
        assert_eq!(U256::from(stream.ledger(actor).offset), offset, "{actor}");
        let stored = rewards.harvestConsent(pool, token, actor).call().await?;
        let consent = HarvestConsent {
            enabled: stored.enabled,
            compounds: stored.compounds,
            tip_bps: stored.tipBps,
            smallest: stored.smallest.to(),
        };
        assert_eq!(stream.consent(actor), consent, "{actor}");
        let claimable = rewards.claimable(pool, token, actor).call().await?;
        assert_eq!(U256::from(stream.claimable(actor, simulation.timestamp)), claimable, "{actor}");
        let later = simulation.timestamp + AHEAD_SECS;
        let claimable_then = rewards.claimableAt(pool, token, actor, U256::from(later)).call().await?;
        assert_eq!(U256::from(stream.claimable(actor, later)), claimable_then, "{actor}");
        if consent.enabled && claimable >= U256::from(consent.smallest.max(1)) {
            harvestable.insert(actor);
        }
    }
    let found = stream.harvestable(simulation.timestamp);
    assert_eq!(found.iter().map(|candidate| candidate.account).collect::<BTreeSet<_>>(), harvestable);
    Ok(())
}
