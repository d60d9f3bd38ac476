//! The rules of geth's transaction pool in front of Anvil's, which is more lenient about replacements and stricter
//! about the base fee.
//!
//! Checked here, with geth's texts, error codes and order: fees above the cap that a node has unless it is started with
//! another `--rpc.txfeecap`, known transactions, a priority fee above the maximum fee, a
//! used nonce, funds for the transaction by itself, and replacements, which need 10 % more of both fees. A transaction
//! whose maximum fee is below the base fee, which Anvil refuses, is kept and retried after every block; until it is
//! mined this proxy reports it as pending. All other refusals are Anvil's. The rules apply to `eth_sendRawTransaction`,
//! and the kept transactions belong to this proxy, as a pool belongs to one node.

use std::collections::BTreeMap;

use alloy::{
    consensus::{Transaction as _, TxEnvelope, transaction::Recovered},
    eips::{Decodable2718, Encodable2718},
    hex,
    primitives::{Address, B256, U256, utils::Unit},
    rpc::types::{Transaction, TransactionInfo},
};
use eyre::{WrapErr, eyre};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{
    rpc::{self, Reply, Request},
    upstream::Upstream,
};

/// By how much both fees of a replacement must exceed the old ones, in percent.
const PRICE_BUMP_PERCENT: u128 = 10;

/// Highest fees of one transaction, in wei: one of the chain's coins.
const FEE_CAP: U256 = Unit::ETHER.wei_const();

/// Part of Anvil's error for a maximum fee below the base fee.
const BELOW_BASE_FEE: &str = "max fee per gas less than block base fee";

/// Transactions that wait for a lower base fee, by sender and nonce.
#[derive(Debug, Default)]
pub(super) struct GethPool {
    waiting: Mutex<BTreeMap<(Address, u64), Recovered<TxEnvelope>>>,
}

/// The properties of a pooled transaction that decide on its replacement.
#[derive(Debug, Clone, Copy)]
struct Pooled {
    hash: B256,
    max_fee: u128,
    max_tip: u128,
}

impl Pooled {
    fn of(transaction: &TxEnvelope) -> Self {
        let max_fee = transaction.max_fee_per_gas();
        Self {
            hash: *transaction.tx_hash(),
            max_fee,
            max_tip: transaction.max_priority_fee_per_gas().unwrap_or(max_fee),
        }
    }

    fn can_be_replaced_by(&self, new: &Self) -> bool {
        let enough = |old: u128, new: u128| {
            let threshold = U256::from(old) * U256::from(100 + PRICE_BUMP_PERCENT) / U256::from(100);
            new > old && U256::from(new) >= threshold
        };
        enough(self.max_fee, new.max_fee) && enough(self.max_tip, new.max_tip)
    }
}

impl GethPool {
    /// Answers a request that concerns the pool. Fails when the node does not answer.
    pub(super) async fn answer(&self, upstream: &Upstream, request: &Request) -> eyre::Result<Reply> {
        match request.method.as_str() {
            "eth_sendRawTransaction" => self.send(upstream, request).await,
            "eth_getTransactionByHash" => self.by_hash(upstream, request).await,
            "eth_getTransactionCount" if request.param(1) == "pending" => self.pending_nonce(upstream, request).await,
            _ => upstream.ask(request).await,
        }
    }

    /// Sends the waiting transactions to the node again. Those that it accepts, or refuses for another reason than the
    /// base fee, no longer wait.
    pub(super) async fn retry(&self, upstream: &Upstream) -> eyre::Result<()> {
        let mut waiting = self.waiting.lock().await;
        let known = waiting.iter().map(|(key, transaction)| (*key, hex::encode_prefixed(transaction.encoded_2718())));
        for (key, raw) in known.collect::<Vec<_>>() {
            let reply = upstream.ask(&Request::new("eth_sendRawTransaction", vec![raw.into()])).await?;
            if !is_below_base_fee(&reply) {
                waiting.remove(&key);
            }
        }
        Ok(())
    }

    async fn send(&self, upstream: &Upstream, request: &Request) -> eyre::Result<Reply> {
        let Some(transaction) = decode(request.param(0)) else { return upstream.ask(request).await };
        // Held to the end, so that of two transactions with one nonce the second sees the first.
        let mut waiting = self.waiting.lock().await;
        let sender = transaction.signer();
        let mut pooled = pooled(upstream, sender).await?;
        let waits = waiting.range((sender, 0)..=(sender, u64::MAX));
        pooled.extend(waits.map(|((_, nonce), waits)| (*nonce, Pooled::of(waits))));
        if let Some(refusal) = refusal(upstream, &transaction, &pooled).await? {
            return Ok(Err(rpc::error(rpc::SERVER_ERROR, refusal)));
        }
        let key = (sender, transaction.nonce());
        let reply = upstream.ask(request).await?;
        if is_below_base_fee(&reply) {
            let hash = json!(transaction.tx_hash());
            if let Some(replaced) = pooled.get(&key.1).filter(|_| !waiting.contains_key(&key)) {
                upstream.ask(&Request::new("anvil_dropTransaction", vec![json!(replaced.hash)])).await?.ok();
            }
            waiting.insert(key, transaction);
            return Ok(Ok(hash));
        }
        if reply.is_ok() {
            waiting.remove(&key);
        }
        Ok(reply)
    }

