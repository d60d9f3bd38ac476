//! Compound v2 and its forks: a pool of markets, in each of which accounts have market tokens as collateral, and debts. Three
//! kinds of pools are known: those that left Compound's rules as they were, Venus' isolated pools, and Venus' core pool, in which
//! an account has the terms of the pool that it chose, and only a contract of its own may liquidate.
//!
//! Debts follow from the logs alone, exactly. Balances of market tokens are read of every account with debt once, and again
//! when a log says that they changed. All terms, rates and prices are read in each block, with interest up to the block by
//! accruing it in the call.

mod account;
mod bound;
mod interface;
mod loan;
mod math;
mod reads;
mod rows;
mod state;

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, Log, U256, uint};

use self::{
    account::Account,
    math::{Quote, Sums},
    reads::MarketAnswers,
    state::{CoreAccount, Rows, State, Totals},
};
pub use self::{
    bound::{effective_price, safety_bound},
    interface::{
        ICompoundOracle, IComptroller, IVToken, IVaiController, IVenusLiquidator, LiquidationOrder, RiskManagement,
    },
    math::{Debt, Holding, LiquidatorTerms, MarketTerms, PoolTerms, Rates, Rules},
};
use crate::{
    Answer, ApplyError, Block, Call, Deployment, HEALTHY, IdentityError, LeastBonus, LogFilter, Lot, Observed,
    PositionSummary, Protocol, RestoreError, Row, Size, TotalsDifference, UndoError, UnpricedMarket,
    tripwire::Tripwires,
};

/// Health factor in basis points below which accounts are found without looking at the others.
const NEAR_BPS: u16 = 11_000;
/// The same × 10¹⁸.
const NEAR: U256 = uint!(1_100_000_000_000_000_000_U256);

/// Why the Liquidator of Venus' core pool refuses an account.
const RESTRICTED: &str = "the pool's Liquidator liquidates it for chosen callers alone";
const VAI_FIRST: &str = "the pool's Liquidator liquidates nothing but VAI now";
/// Most markets of a pool.
const MAX_MARKETS: usize = 200;
/// Most balances that are read at once.
const MAX_BALANCES: usize = 500;

/// A pool, at its comptroller.
#[derive(Debug)]
pub struct CompoundV2 {
    deployment: Deployment,
    rules: Rules,
    /// The oracle when the pool was identified.
    oracle: Address,
    state: State,
    /// The terms as of the last [`Protocol::observe`], or why there are none.
    pool: Result<PoolTerms, String>,
    /// Those of each market; `None` for one that cannot be valued. After them, those that accounts of each further pool have.
    terms: Vec<Option<MarketTerms>>,
    index: Tripwires,
    /// Accounts whose health factor may be below [`NEAR`].
    near: BTreeSet<Address>,
}

/// What a pool says of itself.
struct Identity {
    rules: Rules,
    liquidator: Address,
    oracle: Address,
    /// The contract that lends VAI.
    vai: Option<Address>,
    markets: Vec<Address>,
}

/// What the comptroller's own `getAccountLiquidity` returns, in the oracle's currency × 10¹⁸.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountLiquidity {
    /// Value that may still be withdrawn or borrowed; zero with a shortfall.
    pub liquidity: U256,
    /// Value of debt that the collateral does not cover.
    pub shortfall: U256,
}

impl CompoundV2 {
    /// Returns a pool of which nothing is known yet.
    #[must_use]
    pub fn new(deployment: Deployment) -> Self {
        let state = State::new(deployment.address, Address::ZERO, []);
        let pool = Err("it was not read".to_owned());
        Self {
            deployment,
            rules: Rules::Plain,
            oracle: Address::ZERO,
            state,
            pool,
            terms: Vec::new(),
            index: Tripwires::default(),
            near: BTreeSet::new(),
        }
    }

