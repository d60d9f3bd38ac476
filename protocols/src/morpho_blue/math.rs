//! Morpho Blue's arithmetic, step by step as the contract does it. `None` stands where the contract reverts by overflow.

use alloy::primitives::{U256, Uint, uint};

use crate::Liquidation;

/// Scale of rates, factors and health.
pub(super) const WAD: U256 = uint!(1_000_000_000_000_000_000_U256);
/// Scale of an oracle's price.
pub(super) const PRICE_SCALE: U256 = uint!(1_000_000_000_000_000_000_000_000_000_000_000_000_U256);
/// Shares that exist besides the stored ones in every conversion.
pub(super) const VIRTUAL_SHARES: U256 = uint!(1_000_000_U256);
/// Assets that exist besides the stored ones in every conversion.
pub(super) const VIRTUAL_ASSETS: U256 = U256::ONE;
/// Share of the distance from the liquidation LTV to 1 that the incentive may use up.
const LIQUIDATION_CURSOR: U256 = uint!(300_000_000_000_000_000_U256);
/// Maximum liquidation incentive factor.
const MAX_INCENTIVE_FACTOR: U256 = uint!(1_150_000_000_000_000_000_U256);

/// The totals of a market, as the contract stores them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    pub(super) supply_assets: u128,
    pub(super) supply_shares: u128,
    pub(super) borrow_assets: u128,
    pub(super) borrow_shares: u128,
}

/// What a position consists of, as far as its health goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Position {
    pub(super) borrow_shares: u128,
    pub(super) collateral: u128,
}

/// The terms on which positions of a market are valued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Valuation {
    /// Totals with interest up to the block.
    pub(super) totals: Totals,
    /// The oracle's price.
    pub(super) price: U256,
    /// Liquidation LTV × 10¹⁸.
    pub(super) lltv: U256,
}

/// What the contract is told to repay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repayment {
    /// The debt of this many shares.
    Shares(U256),
    /// As much as all of the collateral pays for, with the incentive.
    AllCollateral,
}

/// An integer for products of four amounts and a price.
type Wide = Uint<1_024, 16>;

pub(super) fn mul_div_down(a: U256, b: U256, divisor: U256) -> Option<U256> {
    a.checked_mul(b)?.checked_div(divisor)
}

pub(super) fn mul_div_up(a: U256, b: U256, divisor: U256) -> Option<U256> {
    let less_one = divisor.checked_sub(U256::ONE)?;
    a.checked_mul(b)?.checked_add(less_one)?.checked_div(divisor)
}

impl Valuation {
    /// Returns the total debt in conversions.
    pub(super) fn assets(&self) -> U256 {
        U256::from(self.totals.borrow_assets) + VIRTUAL_ASSETS
    }

    /// Returns the total debt shares in conversions.
    pub(super) fn shares(&self) -> U256 {
        U256::from(self.totals.borrow_shares) + VIRTUAL_SHARES
    }

    /// Returns a position's debt, rounded up.
    pub(super) fn debt(&self, position: Position) -> Option<U256> {
        mul_div_up(U256::from(position.borrow_shares), self.assets(), self.shares())
    }

    /// Returns the debt up to which a position is healthy.
    pub(super) fn max_debt(&self, position: Position) -> Option<U256> {
        mul_div_down(mul_div_down(U256::from(position.collateral), self.price, PRICE_SCALE)?, self.lltv, WAD)
    }

    /// Returns debt shares below which no liquidation has this bonus, which is at most 15 % of what is repaid.
    pub(super) fn least_shares(&self, bonus: U256) -> u128 {
        let least_debt = bonus.saturating_mul(U256::from(6));
        let shares = mul_div_down(least_debt, self.shares(), self.assets());
        shares.map_or(0, |shares| u128::try_from(shares).unwrap_or(u128::MAX))
    }

    /// Returns a position's health factor × 10¹⁸, rounded down: below 10¹⁸ exactly if the contract lets it be liquidated.
    pub(super) fn health(&self, position: Position) -> Option<U256> {
        mul_div_down(self.max_debt(position)?, WAD, self.debt(position)?)
    }

