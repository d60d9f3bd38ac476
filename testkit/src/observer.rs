//! Records when a node announces blocks and pending transactions, over WebSocket connections of its own and by one
//! clock.

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

/// An announcement of the node.
#[derive(Debug, Clone, Copy)]
pub enum Observation {
    /// A new block, by its height.
    Head(u64),
    /// A transaction that entered the node's pool, by its hash.
    Pending(B256),
}

/// Subscribes to a node's heads and pending transactions and keeps each with the time of its arrival.
#[derive(Debug)]
pub struct Observer {
    observations: UnboundedReceiver<(Instant, Observation)>,
    // The subscriptions end with their connections.
    _connections: [DynProvider; 2],
}

impl Observer {
    /// Subscribes to a node. Heads and transactions use separate connections: a node holds an announcement back until
    /// the previous one on the same connection is acknowledged, and a client that only listens acknowledges late.
    ///
    /// # Errors
    /// When the node refuses a connection or a subscription.
    pub async fn start(node: &Node) -> eyre::Result<Self> {
        let connections = [connect(node).await?, connect(node).await?];
        let [heads, pending] = &connections;
        let heads = heads.subscribe_blocks().await?.into_stream();
        let pending = pending.subscribe_pending_transactions().await?.into_stream();
        let mut all = futures_util::stream::select(
            heads.map(|head| Observation::Head(head.number)),
            pending.map(Observation::Pending),
        );
        let (sender, observations) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(observation) = all.next().await {
                if sender.send((Instant::now(), observation)).is_err() {
                    break;
                }
            }
        });
        Ok(Self { observations, _connections: connections })
    }

    /// Waits for the next announcement and returns it with the time of its arrival.
    ///
    /// # Errors
    /// When the node has closed the connections.
    pub async fn next(&mut self) -> eyre::Result<(Instant, Observation)> {
        self.observations.recv().await.wrap_err("the node closed the observer's connection")
    }

    /// Waits until block `number` and a pending transaction that is not in `known` have been announced, in either
    /// order, and returns the times of both.
    ///
    /// # Errors
    /// When a later block is announced first, or the node has closed the connections.
    pub async fn head_and_pending(&mut self, number: u64, known: &[B256]) -> eyre::Result<[Instant; 2]> {
        let (mut head, mut pending) = (None, None);
        loop {
            match self.next().await? {
                (when, Observation::Head(seen)) => {
                    ensure!(seen <= number, "block {seen} was announced before block {number}");
                    if seen == number {
                        head = Some(when);
                    }
                }
                (when, Observation::Pending(hash)) if !known.contains(&hash) => pending = pending.or(Some(when)),
                (_, Observation::Pending(_)) => {}
            }
            if let (Some(head), Some(pending)) = (head, pending) {
                return Ok([head, pending]);
            }
        }
    }

    /// Waits for the next pending transaction and returns its hash. Heads are skipped.
    ///
    /// # Errors
    /// When the node has closed the connections.
    pub async fn next_pending(&mut self) -> eyre::Result<B256> {
        loop {
            if let (_, Observation::Pending(hash)) = self.next().await? {
                return Ok(hash);
            }
        }
    }
}

async fn connect(node: &Node) -> eyre::Result<DynProvider> {
    let endpoint: Endpoint = node.ws_url().parse()?;
    Ok(ProviderBuilder::<_, _, Ethereum>::default().connect_client(endpoint.client().await?).erased())
}
