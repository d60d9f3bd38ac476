//! Aave v3: one pool of many reserves, in which an account may have several collaterals and debts.
//!
//! Accounts are discovered by the logs of loans. From the first block that is observed on, the logs of the pool and of its
//! tokens say whose balances changed, and what changed is read in the block: scaled balances, indices, thresholds and prices
//! are the pool's own, and only the arithmetic on them is done here, by the rules of the pool's version. The sum of all debts
//! is compared with that of each debt token, and the health factors of some accounts in each block with the pool's own.
//!
//! ```text
//! logs ──► accounts: whose balances are to be read ──► reads ──► answers ──► pool: terms of each reserve and category
//!                                                                  └───────► accounts ──► tripwires ──► positions
//! ```

mod accounts;
mod bound;
mod health;
mod interface;
mod liquidation;
mod loan;
mod pool;
mod positions;
mod reads;
mod rows;
mod totals;
mod version;

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, Log, U256, uint};

use self::{
    accounts::{Account, Accounts, discovery_topic, followed_topics},
    interface::IAaveToken::scaledBalanceOfCall,
    liquidation::JUST_BELOW,
    pool::{Answers, Pool, Weights},
    reads::{Read, decode},
};
pub use self::{
    bound::{effective_price, safety_bound},
    health::{Balance, Side, TokenTerms, health},
    interface::{IAaveAddressesProvider, IAaveOracle, IAavePool, IAaveToken},
    version::Version,
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
/// Accounts whose health factor is compared with the pool's own in each block.
const AUDITED_PER_BLOCK: usize = 8;

/// A pool of Aave v3.
#[derive(Debug)]
pub struct AaveV3 {
    deployment: Deployment,
    accounts: Accounts,
    answers: Answers,
    /// The answers of the block that was observed before.
    before: Answers,
    /// The pool as of the last answers, or why there is none.
    pool: Result<Pool, String>,
    /// Addresses whose logs are followed, once they are known.
    followed: BTreeSet<Address>,
    /// Accounts whose balances are others than in the index.
    changed: BTreeSet<Address>,
    /// What the bounds in the index were stated by.
    weights: Option<Weights>,
    index: Tripwires,
    /// Accounts whose health factor may be below [`NEAR`].
    near: BTreeSet<Address>,
    /// The last account that was audited.
    audited: Address,
}

impl AaveV3 {
    /// Returns a pool of which nothing is known yet.
    #[must_use]
    pub fn new(deployment: Deployment) -> Self {
        Self {
            deployment,
            accounts: Accounts::default(),
            answers: Answers::default(),
            before: Answers::default(),
            pool: Err("the pool was not read".to_owned()),
            followed: BTreeSet::new(),
            changed: BTreeSet::new(),
            weights: None,
            index: Tripwires::default(),
            near: BTreeSet::new(),
            audited: Address::ZERO,
        }
    }

    /// Returns what is to be read next in this block.
    fn wanted(&self) -> Vec<Read> {
        let mut wanted = self.answers.wanted(&self.before, &self.accounts.categories());
        wanted.extend(self.audited_accounts().map(|account| Read::Health { account }));
        wanted.retain(|read| !self.answers.0.contains_key(read));
        if let Ok(pool) = &self.pool {
            wanted.extend(self.accounts.wanted(pool));
        }
        wanted
    }

    fn audited_accounts(&self) -> impl Iterator<Item = Address> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let known = self.accounts.known();
        let after = known.range((Excluded(self.audited), Unbounded));
        let around = known.range((Unbounded, Included(self.audited)));
        after.chain(around).take(AUDITED_PER_BLOCK).map(|(account, _)| *account)
    }

    fn begin_block(&mut self) {
        if !self.answers.0.is_empty() {
            self.before = std::mem::take(&mut self.answers);
        }
        self.pool = Err("the pool was not read".to_owned());
    }

    /// Sets what is followed to the pool and its tokens. Accounts are read again if a reserve was added.
    fn follow(&mut self, tokens: BTreeSet<Address>) {
        if tokens.is_subset(&self.followed) {
            return;
        }
        if !self.followed.is_empty() {
            self.accounts.read_all();
        }
        self.followed.extend(tokens);
    }

    /// Brings the index to the block's balances, terms and prices.
    fn update_index(&mut self, pool: &Pool) {
        let weights = pool.weights();
        let changed = std::mem::take(&mut self.changed);
        let prices = pool.effective_prices();
        if self.weights.as_ref() == Some(&weights) {
            for address in changed {
                self.arm(address, pool);
            }
        } else {
            self.index = Tripwires::default();
            self.weights = Some(weights);
            self.index.tick(&prices);
            for address in self.accounts.known().keys().copied().collect::<Vec<_>>() {
                self.arm(address, pool);
            }
        }
        self.near = self.index.tick(&prices).into_iter().collect();
    }

    fn arm(&mut self, address: Address, pool: &Pool) {
        match self.accounts.known().get(&address) {
            None => self.index.remove(address),
            Some(account) => {
                let terms = |reserve| pool.terms(account.category, reserve).ok();
                let place = |reserve| pool.place(account.category, reserve);
                let bound = safety_bound(&account.balances, terms, place, pool.version, NEAR_BPS);
                self.index.set(address, bound);
            }
        }
    }

    /// Compares the sums of debts, and the health factors that the pool stated.
    fn differences(&mut self, pool: &Pool) -> Vec<TotalsDifference> {
        let mut differences = Vec::new();
        for (id, reserve) in &pool.reserves {
            let (sum, market) = (self.accounts.totals().debt(*id), reserve.asset.into_word());
            let on_chain = reserve.scaled_debt.filter(|on_chain| U256::from(*on_chain) != sum);
            let from_logs = sum.saturating_to();
            let difference = |on_chain| TotalsDifference { market, quantity: "the scaled debt", on_chain, from_logs };
            differences.extend(on_chain.map(difference));
        }
        if !self.accounts.unreadable().is_empty() {
            differences.clear();
        }
        let audited: Vec<_> = self.audited_accounts().collect();
        for address in &audited {
            let answer = self
                .answers
                .0
                .get(&Read::Health { account: *address })
                .map(decode::<IAavePool::getUserAccountDataCall>);
            let own = self.accounts.known().get(address).filter(|account| account.problem.is_none());
            let own = own.and_then(|account| positions::health_of(pool, account));
            if let (Some(Ok(stated)), Some(own)) = (answer, own)
                && stated.healthFactor != own
            {
                differences.push(TotalsDifference {
                    market: address.into_word(),
                    quantity: "the health factor",
                    on_chain: stated.healthFactor.saturating_to(),
                    from_logs: own.saturating_to(),
                });
            }
        }
        self.audited = audited.last().copied().unwrap_or_default();
        differences
    }

    /// Returns the accounts that cannot be valued, by what is the matter with them: each one for every reserve that it has and
    /// that cannot be valued.
    fn unpriced(&self, pool: &Pool) -> Vec<UnpricedMarket> {
        let mut by_reason: BTreeMap<(Address, String), usize> = BTreeMap::new();
        for (address, problem) in self.accounts.unreadable() {
            *by_reason.entry((*address, problem.clone())).or_default() += 1;
        }
        let (known, totals) = (self.accounts.known(), self.accounts.totals());
        let problems = totals.problems().iter().filter_map(|address| known.get_key_value(address));
        for (address, account) in problems {
            let problem = account.problem.clone().unwrap_or_default();
            *by_reason.entry((*address, problem)).or_default() += 1;
        }
        for ((category, reserve), holders) in totals.holders() {
            let Err(problem) = pool.terms(category, reserve) else { continue };
            let asset = pool.reserves.get(&reserve).map_or(Address::ZERO, |reserve| reserve.asset);
            *by_reason.entry((asset, problem.to_owned())).or_default() += holders;
        }
        let market = |((address, reason), positions): ((Address, String), usize)| UnpricedMarket {
            market: address.into_word(),
            reason,
            positions,
        };
        by_reason.into_iter().map(market).collect()
    }

    fn unread_pool(&self, reason: &str) -> UnpricedMarket {
        let positions = self.accounts.known().len();
        UnpricedMarket { market: self.deployment.address.into_word(), reason: reason.to_owned(), positions }
    }
}

