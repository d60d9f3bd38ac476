//! The file of calls for the owner, as Safe's Transaction Builder reads it.

use std::process::Stdio;

use alloy::{
    primitives::{Address, Bytes, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::IPlimsoll;
use plimsoll_deploy::safe::{self, owners_calls};
use plimsoll_testkit::contracts::artifacts;
use serde_json::Value;

use super::fixture::{Fixture, SMALL, design};

/// Runs `plan --safe` and returns the file, if it was written.
async fn batch(fixture: &Fixture, manifest: &str) -> eyre::Result<Option<Value>> {
    let (path, file) = (fixture.write(manifest)?, fixture.folder.path().join("owner.json"));
    let mut command = fixture.command("plan", &path, &fixture.node.http_url());
    command.arg("--safe").arg(&file).stdin(Stdio::null());
    let output = tokio::process::Command::from(command).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read(&file).ok();
    std::fs::remove_file(&file).ok();
    Ok(text.map(|text| serde_json::from_slice(&text)).transpose()?)
}

/// Sends the calls of a file from an account.
async fn send(fixture: &Fixture, batch: &Value, from: Address) -> eyre::Result<()> {
    let provider = fixture.node.impersonating().await?;
    provider.anvil_set_balance(from, U256::from(10).pow(U256::from(18))).await?;
    for call in batch["transactions"].as_array().wrap_err("no transactions")? {
        let to: Address = call["to"].as_str().wrap_err("no recipient")?.parse()?;
        let data: Bytes = call["data"].as_str().wrap_err("no data")?.parse()?;
        let request = TransactionRequest::default().from(from).to(to).input(data.into()).gas_limit(1_000_000);
        ensure!(provider.send_transaction(request).await?.get_receipt().await?.status(), "{call} failed");
    }
    Ok(())
}

#[tokio::test]
async fn the_owners_calls_are_written_with_names_and_values_and_work() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let owner = fixture.node.account(5)?;
    let manifest = SMALL.replace("account = \"deployer\"", &format!("account = \"{owner}\""));
    let record = fixture.apply(&manifest).await?;
    let batch_of = batch(&fixture, &manifest).await?.wrap_err("nothing was written")?;
    assert_eq!((&batch_of["version"], &batch_of["chainId"]), (&"1.0".into(), &"31337".into()));
    ensure!(batch_of["createdAt"].as_u64().is_some_and(|created| created > 1_700_000_000_000), "{batch_of}");
    ensure!(batch_of["meta"]["name"].is_string(), "{batch_of}");
    let [call] = batch_of["transactions"].as_array().wrap_err("no transactions")?.as_slice() else {
        eyre::bail!("{batch_of}")
    };
    assert_eq!(call["to"], record.address("contracts.Plimsoll").wrap_err("no core")?.to_string().to_lowercase());
    assert_eq!((&call["value"], &call["contractMethod"]["name"]), (&"0".into(), &"setFee".into()));
    assert_eq!(call["contractMethod"]["payable"], false);
    assert_eq!(call["contractMethod"]["inputs"][0]["type"], "tuple");
    assert_eq!(call["contractInputsValues"]["feeBps"], "1000");
    let params = call["contractInputsValues"]["params"].as_str().wrap_err("no params")?;
    let params: Vec<String> = serde_json::from_str(params)?;
    assert_eq!(params[0], record.tokens["USDC"].address.to_string());

    send(&fixture, &batch_of, owner).await?;
    assert_eq!(batch(&fixture, &manifest).await?, None);
    Ok(())
}

/// Where a manager owns the core, a member of the role schedules the calls there, and executes them when they are due.
#[tokio::test]
async fn governance_calls_of_an_owner_that_is_a_manager_are_scheduled_and_executed_by_a_member() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let manifest = super::governance::manifest();
    fixture.apply(&manifest).await?;
    let safe: Address = "0x0000000000000000000000000000000000005afe".parse()?;
    let changed = manifest.replacen("fee = \"10%\"", "fee = \"10%\"\nbackstop = \"usdc\"", 1);
    ensure!(changed != manifest, "the manifest has no fee of 10%");
    let scheduled = batch(&fixture, &changed).await?.wrap_err("nothing was written")?;
    assert_eq!(scheduled["transactions"][0]["contractMethod"]["name"], "schedule");
    send(&fixture, &scheduled, safe).await?;
    assert_eq!(batch(&fixture, &changed).await?, None, "it waits");
    fixture.node.provider().anvil_increase_time(12 * 24 * 60 * 60).await?;
    fixture.node.provider().evm_mine(None).await?;
    let due = batch(&fixture, &changed).await?.wrap_err("nothing was written")?;
    assert_eq!(due["transactions"][0]["contractMethod"]["name"], "execute");
    send(&fixture, &due, safe).await?;
    assert_eq!(batch(&fixture, &changed).await?, None);
    Ok(())
}

