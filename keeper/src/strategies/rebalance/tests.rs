//! Which moves are planned, and with which bounds.

use alloy::primitives::{Address, B256};
use plimsoll_contracts::MarketId;
use proptest::prelude::*;

use super::{
    level::{Allocations, tests::some_allocations},
    *,
};
use crate::{
    prices::Prices,
    safety::Realised,
    strategies::{Header, gas::Costs},
};

const DEAD_BAND_BPS: u16 = 20;
const LIMITS: Limits = Limits {
    max_utilisation_bps: 9_200,
    min_idle_bps: 200,
    flee_utilisation_bps: 9_900,
    flee_distance_bps: 200,
    flee_debt_bps: 2_500,
};

fn snapshot(allocations: Allocations) -> VaultSnapshot {
    let market = |index: usize| VaultMarket { id: MarketId(B256::from(U256::from(index + 1))), flag: None };
    let markets = (0..allocations.markets.len()).map(market).collect();
    VaultSnapshot { address: Address::repeat_byte(2), asset: Address::repeat_byte(3), markets, allocations }
}

proptest! {
    #[test]
    fn a_move_for_the_rate_alone_never_earns_less_and_is_made_outside_of_the_dead_band_only(allocations in some_allocations()) {
        let snapshot = snapshot(allocations);
        let allocations = &snapshot.allocations;
        match plan_move(&snapshot, DEAD_BAND_BPS, 86_400) {
            Ok(planned) if allocations.idle >= allocations.min_idle / 2 => {
                prop_assert!(allocations.income(&planned.parts) > allocations.income(&allocations.held()));
                prop_assert!(allocations.spread() >= band_per_second(DEAD_BAND_BPS) && planned.gain > 0);
            }
            Ok(planned) => {
                let supplied: u128 = planned.parts.iter().sum();
                prop_assert!(allocations.total() - supplied > allocations.idle);
            }
            Err(SkipReason::RatesAreLevel { .. } | SkipReason::NothingToMove | SkipReason::LevellingEarnsLess) => {}
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn a_call_moves_what_is_planned_out_of_sources_before_targets(allocations in some_allocations()) {
        let snapshot = snapshot(allocations);
        let Ok(planned) = plan_move(&snapshot, DEAD_BAND_BPS, 86_400) else { return Ok(()) };
        let call = reallocation(&snapshot, &planned.parts, 7, &LIMITS);
        for ((market, allocated), part) in snapshot.markets.iter().zip(&snapshot.allocations.markets).zip(&planned.parts) {
            let out = call.sources.iter().find(|source| source.id == market.id.0).map(|source| source.assets);
            let into = call.targets.iter().find(|target| target.id == market.id.0).map(|target| target.assets);
            prop_assert_eq!(out.unwrap_or_default(), U256::from(allocated.held.saturating_sub(*part)));
            prop_assert_eq!(into.unwrap_or_default(), U256::from(part.saturating_sub(allocated.held)));
        }
    }
}

#[test]
fn all_that_can_be_withdrawn_leaves_a_flagged_market_whatever_the_dead_band() {
    let mut snapshot = snapshot(Allocations::default());
    let allocated = level::tests::allocated(1_000, 1_000_000_000, 5_000, 1_268_391_679);
    snapshot.allocations.markets = vec![level::AllocatedMarket { least: 400_000_000, most: 400_000_000, ..allocated }];
    snapshot.markets = vec![VaultMarket { id: MarketId(B256::repeat_byte(1)), flag: Some(Flag::NoPrice) }];
    let planned = plan_move(&snapshot, DEAD_BAND_BPS, 86_400).unwrap();
    assert_eq!(planned, Move { parts: vec![400_000_000], gain: 600_000 });
    let call = reallocation(&snapshot, &planned.parts, 7, &LIMITS);
    assert_eq!((call.sources[0].assets, call.targets.len()), (U256::MAX, 0));
}

#[test]
fn what_earlier_processes_spent_counts_against_the_budget_until_the_day_is_over() {
    let (vault, now) = (Address::repeat_byte(2), 20_000 * 86_400);
    let settings = RebalanceSettings {
        keeper: Address::ZERO,
        vaults: BTreeSet::from([vault]),
        gas: GasTable::default(),
        horizon_secs: 86_400,
        dead_band_bps: DEAD_BAND_BPS,
        limits: LIMITS,
        budget_per_day: U256::from(1_000),
        interval_secs: 1,
        deadline_secs: 60,
    };
    let move_of = |vault, flees| RebalanceCall {
        vault,
        call: Call::trial(vault, [], 0),
        gas: 300,
        gain_wei: U256::from(10_000),
        flees,
    };
    let realised = |intent, cost: u64| Realised {
        intent,
        hash: B256::from(U256::from(intent)),
        scope: scope_of(vault),
        day: now / 86_400,
        liquidated: 0,
        executed: 0,
        harvested: 0,
        has_reverted: false,
        gain_wei: U256::ZERO,
        cost_wei: U256::from(cost),
    };
    let (strategy, prices) = (Rebalance::new(settings), Prices::default());
    let decide = |call: &RebalanceCall, results: &ResultsLedger, timestamp| {
        let header = Header { timestamp, ..Header::default() };
        let costs = Costs { gas_price: 1, data_byte_price: 0, margin_bps: 0 };
        let context = BlockContext { header: &header, prices: &prices, costs, room: 30_000_000 };
        strategy.affordable(call, &costs.worth(call.gain_wei, call.gas, 0), context, results)
    };
    // An earlier process has written these.
    let mut results = ResultsLedger::default();
    results.record(realised(1, 400));
    assert_eq!(decide(&move_of(vault, false), &results, now), Ok(()));
    results.record(realised(2, 301));
    let [spent_wei, budget_wei] = [701, 1_000].map(U256::from);
    let spent = Err(SkipReason::BudgetSpent { spent_wei, budget_wei });
    assert_eq!(decide(&move_of(vault, false), &results, now), spent);
    // Another vault, a flagged market, the next day, and a move whose block was reorganised away.
    assert_eq!(decide(&move_of(Address::repeat_byte(3), false), &results, now), Ok(()));
    assert_eq!(decide(&move_of(vault, true), &results, now), Ok(()));
    assert_eq!(decide(&move_of(vault, false), &results, now + 86_400), Ok(()));
    assert!(results.take_back(2));
    assert_eq!(decide(&move_of(vault, false), &results, now), Ok(()));
}
