//! A bystander with a WebSocket of its own: when a block and when a transaction was seen, by the same clock.

use std::time::Instant;

use alloy::{
    network::Ethereum,
    primitives::B256,
    providers::{DynProvider, Provider, ProviderBuilder},
};
use eyre::{ContextCompat, ensure};
use futures_util::StreamExt;
use plimsoll_chain::endpoint::Endpoint;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::node::Node;

/// Something that the node announced.
#[derive(Debug, Clone, Copy)]
pub enum Sight {
    /// A block, by its height.
    Head(u64),
    /// A transaction that waits to be mined.
    Pending(B256),
}

/// Watches a node.
#[derive(Debug)]
pub struct Observer {
    sights: UnboundedReceiver<(Instant, Sight)>,
    // The subscriptions end with their connections.
    _connections: [DynProvider; 2],
}

impl Observer {
    /// Begins to watch. Heads and transactions come by a connection each: a node holds an announcement back while the one
    /// before it on the same connection is not acknowledged, and whoever only listens acknowledges late.
    pub async fn start(node: &Node) -> eyre::Result<Self> {
        let connections = [connect(node).await?, connect(node).await?];
        let [heads, pending] = &connections;
        let heads = heads.subscribe_blocks().await?.into_stream();
        let pending = pending.subscribe_pending_transactions().await?.into_stream();
        let mut all =
            futures_util::stream::select(heads.map(|head| Sight::Head(head.number)), pending.map(Sight::Pending));
        let (sender, sights) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(sight) = all.next().await {
                if sender.send((Instant::now(), sight)).is_err() {
                    break;
                }
            }
        });
        Ok(Self { sights, _connections: connections })
    }

    /// The next sight. Fails when the node announces nothing any more.
    pub async fn next(&mut self) -> eyre::Result<(Instant, Sight)> {
        self.sights.recv().await.wrap_err("the node closed the observer's connection")
    }

    /// When a block was seen, and when a transaction that is none of these. They come by a connection each, so either
    /// may come first.
    pub async fn head_and_pending(&mut self, number: u64, known: &[B256]) -> eyre::Result<[Instant; 2]> {
        let (mut head, mut pending) = (None, None);
        loop {
            match self.next().await? {
                (when, Sight::Head(seen)) => {
                    ensure!(seen <= number, "block {seen} was announced, and {number} before it was not");
                    if seen == number {
                        head = Some(when);
                    }
                }
                (when, Sight::Pending(hash)) if !known.contains(&hash) => pending = pending.or(Some(when)),
                (_, Sight::Pending(_)) => {}
            }
            if let (Some(head), Some(pending)) = (head, pending) {
                return Ok([head, pending]);
            }
        }
    }

    /// The next transaction that waits to be mined.
    pub async fn pending(&mut self) -> eyre::Result<B256> {
        loop {
            if let (_, Sight::Pending(hash)) = self.next().await? {
                return Ok(hash);
            }
        }
    }
}

async fn connect(node: &Node) -> eyre::Result<DynProvider> {
    let endpoint: Endpoint = node.ws_url().parse()?;
    Ok(ProviderBuilder::<_, _, Ethereum>::default().connect_client(endpoint.client().await?).erased())
}