/// Returns the small manifest with a timelock of two days as owner.
fn with_timelock(proposer: Address) -> String {
    let timelock =
        format!("timelock = {{ delay = \"2 days\", proposers = [\"{proposer}\"], executors = [\"anyone\"] }}");
    SMALL.replace("account = \"deployer\"", &timelock)
}

async fn wait_three_days(fixture: &Fixture) -> eyre::Result<()> {
    fixture.node.provider().anvil_increase_time(3 * 24 * 60 * 60).await?;
    fixture.node.provider().evm_mine(None).await?;
    Ok(())
}

#[tokio::test]
async fn the_calls_of_a_timelock_are_scheduled_and_executed_after_its_delay() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let proposer = fixture.node.account(5)?;
    let manifest = with_timelock(proposer);
    let record = fixture.apply(&manifest).await?;
    let schedule = batch(&fixture, &manifest).await?.wrap_err("nothing to schedule")?;
    assert_eq!(schedule["transactions"][0]["contractMethod"]["name"], "schedule");
    assert_eq!(schedule["transactions"][0]["contractInputsValues"]["delay"], "172800");
    send(&fixture, &schedule, proposer).await?;
    // While it waits in the timelock there is nothing to sign.
    assert_eq!(batch(&fixture, &manifest).await?, None);
    wait_three_days(&fixture).await?;
    let execute = batch(&fixture, &manifest).await?.wrap_err("nothing to execute")?;
    assert_eq!(execute["transactions"][0]["contractMethod"]["name"], "execute");
    send(&fixture, &execute, proposer).await?;
    let core = IPlimsoll::new(record.address("contracts.Plimsoll").wrap_err("no core")?, fixture.node.provider());
    assert_eq!(core.market(record.markets["weth-usdc"].id).call().await?.feeBps, U256::from(1_000));
    assert!(fixture.plan(&manifest).await?.is_done());
    Ok(())
}

#[tokio::test]
async fn a_call_that_a_timelock_has_made_is_proposed_again_under_another_salt() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let proposer = fixture.node.account(5)?;
    let (manifest, design) = (with_timelock(proposer), design(&with_timelock(proposer))?);
    fixture.apply(&manifest).await?;
    // The plan in which the call is still to be made.
    let plan = fixture.plan(&manifest).await?;
    for salt in 0..3_u64 {
        for method in ["schedule", "execute"] {
            let calls = owners_calls(&fixture.chain, &design, &plan).await?;
            let batch = serde_json::to_value(safe::batch(&design, artifacts()?, &calls, 0))?;
            let call = &batch["transactions"][0];
            assert_eq!(call["contractMethod"]["name"], method);
            assert_eq!(call["contractInputsValues"]["salt"], format!("{salt:#066x}"));
            // A second plan proposes the same.
            let again = owners_calls(&fixture.chain, &design, &plan).await?;
            assert_eq!(again, calls);
            send(&fixture, &batch, proposer).await?;
            wait_three_days(&fixture).await?;
        }
    }
    Ok(())
}
