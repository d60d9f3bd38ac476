//! The keeper's calls to its node while nothing happens, and the secrets that it never prints (K4).

use std::{fs, process::Command};

use alloy::{
    eips::BlockNumHash,
    hex,
    primitives::{Address, Bytes, bytes, utils::Unit},
    providers::{Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
    signers::local::PrivateKeySigner,
};
use eyre::{bail, ensure};
use plimsoll_testkit::{
    keeper::{Keeper, KeeperSetup},
    proxy::{Counts, Fault, Phase, Proxy, Rule},
};
use serde_json::Value;

use super::fixture::{DEBT_STEP, FIRST_DEBT, Fixture, program, soon};
use crate::follow::idle::{IDLE_BLOCKS, rpc_calls_over_idle_blocks};

/// The most calls for each idle block.
const MAX_CALLS: u64 = 2;
/// The most calls besides, because the logs of blocks with positive blooms are requested once more for 32 blocks at a time.
const CHECKS: u64 = IDLE_BLOCKS / 32 + 1;
/// A contract that emits 4,000 logs, of none of which a keeper knows, so that every bit of a block's bloom is set.
const CROWD: Bytes = bytes!("610fa05b80600052602060002060006000a1600190038060035700");
const SQUARE: Address = Address::repeat_byte(7);

/// Returns the keeper's calls in idle blocks, including harvests and audit, with a number of healthy loans.
async fn calls_over_idle_blocks(loans: u64, has_full_blooms: bool) -> eyre::Result<Counts> {
    let fixture = Fixture::new(&[loans]).await?;
    let proxy = Proxy::start(fixture.suite.devnet.node.address()).await?;
    let endpoints = vec![format!("url = \"{}\"", proxy.ws_url())];
    let setup = KeeperSetup { endpoints, ..KeeperSetup::live(&fixture.suite) };
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    let follow = async |block: BlockNumHash| soon(keeper.wait_for_block(block.number)).await;
    let node = fixture.provider();
    node.anvil_set_code(SQUARE, CROWD).await?;
    let crowd = TransactionRequest::default().from(fixture.suite.devnet.account(2)?).to(SQUARE).gas_limit(15_000_000);
    let mine = async || {
        // A node that mines on its own does so when it gets a transaction.
        if has_full_blooms {
            node.send_transaction(crowd.clone()).await?.get_receipt().await?;
        } else {
            node.evm_mine(None).await?;
        }
        eyre::Ok(())
    };
    let counts = rpc_calls_over_idle_blocks(node, &proxy, mine, follow).await?;
    let audit = &keeper.api("status").await?["audit"];
    ensure!(audit["compared"].as_u64() > Some(0) && audit["mismatches"] == 0, "{audit}");
    Ok(counts)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_block_costs_the_keeper_one_call_whatever_the_number_of_loans() -> eyre::Result<()> {
    let (few, many) = (calls_over_idle_blocks(10, false).await?, calls_over_idle_blocks(1_000, false).await?);
    for counts in [&few, &many] {
        ensure!(counts.of("eth_call") <= IDLE_BLOCKS && counts.of("eth_getLogs") == 0, "{counts:?}");
        ensure!(counts.total() <= IDLE_BLOCKS + IDLE_BLOCKS / 10, "{counts:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_block_with_a_full_bloom_costs_the_keeper_two_calls() -> eyre::Result<()> {
    let counts = calls_over_idle_blocks(10, true).await?;
    ensure!(counts.of("eth_getLogs") >= IDLE_BLOCKS, "the blooms are not full: {counts:?}");
    ensure!(counts.total() <= MAX_CALLS * IDLE_BLOCKS + CHECKS, "{counts:?}");
    Ok(())
}

/// What a small fall makes liquidatable was tried with the block's own request, which read the pool's price at the margin, too:
/// whatever else the node is asked for, it does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_loan_near_the_line_is_liquidated_by_what_one_request_of_the_block_has_answered() -> eyre::Result<()> {
    let fixture = Fixture::new(&[2, 2]).await?;
    let proxy = Proxy::start(fixture.suite.devnet.node.address()).await?;
    let endpoints = vec![format!("url = \"{}\"", proxy.ws_url())];
    let further = "[audit]\nevery = 0".to_owned();
    let setup = KeeperSetup { endpoints, further, ..KeeperSetup::live(&fixture.suite) };
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    for group in [0, 1] {
        let line = (FIRST_DEBT - DEBT_STEP * group) * 10_000 / 86;
        fixture.set_price(line * 1_003 / 1_000).await?;
        // The next block's request is planned after the decisions of a block.
        fixture.mine_blocks(2, &keeper).await?;
        let sent = proxy.counts().of("eth_sendRawTransaction");
        let stall = proxy.inject(Rule::from(Fault::Stall(Phase::BeforeForwarding)).on(&["eth_call"]).after(1));
        fixture.set_price(line * 999 / 1_000).await?;
        proxy.wait_for(|counts| counts.of("eth_sendRawTransaction") > sent).await?;
        proxy.lift(stall);
        fixture.wait_until_liquidated(2 * (u64::try_from(group)? + 1), &[&keeper]).await?;
    }
    fixture.ensure_none_reverted(keeper.signer()).await
}

/// The only endpoint leaves out every log.
#[tokio::test(flavor = "multi_thread")]
async fn left_out_logs_are_found_by_the_totals_of_their_block_before_anything_is_decided() -> eyre::Result<()> {
    let mut fixture = Fixture::new(&[1]).await?;
    let proxy = Proxy::start(fixture.suite.devnet.node.address()).await?;
    let endpoints = vec![format!("url = \"{}\"", proxy.ws_url())];
    let setup = KeeperSetup { endpoints, ..KeeperSetup::live(&fixture.suite) };
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    let rule = proxy.inject(Fault::TruncatedLogs { keep: 0 });
    fixture.open(0, 1).await?;
    soon(keeper.wait_for_block(fixture.head().await?)).await?;
    fixture.drop_price_below(0).await?;
    fixture.wait_until_liquidated(2, &[&keeper]).await?;
    ensure!(proxy.counts().acted(rule) > 0, "no log was left out");
    let status = keeper.api("status").await?;
    ensure!(status["audit"]["mismatches"] == 0, "{}", status["audit"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_appears_at_any_log_level_on_any_page_or_in_any_error() -> eyre::Result<()> {
    const URL_KEY: &str = "u7kQ0pXw2Zr9LmT4";
    const HOOK_KEY: &str = "h3VnB8sYc6Jd1FgE";
    const SIGNING_KEY: &str = "s5RtA2mNq7Wx9PzU";
    const PAGES: [&str; 10] = [
        "/",
        "/positions",
        "/activity",
        "/metrics",
        "/livez",
        "/readyz",
        "/api/v1/status",
        "/api/v1/positions",
        "/api/v1/markets",
        "/page.js",
    ];
    let fixture = Fixture::new(&[3, 3]).await?;
    let mut proxy = Proxy::start(fixture.suite.devnet.node.address()).await?;
    let key = PrivateKeySigner::random();
    let key_text = hex::encode(key.to_bytes());
    fixture.provider().anvil_set_balance(key.address(), Unit::ETHER.wei()).await?;
    let said = fixture.suite.scratch().join("said");
    // All output, not only the last lines that are kept.
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" 2>>\"$SAID\""]);
    shell.arg(env!("CARGO_BIN_EXE_keeper_bin"));
    shell
        .env("SAID", &said)
        .env("RUST_LOG", "trace")
        .env("NODE_URL", format!("{}/v3/{URL_KEY}?token={URL_KEY}", proxy.ws_url()))
        // Nothing listens there.
        .env("ALERT_URL", format!("http://127.0.0.1:1/{HOOK_KEY}?token={HOOK_KEY}"))
        .env("ALERT_KEY", SIGNING_KEY)
        .env("KEEPER_KEY", &key_text);
    let setup = KeeperSetup {
        endpoints: vec!["url_env = \"NODE_URL\"".to_owned()],
        signers: "liquidations = { environment = \"KEEPER_KEY\" }".to_owned(),
        further: "[alerts]\nwebhook_env = \"ALERT_URL\"\nsigning_key_env = \"ALERT_KEY\"\nlow_balance = \"100\""
            .to_owned(),
        ..KeeperSetup::live(&fixture.suite)
    };
    let keeper = Keeper::start_with(&fixture.suite, shell, &setup).await?;
    keeper.wait_until_ready().await?;
    let mut pages = Vec::new();
    fixture.drop_price_below(0).await?;
    fixture.wait_until_liquidated(3, &[&keeper]).await?;
    for page in PAGES {
        pages.push(keeper.text(page).await?);
    }
    proxy.take_down().await;
    let away = |status: &Value| status["endpoints"][0]["healthy"] == false;
    soon(keeper.wait_until("status", away)).await?;
    for page in PAGES {
        pages.push(keeper.text(page).await?);
    }
    proxy.bring_up()?;
    fixture.drop_price_below(1).await?;
    fixture.wait_until_liquidated(6, &[&keeper]).await?;
    pages.push(keeper.output());
    drop(keeper);
    pages.push(fs::read_to_string(&said)?);
    ensure!(pages.iter().all(|page| !page.is_empty()), "a page is empty");
    ensure!(pages.last().is_some_and(|log| log.contains("TRACE")), "the log is not at its loudest");
    for secret in [URL_KEY, HOOK_KEY, SIGNING_KEY, &key_text, &hex::encode(SIGNING_KEY), &hex::encode(URL_KEY)] {
        for page in &pages {
            if let Some(at) = page.to_lowercase().find(&secret.to_lowercase()) {
                let from =
                    (0..=at.saturating_sub(300)).rev().find(|from| page.is_char_boundary(*from)).unwrap_or_default();
                bail!("a secret was said: {}", page.get(from..at).unwrap_or_default());
            }
        }
    }
    Ok(())
}
