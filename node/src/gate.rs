//! The gate before the engine: what is checked, reserved and charged, in which order.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use alloy::primitives::{Address, B256, U256, keccak256};
use eyre::WrapErr;
use plimsoll_channels::recover_signer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    chain::{Chain, OnChain},
    claiming::Claims,
    config::Config,
    engine::{Engine, Place},
    generation::Finish,
    metrics::Metrics,
    openai::{self, Answer, ChatRequest, Refusal},
    receipt::SignedReceipt,
    store::{CheckedVoucher, Reservation, Reserved, Store},
    x402::{self, Amount, ChannelState, PayloadKind, Payment},
};

/// Time that a payer's consent to a deposit is good for.
const MAX_TIMEOUT_SECONDS: u64 = 300;
/// Before the end of a deposit's consent in which it is not sent any more.
const DEPOSIT_MARGIN_SECONDS: u64 = 30;
const DAY: u64 = 86_400;

/// The daemon.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) engine: Engine,
    pub(crate) chain: Chain,
    pub(crate) store: Arc<Store>,
    pub(crate) metrics: Metrics,
    unpaid: Mutex<HashMap<IpAddr, (u64, u32)>>,
    depositing: Mutex<HashSet<Address>>,
    pub(crate) claims: Claims,
}

/// Why a request gets no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Refusal),
    /// Asked to pay: the error, the amount, and what is added to the offer.
    Payment {
        error: String,
        amount: u128,
        extra: Vec<(&'static str, Value)>,
    },
}

