//! The nodes that a sender speaks to: all of them when something is shown, the first that is up to date when something
//! is asked.

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256, Bytes, U64, U128, U256},
    rpc::client::{BatchRequest, RpcClient, Waiter},
    transports::TransportError,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use serde::Deserialize;
use tokio::{sync::Mutex, time};
use tracing::{debug, warn};

use super::{
    core::{Looked, Route},
    journal::Place,
    outcome::Receipt,
    verdict::Verdict,
};

/// How long a node may take. A transaction that it took without a word is shown again with the next block.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Which nodes are for what.
#[derive(Debug)]
pub struct Nodes {
    read: Vec<Arc<Link>>,
    send: Vec<Arc<Link>>,
    private: Vec<Arc<Link>>,
}

/// What a chain says of a signer before anything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) chain_id: u64,
    pub(super) nonce: u64,
    pub(super) balance: U256,
    pub(super) has_code: bool,
}

/// One node, and the connection to it.
#[derive(Debug)]
struct Link {
    endpoint: Arc<Endpoint>,
    client: Mutex<Option<RpcClient>>,
}

impl Nodes {
    /// Nodes to ask, in order of preference; nodes to show transactions to; and nodes that keep what they are shown to
    /// themselves.
    #[must_use]
    pub fn new(read: Vec<Arc<Endpoint>>, send: Vec<Arc<Endpoint>>, private: Vec<Arc<Endpoint>>) -> Self {
        let links = |endpoints: Vec<Arc<Endpoint>>| {
            let link = |endpoint| Arc::new(Link { endpoint, client: Mutex::new(None) });
            endpoints.into_iter().map(link).collect()
        };
        Self { read: links(read), send: links(send), private: links(private) }
    }

    /// Shows a transaction to every node of a route. The answer is there as soon as one pool has it; the others are shown
    /// it all the same.
    pub(super) async fn broadcast(&self, route: Route, raw: Bytes) -> Verdict {
        let links = match route {
            Route::Public => &self.send,
            Route::Private => &self.private,
        };
        let show = |link: &Arc<Link>| tokio::spawn(Arc::clone(link).send(raw.clone()));
        let mut answers = links.iter().map(show).collect::<FuturesUnordered<_>>();
        let mut verdicts = Vec::new();
        while let Some(answer) = answers.next().await {
            let verdict = answer.unwrap_or(Verdict::NoAnswer);
            if verdict == Verdict::Accepted {
                return verdict;
            }
            verdicts.push(verdict);
        }
        Verdict::of_all(verdicts)
    }

    /// Asks for the signer's nonce, its balance and receipts, in one request, of the first node that has this block.
    pub(super) async fn look_up(&self, signer: Address, hashes: &[B256], block: u64) -> Option<(Looked, U256)> {
        for link in &self.read {
            match link.ask(|client| ask_receipts(client, signer, hashes)).await {
                Ok((newest, ..)) if newest < block => {
                    debug!(node = %link.endpoint, newest, block, "the node is behind");
                }
                Ok((_, looked, balance)) => return Some((looked, balance)),
                Err(error) => warn!("{error}"),
            }
        }
        None
    }

