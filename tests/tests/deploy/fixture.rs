//! A node to deploy on, a small manifest, and a folder for the record.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use alloy::{
    primitives::{Address, U256},
    providers::Provider,
};
use eyre::{ContextCompat, eyre};
use plimsoll_contracts::{IRewards, deployment::Deployment};
use plimsoll_deploy::{
    apply::{self, ApplyError, Progress},
    connection::Chain,
    design::Design,
    inspect::StepStatus,
    journal::record_of,
    manifest::Manifest,
    plan::{Inputs, Plan},
    toolchain::node::Node,
    verify::{self, Finding, roles},
};
use plimsoll_testkit::contracts::artifacts;
use tempfile::TempDir;

use crate::support;

/// A manifest with a market, its oracle and feed, and a programme with two payments.
pub(super) const SMALL: &str = r#"
[network]
name = "test"
chain_id = 31337
local = true

[deployer]
address = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
key = { anvil = 0 }

[owner]
account = "deployer"

[tokens.USDC]
decimals = 6

[tokens.WETH]
decimals = 18

[feeds.eth-usd]
answer = "2000"
decimals = 8
description = "ETH / USD"
between = ["500", "20000"]

[contracts.Plimsoll]
arguments = { firstOwner = "owner" }

[contracts.Rewards]

[oracles.weth-usdc]
collateral = "WETH"
loan = "USDC"
base = [{ feed = "eth-usd", borrow_max_age = "1 day", liquidation_max_age = "unbounded" }]
between = ["1000", "5000"]

[markets.weth-usdc]
loan = "USDC"
collateral = "WETH"
oracle = "weth-usdc"
ltv = "80%"
liquidation_ltv = "86%"
min_debt = "100 USDC"
rate = "4% at 90%"
steepness = 4
speed = "50 per year"
fee = "10%"

[rewards.weth]
stake = "WETH"
rewards = ["USDC"]
funding = [
    { id = "first", token = "USDC", amount = "1000 USDC", epochs = 4 },
    { id = "second", token = "USDC", amount = "1000 USDC", epochs = 4 },
]
"#;

/// [`SMALL`] without its payments.
pub(super) fn without_payments() -> eyre::Result<String> {
    let (before, rest) = SMALL.split_once("funding = [").wrap_err("the manifest has no payments")?;
    let (_, after) = rest.split_once("]\n").wrap_err("its payments have no end")?;
    Ok(format!("{before}{after}"))
}

/// The sum of both payments of [`SMALL`].
pub(super) const FUNDED: u64 = 2_000_000_000;

/// The design of a manifest.
pub(super) fn design(manifest: &str) -> eyre::Result<Design> {
    let manifest = Manifest::parse(Path::new("test.toml"), manifest.to_owned())?;
    Ok(Design::new(&manifest, artifacts()?)?)
}

/// A node with a folder for the record.
pub(super) struct Fixture {
    pub(super) node: Node,
    pub(super) chain: Chain,
    pub(super) folder: TempDir,
}

impl Fixture {
    pub(super) async fn start(arguments: &[&str]) -> eyre::Result<Self> {
        let node = Node::start(&support::tools()?, arguments).await?;
        let chain = Chain::connect(node.http_url().parse()?).await?;
        Ok(Self { node, chain, folder: tempfile::tempdir()? })
    }

    pub(super) fn record_path(&self) -> PathBuf {
        self.folder.path().join(format!("{}.json", self.chain.id()))
    }

    pub(super) async fn apply(&self, manifest: &str) -> eyre::Result<Deployment> {
        self.apply_with(manifest, &|_| {}).await
    }

    pub(super) async fn apply_with(
        &self,
        manifest: &str,
        on_progress: &(dyn Fn(Progress<'_>) + Send + Sync),
    ) -> eyre::Result<Deployment> {
        let manifest = Manifest::parse(Path::new("test.toml"), manifest.to_owned())?;
        let design = Design::new(&manifest, artifacts()?)?;
        let inputs = Inputs { design: &design, artifacts: artifacts()?, chain: &self.chain, may_replace: false };
        let signer = manifest.tables.deployer.key.open(self.chain.local()).await?;
        Ok(apply::apply(inputs, signer, &self.record_path(), on_progress).await?)
    }

    pub(super) async fn plan(&self, manifest: &str) -> eyre::Result<Plan> {
        let design = design(manifest)?;
        let record = record_of(&self.record_path(), &self.chain, &design).await?;
        let inputs = Inputs { design: &design, artifacts: artifacts()?, chain: &self.chain, may_replace: false };
        Ok(Plan::new(inputs, &record).await?)
    }

    pub(super) async fn verify(&self, manifest: &str) -> eyre::Result<Vec<Finding>> {
        let design = design(manifest)?;
        let record = record_of(&self.record_path(), &self.chain, &design).await?;
        let mut findings = verify::contracts(&self.chain, &design, artifacts()?).await?;
        roles::further_holders(&self.chain, &design, &record, &mut findings).await?;
        Ok(findings)
    }

    /// Returns the number of transactions that the deployer has sent.
    pub(super) async fn sent(&self) -> eyre::Result<u64> {
        Ok(self.node.provider().get_transaction_count(self.node.account(0)?).await?)
    }

    /// Returns the sum of all payments into the small manifest's programme.
    pub(super) async fn funded(&self, record: &Deployment) -> eyre::Result<U256> {
        let rewards = record.address("contracts.Rewards").ok_or_else(|| eyre!("no rewards"))?;
        let (pool, token) = (record.programmes["weth"].id, record.tokens["USDC"].address);
        let rewards = IRewards::new(rewards, self.node.provider());
        Ok(rewards.streamState(pool, token).call().await?.funded)
    }

    /// Returns the command line for this node and record.
    pub(super) fn command(&self, subcommand: &str, manifest: &Path, url: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deploy_bin"));
        command.arg(subcommand).arg(manifest).args(["--rpc-url", url, "--records"]).arg(self.folder.path());
        command
    }

    /// Writes a manifest to a file.
    pub(super) fn write(&self, manifest: &str) -> eyre::Result<PathBuf> {
        let path = self.folder.path().join("manifest.toml");
        std::fs::write(&path, manifest)?;
        Ok(path)
    }
}

/// Returns the error for a manifest, after checking that nothing was sent.
pub(super) fn refusals(error: &eyre::Report) -> Vec<String> {
    match error.downcast_ref() {
        Some(ApplyError::Refused(problems)) => problems.clone(),
        _ => vec![format!("not refused, but: {error:#}")],
    }
}

/// Returns the state of a step in a plan.
pub(super) fn seen<'a>(plan: &'a Plan, name: &str) -> &'a StepStatus {
    let found = plan.steps.iter().find(|(step, _)| step.name == name);
    &found.unwrap_or_else(|| panic!("the plan has no step {name}")).1
}

/// Formats an address as in a manifest.
pub(super) fn quoted(address: Address) -> String {
    format!("\"{address}\"")
}
