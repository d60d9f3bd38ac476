//! Restoring a book from its rows instead of from events. Rows that cannot be those of one block are rejected; rows of
//! markets and pools that are not followed any more are left out.

use std::mem;

use alloy::primitives::{Address, B256, U256};
use plimsoll_contracts::{InvalidParams, MarketParams};

use super::{
    Block, Book,
    coverage::Coverage,
    error::Quantity,
    market::{CoverKey, MarketBook, MarketState},
    rewards::{IndexedLedger, PoolBook, RewardLedger},
    row::{PoolRow, Row, RowError},
    undo_log::UndoLog,
    vaults::VaultBook,
};
use crate::chain::Followed;

/// The rows are not those of a book at one block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the checkpoint is damaged or of another version: {0}; delete it, and the book is rebuilt from the chain")]
pub struct RestoreError(#[from] pub Damage);

/// The damage to a checkpoint's rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Bytes that cannot be decoded.
    #[error(transparent)]
    Row(#[from] RowError),
    /// A market or a pool has a number that is not above the one before it.
    #[error("number {found} stands where number {least} or a later one was expected")]
    OutOfOrder {
        /// The number that was found.
        found: u32,
        /// The lowest number that could follow.
        least: u32,
    },
    /// The rows are of some markets and pools, and all are followed now.
    #[error("it contains some markets and staking programmes, and all are followed now")]
    Narrower,
    /// The row with what is followed does not come before all others.
    #[error("the row with what is followed is not the first")]
    MisplacedCoverage,
    /// No market can have such parameters.
    #[error(transparent)]
    Params(#[from] InvalidParams),
    /// Two markets or pools have the same id.
    #[error("{0} is there twice")]
    Duplicate(B256),
    /// The market or pool of an account is missing.
    #[error("{account} is in number {number}, which is not there")]
    MissingParent {
        /// Number of the market or pool.
        number: u32,
        /// Account that is in it.
        account: Address,
    },
    /// An account is twice in one market or pool, or has a number of ledgers that is not the pool's number of streams.
    #[error("{account} cannot be in {id} like this")]
    InvalidAccount {
        /// Id of the market or pool.
        id: B256,
        /// Account that is there twice, or whose ledgers do not fit.
        account: Address,
    },
    /// The accounts' amounts do not add up to a total.
    #[error("{quantity} are {stated} where there are {sum} in all: {id}")]
    TotalMismatch {
        /// Id of the market or pool.
        id: B256,
        /// Total that is compared.
        quantity: Quantity,
        /// Value of the total in its row.
        stated: u128,
        /// Sum over the accounts, and a market's reserve.
        sum: U256,
    },
    /// A market or pool was updated after the checkpoint's block.
    #[error("{id} was updated in second {last_update}, after the checkpoint's block of second {tip}")]
    UpdatedInFuture {
        /// Id of the market or pool.
        id: B256,
        /// Timestamp of the update.
        last_update: u64,
        /// Timestamp of the block.
        tip: u64,
    },
}

impl Book {
    /// Restores the book as of block `tip` from the latest version of every row, in the order of their keys, with those
    /// of its markets and pools that are followed now. Those that were not followed when the rows were written are
    /// [missing](Coverage::missing). Further blocks can be applied to it; it cannot be reverted below `tip`. Fails if rows
    /// are missing or do not add up, or if all markets are followed now and were not before.
    pub fn restore(
        tip: Block,
        followed: &Followed,
        rows: impl IntoIterator<Item = Result<Row, RowError>>,
    ) -> Result<Self, RestoreError> {
        Self::from_rows(tip, followed, rows).map_err(RestoreError)
    }

    fn from_rows(
        tip: Block,
        followed: &Followed,
        rows: impl IntoIterator<Item = Result<Row, RowError>>,
    ) -> Result<Self, Damage> {
        let mut book = Self { undo_log: UndoLog::beginning_at(tip.number), ..Self::default() };
        let mut rows = rows.into_iter().peekable();
        if let Some(Ok(Row::Coverage(coverage))) = rows.next_if(|row| matches!(row, Ok(Row::Coverage(_)))) {
            book.coverage = coverage;
        }
        book.coverage = mem::take(&mut book.coverage).narrowed(followed).ok_or(Damage::Narrower)?;
        for row in rows {
            match row? {
                Row::Coverage(_) => return Err(Damage::MisplacedCoverage),
                Row::Market { number, market } => book.restore_market(number, &market.0, market.1)?,
                Row::Position { market: number, .. } if book.coverage.dropped_markets.contains(&number) => {}
                Row::Position { market: number, account, position } => {
                    let missing = Damage::MissingParent { number, account };
                    let market = book.markets.binary_search_by_key(&number, |market| market.number);
                    let market = market.ok().and_then(|index| book.markets.get_mut(index)).ok_or(missing)?;
                    let is_new = market.positions.restore(account, position);
                    is_new.then_some(()).ok_or(Damage::InvalidAccount { id: market.id().0, account })?;
                }
                Row::Cover { key, amount } if book.covers_followed(&key) => {
                    book.cover.set(key, amount);
                }
                Row::Cover { .. } => {}
                Row::Pool { number, pool } => book.restore_pool(number, *pool)?,
                Row::Staker { pool: number, .. } if book.coverage.dropped_pools.contains(&number) => {}
                Row::Staker { pool: number, account, staked, ledgers } => {
                    let missing = Damage::MissingParent { number, account };
                    let pool = book.pools.binary_search_by_key(&number, |pool| pool.number);
                    let pool = pool.ok().and_then(|index| book.pools.get_mut(index)).ok_or(missing)?;
                    let done = restore_staker(pool, account, staked, &ledgers);
                    done.ok_or(Damage::InvalidAccount { id: pool.id(), account })?;
                }
                Row::Order { market: number, .. } if book.coverage.dropped_markets.contains(&number) => {}
                Row::Order { market: number, account, kind, order } => {
                    let market = book.markets.binary_search_by_key(&number, |market| market.number);
                    let market = market.ok().and_then(|index| book.markets.get_mut(index));
                    let market = market.ok_or(Damage::MissingParent { number, account })?;
                    let before = market.set_order(account, kind, order.map(|order| *order));
                    before.map_or(Ok(()), |_| Err(Damage::InvalidAccount { id: market.id().0, account }))?;
                }
                Row::Vault { address, state } if book.coverage.contains(&address.into_word()) => {
                    require_past(address.into_word(), state.last_update, tip)?;
                    let mut vault = VaultBook::new(address, state.last_update);
                    vault.state = *state;
                    book.vaults.push(vault);
                }
                Row::Vault { .. } => {}
                Row::Governance(state) => book.governance = *state,
                Row::Job { id, job } => {
                    book.jobs.set_job(id, job.map(|job| *job));
                }
                Row::Node { id, node } => {
                    book.jobs.set_node(id, node);
                }
            }
        }
        for market in &mut book.markets {
            check_market(market, tip)?;
            market.positions.build_waterline();
        }
        book.pools.iter().try_for_each(|pool| check_pool(pool, tip))?;
        Ok(book)
    }

    /// Whether an amount of cover is of a backstop, and for a market, that the book contains.
    fn covers_followed(&self, key: &CoverKey) -> bool {
        let contains = |backstop: &Address| self.coverage.contains(&backstop.into_word());
        match key {
            CoverKey::Amount(backstop, _) | CoverKey::Floor(backstop, _) => contains(backstop),
            CoverKey::Limit(backstop, market) => contains(backstop) && self.coverage.contains(&market.0),
        }
    }

    fn restore_market(&mut self, number: u32, params: &MarketParams, state: MarketState) -> Result<(), Damage> {
        let last = self.markets.last().map(|market| market.number);
        let Coverage { next_market, dropped_markets, .. } = &mut self.coverage;
        require_next(number, last, next_market)?;
        if dropped_markets.contains(&number) {
            return Ok(());
        }
        let mut market = MarketBook::new(number, params, state.totals.last_update)?;
        market.state = state;
        let id = market.id().0;
        if !self.coverage.contains(&id) {
            self.coverage.dropped_markets.insert(number);
            return Ok(());
        }
        let index = u32::try_from(self.markets.len()).unwrap_or(u32::MAX);
        if self.market_by_id.insert(id, index).is_some() {
            return Err(Damage::Duplicate(id));
        }
        self.markets.push(market);
        Ok(())
    }

    fn restore_pool(&mut self, number: u32, pool: PoolRow) -> Result<(), Damage> {
        let last = self.pools.last().map(|pool| pool.number);
        let Coverage { next_pool, dropped_pools, .. } = &mut self.coverage;
        require_next(number, last, next_pool)?;
        if dropped_pools.contains(&number) {
            return Ok(());
        }
        if !self.coverage.contains(&pool.id) {
            self.coverage.dropped_pools.insert(number);
            return Ok(());
        }
        let index = u32::try_from(self.pools.len()).unwrap_or(u32::MAX);
        if self.pool_by_id.insert(pool.id, index).is_some() {
            return Err(Damage::Duplicate(pool.id));
        }
        self.pools.push(PoolBook::new(number, pool.id, pool.stake_token, pool.reward_tokens, pool.state));
        Ok(())
    }
}

/// Checks that a number is above the last one, and sets the number that comes next.
fn require_next(found: u32, last: Option<u32>, next: &mut u32) -> Result<(), Damage> {
    let least = last.map_or(0, |last| last.saturating_add(1));
    if found < least || found == u32::MAX {
        return Err(Damage::OutOfOrder { found, least });
    }
    *next = (*next).max(found + 1);
    Ok(())
}

/// Adds a staker to a pool. Returns `None` if the account is there already, has not as many ledgers as the pool has
/// streams, or finds no free row.
fn restore_staker(pool: &mut PoolBook, account: Address, staked: u128, ledgers: &[RewardLedger]) -> Option<()> {
    let PoolBook { state, stakers, .. } = pool;
    if stakers.slot(account).is_some() || ledgers.len() != state.streams.len() {
        return None;
    }
    let slot = stakers.push(account)?;
    stakers.set_staked(slot, staked);
    for (index, (ledger, stream)) in ledgers.iter().zip(&state.streams).enumerate() {
        stakers.set(index, slot, IndexedLedger::new(*ledger, staked, stream.accumulator));
    }
    Some(())
}

/// Checks that a market's positions add up to its totals (property A1), and that it was not updated after the
/// checkpoint.
fn check_market(market: &MarketBook, tip: Block) -> Result<(), Damage> {
    let (id, totals) = (market.id().0, market.state().totals);
    require_past(id, totals.last_update, tip)?;
    let (mut supplied, mut borrowed) = (U256::from(totals.reserve_shares), U256::ZERO);
    for (_, position) in market.positions() {
        supplied += U256::from(position.supply_shares);
        borrowed += U256::from(position.borrow_shares);
    }
    require_sum(id, Quantity::TotalSupplyShares, totals.supply_shares, supplied)?;
    require_sum(id, Quantity::TotalBorrowShares, totals.borrow_shares, borrowed)
}

/// Checks that a pool's stakes add up to their total, and that no stream was updated after the checkpoint.
fn check_pool(pool: &PoolBook, tip: Block) -> Result<(), Damage> {
    for stream in &pool.state().streams {
        require_past(pool.id(), stream.last_update, tip)?;
    }
    let sum = pool.stakes().fold(U256::ZERO, |sum, (_, staked)| sum + U256::from(staked));
    require_sum(pool.id(), Quantity::TotalStaked, pool.state().total_staked, sum)
}

fn require_past(id: B256, last_update: u64, tip: Block) -> Result<(), Damage> {
    if last_update <= tip.timestamp {
        Ok(())
    } else {
        Err(Damage::UpdatedInFuture { id, last_update, tip: tip.timestamp })
    }
}

fn require_sum(id: B256, quantity: Quantity, stated: u128, sum: U256) -> Result<(), Damage> {
    if U256::from(stated) == sum { Ok(()) } else { Err(Damage::TotalMismatch { id, quantity, stated, sum }) }
}
