//! One task for each endpoint: connects it, makes sure that it is of our chain, listens to what it announces, looks for
//! itself where nothing is announced, and begins again when the connection ends.

use std::{future::IntoFuture, sync::Arc, time::Duration};

use alloy::{
    eips::BlockNumberOrTag,
    network::Ethereum,
    primitives::U64,
    providers::{Provider, RootProvider},
    pubsub::Subscription,
    rpc::client::RpcClient,
};
use plimsoll_chain::endpoint::Transport;
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
    Failed,
    /// It never will.
    OtherChain(String),
}

impl From<Failure> for Problem {
    fn from(_: Failure) -> Self {
        Self::Failed
    }
}

/// Attends to one endpoint for as long as it is of our chain.
pub(super) async fn attend(pool: Arc<Pool>, index: usize) {
    let Some(node) = pool.nodes.get(index) else { return };
    let mut pause = FIRST_PAUSE;
    loop {
        let start = Instant::now();
        match connect(&pool, node).await {
            Ok(heads) => {
                listen(&pool, node, heads).await;
                node.disconnected();
                // The others may have relied on its announcements.
                pool.nodes.iter().for_each(|node| node.poked.notify_one());
            }
            Err(Problem::Failed) => {}
            Err(Problem::OtherChain(reason)) => return node.exclude(reason),
        }
        if start.elapsed() > pool.settings.longest_reconnect {
            pause = FIRST_PAUSE;
        }
        time::sleep(pause).await;
        pause = (pause * 2).min(pool.settings.longest_reconnect);
    }
}

/// Connects an endpoint; when it announces heads, these come back.
async fn connect(pool: &Pool, node: &Node) -> Result<Option<Subscription<Head>>, Problem> {
    let client = match time::timeout(pool.settings.deadline, node.endpoint.connection()).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return Err(node.failed(Refusal::Away, error).into()),
        Err(_) => {
            return Err(node.failed(Refusal::Away, node.problem("it did not take the connection in time")).into());
        }
    };
    identify(pool, node, &client).await?;
    let heads = subscribe(node, &client).await?;
    node.connected(client, heads.is_some());
    pool.bell.send_replace(());
    Ok(heads)
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
        Err(_) => Err(Problem::Failed),
    }
}

/// Notes every new head until the connection ends.
async fn listen(pool: &Pool, node: &Node, mut heads: Option<Subscription<Head>>) {
    let mut heard: Option<Instant> = None;
    loop {
        let now = Instant::now();
        let is_told = heads.is_some() || pool.listens();
        let interval = if is_told { pool.settings.silence } else { pool.settings.poll };
        let regular = heard.map_or(now, |heard| heard + interval);
        // Who is demoted is left alone until it may be good again.
        let rested = node.state().standing.demotion().map(|demotion| demotion.until);
        let next_look = rested.unwrap_or(regular);
        tokio::select! {
            biased;
            head = announced(&mut heads) => match head {
                Some(head) => {
                    heard = Some(Instant::now());
                    if node.saw(head) {
                        pool.bell.send_replace(());
                    }
                }
                None => {
                    node.failed(Refusal::Away, node.problem("the connection has ended"));
                    return;
                }
            },
            () = time::sleep_until(next_look) => {
                heard = Some(Instant::now());
                match node.look().await {
                    Ok(true) => {
                        pool.bell.send_replace(());
                    }
                    Err(failure) if failure.refusal == Refusal::Away && heads.is_some() => return,
                    Ok(false) | Err(_) => {}
                }
            }
            () = node.poked.notified() => {}
        }
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
