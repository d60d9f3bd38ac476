//! Every liquidatable loan gets one verdict, and skipping one has a reason with figures.

use std::sync::atomic::Ordering;

use alloy::primitives::U256;

use super::fixture::*;
use crate::{
    prices::{NoPrice, NoValuation, Prices, Valuer},
    strategies::{BlockContext, Decision, Decisions, LoanClass, Revert, SkipReason, liquidate::Liquidate},
};

/// Ten ether with 15,000 dollars of debt: liquidatable at 1,744 dollars and below.
const LOAN: Opening = (10_000, 15_000);

async fn only_reason(fixture: &Fixture) -> SkipReason {
    let decisions = fixture.decide().await;
    assert!(decisions.intents.is_empty());
    match decisions.verdicts.as_slice() {
        [verdict] => match &verdict.decision {
            Decision::Skip(reason) => reason.clone(),
            act @ Decision::Act { .. } => panic!("{act:?}"),
        },
        verdicts => panic!("{verdicts:?}"),
    }
}

fn liquidatable() -> Fixture {
    let mut fixture = Fixture::new(&[LOAN]);
    fixture.set_price(1_700, 1_000_000);
    fixture
}

#[tokio::test]
async fn without_a_liquidatable_loan_no_request_is_made() {
    let fixture = Fixture::new(&[LOAN]);
    fixture.node_is_down.store(true, Ordering::Relaxed);
    assert_eq!(fixture.decide().await, Decisions::default());
}

#[tokio::test]
async fn without_a_price_no_loan_is_liquidated() {
    let mut fixture = liquidatable();
    fixture.price = Err(NoPrice::Zero);
    assert_eq!(fixture.decide().await, Decisions::default());
}

#[tokio::test]
async fn an_excluded_loan_has_the_exclusions_reason() {
    let fixture = liquidatable();
    let decisions = fixture.decide_with(&|_| Some(SkipReason::InFlight)).await;
    assert!(decisions.intents.is_empty());
    assert_eq!(reasons(&decisions)[&borrower(0)], "in_flight");
}

#[tokio::test]
async fn a_market_without_settings_is_switched_off() {
    let mut fixture = liquidatable();
    fixture.settings.markets.clear();
    assert_eq!(only_reason(&fixture).await, SkipReason::SwitchedOff);
}

/// Property K5: dust has its reason as a class, with a count and the threshold.
#[tokio::test]
async fn dust_is_looked_at_until_its_token_is_valued_and_only_counted_from_then_on() {
    let mut fixture = Fixture::new(&[LOAN, (1, 2), (1, 2), (1, 2)]);
    fixture.set_price(1_700, 1_000_000);
    fixture.costs.gas_price *= 10;
    let prices: Prices = [(fixture.params.id(), fixture.price.clone())].into_iter().collect();
    let context = BlockContext { header: &fixture.header, prices: &prices, costs: fixture.costs, room: fixture.room };
    let mut valuer = Valuer::new(fixture.sources.clone());
    let strategy = Liquidate::with_races(fixture.settings.clone(), fixture.races.clone());
    let first = strategy.decide(&fixture, &mut valuer, &fixture.book, context, &|_| None).await;
    assert_eq!((reasons(&first).len(), reasons(&first)[&borrower(1)].as_str()), (4, "gain_below_gas"));
    assert_eq!(first.dust, []);

    let second = strategy.decide(&fixture, &mut valuer, &fixture.book, context, &|_| None).await;
    assert_eq!(reasons(&second).into_keys().collect::<Vec<_>>(), [borrower(0)]);
    let [LoanClass { reason: SkipReason::Dust { least_debt }, loans: 3, .. }] = &second.dust[..] else {
        panic!("{:?}", second.dust)
    };
    assert!(*least_debt > U256::from(2 * DOLLAR) && *least_debt < U256::from(15_000 * DOLLAR), "{least_debt}");
}

#[tokio::test]
async fn a_market_without_a_route_has_that_as_its_reason() {
    let mut fixture = liquidatable();
    fixture.market_settings().routes.clear();
    assert_eq!(only_reason(&fixture).await, SkipReason::NoRoute);
}

#[tokio::test]
async fn profit_in_a_token_without_a_valuation_is_not_sought() {
    let mut fixture = liquidatable();
    fixture.sources.remove(&USD);
    let problem = NoValuation::NotConfigured;
    assert_eq!(only_reason(&fixture).await, SkipReason::NoValuation { token: USD, problem: problem.clone() });
    // The same where the profit is in the other token.
    fixture.market_settings().routes[0].profit_in_collateral = true;
    fixture.sources.remove(&WETH);
    assert_eq!(only_reason(&fixture).await, SkipReason::NoValuation { token: WETH, problem });
}

#[tokio::test]
async fn an_unprofitable_loan_is_skipped_with_its_gain_and_gas() {
    let mut fixture = liquidatable();
    // 1,000 times the price of gas: 4,640 dollars for an incentive of some 50.
    fixture.costs.gas_price *= 1_000;
    let SkipReason::GainBelowGas { gain_wei, gas_wei } = only_reason(&fixture).await else { panic!() };
    assert!(gain_wei < gas_wei && !gain_wei.is_zero(), "{gain_wei} {gas_wei}");
}

#[tokio::test]
async fn a_swap_too_thin_for_the_smallest_part_is_reported_with_its_proceeds() {
    let mut fixture = liquidatable();
    // The pool has not followed the oracle up: it pays a tenth less.
    fixture.pool.1 = fixture.pool.1 * 9 / 10;
    let SkipReason::SwapTooThin { repaid, revert: Revert::TooLittleOut { offered, needed } } =
        only_reason(&fixture).await
    else {
        panic!()
    };
    assert!(offered < needed && needed == repaid, "{offered} {needed} {repaid}");
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_a_reason() {
    let fixture = liquidatable();
    fixture.node_is_down.store(true, Ordering::Relaxed);
    assert!(matches!(only_reason(&fixture).await, SkipReason::Unanswered { .. }));
}

#[tokio::test]
async fn a_block_too_small_for_any_liquidation_is_a_reason() {
    let mut fixture = liquidatable();
    fixture.room = 200_000;
    assert!(matches!(only_reason(&fixture).await, SkipReason::Held { .. }));
}

#[tokio::test]
async fn an_empty_inventory_is_a_reason_and_a_full_one_pays() {
    let mut fixture = liquidatable();
    fixture.market_settings().routes.clear();
    fixture.market_settings().from_inventory = true;
    assert!(matches!(only_reason(&fixture).await, SkipReason::NotEnoughInventory { token: USD, .. }));
    fixture.inventory = 20_000 * DOLLAR;
    let decisions = fixture.decide().await;
    assert_eq!(reasons(&decisions)[&borrower(0)], "act");
    assert_eq!(decisions.intents[0].to, CORE);
    assert!(fixture.succeeds(&decisions.intents[0]));
}

#[tokio::test]
async fn an_inventory_below_the_repayment_pays_for_a_part() {
    let mut fixture = liquidatable();
    fixture.market_settings().routes.clear();
    fixture.market_settings().from_inventory = true;
    fixture.inventory = 1_500 * DOLLAR;
    let decisions = fixture.decide().await;
    assert_eq!(reasons(&decisions)[&borrower(0)], "act");
    assert!(fixture.succeeds(&decisions.intents[0]));
}
