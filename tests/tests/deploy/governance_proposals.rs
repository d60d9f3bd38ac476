//! Proposals by the commands of `plimsoll-deploy`: a whole life, one that depositors stop, those without a governor, and
//! what a simulation finds.

use std::{
    fs,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use alloy::{
    primitives::{Address, Bytes, U256, address},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
    sol,
    sol_types::SolCall,
};
use eyre::{ContextCompat, WrapErr, bail, ensure};
use plimsoll_contracts::{
    IBrake, IERC4626, IPlimsoll, IVault,
    deployment::Deployment,
    governance::{IAccessManager, IVotes},
};
use plimsoll_testkit::contracts::artifacts;
use serde_json::Value;

use super::{
    fixture::{Fixture, design},
    governance::manifest,
};
use crate::support::governor;

sol! {
    interface IMintable {
        function mint(address to, uint256 amount) external;
        function transfer(address to, uint256 amount) external returns (bool);
        function approve(address spender, uint256 amount) external returns (bool);
    }
}

const DAY: u64 = 24 * 60 * 60;
/// Anvil's account 1, who has all votes.
const VOTER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/// Longest time for a command to broadcast.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(5);

/// A manifest whose manager is administered by a governor, in which the votes of `VOTER` decide.
fn with_governor() -> String {
    let by_governor = manifest()
        .replace("administrators = [\"safe\"]", "administrators = [\"governor\"]")
        .replace("members = [\"safe\"]", "members = [\"governor\"]")
        .replace("[accounts]\n", &format!("[accounts]\nvoter = \"{VOTER}\"\n"));
    by_governor + &governor("voter")
}

const RAISE: &str = r#"
title = "Raise the fee of weth-usdc to 12 %"
description = "The reserve is thin."

[[actions]]
contract = "contracts.Plimsoll"
function = "setFee"
arguments = ["weth-usdc", "12%"]
"#;

/// A deployment with governance, and its accounts.
struct Scene {
    fixture: Fixture,
    record: Deployment,
    /// Sends from any account.
    provider: DynProvider,
}

impl Scene {
    async fn start(manifest: &str) -> eyre::Result<Self> {
        let fixture = Fixture::start(&[]).await?;
        let record = fixture.apply(manifest).await?;
        let provider = fixture.node.impersonating().await?;
        Ok(Self { fixture, record, provider })
    }

    fn at(&self, name: &str) -> eyre::Result<Address> {
        self.record.address(name).wrap_err_with(|| format!("the record has no {name}"))
    }

    async fn send(&self, from: Address, to: Address, call: impl SolCall) -> eyre::Result<()> {
        let request = TransactionRequest::default().from(from).to(to).input(Bytes::from(call.abi_encode()).into());
        let receipt = self.provider.send_transaction(request.gas_limit(2_000_000)).await?.get_receipt().await?;
        ensure!(receipt.status(), "{to}: {receipt:?}");
        Ok(())
    }

    async fn pass(&self, secs: u64) -> eyre::Result<()> {
        self.provider.anvil_increase_time(secs).await?;
        self.provider.evm_mine(None).await?;
        Ok(())
    }

    fn file(&self, name: &str, text: &str) -> eyre::Result<PathBuf> {
        let path = self.fixture.folder.path().join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_deploy_bin"));
        command.args(arguments).args(["--json", "--rpc-url", &self.fixture.node.http_url(), "--record"]);
        command.arg(self.fixture.record_path()).stdin(Stdio::null());
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true);
        command
    }

    async fn output(&self, arguments: &[&str]) -> eyre::Result<Output> {
        Ok(self.command(arguments).output().await?)
    }

    /// Runs a command that succeeds, and returns its result.
    async fn run(&self, arguments: &[&str]) -> eyre::Result<Value> {
        let output = self.output(arguments).await?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Runs a command that sends nothing because it fails, and returns its message.
    async fn refused(&self, arguments: &[&str]) -> eyre::Result<String> {
        let before = self.provider.get_block_number().await?;
        let output = self.output(arguments).await?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success(), "{arguments:?} was not refused: {text}");
        ensure!(self.provider.get_block_number().await? == before, "{arguments:?} sent something");
        Ok(text)
    }

    /// Kills a command as soon as it has broadcast, and mines its transaction. Run again, it finds that it is done.
    async fn killed_and_again(&self, arguments: &[&str], from: Address) -> eyre::Result<Value> {
        self.provider.anvil_set_auto_mine(false).await?;
        let before = self.provider.get_transaction_count(from).await?;
        let mut child = self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let has_sent = async {
            loop {
                if self.provider.get_transaction_count(from).pending().await? > before {
                    return eyre::Ok(());
                }
                if let Some(status) = child.try_wait()? {
                    bail!("{arguments:?} ended without sending: {status}");
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, has_sent).await.wrap_err("it sends nothing")??;
        child.kill().await?;
        self.provider.evm_mine(None).await?;
        self.provider.anvil_set_auto_mine(true).await?;
        let result = self.run(arguments).await?;
        ensure!(self.provider.get_transaction_count(from).await? == before + 1, "{arguments:?} sent twice");
        ensure!(result["transactions"] == Value::Array(Vec::new()), "{result}");
        Ok(result)
    }

    async fn fee(&self) -> eyre::Result<U256> {
        let core = IPlimsoll::new(self.at("contracts.Plimsoll")?, &self.provider);
        Ok(core.market(self.record.markets["weth-usdc"].id).call().await?.feeBps)
    }

    /// Gives the votes that the voter has to himself, a moment before anything is proposed.
    async fn delegate(&self) -> eyre::Result<()> {
        let voter: Address = VOTER.parse()?;
        self.send(voter, self.at("governance.token")?, IVotes::delegateCall { delegatee: voter }).await?;
        self.pass(1).await
    }
}

fn id_in(result: &Value) -> eyre::Result<String> {
    Ok(result["ids"][0].as_str().wrap_err_with(|| format!("no id: {result}"))?.to_owned())
}

#[tokio::test]
async fn a_proposal_is_proposed_voted_on_queued_and_executed_and_each_command_may_be_killed() -> eyre::Result<()> {
    let scene = Scene::start(&with_governor()).await?;
    let voter: Address = VOTER.parse()?;
    let file = scene.file("raise.toml", RAISE)?;
    let file = file.to_str().wrap_err("path")?;

    let text = scene.refused(&["propose", file, "--anvil-account", "1"]).await?;
    ensure!(text.contains("Nobody votes with the 1000000 tokens that it has: delegate them"), "{text}");
    scene.delegate().await?;
    let proposed = scene.killed_and_again(&["propose", file, "--anvil-account", "1"], voter).await?;
    let id = id_in(&proposed)?;
    let text = scene.refused(&["vote", &id, "for", "--anvil-account", "1"]).await?;
    ensure!(text.contains("the vote is not active yet: it begins at 20"), "{text}");

    scene.pass(2 * DAY + 1).await?;
    // Who buys votes now has none in this proposal.
    let late = scene.fixture.node.account(3)?;
    let amount = U256::from(10).pow(U256::from(23));
    scene.send(voter, scene.at("governance.token")?, IMintable::transferCall { to: late, amount }).await?;
    scene.send(late, scene.at("governance.token")?, IVotes::delegateCall { delegatee: late }).await?;
    let text = scene.refused(&["vote", &id, "against", "--anvil-account", "3"]).await?;
    ensure!(text.contains("The 100000 votes that it has now came after the moment whose votes count"), "{text}");
    let text = scene.refused(&["vote", &id, "for", "--anvil-account", "4"]).await?;
    ensure!(text.contains("has no vote in this proposal"), "{text}");

    let text = scene.refused(&["queue", &id, "--anvil-account", "1"]).await?;
    ensure!(text.contains("the quorum is not reached"), "{text}");
    scene.killed_and_again(&["vote", file, "for", "--reason", "it is thin", "--anvil-account", "1"], voter).await?;
    scene.pass(5 * DAY).await?;
    let text = scene.refused(&["execute", &id, "--anvil-account", "1"]).await?;
    ensure!(text.contains("won, and to be queued"), "{text}");
    scene.killed_and_again(&["queue", &id, "--anvil-account", "1"], voter).await?;
    let text = scene.refused(&["execute", &id, "--anvil-account", "1"]).await?;
    ensure!(text.contains("it is not due until 20"), "{text}");
    let listed = scene.run(&["proposals"]).await?;
    ensure!(listed[0]["stage"] == "queued" && listed[0]["title"] == "Raise the fee of weth-usdc to 12 %", "{listed}");

    ensure!(scene.fee().await? == U256::from(1_000));
    scene.pass(12 * DAY).await?;
    scene.killed_and_again(&["execute", &id, "--anvil-account", "1"], voter).await?;
    ensure!(scene.fee().await? == U256::from(1_200));
    ensure!(scene.run(&["proposals"]).await? == Value::Array(Vec::new()));
    let text = scene.refused(&["propose", file, "--anvil-account", "1"]).await?;
    ensure!(text.contains("Change `title` or `description`"), "{text}");
    Ok(())
}

/// Proposes, votes and queues, and returns the number.
async fn queued(scene: &Scene, file: &str) -> eyre::Result<String> {
    let id = id_in(&scene.run(&["propose", file, "--anvil-account", "1"]).await?)?;
    scene.pass(2 * DAY + 1).await?;
    scene.run(&["vote", &id, "for", "--anvil-account", "1"]).await?;
    scene.pass(5 * DAY).await?;
    scene.run(&["queue", &id, "--anvil-account", "1"]).await?;
    Ok(id)
}

/// Deposits into the vault and locks all shares in its brake.
async fn lock(scene: &Scene, who: Address, assets: u64) -> eyre::Result<()> {
    let (vault, brake) = (scene.at("vaults.usdc")?, scene.at("governance.brakes.vaults.usdc")?);
    let (token, assets) = (scene.record.tokens["USDC"].address, U256::from(assets) * U256::from(1_000_000));
    scene.send(who, token, IMintable::mintCall { to: who, amount: assets }).await?;
    scene.send(who, token, IMintable::approveCall { spender: vault, amount: assets }).await?;
    scene.send(who, vault, IERC4626::depositCall { assets, receiver: who }).await?;
    let shares = IERC4626::new(vault, &scene.provider).balanceOf(who).call().await?;
    scene.send(who, vault, IMintable::approveCall { spender: brake, amount: shares }).await?;
    // The supply that weight is measured against rises by a tenth a day at most.
    for _ in 0..15 {
        scene.pass(DAY).await?;
        scene.send(who, brake, IBrake::pokeCall {}).await?;
    }
    scene.send(who, brake, IBrake::lockCall { shares }).await
}

#[tokio::test]
async fn depositors_brake_a_proposal_of_the_governor_which_then_says_who_and_what_next() -> eyre::Result<()> {
    let scene = Scene::start(&with_governor()).await?;
    scene.delegate().await?;
    let depositor = scene.fixture.node.account(5)?;
    lock(&scene, depositor, 1_000_000).await?;
    // An operation of the administrators, which are the governor: it is scheduled as all others, and can be cancelled.
    let text = r#"
title = "Close the vault"
[[actions]]
contract = "governance.manager"
function = "setTargetClosed"
arguments = ["vaults.usdc", true]
"#;
    let file = scene.file("close.toml", text)?;
    let id = queued(&scene, file.to_str().wrap_err("path")?).await?;
    let (manager, governor) = (scene.at("governance.manager")?, scene.at("governance.governor")?);
    let data = IAccessManager::setTargetClosedCall { target: scene.at("vaults.usdc")?, closed: true }.abi_encode();
    let operation = IBrake::Operation { caller: governor, target: manager, data: data.into() };
    let brake = scene.at("governance.brakes.vaults.usdc")?;
    scene.send(depositor, brake, IBrake::opposeCall { operations: vec![operation] }).await?;
    scene.pass(14 * DAY).await?;
    let text = scene.refused(&["execute", &id, "--anvil-account", "1"]).await?;
    ensure!(text.contains("it was braked: call 1 (governance.manager"), "{text}");
    ensure!(text.contains("by depositors (cancellation no. 1) through governance.brakes.vaults.usdc"), "{text}");
    let listed = scene.run(&["proposals", "--all"]).await?;
    ensure!(listed[0]["stage"] == "braked", "{listed}");
    Ok(())
}

#[tokio::test]
async fn the_governor_administers_the_manager_by_proposal() -> eyre::Result<()> {
    let scene = Scene::start(&with_governor()).await?;
    scene.delegate().await?;
    let text = r#"
title = "A further guardian"
[[actions]]
contract = "manager"
function = "grantRole"
arguments = ["brake", "0x00000000000000000000000000000000000000aa", 0]
"#;
    let file = scene.file("guardian.toml", text)?;
    let id = queued(&scene, file.to_str().wrap_err("path")?).await?;
    scene.pass(14 * DAY).await?;
    scene.run(&["execute", &id, "--anvil-account", "1"]).await?;
    let manager = IAccessManager::new(scene.at("governance.manager")?, &scene.provider);
    let member = address!("00000000000000000000000000000000000000aa");
    ensure!(manager.hasRole(1, member).call().await?.isMember);
    // Its role among the manager's own functions gives it no shorter way.
    let governor = scene.at("governance.governor")?;
    let selector = IAccessManager::grantRoleCall::SELECTOR.into();
    let access = manager.canCall(governor, *manager.address(), selector).call().await?;
    ensure!(!access.immediate && u64::from(access.delay) == 14 * DAY, "{access:?}");
    Ok(())
}

/// A manifest without governor, in which Anvil's account 1 has the role that raises.
fn by_member() -> String {
    manifest().replace("members = [\"safe\"]", &format!("members = [\"{VOTER}\"]"))
}

#[tokio::test]
async fn without_a_governor_a_member_schedules_and_executes_and_a_brake_stops_him() -> eyre::Result<()> {
    let scene = Scene::start(&by_member()).await?;
    let voter: Address = VOTER.parse()?;
    let file = scene.file("raise.toml", RAISE)?;
    let file = file.to_str().wrap_err("path")?;
    let text = scene.refused(&["propose", file, "--anvil-account", "2"]).await?;
    ensure!(text.contains("its role is money, which 0x7099"), "{text}");
    let id = id_in(&scene.killed_and_again(&["propose", file, "--anvil-account", "1"], voter).await?)?;
    let text = scene.refused(&["vote", &id, "for", "--anvil-account", "1"]).await?;
    ensure!(text.contains("nobody votes on it"), "{text}");
    let text = scene.refused(&["execute", &id, "--anvil-account", "1"]).await?;
    ensure!(text.contains("it is not due until"), "{text}");
    scene.pass(12 * DAY).await?;
    let text = scene.refused(&["execute", &id, "--anvil-account", "2"]).await?;
    ensure!(text.contains("which scheduled it, may execute it"), "{text}");
    scene.killed_and_again(&["execute", &id, "--anvil-account", "1"], voter).await?;
    ensure!(scene.fee().await? == U256::from(1_200));

    // The same call again, which a guardian cancels.
    let lower = RAISE.replace("12%", "13%");
    let again = scene.file("again.toml", &lower)?;
    let again = again.to_str().wrap_err("path")?;
    scene.run(&["propose", again, "--anvil-account", "1"]).await?;
    let council: Address = "0x00000000000000000000000000000000c0000011".parse()?;
    scene.provider.anvil_set_balance(council, U256::from(10).pow(U256::from(18))).await?;
    let core = scene.at("contracts.Plimsoll")?;
    let params = scene.record.markets["weth-usdc"].params();
    let data = IPlimsoll::setFeeCall { params, feeBps: U256::from(1_300) }.abi_encode().into();
    let manager = scene.at("governance.manager")?;
    scene.send(council, manager, IAccessManager::cancelCall { caller: voter, target: core, data }).await?;
    scene.pass(12 * DAY).await?;
    let text = scene.refused(&["execute", again, "--anvil-account", "1"]).await?;
    ensure!(text.contains("it was braked: was cancelled by a guardian"), "{text}");
    // Nothing is due, and that is no failure.
    let result = scene.run(&["execute", "--anvil-account", "1"]).await?;
    ensure!(result["transactions"] == Value::Array(Vec::new()), "{result}");
    Ok(())
}

#[tokio::test]
async fn a_safe_gets_a_file_of_the_calls_that_schedule_and_execute() -> eyre::Result<()> {
    let scene = Scene::start(&manifest()).await?;
    let file = scene.file("raise.toml", RAISE)?;
    let (file, safe) = (file.to_str().wrap_err("path")?, "0x0000000000000000000000000000000000005afe");
    let out = scene.fixture.folder.path().join("safe.json");
    let out_text = out.to_str().wrap_err("path")?;
    scene.run(&["propose", file, "--account", safe, "--safe", out_text]).await?;
    let batch: Value = serde_json::from_slice(&fs::read(&out)?)?;
    ensure!(batch["transactions"][0]["contractMethod"]["name"] == "schedule", "{batch}");
    ensure!(batch["transactions"][0]["to"] == scene.at("governance.manager")?.to_string().to_lowercase(), "{batch}");
    Ok(())
}

/// Harmful proposals, and the harms that a simulation names for each.
#[tokio::test]
async fn a_simulation_names_the_harm_of_every_harmful_proposal() -> eyre::Result<()> {
    let scene = Scene::start(&with_governor()).await?;
    // A treasury, and a depositor who can leave.
    let governor = scene.at("governance.governor")?;
    let (usdc, stranger) = (scene.record.tokens["USDC"].address, "0x00000000000000000000000000000000000000bb");
    let thousand = U256::from(1_000_000_000);
    scene.send(VOTER.parse()?, usdc, IMintable::mintCall { to: governor, amount: thousand }).await?;
    scene.provider.anvil_set_balance(governor, U256::from(10).pow(U256::from(18))).await?;
    let manager_call =
        |function: &str, arguments: &str| ("governance.manager", function.to_owned(), arguments.to_owned());
    let core_call = |function: &str, arguments: &str| ("contracts.Plimsoll", function.to_owned(), arguments.to_owned());
    let of =
        |contract: &'static str, function: &str, arguments: &str| (contract, function.to_owned(), arguments.to_owned());
    // The governor's own money: a call without a role would be made by the manager.
    let spend = |function: &str, amount: &str| {
        let inner = format!(
            "{{ contract = \"tokens.USDC\", function = \"{function}\", arguments = [\"{stranger}\", \"{amount}\"] }}"
        );
        of("governor", "relay", &format!("\"tokens.USDC\", 0, {inner}"))
    };
    let cases = [
        (manager_call("grantRole", &format!("\"money\", \"{stranger}\", 0")), "raises-too-soon"),
        (manager_call("grantRole", "\"money\", \"governor\", \"3 days\""), "raises-too-soon"),
        (manager_call("grantRole", &format!("0, \"{stranger}\", \"14 days\"")), "administrator-added"),
        (manager_call("grantRole", &format!("0, \"{stranger}\", 0")), "administrators-too-soon"),
        (
            manager_call("grantRole", "\"brakeman\", \"0x00000000000000000000000000000000c0000011\", \"5 days\""),
            "lowering-stopped",
        ),
        (manager_call("revokeRole", "\"brake\", \"governance.brakes.vaults.usdc\""), "brake-removed"),
        (manager_call("setRoleGuardian", "\"money\", 0"), "brake-removed"),
        (
            manager_call(
                "setTargetFunctionRole",
                "\"contracts.Plimsoll\", [\"Plimsoll.setBackstop\"], \"18446744073709551615\"",
            ),
            "function-freed",
        ),
        (
            manager_call("setTargetFunctionRole", "\"contracts.Plimsoll\", [\"Plimsoll.setFee\"], \"brakeman\""),
            "raises-too-soon",
        ),
        (manager_call("setTargetFunctionRole", "\"vaults.usdc\", [\"Vault.revoke\"], \"money\""), "lowering-stopped"),
        (manager_call("setRoleAdmin", "\"money\", \"brakeman\""), "role-admin-changed"),
        (manager_call("setTargetClosed", "\"vaults.usdc\", true"), "target-closed"),
        (core_call("setFeeRecipient", &format!("\"weth-usdc\", \"{stranger}\"")), "fee-recipient-changed"),
        (core_call("setFee", "\"weth-usdc\", \"20%\""), "fee-raised"),
        (core_call("setBackstop", "\"weth-usdc\", \"backstops.usdc\""), "backstop-changed"),
        (core_call("transferOwnership", &format!("\"{stranger}\"")), "owner-changed"),
        (spend("transfer", "900 USDC"), "treasury-drained"),
        (spend("transfer", "9 USDC"), "treasury-spent"),
        (spend("approve", "900 USDC"), "approval"),
        (of("governor", "updateQuorumNumerator", "1"), "governor-weakened"),
        (
            of("vaults.usdc", "submit", &format!("{{ function = \"setGuardian\", arguments = [\"{stranger}\"] }}")),
            "guardian-changed",
        ),
        (of("backstops.usdc", "announceLimit", "\"weth-usdc\", \"5000 USDC\""), "cover-raised"),
        (of("0x00000000000000000000000000000000000000cc", "pay(uint256)", "7"), "code-less-target"),
    ];
    for ((contract, function, arguments), harm) in cases {
        let text = format!(
            "title = \"A proposal\"\n[[actions]]\ncontract = \"{contract}\"\nfunction = \"{function}\"\n\
             arguments = [{arguments}]\n"
        );
        let file = scene.file("harm.toml", &text)?;
        let output = scene.output(&["simulate", file.to_str().wrap_err("path")?]).await?;
        let result: Value = serde_json::from_slice(&output.stdout)
            .wrap_err_with(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))?;
        let codes: Vec<&str> =
            result["harms"].as_array().wrap_err("no harms")?.iter().filter_map(|it| it["code"].as_str()).collect();
        ensure!(codes.contains(&harm), "{text}{harm} is not among {codes:?}\n{result:#}");
    }
    Ok(())
}

#[tokio::test]
async fn a_harmless_proposal_has_no_harm_and_its_page_shows_every_text_as_text() -> eyre::Result<()> {
    let scene = Scene::start(&with_governor()).await?;
    let text = RAISE.replace("12%", "5%").replace("Raise the fee of weth-usdc to 12 %", "<script>alert(1)</script>");
    let file = scene.file("lower.toml", &text)?;
    let page = scene.fixture.folder.path().join("page.html");
    let arguments = ["simulate", file.to_str().wrap_err("path")?, "--page", page.to_str().wrap_err("path")?];
    let result = scene.run(&arguments).await?;
    ensure!(result["harms"] == Value::Array(Vec::new()), "{result:#}");
    let change = &result["differences"][0];
    ensure!(change["subject"] == "markets.weth-usdc" && change["what"] == "fee", "{result:#}");
    ensure!(change["before"] == "10%" && change["after"] == "5%", "{result:#}");
    ensure!(result["actions"][0]["delay_secs"] == 12 * DAY, "{result:#}");
    let html = fs::read_to_string(page)?;
    ensure!(html.contains("&lt;script&gt;alert(1)") && !html.contains("<script"), "{html}");
    ensure!(html.contains("<td>markets.weth-usdc</td><td>fee</td><td>10%</td><td>5%</td>"), "{html}");
    Ok(())
}

#[tokio::test]
async fn what_reverts_is_told_and_not_proposed_unless_it_is_meant() -> eyre::Result<()> {
    let scene = Scene::start(&with_governor()).await?;
    scene.delegate().await?;
    let file = scene.file("much.toml", &RAISE.replace("12%", "90%"))?;
    let file = file.to_str().wrap_err("path")?;
    let output = scene.output(&["simulate", file]).await?;
    ensure!(!output.status.success());
    let result: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(result["harms"][0]["code"] == "reverts", "{result:#}");
    let error = result["actions"][0]["error"].as_str().wrap_err("no error")?;
    ensure!(error.contains("FeeTooHigh(feeBps = 9000"), "{error}");
    let text = scene.refused(&["propose", file, "--anvil-account", "1"]).await?;
    ensure!(text.contains("it reverts in the simulation, so it was not proposed"), "{text}");
    id_in(&scene.run(&["propose", file, "--force", "--anvil-account", "1"]).await?)?;
    Ok(())
}

#[tokio::test]
async fn a_file_with_a_look_alike_or_a_wrong_name_is_refused_with_both_and_the_remedy() -> eyre::Result<()> {
    let scene = Scene::start(&with_governor()).await?;
    let core = scene.at("contracts.Plimsoll")?;
    let mut other = core;
    other.0.0[9] ^= 0xff;
    let look_alike = format!("{other} looks like contracts.Plimsoll, which is {core}");
    let data = IVault::setCuratorCall { newCurator: other }.abi_encode();
    let cases = [
        (
            RAISE.replace("contracts.Plimsoll", &other.to_string()).replace("setFee", "setFee(uint256)"),
            look_alike.as_str(),
        ),
        (RAISE.replace("setFee", "setFeeRecipient").replace("\"12%\"", &format!("\"{other}\"")), look_alike.as_str()),
        (
            format!("title = \"raw\"\n[[actions]]\ncontract = \"vaults.usdc\"\ndata = \"{}\"\n", Bytes::from(data)),
            look_alike.as_str(),
        ),
        (RAISE.replace("contracts.Plimsoll", "contracts.Plimsol"), "did you mean \"contracts.Plimsoll\"?"),
        (RAISE.replace("\"setFee\"", "\"setFe\""), "did you mean setFee("),
        (RAISE.replace("\"weth-usdc\"", "\"weth-usd\""), "did you mean \"weth-usdc\"?"),
        (RAISE.replace("[\"weth-usdc\", \"12%\"]", "[\"weth-usdc\"]"), "takes 2 arguments, and 1 are given"),
        (RAISE.replace("\"12%\"", "0.12"), "is not a whole number"),
        (RAISE.replace("\"12%\"", "\"much\""), "is not a number"),
        (RAISE.replace("title = ", "titel = "), "titel"),
        ("title = \"nothing\"\nactions = []\n".to_owned(), "calls at least one function"),
    ];
    for (text, because) in cases {
        let file = scene.file("wrong.toml", &text)?;
        let found = scene.refused(&["simulate", file.to_str().wrap_err("path")?]).await?;
        ensure!(found.contains(because), "{text}: {found}");
    }
    let text = scene.refused(&["vote", "12345", "for", "--anvil-account", "1"]).await?;
    ensure!(text.contains("nothing has the number 12345 here"), "{text}");
    Ok(())
}

#[test]
fn a_governor_that_anybody_could_buy_for_a_moment_is_refused() -> eyre::Result<()> {
    let good = with_governor();
    design(&good)?;
    artifacts()?;
    let cases = [
        ("voting_delay = \"2 days\"", "voting_delay = \"1 hour\"", "tokens that he holds for a moment"),
        ("voting_period = \"5 days\"", "voting_period = \"1 hour\"", "lasts a day, at least"),
        ("quorum = \"4%\"", "quorum = \"0%\"", "a whole percentage above 0"),
        ("proposal_threshold = \"1000\"", "proposal_threshold = \"0\"", "anybody fills the list of proposals"),
        ("receiver = \"voter\"", "receiver = \"governor\"", "this needs itself"),
        ("voter = \"0x", "votes = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\"\nvoter = \"0x", "rename this account"),
    ];
    for (said, instead, because) in cases {
        let Err(error) = design(&good.replacen(said, instead, 1)) else { bail!("{instead} was not refused") };
        ensure!(error.to_string().contains(because), "{said} → {instead}: {error}");
    }
    Ok(())
}
