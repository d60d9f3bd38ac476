//! A comparison of a whole book with the chain, for a book that was not made from the chain by this keeper.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use alloy::primitives::Address;
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::MarketId;

use super::{
    Audited, Mismatch, Sample, compare_job, compare_totals, compare_vault, job_call,
    stored::{self, Check},
    vault_calls,
};
use crate::{
    book::{Book, PlacedOrder},
    chain::{Header, Sources},
    math::guard::OrderKind,
    prices::{Answers, BlockReader, Call, ChainReader, PricedMarket, snapshot},
};

/// Maximum number of positions, of stakes and of orders that are compared, about. Of more, as many are chosen by chance.
const MAX_COMPARED: u64 = 10_000;
/// Number of positions, markets or other parts that are read with one request.
const CHUNK: usize = 100;

/// Result of a comparison.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Number of markets whose totals were compared.
    pub markets: usize,
    /// Numbers of positions: those that were compared, and all of the book.
    pub positions: Compared,
    /// The same of stakes in programmes.
    pub stakes: Compared,
    /// The same of orders at the guard.
    pub orders: Compared,
    /// Number of scheduled operations and proposals.
    pub operations: usize,
    /// Differences between the book and the chain, in words.
    pub differences: Vec<String>,
}

/// How many of the book were compared.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// Number of those that were compared.
    pub compared: usize,
    /// Number of all.
    pub all: usize,
}

/// Compares a book with the chain after a block: every market, programme, vault, job and node, cover, what is scheduled and
/// proposed; and positions, stakes and orders: all, or of more than 10,000 of a kind as many by chance. Fails where no node
/// answers.
///
/// That none of the positions and stakes is missing is known by their sums, which equal the totals. What the chain cannot be
/// asked for is not compared: whether there are further orders, operations and proposals; how earlier operations ended; when a
/// node's emission was claimed last.
pub async fn compare_book<R: ChainReader + Clone>(
    reader: R,
    sources: &Sources,
    book: &Book,
    block: &Header,
) -> Result<Comparison, ChainError> {
    let mut found = Comparison::default();
    let core = sources.core;
    let markets: Vec<_> = book.markets().collect();
    for chunk in markets.chunks(CHUNK) {
        let asked: Vec<_> = chunk.iter().map(|market| PricedMarket::of(market)).collect();
        let read = snapshot(&reader, core, block, &asked).await?;
        for market in chunk {
            let mismatch = match read.stored(market.id()) {
                Some(stored) => compare_totals(block.number, market, stored),
                None => Some(unread(block.number, market.id())),
            };
            found.differences.extend(mismatch.map(|mismatch| mismatch.to_string()));
        }
        found.markets += chunk.len();
    }
    let sampler = Sampler::of(markets.iter().map(|market| market.positions_from(0).count()).sum());
    found.positions.all = sampler.all;
    for market in &markets {
        let accounts: Vec<_> =
            market.positions_from(0).map(|(account, _)| account).filter(|account| sampler.takes(account)).collect();
        for accounts in accounts.chunks(CHUNK) {
            let sample = Sample { market: market.id(), accounts: accounts.to_vec() };
            let known = read(&reader, block, sample.calls(core).collect()).await?;
            let mismatches = sample.compare(&known, core, book, block).unwrap_or_default();
            found.differences.extend(mismatches.iter().map(ToString::to_string));
            found.positions.compared += accounts.len();
        }
    }
    for vault in book.vaults() {
        let known = read(&reader, block, vault_calls(vault.address()).to_vec()).await?;
        found.differences.extend(compare_vault(&known, vault, block).map(|mismatch| mismatch.to_string()));
    }
    if let Some(nodes) = sources.nodes {
        let all: Vec<_> = book.jobs().jobs_from(0).collect();
        for chunk in all.chunks(CHUNK) {
            let calls = chunk.iter().map(|(id, _)| job_call(nodes.jobs, *id)).collect();
            let known = read(&reader, block, calls).await?;
            let mismatches = chunk.iter().filter_map(|job| compare_job(&known, nodes.jobs, *job, block));
            found.differences.extend(mismatches.map(|mismatch| mismatch.to_string()));
        }
    }
    compare_stored(&reader, sources, book, block, &mut found).await?;
    Ok(found)
}

/// Compares everything else that is read part by part.
async fn compare_stored<R: ChainReader>(
    reader: &R,
    sources: &Sources,
    book: &Book,
    block: &Header,
    found: &mut Comparison,
) -> Result<(), ChainError> {
    let mut checks: Vec<Check> = stored::followed(book, sources).chain(stored::cover(sources.core, book)).collect();
    checks.extend(book.markets().flat_map(|market| stored::market(sources.core, market)));
    checks.extend(book.vaults().flat_map(stored::vault));
    if let Some(nodes) = sources.nodes {
        checks.extend(book.jobs().nodes().map(|node| stored::node(nodes.registry, node)));
    }
    if let Some(contracts) = &sources.governance {
        let state = book.governance();
        found.operations = state.operations.len() + state.proposals.len();
        found.differences.extend(stored::strangers(contracts, book));
        checks.extend(stored::governance(contracts, book, block.timestamp));
    }
    if let Some(guard) = sources.guard {
        let sampler = Sampler::of(book.markets().map(|market| market.orders().count()).sum());
        found.orders.all = sampler.all;
        for market in book.markets() {
            let is_compared = |(account, _, placed): &(Address, OrderKind, &PlacedOrder)| {
                sampler.takes(account) && placed.is_valid_at(block.timestamp)
            };
            let before = checks.len();
            checks.extend(market.orders().filter(is_compared).map(|placed| stored::order(guard, market, placed)));
            found.orders.compared += checks.len() - before;
        }
    }
    if let Some(rewards) = sources.rewards {
        let sampler = Sampler::of(book.pools().map(|pool| pool.stakes().count()).sum());
        found.stakes.all = sampler.all;
        for pool in book.pools() {
            checks.extend(stored::pool(rewards, pool, block.timestamp));
            for (account, _) in pool.stakes().filter(|(account, _)| sampler.takes(account)) {
                checks.extend(stored::stake(rewards, pool, account));
                found.stakes.compared += 1;
            }
        }
    }
    for checks in checks.chunks(CHUNK) {
        let answers = reader.run_each(block, checks.iter().map(|check| check.call.clone())).await?;
        let differences =
            checks.iter().zip(&answers).filter_map(|(check, answer)| check.difference(block.number, &answer.result));
        found.differences.extend(differences);
    }
    Ok(())
}

/// Chooses accounts by chance, about [`MAX_COMPARED`] of all.
struct Sampler {
    all: usize,
    hasher: RandomState,
}

impl Sampler {
    fn of(all: usize) -> Self {
        Self { all, hasher: RandomState::new() }
    }

    fn takes(&self, account: &Address) -> bool {
        let all = u64::try_from(self.all).unwrap_or(u64::MAX);
        all <= MAX_COMPARED || self.hasher.hash_one(account) % all < MAX_COMPARED
    }
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
