//! Clients that try to be served for nothing.

use std::fmt::Debug;

use alloy::{
    primitives::{Address, B256, U256},
    providers::{Provider, ext::AnvilApi},
    signers::{SignerSync, local::PrivateKeySigner},
};
use eyre::{ContextCompat, ensure};
use plimsoll_channels::{Channels, SETTLEMENT};
use plimsoll_contracts::IChannels;
use plimsoll_testkit::devnet::{ITestToken, mined};
use reqwest::{Client, Response};
use serde_json::{Value, json};

use super::{Served, scripted};
use crate::x402::{self, Amount, WireConfig};

const DEPOSIT: u128 = 100_000;

/// A client that makes its payments by hand.
struct Payer<'a> {
    served: &'a Served,
    http: Client,
    config: WireConfig,
    channels: Channels,
}

impl<'a> Payer<'a> {
    /// Opens a channel with a deposit of the payer's own.
    async fn open(served: &'a Served) -> eyre::Result<Self> {
        let payment = &served.config.payment;
        let provider = served.devnet.provider();
        let authorizer = served.devnet.account(1)?;
        let config = WireConfig {
            payer: served.devnet.account(3)?,
            payer_authorizer: served.signer.address(),
            receiver: payment.receiver,
            receiver_authorizer: authorizer,
            token: served.token,
            withdraw_delay: payment.withdraw_delay_seconds,
            salt: B256::ZERO,
        };
        served.devnet.mint_and_approve(served.token, config.payer, U256::from(DEPOSIT), SETTLEMENT).await?;
        let chain_config = config.to_config().wrap_err("the delay")?;
        mined(IChannels::new(SETTLEMENT, provider).depositFrom(chain_config, DEPOSIT).from(config.payer)).await?;
        let channels = Channels::new(served.config.chain.chain_id, SETTLEMENT);
        Ok(Self { served, http: Client::new(), config, channels })
    }

    fn id(&self) -> eyre::Result<B256> {
        Ok(self.channels.channel_id(&self.config.to_config().wrap_err("the delay")?))
    }

    fn body() -> Value {
        json!({"model": "smollm2-135m-instruct", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]})
    }

    async fn post(&self, body: &Value, payment: Option<&Value>) -> eyre::Result<Response> {
        let mut request = self.http.post(format!("{}/v1/chat/completions", self.served.url)).json(body);
        if let Some(payment) = payment {
            request = request.header(x402::SIGNATURE, x402::encode(payment));
        }
        Ok(request.send().await?)
    }

    /// The price that the node asks for a body.
    async fn price(&self, body: &Value) -> eyre::Result<u128> {
        let response: Value = self.post(body, None).await?.json().await?;
        Ok(response["accepts"][0]["amount"].as_str().wrap_err_with(|| response.to_string())?.parse()?)
    }

    fn payment(&self, amount: u128, max: u128) -> eyre::Result<Value> {
        let id = self.id()?;
        let signature = self.served.signer.sign_hash_sync(&self.channels.voucher_digest(id, max))?;
        let own = &self.served.config;
        Ok(json!({
            "x402Version": 2,
            "accepted": {
                "scheme": "batch-settlement", "network": format!("eip155:{}", own.chain.chain_id),
                "amount": Amount(amount), "asset": own.payment.token, "payTo": own.payment.receiver,
            },
            "payload": {
                "type": "voucher",
                "channelConfig": self.config,
                "voucher": {
                    "channelId": id,
                    "maxClaimableAmount": Amount(max),
                    "signature": alloy::hex::encode_prefixed(signature.as_bytes()),
                },
            },
        }))
    }

    async fn refused(&self, payment: &Value, code: &str) -> eyre::Result<()> {
        let response = self.post(&Self::body(), Some(payment)).await?;
        ensure!(response.status() == 402, "{code}: {} {}", response.status(), response.text().await?);
        ensure!(response.headers().contains_key(x402::REQUIRED), "{code}: no offer");
        let body: Value = response.json().await?;
        ensure!(body["error"]["message"] == x402::code(code), "{code}: {body}");
        Ok(())
    }
}

