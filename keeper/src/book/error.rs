//! The errors of applying a block's events and of reverting blocks.

use alloy::primitives::{Address, B256, U256};
use plimsoll_contracts::{InvalidParams, MarketId};

use crate::{
    chain::Event,
    math::{guard::OrderKind, types::Market},
};

/// A block was not applied; the book is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The block is not above the last applied one.
    #[error("block {block} does not follow block {tip}, which the book is at: revert to block {before} first", before = .block.saturating_sub(1))]
    NotNext {
        /// Number of the block that was to be applied.
        block: u64,
        /// Number of the last applied block.
        tip: u64,
    },
    /// An event is inconsistent with those before it.
    #[error(
        "block {block}, event {position}, {event:?}: {problem}; events are missing or not this contract's: \
         fetch the block elsewhere, or rebuild the book"
    )]
    InconsistentEvent {
        /// Number of the block.
        block: u64,
        /// Position among the block's events, from 0.
        position: usize,
        /// The event.
        event: Box<Event>,
        /// The inconsistency.
        problem: EventError,
    },
}

/// The inconsistency of an event with those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// It is a log of another protocol.
    #[error("the log is of {0}, which is another protocol's contract")]
    Foreign(Address),
    /// No event created the market.
    #[error("there is no market {0}")]
    UnknownMarket(MarketId),
    /// The market was created before.
    #[error("the market {0} was created before")]
    DuplicateMarket(MarketId),
    /// The market's id is not that of its parameters.
    #[error("a market of these parameters has the id {computed}, not {stated}")]
    WrongMarketId {
        /// The id that the event states.
        stated: MarketId,
        /// The id that follows from the parameters.
        computed: MarketId,
    },
    /// No market can have such parameters.
    #[error(transparent)]
    Params(#[from] InvalidParams),
    /// The event takes more than there is.
    #[error("{takes} is taken from {quantity} of {has}")]
    Underflow {
        /// The quantity that the event reduces.
        quantity: Quantity,
        /// Amount before the event.
        has: U256,
        /// Amount that the event takes.
        takes: U256,
    },
    /// The event adds more than the contract can store.
    #[error("{quantity} of {has} cannot take {adds} more")]
    Overflow {
        /// The quantity that the event increases.
        quantity: Quantity,
        /// Amount before the event.
        has: U256,
        /// Amount that the event adds.
        adds: U256,
    },
    /// The totals after an accrual are not what the market's rates result in.
    #[error("interest results in totals of {} where {} are stated", totals(.computed), totals(.stated))]
    InterestMismatch {
        /// Totals that follow from the event.
        stated: Box<Market>,
        /// Totals that follow from the market's rates.
        computed: Box<Market>,
    },
    /// The event's timestamp is not its block's.
    #[error("it is of second {stated} in a block of second {block}")]
    WrongTimestamp {
        /// Timestamp that the event states.
        stated: U256,
        /// Timestamp of the block.
        block: u64,
    },
    /// No event posted the job.
    #[error("there is no job {0} that has not ended")]
    UnknownJob(u64),
    /// The job was posted before.
    #[error("job {0} was posted before")]
    KnownJob(u64),
    /// No event registered the node.
    #[error("there is no node {0}")]
    UnknownNode(u32),
    /// No event created the pool.
    #[error("there is no pool {0}")]
    UnknownPool(B256),
    /// The pool was created before.
    #[error("the pool {0} was created before")]
    DuplicatePool(B256),
    /// The pool's id is not that of its tokens and salt.
    #[error("a pool of these tokens and this salt has the id {computed}, not {stated}")]
    WrongPoolId {
        /// The id that the event states.
        stated: B256,
        /// The id that follows from the tokens and the salt.
        computed: B256,
    },
    /// The pool does not pay this token.
    #[error("the pool {pool} has no reward token {reward_token}")]
    UnknownRewardToken {
        /// Id of the pool that the event names.
        pool: B256,
        /// Token that the event names.
        reward_token: Address,
    },
    /// A figure that the event states is not what the book computes.
    #[error("{figure} is {computed} where {stated} is stated")]
    Mismatch {
        /// Figure that the event and the book disagree on.
        figure: Figure,
        /// Value that the event states.
        stated: U256,
        /// Value that the book computes.
        computed: U256,
    },
    /// The event depends on a reward stream that was not accrued up to the block's time before.
    #[error("the stream was last updated in second {last_update}, not in the block's second {block}")]
    StreamNotAccrued {
        /// Timestamp of the stream's last update.
        last_update: u64,
        /// Timestamp of the block.
        block: u64,
    },
    /// The funded epochs are not among those that the contract lets be funded.
    #[error("{epochs} epochs from {first} on were funded where 26 from {earliest} on can be")]
    EpochsOutOfRange {
        /// The first funded epoch.
        first: U256,
        /// Number of funded epochs.
        epochs: U256,
        /// The first epoch that can be funded.
        earliest: u64,
    },
    /// No event created the vault.
    #[error("there is no vault {0}")]
    UnknownVault(Address),
    /// The vault was created before.
    #[error("the vault {0} was created before")]
    DuplicateVault(Address),
    /// The market is not on the vault's list.
    #[error("the vault {vault} has no market {market}")]
    NotInVault {
        /// Address of the vault.
        vault: Address,
        /// Market that the event names.
        market: MarketId,
    },
    /// Something is paid for a withdrawal that there was not.
    #[error("nothing was withdrawn from the vault {0} before it")]
    NoWithdrawal(Address),
    /// The harvest is not on the account's terms.
    #[error("{0} did not agree to such a harvest")]
    NoHarvestConsent(Address),
    /// The account has no such order, or it cannot be executed in the block, or is left with other uses.
    #[error("{account} has no order to {} that leaves so many uses", .kind.name())]
    NotExecutable {
        /// Account whose order was executed.
        account: Address,
        /// Trigger of the order.
        kind: OrderKind,
    },
    /// There is no such kind of orders.
    #[error("there is no such kind of orders")]
    UnknownOrderKind,
    /// The book has no free row in this market or pool, or for another market or pool.
    #[error("2^32 accounts or markets are there, and this book holds no more")]
    CapacityExceeded,
}

