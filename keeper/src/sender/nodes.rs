//! The nodes that a sender talks to: a transaction is broadcast to all of them, a question goes to the first that is up
//! to date.

use std::{
    collections::HashMap,
    future::{self, Future},
    mem,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, Bytes, Log, U64, U128, U256},
    rpc::{
        client::{BatchRequest, RpcClient, Waiter},
        json_rpc::{RpcRecv, RpcSend},
    },
    transports::TransportError,
};
use futures_util::{StreamExt, future::join_all, poll, stream::FuturesUnordered};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError, relay::RelayIdentity};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
    time::{self, MissedTickBehavior},
};
use tracing::{Instrument, debug, warn};

use super::{
    core::{BroadcastRoute, ChainStatus},
    submit_result::SubmitResult,
};
use crate::{
    intent::{Inclusion, Receipt},
    record,
};

/// Time that a node has to respond. A transaction that it accepted without a response is rebroadcast with the next
/// block.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Interval between two requests on a connection that transactions are sent over. Clients and providers close one that is
/// idle for some 90 seconds, and opening it takes several round trips.
const WARM_INTERVAL: Duration = Duration::from_secs(60);

/// Nodes by what they are used for.
#[derive(Debug)]
pub struct Nodes {
    read: Vec<Arc<Node>>,
    send: Vec<Arc<Node>>,
    private: Vec<Arc<Node>>,
    relays: Vec<Arc<Node>>,
}

/// What a node said of a signer and its transactions.
#[derive(Debug)]
pub(super) struct FetchedStatus {
    /// The signer's nonce and balance, and the receipts.
    pub(super) status: ChainStatus,
    /// Events of the mined transactions, by hash.
    pub(super) logs: HashMap<B256, Vec<Log>>,
}

/// State of a signer's account in the newest block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AccountState {
    pub(super) chain_id: u64,
    /// Nonce of its next transaction.
    pub(super) nonce: u64,
    /// Balance in wei.
    pub(super) balance: U256,
    /// Whether the account has code (EIP-7702).
    pub(super) has_code: bool,
}

/// One node, and the connection to it if there is one.
#[derive(Debug)]
struct Node {
    endpoint: Arc<Endpoint>,
    /// Signs requests to a relay.
    identity: Option<RelayIdentity>,
    client: Mutex<Option<RpcClient>>,
}

impl Nodes {
    /// Takes endpoints to read from, in order of preference, endpoints to broadcast to, and private endpoints, which do
    /// not pass transactions on to a public pool.
    #[must_use]
    pub fn new(read: Vec<Arc<Endpoint>>, send: Vec<Arc<Endpoint>>, private: Vec<Arc<Endpoint>>) -> Self {
        let nodes = |endpoints: Vec<Arc<Endpoint>>| {
            let node = |endpoint| Arc::new(Node { endpoint, identity: None, client: Mutex::new(None) });
            endpoints.into_iter().map(node).collect()
        };
        Self { read: nodes(read), send: nodes(send), private: nodes(private), relays: Vec::new() }
    }

    /// Takes relays to send bundles to, and the identity by which they know the keeper.
    #[must_use]
    pub fn with_relays(self, relays: Vec<Arc<Endpoint>>, identity: &RelayIdentity) -> Self {
        let relay = |endpoint| Arc::new(Node { endpoint, identity: Some(identity.clone()), client: Mutex::new(None) });
        Self { relays: relays.into_iter().map(relay).collect(), ..self }
    }

