//! The book: every market, position, pool, stake and consent, rebuilt from the contracts' events alone and equal to
//! their storage.
//!
//! [`Book::apply`] takes a block's events and either applies all of them or none; [`Book::undo_to`] takes the last
//! blocks back when the chain reorganises; [`Book::restore`] makes the same book of the rows that applying gave. In each market [`MarketBook::liquidatable`] finds the loans under water at a
//! price in time that does not depend on how many loans there are; in each stream of rewards
//! [`StreamBook::harvestable`] finds the accounts that can be harvested.
//!
//! Who may act for whom, signatures' nonces and who owns the contract are not in the book: no decision rests on them.

mod accounts;
mod apply;
mod cover;
mod error;
mod market;
mod positions;
mod ratio;
mod restore;
mod rewards;
mod row;
mod undo;
mod waterline;

#[cfg(test)]
mod tests;

use alloy::primitives::{B256, U256, map::B256Map};
use plimsoll_contracts::MarketId;

use self::{
    apply::Application,
    cover::Cover,
    undo::{Change, Place},
};
pub use self::{
    cover::CoverKey,
    error::{ApplyError, Figure, Problem, Quantity, UndoError},
    market::{Candidate, MarketBook, MarketState},
    positions::Position,
    restore::{Damage, RestoreError},
    rewards::{HarvestCandidate, HarvestConsent, Ledger, PoolBook, PoolState, Ripening, StreamBook},
    row::{PoolRow, Row, RowError},
    undo::UNDO_BLOCKS,
};
use crate::chain::Event;

/// When a block was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its height.
    pub number: u64,
    /// Its second.
    pub timestamp: u64,
}

/// All markets and pools as of the last applied block.
#[derive(Debug, Default)]
pub struct Book {
    markets: Vec<MarketBook>,
    by_id: B256Map<u32>,
    cover: Cover,
    pools: Vec<PoolBook>,
    pool_by_id: B256Map<u32>,
    history: undo::History,
    /// How often a block was applied, whether or not it was taken back.
    applications: u64,
}

