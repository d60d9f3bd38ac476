//! Who is nearest to the waterline, healthy or not.

use alloy::primitives::{Address, U256};
use serde::Serialize;

use crate::{
    book::MarketBook,
    math::{liquidation::value_down, wide::WAD, wide::mul_div_down},
};

/// A loan that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AtRisk {
    /// Whose.
    pub account: Address,
    /// What is owed, in units of the loan token, rounded up.
    pub debt: u128,
    /// Units of the collateral token.
    pub collateral: u128,
    /// What that is worth, in units of the loan token, rounded down.
    pub value: u128,
    /// Value × liquidation LTV ÷ debt, 1e18-scaled: below 1e18 exactly where it can be liquidated.
    pub health_wad: U256,
    /// The highest price at which it can be liquidated.
    pub waterline: U256,
}

/// Loans of a market whose health is below a bound, 1e18-scaled, at a price and a time: the least healthy first, no
/// more than `most`. The work is in proportion to how many are below the bound.
#[must_use]
pub fn at_risk(market: &MarketBook, price: U256, timestamp: u64, below_wad: U256, most: usize) -> Vec<AtRisk> {
    let wad = U256::from(WAD);
    // Health falls in proportion to the price.
    let price_of_bound = mul_div_down(price, wad, below_wad.max(wad));
    let totals = market.at(timestamp);
    let at_risk = |account, loan| {
        let (debt, value) = (totals.debt_of(loan), value_down(loan.collateral, price));
        let health_wad = totals.health_wad(loan, market.terms(), price);
        let waterline = market.waterline(account, timestamp);
        AtRisk { account, debt, collateral: loan.collateral, value, health_wad, waterline }
    };
    let candidates = market.liquidatable(price_of_bound.max(U256::ONE), timestamp).into_iter();
    let mut found: Vec<_> = candidates.map(|loan| at_risk(loan.account, loan.loan)).collect();
    found.sort_unstable_by_key(|loan| (loan.health_wad, loan.account));
    found.truncate(most);
    found
}
