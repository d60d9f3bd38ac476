//! What a strategy wants done ([`Intent`]) and what became of it ([`Outcome`]): the vocabulary that strategies, safety,
//! sender and everything that reports share.

mod outcome;
mod worth;

use std::borrow::Cow;

use alloy::primitives::{Address, B256, Bytes, U256};
use plimsoll_contracts::MarketId;
use serde::{Deserialize, Serialize};

use crate::{math::guard::OrderKind, prices::Rate};

pub use self::{
    outcome::{
        DropReason, FeeExceedsProfit, Fees, Inclusion, Outcome, Receipt, Report, SafetyRefusal, SenderAlert,
        SenderEvent,
    },
    worth::{Worth, max_cost},
};

/// A transaction that is worth sending. Its call checks on chain that it still is, and reverts otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// What the transaction is meant to achieve, and for which accounts.
    pub purpose: Purpose,
    /// Whether it goes before other intents or waits for them.
    pub priority: Priority,
    /// Contract to call.
    pub to: Address,
    /// Calldata of the transaction.
    pub data: Bytes,
    /// Gas limit of the transaction.
    pub gas_limit: u64,
    /// Gas that the call is expected to be charged for.
    pub expected_gas: u64,
    /// Expected gain before costs, in wei. It bounds the fees that are offered.
    pub expected_gain: U256,
    /// Fees besides gas, in wei: the data fee of a rollup, at most.
    #[serde(default, skip_serializing_if = "U256::is_zero")]
    pub extra_wei: U256,
    /// By how much the gain must exceed the cost, in basis points of the cost.
    #[serde(default, skip_serializing_if = "is_no_margin")]
    pub margin_bps: u32,
    /// Unix time in seconds from which the transaction must no longer be mined; it is cancelled then.
    pub deadline: u64,
    /// What limits, breakers and bids of the intent are counted under.
    pub scope: Scope,
    /// What keeps the transaction, once it is mined, from costing more than it brings.
    pub guard: GuardKind,
    /// Priority fee per gas that is bid against rivals, in wei; 0 for the chain's minimum.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bid: u128,
    /// Token in which the transaction pays its profit, and its value, so that the event in the receipt is valued at once;
    /// `None` where no event tells the profit.
    pub profit: Option<Profit>,
}

/// A strategy and one of its markets: limits, circuit breakers and bids of one scope know nothing of another's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scope {
    /// Name of the strategy.
    pub strategy: Cow<'static, str>,
    /// Id of the market or of the staking programme, or address of the vault or of the manager as a word.
    pub market: B256,
}

impl Scope {
    /// Returns the scope of a strategy in one market or staking programme.
    #[must_use]
    pub const fn new(strategy: &'static str, market: B256) -> Self {
        Self { strategy: Cow::Borrowed(strategy), market }
    }
}

/// What keeps a mined transaction from costing more than it brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardKind {
    /// The call measures its own gas and its price, and reverts if its profit does not cover them: every fee that the
    /// expected gain affords is safe.
    OnChain,
    /// The call's bounds were computed for this price per gas, in wei. No more is ever offered.
    UpTo(u128),
    /// The call has no bound that depends on fees. The expected gain alone limits what is offered.
    None,
}

/// The token in which a transaction pays its profit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profit {
    /// The token.
    pub token: Address,
    /// Its value when the intent was decided.
    pub rate: Rate,
    /// Value of the token that the keeper repays debts with from its inventory: the profit is what the seized collateral,
    /// which is in `token`, is worth beyond that. `None` where the repayment is no expense of the keeper's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repaid: Option<Rate>,
    /// Share of the profit after gas that the call pays to the block's builder, in basis points: the bid of a transaction
    /// that goes in bundles.
    #[serde(default, skip_serializing_if = "is_no_share")]
    pub builder_share_bps: u16,
}

/// What a transaction is meant to achieve.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Liquidates loans of one market.
    Liquidate {
        /// Id of the market.
        market: B256,
        /// Accounts whose loans are liquidated.
        borrowers: Vec<Address>,
    },
    /// Liquidates positions in one market of another protocol.
    Seize {
        /// The protocol's main contract.
        deployment: Address,
        /// Id of the market.
        market: B256,
        /// Accounts whose positions are liquidated.
        accounts: Vec<Address>,
    },
    /// Executes the order of a borrower at the guard.
    ExecuteOrder {
        /// Id of the market.
        market: B256,
        /// Account that placed the order.
        account: Address,
        /// Trigger of the order.
        kind: OrderKind,
    },
    /// Claims rewards for others in exchange for their tips.
    Harvest {
        /// Id of the staking programme.
        pool: B256,
        /// Token in which the rewards are paid.
        reward_token: Address,
        /// Accounts whose rewards are claimed.
        accounts: Vec<Address>,
    },
    /// Claims the keeper's own rewards, or claims and stakes them again.
    ClaimOwn {
        /// Id of the staking programme.
        pool: B256,
        /// Token in which the rewards are paid.
        reward_token: Address,
    },
    /// Moves the assets of a vault between its markets.
    Rebalance {
        /// Address of the vault.
        vault: Address,
    },
    /// Executes an operation of the deployment's manager, or a proposal of its governor, that is due.
    ExecuteOperation {
        /// Id of the operation or of the proposal.
        id: B256,
    },
    /// Brings a job of nodes on: draws its nodes, closes its round, challenges its result, settles or ends it.
    AdvanceJob {
        /// Id of the job.
        id: u64,
        /// What is done.
        step: JobStep,
        /// What the transaction is paid for it, in units of the jobs' token.
        tip: U256,
    },
    /// Claims the emission of nodes, for their bonds.
    HarvestNodes {
        /// Ids of the nodes.
        nodes: Vec<u32>,
    },
    /// Claims vouchers for a service, for the tip of its jar.
    CollectVouchers {
        /// Address of the `TipJar`.
        jar: Address,
        /// Token that is claimed.
        token: Address,
    },
    /// Sends a token from a signer's account to the receiver of profits.
    Sweep {
        /// Account of the signer.
        from: Address,
        /// The token.
        token: Address,
    },
}

