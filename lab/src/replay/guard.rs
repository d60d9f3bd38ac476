//! Borrowers with orders at the guard, in the model: what they lose, and what they would lose without orders.
//!
//! A part of the borrowers has a `Protect` order. Executors are as the liquidator is: they decide on a block, act first
//! in the next one, sell at the exchange what the keeper's liquidations left of its depth, and act only where that pays
//! for the exchange's fee, the price impact and gas. Where a loan is both liquidatable and protected, the liquidator is
//! the first. The same loans without orders are the comparison.

use std::{collections::BTreeSet, fmt, str::FromStr};

use alloy::primitives::{U256, Uint};
use plimsoll_contracts::IGuard;
use plimsoll_keeper::{
    amount::Amount,
    math::wide::{WAD, div_up, mul_div_down, product, to_u128},
};
use serde::Serialize;

use super::{
    model,
    outcome::Outcome,
    params::{ReplayParams, UNITS_PER_UNIT, dollars, worth},
    prices::Prices,
    report::percent,
    rules::{Loan, Market, Rule},
};

/// Gas of an execution: a transaction with its calldata, the guard, and the exchange.
pub(super) const EXECUTION_GAS: u64 = 380_000;
/// The shortest time between two executions of an order, as in the contract.
pub(super) const COOLDOWN_SECS: u64 = 600;
/// The trigger's distance from the borrow LTV, as a part of the distance of the liquidation LTV: one of this many. The
/// earlier an order is executed, the less it costs, but at the borrow LTV it would be executed as soon as a loan begins.
const TRIGGER_PART: u16 = 8;
/// The target as a part of the trigger, in percent: far enough from it that a fall within the cooldown does not lead to a
/// liquidation.
const TARGET_PERCENT: u32 = 85;
/// What the premium at the trigger is beyond the exchange's fee. With less the order waits, and may be too late.
const PREMIUM_OVER_FEE_PPM: u16 = 200;
/// Premium at the liquidation LTV, below the lowest liquidation incentive.
const PREMIUM_END_PPM: u16 = 8_000;
/// Number of executions of an order.
const USES: u8 = 20;
const PPM: u64 = 1_000_000;
const BPS: u64 = 10_000;

/// The part of the borrowers that has orders, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardShare(u64);

/// The terms of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// Ratio above which the order is executed.
    pub trigger_ltv_bps: u16,
    /// Ratio after an execution.
    pub target_ltv_bps: u16,
    /// Premium at the trigger, in millionths.
    pub premium_start_ppm: u16,
    /// Premium at the end of the ramp.
    pub premium_end_ppm: u16,
    /// Length of the ramp.
    pub ramp_bps: u16,
}

/// The amounts of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutionAmounts {
    /// Debt repaid.
    pub(super) payment: u128,
    /// Collateral sold for it.
    pub(super) sold: u128,
}

/// One execution.
#[derive(Debug, Clone, Copy)]
pub struct Execution {
    /// Number of the loan.
    pub borrower: u64,
    /// Debt repaid.
    pub repaid: u128,
    /// Value of the collateral sold, at the oracle's price.
    pub worth: u128,
}

/// The sums over borrowers with orders.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    guarded: u64,
    protected: u64,
    executions: u64,
    liquidated: u64,
    liquidated_without: u64,
    loss: u128,
    loss_without: u128,
    worse: u64,
    worse_by_own_order: Option<u64>,
}

/// The figures of borrowers with orders. Amounts are exact.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardFigures {
    /// Number of borrowers with orders.
    pub guarded: u64,
    /// Number of those whose orders were executed.
    pub protected: u64,
    /// Number of executions.
    pub executions: u64,
    /// Number of borrowers with orders who were liquidated in spite of them.
    pub liquidated: u64,
    /// Number of the same borrowers who are liquidated without orders.
    pub liquidated_without: u64,
    /// Their loss: the value of the collateral that they lost less the debt that it paid, by executions and
    /// liquidations.
    pub loss: Amount,
    /// Their loss without orders.
    pub loss_without: Amount,
    /// The loss in basis points of that without orders; none where there is none.
    pub loss_ratio_bps: Option<u64>,
    /// Number of those who are liquidated without orders and lose more with them.
    pub worse: u64,
    /// Number of those who lose more than if their own order alone were missing. The others of them lose more because
    /// other orders change what the exchange takes when. In the model only.
    pub worse_by_own_order: Option<u64>,
}

impl GuardShare {
    /// Returns whether the borrower with a number has an order. They are spread evenly.
    pub(super) const fn has_order(self, number: u64) -> bool {
        (number + 1) * self.0 / 100 > number * self.0 / 100
    }
}

