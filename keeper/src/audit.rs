//! The shadow audit: does the book equal the chain? Totals are compared in every block, and positions in samples, in
//! rotation, so that every position is compared again and again; vaults and some jobs of nodes with every sample. All are
//! read with the block's own request.
//!
//! A mismatch is reported with both values and never stops the keeper: a transaction that is wrong because of it
//! reverts. Totals that mismatch for several blocks mean that events were missed, because every node left them out; the
//! book is then rebuilt.

mod jobs;
mod stored;
mod whole;

use std::fmt;

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolCall,
};
use plimsoll_contracts::{
    IPlimsoll::positionCall,
    IVault::{self, holdingsCall, stateCall},
    Market as MarketOnChain, MarketId,
};

pub use self::{
    jobs::{compare_job, job_call},
    whole::{Compared, Comparison, compare_book},
};
use crate::{
    book::{Book, MarketBook, VaultBook},
    chain::Header,
    prices::{Call, CallResult, ChainReader},
};

/// Gas for reading a position, which uses some ten thousand.
const POSITION_GAS: u64 = 100_000;
/// Gas for reading the positions of a vault, which use some twenty thousand for each market.
const VAULT_GAS: u64 = 1_000_000;

/// Positions of one market that are compared in a block to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Id of the market.
    pub market: MarketId,
    /// Accounts of the positions.
    pub accounts: Vec<Address>,
}

/// A value that differs between book and chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Number of the block after which it was compared.
    pub block: u64,
    /// Id of the market or job, or address of the vault, as a word.
    pub market: MarketId,
    /// What differs there.
    pub what: Audited,
    /// Value in the book.
    pub in_book: String,
    /// Value on the chain.
    pub on_chain: String,
}

/// Part of the book that is compared with the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audited {
    /// The totals of a market.
    Totals,
    /// The position of an account.
    Position(Address),
    /// A vault: its value, its settings, and what it counts in each market.
    Vault,
    /// A job of nodes.
    Job(u64),
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
    /// that was missed is not delivered again by itself. Where it was not rebuilt, it is due again after as many blocks.
    pub const fn must_rebuild(&mut self, block: u64, has_mismatch: bool) -> bool {
        self.mismatching_blocks = if has_mismatch { self.mismatching_blocks + 1 } else { 0 };
        if self.mismatching_blocks < MAX_MISMATCHING_BLOCKS || block < self.next_rebuild {
            return false;
        }
        self.mismatching_blocks = 0;
        true
    }

    /// Records that the book is rebuilt after a block: it is not again for some time.
    pub const fn on_rebuilt(&mut self, block: u64) {
        self.next_rebuild = block.saturating_add(MIN_BLOCKS_BETWEEN_REBUILDS);
    }

    /// Takes the next sample of at most `size` positions of one market. Returns `None` while there are no positions.
    pub fn sample(&mut self, book: &Book, size: usize) -> Option<Sample> {
        // A market may be empty, so that each is tried once.
        for _ in 0..=book.markets().count() {
            if let Some(market) = book.markets().nth(self.market) {
                let accounts: Vec<_> =
                    market.positions_from(self.position).take(size).map(|(account, _)| account).collect();
                self.position += accounts.len();
                if accounts.len() < size {
                    (self.market, self.position) = (self.market + 1, 0);
                }
                if !accounts.is_empty() {
                    return Some(Sample { market: market.id(), accounts });
                }
            } else {
                (self.market, self.position) = (0, 0);
            }
        }
        None
    }
}

impl Sample {
    /// Returns the calls by which the positions are read from the core.
    pub fn calls(&self, core: Address) -> impl Iterator<Item = Call> {
        let data = |account| positionCall { id: self.market.0, account }.abi_encode();
        self.accounts.iter().map(move |account| Call::view(core, data(*account), POSITION_GAS))
    }

    /// Compares the book after a block with what the block's own request answered. A position that cannot be read counts
    /// as a mismatch. Returns `None` where the request had no such calls.
    pub fn compare<R: ChainReader>(
        &self,
        reader: &R,
        core: Address,
        book: &Book,
        block: &Header,
    ) -> Option<Vec<Mismatch>> {
        let answers: Option<Vec<_>> = self.calls(core).map(|call| reader.known(block, &call)).collect();
        let market = book.market(self.market)?;
        let mismatch = |(account, result): (&Address, &CallResult)| {
            let in_book = market.position(*account);
            let words = [in_book.supply_shares, in_book.borrow_shares, in_book.collateral].map(U256::from);
            let on_chain = result.as_ref().ok().and_then(|data| positionCall::abi_decode_returns(data).ok());
            let read = on_chain.map(|read| [read.supplyShares, read.borrowShares, read.collateral]);
            (read != Some(words)).then(|| Mismatch {
                block: block.number,
                market: self.market,
                what: Audited::Position(*account),
                in_book: format!("{in_book:?}"),
                on_chain: read.map_or_else(|| "no answer".to_owned(), |read| format!("{read:?}")),
            })
        };
        let answers = answers?;
        Some(self.accounts.iter().zip(answers.iter().map(|call| &call.result)).filter_map(mismatch).collect())
    }
}

