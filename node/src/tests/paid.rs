//! x402's published client pays the daemon.

use alloy::{
    primitives::{B256, U256},
    providers::Provider,
};
use eyre::{ContextCompat, ensure};
use plimsoll_channels::SETTLEMENT;
use plimsoll_contracts::IChannels;
use plimsoll_testkit::{devnet::ITestToken, x402};
use serde_json::{Value, json};

use super::{MINTED, Served, scripted};
use crate::{engine::Engine, receipt::SignedReceipt};

const REQUESTS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn the_published_client_pays_for_answers() -> eyre::Result<()> {
    pay_for_answers(scripted(8)?).await
}

#[cfg(feature = "engine")]
#[tokio::test(flavor = "multi_thread")]
async fn the_published_client_pays_for_answers_of_the_model() -> eyre::Result<()> {
    let Some(engine) = super::model::engine()? else { return Ok(()) };
    engine.check_probe()?;
    pay_for_answers(engine).await
}

fn text(value: &Value) -> eyre::Result<&str> {
    value.as_str().wrap_err_with(|| format!("{value} is no text"))
}

async fn pay_for_answers(engine: Engine) -> eyre::Result<()> {
    let served = Served::start(engine.clone()).await?;
    let task = json!({
        "url": served.url,
        "rpc": served.devnet.node.http_url(),
        "token": served.token,
        "model": engine.kind.file.name,
        "requests": REQUESTS,
        "payer": served.payer.to_bytes(),
        "signer": served.signer.to_bytes(),
    });
    let Some(result) = x402::run_script("ask.mjs", &[task.to_string()])? else { return Ok(()) };

    let answers = result["answers"].as_array().wrap_err("no answers")?;
    let all: Vec<_> = answers.iter().chain([&result["streamed"], &result["live"], &result["corrected"]]).collect();
    ensure!(all.len() == REQUESTS + 3 && all[0]["type"] == "deposit", "{result}");
    ensure!(answers.iter().any(|answer| answer["type"] == "voucher"), "every request was a deposit");
    let mut charged = 0;
    for answer in &all {
        let charge: u128 = text(&answer["settled"]["extra"]["chargedAmount"])?.parse()?;
        charged += charge;
        let state = &answer["settled"]["extra"]["channelState"];
        ensure!(text(&state["chargedCumulativeAmount"])?.parse::<u128>()? == charged, "{answer}");
        let receipt: SignedReceipt = serde_json::from_value(answer["receipt"].clone())?;
        ensure!(receipt.is_signed() && receipt.charged.0 == charge && receipt.kind == engine.kind.id, "{answer}");
        let tokens = (receipt.prompt_tokens, receipt.completion_tokens);
        ensure!(charge == served.config.price.of(tokens.0, tokens.1), "{answer}");
    }
    // The same voucher again is the same answer, not charged: the sums above went on.
    for answer in answers {
        ensure!(answer["text"] == answer["again"], "{answer}");
        let body: Value = serde_json::from_str(text(&answer["text"])?)?;
        ensure!(!text(&body["choices"][0]["message"]["content"])?.is_empty(), "{answer}");
    }
    ensure!(text(&result["streamed"]["text"])?.contains("\"usage\""), "{result}");
    ensure!(result["live"]["events"].as_u64().is_some_and(|events| events > 3), "nothing was streamed: {result}");
    ensure!(
        result["corrected"]["corrections"] == json!(["invalid_batch_settlement_evm_cumulative_amount_mismatch"]),
        "{result}"
    );

    // The refund claimed what was charged and gave back the rest: every unit is accounted for.
    let provider = served.devnet.provider();
    let id: B256 = text(&result["refund"]["extra"]["channelState"]["channelId"])?.parse()?;
    let channels = IChannels::new(SETTLEMENT, provider);
    let state = channels.channels(id).call().await?;
    ensure!(state.balance == charged && state.totalClaimed == charged, "{result}");
    let token = ITestToken::new(served.token, provider);
    let balance = token.balanceOf(served.payer.address()).call().await?;
    ensure!(balance == U256::from(MINTED) - U256::from(charged), "the payer paid something else");
    ensure!(provider.get_chain_id().await? == served.config.chain.chain_id);
    Ok(())
}
