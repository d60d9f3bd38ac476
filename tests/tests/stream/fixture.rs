//! A node whose only contract logs what it is told to, proxies in front of it, and a keeper's memory of what the stream
//! said, which must equal the node's own logs in the end.

use std::{collections::BTreeMap, time::Duration};

use alloy::{
    eips::BlockNumHash,
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256, address},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::{
        Filter, TransactionRequest,
        anvil::{ReorgOptions, TransactionData},
    },
    sol_types::SolEvent,
};
use eyre::{ContextCompat, bail, ensure, eyre};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_contracts::IPlimsoll;
use plimsoll_keeper::{
    chain::{Event, Sources},
    stream::{BlockEvents, Cursor, Rebuild, Settings, Step, Stream},
};
use plimsoll_testkit::{node::Node, proxy::Proxy};
use tokio::time;

use crate::support;

/// Stands for the core: it logs as told.
pub(super) const CORE: Address = address!("0x1000000000000000000000000000000000000001");

/// Three topics and a word of data, all from the call: CALLDATACOPY of the fourth word, three CALLDATALOADs, LOG3.
const CORE_CODE: [u8; 24] = [
    0x60, 0x20, 0x60, 0x60, 0x60, 0x00, 0x37, 0x60, 0x40, 0x35, 0x60, 0x20, 0x35, 0x60, 0x00, 0x35, 0x60, 0x20, 0x60,
    0x00, 0xa3, 0x00, 0x00, 0x00,
];

/// Fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

const GAS_LIMIT: u64 = 100_000;

/// What happened in each block in which anything did.
pub(super) type Events = BTreeMap<u64, (B256, Vec<Event>)>;

/// The node, and everybody's way to it.
pub(super) struct Fixture {
    pub(super) node: Node,
    pub(super) proxies: Vec<Proxy>,
    pub(super) provider: DynProvider,
    logged: u64,
}

/// How a stream reaches a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Http,
    WebSocket,
}

impl Fixture {
    /// A node with a first block, and so many proxies in front of it.
    pub(super) async fn new(proxies: usize) -> eyre::Result<Self> {
        Self::of(proxies, &[]).await
    }

    /// The same, with further arguments for the node.
    pub(super) async fn of(proxies: usize, arguments: &[&str]) -> eyre::Result<Self> {
        let node = Node::start(&support::tools()?, &[&["--no-mining"], arguments].concat()).await?;
        let mut in_front = Vec::new();
        for _ in 0..proxies {
            in_front.push(Proxy::start(node.address()).await?);
        }
        let provider = node.impersonating().await?;
        provider.anvil_set_code(CORE, Bytes::from_static(&CORE_CODE)).await?;
        provider.evm_mine(None).await?;
        Ok(Self { provider, node, proxies: in_front, logged: 0 })
    }

    /// A transaction that logs something that was not logged before.
    fn deed(&mut self) -> eyre::Result<TransactionRequest> {
        self.logged += 1;
        let (backstop, token) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let topics = [IPlimsoll::DepositCover::SIGNATURE_HASH, backstop.into_word(), token.into_word()];
        let call = [&topics.concat()[..], &U256::from(self.logged).to_be_bytes::<32>()].concat();
        let request = TransactionRequest::default().with_from(self.node.account(1)?).with_to(CORE);
        Ok(request.with_gas_limit(GAS_LIMIT).with_input(Bytes::from(call)))
    }

    /// Mines a block in which so much is logged.
    pub(super) async fn log(&mut self, events: usize) -> eyre::Result<()> {
        for _ in 0..events {
            let deed = self.deed()?;
            let _pending = self.provider.send_transaction(deed).await?;
        }
        Ok(self.provider.evm_mine(None).await.map(drop)?)
    }

    /// Mines blocks: in every third something is logged, in every sixth twice.
    pub(super) async fn go_on(&mut self, blocks: u64) -> eyre::Result<()> {
        for number in 1..=blocks {
            self.log(if number % 3 != 0 { 0 } else { 1 + usize::from(number % 6 == 0) }).await?;
        }
        Ok(())
    }

    /// Mines blocks in which nothing happens.
    pub(super) async fn idle(&self, blocks: u64) -> eyre::Result<()> {
        for _ in 0..blocks {
            self.provider.evm_mine(None).await?;
        }
        Ok(())
    }

    /// Replaces the last blocks by others, in the first and the last of which something is logged.
    pub(super) async fn reorganise(&mut self, depth: u64) -> eyre::Result<()> {
        let pairs = [(self.deed()?, 0), (self.deed()?, depth - 1)];
        let tx_block_pairs = pairs.map(|(deed, block)| (TransactionData::JSON(deed), block)).to_vec();
        Ok(self.provider.anvil_reorg(ReorgOptions { depth, tx_block_pairs }).await?)
    }

    /// The newest block, by the node itself.
    pub(super) async fn head(&self) -> eyre::Result<BlockNumHash> {
        let block = self.provider.get_block(alloy::eips::BlockId::latest()).await?.wrap_err("no newest block")?;
        Ok(BlockNumHash { number: block.header.number, hash: block.header.hash })
    }

    pub(super) async fn block(&self, number: u64) -> eyre::Result<BlockNumHash> {
        let block = self.provider.get_block(number.into()).await?.wrap_err("no such block")?;
        Ok(BlockNumHash { number, hash: block.header.hash })
    }

