//! Why a block's events cannot be true.

use alloy::primitives::{Address, U256};
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
    /// The book has no row left in this market.
    #[error("the market has 2^32 positions, and this book holds no more")]
    Full,
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
