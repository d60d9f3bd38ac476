//! Orders at the guard: which are executed, in which transactions.
//!
//! ```text
//! book + prices ──► triggered orders ──► those that pay at the oracle's price, the best first
//!                         │                                │ simulated in the block, each on its own
//!                         ▼                                ▼
//!                    skip reasons      those that pay at the exchange ──► simulated one after another ──► sent
//! ```
//!
//! A borrower's order repays a part of a debt, or all of it, before the loan is liquidatable. What is repaid and sold
//! follows from the order, the loan and the price alone, so nothing is chosen here but which orders are worth their gas:
//! the `OrderExecutor` contract gets the collateral first, sells it, pays from the proceeds, and reverts unless the rest
//! covers the gas at the price that is really paid. Executors compete by the premium, which rises with the distance from
//! the trigger: who is content with less acts first.
//!
//! Anybody can place orders that never succeed: by accounts that do not authorise the guard, or whose collateral no
//! exchange takes at that price. At most [`MAX_TRIALS`] orders are simulated for a block, and one that failed waits for
//! more blocks each time while others are tried. Orders of loans whose highest premium would not pay for a transaction
//! are not looked at, whatever tip they offer.

mod decide;
mod trial;

#[cfg(test)]
mod tests;

use alloy::primitives::{Address, B256, map::B256Map};
use plimsoll_contracts::MarketId;

pub use self::trial::LOST_RACE_GAS;
use super::{failures::Failures, gas::GasTable, liquidate::SwapRoute};
use crate::{intent::Subject, math::guard::OrderKind};

/// Name of the strategy.
pub const NAME: &str = "guard";

/// Most orders that are simulated for one block.
pub const MAX_TRIALS: usize = 16;

/// Parameters of executing orders, for all markets.
#[derive(Debug, Clone)]
pub struct GuardSettings {
    /// Account that receives the profit.
    pub receiver: Address,
    /// Address of the `OrderExecutor` contract.
    pub executor: Address,
    /// Markets in which orders are executed, each with the routes that sell its collateral.
    pub markets: B256Map<Vec<SwapRoute>>,
    /// Expected gas of transactions, by their parts.
    pub gas: GasTable,
    /// Slippage accepted on the profit, in basis points of what is left of it after gas and the highest bid: the call
    /// reverts below that.
    pub max_slippage_bps: u16,
    /// Highest bid, in basis points of the expected profit after gas.
    pub bid_share_bps: u16,
    /// Whether a transaction that reverts is mined, and paid for.
    pub reverts_are_mined: bool,
    /// Seconds after the decision up to which a transaction may be mined.
    pub deadline_secs: u64,
}

/// Identifies an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId {
    /// Market of the loan.
    pub market: MarketId,
    /// Account that placed the order.
    pub account: Address,
    /// Trigger of the order.
    pub kind: OrderKind,
}

impl OrderId {
    /// Returns the order as intents name it.
    #[must_use]
    pub const fn subject(self) -> Subject {
        let market: B256 = self.market.0;
        Subject::Order { market, account: self.account, kind: self.kind }
    }
}

/// The strategy that executes orders, with what it remembers of failures.
#[derive(Debug)]
pub struct Guard {
    settings: GuardSettings,
    failures: Failures<OrderId>,
}

impl Guard {
    /// Returns the strategy with these parameters.
    #[must_use]
    pub fn new(settings: GuardSettings) -> Self {
        Self { settings, failures: Failures::default() }
    }
}
