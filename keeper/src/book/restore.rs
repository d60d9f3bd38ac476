//! A book made of rows instead of events: what was true at a block becomes a book again, or is refused.

use alloy::primitives::{Address, B256, U256};
use plimsoll_contracts::{InvalidParams, MarketParams};

use super::{
    Block, Book, at,
    error::Quantity,
    market::{MarketBook, MarketState},
    rewards::{Account, Ledger, PoolBook},
    row::{PoolRow, Row, RowError},
    undo::History,
};

/// The rows are not a book's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the checkpoint is damaged or of another version: {0}; delete it, and the book is rebuilt from the chain")]
pub struct RestoreError(#[from] pub Damage);

/// What is wrong with a checkpoint's rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Bytes that say nothing.
    #[error(transparent)]
    Row(#[from] RowError),
    /// A market or a pool is missing.
    #[error("number {found} stands where number {expected} was expected")]
    OutOfOrder {
        /// The number of the one that is there.
        found: u32,
        /// What it should be.
        expected: usize,
    },
    /// No market can have such parameters.
    #[error(transparent)]
    Params(#[from] InvalidParams),
    /// Two markets or pools are one.
    #[error("{0} is there twice")]
    Twice(B256),
    /// An account's market or pool is not there.
    #[error("{account} is in number {number}, which is not there")]
    Unknown {
        /// The market's or the pool's number.
        number: u32,
        /// The account.
        account: Address,
    },
    /// An account is twice in one market or pool, or does not have what the pool's accounts have.
    #[error("{account} cannot be in {id} like this")]
    Account {
        /// The market or the pool.
        id: B256,
        /// The account.
        account: Address,
    },
    /// Accounts do not add up to a total.
    #[error("{quantity} are {stated} where there are {sum} in all: {id}")]
    Total {
        /// The market or the pool.
        id: B256,
        /// Which total.
        quantity: Quantity,
        /// What is stated.
        stated: u128,
        /// What its accounts, and a market's reserve, have together.
        sum: U256,
    },
    /// Something was updated after the block that it is said to be of.
    #[error("{id} was updated in second {last_update}, after the checkpoint's block of second {tip}")]
    Future {
        /// The market or the pool.
        id: B256,
        /// When it was updated.
        last_update: u64,
        /// The second of the block.
        tip: u64,
    },
}

impl Book {
    /// The book as it was after block `tip`, of all rows that blocks up to it gave, each in its latest form and in the
    /// order of their keys. It goes on from there, and cannot go back below it. Fails where rows are missing or do not
    /// add up.
    pub fn restore(tip: Block, rows: impl IntoIterator<Item = Result<Row, RowError>>) -> Result<Self, RestoreError> {
        Self::of_rows(tip, rows).map_err(RestoreError)
    }

    fn of_rows(tip: Block, rows: impl IntoIterator<Item = Result<Row, RowError>>) -> Result<Self, Damage> {
        let mut book = Self { history: History::beginning_at(tip.number), ..Self::default() };
        for row in rows {
            match row? {
                Row::Market { index, market } => book.restore_market(index, &market.0, market.1)?,
                Row::Position { market: number, account, position } => {
                    let market = book.markets.get_mut(at(number)).ok_or(Damage::Unknown { number, account })?;
                    let is_new = market.positions.restore(account, position);
                    is_new.then_some(()).ok_or(Damage::Account { id: market.id().0, account })?;
                }
                Row::Cover { key, amount } => {
                    book.cover.set(key, amount);
                }
                Row::Pool { index, pool } => book.restore_pool(index, *pool)?,
                Row::Staker { pool: number, account, staked, ledgers } => {
                    let pool = book.pools.get_mut(at(number)).ok_or(Damage::Unknown { number, account })?;
                    let done = restore_staker(pool, account, staked, &ledgers);
                    done.ok_or(Damage::Account { id: pool.id(), account })?;
                }
            }
        }
        for market in &mut book.markets {
            check_market(market, tip)?;
            market.positions.order();
        }
        book.pools.iter().try_for_each(|pool| check_pool(pool, tip))?;
        Ok(book)
    }

    fn restore_market(&mut self, index: u32, params: &MarketParams, state: MarketState) -> Result<(), Damage> {
        require_next(index, self.markets.len())?;
        let mut market = MarketBook::new(params, state.totals.last_update)?;
        market.state = state;
        if self.by_id.insert(market.id().0, index).is_some() {
            return Err(Damage::Twice(market.id().0));
        }
        self.markets.push(market);
        Ok(())
    }

    fn restore_pool(&mut self, index: u32, pool: PoolRow) -> Result<(), Damage> {
        require_next(index, self.pools.len())?;
        if self.pool_by_id.insert(pool.id, index).is_some() {
            return Err(Damage::Twice(pool.id));
        }
        self.pools.push(PoolBook::new(pool.id, pool.stake_token, pool.reward_tokens, pool.state));
        Ok(())
    }
}

fn require_next(found: u32, expected: usize) -> Result<(), Damage> {
    if at(found) == expected { Ok(()) } else { Err(Damage::OutOfOrder { found, expected }) }
}

/// `None` where the account is there, has other streams than the pool, or finds no room.
fn restore_staker(pool: &mut PoolBook, account: Address, staked: u128, ledgers: &[Ledger]) -> Option<()> {
    let PoolBook { state, stakers, .. } = pool;
    if stakers.slot(account).is_some() || ledgers.len() != state.streams.len() {
        return None;
    }
    let slot = stakers.push(account)?;
    stakers.set_staked(slot, staked);
    for (index, (ledger, stream)) in ledgers.iter().zip(&state.streams).enumerate() {
        stakers.set(index, slot, Account::new(*ledger, staked, stream.accumulator));
    }
    Some(())
}

/// A1, and that time has not run backwards.
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

fn check_pool(pool: &PoolBook, tip: Block) -> Result<(), Damage> {
    for stream in &pool.state().streams {
        require_past(pool.id(), stream.last_update, tip)?;
    }
    let sum = pool.stakes().fold(U256::ZERO, |sum, (_, staked)| sum + U256::from(staked));
    require_sum(pool.id(), Quantity::TotalStaked, pool.state().total_staked, sum)
}

fn require_past(id: B256, last_update: u64, tip: Block) -> Result<(), Damage> {
    if last_update <= tip.timestamp { Ok(()) } else { Err(Damage::Future { id, last_update, tip: tip.timestamp }) }
}

fn require_sum(id: B256, quantity: Quantity, stated: u128, sum: U256) -> Result<(), Damage> {
    if U256::from(stated) == sum { Ok(()) } else { Err(Damage::Total { id, quantity, stated, sum }) }
}