/// A value that an event states and the book computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Growth of a stream's accumulator.
    AccumulatorIncrease,
    /// Reward below one unit that a stream still has to pay.
    Remainder,
    /// Amount that was deferred to this epoch because nothing was staked.
    Deferred(u64),
    /// Number of deferrals in one accrual.
    Deferrals,
    /// Reward that an account could claim.
    Reward(Address),
    /// Tip that an account agreed to pay for a harvest.
    Tip(Address),
    /// Value of a vault's idle assets and positions.
    VaultValue(Address),
    /// Assets that belong to a vault's shares.
    VaultTotal(Address),
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AccumulatorIncrease => f.write_str("the accumulator's increase"),
            Self::Remainder => f.write_str("the stream's remainder"),
            Self::Deferred(epoch) => write!(f, "the amount deferred to epoch {epoch}"),
            Self::Deferrals => f.write_str("the number of epochs that something is deferred to"),
            Self::Reward(account) => write!(f, "the reward of {account}"),
            Self::Tip(account) => write!(f, "the tip of {account}"),
            Self::VaultValue(vault) => write!(f, "the value of all positions of {vault}"),
            Self::VaultTotal(vault) => write!(f, "the total of {vault}"),
        }
    }
}

/// A quantity that events change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Supply assets of a market.
    SupplyAssets,
    /// Supply shares of a market.
    TotalSupplyShares,
    /// Borrow assets of a market.
    BorrowAssets,
    /// The room of a market's surge limit.
    SurgeRoom,
    /// Borrow shares of a market.
    TotalBorrowShares,
    /// Reserve shares of a market.
    ReserveShares,
    /// Fee of a market, in basis points.
    Fee,
    /// Rate at target of a market.
    RateAtTarget,
    /// Supply shares of an account.
    SupplyShares(Address),
    /// Borrow shares of an account.
    BorrowShares(Address),
    /// Collateral of an account.
    Collateral(Address),
    /// Cover of a backstop, in any of its tokens.
    Cover(Address),
    /// Cover of a backstop that one of its markets may still use.
    CoverLimit(Address),
    /// Sum of the stakes in a pool.
    TotalStaked,
    /// Stake of an account.
    Stake(Address),
    /// Amount that was ever funded in a stream.
    Funded,
    /// Assets that belong to a vault's shares.
    VaultTotal(Address),
    /// Assets of a vault that are not supplied.
    IdleAssets(Address),
    /// Assets of a withdrawal from a vault that its markets still have to pay.
    Withdrawal(Address),
    /// A cap of a vault.
    Cap(Address),
    /// Highest rate at which a vault's value rises.
    MaxRate(Address),
    /// Id of a job.
    JobId,
    /// Price of a job.
    JobPrice,
    /// Seats of a job.
    Seats,
    /// Block that seeds a draw.
    DrawBlock,
    /// Deadline of a job.
    Deadline,
    /// Stake of a node in the emission pool.
    EmissionStake,
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::JobId => f.write_str("the id of a job"),
            Self::JobPrice => f.write_str("the price of a job"),
            Self::Seats => f.write_str("the seats of a job"),
            Self::DrawBlock => f.write_str("the block of a draw"),
            Self::Deadline => f.write_str("the deadline of a job"),
            Self::EmissionStake => f.write_str("the stake of a node"),
            Self::SupplyAssets => f.write_str("the market's supply assets"),
            Self::TotalSupplyShares => f.write_str("the market's supply shares"),
            Self::BorrowAssets => f.write_str("the market's borrow assets"),
            Self::SurgeRoom => f.write_str("the room of the market's surge limit"),
            Self::TotalBorrowShares => f.write_str("the market's borrow shares"),
            Self::ReserveShares => f.write_str("the market's reserve shares"),
            Self::Fee => f.write_str("the market's fee"),
            Self::RateAtTarget => f.write_str("the market's rate at target"),
            Self::SupplyShares(account) => write!(f, "the supply shares of {account}"),
            Self::BorrowShares(account) => write!(f, "the borrow shares of {account}"),
            Self::Collateral(account) => write!(f, "the collateral of {account}"),
            Self::Cover(backstop) => write!(f, "the cover of {backstop}"),
            Self::CoverLimit(backstop) => write!(f, "the limit of {backstop}"),
            Self::TotalStaked => f.write_str("the pool's stakes"),
            Self::Stake(account) => write!(f, "the stake of {account}"),
            Self::Funded => f.write_str("the stream's funding"),
            Self::VaultTotal(vault) => write!(f, "the total of the vault {vault}"),
            Self::IdleAssets(vault) => write!(f, "the idle assets of {vault}"),
            Self::Withdrawal(vault) => write!(f, "the withdrawal from {vault}"),
            Self::Cap(vault) => write!(f, "a cap of {vault}"),
            Self::MaxRate(vault) => write!(f, "the maximum rate of {vault}"),
        }
    }
}

/// Formats the totals that interest changes.
fn totals(market: &Market) -> String {
    let Market { supply_assets, supply_shares, borrow_assets, rate_at_target, interest_remainder, .. } = market;
    format!(
        "{supply_assets}/{supply_shares} supplied, {borrow_assets} + {interest_remainder}/2^32 borrowed at {rate_at_target}"
    )
}

/// The book cannot be reverted that far; it is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the book can be reverted to block {oldest} and not to block {wanted}: rebuild it")]
pub struct RevertError {
    /// Number of the block that the book was to be reverted to.
    pub wanted: u64,
    /// Number of the oldest block that it can be reverted to.
    pub oldest: u64,
}
