//! Everything that a manifest makes, on a node of our own, with the record of it where a keeper reads it.

use std::path::{Path, PathBuf};

use alloy::{
    contract::SolCallBuilder,
    primitives::{Address, B256, Bytes, Signed, U256},
    providers::DynProvider,
};
use eyre::{ContextCompat, WrapErr};
use plimsoll_contracts::{IPlimsoll, ISettableFeed, IUniswapV3Swapper, MarketParams, deployment::Deployment};
use plimsoll_deploy::{
    apply, connection::Chain, design::Design, manifest::Manifest, packages, plan::Inputs, tools::Tools,
    workspace::Workspace,
};
use tempfile::TempDir;

use crate::{
    exchange::{Amount, Exchange},
    rig::{Rig, behind_others, mined},
};

/// What `deploy up` deploys.
const LOCAL_MANIFEST: &str = "examples/local.toml";
/// Setting a feed, with room to spare.
const FEED_GAS: u64 = 200_000;

/// A node with everything on it.
#[derive(Debug)]
pub struct Stage {
    /// The node, and what else can be put on it.
    pub rig: Rig,
    /// What stands there.
    pub deployment: Deployment,
    record: PathBuf,
    scratch: TempDir,
}

impl Stage {
    /// Starts a node with further arguments for Anvil, and deploys what `deploy up` does.
    pub async fn start(arguments: &[&str]) -> eyre::Result<Self> {
        let manifest = Manifest::read(&Workspace::find()?.root().join(LOCAL_MANIFEST))?;
        Box::pin(Self::start_from(manifest, arguments)).await
    }

    /// The same with another manifest.
    pub async fn start_from(manifest: Manifest, arguments: &[&str]) -> eyre::Result<Self> {
        Self::on(Rig::start(arguments).await?, &manifest).await
    }

    /// Deploys what a manifest says on a node that runs already.
    pub async fn on(rig: Rig, manifest: &Manifest) -> eyre::Result<Self> {
        let scratch = tempfile::Builder::new().prefix("plimsoll-stage-").tempdir()?;
        let record = scratch.path().join("deployment.json");
        let prepare = || -> eyre::Result<_> { Ok(packages::everything(&Tools::ready(&Workspace::find()?)?)?) };
        let artifacts = tokio::task::spawn_blocking(prepare).await??;
        let design = Design::new(manifest, &artifacts)?;
        let chain = Chain::connect(rig.node.http_url().parse()?).await?;
        let signer = manifest.tables.deployer.key.load(chain.local())?;
        let inputs = Inputs { design: &design, artifacts: &artifacts, chain: &chain, may_replace: false };
        let deployment = apply::apply(inputs, signer, &record, &|_| {}).await?;
        Ok(Self { rig, deployment, record, scratch })
    }

    /// The file that says what stands there.
    #[must_use]
    pub fn record(&self) -> &Path {
        &self.record
    }

    /// A folder that goes when this does.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The only contract of a kind. Fails where there is none, or more than one.
    pub fn contract(&self, kind: &str) -> eyre::Result<Address> {
        Ok(self.deployment.only(kind).wrap_err_with(|| format!("there is no single {kind} on record"))?.address)
    }

    /// A token by its name in the manifest.
    pub fn token(&self, name: &str) -> eyre::Result<Address> {
        Ok(self.deployment.tokens.get(name).wrap_err_with(|| format!("the token {name} is not on record"))?.address)
    }

    /// A market by its name in the manifest.
    pub fn market(&self, name: &str) -> eyre::Result<MarketParams> {
        let market = self.deployment.markets.get(name);
        Ok(market.wrap_err_with(|| format!("the market {name} is not on record"))?.params())
    }

    /// Has somebody lend in a market: the tokens are minted.
    pub async fn lend(&self, params: &MarketParams, assets: u128) -> eyre::Result<()> {
        let (core, lender, assets) = (self.contract("Plimsoll")?, self.rig.node.account(1)?, U256::from(assets));
        self.rig.give(params.loanToken, lender, assets, core).await?;
        let core = IPlimsoll::new(core, self.rig.provider());
        mined(core.supply(params.clone(), assets, U256::ZERO, lender, Bytes::new()).from(lender)).await?;
        Ok(())
    }

    /// Gives a pool of the manifest liquidity over its whole range: as much as these amounts, which must be worth the
    /// same at the pool's price.
    pub async fn provide(&self, pool: &str, amounts: [Amount; 2]) -> eyre::Result<Exchange<'_>> {
        let fee = self.deployment.pools.get(pool).wrap_err_with(|| format!("the pool {pool} is not on record"))?.fee;
        let swapper = IUniswapV3Swapper::new(self.contract("UniswapV3Swapper")?, self.rig.provider());
        let exchange = Exchange::over(&self.rig, swapper.factory().call().await?).await?;
        let [one, other] = amounts;
        exchange.provide(fee, one, other).await?;
        Ok(exchange)
    }

    /// Has a price feed answer otherwise from the next block on, in units of its decimals; tells the transaction's hash
    /// without waiting for the block.
    pub async fn send_feed(&self, name: &str, answer: u128) -> eyre::Result<B256> {
        Ok(*self.set_feed(name, answer)?.send().await?.tx_hash())
    }

    /// The same at the end of the next block, whose base fee this is.
    pub async fn send_feed_last(&self, name: &str, answer: u128, base_fee: u128) -> eyre::Result<B256> {
        Ok(*behind_others(self.set_feed(name, answer)?, base_fee).send().await?.tx_hash())
    }

    fn set_feed(
        &self,
        name: &str,
        answer: u128,
    ) -> eyre::Result<SolCallBuilder<&DynProvider, ISettableFeed::setAnswerCall>> {
        let feed = *self.deployment.feeds.get(name).wrap_err_with(|| format!("the feed {name} is not on record"))?;
        let answer = Signed::<192, 3>::try_from(answer).wrap_err("the answer is too large")?;
        let set = SolCallBuilder::new_sol(self.rig.provider(), &feed, &ISettableFeed::setAnswerCall { answer });
        Ok(set.from(self.rig.deployer()).gas(FEED_GAS))
    }

    /// Amounts of a market's tokens, for [`Stage::provide`].
    #[must_use]
    pub const fn amounts(params: &MarketParams, collateral: U256, loan: U256) -> [Amount; 2] {
        [Amount { token: params.collateralToken, units: collateral }, Amount { token: params.loanToken, units: loan }]
    }
}
