//! A market of a [`Suite`] with everything that moves it: its price feed, the pool in which its collateral is sold, and
//! queries of its loans.
//!
//! Prices are in units of a feed of 8 decimals: the price of a whole collateral token of 18 decimals in loan tokens of
//! 6.

use alloy::{
    primitives::{Address, B256, U256},
    providers::{DynProvider, Provider},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{ILens, IPlimsoll, MarketParams};

use crate::{
    deployment::Suite,
    exchange::{Amount, Exchange},
    market::units,
};

/// Loans per query of the lens, so that no call exceeds the node's gas limit.
const LOANS_PER_QUERY: usize = 200;

/// A market with its feed and its pool.
#[derive(Debug)]
pub struct MarketEnv<'a> {
    /// The suite that the market belongs to.
    pub suite: &'a Suite,
    /// Parameters of the market.
    pub market: MarketParams,
    exchange: Exchange<'a>,
    pool: Address,
    lens: Address,
    feed: &'a str,
}

/// The loans of a market in one block.
#[derive(Debug)]
pub struct LoanSummary {
    /// Liquidation price of the collateral, as the oracle returns it.
    pub price: U256,
    /// Borrowers whose health factor is below 1.
    pub liquidatable: Vec<Address>,
    /// Total debt with accrued interest, in units of the loan token.
    pub debt: U256,
}

impl<'a> MarketEnv<'a> {
    /// Opens a market by its name in the manifest, and adds liquidity to the pool of the same name: `collateral` and
    /// `loan` are in units of the tokens and must be worth the same at the pool's price.
    ///
    /// # Errors
    /// When there is no such market or pool, or a transaction fails.
    pub async fn open(
        suite: &'a Suite,
        name: &str,
        feed: &'a str,
        [collateral, loan]: [U256; 2],
    ) -> eyre::Result<Self> {
        let market = suite.market(name)?;
        let exchange = suite.add_liquidity(name, collateral, loan).await?;
        let pool = suite.deployment.pools.get(name).wrap_err("there is no such pool")?.address;
        Ok(Self { suite, market, exchange, pool, lens: suite.contract("Lens")?, feed })
    }

    /// Returns a provider that signs for all of the node's own accounts.
    #[must_use]
    pub const fn provider(&self) -> &DynProvider {
        self.suite.provider()
    }

    /// Trades in the pool until it has a price.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn trade_to(&self, price: u128) -> eyre::Result<()> {
        let [collateral, loan] = self.worth(price);
        self.exchange.trade_to(self.pool, collateral, loan).await
    }

    /// Sends a trade that brings the pool to `price`, with a priority fee in wei by which it comes first in its block.
    /// Returns its hash without waiting for the block.
    ///
    /// # Errors
    /// When the node refuses the transaction.
    pub async fn send_trade_first(&self, price: u128, fee: u128) -> eyre::Result<B256> {
        self.exchange.send_trade_first(self.pool, self.worth(price), fee).await
    }

    /// Sends a trade that brings the pool to `price` and then, where there is an `answer`, an update of the feed, both
    /// as the last transactions of the next block, whose base fee is `base_fee` in wei. Returns their hashes without
    /// waiting for the block.
    ///
    /// # Errors
    /// When the node refuses a transaction.
    pub async fn send_prices(&self, price: u128, answer: Option<u128>, base_fee: u128) -> eyre::Result<Vec<B256>> {
        let mut sent = vec![self.exchange.send_trade_to(self.pool, self.worth(price), base_fee).await?];
        if let Some(answer) = answer {
            sent.push(self.suite.send_price_last(self.feed, answer, base_fee).await?);
        }
        Ok(sent)
    }

    /// Returns the account of every loan that was ever opened, in the order of their opening.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn borrowers(&self) -> eyre::Result<Vec<Address>> {
        let filter = Filter::new()
            .address(self.suite.contract("Plimsoll")?)
            .event_signature(IPlimsoll::Borrow::SIGNATURE_HASH)
            .topic1(self.market.id().0)
            .from_block(0);
        let mut borrowers = Vec::new();
        for log in self.provider().get_logs(&filter).await? {
            borrowers.push(IPlimsoll::Borrow::decode_log(&log.inner)?.onBehalf);
        }
        Ok(borrowers)
    }

    /// Queries the loans of these borrowers in the newest block.
    ///
    /// # Errors
    /// When the oracle has no price.
    pub async fn loan_summary(&self, borrowers: &[Address]) -> eyre::Result<LoanSummary> {
        let lens = ILens::new(self.lens, self.provider());
        let id = self.market.id().0;
        let lines = lens.markets(vec![id]).call().await?;
        let line = lines.first().wrap_err("the lens does not know the market")?;
        let price = line.liquidationPrice.price;
        ensure!(!price.is_zero(), "the oracle of the market has no price");
        let mut liquidatable = Vec::new();
        for some in borrowers.chunks(LOANS_PER_QUERY) {
            let lines = lens.liquidatable(id, some.to_vec()).call().await?.lines;
            liquidatable.extend(lines.iter().filter(|line| line.liquidatable).map(|line| line.account));
        }
        Ok(LoanSummary { price, liquidatable, debt: line.accrued.borrowAssets })
    }

    /// Returns the sum of what these borrowers owe beyond the value of their collateral, in units of the loan token.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn shortfall(&self, borrowers: &[Address]) -> eyre::Result<U256> {
        let lens = ILens::new(self.lens, self.provider());
        let mut shortfall = U256::ZERO;
        for some in borrowers.chunks(LOANS_PER_QUERY) {
            let lines = lens.positions(self.market.id().0, some.to_vec()).call().await?.lines;
            shortfall += lines.iter().map(|line| line.debt.saturating_sub(line.collateralValue)).sum::<U256>();
        }
        Ok(shortfall)
    }

    /// Returns amounts of collateral and loan token that are worth the same at a price.
    fn worth(&self, price: u128) -> [Amount; 2] {
        // 100 collateral tokens of 18 decimals are worth as many units of a 6-decimal loan token as the price has
        // units.
        Suite::amounts(&self.market, units(100, 18), U256::from(price))
    }
}