/// What brings a job of nodes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStep {
    /// Draws the nodes of a round.
    Draw,
    /// Closes a round.
    Close,
    /// Settles a job whose result was not challenged.
    Finalize,
    /// Ends a round that was not drawn in time.
    Expire,
    /// Asks for a second round, because the result is false.
    Challenge,
}

impl JobStep {
    /// The step's name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draw => "draw",
            Self::Close => "close",
            Self::Finalize => "finalize",
            Self::Expire => "expire",
            Self::Challenge => "challenge",
        }
    }
}

/// Order of precedence among intents of one signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Waits for intents of high priority, as harvests do.
    Low,
    /// Goes first and may replace a pending transaction of low priority, as liquidations do.
    High,
}

/// What an intent is about, one loan, one order or one account's rewards at a time. Back-off and in-flight intents are tracked by
/// subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A loan.
    Loan {
        /// Id of the market.
        market: B256,
        /// Account that borrowed.
        borrower: Address,
    },
    /// A position of another protocol.
    Position {
        /// The protocol's main contract.
        deployment: Address,
        /// Id of the market.
        market: B256,
        /// The borrower.
        account: Address,
    },
    /// An order at the guard.
    Order {
        /// Id of the market.
        market: B256,
        /// Account that placed it.
        account: Address,
        /// Its trigger.
        kind: OrderKind,
    },
    /// The rewards of one account.
    Rewards {
        /// Id of the staking programme.
        pool: B256,
        /// Token in which the rewards are paid.
        reward_token: Address,
        /// Account that staked; `None` stands for the keeper itself.
        account: Option<Address>,
    },
    /// Reallocation of a vault, by the address of the vault.
    Vault(Address),
    /// An operation of the manager or a proposal, by its id.
    Operation(B256),
    /// A job of nodes, by its id.
    Job(u64),
    /// A node, by its id.
    Node(u32),
    /// Vouchers of the service with a jar, by the jar's address.
    Jar(Address),
    /// A token on a signer's account.
    Sweep {
        /// Account of the signer.
        from: Address,
        /// The token.
        token: Address,
    },
}

impl Intent {
    /// Returns what the transaction is worth, by the rule that it was decided by.
    #[must_use]
    pub const fn worth(&self) -> Worth {
        let Self { expected_gain, expected_gas, extra_wei, margin_bps, .. } = *self;
        Worth { gain: expected_gain, gas: expected_gas, extra_wei, margin_bps }
    }
}

/// Whether there is no profit margin, which entries of a journal do not say.
const fn is_no_margin(margin_bps: &u32) -> bool {
    *margin_bps == 0
}

/// Whether the builder is paid no share, which entries of a journal do not say.
const fn is_no_share(share_bps: &u16) -> bool {
    *share_bps == 0
}

/// Whether nothing is bid, which entries of a journal do not say.
const fn is_zero(bid: &u128) -> bool {
    *bid == 0
}

impl Purpose {
    /// Returns the market of a liquidation or of an order, and `None` for anything else, other protocols among it.
    #[must_use]
    pub const fn market(&self) -> Option<MarketId> {
        match self {
            Self::Liquidate { market, .. } | Self::ExecuteOrder { market, .. } => Some(MarketId(*market)),
            Self::Seize { .. }
            | Self::Harvest { .. }
            | Self::ClaimOwn { .. }
            | Self::Rebalance { .. }
            | Self::ExecuteOperation { .. }
            | Self::AdvanceJob { .. }
            | Self::HarvestNodes { .. }
            | Self::CollectVouchers { .. }
            | Self::Sweep { .. } => None,
        }
    }

    /// Lists every loan, order or account that the transaction is about.
    #[must_use]
    pub fn subjects(&self) -> Vec<Subject> {
        match self {
            Self::Liquidate { market, borrowers } => {
                borrowers.iter().map(|&borrower| Subject::Loan { market: *market, borrower }).collect()
            }
            Self::Seize { deployment, market, accounts } => {
                let (deployment, market) = (*deployment, *market);
                accounts.iter().map(|&account| Subject::Position { deployment, market, account }).collect()
            }
            Self::ExecuteOrder { market, account, kind } => {
                vec![Subject::Order { market: *market, account: *account, kind: *kind }]
            }
            Self::Harvest { pool, reward_token, accounts } => {
                let (pool, reward_token) = (*pool, *reward_token);
                let of = |&account| Subject::Rewards { pool, reward_token, account: Some(account) };
                accounts.iter().map(of).collect()
            }
            Self::ClaimOwn { pool, reward_token } => {
                vec![Subject::Rewards { pool: *pool, reward_token: *reward_token, account: None }]
            }
            Self::Rebalance { vault } => vec![Subject::Vault(*vault)],
            Self::ExecuteOperation { id } => vec![Subject::Operation(*id)],
            Self::AdvanceJob { id, .. } => vec![Subject::Job(*id)],
            Self::HarvestNodes { nodes } => nodes.iter().map(|node| Subject::Node(*node)).collect(),
            Self::CollectVouchers { jar, .. } => vec![Subject::Jar(*jar)],
            Self::Sweep { from, token } => vec![Subject::Sweep { from: *from, token: *token }],
        }
    }
}
