//! The shadow audit: does the book equal the chain? Totals are compared in every block, with the snapshot that is read
//! for the prices anyway; positions in samples, in turn, so that everybody's comes round.
//!
//! A difference is reported with both values and never stops the keeper: what it would wrongly send, the chain refuses.
//! Totals that stay different for some blocks mean that events were missed, by a lie of every node; the book is then made
//! anew.

use std::fmt;

use alloy::{
    primitives::{Address, Bytes, U256},
    sol_types::SolCall,
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{ILens, Market as MarketOnChain, MarketId};

use crate::{
    book::{Book, MarketBook, Position},
    chain::Header,
    prices::{Call, Reads},
};

/// More than the lens takes for as many positions as anybody samples.
const GAS: u64 = 50_000_000;

/// Positions as the book had them after a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The block.
    pub header: Header,
    /// Of which market.
    pub market: MarketId,
    /// Whose, and what.
    pub positions: Vec<(Address, Position)>,
}

/// Something that the book has otherwise than the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// After which block.
    pub block: u64,
    /// In which market.
    pub market: MarketId,
    /// Whose position; `None` for the market's totals.
    pub account: Option<Address>,
    /// What the book has.
    pub in_book: String,
    /// What the chain has.
    pub on_chain: String,
}

/// So many blocks in a row in which totals differ show that it is the book that is wrong.
const DIFFERING_BLOCKS: u32 = 3;
/// A book that is still wrong when it was made anew is not made anew again for this many blocks: then it is whoever is
/// asked that is wrong.
const BLOCKS_BETWEEN_REBUILDS: u64 = 1_000;

/// Whose turn it is, and whether the book can be relied on.
#[derive(Debug, Default)]
pub struct Auditor {
    market: usize,
    position: usize,
    /// Blocks in a row in which totals differed.
    differing: u32,
    /// When the book may be made anew again.
    next_rebuild: u64,
}

impl Auditor {
    /// Notes whether any market's totals differ after a block. Whether the book must be made anew: what was missed once
    /// does not come back by itself.
    pub fn must_rebuild(&mut self, block: u64, is_different: bool) -> bool {
        self.differing = if is_different { self.differing + 1 } else { 0 };
        if self.differing < DIFFERING_BLOCKS || block < self.next_rebuild {
            return false;
        }
        (self.differing, self.next_rebuild) = (0, block.saturating_add(BLOCKS_BETWEEN_REBUILDS));
        true
    }

    /// The next so many positions, as they are after a block that was just applied. `None` while there are none.
    pub fn sample(&mut self, book: &Book, header: Header, size: usize) -> Option<Sample> {
        // Once round: a market may be empty.
        for _ in 0..=book.markets().count() {
            if let Some(market) = book.markets().nth(self.market) {
                let positions: Vec<_> = market.positions_from(self.position).take(size).collect();
                self.position += positions.len();
                if positions.len() < size {
                    (self.market, self.position) = (self.market + 1, 0);
                }
                if !positions.is_empty() {
                    return Some(Sample { header, market: market.id(), positions });
                }
            } else {
                (self.market, self.position) = (0, 0);
            }
        }
        None
    }
}

impl Sample {
    /// Asks the lens about them, in their block. Fails where the node or the lens does not answer.
    pub async fn ask<R: Reads>(&self, reads: &R, lens: Address) -> Result<ILens::Positions, ChainError> {
        let accounts = self.positions.iter().map(|(account, _)| *account).collect();
        let data = ILens::positionsCall { id: self.market.0, accounts }.abi_encode().into();
        let call = Call { from: Address::ZERO, to: lens, data, gas: GAS };
        let answer = reads.calls(self.header.hash, &[call]).await?.pop();
        let no_lens = |what: String| reads.error(format!("the lens {lens}: {what}"));
        let answer = answer.unwrap_or_else(|| Ok(Bytes::new())).map_err(|refusal| no_lens(refusal.to_string()))?;
        ILens::positionsCall::abi_decode_returns(&answer).map_err(|error| no_lens(error.to_string()))
    }

    /// What is otherwise on the chain, by the lens's answer.
    #[must_use]
    pub fn compare(&self, answer: &ILens::Positions) -> Vec<Difference> {
        let mut lines = answer.lines.iter();
        let compared = self.positions.iter().filter_map(|(account, position)| {
            let line = lines.next();
            let on_chain = line.map(|line| [line.supplyShares, line.borrowShares, line.collateral]);
            let Position { supply_shares, borrow_shares, collateral } = *position;
            (on_chain != Some([supply_shares, borrow_shares, collateral].map(U256::from))).then(|| Difference {
                block: self.header.number,
                market: self.market,
                account: Some(*account),
                in_book: format!("{position:?}"),
                on_chain: line.map_or_else(|| "no answer".to_owned(), |_| format!("{on_chain:?}")),
            })
        });
        compared.collect()
    }
}

/// Whether a market's totals are those on chain after the same block.
#[must_use]
pub fn compare_totals(block: u64, market: &MarketBook, on_chain: &MarketOnChain) -> Option<Difference> {
    let totals = &market.state().totals;
    (MarketOnChain::from(*totals) != *on_chain).then(|| Difference {
        block,
        market: market.id(),
        account: None,
        in_book: format!("{totals:?}"),
        on_chain: format!("{on_chain:?}"),
    })
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { block, market, account, in_book, on_chain } = self;
        match account {
            Some(account) => write!(f, "the position of {account} in market {market}")?,
            None => write!(f, "the totals of market {market}")?,
        }
        write!(f, " after block {block} are {in_book} in the book and {on_chain} on the chain")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_that_stays_wrong_is_made_anew_and_not_again_and_again() {
        let mut auditor = Auditor::default();
        let mut look = |blocks: std::ops::Range<u64>, is_different: bool| {
            blocks.filter(|block| auditor.must_rebuild(*block, is_different)).collect::<Vec<_>>()
        };
        assert_eq!(look(1..3, true), [] as [u64; 0]);
        assert_eq!(look(3..4, false), [] as [u64; 0]);
        assert_eq!(look(4..20, true), [6]);
        assert_eq!(look(20..3_000, true), [1_006, 2_006]);
    }
}
