//! An account in a block: its health, by which call it can be liquidated, and what that does.

use alloy::primitives::{Address, U256};

use super::{
    loan::CompoundV2Loan,
    math::{Holding, MarketTerms, Pair, PoolTerms, Quote, Rules, Sums, divided, times},
};
use crate::{HEALTHY, Liquidation, Lot};

/// Doublings of the price in search of one at which an account is healthy.
const MAX_DOUBLINGS: usize = 64;

/// How the protocol liquidates an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// One debt for one collateral, up to the close factor.
    Pair,
    /// All debts in one call, since the collateral is small and suffices.
    WholeAccount,
    /// All collateral for a part of each debt; the rest becomes bad debt. The collateral is small and does not suffice.
    Heal,
}

impl Method {
    /// Returns why the executor, which liquidates one debt for one collateral, cannot use it.
    const fn obstacle(self) -> Option<&'static str> {
        match self {
            Self::Pair => None,
            Self::WholeAccount => Some("its collateral is so small that only liquidateAccount may liquidate it"),
            Self::Heal => Some("its collateral is so small that only healAccount may liquidate it"),
        }
    }
}

/// Which markets' interest is accrued up to the block; the others count as they are stored.
#[derive(Debug, Clone, Copy)]
enum Accrued {
    None,
    Pair,
    All,
}

/// An account with the debt and the collateral that a liquidation would be of.
#[derive(Debug, Clone)]
pub(super) struct Account<'a> {
    pool: &'a PoolTerms,
    markets: &'a [Option<MarketTerms>],
    holdings: &'a [Holding],
    pub(super) collateral: Option<Holding>,
    pub(super) debt: Holding,
}

impl<'a> Account<'a> {
    /// Chooses the pair that brings the most; `None` without debt, or where the contract's arithmetic overflows.
    pub(super) fn of(pool: &'a PoolTerms, markets: &'a [Option<MarketTerms>], holdings: &'a [Holding]) -> Option<Self> {
        let debts = || holdings.iter().filter(|holding| !holding.debt.principal.is_zero());
        let collaterals = || holdings.iter().filter(|holding| !holding.tokens.is_zero());
        let mut best: Option<(U256, Self)> = None;
        for debt in debts() {
            let mut candidates: Vec<_> = collaterals().map(Some).collect();
            if candidates.is_empty() {
                candidates.push(None);
            }
            for collateral in candidates {
                let account = Self { pool, markets, holdings, collateral: collateral.copied(), debt: *debt };
                let brings = account.brings().unwrap_or_default();
                if best.as_ref().is_none_or(|(most, _)| brings > *most) {
                    best = Some((brings, account));
                }
            }
        }
        best.map(|(_, account)| account)
    }

