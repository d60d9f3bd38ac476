//! The client: asks a node of ours, pays by vouchers, and checks what it gets before it pays again.

mod ledger;
mod listen;
#[cfg(test)]
mod tests;
mod wallet;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use alloy::{
    hex,
    primitives::{Address, B256, Bytes, U256, keccak256},
    signers::SignerSync,
    sol_types::SolValue,
};
use eyre::{ContextCompat, WrapErr, bail, ensure};
use futures_util::StreamExt;
use plimsoll_channels::recover_signer;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use self::{
    ledger::{Account, Ledger},
    wallet::Payer,
};
pub(crate) use self::{
    listen::listen,
    wallet::{ChannelCommand, Wallet, run},
};
use crate::{
    config::Price,
    gate::now,
    kind::Kind,
    openai::ChatRequest,
    receipt::{ReceiptFile, SignedReceipt},
    x402::{self, Amount, WireConfig},
};

/// How far a receipt's time may be from ours, in seconds. An older one could not be audited for long.
const MAX_SKEW: u64 = 120;
/// The longest time that a payer accepts to wait for its money, in seconds.
const MAX_WITHDRAW_DELAY: u64 = 172_800;
/// The longest time that a signed deposit may be used, in seconds.
const MAX_DEPOSIT_SECS: u64 = 3_600;
/// The longest answer that is read and the longest refusal that is shown, in bytes.
const MAX_ANSWER: usize = 4 << 20;
const MAX_REFUSAL: usize = 1_000;
/// The longest silence of a node.
const MAX_SILENCE: Duration = Duration::from_secs(300);
/// Requests that a deposit pays for if nothing else is said.
const DEPOSIT_REQUESTS: u128 = 20;

/// What to ask, and what it may cost.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AskArguments {
    /// The question; from standard input if it is left out.
    prompt: Option<String>,
    /// URL of the node, such as <https://node.example>.
    #[arg(long)]
    url: String,
    /// Instead of one question: serve OpenAI's clients of this machine at this address, and pay for each of their requests.
    #[arg(long, conflicts_with_all = ["prompt", "system", "max_tokens", "temperature", "seed", "receipt", "live", "json"])]
    pub(crate) listen: Option<SocketAddr>,
    /// A system message before the question.
    #[arg(long)]
    system: Option<String>,
    /// The most tokens of the answer.
    #[arg(long, default_value_t = 128)]
    max_tokens: u32,
    /// 0 to 2 in steps of 0.001; above 0 it needs --seed.
    #[arg(long, default_value = "0")]
    temperature: String,
    /// Seed of an answer above temperature 0.
    #[arg(long)]
    seed: Option<u64>,
    /// The most that this request may cost, in the token's smallest unit.
    #[arg(long)]
    max_price: u128,
    /// What is deposited when the channel does not cover the request; else 20 times its price.
    #[arg(long)]
    deposit: Option<u128>,
    /// The largest deposit; else 20 times --max-price.
    #[arg(long)]
    max_deposit: Option<u128>,
    /// Address of the contract Jobs: the node must be registered there and bonded, or nothing is paid.
    #[arg(long)]
    jobs: Option<Address>,
    /// A kind file; the built-in one if it is left out.
    #[arg(long)]
    kind: Option<PathBuf>,
    /// Write the receipt with its input to this file, for `verify` and `audit`.
    #[arg(long)]
    pub(crate) receipt: Option<PathBuf>,
    /// Print the text as it appears. An answer that is lost on its way is then paid as far as it was sent.
    #[arg(long, conflicts_with = "json")]
    live: bool,
    /// Print one JSON document at the end instead of the text as it appears.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) wallet: Wallet,
}

/// What a node asks for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Offer {
    scheme: String,
    network: String,
    amount: Amount,
    asset: Address,
    pay_to: Address,
    max_timeout_seconds: u64,
    extra: OfferExtra,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfferExtra {
    receiver_authorizer: Address,
    withdraw_delay: u64,
    name: String,
    version: String,
    min_deposit: Option<Amount>,
    channel_state: Option<Value>,
    voucher_state: Option<Value>,
}

