//! Orders that protect loans: whether a trigger is met, the premium, and the amounts of an execution. The twin of
//! `GuardMath`.
//!
//! An execution repays a part of a loan's debt, or all of it, and sells collateral of the value of the payment and a
//! premium, at the market's liquidation price. The amounts follow from the order, the loan and the price alone.

use alloy::primitives::U256;
use plimsoll_contracts::market::BPS;
use serde::{Deserialize, Serialize};

use super::{
    debt::{MIN_SHARES, to_debt_shares_down},
    liquidation::{ORACLE_SCALE, value_down},
    types::{Loan, Market},
    wide::{WAD, div_up, mul_div_down, product, to_u128},
};

/// A millionth, 1e18-scaled.
const PPM: u64 = 1_000_000_000_000;
/// The highest premium, in basis points.
pub const MAX_PREMIUM_BPS: u32 = 300;

/// The trigger of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// Executed above a loan-to-value ratio; lowers it to a target, or closes the loan.
    Protect,
    /// Executed at or below a price; repays the whole debt.
    CloseBelow,
    /// Executed at or above a price; repays the whole debt.
    CloseAbove,
}

/// The terms of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Order {
    /// Ratio of debt to the collateral's value above which a `Protect` order is executed, in basis points; 0 for others.
    pub trigger_ltv_bps: u16,
    /// Ratio after the execution; 0 to repay the whole debt.
    pub target_ltv_bps: u16,
    /// Liquidation price that triggers the other kinds; 0 for `Protect`.
    pub trigger_price: U256,
    /// Premium at the trigger, in millionths of the payment.
    pub premium_start_ppm: u16,
    /// Premium at the end of the ramp and beyond.
    pub premium_end_ppm: u16,
    /// Distance from the trigger at which the premium reaches its end, in basis points.
    pub ramp_bps: u16,
    /// Whether it is only executed while the oracle has a borrow price.
    pub require_borrow_price: bool,
    /// How often it may still be executed.
    pub uses: u8,
    /// Last second at which it may be executed.
    pub expiry: u64,
    /// Shortest time between two executions, in seconds.
    pub cooldown_secs: u32,
    /// Amount for the executor besides the premium, in units of the loan token.
    pub flat_tip: u128,
    /// Most of the account's own loan tokens that an execution uses.
    pub max_own: u128,
}

/// The amounts of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Execution {
    /// Premium as a part of the payment, 1e18-scaled.
    pub premium: u64,
    /// Loan tokens of the account that are repaid.
    pub own: u128,
    /// Loan tokens of the account that the executor gets: the premium on `own`, and the tip.
    pub own_reward: u128,
    /// Loan tokens of the executor that are repaid.
    pub payment: u128,
    /// Collateral that the executor gets for the payment.
    pub sold: u128,
}

impl OrderKind {
    /// Every kind, in the order of the contract's numbers.
    pub const ALL: [Self; 3] = [Self::Protect, Self::CloseBelow, Self::CloseAbove];

    /// Returns the number that the contract has for the kind.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Protect => 0,
            Self::CloseBelow => 1,
            Self::CloseAbove => 2,
        }
    }

    /// Returns the kind of a number; `None` if the contract has none.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Protect),
            1 => Some(Self::CloseBelow),
            2 => Some(Self::CloseAbove),
            _ => None,
        }
    }

    /// Returns the kind's name, as metrics and the API have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Protect => "protect",
            Self::CloseBelow => "close_below",
            Self::CloseAbove => "close_above",
        }
    }
}

impl Execution {
    /// Returns what is repaid.
    #[must_use]
    pub const fn repaid(&self) -> u128 {
        self.own.saturating_add(self.payment)
    }

    /// Returns what the executor gains at the oracle's price before gas, in units of the loan token.
    #[must_use]
    pub fn reward(&self, price: U256) -> u128 {
        value_down(self.sold, price).saturating_sub(self.payment).saturating_add(self.own_reward)
    }
}

