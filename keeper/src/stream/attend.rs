//! One task for each endpoint: connects it, makes sure that it is of our chain, listens to what it announces, looks for
//! itself where nothing is announced, and begins again when the connection ends.

use std::{sync::Arc, time::Duration};

use alloy::{
    eips::BlockNumberOrTag,
    network::Ethereum,
    primitives::U64,
    providers::{Provider, RootProvider},
    pubsub::Subscription,
    rpc::client::RpcClient,
};
use plimsoll_chain::{endpoint::Transport, error::ChainError};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{self, Instant},
};

use super::{
    head::Head,
    node::{Failure, Node},
    pool::Pool,
    refusal::Refusal,
};

/// How long to wait until an endpoint that is away is tried again, the first time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Why there is no connection.
enum Problem {
    /// It may work later.
    Away(ChainError),
    /// It never will.
    OtherChain(String),
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::Away(failure.error)
    }
}

/// Attends to one endpoint for as long as it is of our chain.
pub(super) async fn attend(pool: Arc<Pool>, index: usize) {
    let Some(node) = pool.nodes.get(index) else { return };
    let mut pause = FIRST_PAUSE;
    loop {
        let start = Instant::now();
        let error = match connect(&pool, node).await {
            Ok(heads) => listen(&pool, node, heads).await,
            Err(Problem::Away(error)) => error,
            Err(Problem::OtherChain(reason)) => return node.exclude(reason),
        };
        node.disconnected(&error);
        pool.ring();
        if start.elapsed() > pool.settings.longest_reconnect {
            pause = FIRST_PAUSE;
        }
        time::sleep(pause).await;
        pause = (pause * 2).min(pool.settings.longest_reconnect);
    }
}

/// Connects an endpoint; when it announces heads, these come back.
async fn connect(pool: &Pool, node: &Node) -> Result<Option<Subscription<Head>>, Problem> {
    let client = open(pool, node).await.map_err(Problem::Away)?;
    identify(pool, node, &client).await?;
    let heads = subscribe(node, &client).await?;
    let for_others = if heads.is_some() { open(pool, node).await.ok() } else { None };
    node.connected(client, for_others, heads.is_some());
    pool.ring();
    Ok(heads)
}

/// Opens a connection.
async fn open(pool: &Pool, node: &Node) -> Result<RpcClient, ChainError> {
    let opened = time::timeout(pool.settings.deadline, node.endpoint.connection()).await;
    opened.unwrap_or_else(|_| Err(node.problem("it did not take the connection in time")))
}

/// Makes sure that it is of our chain, of which there is one for each first block.
async fn identify(pool: &Pool, node: &Node, client: &RpcClient) -> Result<(), Problem> {
    let chain_id: U64 = node.timed(client.request_noparams("eth_chainId")).await?;
    let expected = pool.settings.chain_id;
    if chain_id != U64::from(expected) {
        return Err(Problem::OtherChain(format!("its chain id is {chain_id}, not {expected}")));
    }
    let asked = client.request("eth_getBlockByNumber", (BlockNumberOrTag::Number(0), false));
    let first: Option<Head> = node.timed(asked).await?;
    // Some nodes have thrown the beginning away.
    let Some(first) = first.map(|first| first.header.hash) else { return Ok(()) };
    pool.genesis.send_if_modified(|genesis| genesis.is_none() && genesis.replace(first).is_none());
    let expected = *pool.genesis.borrow();
    if expected == Some(first) {
        return Ok(());
    }
    let expected = expected.unwrap_or_default();
    Err(Problem::OtherChain(format!("its first block is {first}, not {expected}: another chain of the same id")))
}

/// Has heads announced where that is possible.
async fn subscribe(node: &Node, client: &RpcClient) -> Result<Option<Subscription<Head>>, Problem> {
    if node.endpoint.transport() == Transport::Http {
        return Ok(None);
    }
    let provider = RootProvider::<Ethereum>::new(client.clone());
    match node.timed(provider.subscribe::<_, Head>(("newHeads",)).into_future()).await {
        Ok(heads) => Ok(Some(heads)),
        Err(failure) if failure.refusal == Refusal::Other => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

/// Notes every new head until the connection ends, and says why it did.
async fn listen(pool: &Pool, node: &Node, mut heads: Option<Subscription<Head>>) -> ChainError {
    let mut heard: Option<Instant> = None;
    let mut bell = pool.bell.subscribe();
    loop {
        let next_look = heard.map_or_else(Instant::now, |heard| next_look(pool, node, heads.is_some(), heard));
        tokio::select! {
            biased;
            head = announced(&mut heads) => match head {
                Some(head) => {
                    heard = Some(Instant::now());
                    if node.saw(head) {
                        pool.ring();
                    }
                }
                None => return node.problem("the connection has ended"),
            },
            () = time::sleep_until(next_look) => {
                heard = Some(Instant::now());
                match node.look().await {
                    Ok(true) => pool.ring(),
                    Ok(false) => {}
                    Err(failure) if failure.refusal == Refusal::Away && heads.is_some() => return failure.error,
                    Err(_) => {}
                }
            }
            () = node.poked.notified() => pool.ring(),
            // What others do decides how often to look. The sender is the pool's, so that it cannot be gone.
            _ = bell.changed() => {}
        }
    }
}

/// When to look for a new block, after one was heard of last.
fn next_look(pool: &Pool, node: &Node, listens: bool, heard: Instant) -> Instant {
    let is_told = listens || pool.listens();
    let regular = heard + if is_told { pool.settings.silence } else { pool.settings.poll };
    let state = node.state();
    match state.standing.demotion() {
        Some(demotion) if demotion.is_asked_for => demotion.until,
        Some(demotion) => {
            let until = demotion.until;
            drop(state);
            // Who is demoted rests as long as there is anybody else.
            if pool.has_better(node) { until } else { regular }
        }
        None => regular,
    }
}

/// The next head that is announced; none when the connection has ended. Waits for ever where nothing is announced.
async fn announced(heads: &mut Option<Subscription<Head>>) -> Option<Head> {
    let Some(heads) = heads else { return std::future::pending().await };
    loop {
        match heads.recv().await {
            Ok(head) => return Some(head),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}
