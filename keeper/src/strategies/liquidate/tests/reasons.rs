//! Every loan under water gets one decision, and doing nothing has a reason with figures.

use std::sync::atomic::Ordering;

use super::bench::*;
use crate::{
    prices::{NoPrice, NoValuation},
    strategies::{Decision, Revert, WhyNot},
};

/// Ten coins that carry 17,200 dollars at 2,000: under water below.
const LOAN: Opening = (10_000, 15_000);

async fn only_reason(bench: &Bench) -> WhyNot {
    let round = bench.round().await;
    assert!(round.intents.is_empty());
    match round.verdicts.as_slice() {
        [verdict] => match &verdict.decision {
            Decision::WhyNot(why_not) => why_not.clone(),
            act @ Decision::Act { .. } => panic!("{act:?}"),
        },
        verdicts => panic!("{verdicts:?}"),
    }
}

fn under_water() -> Bench {
    let mut bench = Bench::new(&[LOAN]);
    bench.at(1_700, 1_000_000);
    bench
}

#[tokio::test]
async fn without_anybody_under_water_nobody_is_asked() {
    let bench = Bench::new(&[LOAN]);
    bench.node_is_away.store(true, Ordering::Relaxed);
    assert_eq!(bench.round().await, super::super::Round::default());
}

#[tokio::test]
async fn without_a_price_nothing_is_under_water() {
    let mut bench = under_water();
    bench.price = Err(NoPrice::Zero);
    assert_eq!(bench.round().await, super::super::Round::default());
}

#[tokio::test]
async fn what_stands_against_a_loan_is_its_reason() {
    let bench = under_water();
    let round = bench.round_but(&|_, _| Some(WhyNot::InFlight)).await;
    assert!(round.intents.is_empty());
    assert_eq!(reasons(&round)[&borrower(0)], "in_flight");
}

#[tokio::test]
async fn a_market_that_is_not_named_is_left_alone() {
    let mut bench = under_water();
    bench.settings.markets.clear();
    assert_eq!(only_reason(&bench).await, WhyNot::SwitchedOff);
}

#[tokio::test]
async fn a_market_without_a_route_has_none() {
    let mut bench = under_water();
    bench.market_settings().routes.clear();
    assert_eq!(only_reason(&bench).await, WhyNot::NoRoute);
}

#[tokio::test]
async fn profit_that_cannot_be_valued_is_not_sought() {
    let mut bench = under_water();
    bench.sources.remove(&USD);
    let problem = NoValuation::NotConfigured;
    assert_eq!(only_reason(&bench).await, WhyNot::NoValuation { token: USD, problem: problem.clone() });
    // In the other token it can be.
    bench.market_settings().routes[0].profit_in_collateral = true;
    bench.sources.remove(&COIN);
    assert_eq!(only_reason(&bench).await, WhyNot::NoValuation { token: COIN, problem });
}

#[tokio::test]
async fn a_gain_below_gas_comes_with_both_figures() {
    let mut bench = under_water();
    // 1,000 times the price of gas: 4,640 dollars for a bonus of some 50.
    bench.costs.gas_price *= 1_000;
    let WhyNot::GainBelowGas { gain_wei, gas_wei } = only_reason(&bench).await else { panic!() };
    assert!(gain_wei < gas_wei && !gain_wei.is_zero(), "{gain_wei} {gas_wei}");
}

#[tokio::test]
async fn a_swap_that_gives_too_little_for_the_smallest_part_is_told_with_what_it_gives() {
    let mut bench = under_water();
    // The exchange did not follow the oracle up: it pays a tenth less.
    bench.pool.1 = bench.pool.1 * 9 / 10;
    let WhyNot::SwapTooThin { repaid, revert: Revert::TooLittleOut { offered, needed } } = only_reason(&bench).await
    else {
        panic!()
    };
    assert!(offered < needed && needed == repaid, "{offered} {needed} {repaid}");
}

#[tokio::test]
async fn a_node_that_is_away_is_a_reason() {
    let bench = under_water();
    bench.node_is_away.store(true, Ordering::Relaxed);
    assert!(matches!(only_reason(&bench).await, WhyNot::Unanswered { .. }));
}

#[tokio::test]
async fn a_block_too_small_for_any_liquidation_holds_it() {
    let mut bench = under_water();
    bench.room = 200_000;
    assert!(matches!(only_reason(&bench).await, WhyNot::Held { .. }));
}

#[tokio::test]
async fn an_empty_purse_is_a_reason_and_a_full_one_pays() {
    let mut bench = under_water();
    bench.market_settings().routes.clear();
    bench.market_settings().from_inventory = true;
    assert!(matches!(only_reason(&bench).await, WhyNot::NotEnoughInventory { token: USD, .. }));
    bench.inventory = 20_000 * DOLLAR;
    let round = bench.round().await;
    assert_eq!(reasons(&round)[&borrower(0)], "act");
    assert_eq!(round.intents[0].to, CORE);
    assert!(bench.goes_through(&round.intents[0]));
}

#[tokio::test]
async fn with_less_than_the_repayment_a_part_is_paid_from_inventory() {
    let mut bench = under_water();
    bench.market_settings().routes.clear();
    bench.market_settings().from_inventory = true;
    bench.inventory = 1_500 * DOLLAR;
    let round = bench.round().await;
    assert_eq!(reasons(&round)[&borrower(0)], "act");
    assert!(bench.goes_through(&round.intents[0]));
}
