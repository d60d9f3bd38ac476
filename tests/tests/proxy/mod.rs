//! The proxy that misbehaves on demand, in front of a real node: each fault does what it says, and no more.

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

/// Whoever calls this leaves an empty log.
const LOGGER: Address = address!("0x1000000000000000000000000000000000000001");

/// `PUSH1 0 PUSH1 0 LOG0 STOP`.
const LOGGER_CODE: [u8; 6] = [0x60, 0, 0x60, 0, 0xa0, 0];

/// A node, the proxy in front of it, and a caller who knows the proxy only.
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

    /// What the caller hears. Fails when that is an error, or nothing.
    async fn ask(&self, method: &'static str, params: Value) -> eyre::Result<Value> {
        Ok(self.caller.request(method, params).await?)
    }

    /// Code and message of the error that the caller hears.
    async fn refused(&self, method: &'static str, params: Value) -> eyre::Result<(i64, String)> {
        let error = self.caller.request::<_, Value>(method, params).await.err().wrap_err("it was answered")?;
        let refusal = error.as_error_resp().wrap_err_with(|| error.to_string())?;
        Ok((refusal.code, refusal.message.to_string()))
    }

    /// The newest block, by the node itself.
    async fn height(&self) -> eyre::Result<u64> {
        Ok(self.node.provider().get_block_number().await?)
    }

    /// Mines a block for each transaction that leaves a log. Returns the transactions.
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

/// A caller by WebSocket who sees every message.
struct Caller(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Caller {
    async fn connect(proxy: &Proxy) -> eyre::Result<Self> {
        Ok(Self(connect_async(proxy.ws_url()).await?.0))
    }

    async fn say(&mut self, id: u64, method: &str, params: Value) -> eyre::Result<()> {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        Ok(self.0.send(Message::text(request.to_string())).await?)
    }

    /// The next message in JSON. Fails when the connection ends.
    async fn hear(&mut self) -> eyre::Result<Value> {
        loop {
            if let Message::Text(text) = self.0.next().await.wrap_err("the connection was closed")?? {
                return Ok(serde_json::from_str(&text)?);
            }
        }
    }

    /// Subscribes, and waits until that is confirmed.
    async fn subscribe(&mut self, to: Value) -> eyre::Result<()> {
        self.say(0, "eth_subscribe", to).await?;
        let confirmed = self.hear().await?;
        confirmed["result"].as_str().wrap_err_with(|| confirmed.to_string())?;
        Ok(())
    }

    /// The number of the next head that is announced.
    async fn head(&mut self) -> eyre::Result<u64> {
        let announced = self.hear().await?;
        number(&announced["params"]["result"]["number"])
    }
}

/// A number as nodes write it.
fn number(quantity: &Value) -> eyre::Result<u64> {
    let digits = quantity.as_str().and_then(|text| text.strip_prefix("0x"));
    Ok(u64::from_str_radix(digits.wrap_err_with(|| format!("{quantity} is no number"))?, 16)?)
}