    /// Returns what `getAccountLiquidity` returns of an account with debt, to the unit; `None` if something of it is not known,
    /// or where the contract reverts.
    #[must_use]
    pub fn account_liquidity(&self, account: Address) -> Option<AccountLiquidity> {
        let holdings = self.holdings(self.state.rows(account)?)?;
        let quote = |holding: &Holding| {
            let market = self.terms.get(holding.market)?.as_ref()?;
            Some(Quote { price: market.viewed_price, rates: market.stored, weight: market.weight })
        };
        let sums = Sums::of(self.rules, &holdings, quote)?;
        let liquidity = sums.weighted.saturating_sub(sums.debt);
        Some(AccountLiquidity { liquidity, shortfall: sums.debt.saturating_sub(sums.weighted) })
    }

    /// Returns what counts of an account; `None` while something of it has to be read, or cannot be valued.
    fn holdings(&self, rows: &Rows) -> Option<Vec<Holding>> {
        let mut holdings = Vec::new();
        for holding in self.members(rows)? {
            if self.terms.get(holding.market)?.as_ref()?.is_listed {
                holdings.push(holding);
            }
        }
        Some(holdings)
    }

    /// Returns an error that says what was read instead of the protocol.
    fn unknown(&self, problem: String) -> IdentityError {
        let Deployment { protocol, chain_id, address, .. } = self.deployment;
        IdentityError { protocol: protocol.to_string(), address, chain_id, problem }
    }

    /// Returns what an account has in the markets that it is a member of, each at the place of the terms that the account has
    /// there; `None` while something of it has to be read, or if it has a debt that no market lends.
    fn members(&self, rows: &Rows) -> Option<Vec<Holding>> {
        let mut holdings = Vec::new();
        for (place, row) in rows {
            let balance = row.balance?;
            let CoreAccount { pool, owes_vai, .. } = balance.core;
            if owes_vai {
                return None;
            }
            if balance.is_member {
                let pool = self.state.pools.iter().position(|known| *known == pool)?;
                let market = pool * self.state.markets.len() + place;
                holdings.push(Holding { market, tokens: balance.tokens, debt: row.debt });
            }
        }
        Some(holdings)
    }

    /// Returns the address of a holding's market.
    fn market_of(&self, holding: &Holding) -> Option<Address> {
        let place = holding.market.checked_rem(self.state.markets.len())?;
        self.state.markets.get(place).map(|market| market.address)
    }

    fn identify(&self, answers: &[Answer]) -> Result<Identity, String> {
        let is_comptroller = reads::number(answers, 0, "isComptroller()")?;
        if is_comptroller != U256::ONE {
            return Err(format!("its isComptroller() is {is_comptroller}"));
        }
        let oracle = Address::from_word(reads::number(answers, 1, "oracle()")?.into());
        reads::number(answers, 2, "closeFactorMantissa()")?;
        let address = |place| reads::number(answers, place, "").map(|word| Address::from_word(word.into()));
        let liquidator = address(5);
        let rules = match (reads::number(answers, 4, ""), &liquidator) {
            (Ok(_), Err(_)) => Rules::Isolated,
            (Err(_), Err(_)) => Rules::Plain,
            (_, Ok(liquidator)) => {
                let is_known = reads::number(answers, 6, "").is_ok() && address(7).is_ok();
                if !is_known {
                    return Err(format!(
                        "its liquidatorContract() is {liquidator}, and it has no lastPoolId() or no vaiController(): it is a \
                         core pool of Venus before its pools, or a fork of one, whose rules are not known here"
                    ));
                }
                Rules::Core
            }
        };
        if rules != Rules::Core {
            reads::number(answers, 3, "liquidationIncentiveMantissa()")?;
        }
        // The list is longer than what is copied of an answer, so that its entries are asked for one by one.
        let count = match answers.get(8) {
            Some(Ok(list)) => list.get(32..64).map_or(U256::ZERO, U256::from_be_slice),
            _ => return Err("it does not list its markets by getAllMarkets()".to_owned()),
        };
        let count = usize::try_from(count)
            .ok()
            .filter(|count| *count <= MAX_MARKETS)
            .ok_or_else(|| format!("it has {count} markets, and no more than {MAX_MARKETS} can be followed"))?;
        let market = |place| Ok(Address::from_word(reads::number(answers, 9 + place, "allMarkets()")?.into()));
        let vai = address(7).ok().filter(|vai| rules == Rules::Core && !vai.is_zero());
        let markets = (0..count).map(market).collect::<Result<_, String>>()?;
        Ok(Identity { rules, liquidator: liquidator.unwrap_or_default(), oracle, vai, markets })
    }