    /// Broadcasts a transaction to every node of a route. Returns as soon as one pool has accepted it; the other
    /// requests go on in the background.
    pub(super) async fn broadcast(&self, route: BroadcastRoute, raw: Bytes) -> SubmitResult {
        let nodes = match route {
            BroadcastRoute::Public => &self.send,
            BroadcastRoute::Private => &self.private,
            BroadcastRoute::Bundle { .. } => &self.relays,
        };
        let mut responses = FuturesUnordered::new();
        for node in nodes {
            responses.push(begin(Arc::clone(node).submit(route, raw.clone()).in_current_span()).await);
        }
        let mut results = Vec::new();
        while let Some(response) = responses.next().await {
            let result = response.unwrap_or(SubmitResult::NoAnswer);
            if result == SubmitResult::Accepted {
                return result;
            }
            results.push(result);
        }
        SubmitResult::combined(results)
    }

    /// Asks the relays to forget a bundle. One that cannot includes it, if it is worth including.
    pub(super) async fn withdraw_bundle(&self, block: u64, intent: u64) {
        join_all(self.relays.iter().map(|relay| relay.withdraw_bundle(block, intent))).await;
    }

    /// Keeps the connections that transactions are sent over open, until `stop` says so.
    pub(super) async fn keep_warm(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut minute = time::interval(WARM_INTERVAL);
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = async { drop(stop.wait_for(|stop| *stop).await) } => return,
                _ = minute.tick() => {
                    let nodes = self.send.iter().chain(&self.private).chain(&self.relays);
                    join_all(nodes.map(|node| node.ask(async |client| {
                        client.request_noparams::<U64>("eth_chainId").await
                    })))
                    .await;
                }
            }
        }
    }

    /// Reads the signer's nonce, its balance in wei and these receipts with their logs, in one request, from the first node
    /// that has this block. Returns `None` if no node has it or answers.
    pub(super) async fn fetch_status(&self, signer: Address, hashes: &[B256], block: u64) -> Option<FetchedStatus> {
        for node in &self.read {
            match node.ask(|client| read_status(client, signer, hashes)).await {
                Ok((head, _)) if head < block => {
                    debug!(endpoint = %node.endpoint, head, block, "endpoint behind");
                }
                Ok((_, status)) => return Some(status),
                Err(error) => warn!(endpoint = %node.endpoint, %error, "receipts not fetched"),
            }
        }
        None
    }

    /// Reads the state of a signer's account from the first node that answers. Fails if none does.
    pub(super) async fn account_state(&self, signer: Address) -> Result<AccountState, ChainError> {
        let mut failure =
            ChainError::Unreachable { endpoint: "no node".to_owned(), problem: "none is configured".to_owned() };
        for node in &self.read {
            match node.ask(|client| read_account_state(client, signer)).await {
                Ok(account) => return Ok(account),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

impl Node {
    /// Submits a transaction to this node, by itself or in a bundle.
    async fn submit(self: Arc<Self>, route: BroadcastRoute, raw: Bytes) -> SubmitResult {
        let send = async |client: RpcClient| match route {
            BroadcastRoute::Public | BroadcastRoute::Private => {
                let sent = client.request::<_, B256>("eth_sendRawTransaction", (raw,));
                record::rpc("eth_sendRawTransaction", sent).await.map(drop)
            }
            BroadcastRoute::Bundle { block, intent } => {
                let sent = client.request::<_, IgnoredAny>("eth_sendBundle", (Bundle::of(raw, block, intent),));
                record::rpc("eth_sendBundle", sent).await.map(drop)
            }
        };
        let sent = self.ask(send).await;
        match sent {
            Ok(_) => SubmitResult::Accepted,
            Err(error) => {
                let result = SubmitResult::of(&error);
                if result != SubmitResult::Accepted {
                    warn!(endpoint = %self.endpoint, ?result, %error, "transaction rejected");
                }
                result
            }
        }
    }

    /// Cancels a bundle, or replaces it by an empty one where the relay knows no cancellations.
    async fn withdraw_bundle(&self, block: u64, intent: u64) {
        let cancelled = self.ask(async |client| {
            let cancelled = client.request::<_, IgnoredAny>("eth_cancelBundle", (Replacement::of(intent),));
            record::rpc("eth_cancelBundle", cancelled).await
        });
        if !matches!(cancelled.await, Err(ChainError::Refused { .. })) {
            return;
        }
        let replaced = self.ask(async |client| {
            let replaced = client.request::<_, IgnoredAny>("eth_sendBundle", (Bundle::empty(block, intent),));
            record::rpc("eth_sendBundle", replaced).await
        });
        if let Err(error) = replaced.await {
            debug!(endpoint = %self.endpoint, %error, "bundle not withdrawn");
        }
    }

    /// Asks the node something, within the time that it has to respond. Reconnects for the next question if the
    /// connection failed.
    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(RpcClient) -> Result<T, TransportError>,
    ) -> Result<T, ChainError> {
        let asked = async {
            let client = self.client().await?;
            question(client).await.map_err(|error| ChainError::of_transport(&self.endpoint, &error))
        };
        let answer = time::timeout(RESPONSE_TIMEOUT, asked)
            .await
            .unwrap_or_else(|elapsed| Err(ChainError::of(&self.endpoint, &elapsed)));
        if matches!(answer, Err(ChainError::Unreachable { .. })) {
            *self.client.lock().await = None;
        }
        answer
    }

    async fn client(&self) -> Result<RpcClient, ChainError> {
        let mut client = self.client.lock().await;
        match &*client {
            Some(client) => Ok(client.clone()),
            None => {
                let connected = match &self.identity {
                    Some(identity) => self.endpoint.relay_client(identity.clone())?,
                    None => self.endpoint.client().await?,
                };
                Ok(client.insert(connected).clone())
            }
        }
    }
}

/// A bundle of one transaction. As it lists none that may revert, a builder leaves it out where it would.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    txs: Vec<Bytes>,
    block_number: U64,
    #[serde(flatten)]
    replacement: Replacement,
}

/// The id by which a later bundle takes the place of an earlier one, where a builder supports it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Replacement {
    replacement_uuid: String,
}

