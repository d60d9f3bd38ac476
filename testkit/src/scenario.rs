//! A market that is played block by block while a keeper works on it.
//!
//! The caller chooses the timestamp of each block and the prices that it brings. In a block the keeper's transactions
//! come first, decided on the previous block. A trade then brings the pool to the price of all other exchanges, which
//! undoes what the keeper's sale moved. The price feed is updated last.

use std::{collections::BTreeMap, mem};

use alloy::{
    eips::BlockId,
    primitives::{Address, B256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::{Log, TransactionReceipt},
    sol_types::SolEvent,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{
    IAggregatorV3::AnswerUpdated,
    ILiquidator::LiquidateWithoutCapital,
    IPlimsoll::{Liquidate, RealiseLoss},
    IRewards::Harvest,
};

use crate::{
    keeper::Keeper,
    market_env::{LoanSummary, MarketEnv},
};

/// Seconds between consecutive blocks, which is also how often a feed compares its answer with the market.
pub const BLOCK_SECS: u64 = 12;

/// A market whose blocks are mined one by one.
#[derive(Debug)]
pub struct Scenario<'a> {
    /// The market with its feed and pool.
    pub market_env: &'a MarketEnv<'a>,
    /// Every account that has a loan.
    pub borrowers: Vec<Address>,
    /// The loans in the first block.
    pub initial_loans: LoanSummary,
    /// Number of the first block.
    pub first_block: u64,
    base_fee: u128,
    /// Timestamp of the first block.
    start: u64,
    /// Liquidatable borrowers, each with the block since which it is.
    liquidatable: BTreeMap<Address, BlockTime>,
}

/// A block's place in a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockTime {
    /// Seconds since the first block.
    pub second: u64,
    /// Number of the block.
    pub block: u64,
}

/// A block that was mined, with its effects.
#[derive(Debug)]
pub struct MinedBlock {
    /// Time and number of the block.
    pub at: BlockTime,
    /// Receipts of all its transactions, in order.
    pub receipts: Vec<TransactionReceipt>,
    /// The loans after the block.
    pub loans: LoanSummary,
    /// Borrowers that were liquidatable before the block, each with the block since which it was.
    pub liquidatable_before: BTreeMap<Address, BlockTime>,
}

/// An event that matters for a market.
#[derive(Debug)]
pub enum MarketEvent {
    /// A price feed was updated.
    PriceUpdate(AnswerUpdated),
    /// A loan was liquidated.
    Liquidation(Liquidate),
    /// Bad debt was realised.
    Loss(RealiseLoss),
    /// The liquidator contract paid out a profit.
    Profit(LiquidateWithoutCapital),
    /// A staking reward was harvested.
    Harvest(Harvest),
}

impl<'a> Scenario<'a> {
    /// Starts a scenario: from now on blocks are mined by [`Scenario::mine`] only, with a fixed base fee in wei.
    ///
    /// # Errors
    /// When the node does not answer, or the oracle has no price.
    pub async fn start(market_env: &'a MarketEnv<'a>, base_fee: u128) -> eyre::Result<Self> {
        let provider = market_env.provider();
        provider.anvil_set_auto_mine(false).await?;
        // Transactions are priced by the base fee of the last block.
        provider.anvil_set_next_block_base_fee_per_gas(base_fee).await?;
        provider.evm_mine(None).await?;
        let block = provider.get_block(BlockId::latest()).await?.wrap_err("the node has no block")?;
        let borrowers = market_env.borrowers().await?;
        let initial_loans = market_env.loan_summary(&borrowers).await?;
        let (start, first_block) = (block.header.timestamp, block.header.number);
        Ok(Self { market_env, borrowers, initial_loans, first_block, base_fee, start, liquidatable: BTreeMap::new() })
    }

