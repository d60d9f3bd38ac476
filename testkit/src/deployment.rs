//! The whole suite on a local chain: everything that a manifest describes, with the deployment record that a keeper
//! reads.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use alloy::{
    contract::SolCallBuilder,
    primitives::{Address, B256, Bytes, Signed, U256},
    providers::{DynProvider, PendingTransactionConfig, Provider},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_contracts::{
    IAggregatorV3, IPlimsoll, ISettableFeed, IUniswapV3Swapper, MarketParams, deployment::Deployment, quantity::Decimal,
};
use plimsoll_deploy::{
    apply, connection::Chain, design::Design, manifest::Manifest, plan::Inputs, toolchain::progress::say,
};
use tokio::time;

use crate::{
    contracts,
    devnet::{Devnet, mined, without_priority_fee},
    exchange::{Amount, Exchange},
    keeper::{Keeper, KeeperSetup, keeper_program},
    scratch::ScratchFolder,
    workspace::workspace,
};

/// The manifest that `plimsoll-deploy up` deploys, from the root of the repository.
const LOCAL_MANIFEST: &str = "examples/local.toml";
/// Gas limit of setting a price feed.
const FEED_GAS: u64 = 200_000;
/// Fee of a transaction that comes first in its block, in wei per gas.
const FIRST_FEE: u128 = 1_000_000_000_000;
/// The account that [`Suite::supply`] supplies for.
const SUPPLIER: usize = 1;
/// How long [`Suite::wait_for_liquidation`] waits before it fails.
const LIQUIDATION_TIMEOUT: Duration = Duration::from_secs(60);
/// Time between two queries of a condition that is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A chain with the suite deployed on it. Dropping it ends the node and removes its temporary folder.
///
/// Names of markets, tokens and feeds are those of the manifest. In the default one the market `weth-usdc` lends `USDC`
/// (6 decimals) against `WETH` (18 decimals) up to an LTV of 80 %, with a liquidation LTV of 86 %, at the price of the
/// feed `eth-usd`, which begins at 2,000.
#[derive(Debug)]
pub struct Suite {
    /// The chain.
    pub devnet: Devnet,
    /// The deployment record: every contract, token, market, feed and pool with its address.
    pub deployment: Deployment,
    record: PathBuf,
    scratch: ScratchFolder,
}

impl Suite {
    /// Starts a chain and deploys the suite of `examples/local.toml` on it.
    ///
    /// # Errors
    /// As [`Devnet::start`], and when a transaction of the deployment fails.
    pub async fn start() -> eyre::Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts a chain with further command-line arguments for Anvil and deploys the suite of `examples/local.toml` on
    /// it.
    ///
    /// # Errors
    /// As [`Suite::start`].
    pub async fn start_with(arguments: &[&str]) -> eyre::Result<Self> {
        Self::start_from(&*Self::local_manifest()?, arguments).await
    }

    /// Starts a chain with further command-line arguments for Anvil and deploys the suite that a manifest describes.
    ///
    /// # Errors
    /// As [`Suite::start`], and when the manifest does not fit the chain.
    pub async fn start_from(manifest: &Manifest, arguments: &[&str]) -> eyre::Result<Self> {
        Box::pin(Self::deploy(Devnet::start_with(arguments).await?, manifest)).await
    }

    /// Deploys the suite that a manifest describes on a chain that is already running. Feeds, tokens and pools without
    /// an address are created; those with one must exist, as on a fork.
    ///
    /// # Errors
    /// When the manifest does not fit the chain, or a transaction of the deployment fails.
    pub async fn deploy(devnet: Devnet, manifest: &Manifest) -> eyre::Result<Self> {
        let scratch = ScratchFolder::new("plimsoll-testkit-")?;
        let record = scratch.path().join("deployment.json");
        let artifacts = tokio::task::spawn_blocking(contracts::artifacts).await??;
        let design = Design::new(manifest, artifacts)?;
        let chain = Chain::connect(devnet.node.http_url().parse()?).await?;
        let signer = manifest.tables.deployer.key.open(chain.local()).await?;
        let inputs = Inputs { design: &design, artifacts, chain: &chain, may_replace: false };
        let deployment = Box::pin(apply::apply(inputs, signer, &record, &|_| {})).await?;
        Ok(Self { devnet, deployment, record, scratch })
    }

