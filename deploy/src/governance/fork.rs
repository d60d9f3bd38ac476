//! A fork of a chain on a local Anvil. Anvil asks this process for what it lacks, which asks the node: so the node's URL,
//! which may contain a key, is in no list of processes, and any endpoint can be forked, not only one by HTTP.

use std::net::{Ipv4Addr, SocketAddr};

use alloy::{
    primitives::{Address, Bytes, U256},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::{TransactionReceipt, TransactionRequest},
    transports::TransportError,
};
use axum::{Json, Router, extract::State, routing::post};
use eyre::{ContextCompat, bail};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    connection::Chain,
    toolchain::{node::Node, tools::Tools},
};

/// Gas limit of a transaction on the fork.
const GAS_LIMIT: u64 = 16_000_000;
/// JSON-RPC code of an error inside a server.
const INTERNAL_ERROR: i64 = -32_603;

/// A fork of a chain at its newest block. Dropping it ends Anvil.
#[derive(Debug)]
pub(super) struct Fork {
    pub(super) chain: Chain,
    provider: DynProvider,
    // Ends before the server that it asks.
    _node: Node,
    server: JoinHandle<()>,
}

impl Drop for Fork {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fork {
    /// Starts Anvil with the state of a chain. Fails if the node lacks the state of its newest block.
    pub(super) async fn start(tools: &Tools, chain: &Chain) -> eyre::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().route("/", post(forward)).with_state(chain.provider().clone());
        let server = tokio::spawn(async move {
            // It serves until it is aborted.
            let _ = axum::serve(listener, router).await;
        });
        let block = chain.head().await?.number.to_string();
        // Blocks are mined on command: one that Anvil mines by itself takes its transactions out of the pool only after their
        // receipts can be read, and what was sent meanwhile, after the state was set back, would be lost.
        let flags = ["--no-mining", "--no-storage-caching", "--block-base-fee-per-gas", "0", "--gas-price", "0"];
        let arguments = [&["--fork-url", &url, "--fork-block-number", &block], &flags[..]].concat();
        let node = Node::start(tools, &arguments).await?;
        let provider = node.impersonating().await?;
        let fork = Chain::connect(node.http_url().parse()?).await?;
        Ok(Self { chain: fork, provider, _node: node, server })
    }

    /// Sends a transaction from any account, which pays nothing for gas. Returns its receipt, or the data of its revert.
    pub(super) async fn send(
        &self,
        from: Address,
        to: Address,
        value: U256,
        data: Bytes,
    ) -> eyre::Result<Result<TransactionReceipt, Bytes>> {
        self.provider.anvil_set_next_block_base_fee_per_gas(0).await?;
        let request = TransactionRequest::default().from(from).to(to).value(value).input(data.into());
        if let Err(error) = self.provider.call(request.clone()).await {
            let error = self.chain.error(&error);
            if !error.is_revert() {
                return Err(error.into());
            }
            return Ok(Err(crate::apply::revert_data(&error)));
        }
        let request = request.gas_limit(GAS_LIMIT).max_fee_per_gas(0).max_priority_fee_per_gas(0);
        let hash = *self.provider.send_transaction(request).await?.tx_hash();
        self.provider.evm_mine(None).await?;
        let receipt = self.chain.receipt(hash).await?;
        let receipt = receipt.wrap_err_with(|| format!("Anvil did not mine transaction {hash}"))?;
        if receipt.status() { Ok(Ok(receipt)) } else { Ok(Err(Bytes::new())) }
    }

    /// Lets time pass until a moment, and mines a block then. Does nothing if it has passed.
    pub(super) async fn warp(&self, until: u64) -> eyre::Result<()> {
        if self.chain.head().await?.timestamp < until {
            self.provider.anvil_set_next_block_timestamp(until).await?;
            self.provider.evm_mine(None).await?;
        }
        Ok(())
    }

    /// Keeps the present state, for one [`Fork::restore`].
    pub(super) async fn keep(&self) -> eyre::Result<U256> {
        Ok(self.provider.anvil_snapshot().await?)
    }

    /// Returns to a state that was kept.
    pub(super) async fn restore(&self, kept: U256) -> eyre::Result<()> {
        if !self.provider.anvil_revert(kept).await? {
            bail!("Anvil did not return to an earlier state");
        }
        Ok(())
    }
}

/// Passes a request, or a batch of them, on to the node.
async fn forward(State(provider): State<DynProvider>, Json(request): Json<Value>) -> Json<Value> {
    let Value::Array(batch) = request else { return Json(answer(&provider, &request).await) };
    let mut answers = Vec::with_capacity(batch.len());
    for request in &batch {
        answers.push(answer(&provider, request).await);
    }
    Json(Value::Array(answers))
}

async fn answer(provider: &DynProvider, request: &Value) -> Value {
    let id = request.get("id").cloned().unwrap_or(Value::Null);
    match ask(provider, request).await {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err((code, message)) => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } }),
    }
}

async fn ask(provider: &DynProvider, request: &Value) -> Result<Value, (i64, String)> {
    let method = request.get("method").and_then(Value::as_str).wrap_err("a request without a method");
    let method = method.map_err(|error| (INTERNAL_ERROR, error.to_string()))?;
    let params = request.get("params").cloned().unwrap_or_else(|| json!([]));
    let found: Result<Value, TransportError> = provider.raw_request(method.to_owned().into(), params).await;
    found.map_err(|error| match error.as_error_resp() {
        Some(refusal) => (refusal.code, refusal.message.to_string()),
        None => (INTERNAL_ERROR, plimsoll_chain::redaction::scrub(&error.to_string()).into_owned()),
    })
}