    /// Returns true if certainly every position has a health factor × 10¹⁸ of at least `bound` that has no less collateral for
    /// each debt share than this one, and at least `least_shares` of them.
    ///
    /// The exact maximum debt is less than 2 units above the rounded one, and the rounded debt less than a unit above the exact
    /// one. So `(maximum − 2) · 10¹⁸ ≥ bound · (debt + 1)` suffices, with exact values. Both are proportional to the debt
    /// shares at a given ratio, so that it is true of all once it is true of the fewest shares.
    pub(super) fn all_reach(&self, bound: U256, lowest: Position, least_shares: u128) -> bool {
        let (least, bound, shares) = (Wide::from(least_shares), Wide::from(bound), Wide::from(self.shares()));
        let maximum = least * Wide::from(lowest.collateral) * Wide::from(self.price) * Wide::from(self.lltv) * shares;
        let roundings = shares * (Wide::from(WAD) * Wide::from(2) + bound);
        let needed = roundings + bound * least * Wide::from(self.assets());
        maximum >= Wide::from(lowest.borrow_shares) * Wide::from(PRICE_SCALE) * needed
    }

    /// Returns the highest price at which a position is liquidatable with its present debt; `None` without collateral, when no
    /// price makes it healthy.
    pub(super) fn liquidation_price(&self, position: Position) -> Option<U256> {
        let healthy_value = mul_div_up(self.debt(position)?, WAD, self.lltv)?;
        let healthy_price = mul_div_up(healthy_value, PRICE_SCALE, U256::from(position.collateral))?;
        healthy_price.checked_sub(U256::ONE)
    }

    /// Returns the liquidation incentive factor × 10¹⁸.
    fn incentive_factor(&self) -> Option<U256> {
        let distance = WAD.checked_sub(self.lltv)?;
        let used = WAD.checked_sub(mul_div_down(LIQUIDATION_CURSOR, distance, WAD)?)?;
        Some(mul_div_down(WAD, WAD, used)?.min(MAX_INCENTIVE_FACTOR))
    }

    /// Returns what a whole liquidation does: of all of the debt if the collateral suffices for it, else of all collateral.
    /// `None` if the contract would refuse both.
    pub(super) fn liquidation(&self, position: Position) -> Option<Liquidation> {
        self.liquidation_within(position, U256::MAX).map(|(_, liquidation)| liquidation)
    }

    /// Returns what the largest liquidation does that repays no more than this, and what the contract is told to repay.
    /// `None` if the contract would refuse it.
    pub(super) fn liquidation_within(&self, position: Position, max_repay: U256) -> Option<(Repayment, Liquidation)> {
        // More shares than there are need no conversion, which might overflow.
        let within = mul_div_down(max_repay, self.shares(), self.assets()).unwrap_or(U256::MAX);
        self.liquidation_of(position, U256::from(position.borrow_shares).min(within))
    }

    /// Returns what the largest liquidation does that repays no more than the debt of so many of the position's shares, and what
    /// the contract is told to repay. `None` if the contract would refuse it.
    pub(super) fn liquidation_of(&self, position: Position, shares: U256) -> Option<(Repayment, Liquidation)> {
        let (collateral, all_shares) = (U256::from(position.collateral), U256::from(position.borrow_shares));
        if collateral.is_zero() {
            return None;
        }
        let factor = self.incentive_factor()?;
        let owed = mul_div_down(mul_div_down(shares, self.assets(), self.shares())?, factor, WAD)?;
        let seized_for_shares = mul_div_down(owed, PRICE_SCALE, self.price).filter(|seized| *seized <= collateral);
        let (repayment, repaid_shares, seized) = match seized_for_shares {
            Some(seized) => (Repayment::Shares(shares), shares, seized),
            None => {
                let value = mul_div_up(collateral, self.price, PRICE_SCALE)?;
                let shares = mul_div_up(mul_div_up(value, WAD, factor)?, self.shares(), self.assets())?;
                (Repayment::AllCollateral, shares, collateral)
            }
        };
        if repaid_shares.is_zero() {
            return None;
        }
        let remaining_shares = all_shares.checked_sub(repaid_shares)?;
        let repaid = mul_div_up(repaid_shares, self.assets(), self.shares())?;
        let bad_debt =
            if seized == collateral { self.bad_debt(repaid_shares, repaid, remaining_shares)? } else { U256::ZERO };
        let value = mul_div_down(seized, self.price, PRICE_SCALE)?;
        Some((repayment, Liquidation { repaid, seized, bonus: value.saturating_sub(repaid), bad_debt }))
    }

