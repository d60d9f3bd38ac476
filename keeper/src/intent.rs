//! What a strategy wants done, and what became of it: the words between strategies, sender and everybody who reports.

use alloy::primitives::{Address, B256, Bytes, U256};
use plimsoll_contracts::MarketId;
use serde::{Deserialize, Serialize};

/// A transaction that is worth sending. Its call guards itself on chain: what is no longer worth it then reverts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// What it is for.
    pub purpose: Purpose,
    /// Whether it may wait.
    pub urgency: Urgency,
    /// The contract that is called.
    pub to: Address,
    /// The call.
    pub data: Bytes,
    /// The most gas it may use.
    pub gas_limit: u64,
    /// How much gas it is expected to use.
    pub expected_gas: u64,
    /// What it brings before gas, in wei of the chain's coin: fees never go beyond what is left of it.
    pub expected_gain: U256,
    /// The last second at which it may be mined; it is cancelled after that.
    pub deadline: u64,
}

/// What a transaction is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Loans of one market are liquidated.
    Liquidate {
        /// The market.
        market: B256,
        /// Whose loans.
        borrowers: Vec<Address>,
    },
    /// Rewards are claimed for others, for their tips.
    Harvest {
        /// The staking programme.
        pool: B256,
        /// What is paid.
        reward_token: Address,
        /// Whose rewards.
        accounts: Vec<Address>,
    },
    /// The keeper's own rewards are claimed, or claimed and staked again.
    ClaimOwn {
        /// The staking programme.
        pool: B256,
        /// What is paid.
        reward_token: Address,
    },
}

/// Whether an intent may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// Harvests.
    Patient,
    /// Liquidations: they go first, and may take the place of a patient one.
    Urgent,
}

impl Purpose {
    /// The market of a liquidation.
    #[must_use]
    pub const fn market(&self) -> Option<MarketId> {
        match self {
            Self::Liquidate { market, .. } => Some(MarketId(*market)),
            Self::Harvest { .. } | Self::ClaimOwn { .. } => None,
        }
    }
}