/// A node's model, as `/v1/models` says it.
#[derive(Debug, Deserialize)]
struct ModelEntry {
    id: String,
    x_kind: B256,
    x_price: PriceEntry,
}

/// A node's prices, which may be said with more.
#[derive(Debug, Clone, Copy, Deserialize)]
struct PriceEntry {
    base: Amount,
    per_prompt_token: Amount,
    per_completion_token: Amount,
}

impl From<PriceEntry> for Price {
    fn from(entry: PriceEntry) -> Self {
        let PriceEntry { base, per_prompt_token, per_completion_token } = entry;
        Self { base, per_prompt_token, per_completion_token }
    }
}

/// An answer that was paid for and checked.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) text: String,
    /// Why it ended, as the node says.
    finish: String,
    pub(crate) charged: u128,
    pub(crate) total: u128,
    pub(crate) deposited: u128,
    pub(crate) channel: B256,
    pub(crate) file: ReceiptFile,
}

impl Answered {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "text": self.text,
            "charged": Amount(self.charged),
            "chargedInAll": Amount(self.total),
            "deposited": Amount(self.deposited),
            "channel": self.channel,
            "receipt": self.file.receipt,
            "input": self.file.input,
        })
    }
}

/// What came back for a paid request.
struct Delivered {
    text: String,
    finish: String,
    payment: Value,
    receipt: Option<SignedReceipt>,
}

fn amount_of(value: &Value) -> eyre::Result<u128> {
    let amount: Amount = serde_json::from_value(value.clone()).wrap_err("an amount of the node")?;
    Ok(amount.0)
}

/// The client of requests to nodes: a silent one is not waited for for ever.
fn client() -> eyre::Result<Client> {
    Ok(Client::builder().read_timeout(MAX_SILENCE).build()?)
}

/// Reads a JSON document of bounded length.
async fn document(response: Response) -> eyre::Result<Value> {
    let (mut stream, mut text) = (response.bytes_stream(), Vec::new());
    while let Some(chunk) = stream.next().await {
        text.extend_from_slice(&chunk.wrap_err("the connection was lost")?);
        ensure!(text.len() <= MAX_ANSWER, "the answer has more than {MAX_ANSWER} bytes");
    }
    serde_json::from_slice(&text).wrap_err("the answer is not JSON")
}

/// What a node says of a refusal, shortened.
async fn refusal(response: Response) -> String {
    let (mut stream, mut text) = (response.bytes_stream(), Vec::new());
    while let (true, Some(Ok(chunk))) = (text.len() < MAX_REFUSAL, stream.next().await) {
        text.extend_from_slice(&chunk);
    }
    text.truncate(MAX_REFUSAL);
    String::from_utf8_lossy(&text).into_owned()
}

fn decode_header(response: &Response, name: &str) -> eyre::Result<Option<Value>> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let Some(header) = response.headers().get(name) else { return Ok(None) };
    let decoded = STANDARD.decode(header.as_bytes()).wrap_err_with(|| format!("the header {name}"))?;
    Ok(Some(serde_json::from_slice(&decoded).wrap_err_with(|| format!("the header {name}"))?))
}

struct Session<'a> {
    http: Client,
    url: &'a str,
    purse: &'a Payer,
}

