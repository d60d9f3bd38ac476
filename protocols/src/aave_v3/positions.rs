//! Positions as they are shown: health, the price of each collateral at which an account is liquidatable, and the pair whose
//! liquidation brings most.

use alloy::primitives::{Address, U256, uint};

use super::{
    accounts::Account,
    health::{AccountValue, Balance, Side, TokenTerms, balance_value, health},
    liquidation::{CLOSE_FACTOR_HEALTH, Exchange, JUST_BELOW, Pair},
    loan::AaveV3Loan,
    pool::Pool,
};
use crate::{FurtherBalance, HEALTHY, Liquidation, Lot, PositionSummary};

/// Number of collateral units that a price is for.
const PRICE_UNITS: U256 = uint!(1_000_000_000_000_000_000_000_000_000_000_000_000_U256);
/// Binary digits of the highest price that is searched.
const PRICE_BITS: u32 = 112;

/// Returns an account's health factor × 10¹⁸; `None` if a price is missing, or if the pool's arithmetic overflows.
pub(super) fn health_of(pool: &Pool, account: &Account) -> Option<U256> {
    health(&account.balances, |id| pool.terms(account.category, id).ok(), pool.version)
}

/// An account at prices of which one may be another than the pool's.
struct Valued<'a> {
    pool: &'a Pool,
    account: &'a Account,
    replaced: Option<(u16, TokenTerms)>,
}

