//! Commands that have transactions sent, with and without a running keeper, and the report of what was earned.

use std::path::PathBuf;

use alloy::{
    primitives::{Address, U256, utils::parse_ether},
    providers::Provider,
    rpc::types::TransactionRequest,
    sol,
    sol_types::SolCall,
};
use eyre::{ContextCompat, ensure};
use plimsoll_testkit::keeper::{Keeper, KeeperSetup};
use serde_json::Value;

use super::{
    cli::{Said, keeper},
    fixture::{EARLY_FINALITY, Fixture, program, soon},
};

sol! {
    interface IMintable {
        function mint(address to, uint256 amount) external;
        function balanceOf(address account) external view returns (uint256);
    }
}

/// Units of the loan token that lie on a signer's account.
const EARNED: u64 = 50_000_000;

/// A suite with a keeper's configuration, whose profits go to an account of their own.
struct Site {
    fixture: Fixture,
    setup: KeeperSetup,
    treasury: Address,
}

impl Site {
    async fn new(groups: &[u64]) -> eyre::Result<Self> {
        let fixture = Fixture::new(groups).await?;
        let treasury = fixture.suite.devnet.account(5)?;
        let further = format!("{EARLY_FINALITY}[liquidate]\nreceiver = \"{treasury}\"\n");
        let setup = KeeperSetup { further, ..KeeperSetup::live(&fixture.suite) };
        Ok(Self { fixture, setup, treasury })
    }

    async fn start(&self) -> eyre::Result<Keeper> {
        let running = Keeper::start_with(&self.fixture.suite, program(), &self.setup).await?;
        running.wait_until_ready().await?;
        Ok(running)
    }

    /// Runs a command with the keeper's configuration.
    async fn command(&self, arguments: &'static [&'static str]) -> eyre::Result<Said> {
        let scratch = self.fixture.suite.scratch();
        let folder: PathBuf = scratch.join(&self.setup.folder);
        let locks = scratch.join("state").display().to_string();
        tokio::task::spawn_blocking(move || keeper(&folder, arguments, &[("XDG_STATE_HOME", &locks)])).await?
    }

    /// Gives an account units of the loan token, in a block.
    async fn mint(&self, to: Address) -> eyre::Result<()> {
        let mint = IMintable::mintCall { to, amount: U256::from(EARNED) }.abi_encode();
        let (deployer, usdc) = (self.fixture.suite.devnet.deployer(), self.fixture.params.loanToken);
        let mint = TransactionRequest::default().from(deployer).to(usdc).input(mint.into());
        let mint = self.fixture.provider().send_transaction(mint).await?;
        self.fixture.mine().await?;
        ensure!(mint.get_receipt().await?.status(), "nothing was minted");
        Ok(())
    }

    /// Units of the loan token that an account holds.
    async fn held(&self, account: Address) -> eyre::Result<U256> {
        let call = IMintable::balanceOfCall { account }.abi_encode();
        let call = TransactionRequest::default().to(self.fixture.params.loanToken).input(call.into());
        Ok(IMintable::balanceOfCall::abi_decode_returns(&self.fixture.provider().call(call).await?)?)
    }

    /// Mines blocks until the receiver of profits holds something.
    async fn wait_until_swept(&self, running: &Keeper) -> eyre::Result<()> {
        soon(async {
            while self.held(self.treasury).await?.is_zero() {
                self.fixture.mine_blocks(1, running).await?;
            }
            Ok(())
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_goes_through_the_running_keepers_journal_and_the_report_has_every_wei() -> eyre::Result<()> {
    let site = Site::new(&[1]).await?;
    let fixture = &site.fixture;
    let running = site.start().await?;
    let signer = running.signer();
    site.mint(signer).await?;
    soon(running.wait_for_block(fixture.head().await?)).await?;

    let said = site.command(&["sweep", "DAI"]).await?;
    ensure!(said.code == Some(1) && said.err.contains("there is no token DAI; there are"), "{}", said.err);
    let said = site.command(&["sweep", "USDC"]).await?;
    ensure!(said.code == Some(0) && said.out.contains("50 USDC from"), "{}{}", said.out, said.err);
    site.wait_until_swept(&running).await?;
    ensure!(site.held(site.treasury).await? == U256::from(EARNED), "not all was swept");
    // The keeper goes on with the next nonce, and the profit of a liquidation goes to the receiver at once.
    fixture.drop_price_below(0).await?;
    fixture.wait_until_liquidated(1, &[&running]).await?;
    ensure!(site.held(signer).await?.is_zero(), "the profit lies on the signer's account");
    let profit = site.held(site.treasury).await? - U256::from(EARNED);
    ensure!(!profit.is_zero(), "the profit went astray");

    let is_done = |status: &Value| status["totals"]["transactions"] == 2;
    soon(running.wait_until("status", is_done)).await?;
    let journal = fixture.settle_and_end(running, &site.setup).await?;
    fixture.ensure_journal_is_complete(&journal, signer).await?;

    let report = site.command(&["report", "--since", "1 day", "--json"]).await?.json()?;
    let transactions = report["transactions"].as_array().wrap_err("no transactions")?;
    let strategies: Vec<_> = transactions.iter().map(|result| &result["strategy"]).collect();
    ensure!(strategies == ["sweep", "liquidate"], "{report:#}");
    let mut fees = U256::ZERO;
    for (hash, ..) in fixture.mined_transactions(signer).await?.into_values() {
        let receipt = fixture.provider().get_transaction_receipt(hash).await?.wrap_err("no receipt")?;
        fees += U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
    }
    let coins = |value: &Value| Ok::<_, eyre::Report>(parse_ether(value["amount"].as_str().wrap_err("no amount")?)?);
    let total = &report["total"];
    ensure!(coins(&total["gas"])? + coins(&total["tip"])? == fees, "{fees} was paid: {total:#}");
    ensure!(coins(&total["net"])? == coins(&total["gain"])? - fees, "{total:#}");
    let in_tokens = transactions[1]["profit"]["amount"].as_str().wrap_err("no profit")?;
    ensure!(alloy::primitives::utils::parse_units(in_tokens, 6)?.get_absolute() == profit, "{report:#}");

    let csv = site.command(&["report", "--csv"]).await?.out;
    ensure!(csv.lines().count() == 3 && csv.contains(",\"liquidate\",\"weth-usdc\",mined,1,"), "{csv}");
    let nothing = site.command(&["report", "--until", "2020-01-01"]).await?;
    ensure!(nothing.code == Some(0) && nothing.out == "no transactions\n", "{}{}", nothing.out, nothing.err);
    let unclear = site.command(&["report", "--since", "yesterday"]).await?;
    ensure!(unclear.code == Some(1) && unclear.err.contains("--since: \"yesterday\" is no time"), "{}", unclear.err);
    Ok(())
}
