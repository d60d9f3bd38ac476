//! A proxy in front of a real node that records the state which is requested through it.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, Bytes, U64, U256, address},
    rpc::{client::RpcClient, types::Block},
    transports::RpcError,
};
use eyre::{ContextCompat, WrapErr, ensure};
use futures_util::{StreamExt, stream};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use plimsoll_deploy::toolchain::tools::Tools;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time;

use super::{
    ANVILS_OWN, Account, Recording,
    replay::{self, Replayed, replay_under},
    server::{Answers, Server},
};
use crate::proxy::rpc::{Reply, Request, SERVER_ERROR, error, number, quantity};

/// Most requests to a node at a time.
const PARALLEL_REQUESTS: usize = 32;
/// Attempts at a request that the node does not answer or limits, and the pause after the first, which doubles.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Most executions of a block on guessed state. Each goes further than the one before.
const MAX_PASSES: usize = 30;
/// Accounts and slots that an execution lacks, from which on another one takes longer than to fetch the rest one after
/// another: a block of mainnet lacks hundreds at first, and a handful in many later executions, each named by the one
/// before.
const FEW_UNKNOWN: usize = 16;
/// The system contract of EIP-2935, which holds hashes of former blocks and is called before a block's transactions.
const BLOCK_HASHES: Address = address!("0000F90827F1C53a10cb7A02335B175320002935");
/// Number of block hashes that it holds.
const BLOCK_HASHES_HELD: u64 = 8_191;

/// Something that a block reads: an account, or a slot of it.
type Place = (Address, Option<U256>);