    /// Returns the balances to read next.
    fn asked_balances(&self) -> Vec<(Address, usize)> {
        self.state.pending().iter().take(MAX_BALANCES).copied().collect()
    }

    fn observe_markets(&mut self, answers: &[Vec<Answer>], observed: &mut Observed) {
        let of_pool = answers.first().map_or(&[][..], Vec::as_slice);
        let liquidator = self.state.liquidator();
        self.pool = reads::pool_terms(self.rules, self.state.oracle, liquidator, of_pool);
        if let (Rules::Core, Ok(named)) = (self.rules, reads::liquidator(of_pool))
            && named != liquidator
        {
            // It is asked in the same block.
            self.state.follow_liquidator(named);
            observed.pending += 1;
        }
        let (of_markets, of_pools) =
            answers.get(1..).unwrap_or_default().split_at_checked(2 * self.state.markets.len()).unwrap_or_default();
        let mut answers = of_markets.chunks(2);
        let mut all_terms = Vec::new();
        for (place, market) in self.state.markets.iter().enumerate() {
            let id = market.address.into_word();
            let terms = match (&self.pool, answers.next()) {
                (Err(reason), _) => Err(reason.clone()),
                (Ok(_), Some([market_answers, price])) => {
                    let read = MarketAnswers { market: market_answers, price };
                    if let Ok(stored) = reads::stored_totals(&read) {
                        observed.differences.extend(differences(id, market.totals, stored));
                    }
                    self.pool.as_ref().map_err(Clone::clone).and_then(|pool| reads::market_terms(pool, &read))
                }
                _ => Err("it was not read".to_owned()),
            };
            if let Err(reason) = &terms {
                let positions = self.state.members(place);
                if positions > 0 {
                    observed.unpriced.push(UnpricedMarket { market: id, reason: reason.clone(), positions });
                }
            }
            all_terms.push(terms.ok());
        }
        for answers in of_pools {
            let core = all_terms.iter().take(self.state.markets.len()).enumerate();
            let of_pool = core.map(|(place, core)| reads::chosen_pool_terms(core.as_ref()?, place, answers).ok());
            let of_pool: Vec<_> = of_pool.collect();
            all_terms.extend(of_pool);
        }
        self.terms = all_terms;
    }

    fn observe_balances(&mut self, answers: &[Vec<Answer>], observed: &mut Observed) {
        for ((account, place), answers) in self.asked_balances().into_iter().zip(answers) {
            let read = reads::balance(self.rules, answers);
            if let Ok((_, on_chain)) = read
                && let Some(market) = self.state.markets.get(place)
            {
                let row = self.state.rows(account).and_then(|rows| rows.get(&place));
                let from_logs = row.and_then(|row| row.debt.at(market.totals.borrow_index)).unwrap_or_default();
                observed.differences.extend(difference(
                    market.address.into_word(),
                    "an account's debt",
                    on_chain,
                    from_logs,
                ));
            }
            self.state.set_balance(account, place, read.map(|(balance, _)| balance));
        }
        observed.pending = self.state.pending().len();
        for (place, market) in self.state.markets.iter().enumerate() {
            let of_market = self.state.unreadable().iter().filter(|((_, of), _)| *of == place);
            let (positions, reason) = of_market.fold((0, None), |(count, _), (_, reason)| (count + 1, Some(reason)));
            if let Some(reason) = reason {
                let (market, reason) = (market.address.into_word(), format!("its accounts cannot be read: {reason}"));
                observed.unpriced.push(UnpricedMarket { market, reason, positions });
            }
        }
    }

    /// Says how many accounts are left out because they owe VAI.
    fn note_vai(&self, observed: &mut Observed) {
        let Some(vai) = self.state.vai() else { return };
        let owes_vai = |rows: &Rows| rows.values().filter_map(|row| row.balance).any(|balance| balance.core.owes_vai);
        let positions = self.state.debtors().filter(|(_, rows)| rows.is_some_and(owes_vai)).count();
        if positions > 0 {
            let reason = "they owe VAI, which no market lends, besides other debts: they are left out".to_owned();
            observed.unpriced.push(UnpricedMarket { market: vai.into_word(), reason, positions });
        }
    }