impl Protocol for AaveV3 {
    fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// The logs of loans, until what is followed is known.
    fn log_filter(&self) -> LogFilter {
        if self.followed.is_empty() {
            return LogFilter { addresses: BTreeSet::from([self.deployment.address]), topics: vec![discovery_topic()] };
        }
        LogFilter { addresses: self.followed.clone(), topics: followed_topics() }
    }

    fn identity_calls(&self) -> Vec<Call> {
        [Read::Revision, Read::Provider, Read::Reserves].map(|read| read.call(self.deployment.address)).into()
    }

    fn check_identity(&mut self, answers: &[Answer]) -> Result<(), IdentityError> {
        let problem = match answers {
            [revision, provider, reserves] => {
                let read = [(Read::Revision, revision), (Read::Provider, provider), (Read::Reserves, reserves)];
                let provider = decode::<IAavePool::ADDRESSES_PROVIDERCall>(provider);
                let reserves = decode::<IAavePool::getReservesListCall>(reserves);
                let answers = Answers(read.map(|(read, answer)| (read, answer.clone())).into());
                match (answers.version(), provider, reserves) {
                    (Ok(_), Ok(_), Ok(_)) => return Ok(()),
                    (Err(problem), _, _) | (_, Err(problem), _) | (_, _, Err(problem)) => problem,
                }
            }
            _ => "it was not asked".to_owned(),
        };
        let Deployment { protocol, chain_id, address, .. } = self.deployment;
        Err(IdentityError { protocol: protocol.to_string(), address, chain_id, problem })
    }

