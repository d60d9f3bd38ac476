//! A stand-in for a relay with a builder behind it: it takes `eth_sendBundle` and `eth_cancelBundle` with a signed header,
//! keeps a bundle for the block that it is for, leaves out what would revert at its place in the block, and includes the rest
//! by mining on the node, which orders transactions by their priority fee.

use std::{collections::BTreeMap, future};

use alloy::{
    consensus::{Transaction as _, TxEnvelope},
    eips::Decodable2718,
    hex,
    primitives::{Address, B256, Bytes, Signature, U64, keccak256},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::{Transaction, TransactionRequest},
};
use axum::{Router, extract::State, http::HeaderMap, routing::post};
use eyre::{ContextCompat, WrapErr, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{Duration, timeout},
};

/// Header that holds the account and its signature of the body.
const SIGNATURE_HEADER: &str = "x-flashbots-signature";

/// How long the relay's user waits for something to arrive before that fails.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// A running relay. Dropping it ends it.
#[derive(Debug)]
pub struct Relay {
    url: String,
    provider: DynProvider,
    received: watch::Sender<Received>,
    _server: JoinSet<()>,
}

/// How a relay answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayBehaviour {
    /// It takes bundles, and cancels them when it is told to.
    Full,
    /// It takes bundles, and knows no `eth_cancelBundle`.
    WithoutCancellation,
    /// It refuses every request.
    Refuses,
    /// It never answers.
    Hangs,
}

/// What a relay has received.
#[derive(Debug, Default)]
struct Received {
    /// Every bundle, oldest first.
    bundles: Vec<Bundle>,
    /// Ids whose bundles were withdrawn, in this order.
    withdrawn: Vec<String>,
    /// Number of requests of any kind.
    requests: usize,
}

/// A bundle of one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Number of the block that it is for.
    pub block: u64,
    /// Signed bytes of its transaction.
    pub raw: Bytes,
    /// Id by which a later bundle takes its place.
    pub replacement_uuid: String,
    /// Account that signed the request.
    pub identity: Address,
}

/// A block that the builder made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuiltBlock {
    /// Its number.
    pub number: u64,
    /// Transactions of bundles that it contains.
    pub included: Vec<B256>,
    /// Transactions of bundles for it that would have reverted.
    pub dropped: Vec<B256>,
    /// Those of the included that reverted all the same.
    pub reverted: Vec<B256>,
}

/// What a signed request asks for.
#[derive(Debug)]
enum Order {
    Include(Bundle),
    /// Include nothing under this id.
    Withdraw(String),
}

/// Parameters of `eth_sendBundle`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    txs: Vec<Bytes>,
    block_number: U64,
    #[serde(default)]
    reverting_tx_hashes: Vec<B256>,
    replacement_uuid: String,
}

/// A node's pool: its executable transactions, by account and nonce.
#[derive(Debug, Deserialize)]
struct Pool {
    pending: BTreeMap<Address, BTreeMap<String, Transaction>>,
}

/// Parameters of `eth_cancelBundle`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CancelParams {
    replacement_uuid: String,
}