    /// Brings the index to the block's debts, balances, terms and prices.
    fn update_index(&mut self) {
        for account in self.state.take_changed() {
            // An account of which something has to be read is in no list meanwhile.
            let rows = self.state.rows(account).filter(|_| self.state.owes(account));
            match rows.and_then(|rows| self.members(rows)) {
                None => self.index.remove(account),
                Some(holdings) => self.index.set(account, safety_bound(&holdings, NEAR_BPS)),
            }
        }
        let prices: Vec<_> = self.terms.iter().map(|terms| effective_price(self.rules, terms.as_ref())).collect();
        self.near = self.index.tick(&prices).into_iter().collect();
    }

    /// Returns the accounts whose health factor may be below [`NEAR`], and their rows.
    fn near(&self) -> impl Iterator<Item = (Address, Option<&Rows>)> {
        self.near.iter().map(|account| (*account, self.state.rows(*account)))
    }

    /// Returns the lots of the accounts that are near and have a pair of such a health factor, with the least of these.
    fn near_lots(
        &self,
        least_bonus: LeastBonus<'_>,
        is_wanted: impl Fn(U256) -> bool,
    ) -> Vec<((U256, Address), Vec<Lot>)> {
        let Ok(pool) = &self.pool else { return Vec::new() };
        let mut found = Vec::new();
        for (address, rows) in self.near() {
            let Some(holdings) = rows.and_then(|rows| self.holdings(rows)) else { continue };
            let refusal = rows.and_then(|rows| self.refusal(rows));
            let market = |holding: &Holding| self.market_of(holding);
            let lot = |account: Account<'_>| {
                let health = account.health(None).filter(|health| is_wanted(*health))?;
                let markets = [market(account.collateral.as_ref()?)?, market(&account.debt)?];
                let mut lot = account.lot(self.deployment.address, address, markets)?;
                lot.obstacle = lot.obstacle.or(refusal);
                least_bonus(lot.debt).is_some_and(|least| lot.whole.bonus >= least).then_some((health, lot))
            };
            let lots: Vec<_> = Account::pairs(pool, &self.terms, &holdings).filter_map(lot).collect();
            if let Some(least) = lots.iter().map(|(health, _)| *health).min() {
                found.push(((least, address), lots.into_iter().map(|(_, lot)| lot).collect()));
            }
        }
        found
    }

    /// Returns why the pool's Liquidator refuses to liquidate an account that owes no VAI.
    fn refusal(&self, rows: &Rows) -> Option<&'static str> {
        let liquidator = self.pool.as_ref().ok()?.liquidator?;
        if rows.values().filter_map(|row| row.balance).any(|balance| balance.core.is_restricted) {
            return Some(RESTRICTED);
        }
        (liquidator.vai_first_from == Some(U256::ZERO)).then_some(VAI_FIRST)
    }

    fn summary(&self, address: Address) -> Option<PositionSummary> {
        let pool = self.pool.as_ref().ok()?;
        let rows = self.state.rows(address)?;
        let holdings = self.holdings(rows)?;
        let account = Account::of(pool, &self.terms, &holdings)?;
        let token = |holding: &Holding| self.terms.get(holding.market)?.as_ref().map(|terms| terms.underlying);
        let (health, now) = (account.health(None)?, account.price());
        let liquidation_price = account.liquidation_price();
        // A healthy account's liquidation is that at its liquidation price.
        let at = if health < HEALTHY { now } else { liquidation_price };
        let method = account.method(at.unwrap_or_default())?;
        let has_liquidation = at.is_some() || health < HEALTHY;
        Some(PositionSummary {
            market: self.market_of(&account.debt)?.into_word(),
            account: address,
            collateral_token: token(account.collateral.as_ref().unwrap_or(&account.debt))?,
            collateral: account.collateral_units()?,
            debt_token: token(&account.debt)?,
            debt: account.owed()?,
            health,
            is_liquidatable: health < HEALTHY,
            price: now.map_or(Some(U256::ZERO), |price| account.relative(price))?,
            liquidation_price: liquidation_price.and_then(|price| account.relative(price)),
            liquidation: has_liquidation.then(|| account.liquidation(at.unwrap_or_default(), method)).flatten(),
            further: Vec::new(),
            remark: match (account.remark(at.or(now).unwrap_or_default()), self.refusal(rows)) {
                (Some(remark), Some(refusal)) => Some(format!("{remark}; {refusal}")),
                (remark, refusal) => remark.or_else(|| refusal.map(str::to_owned)),
            },
        })
    }
}