    async fn by_hash(&self, upstream: &Upstream, request: &Request) -> eyre::Result<Reply> {
        let waiting = self.waiting.lock().await;
        match waiting.values().find(|transaction| json!(transaction.tx_hash()) == *request.param(0)) {
            Some(pending) => {
                let shown = Transaction::from_transaction(pending.clone(), TransactionInfo::default());
                Ok(Ok(serde_json::to_value(shown)?))
            }
            None => upstream.ask(request).await,
        }
    }

    async fn pending_nonce(&self, upstream: &Upstream, request: &Request) -> eyre::Result<Reply> {
        let waiting = self.waiting.lock().await;
        let reply = upstream.ask(request).await?;
        let asked = serde_json::from_value::<Address>(request.param(0).clone());
        let (Ok(sender), Some(mut nonce)) = (asked, reply.as_ref().ok().and_then(rpc::number)) else {
            return Ok(reply);
        };
        let pooled = pooled(upstream, sender).await?;
        while waiting.contains_key(&(sender, nonce)) || pooled.contains_key(&nonce) {
            nonce += 1;
        }
        Ok(Ok(rpc::quantity(nonce)))
    }
}

/// Decodes the transaction of an `eth_sendRawTransaction` and recovers its signer; none where it is not a transaction.
fn decode(raw: &Value) -> Option<Recovered<TxEnvelope>> {
    let raw = hex::decode(raw.as_str()?).ok()?;
    let transaction = TxEnvelope::decode_2718(&mut &raw[..]).ok()?;
    let signer = transaction.signature().recover_address_from_prehash(&transaction.signature_hash()).ok()?;
    Some(Recovered::new_unchecked(transaction, signer))
}

/// Returns the error with which geth would refuse a transaction; none where it would accept it.
async fn refusal(
    upstream: &Upstream,
    transaction: &Recovered<TxEnvelope>,
    pooled: &BTreeMap<u64, Pooled>,
) -> eyre::Result<Option<String>> {
    let new = Pooled::of(transaction);
    let gas_cost = U256::from(transaction.gas_limit()).saturating_mul(U256::from(new.max_fee));
    if gas_cost > FEE_CAP {
        // Geth prints two decimals, rounded.
        let hundredths = (gas_cost + FEE_CAP / U256::from(200)) / (FEE_CAP / U256::from(100));
        let (whole, rest) = hundredths.div_rem(U256::from(100));
        return Ok(Some(format!("tx fee ({whole}.{rest:02} ether) exceeds the configured cap (1.00 ether)")));
    }
    if pooled.values().any(|pooled| pooled.hash == new.hash) {
        return Ok(Some("already known".to_owned()));
    }
    if new.max_tip > new.max_fee {
        return Ok(Some("max priority fee per gas higher than max fee per gas".to_owned()));
    }
    let account = vec![json!(transaction.signer()), "latest".into()];
    let next = ask::<U256>(upstream, "eth_getTransactionCount", account.clone()).await?;
    let nonce = transaction.nonce();
    if U256::from(nonce) < next {
        return Ok(Some(format!("nonce too low: next nonce {next}, tx nonce {nonce}")));
    }
    let balance = ask::<U256>(upstream, "eth_getBalance", account).await?;
    let cost = gas_cost.saturating_add(transaction.value());
    if let Some(missing) = cost.checked_sub(balance).filter(|missing| !missing.is_zero()) {
        return Ok(Some(format!(
            "insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {missing}"
        )));
    }
    let is_underpriced = pooled.get(&nonce).is_some_and(|old| !old.can_be_replaced_by(&new));
    Ok(is_underpriced.then(|| "replacement transaction underpriced".to_owned()))
}

/// Returns the transactions of a sender in the node's own pool, by nonce.
async fn pooled(upstream: &Upstream, sender: Address) -> eyre::Result<BTreeMap<u64, Pooled>> {
    let content: Content = ask(upstream, "txpool_content", Vec::new()).await?;
    let mut pooled = BTreeMap::new();
    for by_sender in [content.pending, content.queued] {
        for (nonce, transaction) in by_sender.get(&sender).into_iter().flatten() {
            pooled.insert(nonce.parse().wrap_err("a nonce in txpool_content")?, Pooled::of(transaction.as_ref()));
        }
    }
    Ok(pooled)
}

/// The result of `txpool_content`.
#[derive(Debug, Deserialize)]
struct Content {
    pending: BySender,
    queued: BySender,
}

type BySender = BTreeMap<Address, BTreeMap<String, Transaction>>;

async fn ask<T: for<'de> Deserialize<'de>>(upstream: &Upstream, method: &str, params: Vec<Value>) -> eyre::Result<T> {
    let reply = upstream.ask(&Request::new(method, params)).await?;
    let result = reply.map_err(|error| eyre!("the node refused {method}: {error}"))?;
    serde_json::from_value(result).wrap_err_with(|| format!("the answer to {method}"))
}

fn is_below_base_fee(reply: &Reply) -> bool {
    let message = reply.as_ref().err().and_then(|error| error.get("message")?.as_str());
    message.is_some_and(|message| message.contains(BELOW_BASE_FEE))
}
