//! The book: every market, position, pool, stake, harvest consent, order and vault, and what governance waits for, built from the contracts' events alone and
//! equal to their storage.
//!
//! - [`Book::apply`] applies the events of a block, either all of them or none.
//! - [`Book::revert_to`] reverts the last blocks after a reorg, up to [`MAX_REORG_DEPTH`].
//! - [`Book::restore`] makes the same book of the rows that applying returned.
//! - [`MarketBook::liquidatable`] finds the loans of a market whose health factor is below 1 at a price, in time that
//!   does not depend on the number of loans.
//! - [`Book::quarantine`] leaves out a market whose events do not add up, while the others go on.
//! - [`MarketBook::triggered_orders`] finds the orders at the guard whose triggers a price meets, in the same way.
//! - [`StreamBook::harvestable`] finds the accounts whose rewards can be harvested.
//!
//! Authorisations, nonces of signatures and the contract's owner are not in the book: no decision depends on them.

mod accounts;
mod apply;
mod coverage;
mod error;
mod governance;
mod jobs;
mod market;
mod orders;
mod positions;
mod restore;
mod rewards;
mod row;
mod undo_log;
mod vaults;
mod waterline;

#[cfg(test)]
mod tests;

use alloy::primitives::{Address, B256, U256, map::B256Map};
use plimsoll_contracts::MarketId;

use self::{
    apply::Application,
    market::Cover,
    undo_log::{Change, RowLocation, UndoLog},
};
pub use self::{
    coverage::Coverage,
    error::{ApplyError, EventError, Figure, Quantity, RevertError},
    governance::{End, Ended, GovernanceState, Operation, Opposition, Proposal, ScheduledCall},
    jobs::{DRAW_BLOCKS, JobStage, JobState, JobsBook, NodeState},
    market::{CoverKey, LiquidationCandidate, MarketBook, MarketState},
    orders::{PlacedOrder, TriggeredOrder},
    positions::Position,
    restore::{Damage, RestoreError},
    rewards::{HarvestCandidate, HarvestConsent, PendingHarvest, PoolBook, PoolState, RewardLedger, StreamBook},
    row::{PoolRow, Row, RowError},
    undo_log::MAX_REORG_DEPTH,
    vaults::{Cap, Holding, VaultBook, VaultState, collateral_cap_id, oracle_cap_id},
};
use crate::chain::{Event, Followed};

/// The identity of a block, as far as the book needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Number of the block.
    pub number: u64,
    /// Block timestamp, in seconds.
    pub timestamp: u64,
}

/// The state of all markets and pools as of the last applied block.
#[derive(Debug, Default)]
pub struct Book {
    markets: Vec<MarketBook>,
    market_by_id: B256Map<u32>,
    cover: Cover,
    pools: Vec<PoolBook>,
    pool_by_id: B256Map<u32>,
    /// A few, in the order of their creation.
    vaults: Vec<VaultBook>,
    governance: GovernanceState,
    jobs: JobsBook,
    coverage: Coverage,
    undo_log: UndoLog,
    /// Number of calls of `apply`, whether or not the block was rejected or reverted.
    applications: u64,
}

impl Book {
    /// Creates the book of contracts without events, of which it will contain every market and staking programme.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates the book of contracts without events, for the markets and staking programmes that are followed.
    #[must_use]
    pub fn following(followed: Followed) -> Self {
        Self { coverage: Coverage::of(followed), ..Self::default() }
    }

