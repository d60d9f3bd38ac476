//! Loans below a size are counted and not looked at, however many there are.

use proptest::prelude::*;

use super::*;
use crate::math::{debt::to_debt_shares_up, liquidation::ORACLE_SCALE};

/// A market with liquidatable loans of these debts, in units.
fn market_of(debts: impl IntoIterator<Item = u128>) -> Book {
    let params = params(0);
    let id = params.id().0;
    let mut events = vec![create(&params), supply(id, account(1), 1 << 90, 1 << 110)];
    let (mut assets, mut shares) = (0, 0);
    for (number, debt) in (0..).zip(debts) {
        let borrowed = to_debt_shares_up(debt, assets, shares);
        (assets, shares) = (assets + debt, shares + borrowed);
        let borrower = account(100 + number);
        events.extend([supply_collateral(id, borrower, debt), borrow(id, borrower, debt, borrowed)]);
    }
    let mut book = Book::new();
    book.apply(block(0), &events).unwrap();
    book
}

/// The price at which all loans of [`market_of`] are liquidatable.
const PRICE: U256 = ORACLE_SCALE;

#[test]
fn a_hundred_thousand_dust_loans_are_counted_and_only_the_others_found() {
    let dust = (0..100_000).map(|number| 1 + number % 90);
    let book = market_of(dust.chain([1_000_000, 3_000_000]));
    let market = book.markets().next().unwrap();
    let least_shares = market.least_shares(START, |debt| debt > 1_000);
    let found = market.liquidatable_from(PRICE, START, least_shares, usize::MAX);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(market.count_smaller(PRICE, START, least_shares, 10_000), 10_000);
    assert_eq!(market.count_smaller(PRICE, START, least_shares, usize::MAX), 100_000);
}

#[test]
fn without_loans_nothing_is_left_out_and_where_none_pays_all_are() {
    let (empty, dust) = (market_of([]), market_of([5, 6]));
    let [empty, dust] = [&empty, &dust].map(|book| book.markets().next().unwrap());
    assert_eq!(empty.least_shares(START, |_| false), 0);
    let least_shares = dust.least_shares(START, |_| false);
    assert_eq!(dust.liquidatable_from(PRICE, START, least_shares, usize::MAX), []);
    assert_eq!(dust.count_smaller(PRICE, START, least_shares, 9), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Property K5: each liquidatable loan is found, or it is counted and its debt does not pay.
    #[test]
    fn every_loan_is_found_or_counted_and_none_that_pays_is_left_out(
        debts in prop::collection::vec((any::<u64>(), 0..60u32).prop_map(|(debt, down)| u128::from(debt >> down).max(1)), 1..60),
        threshold in (any::<u64>(), 0..64u32).prop_map(|(debt, down)| u128::from(debt >> down)),
    ) {
        let book = market_of(debts.iter().copied());
        let market = book.markets().next().unwrap();
        let least_shares = market.least_shares(START, |debt| debt >= threshold);
        let all = market.liquidatable(PRICE, START);
        let found = market.liquidatable_from(PRICE, START, least_shares, usize::MAX);
        let totals = market.at(START);
        prop_assert_eq!(all.len(), debts.len());
        prop_assert_eq!(found.len() + market.count_smaller(PRICE, START, least_shares, usize::MAX), all.len());
        let pays = |loan: &&LiquidationCandidate| totals.debt_of(loan.loan) >= threshold;
        prop_assert!(all.iter().filter(pays).all(|loan| found.contains(loan)));
        // Sizes are powers of four: what is looked at in vain is at least a quarter of what pays.
        let smallest = found.iter().map(|loan| totals.debt_of(loan.loan)).min().unwrap_or(u128::MAX);
        prop_assert!(smallest.saturating_mul(4).saturating_add(8) >= threshold);
    }
}
