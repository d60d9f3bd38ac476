//! Which intents are no longer worth executing as of a block, by the book and its prices alone.

use alloy::primitives::Address;
use plimsoll_contracts::MarketId;

use super::{pricing::PricedBlock, protocols::Liquidatable};
use crate::{
    book::{Book, JobStage},
    intent::{Intent, JobStep, Purpose, Worth},
    math::guard::OrderKind,
};

/// Whether an intent is no longer worth executing as of a block: a liquidation whose loans have all been repaid or are
/// healthy again, or whose gas costs more than it brings at the block's base fee; an order that cannot be executed now, or
/// whose gas costs more; an operation that is not scheduled any more; a step of a job that was made; a harvest whose accounts have nothing to harvest. Rewards of the keeper's own stay until they are
/// claimed, a rebalance moves what still fits, the operator ordered a sweep, and a market without a price proves nothing.
pub(super) fn is_obsolete(intent: &Intent, positions: &Liquidatable, book: &Book, block: &PricedBlock) -> bool {
    match &intent.purpose {
        Purpose::Liquidate { market, borrowers } => {
            let is_done =
                |borrower: &Address| is_liquidatable(book, block, MarketId(*market), *borrower) == Some(false);
            !is_worth_its_base_cost(intent, block) || borrowers.iter().all(is_done)
        }
        Purpose::Seize { deployment, market, accounts } => {
            let is_done = |account: &Address| positions.contains(*deployment, *market, *account, 0) == Some(false);
            !is_worth_its_base_cost(intent, block) || accounts.iter().all(is_done)
        }
        Purpose::ExecuteOrder { market, account, kind } => {
            !is_worth_its_base_cost(intent, block)
                || is_executable(book, block, MarketId(*market), *account, *kind) == Some(false)
        }
        Purpose::Harvest { pool, reward_token, accounts } => {
            let stream = book.pool(*pool).and_then(|pool| pool.stream(*reward_token));
            stream.is_some_and(|stream| {
                let harvestable = stream.harvestable(block.header.timestamp);
                !harvestable.iter().any(|candidate| accounts.contains(&candidate.account))
            })
        }
        Purpose::ExecuteOperation { id } => !book.governance().is_pending(id),
        Purpose::AdvanceJob { id, step, .. } => book.jobs().job(*id).is_none_or(|job| !allows(job.stage, *step)),
        Purpose::ClaimOwn { .. }
        | Purpose::Rebalance { .. }
        | Purpose::HarvestNodes { .. }
        | Purpose::CollectVouchers { .. }
        | Purpose::Sweep { .. } => false,
    }
}

/// Whether a job that waits for this allows the step at some time.
const fn allows(stage: JobStage, step: JobStep) -> bool {
    match stage {
        JobStage::Open { .. } => matches!(step, JobStep::Draw | JobStep::Expire),
        JobStage::Drawn { .. } => matches!(step, JobStep::Close),
        JobStage::Submitted { .. } => matches!(step, JobStep::Finalize | JobStep::Challenge),
    }
}

fn is_worth_its_base_cost(intent: &Intent, block: &PricedBlock) -> bool {
    Worth { margin_bps: 0, ..intent.worth() }.pays_at(block.header.base_fee.into())
}

/// Whether an order can be executed as of a block, by its trigger and its terms; `None` where its market is unknown or has
/// no price.
pub(super) fn is_executable(
    book: &Book,
    block: &PricedBlock,
    id: MarketId,
    account: Address,
    kind: OrderKind,
) -> Option<bool> {
    let PricedBlock { header, prices } = block;
    let (market, price) = book.market(id).zip(prices.of(id).ok())?;
    let order = market.triggered_order(account, kind, price, header.timestamp);
    Some(order.is_some_and(|order| order.placed.executable_from() <= header.timestamp))
}

/// Whether a loan is liquidatable as of a block; `None` where its market is unknown or has no price.
pub(super) fn is_liquidatable(book: &Book, block: &PricedBlock, id: MarketId, borrower: Address) -> Option<bool> {
    let PricedBlock { header, prices } = block;
    let (market, price) = book.market(id).zip(prices.of(id).ok())?;
    let totals = market.at(header.timestamp);
    Some(totals.is_liquidatable(market.position(borrower).loan(), market.liquidation_incentive(), price))
}