/// Returns the premium, 1e18-scaled, of an order whose trigger is met by a debt and a value at a price; `None` if it is
/// not met.
pub fn premium_down(order: &Order, kind: OrderKind, debt: u128, value: u128, price: U256) -> Option<u64> {
    let bps = U256::from(BPS);
    let (distance, ramp) = match kind {
        OrderKind::Protect => {
            let (debt, line) = (U256::from(debt) * bps, product(value, order.trigger_ltv_bps.into()));
            if debt <= line {
                return None;
            }
            (debt - line, product(value, order.ramp_bps.into()))
        }
        OrderKind::CloseBelow | OrderKind::CloseAbove => {
            let trigger = order.trigger_price;
            let is_met = if kind == OrderKind::CloseBelow { price <= trigger } else { price >= trigger };
            if !is_met {
                return None;
            }
            (trigger.abs_diff(price), mul_div_down(trigger, U256::from(order.ramp_bps), bps))
        }
    };
    let (start, end) = (u64::from(order.premium_start_ppm) * PPM, u64::from(order.premium_end_ppm) * PPM);
    if distance >= ramp {
        return Some(end);
    }
    let rise: u64 = mul_div_down(U256::from(end.saturating_sub(start)), distance, ramp).saturating_to();
    Some(start.saturating_add(rise))
}

impl Market {
    /// Returns the amounts of an order's execution at a price, with so many of the account's own loan tokens to be used,
    /// as of the last update; `None` if the loan has no debt or the trigger is not met.
    pub fn execute_order(
        &self,
        loan: Loan,
        order: &Order,
        kind: OrderKind,
        price: U256,
        min_debt: u128,
        budget: u128,
    ) -> Option<Execution> {
        if loan.borrow_shares == 0 || price.is_zero() {
            return None;
        }
        let (debt, value) = (self.debt_of(loan), value_down(loan.collateral, price));
        let premium = premium_down(order, kind, debt, value, price)?;
        let (wad, bps) = (u128::from(WAD), u128::from(BPS));
        let with_premium = wad + u128::from(premium);
        let target = u128::from(order.target_ltv_bps);

        let kept = to_u128(product(value, target) / U256::from(bps));
        let mut repaid = self.part_or_all(loan, debt, min_debt, U256::from(debt.saturating_sub(kept)));
        let most = product(budget.saturating_sub(order.flat_tip), wad) / U256::from(with_premium);
        let own = repaid.min(to_u128(most));
        let tip = if own == 0 { order.flat_tip } else { 0 };
        if own != repaid && repaid != debt {
            let owed = product(debt - own, bps) + product(target, tip);
            let excess = owed.saturating_sub(product(target, value));
            let removed_per_paid = (bps * wad).saturating_sub(target * with_premium);
            let payment = div_up(excess * U256::from(wad), U256::from(removed_per_paid));
            repaid = self.part_or_all(loan, debt, min_debt, payment.saturating_add(U256::from(own)));
        }
        let premium_on = |amount: u128| to_u128(product(amount, premium.into()) / U256::from(wad));
        let own_reward = if own == 0 { 0 } else { premium_on(own).saturating_add(order.flat_tip) };
        let payment = repaid - own;
        let sold = if payment == 0 {
            0
        } else {
            let worth = product(payment, with_premium) / U256::from(wad) + U256::from(tip);
            let most = if repaid == debt {
                U256::from(loan.collateral)
            } else {
                product(loan.collateral, self.redeemed_down(repaid)) / U256::from(loan.borrow_shares)
            };
            to_u128((worth * ORACLE_SCALE / price).min(most))
        };
        Some(Execution { premium, own, own_reward, payment, sold })
    }

    /// Returns the repayment, or the whole debt if the core would refuse to leave the rest.
    fn part_or_all(&self, loan: Loan, debt: u128, min_debt: u128, repaid: U256) -> u128 {
        let part = to_u128(repaid);
        if repaid >= U256::from(debt) || debt - part < min_debt {
            return debt;
        }
        let left = loan.borrow_shares.saturating_sub(self.redeemed_down(part));
        if left < MIN_SHARES { debt } else { part }
    }

    fn redeemed_down(&self, repaid: u128) -> u128 {
        to_debt_shares_down(repaid, self.borrow_assets, self.borrow_shares)
    }
}