impl Session<'_> {
    async fn post(&self, body: &str, payment: Option<&Value>) -> eyre::Result<Response> {
        let mut request = self.http.post(format!("{}/v1/chat/completions", self.url));
        request = request.header("content-type", "application/json").body(body.to_owned());
        if let Some(payment) = payment {
            request =
                request.header(x402::SIGNATURE, x402::encode(payment)).header("prefer", "payment-response=stream");
        }
        request.send().await.wrap_err_with(|| format!("{} does not answer", self.url))
    }

    /// The offer in a 402, with its error code.
    fn offer(&self, response: &Response) -> eyre::Result<(String, Value)> {
        let required = decode_header(response, x402::REQUIRED)?.wrap_err("a 402 without PAYMENT-REQUIRED")?;
        let network = format!("eip155:{}", self.purse.chain_id);
        let accepts = required["accepts"].as_array().cloned().unwrap_or_default();
        let ours = accepts.into_iter().find(|offer| {
            let asset: Option<Address> = offer["asset"].as_str().and_then(|text| text.parse().ok());
            offer["scheme"] == x402::SCHEME && offer["network"] == network && asset == Some(self.purse.token)
        });
        let ours = ours.wrap_err_with(|| {
            format!("the node takes no {} of the token {} on {network}", x402::SCHEME, self.purse.token)
        })?;
        Ok((required["error"].as_str().unwrap_or_default().to_owned(), ours))
    }

    async fn get(&self, path: &str) -> eyre::Result<Option<Value>> {
        let response = self.http.get(format!("{}{path}", self.url)).send().await;
        let response = response.wrap_err_with(|| format!("{}{path} does not answer", self.url))?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        ensure!(response.status().is_success(), "{}{path} answers {}", self.url, response.status());
        Ok(Some(document(response).await.wrap_err_with(|| format!("{}{path}", self.url))?))
    }

    /// Believes a node's sum where we have signed for it ourselves.
    fn adopt(&self, account: &mut Account, state: &Value, voucher: Option<&Value>) -> eyre::Result<()> {
        let charged = amount_of(&state["chargedCumulativeAmount"])?;
        if let Some(voucher) = voucher {
            let signed = amount_of(&voucher["signedMaxClaimable"])?;
            let signature: Bytes = serde_json::from_value(voucher["signature"].clone())?;
            let digest = self.purse.channels.voucher_digest(account.id, signed);
            if recover_signer(digest, &signature) == Ok(self.purse.address()) {
                account.signed = account.signed.max(signed);
            }
        }
        ensure!(
            charged <= account.signed,
            "the node says that it has charged {charged}, and we have signed for {} at most; withdraw from it",
            account.signed
        );
        ensure!(
            charged >= account.charged,
            "the node says that it has charged {charged}, and said {} before: its store is older than its word. What was \
             signed stays claimable; do not pay it any more",
            account.charged
        );
        account.charged = charged;
        Ok(())
    }

    /// Asks the node what it has charged.
    async fn synchronise(&self, account: &mut Account) -> eyre::Result<()> {
        let path = format!("/x402/channels/{}", account.id);
        match self.get(&path).await? {
            Some(found) => self.adopt(account, &found["channelState"], Some(&found["voucherState"]))?,
            // It never saw a voucher, or has lost its store: then the chain's sum is the least.
            None => account.charged = account.charged.max(self.purse.state(account.id).await?.claimed),
        }
        account.pending = None;
        Ok(())
    }

    /// Reads an answer, which comes as events and ends with its payment, or whole with its payment in the headers.
    async fn delivered(&self, response: Response, on_text: &mut (dyn FnMut(&str) + Send)) -> eyre::Result<Delivered> {
        let header_payment = decode_header(&response, x402::RESPONSE)?;
        let header_receipt = decode_header(&response, "x-receipt")?;
        if let Some(payment) = header_payment {
            let receipt = serde_json::from_value(header_receipt.unwrap_or_default()).wrap_err("the receipt")?;
            let is_json = response.headers().get("content-type").is_some_and(|kind| kind == "application/json");
            ensure!(is_json, "the answer is not JSON");
            let body = document(response).await?;
            let text = body["choices"][0]["message"]["content"].as_str().wrap_err("an answer without text")?.to_owned();
            on_text(&text);
            let finish = body["choices"][0]["finish_reason"].as_str().unwrap_or("stop").to_owned();
            return Ok(Delivered { text, finish, payment, receipt });
        }
        let (mut text, mut payment, mut receipt) = (String::new(), Value::Null, Value::Null);
        let mut finish = "stop".to_owned();
        let (mut stream, mut buffer) = (response.bytes_stream(), Vec::new());
        let (mut is_done, mut length) = (false, 0);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.wrap_err("the connection was lost")?;
            length += chunk.len();
            ensure!(length <= MAX_ANSWER, "the answer has more than {MAX_ANSWER} bytes");
            buffer.extend_from_slice(&chunk);
            while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = buffer.drain(..end + 2).collect();
                let Some(data) = event.strip_prefix(b"data: ") else { continue };
                if data.starts_with(b"[DONE]") {
                    is_done = true;
                    continue;
                }
                let mut chunk: Value = serde_json::from_slice(data).wrap_err("an event of the answer")?;
                ensure!(chunk["error"].is_null(), "the node failed: {}", chunk["error"]["message"]);
                if let Some(delta) = chunk["choices"][0]["delta"]["content"].as_str() {
                    on_text(delta);
                    text.push_str(delta);
                }
                if let Some(reason) = chunk["choices"][0]["finish_reason"].as_str() {
                    reason.clone_into(&mut finish);
                }
                if !chunk["x402"].is_null() {
                    (payment, receipt) = (chunk["x402"].take(), chunk["receipt"].take());
                }
            }
        }
        ensure!(is_done && !payment.is_null(), "the answer ended before its payment");
        let receipt = serde_json::from_value(receipt).wrap_err("the receipt")?;
        Ok(Delivered { text, finish, payment, receipt })
    }

    /// Signs a payment of up to `max` in all, with a deposit if there is one.
    fn payment(
        &self,
        account: &Account,
        accepted: &Value,
        offer: &Offer,
        max: u128,
        deposit: u128,
    ) -> eyre::Result<Value> {
        let purse = self.purse;
        let signature = purse.key.sign_hash_sync(&purse.channels.voucher_digest(account.id, max))?;
        let mut payload = json!({
            "type": if deposit > 0 { "deposit" } else { "voucher" },
            "channelConfig": account.config,
            "voucher": {
                "channelId": account.id,
                "maxClaimableAmount": Amount(max),
                "signature": hex::encode_prefixed(signature.as_bytes()),
            },
        });
        if deposit > 0 {
            let salt = U256::from_be_bytes(B256::random().0);
            let nonce = keccak256((account.id, salt).abi_encode());
            let before = now() + offer.max_timeout_seconds.min(MAX_DEPOSIT_SECS);
            let digest = purse.deposit_digest(&offer.extra.name, &offer.extra.version, deposit, before, nonce);
            let signature = purse.key.sign_hash_sync(&digest)?;
            payload["deposit"] = json!({
                "amount": Amount(deposit),
                "authorization": {"erc3009Authorization": {
                    "validAfter": "0",
                    "validBefore": before.to_string(),
                    "salt": format!("{salt:#066x}"),
                    "signature": hex::encode_prefixed(signature.as_bytes()),
                }},
            });
        }
        Ok(json!({"x402Version": 2, "accepted": accepted, "payload": payload}))
    }
}

