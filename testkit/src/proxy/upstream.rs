//! The real node behind the proxy.

use eyre::{ContextCompat, WrapErr, ensure};
use futures_util::{SinkExt, StreamExt, stream::BoxStream};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use super::rpc::{self, Reply, Request};

#[derive(Debug)]
pub(super) struct Upstream {
    address: String,
    client: reqwest::Client,
}

impl Upstream {
    pub(super) fn new(address: &str) -> eyre::Result<Self> {
        Ok(Self { address: address.to_owned(), client: reqwest::Client::builder().no_proxy().build()? })
    }

    /// Sends a request to the node. Fails when it does not answer, or not with a JSON-RPC response.
    pub(super) async fn ask(&self, request: &Request) -> eyre::Result<Reply> {
        let posted = self.client.post(format!("http://{}", self.address)).json(&request.to_json()).send();
        let mut answer: Value = posted.await?.json().await?;
        match answer.get_mut("error").map(Value::take) {
            Some(error) => Ok(Err(error)),
            None => Ok(Ok(answer.get_mut("result").map(Value::take).wrap_err("neither a result nor an error")?)),
        }
    }

    /// Returns the number of the newest block.
    pub(super) async fn head(&self) -> eyre::Result<u64> {
        let reply = self.ask(&Request::new("eth_blockNumber", Vec::new())).await?;
        reply.ok().as_ref().and_then(rpc::number).wrap_err("the node does not know its newest block")
    }

    pub(super) async fn connect(&self) -> eyre::Result<WebSocketStream<MaybeTlsStream<TcpStream>>> {
        let (socket, _) = connect_async(format!("ws://{}", self.address)).await?;
        Ok(socket)
    }

    /// Subscribes to heads; returns once the node has confirmed the subscription.
    pub(super) async fn heads(&self) -> eyre::Result<BoxStream<'static, Value>> {
        let mut socket = self.connect().await?;
        let subscribe = Request::new("eth_subscribe", vec![json!("newHeads")]);
        socket.send(Message::text(subscribe.to_json().to_string())).await?;
        let accepted = socket.next().await.wrap_err("the node closed the connection")??;
        let accepted: Value = serde_json::from_slice(&accepted.into_data()).wrap_err("no JSON")?;
        ensure!(accepted.get("result").is_some(), "the node refused: {accepted}");
        let announced = socket.filter_map(async |message| serde_json::from_slice(&message.ok()?.into_data()).ok());
        Ok(announced.boxed())
    }
}
