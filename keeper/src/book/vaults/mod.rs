//! Vaults for lenders in the book: what a vault counts in each market, its idle assets, its caps and its allocators, as
//! its contract stores them.

mod apply;
mod row;

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::sol_types::SolValue;
use plimsoll_contracts::{MarketId, market::BPS};

pub(in crate::book) use self::apply::VaultExit;
use crate::math::wide::WAD;

/// Assets for 1e27 shares in a new vault: one virtual unit over a million virtual shares.
const FIRST_HIGH_WATER_MARK: u128 = 1_000_000_000_000_000_000_000;

/// One vault, as of the last applied block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultBook {
    address: Address,
    pub(in crate::book) state: VaultState,
    /// Number of the application that recorded the state in the undo log: once per application is enough.
    pub(in crate::book) recorded_in: u64,
}

/// The mutable state of a vault, as far as decisions depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VaultState {
    /// Assets that belong to the vault's shares, as of the last update.
    pub last_total: u128,
    /// Price above which gains pay a fee: assets for 1e27 shares.
    pub high_water_mark: u128,
    /// Assets that are not supplied.
    pub idle: u128,
    /// Timestamp of the last update of the value.
    pub last_update: u64,
    /// Highest rate at which the value rises, 1e18-scaled per second.
    pub max_rate: u64,
    /// Part of gains that is the fee, in basis points.
    pub fee_bps: u16,
    /// Market that deposits are supplied to at once, if there is one.
    pub deposit_market: Option<MarketId>,
    /// The markets in the order of the vault's list.
    pub holdings: Vec<Holding>,
    /// Accounts that may reallocate.
    pub allocators: BTreeSet<Address>,
    /// Caps by their ids: those of markets, of collateral tokens and of oracles.
    pub caps: BTreeMap<B256, Cap>,
}

/// What a vault counts in one market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Id of the market.
    pub market: MarketId,
    /// Supply shares that the vault bought.
    pub shares: u128,
}

/// The bound on what a vault supplies; the smaller part counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cap {
    /// In units of the asset; 0 allows nothing.
    pub absolute: u128,
    /// In basis points of the vault's value; 10,000 is no bound.
    pub relative_bps: u16,
}

impl VaultBook {
    /// Creates the vault as its constructor begins.
    pub(in crate::book) fn new(address: Address, created_at: u64) -> Self {
        let state =
            VaultState { high_water_mark: FIRST_HIGH_WATER_MARK, last_update: created_at, ..VaultState::default() };
        Self { address, state, recorded_in: 0 }
    }

    /// Returns the address of the contract.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Returns the mutable state.
    #[must_use]
    pub const fn state(&self) -> &VaultState {
        &self.state
    }
}

impl VaultState {
    /// Returns the supply shares that the vault bought of a market.
    #[must_use]
    pub fn shares(&self, market: MarketId) -> u128 {
        self.holdings.iter().find(|holding| holding.market == market).map_or(0, |holding| holding.shares)
    }

    /// Returns the assets that belong to the vault's shares at a time at which all of its positions and its idle assets
    /// are worth `real`: a loss counts at once, a gain up to the maximum rate.
    #[must_use]
    pub fn total_at(&self, real: u128, timestamp: u64) -> u128 {
        let elapsed = timestamp.saturating_sub(self.last_update);
        let gain = U256::from(self.last_total) * U256::from(self.max_rate) * U256::from(elapsed) / U256::from(WAD);
        let most = U256::from(self.last_total).saturating_add(gain);
        most.min(U256::from(real)).saturating_to()
    }

    /// Returns the most that a cap allows to be supplied in all, for a vault of this value at the beginning of the
    /// transaction; 0 for a cap that was never set.
    #[must_use]
    pub fn most_under(&self, cap: B256, total: u128) -> u128 {
        let Cap { absolute, relative_bps } = self.caps.get(&cap).copied().unwrap_or_default();
        if u32::from(relative_bps) == BPS {
            return absolute;
        }
        let relative = U256::from(total) * U256::from(relative_bps) / U256::from(BPS);
        relative.min(U256::from(absolute)).saturating_to()
    }
}

/// Returns the id of the cap on all markets with a collateral token.
#[must_use]
pub fn collateral_cap_id(token: Address) -> B256 {
    keccak256((U256::ZERO, token).abi_encode())
}

/// Returns the id of the cap on all markets with an oracle.
#[must_use]
pub fn oracle_cap_id(oracle: Address) -> B256 {
    keccak256((U256::ONE, oracle).abi_encode())
}
