//! What is sent is profitable, and nothing else that could have been sent would have been more so.

use alloy::{
    primitives::{Bytes, U256, U512},
    sol_types::SolCall,
};
use futures_util::FutureExt;
use plimsoll_contracts::ILiquidator;
use proptest::prelude::*;

use super::{
    super::{
        LoanId, NAME,
        batches::{LiquidationCosts, build_batches},
        market_snapshot::MarketSnapshot,
    },
    fixture::*,
};
use crate::{
    book::LiquidationCandidate,
    intent::Scope,
    prices::{Rate, Valuer},
    sender::{
        self,
        core::{Core, CoreSettings, Effect},
        fees::FeePolicy,
        journal::Recovered,
    },
    strategies::{
        Decision, Decisions, SkipReason,
        bids::{Bids, MEMORY, Ordering, RaceRecord, RaceResult, WHOLE, share_of},
        gas::Costs,
    },
};

fn decide(fixture: &Fixture) -> Decisions<LoanId> {
    fixture.decide().now_or_never().expect("the fixture answers at once")
}

fn candidates(fixture: &Fixture) -> Vec<LiquidationCandidate> {
    fixture.market().liquidatable(fixture.price.clone().unwrap(), NOW)
}

/// Returns the value in wei of units of USD.
fn value(fixture: &Fixture, units: U256) -> U256 {
    let mut valuer = Valuer::new(fixture.sources.clone());
    let values = valuer.values(fixture, &fixture.header, &[USD]).now_or_never().unwrap().unwrap();
    values.of(USD).unwrap().value_down(units)
}

