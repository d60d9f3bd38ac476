//! The arithmetic of Compound v2, of Venus' core pool and of its isolated pools, step by step as the contracts do it. `None` stands where they
//! revert by overflow.

use alloy::primitives::{Address, U256, uint};

use crate::Liquidation;

/// Scale of factors, rates, indices and health.
pub(super) const EXP: U256 = uint!(1_000_000_000_000_000_000_U256);

/// Which rules a pool has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// Compound v2 and forks that left its rules as they were.
    Plain,
    /// An isolated pool of Venus.
    Isolated,
    /// Venus' core pool: terms are of the account's pool and the market, and a contract of its own liquidates.
    Core,
}

/// What a debt is kept as: an amount at an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Debt {
    /// The amount, in units.
    pub principal: U256,
    /// The market's borrow index when the principal was set.
    pub index: U256,
}

/// The rates of a market at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Units of the underlying token for 10¹⁸ market tokens.
    pub exchange_rate: U256,
    /// What a debt of 10¹⁸ at index 10¹⁸ has grown to.
    pub borrow_index: U256,
}

/// The terms of a pool in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolTerms {
    /// Its rules.
    pub rules: Rules,
    /// Part of a debt that one liquidation repays at most, × 10¹⁸.
    pub close_factor: U256,
    /// Collateral that is seized for a repayment of 1, by value, × 10¹⁸, where all markets have the same.
    pub incentive: U256,
    /// Value of collateral up to which an account is not liquidated debt by debt. Zero but in isolated pools.
    pub min_collateral: U256,
    /// Terms of the contract that alone may liquidate; `None` where everybody may.
    pub liquidator: Option<LiquidatorTerms>,
    /// Part of what is redeemed that the protocol keeps, × 10¹⁸.
    pub redeem_fee: U256,
}

/// The terms of the contract that alone may liquidate in Venus' core pool, in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiquidatorTerms {
    /// Part of the bonus that it keeps, × 10¹⁸.
    pub share: U256,
    /// Debt of VAI from which on it demands that VAI be liquidated before an account's other debts; `None` if it never does.
    pub vai_first_from: Option<U256>,
}

/// The terms of a market in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarketTerms {
    /// Whether the comptroller lists the market: one that it does not counts for nothing.
    pub is_listed: bool,
    /// Token that the market lends; [`NATIVE_COIN`](crate::NATIVE_COIN) for the chain's own coin.
    pub underlying: Address,
    /// Part of the collateral's value that counts in a liquidation: threshold, or collateral factor.
    pub weight: U256,
    /// The oracle's price as it is without an update, which is what views use.
    pub viewed_price: U256,
    /// The oracle's price after an update, which is what liquidations use.
    pub price: U256,
    /// Rates in storage.
    pub stored: Rates,
    /// Rates with interest up to the block.
    pub accrued: Rates,
    /// Number of market tokens.
    pub supply: U256,
    /// What all market tokens are worth together, in the underlying token, with interest up to the block.
    pub assets: U256,
    /// Part of what is seized that the protocol keeps.
    pub seize_share: U256,
    /// Collateral of this market that is seized for a repayment of 1, by value, × 10¹⁸.
    pub incentive: U256,
    /// Whether any debt of the market may be liquidated wholly, whatever the borrower's health.
    pub is_forced: bool,
    /// Whether liquidations of the market's debts are paused.
    pub debt_paused: bool,
    /// Whether seizing the market's tokens is paused.
    pub seizing_paused: bool,
}

/// What an account has in a market that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Place of the market in the pool's list.
    pub market: usize,
    /// Market tokens.
    pub tokens: U256,
    /// What it owes there.
    pub debt: Debt,
}

/// At what a holding is valued.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quote {
    pub(super) price: U256,
    pub(super) rates: Rates,
    pub(super) weight: U256,
}

/// An account's sums, in the oracle's currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sums {
    pub(super) collateral: U256,
    pub(super) weighted: U256,
    pub(super) debt: U256,
}

/// A debt and the collateral that is seized for it, at the prices of a liquidation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) pool: &'a PoolTerms,
    pub(super) collateral: &'a MarketTerms,
    pub(super) debt: &'a MarketTerms,
    /// Price of the collateral, which may be another than now.
    pub(super) price: U256,
}

/// Multiplies by a factor × 10¹⁸, rounded down.
pub(super) fn times(amount: U256, factor: U256) -> Option<U256> {
    Some(amount.checked_mul(factor)? / EXP)
}

/// Divides by a factor × 10¹⁸, rounded down.
pub(super) fn divided(amount: U256, factor: U256) -> Option<U256> {
    amount.checked_mul(EXP)?.checked_div(factor)
}

