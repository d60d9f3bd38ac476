//! Liquidations on other protocols, without capital: which positions, in which transactions, by which routes.
//!
//! ```text
//! lots of a block ──► those whose bonus pays ──► candidates: how much, by which route (state of the pools)
//!                            │                                │ each simulated on its own in the block
//!                            ▼                                ▼
//!                      skip reasons        jobs by market and token ──► simulated one after another ──► sent
//! ```
//!
//! The [protocol](plimsoll_protocols) says exactly what a liquidation repays and seizes. The `Executor` contract gets the
//! collateral first, sells it and repays from the proceeds; of a protocol that is to be repaid first it buys the debt tokens,
//! pays the pool in collateral, and sells what remains of that by the same route. It reverts unless the profit covers the
//! gas at the price that is really paid. Items of a job are isolated: one that fails, because a rival was faster, costs the
//! others nothing but its gas. What the collateral brings is never computed here: the state of the pools only chooses what
//! is simulated.
//!
//! If profits are to be in the wrapped coin, each call is simulated with that exchange, too, and preferred so unless the exchange
//! loses more than a few percent of the profit's value.
//!
//! What a small fall of a price would make liquidatable is simulated along with the block's own request, before it is known
//! whether it is: see `speculation`.

mod decide;
mod job;
mod speculation;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use alloy::primitives::{Address, B256};
use plimsoll_protocols::Lot;

use super::gas::GasTable;
use crate::{intent::Subject, routing::router::Router};

/// Name of the strategy.
pub const NAME: &str = "seize";

/// Parameters of liquidating on other protocols.
#[derive(Debug, Clone)]
pub struct SeizeSettings {
    /// Address of the `Executor` contract.
    pub executor: Address,
    /// Index of each protocol's main contract in the executor's list.
    pub targets: BTreeMap<Address, u8>,
    /// Account that receives the profit.
    pub receiver: Address,
    /// For gas limits. Expected gas is what was used in simulation.
    pub gas: GasTable,
    /// Slippage accepted on the profit, in basis points of what is left of it after gas and the highest bid: the call
    /// reverts below that.
    pub max_slippage_bps: u16,
    /// Highest bid, in basis points of the expected profit after gas.
    pub bid_share_bps: u16,
    /// The token that wraps the native coin, if profits are exchanged for it where that pays.
    pub exchanged_for: Option<Address>,
    /// The same token, where transactions go in bundles: a bid is then a share of the profit that the builder is paid, if the
    /// profit is in it. `None` where every bid is a priority fee.
    pub builders_coin: Option<Address>,
    /// Whether a transaction that reverts is mined, and paid for.
    pub reverts_are_mined: bool,
    /// Seconds after the decision up to which a transaction may be mined.
    pub deadline_secs: u64,
}

/// Identifies a position of another protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PositionId {
    /// The protocol's main contract.
    pub deployment: Address,
    /// Id of the market; of a protocol without markets, the deployment's address as a word.
    pub market: B256,
    /// The borrower.
    pub account: Address,
}

impl PositionId {
    /// Returns the position as intents name it.
    #[must_use]
    pub const fn subject(self) -> Subject {
        let Self { deployment, market, account } = self;
        Subject::Position { deployment, market, account }
    }
}

/// Groups lots by position, in the order of each position's first lot: an account with several collaterals or debts has as many
/// lots as pairs, of which one is liquidated.
fn by_position(deployment: Address, lots: &[Lot]) -> Vec<(PositionId, Vec<&Lot>)> {
    let mut places: HashMap<PositionId, usize> = HashMap::new();
    let mut positions: Vec<(PositionId, Vec<&Lot>)> = Vec::new();
    for lot in lots {
        let id = PositionId { deployment, market: lot.market, account: lot.account };
        let place = *places.entry(id).or_insert(positions.len());
        match positions.get_mut(place) {
            Some((_, lots)) => lots.push(lot),
            None => positions.push((id, vec![lot])),
        }
    }
    positions
}

/// The strategy, with the pools that it knows.
#[derive(Debug)]
pub struct Seize {
    settings: SeizeSettings,
    router: Router,
}

impl Seize {
    /// Returns the strategy with these parameters.
    #[must_use]
    pub const fn new(settings: SeizeSettings, router: Router) -> Self {
        Self { settings, router }
    }
}
