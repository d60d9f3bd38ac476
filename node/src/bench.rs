//! Measures what bounds a node: vouchers verified on one core, requests that its store can take, tokens a second.

use std::time::{Duration, Instant};

use alloy::{
    primitives::{Address, B256, keccak256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use eyre::ensure;
use plimsoll_channels::{Channels, SETTLEMENT, kinds::render, recover_signer};
use serde::Serialize;

use crate::{
    engine::Engine,
    generation::Input,
    store::{CheckedVoucher, Reserved, Store},
    x402::WireConfig,
};

/// Different vouchers, so that nothing is remembered.
const VOUCHERS: u32 = 256;
/// Length of the measured answer.
const TOKENS: u32 = 64;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Channel ids and vouchers checked by one thread.
    vouchers_per_second: u64,
    /// Reservations and charges, two commits each, by one thread on this disk.
    requests_stored_per_second: u64,
    /// Of one answer with all threads, without its prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_per_second: Option<f64>,
}

fn config(payer: Address, salt: u32) -> WireConfig {
    let [receiver, receiver_authorizer, token] = [1, 2, 3].map(Address::repeat_byte);
    let salt = keccak256(salt.to_be_bytes());
    WireConfig { payer, payer_authorizer: payer, receiver, receiver_authorizer, token, withdraw_delay: 86_400, salt }
}

fn per_second(count: u64, took: Duration) -> u64 {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1_000_000) / micros
}

/// Measures for about `time` each.
pub(crate) async fn run(engine: Option<&Engine>, time: Duration) -> eyre::Result<Report> {
    let (channels, key) = (Channels::new(8453, SETTLEMENT), PrivateKeySigner::random());
    let signed: Vec<_> = (0..VOUCHERS)
        .map(|index| -> eyre::Result<_> {
            let config = config(key.address(), index);
            let chain_config = config.to_config().ok_or_else(|| eyre::eyre!("the delay"))?;
            let digest = channels.voucher_digest(channels.channel_id(&chain_config), index.into());
            Ok((config, index, key.sign_hash_sync(&digest)?.as_bytes()))
        })
        .collect::<eyre::Result<_>>()?;
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < time {
        for (config, max, signature) in &signed {
            let chain_config = config.to_config().ok_or_else(|| eyre::eyre!("the delay"))?;
            let digest = channels.voucher_digest(channels.channel_id(&chain_config), (*max).into());
            ensure!(recover_signer(digest, signature) == Ok(key.address()), "a right voucher was refused");
            count += 1;
        }
    }
    let vouchers_per_second = per_second(count, started.elapsed());

    let folder = std::env::current_dir()?.join(format!("bench-{}", B256::random()));
    let store = Store::open(&folder.join("store.sqlite"))?;
    let (started, mut count) = (Instant::now(), 0_u64);
    while started.elapsed() < time {
        let max = u128::from(count) + 1;
        let voucher = CheckedVoucher { id: B256::ZERO, config: config(key.address(), 0), max, signature: vec![0; 65] };
        let reserved = store.reserve(&voucher, 1, 0)?;
        let Reserved::Yes { reservation, .. } = reserved else { eyre::bail!("not reserved: {reserved:?}") };
        reservation.charge(&voucher, 1, 0, None, None)?;
        count += 1;
    }
    let requests_stored_per_second = per_second(count, started.elapsed());
    drop(store);
    std::fs::remove_dir_all(&folder)?;

    let (mut tokens_per_second, mut prompt_tokens_per_second) = (None, None);
    if let Some(engine) = engine {
        let prompt = render(&[("user", "Write a long story about a ship that was loaded too heavily.")]);
        let timed = async |max_tokens| -> eyre::Result<_> {
            let input = Input { prompt: prompt.clone(), max_tokens, temperature_milli: 0, seed: 0 }.encode();
            let started = Instant::now();
            let outcome = engine.answer(input, |_| true).await?;
            Ok((outcome, started.elapsed()))
        };
        let (first, before) = timed(1).await?;
        let (outcome, took) = timed(TOKENS).await?;
        let decoding = took.saturating_sub(before).as_secs_f64().max(f64::EPSILON);
        tokens_per_second = Some(f64::from(outcome.completion_tokens - 1) / decoding);
        prompt_tokens_per_second = Some(f64::from(first.prompt_tokens) / before.as_secs_f64().max(f64::EPSILON));
    }
    Ok(Report { vouchers_per_second, requests_stored_per_second, tokens_per_second, prompt_tokens_per_second })
}