/// Loans from 200 to 20,000 dollars, healthy at 2,000.
fn openings(most: usize) -> impl Strategy<Value = Vec<Opening>> {
    let opening = (200_u128..20_000, 1_000_u128..1_400);
    let opening = opening.prop_map(|(dollars, part)| (dollars * part / 1_000 * 1_000 / 2_000 + dollars / 8, dollars));
    prop::collection::vec(opening, 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sent_succeeds_and_brings_more_than_its_gas(
        openings in openings(40), dollars in 900_u128..1_950, depth in 1_u128..2_000, gwei in 1_u128..400,
    ) {
        let mut fixture = Fixture::new(&openings);
        fixture.set_price(dollars, depth);
        fixture.costs.gas_price = gwei * 1_000_000_000;
        let decisions = decide(&fixture);
        let decided = reasons(&decisions);
        prop_assert_eq!(decided.len(), candidates(&fixture).len());
        for intent in &decisions.intents {
            let gas = fixture.costs.transaction_cost(intent.expected_gas, intent.data.len());
            let outcome = fixture.mine(intent).unwrap();
            prop_assert!(value(&fixture, outcome.profit) > gas);
            prop_assert_eq!(value(&fixture, outcome.profit), intent.expected_gain);
        }
    }

    #[test]
    fn what_is_decided_to_be_sent_is_not_declined_by_the_sender_at_the_same_head(
        openings in openings(12), dollars in 900_u128..1_950, depth in 1_u128..2_000, gwei in 1_u64..600,
        margin_bps in 0..40_000_u32, data_gwei in 0_u128..200_000, simulates: bool, from_inventory: bool,
    ) {
        let mut fixture = Fixture::new(&openings);
        fixture.set_price(dollars, depth);
        fixture.header.base_fee = gwei * 1_000_000_000;
        let fees = FeePolicy { max_fee_per_gas: u128::from(gwei + 1) * 1_000_000_000, ..FeePolicy::default() };
        let gas_price = u128::from(fixture.header.base_fee) + fees.min_priority_fee;
        fixture.costs = Costs { gas_price, data_byte_price: data_gwei * 1_000_000_000, margin_bps };
        fixture.settings.gas.use_simulated_gas = simulates;
        fixture.room = if simulates { 1_000_000 } else { 13_500_000 };
        if from_inventory {
            fixture.inventory = u128::MAX >> 32;
            fixture.market_settings().from_inventory = true;
        }
        let fees = FeePolicy { max_cost: U256::from(gas_price) * U256::from(fixture.room), ..fees };
        let settings = CoreSettings { fees, ..CoreSettings::default() };
        for intent in decide(&fixture).intents {
            let mut sender = Core::recover(KEEPER, settings.clone(), Recovered::default(), 0, false, false).unwrap();
            let _ = sender.handle(sender::core::Event::Block(fixture.header));
            let effects = sender.handle(sender::core::Event::Submit(vec![(1, intent)]));
            prop_assert!(matches!(effects[..], [Effect::Sign(_)]), "{:?}", effects);
        }
    }

    #[test]
    fn no_other_part_of_the_batch_brings_twice_as_much_as_the_one_sent(
        openings in openings(12), dollars in 1_000_u128..1_900, depth in 1_u128..200,
    ) {
        let mut fixture = Fixture::new(&openings);
        fixture.set_price(dollars, depth);
        let decisions = decide(&fixture);
        let Some(intent) = decisions.intents.first() else { return Ok(()) };
        // Parts are simulated by halves, and for twice as much no pool gives more than twice as much.
        let most = intent.expected_gain * U256::from(2);
        let wanted = ILiquidator::liquidateCall::abi_decode(&intent.data).unwrap().liquidation;
        let whole: U256 = candidates(&fixture).iter().map(|loan| U256::from(fixture.market().at(NOW).debt_of(loan.loan))).sum();
        for halvings in 0..8 {
            let mut other = wanted.clone();
            other.maxRepay = whole >> halvings;
            other.minProfit = U256::ZERO;
            let mut other_intent = intent.clone();
            other_intent.data = ILiquidator::liquidateCall { liquidation: other }.abi_encode().into();
            let mut again = Fixture::new(&openings);
            again.set_price(dollars, depth);
            if let Ok(outcome) = again.mine(&other_intent) {
                prop_assert!(value(&fixture, outcome.profit) <= most, "{outcome:?} {intent:?}");
            }
        }
    }

    /// At the oracle's price, before any swap is simulated: compared with every set of loans.
    #[test]
    fn no_set_of_loans_is_more_profitable_than_the_batch(
        openings in openings(9), dollars in 1_500_u128..1_950, gwei in 1_u128..2_000,
    ) {
        let mut fixture = Fixture::new(&openings);
        fixture.set_price(dollars, 1);
        fixture.costs.gas_price = gwei * 1_000_000_000;
        let settings = &fixture.settings.markets[&fixture.params.id().0];
        let snapshot = MarketSnapshot { market: fixture.market(), settings, price: price(dollars), timestamp: NOW };
        let table = fixture.settings.gas;
        let costs = LiquidationCosts { table: &table, costs: &fixture.costs, pools: 1, room: fixture.room };
        let found = candidates(&fixture);
        let (batches, skipped) = build_batches(snapshot, found.clone(), |incentive| value(&fixture, incentive), costs);
        let count: usize = batches.iter().map(|batch| batch.loans.len()).sum();
        prop_assert_eq!(count + skipped.len(), found.len());
        // Rounding may make two units of difference for every loan.
        let tolerance = value(&fixture, U256::from(2 * found.len()));
        let net = |loans: &[LiquidationCandidate]| {
            let expected = snapshot.expect_liquidation(&mut fixture.market().at(NOW), loans, U256::MAX);
            let (gain, cost) = (value(&fixture, expected.incentive) + tolerance, costs.batch_cost(loans.len()));
            gain.saturating_sub(cost)
        };
        let ours = batches.first().map_or(U256::ZERO, |batch| net(&batch.loans));
        for set in 1..1_usize << found.len() {
            let loans: Vec<_> = found.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1).map(|(_, loan)| *loan).collect();
            prop_assert!(net(&loans) <= ours + tolerance, "{:?}", loans);
        }
    }
}

#[test]
fn the_loan_with_the_highest_incentive_for_what_is_sold_comes_first() {
    // At 1,500 the second loan is in the breakeven zone with its full incentive, the first one barely liquidatable.
    let mut fixture = Fixture::new(&[(100_000, 129_100), (10_000, 14_000)]);
    fixture.set_price(1_500, 1_000_000);
    let decisions = decide(&fixture);
    let wanted = ILiquidator::liquidateCall::abi_decode(&decisions.intents[0].data).unwrap().liquidation;
    assert_eq!(wanted.borrowers, [borrower(1), borrower(0)]);
}