impl Failure {
    fn payment(code: &str, amount: u128) -> Self {
        Self::Payment { error: x402::code(code), amount, extra: Vec::new() }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<eyre::Report> for Failure {
    fn from(error: eyre::Report) -> Self {
        tracing::error!("request failed: {error:#}");
        Self::Refused(Refusal::new(500, "internal_error", "the node failed; nothing was charged"))
    }
}

/// A finished answer as it is kept for its client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Finished {
    pub(crate) answer: Answer,
    pub(crate) payment: Value,
    pub(crate) receipt: Option<SignedReceipt>,
}

/// A request with all that must be known before it is paid.
#[derive(Debug, Clone)]
pub(crate) struct Priced {
    pub(crate) request: ChatRequest,
    input: Vec<u8>,
    prompt_tokens: u32,
    pub(crate) ceiling: u128,
}

/// A request that is paid: its voucher is on disk, and it has a place in the queue.
#[derive(Debug)]
pub(crate) struct Paid {
    priced: Priced,
    voucher: CheckedVoucher,
    reservation: Reservation,
    state: OnChain,
    deposited: Option<(B256, u128)>,
    _place: Place,
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Node {
    pub(crate) fn new(config: Config, engine: Engine, chain: Chain, store: Arc<Store>) -> eyre::Result<Self> {
        let payment = &config.payment;
        store.keep_terms(&format!(
            "chain {} at {}, receiver {}, authorizer {}, token {}, withdraw delay {} s",
            config.chain.chain_id,
            config.chain.channels,
            payment.receiver,
            chain.authorizer.address(),
            payment.token,
            payment.withdraw_delay_seconds
        ))?;
        let metrics = Metrics::default();
        let (unpaid, depositing, claims) = (Mutex::default(), Mutex::default(), Claims::default());
        Ok(Self { config, engine, chain, store, metrics, unpaid, depositing, claims })
    }

    fn network(&self) -> String {
        format!("eip155:{}", self.config.chain.chain_id)
    }

    /// Price of the smallest request.
    pub(crate) fn min_price(&self) -> u128 {
        self.config.price.of(1, 1)
    }

    /// What a client is asked to pay.
    pub(crate) fn offer(&self, error: &str, amount: u128, url: &str, further: Vec<(&'static str, Value)>) -> Value {
        let payment = &self.config.payment;
        let mut extra = json!({
            "receiverAuthorizer": self.chain.authorizer.address(),
            "withdrawDelay": payment.withdraw_delay_seconds,
            "name": payment.token_name,
            "version": payment.token_version,
            "minDeposit": payment.min_deposit,
            "assetTransferMethod": "eip3009",
        });
        for (name, value) in further {
            extra[name] = value;
        }
        json!({
            "x402Version": 2,
            "error": error,
            "resource": {"url": url, "description": "An answer of a language model", "mimeType": "application/json"},
            "accepts": [{
                "scheme": x402::SCHEME,
                "network": self.network(),
                "amount": Amount(amount),
                "asset": payment.token,
                "payTo": payment.receiver,
                "maxTimeoutSeconds": MAX_TIMEOUT_SECONDS,
                "extra": extra,
            }],
        })
    }

    /// Counts work that nobody pays for, and refuses too much of it.
    pub(crate) fn count_unpaid(&self, from: IpAddr) -> Result<(), Refusal> {
        let mut unpaid = self.unpaid.lock().unwrap_or_else(PoisonError::into_inner);
        let second = now();
        unpaid.retain(|_, (counted, _)| *counted == second);
        let (_, count) = unpaid.entry(from).or_insert((second, 0));
        *count += 1;
        if *count > self.config.limits.unpaid_per_second {
            return Err(Refusal::new(429, "rate_limit_exceeded", "too many unpaid requests; try again in a second"));
        }
        Ok(())
    }

    /// Parses a request and computes the most that it can cost.
    pub(crate) fn price(&self, body: &[u8]) -> Result<Priced, Failure> {
        let (kind, limits) = (&self.engine.kind.file, &self.engine.kind.file.limits);
        let request = ChatRequest::parse(body, &kind.name, limits.completion_tokens)?;
        let input = request.input.encode();
        if input.len() > limits.input_bytes {
            let message = format!("the prompt has {} bytes when encoded; at most {}", input.len(), limits.input_bytes);
            return Err(Refusal::new(413, "request_too_large", message).into());
        }
        let prompt_tokens = self.engine.count(&request.input.prompt)?;
        if prompt_tokens > limits.prompt_tokens {
            let message = format!("the prompt has {prompt_tokens} tokens; at most {}", limits.prompt_tokens);
            return Err(Refusal::new(400, "context_length_exceeded", message).into());
        }
        let ceiling = self.config.price.of(prompt_tokens, request.input.max_tokens);
        Ok(Priced { request, input, prompt_tokens, ceiling })
    }

    /// Checks all of a payment that can be checked without its request, the store and the chain. The error is a code.
    pub(crate) fn check(&self, payment: &Payment) -> Result<CheckedVoucher, &'static str> {
        let (own, accepted, payload) = (&self.config.payment, &payment.accepted, &payment.payload);
        let (config, voucher) = (&payload.channel_config, &payload.voucher);
        let authorizer = self.chain.authorizer.address();
        for (is_right, code) in [
            (accepted.scheme == x402::SCHEME, "scheme"),
            (accepted.network == self.network(), "network_mismatch"),
            (accepted.asset == own.token && config.token == own.token, "token_mismatch"),
            (accepted.pay_to == own.receiver && config.receiver == own.receiver, "receiver_mismatch"),
            (config.receiver_authorizer == authorizer, "receiver_authorizer_mismatch"),
            (config.withdraw_delay == own.withdraw_delay_seconds, "withdraw_delay_mismatch"),
            // A contract could revoke between service and claim what it signed.
            (config.payer_authorizer != Address::ZERO, "voucher_signature"),
        ] {
            if !is_right {
                return Err(code);
            }
        }
        let chain_config = config.to_config().ok_or("withdraw_delay_mismatch")?;
        let id = self.chain.channels.channel_id(&chain_config);
        if id != voucher.channel_id {
            return Err("channel_id_mismatch");
        }
        let max = voucher.max_claimable_amount.0;
        let digest = self.chain.channels.voucher_digest(id, max);
        if recover_signer(digest, &voucher.signature) != Ok(config.payer_authorizer) {
            return Err("voucher_signature");
        }
        self.metrics.vouchers.add(1);
        Ok(CheckedVoucher { id, config: config.clone(), max, signature: voucher.signature.to_vec() })
    }

    /// The answer that this voucher has already paid for.
    pub(crate) fn replay(&self, priced: &Priced, voucher: &CheckedVoucher) -> Result<Option<Finished>, Failure> {
        let since = now().saturating_sub(60 * self.config.limits.replay_minutes);
        let kept = self.store.replay(voucher, keccak256(&priced.input), since)?;
        Ok(kept.map(|text| serde_json::from_str(&text)).transpose().wrap_err("the store")?)
    }

    async fn state(&self, id: B256) -> Result<OnChain, Failure> {
        let stale = |reason: String| Refusal::new(503, "chain_stale", reason);
        if !self.chain.is_fresh() {
            return Err(stale("the chain has not been heard of; try again later".to_owned()).into());
        }
        self.chain.state(id).await.map_err(|error| {
            tracing::warn!("channel not read: {error:#}");
            stale("the chain does not answer; try again later".to_owned()).into()
        })
    }

    /// Puts the voucher on disk, or says why it cannot be served for.
    fn reserve(&self, voucher: &CheckedVoucher, ceiling: u128, state: OnChain) -> Result<(u128, Reservation), Failure> {
        match self.store.reserve(voucher, ceiling, state.claimed)? {
            Reserved::Yes { charged, reservation } => Ok((charged, reservation)),
            Reserved::Busy => Err(Failure::payment("channel_busy", ceiling)),
            Reserved::Mismatch { charged, last } => {
                let mut extra = vec![("channelState", self.channel_state(voucher.id, state, charged).to_json())];
                if let Some((signed, signature)) = last {
                    let signature = alloy::hex::encode_prefixed(signature);
                    extra.push(("voucherState", json!({"signedMaxClaimable": Amount(signed), "signature": signature})));
                }
                let error = x402::code("cumulative_amount_mismatch");
                Err(Failure::Payment { error, amount: ceiling, extra })
            }
        }
    }

    fn channel_state(&self, id: B256, state: OnChain, charged: u128) -> ChannelState {
        let OnChain { balance, claimed, withdraw_requested_at, refund_nonce, .. } = state;
        ChannelState { id, balance, claimed, withdraw_requested_at, refund_nonce, charged }
    }

    /// Takes a payment: after this the voucher is on disk and its money in the channel.
    pub(crate) async fn pay(
        self: &Arc<Self>,
        priced: Priced,
        payment: &Payment,
        voucher: CheckedVoucher,
        place: Place,
    ) -> Result<Paid, Failure> {
        let ceiling = priced.ceiling;
        if payment.accepted.amount.0 != ceiling {
            return Err(Failure::payment("cumulative_amount_mismatch", ceiling));
        }
        let state = self.state(voucher.id).await?;
        let deposit = match payment.payload.kind {
            PayloadKind::Refund => return Err(Failure::payment("payload_type", ceiling)),
            PayloadKind::Voucher => 0,
            PayloadKind::Deposit => payment.payload.deposit.as_ref().map_or(0, |deposit| deposit.amount.0),
        };
        if voucher.max <= state.claimed {
            return Err(Failure::payment("cumulative_below_claimed", ceiling));
        }
        if deposit == 0 && state.balance == 0 {
            return Err(Failure::payment("channel_not_found", ceiling));
        }
        let effective = state.balance.saturating_sub(state.withdrawing);
        if effective.checked_add(deposit).is_none_or(|covered| voucher.max > covered) {
            return Err(Failure::payment("cumulative_exceeds_balance", ceiling));
        }
        let known = self.store.channel(voucher.id)?;
        if known.is_some_and(|known| known.charged.saturating_sub(state.claimed) > self.config.payment.max_unclaimed.0)
        {
            let message = "this channel is served again when its claim is mined";
            return Err(Refusal::new(503, "claim_pending", message).into());
        }
        let (_, reservation) = self.reserve(&voucher, ceiling, state)?;
        let mut paid = Paid { priced, voucher, reservation, state, deposited: None, _place: place };
        if deposit > 0 {
            self.deposit(payment, &mut paid).await.map_err(|code| Failure::payment(code, ceiling))?;
        }
        Ok(paid)
    }

    /// Counts a transaction whose gas the node pays for a client.
    fn sponsor(&self) -> bool {
        let most = self.config.limits.sponsored_per_day.into();
        self.store.spend("sponsored", now() / DAY, 1, most).unwrap_or_else(|error| {
            tracing::error!("the store: {error:#}");
            false
        })
    }

    fn depositing(&self) -> std::sync::MutexGuard<'_, HashSet<Address>> {
        self.depositing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn deposit(&self, payment: &Payment, paid: &mut Paid) -> Result<(), &'static str> {
        let deposit = payment.payload.deposit.as_ref().ok_or("deposit_payload")?;
        let (amount, voucher) = (deposit.amount.0, &paid.voucher);
        let authorization = deposit.authorization.erc3009_authorization.as_ref();
        let authorization = authorization.ok_or("erc3009_authorization_required")?;
        if amount < self.config.payment.min_deposit.0 {
            return Err("deposit_below_min_deposit");
        }
        if authorization.valid_after.0 > now().into() {
            return Err("payload_authorization_valid_after");
        }
        if authorization.valid_before.0 < u128::from(now() + DEPOSIT_MARGIN_SECONDS) {
            return Err("payload_authorization_valid_before");
        }
        let payer = voucher.config.payer;
        let config = voucher.config.to_config().ok_or("withdraw_delay_mismatch")?;
        // One at a time of each payer.
        if !self.depositing().insert(payer) {
            return Err("deposit_transaction_failed");
        }
        let _depositing = Depositing { node: self, payer };
        if !self.sponsor() {
            return Err("deposit_transaction_failed");
        }
        let sent = self.chain.deposit(config, amount, authorization).await;
        let hash = sent.as_ref().copied().unwrap_or_default();
        if let Err(error) = sent {
            tracing::warn!(channel = %voucher.id, "deposit not sent: {error:#}");
        }
        // Anybody may have sent it before us: the balance counts.
        let state = self.chain.state(voucher.id).await.map_err(|_| "rpc_read_failed")?;
        if voucher.max > state.balance.saturating_sub(state.withdrawing) {
            return Err("deposit_transaction_failed");
        }
        (paid.state, paid.deposited) = (state, Some((hash, amount)));
        self.metrics.deposits.add(1);
        Ok(())
    }