    /// Reads the manifest `examples/local.toml` of the repository.
    pub(crate) fn local_manifest() -> eyre::Result<Box<Manifest>> {
        Ok(Box::new(Manifest::read(&workspace()?.root().join(LOCAL_MANIFEST))?))
    }

    /// Returns the path of the deployment record, a JSON file.
    #[must_use]
    pub fn record(&self) -> &Path {
        &self.record
    }

    /// Returns a temporary folder that is removed together with this value.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Returns a provider that signs for all of the node's own accounts.
    #[must_use]
    pub const fn provider(&self) -> &DynProvider {
        self.devnet.provider()
    }

    /// Returns the address of the only contract of a kind, such as `Plimsoll`, `Lens`, `Rewards` or `Liquidator`.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn contract(&self, kind: &str) -> eyre::Result<Address> {
        Ok(self.deployment.only(kind).wrap_err_with(|| format!("there is no single {kind} on record"))?.address)
    }

    /// Returns the address of a token by its name in the manifest.
    ///
    /// # Errors
    /// When the manifest has no such token.
    pub fn token(&self, name: &str) -> eyre::Result<Address> {
        Ok(self.deployment.tokens.get(name).wrap_err_with(|| format!("the token {name} is not on record"))?.address)
    }

    /// Returns the parameters of a market by its name in the manifest.
    ///
    /// # Errors
    /// When the manifest has no such market.
    pub fn market(&self, name: &str) -> eyre::Result<MarketParams> {
        let market = self.deployment.markets.get(name);
        Ok(market.wrap_err_with(|| format!("the market {name} is not on record"))?.params())
    }

    /// Mints loan tokens and supplies them to a market, so that there is something to borrow. `assets` is in units of
    /// the loan token.
    ///
    /// # Errors
    /// When a transaction fails.
    pub async fn supply(&self, market: &MarketParams, assets: U256) -> eyre::Result<()> {
        let (core, supplier) = (self.contract("Plimsoll")?, self.devnet.account(SUPPLIER)?);
        self.devnet.mint_and_approve(market.loanToken, supplier, assets, core).await?;
        let core = IPlimsoll::new(core, self.provider());
        mined(core.supply(market.clone(), assets, U256::ZERO, supplier, Bytes::new()).from(supplier)).await?;
        Ok(())
    }

    /// Opens a loan for one of the node's own accounts: mints the collateral, posts it and borrows. `collateral` and
    /// `debt` are in units of their tokens. [`Borrowers`](crate::borrowers::Borrowers) opens thousands at once.
    ///
    /// # Errors
    /// When the core refuses, for example because the debt exceeds the borrow LTV, is below the market's minimum, or is
    /// more than the market has to lend.
    ///
    /// # Example
    /// ```no_run
    /// # async fn example() -> eyre::Result<()> {
    /// use plimsoll_testkit::{deployment::Suite, market::units};
    ///
    /// let suite = Suite::start().await?;
    /// let market = suite.market("weth-usdc")?;
    /// suite.supply(&market, units(100_000, 6)).await?;
    /// // 10 WETH at 2,000 USDC carry 16,000 USDC.
    /// suite.open_loan(&market, suite.devnet.account(2)?, units(10, 18), units(15_000, 6)).await?;
    /// # Ok(()) }
    /// ```
    pub async fn open_loan(
        &self,
        market: &MarketParams,
        borrower: Address,
        collateral: U256,
        debt: U256,
    ) -> eyre::Result<()> {
        let core = self.contract("Plimsoll")?;
        self.devnet.mint_and_approve(market.collateralToken, borrower, collateral, core).await?;
        let core = IPlimsoll::new(core, self.provider());
        mined(core.supplyCollateral(market.clone(), collateral, borrower, Bytes::new()).from(borrower)).await?;
        mined(core.borrow(market.clone(), debt, U256::ZERO, borrower, borrower).from(borrower)).await?;
        Ok(())
    }

    /// Adds liquidity over the whole price range to the pool of the same name as a market, so that liquidators can sell
    /// collateral there. The amounts are in units of the tokens and must be worth the same at the pool's price.
    ///
    /// # Errors
    /// When there is no such market or pool, or a transaction fails.
    pub async fn add_liquidity(&self, market: &str, collateral: U256, loan: U256) -> eyre::Result<Exchange<'_>> {
        let [one, other] = Self::amounts(&self.market(market)?, collateral, loan);
        let pool = self.deployment.pools.get(market).wrap_err_with(|| format!("the pool {market} is not on record"))?;
        let swapper = IUniswapV3Swapper::new(self.contract("UniswapV3Swapper")?, self.provider());
        let exchange = Exchange::at(&self.devnet, swapper.factory().call().await?).await?;
        exchange.add_liquidity(pool.fee, one, other).await?;
        Ok(exchange)
    }

    /// Sets a price feed and waits until the transaction is mined. `price` is a decimal number in the feed's quote
    /// currency, such as `"1725.50"`. On a node that does not mine by itself, use [`Suite::send_price`].
    ///
    /// # Errors
    /// When there is no such feed, it cannot be set, or the price has more decimals than the feed.
    ///
    /// # Example
    /// ```no_run
    /// # async fn example(suite: plimsoll_testkit::deployment::Suite) -> eyre::Result<()> {
    /// suite.set_price("eth-usd", "1725.50").await?;
    /// # Ok(()) }
    /// ```
    pub async fn set_price(&self, feed: &str, price: &str) -> eyre::Result<()> {
        let decimals = IAggregatorV3::new(self.feed(feed)?, self.provider()).decimals().call().await?;
        let number: Decimal = price.parse().map_err(eyre::Report::msg)?;
        let answer: u128 = number.scaled_to(decimals, "a price").map_err(eyre::Report::msg)?;
        let transaction = self.send_price(feed, answer).await?;
        let pending = PendingTransactionConfig::new(transaction);
        self.provider().watch_pending_transaction(pending).await?.await?;
        let receipt = self.provider().get_transaction_receipt(transaction).await?;
        let receipt = receipt.wrap_err_with(|| format!("the price of {feed} was not mined"))?;
        ensure!(receipt.status(), "the feed {feed} refused the price {price}");
        Ok(())
    }

    /// Sends a transaction that sets a price feed, in units of the feed's decimals, and returns its hash without
    /// waiting for the block.
    ///
    /// # Errors
    /// When there is no such feed, or the node refuses the transaction.
    pub async fn send_price(&self, feed: &str, answer: u128) -> eyre::Result<B256> {
        Ok(*self.price_update(feed, answer)?.send().await?.tx_hash())
    }

    /// Sends the same transaction as [`Suite::send_price`] without a priority fee, so that it comes last in the next
    /// block, whose base fee is `base_fee` in wei.
    ///
    /// # Errors
    /// As [`Suite::send_price`].
    pub async fn send_price_last(&self, feed: &str, answer: u128, base_fee: u128) -> eyre::Result<B256> {
        Ok(*without_priority_fee(self.price_update(feed, answer)?, base_fee).send().await?.tx_hash())
    }

    /// Sends the same transaction as [`Suite::send_price`] with a priority fee that comes first in the next block, and
    /// returns its hash without waiting for the block.
    ///
    /// # Errors
    /// As [`Suite::send_price`].
    pub async fn send_price_first(&self, feed: &str, answer: u128) -> eyre::Result<B256> {
        let update = self.price_update(feed, answer)?;
        let update = update.max_fee_per_gas(FIRST_FEE).max_priority_fee_per_gas(FIRST_FEE);
        Ok(*update.send().await?.tx_hash())
    }

    /// Starts a keeper that liquidates and harvests live on this chain, and waits until it is ready. It is the keeper
    /// that [`keeper_program`] finds or builds; `settings` are further settings in TOML, as in `keeper.example.toml`.
    /// [`Keeper::start_with`] sets up everything else, such as signers or a dry run.
    ///
    /// # Errors
    /// When the keeper cannot be built, or ends before it is ready, with its last lines of output.
    ///
    /// # Example
    /// ```no_run
    /// # async fn example(suite: plimsoll_testkit::deployment::Suite) -> eyre::Result<()> {
    /// let keeper = suite.run_keeper("").await?;
    /// let status = keeper.api("status").await?;
    /// # Ok(()) }
    /// ```
    pub async fn run_keeper(&self, settings: &str) -> eyre::Result<Keeper> {
        let program = tokio::task::spawn_blocking(keeper_program).await??;
        let setup = KeeperSetup { further: settings.to_owned(), ..KeeperSetup::live(self) };
        let keeper = Keeper::start_with(self, program, &setup).await?;
        keeper.wait_until_ready().await?;
        say(format_args!("the keeper is ready; its page is at {}", keeper.url()));
        Ok(keeper)
    }

    /// Returns every liquidation in a market since the first block, in order.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn liquidations(&self, market: &MarketParams) -> eyre::Result<Vec<IPlimsoll::Liquidate>> {
        let filter = Filter::new()
            .address(self.contract("Plimsoll")?)
            .event_signature(IPlimsoll::Liquidate::SIGNATURE_HASH)
            .topic1(market.id().0)
            .from_block(self.deployment.first_block().unwrap_or_default());
        let logs = self.provider().get_logs(&filter).await?;
        logs.iter().map(|log| Ok(IPlimsoll::Liquidate::decode_log(&log.inner)?.data)).collect()
    }

    /// Waits until a borrower has been liquidated in a market and returns the first such event.
    ///
    /// # Errors
    /// When the node does not answer, or there was no liquidation for a minute.
    pub async fn wait_for_liquidation(
        &self,
        market: &MarketParams,
        borrower: Address,
    ) -> eyre::Result<IPlimsoll::Liquidate> {
        let liquidated = async {
            loop {
                let liquidations = self.liquidations(market).await?;
                if let Some(liquidation) = liquidations.into_iter().find(|event| event.borrower == borrower) {
                    return Ok(liquidation);
                }
                time::sleep(POLL_INTERVAL).await;
            }
        };
        let limit = time::timeout(LIQUIDATION_TIMEOUT, liquidated).await;
        limit.wrap_err_with(|| format!("{borrower} was not liquidated within {LIQUIDATION_TIMEOUT:?}"))?
    }

    fn feed(&self, name: &str) -> eyre::Result<Address> {
        self.deployment.feeds.get(name).copied().wrap_err_with(|| format!("the feed {name} is not on record"))
    }

    fn price_update(
        &self,
        feed: &str,
        answer: u128,
    ) -> eyre::Result<SolCallBuilder<&DynProvider, ISettableFeed::setAnswerCall>> {
        let feed = self.feed(feed)?;
        let answer = Signed::<192, 3>::try_from(answer).wrap_err("the price is too large")?;
        let set = SolCallBuilder::new_sol(self.provider(), &feed, &ISettableFeed::setAnswerCall { answer });
        Ok(set.from(self.devnet.deployer()).gas(FEED_GAS))
    }

    /// Returns amounts of a market's two tokens, for an [`Exchange`].
    #[must_use]
    pub const fn amounts(market: &MarketParams, collateral: U256, loan: U256) -> [Amount; 2] {
        [Amount { token: market.collateralToken, units: collateral }, Amount { token: market.loanToken, units: loan }]
    }
}