impl Bundle {
    fn of(raw: Bytes, block: u64, intent: u64) -> Self {
        Self { txs: vec![raw], ..Self::empty(block, intent) }
    }

    /// Returns what replaces an intent's bundle by nothing.
    fn empty(block: u64, intent: u64) -> Self {
        Self { txs: Vec::new(), block_number: U64::from(block), replacement: Replacement::of(intent) }
    }
}

impl Replacement {
    fn of(intent: u64) -> Self {
        const LAST_GROUP_BITS: u32 = 48;
        let (high, low) = (intent >> LAST_GROUP_BITS, intent & ((1 << LAST_GROUP_BITS) - 1));
        // In the form of a random UUID. Ids of intents are unique in a store, as relays' identities are.
        Self { replacement_uuid: format!("00000000-{high:04x}-4000-8000-{low:012x}") }
    }
}

/// A receipt as nodes write it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawReceipt {
    block_number: Option<U64>,
    block_hash: Option<B256>,
    /// Missing only before October 2017, when receipts did not say whether a transaction reverted.
    status: Option<U64>,
    gas_used: U64,
    effective_gas_price: Option<U128>,
    /// Present on rollups that publish their data on another chain.
    l1_fee: Option<U256>,
    #[serde(default)]
    logs: Vec<Log>,
}

impl RawReceipt {
    /// Returns `None` for a transaction that is not in a block.
    fn read(self, hash: B256) -> Option<Receipt> {
        let inclusion = Inclusion { hash, block: self.block_number?.to(), block_hash: self.block_hash? };
        Some(Receipt {
            inclusion,
            success: self.status.is_none_or(|status| !status.is_zero()),
            gas_used: self.gas_used.to(),
            effective_gas_price: self.effective_gas_price.unwrap_or_default().to(),
            data_fee: self.l1_fee.unwrap_or_default().try_into().unwrap_or(u128::MAX),
        })
    }
}

