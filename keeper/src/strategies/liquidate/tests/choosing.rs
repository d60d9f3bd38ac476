//! What is sent pays, and nothing else that could have been sent would have paid more.

use alloy::{
    primitives::{Bytes, U256},
    sol_types::SolCall,
};
use futures_util::FutureExt;
use plimsoll_contracts::ILiquidator;
use proptest::prelude::*;

use super::{
    super::{
        Round,
        batches::{Scene, Terms, batches, cost_of},
    },
    bench::*,
};
use crate::{
    book::Candidate,
    prices::Valuer,
    strategies::{Decision, WhyNot},
};

fn round(bench: &Bench) -> Round {
    bench.round().now_or_never().expect("the bench answers at once")
}

fn candidates(bench: &Bench) -> Vec<Candidate> {
    bench.market().liquidatable(bench.price.clone().unwrap(), NOW)
}

/// What dollars are worth in wei.
fn worth(bench: &Bench, dollars: U256) -> U256 {
    let mut valuer = Valuer::new(bench.sources.clone());
    let values = valuer.values(bench, &bench.header, &[USD]).now_or_never().unwrap().unwrap();
    values.of(USD).unwrap().value_down(dollars)
}

/// Loans from 200 to 20,000 dollars, carried at 2,000.
fn openings(most: usize) -> impl Strategy<Value = Vec<Opening>> {
    let opening = (200_u128..20_000, 1_000_u128..1_400);
    let opening = opening.prop_map(|(dollars, part)| (dollars * part / 1_000 * 1_000 / 2_000 + dollars / 8, dollars));
    prop::collection::vec(opening, 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sent_goes_through_and_brings_more_than_its_gas(
        openings in openings(40), dollars in 900_u128..1_950, coins in 1_u128..2_000, gwei in 1_u128..400,
    ) {
        let mut bench = Bench::new(&openings);
        bench.at(dollars, coins);
        bench.costs.gas_price = gwei * 1_000_000_000;
        let round = round(&bench);
        let decided = reasons(&round);
        prop_assert_eq!(decided.len(), candidates(&bench).len());
        for intent in &round.intents {
            let gas = bench.costs.of(intent.expected_gas, intent.data.len());
            let outcome = bench.mine(intent).unwrap();
            prop_assert!(worth(&bench, outcome.profit) > gas);
            prop_assert_eq!(worth(&bench, outcome.profit), intent.expected_gain);
        }
    }

    #[test]
    fn no_other_part_of_what_is_sent_would_bring_twice_as_much(
        openings in openings(12), dollars in 1_000_u128..1_900, coins in 1_u128..200,
    ) {
        let mut bench = Bench::new(&openings);
        bench.at(dollars, coins);
        let round = round(&bench);
        let Some(intent) = round.intents.first() else { return Ok(()) };
        // Parts are tried by halves, and of twice as much no exchange gives more than twice as much.
        let most = intent.expected_gain * U256::from(2);
        let wanted = ILiquidator::liquidateCall::abi_decode(&intent.data).unwrap().liquidation;
        let whole: U256 = candidates(&bench).iter().map(|loan| U256::from(bench.market().at(NOW).debt_of(loan.loan))).sum();
        for halvings in 0..8 {
            let mut other = wanted.clone();
            other.maxRepay = whole >> halvings;
            other.minProfit = U256::ZERO;
            let mut other_intent = intent.clone();
            other_intent.data = ILiquidator::liquidateCall { liquidation: other }.abi_encode().into();
            let mut again = Bench::new(&openings);
            again.at(dollars, coins);
            if let Ok(outcome) = again.mine(&other_intent) {
                prop_assert!(worth(&bench, outcome.profit) <= most, "{outcome:?} {intent:?}");
            }
        }
    }

    /// By the oracle's price, so before the exchange is asked: against every set of loans there is.
    #[test]
    fn no_set_of_loans_is_worth_more_than_the_batch(
        openings in openings(9), dollars in 1_500_u128..1_950, gwei in 1_u128..2_000,
    ) {
        let mut bench = Bench::new(&openings);
        bench.at(dollars, 1);
        bench.costs.gas_price = gwei * 1_000_000_000;
        let scene = Scene { market: bench.market(), price: price(dollars), timestamp: NOW };
        let table = bench.settings.gas;
        let terms = Terms { table: &table, costs: &bench.costs, pools: 1, room: bench.room };
        let found = candidates(&bench);
        let (batches, left_out) = batches(scene, found.clone(), |bonus| worth(&bench, bonus), terms);
        let count: usize = batches.iter().map(|batch| batch.loans.len()).sum();
        prop_assert_eq!(count + left_out.len(), found.len());
        // What rounding to units may make of every loan.
        let tolerance = worth(&bench, U256::from(2 * found.len()));
        let net = |loans: &[Candidate]| {
            let bonus = scene.expect(&mut bench.market().at(NOW), loans, U256::MAX).bonus;
            let (gain, cost) = (worth(&bench, bonus) + tolerance, cost_of(terms, loans.len()));
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
fn the_most_for_what_is_sold_comes_first() {
    // At 1,500 the second is at the kink with all of its bonus, the first barely under water.
    let mut bench = Bench::new(&[(100_000, 129_100), (10_000, 14_000)]);
    bench.at(1_500, 1_000_000);
    let round = round(&bench);
    let wanted = ILiquidator::liquidateCall::abi_decode(&round.intents[0].data).unwrap().liquidation;
    assert_eq!(wanted.borrowers, [borrower(1), borrower(0)]);
}

#[test]
fn a_storm_goes_in_as_few_transactions_as_fit_and_all_of_them_go_through() {
    let mut bench = Bench::new(&vec![(10_000, 15_000); 3_000]);
    bench.at(1_700, 100_000_000);
    let sent = round(&bench);
    assert_eq!(sent.intents.len(), 3);
    assert_eq!(reasons(&sent).values().filter(|reason| *reason == "act").count(), 3_000);
    for intent in &sent.intents {
        assert!(intent.gas_limit <= bench.room);
        bench.mine(intent).unwrap();
    }
    assert_eq!(candidates(&bench), []);
}

#[test]
fn a_storm_stops_where_the_exchange_is_used_up_and_the_rest_waits() {
    let mut bench = Bench::new(&vec![(10_000, 15_000); 3_000]);
    // 2,400 coins are sold for each thousand loans: the second batch finds the price some 3 % lower.
    bench.at(1_700, 260_000);
    let sent = round(&bench);
    assert_eq!(sent.intents.len(), 1);
    let waiting =
        sent.verdicts.iter().filter(|verdict| matches!(verdict.decision, Decision::WhyNot(WhyNot::OthersFirst { .. })));
    assert!(waiting.count() > 1_500);
    bench.mine(&sent.intents[0]).unwrap();
}

#[test]
fn a_node_that_tries_nothing_in_a_row_gets_one_batch_a_block() {
    let mut bench = Bench::new(&vec![(10_000, 15_000); 3_000]);
    bench.at(1_700, 100_000_000);
    bench.knows_sequences = false;
    let sent = round(&bench);
    assert_eq!(sent.intents.len(), 1);
    assert_eq!(reasons(&sent).len(), 3_000);
}

#[test]
fn of_two_routes_the_one_that_brings_more_is_taken() {
    let mut bench = Bench::new(&[(10_000, 15_000)]);
    bench.at(1_700, 1_000_000);
    let mut long = bench.market_settings().routes[0].clone();
    (long.pools, long.path) = (5, Bytes::from(vec![8; 66]));
    bench.market_settings().routes.insert(0, long);
    let sent = round(&bench);
    let wanted = ILiquidator::liquidateCall::abi_decode(&sent.intents[0].data).unwrap().liquidation;
    assert_eq!(wanted.route.len(), 43);
}

#[test]
fn a_loan_alone_is_guarded_by_its_profit_and_several_by_their_gas() {
    let guard = |loans: usize| {
        let mut bench = Bench::new(&vec![(10_000, 15_000); loans]);
        bench.at(1_700, 1_000_000);
        let sent = round(&bench).intents.remove(0);
        let wanted = ILiquidator::liquidateCall::abi_decode(&sent.data).unwrap().liquidation;
        let gas = bench.costs.of(sent.expected_gas, sent.data.len());
        (worth(&bench, wanted.minProfit), sent.expected_gain, gas)
    };
    let (least, gain, gas) = guard(1);
    assert!(least > gas && least * U256::from(10) / gain == U256::from(8), "{least} {gain}");
    let (least, gain, gas) = guard(4);
    assert!(least >= gas && least < gas + gas / U256::from(100) && least < gain, "{least} {gas}");
}

#[test]
fn where_gas_is_another_what_was_used_counts() {
    let mut bench = Bench::new(&[(10_000, 15_000)]);
    bench.at(1_700, 1_000_000);
    let by_table = round(&bench).intents.remove(0);
    bench.settings.gas.as_tried = true;
    // The bench uses as much as it is given: all of a transaction's room.
    bench.room = 2_000_000;
    let tried = round(&bench).intents.remove(0);
    assert_eq!((tried.expected_gas, tried.gas_limit), (2_000_000, bench.settings.gas.limit(2_000_000)));
    assert!(by_table.expected_gas < 300_000);
    bench.knows_sequences = false;
    assert_eq!(round(&bench).intents.remove(0).expected_gas, by_table.expected_gas);
}
