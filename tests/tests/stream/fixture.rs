//! A node whose only contract emits the logs that it is told to, proxies in front of it, and a record of the stream's
//! events, which must equal the node's logs in the end.

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
    stream::{BlockEvents, Cursor, ResyncReason, Step, Stream, StreamSettings},
};
use plimsoll_testkit::{node::Node, proxy::Proxy};
use tokio::time;

use crate::support;

/// Address of the contract that stands for the core.
pub(super) const CORE: Address = address!("0x1000000000000000000000000000000000000001");

/// Emits a log with three topics and a word of data, all from the calldata: CALLDATACOPY of the fourth word, three
/// CALLDATALOADs, LOG3.
const CORE_CODE: [u8; 24] = [
    0x60, 0x20, 0x60, 0x60, 0x60, 0x00, 0x37, 0x60, 0x40, 0x35, 0x60, 0x20, 0x35, 0x60, 0x00, 0x35, 0x60, 0x20, 0x60,
    0x00, 0xa3, 0x00, 0x00, 0x00,
];

/// How long a condition is waited for before the test fails.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

const GAS_LIMIT: u64 = 100_000;

/// The events of each block that has any.
pub(super) type Events = BTreeMap<u64, (B256, Vec<Event>)>;

/// The node and the proxies in front of it.
pub(super) struct Fixture {
    pub(super) node: Node,
    pub(super) proxies: Vec<Proxy>,
    pub(super) provider: DynProvider,
    logged: u64,
}

/// The transport over which a stream reaches a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Http,
    WebSocket,
}

impl Fixture {
    /// Starts a node with a first block, and a number of proxies.
    pub(super) async fn new(proxies: usize) -> eyre::Result<Self> {
        Self::of(proxies, &[]).await
    }

    /// Starts a node with further arguments for Anvil, and a number of proxies.
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

    /// Sends a transaction that emits a log which was not emitted before.
    fn deed(&mut self) -> eyre::Result<TransactionRequest> {
        self.logged += 1;
        let (backstop, token) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let topics = [IPlimsoll::DepositCover::SIGNATURE_HASH, backstop.into_word(), token.into_word()];
        let call = [&topics.concat()[..], &U256::from(self.logged).to_be_bytes::<32>()].concat();
        let request = TransactionRequest::default().with_from(self.node.account(1)?).with_to(CORE);
        Ok(request.with_gas_limit(GAS_LIMIT).with_input(Bytes::from(call)))
    }

    /// Mines a block with a number of logs.
    pub(super) async fn log(&mut self, events: usize) -> eyre::Result<()> {
        for _ in 0..events {
            let deed = self.deed()?;
            let _pending = self.provider.send_transaction(deed).await?;
        }
        Ok(self.provider.evm_mine(None).await.map(drop)?)
    }

    /// Mines blocks; every third has a log, every sixth two.
    pub(super) async fn mine_activity(&mut self, blocks: u64) -> eyre::Result<()> {
        for number in 1..=blocks {
            self.log(if number % 3 != 0 { 0 } else { 1 + usize::from(number % 6 == 0) }).await?;
        }
        Ok(())
    }

    /// Mines blocks without logs.
    pub(super) async fn idle(&self, blocks: u64) -> eyre::Result<()> {
        for _ in 0..blocks {
            self.provider.evm_mine(None).await?;
        }
        Ok(())
    }

    /// Replaces the last blocks by others; the first and the last of them have a log.
    pub(super) async fn reorg(&mut self, depth: u64) -> eyre::Result<()> {
        let pairs = [(self.deed()?, 0), (self.deed()?, depth - 1)];
        let tx_block_pairs = pairs.map(|(deed, block)| (TransactionData::JSON(deed), block)).to_vec();
        Ok(self.provider.anvil_reorg(ReorgOptions { depth, tx_block_pairs }).await?)
    }

    /// Returns the newest block, by the node itself.
    pub(super) async fn head(&self) -> eyre::Result<BlockNumHash> {
        let block = self.provider.get_block(alloy::eips::BlockId::latest()).await?.wrap_err("no newest block")?;
        Ok(BlockNumHash { number: block.header.number, hash: block.header.hash })
    }

    pub(super) async fn block(&self, number: u64) -> eyre::Result<BlockNumHash> {
        let block = self.provider.get_block(number.into()).await?.wrap_err("no such block")?;
        Ok(BlockNumHash { number, hash: block.header.hash })
    }

    /// Returns the node's own logs.
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

    /// Returns settings with short timeouts, for tests.
    pub(super) fn settings(&self) -> StreamSettings {
        StreamSettings {
            request_timeout: Duration::from_secs(1),
            poll_interval: Duration::from_millis(40),
            max_silence: Duration::from_millis(300),
            rollback_patience: Duration::from_millis(150),
            max_reconnect_delay: Duration::from_millis(300),
            ..StreamSettings::new(31_337, Duration::from_secs(1))
        }
    }

