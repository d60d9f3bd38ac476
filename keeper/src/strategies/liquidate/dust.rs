//! Dust: loans so small that liquidating them cannot pay for a place in a transaction.
//!
//! A borrower may repay a loan down to any rest, so strangers can leave any number of them liquidatable for good. They are
//! told apart by their size, as the book keeps them, and counted instead of looked at.

use alloy::primitives::U256;

use super::{Liquidate, batches::LiquidationCosts};
use crate::{
    book::MarketBook,
    math::{types::Loan, wide::WAD, wide::mul_div_up},
    prices::Rate,
    strategies::{BlockContext, COUNTED_LOANS, Decisions, LoanClass, SkipReason},
};

/// By how much the value of a loan token may have risen since it was last read: what pays at so many times its last known
/// value is looked at.
const VALUE_MARGIN: u64 = 4;
/// Number of loans of each size that are looked at in a market whose loan token has never been valued.
pub(super) const UNVALUED_LOANS: usize = 1_000;

/// Which loans of a market are looked at one by one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    /// Borrow shares below which a size is left out.
    pub(super) least_shares: u128,
    /// Most loans of each size.
    pub(super) most: usize,
}

impl Liquidate {
    /// Returns which loans of a market could pay for a place in a transaction, by the value that the loan token had when
    /// it was last read; `None` if it never was.
    pub(super) fn scope(&self, market: &MarketBook, context: BlockContext<'_>, last_known: Option<Rate>) -> Scope {
        let Some(rate) = last_known else {
            return Scope { least_shares: 0, most: UNVALUED_LOANS };
        };
        let costs = LiquidationCosts { table: &self.settings.gas, costs: &context.costs, pools: 0, room: context.room };
        let (place_wei, wad) = (costs.place_cost(), U256::from(WAD));
        let bonus = U256::from(market.liquidation_incentive().max_incentive_factor).saturating_sub(wad);
        // In every zone a liquidator gains at most the highest bonus on the whole debt.
        let pays = |debt: u128| {
            let gain = mul_div_up(U256::from(debt), bonus, wad).saturating_mul(U256::from(VALUE_MARGIN));
            rate.value_up(gain) > place_wei
        };
        Scope { least_shares: market.least_shares(context.header.timestamp, pays), most: usize::MAX }
    }
}

impl<T> Decisions<T> {
    /// Counts the loans of a market that are left out for their size.
    pub(super) fn skip_dust(&mut self, market: &MarketBook, price: U256, timestamp: u64, least_shares: u128) {
        let loans = market.count_smaller(price, timestamp, least_shares, COUNTED_LOANS);
        if loans > 0 {
            let smallest = Loan { borrow_shares: least_shares, collateral: 0 };
            let reason = SkipReason::Dust { least_debt: U256::from(market.at(timestamp).debt_of(smallest)) };
            self.dust.push(LoanClass { market: market.id(), reason, least_shares, loans });
        }
    }
}