/// Compares a market's totals with those on the chain after the same block. Returns `None` if they are equal.
#[must_use]
pub fn compare_totals(block: u64, market: &MarketBook, on_chain: &MarketOnChain) -> Option<Mismatch> {
    let totals = &market.state().totals;
    (MarketOnChain::from(*totals) != *on_chain).then(|| Mismatch {
        block,
        market: market.id(),
        what: Audited::Totals,
        in_book: format!("{totals:?}"),
        on_chain: format!("{on_chain:?}"),
    })
}

/// Returns the calls by which a vault's value, settings and positions are read.
#[must_use]
pub fn vault_calls(vault: Address) -> [Call; 2] {
    let call = |data: Vec<u8>| Call::view(vault, data, VAULT_GAS);
    [call(stateCall {}.abi_encode()), call(holdingsCall {}.abi_encode())]
}

/// Compares a vault after a block with what the block's own request answered. A vault that cannot be read counts as a
/// mismatch. Returns `None` where they are equal, or the request had no such calls.
pub fn compare_vault<R: ChainReader>(reader: &R, vault: &VaultBook, block: &Header) -> Option<Mismatch> {
    let [state, holdings] = vault_calls(vault.address()).map(|call| reader.known(block, &call));
    let (state, holdings) = (state?.result.ok(), holdings?.result.ok());
    let read = || {
        let holdings = holdingsCall::abi_decode_returns(&holdings?).ok()?;
        let shares: Vec<_> = holdings.iter().map(|holding| (holding.id, holding.shares)).collect();
        Some((stateCall::abi_decode_returns(&state?).ok()?, shares))
    };
    let (on_chain, in_book) = (read(), as_on_chain(vault));
    (on_chain.as_ref() != Some(&in_book)).then(|| Mismatch {
        block: block.number,
        market: MarketId(vault.address().into_word()),
        what: Audited::Vault,
        in_book: format!("{in_book:?}"),
        on_chain: on_chain.map_or_else(|| "no answer".to_owned(), |read| format!("{read:?}")),
    })
}

/// Returns a vault as its contract's views describe it.
fn as_on_chain(vault: &VaultBook) -> (IVault::State, Vec<(B256, U256)>) {
    let state = vault.state();
    let view = IVault::State {
        lastTotal: U256::from(state.last_total),
        highWaterMark: U256::from(state.high_water_mark),
        idle: U256::from(state.idle),
        lastUpdate: U256::from(state.last_update),
        maxRatePerSecond: U256::from(state.max_rate),
        feeBps: U256::from(state.fee_bps),
        depositMarket: state.deposit_market.map(|market| market.0).unwrap_or_default(),
    };
    (view, state.holdings.iter().map(|holding| (holding.market.0, U256::from(holding.shares))).collect())
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { block, market, what, in_book, on_chain } = self;
        match what {
            Audited::Position(account) => write!(f, "the position of {account} in market {market}")?,
            Audited::Totals => write!(f, "the totals of market {market}")?,
            Audited::Vault => write!(f, "the books of vault {}", Address::from_word(market.0))?,
            Audited::Job(id) => write!(f, "job {id} as it is kept")?,
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
            let is_rebuilt = |block: &u64| {
                let is_due = auditor.must_rebuild(*block, has_mismatch);
                if is_due {
                    auditor.on_rebuilt(*block);
                }
                is_due
            };
            blocks.filter(is_rebuilt).collect::<Vec<_>>()
        };
        assert_eq!(rebuilds(1..3, true), [] as [u64; 0]);
        assert_eq!(rebuilds(3..4, false), [] as [u64; 0]);
        assert_eq!(rebuilds(4..20, true), [6]);
        assert_eq!(rebuilds(20..3_000, true), [1_006, 2_006]);
    }

    #[test]
    fn a_rebuild_that_could_not_be_made_is_due_again() {
        let mut auditor = Auditor::default();
        let due: Vec<_> = (1..10).filter(|block| auditor.must_rebuild(*block, true)).collect();
        assert_eq!(due, [3, 6, 9]);
    }
}