    fn apply(&mut self, block: Block, logs: &[Log]) -> Result<(), ApplyError> {
        self.accounts.apply(block, logs)?;
        self.begin_block();
        Ok(())
    }

    fn undo_to(&mut self, block: u64) -> Result<(), UndoError> {
        self.accounts.undo_to(block)?;
        self.begin_block();
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::new(self.deployment.clone());
    }

    fn changed_rows(&self) -> Vec<Row> {
        let mut changed = self.accounts.changed_rows();
        changed.push(rows::followed_row(&self.followed));
        changed
    }

    fn restore(&mut self, block: Block, rows: &[Row]) -> Result<(), RestoreError> {
        (self.accounts, self.followed) = rows::restored(block, rows)?;
        Ok(())
    }

    fn tip(&self) -> Option<Block> {
        self.accounts.tip()
    }

    fn size(&self) -> Size {
        let markets = self.pool.as_ref().map_or(0, |pool| pool.reserves.len());
        Size { markets, positions: self.accounts.known().len() }
    }

    fn reads(&self) -> Vec<Vec<Call>> {
        self.wanted().into_iter().map(|read| vec![read.call(self.deployment.address)]).collect()
    }

    fn reads_ahead(&self) -> Vec<Vec<Call>> {
        let mut wanted = Answers::default().wanted(&self.answers, &self.accounts.categories());
        wanted.extend(self.audited_accounts().map(|account| Read::Health { account }));
        wanted.into_iter().map(|read| vec![read.call(self.deployment.address)]).collect()
    }

