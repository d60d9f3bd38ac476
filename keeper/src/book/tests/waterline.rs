//! The waterline index finds exactly the loans that a full scan finds.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::math::debt::to_debt_shares_up;

const ORACLE_DECIMALS: u32 = 36;

/// A loan: its debt in units of the loan token, and the value of its collateral at the first price in percent of the
/// debt.
#[derive(Debug, Clone, Copy)]
struct Sample {
    debt: u128,
    value_percent: u128,
    collateral_off: u128,
}

fn sample() -> impl Strategy<Value = Sample> {
    let debt = prop_oneof![
        4 => (1u32..=12, 1..10u128).prop_map(|(digits, first)| first * 10u128.pow(digits)),
        2 => 1..100u128,
        2 => MIN_DEBT - 2..MIN_DEBT + 3,
        1 => 1..10u128.pow(24),
    ];
    let value_percent = prop_oneof![6 => 100..135u128, 1 => 0..2u128, 1 => 135..100_000u128];
    (debt, value_percent, 0..3u128).prop_map(|(debt, value_percent, collateral_off)| Sample {
        debt,
        value_percent,
        collateral_off,
    })
}

/// Returns a book with a market that has these loans, their collateral valued at this price.
fn market_of(samples: &[Sample], price: U256) -> Book {
    let params = params(0);
    let id = params.id().0;
    let mut events = vec![create(&params), supply(id, account(1), u128::MAX >> 8, 1 << 100)];
    let (mut assets, mut shares) = (0, 0);
    for (number, sample) in (10..).zip(samples) {
        let value = U256::from(sample.debt) * U256::from(sample.value_percent) / U256::from(100);
        let collateral = value * U256::from(10).pow(U256::from(ORACLE_DECIMALS)) / price;
        let collateral = collateral.saturating_to::<u128>().saturating_add(sample.collateral_off);
        let new = to_debt_shares_up(sample.debt, assets, shares);
        (assets, shares) = (assets + sample.debt, shares + new);
        events.push(supply_collateral(id, account(number), collateral));
        events.push(borrow(id, account(number), sample.debt, new));
    }
    let mut book = Book::new();
    book.apply(block(1), &events).unwrap();
    book
}

/// Finds the liquidatable loans by looking at all of them.
fn scan(market: &MarketBook, price: U256, timestamp: u64) -> BTreeSet<Address> {
    let totals = market.at(timestamp);
    let loans = market.positions().map(|(account, position)| (account, position.loan()));
    let liquidatable = loans.filter(|(_, loan)| totals.is_liquidatable(*loan, market.liquidation_incentive(), price));
    liquidatable.map(|(account, _)| account).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_waterline_finds_the_same_loans_as_a_full_scan(
        samples in prop::collection::vec(sample(), 1..80),
        decimals in prop::sample::select(vec![0u32, 2, 6, 18]),
        collateral_decimals in prop::sample::select(vec![0u32, 2, 6, 18]),
        percents in prop::collection::vec(0..200u64, 1..6),
        years in 0..4u64,
    ) {
        let par = U256::from(10).pow(U256::from(ORACLE_DECIMALS + decimals - collateral_decimals));
        let book = market_of(&samples, par);
        let market = book.markets().next().unwrap();
        let timestamp = START + 12 + years * 31_536_000 / 2;
        let nudges = [U256::ZERO, U256::ONE, par / U256::from(1_000_000_007)];
        for price in percents.iter().map(|percent| par * U256::from(*percent) / U256::from(100)) {
            for price in nudges.map(|nudge| price + nudge).into_iter().filter(|price| !price.is_zero()) {
                let found: Vec<_> = market.liquidatable(price, timestamp).iter().map(|found| found.account).collect();
                let once: BTreeSet<_> = found.iter().copied().collect();
                prop_assert_eq!(found.len(), once.len());
                prop_assert_eq!(once, scan(market, price, timestamp), "at {}", price);
            }
        }
    }

    #[test]
    fn a_loan_is_liquidatable_at_its_waterline_and_not_above(
        samples in prop::collection::vec(sample(), 1..20),
        decimals in prop::sample::select(vec![0u32, 2, 6, 18]),
    ) {
        let book = market_of(&samples, U256::from(10).pow(U256::from(ORACLE_DECIMALS + decimals)));
        let market = book.markets().next().unwrap();
        let timestamp = START + 1_000_000;
        for (account, position) in market.positions() {
            let waterline = market.waterline(account, timestamp);
            if position.borrow_shares == 0 {
                prop_assert_eq!(waterline, U256::ZERO);
                continue;
            }
            let (totals, incentive) = (market.at(timestamp), market.liquidation_incentive());
            let is_liquidatable = |price| totals.is_liquidatable(position.loan(), incentive, price);
            prop_assert!(is_liquidatable(waterline));
            prop_assert!(waterline == U256::MAX || !is_liquidatable(waterline + U256::ONE));
        }
    }
}

/// Prices at the ends of their type, which no generated history reaches.
#[test]
fn extreme_prices_find_the_same_loans_as_a_full_scan() {
    let samples: Vec<_> = (0..11)
        .map(|size| Sample { debt: 10u128.pow(3 * size), value_percent: u128::from(size % 3) * 100, collateral_off: 1 })
        .collect();
    let book = market_of(&samples, U256::from(10).pow(U256::from(ORACLE_DECIMALS)));
    let market = book.markets().next().unwrap();
    let timestamp = START + 12;
    for price in (0..256).map(|bit| U256::ONE << bit).chain([U256::MAX]) {
        let found: BTreeSet<_> = market.liquidatable(price, timestamp).iter().map(|found| found.account).collect();
        assert_eq!(found, scan(market, price, timestamp), "at {price}");
    }
    assert_eq!(market.liquidatable(U256::ZERO, timestamp), [], "the contract rejects a price of 0");
}

#[test]
fn the_search_looks_at_hardly_any_loan_that_is_not_liquidatable() {
    // 5,000 large loans, each a little safer than the one before, and a tiny one that must not make the search reach
    // far.
    let mut samples: Vec<_> =
        (0..5_000).map(|off| Sample { debt: 1_000_000_000, value_percent: 120, collateral_off: 100 * off }).collect();
    samples.push(Sample { debt: 1, value_percent: 120, collateral_off: 0 });
    let par = U256::from(10).pow(U256::from(ORACLE_DECIMALS));
    let book = market_of(&samples, par);
    let market = book.markets().next().unwrap();
    let timestamp = START + 12;
    let middle = market.waterline(account(10 + 2_500), timestamp);
    let found = market.liquidatable(middle, timestamp).len();
    let looked_at = market
        .positions
        .waterline()
        .within_reach(&market.at(timestamp), market.risk().liquidation_ltv_bps(), middle, 0, usize::MAX)
        .count();
    assert!((2_000..3_000).contains(&found), "{found} of 5,000");
    assert!(looked_at <= found + 1, "looked at {looked_at} to find {found}");
}