impl Relay {
    /// Starts a relay whose builder mines on the node behind `provider`.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(provider: DynProvider) -> eyre::Result<Self> {
        Self::start_with(provider, RelayBehaviour::Full).await
    }

    /// Starts a relay that answers in this way.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start_with(provider: DynProvider, behaviour: RelayBehaviour) -> eyre::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let received = watch::Sender::new(Received::default());
        let router = Router::new().route("/", post(answer)).with_state((behaviour, received.clone()));
        let mut server = JoinSet::new();
        server.spawn(async move {
            axum::serve(listener, router).await.ok();
        });
        Ok(Self { url, provider, received, _server: server })
    }

    /// Returns the URL that takes bundles.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns every bundle that was received, oldest first.
    #[must_use]
    pub fn bundles(&self) -> Vec<Bundle> {
        self.received.borrow().bundles.clone()
    }

    /// Returns the bundles for a block, one for each id: the newest that was not withdrawn.
    #[must_use]
    pub fn bundles_for(&self, block: u64) -> Vec<Bundle> {
        let received = self.received.borrow();
        let mut bundles: Vec<Bundle> = Vec::new();
        for bundle in received.bundles.iter().filter(|bundle| bundle.block == block) {
            bundles.retain(|earlier| earlier.replacement_uuid != bundle.replacement_uuid);
            bundles.push(bundle.clone());
        }
        bundles.retain(|bundle| !received.withdrawn.contains(&bundle.replacement_uuid));
        bundles
    }

    /// Waits for a bundle for a block, and returns the newest.
    ///
    /// # Errors
    /// When none comes within a minute.
    pub async fn wait_for_bundle(&self, block: u64) -> eyre::Result<Bundle> {
        self.wait(|received| received.bundles.iter().any(|bundle| bundle.block == block))
            .await
            .wrap_err_with(|| format!("no bundle for block {block}"))?;
        self.bundles().into_iter().rfind(|bundle| bundle.block == block).wrap_err("the bundle is gone")
    }

    /// Waits until the bundles that were received meet a condition.
    ///
    /// # Errors
    /// When they do not within a minute.
    pub async fn wait_until(&self, mut condition: impl FnMut(&[Bundle]) -> bool) -> eyre::Result<()> {
        self.wait(|received| condition(&received.bundles))
            .await
            .wrap_err("the bundles that were waited for did not come")
    }

    /// Waits until the bundles with this id are withdrawn.
    ///
    /// # Errors
    /// When that does not happen within a minute.
    pub async fn wait_for_withdrawal(&self, replacement_uuid: &str) -> eyre::Result<()> {
        self.wait(|received| received.withdrawn.iter().any(|id| id == replacement_uuid))
            .await
            .wrap_err_with(|| format!("{replacement_uuid} is not withdrawn"))
    }

    /// Waits for a request of any kind.
    ///
    /// # Errors
    /// When none comes within a minute.
    pub async fn wait_for_request(&self) -> eyre::Result<()> {
        self.wait(|received| received.requests > 0).await.wrap_err("no request")
    }

    async fn wait(&self, is_there: impl FnMut(&Received) -> bool) -> eyre::Result<()> {
        let mut received = self.received.subscribe();
        timeout(WAIT_TIMEOUT, received.wait_for(is_there)).await??;
        Ok(())
    }

    /// Builds the next block: the pool's transactions, and those of the bundles for it that succeed. A bundle is tried before
    /// the pool's transactions where its priority fee is higher than theirs, and after them otherwise.
    ///
    /// # Errors
    /// When the node refuses a transaction that succeeds in trial.
    pub async fn build_block(&self) -> eyre::Result<BuiltBlock> {
        let number = self.provider.get_block_number().await? + 1;
        let mut built = BuiltBlock { number, ..BuiltBlock::default() };
        for Bundle { raw, .. } in self.bundles_for(number) {
            let hash = keccak256(&raw);
            if self.succeeds(&raw).await? {
                let pending = self.provider.send_raw_transaction(&raw).await;
                drop(pending.wrap_err("a bundle's transaction is refused that succeeds in trial")?);
                built.included.push(hash);
            } else {
                built.dropped.push(hash);
            }
        }
        self.provider.evm_mine(None).await?;
        for hash in &built.included {
            let receipt = self.provider.get_transaction_receipt(*hash).await?.wrap_err("a bundle was not mined")?;
            if !receipt.status() {
                built.reverted.push(*hash);
            }
        }
        Ok(built)
    }

    /// Returns the highest priority fee in the pool, in wei; `None` where the pool is empty.
    async fn highest_pooled_fee(&self) -> eyre::Result<Option<u128>> {
        let pool: Pool = self.provider.raw_request("txpool_content".into(), ()).await?;
        let all = pool.pending.values().flat_map(|by_nonce| by_nonce.values());
        Ok(all.map(|transaction| transaction.max_priority_fee_per_gas().unwrap_or_default()).max())
    }

    /// Tries a transaction at its place in the next block.
    async fn succeeds(&self, raw: &Bytes) -> eyre::Result<bool> {
        let transaction = TxEnvelope::decode_2718(&mut raw.as_ref())?;
        let from = transaction.signature().recover_address_from_prehash(&transaction.signature_hash())?;
        let nonce = self.provider.get_transaction_count(from).await?;
        if transaction.nonce() != nonce {
            return Ok(false);
        }
        let pooled = self.highest_pooled_fee().await?;
        let is_first = pooled.is_none_or(|pooled| transaction.max_priority_fee_per_gas().unwrap_or_default() > pooled);
        let request = TransactionRequest::from_transaction(transaction);
        let call = self.provider.call(TransactionRequest { from: Some(from), ..request });
        let tried = if is_first { call.latest() } else { call.pending() };
        match tried.await {
            Ok(_) => Ok(true),
            Err(error) if error.is_error_resp() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Answers a request: does what its sender has signed, or says what is wrong with it.
async fn answer(
    State((behaviour, received)): State<(RelayBehaviour, watch::Sender<Received>)>,
    headers: HeaderMap,
    body: String,
) -> String {
    received.send_modify(|received| received.requests += 1);
    let id = serde_json::from_str::<Value>(&body).map(|request| request["id"].clone()).unwrap_or_default();
    let order = match behaviour {
        RelayBehaviour::Hangs => future::pending().await,
        RelayBehaviour::Refuses => Err(eyre::eyre!("this relay takes nothing today")),
        RelayBehaviour::Full | RelayBehaviour::WithoutCancellation => read(&headers, &body, behaviour),
    };
    let answer = match order {
        Ok(Order::Include(bundle)) => {
            let hash = keccak256(&bundle.raw);
            received.send_modify(|received| received.bundles.push(bundle));
            json!({ "jsonrpc": "2.0", "id": id, "result": { "bundleHash": hash } })
        }
        Ok(Order::Withdraw(replacement_uuid)) => {
            received.send_modify(|received| received.withdrawn.push(replacement_uuid));
            json!({ "jsonrpc": "2.0", "id": id, "result": null })
        }
        Err(error) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32_600, "message": format!("{error:#}") } })
        }
    };
    answer.to_string()
}