    /// What truly happened.
    pub(super) async fn truth(&self) -> eyre::Result<Events> {
        let mut events = Events::new();
        for log in self.provider.get_logs(&Filter::new().address(CORE).from_block(0)).await? {
            let number = log.block_number.wrap_err("a log of no block")?;
            let hash = log.block_hash.wrap_err("a log of no block")?;
            let event = Self::sources().decode(&log.inner)?.wrap_err("another contract")?;
            events.entry(number).or_insert_with(|| (hash, Vec::new())).1.push(event);
        }
        Ok(events)
    }

    /// Everything as fast as a test wants it.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            deadline: Duration::from_secs(1),
            poll: Duration::from_millis(40),
            silence: Duration::from_millis(300),
            rollback_patience: Duration::from_millis(150),
            longest_reconnect: Duration::from_millis(300),
            ..Settings::new(31_337, Duration::from_secs(1))
        }
    }

    pub(super) fn sources() -> Sources {
        Sources { core: CORE, rewards: None }
    }

    /// Follows from the first block on, over the proxies in this order.
    pub(super) fn keeper(&self, ways: &[By]) -> eyre::Result<Keeper> {
        self.keeper_with(ways, Cursor { number: 0, hash: None }, self.settings())
    }

    pub(super) fn keeper_with(&self, ways: &[By], from: Cursor, settings: Settings) -> eyre::Result<Keeper> {
        ensure!(ways.len() == self.proxies.len(), "one way for each proxy");
        let urls = ways.iter().zip(&self.proxies).map(|(by, proxy)| match by {
            By::Http => proxy.http_url(),
            By::WebSocket => proxy.ws_url(),
        });
        let endpoints = urls.map(|url| url.parse::<Endpoint>()).collect::<Result<Vec<_>, _>>()?;
        Ok(Keeper::new(Stream::start(endpoints, Self::sources(), from, settings), from))
    }
}

/// Remembers what the stream said.
pub(super) struct Keeper {
    pub(super) stream: Stream,
    pub(super) events: Events,
    pub(super) at: BlockNumHash,
    from: Cursor,
    /// How many blocks were taken back, and how often.
    pub(super) undone: Vec<u64>,
    pub(super) rebuilt: Vec<Rebuild>,
    pub(super) rejected: u64,
    /// What a book would notice: when it is known, only the truth is taken.
    pub(super) truth: Option<Events>,
}

impl Keeper {
    fn new(stream: Stream, from: Cursor) -> Self {
        let at = BlockNumHash { number: from.number, hash: from.hash.unwrap_or_default() };
        Self {
            stream,
            events: Events::new(),
            at,
            from,
            undone: Vec::new(),
            rebuilt: Vec::new(),
            rejected: 0,
            truth: None,
        }
    }

    /// Takes what the stream says until it is at a block. Fails instead of waiting for ever.
    pub(super) async fn reach(&mut self, block: BlockNumHash) -> eyre::Result<()> {
        let reached = time::timeout(PATIENCE, async {
            while self.at != block {
                self.step().await?;
            }
            Ok(())
        });
        let reached = reached.await;
        reached.unwrap_or_else(|_| Err(eyre!("at {:?}, not {block:?}: {:#?}", self.at, self.stream.health())))
    }

    /// Waits until every endpoint has said what its newest block is.
    pub(super) async fn everybody_is_there(&self) {
        while self.stream.health().iter().any(|endpoint| endpoint.head.is_none()) {
            tokio::task::yield_now().await;
        }
    }

    /// The newest block, and everything that ever happened.
    pub(super) async fn equals(&mut self, fixture: &Fixture) -> eyre::Result<()> {
        self.reach(fixture.head().await?).await?;
        let truth = fixture.truth().await?;
        let difference = truth.iter().find(|(number, events)| self.events.get(number) != Some(events));
        ensure!(self.events == truth, "the first difference is in {difference:?}");
        Ok(())
    }

    /// One step.
    pub(super) async fn step(&mut self) -> eyre::Result<Step> {
        let step = self.stream.next().await;
        match &step {
            Step::Undo { to } => {
                ensure!(to.number < self.at.number, "undo to {to:?} from {:?}", self.at);
                self.undone.push(self.at.number - to.number);
                self.events.retain(|number, _| *number <= to.number);
                self.at = *to;
            }
            Step::Apply(block) => {
                ensure!(block.number > self.at.number, "block {} after {:?}", block.number, self.at);
                if self.does_not_add_up(block) {
                    self.rejected += 1;
                    self.stream.reject("this is not true");
                    return Ok(step);
                }
                self.note(block);
            }
            Step::Rebuild(reason) => {
                self.rebuilt.push(reason.clone());
                if self.rebuilt.len() > 3 {
                    bail!("begins anew again and again: {:?}", self.rebuilt);
                }
                self.events.clear();
                self.from.hash = None;
                self.at = BlockNumHash { number: self.from.number, hash: B256::ZERO };
                self.stream.restart(self.from);
                return Ok(step);
            }
        }
        self.stream.accept();
        Ok(step)
    }

    /// What a book would find: events that are missing in a block, or before one with events.
    fn does_not_add_up(&self, block: &BlockEvents) -> bool {
        let Some(truth) = &self.truth else { return false };
        let is_missing = |number: &u64| !self.events.contains_key(number);
        let differs = truth.get(&block.number).is_some_and(|(_, events)| *events != block.events);
        differs || !block.events.is_empty() && truth.range(..block.number).any(|(number, _)| is_missing(number))
    }

    fn note(&mut self, block: &BlockEvents) {
        self.at = BlockNumHash { number: block.number, hash: block.hash };
        if !block.events.is_empty() {
            self.events.insert(block.number, (block.hash, block.events.clone()));
        }
    }
}