    /// Computes a paid answer and charges for it. `live` gets the text as it appears.
    pub(crate) async fn work(&self, paid: Paid, live: Option<Live>) -> Result<Finished, Failure> {
        let Paid { priced, voucher, reservation, state, deposited, _place } = paid;
        let (id, created) = (answer_id(&voucher), now());
        let model = self.engine.kind.file.name.clone();
        let on_text = {
            let (live, id, model) = (live.clone(), id.clone(), model.clone());
            move |text: &str| {
                let Some(Live(live)) = &live else { return true };
                let delta = json!([{"index": 0, "delta": {"content": text}, "finish_reason": null}]);
                live.send(openai::event(&Answer::chunk(&id, created, &model, delta))).is_ok()
            }
        };
        let started = std::time::Instant::now();
        let outcome = match self.engine.answer(priced.input.clone(), on_text).await {
            Ok(outcome) => outcome,
            // The reservation ends without a charge.
            Err(error) => return Err(error.into()),
        };
        self.metrics.answered(outcome.completion_tokens, started.elapsed());
        let charge = self.config.price.of(priced.prompt_tokens, outcome.completion_tokens).min(priced.ceiling);
        let charged = voucher.max - priced.ceiling + charge;
        let request = keccak256(&priced.input);
        let receipt = SignedReceipt {
            chain_id: self.config.chain.chain_id,
            jobs: self.config.receipts.jobs,
            node: self.config.receipts.node,
            kind: self.engine.kind.id,
            request_hash: request,
            result_hash: outcome.result_hash(),
            trace: outcome.trace,
            prompt_tokens: priced.prompt_tokens,
            completion_tokens: outcome.completion_tokens,
            issued_at: now(),
            channel_id: voucher.id,
            charged: Amount(charge),
            signer: Address::ZERO,
            signature: alloy::primitives::Bytes::new(),
        };
        // An answer that was broken off is not the kind's result.
        let is_whole = outcome.finish != Finish::Cancelled;
        let receipt = if is_whole { Some(receipt.sign(&self.chain.authorizer)?) } else { None };
        let (transaction, amount) = match deposited {
            Some((hash, amount)) => (hash.to_string(), amount.to_string()),
            None => (String::new(), String::new()),
        };
        let payment = json!({
            "success": true,
            "transaction": transaction,
            "network": self.network(),
            "payer": voucher.config.payer,
            "amount": amount,
            "extra": {
                "chargedAmount": Amount(charge),
                "channelState": self.channel_state(voucher.id, state, charged).to_json(),
            },
        });
        let answer = Answer {
            id,
            created,
            model,
            text: outcome.answer,
            prompt_tokens: priced.prompt_tokens,
            completion_tokens: outcome.completion_tokens,
            finish: openai::finish_reason(outcome.finish).to_owned(),
        };
        let finished = Finished { answer, payment, receipt };
        let kept = serde_json::to_string(&finished).wrap_err("an answer")?;
        let kept = (self.config.limits.replay_minutes > 0 && is_whole).then_some((request, kept.as_str()));
        let receipt = finished.receipt.as_ref().map(serde_json::to_string).transpose().wrap_err("a receipt")?;
        let receipt = receipt.as_deref().map(|receipt| (request, receipt));
        reservation.charge(&voucher, charge, now(), kept, receipt)?;
        self.metrics.charged.add(u64::try_from(charge).unwrap_or(u64::MAX));
        Ok(finished)
    }