/// Reads a request. Fails where the signature is not of its body, or where it may result in a revert.
fn read(headers: &HeaderMap, body: &str, behaviour: RelayBehaviour) -> eyre::Result<Order> {
    let header = headers.get(SIGNATURE_HEADER).wrap_err("the request is not signed")?.to_str()?;
    let (identity, signature) = header.split_once(':').wrap_err("the signature has no account")?;
    let (identity, signature) = (identity.parse::<Address>()?, signature.parse::<Signature>()?);
    let digest = hex::encode_prefixed(keccak256(body.as_bytes()));
    ensure!(signature.recover_address_from_msg(digest.as_bytes())? == identity, "the signature is another account's");
    let mut request: Value = serde_json::from_str(body)?;
    let params = request["params"].take();
    match request["method"].as_str() {
        Some("eth_sendBundle") => {
            let [Params { mut txs, block_number, reverting_tx_hashes, replacement_uuid }] =
                serde_json::from_value::<[Params; 1]>(params)?;
            ensure!(reverting_tx_hashes.is_empty(), "a transaction may revert");
            let Some(raw) = txs.pop() else { return Ok(Order::Withdraw(replacement_uuid)) };
            ensure!(txs.is_empty(), "a bundle of one transaction is expected");
            Ok(Order::Include(Bundle { block: block_number.to(), raw, replacement_uuid, identity }))
        }
        Some("eth_cancelBundle") if behaviour == RelayBehaviour::Full => {
            let [CancelParams { replacement_uuid }] = serde_json::from_value::<[CancelParams; 1]>(params)?;
            Ok(Order::Withdraw(replacement_uuid))
        }
        method => bail!("there is no method {method:?} here"),
    }
}
