//! Which moves are planned, and with which bounds.

use alloy::primitives::{Address, B256};
use plimsoll_contracts::MarketId;
use proptest::prelude::*;

use super::{
    level::{Vessels, tests::some_vessels},
    *,
};

const SETTINGS: RebalanceSettings = RebalanceSettings {
    keeper: Address::repeat_byte(1),
    vaults: BTreeSet::new(),
    gas: GasTable {
        liquidation: 0,
        further_loan: 0,
        swap: 0,
        further_pool: 0,
        order: 0,
        harvest: 0,
        further_account: 0,
        compounding: 0,
        payment_gas: 0,
        claim: 0,
        restake: 0,
        use_simulated_gas: false,
        headroom: 0,
        headroom_bps: 0,
    },
    horizon_secs: 86_400,
    dead_band_bps: 20,
    limits: Limits {
        max_utilisation_bps: 9_200,
        min_idle_bps: 200,
        flee_utilisation_bps: 9_900,
        flee_distance_bps: 200,
        flee_debt_bps: 2_500,
    },
    budget_per_day: U256::ZERO,
    interval_secs: 60,
    deadline_secs: 120,
};

fn snapshot(vessels: Vessels) -> VaultSnapshot {
    let market = |index: usize| VaultMarket { id: MarketId(B256::from(U256::from(index + 1))), flag: None };
    let markets = (0..vessels.markets.len()).map(market).collect();
    VaultSnapshot { address: Address::repeat_byte(2), asset: Address::repeat_byte(3), markets, vessels }
}

proptest! {
    #[test]
    fn a_move_for_the_rate_alone_never_earns_less_and_is_made_outside_of_the_dead_band_only(vessels in some_vessels()) {
        let snapshot = snapshot(vessels);
        let vessels = &snapshot.vessels;
        match plan_move(&snapshot, &SETTINGS) {
            Ok(planned) if vessels.idle >= vessels.min_idle / 2 => {
                prop_assert!(vessels.income(&planned.parts) > vessels.income(&vessels.held()));
                prop_assert!(vessels.spread() >= band_per_second(SETTINGS.dead_band_bps) && planned.gain > 0);
            }
            Ok(planned) => {
                let supplied: u128 = planned.parts.iter().sum();
                prop_assert!(vessels.total() - supplied > vessels.idle);
            }
            Err(SkipReason::RatesAreLevel { .. } | SkipReason::NothingToMove | SkipReason::LevellingEarnsLess) => {}
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn a_call_moves_what_is_planned_out_of_sources_before_targets(vessels in some_vessels()) {
        let snapshot = snapshot(vessels);
        let Ok(planned) = plan_move(&snapshot, &SETTINGS) else { return Ok(()) };
        let call = reallocation(&snapshot, &planned.parts, 7, &SETTINGS.limits);
        for ((market, vessel), part) in snapshot.markets.iter().zip(&snapshot.vessels.markets).zip(&planned.parts) {
            let out = call.sources.iter().find(|source| source.id == market.id.0).map(|source| source.assets);
            let into = call.targets.iter().find(|target| target.id == market.id.0).map(|target| target.assets);
            prop_assert_eq!(out.unwrap_or_default(), U256::from(vessel.held.saturating_sub(*part)));
            prop_assert_eq!(into.unwrap_or_default(), U256::from(part.saturating_sub(vessel.held)));
        }
    }
}

#[test]
fn all_that_can_be_withdrawn_leaves_a_flagged_market_whatever_the_dead_band() {
    let mut snapshot = snapshot(Vessels::default());
    let vessel = level::tests::vessel(1_000, 1_000_000_000, 5_000, 1_268_391_679);
    snapshot.vessels.markets = vec![level::Vessel { least: 400_000_000, most: 400_000_000, ..vessel }];
    snapshot.markets = vec![VaultMarket { id: MarketId(B256::repeat_byte(1)), flag: Some(Flag::NoPrice) }];
    let planned = plan_move(&snapshot, &SETTINGS).unwrap();
    assert_eq!(planned, Move { parts: vec![400_000_000], gain: 600_000 });
    let call = reallocation(&snapshot, &planned.parts, 7, &SETTINGS.limits);
    assert_eq!((call.sources[0].assets, call.targets.len()), (U256::MAX, 0));
}
