//! Lots: what can be liquidated in a block, as values that no longer depend on the protocol's state.
//!
//! A strategy takes lots from [`Protocol::liquidatable`](crate::Protocol::liquidatable), chooses how much of each is repaid
//! and by which route the collateral is sold, and asks the lot for what the executor contract needs. So a protocol
//! implements two things: which lots there are, and a [`Loan`] for each.

use std::{fmt, sync::Arc};

use alloy::primitives::{Address, B256, Bytes, U256};

use crate::Liquidation;

/// A position that is liquidatable, with one pair of its tokens. Lots of the same market and account exclude each other: at
/// most one of them is liquidated in a block.
#[derive(Debug, Clone)]
pub struct Lot {
    /// Id of the market; of a protocol without markets, the deployment's address as a word.
    pub market: B256,
    /// The borrower.
    pub account: Address,
    /// The collateral token, as the liquidator receives it in the end: never a receipt for it. [`NATIVE_COIN`](crate::NATIVE_COIN)
    /// of the chain's own coin.
    pub collateral: Address,
    /// The debt token, as the liquidator pays it; the same of the chain's own coin.
    pub debt: Address,
    /// What the largest liquidation that the protocol allows does.
    pub whole: Liquidation,
    /// Why the executor contract cannot liquidate it, though the protocol can; `None` where nothing stands in the way.
    pub obstacle: Option<&'static str>,
    /// What the protocol would do with a part of it.
    pub loan: Arc<dyn Loan>,
}

/// How the protocol liquidates one lot, as of the block that the lot is of. Exact.
pub trait Loan: fmt::Debug + Send + Sync {
    /// Returns the contract by which the executor lists what is called, where that is not the protocol's main one.
    fn target(&self) -> Option<Address> {
        None
    }

    /// Returns what the protocol does if no more than this is repaid, in units of the debt token, and what an item of the
    /// executor needs for it; `None` if the protocol would do nothing.
    fn expect(&self, max_repay: U256) -> Option<Expected>;
}

/// A liquidation of a lot or of a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// What the protocol does.
    pub liquidation: Liquidation,
    /// Units of the debt token that the executor offers: what is repaid, and where the protocol takes no more than that, what
    /// accrues until the transaction is mined; zero where `data` name the amount. The same from block to block as far as
    /// possible, so that a call can be tried before its block is known: of no more significant digits than needed.
    pub offered: U256,
    /// The protocol's own part of an executor's item.
    pub data: Bytes,
}

/// Rounds an amount down to so many significant binary digits, so that interest of a few blocks leaves it as it is.
#[must_use]
pub const fn leading_digits(amount: U256, digits: usize) -> U256 {
    let dropped = amount.bit_len().saturating_sub(digits);
    amount.wrapping_shr(dropped).wrapping_shl(dropped)
}

/// The least bonus, in units of a debt token, that is worth a liquidation; `None` of a token that is worth nothing.
pub type LeastBonus<'a> = &'a dyn Fn(Address) -> Option<U256>;
