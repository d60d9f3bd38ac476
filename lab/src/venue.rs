//! A market played block by block: its price feed answers, somebody trades in its pool, a block is mined, and how its
//! loans stand is seen.
//!
//! Whoever plays it says what each block brings. The pool's price is the market's in every block: what a sale moved it
//! by is made good in the next one, as others would for the profit in it. Prices are in units of a feed's 8 decimals,
//! for a whole collateral token of 18 decimals, in loan tokens of 6.

use alloy::{
    eips::BlockId,
    primitives::{Address, B256, U256},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::{Filter, TransactionReceipt},
    sol_types::SolEvent,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{ILens, IPlimsoll, MarketParams};

use crate::{
    exchange::{Amount, Exchange},
    market::units,
    stage::Stage,
};

/// Between blocks that follow one another.
pub const BLOCK_SECS: u64 = 12;
/// So many loans are looked at in one call, so that none needs too much gas.
const ASKED_AT_ONCE: usize = 200;

/// A market and what is around it.
#[derive(Debug)]
pub struct Venue<'a> {
    /// Where it is.
    pub stage: &'a Stage,
    /// The exchange.
    pub exchange: Exchange<'a>,
    /// Where its collateral is sold.
    pub pool: Address,
    /// The market.
    pub market: MarketParams,
    lens: Address,
    /// The name of its feed.
    feed: &'a str,
}

/// What a block brings.
#[derive(Debug, Clone, Copy)]
pub struct Next {
    /// The chain's clock.
    pub timestamp: u64,
    /// What collateral costs on other exchanges.
    pub price: u128,
    /// What the feed answers, where it answers.
    pub answer: Option<u128>,
    /// What gas costs, in wei.
    pub base_fee: u128,
}

/// A block that was mined.
#[derive(Debug)]
pub struct Block {
    /// Its height.
    pub number: u64,
    /// Of all its transactions, in their order.
    pub receipts: Vec<TransactionReceipt>,
    /// How loans stand after it.
    pub standing: Standing,
}

/// Loans as they stand in one block.
#[derive(Debug)]
pub struct Standing {
    /// Of the collateral, as oracles say it.
    pub price: U256,
    /// Whose loans can be liquidated.
    pub under_water: Vec<Address>,
    /// What everybody owes.
    pub debt: U256,
}

impl<'a> Venue<'a> {
    /// A market of a stage, whose pool has the same name and is given this much of collateral and loan token, worth the
    /// same at its price.
    pub async fn open(
        stage: &'a Stage,
        name: &str,
        feed: &'a str,
        [collateral, loan]: [U256; 2],
    ) -> eyre::Result<Self> {
        let market = stage.market(name)?;
        let exchange = stage.provide(name, Stage::amounts(&market, collateral, loan)).await?;
        let pool = stage.deployment.pools.get(name).wrap_err("there is no such pool")?.address;
        Ok(Self { stage, exchange, pool, market, lens: stage.contract("Lens")?, feed })
    }

    /// The node.
    #[must_use]
    pub const fn provider(&self) -> &DynProvider {
        self.stage.rig.provider()
    }

    /// Amounts that are worth the same at a price.
    #[must_use]
    pub fn worth(&self, price: u128) -> [Amount; 2] {
        // A hundred ether in units of 18 decimals are worth as many units of a dollar's 6.
        Stage::amounts(&self.market, units(100, 18), U256::from(price))
    }

    /// Everybody who has borrowed, in that order.
    pub async fn borrowers(&self) -> eyre::Result<Vec<Address>> {
        let filter = Filter::new()
            .address(self.stage.contract("Plimsoll")?)
            .event_signature(IPlimsoll::Borrow::SIGNATURE_HASH)
            .topic1(self.market.id().0)
            .from_block(0);
        let mut borrowers = Vec::new();
        for log in self.provider().get_logs(&filter).await? {
            borrowers.push(IPlimsoll::Borrow::decode_log(&log.inner)?.onBehalf);
        }
        Ok(borrowers)
    }

    /// From now on blocks are mined when they are asked for. Tells the newest block's second and height.
    pub async fn begin(&self, base_fee: u128) -> eyre::Result<[u64; 2]> {
        let provider = self.provider();
        provider.anvil_set_auto_mine(false).await?;
        // Offers for gas follow the last block.
        provider.anvil_set_next_block_base_fee_per_gas(base_fee).await?;
        provider.evm_mine(None).await?;
        let block = provider.get_block(BlockId::latest()).await?.wrap_err("the node has no block")?;
        Ok([block.header.timestamp, block.header.number])
    }

    /// Mines a block, in which feed and pool come first.
    pub async fn mine(&self, next: &Next, borrowers: &[Address]) -> eyre::Result<Block> {
        let provider = self.provider();
        let mut sent = Vec::new();
        if let Some(answer) = next.answer {
            sent.push(self.stage.send_feed(self.feed, answer).await?);
        }
        let [collateral, loan] = self.worth(next.price);
        sent.push(self.exchange.send_trade_to(self.pool, collateral, loan).await?);
        provider.anvil_set_next_block_base_fee_per_gas(next.base_fee).await?;
        provider.anvil_set_next_block_timestamp(next.timestamp).await?;
        provider.evm_mine(None).await?;
        let receipts = provider.get_block_receipts(BlockId::latest()).await?.unwrap_or_default();
        let number = receipts.first().and_then(|receipt| receipt.block_number);
        let number = number.wrap_err("nothing was mined")?;
        succeeded(&receipts, &sent)?;
        let standing = self.standing(borrowers).await?;
        ensure!(!standing.price.is_zero(), "the oracle of the market has no price in block {number}");
        Ok(Block { number, receipts, standing })
    }

    /// How loans stand now.
    pub async fn standing(&self, borrowers: &[Address]) -> eyre::Result<Standing> {
        let lens = ILens::new(self.lens, self.provider());
        let id = self.market.id().0;
        let lines = lens.markets(vec![id]).call().await?;
        let line = lines.first().wrap_err("the lens does not know the market")?;
        let mut under_water = Vec::new();
        for some in borrowers.chunks(ASKED_AT_ONCE) {
            let lines = lens.liquidatable(id, some.to_vec()).call().await?.lines;
            under_water.extend(lines.iter().filter(|line| line.liquidatable).map(|line| line.account));
        }
        Ok(Standing { price: line.liquidationPrice.price, under_water, debt: line.accrued.borrowAssets })
    }

    /// What loans owe beyond what their collateral is worth, in units of the loan token.
    pub async fn shortfall(&self, borrowers: &[Address]) -> eyre::Result<U256> {
        let lens = ILens::new(self.lens, self.provider());
        let mut shortfall = U256::ZERO;
        for some in borrowers.chunks(ASKED_AT_ONCE) {
            let lines = lens.positions(self.market.id().0, some.to_vec()).call().await?.lines;
            shortfall += lines.iter().map(|line| line.debt.saturating_sub(line.collateralValue)).sum::<U256>();
        }
        Ok(shortfall)
    }
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