impl Terms {
    /// Returns the terms that are recommended in a market with a borrow LTV and a liquidation LTV, in basis points, beside
    /// an exchange with a fee in millionths. With a fee of 0.3 % they are the page's.
    #[must_use]
    pub fn recommended(borrow_ltv_bps: u16, liquidation_ltv_bps: u16, swap_fee_ppm: u32) -> Self {
        let premium = u16::try_from(swap_fee_ppm).unwrap_or(u16::MAX).saturating_add(PREMIUM_OVER_FEE_PPM);
        let trigger = borrow_ltv_bps + (liquidation_ltv_bps - borrow_ltv_bps) / TRIGGER_PART;
        let target = u32::from(trigger) * TARGET_PERCENT / 100;
        Self {
            trigger_ltv_bps: trigger,
            target_ltv_bps: u16::try_from(target).unwrap_or(trigger),
            premium_start_ppm: premium,
            premium_end_ppm: premium.max(PREMIUM_END_PPM),
            ramp_bps: liquidation_ltv_bps - trigger,
        }
    }

    /// Returns an order with these terms.
    #[must_use]
    pub fn order(&self, expiry: u64) -> IGuard::Order {
        IGuard::Order {
            triggerLtvBps: self.trigger_ltv_bps,
            targetLtvBps: self.target_ltv_bps,
            triggerPrice: U256::ZERO,
            premiumStartPpm: self.premium_start_ppm,
            premiumEndPpm: self.premium_end_ppm,
            rampBps: self.ramp_bps,
            requireBorrowPrice: false,
            uses: USES,
            expiry: Uint::from(expiry),
            cooldownSecs: Uint::from(COOLDOWN_SECS),
            flatTip: Uint::ZERO,
            maxOwn: Uint::ZERO,
        }
    }

    /// Returns the amounts of an execution, by the contract's formula; none where the trigger is not met.
    pub(super) fn execution(&self, loan: Loan, market: Market) -> Option<ExecutionAmounts> {
        let [wad, bps] = [WAD, BPS].map(U256::from);
        let value = worth(loan.collateral, market.price);
        let (debt, line) = (U256::from(loan.debt) * bps, product(value, self.trigger_ltv_bps.into()));
        let distance = debt.checked_sub(line).filter(|distance| !distance.is_zero())?;
        let premium = self.premium(distance, product(value, self.ramp_bps.into()));
        let target = U256::from(self.target_ltv_bps);
        let excess = debt - target * U256::from(value);
        let payment = to_u128(div_up(excess * wad, bps * wad - target * (wad + premium)));
        // What the market's minimum debt forbids to leave is repaid as well.
        let left = loan.debt.checked_sub(payment).filter(|left| *left >= market.min_debt);
        let payment = loan.debt - left.unwrap_or_default();
        let price = to_u128(mul_div_down(U256::from(payment), wad + premium, wad));
        let sold = to_u128(product(price, UNITS_PER_UNIT) / U256::from(market.price.max(1)));
        Some(ExecutionAmounts { payment, sold: sold.min(loan.collateral) })
    }

    /// Returns the premium at a distance from the trigger, 1e18-scaled.
    fn premium(&self, distance: U256, ramp: U256) -> U256 {
        let [start, end] =
            [self.premium_start_ppm, self.premium_end_ppm].map(|ppm| U256::from(u64::from(ppm) * (WAD / PPM)));
        if distance >= ramp { end } else { start + (end - start) * distance / ramp }
    }
}

impl Tally {
    /// Compares an outcome with orders and one without.
    #[must_use]
    pub fn of(share: GuardShare, with: &Outcome, without: &Outcome) -> Self {
        let (mut tally, mut executed) = (Self::default(), BTreeSet::new());
        for execution in &with.executions {
            executed.insert(execution.borrower);
            tally.executions += 1;
        }
        for number in (0..with.loans).filter(|number| share.has_order(*number)) {
            let [penalty, without] = [with, without].map(|of| of.penalty(number));
            tally.guarded += 1;
            tally.protected += u64::from(executed.contains(&number));
            tally.liquidated += u64::from(penalty.is_some());
            tally.liquidated_without += u64::from(without.is_some());
            let loss = with.loss(number);
            tally.loss += loss;
            tally.loss_without += without.unwrap_or_default();
            tally.worse += u64::from(without.is_some_and(|without| loss > without));
        }
        tally
    }

    /// Compares outcomes of the model, and those who are worse off with the same where their own order alone is missing.
    ///
    /// # Errors
    /// As [`model::play`].
    pub fn of_model(share: GuardShare, params: &ReplayParams, prices: &Prices) -> eyre::Result<Self> {
        let with = model::play_guarded(share, None, params, prices)?;
        let without = model::play(&Rule::Plimsoll, params, prices)?;
        let mut worse_by_own_order = 0;
        for number in (0..with.loans).filter(|number| share.has_order(*number)) {
            if without.penalty(number).is_some_and(|penalty| with.loss(number) > penalty) {
                let alone = model::play_guarded(share, Some(number), params, prices)?;
                worse_by_own_order += u64::from(with.loss(number) > alone.loss(number));
            }
        }
        Ok(Self { worse_by_own_order: Some(worse_by_own_order), ..Self::of(share, &with, &without) })
    }

