//! Strategies: what is profitable to do in a block, and for everything that is not done, the reason.
//!
//! A strategy reads the book, prices and gas costs of one block ([`BlockContext`]) and returns [`Decisions`]: the
//! transactions to send, each an [`Intent`] whose call reverts on chain if it no longer pays, and a [`Verdict`] for every
//! target that it considered. Loans too small to pay for a place in a transaction are not considered but counted, as a
//! [`LoanClass`], so that a block costs the same however many of them strangers open. It is deterministic: the same block
//! gives the same decisions. Only the proceeds of a swap are not computed: they come from simulating the very call that
//! would be sent, in that block's state.
//!
//! - [`liquidate`] finds liquidatable loans – health factor below 1 – and sends the liquidations that pay for their gas.
//! - [`seize`] liquidates positions of other protocols, without capital.
//! - [`guard`] executes borrowers' orders whose premiums pay for the gas.
//! - [`harvest`] claims staking rewards for others whose tips pay for the gas, and the keeper's own.
//! - [`rebalance`] moves the assets of vaults between markets for their depositors.
//! - [`governance`] executes what is due in the deployment's manager and governors.
//! - [`jobs`] brings jobs of nodes on, and claims nodes' emission.
//! - [`vouchers`] claims vouchers for services that publish them, for a tip.
//! - [`bids`] decides what priority fee a liquidation bids, by the races before it.
//! - [`gas`] has expected gas, gas limits and the test of profitability.
//!
//! | question | where it is answered |
//! |---|---|
//! | which loans are liquidatable, and how near the others are | `MarketBook::liquidatable`, [`liquidate::at_risk`] |
//! | close factor: how much of a loan may be repaid (max repay) | `math::liquidation`, the twin of `LiquidationMath.sol` |
//! | profitability | [`crate::intent::Worth`], applied in `liquidate::select`, `guard`, `harvest` and the sender |
//! | slippage, the minimum profit guard | [`liquidate::LiquidateSettings::max_slippage_bps`], `liquidate::select` |
//! | why a loan is not liquidated | [`SkipReason`] |

pub mod bids;
mod failures;
pub mod gas;
pub mod governance;
pub mod guard;
pub mod harvest;
pub mod jobs;
pub mod liquidate;
pub mod rebalance;
mod revert;
pub mod seize;
mod skip_reason;
pub mod vouchers;

use alloy::primitives::U256;
use plimsoll_contracts::MarketId;

use self::gas::Costs;
pub use self::{
    revert::Revert,
    skip_reason::{Decision, SkipReason, Wording},
};
use crate::{chain::Header, intent::Intent, prices::Prices};

/// The state of a block that strategies decide by, besides the book.
#[derive(Debug, Clone, Copy)]
pub struct BlockContext<'a> {
    /// Header of the block up to which the book has been applied.
    pub header: &'a Header,
    /// Liquidation prices of the markets in that block.
    pub prices: &'a Prices,
    /// Prices of gas and calldata, and the margin that the strategy wants.
    pub costs: Costs,
    /// Highest gas limit of one transaction; see [`gas::room`].
    pub room: u64,
}

/// What was decided about one target of a strategy: a loan, an order, an account's rewards, or a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<T> {
    /// The loan, order or reward that was considered.
    pub target: T,
    /// Whether it is acted on, with the expected figures, or the reason why it is skipped.
    pub decision: Decision,
}

/// What a strategy decided in a block about all of its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decisions<T> {
    /// Transactions to send, in this order.
    pub intents: Vec<Intent>,
    /// One verdict for every target that was considered.
    pub verdicts: Vec<Verdict<T>>,
    /// Loans that were not considered one by one, because none of their size can pay; at most one class for each market.
    pub dust: Vec<LoanClass>,
}

/// Liquidatable loans of a market that are skipped together, without a look at each: strangers can open any number of
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoanClass {
    /// The market.
    pub market: MarketId,
    /// Why they are skipped.
    pub reason: SkipReason,
    /// Loans of a size wholly below this number of borrow shares belong to the class.
    pub least_shares: u128,
    /// Number of loans, among them a few that the contract's rounding spares. The count ends at [`COUNTED_LOANS`].
    pub loans: usize,
}

/// Number of loans at which the count of a class ends: "so many or more".
pub const COUNTED_LOANS: usize = 10_000;

/// Tells why a target must not be acted on now, however profitable it is: a transaction for it is pending, or an earlier
/// attempt failed and the target is backed off from. `None` where nothing speaks against it.
pub type Exclusion<'a, T> = &'a (dyn Fn(T) -> Option<SkipReason> + Send + Sync);

impl<T> Decisions<T> {
    /// Records that targets are skipped, all for the same reason.
    fn skip(&mut self, targets: impl IntoIterator<Item = T>, reason: &SkipReason) {
        let verdict = |target| Verdict { target, decision: Decision::Skip(reason.clone()) };
        self.verdicts.extend(targets.into_iter().map(verdict));
    }

    /// Records that an intent is sent, and that it acts on these targets.
    fn act(&mut self, targets: impl IntoIterator<Item = T>, intent: Intent, gas_wei: U256) {
        let decision = Decision::Act { gain_wei: intent.expected_gain, gas_wei };
        let verdict = |target| Verdict { target, decision: decision.clone() };
        self.verdicts.extend(targets.into_iter().map(verdict));
        self.intents.push(intent);
    }
}

impl<T: Copy> Decisions<T> {
    /// Returns whether a target is excluded, and records the reason if it is.
    fn skip_excluded(&mut self, target: T, exclusion: Exclusion<'_, T>) -> bool {
        let reason = exclusion(target);
        if let Some(reason) = &reason {
            self.skip([target], reason);
        }
        reason.is_some()
    }
}

impl<T> Default for Decisions<T> {
    fn default() -> Self {
        Self { intents: Vec::new(), verdicts: Vec::new(), dust: Vec::new() }
    }
}