#[test]
fn a_burst_of_liquidations_takes_as_few_transactions_as_fit_and_all_succeed() {
    let mut fixture = Fixture::new(&vec![(10_000, 15_000); 3_000]);
    fixture.set_price(1_700, 100_000_000);
    let sent = decide(&fixture);
    assert_eq!(sent.intents.len(), 3);
    assert_eq!(reasons(&sent).values().filter(|reason| *reason == "act").count(), 3_000);
    for intent in &sent.intents {
        assert!(intent.gas_limit <= fixture.room);
        fixture.mine(intent).unwrap();
    }
    assert_eq!(candidates(&fixture), []);
}

#[test]
fn a_burst_stops_where_the_pools_liquidity_is_used_up_and_the_rest_waits() {
    let mut fixture = Fixture::new(&vec![(10_000, 15_000); 3_000]);
    // 2,400 ether are sold for each thousand loans: the second batch finds the price some 3 % lower.
    fixture.set_price(1_700, 260_000);
    let sent = decide(&fixture);
    assert_eq!(sent.intents.len(), 1);
    let others_first = |decision: &Decision| matches!(decision, Decision::Skip(SkipReason::OthersFirst { .. }));
    let waiting = sent.verdicts.iter().filter(|verdict| others_first(&verdict.decision));
    assert!(waiting.count() > 1_500);
    fixture.mine(&sent.intents[0]).unwrap();
}

#[test]
fn the_more_profitable_of_two_routes_is_used() {
    let mut fixture = Fixture::new(&[(10_000, 15_000)]);
    fixture.set_price(1_700, 1_000_000);
    let mut long = fixture.market_settings().routes[0].clone();
    (long.pools, long.path) = (5, Bytes::from(vec![8; 66]));
    fixture.market_settings().routes.insert(0, long);
    let sent = decide(&fixture);
    let wanted = ILiquidator::liquidateCall::abi_decode(&sent.intents[0].data).unwrap().liquidation;
    assert_eq!(wanted.route.len(), 43);
}

#[test]
fn a_single_loan_is_guarded_by_its_profit_and_several_by_their_gas() {
    let guard = |loans: usize| {
        let mut fixture = Fixture::new(&vec![(10_000, 15_000); loans]);
        fixture.set_price(1_700, 1_000_000);
        let sent = decide(&fixture).intents.remove(0);
        let wanted = ILiquidator::liquidateCall::abi_decode(&sent.data).unwrap().liquidation;
        let gas = fixture.costs.transaction_cost(sent.expected_gas, sent.data.len());
        assert_eq!(
            Some(wanted.unitsPerWeiX96),
            Rate::new(U512::from(ETHER), U512::from(2_000 * DOLLAR)).unwrap().units_per_wei_x96()
        );
        let calldata: u64 = sent.data.iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum();
        let overhead: u64 = wanted.gasOverhead.to();
        assert!((21_000 + calldata..=28_000 + calldata).contains(&overhead), "{overhead} {calldata}");
        (value(&fixture, wanted.minProfit), sent.expected_gain - gas)
    };
    // Of the half that is left after the highest bid, a slippage of 20 % is accepted.
    let (min_profit, net) = guard(1);
    assert_eq!(min_profit * U256::from(1_000) / net, U256::from(399));
    assert_eq!(guard(4).0, U256::ZERO);
}

#[test]
fn the_same_bytes_revert_at_a_price_that_the_profit_does_not_cover() {
    let mut fixture = Fixture::new(&[(10_000, 15_000); 4]);
    fixture.set_price(1_700, 1_000_000);
    let sent = decide(&fixture).intents.remove(0);
    let covered: u128 = (sent.expected_gain / U256::from(sent.expected_gas)).to();
    fixture.costs.gas_price = covered * 90 / 100;
    assert!(fixture.succeeds(&sent));
    fixture.costs.gas_price = covered * 120 / 100;
    assert!(!fixture.succeeds(&sent));
}