    /// Mines a block `second` seconds after the first one. Afterwards the pool has the price, and the feed the answer
    /// where there is one.
    ///
    /// # Errors
    /// When the trade or the update of the feed was not mined in this block, or reverted.
    pub async fn mine(&mut self, second: u64, price: u128, answer: Option<u128>) -> eyre::Result<MinedBlock> {
        let provider = self.market_env.provider();
        provider.anvil_set_next_block_base_fee_per_gas(self.base_fee).await?;
        let sent = self.market_env.send_prices(price, answer, self.base_fee).await?;
        provider.anvil_set_next_block_timestamp(self.start + second).await?;
        provider.evm_mine(None).await?;
        let receipts = provider.get_block_receipts(BlockId::latest()).await?.unwrap_or_default();
        ensure_succeeded(&receipts, &sent)?;
        let block = receipts.first().and_then(|receipt| receipt.block_number).wrap_err("a receipt of no block")?;
        let loans = self.market_env.loan_summary(&self.borrowers).await?;
        let (at, liquidatable_before) = (BlockTime { second, block }, mem::take(&mut self.liquidatable));
        let since = |account: &Address| (*account, liquidatable_before.get(account).copied().unwrap_or(at));
        self.liquidatable = loans.liquidatable.iter().map(since).collect();
        Ok(MinedBlock { at, receipts, loans, liquidatable_before })
    }

    /// Waits until the keeper has decided on a block and sent its transactions. Returns whether there are any.
    ///
    /// # Errors
    /// When the keeper has ended.
    pub async fn wait_for_response(&self, keeper: &Keeper, block: &MinedBlock) -> eyre::Result<bool> {
        keeper.wait_for_response(self.market_env.provider(), block.at.block).await
    }
}

impl MinedBlock {
    /// Returns, for each loan that was liquidatable before this block, how long it had been: seconds and blocks.
    pub fn delays(&self) -> impl Iterator<Item = [u64; 2]> {
        self.liquidatable_before.values().map(|since| [self.at.second - since.second, self.at.block - since.block])
    }
}

/// Decodes the events of a transaction, in order. Liquidations, losses and profits of other markets are left out.
///
/// # Errors
/// When an event does not have the form that its topic promises.
pub fn market_events(receipt: &TransactionReceipt, market: B256) -> eyre::Result<Vec<MarketEvent>> {
    let decode = |log: &Log| -> eyre::Result<Option<MarketEvent>> {
        let of_market = log.topics().get(1) == Some(&market);
        Ok(match log.topics().first() {
            Some(&AnswerUpdated::SIGNATURE_HASH) => {
                Some(MarketEvent::PriceUpdate(AnswerUpdated::decode_log(&log.inner)?.data))
            }
            Some(&Liquidate::SIGNATURE_HASH) if of_market => {
                Some(MarketEvent::Liquidation(Liquidate::decode_log(&log.inner)?.data))
            }
            Some(&RealiseLoss::SIGNATURE_HASH) if of_market => {
                Some(MarketEvent::Loss(RealiseLoss::decode_log(&log.inner)?.data))
            }
            Some(&LiquidateWithoutCapital::SIGNATURE_HASH) if of_market => {
                Some(MarketEvent::Profit(LiquidateWithoutCapital::decode_log(&log.inner)?.data))
            }
            Some(&Harvest::SIGNATURE_HASH) => Some(MarketEvent::Harvest(Harvest::decode_log(&log.inner)?.data)),
            _ => None,
        })
    };
    receipt.logs().iter().filter_map(|log| decode(log).transpose()).collect()
}

/// Fails unless every one of these transactions is among the receipts and succeeded.
fn ensure_succeeded(receipts: &[TransactionReceipt], sent: &[B256]) -> eyre::Result<()> {
    for hash in sent {
        let receipt = receipts.iter().find(|receipt| receipt.transaction_hash == *hash);
        let succeeded = receipt.is_some_and(TransactionReceipt::status);
        ensure!(succeeded, "the transaction {hash} was not mined in its block, or it reverted");
    }
    Ok(())
}