/// Asks, pays and checks. `on_text` gets the text as it appears.
pub(crate) async fn ask(arguments: &AskArguments, on_text: &mut (dyn FnMut(&str) + Send)) -> eyre::Result<Answered> {
    let prompt = match &arguments.prompt {
        Some(prompt) => prompt.clone(),
        None => std::io::read_to_string(std::io::stdin()).wrap_err("the question")?,
    };
    let kind = Kind::load(arguments.kind.as_deref())?;
    let mut messages = Vec::new();
    if let Some(system) = &arguments.system {
        messages.push(json!({"role": "system", "content": system}));
    }
    messages.push(json!({"role": "user", "content": prompt}));
    let temperature: serde_json::Number = arguments.temperature.parse().wrap_err("--temperature")?;
    let body = json!({
        "model": kind.file.name,
        "messages": messages,
        "max_tokens": arguments.max_tokens,
        "temperature": temperature,
        "seed": arguments.seed,
        "stream": arguments.live,
    })
    .to_string();
    let mut ledger = Ledger::open(&arguments.wallet.ledger)?;
    pay_for(arguments, &kind, body, &mut ledger, on_text).await
}

/// Asks with a request's body, pays and checks.
async fn pay_for(
    arguments: &AskArguments,
    kind: &Kind,
    body: String,
    ledger: &mut Ledger,
    on_text: &mut (dyn FnMut(&str) + Send),
) -> eyre::Result<Answered> {
    let request = ChatRequest::parse(body.as_bytes(), &kind.file.name, kind.file.limits.completion_tokens)
        .map_err(|refusal| eyre::eyre!("{}: {}", refusal.param.unwrap_or_default(), refusal.message))?;
    let input = request.input.encode();

    let purse = arguments.wallet.open().await?;
    let session = Session { http: client()?, url: arguments.url.trim_end_matches('/'), purse: &purse };
    let models = session.get("/v1/models").await?.wrap_err("the node has no /v1/models")?;
    let models: Vec<ModelEntry> = serde_json::from_value(models["data"].clone()).wrap_err("/v1/models")?;
    let model = models.iter().find(|model| model.x_kind == kind.id && model.id == kind.file.name);
    let price: Price = model.wrap_err_with(|| format!("the node does not serve the kind {}", kind.id))?.x_price.into();

    let unpaid = session.post(&body, None).await?;
    if unpaid.status() != StatusCode::PAYMENT_REQUIRED {
        bail!("the node answers {}: {}", unpaid.status(), refusal(unpaid).await);
    }
    let (_, accepted) = session.offer(&unpaid)?;
    let offer: Offer = serde_json::from_value(accepted.clone()).wrap_err("the node's offer")?;
    let (amount, delay) = (offer.amount.0, offer.extra.withdraw_delay);
    ensure!(
        offer.scheme == x402::SCHEME
            && offer.network == format!("eip155:{}", purse.chain_id)
            && offer.asset == purse.token
    );
    ensure!(amount <= arguments.max_price, "the node asks {amount}; --max-price is {}", arguments.max_price);
    ensure!(delay <= MAX_WITHDRAW_DELAY, "the node could keep money for {delay} s; at most {MAX_WITHDRAW_DELAY}");
    ensure!(offer.extra.receiver_authorizer != Address::ZERO, "the node names no key that signs its receipts");
    let config = WireConfig {
        payer: purse.address(),
        payer_authorizer: purse.address(),
        receiver: offer.pay_to,
        receiver_authorizer: offer.extra.receiver_authorizer,
        token: offer.asset,
        withdraw_delay: delay,
        salt: B256::from(U256::from(arguments.wallet.salt)),
    };
    let id = purse.channels.channel_id(&config.to_config().wrap_err("the delay")?);
    let url = session.url.to_owned();
    let known = ledger.account(id)?;
    let is_new = known.is_none();
    let fresh = Account { id, url, config, charged: 0, signed: 0, stopped: None, pending: None };
    let mut account = known.unwrap_or(fresh);
    if let Some(reason) = &account.stopped {
        bail!("nothing is paid to this node any more: {reason}. Take the money out by `channel withdraw`");
    }
    if let Some(jobs) = arguments.jobs {
        purse.check_registered(jobs, offer.extra.receiver_authorizer, kind.id).await?;
    }
    // A request whose end is not known: the same one again costs nothing more; before another one the sums are asked for.
    let replayed = match &account.pending {
        Some((pending, payment)) if *pending == body => Some(payment.clone()),
        Some(_) => {
            session.synchronise(&mut account).await?;
            None
        }
        None if is_new => {
            session.synchronise(&mut account).await?;
            None
        }
        None => None,
    };

    let mut deposited = 0;
    let mut next = replayed;
    let mut corrected = false;
    let delivered = loop {
        let payment = match next.take() {
            Some(payment) => payment,
            None => {
                let max = account.charged.checked_add(amount).wrap_err("the sum of all charges")?;
                deposited = deposit_for(arguments, &purse, &account, &offer, max).await?;
                let payment = session.payment(&account, &accepted, &offer, max, deposited)?;
                account.signed = account.signed.max(max);
                account.pending = Some((body.clone(), payment.clone()));
                // On disk before it leaves: what was signed can be claimed.
                ledger.keep(&account)?;
                payment
            }
        };
        let response = session.post(&body, Some(&payment)).await?;
        match response.status() {
            StatusCode::OK => break session.delivered(response, on_text).await?,
            StatusCode::PAYMENT_REQUIRED => {
                let (error, offer) = session.offer(&response)?;
                let offer: Offer = serde_json::from_value(offer).wrap_err("the node's offer")?;
                account.pending = None;
                if let (false, Some(state)) = (corrected, &offer.extra.channel_state) {
                    session.adopt(&mut account, state, offer.extra.voucher_state.as_ref())?;
                    corrected = true;
                    continue;
                }
                ledger.keep(&account)?;
                bail!("the node refuses the payment: {error}");
            }
            status => {
                // Nothing was reserved: the voucher can be used again.
                account.pending = None;
                ledger.keep(&account)?;
                bail!("the node answers {status}: {}", refusal(response).await);
            }
        }
    };

    let state = &delivered.payment["extra"];
    let total = amount_of(&state["channelState"]["chargedCumulativeAmount"])?;
    let charged = amount_of(&state["chargedAmount"])?;
    let file = delivered.receipt.map(|receipt| ReceiptFile { receipt, input: hex::encode_prefixed(&input) });
    let expected = Expected { account: &account, kind: kind.id, input: &input, price, amount, charged, total };
    let problem = match &file {
        None => Some("there is no receipt".to_owned()),
        Some(file) => expected.problem(&file.receipt, &delivered.text).err().map(|problem| problem.to_string()),
    };
    account.charged = total.clamp(account.charged, account.signed);
    account.stopped = problem;
    account.pending = None;
    let text = file.as_ref().map(serde_json::to_string).transpose()?;
    ledger.finish(&account, text.as_deref())?;
    if let Some(problem) = &account.stopped {
        bail!("{problem}; nothing more is paid to this node, and the receipt is kept as evidence");
    }
    let file = file.wrap_err("there is no receipt")?;
    Ok(Answered { text: delivered.text, finish: delivered.finish, charged, total, deposited, channel: id, file })
}

