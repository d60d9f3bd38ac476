//! The keeper tells of everything that is scheduled in the deployment's manager and executes what is due, once; nothing that
//! was cancelled.

use std::path::Path;

use alloy::{
    primitives::{Address, address},
    providers::{Provider, ext::AnvilApi},
    rpc::types::{Filter, anvil::ReorgOptions},
    sol,
    sol_types::{SolCall, SolEvent},
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::IPlimsoll;
use plimsoll_deploy::manifest::Manifest;
use plimsoll_testkit::{
    deployment::Suite,
    devnet::mined,
    keeper::{Keeper, KeeperSetup},
    proxy::{Fault, Phase, Proxy, Rule},
    workspace::workspace,
};
use serde_json::Value;

use super::fixture::{mine_until, program, soon};

sol! {
    #[sol(rpc)]
    interface IManager {
        event OperationExecuted(bytes32 indexed operationId, uint32 indexed nonce);
        function schedule(address target, bytes calldata data, uint48 when) external returns (bytes32, uint32);
        function cancel(address caller, address target, bytes calldata data) external returns (uint32);
        function hashOperation(address caller, address target, bytes calldata data) external view returns (bytes32);
    }
}

/// Anvil's account 9, which signs harvests, has the role; account 7 may cancel.
pub(super) const SAFE: Address = address!("0xa0Ee7A142d267C1f36714E4a8F75612F20a79720");
const COUNCIL: Address = address!("0x14dC79964da2C08b23698B3D3cc7Ca32193d9955");
pub(super) const GOVERNANCE: &str = r#"
[governance]
administrators = ["safe"]
administrators_delay = "14 days"
guardians = ["council"]

[governance.roles.money]
members = ["safe"]
delay = "13 days"
functions = ["Plimsoll.setFee", "Plimsoll.setFeeRecipient", "Plimsoll.setBackstop", "Plimsoll.transferOwnership",
    "Plimsoll.acceptOwnership", "Backstop.announceLimit", "Backstop.transferCuratorship", "Backstop.acceptCuratorship"]

[governance.roles.lowering]
members = ["council"]
functions = ["Backstop.cancelLimit"]
"#;
const SETTINGS: &str = "[governance]\nexecute = true\n[chain]\nfinality_depth = 8\n";
const DELAY_SECS: u64 = 13 * 86_400;

pub(super) struct Governed {
    pub(super) suite: Suite,
    manager: Address,
    core: Address,
}

impl Governed {
    async fn new() -> eyre::Result<Self> {
        Self::by(GOVERNANCE).await
    }

    /// A suite that is governed by what these tables of the manifest say.
    pub(super) async fn by(governance: &str) -> eyre::Result<Self> {
        let path = workspace()?.root().join("examples/local.toml");
        let accounts = format!("[accounts]\nsafe = \"{SAFE}\"\ncouncil = \"{COUNCIL}\"");
        let text = std::fs::read_to_string(&path)?
            .replace("[owner]\naccount = \"deployer\"", "[owner]\naccount = \"manager\"")
            .replace("[accounts]", &accounts);
        let text = format!("{text}\n{governance}");
        let manifest = Box::new(Manifest::parse(Path::new("local.toml"), text)?);
        let suite = Suite::start_from(&manifest, &[]).await?;
        let manager = suite.deployment.address("governance.manager").wrap_err("no manager")?;
        let core = suite.contract("Plimsoll")?;
        Ok(Self { suite, manager, core })
    }

    /// The call that makes this account the recipient of the reserve of `weth-usdc`.
    pub(super) fn set_recipient(&self, recipient: Address) -> eyre::Result<Vec<u8>> {
        let id = self.suite.market("weth-usdc")?.id().0;
        Ok(IPlimsoll::setFeeRecipientCall { id, recipient }.abi_encode())
    }

    pub(super) async fn schedule(&self, data: Vec<u8>) -> eyre::Result<()> {
        let manager = IManager::new(self.manager, self.suite.provider());
        mined(manager.schedule(self.core, data.into(), Default::default()).from(SAFE)).await?;
        Ok(())
    }

    async fn executed(&self) -> eyre::Result<usize> {
        let filter = Filter::new()
            .address(self.manager)
            .event_signature(IManager::OperationExecuted::SIGNATURE_HASH)
            .from_block(0);
        Ok(self.suite.provider().get_logs(&filter).await?.len())
    }

    async fn recipient(&self) -> eyre::Result<Address> {
        let id = self.suite.market("weth-usdc")?.id().0;
        Ok(IPlimsoll::new(self.core, self.suite.provider()).feeRecipient(id).call().await?)
    }

    /// Waits until the keeper has raised an alert whose line has these parts.
    async fn alerted(&self, keeper: &Keeper, parts: &[&str]) -> eyre::Result<()> {
        let is_raised = || keeper.output().lines().any(|line| parts.iter().all(|part| line.contains(part)));
        soon(keeper.wait_until("status", |_| is_raised())).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_scheduled_is_told_of_and_executed_once_through_a_kill_and_a_reorg_and_a_cancelled_call_never()
-> eyre::Result<()> {
    let governed = Box::pin(Governed::new()).await?;
    let provider = governed.suite.provider();
    let (wanted, unwanted) = (Address::repeat_byte(0x77), Address::repeat_byte(0x66));
    let cancelled = governed.set_recipient(unwanted)?;
    governed.schedule(governed.set_recipient(wanted)?).await?;
    governed.schedule(cancelled.clone()).await?;

    let mut proxy = Proxy::start(governed.suite.devnet.node.address()).await?;
    let setup = KeeperSetup {
        endpoints: vec![format!("url = \"{}\"", proxy.ws_url())],
        further: SETTINGS.to_owned(),
        ..KeeperSetup::live(&governed.suite)
    };
    let keeper = Keeper::start_with(&governed.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    let waiting = |status: &Value| status["governance"]["scheduled"].as_array().map_or(0, Vec::len);
    let status = mine_until(&governed.suite, &keeper, |status| waiting(status) == 2).await?;
    let call = &status["governance"]["scheduled"][0]["calls"][0];
    ensure!(
        call.as_str()
            .is_some_and(|call| call.starts_with("contracts.Plimsoll (")
                && call.contains("setFeeRecipient(id: markets.weth-usdc (")),
        "{call}"
    );
    for recipient in [wanted, unwanted] {
        governed.alerted(&keeper, &["operation_scheduled", "resolved=false", &recipient.to_string()]).await?;
    }
    let metrics = keeper.text("/metrics").await?;
    ensure!(metrics.contains("plimsoll_keeper_scheduled_operations{state=\"waiting\"} 2"), "{metrics}");

    let manager = IManager::new(governed.manager, provider);
    mined(manager.cancel(SAFE, governed.core, cancelled.into()).from(COUNCIL)).await?;
    mine_until(&governed.suite, &keeper, |status| waiting(status) == 1).await?;
    governed
        .alerted(&keeper, &["operation_scheduled", "resolved=true", "was cancelled", &unwanted.to_string()])
        .await?;
    ensure!(governed.executed().await? == 0, "something was executed before its time");

    // Due, and being sent when the keeper is killed: the node has it, without the keeper knowing.
    provider.anvil_set_auto_mine(false).await?;
    let before = provider.get_block_number().await?;
    let stall = proxy.inject(Rule::from(Fault::Stall(Phase::AfterForwarding)).on(&["eth_sendRawTransaction"]));
    provider.anvil_increase_time(DELAY_SECS).await?;
    provider.evm_mine(None).await?;
    governed.alerted(&keeper, &["operation_due", "resolved=false", &wanted.to_string()]).await?;
    soon(async { proxy.wait_for(|counts| counts.acted(stall) > 0).await }).await?;
    drop(keeper);
    proxy.cut_connections().await?;
    proxy.lift(stall);
    let keeper = Keeper::start_with(&governed.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    mine_until(&governed.suite, &keeper, |status| waiting(status) == 0).await?;
    ensure!(governed.executed().await? == 1 && governed.recipient().await? == wanted);
    governed.alerted(&keeper, &["operation_due", "resolved=true", "was executed"]).await?;

    // Its block is reorged, and it is executed in another one.
    let depth = provider.get_block_number().await? - before - 1;
    provider.anvil_reorg(ReorgOptions { depth, tx_block_pairs: Vec::new() }).await?;
    ensure!(governed.executed().await? == 0, "nothing was reorged");
    let is_executed = |status: &Value| waiting(status) == 0 && status["governance"]["ended"][0]["how"] == "executed";
    mine_until(&governed.suite, &keeper, is_executed).await?;
    for _ in 0..10 {
        mine_until(&governed.suite, &keeper, |_| true).await?;
    }
    ensure!(governed.executed().await? == 1 && governed.recipient().await? == wanted);
    let status = keeper.api("status").await?;
    ensure!(status["totals"]["reverted"] == 0, "{}", status["totals"]);
    ensure!(status["governance"]["ended"][1]["how"] == "cancelled", "{}", status["governance"]);
    // Two schedules, and one execution.
    ensure!(provider.get_transaction_count(SAFE).await? == 3, "something else was sent");
    keeper.shut_down().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_what_is_due_is_told_of_and_left() -> eyre::Result<()> {
    let governed = Box::pin(Governed::new()).await?;
    let provider = governed.suite.provider();
    governed.schedule(governed.set_recipient(Address::repeat_byte(0x77))?).await?;
    provider.anvil_increase_time(DELAY_SECS).await?;
    let keeper = Keeper::start(&governed.suite, program(), "").await?;
    keeper.wait_until_ready().await?;
    let is_due = |status: &Value| status["governance"]["scheduled"][0]["state"] == "due";
    let status = mine_until(&governed.suite, &keeper, is_due).await?;
    ensure!(status["governance"]["scheduled"][0]["decision"].is_null(), "{}", status["governance"]);
    governed.alerted(&keeper, &["operation_due", "resolved=false"]).await?;
    mine_until(&governed.suite, &keeper, |_| true).await?;
    ensure!(governed.executed().await? == 0, "it was executed");
    ensure!(provider.get_transaction_count(SAFE).await? == 1, "something was sent");
    keeper.shut_down().await
}