impl Protocol for CompoundV2 {
    fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Every log of the comptroller, of its markets, of the contract that lends VAI, and of the one that alone may liquidate.
    fn log_filter(&self) -> LogFilter {
        let liquidator = Some(self.state.liquidator()).filter(|liquidator| !liquidator.is_zero());
        let further = self.state.vai().into_iter().chain(liquidator).chain([self.deployment.address]);
        let addresses: BTreeSet<_> = self.state.market_addresses().chain(further).collect();
        LogFilter { addresses, topics: Vec::new() }
    }

    fn identity_calls(&self) -> Vec<Call> {
        let to = self.deployment.address;
        let mut calls = vec![
            reads::view(to, &IComptroller::isComptrollerCall {}),
            reads::view(to, &IComptroller::oracleCall {}),
            reads::view(to, &IComptroller::closeFactorMantissaCall {}),
            reads::view(to, &IComptroller::liquidationIncentiveMantissaCall {}),
            reads::view(to, &IComptroller::minLiquidatableCollateralCall {}),
            reads::view(to, &IComptroller::liquidatorContractCall {}),
            reads::view(to, &IComptroller::lastPoolIdCall {}),
            reads::view(to, &IComptroller::vaiControllerCall {}),
        ];
        let list = Call { gas: reads::LIST_GAS, ..reads::view(to, &IComptroller::getAllMarketsCall {}) };
        calls.push(list);
        calls.extend(
            (0..MAX_MARKETS).map(|place| reads::view(to, &IComptroller::allMarketsCall { index: U256::from(place) })),
        );
        calls
    }

    fn check_identity(&mut self, answers: &[Answer]) -> Result<(), IdentityError> {
        let Identity { rules, liquidator, oracle, vai, markets } =
            self.identify(answers).map_err(|problem| self.unknown(problem))?;
        (self.rules, self.oracle) = (rules, oracle);
        self.state = State::new(self.deployment.address, oracle, markets);
        self.state.follow_liquidator(liquidator);
        if let Some(vai) = vai {
            self.state.follow_vai(vai);
        }
        Ok(())
    }

    fn apply(&mut self, block: Block, logs: &[Log]) -> Result<(), ApplyError> {
        self.state.apply(block, logs)
    }

    fn undo_to(&mut self, block: u64) -> Result<(), UndoError> {
        self.state.undo_to(block)
    }

    fn reset(&mut self) {
        let (markets, vai) = (self.state.market_addresses().collect::<Vec<_>>(), self.state.vai());
        let liquidator = self.state.liquidator();
        self.state = State::new(self.deployment.address, self.oracle, markets);
        self.state.follow_liquidator(liquidator);
        if let Some(vai) = vai {
            self.state.follow_vai(vai);
        }
        self.terms = Vec::new();
        self.index = Tripwires::default();
        self.near = BTreeSet::new();
    }

    fn changed_rows(&self) -> Vec<Row> {
        self.state.changed_rows()
    }

    fn restore(&mut self, block: Block, rows: &[Row]) -> Result<(), RestoreError> {
        self.state.restore(block, rows)
    }

    fn tip(&self) -> Option<Block> {
        self.state.tip()
    }

    fn size(&self) -> Size {
        Size { markets: self.state.markets.len(), positions: self.state.debtors().len() }
    }