    fn observe(&mut self, answers: &[Vec<Answer>]) -> Observed {
        for (read, answer) in self.wanted().into_iter().zip(answers) {
            let Some(answer) = answer.first() else { continue };
            match read {
                Read::Flags { .. } | Read::AccountCategory { .. } | Read::Scaled { .. } | Read::StableDebt { .. } => {
                    self.accounts.take(read, decode::<scaledBalanceOfCall>(answer));
                }
                _ => {
                    self.answers.0.insert(read, answer.clone());
                }
            }
        }
        let categories = self.accounts.categories();
        let pending = self.answers.wanted(&self.before, &categories).len();
        if pending > 0 {
            return Observed { pending, ..Observed::default() };
        }
        let timestamp = self.accounts.tip().map_or(0, |tip| tip.timestamp);
        let pool = match self.answers.pool(timestamp, &categories) {
            Ok(pool) => pool,
            Err(reason) => {
                let unpriced = vec![self.unread_pool(&reason)];
                self.pool = Err(reason);
                return Observed { unpriced, ..Observed::default() };
            }
        };
        let tokens = pool.reserves.values().flat_map(|reserve| [reserve.a_token, reserve.debt_token]);
        self.follow(tokens.chain([self.deployment.address]).collect());
        self.changed.extend(self.accounts.complete(&pool));
        self.pool = Ok(pool.clone());
        let pending = self.accounts.unread() + self.wanted().len();
        if pending > 0 {
            return Observed { pending, ..Observed::default() };
        }
        self.changed.extend(self.accounts.unreadable().keys().copied());
        self.update_index(&pool);
        Observed { differences: self.differences(&pool), unpriced: self.unpriced(&pool), pending: 0 }
    }

    fn positions_below(&self, health: U256, limit: usize) -> Vec<PositionSummary> {
        let Ok(pool) = &self.pool else { return Vec::new() };
        let known = self.accounts.known();
        let all = || -> Box<dyn Iterator<Item = (&Address, &Account)> + '_> {
            if health > NEAR {
                return Box::new(known.iter());
            }
            Box::new(self.near.iter().filter_map(|address| known.get_key_value(address)))
        };
        let valued = all().filter(|(_, account)| account.problem.is_none());
        let mut found: Vec<_> = valued
            .filter_map(|(address, account)| Some((positions::health_of(pool, account)?, address, account)))
            .collect();
        found.retain(|(own, _, _)| *own < health);
        found.sort_unstable_by_key(|(own, address, _)| (*own, *address));
        found.truncate(limit);
        found
            .into_iter()
            .filter_map(|(own, address, account)| positions::summary(pool, *address, account, own))
            .collect()
    }

    fn liquidation_gas(&self) -> u64 {
        430_000
    }

    fn liquidatable(&self, least_bonus: LeastBonus<'_>) -> Vec<Lot> {
        let Ok(pool) = &self.pool else { return Vec::new() };
        let known =
            |address| self.accounts.known().get_key_value(address).filter(|(_, account)| account.problem.is_none());
        let lots = self.near.iter().filter_map(known).flat_map(|(address, account)| {
            let health = positions::health_of(pool, account).filter(|health| *health < HEALTHY);
            health.map_or_else(Vec::new, |health| {
                positions::lots(pool, (*address, account), health, self.deployment.address)
            })
        });
        lots.filter(|lot| least_bonus(lot.debt).is_some_and(|least| lot.whole.bonus >= least)).collect()
    }

    fn nearly_liquidatable(&self, health: U256, limit: usize, least_bonus: LeastBonus<'_>) -> Vec<Lot> {
        let Ok(pool) = &self.pool else { return Vec::new() };
        let known =
            |address| self.accounts.known().get_key_value(address).filter(|(_, account)| account.problem.is_none());
        let healthy = self.near.iter().filter_map(known).filter_map(|(address, account)| {
            let own = positions::health_of(pool, account).filter(|own| *own >= HEALTHY && *own < health.min(NEAR))?;
            Some((own, *address, account))
        });
        let mut nearest: Vec<_> = healthy.collect();
        nearest.sort_unstable_by_key(|(own, address, _)| (*own, *address));
        let lots = nearest.into_iter().filter_map(|(_, address, account)| {
            let mut lots = positions::lots(pool, (address, account), JUST_BELOW, self.deployment.address);
            lots.retain(|lot| least_bonus(lot.debt).is_some_and(|least| lot.whole.bonus >= least));
            (!lots.is_empty()).then_some(lots)
        });
        lots.take(limit).flatten().collect()
    }
}