impl Book {
    /// A book of contracts without events.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies the events of a block, in their order. Blocks without events may be left out. Fails where an event does
    /// not add up with those before it; the book is then as if the block had not been tried.
    ///
    /// Answers every row that the block may have changed, once, as it is now: whoever keeps the latest of each can
    /// [`restore`](Self::restore) the book.
    pub fn apply<'e>(
        &mut self,
        block: Block,
        events: impl IntoIterator<Item = &'e Event>,
    ) -> Result<Vec<Row>, ApplyError> {
        if let Some(tip) = self.tip().filter(|tip| *tip >= block.number) {
            return Err(ApplyError::NotNext { block: block.number, tip });
        }
        self.applications += 1;
        let mut application = Application::new(self, block);
        for (position, event) in events.into_iter().enumerate() {
            if let Err(problem) = application.event(event) {
                let changes = application.into_changes();
                self.take_back(changes.into_iter().rev());
                let event = Box::new(event.clone());
                return Err(ApplyError::DoesNotAddUp { block: block.number, position, event, problem });
            }
        }
        let changes = application.into_changes();
        let rows = self.changed(&changes);
        self.history.push(block.number, changes);
        Ok(rows)
    }

    /// Takes back every block after `block`. Fails where that is further than [`UNDO_BLOCKS`] below the highest block
    /// that was ever applied; the book is then as it was.
    pub fn undo_to(&mut self, block: u64) -> Result<(), UndoError> {
        let changes = self.history.pop_after(block)?;
        self.take_back(changes.into_iter());
        Ok(())
    }

    /// The last applied block, or the one that was gone back to.
    #[must_use]
    pub const fn tip(&self) -> Option<u64> {
        self.history.tip()
    }

    /// A market; `None` where its creation was not seen.
    #[must_use]
    pub fn market(&self, id: MarketId) -> Option<&MarketBook> {
        self.by_id.get(&id.0).map(|index| &self.markets[at(*index)])
    }

    /// All markets in the order of their creation.
    pub fn markets(&self) -> impl Iterator<Item = &MarketBook> {
        self.markets.iter()
    }

    /// An amount of a backstop's.
    #[must_use]
    pub fn cover(&self, key: CoverKey) -> U256 {
        self.cover.get(key)
    }

    /// All amounts of backstops' that are not 0.
    pub fn covers(&self) -> impl Iterator<Item = (CoverKey, U256)> {
        self.cover.iter()
    }

    /// A pool; `None` where its creation was not seen.
    #[must_use]
    pub fn pool(&self, id: B256) -> Option<&PoolBook> {
        self.pool_by_id.get(&id).map(|index| &self.pools[at(*index)])
    }

    /// All pools in the order of their creation.
    pub fn pools(&self) -> impl Iterator<Item = &PoolBook> {
        self.pools.iter()
    }

    /// Every stream of rewards of every pool.
    pub fn rewards(&self) -> impl Iterator<Item = StreamBook<'_>> {
        self.pools.iter().flat_map(PoolBook::streams)
    }

    /// Every row there is, in no order: what blocks gave, each in its latest form.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        let markets = (0..).zip(&self.markets).flat_map(|(market, entry)| {
            let positions = entry.positions.slots().map(move |slot| Place::Position { market, slot });
            std::iter::once(Place::Market(market)).chain(positions)
        });
        let pools = (0..).zip(&self.pools).flat_map(|(pool, entry)| {
            let stakers = entry.stakers.slots().map(move |slot| Place::Staker { pool, slot });
            std::iter::once(Place::Pool(pool)).chain(stakers)
        });
        let cover = self.cover.iter().map(|(key, amount)| Row::Cover { key, amount });
        markets.chain(pools).map(|place| self.row(place)).chain(cover)
    }

    /// What was changed, as it is now.
    fn changed(&self, changes: &[Change]) -> Vec<Row> {
        let mut places: Vec<_> = changes.iter().map(Change::place).collect();
        places.sort_unstable();
        places.dedup();
        places.into_iter().map(|place| self.row(place)).collect()
    }

    fn row(&self, changed: Place<'_>) -> Row {
        match changed {
            Place::Market(index) => {
                let market = &self.markets[at(index)];
                Row::Market { index, market: Box::new((market.params().clone(), *market.state())) }
            }
            Place::Position { market, slot } => {
                let positions = &self.markets[at(market)].positions;
                Row::Position { market, account: positions.account(slot), position: positions.get(slot) }
            }
            Place::Cover(key) => Row::Cover { key: *key, amount: self.cover.get(*key) },
            Place::Pool(index) => {
                let pool = &self.pools[at(index)];
                let (id, stake_token, reward_tokens) = (pool.id(), pool.stake_token(), pool.reward_tokens().to_vec());
                let state = pool.state().clone();
                Row::Pool { index, pool: Box::new(PoolRow { id, stake_token, reward_tokens, state }) }
            }
            Place::Staker { pool, slot } => {
                let stakers = &self.pools[at(pool)].stakers;
                let ledgers = stakers.ledgers(slot).collect();
                Row::Staker { pool, account: stakers.account(slot), staked: stakers.staked(slot), ledgers }
            }
        }
    }

    fn take_back(&mut self, changes: impl Iterator<Item = Change>) {
        for change in changes {
            match change {
                Change::MarketCreated { .. } => {
                    if let Some(market) = self.markets.pop() {
                        self.by_id.remove(&market.id().0);
                    }
                }
                Change::Market { market, before } => self.markets[at(market)].state = *before,
                Change::PositionCreated { market, .. } => self.markets[at(market)].positions.pop(),
                Change::Position { market, slot, before } => self.markets[at(market)].positions.set(slot, before),
                Change::Cover(cover) => {
                    self.cover.set(cover.0, cover.1);
                }
                Change::PoolCreated { .. } => {
                    if let Some(pool) = self.pools.pop() {
                        self.pool_by_id.remove(&pool.id());
                    }
                }
                Change::Pool { pool, before } => self.pools[at(pool)].state = *before,
                Change::StakerCreated { pool, .. } => self.pools[at(pool)].stakers.pop(),
                Change::Stake { pool, slot, before } => {
                    self.pools[at(pool)].stakers.set_staked(slot, before);
                }
                Change::Ledger { pool, stream, slot, before } => {
                    self.pools[at(pool)].stakers.set(stream, slot, *before);
                }
            }
        }
    }
}

/// Where something stands in its row.
fn at(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}
