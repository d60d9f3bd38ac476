//! A comparison of a whole book with the chain, for a book that was not made from the chain by this keeper.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use alloy::primitives::Address;
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::MarketId;

use super::{Audited, Mismatch, Sample, compare_job, compare_totals, compare_vault, job_call, vault_calls};
use crate::{
    book::Book,
    chain::Header,
    prices::{Answers, BlockReader, Call, ChainReader, PricedMarket, snapshot},
};

/// Maximum number of positions that are compared, about. Of more, as many are chosen by chance.
const MAX_POSITIONS: u64 = 10_000;
/// Number of positions, markets or vaults that are read with one request.
const CHUNK: usize = 100;

/// Result of a comparison.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Number of markets whose totals were compared.
    pub markets: usize,
    /// Number of positions that were compared.
    pub compared: usize,
    /// Number of positions of the book.
    pub positions: usize,
    /// Differences between the book and the chain.
    pub mismatches: Vec<Mismatch>,
}

/// Compares a book with the chain after a block: the totals of every market, every vault and job, and positions: all, or of more than
/// 10,000 as many by chance. Fails where no node answers.
pub async fn compare_book<R: ChainReader + Clone>(
    reader: R,
    (core, jobs): (Address, Option<Address>),
    book: &Book,
    block: &Header,
) -> Result<Comparison, ChainError> {
    let mut found = Comparison::default();
    let markets: Vec<_> = book.markets().collect();
    for chunk in markets.chunks(CHUNK) {
        let asked: Vec<_> = chunk.iter().map(|market| PricedMarket::of(market)).collect();
        let read = snapshot(&reader, core, block, &asked).await?;
        for market in chunk {
            found.mismatches.extend(match read.stored(market.id()) {
                Some(stored) => compare_totals(block.number, market, stored),
                None => Some(unread(block.number, market.id())),
            });
        }
        found.markets += chunk.len();
    }
    found.positions = markets.iter().map(|market| market.positions_from(0).count()).sum();
    let hasher = RandomState::new();
    let all = u64::try_from(found.positions).unwrap_or(u64::MAX);
    let is_chosen = |account: &Address| all <= MAX_POSITIONS || hasher.hash_one(account) % all < MAX_POSITIONS;
    for market in &markets {
        let accounts: Vec<_> =
            market.positions_from(0).map(|(account, _)| account).filter(|account| is_chosen(account)).collect();
        for accounts in accounts.chunks(CHUNK) {
            let sample = Sample { market: market.id(), accounts: accounts.to_vec() };
            let known = read(&reader, block, sample.calls(core).collect()).await?;
            found.mismatches.extend(sample.compare(&known, core, book, block).unwrap_or_default());
            found.compared += accounts.len();
        }
    }
    for vault in book.vaults() {
        let known = read(&reader, block, vault_calls(vault.address()).to_vec()).await?;
        found.mismatches.extend(compare_vault(&known, vault, block));
    }
    if let Some(jobs) = jobs {
        let all: Vec<_> = book.jobs().jobs_from(0).collect();
        for chunk in all.chunks(CHUNK) {
            let calls = chunk.iter().map(|(id, _)| job_call(jobs, *id)).collect();
            let known = read(&reader, block, calls).await?;
            found.mismatches.extend(chunk.iter().filter_map(|job| compare_job(&known, jobs, *job, block)));
        }
    }
    Ok(found)
}

async fn read<R: ChainReader + Clone>(
    reader: &R,
    block: &Header,
    calls: Vec<Call>,
) -> Result<BlockReader<R>, ChainError> {
    let mut known = BlockReader::new(reader.clone());
    known.set_answers(Arc::new(Answers::request(reader, block, &calls).await?));
    Ok(known)
}

fn unread(block: u64, market: MarketId) -> Mismatch {
    let (in_book, on_chain) = ("known".to_owned(), "not readable".to_owned());
    Mismatch { block, market, what: Audited::Totals, in_book, on_chain }
}
