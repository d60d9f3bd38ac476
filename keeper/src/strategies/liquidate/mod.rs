//! Liquidations: which loans, in which transactions, paid for how.
//!
//! ```text
//! book + price ──► loans under water ──► batches, the best first ──► offers: wholes and parts, by every way of paying
//!                       │                                                │
//!                       ▼                                                ▼ tried in the applied block, all in one request
//!                   why not                                          what each brings ──► the best that pays, guarded
//! ```
//!
//! Loans, amounts, order and gas come from the book; what the exchange gives comes from trying the very call. A batch
//! that the exchange cannot absorb is sent in part. Where a market has more than one batch, each is tried after those
//! before it (`eth_simulateV1`), and as many are sent as pay one after the other; a node that cannot do that gets one
//! batch a block. For a loan alone the guard on chain is the profit less the slack, for more of them what the gas costs:
//! rivals may take some of them.

mod batches;
mod decide;
mod offers;
mod round;
mod watch;
mod ways;

#[cfg(test)]
mod tests;

use alloy::primitives::{Address, Bytes, U256, map::B256Map};
use plimsoll_contracts::MarketId;
use serde::{Serialize, Serializer};

pub use self::watch::{AtRisk, at_risk};
use super::{
    gas::{Costs, GasTable},
    why_not::{Decision, WhyNot},
};
use crate::{chain::Header, intent::Intent, prices::Prices};

/// On which terms loans are liquidated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who sends.
    pub keeper: Address,
    /// Who gets the profit.
    pub receiver: Address,
    /// The lending core.
    pub core: Address,
    /// What liquidates without capital, where there is one.
    pub liquidator: Option<Address>,
    /// Each market in which anything is done.
    pub markets: B256Map<MarketSettings>,
    /// What transactions use.
    pub gas: GasTable,
    /// How much less than expected the profit of a single loan may be, in basis points of it, before the call reverts.
    pub slack_bps: u16,
    /// How long a transaction is good for.
    pub deadline_secs: u64,
}

/// On which terms loans of one market are liquidated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MarketSettings {
    /// The ways to sell its collateral; the one that brings most is taken.
    pub routes: Vec<Route>,
    /// Whether loans are repaid from what the keeper owns, and the collateral is kept, where that brings more.
    pub from_inventory: bool,
    /// The most to repay in one transaction, in units of the loan token.
    pub largest_repay: Option<U256>,
}

/// A way to sell collateral.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// By which adapter.
    pub swapper: Address,
    /// Through which pools, as the adapter takes it.
    pub path: Bytes,
    /// Through how many.
    pub pools: usize,
    /// Whether only as much is sold as the repayment takes, and the profit is collateral.
    pub profit_in_collateral: bool,
}

/// What a round looks at besides the book.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The block that the book is at.
    pub header: &'a Header,
    /// The prices in it.
    pub prices: &'a Prices,
    /// What gas costs.
    pub costs: Costs,
    /// The most gas of one transaction.
    pub room: u64,
}

/// What was decided about a loan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// In this market.
    #[serde(serialize_with = "as_word")]
    pub market: MarketId,
    /// Whose loan.
    pub account: Address,
    /// Done, or why not.
    pub decision: Decision,
}

/// What a round decided: what to send, in this order, and about every loan under water what and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// What to send.
    pub intents: Vec<Intent>,
    /// Every loan that can be liquidated, once.
    pub verdicts: Vec<Verdict>,
}

/// Why a loan must not be touched now, whatever it would bring: it is in flight, or backed off from.
pub type Obstacle<'a> = &'a (dyn Fn(MarketId, Address) -> Option<WhyNot> + Send + Sync);

/// The strategy.
#[derive(Debug)]
pub struct Liquidate {
    settings: Settings,
}

impl Liquidate {
    /// Liquidates on these terms.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// On which terms.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl Settings {
    /// The last second of a transaction that is decided at this one.
    const fn deadline(&self, timestamp: u64) -> u64 {
        timestamp.saturating_add(self.deadline_secs)
    }
}

impl Round {
    /// Puts down that nothing is done about loans.
    fn leave(&mut self, market: MarketId, accounts: impl IntoIterator<Item = Address>, why_not: &WhyNot) {
        let verdict = |account| Verdict { market, account, decision: Decision::WhyNot(why_not.clone()) };
        self.verdicts.extend(accounts.into_iter().map(verdict));
    }
}

fn as_word<S: Serializer>(market: &MarketId, serializer: S) -> Result<S::Ok, S::Error> {
    market.0.serialize(serializer)
}