    /// Which markets and staking programmes the book contains.
    #[must_use]
    pub const fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Applies the events of a block, in their order. Blocks without events may be left out. Fails if the block is not
    /// above the last one, or if an event is inconsistent with those before it; the book is then unchanged.
    ///
    /// Returns every row that the block may have changed, once, as it is after the block. The latest version of every
    /// row [restores](Self::restore) the book.
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
        application.expire_orders();
        application.expire_governance();
        for (position, event) in events.into_iter().enumerate() {
            if application.is_left_out(event) {
                continue;
            }
            if let Err(problem) = application.apply_event(event) {
                let changes = application.into_changes();
                self.revert_changes(changes.into_iter().rev());
                let event = Box::new(event.clone());
                return Err(ApplyError::InconsistentEvent { block: block.number, position, event, problem });
            }
        }
        let changes = application.into_changes();
        let rows = self.changed_rows(&changes);
        self.undo_log.push(block.number, changes);
        Ok(rows)
    }

    /// Leaves a market, pool, backstop or vault out of the book from now on, because its events do not add up. Those of the others
    /// are applied as before. It is in the book again when that is rebuilt from the first block.
    pub fn quarantine(&mut self, id: B256) {
        self.coverage.missing.insert(id);
    }

    /// Reverts every block after `block`. Fails if `block` is more than [`MAX_REORG_DEPTH`] below the highest block
    /// that was ever applied, or below the block that the book was restored at; the book is then unchanged.
    pub fn revert_to(&mut self, block: u64) -> Result<(), RevertError> {
        let changes = self.undo_log.pop_after(block)?;
        self.revert_changes(changes.into_iter());
        Ok(())
    }

    /// Returns the number of the last applied block, or of the one that was reverted to; `None` if there is none.
    #[must_use]
    pub const fn tip(&self) -> Option<u64> {
        self.undo_log.tip()
    }

    /// Returns a market; `None` if no event created it, or if it is quarantined.
    #[must_use]
    pub fn market(&self, id: MarketId) -> Option<&MarketBook> {
        let index = self.market_by_id.get(&id.0).filter(|_| !self.coverage.missing.contains(&id.0));
        index.map(|index| &self.markets[at(*index)])
    }

    /// Iterates over all markets in the order of their creation, without those that are quarantined.
    pub fn markets(&self) -> impl Iterator<Item = &MarketBook> {
        self.markets.iter().filter(|market| !self.coverage.missing.contains(&market.id().0))
    }

    /// Returns one of the amounts that a followed backstop keeps or sets in the core; 0 if there is none.
    #[must_use]
    pub fn cover(&self, key: CoverKey) -> U256 {
        self.cover.get(key)
    }

    /// Iterates over all amounts of backstops that are not 0.
    pub fn covers(&self) -> impl Iterator<Item = (CoverKey, U256)> {
        self.cover.iter()
    }

    /// Returns a staking pool; `None` if no event created it, or if it is quarantined.
    #[must_use]
    pub fn pool(&self, id: B256) -> Option<&PoolBook> {
        let index = self.pool_by_id.get(&id).filter(|_| !self.coverage.missing.contains(&id));
        index.map(|index| &self.pools[at(*index)])
    }

    /// Iterates over all pools in the order of their creation, without those that are quarantined.
    pub fn pools(&self) -> impl Iterator<Item = &PoolBook> {
        self.pools.iter().filter(|pool| !self.coverage.missing.contains(&pool.id()))
    }

    /// Returns the vault at an address; `None` if no event created it, or if it is quarantined.
    #[must_use]
    pub fn vault(&self, address: Address) -> Option<&VaultBook> {
        self.vaults().find(|vault| vault.address() == address)
    }

    /// Iterates over all vaults in the order of their creation, without those that are quarantined.
    pub fn vaults(&self) -> impl Iterator<Item = &VaultBook> {
        self.vaults.iter().filter(|vault| !self.coverage.missing.contains(&vault.address().into_word()))
    }

    /// Returns what waits in the manager and in governors.
    #[must_use]
    pub const fn governance(&self) -> &GovernanceState {
        &self.governance
    }

    /// Returns the jobs of nodes that have not ended, and the nodes.
    #[must_use]
    pub const fn jobs(&self) -> &JobsBook {
        &self.jobs
    }

    /// Iterates over every reward stream of every pool.
    pub fn rewards(&self) -> impl Iterator<Item = StreamBook<'_>> {
        self.pools().flat_map(PoolBook::streams)
    }

    /// Iterates over the latest version of every row, in no particular order.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        let markets = (0..).zip(&self.markets).flat_map(|(market, entry)| {
            let positions = entry.positions.slots().map(move |slot| RowLocation::Position { market, slot });
            let orders =
                entry.orders.iter().map(move |(account, kind, _)| RowLocation::Order { market, account, kind });
            std::iter::once(RowLocation::Market(market)).chain(positions).chain(orders)
        });
        let pools = (0..).zip(&self.pools).flat_map(|(pool, entry)| {
            let stakers = entry.stakers.slots().map(move |slot| RowLocation::Staker { pool, slot });
            std::iter::once(RowLocation::Pool(pool)).chain(stakers)
        });
        let vaults = (0..).zip(&self.vaults).map(|(vault, _)| RowLocation::Vault(vault));
        let cover = self.cover.iter().map(|(key, amount)| Row::Cover { key, amount });
        let coverage = std::iter::once(Row::Coverage(self.coverage.clone()));
        let jobs = self.jobs.jobs().map(|(id, job)| Row::Job { id, job: Some(Box::new(*job)) });
        let nodes = self.jobs.nodes().map(|(id, node)| Row::Node { id, node: Some(*node) });
        let jobs = jobs.chain(nodes);
        let governance = self.governance.is_seen.then_some(RowLocation::Governance);
        coverage
            .chain(markets.chain(pools).chain(vaults).chain(governance).map(|location| self.row(location)))
            .chain(cover)
            .chain(jobs)
    }

    /// Returns the number of a vault, also of one that is quarantined.
    fn vault_index(&self, address: Address) -> Option<u32> {
        (0..).zip(&self.vaults).find(|(_, vault)| vault.address() == address).map(|(index, _)| index)
    }

    /// Returns the rows that the changes are in, each once, as they are now.
    fn changed_rows(&self, changes: &[Change]) -> Vec<Row> {
        let mut locations: Vec<_> = changes.iter().map(Change::location).collect();
        locations.sort_unstable();
        locations.dedup();
        locations.into_iter().map(|location| self.row(location)).collect()
    }

    /// Returns a row as it is now.
    fn row(&self, location: RowLocation<'_>) -> Row {
        match location {
            RowLocation::Market(index) => {
                let market = &self.markets[at(index)];
                Row::Market { number: market.number, market: Box::new((market.params().clone(), *market.state())) }
            }
            RowLocation::Position { market, slot } => {
                let MarketBook { number, positions, .. } = &self.markets[at(market)];
                Row::Position { market: *number, account: positions.account(slot), position: positions.get(slot) }
            }
            RowLocation::Cover(key) => Row::Cover { key: *key, amount: self.cover.get(*key) },
            RowLocation::Pool(index) => {
                let pool = &self.pools[at(index)];
                let (id, stake_token, reward_tokens) = (pool.id(), pool.stake_token(), pool.reward_tokens().to_vec());
                let state = pool.state().clone();
                Row::Pool { number: pool.number, pool: Box::new(PoolRow { id, stake_token, reward_tokens, state }) }
            }
            RowLocation::Staker { pool, slot } => {
                let PoolBook { number, stakers, .. } = &self.pools[at(pool)];
                let ledgers = stakers.ledgers(slot).collect();
                Row::Staker { pool: *number, account: stakers.account(slot), staked: stakers.staked(slot), ledgers }
            }
            RowLocation::Order { market, account, kind } => {
                let MarketBook { number, orders, .. } = &self.markets[at(market)];
                Row::Order { market: *number, account, kind, order: orders.get(account, kind).map(Box::new) }
            }
            RowLocation::Vault(index) => {
                let vault = &self.vaults[at(index)];
                Row::Vault { address: vault.address(), state: Box::new(vault.state().clone()) }
            }
            RowLocation::Governance => Row::Governance(Box::new(self.governance.clone())),
            RowLocation::Job(id) => Row::Job { id, job: self.jobs.job(id).copied().map(Box::new) },
            RowLocation::Node(id) => Row::Node { id, node: self.jobs.node(id).copied() },
        }
    }

    /// Undoes changes, which come in the reverse of the order in which they were made.
    fn revert_changes(&mut self, changes: impl Iterator<Item = Change>) {
        for change in changes {
            match change {
                Change::MarketCreated { .. } => {
                    if let Some(market) = self.markets.pop() {
                        self.market_by_id.remove(&market.id().0);
                        self.coverage.next_market = market.number;
                    }
                }
                Change::Market { market, before } => self.markets[at(market)].state = *before,
                Change::PositionCreated { market, slot } => self.markets[at(market)].pop_position(slot),
                Change::Position { market, slot, before } => self.markets[at(market)].set_position(slot, before),
                Change::Cover(cover) => {
                    self.cover.set(cover.0, cover.1);
                }
                Change::PoolCreated { .. } => {
                    if let Some(pool) = self.pools.pop() {
                        self.pool_by_id.remove(&pool.id());
                        self.coverage.next_pool = pool.number;
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
                Change::Order { market, account, kind, before } => {
                    self.markets[at(market)].set_order(account, kind, before.map(|before| *before));
                }
                Change::VaultCreated { .. } => {
                    self.vaults.pop();
                }
                Change::Vault { vault, before } => self.vaults[at(vault)].state = *before,
                Change::Governance { before } => self.governance = *before,
                Change::Job { id, before } => {
                    self.jobs.set_job(id, before.map(|job| *job));
                }
                Change::Node { id, before } => {
                    self.jobs.set_node(id, before);
                }
            }
        }
    }
}

/// Converts a row number to an index.
fn at(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}
