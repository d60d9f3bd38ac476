//! A loan of any size can be liquidated in slices that each pay (H10).

use alloy::primitives::U256;
use futures_util::FutureExt;
use proptest::prelude::*;

use super::fixture::*;

/// Sends what is decided, with traders bringing the pool back to the price in between, until no loan is liquidatable.
/// Returns the number of transactions.
fn liquidate_all(fixture: &mut Fixture, dollars: u128, depth: u128) -> usize {
    let mut sent = 0;
    while !fixture.market().liquidatable(price(dollars), NOW).is_empty() {
        fixture.set_price(dollars, depth);
        let decisions = fixture.decide().now_or_never().unwrap();
        assert_eq!(decisions.intents.len(), 1, "{:?}", decisions.verdicts);
        let gas = fixture.costs.transaction_cost(decisions.intents[0].expected_gas, 0);
        assert!(decisions.intents[0].expected_gain > gas);
        let outcome = fixture.mine(&decisions.intents[0]).unwrap();
        assert!(outcome.profit > U256::ZERO && outcome.repaid > U256::ZERO);
        sent += 1;
        assert!(sent < 2_000, "liquidation does not end");
    }
    sent
}

#[test]
fn a_large_loan_is_liquidated_in_slices_that_the_pool_absorbs() {
    // 15 million dollars against a pool with 5,000 ether, 8.5 million dollars.
    let mut fixture = Fixture::new(&[(10_000_000, 15_000_000)]);
    fixture.set_price(1_700, 5_000);
    let slices = liquidate_all(&mut fixture, 1_700, 5_000);
    assert!(slices > 4, "{slices}");
    let mut deep = Fixture::new(&[(10_000_000, 15_000_000)]);
    deep.set_price(1_700, 50_000_000);
    assert_eq!(liquidate_all(&mut deep, 1_700, 50_000_000), 1);
}

#[test]
fn a_tiny_pool_takes_a_profitable_slice_of_a_large_loan() {
    // 15 million dollars against a pool with 85 thousand.
    let mut fixture = Fixture::new(&[(10_000_000, 15_000_000)]);
    fixture.set_price(1_700, 50);
    fixture.costs.gas_price = 1_000_000_000;
    let decisions = fixture.decide().now_or_never().unwrap();
    let outcome = fixture.mine(&decisions.intents[0]).unwrap();
    assert!(outcome.repaid < U256::from(2_000 * DOLLAR), "{outcome:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn slices_are_profitable_in_the_ramp_breakeven_and_insolvent_zones(
        dollars in 1_000_u128..1_744, depth in 20_000_u128..200_000,
    ) {
        let mut fixture = Fixture::new(&[(10_000_000, 15_000_000)]);
        fixture.set_price(dollars, depth);
        liquidate_all(&mut fixture, dollars, depth);
    }
}