    /// Returns what the shares that remain after a repayment are worth in the totals that it leaves.
    fn bad_debt(&self, repaid_shares: U256, repaid: U256, remaining_shares: U256) -> Option<U256> {
        let assets = U256::from(self.totals.borrow_assets).saturating_sub(repaid);
        let shares = U256::from(self.totals.borrow_shares).checked_sub(repaid_shares)?;
        let worth = mul_div_up(remaining_shares, assets + VIRTUAL_ASSETS, shares + VIRTUAL_SHARES)?;
        Some(worth.min(assets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valuation(price: U256) -> Valuation {
        let totals = Totals {
            supply_assets: 1_000_000_007,
            supply_shares: 1_000_000_000_000_000,
            borrow_assets: 700_000_003,
            borrow_shares: 690_000_000_000_000,
        };
        Valuation { totals, price, lltv: WAD * uint!(86_U256) / uint!(100_U256) }
    }

    #[test]
    fn a_position_is_liquidatable_at_its_liquidation_price_and_healthy_just_above_it() {
        for borrow_shares in [1, 999_999, 1_000_001, 345_000_000_000_001] {
            for collateral in [1, 7, 1_000_003, 500_000_000_000_000_000_000] {
                let position = Position { borrow_shares, collateral };
                let price = valuation(PRICE_SCALE).liquidation_price(position).unwrap();
                assert!(valuation(price).health(position).unwrap() < WAD, "{position:?} at {price}");
                let above = valuation(price + U256::ONE);
                assert!(above.health(position).unwrap() >= WAD, "{position:?} just above {price}");
            }
        }
    }

    #[test]
    fn a_position_without_collateral_has_no_liquidation_price() {
        let position = Position { borrow_shares: 1_000_000_000, collateral: 0 };
        assert_eq!(valuation(PRICE_SCALE).liquidation_price(position), None);
        assert_eq!(valuation(PRICE_SCALE).health(position), Some(U256::ZERO));
    }

    #[test]
    fn the_incentive_factor_is_that_of_the_documentation() {
        // 86 %: 1 / (1 − 0.3 × 0.14) = 1.0438…; 38.5 % would be 1.2263, which is beyond the maximum.
        assert_eq!(valuation(U256::ZERO).incentive_factor(), Some(uint!(1_043_841_336_116_910_229_U256)));
        let lltv = uint!(385_000_000_000_000_000_U256);
        assert_eq!(Valuation { lltv, ..valuation(U256::ZERO) }.incentive_factor(), Some(MAX_INCENTIVE_FACTOR));
    }

    #[test]
    fn without_enough_collateral_all_of_it_is_seized_and_the_rest_is_bad_debt() {
        let position = Position { borrow_shares: 345_000_000_000_000, collateral: 100_000_000 };
        let liquidation = valuation(PRICE_SCALE).liquidation(position).unwrap();
        assert_eq!(liquidation.seized, uint!(100_000_000_U256));
        let debt = valuation(PRICE_SCALE).debt(position).unwrap();
        let sum = liquidation.repaid + liquidation.bad_debt;
        assert!(sum >= debt - U256::ONE && sum <= debt + U256::ONE, "{liquidation:?} of {debt}");
        assert_eq!(liquidation.bonus, uint!(100_000_000_U256) - liquidation.repaid);
    }

    #[test]
    fn a_part_repays_no_more_than_it_may_and_keeps_its_share_of_the_incentive() {
        let position = Position { borrow_shares: 345_000_000_000_000, collateral: 390_000_000 };
        let valuation = valuation(PRICE_SCALE);
        let whole = valuation.liquidation(position).unwrap();
        for divisor in [2, 7, 1_000] {
            let most = whole.repaid / U256::from(divisor);
            let (repayment, part) = valuation.liquidation_within(position, most).unwrap();
            assert!(matches!(repayment, Repayment::Shares(_)), "{repayment:?}");
            assert!(part.repaid <= most && part.repaid + U256::ONE >= most, "{part:?} within {most}");
            assert_eq!(part.bad_debt, U256::ZERO);
            let proportional = whole.bonus / U256::from(divisor);
            assert!(part.bonus <= proportional + U256::ONE && part.bonus + uint!(3_U256) >= proportional, "{part:?}");
        }
        assert_eq!(valuation.liquidation_within(position, U256::ZERO), None);
    }

    #[test]
    fn an_overflow_has_no_result() {
        let position = Position { borrow_shares: u128::MAX, collateral: u128::MAX };
        assert_eq!(valuation(U256::MAX).health(position), None);
    }
}
