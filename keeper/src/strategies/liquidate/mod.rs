//! Liquidations: which loans are liquidated, in which transactions, and how the repayment is funded.
//!
//! ```text
//! book + prices ──► liquidatable loans ──► batches, most profitable first ──► candidate calls: whole and partial,
//!                          │                                                  by every way of funding
//!                          ▼                                                      │ simulated in the block, one request
//!                     skip reasons                                                ▼
//!                                              quotes: gain and gas of each ──► the most profitable call, with a guard
//! ```
//!
//! Loans whose bonus cannot pay for a place in a transaction are counted by size and not looked at.
//!
//! Loans, amounts (max repay by the core's close factor rules), their order and the expected gas come from the book. What
//! a swap brings comes from simulating the very call. A batch that the swap cannot absorb is sent in part: liquidity is
//! what limits a large liquidation. Where a market has more than one batch, each is simulated after those before it
//! in the same request, and as many are sent as are profitable one after the other.
//!
//! Loans that a small fall of the price would make liquidatable are tried before it is known whether it has fallen, along
//! with the block's own request: see `speculation`.
//!
//! Every transaction has a guard on chain. A flash swap reverts unless its profit covers its gas at the price that is
//! really paid: the contract measures the gas, so the same bytes are guarded at every fee that the sender offers. For a
//! single loan the guard also keeps most of the expected profit; not for several loans, since rivals may take some of
//! them. A liquidation from inventory has a minimum price for what it seizes.

mod at_risk;
mod batches;
mod candidate_call;
mod decide;
mod dust;
mod funding;
mod market_snapshot;
mod plan;
mod select;
mod speculation;

#[cfg(test)]
mod tests;

use alloy::primitives::{Address, Bytes, U256, map::B256Map};
use plimsoll_contracts::{MarketId, market::BPS};

pub use self::at_risk::{LoanAtRisk, at_risk, worst_at_risk};
use self::speculation::{PriceMoves, Speculation};
use super::{
    bids::{self, Bids, Ordering, RaceRecord},
    gas::GasTable,
};
use crate::{intent::Subject, routing::spot_price::SpotRoute};

/// Name of the strategy.
pub const NAME: &str = "liquidate";

/// Parameters of liquidation, for all markets.
#[derive(Debug, Clone)]
pub struct LiquidateSettings {
    /// Account that signs and sends the transactions.
    pub keeper: Address,
    /// Account that receives the profit, and the collateral of liquidations from inventory.
    pub receiver: Address,
    /// Address of the lending core.
    pub core: Address,
    /// Address of the `Liquidator` contract, which liquidates by flash swap; without it only inventory is used.
    pub liquidator: Option<Address>,
    /// Markets in which loans are liquidated, with their own parameters.
    pub markets: B256Map<MarketSettings>,
    /// Expected gas of transactions, by their parts.
    pub gas: GasTable,
    /// Slippage accepted on the profit of a single loan, in basis points of what is left of the expected profit after gas
    /// and the highest bid: the call reverts below that.
    pub max_slippage_bps: u16,
    /// Highest bid, in basis points of the expected profit after gas.
    pub bid_share_bps: u16,
    /// How transactions are ordered within a block.
    pub ordering: Ordering,
    /// The wrapped native coin, where transactions go in bundles: a bid is then a share of the profit that the builder is
    /// paid, if the profit is in that coin. `None` where every bid is a priority fee.
    pub builders_coin: Option<Address>,
    /// Whether a transaction that reverts is mined, and paid for. Not behind relays that leave it out.
    pub reverts_are_mined: bool,
    /// Seconds after the decision up to which a transaction may be mined.
    pub deadline_secs: u64,
}

/// Parameters of liquidation in one market.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MarketSettings {
    /// Routes to swap the collateral by; the most profitable one is used.
    pub routes: Vec<SwapRoute>,
    /// Whether the keeper may repay from its own loan tokens and keep the collateral, where that is more profitable.
    pub from_inventory: bool,
    /// Highest repayment of one transaction, in units of the loan token; `None` for no limit.
    pub max_repay: Option<U256>,
}

/// A route to swap collateral into the loan token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwapRoute {
    /// Address of the swap adapter.
    pub swapper: Address,
    /// Path through the pools, in the adapter's encoding.
    pub path: Bytes,
    /// Number of pools on the path, from which the gas is estimated.
    pub pools: usize,
    /// Whether only as much collateral is sold as the repayment needs, so that the profit is collateral; else all of it
    /// is sold, and the profit is in the loan token.
    pub profit_in_collateral: bool,
    /// Its pools, by which its price at the margin is read; `None` where the adapter does not say, or a pool does not.
    pub spot: Option<SpotRoute>,
}

/// Identifies a loan: an account's debt in a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LoanId {
    /// Market in which the account borrows.
    pub market: MarketId,
    /// Account of the borrower.
    pub account: Address,
}

impl LoanId {
    /// Returns the loan as intents name it.
    #[must_use]
    pub const fn subject(self) -> Subject {
        Subject::Loan { market: self.market.0, borrower: self.account }
    }
}

/// The liquidation strategy, with what it has learnt of rivals.
#[derive(Debug)]
pub struct Liquidate {
    settings: LiquidateSettings,
    bids: Bids,
    /// Price moves of every market.
    moves: B256Map<PriceMoves>,
    /// Trials that are sent with the next block's request.
    speculations: Vec<Speculation>,
}

impl Liquidate {
    /// Returns the strategy with these parameters, which knows of no rivals.
    #[must_use]
    pub fn new(settings: LiquidateSettings) -> Self {
        Self::with_races(settings, RaceRecord::default())
    }

    /// Returns the strategy with these parameters, and with what was learnt of rivals before.
    #[must_use]
    pub fn with_races(settings: LiquidateSettings, record: RaceRecord) -> Self {
        let cap = u32::from(settings.bid_share_bps).saturating_mul(bids::WHOLE / BPS);
        let bids = Bids::new(cap, settings.ordering, record);
        Self { settings, bids, moves: B256Map::default(), speculations: Vec::new() }
    }

    /// Returns the bids against rivals, to record how races ended.
    pub const fn bids_mut(&mut self) -> &mut Bids {
        &mut self.bids
    }

    /// Returns the strategy's parameters.
    #[must_use]
    pub const fn settings(&self) -> &LiquidateSettings {
        &self.settings
    }
}

impl LiquidateSettings {
    /// Returns the last second at which a transaction decided on at `timestamp` may be mined.
    const fn deadline(&self, timestamp: u64) -> u64 {
        timestamp.saturating_add(self.deadline_secs)
    }
}
