//! A proxy in front of a real node that records the state which is requested through it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy::{
    primitives::{Address, B256, Bytes, U64, U256},
    rpc::{client::RpcClient, types::Block},
    transports::RpcError,
};
use eyre::{WrapErr, ensure};
use futures_util::{StreamExt, stream};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Account, Recording, replay,
    server::{Answers, Server},
};
use crate::proxy::rpc::{Reply, Request, SERVER_ERROR, error, number, quantity};

/// Requests to the node at a time.
const PARALLEL_REQUESTS: usize = 32;

/// A running recorder. Dropping it stops it.
#[derive(Debug)]
pub struct Recorder {
    keeping: Arc<Keeping>,
    server: Server,
}

#[derive(Debug)]
struct Keeping {
    endpoint: Endpoint,
    client: RpcClient,
    chain_id: u64,
    block_number: u64,
    block: Value,
    accounts: Mutex<BTreeMap<Address, Kept>>,
}

/// The state of an account that was requested so far.
#[derive(Debug, Clone, Default)]
struct Kept {
    balance: Option<U256>,
    nonce: Option<u64>,
    code: Option<Bytes>,
    storage: BTreeMap<U256, U256>,
}

impl Recorder {
    /// Starts a recorder in front of a node that still has the state before a block.
    ///
    /// # Errors
    /// When the node does not answer, or does not have the block.
    pub async fn start(endpoint: Endpoint, block_number: u64) -> eyre::Result<Self> {
        ensure!(block_number > 0, "before block 0 there is nothing to record");
        let client = endpoint.client().await?;
        let ask = Asking { endpoint: &endpoint, client: &client };
        let chain_id = ask.one::<U64>("eth_chainId", json!([])).await?.to();
        let block: Value = ask.one("eth_getBlockByNumber", json!([quantity(block_number), true])).await?;
        ensure!(block["hash"].is_string(), "{endpoint} does not know block {block_number}");
        let accounts = Mutex::default();
        let keeping = Arc::new(Keeping { endpoint, client, chain_id, block_number, block, accounts });
        let server = Server::start(Arc::clone(&keeping)).await?;
        Ok(Self { keeping, server })
    }

    /// Returns the recorder's URL.
    #[must_use]
    pub fn http_url(&self) -> String {
        self.server.http_url()
    }

    /// Returns the id of the node's chain.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.keeping.chain_id
    }

    /// Returns the block.
    ///
    /// # Errors
    /// When it does not have the form of an Ethereum block.
    pub fn block(&self) -> eyre::Result<Block> {
        replay::typed(&self.keeping.block)
    }

    /// Fetches the state that the block's transactions are likely to read, many requests at a time, so that a replay
    /// through this recorder waits for the node only where an access list missed something. `progress` is told how many
    /// of how many requests are done.
    ///
    /// # Errors
    /// When the block does not have the form of an Ethereum block. Requests that fail are left to the replay.
    pub async fn prefetch(&self, progress: impl Fn(usize, usize)) -> eyre::Result<()> {
        let keeping = &*self.keeping;
        let before = quantity(keeping.block_number - 1);
        let empty = Vec::new();
        let transactions = keeping.block["transactions"].as_array().unwrap_or(&empty);
        let lists = transactions.iter().map(|transaction| keeping.access_list(transaction, &before));
        let lists: Vec<_> = stream::iter(lists).buffer_unordered(PARALLEL_REQUESTS).collect().await;
        let mut reads = BTreeSet::from([(self.block()?.header.beneficiary, None)]);
        reads.extend(lists.into_iter().flatten());
        let requests = reads.into_iter().flat_map(|(address, slot)| match slot {
            Some(slot) => vec![("eth_getStorageAt", vec![json!(address), json!(slot), before.clone()])],
            None => ["eth_getBalance", "eth_getTransactionCount", "eth_getCode"]
                .map(|method| (method, vec![json!(address), before.clone()]))
                .to_vec(),
        });
        let requests: Vec<_> = requests.collect();
        let all = requests.len();
        let answers = requests.into_iter().map(|(method, params)| keeping.fetch(Request::new(method, params)));
        let mut answers = stream::iter(answers).buffer_unordered(PARALLEL_REQUESTS).enumerate();
        while let Some((done, _)) = answers.next().await {
            progress(done + 1, all);
        }
        Ok(())
    }

    /// Returns a recording of the block and of all accounts that were requested so far. Balance, nonce and code that
    /// were not requested are fetched now.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn recording(&self) -> eyre::Result<Recording> {
        let keeping = &self.keeping;
        let ask = Asking { endpoint: &keeping.endpoint, client: &keeping.client };
        let before = quantity(keeping.block_number - 1);
        let kept = keeping.accounts().clone();
        let mut accounts = BTreeMap::new();
        for (address, Kept { balance, nonce, code, storage }) in kept {
            let of = json!([address, before]);
            let balance = match balance {
                Some(balance) => balance,
                None => ask.one("eth_getBalance", of.clone()).await?,
            };
            let nonce = match nonce {
                Some(nonce) => nonce,
                None => ask.one::<U64>("eth_getTransactionCount", of.clone()).await?.to(),
            };
            let code = match code {
                Some(code) => code,
                None => ask.one("eth_getCode", of).await?,
            };
            accounts.insert(address, Account { balance, nonce, code, storage });
        }
        Ok(Recording {
            source: format!("recorded from {}", keeping.endpoint),
            chain_id: keeping.chain_id,
            number: keeping.block_number,
            block: keeping.block.clone(),
            accounts,
        })
    }
}

