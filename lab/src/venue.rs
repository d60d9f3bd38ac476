//! A market on a stage with everything that moves it: a price feed, a pool in which its collateral is sold, and a look
//! at how its loans stand.
//!
//! Prices are in units of a feed's 8 decimals, for a whole collateral token of 18 decimals, in loan tokens of 6.

use alloy::{
    primitives::{Address, B256, U256},
    providers::{DynProvider, Provider},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{ILens, IPlimsoll, MarketParams};

use crate::{
    exchange::{Amount, Exchange},
    market::units,
    stage::Stage,
};

/// So many loans are looked at in one call, so that none needs too much gas.
const ASKED_AT_ONCE: usize = 200;

/// A market and what is around it.
#[derive(Debug)]
pub struct Venue<'a> {
    /// Where it is.
    pub stage: &'a Stage,
    /// The market.
    pub market: MarketParams,
    /// The exchange.
    exchange: Exchange<'a>,
    /// Where its collateral is sold.
    pool: Address,
    lens: Address,
    /// The name of its feed.
    feed: &'a str,
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
    /// A market whose pool has the same name and is given this much of collateral and loan token, worth the same at its
    /// price.
    pub async fn open(
        stage: &'a Stage,
        name: &str,
        feed: &'a str,
        [collateral, loan]: [U256; 2],
    ) -> eyre::Result<Self> {
        let market = stage.market(name)?;
        let exchange = stage.provide(name, Stage::amounts(&market, collateral, loan)).await?;
        let pool = stage.deployment.pools.get(name).wrap_err("there is no such pool")?.address;
        Ok(Self { stage, market, exchange, pool, lens: stage.contract("Lens")?, feed })
    }

    /// The node.
    #[must_use]
    pub const fn provider(&self) -> &DynProvider {
        self.stage.rig.provider()
    }

    /// Trades until the pool has a price.
    pub async fn trade_to(&self, price: u128) -> eyre::Result<()> {
        let [collateral, loan] = self.worth(price);
        self.exchange.trade_to(self.pool, collateral, loan).await
    }

    /// Has somebody do so at the end of the next block, whose base fee this is; after that the feed may answer. Tells the
    /// transactions.
    pub async fn send(&self, price: u128, answer: Option<u128>, base_fee: u128) -> eyre::Result<Vec<B256>> {
        let mut sent = vec![self.exchange.send_trade_to(self.pool, self.worth(price), base_fee).await?];
        if let Some(answer) = answer {
            sent.push(self.stage.send_feed_last(self.feed, answer, base_fee).await?);
        }
        Ok(sent)
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

    /// How loans stand now. Fails where the market has no price.
    pub async fn standing(&self, borrowers: &[Address]) -> eyre::Result<Standing> {
        let lens = ILens::new(self.lens, self.provider());
        let id = self.market.id().0;
        let lines = lens.markets(vec![id]).call().await?;
        let line = lines.first().wrap_err("the lens does not know the market")?;
        let price = line.liquidationPrice.price;
        ensure!(!price.is_zero(), "the oracle of the market has no price");
        let mut under_water = Vec::new();
        for some in borrowers.chunks(ASKED_AT_ONCE) {
            let lines = lens.liquidatable(id, some.to_vec()).call().await?.lines;
            under_water.extend(lines.iter().filter(|line| line.liquidatable).map(|line| line.account));
        }
        Ok(Standing { price, under_water, debt: line.accrued.borrowAssets })
    }

    /// What loans owe beyond what their collateral is worth.
    pub async fn shortfall(&self, borrowers: &[Address]) -> eyre::Result<U256> {
        let lens = ILens::new(self.lens, self.provider());
        let mut shortfall = U256::ZERO;
        for some in borrowers.chunks(ASKED_AT_ONCE) {
            let lines = lens.positions(self.market.id().0, some.to_vec()).call().await?.lines;
            shortfall += lines.iter().map(|line| line.debt.saturating_sub(line.collateralValue)).sum::<U256>();
        }
        Ok(shortfall)
    }

    /// Amounts that are worth the same at a price.
    fn worth(&self, price: u128) -> [Amount; 2] {
        // A hundred ether in units of 18 decimals are worth as many units of a dollar's 6.
        Stage::amounts(&self.market, units(100, 18), U256::from(price))
    }
}
