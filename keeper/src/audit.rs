//! The shadow audit: does the book equal the chain? Totals are compared in every block, with the snapshot that is read
//! for the prices anyway. Positions are compared in samples, in rotation, so that every position is compared again and
//! again.
//!
//! A mismatch is reported with both values and never stops the keeper: a transaction that is wrong because of it
//! reverts. Totals that mismatch for several blocks mean that events were missed, because every node left them out; the
//! book is then rebuilt.

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
    prices::{Call, ChainReader},
};

/// Gas limit of a sample, more than the lens uses for any reasonable number of positions.
const SAMPLE_GAS: u64 = 50_000_000;

/// Positions of one market as the book has them after a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Header of the block.
    pub header: Header,
    /// Id of the market.
    pub market: MarketId,
    /// Accounts with their positions.
    pub positions: Vec<(Address, Position)>,
}

/// A value that differs between book and chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Number of the block after which it was compared.
    pub block: u64,
    /// Id of the market.
    pub market: MarketId,
    /// Account of the position; `None` for the market's totals.
    pub account: Option<Address>,
    /// Value in the book.
    pub in_book: String,
    /// Value on the chain.
    pub on_chain: String,
}

/// Number of blocks in a row with mismatching totals after which the book is taken to be wrong.
const MAX_MISMATCHING_BLOCKS: u32 = 3;
/// Number of blocks for which the book is not rebuilt again. If it still mismatches after a rebuild, the node that is
/// asked is wrong.
const MIN_BLOCKS_BETWEEN_REBUILDS: u64 = 1_000;

/// Chooses the positions to compare next, and decides when the book must be rebuilt.
#[derive(Debug, Default)]
pub struct Auditor {
    /// Index of the market of the next sample.
    market: usize,
    /// Index of its first position within that market.
    position: usize,
    /// Number of blocks in a row with mismatching totals.
    mismatching_blocks: u32,
    /// First block in which the book may be rebuilt.
    next_rebuild: u64,
}

impl Auditor {
    /// Records whether any market's totals mismatch after a block. Returns whether the book must be rebuilt: an event
    /// that was missed is not delivered again by itself.
    pub fn must_rebuild(&mut self, block: u64, has_mismatch: bool) -> bool {
        self.mismatching_blocks = if has_mismatch { self.mismatching_blocks + 1 } else { 0 };
        if self.mismatching_blocks < MAX_MISMATCHING_BLOCKS || block < self.next_rebuild {
            return false;
        }
        (self.mismatching_blocks, self.next_rebuild) = (0, block.saturating_add(MIN_BLOCKS_BETWEEN_REBUILDS));
        true
    }

    /// Takes the next sample of at most `size` positions of one market, as they are after the block that was just
    /// applied. Returns `None` while there are no positions.
    pub fn sample(&mut self, book: &Book, header: Header, size: usize) -> Option<Sample> {
        // A market may be empty, so that each is tried once.
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
    /// Reads these positions from the lens, in the block of the sample. Fails if the node or the lens does not answer.
    pub async fn fetch<R: ChainReader>(&self, reads: &R, lens: Address) -> Result<ILens::Positions, ChainError> {
        let accounts = self.positions.iter().map(|(account, _)| *account).collect();
        let data = ILens::positionsCall { id: self.market.0, accounts }.abi_encode().into();
        let call = Call { from: Address::ZERO, to: lens, data, gas: SAMPLE_GAS };
        let result = reads.simulate_independent(self.header.hash, &[call]).await?.pop();
        let lens_error = |what: String| reads.invalid_response(format!("the lens {lens}: {what}"));
        let result = result.unwrap_or_else(|| Ok(Bytes::new())).map_err(|refusal| lens_error(refusal.to_string()))?;
        ILens::positionsCall::abi_decode_returns(&result).map_err(|error| lens_error(error.to_string()))
    }

    /// Compares the sample with what the lens read. A position that the lens left out counts as a mismatch.
    #[must_use]
    pub fn compare(&self, on_chain: &ILens::Positions) -> Vec<Mismatch> {
        let mut lines = on_chain.lines.iter();
        let mismatches = self.positions.iter().filter_map(|(account, position)| {
            let line = lines.next();
            let on_chain = line.map(|line| [line.supplyShares, line.borrowShares, line.collateral]);
            let Position { supply_shares, borrow_shares, collateral } = *position;
            (on_chain != Some([supply_shares, borrow_shares, collateral].map(U256::from))).then(|| Mismatch {
                block: self.header.number,
                market: self.market,
                account: Some(*account),
                in_book: format!("{position:?}"),
                on_chain: line.map_or_else(|| "no answer".to_owned(), |_| format!("{on_chain:?}")),
            })
        });
        mismatches.collect()
    }
}

/// Compares a market's totals with those on the chain after the same block. Returns `None` if they are equal.
#[must_use]
pub fn compare_totals(block: u64, market: &MarketBook, on_chain: &MarketOnChain) -> Option<Mismatch> {
    let totals = &market.state().totals;
    (MarketOnChain::from(*totals) != *on_chain).then(|| Mismatch {
        block,
        market: market.id(),
        account: None,
        in_book: format!("{totals:?}"),
        on_chain: format!("{on_chain:?}"),
    })
}

impl fmt::Display for Mismatch {
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
    fn a_book_with_lasting_mismatches_is_rebuilt_and_not_again_for_a_while() {
        let mut auditor = Auditor::default();
        let mut rebuilds = |blocks: std::ops::Range<u64>, has_mismatch: bool| {
            blocks.filter(|block| auditor.must_rebuild(*block, has_mismatch)).collect::<Vec<_>>()
        };
        assert_eq!(rebuilds(1..3, true), [] as [u64; 0]);
        assert_eq!(rebuilds(3..4, false), [] as [u64; 0]);
        assert_eq!(rebuilds(4..20, true), [6]);
        assert_eq!(rebuilds(20..3_000, true), [1_006, 2_006]);
    }
}
