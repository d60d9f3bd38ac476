//! The arithmetic of pre-liquidation contracts, step by step as they do it. `None` stands where a contract refuses.

use alloy::primitives::U256;

use super::super::math::{
    PRICE_SCALE, Position, VIRTUAL_ASSETS, VIRTUAL_SHARES, Valuation, WAD, mul_div_down, mul_div_up,
};
use crate::Liquidation;

/// A part is halved at most this often in the search for one that the market allows.
const MAX_HALVINGS: usize = 12;

/// The terms of a contract. Factors at its own line stand first, then those at the market's line, linear in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Terms {
    /// LTV × 10¹⁸ above which it liquidates.
    pub(in super::super) lltv: U256,
    /// Share × 10¹⁸ of the debt that it takes at once.
    pub(in super::super) close_factors: [U256; 2],
    /// Value × 10¹⁸ that it gives for what is repaid.
    pub(in super::super) incentive_factors: [U256; 2],
}

/// The terms on which a contract values positions in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct PreValuation {
    /// The market's, whose line a position must keep when collateral is withdrawn from it.
    pub(in super::super) market: Valuation,
    /// The price of the contract's oracle.
    pub(in super::super) price: U256,
    /// Whether that is the market's oracle, too.
    pub(in super::super) is_markets_oracle: bool,
    pub(in super::super) terms: Terms,
}

/// Returns the highest share × 10¹⁸ of what is repaid that a pre-liquidation in a market with this LTV may bring: a contract gives
/// at most 1 ÷ the LTV for it, as its constructor demands.
pub(in super::super) fn highest_bonus(lltv: U256) -> U256 {
    mul_div_up(WAD, WAD, lltv).unwrap_or(U256::MAX).saturating_sub(WAD)
}

/// Returns debt shares below which no pre-liquidation in a market has this bonus.
pub(in super::super) fn least_shares(market: &Valuation, bonus: U256) -> u128 {
    let least_debt = match highest_bonus(market.lltv) {
        share if share.is_zero() => return if bonus.is_zero() { 0 } else { u128::MAX },
        share => mul_div_down(bonus, WAD, share).unwrap_or(U256::MAX),
    };
    let shares = mul_div_down(least_debt, market.shares(), market.assets());
    shares.map_or(u128::MAX, |shares| u128::try_from(shares).unwrap_or(u128::MAX))
}

impl PreValuation {
    /// Returns the terms by which positions are ordered: a health factor below 10¹⁸ is beyond the contract's own line.
    pub(in super::super) const fn line(&self) -> Valuation {
        Valuation { price: self.price, lltv: self.terms.lltv, ..self.market }
    }

    /// Returns the same with another price of the contract's oracle.
    pub(in super::super) fn at_price(&self, price: U256) -> Self {
        let market = if self.is_markets_oracle { Valuation { price, ..self.market } } else { self.market };
        Self { market, price, ..*self }
    }

    /// Returns the close factor and the incentive factor of a position; `None` if it is not between the contract's line and the
    /// market's, by the contract's oracle.
    fn factors(&self, position: Position) -> Option<(U256, U256)> {
        let (lltv, pre_lltv) = (self.market.lltv, self.terms.lltv);
        let debt = self.market.debt(position)?;
        let value = mul_div_down(U256::from(position.collateral), self.price, PRICE_SCALE)?;
        if debt > mul_div_down(value, lltv, WAD)? || debt <= mul_div_down(value, pre_lltv, WAD)? {
            return None;
        }
        let beyond = mul_div_up(debt, WAD, value)?.checked_sub(pre_lltv)?;
        let quotient = mul_div_down(beyond, WAD, lltv.checked_sub(pre_lltv)?)?;
        let between =
            |[first, second]: [U256; 2]| mul_div_down(quotient, second.checked_sub(first)?, WAD)?.checked_add(first);
        Some((between(self.terms.close_factors)?, between(self.terms.incentive_factors)?))
    }

    /// Returns the shares that may be repaid at once; `None` if the contract does not liquidate the position.
    fn repayable(&self, position: Position) -> Option<U256> {
        let (close_factor, _) = self.factors(position)?;
        let shares = U256::from(position.borrow_shares);
        Some(mul_div_down(shares, close_factor, WAD)?.min(shares))
    }