/// What must be deposited so that the channel covers `max` in all.
async fn deposit_for(
    arguments: &AskArguments,
    purse: &Payer,
    account: &Account,
    offer: &Offer,
    max: u128,
) -> eyre::Result<u128> {
    let state = purse.state(account.id).await?;
    let covered = state.balance.saturating_sub(state.withdrawing);
    if covered >= max {
        return Ok(0);
    }
    let wished = arguments.deposit.unwrap_or(offer.amount.0.saturating_mul(DEPOSIT_REQUESTS));
    let least = offer.extra.min_deposit.map_or(0, |least| least.0).max(max - covered);
    let most = arguments.max_deposit.unwrap_or(arguments.max_price.saturating_mul(DEPOSIT_REQUESTS));
    ensure!(least <= most, "the node needs a deposit of {least}; --max-deposit is {most}");
    let deposit = wished.clamp(least, most);
    let balance = purse.balance().await?;
    ensure!(
        balance >= U256::from(deposit),
        "{} has {balance} of the token; a deposit of {deposit} is needed",
        purse.address()
    );
    Ok(deposit)
}

/// What an answer must say of itself.
struct Expected<'a> {
    account: &'a Account,
    kind: B256,
    input: &'a [u8],
    price: Price,
    amount: u128,
    charged: u128,
    total: u128,
}

