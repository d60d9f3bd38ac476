//! The loans with the lowest health factors, liquidatable or near to it.

use alloy::primitives::{Address, U256};
use serde::Serialize;

use crate::{
    book::{LiquidationCandidate, MarketBook},
    math::{
        liquidation::{value_down, waterline_price},
        types::Loan,
        wide::{WAD, mul_div_down},
    },
};

/// A loan with a low health factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LoanAtRisk {
    /// Account of the borrower.
    pub account: Address,
    /// Debt in units of the loan token, rounded up.
    pub debt: u128,
    /// Collateral in units of the collateral token.
    pub collateral: u128,
    /// Value of the collateral in units of the loan token, rounded down.
    pub value: u128,
    /// Health factor, 1e18-scaled: value × liquidation LTV ÷ debt. The loan is liquidatable exactly where it is below
    /// 1e18.
    pub health_wad: U256,
    /// Liquidation price (waterline), 1e36-scaled: the highest price at which the loan is liquidatable.
    pub waterline: U256,
}

/// Returns the loans of a market whose health factor is below `below_wad`, 1e18-scaled, at a price and a time: the lowest
/// first, at most `most` of them. The work is in proportion to the number of loans below the bound. A bound below 1 counts
/// as 1.
#[must_use]
pub fn at_risk(market: &MarketBook, price: U256, timestamp: u64, below_wad: U256, most: usize) -> Vec<LoanAtRisk> {
    let candidates = market.liquidatable(price_of_health(price, below_wad), timestamp);
    listed(market, price, timestamp, candidates, most)
}

/// Returns the same without the sizes of loans that lie wholly below `least_shares`. The work depends neither on their
/// number nor on that of the loans below the bound: at most `most` of each size are looked at.
#[must_use]
pub fn worst_at_risk(
    market: &MarketBook,
    price: U256,
    timestamp: u64,
    below_wad: U256,
    (least_shares, most): (u128, usize),
) -> Vec<LoanAtRisk> {
    let price_of_bound = price_of_health(price, below_wad);
    let candidates = market.liquidatable_from(price_of_bound, timestamp, least_shares, most);
    listed(market, price, timestamp, candidates, most)
}

/// Returns the price at which loans with a health factor below this one would be liquidatable; a bound below 1 counts as
/// 1.
fn price_of_health(price: U256, health_wad: U256) -> U256 {
    let wad = U256::from(WAD);
    // The health factor falls in proportion to the price.
    mul_div_down(price, wad, health_wad.max(wad)).max(U256::ONE)
}

/// Describes loans, the lowest health factor first, and leaves out all but the first `most`.
fn listed(
    market: &MarketBook,
    price: U256,
    timestamp: u64,
    candidates: Vec<LiquidationCandidate>,
    most: usize,
) -> Vec<LoanAtRisk> {
    let totals = market.at(timestamp);
    let at_risk = |account, loan: Loan| {
        let (debt, value) = (totals.debt_of(loan), value_down(loan.collateral, price));
        let health_wad = totals.health_wad(loan, market.liquidation_incentive(), price);
        let waterline = waterline_price(debt, loan.collateral, market.liquidation_incentive().ltv_bps);
        LoanAtRisk { account, debt, collateral: loan.collateral, value, health_wad, waterline }
    };
    let mut found: Vec<_> = candidates.into_iter().map(|loan| at_risk(loan.account, loan.loan)).collect();
    found.sort_unstable_by_key(|loan| (loan.health_wad, loan.account));
    found.truncate(most);
    found
}