    /// Returns what the largest liquidation does.
    pub(in super::super) fn liquidation(&self, position: Position) -> Option<Liquidation> {
        self.liquidation_within(position, U256::MAX, |shares| shares).map(|(_, liquidation)| liquidation)
    }

    /// Returns what the largest liquidation does that repays no more than this, and the shares to repay, which are `rounded`
    /// unless they are all. Where the market would not let so much collateral go, which depends on the difference of the two
    /// oracles, it is a half of it, a quarter, and so on.
    pub(in super::super) fn liquidation_within(
        &self,
        position: Position,
        max_repay: U256,
        rounded: impl Fn(U256) -> U256,
    ) -> Option<(U256, Liquidation)> {
        // More shares than there are need no conversion, which might overflow.
        let within = mul_div_down(max_repay, self.market.shares(), self.market.assets()).unwrap_or(U256::MAX);
        let most = self.repayable(position)?.min(within);
        (0..=MAX_HALVINGS).find_map(|halvings| {
            let part = most >> halvings;
            let shares = if part == U256::from(position.borrow_shares) { part } else { rounded(part) };
            Some((shares, self.liquidation_of(position, shares)?))
        })
    }

    /// Returns what the liquidation of so many shares does; `None` if it is refused.
    pub(in super::super) fn liquidation_of(&self, position: Position, shares: U256) -> Option<Liquidation> {
        let (close_factor, incentive_factor) = self.factors(position)?;
        let (collateral, all_shares) = (U256::from(position.collateral), U256::from(position.borrow_shares));
        if shares.is_zero() || shares > mul_div_down(all_shares, close_factor, WAD)? {
            return None;
        }
        let (assets, total) = (self.market.assets(), self.market.shares());
        let owed = mul_div_down(mul_div_down(shares, assets, total)?, incentive_factor, WAD)?;
        let seized = mul_div_down(owed, PRICE_SCALE, self.price)?;
        let repaid = mul_div_up(shares, assets, total)?;
        // The market withdraws no amount of zero, and leaves nobody below its own line.
        if seized.is_zero() || !self.is_healthy_after(position, (shares, repaid), collateral.checked_sub(seized)?)? {
            return None;
        }
        let value = mul_div_down(seized, self.price, PRICE_SCALE)?;
        Some(Liquidation { repaid, seized, bonus: value.saturating_sub(repaid), bad_debt: U256::ZERO })
    }

