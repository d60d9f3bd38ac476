//! The fault-injecting proxy in front of a real node: each fault has its effect, and no other.

mod answers;
mod connections;
mod geth_pool;
mod heads;

use alloy::{
    primitives::{Address, B256, Bytes, address},
    providers::{Provider, ext::AnvilApi},
    rpc::{client::RpcClient, types::TransactionRequest},
};
use eyre::ContextCompat;
use futures_util::{SinkExt, StreamExt};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_testkit::{node::Node, proxy::Proxy};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::support;

/// A contract that emits an empty log when it is called.
const LOGGER: Address = address!("0x1000000000000000000000000000000000000001");

/// `PUSH1 0 PUSH1 0 LOG0 STOP`.
const LOGGER_CODE: [u8; 6] = [0x60, 0, 0x60, 0, 0xa0, 0];

/// A node, the proxy in front of it, and a client of the proxy.
struct Fixture {
    node: Node,
    proxy: Proxy,
    caller: RpcClient,
}

impl Fixture {
    async fn new(arguments: &[&str]) -> eyre::Result<Self> {
        let node = Node::start(&support::tools()?, arguments).await?;
        let proxy = Proxy::start(node.address()).await?;
        let caller = proxy.http_url().parse::<Endpoint>()?.client().await?;
        Ok(Self { node, proxy, caller })
    }

    /// Sends a request through the proxy. Fails when the response is an error, or there is none.
    async fn ask(&self, method: &'static str, params: Value) -> eyre::Result<Value> {
        Ok(self.caller.request(method, params).await?)
    }

    /// Returns code and message of the error response to a request.
    async fn refused(&self, method: &'static str, params: Value) -> eyre::Result<(i64, String)> {
        let error = self.caller.request::<_, Value>(method, params).await.err().wrap_err("it was answered")?;
        let refusal = error.as_error_resp().wrap_err_with(|| error.to_string())?;
        Ok((refusal.code, refusal.message.to_string()))
    }

    /// Returns the number of the newest block, by the node itself.
    async fn height(&self) -> eyre::Result<u64> {
        Ok(self.node.provider().get_block_number().await?)
    }

    /// Mines blocks with one transaction each that emits a log, and returns the transactions.
    async fn log(&self, times: usize) -> eyre::Result<Vec<B256>> {
        let provider = self.node.provider();
        provider.anvil_set_code(LOGGER, Bytes::from_static(&LOGGER_CODE)).await?;
        let mut transactions = Vec::new();
        for _ in 0..times {
            let request = TransactionRequest::default().from(self.node.account(0)?).to(LOGGER);
            transactions.push(provider.send_transaction(request).await?.get_receipt().await?.transaction_hash);
        }
        Ok(transactions)
    }
}

/// A WebSocket client that sees every message.
struct Caller(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Caller {
    async fn connect(proxy: &Proxy) -> eyre::Result<Self> {
        Ok(Self(connect_async(proxy.ws_url()).await?.0))
    }

    async fn say(&mut self, id: u64, method: &str, params: Value) -> eyre::Result<()> {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        Ok(self.0.send(Message::text(request.to_string())).await?)
    }

    /// Returns the next message. Fails when the connection ends.
    async fn hear(&mut self) -> eyre::Result<Value> {
        loop {
            if let Message::Text(text) = self.0.next().await.wrap_err("the connection was closed")?? {
                return Ok(serde_json::from_str(&text)?);
            }
        }
    }

    /// Subscribes, and waits for the confirmation.
    async fn subscribe(&mut self, to: Value) -> eyre::Result<()> {
        self.say(0, "eth_subscribe", to).await?;
        let confirmed = self.hear().await?;
        confirmed["result"].as_str().wrap_err_with(|| confirmed.to_string())?;
        Ok(())
    }

    /// Returns the number of the next announced head.
    async fn head(&mut self) -> eyre::Result<u64> {
        let announced = self.hear().await?;
        number(&announced["params"]["result"]["number"])
    }
}

/// Parses a JSON-RPC quantity.
fn number(quantity: &Value) -> eyre::Result<u64> {
    let digits = quantity.as_str().and_then(|text| text.strip_prefix("0x"));
    Ok(u64::from_str_radix(digits.wrap_err_with(|| format!("{quantity} is no number"))?, 16)?)
}
