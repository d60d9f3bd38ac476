//! Why a block's events cannot be true.

use alloy::primitives::{Address, B256, U256};
use plimsoll_contracts::{InvalidParams, MarketId};

use crate::{chain::Event, math::market::Market};

/// A block was not applied, and the book is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Blocks go upwards.
    #[error("block {block} does not follow block {tip}, which the book is at: undo down to block {before} first", before = .block.saturating_sub(1))]
    NotNext {
        /// Which was to be applied.
        block: u64,
        /// The last that was.
        tip: u64,
    },
    /// An event does not add up with what came before it.
    #[error(
        "block {block}, event {position}, {event:?}: {problem}; events are missing or not this contract's: \
         fetch the block elsewhere, or rebuild the book"
    )]
    DoesNotAddUp {
        /// The block.
        block: u64,
        /// Which of the events that were given, from 0.
        position: usize,
        /// The event.
        event: Box<Event>,
        /// What is wrong.
        problem: Problem,
    },
}

/// What is wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is about a market whose creation was not seen.
    #[error("there is no market {0}")]
    UnknownMarket(MarketId),
    /// The market was there already.
    #[error("the market {0} was created before")]
    MarketTwice(MarketId),
    /// The id is not that of the parameters.
    #[error("a market of these parameters has the id {computed}, not {stated}")]
    WrongId {
        /// By the event.
        stated: MarketId,
        /// By its parameters.
        computed: MarketId,
    },
    /// No market can have such parameters.
    #[error(transparent)]
    Params(#[from] InvalidParams),
    /// More is taken than there is.
    #[error("{takes} is taken from {quantity} of {has}")]
    Overdrawn {
        /// From what.
        quantity: Quantity,
        /// What there is.
        has: U256,
        /// What goes.
        takes: U256,
    },
    /// More than the contract can store.
    #[error("{quantity} of {has} cannot take {adds} more")]
    TooLarge {
        /// Of what.
        quantity: Quantity,
        /// What there is.
        has: U256,
        /// What comes.
        adds: U256,
    },
    /// Interest is not what the totals and the rates make it.
    #[error("interest makes of the totals {} where {} are stated", totals(.computed), totals(.stated))]
    Interest {
        /// By the event.
        stated: Box<Market>,
        /// By the rates.
        computed: Box<Market>,
    },
    /// The event is of another time than its block.
    #[error("it is of second {stated} in a block of second {block}")]
    WrongTime {
        /// By the event.
        stated: U256,
        /// By the block.
        block: u64,
    },
    /// It is about a pool whose creation was not seen.
    #[error("there is no pool {0}")]
    UnknownPool(B256),
    /// The pool was there already.
    #[error("the pool {0} was created before")]
    PoolTwice(B256),
    /// The id is not that of the pool's tokens and salt.
    #[error("a pool of these tokens and this salt has the id {computed}, not {stated}")]
    WrongPoolId {
        /// By the event.
        stated: B256,
        /// By its tokens and salt.
        computed: B256,
    },
    /// The pool does not pay this token.
    #[error("the pool {pool} has no reward token {reward_token}")]
    UnknownRewardToken {
        /// The pool.
        pool: B256,
        /// The token.
        reward_token: Address,
    },
    /// A figure is not what the pool makes it.
    #[error("{figure} is {computed} where {stated} is stated")]
    Differs {
        /// Which.
        figure: Figure,
        /// By the event.
        stated: U256,
        /// By the book.
        computed: U256,
    },
    /// What rests on a stream changed before the stream was brought to the block's time.
    #[error("the stream was last updated in second {last_update}, not in the block's second {block}")]
    NotUpdated {
        /// The stream's last update.
        last_update: u64,
        /// By the block.
        block: u64,
    },
    /// Epochs were funded that the contract does not let be.
    #[error("{epochs} epochs from {first} on were funded where 26 from {earliest} on can be")]
    EpochsOutOfRange {
        /// The first of them.
        first: U256,
        /// How many.
        epochs: U256,
        /// The first that could be.
        earliest: u64,
    },
    /// A harvest was not on the account's terms.
    #[error("{0} did not agree to such a harvest")]
    NotAgreed(Address),
    /// The book has no row left in this market or pool.
    #[error("2^32 accounts or markets are there, and this book holds no more")]
    Full,
}

/// What is computed from what is in the book, and stated by an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// What a stream's accumulator grows by.
    AccumulatorIncrease,
    /// What a stream has left to pay, below a unit.
    Remainder,
    /// What was added to an epoch since nobody was staked.
    Deferred(u64),
    /// How often that happened in one accrual.
    Deferrals,
    /// What an account could claim.
    Reward(Address),
    /// What an account agreed to pay for a harvest.
    Tip(Address),
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AccumulatorIncrease => f.write_str("the accumulator's increase"),
            Self::Remainder => f.write_str("the stream's remainder"),
            Self::Deferred(epoch) => write!(f, "what joins epoch {epoch}"),
            Self::Deferrals => f.write_str("the number of epochs that something joins"),
            Self::Reward(account) => write!(f, "the reward of {account}"),
            Self::Tip(account) => write!(f, "the tip of {account}"),
        }
    }
}

/// What an event changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Of a market.
    SupplyAssets,
    /// Of a market.
    TotalSupplyShares,
    /// Of a market.
    BorrowAssets,
    /// Of a market.
    TotalBorrowShares,
    /// Of a market.
    ReserveShares,
    /// Of a market, in basis points.
    Fee,
    /// Of a market.
    RateAtTarget,
    /// Of an account.
    SupplyShares(Address),
    /// Of an account.
    BorrowShares(Address),
    /// Of an account.
    Collateral(Address),
    /// Of a backstop, in any of its tokens.
    Cover(Address),
    /// Of a backstop, for any of its markets.
    CoverLimit(Address),
    /// Of a pool.
    TotalStaked,
    /// Of an account.
    Stake(Address),
    /// Of a stream.
    Funded,
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SupplyAssets => f.write_str("the market's supply assets"),
            Self::TotalSupplyShares => f.write_str("the market's supply shares"),
            Self::BorrowAssets => f.write_str("the market's borrow assets"),
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
        }
    }
}

/// What interest changes, in a few words.
fn totals(market: &Market) -> String {
    let Market { supply_assets, supply_shares, borrow_assets, rate_at_target, interest_remainder, .. } = market;
    format!(
        "{supply_assets}/{supply_shares} supplied, {borrow_assets} + {interest_remainder}/2^32 borrowed at {rate_at_target}"
    )
}

/// The book cannot go back that far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the book can go back to block {oldest} and not to block {wanted}: rebuild it")]
pub struct UndoError {
    /// Which was asked for.
    pub wanted: u64,
    /// The earliest possible.
    pub oldest: u64,
}