    /// The pool's terms; for each market its terms and its price; what accounts of each further pool have; then the balances that
    /// are to be read, some at a time.
    fn reads(&self) -> Vec<Vec<Call>> {
        let (rules, comptroller, oracle) = (self.rules, self.deployment.address, self.state.oracle);
        let address = |place: usize| self.state.markets.get(place).map_or(Address::ZERO, |market| market.address);
        let liquidator = self.state.liquidator();
        let mut reads = vec![reads::pool_calls(rules, comptroller, liquidator)];
        for market in &self.state.markets {
            reads.push(reads::market_calls(rules, comptroller, market.address));
            reads.push(reads::price_calls(rules, oracle, market.address));
        }
        for pool in self.state.pools.iter().skip(1) {
            let markets = self.state.markets.iter().map(|market| market.address);
            reads.push(reads::chosen_pool_calls(comptroller, *pool, markets));
        }
        let balances = self.asked_balances().into_iter();
        let pool = [comptroller, liquidator];
        reads.extend(balances.map(|(account, place)| reads::balance_calls(rules, pool, address(place), account)));
        reads
    }

    fn observe(&mut self, answers: &[Vec<Answer>]) -> Observed {
        let mut observed = Observed::default();
        let known = self.state.pools.len();
        let of_terms = 2 * self.state.markets.len() + known;
        let (markets, balances) = answers.split_at(answers.len().min(of_terms));
        self.observe_balances(balances, &mut observed);
        self.observe_markets(markets, &mut observed);
        // An account has chosen a pool that was not read: it is read in the same block.
        observed.pending += self.state.pools.len() - known;
        self.note_vai(&mut observed);
        self.update_index();
        observed
    }

    fn positions_below(&self, health: U256, limit: usize) -> Vec<PositionSummary> {
        let Ok(pool) = &self.pool else { return Vec::new() };
        let evaluate = |(account, rows): (Address, Option<&Rows>)| {
            let holdings = self.holdings(rows?)?;
            let found = Account::of(pool, &self.terms, &holdings)?.health(None)?;
            (found < health).then_some((found, account))
        };
        let mut found: Vec<_> = if health > NEAR {
            self.state.debtors().filter_map(evaluate).collect()
        } else {
            self.near().filter_map(evaluate).collect()
        };
        found.sort_unstable();
        found.truncate(limit);
        found.into_iter().filter_map(|(_, account)| self.summary(account)).collect()
    }

    /// The core pool's Liquidator redeems its own part in each liquidation.
    fn liquidation_gas(&self) -> u64 {
        match self.rules {
            Rules::Core => 675_000,
            Rules::Isolated | Rules::Plain => 425_000,
        }
    }

    fn liquidatable(&self, least_bonus: LeastBonus<'_>) -> Vec<Lot> {
        self.near_lots(least_bonus, |health| health < HEALTHY).into_iter().flat_map(|(_, lots)| lots).collect()
    }

    fn nearly_liquidatable(&self, health: U256, limit: usize, least_bonus: LeastBonus<'_>) -> Vec<Lot> {
        let mut nearest = self.near_lots(least_bonus, |own| own >= HEALTHY && own < health.min(NEAR));
        nearest.sort_by_key(|((own, address), _)| (*own, *address));
        nearest.into_iter().take(limit).flat_map(|(_, lots)| lots).collect()
    }
}

/// Returns the health factor × 10¹⁸ of an account, for which every holding counts: that of the call by which it would be
/// liquidated. `None` without debt, or where the contract's arithmetic overflows.
#[must_use]
pub fn health(pool: &PoolTerms, markets: &[Option<MarketTerms>], holdings: &[Holding]) -> Option<U256> {
    Account::of(pool, markets, holdings)?.health(None)
}

fn differences(market: B256, from_logs: Totals, on_chain: Totals) -> impl Iterator<Item = TotalsDifference> {
    let index = difference(market, "the borrow index", on_chain.borrow_index, from_logs.borrow_index);
    index.into_iter().chain(difference(market, "the debt", on_chain.borrows, from_logs.borrows))
}

fn difference(market: B256, quantity: &'static str, on_chain: U256, from_logs: U256) -> Option<TotalsDifference> {
    let (on_chain, from_logs) = (on_chain.saturating_to(), from_logs.saturating_to());
    (on_chain != from_logs).then_some(TotalsDifference { market, quantity, on_chain, from_logs })
}
