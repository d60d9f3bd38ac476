//! The operations on a market: accrual, debt and health factor of a loan, liquidation.

use alloy::primitives::U256;
use plimsoll_contracts::{RateCurve, Risk, market::BPS};

use super::{
    debt, interest,
    liquidation::{self, LiquidationIncentive, Zone},
    surge,
    types::{Accrued, Liquidated, Loan, Market},
    wide::{WAD, mul_div_down, product},
};

impl Market {
    /// Accrues interest and refills the surge limit up to `timestamp`. Does nothing if that is not later than the last
    /// update.
    pub fn accrue(&mut self, risk: Risk, curve: RateCurve, timestamp: u64) -> Accrued {
        if timestamp <= self.last_update {
            return Accrued::default();
        }
        if let Some(limit) = risk.surge_limit() {
            self.surge_level = surge::refilled(self.surge_level, limit, timestamp - self.last_update);
        }
        interest::accrue(self, curve, timestamp)
    }

    /// Returns the market with interest accrued and the surge limit refilled up to `timestamp`.
    #[must_use]
    pub fn accrued(mut self, risk: Risk, curve: RateCurve, timestamp: u64) -> Self {
        self.accrue(risk, curve, timestamp);
        self
    }

    /// Uses the surge limit for a borrowing, before it is added to the debt. Does nothing in a market without a limit.
    pub fn charge_surge(&mut self, risk: Risk, assets: u128) {
        if let Some(limit) = risk.surge_limit() {
            self.surge_level = surge::level_after_borrow(self, risk, limit, assets);
        }
    }

    /// Gives back what is paid in to the surge limit, before it is taken from the debt. Does nothing in a market
    /// without a limit.
    pub fn refund_surge(&mut self, risk: Risk, assets: u128) {
        if let Some(limit) = risk.surge_limit() {
            self.surge_level = surge::level_after_payment(self, risk, limit, assets);
        }
    }

    /// Returns the most that the surge limit lets be borrowed at once, as of the last update; `None` without a limit.
    pub fn surge_room(&self, risk: Risk) -> Option<u128> {
        risk.surge_limit().map(|limit| surge::room(self, risk, limit))
    }

    /// Returns the debt of a loan as of the last update, in units of the loan token, rounded up.
    pub fn debt_of(&self, loan: Loan) -> u128 {
        debt::to_debt_up(loan.borrow_shares, self.borrow_assets, self.borrow_shares)
    }

    /// Returns true if the loan's health factor is below 1 at a price, as of the last update.
    pub fn is_liquidatable(&self, loan: Loan, incentive: &LiquidationIncentive, price: U256) -> bool {
        let value = liquidation::value_down(loan.collateral, price);
        loan.borrow_shares != 0 && !liquidation::is_healthy(self.debt_of(loan), value, incentive.ltv_bps)
    }

    /// Returns the loan's health factor at a price: value of the collateral × liquidation LTV ÷ debt, 1e18-scaled,
    /// rounded down; the largest number if there is no debt.
    pub fn health_wad(&self, loan: Loan, incentive: &LiquidationIncentive, price: U256) -> U256 {
        let value = liquidation::value_down(loan.collateral, price);
        let carried = product(value, u128::from(incentive.ltv_bps));
        mul_div_down(carried, U256::from(WAD), product(self.debt_of(loan), u128::from(BPS)))
    }

    /// Liquidates a loan as `liquidate` does each in its list, with no more than `limit` repaid. Returns `None` and
    /// changes nothing if the contract would skip the loan. The bad debt is not yet charged to the reserve, cover or
    /// suppliers, and what is repaid not yet refunded to the surge limit.
    pub fn liquidate(
        &mut self,
        loan: &mut Loan,
        incentive: &LiquidationIncentive,
        price: U256,
        min_debt: u128,
        limit: u128,
    ) -> Option<Liquidated> {
        if !self.is_liquidatable(*loan, incentive, price) {
            return None;
        }
        let owed = self.debt_of(*loan);
        let value = liquidation::value_down(loan.collateral, price);
        let max = liquidation::max_repay_of(incentive, owed, value, min_debt);
        let repaid = liquidation::repay_within_down(max, owed, limit, min_debt);

        let (shares, seized, removed) = match max.zone {
            Zone::Ramp { incentive_factor } => {
                let shares = if repaid == owed {
                    loan.borrow_shares
                } else {
                    debt::to_debt_shares_down(repaid, self.borrow_assets, self.borrow_shares)
                };
                let seized = liquidation::seized_down(repaid, incentive_factor, price).min(loan.collateral);
                (shares, seized, repaid)
            }
            Zone::Breakeven | Zone::Insolvent if repaid == max.repay => (loan.borrow_shares, loan.collateral, owed),
            Zone::Breakeven | Zone::Insolvent => {
                // Whole units of debt, of which a fraction stays with the loan, and the same part of the collateral.
                let removed = liquidation::part_down(owed, repaid, max.repay);
                let shares = debt::to_debt_shares_down(removed, self.borrow_assets, self.borrow_shares);
                (shares, liquidation::part_down(loan.collateral, removed, owed), removed)
            }
        };
        if shares == 0 {
            return None;
        }

        self.borrow_shares = self.borrow_shares.saturating_sub(shares);
        let borrow_assets = debt::saturating_total_after_repay(self.borrow_assets, removed, self.borrow_shares);
        let bad_debt = self.borrow_assets.saturating_sub(borrow_assets).saturating_sub(repaid);
        self.borrow_assets = borrow_assets;
        loan.borrow_shares = loan.borrow_shares.saturating_sub(shares);
        loan.collateral = loan.collateral.saturating_sub(seized);
        Some(Liquidated { repaid, shares, seized, bad_debt })
    }
}