impl Expected<'_> {
    fn problem(&self, receipt: &SignedReceipt, text: &str) -> eyre::Result<()> {
        let config = &self.account.config;
        ensure!(self.charged <= self.amount, "the node charged {} of at most {}", self.charged, self.amount);
        ensure!(
            self.account.charged.checked_add(self.charged) == Some(self.total),
            "the node's sum is {} after {} and a charge of {}",
            self.total,
            self.account.charged,
            self.charged
        );
        ensure!(receipt.kind == self.kind, "the receipt is of another kind");
        ensure!(receipt.request_hash == keccak256(self.input), "the receipt is of another request");
        ensure!(receipt.channel_id == self.account.id, "the receipt is of another channel");
        ensure!(receipt.charged.0 == self.charged, "the receipt says a charge of {}", receipt.charged.0);
        let price = self.price.of(receipt.prompt_tokens, receipt.completion_tokens);
        ensure!(price == self.charged, "the receipt's tokens cost {price}, {} was charged", self.charged);
        ensure!(receipt.issued_at.abs_diff(now()) <= MAX_SKEW, "the receipt is of another time: {}", receipt.issued_at);
        ensure!(
            receipt.is_signed() && receipt.signer == config.receiver_authorizer,
            "the receipt is not signed by {}",
            config.receiver_authorizer
        );
        ensure!(receipt.is_about(text), "the receipt is about another answer");
        Ok(())
    }
}