    fn market(&self, holding: &Holding) -> Option<&'a MarketTerms> {
        self.markets.get(holding.market)?.as_ref()
    }

    /// Returns what is owed in the chosen market, with interest up to the block.
    pub(super) fn owed(&self) -> Option<U256> {
        self.debt.debt.at(self.market(&self.debt)?.accrued.borrow_index)
    }

    /// Returns what the chosen collateral is in units of its token, with interest up to the block.
    pub(super) fn collateral_units(&self) -> Option<U256> {
        let Some(collateral) = self.collateral else { return Some(U256::ZERO) };
        times(self.market(&collateral)?.accrued.exchange_rate, collateral.tokens)
    }

    /// Returns the collateral's present price, as the oracle gives it.
    pub(super) fn price(&self) -> Option<U256> {
        self.collateral.and_then(|collateral| self.market(&collateral)).map(|market| market.price)
    }

    /// Converts a price of the oracle to units of the debt token for 10³⁶ units of the collateral token.
    pub(super) fn relative(&self, price: U256) -> Option<U256> {
        price.checked_mul(HEALTHY)?.checked_mul(HEALTHY)?.checked_div(self.market(&self.debt)?.price)
    }

    fn pair(&self, price: U256) -> Option<(Pair<'a>, Holding)> {
        let collateral = self.collateral?;
        let (market, debt) = (self.market(&collateral)?, self.market(&self.debt)?);
        Some((Pair { pool: self.pool, collateral: market, debt, price }, collateral))
    }

    /// Returns the account with every pair of a collateral and a debt.
    pub(super) fn pairs(
        pool: &'a PoolTerms,
        markets: &'a [Option<MarketTerms>],
        holdings: &'a [Holding],
    ) -> impl Iterator<Item = Self> {
        let debts = holdings.iter().filter(|holding| !holding.debt.principal.is_zero());
        debts.flat_map(move |debt| {
            let collaterals = holdings.iter().filter(|holding| !holding.tokens.is_zero());
            collaterals.map(move |collateral| Self {
                pool,
                markets,
                holdings,
                collateral: Some(*collateral),
                debt: *debt,
            })
        })
    }

    /// Returns what the executor needs of the pair, with the addresses of the markets of the collateral and of the debt; `None`
    /// if it cannot be liquidated even where it is not healthy.
    pub(super) fn lot(&self, comptroller: Address, address: Address, markets: [Address; 2]) -> Option<Lot> {
        let (pair, collateral) = self.pair(self.price()?)?;
        if pair.debt.debt_paused || pair.collateral.seizing_paused {
            return None;
        }
        let loan = CompoundV2Loan {
            pool: *self.pool,
            account: address,
            collateral: (markets[0], *pair.collateral),
            debt: (markets[1], *pair.debt),
            tokens: collateral.tokens,
            owed: self.owed()?,
            stored_debt: self.debt.debt.at(pair.debt.stored.borrow_index)?,
        };
        let is_only = self.holdings.iter().filter(|holding| !holding.tokens.is_zero()).count() == 1;
        loan.lot(comptroller, is_only, self.method(self.price()?)?.obstacle())
    }

    /// Value of what a liquidation by pair brings now, in the oracle's currency; `None` if it is paused.
    fn brings(&self) -> Option<U256> {
        let (pair, collateral) = self.pair(self.price()?)?;
        if pair.debt.debt_paused || pair.collateral.seizing_paused {
            return None;
        }
        let owed = self.owed()?;
        pair.liquidation(owed, pair.max_repaid(owed)?, collateral.tokens)?.bonus.checked_mul(pair.debt.price)
    }

    fn sums(&self, accrued: Accrued, price: Option<U256>) -> Option<Sums> {
        let is_collateral = |holding: &Holding| self.collateral.is_some_and(|chosen| chosen.market == holding.market);
        let quote = |holding: &Holding| {
            let market = self.market(holding)?;
            let is_accrued = match accrued {
                Accrued::None => false,
                Accrued::Pair => is_collateral(holding) || holding.market == self.debt.market,
                Accrued::All => true,
            };
            let rates = if is_accrued { market.accrued } else { market.stored };
            let price = price.filter(|_| is_collateral(holding)).unwrap_or(market.price);
            Some(Quote { price, rates, weight: market.weight })
        };
        Sums::of(self.pool.rules, self.holdings, quote)
    }

    fn is_small(&self, sums: &Sums) -> bool {
        self.pool.rules == Rules::Isolated && sums.collateral <= self.pool.min_collateral
    }

    /// Returns the health factor × 10¹⁸ at a price of the chosen collateral, now if it is `None`. It is that of the call by which
    /// the account would be liquidated: a pair's interest is accrued first, a small account's all or none, whichever is worse.
    pub(super) fn health(&self, price: Option<U256>) -> Option<U256> {
        let pair = self.sums(Accrued::Pair, price)?;
        if self.is_small(&pair) {
            let stored = self.sums(Accrued::None, price)?.health()?;
            return Some(stored.min(self.sums(Accrued::All, price)?.health()?));
        }
        pair.health()
    }

    /// Returns by which call the account is liquidated at a price of the chosen collateral.
    pub(super) fn method(&self, price: U256) -> Option<Method> {
        if !self.is_small(&self.sums(Accrued::Pair, Some(price))?) || self.market(&self.debt)?.is_forced {
            return Some(Method::Pair);
        }
        let sums = self.sums(Accrued::None, Some(price))?;
        let suffices = times(sums.debt, self.pool.incentive)? < sums.collateral;
        Some(if suffices { Method::WholeAccount } else { Method::Heal })
    }

    /// Returns what a liquidation does at a price of the chosen collateral.
    pub(super) fn liquidation(&self, price: U256, method: Method) -> Option<Liquidation> {
        let owed = self.owed()?;
        if method == Method::Heal {
            return self.healing(price, owed);
        }
        let (pair, collateral) = self.pair(price)?;
        let most = if method == Method::Pair { pair.max_repaid(owed)? } else { owed };
        let done = pair.liquidation(owed, most, collateral.tokens)?;
        let is_only = self.holdings.iter().filter(|holding| !holding.tokens.is_zero()).count() == 1;
        Some(if is_only { done } else { Liquidation { bad_debt: U256::ZERO, ..done } })
    }

    /// All of the account's collateral is seized, and of each debt the part is paid that it is worth without the incentive.
    fn healing(&self, price: U256, owed: U256) -> Option<Liquidation> {
        let sums = self.sums(Accrued::All, Some(price))?;
        let part = divided(sums.collateral, times(sums.debt, self.pool.incentive)?)?;
        let repaid = times(part, owed)?;
        let (seized, bonus) = match self.pair(price) {
            Some((pair, collateral)) => {
                let seized = pair.received(collateral.tokens)?;
                (seized, pair.worth(seized)?.saturating_sub(repaid))
            }
            None => (U256::ZERO, U256::ZERO),
        };
        Some(Liquidation { repaid, seized, bonus, bad_debt: owed.checked_sub(repaid)? })
    }

    /// Returns the highest price of the chosen collateral at which the account is liquidatable while the other prices stay;
    /// `None` if none is, or all are, or if it is in debt in the same market, whose price then moves both sides.
    pub(super) fn liquidation_price(&self) -> Option<U256> {
        let (now, collateral) = (self.price()?, self.collateral?);
        if !collateral.debt.principal.is_zero() {
            return None;
        }
        let is_liquidatable = |price: U256| Some(self.health(Some(price))? < HEALTHY);
        let (mut low, mut high) = (U256::ZERO, now);
        if is_liquidatable(now)? {
            let healthy = |(_, price): &(U256, U256)| is_liquidatable(*price) == Some(false);
            let doubled = std::iter::successors(Some((now, now.checked_mul(U256::from(2))?)), |(_, high)| {
                Some((*high, high.checked_mul(U256::from(2))?))
            });
            (low, high) = doubled.take(MAX_DOUBLINGS).find(healthy)?;
        } else if !is_liquidatable(U256::ZERO)? {
            return None;
        }
        // Liquidatable at the lower, healthy at the higher.
        while high - low > U256::ONE {
            let middle = low + (high - low) / U256::from(2);
            if is_liquidatable(middle)? { low = middle } else { high = middle }
        }
        Some(low)
    }

    /// Returns what is to be said of a liquidation at a price of the chosen collateral.
    pub(super) fn remark(&self, price: U256) -> Option<String> {
        let method = self.method(price)?;
        let debt = self.market(&self.debt)?;
        let mut remarks = Vec::new();
        if debt.debt_paused {
            remarks.push("liquidations of this debt are paused");
        }
        if self.collateral.and_then(|collateral| self.market(&collateral)).is_some_and(|market| market.seizing_paused) {
            remarks.push("seizing this collateral is paused");
        }
        if debt.is_forced {
            remarks.push("this debt may be liquidated wholly at any health factor");
        }
        match method {
            Method::Pair => {}
            Method::WholeAccount => remarks.push(
                "its collateral is too small for a liquidation of one debt: liquidateAccount must repay all debts at once",
            ),
            Method::Heal => remarks.push(
                "its collateral is too small: healAccount seizes all of it for a part of each debt, and the rest is bad debt",
            ),
        }
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::uint;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        NATIVE_COIN,
        compound_v2::math::{Debt, EXP, Rates},
    };

    fn market(price: U256, exchange_rate: U256, index: U256) -> MarketTerms {
        let stored = Rates { exchange_rate, borrow_index: index };
        let accrued = Rates {
            exchange_rate: exchange_rate + exchange_rate / uint!(1000_U256),
            borrow_index: index + index / uint!(500_U256),
        };
        MarketTerms {
            is_listed: true,
            underlying: NATIVE_COIN,
            weight: EXP * uint!(8_U256) / uint!(10_U256),
            viewed_price: price,
            price,
            stored,
            accrued,
            supply: EXP,
            assets: accrued.exchange_rate,
            seize_share: EXP / uint!(20_U256),
            incentive: EXP * uint!(11_U256) / uint!(10_U256),
            is_forced: false,
            debt_paused: false,
            seizing_paused: false,
        }
    }

    fn pool(rules: Rules) -> PoolTerms {
        let min_collateral = if rules == Rules::Isolated { EXP * uint!(100_U256) } else { U256::ZERO };
        let incentive = EXP * uint!(11_U256) / uint!(10_U256);
        PoolTerms {
            rules,
            close_factor: EXP / uint!(2_U256),
            incentive,
            min_collateral,
            liquidator: None,
            redeem_fee: U256::ZERO,
        }
    }

    fn holding(market: usize, tokens: u64, principal: u64) -> Holding {
        let debt = Debt { principal: U256::from(principal), index: EXP };
        Holding { market, tokens: U256::from(tokens), debt }
    }

    /// Markets of a token of 18 decimals worth 2,000 and of one of 6 decimals worth 1.
    fn markets() -> Vec<Option<MarketTerms>> {
        let ten = U256::from(10);
        vec![
            Some(market(uint!(2000_U256) * EXP, ten.pow(U256::from(28)), EXP)),
            Some(market(ten.pow(U256::from(30)), ten.pow(U256::from(16)), EXP)),
        ]
    }

    proptest! {
        #[test]
        fn an_account_is_liquidatable_at_its_liquidation_price_and_healthy_just_above_it(
            is_isolated in any::<bool>(),
            tokens in 1_u64..1_000_000_000_000,
            principal in 1_u64..1_000_000_000_000_000,
            other in 0_u64..1_000_000_000,
        ) {
            let pool = pool(if is_isolated { Rules::Isolated } else { Rules::Plain });
            let (markets, holdings) = (markets(), [holding(0, tokens, 0), holding(1, other, principal)]);
            let mut account = Account::of(&pool, &markets, &holdings).unwrap();
            account.collateral = Some(holdings[0]);
            let Some(price) = account.liquidation_price() else { return Ok(()) };
            prop_assert!(account.health(Some(price)).unwrap() < HEALTHY);
            prop_assert!(account.health(Some(price + U256::ONE)).unwrap() >= HEALTHY);
        }

        #[test]
        fn no_liquidation_takes_more_than_there_is_or_than_the_close_factor_allows(
            tokens in 1_u64..1_000_000_000_000,
            principal in 1_u64..1_000_000_000_000_000,
        ) {
            for rules in [Rules::Plain, Rules::Isolated] {
                let (pool, markets, holdings) = (pool(rules), markets(), [holding(0, tokens, 0), holding(1, 0, principal)]);
                let account = Account::of(&pool, &markets, &holdings).unwrap();
                let Some(done) = account.liquidation(account.price().unwrap(), Method::Pair) else { continue };
                prop_assert!(done.repaid <= times(account.owed().unwrap(), pool.close_factor).unwrap());
                prop_assert!(done.seized <= account.collateral_units().unwrap());
            }
        }
    }

    #[test]
    fn a_small_account_is_liquidated_whole_or_healed() {
        let (pool, markets) = (pool(Rules::Isolated), markets());
        // A market token of 8 decimals is worth a token: 0.04 are 80 dollars, with 70 or 75 of debt.
        for (debt, method) in [(70_000_000, Method::WholeAccount), (75_000_000, Method::Heal)] {
            let holdings = [holding(0, 4_000_000, 0), holding(1, 0, debt)];
            let account = Account::of(&pool, &markets, &holdings).unwrap();
            assert!(account.health(None).unwrap() < HEALTHY);
            assert_eq!(account.method(account.price().unwrap()), Some(method), "{debt}");
            let done = account.liquidation(account.price().unwrap(), method).unwrap();
            let owed = account.owed().unwrap();
            assert_eq!(done.repaid + done.bad_debt, owed, "{done:?}");
            assert_eq!(done.bad_debt.is_zero(), method == Method::WholeAccount, "{done:?}");
        }
        let holdings = [holding(1, 0, 5)];
        let bare = Account::of(&pool, &markets, &holdings).unwrap();
        let done = bare.liquidation(U256::ZERO, bare.method(U256::ZERO).unwrap()).unwrap();
        assert_eq!((done.repaid, done.bad_debt), (U256::ZERO, U256::from(5)));
        assert_eq!((bare.health(None), bare.liquidation_price()), (Some(U256::ZERO), None));
    }

    #[test]
    fn a_pair_that_is_paused_is_not_chosen_while_another_is_there() {
        let (pool, mut markets) = (pool(Rules::Isolated), markets());
        markets.push(markets[0]);
        markets[0].as_mut().unwrap().seizing_paused = true;
        let holdings = [holding(0, 900_000_000, 0), holding(1, 0, 1_000_000_000), holding(2, 100_000_000, 0)];
        let account = Account::of(&pool, &markets, &holdings).unwrap();
        assert_eq!(account.collateral.map(|chosen| chosen.market), Some(2));
        assert_eq!(account.remark(account.price().unwrap()), None);
        let account = Account::of(&pool, &markets, &holdings[..2]).unwrap();
        assert!(account.remark(account.price().unwrap()).unwrap().contains("seizing this collateral is paused"));
    }
}