    pub(super) fn sources() -> Sources {
        Sources::all(CORE, None)
    }

    /// Follows the chain from the first block, over the proxies in this order.
    pub(super) fn keeper(&self, transports: &[Transport]) -> eyre::Result<EventRecord> {
        self.keeper_with(transports, Cursor { number: 0, hash: None }, self.settings())
    }

    pub(super) fn keeper_with(
        &self,
        transports: &[Transport],
        from: Cursor,
        settings: StreamSettings,
    ) -> eyre::Result<EventRecord> {
        ensure!(transports.len() == self.proxies.len(), "one transport for each proxy");
        let urls = transports.iter().zip(&self.proxies).map(|(by, proxy)| match by {
            Transport::Http => proxy.http_url(),
            Transport::WebSocket => proxy.ws_url(),
        });
        let endpoints = urls.map(|url| url.parse::<Endpoint>()).collect::<Result<Vec<_>, _>>()?;
        Ok(EventRecord::new(Stream::start(endpoints, Self::sources(), from, settings), from))
    }
}

/// A record of the stream's events.
pub(super) struct EventRecord {
    pub(super) stream: Stream,
    pub(super) events: Events,
    pub(super) at: BlockNumHash,
    from: Cursor,
    /// The number of blocks of each revert.
    pub(super) reverted: Vec<u64>,
    pub(super) rebuilt: Vec<ResyncReason>,
    pub(super) rejected: u64,
    /// The correct events, if known: steps that differ are rejected, as a book would.
    pub(super) truth: Option<Events>,
}

impl EventRecord {
    pub(super) fn new(stream: Stream, from: Cursor) -> Self {
        let at = BlockNumHash { number: from.number, hash: from.hash.unwrap_or_default() };
        Self {
            stream,
            events: Events::new(),
            at,
            from,
            reverted: Vec::new(),
            rebuilt: Vec::new(),
            rejected: 0,
            truth: None,
        }
    }

    /// Takes steps until the stream is at a block. Fails instead of waiting for ever.
    pub(super) async fn reach(&mut self, block: BlockNumHash) -> eyre::Result<()> {
        let reached = time::timeout(WAIT_TIMEOUT, async {
            while self.at != block {
                self.step().await?;
            }
            Ok(())
        });
        let reached = reached.await;
        reached.unwrap_or_else(|_| Err(eyre!("at {:?}, not {block:?}: {:#?}", self.at, self.stream.health())))
    }

    /// Waits until every endpoint has reported its newest block.
    pub(super) async fn wait_for_all_heads(&self) {
        while self.stream.health().iter().any(|endpoint| endpoint.head.is_none()) {
            tokio::task::yield_now().await;
        }
    }

    /// Takes steps until the newest block, and checks that all events equal the node's.
    pub(super) async fn assert_equals(&mut self, fixture: &Fixture) -> eyre::Result<()> {
        self.reach(fixture.head().await?).await?;
        let truth = fixture.truth().await?;
        let difference = truth.iter().find(|(number, events)| self.events.get(number) != Some(events));
        ensure!(self.events == truth, "the first difference is in {difference:?}");
        Ok(())
    }

    /// Takes one step.
    pub(super) async fn step(&mut self) -> eyre::Result<Step> {
        let step = self.stream.next().await;
        match &step {
            Step::Revert { to } => {
                ensure!(to.number < self.at.number, "undo to {to:?} from {:?}", self.at);
                self.reverted.push(self.at.number - to.number);
                self.events.retain(|number, _| *number <= to.number);
                self.at = *to;
            }
            Step::Apply(block) => {
                ensure!(block.number > self.at.number, "block {} after {:?}", block.number, self.at);
                if self.is_inconsistent(block) {
                    self.rejected += 1;
                    self.stream.reject("this is not true");
                    return Ok(step);
                }
                self.record(block);
            }
            Step::Resync(reason) => {
                self.rebuilt.push(reason.clone());
                if self.rebuilt.len() > 3 {
                    bail!("is rebuilt again and again: {:?}", self.rebuilt);
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

    /// Returns what a book would notice: events that are missing in a block, or before one with events.
    fn is_inconsistent(&self, block: &BlockEvents) -> bool {
        let Some(truth) = &self.truth else { return false };
        let is_missing = |number: &u64| !self.events.contains_key(number);
        let differs = truth.get(&block.number).is_some_and(|(_, events)| *events != block.events);
        differs || !block.events.is_empty() && truth.range(..block.number).any(|(number, _)| is_missing(number))
    }

    fn record(&mut self, block: &BlockEvents) {
        self.at = BlockNumHash { number: block.number, hash: block.hash };
        if !block.events.is_empty() {
            self.events.insert(block.number, (block.hash, block.events.clone()));
        }
    }
}