    /// Returns whether the market finds a position healthy whose shares were repaid and that has this collateral left.
    fn is_healthy_after(&self, position: Position, (shares, repaid): (U256, U256), left: U256) -> Option<bool> {
        let totals = self.market.totals;
        let remaining = U256::from(position.borrow_shares).checked_sub(shares)?;
        let assets = U256::from(totals.borrow_assets).saturating_sub(repaid);
        let total = U256::from(totals.borrow_shares).checked_sub(shares)?;
        if remaining.is_zero() {
            return Some(true);
        }
        let debt = mul_div_up(remaining, assets.checked_add(VIRTUAL_ASSETS)?, total.checked_add(VIRTUAL_SHARES)?)?;
        let left = Position { collateral: u128::try_from(left).ok()?, ..position };
        Some(debt <= self.market.max_debt(left)?)
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Uint;
    use proptest::prelude::*;

    use super::{super::super::math::Totals, *};

    /// An integer for exact products.
    type Wide = Uint<2_048, 32>;

    fn wide(value: U256) -> Wide {
        Wide::from(value)
    }

    /// An amount of any magnitude up to so many bits.
    fn amount(most_bits: u32) -> impl Strategy<Value = u128> {
        (1..=most_bits, any::<u128>()).prop_map(|(bits, random)| (random >> (128 - bits)) | 1)
    }

    /// Positions on both sides of the contract's line and of the market's, by two prices that differ a little or not at all.
    fn cases() -> impl Strategy<Value = (PreValuation, Position)> {
        let market = (amount(90), 1..4_000_000_u64, 300..980_u64);
        let terms = (1..1_000_u64, [0..1_500_u64, 0..1_500_u64], [0..1_000_u64, 0..1_000_u64]);
        let position = (amount(80), 600..1_300_u64, any::<bool>(), 900..1_100_u64);
        (market, terms, position).prop_map(|((assets, growth, lltv), (below, closes, incentives), position)| {
            let thousandths = |count: u64| WAD * U256::from(count) / U256::from(1_000);
            let lltv = thousandths(lltv);
            let pre_lltv = lltv * U256::from(below) / U256::from(1_000);
            let sorted = |[one, other]: [U256; 2]| [one.min(other), one.max(other)];
            // Up to 1 / LLTV, as the constructor demands.
            let most = WAD * WAD / lltv - WAD;
            let incentive = |share: u64| WAD + most * U256::from(share) / U256::from(1_000);
            let close_factors = sorted(closes.map(thousandths));
            let terms = Terms { lltv: pre_lltv, close_factors, incentive_factors: sorted(incentives.map(incentive)) };
            let borrow_shares = assets.saturating_mul(1_000_000) / u128::from(growth) * 1_000_000;
            let (debt, share, is_markets_oracle, other) = position;
            let shares = (debt.saturating_mul(1_000_000)).min(borrow_shares);
            let totals = Totals { borrow_assets: assets, borrow_shares, ..Totals::default() };
            let price = PRICE_SCALE * U256::from(3);
            let markets_price = if is_markets_oracle { price } else { price * U256::from(other) / U256::from(1_000) };
            let market = Valuation { totals, price: markets_price, lltv };
            let valuation = PreValuation { market, price, is_markets_oracle, terms };
            // Collateral that puts the position somewhere from 60 % to 130 % of what the line asks for.
            let owed = market.debt(Position { borrow_shares: shares, collateral: 0 }).unwrap();
            let needed = owed * WAD / pre_lltv.max(U256::ONE) / U256::from(3) * U256::from(share) / U256::from(1_000);
            let collateral = u128::try_from(needed).unwrap_or(u128::MAX);
            (valuation, Position { borrow_shares: shares, collateral })
        })
    }

    /// Says by fractions, without any rounding on the way, what a liquidation of shares is; the contract's roundings are then
    /// allowed for. Returns the least and the most seized, or `None` where the contract certainly refuses.
    fn stated(valuation: &PreValuation, position: Position, shares: U256) -> Option<[Wide; 2]> {
        let (wad, scale) = (wide(WAD), wide(PRICE_SCALE));
        let [lltv, pre] = [valuation.market.lltv, valuation.terms.lltv].map(wide);
        let value = wide(U256::from(position.collateral)) * wide(valuation.price) / scale;
        let (assets, total) = (wide(valuation.market.assets()), wide(valuation.market.shares()));
        let debt = (wide(U256::from(position.borrow_shares)) * assets + total - Wide::ONE) / total;
        if debt * wad > value * lltv || debt * wad < value * pre {
            return None;
        }
        // (LTV − line) ÷ (market's line − line) = (debt·10¹⁸ − line·value) ÷ ((market's line − line)·value), and the contract's
        // quotient, × 10¹⁸, is off by what one unit of the LTV makes, and one.
        let (above, span) = (debt * wad - pre * value, (lltv - pre) * value);
        let off = wad / (lltv - pre) + Wide::from(2);
        let quotient = above * wad / span;
        let factor =
            |[first, second]: [U256; 2], quotient: Wide| wide(first) + quotient * (wide(second) - wide(first)) / wad;
        let low = factor(valuation.terms.incentive_factors, quotient.saturating_sub(off)).saturating_sub(Wide::ONE);
        let high = factor(valuation.terms.incentive_factors, quotient + off) + Wide::ONE;
        let close = factor(valuation.terms.close_factors, quotient + off) + Wide::ONE;
        if wide(shares) * wad > wide(U256::from(position.borrow_shares)) * close {
            return None;
        }
        let seized = |factor: Wide, units: Wide| (wide(shares) * assets * factor / (total * wad) + units) * scale;
        let price = wide(valuation.price);
        let least = seized(low, Wide::ZERO).saturating_sub(Wide::from(3) * scale) / price;
        Some([least, seized(high, Wide::ONE) / price])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn a_pre_liquidation_is_what_fractions_say_within_the_roundings((valuation, position) in cases()) {
            let line = valuation.line();
            let Some((shares, liquidation)) = valuation.liquidation_within(position, U256::MAX, |shares| shares) else {
                return Ok(());
            };
            // Liquidated are only positions beyond the contract's line.
            prop_assert!(line.health(position).unwrap() < WAD);
            let bounds = stated(&valuation, position, shares);
            let [least, most] = bounds.ok_or_else(|| TestCaseError::fail("refused by fractions"))?;
            let seized = wide(liquidation.seized);
            prop_assert!(seized <= most && (seized + Wide::ONE) >= least, "{seized} in {least} to {most}");
            // The largest of those that are allowed, unless the market holds it back.
            let is_held_back = valuation.liquidation_of(position, valuation.repayable(position).unwrap()).is_none();
            prop_assert!(is_held_back || shares == valuation.repayable(position).unwrap());
            prop_assert!(valuation.liquidation_of(position, shares + U256::ONE).is_none() || is_held_back);
            // Never more than the bound by which positions are left out.
            let least_shares = least_shares(&valuation.market, liquidation.bonus);
            prop_assert!(position.borrow_shares >= least_shares, "{} < {least_shares}", position.borrow_shares);
        }

        /// By the market's own oracle: beyond the line and not beyond the market's is liquidatable unless the factors round to
        /// nothing.
        #[test]
        fn a_position_in_the_zone_is_liquidated_and_none_outside((valuation, position) in cases()) {
            let line = valuation.line();
            let market = Valuation { price: valuation.price, ..valuation.market };
            let beyond = line.health(position).is_some_and(|health| health < WAD);
            let within = market.health(position).is_some_and(|health| health >= WAD);
            prop_assert_eq!(valuation.factors(position).is_some(), beyond && within);
        }
    }

    fn at(percent: u64) -> (PreValuation, Position) {
        let totals = Totals { borrow_assets: 1 << 60, borrow_shares: (1 << 60) * 1_000_000, ..Totals::default() };
        let thousandths = |count: u64| WAD * U256::from(count) / U256::from(1_000);
        let market = Valuation { totals, price: PRICE_SCALE, lltv: thousandths(860) };
        let close_factors = [thousandths(100), thousandths(500)];
        let incentive_factors = [thousandths(1_010), thousandths(1_050)];
        let terms = Terms { lltv: thousandths(800), close_factors, incentive_factors };
        let valuation = PreValuation { market, price: PRICE_SCALE, is_markets_oracle: true, terms };
        let debt = 1_000_000_000 * u128::from(percent) / 1_000;
        (valuation, Position { borrow_shares: debt * 1_000_000, collateral: 1_000_000_000 })
    }

    #[test]
    fn half_way_between_the_lines_the_factors_are_half_way() {
        // An LTV of 83 %: a close factor of 30 % and an incentive of 3 %.
        let (valuation, position) = at(830);
        let liquidation = valuation.liquidation(position).unwrap();
        assert_eq!(liquidation.repaid, U256::from(249_000_000));
        assert_eq!(liquidation.seized, U256::from(256_470_000));
        assert_eq!(liquidation.bonus, U256::from(7_470_000));
        let (shares, part) = valuation.liquidation_within(position, U256::from(1_000_000), |shares| shares).unwrap();
        assert_eq!((part.repaid, part.seized), (U256::from(1_000_000), U256::from(1_030_000)), "{shares}");
    }

    #[test]
    fn at_the_line_and_beyond_the_markets_line_nothing_is_pre_liquidated() {
        for (percent, is_done) in [(799, false), (800, false), (801, true), (860, true), (861, false)] {
            let (valuation, position) = at(percent);
            assert_eq!(valuation.liquidation(position).is_some(), is_done, "{percent} ‰");
        }
    }

    #[test]
    fn the_market_holds_back_collateral_by_its_own_oracle() {
        let (mut valuation, position) = at(830);
        valuation.is_markets_oracle = false;
        // By the market's oracle an LTV of 85.9 %: healthy, and a whole one is refused if it seizes too much by its price.
        valuation.market.price = PRICE_SCALE * U256::from(9_663) / U256::from(10_000);
        assert!(valuation.market.health(position).unwrap() >= WAD);
        assert!(valuation.liquidation(position).is_some());
        // Above the market's line by its oracle a part that is too small leaves it there, and a large one repairs it.
        valuation.market.price = PRICE_SCALE * U256::from(9_600) / U256::from(10_000);
        assert!(valuation.market.health(position).unwrap() < WAD);
        assert!(valuation.liquidation(position).is_some());
        assert_eq!(valuation.liquidation_of(position, U256::from(1_000_000_000_000_u64)), None);
    }
}
