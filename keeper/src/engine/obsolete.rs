//! Which intents are no longer worth executing as of a block, by the book and its prices alone.

use alloy::primitives::Address;
use plimsoll_contracts::MarketId;

use super::pricing::PricedBlock;
use crate::{
    book::Book,
    intent::{Intent, Purpose, Worth},
};

/// Whether an intent is no longer worth executing as of a block: a liquidation whose loans have all been repaid or are
/// healthy again, or whose gas costs more than it brings at the block's base fee; a harvest whose accounts have nothing
/// to harvest. Rewards of the keeper's own stay until they are claimed, the operator ordered a sweep, and a market without a
/// price proves nothing.
pub(super) fn is_obsolete(intent: &Intent, book: &Book, block: &PricedBlock) -> bool {
    match &intent.purpose {
        Purpose::Liquidate { market, borrowers } => {
            let is_done =
                |borrower: &Address| is_liquidatable(book, block, MarketId(*market), *borrower) == Some(false);
            let is_worth_its_base_cost =
                Worth { margin_bps: 0, ..intent.worth() }.pays_at(block.header.base_fee.into());
            !is_worth_its_base_cost || borrowers.iter().all(is_done)
        }
        Purpose::Harvest { pool, reward_token, accounts } => {
            let stream = book.pool(*pool).and_then(|pool| pool.stream(*reward_token));
            stream.is_some_and(|stream| {
                let harvestable = stream.harvestable(block.header.timestamp);
                !harvestable.iter().any(|candidate| accounts.contains(&candidate.account))
            })
        }
        Purpose::ClaimOwn { .. } | Purpose::Sweep { .. } => false,
    }
}

/// Whether a loan is liquidatable as of a block; `None` where its market is unknown or has no price.
pub(super) fn is_liquidatable(book: &Book, block: &PricedBlock, id: MarketId, borrower: Address) -> Option<bool> {
    let PricedBlock { header, prices } = block;
    let (market, price) = book.market(id).zip(prices.of(id).ok())?;
    let totals = market.at(header.timestamp);
    Some(totals.is_liquidatable(market.position(borrower).loan(), market.liquidation_incentive(), price))
}
