//! Connections: one task per endpoint. It connects the endpoint, makes sure that it is of our chain, listens to
//! announced heads or polls where none are announced, and connects again when the connection ends.

use std::{convert::Infallible, future, sync::Arc, time::Duration};

use alloy::{
    eips::BlockNumberOrTag,
    network::Ethereum,
    primitives::U64,
    providers::{Provider, RootProvider},
    pubsub::Subscription,
    rpc::client::RpcClient,
};
use plimsoll_chain::{
    endpoint::{Connection, Transport},
    error::ChainError,
};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{self, Instant},
};
use tracing::Instrument;

use super::{
    block_logs::RpcHeader,
    endpoint_client::{EndpointClient, RequestError},
    failover::EndpointPool,
    rpc_error::RpcErrorKind,
};

/// Delay before an endpoint is connected again, the first time; it doubles each time.
const MIN_RECONNECT_DELAY: Duration = Duration::from_millis(100);
/// Maximum delay before a second connection is opened again. Without it, other parts' requests wait for the stream's.
const MAX_SECOND_RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// The reason why an endpoint could not be connected.
enum ConnectError {
    /// A later attempt may succeed.
    Unreachable(ChainError),
    /// The endpoint is of another chain.
    OtherChain(String),
}

impl From<RequestError> for ConnectError {
    fn from(error: RequestError) -> Self {
        Self::Unreachable(error.error)
    }
}

/// Keeps an endpoint connected, and its head up to date. Ends if the endpoint is of another chain.
pub(super) async fn keep_connected(pool: Arc<EndpointPool>, index: usize) {
    let Some(client) = pool.clients.get(index) else { return };
    let span = tracing::debug_span!("connection", endpoint = %client.endpoint);
    reconnect_forever(&pool, client).instrument(span).await;
}

async fn reconnect_forever(pool: &EndpointPool, client: &EndpointClient) {
    let mut delay = MIN_RECONNECT_DELAY;
    loop {
        let start = Instant::now();
        let error = match connect(pool, client).await {
            Ok(heads) => tokio::select! {
                error = listen(pool, client, heads) => error,
                never = keep_second_connection(pool, client) => match never {},
            },
            Err(ConnectError::Unreachable(error)) => error,
            Err(ConnectError::OtherChain(reason)) => return client.exclude(reason),
        };
        client.disconnected(&error);
        pool.notify_new_head();
        if start.elapsed() > pool.settings.max_reconnect_delay {
            delay = MIN_RECONNECT_DELAY;
        }
        time::sleep(delay).await;
        delay = (delay * 2).min(pool.settings.max_reconnect_delay);
    }
}

/// Connects an endpoint. Returns its subscription to new heads, if it announces them.
async fn connect(
    pool: &EndpointPool,
    client: &EndpointClient,
) -> Result<Option<Subscription<RpcHeader>>, ConnectError> {
    let connection = open(pool, client).await.map_err(ConnectError::Unreachable)?.client;
    check_chain(pool, client, &connection).await?;
    let heads = subscribe(client, &connection).await?;
    client.connected(connection, heads.is_some());
    tracing::debug!(endpoint = %client.endpoint, announces_heads = heads.is_some(), "endpoint connected");
    pool.notify_new_head();
    Ok(heads)
}

/// Keeps a second connection open for other parts' requests, as long as the first one lasts. HTTP needs none.
async fn keep_second_connection(pool: &EndpointPool, client: &EndpointClient) -> Infallible {
    if client.endpoint.transport() == Transport::Http {
        return future::pending().await;
    }
    let mut delay = MIN_RECONNECT_DELAY;
    loop {
        if let Ok(mut connection) = open(pool, client).await {
            client.set_reader_client(Some(connection.client.clone()));
            let start = Instant::now();
            connection.closed().await;
            client.set_reader_client(None);
            tracing::debug!(endpoint = %client.endpoint, "second connection closed");
            if start.elapsed() > MAX_SECOND_RECONNECT_DELAY {
                delay = MIN_RECONNECT_DELAY;
            }
        }
        time::sleep(delay).await;
        delay = (delay * 2).min(MAX_SECOND_RECONNECT_DELAY);
    }
}

async fn open(pool: &EndpointPool, client: &EndpointClient) -> Result<Connection, ChainError> {
    let opened = time::timeout(pool.settings.request_timeout, client.endpoint.connection()).await;
    opened.unwrap_or_else(|_| Err(client.error("it did not take the connection in time")))
}