/// What a [`Recorder`] is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It fetches state from the node, many requests at a time.
    Fetching {
        /// Requests that are answered.
        done: usize,
        /// All requests of this pass.
        all: usize,
    },
    /// It executes the block on the state that is known.
    Executing {
        /// Number of this execution, from 1.
        pass: usize,
    },
    /// It executes the block while the node answers one request after another.
    Waiting,
}

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
    /// Requests to the node at a time.
    parallel: usize,
    chain_id: u64,
    block_number: u64,
    block: Value,
    accounts: Mutex<BTreeMap<Address, Kept>>,
    /// Answers that do not change and are no state, by request.
    constants: Mutex<BTreeMap<String, Value>>,
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
        // An Anvil that itself forks stops answering for ever when as many requests as it has threads wait for its fork.
        let info = client.request_noparams::<Value>("anvil_nodeInfo").await;
        let parallel =
            if info.is_ok_and(|info| info["forkConfig"]["forkUrl"].is_string()) { 1 } else { PARALLEL_REQUESTS };
        let (accounts, constants) = Default::default();
        let keeping = Keeping { endpoint, client, parallel, chain_id, block_number, block, accounts, constants };
        let keeping = Arc::new(keeping);
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

    /// Fetches the state that the block's transactions are likely to read, many requests at a time: what the node's
    /// access lists name, and where it makes none the accounts that the transactions name.
    ///
    /// # Errors
    /// When the node does not answer, or the block does not have the form of an Ethereum block.
    pub async fn prefetch(&self, progress: impl Fn(Progress)) -> eyre::Result<()> {
        let keeping = &*self.keeping;
        let empty = Vec::new();
        let transactions = keeping.block["transactions"].as_array().unwrap_or(&empty);
        let lists = transactions.iter().map(|transaction| keeping.access_list(transaction));
        let lists: Vec<_> = stream::iter(lists).buffer_unordered(keeping.parallel).collect().await;
        let header = self.block()?.header;
        let mut places = BTreeSet::from([(header.beneficiary, None)]);
        places.extend(ANVILS_OWN.map(|account| (account, None)));
        if header.requests_hash.is_some() {
            let slot = U256::from((keeping.block_number - 1) % BLOCK_HASHES_HELD);
            places.extend([(BLOCK_HASHES, None), (BLOCK_HASHES, Some(slot))]);
        }
        places.extend(lists.into_iter().flatten());
        keeping.fetch_all(&places, progress).await
    }

    /// Executes the block again under the rules of a hard fork, one of [`HARDFORKS`](super::HARDFORKS), and records the
    /// state that it reads. The time that this takes hardly depends on how far away the node is: [prefetched](
    /// Recorder::prefetch) state is completed by executing the block on it, with everything unknown as empty, and then
    /// fetching all at once what turned out to be unknown, until an execution meets nothing unknown. Where an execution
    /// meets little that is unknown, the next one is made in front of the node itself.
    ///
    /// # Errors
    /// When the node does not answer, and as [`replay_under`].
    pub async fn replay(&self, tools: &Tools, rules: &str, progress: impl Fn(Progress)) -> eyre::Result<Replayed> {
        let block = self.block()?;
        self.prefetch(&progress).await?;
        for pass in 1..=MAX_PASSES {
            progress(Progress::Executing { pass });
            let guessing = Arc::new(Guessing { keeping: Arc::clone(&self.keeping), unknown: Mutex::default() });
            let server = Server::start(Arc::clone(&guessing)).await?;
            let replayed = Box::pin(replay_under(tools, &server.http_url(), &block, rules)).await;
            let unknown = mem::take(&mut *guessing.unknown());
            if unknown.is_empty() {
                return replayed;
            }
            self.keeping.fetch_all(&unknown, &progress).await?;
            if unknown.len() <= FEW_UNKNOWN {
                break;
            }
        }
        progress(Progress::Waiting);
        Box::pin(replay_under(tools, &self.http_url(), &block, rules)).await
    }

    /// Returns a recording of the block and of all accounts that were requested so far. Balance, nonce and code that
    /// were not requested are fetched now.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn recording(&self) -> eyre::Result<Recording> {
        let keeping = &self.keeping;
        let requested: BTreeSet<_> = keeping.accounts().keys().map(|address| (*address, None)).collect();
        keeping.fetch_all(&requested, |_| {}).await?;
        let kept = keeping.accounts().clone();
        let accounts = kept.into_iter().map(|(address, Kept { balance, nonce, code, storage })| {
            let whole = balance.zip(nonce).zip(code);
            let ((balance, nonce), code) = whole.wrap_err_with(|| {
                format!("{} answers requests for the account {address} in no known form", keeping.endpoint)
            })?;
            Ok((address, Account { balance, nonce, code, storage }))
        });
        let accounts = accounts.collect::<eyre::Result<_>>()?;
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

    fn constants(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.constants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of the block before the recorded one, as a parameter.
    fn before(&self) -> Value {
        quantity(self.block_number - 1)
    }

    /// Returns the accounts and slots that a transaction reads on the state before the block, by the node's access list;
    /// the accounts that the transaction names where the node does not make one.
    async fn access_list(&self, transaction: &Value) -> BTreeSet<Place> {
        let mut call = json!({});
        for field in ["from", "to", "input", "value", "gas"] {
            if !transaction[field].is_null() {
                call[field] = transaction[field].clone();
            }
        }
        let mut places = BTreeSet::new();
        let address = |value: &Value| Address::deserialize(value).ok().map(|address| (address, None));
        places.extend([&transaction["from"], &transaction["to"]].into_iter().filter_map(address));
        let answer = self.client.request::<_, Value>("eth_createAccessList", json!([call, self.before()])).await;
        let lists = answer.as_ref().ok().map(|answer| &answer["accessList"]).into_iter();
        let entries = lists.chain([&transaction["accessList"]]).filter_map(Value::as_array).flatten();
        for entry in entries {
            let Some((address, _)) = address(&entry["address"]) else { continue };
            places.insert((address, None));
            let slots = entry["storageKeys"].as_array().into_iter().flatten();
            places.extend(slots.filter_map(|slot| U256::deserialize(slot).ok()).map(|slot| (address, Some(slot))));
        }
        places
    }

    /// Fetches accounts and slots that are not recorded yet, many requests at a time.
    async fn fetch_all(&self, places: &BTreeSet<Place>, progress: impl Fn(Progress)) -> eyre::Result<()> {
        let before = self.before();
        let requests = places.iter().flat_map(|(address, slot)| match slot {
            Some(slot) => vec![Request::new("eth_getStorageAt", vec![json!(address), json!(slot), before.clone()])],
            None => ["eth_getBalance", "eth_getTransactionCount", "eth_getCode"]
                .map(|method| Request::new(method, vec![json!(address), before.clone()]))
                .to_vec(),
        });
        let requests: Vec<_> = requests.filter(|request| self.recorded(request).is_none()).collect();
        let all = requests.len();
        let answers = requests.into_iter().map(|request| async move {
            let answer = self.request(&request).await?;
            self.keep(&request, &answer);
            Ok::<_, ChainError>(())
        });
        let mut answers = stream::iter(answers).buffer_unordered(self.parallel).enumerate();
        while let Some((before_it, answer)) = answers.next().await {
            answer?;
            progress(Progress::Fetching { done: before_it + 1, all });
        }
        Ok(())
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

    /// Sends a request to the node, more than once where it does not answer or limits the rate of requests.
    async fn request(&self, request: &Request) -> Result<Value, ChainError> {
        let (mut attempt, mut pause) = (1, FIRST_PAUSE);
        loop {
            let answer = self.client.request::<_, Value>(request.method.clone(), request.params.clone()).await;
            let failure = match answer {
                Ok(answer) => return Ok(answer),
                Err(RpcError::NullResp) => return Ok(Value::Null),
                Err(failure) => ChainError::of_transport(&self.endpoint, &failure),
            };
            if attempt == ATTEMPTS || !failure.is_retryable() {
                return Err(failure);
            }
            time::sleep(pause).await;
            (attempt, pause) = (attempt + 1, pause * 2);
        }
    }

    /// Asks the node, and records the answer where it is state before the block or cannot change.
    async fn fetch(&self, request: &Request) -> Reply {
        let constant = match (request.method.as_str(), request.param(0).as_str()) {
            ("eth_chainId" | "net_version" | "eth_getBlockByHash", _) => true,
            ("eth_getBlockByNumber", Some(block)) => block.starts_with("0x"),
            _ => false,
        };
        let key = constant.then(|| format!("{} {}", request.method, json!(request.params)));
        if let Some(answer) = key.as_ref().and_then(|key| self.constants().get(key).cloned()) {
            return Ok(answer);
        }
        match self.request(request).await {
            Ok(answer) => {
                self.keep(request, &answer);
                if let Some(key) = key.filter(|_| !answer.is_null()) {
                    self.constants().insert(key, answer.clone());
                }
                Ok(answer)
            }
            Err(failure) => {
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
            None => self.fetch(request).await,
        }
    }
}

/// Answers for state before the block at once: where it is not recorded as empty, which is noted.
#[derive(Debug)]
struct Guessing {
    keeping: Arc<Keeping>,
    unknown: Mutex<BTreeSet<Place>>,
}

impl Guessing {
    fn unknown(&self) -> MutexGuard<'_, BTreeSet<Place>> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the empty answer to a request for state before the block, and notes what it is about.
    fn guess(&self, request: &Request) -> Option<Value> {
        let address = Address::deserialize(request.param(0)).ok()?;
        let (block_position, slot, empty) = match request.method.as_str() {
            "eth_getAccountInfo" => (1, None, json!({ "balance": "0x0", "nonce": "0x0", "code": "0x" })),
            "eth_getBalance" | "eth_getTransactionCount" => (1, None, json!("0x0")),
            "eth_getCode" => (1, None, json!("0x")),
            "eth_getStorageAt" => (2, Some(U256::deserialize(request.param(1)).ok()?), json!(B256::ZERO)),
            _ => return None,
        };
        self.keeping.is_before(request.param(block_position)).then(|| {
            self.unknown().insert((address, slot));
            empty
        })
    }
}

impl Answers for Guessing {
    async fn answer(&self, request: &Request) -> Reply {
        match self.keeping.recorded(request).or_else(|| self.guess(request)) {
            Some(answer) => Ok(answer),
            None => self.keeping.fetch(request).await,
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