    /// Adds another tally.
    pub(super) fn merge(&mut self, other: Self) {
        self.guarded += other.guarded;
        self.protected += other.protected;
        self.executions += other.executions;
        self.liquidated += other.liquidated;
        self.liquidated_without += other.liquidated_without;
        self.loss += other.loss;
        self.loss_without += other.loss_without;
        self.worse += other.worse;
        let by_own = [self.worse_by_own_order, other.worse_by_own_order];
        self.worse_by_own_order = by_own.into_iter().flatten().reduce(|sum, more| sum + more);
    }

    /// Computes the figures.
    #[must_use]
    pub fn figures(self) -> GuardFigures {
        let ratio = (self.loss * u128::from(BPS)).checked_div(self.loss_without);
        GuardFigures {
            guarded: self.guarded,
            protected: self.protected,
            executions: self.executions,
            liquidated: self.liquidated,
            liquidated_without: self.liquidated_without,
            loss: dollars(self.loss),
            loss_without: dollars(self.loss_without),
            loss_ratio_bps: ratio.and_then(|ratio| u64::try_from(ratio).ok()),
            worse: self.worse,
            worse_by_own_order: self.worse_by_own_order,
        }
    }
}

impl fmt::Display for GuardFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "borrowers with orders {}; {} executions for {}", self.guarded, self.executions, self.protected)?;
        writeln!(f, "liquidated            {}, and {} without orders", self.liquidated, self.liquidated_without)?;
        let ratio = self.loss_ratio_bps.map_or_else(String::new, |ratio| format!(", {} of it", percent(ratio)));
        writeln!(f, "lost                  {}, and {} without orders{ratio}", self.loss, self.loss_without)?;
        let by_own = self.worse_by_own_order.map_or_else(String::new, |own| format!(", {own} by their own orders"));
        write!(f, "worse than liquidated {}{by_own}", self.worse)
    }
}

impl FromStr for GuardShare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim().trim_end_matches('%').trim_end();
        match digits.parse() {
            Ok(percent @ 1..=100) => Ok(Self(percent)),
            _ => Err(format!("{digits:?} is no share of the borrowers: it is a whole percentage from 1 to 100")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::params::DOLLAR;

    #[test]
    fn the_amounts_of_an_example_are_the_contracts() {
        // `test_G3_anExample` of the contract's tests: 15,000 against 10 ether at 1,900.
        let terms = Terms {
            trigger_ltv_bps: 7_800,
            target_ltv_bps: 7_000,
            premium_start_ppm: 1_000,
            premium_end_ppm: 10_000,
            ramp_bps: 400,
        };
        let loan = Loan { debt: 15_000 * DOLLAR, collateral: 10 * 10_u128.pow(18) };
        let market = |price: u128, min_debt| Market { ltv_bps: 8_600, min_debt, price: price * 100_000_000 };
        let amounts = terms.execution(loan, market(1_900, 100 * DOLLAR)).unwrap();
        assert!(amounts.payment.abs_diff(5_708_377_400) < 1_000, "{amounts:?}");
        let worth = worth(amounts.sold, 1_900 * 100_000_000);
        assert_eq!(worth / 1_000, amounts.payment * 1_003_131_578 / 1_000_000_000 / 1_000);
        // At the trigger nothing, and what would leave less than the minimum repays everything.
        assert_eq!(terms.execution(loan, market(1_924, 100 * DOLLAR)), None);
        assert_eq!(terms.execution(loan, market(1_900, 10_000 * DOLLAR)).unwrap().payment, loan.debt);
    }

    #[test]
    fn the_recommended_order_is_valid_in_every_market_and_is_not_executed_as_soon_as_a_loan_begins() {
        for (borrow, liquidation) in [(8_000, 8_600), (9_300, 9_450), (9_500, 9_600), (5_000, 8_600), (200, 300)] {
            let terms = Terms::recommended(borrow, liquidation, 10_000);
            assert!(terms.trigger_ltv_bps >= borrow && terms.trigger_ltv_bps < liquidation, "{terms:?}");
            assert!(terms.premium_start_ppm <= terms.premium_end_ppm && terms.premium_end_ppm <= 30_000, "{terms:?}");
            assert!(terms.target_ltv_bps >= 100 && terms.ramp_bps > 0, "{terms:?}");
            let gap = terms.trigger_ltv_bps - terms.target_ltv_bps;
            assert!(borrow < 1_000 || gap >= 100, "{terms:?}");
        }
        let terms = Terms::recommended(8_000, 8_600, 3_000);
        assert_eq!((terms.trigger_ltv_bps, terms.target_ltv_bps, terms.ramp_bps), (8_075, 6_863, 525));
        assert_eq!((terms.premium_start_ppm, terms.premium_end_ppm), (3_200, 8_000));
    }

    #[test]
    fn orders_are_spread_evenly_and_shares_are_percentages() {
        let spread = |text: &str| {
            let share: GuardShare = text.parse().unwrap();
            (0..200).filter(|number| share.has_order(*number)).count()
        };
        assert_eq!(["50%", "1", "100 %", "33"].map(spread), [100, 2, 200, 66]);
        for wrong in ["0", "101", "half", "", "-1", "0.5"] {
            assert!(wrong.parse::<GuardShare>().unwrap_err().contains("from 1 to 100"), "{wrong}");
        }
    }
}
