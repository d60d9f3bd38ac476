//! Chains that do not report to be an Anvil: no public keys, a confirmation before anything is sent, and the
//! deterministic deployer by its presigned transaction.

use std::process::{Command, Output, Stdio};

use alloy::{
    primitives::{Address, B256},
    providers::{Provider, ext::AnvilApi},
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::deployment::Deployment;
use plimsoll_deploy::{connection::Chain, create2, journal::record_of};
use serde_json::{Value, json};

use super::{
    fixture::{Fixture, SMALL, design, quoted},
    http::{Request, serve},
};

/// A private key that nobody else uses.
const KEY: &str = "0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
const KEYS_ADDRESS: &str = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23";
const KEY_VARIABLE: &str = "PLIMSOLL_TEST_DEPLOYER_KEY";

/// Methods that only Anvil has.
const ANVILS: &str = "anvil_";

/// Serves the node's answers, with errors for methods with one of these prefixes, and returns the URL.
async fn behind_a_front(node_url: String, unknown: &'static str) -> eyre::Result<String> {
    let client = reqwest::Client::new();
    serve(move |request: Request| {
        let (client, url) = (client.clone(), node_url.clone());
        async move {
            let asked: Value = serde_json::from_str(&request.body).unwrap_or_default();
            if asked["method"].as_str().is_some_and(|method| method.starts_with(unknown)) {
                let error = json!({ "code": -32601, "message": "the method does not exist" });
                return (200, json!({ "jsonrpc": "2.0", "id": asked["id"], "error": error }).to_string());
            }
            let forward = client.post(url).header("content-type", "application/json").body(request.body).send();
            match forward.await {
                Ok(answer) => (200, answer.text().await.unwrap_or_default()),
                Err(error) => (502, error.to_string()),
            }
        }
    })
    .await
}

async fn run(mut command: Command) -> eyre::Result<Output> {
    command.env(KEY_VARIABLE, KEY).stdin(Stdio::null());
    Ok(tokio::process::Command::from(command).output().await?)
}

#[tokio::test]
async fn a_public_chain_gets_everything_with_the_users_own_key_and_only_when_confirmed() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    // Tokens and a feed exist there; the deterministic deployer does not.
    let there = fixture.apply(SMALL).await?;
    std::fs::remove_file(fixture.record_path())?;
    let provider = fixture.node.provider();
    provider.anvil_set_code(create2::FACTORY, Default::default()).await?;
    provider.anvil_set_nonce(create2::FACTORY, 0).await?;
    let rich = "10000000000000000000".parse()?;
    let deployer: Address = KEYS_ADDRESS.parse()?;
    provider.anvil_set_balance(deployer, rich).await?;
    let url = behind_a_front(fixture.node.http_url(), ANVILS).await?;

    // Anvil's keys are refused, whatever else the node answers.
    let made_up = fixture.write(SMALL)?;
    let output = run(fixture.command("apply", &made_up, &url)).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && said.contains("one of Anvil's accounts"), "{said}");

    let mut manifest = SMALL
        .replace("local = true", "local = false")
        .replace("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", KEYS_ADDRESS)
        .replace("{ anvil = 0 }", &format!("{{ environment = \"{KEY_VARIABLE}\" }}"))
        .replace("answer = \"2000\"", &format!("address = {}", quoted(there.feeds["eth-usd"])))
        .replace("\"ETH / USD\"", "\"ETH / USD (settable)\"");
    for (name, token) in &there.tokens {
        let section = format!("[tokens.{name}]\n");
        manifest = manifest.replace(&section, &format!("{section}address = {}\n", quoted(token.address)));
    }
    let rewards = manifest.find("[rewards.weth]").unwrap_or(manifest.len());
    manifest.truncate(rewards);
    let path = fixture.write(&manifest)?;

    // Nobody can confirm, so nothing is sent.
    let output = run(fixture.command("apply", &path, &url)).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && said.contains("pass --yes"), "{said}");
    ensure!(said.contains("transactions") && said.contains("ether"), "the cost is not shown: {said}");
    assert_eq!(provider.get_transaction_count(deployer).await?, 0);

    let mut command = fixture.command("apply", &path, &url);
    command.args(["--yes", "--json"]);
    let output = run(command).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let record: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(record["markets"]["weth-usdc"]["id"].is_string(), "{record}");
    assert_eq!(Chain::connect(url.parse()?).await?.code(create2::FACTORY).await?[..], create2::FACTORY_CODE);
    let everything = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    ensure!(!everything.contains(&KEY[2..]), "the key is shown");

    let output = run(fixture.command("verify", &path, &url)).await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success() && said.contains("All is as the manifest says"), "{said}");

    let mut command = fixture.command("status", &path, &url);
    command.arg("--json");
    let output = run(command).await?;
    let status: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(output.status.success() && status["record"]["markets"]["weth-usdc"]["id"].is_string(), "{status}");

    // Another owner is another core, which is not deployed next to the existing one by mistake.
    let other = manifest.replace("account = \"deployer\"", "account = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\"");
    let sent = provider.get_transaction_count(deployer).await?;
    let mut command = fixture.command("apply", &fixture.write(&other)?, &url);
    command.arg("--yes");
    let output = run(command).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        !output.status.success() && said.contains("contracts.Plimsoll is at") && said.contains("--replace"),
        "{said}"
    );
    assert_eq!(provider.get_transaction_count(deployer).await?, sent);

    // The record of another chain says nothing about this one, and must not be overwritten.
    let mut record = Deployment::read(&fixture.record_path())?.wrap_err("there is no record")?;
    record.genesis = B256::repeat_byte(1);
    record.write(&fixture.record_path())?;
    let mut command = fixture.command("apply", &fixture.write(&manifest)?, &url);
    command.arg("--yes");
    let output = run(command).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && said.contains("this is the record of another chain"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_node_that_says_it_is_an_anvil_gets_nothing_of_a_real_key_without_confirmation() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let deployer: Address = KEYS_ADDRESS.parse()?;
    let provider = fixture.node.provider();
    provider.anvil_set_balance(deployer, "10000000000000000000".parse()?).await?;
    let manifest = SMALL
        .replace("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", KEYS_ADDRESS)
        .replace("{ anvil = 0 }", &format!("{{ environment = \"{KEY_VARIABLE}\" }}"));
    let path = fixture.write(&manifest)?;
    let output = run(fixture.command("apply", &path, &fixture.node.http_url())).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && said.contains("pass --yes"), "{said}");
    assert_eq!(provider.get_transaction_count(deployer).await?, 0);

    // Nor does it make a record of payments void by being another chain.
    let design = design(&manifest)?;
    let record = Deployment::new("test".into(), 31_337, B256::repeat_byte(1), deployer);
    record.write(&fixture.record_path())?;
    let error = record_of(&fixture.record_path(), &fixture.chain, &design).await.unwrap_err().to_string();
    ensure!(error.contains("this is the record of another chain"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_node_that_was_named_and_cannot_be_reached_is_an_error() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let path = fixture.write(SMALL)?;
    for url in ["http://127.0.0.1:1", "127.0.0.1:8545", "not-a-url"] {
        let output = run(fixture.command("plan", &path, url)).await?;
        ensure!(!output.status.success() && output.stdout.is_empty(), "{url}: {output:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_plan_is_in_peoples_units_and_says_when_nothing_is_to_do() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let manifest = SMALL.replace("{ id = \"second\"", "{ starts = \"2099-12-31\", id = \"second\"");
    let (path, url) = (fixture.write(&manifest)?, fixture.node.http_url());
    let plan = async || {
        let output = run(fixture.command("plan", &path, &url)).await?;
        eyre::Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let said = plan().await?;
    for told in [
        "lends USDC against WETH by oracles.weth-usdc (0x",
        "LTV 80%, liquidation LTV 86%, minimum debt 100 USDC, 4% a year at 90%, 4 times that at 100%, speed 50 a year",
        "its fee, 10% of the interest",
        "stakes WETH, pays USDC",
        "1000 USDC over 4 weeks from the next Thursday on, once",
        "1000 USDC over 4 weeks from 2099-12-31 on, once",
    ] {
        ensure!(said.contains(told), "{told} is not in:\n{said}");
    }
    let once = SMALL.replace("    { id = \"second\", token = \"USDC\", amount = \"1000 USDC\", epochs = 4 },\n", "");
    fixture.apply(&once).await?;
    fixture.write(&once)?;
    let said = plan().await?;
    ensure!(said.contains("Nothing to do for the deployer.") && !said.contains("ether"), "{said}");
    Ok(())
}

#[tokio::test]
async fn without_simulation_gas_is_estimated_by_size_and_a_refusal_stops_at_its_step() -> eyre::Result<()> {
    let mut fixture = Fixture::start(&[]).await?;
    let url = behind_a_front(fixture.node.http_url(), "eth_simulate").await?;
    fixture.chain = Chain::connect(url.parse()?).await?;
    let out_of_range = SMALL.replace("[\"1000\", \"5000\"]", "[\"3000\", \"5000\"]");
    let plan = fixture.plan(&out_of_range).await?;
    ensure!(!plan.was_rehearsed && plan.problems.is_empty() && plan.gas > 1_000_000, "{plan:?}");
    let error = fixture.apply(&out_of_range).await.unwrap_err().to_string();
    ensure!(error.starts_with("oracles.weth-usdc: it would be refused: PriceOutsideExpectedRange("), "{error}");

    // Earlier steps stay, and the rest follows when the range is corrected.
    fixture.apply(SMALL).await?;
    assert!(fixture.plan(SMALL).await?.is_done());
    Ok(())
}