/// Makes sure that an endpoint is of our chain, which its chain id and its first block tell. Fails with
/// [`ConnectError::OtherChain`] if it is not.
async fn check_chain(pool: &EndpointPool, client: &EndpointClient, connection: &RpcClient) -> Result<(), ConnectError> {
    let chain_id: U64 = client.with_timeout(connection.request_noparams("eth_chainId")).await?;
    let expected = pool.settings.chain_id;
    if chain_id != U64::from(expected) {
        return Err(ConnectError::OtherChain(format!("its chain id is {chain_id}, not {expected}")));
    }
    let request = connection.request("eth_getBlockByNumber", (BlockNumberOrTag::Number(0), false));
    let first: Option<RpcHeader> = client.with_timeout(request).await?;
    // Some nodes have pruned the first blocks.
    let Some(first) = first.map(|first| first.header.hash) else { return Ok(()) };
    pool.genesis.send_if_modified(|genesis| genesis.is_none() && genesis.replace(first).is_none());
    let expected = *pool.genesis.borrow();
    if expected == Some(first) {
        return Ok(());
    }
    let expected = expected.unwrap_or_default();
    Err(ConnectError::OtherChain(format!("its first block is {first}, not {expected}: another chain of the same id")))
}

/// Subscribes to new heads. Returns `None` if the endpoint does not announce them.
async fn subscribe(
    client: &EndpointClient,
    connection: &RpcClient,
) -> Result<Option<Subscription<RpcHeader>>, ConnectError> {
    if client.endpoint.transport() == Transport::Http {
        return Ok(None);
    }
    let provider = RootProvider::<Ethereum>::new(connection.clone());
    match client.with_timeout(provider.subscribe::<_, RpcHeader>(("newHeads",)).into_future()).await {
        Ok(heads) => Ok(Some(heads)),
        Err(error) if error.kind == RpcErrorKind::Rejected => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Records every new head until the connection ends, and returns the reason for its end.
async fn listen(
    pool: &EndpointPool,
    client: &EndpointClient,
    mut heads: Option<Subscription<RpcHeader>>,
) -> ChainError {
    let mut last_news: Option<Instant> = None;
    let mut new_head = pool.new_head.subscribe();
    loop {
        let next_poll = last_news.map_or_else(Instant::now, |last| next_poll(pool, client, heads.is_some(), last));
        tokio::select! {
            biased;
            head = next_announced(&mut heads) => match head {
                Some(head) => {
                    last_news = Some(Instant::now());
                    if client.record_head(head) {
                        pool.notify_new_head();
                    }
                }
                None => return client.error("the connection has ended"),
            },
            () = time::sleep_until(next_poll) => {
                last_news = Some(Instant::now());
                match client.poll_head().await {
                    Ok(true) => pool.notify_new_head(),
                    Ok(false) => {}
                    Err(error) if error.kind == RpcErrorKind::Unreachable && heads.is_some() => return error.error,
                    Err(_) => {}
                }
            }
            () = client.health_changed.notified() => pool.notify_new_head(),
            // The health of the other endpoints decides about the next poll. The pool owns the sender, so that the
            // channel cannot be closed.
            _ = new_head.changed() => {}
        }
    }
}

/// Returns the time of the next poll, given the time of the last announcement or poll.
fn next_poll(pool: &EndpointPool, client: &EndpointClient, announces_heads: bool, last: Instant) -> Instant {
    let is_announced = announces_heads || pool.has_announcer();
    let regular = last + if is_announced { pool.settings.max_silence } else { pool.settings.poll_interval };
    let state = client.state();
    match state.health.demotion() {
        Some(demotion) if demotion.is_rate_limit => demotion.until,
        Some(demotion) => {
            let until = demotion.until;
            drop(state);
            // A demoted endpoint is not polled while another one is healthy.
            if pool.has_healthy_other(client) { until } else { regular }
        }
        None => regular,
    }
}

/// Waits for the next announced head; `None` if the connection has ended. Never returns if none are announced.
async fn next_announced(heads: &mut Option<Subscription<RpcHeader>>) -> Option<RpcHeader> {
    let Some(heads) = heads else { return std::future::pending().await };
    loop {
        match heads.recv().await {
            Ok(head) => return Some(head),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}
