//! A book made of rows instead of events: what was true at a block becomes a book again, or is refused.

use alloy::primitives::{Address, U256};
use plimsoll_contracts::{InvalidParams, MarketId, MarketParams};

use super::{
    Block, Book, at,
    error::Quantity,
    market::{MarketBook, MarketState},
    row::{Row, RowError},
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
    /// A market is missing.
    #[error("market number {found} stands where number {expected} was expected")]
    OutOfOrder {
        /// The number of the one that is there.
        found: u32,
        /// What it should be.
        expected: usize,
    },
    /// No market can have such parameters.
    #[error(transparent)]
    Params(#[from] InvalidParams),
    /// Two markets are one.
    #[error("the market {0} is there twice")]
    MarketTwice(MarketId),
    /// A position's market is not there.
    #[error("there is no market number {0}")]
    UnknownMarket(u32),
    /// An account has two positions in one market.
    #[error("{account} has two positions in market number {market}")]
    PositionTwice {
        /// The market's number.
        market: u32,
        /// The account.
        account: Address,
    },
    /// Accounts and reserve do not add up to a total.
    #[error("{quantity} of {market} are {stated} where its accounts and reserve have {sum}")]
    Total {
        /// The market.
        market: MarketId,
        /// Which total.
        quantity: Quantity,
        /// What is stated.
        stated: u128,
        /// What there is.
        sum: U256,
    },
    /// Something was updated after the block that it is said to be of.
    #[error("{market} was updated in second {last_update}, after the checkpoint's block of second {tip}")]
    Future {
        /// The market.
        market: MarketId,
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
                    let market = book.markets.get_mut(at(number)).ok_or(Damage::UnknownMarket(number))?;
                    let is_new = market.positions.restore(account, position);
                    is_new.then_some(()).ok_or(Damage::PositionTwice { market: number, account })?;
                }
                Row::Cover { key, amount } => {
                    book.cover.set(key, amount);
                }
            }
        }
        for market in &mut book.markets {
            check(market, tip)?;
            market.positions.order();
        }
        Ok(book)
    }

    fn restore_market(&mut self, index: u32, params: &MarketParams, state: MarketState) -> Result<(), Damage> {
        let expected = self.markets.len();
        if at(index) != expected {
            return Err(Damage::OutOfOrder { found: index, expected });
        }
        let mut market = MarketBook::new(params, state.totals.last_update)?;
        market.state = state;
        if self.by_id.insert(market.id().0, index).is_some() {
            return Err(Damage::MarketTwice(market.id()));
        }
        self.markets.push(market);
        Ok(())
    }
}

/// A1, and that time has not run backwards.
fn check(market: &MarketBook, tip: Block) -> Result<(), Damage> {
    let totals = market.state().totals;
    if totals.last_update > tip.timestamp {
        return Err(Damage::Future { market: market.id(), last_update: totals.last_update, tip: tip.timestamp });
    }
    let (mut supplied, mut borrowed) = (U256::from(totals.reserve_shares), U256::ZERO);
    for (_, position) in market.positions() {
        supplied += U256::from(position.supply_shares);
        borrowed += U256::from(position.borrow_shares);
    }
    for (quantity, stated, sum) in [
        (Quantity::TotalSupplyShares, totals.supply_shares, supplied),
        (Quantity::TotalBorrowShares, totals.borrow_shares, borrowed),
    ] {
        if U256::from(stated) != sum {
            return Err(Damage::Total { market: market.id(), quantity, stated, sum });
        }
    }
    Ok(())
}
