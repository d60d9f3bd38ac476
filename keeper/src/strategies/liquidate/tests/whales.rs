//! A loan of any size can be liquidated in slices that each pay (H10).

use alloy::primitives::U256;
use futures_util::FutureExt;
use proptest::prelude::*;

use super::bench::*;

/// Sends what each round decides, with others bringing the exchange back to the price in between, until nobody is under
/// water. Answers how many transactions it took.
fn liquidate_all(bench: &mut Bench, dollars: u128, coins: u128) -> usize {
    let mut sent = 0;
    while !bench.market().liquidatable(price(dollars), NOW).is_empty() {
        bench.at(dollars, coins);
        let round = bench.round().now_or_never().unwrap();
        assert_eq!(round.intents.len(), 1, "{:?}", round.verdicts);
        let gas = bench.costs.of(round.intents[0].expected_gas, 0);
        assert!(round.intents[0].expected_gain > gas);
        let outcome = bench.mine(&round.intents[0]).unwrap();
        assert!(outcome.profit > U256::ZERO && outcome.repaid > U256::ZERO);
        sent += 1;
        assert!(sent < 2_000, "it does not come to an end");
    }
    sent
}

#[test]
fn a_whale_goes_in_slices_that_the_exchange_can_absorb() {
    // 15 million dollars against an exchange of 5,000 coins, 8.5 million dollars.
    let mut bench = Bench::new(&[(10_000_000, 15_000_000)]);
    bench.at(1_700, 5_000);
    let slices = liquidate_all(&mut bench, 1_700, 5_000);
    assert!(slices > 4, "{slices}");
    let mut deep = Bench::new(&[(10_000_000, 15_000_000)]);
    deep.at(1_700, 50_000_000);
    assert_eq!(liquidate_all(&mut deep, 1_700, 50_000_000), 1);
}

#[test]
fn a_puddle_takes_a_slice_of_a_whale_that_pays() {
    // 15 million dollars against 85 thousand.
    let mut bench = Bench::new(&[(10_000_000, 15_000_000)]);
    bench.at(1_700, 50);
    bench.costs.gas_price = 1_000_000_000;
    let round = bench.round().now_or_never().unwrap();
    let outcome = bench.mine(&round.intents[0]).unwrap();
    assert!(outcome.repaid < U256::from(2_000 * DOLLAR), "{outcome:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn slices_pay_on_the_ramp_at_the_kink_and_under_water(dollars in 1_000_u128..1_744, coins in 20_000_u128..200_000) {
        let mut bench = Bench::new(&[(10_000_000, 15_000_000)]);
        bench.at(dollars, coins);
        liquidate_all(&mut bench, dollars, coins);
    }
}