impl Rules {
    /// Returns what a market token × 10¹⁸ counts for in a liquidation, in the oracle's currency.
    pub(super) fn weighted_price(self, weight: U256, exchange_rate: U256, price: U256) -> Option<U256> {
        match self {
            Self::Isolated => times(weight, times(exchange_rate, price)?),
            Self::Plain | Self::Core => times(times(weight, exchange_rate)?, price),
        }
    }
}

impl Debt {
    /// Returns what is owed at a borrow index, rounded down as the contract does.
    pub(super) fn at(&self, index: U256) -> Option<U256> {
        if self.principal.is_zero() {
            Some(U256::ZERO)
        } else {
            self.principal.checked_mul(index)?.checked_div(self.index)
        }
    }
}

impl Sums {
    /// Adds up an account's holdings, each at its quote; `None` if one has none.
    pub(super) fn of(rules: Rules, holdings: &[Holding], quote: impl Fn(&Holding) -> Option<Quote>) -> Option<Self> {
        let mut sums = Self::default();
        for holding in holdings {
            let Quote { price, rates, weight } = quote(holding)?;
            let token_price = times(rates.exchange_rate, price)?;
            let weighted_price = rules.weighted_price(weight, rates.exchange_rate, price)?;
            sums.weighted = sums.weighted.checked_add(times(weighted_price, holding.tokens)?)?;
            sums.collateral = sums.collateral.checked_add(times(token_price, holding.tokens)?)?;
            sums.debt = sums.debt.checked_add(times(price, holding.debt.at(rates.borrow_index)?)?)?;
        }
        Some(sums)
    }

    /// Returns the health factor × 10¹⁸, rounded down: below 10¹⁸ exactly if there is a shortfall.
    pub(super) fn health(&self) -> Option<U256> {
        if self.debt.is_zero() {
            Some(U256::MAX)
        } else {
            self.weighted.checked_mul(EXP).map(|scaled| scaled / self.debt)
        }
    }
}

impl Pair<'_> {
    /// Market tokens × 10¹⁸ that are seized for a unit of the debt.
    fn ratio(&self) -> Option<U256> {
        let numerator = times(self.collateral.incentive, self.debt.price)?;
        let denominator = times(self.price, self.collateral.accrued.exchange_rate)?;
        divided(numerator, denominator)
    }

    /// Returns a debt's share that may be repaid at once, of what is owed.
    pub(super) fn max_repaid(&self, owed: U256) -> Option<U256> {
        if self.debt.is_forced { Some(owed) } else { times(self.pool.close_factor, owed) }
    }

    /// Returns what a repayment of up to `most` seizes from an account with so many market tokens. `None` if it is nothing.
    pub(super) fn liquidation(&self, owed: U256, most: U256, tokens: U256) -> Option<Liquidation> {
        let ratio = self.ratio().filter(|ratio| !ratio.is_zero())?;
        let all = times(ratio, most)?;
        let (repaid, seized) = if all <= tokens {
            (most, all)
        } else {
            // The most of which ⌊ratio × repaid⌋ is no more than there is.
            let repaid = tokens.checked_add(U256::ONE)?.checked_mul(EXP)?.checked_sub(U256::ONE)?.checked_div(ratio)?;
            (repaid, times(ratio, repaid)?)
        };
        if repaid.is_zero() {
            return None;
        }
        let received = self.received(seized)?;
        let bad_debt = if seized == tokens { owed.checked_sub(repaid)? } else { U256::ZERO };
        Some(Liquidation { repaid, seized: received, bonus: self.worth(received)?.saturating_sub(repaid), bad_debt })
    }

    /// Returns the units of the collateral token that the liquidator has after redeeming what is left of seized market tokens.
    pub(super) fn received(&self, seized: U256) -> Option<U256> {
        let market = self.collateral;
        let share = times(seized, market.seize_share)?;
        let kept = match self.pool.rules {
            Rules::Plain => share,
            Rules::Isolated => divided(share, market.incentive)?,
            Rules::Core => {
                let bonus = seized.checked_mul(market.incentive.checked_sub(EXP)?)?.checked_div(market.incentive)?;
                times(bonus, self.pool.liquidator.map_or(U256::ZERO, |liquidator| liquidator.share))?
            }
        };
        let received = seized.checked_sub(kept)?;
        let assets = market.assets.checked_sub(times(market.accrued.exchange_rate, kept)?)?;
        let supply = market.supply.checked_sub(kept)?;
        if supply.is_zero() {
            return Some(U256::ZERO);
        }
        let redeemed = times(assets.checked_mul(EXP)? / supply, received)?;
        redeemed.checked_sub(times(redeemed, self.pool.redeem_fee)?)
    }

    /// Returns what units of the collateral are worth in units of the debt, rounded down.
    pub(super) fn worth(&self, collateral: U256) -> Option<U256> {
        collateral.checked_mul(self.price)?.checked_div(self.debt.price)
    }
}