impl Keeping {
    fn accounts(&self) -> MutexGuard<'_, BTreeMap<Address, Kept>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the accounts and slots that a transaction reads before the block, by the node's access list; the
    /// transaction's own accounts where the node does not make one.
    async fn access_list(&self, transaction: &Value, before: &Value) -> BTreeSet<(Address, Option<U256>)> {
        let mut call = json!({});
        for field in ["from", "to", "input", "value", "gas"] {
            if !transaction[field].is_null() {
                call[field] = transaction[field].clone();
            }
        }
        let address = |value: &Value| Address::deserialize(value).ok().map(|address| (address, None));
        let mut reads: BTreeSet<_> =
            [&transaction["from"], &transaction["to"]].into_iter().filter_map(address).collect();
        let answer = self.client.request::<_, Value>("eth_createAccessList", json!([call, before])).await;
        for entry in answer.iter().filter_map(|answer| answer["accessList"].as_array()).flatten() {
            let Some((address, _)) = address(&entry["address"]) else { continue };
            reads.insert((address, None));
            let slots = entry["storageKeys"].as_array().into_iter().flatten();
            reads.extend(slots.filter_map(|slot| U256::deserialize(slot).ok()).map(|slot| (address, Some(slot))));
        }
        reads
    }

    /// Returns the recorded answer to a request for state before the block, if there is one.
    fn recorded(&self, request: &Request) -> Option<Value> {
        let position = if request.method == "eth_getStorageAt" { 2 } else { 1 };
        if !self.is_before(request.param(position)) {
            return None;
        }
        let address: Address = serde_json::from_value(request.param(0).clone()).ok()?;
        let accounts = self.accounts();
        let Kept { balance, nonce, code, storage } = accounts.get(&address)?;
        match request.method.as_str() {
            "eth_getAccountInfo" => {
                let (balance, nonce, code) = ((*balance)?, (*nonce)?, code.as_ref()?);
                Some(json!({ "balance": balance, "nonce": quantity(nonce), "code": code }))
            }
            "eth_getBalance" => balance.map(|balance| json!(balance)),
            "eth_getTransactionCount" => nonce.map(quantity),
            "eth_getCode" => code.as_ref().map(|code| json!(code)),
            "eth_getStorageAt" => {
                let slot = U256::deserialize(request.param(1)).ok()?;
                storage.get(&slot).map(|value| json!(B256::from(*value)))
            }
            _ => None,
        }
    }

    /// Whether a block parameter names the block before the recorded one.
    fn is_before(&self, block: &Value) -> bool {
        match block.get("blockHash") {
            Some(hash) => *hash == self.block["parentHash"],
            None => number(block.get("blockNumber").unwrap_or(block)) == Some(self.block_number - 1),
        }
    }

    /// Asks the node, and records the answer where it is state before the block.
    async fn fetch(&self, request: Request) -> Reply {
        let answer = self.client.request::<_, Value>(request.method.clone(), request.params.clone()).await;
        match answer {
            Ok(answer) => {
                self.keep(&request, &answer);
                Ok(answer)
            }
            Err(RpcError::NullResp) => Ok(Value::Null),
            Err(failure) => {
                let failure = ChainError::of_transport(&self.endpoint, &failure);
                let code = if let ChainError::Refused { code, .. } = &failure { *code } else { SERVER_ERROR };
                Err(error(code, failure.to_string()))
            }
        }
    }

    /// Records an answer, where it is state before the block.
    fn keep(&self, request: &Request, answer: &Value) -> Option<()> {
        let block_position = match request.method.as_str() {
            "eth_getAccountInfo" | "eth_getBalance" | "eth_getTransactionCount" | "eth_getCode" => 1,
            "eth_getStorageAt" => 2,
            _ => return None,
        };
        let is_before = self.is_before(request.param(block_position));
        let address: Address = serde_json::from_value(request.param(0).clone()).ok().filter(|_| is_before)?;
        let slot = U256::deserialize(request.param(1));
        let mut accounts = self.accounts();
        let kept = accounts.entry(address).or_default();
        match request.method.as_str() {
            "eth_getAccountInfo" => {
                kept.balance = U256::deserialize(&answer["balance"]).ok();
                kept.nonce = number(&answer["nonce"]);
                kept.code = Bytes::deserialize(&answer["code"]).ok();
            }
            "eth_getBalance" => kept.balance = U256::deserialize(answer).ok(),
            "eth_getTransactionCount" => kept.nonce = number(answer),
            "eth_getCode" => kept.code = Bytes::deserialize(answer).ok(),
            // eth_getStorageAt, the only other method above.
            _ => {
                kept.storage.insert(slot.ok()?, U256::deserialize(answer).ok()?);
            }
        }
        Some(())
    }
}

impl Answers for Keeping {
    async fn answer(&self, request: &Request) -> Reply {
        match self.recorded(request) {
            Some(answer) => Ok(answer),
            None => self.fetch(request.clone()).await,
        }
    }
}

/// Sends requests of the recorder itself to the real node.
struct Asking<'a> {
    endpoint: &'a Endpoint,
    client: &'a RpcClient,
}

impl Asking<'_> {
    async fn one<T: DeserializeOwned>(&self, method: &'static str, params: Value) -> eyre::Result<T> {
        let answer = self.client.request::<_, Value>(method, params).await;
        let answer = answer.map_err(|failure| ChainError::of_transport(self.endpoint, &failure))?;
        serde_json::from_value(answer).wrap_err_with(|| format!("{} answers {method} in no known form", self.endpoint))
    }
}