#[test]
fn nothing_is_bid_without_rivals_just_enough_against_one_and_a_race_that_cannot_be_won_is_not_entered() {
    let mut fixture = Fixture::new(&[(10_000, 15_000)]);
    fixture.set_price(1_700, 1_000_000);
    // Gas so expensive that it takes more than half of the gain.
    let cheap = decide(&fixture).intents.remove(0);
    let price: u128 = (cheap.expected_gain * U256::from(6) / U256::from(10 * cheap.expected_gas)).to();
    fixture.costs.gas_price = price;
    let alone = decide(&fixture).intents.remove(0);
    assert_eq!((cheap.bid, alone.bid), (0, 0));
    let mut learn = |rivals| {
        let mut bids = Bids::new(500_000, Ordering::Priority, RaceRecord::default());
        let scope = Scope::new(NAME, fixture.params.id().0);
        for _ in 0..MEMORY {
            bids.record_result(&scope, RaceResult::Lost { theirs: 2, ours: 1, price: rivals });
        }
        fixture.races = bids.record();
        decide(&fixture)
    };
    let against = learn(300_000).intents.remove(0);
    let net = alone.expected_gain - U256::from(alone.expected_gas) * U256::from(price);
    let share = share_of(against.bid, against.expected_gas, net);
    assert!((300_000..=320_000).contains(&share), "{share}");
    let outbid = learn(WHOLE);
    assert_eq!(reasons(&outbid).values().collect::<Vec<_>>(), ["outbid"]);
    assert!(outbid.intents.is_empty());
}

#[test]
fn in_bundles_a_bid_in_the_wrapped_coin_is_a_share_of_the_profit_that_is_made() {
    let mut fixture = Fixture::new(&[(10_000, 15_000)]);
    fixture.set_price(1_700, 1_000_000);
    fixture.settings.reverts_are_mined = false;
    let mut bids = Bids::new(500_000, Ordering::Priority, RaceRecord::default());
    for _ in 0..MEMORY {
        let scope = Scope::new(NAME, fixture.params.id().0);
        bids.record_result(&scope, RaceResult::Lost { theirs: 2, ours: 1, price: 300_000 });
    }
    fixture.races = bids.record();
    let by_fee = decide(&fixture).intents.remove(0);
    assert!(by_fee.bid > 0 && by_fee.profit.unwrap().builder_share_bps == 0);

    // The profit is in the loan token.
    fixture.settings.builders_coin = Some(WETH);
    assert_eq!(decide(&fixture).intents.remove(0), by_fee);
    fixture.settings.builders_coin = Some(USD);
    let by_share = decide(&fixture).intents.remove(0);
    let call = ILiquidator::liquidateForBuilderCall::abi_decode(&by_share.data).unwrap();
    let share_bps = by_share.profit.unwrap().builder_share_bps;
    assert!((3_000..=3_200).contains(&share_bps), "{share_bps}");
    assert_eq!((by_share.bid, call.shareBps), (0, U256::from(share_bps)));
    // Paying takes gas, which is reckoned with.
    let payment = by_share.expected_gas - by_fee.expected_gas;
    assert!(payment >= 100_000 && by_share.gas_limit - by_fee.gas_limit == payment);
    let before = ILiquidator::liquidateCall::abi_decode(&by_fee.data).unwrap().liquidation;
    assert_eq!(call.liquidation.minProfit, before.minProfit);
    assert!(call.liquidation.gasOverhead > before.gasOverhead);

    // Without rivals nothing is bid, and nothing is unwrapped.
    fixture.races = RaceRecord::default();
    let alone = decide(&fixture).intents.remove(0);
    assert_eq!((alone.bid, alone.profit.unwrap().builder_share_bps), (0, 0));
    assert!(ILiquidator::liquidateCall::abi_decode(&alone.data).is_ok());
}

#[test]
fn simulated_gas_replaces_the_table_where_it_is_configured() {
    let mut fixture = Fixture::new(&[(10_000, 15_000)]);
    fixture.set_price(1_700, 1_000_000);
    let by_table = decide(&fixture).intents.remove(0);
    fixture.settings.gas.use_simulated_gas = true;
    // The fixture's node uses all gas that a call is given: all of a transaction's room.
    fixture.room = 2_000_000;
    let simulated = decide(&fixture).intents.remove(0);
    assert_eq!((simulated.expected_gas, simulated.gas_limit), (2_000_000, 2_000_000));
    assert!(by_table.expected_gas < 300_000);
}