/// Reads the node's newest block number, and the signer's nonce and balance with these receipts.
async fn read_status(
    client: RpcClient,
    signer: Address,
    hashes: &[B256],
) -> Result<(u64, FetchedStatus), TransportError> {
    let mut batch = client.new_batch();
    // The nonce is read first, so that the receipt of a transaction that it counts is not missed.
    let nonce = call::<_, U64>(&mut batch, "eth_getTransactionCount", (signer, "latest"))?;
    let balance = call::<_, U256>(&mut batch, "eth_getBalance", (signer, "latest"))?;
    let mut receipts = Vec::new();
    for hash in hashes {
        receipts.push((*hash, call::<_, Option<RawReceipt>>(&mut batch, "eth_getTransactionReceipt", (*hash,))?));
    }
    let block = call::<_, U64>(&mut batch, "eth_blockNumber", ())?;
    record::rpc("eth_getTransactionReceipt", batch.send()).await?;
    let mut status = ChainStatus { nonce: nonce.await?.to(), balance: balance.await?, receipts: Vec::new() };
    let mut logs = HashMap::new();
    for (hash, receipt) in receipts {
        let mut receipt = receipt.await?;
        if let Some(receipt) = &mut receipt {
            logs.insert(hash, mem::take(&mut receipt.logs));
        }
        status.receipts.push((hash, receipt.and_then(|receipt| receipt.read(hash))));
    }
    Ok((block.await?.to(), FetchedStatus { status, logs }))
}

async fn read_account_state(client: RpcClient, signer: Address) -> Result<AccountState, TransportError> {
    let mut batch = client.new_batch();
    let chain_id = call::<_, U64>(&mut batch, "eth_chainId", ())?;
    let nonce = call::<_, U64>(&mut batch, "eth_getTransactionCount", (signer, "latest"))?;
    let balance = call::<_, U256>(&mut batch, "eth_getBalance", (signer, "latest"))?;
    let code = call::<_, Bytes>(&mut batch, "eth_getCode", (signer, "latest"))?;
    record::rpc("eth_getTransactionCount", batch.send()).await?;
    let (chain_id, nonce) = (chain_id.await?.to(), nonce.await?.to());
    Ok(AccountState { chain_id, nonce, balance: balance.await?, has_code: !code.await?.is_empty() })
}

/// Runs a future in a task of its own, which has begun when this returns: it has run up to where it waits for something. A
/// task that is only spawned begins when the one that spawned it waits, and a transaction is not to wait for that.
pub(super) async fn begin<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    let mut future = Box::pin(future);
    match poll!(&mut future) {
        Poll::Ready(output) => tokio::spawn(future::ready(output)),
        Poll::Pending => tokio::spawn(future),
    }
}

fn call<P: RpcSend, R: RpcRecv>(
    batch: &mut BatchRequest<'_>,
    method: &'static str,
    params: P,
) -> Result<Waiter<R>, TransportError> {
    batch.add_call(method, &params)
}

#[cfg(test)]
mod tests {
    use tokio::sync::{Barrier, mpsc};

    use super::*;

    /// On the test's only thread a task that is only spawned does not run before something is waited for.
    #[tokio::test]
    async fn what_is_begun_has_run_up_to_where_it_waits_and_waits_for_nothing_that_is_begun_later() {
        let (begun, mut received) = mpsc::unbounded_channel();
        let together = Arc::new(Barrier::new(3));
        let mut tasks = Vec::new();
        for number in 0..3 {
            let (begun, together) = (begun.clone(), Arc::clone(&together));
            tasks.push(
                begin(async move {
                    begun.send(number).unwrap();
                    // None gets past this before all have begun.
                    together.wait().await;
                    number
                })
                .await,
            );
            assert_eq!(received.try_recv(), Ok(number));
        }
        for (task, number) in tasks.into_iter().zip(0..) {
            assert_eq!(task.await.unwrap(), number);
        }
        assert_eq!(begin(async { 7 }).await.await.unwrap(), 7, "what waits for nothing is over");
    }
}
