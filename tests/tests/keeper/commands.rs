//! Commands that have transactions sent, with and without a running keeper, and the report of what was earned.

use std::{path::PathBuf, pin::pin, time::Duration};

use alloy::{
    consensus::Transaction as _,
    primitives::{
        Address, B256, U256,
        utils::{parse_ether, parse_units},
    },
    providers::Provider,
    rpc::types::TransactionRequest,
    sol,
    sol_types::SolCall,
};
use eyre::{ContextCompat, ensure};
use plimsoll_keeper::{intent::Purpose, sender::journal::EntryState};
use plimsoll_testkit::{
    keeper::{Keeper, KeeperSetup},
    proxy::{Fault, Phase, Proxy, Rule},
};
use serde_json::Value;
use tokio::time::timeout;

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

/// Pause between two blocks while a command waits for them.
const MINING_INTERVAL: Duration = Duration::from_millis(200);

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

    /// As [`Site::new`], with a keeper that reaches the node through a proxy.
    async fn behind_proxy(groups: &[u64]) -> eyre::Result<(Self, Proxy)> {
        let mut site = Self::new(groups).await?;
        let proxy = Proxy::start(site.fixture.suite.devnet.node.address()).await?;
        site.setup.endpoints = vec![format!("url = \"{}\"", proxy.ws_url())];
        Ok((site, proxy))
    }

    async fn start(&self) -> eyre::Result<Keeper> {
        let running = Keeper::start_with(&self.fixture.suite, program(), &self.setup).await?;
        running.wait_until_ready().await?;
        Ok(running)
    }

    /// Runs a command with the keeper's configuration.
    async fn command(&self, arguments: &[&str]) -> eyre::Result<Said> {
        let scratch = self.fixture.suite.scratch();
        let folder: PathBuf = scratch.join(&self.setup.folder);
        let locks = scratch.join("state").display().to_string();
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        tokio::task::spawn_blocking(move || {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            keeper(&folder, &arguments, &[("XDG_STATE_HOME", &locks)])
        })
        .await?
    }

    /// Runs a command that sends a transaction and waits for blocks, which are mined from when the node has the transaction until
    /// the command ends.
    async fn command_while_mining(&self, arguments: &[&str]) -> eyre::Result<Said> {
        let provider = self.fixture.provider();
        // A node that mines by itself has mined what it took.
        let seen = async || {
            let pool: Value = provider.raw_request("txpool_content".into(), ()).await?;
            eyre::Ok((pool, provider.get_block_number().await?))
        };
        let before = seen().await?;
        let mut command = pin!(self.command(arguments));
        let mut is_sent = false;
        soon(async {
            loop {
                match timeout(MINING_INTERVAL, &mut command).await {
                    Ok(said) => return said,
                    Err(_) if is_sent || seen().await? != before => {
                        is_sent = true;
                        self.fixture.mine().await?;
                    }
                    Err(_) => {}
                }
            }
        })
        .await
    }

    /// Lets the price fall, and waits until the keeper's liquidation is in the node's pool, where it stays. Returns its
    /// nonce.
    async fn pending_liquidation(&self, signer: Address) -> eyre::Result<u64> {
        self.fixture.stop_mining().await?;
        self.fixture.drop_price_below(0).await?;
        let count = async || self.fixture.provider().get_transaction_count(signer).await;
        let nonce = count().await?;
        soon(async {
            while self.fixture.provider().get_transaction_count(signer).pending().await? == nonce {}
            Ok(())
        })
        .await?;
        Ok(nonce)
    }

    /// Checks that a signer's nonce was used by a transfer of nothing to itself. Returns its hash.
    async fn ensure_cancelled(&self, signer: Address, nonce: u64) -> eyre::Result<B256> {
        let (hash, ..) = self.fixture.mined_transactions(signer).await?.remove(&nonce).wrap_err("it is not mined")?;
        let mined = self.fixture.provider().get_transaction_by_hash(hash).await?.wrap_err("no transaction")?;
        ensure!(mined.to() == Some(signer) && mined.value().is_zero() && mined.input().is_empty(), "{mined:?}");
        Ok(hash)
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
    ensure!(parse_units(in_tokens, 6)?.get_absolute() == profit, "{report:#}");

    let csv = site.command(&["report", "--csv"]).await?.out;
    ensure!(csv.lines().count() == 3 && csv.contains(",\"liquidate\",\"weth-usdc\",mined,1,"), "{csv}");
    let nothing = site.command(&["report", "--until", "2020-01-01"]).await?;
    ensure!(nothing.code == Some(0) && nothing.out == "no transactions\n", "{}{}", nothing.out, nothing.err);
    let unclear = site.command(&["report", "--since", "yesterday"]).await?;
    ensure!(unclear.code == Some(1) && unclear.err.contains("--since: \"yesterday\" is no time"), "{}", unclear.err);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_running_keeper_a_sweep_writes_the_journal_that_the_next_start_goes_on_with() -> eyre::Result<()> {
    let site = Site::new(&[1]).await?;
    let fixture = &site.fixture;
    // The configuration is written by a start.
    let running = site.start().await?;
    let signer = running.signer();
    running.shut_down().await?;
    let nothing = site.command(&["sweep", "USDC"]).await?;
    ensure!(
        nothing.code == Some(1) && nothing.err.contains("the signers held nothing of that in block"),
        "{}",
        nothing.err
    );
    site.mint(signer).await?;
    let said = site.command_while_mining(&["sweep", "USDC", "--json"]).await?;
    ensure!(said.code == Some(0) && said.json()?["text"].to_string().contains("mined in block"), "{}", said.err);
    ensure!(site.held(site.treasury).await? == U256::from(EARNED), "not all was swept");

    let running = site.start().await?;
    fixture.drop_price_below(0).await?;
    fixture.wait_until_liquidated(1, &[&running]).await?;
    let journal = fixture.settle_and_end(running, &site.setup).await?;
    fixture.ensure_journal_is_complete(&journal, signer).await?;
    let report = site.command(&["report", "--json"]).await?.json()?;
    ensure!(report["transactions"][0]["strategy"] == "sweep" && report["total"]["transactions"] == 2, "{report:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_transaction_is_cancelled_by_its_nonce_and_no_other_is() -> eyre::Result<()> {
    let site = Site::new(&[1]).await?;
    let fixture = &site.fixture;
    let running = site.start().await?;
    let signer = running.signer();
    let nonce = site.pending_liquidation(signer).await?;
    let said = site.command(&["pause"]).await?;
    ensure!(said.code == Some(0), "{}", said.err);

    let other = site.command(&["cancel", &(nonce + 1).to_string()]).await?;
    let words = format!("nonce {} is pending; pending are {nonce}", nonce + 1);
    ensure!(other.code == Some(1) && other.err.contains(&words), "{}", other.err);
    let stranger = site.command(&["cancel", &nonce.to_string(), "--account", &site.treasury.to_string()]).await?;
    ensure!(stranger.code == Some(1) && stranger.err.contains("is no signer of this keeper"), "{}", stranger.err);
    let said = site.command(&["cancel", &nonce.to_string()]).await?;
    ensure!(
        said.code == Some(0) && said.out.contains("is replaced by the cancellation 0x"),
        "{}{}",
        said.out,
        said.err
    );
    let again = site.command(&["cancel", &nonce.to_string()]).await?;
    ensure!(again.code == Some(1) && again.err.contains("is being cancelled already"), "{}", again.err);
    soon(async {
        while fixture.provider().get_transaction_count(signer).await? == nonce {
            fixture.mine_blocks(1, &running).await?;
        }
        Ok(())
    })
    .await?;
    let hash = site.ensure_cancelled(signer, nonce).await?;
    ensure!(said.out.contains(&hash.to_string()) && fixture.liquidated().await?.is_empty(), "{}", said.out);

    // Nothing speaks against the loan any more.
    let resumed = site.command(&["resume"]).await?;
    ensure!(resumed.code == Some(0), "{}", resumed.err);
    fixture.wait_until_liquidated(1, &[&running]).await?;
    let journal = fixture.settle_and_end(running, &site.setup).await?;
    fixture.ensure_each_once().await?;
    fixture.ensure_journal_is_complete(&journal, signer).await?;
    let report = site.command(&["report", "--csv"]).await?.out;
    ensure!(report.contains("\"weth-usdc\",cancelled,0,0,"), "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_running_keeper_a_transaction_that_it_left_pending_can_be_cancelled() -> eyre::Result<()> {
    let site = Site::new(&[1]).await?;
    let fixture = &site.fixture;
    let running = site.start().await?;
    let signer = running.signer();
    let nonce = site.pending_liquidation(signer).await?;
    drop(running);
    let other = site.command(&["cancel", &(nonce + 1).to_string()]).await?;
    ensure!(other.code == Some(1) && other.err.contains(&format!("pending are {nonce}")), "{}", other.err);
    let said = site.command_while_mining(&["cancel", &nonce.to_string()]).await?;
    ensure!(said.code == Some(0) && said.out.contains("mined in block"), "{}{}", said.out, said.err);
    site.ensure_cancelled(signer, nonce).await?;

    let running = site.start().await?;
    fixture.wait_until_liquidated(1, &[&running]).await?;
    let journal = fixture.settle_and_end(running, &site.setup).await?;
    fixture.ensure_each_once().await?;
    fixture.ensure_journal_is_complete(&journal, signer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_killed_while_it_sends_a_sweep_sweeps_once() -> eyre::Result<()> {
    let (site, mut proxy) = Site::behind_proxy(&[1]).await?;
    let fixture = &site.fixture;
    let mut running = site.start().await?;
    let signer = running.signer();
    fixture.stop_mining().await?;
    // In the journal and being sent: first before the node has it, then after, without the keeper knowing.
    for (times, moment) in [(1, Phase::BeforeForwarding), (2, Phase::AfterForwarding)] {
        site.mint(signer).await?;
        soon(running.wait_for_block(fixture.head().await?)).await?;
        let stall = proxy.inject(Rule::from(Fault::Stall(moment)).on(&["eth_sendRawTransaction"]));
        let said = site.command(&["sweep", "USDC"]).await?;
        ensure!(said.code == Some(0), "{}", said.err);
        proxy.wait_for(|counts| counts.acted(stall) > 0).await?;
        drop(running);
        proxy.cut_connections().await?;
        proxy.lift(stall);
        running = site.start().await?;
        soon(async {
            while site.held(site.treasury).await? < U256::from(EARNED * times) {
                fixture.mine_blocks(1, &running).await?;
            }
            Ok(())
        })
        .await?;
    }
    let journal = fixture.settle_and_end(running, &site.setup).await?;
    fixture.ensure_journal_is_complete(&journal, signer).await?;
    fixture.ensure_none_reverted(signer).await?;
    let sweeps = journal.iter().filter(|entry| matches!(entry.intent.purpose, Purpose::Sweep { .. })).count();
    let held = site.held(site.treasury).await?;
    ensure!(sweeps == 2 && held == U256::from(2 * EARNED), "{held} by {sweeps} sweeps");
    let report = site.command(&["report", "--json"]).await?.json()?;
    ensure!(report["total"]["transactions"] == 2, "{report:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_killed_while_it_cancels_cancels_and_liquidates_once() -> eyre::Result<()> {
    for moment in [Phase::BeforeForwarding, Phase::AfterForwarding] {
        let (site, mut proxy) = Site::behind_proxy(&[1]).await?;
        let fixture = &site.fixture;
        let running = site.start().await?;
        let signer = running.signer();
        let nonce = site.pending_liquidation(signer).await?;
        let stall = proxy.inject(Rule::from(Fault::Stall(moment)).on(&["eth_sendRawTransaction"]));
        let said = site.command(&["cancel", &nonce.to_string()]).await?;
        ensure!(said.code == Some(0), "{}", said.err);
        proxy.wait_for(|counts| counts.acted(stall) > 0).await?;
        drop(running);
        proxy.cut_connections().await?;
        proxy.lift(stall);

        let running = site.start().await?;
        // The same bytes that were journalled.
        let (_, hash) = said.out.rsplit_once("cancellation ").wrap_err("no hash")?;
        let hash: B256 = hash.split(' ').next().wrap_err("no hash")?.parse()?;
        soon(async {
            while fixture.provider().get_transaction_by_hash(hash).await?.is_none() {}
            Ok(())
        })
        .await?;
        fixture.mine().await?;
        ensure!(site.ensure_cancelled(signer, nonce).await? == hash, "another transaction used the nonce");
        fixture.wait_until_liquidated(1, &[&running]).await?;
        let journal = fixture.settle_and_end(running, &site.setup).await?;
        fixture.ensure_each_once().await?;
        fixture.ensure_journal_is_complete(&journal, signer).await?;
        let is_cancelled = |state: &EntryState| matches!(state, EntryState::Cancelled(place) if place.hash == hash);
        ensure!(journal.iter().any(|entry| is_cancelled(&entry.state)), "{journal:?}");
    }
    Ok(())
}