    /// Gives a channel's rest back, or as much of it as was asked for, after claiming what was charged.
    pub(crate) async fn refund(&self, payment: &Payment) -> Result<Value, Failure> {
        let amount = self.min_price();
        let voucher = self.check(payment).map_err(|code| Failure::payment(code, amount))?;
        if payment.payload.kind != PayloadKind::Refund {
            return Err(Failure::payment("payload_type", amount));
        }
        let state = self.state(voucher.id).await?;
        if self.store.channel(voucher.id)?.is_none() && state.balance == 0 {
            return Err(Failure::payment("channel_not_found", amount));
        }
        let (charged, reservation) = self.reserve(&voucher, 0, state)?;
        let refunded = self.send_refund(payment, &voucher, state, charged).await;
        drop(reservation);
        let (hash, refunded) = refunded.map_err(|code| Failure::payment(code, amount))?;
        let state = self.state(voucher.id).await?;
        Ok(json!({
            "success": true,
            "transaction": hash,
            "network": self.network(),
            "payer": voucher.config.payer,
            "amount": Amount(refunded),
            "extra": {"channelState": self.channel_state(voucher.id, state, charged).to_json()},
        }))
    }

    async fn send_refund(
        &self,
        payment: &Payment,
        voucher: &CheckedVoucher,
        state: OnChain,
        charged: u128,
    ) -> Result<(B256, u128), &'static str> {
        let rest = state.balance.saturating_sub(charged.max(state.claimed));
        let amount = payment.payload.amount.map_or(rest, |asked| asked.0.min(rest));
        if amount == 0 || !self.sponsor() {
            return Err("refund_no_balance");
        }
        let channel = self.store.channel(voucher.id).ok().flatten().ok_or("channel_not_found")?;
        let sent = self.chain.refund(&channel, state, amount).await;
        if let Err(error) = &sent {
            tracing::warn!(channel = %voucher.id, "refund not sent: {error:#}");
        }
        sent.map(|hash| (hash, amount)).map_err(|_| "refund_transaction_failed")
    }

    /// What a client needs to find its place again.
    pub(crate) async fn describe(&self, id: B256) -> Result<Option<Value>, Failure> {
        let Some(channel) = self.store.channel(id)? else { return Ok(None) };
        let state = self.state(id).await?;
        let signature = alloy::hex::encode_prefixed(&channel.signature);
        Ok(Some(json!({
            "channelState": self.channel_state(id, state, channel.charged).to_json(),
            "voucherState": {"signedMaxClaimable": Amount(channel.signed), "signature": signature},
        })))
    }
}

/// A payer whose deposit is on its way.
struct Depositing<'a> {
    node: &'a Node,
    payer: Address,
}

impl Drop for Depositing<'_> {
    fn drop(&mut self) {
        self.node.depositing().remove(&self.payer);
    }
}

/// Where the text of an answer goes as it appears.
#[derive(Debug, Clone)]
pub(crate) struct Live(pub(crate) UnboundedSender<String>);

/// An answer's id: of the voucher that paid for it.
fn answer_id(voucher: &CheckedVoucher) -> String {
    let hash = keccak256([voucher.id.as_slice(), &U256::from(voucher.max).to_be_bytes::<32>()].concat());
    format!("chatcmpl-{}", alloy::hex::encode(&hash[..12]))
}