    /// Asks what the chain says of a signer, of the first node that answers.
    pub(super) async fn standing(&self, signer: Address) -> Result<Standing, ChainError> {
        let mut failure =
            ChainError::Unreachable { endpoint: "no node".to_owned(), problem: "none is configured".to_owned() };
        for link in &self.read {
            match link.ask(|client| ask_standing(client, signer)).await {
                Ok(standing) => return Ok(standing),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

impl Link {
    async fn send(self: Arc<Self>, raw: Bytes) -> Verdict {
        let sent = self.ask(async |client| client.request::<_, B256>("eth_sendRawTransaction", (raw,)).await).await;
        match sent {
            Ok(_) => Verdict::Accepted,
            Err(error) => {
                let verdict = Verdict::of(&error);
                if verdict != Verdict::Accepted {
                    warn!(?verdict, "a transaction was not taken: {error}");
                }
                verdict
            }
        }
    }

    /// Asks within the time that a node may take. A connection that failed is made again the next time.
    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(RpcClient) -> Result<T, TransportError>,
    ) -> Result<T, ChainError> {
        let asked = async {
            let client = self.client().await?;
            question(client).await.map_err(|error| ChainError::of_transport(&self.endpoint, &error))
        };
        let answer = time::timeout(ANSWER_TIMEOUT, asked)
            .await
            .unwrap_or_else(|elapsed| Err(ChainError::of(&self.endpoint, &elapsed)));
        if matches!(answer, Err(ChainError::Unreachable { .. })) {
            *self.client.lock().await = None;
        }
        answer
    }

    async fn client(&self) -> Result<RpcClient, ChainError> {
        let mut client = self.client.lock().await;
        match &*client {
            Some(client) => Ok(client.clone()),
            None => Ok(client.insert(self.endpoint.client().await?).clone()),
        }
    }
}

/// What nodes write of a receipt.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawReceipt {
    block_number: Option<U64>,
    block_hash: Option<B256>,
    /// Missing only before 2017, when nothing said whether a transaction reverted.
    status: Option<U64>,
    gas_used: U64,
    effective_gas_price: Option<U128>,
    /// On chains that write their data to another.
    l1_fee: Option<U256>,
}

impl RawReceipt {
    fn read(self, hash: B256) -> Option<Receipt> {
        let place = Place { hash, block: self.block_number?.to(), block_hash: self.block_hash? };
        Some(Receipt {
            place,
            success: self.status.is_none_or(|status| !status.is_zero()),
            gas_used: self.gas_used.to(),
            effective_price: self.effective_gas_price.unwrap_or_default().to(),
            data_fee: self.l1_fee.unwrap_or_default().try_into().unwrap_or(u128::MAX),
        })
    }
}

async fn ask_receipts(
    client: RpcClient,
    signer: Address,
    hashes: &[B256],
) -> Result<(u64, Looked, U256), TransportError> {
    let mut batch = client.new_batch();
    // The nonce first: a receipt that is there by then is not missed.
    let nonce = call::<_, U64>(&mut batch, "eth_getTransactionCount", (signer, "latest"))?;
    let balance = call::<_, U256>(&mut batch, "eth_getBalance", (signer, "latest"))?;
    let mut receipts = Vec::new();
    for hash in hashes {
        receipts.push((*hash, call::<_, Option<RawReceipt>>(&mut batch, "eth_getTransactionReceipt", (*hash,))?));
    }
    let block = call::<_, U64>(&mut batch, "eth_blockNumber", ())?;
    batch.send().await?;
    let mut looked = Looked { nonce: nonce.await?.to(), receipts: Vec::new() };
    for (hash, receipt) in receipts {
        looked.receipts.push((hash, receipt.await?.and_then(|receipt| receipt.read(hash))));
    }
    Ok((block.await?.to(), looked, balance.await?))
}

async fn ask_standing(client: RpcClient, signer: Address) -> Result<Standing, TransportError> {
    let mut batch = client.new_batch();
    let chain_id = call::<_, U64>(&mut batch, "eth_chainId", ())?;
    let nonce = call::<_, U64>(&mut batch, "eth_getTransactionCount", (signer, "latest"))?;
    let balance = call::<_, U256>(&mut batch, "eth_getBalance", (signer, "latest"))?;
    let code = call::<_, Bytes>(&mut batch, "eth_getCode", (signer, "latest"))?;
    batch.send().await?;
    let (chain_id, nonce) = (chain_id.await?.to(), nonce.await?.to());
    Ok(Standing { chain_id, nonce, balance: balance.await?, has_code: !code.await?.is_empty() })
}

fn call<P: alloy::rpc::json_rpc::RpcSend, R: alloy::rpc::json_rpc::RpcRecv>(
    batch: &mut BatchRequest<'_>,
    method: &'static str,
    params: P,
) -> Result<Waiter<R>, TransportError> {
    batch.add_call(method, &params)
}
