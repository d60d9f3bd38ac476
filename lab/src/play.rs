//! A market played block by block, while a keeper looks after it.
//!
//! Whoever plays it says which second the next block is of and what it brings. In a block the keeper comes first, with
//! what it decided by the block before; then traders have the pool's price at that of all other exchanges, so what a
//! sale moved it by is made good; then the feed answers.

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
    venue::{Standing, Venue},
};

/// Between blocks that follow one another. Feeds look at the price as often.
pub const BLOCK_SECS: u64 = 12;

/// A market that is being played.
#[derive(Debug)]
pub struct Play<'a> {
    /// Where.
    pub venue: &'a Venue<'a>,
    /// Everybody who borrows.
    pub borrowers: Vec<Address>,
    /// How they stood in the beginning.
    pub opening: Standing,
    /// The block that they did in.
    pub first_block: u64,
    base_fee: u128,
    /// The chain's clock in the beginning.
    begin: u64,
    /// Who is under water, and since when.
    under_water: BTreeMap<Address, Since>,
}

/// When something began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// The second, since the beginning.
    pub second: u64,
    /// The block's height.
    pub block: u64,
}

/// A block that was mined.
#[derive(Debug)]
pub struct Block {
    /// When.
    pub at: Since,
    /// Of all its transactions, in their order.
    pub receipts: Vec<TransactionReceipt>,
    /// How loans stand after it.
    pub standing: Standing,
    /// Who was under water before it, and since when.
    pub were_under_water: BTreeMap<Address, Since>,
}

/// Something that a transaction did.
#[derive(Debug)]
pub enum Happening {
    /// A feed answered.
    Answer(AnswerUpdated),
    /// A loan was liquidated.
    Liquidation(Liquidate),
    /// Bad debt was paid by somebody.
    Loss(RealiseLoss),
    /// A liquidation brought something.
    Profit(LiquidateWithoutCapital),
    /// A reward was paid.
    Harvest(Harvest),
}

impl<'a> Play<'a> {
    /// From now on blocks are mined when they are asked for, and gas costs this much, in wei.
    pub async fn begin(venue: &'a Venue<'a>, base_fee: u128) -> eyre::Result<Self> {
        let provider = venue.provider();
        provider.anvil_set_auto_mine(false).await?;
        // Offers for gas follow the last block.
        provider.anvil_set_next_block_base_fee_per_gas(base_fee).await?;
        provider.evm_mine(None).await?;
        let block = provider.get_block(BlockId::latest()).await?.wrap_err("the node has no block")?;
        let borrowers = venue.borrowers().await?;
        let opening = venue.standing(&borrowers).await?;
        let (begin, first_block) = (block.header.timestamp, block.header.number);
        Ok(Self { venue, borrowers, opening, first_block, base_fee, begin, under_water: BTreeMap::new() })
    }

    /// Mines a block. Fails unless the pool has this price after it, and the feed has answered where it is to answer.
    pub async fn mine(&mut self, second: u64, price: u128, answer: Option<u128>) -> eyre::Result<Block> {
        let provider = self.venue.provider();
        provider.anvil_set_next_block_base_fee_per_gas(self.base_fee).await?;
        let sent = self.venue.send(price, answer, self.base_fee).await?;
        provider.anvil_set_next_block_timestamp(self.begin + second).await?;
        provider.evm_mine(None).await?;
        let receipts = provider.get_block_receipts(BlockId::latest()).await?.unwrap_or_default();
        succeeded(&receipts, &sent)?;
        let block = receipts.first().and_then(|receipt| receipt.block_number).wrap_err("a receipt of no block")?;
        let standing = self.venue.standing(&self.borrowers).await?;
        let (at, were_under_water) = (Since { second, block }, mem::take(&mut self.under_water));
        let since = |account: &Address| (*account, were_under_water.get(account).copied().unwrap_or(at));
        self.under_water = standing.under_water.iter().map(since).collect();
        Ok(Block { at, receipts, standing, were_under_water })
    }

    /// Waits until the keeper has decided by a block and sent what it decided on; tells whether that is anything.
    pub async fn until_answered(&self, keeper: &Keeper, block: &Block) -> eyre::Result<bool> {
        keeper.until_answered(self.venue.provider(), block.at.block).await
    }
}

impl Block {
    /// For how long each was under water that was so before this block: seconds and blocks.
    pub fn delays(&self) -> impl Iterator<Item = [u64; 2]> {
        self.were_under_water.values().map(|since| [self.at.second - since.second, self.at.block - since.block])
    }
}

/// What a transaction did, in order; liquidations and losses of one market only.
pub fn happenings(receipt: &TransactionReceipt, market: B256) -> eyre::Result<Vec<Happening>> {
    let happening = |log: &Log| -> eyre::Result<Option<Happening>> {
        let of_market = log.topics().get(1) == Some(&market);
        Ok(match log.topics().first() {
            Some(&AnswerUpdated::SIGNATURE_HASH) => {
                Some(Happening::Answer(AnswerUpdated::decode_log(&log.inner)?.data))
            }
            Some(&Liquidate::SIGNATURE_HASH) if of_market => {
                Some(Happening::Liquidation(Liquidate::decode_log(&log.inner)?.data))
            }
            Some(&RealiseLoss::SIGNATURE_HASH) if of_market => {
                Some(Happening::Loss(RealiseLoss::decode_log(&log.inner)?.data))
            }
            Some(&LiquidateWithoutCapital::SIGNATURE_HASH) if of_market => {
                Some(Happening::Profit(LiquidateWithoutCapital::decode_log(&log.inner)?.data))
            }
            Some(&Harvest::SIGNATURE_HASH) => Some(Happening::Harvest(Harvest::decode_log(&log.inner)?.data)),
            _ => None,
        })
    };
    receipt.logs().iter().filter_map(|log| happening(log).transpose()).collect()
}

/// Fails unless transactions were mined and did what they were for.
fn succeeded(receipts: &[TransactionReceipt], sent: &[B256]) -> eyre::Result<()> {
    for hash in sent {
        let receipt = receipts.iter().find(|receipt| receipt.transaction_hash == *hash);
        let done = receipt.is_some_and(TransactionReceipt::status);
        ensure!(done, "the transaction {hash} was not mined in its block, or it reverted");
    }
    Ok(())
}