impl Valued<'_> {
    fn terms(&self, reserve: u16) -> Option<&TokenTerms> {
        match &self.replaced {
            Some((id, terms)) if *id == reserve => Some(terms),
            _ => self.pool.terms(self.account.category, reserve).ok(),
        }
    }

    fn value(&self) -> Option<AccountValue> {
        AccountValue::of(&self.account.balances, |id| self.terms(id), self.pool.version)
    }

    fn health(&self) -> Option<U256> {
        health(&self.account.balances, |id| self.terms(id), self.pool.version)
    }

    /// Returns the account at another price of a reserve.
    fn at(&self, reserve: u16, price: u128) -> Option<Self> {
        let terms = TokenTerms { price, ..*self.terms(reserve)? };
        Some(Self { replaced: Some((reserve, terms)), ..*self })
    }

    fn is_liquidatable_at(&self, reserve: u16, price: u128) -> bool {
        self.at(reserve, price).and_then(|valued| valued.health()).is_some_and(|health| health < HEALTHY)
    }

    /// Returns a price at which the account is liquidatable, and not at one above it.
    fn liquidation_price(&self, reserve: u16) -> Option<u128> {
        let (mut low, mut high) = (0, 1_u128 << PRICE_BITS);
        if !self.is_liquidatable_at(reserve, low) || self.is_liquidatable_at(reserve, high) {
            return None;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.is_liquidatable_at(reserve, middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some(low)
    }

    fn of(&self, side: Side) -> impl Iterator<Item = &Balance> {
        let counts = move |balance: &&Balance| {
            let is_seizable = self.terms(balance.token).is_some_and(|terms| terms.threshold_bps > 0);
            balance.side == side && (side == Side::Debt || is_seizable)
        };
        self.account.balances.iter().filter(counts)
    }

    /// Returns what a whole liquidation of a pair does, at `health`, with the account's value.
    fn exchange(&self, value: &AccountValue, [collateral, debt]: [&Balance; 2], health: U256) -> Option<Exchange> {
        let pair = Pair {
            collateral,
            collateral_terms: self.terms(collateral.token)?,
            debt,
            debt_terms: self.terms(debt.token)?,
        };
        pair.exchange(self.pool.version, value, health, U256::MAX)
    }

    /// Returns the pair whose whole liquidation brings most in the oracle's unit; pairs that the pool refuses come last.
    fn best_pair(&self, health: U256) -> Option<(&Balance, &Balance)> {
        // Once for all pairs, of which there are as many as the square of the reserves.
        let value = self.value();
        let pairs =
            self.of(Side::Collateral).flat_map(|collateral| self.of(Side::Debt).map(move |debt| (collateral, debt)));
        pairs.max_by_key(|(collateral, debt)| {
            let is_open = self.obstacle(collateral, debt).is_none();
            let done = value.and_then(|value| self.exchange(&value, [*collateral, *debt], health));
            let bonus = done.and_then(|done| {
                balance_value(done.bonus, self.terms(debt.token)?, Side::Collateral, self.pool.version)
            });
            (is_open, bonus)
        })
    }

    /// Returns whether the pool's sentinel lets an account be liquidated.
    fn is_allowed(&self, health: U256) -> bool {
        self.pool.sentinel_allows || health < CLOSE_FACTOR_HEALTH
    }

    fn obstacle(&self, collateral: &Balance, debt: &Balance) -> Option<String> {
        let reserve =
            |balance: &Balance| self.pool.reserves.get(&balance.token).and_then(|reserve| reserve.obstacle.clone());
        reserve(collateral).or_else(|| reserve(debt))
    }

    /// Returns units of a debt token for so many units of another at `price`.
    fn relative_price(&self, reserve: u16, price: u128, debt: u16) -> Option<U256> {
        let (token, debt) = (self.terms(reserve)?, self.terms(debt)?);
        let numerator = U256::from(price).checked_mul(debt.unit()?)?.checked_mul(PRICE_UNITS)?;
        numerator.checked_div(U256::from(debt.price).checked_mul(token.unit()?)?)
    }

    fn amount(&self, balance: &Balance) -> Option<U256> {
        balance.amount(self.terms(balance.token)?, self.pool.version)
    }

    fn asset(&self, balance: &Balance) -> Option<Address> {
        self.pool.reserves.get(&balance.token).map(|reserve| reserve.asset)
    }
}

/// Describes an account; `None` if it owes nothing.
pub(super) fn summary(pool: &Pool, address: Address, account: &Account, health: U256) -> Option<PositionSummary> {
    let now = Valued { pool, account, replaced: None };
    let is_liquidatable = health < HEALTHY;
    let pair = now.best_pair(if is_liquidatable { health } else { JUST_BELOW });
    let debt = pair.map_or_else(|| now.of(Side::Debt).next(), |(_, debt)| Some(debt))?;
    let collateral = pair.map(|(collateral, _)| collateral);
    let at_line = collateral.and_then(|collateral| now.liquidation_price(collateral.token));
    let liquidation = collateral.and_then(|collateral| {
        let valued = if is_liquidatable { Valued { ..now } } else { now.at(collateral.token, at_line?)? };
        let done = valued.exchange(&valued.value()?, [collateral, debt], valued.health()?)?;
        let is_last = valued.of(Side::Collateral).count() == 1;
        let bad_debt = if done.takes_all && is_last { done.left } else { U256::ZERO };
        Some(Liquidation { repaid: done.repaid, seized: done.seized, bonus: done.bonus, bad_debt })
    });
    let sentinel = (!now.is_allowed(health))
        .then(|| "the sequencer was down, and the pool's sentinel allows no liquidation yet".to_owned());
    let obstacle = match collateral {
        None => Some("it has no collateral that could be seized".to_owned()),
        Some(collateral) => now.obstacle(collateral, debt).or(sentinel),
    };
    let is_open = obstacle.is_none();
    let remark = obstacle.map(|obstacle| format!("it cannot be liquidated now: {obstacle}"));
    let others = account.balances.iter().filter(|balance| Some(*balance) != collateral && *balance != debt);
    let further = others.filter_map(|balance| {
        let price = now.relative_price(balance.token, now.terms(balance.token)?.price, debt.token)?;
        let is_debt = balance.side == Side::Debt;
        let at_line = if is_debt { None } else { now.liquidation_price(balance.token) };
        let liquidation_price = at_line.and_then(|price| now.relative_price(balance.token, price, debt.token));
        Some(FurtherBalance {
            token: now.asset(balance)?,
            is_debt,
            amount: now.amount(balance)?,
            price,
            liquidation_price,
        })
    });
    let priced = collateral.unwrap_or(debt);
    Some(PositionSummary {
        market: U256::from_be_slice(pool.reserves.get(&priced.token)?.asset.as_slice()).into(),
        account: address,
        collateral_token: now.asset(priced)?,
        collateral: collateral.map_or(Some(U256::ZERO), |collateral| now.amount(collateral))?,
        debt_token: now.asset(debt)?,
        debt: now.amount(debt)?,
        health,
        is_liquidatable: is_liquidatable && is_open,
        price: now.relative_price(priced.token, now.terms(priced.token)?.price, debt.token)?,
        liquidation_price: at_line.and_then(|price| now.relative_price(priced.token, price, debt.token)),
        liquidation,
        further: further.collect(),
        remark,
    })
}

/// Returns every pair of an account that the pool at `market` lets be exchanged at this health factor, at which it is
/// liquidatable.
pub(super) fn lots(pool: &Pool, (address, account): (Address, &Account), health: U256, market: Address) -> Vec<Lot> {
    let now = Valued { pool, account, replaced: None };
    let Some(value) = now.value().filter(|_| now.is_allowed(health)) else { return Vec::new() };
    let is_last = now.of(Side::Collateral).count() == 1;
    let lot = |collateral: &Balance, debt: &Balance| {
        if now.obstacle(collateral, debt).is_some() {
            return None;
        }
        let loan = AaveV3Loan {
            version: pool.version,
            account: address,
            value,
            health,
            collateral: (*collateral, *now.terms(collateral.token)?),
            debt: (*debt, *now.terms(debt.token)?),
            debt_token: pool.reserves.get(&debt.token)?.debt_token,
            is_last,
        };
        loan.lot(market, [now.asset(collateral)?, now.asset(debt)?])
    };
    let debts = |collateral| now.of(Side::Debt).filter_map(move |debt| lot(collateral, debt));
    now.of(Side::Collateral).flat_map(debts).collect()
}