fn changed(payment: &Value, path: &str, value: impl Into<Value> + Debug) -> eyre::Result<Value> {
    let mut changed = payment.clone();
    *changed.pointer_mut(path).wrap_err_with(|| path.to_owned())? = value.into();
    Ok(changed)
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_that_could_not_be_claimed_are_refused() -> eyre::Result<()> {
    let served = Served::start(scripted(8)?).await?;
    let payer = Payer::open(&served).await?;
    let price = payer.price(&Payer::body()).await?;
    let right = payer.payment(price, price)?;

    let other = Address::repeat_byte(9).to_string();
    for (path, value, code) in [
        ("/accepted/scheme", json!("exact"), "scheme"),
        ("/accepted/network", json!("eip155:1"), "network_mismatch"),
        ("/accepted/asset", json!(other), "token_mismatch"),
        ("/accepted/payTo", json!(other), "receiver_mismatch"),
        ("/accepted/amount", json!("1"), "cumulative_amount_mismatch"),
        ("/payload/type", json!("refund"), "payload_type"),
        ("/payload/type", json!("deposit"), "deposit_payload"),
        ("/payload/type", json!("gift"), "voucher_payload"),
        ("/payload/channelConfig/receiver", json!(other), "receiver_mismatch"),
        ("/payload/channelConfig/receiverAuthorizer", json!(other), "receiver_authorizer_mismatch"),
        ("/payload/channelConfig/token", json!(other), "token_mismatch"),
        ("/payload/channelConfig/withdrawDelay", json!(86_401), "withdraw_delay_mismatch"),
        ("/payload/channelConfig/payer", json!(other), "channel_id_mismatch"),
        ("/payload/channelConfig/payerAuthorizer", json!(Address::ZERO), "voucher_signature"),
        ("/payload/voucher/channelId", json!(B256::ZERO), "channel_id_mismatch"),
        ("/payload/voucher/maxClaimableAmount", json!((price + 1).to_string()), "voucher_signature"),
        ("/payload/voucher/maxClaimableAmount", json!("-1"), "voucher_payload"),
        ("/payload/voucher/signature", json!("0x"), "voucher_signature"),
        ("/x402Version", json!(1), "scheme"),
    ] {
        payer.refused(&changed(&right, path, value)?, code).await?;
    }
    // A signature that Rust's libraries accept and the contract does not: the last byte is 0 or 1.
    let signature = right["payload"]["voucher"]["signature"].as_str().wrap_err("no signature")?;
    let last = if signature.ends_with("1b") { "00" } else { "01" };
    let unclaimable = format!("{}{last}", &signature[..signature.len() - 2]);
    payer.refused(&changed(&right, "/payload/voucher/signature", unclaimable)?, "voucher_signature").await?;
    // Another chain's voucher.
    let foreign = Channels::new(1, SETTLEMENT).voucher_digest(payer.id()?, price);
    let foreign = alloy::hex::encode_prefixed(served.signer.sign_hash_sync(&foreign)?.as_bytes());
    payer.refused(&changed(&right, "/payload/voucher/signature", foreign)?, "voucher_signature").await?;
    // Somebody else's key.
    let stranger = PrivateKeySigner::random().sign_hash_sync(&payer.channels.voucher_digest(payer.id()?, price))?;
    let stranger = alloy::hex::encode_prefixed(stranger.as_bytes());
    payer.refused(&changed(&right, "/payload/voucher/signature", stranger)?, "voucher_signature").await?;
    payer.refused(&payer.payment(price, DEPOSIT + 1)?, "cumulative_exceeds_balance").await?;
    payer.refused(&payer.payment(price, price - 1)?, "cumulative_amount_mismatch").await?;

    // After all this the right one is served, and a second request with it costs nothing more and gets nothing else.
    let first = payer.post(&Payer::body(), Some(&right)).await?;
    ensure!(first.status() == 200, "{}", first.text().await?);
    let first = first.text().await?;
    ensure!(payer.post(&Payer::body(), Some(&right)).await?.text().await? == first);
    let mut other = Payer::body();
    other["messages"][0]["content"] = json!("ho");
    ensure!(payer.post(&other, Some(&right)).await?.status() == 402, "one voucher paid for two answers");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_voucher_at_the_same_time_is_served_once() -> eyre::Result<()> {
    let served = Served::start(scripted(8)?).await?;
    let payer = Payer::open(&served).await?;
    let price = payer.price(&Payer::body()).await?;
    let payment = payer.payment(price, price)?;
    let bodies: Vec<_> = (0..6)
        .map(|index| {
            let mut body = Payer::body();
            body["messages"][0]["content"] = json!(format!("h{index}"));
            body
        })
        .collect();
    let asked = bodies.iter().map(|body| payer.post(body, Some(&payment)));
    let mut answered = 0;
    for response in futures_util::future::try_join_all(asked).await? {
        answered += usize::from(response.status() == 200);
    }
    ensure!(answered == 1, "{answered} answers for one voucher");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_who_leaves_is_claimed_from_and_not_served() -> eyre::Result<()> {
    let served = Served::start(scripted(8)?).await?;
    let payer = Payer::open(&served).await?;
    let price = payer.price(&Payer::body()).await?;
    ensure!(payer.post(&Payer::body(), Some(&payer.payment(price, price)?)).await?.status() == 200);
    let provider = served.devnet.provider();
    let contract = IChannels::new(SETTLEMENT, provider);
    let config = payer.config.to_config().wrap_err("the delay")?;
    let state: Value =
        payer.http.get(format!("{}/x402/channels/{}", served.url, payer.id()?)).send().await?.json().await?;
    let charged: u128 = state["channelState"]["chargedCumulativeAmount"].as_str().wrap_err("no sum")?.parse()?;
    ensure!(charged > 0 && charged <= price, "{state}");

    mined(contract.initiateWithdraw(config.clone(), DEPOSIT).from(payer.config.payer)).await?;
    let next = payer.payment(price, charged + price)?;
    payer.refused(&next, "cumulative_exceeds_balance").await?;
    // The claim is far below `claims.min`, and is sent because the payer is leaving.
    while contract.channels(payer.id()?).call().await?.totalClaimed < charged {
        provider.anvil_mine(Some(1), None).await?;
        tokio::task::yield_now().await;
    }
    let paid = ITestToken::new(served.token, provider).balanceOf(served.config.payment.receiver).call().await?;
    ensure!(paid == U256::from(charged), "the receiver has {paid}");
    ensure!(provider.get_block_number().await? > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_and_large_bodies_are_refused_before_anything_is_reserved() -> eyre::Result<()> {
    let engine = scripted(1)?;
    let served = Served::start(engine.clone()).await?;
    let payer = Payer::open(&served).await?;
    let price = payer.price(&Payer::body()).await?;
    let payment = payer.payment(price, price)?;
    let place = engine.place().wrap_err("the queue is empty")?;
    let response = payer.post(&Payer::body(), Some(&payment)).await?;
    ensure!(response.status() == 429 && response.headers().contains_key("retry-after"), "{response:?}");
    drop(place);
    ensure!(payer.post(&Payer::body(), Some(&payment)).await?.status() == 200);

    let mut large = Payer::body();
    for (length, status) in [(1_100, 400), (9_000, 413), (70_000, 413)] {
        large["messages"][0]["content"] = json!("x".repeat(length));
        let response = payer.post(&large, None).await?;
        ensure!(response.status() == status, "{length} bytes: {}", response.status());
        ensure!(response.json::<Value>().await?["error"]["code"].is_string());
    }
    Ok(())
}
