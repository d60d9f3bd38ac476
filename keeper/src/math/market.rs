//! A market and a loan as the contract keeps them, and the steps that change them.

use alloy::primitives::U256;
use plimsoll_contracts::{Market as MarketOnChain, RateCurve, market::BPS};

use super::{
    debt, interest,
    liquidation::{self, Terms},
    wide::{WAD, mul_div_down, product},
};

/// The state of a market at its last update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Market {
    /// What suppliers and the reserve own together.
    pub supply_assets: u128,
    /// Into how many shares that is divided.
    pub supply_shares: u128,
    /// What borrowers owe together.
    pub borrow_assets: u128,
    /// Into how many shares that is divided.
    pub borrow_shares: u128,
    /// The second up to which interest has been accrued.
    pub last_update: u64,
    /// Which part of the interest goes to the reserve.
    pub fee_bps: u16,
    /// What borrowing costs at the target utilisation, 1e18 per second.
    pub rate_at_target: u64,
    /// Interest below one unit, in 2^-32 units.
    pub interest_remainder: u32,
    /// The supply shares that belong to the reserve.
    pub reserve_shares: u128,
}

/// What an accrual added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accrued {
    /// To borrow and supply assets.
    pub interest: u128,
    /// To supply and reserve shares.
    pub fee_shares: u128,
}

/// What somebody owes in a market, and what secures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loan {
    /// Shares of the market's debt.
    pub borrow_shares: u128,
    /// Units of the collateral token.
    pub collateral: u128,
}

/// What a liquidation did to one loan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Liquidated {
    /// Units of the loan token that the liquidator pays.
    pub repaid: u128,
    /// The loan's borrow shares that went.
    pub shares: u128,
    /// Units of the collateral token that the liquidator gets.
    pub seized: u128,
    /// Units of the loan token that are written off.
    pub bad_debt: u128,
}

impl Market {
    /// Brings interest up to `timestamp`, if that is later than the last update.
    pub fn accrue(&mut self, curve: RateCurve, timestamp: u64) -> Accrued {
        if timestamp <= self.last_update {
            return Accrued::default();
        }
        interest::accrue(self, curve, timestamp)
    }

    /// The same market at `timestamp`.
    #[must_use]
    pub fn accrued(mut self, curve: RateCurve, timestamp: u64) -> Self {
        self.accrue(curve, timestamp);
        self
    }

    /// What a loan owes, as of the last update.
    pub fn debt_of(&self, loan: Loan) -> u128 {
        debt::to_debt_up(loan.borrow_shares, self.borrow_assets, self.borrow_shares)
    }

    /// Whether a loan may be liquidated at a price, as of the last update.
    pub fn is_liquidatable(&self, loan: Loan, terms: &Terms, price: U256) -> bool {
        let value = liquidation::value_down(loan.collateral, price);
        loan.borrow_shares != 0 && !liquidation::is_healthy(self.debt_of(loan), value, terms.ltv_bps)
    }

    /// Value of a loan's collateral at a price × liquidation LTV ÷ its debt, 1e18-scaled, rounded down; the largest number
    /// without debt.
    pub fn health_wad(&self, loan: Loan, terms: &Terms, price: U256) -> U256 {
        let value = liquidation::value_down(loan.collateral, price);
        let carried = product(value, u128::from(terms.ltv_bps));
        mul_div_down(carried, U256::from(WAD), product(self.debt_of(loan), u128::from(BPS)))
    }

    /// Does to a loan what `liquidate` does to each in its list, with no more than `limit` repaid; nothing where the
    /// contract would leave the loan alone. The loss is not yet charged to anybody.
    pub fn liquidate(
        &mut self,
        loan: &mut Loan,
        terms: &Terms,
        price: U256,
        smallest_debt: u128,
        limit: u128,
    ) -> Option<Liquidated> {
        if !self.is_liquidatable(*loan, terms, price) {
            return None;
        }
        let owed = self.debt_of(*loan);
        let value = liquidation::value_down(loan.collateral, price);
        let ceiling = liquidation::ceiling_of(terms, owed, value, smallest_debt);
        let repaid = liquidation::repay_within_down(ceiling, owed, limit, smallest_debt);

        let (shares, seized, removed) = if let Some(bonus) = ceiling.bonus {
            let shares = if repaid == owed {
                loan.borrow_shares
            } else {
                debt::to_debt_shares_down(repaid, self.borrow_assets, self.borrow_shares)
            };
            (shares, liquidation::seized_down(repaid, bonus, price).min(loan.collateral), repaid)
        } else if repaid == ceiling.repay {
            (loan.borrow_shares, loan.collateral, owed)
        } else {
            let part = |whole| liquidation::part_down(whole, repaid, ceiling.repay);
            let shares = part(loan.borrow_shares);
            let removed = debt::to_debt_up(shares, self.borrow_assets, self.borrow_shares);
            (shares, part(loan.collateral), removed.max(repaid))
        };
        if shares == 0 {
            return None;
        }

        self.borrow_shares = self.borrow_shares.saturating_sub(shares);
        let borrow_assets = debt::total_after(self.borrow_assets, removed, self.borrow_shares);
        let bad_debt = self.borrow_assets.saturating_sub(borrow_assets).saturating_sub(repaid);
        self.borrow_assets = borrow_assets;
        loan.borrow_shares = loan.borrow_shares.saturating_sub(shares);
        loan.collateral = loan.collateral.saturating_sub(seized);
        Some(Liquidated { repaid, shares, seized, bad_debt })
    }
}

impl From<Market> for MarketOnChain {
    fn from(market: Market) -> Self {
        Self {
            supplyAssets: U256::from(market.supply_assets),
            supplyShares: U256::from(market.supply_shares),
            borrowAssets: U256::from(market.borrow_assets),
            borrowShares: U256::from(market.borrow_shares),
            lastUpdate: U256::from(market.last_update),
            feeBps: U256::from(market.fee_bps),
            rateAtTarget: U256::from(market.rate_at_target),
            interestRemainder: U256::from(market.interest_remainder),
            reserveShares: U256::from(market.reserve_shares),
        }
    }
}
