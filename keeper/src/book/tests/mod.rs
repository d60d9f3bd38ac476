//! Tests of the book on generated events: its indices against full scans, reverting and restoring against applying, and
//! the rejection of inconsistent events. (That the book equals the chain is tested on a node, in `tests/tests/book`.)

mod dust;
mod governance;
mod harvest_queue;
mod quarantine;
mod rejected_events;
mod rejected_reward_events;
mod restore;
mod reverts;
mod reward_events;
mod waterline;

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, U256};
use plimsoll_contracts::{
    IPlimsoll::{self, IPlimsollEvents},
    MarketParams, RateCurve, Risk, SurgeLimit,
};

use super::*;

const LTV_BPS: u16 = 8_600;
const MIN_DEBT: u128 = 10_000;
const START: u64 = 1_000_000;

fn account(number: u64) -> Address {
    Address::left_padding_from(&number.to_be_bytes())
}

/// Returns the parameters of the `number`th market. Odd ones have a surge limit.
fn params(number: u64) -> MarketParams {
    let mut risk = Risk::new(8_000, LTV_BPS, MIN_DEBT).unwrap();
    if number % 2 == 1 {
        let limit = SurgeLimit { share_bps: 1_000, period_secs: 86_400, floor_multiple: 1_000 };
        risk = risk.with_surge_limit(limit).unwrap();
    }
    let curve = RateCurve::new(1_268_391_679, 9_000, 40_000, 500_000).unwrap();
    MarketParams::new(account(1), account(2), account(1_000 + number), risk, curve)
}

fn create(params: &MarketParams) -> Event {
    Event::Core(IPlimsollEvents::CreateMarket(IPlimsoll::CreateMarket { id: params.id().0, params: params.clone() }))
}

fn supply(id: B256, on_behalf: Address, assets: u128, shares: u128) -> Event {
    let (assets, shares) = (U256::from(assets), U256::from(shares));
    Event::Core(IPlimsollEvents::Supply(IPlimsoll::Supply {
        id,
        caller: on_behalf,
        onBehalf: on_behalf,
        assets,
        shares,
    }))
}

fn supply_collateral(id: B256, on_behalf: Address, assets: u128) -> Event {
    let assets = U256::from(assets);
    Event::Core(IPlimsollEvents::SupplyCollateral(IPlimsoll::SupplyCollateral {
        id,
        caller: on_behalf,
        onBehalf: on_behalf,
        assets,
    }))
}

fn borrow(id: B256, on_behalf: Address, assets: u128, shares: u128) -> Event {
    let (assets, shares, caller, receiver) = (U256::from(assets), U256::from(shares), on_behalf, on_behalf);
    Event::Core(IPlimsollEvents::Borrow(IPlimsoll::Borrow {
        id,
        caller,
        onBehalf: on_behalf,
        receiver,
        assets,
        shares,
    }))
}

fn repay(id: B256, on_behalf: Address, assets: u128, shares: u128) -> Event {
    let (assets, shares) = (U256::from(assets), U256::from(shares));
    Event::Core(IPlimsollEvents::Repay(IPlimsoll::Repay { id, caller: on_behalf, onBehalf: on_behalf, assets, shares }))
}

/// Everything that a book's public functions return.
#[derive(Debug, PartialEq)]
struct Snapshot {
    states: Vec<MarketState>,
    positions: Vec<Vec<(Address, Position)>>,
    candidates: Vec<Vec<LiquidationCandidate>>,
    cover: BTreeMap<CoverKey, U256>,
    pools: Vec<PoolSnapshot>,
}

/// Everything that a pool's public functions return.
#[derive(Debug, PartialEq)]
struct PoolSnapshot {
    id: B256,
    state: PoolState,
    stakes: Vec<(Address, u128, Vec<RewardLedger>)>,
    harvestable: Vec<Vec<HarvestCandidate>>,
}

fn snapshot(book: &Book) -> Snapshot {
    let prices = [1u128, 10u128.pow(34), 10u128.pow(36), 10u128.pow(38)].map(U256::from);
    Snapshot {
        states: book.markets().map(|market| *market.state()).collect(),
        positions: book.markets().map(|market| market.positions().collect()).collect(),
        candidates: book.markets().flat_map(|market| prices.map(|price| market.liquidatable(price, START))).collect(),
        cover: book.covers().collect(),
        pools: book.pools().map(pool_snapshot).collect(),
    }
}

fn pool_snapshot(pool: &PoolBook) -> PoolSnapshot {
    let ledgers = |account| pool.streams().map(|stream| stream.ledger(account)).collect();
    let last_update = pool.state().streams.iter().map(|stream| stream.last_update).max();
    let times = reward_events::times_around(last_update.unwrap());
    PoolSnapshot {
        id: pool.id(),
        state: pool.state().clone(),
        stakes: pool.stakes().map(|(account, staked)| (account, staked, ledgers(account))).collect(),
        harvestable: pool
            .streams()
            .flat_map(|stream| times.iter().map(move |time| stream.harvestable(*time)))
            .collect(),
    }
}

const fn block(number: u64) -> Block {
    Block { number, timestamp: START + 12 * number }
}
