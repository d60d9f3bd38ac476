//! The other protocols: each is followed by a task of its own, so that none waits for another one's logs, and hands the
//! engine what can be liquidated in each newest block.
//!
//! Each block has one request, made as soon as its head is known and while its logs are being fetched: what the protocol reads,
//! values of tokens, and trials of the liquidations that a small fall of a price would make possible. So there is one round
//! trip from a head to a transaction for a position near the line, if the block's logs say nothing of it.
//!
//! ```text
//! follower ──ProtocolBlock──► decisions ──► sender
//!     └──NearPositions──► what the next block's request tries ──► follower
//!                    └──► pools that are read by a task of its own ──► the same, once they are known
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use alloy::primitives::{Address, B256, U256, uint};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use plimsoll_protocols::{Deployment, IdentityError, Lot, PositionSummary, Size, wrapped};
use tokio::{
    sync::{mpsc, watch},
    task::{self, JoinSet},
    time::{self, Instant},
};
use tracing::{error, instrument, warn};

use super::{
    Engine,
    failover::FailoverReader,
    pricing::Pricing,
    protocol_follower::{ProtocolError, ProtocolFollower},
    races::Emitters,
};
use crate::{
    chain::Header,
    intent::Priority,
    prices::{Answers, BlockReader, Call, Prices, Values},
    record::{self, Stage},
    routing::router::{PoolReading, PoolsRead},
    store::Checkpoint,
    strategies::{BlockContext, Decision, Decisions, SkipReason, seize::PositionId},
    stream::Step,
    view::{ProtocolView, count},
};

/// Pause between two attempts to reach a node before a protocol can be followed.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// Health factor × 10¹⁸ below which pools are kept known for a position.
const NEAR: U256 = uint!(1_100_000_000_000_000_000_U256);
/// Most positions for which pools are kept known.
const MAX_NEAR: usize = 200;

/// Health factor × 10¹⁸ below which liquidations are tried before it is known whether they are possible: feeds report a price
/// that differs by half a percent or one.
const REACH: U256 = uint!(1_020_000_000_000_000_000_U256);
/// Most positions of each market that are tried so.
const MAX_WITHIN_REACH: usize = 4;

/// The least bonus of each debt token that can pay for a liquidation.
type LeastBonuses = BTreeMap<Address, U256>;

/// What the engine tells the task that follows a protocol, for the blocks to come.
#[derive(Debug, Clone, Default)]
struct Terms {
    least_bonuses: Arc<LeastBonuses>,
    /// Calls to make with each block's request.
    ahead: Vec<Call>,
}

/// The positions of a protocol that are near to liquidation in a block, where a bonus in the debt token is worth something.
#[derive(Debug)]
pub(super) struct NearPositions {
    /// The protocol's main contract.
    deployment: Address,
    /// Hash of the block.
    block: B256,
    /// Collateral and debt tokens of the nearest ones.
    sales: BTreeSet<(Address, Address)>,
    /// The lots of those that are within reach.
    lots: Vec<Lot>,
}

/// What is known of a protocol in a newest block.
#[derive(Debug)]
pub(super) struct ProtocolBlock {
    /// The deployment that the block was read for.
    pub(super) deployment: Deployment,
    /// Header of the block.
    pub(super) header: Header,
    /// When its state was known.
    pub(super) at: Instant,
    /// The highest block that was not reverted since the block that was handed out before; `None` if none was.
    pub(super) reverted_to: Option<u64>,
    /// What can be liquidated; `None` where nothing may be decided: while nothing is known of what a bonus is worth, and where
    /// the chain contradicts what is known.
    pub(super) lots: Option<Vec<Lot>>,
    /// Answers to the block's request.
    pub(super) answers: Arc<Answers>,
    /// Contracts whose logs tell of it.
    pub(super) contracts: BTreeSet<Address>,
    /// Number of its markets and of its positions with debt.
    pub(super) size: Size,
    /// Why what is known is not certain; empty as long as everything adds up.
    pub(super) differences: Vec<String>,
}

/// What the task that follows a protocol tells, in this order in each newest block.
#[derive(Debug)]
enum Message {
    Block(Box<ProtocolBlock>),
    /// Found while it is decided about the block.
    Near(NearPositions),
}

/// What comes of the protocols.
#[derive(Debug)]
pub(super) enum ProtocolUpdate {
    /// A newest block, to be decided on.
    Block(Box<ProtocolBlock>),
    /// What may become liquidatable in the next block.
    Near(NearPositions),
    /// Pools that were to be read, or why they were not.
    Pools(Result<PoolsRead, ChainError>),
}

/// What the trials in the next block's request of a protocol follow from.
#[derive(Debug)]
struct Outlook {
    deployment: Deployment,
    header: Header,
    /// Lots that are liquidatable in the block.
    lots: Vec<Lot>,
    /// Lots of positions that are within reach; none before they are known.
    near: Vec<Lot>,
    /// Values of the tokens in the block; `None` before they are read.
    values: Option<Values>,
}

/// The tasks that follow protocols.
#[derive(Debug)]
pub(super) struct Protocols {
    messages: mpsc::UnboundedReceiver<Message>,
    /// The newest block of each protocol that was not handed out yet.
    waiting: BTreeMap<Address, Box<ProtocolBlock>>,
    /// The same of positions that are near.
    waiting_near: BTreeMap<Address, NearPositions>,
    /// Number of the newest block of each protocol.
    newest: BTreeMap<Address, u64>,
    /// The newest block of each protocol that was decided on.
    outlooks: BTreeMap<Address, Outlook>,
    /// By the protocol's main contract.
    terms: BTreeMap<Address, watch::Sender<Terms>>,
    /// Reads pools, one block's at a time.
    readings: JoinSet<Result<PoolsRead, ChainError>>,
    /// Aborts the tasks when it is dropped.
    _tasks: JoinSet<()>,
}

impl Protocols {
    /// Starts to follow protocols by these nodes, each from its checkpoint. Liquidations are tried from `keeper`. The chain's own
    /// coin is liquidated as the token that wraps it.
    pub(super) fn start(
        nodes: &[Arc<Endpoint>],
        deployments: Vec<(Deployment, Checkpoint)>,
        keeper: Address,
        wrapped_coin: Address,
    ) -> Self {
        let (sender, messages) = mpsc::unbounded_channel();
        let (mut terms, mut tasks) = (BTreeMap::new(), JoinSet::new());
        for (deployment, checkpoint) in deployments {
            let own: &mut watch::Sender<Terms> = terms.entry(deployment.address).or_default();
            let known = (deployment, Arc::new(checkpoint), keeper);
            tasks.spawn(follow(nodes.to_vec(), known, wrapped_coin, own.subscribe(), sender.clone()));
        }
        Self {
            messages,
            waiting: BTreeMap::new(),
            waiting_near: BTreeMap::new(),
            newest: BTreeMap::new(),
            outlooks: BTreeMap::new(),
            terms,
            readings: JoinSet::new(),
            _tasks: tasks,
        }
    }

    /// Waits for the next update, a newest block before anything else; for ever where no protocol is followed. Older blocks
    /// that wait are left out. May be dropped at any point.
    pub(super) async fn next(&mut self) -> ProtocolUpdate {
        loop {
            while let Ok(message) = self.messages.try_recv() {
                self.hold(message);
            }
            if let Some((_, block)) = self.waiting.pop_first() {
                return ProtocolUpdate::Block(block);
            }
            if let Some((_, near)) = self.waiting_near.pop_first() {
                return ProtocolUpdate::Near(near);
            }
            tokio::select! {
                biased;
                message = self.messages.recv() => match message {
                    Some(message) => self.hold(message),
                    None => std::future::pending().await,
                },
                Some(Ok(read)) = self.readings.join_next() => return ProtocolUpdate::Pools(read),
            }
        }
    }

    /// Keeps a message until it is handed out, in the place of an older one of the protocol.
    fn hold(&mut self, message: Message) {
        match message {
            Message::Block(mut block) => {
                let address = block.deployment.address;
                let older = self.waiting.remove(&address);
                block.reverted_to = lower(block.reverted_to, older.and_then(|older| older.reverted_to));
                self.newest.insert(address, block.header.number);
                self.waiting.insert(address, block);
            }
            Message::Near(near) => {
                self.waiting_near.insert(near.deployment, near);
            }
        }
    }

    /// Returns whether a protocol that was known in the block before this one is not known in it yet.
    pub(super) fn are_behind(&self, block: u64) -> bool {
        self.newest.values().any(|newest| newest.checked_add(1) == Some(block))
    }

    /// Begins to read pools, unless some are being read.
    fn read_pools(&mut self, reading: PoolReading, reader: BlockReader<FailoverReader>, header: Header) {
        if self.readings.is_empty() && !reading.is_empty() {
            self.readings.spawn(async move { reading.run_with_ticks(&reader, &header).await });
        }
    }

    /// Sets what a bonus must be in the blocks to come, and what is tried with the request of each of a protocol's.
    pub(super) fn set_terms(&self, deployment: Address, least: LeastBonuses, ahead: Vec<Call>) {
        let least = Arc::new(least);
        let mut ahead = Some(ahead);
        for (address, terms) in &self.terms {
            let own = if *address == deployment { ahead.take() } else { None };
            terms.send_modify(|terms| {
                terms.least_bonuses = Arc::clone(&least);
                terms.ahead = own.unwrap_or_else(|| std::mem::take(&mut terms.ahead));
            });
        }
    }
}

/// Returns the lower of two numbers, of which either may be missing.
fn lower(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// Follows a protocol for as long as its logs are what they should be.
async fn follow(
    nodes: Vec<Arc<Endpoint>>,
    (deployment, checkpoint, keeper): (Deployment, Arc<Checkpoint>, Address),
    wrapped_coin: Address,
    mut terms: watch::Receiver<Terms>,
    messages: mpsc::UnboundedSender<Message>,
) {
    let (protocol, address) = (deployment.protocol, deployment.address);
    let mut follower = loop {
        match ProtocolFollower::start(nodes.clone(), deployment.clone(), keeper, Some(Arc::clone(&checkpoint))).await {
            Ok(follower) => break follower,
            Err(problem) if problem.is::<IdentityError>() => {
                error!(%protocol, %address, %problem, "protocol not followed");
                return;
            }
            Err(problem) => warn!(%protocol, %problem, "waiting for a node"),
        }
        time::sleep(RETRY_INTERVAL).await;
    };
    let mut reverted_to = None;
    loop {
        // Before the next step is waited for, which may be dropped.
        follower.record().await;
        let step = tokio::select! {
            step = follower.next_step() => step,
            Ok(()) = terms.changed() => {
                let Terms { least_bonuses, ahead } = terms.borrow_and_update().clone();
                follower.set_least_bonuses(&least_bonuses);
                follower.set_ahead(ahead);
                continue;
            }
        };
        if let Step::Revert { to } = &step {
            reverted_to = lower(reverted_to, Some(to.number));
        }
        let (header, observed) = match follower.process(step).await {
            Ok(None) => continue,
            Ok(Some(observed)) => observed,
            Err(problem @ (ProtocolError::NotRead(_) | ProtocolError::PartlyRead(_))) => {
                warn!(%protocol, %problem, "protocol not read, nothing of it is decided in this block");
                continue;
            }
            Err(ProtocolError::Unknown(problem)) => {
                error!(%protocol, %address, problem, "protocol not followed any more");
                return;
            }
        };
        let least = Arc::clone(&terms.borrow().least_bonuses);
        let followed = follower.protocol();
        let differences: Vec<_> = observed.differences.iter().map(ToString::to_string).collect();
        // Nothing is done by a state that the chain contradicts.
        let is_known = !least.is_empty() && differences.is_empty();
        let in_token = |token: Address| wrapped(token, wrapped_coin);
        let in_tokens = |mut lots: Vec<Lot>| {
            for lot in &mut lots {
                (lot.collateral, lot.debt) = (in_token(lot.collateral), in_token(lot.debt));
            }
            lots
        };
        let least_bonus = |token: Address| least.get(&in_token(token)).copied();
        let lots = is_known.then(|| in_tokens(followed.liquidatable(&least_bonus)));
        let block = ProtocolBlock {
            deployment: deployment.clone(),
            header,
            at: Instant::now(),
            reverted_to: reverted_to.take(),
            lots,
            answers: follower.answers(),
            contracts: followed.log_filter().addresses,
            size: followed.size(),
            differences,
        };
        if messages.send(Message::Block(Box::new(block))).is_err() {
            return;
        }
        let followed = follower.protocol();
        let sale = |position: &PositionSummary| (in_token(position.collateral_token), in_token(position.debt_token));
        let near = followed.positions_below(NEAR, MAX_NEAR);
        let sales = near.iter().map(sale).filter(|(_, debt)| least.contains_key(debt)).collect();
        let nearly = || in_tokens(followed.nearly_liquidatable(REACH, MAX_WITHIN_REACH, &least_bonus));
        let lots = if is_known { nearly() } else { Vec::new() };
        let near = NearPositions { deployment: address, block: header.hash, sales, lots };
        if messages.send(Message::Near(near)).is_err() {
            return;
        }
    }
}

impl Engine {
    /// Decides about a newest block of another protocol, or prepares the next one.
    pub(super) async fn on_protocol_update(&mut self, update: ProtocolUpdate) {
        match update {
            ProtocolUpdate::Block(block) => self.on_protocol_block(*block).await,
            ProtocolUpdate::Near(near) => self.on_near_positions(near).await,
            ProtocolUpdate::Pools(Ok(pools)) => {
                if let Some(seize) = self.strategies.seize_mut() {
                    seize.take_pools(pools);
                }
                for deployment in self.protocols.outlooks.keys().copied().collect::<Vec<_>>() {
                    self.plan_trials(deployment).await;
                }
            }
            ProtocolUpdate::Pools(Err(problem)) => warn!(%problem, "pools not read"),
        }
    }

    /// Decides about what can be liquidated on another protocol in a newest block, and submits what pays.
    #[instrument(name = "protocol_block", skip_all, fields(protocol = %block.deployment.protocol, block = block.header.number))]
    async fn on_protocol_block(&mut self, block: ProtocolBlock) {
        let ProtocolBlock { deployment, header, at, reverted_to, lots, answers, contracts, size, differences } = block;
        let mut verdicts = Vec::new();
        for difference in &differences {
            error!(difference, "protocol differs, nothing of it is decided in this block");
        }
        if let Some(to) = reverted_to {
            // This protocol's stream may be ahead of that of the book.
            self.submissions.on_revert(to);
        }
        // What was mined since then would be sent again.
        if self.latest.as_ref().is_some_and(|latest| latest.header.number > header.number) {
            return;
        }
        self.pricing.reader.add_answers(&header, answers);
        if let Some(lots) = &lots {
            let timer = record::stage(Stage::DecideProtocol);
            let prices = Prices::default();
            let context = self.seize_context(&header, &prices).await;
            let emitters = Emitters { protocol: deployment.protocol, addresses: contracts };
            self.submissions.liquidatable.record(deployment.address, (header.number, lots), emitters);
            let exclusion = self.submissions.exclusion(header.number, &self.pauses.active);
            let Pricing { reader, valuer, .. } = &mut self.pricing;
            let round = self.strategies.seizures(reader, valuer, (&deployment, lots), context, &exclusion).await;
            drop(timer);
            let Some(Decisions { intents, verdicts: decided, .. }) = round else { return };
            let sends_nothing = intents.is_empty();
            for intent in intents {
                self.submit(intent, &header, at, context.costs.gas_price);
            }
            if !sends_nothing {
                // The signer's task runs before the rest of this step, also where no other thread is idle.
                task::yield_now().await;
            }
            for verdict in &decided {
                if verdict.decision == Decision::Skip(SkipReason::LostRace) {
                    self.submissions.clear_backoff(verdict.target.subject());
                }
            }
            verdicts = decided;
        }
        let view = ProtocolView {
            name: deployment.protocol.to_string(),
            address: deployment.address,
            block: header.number,
            markets: count(size.markets),
            positions: count(size.positions),
            decisions: Vec::new(),
            differences,
        };
        self.view.record_protocol(view, verdicts.iter().map(|verdict| &verdict.decision));
        if !self.view.is_deferred() {
            self.refresh_operations();
        }
        let lots = lots.unwrap_or_default();
        let outlook = Outlook { header, lots, near: Vec::new(), values: None, deployment };
        self.protocols.outlooks.insert(outlook.deployment.address, outlook);
    }

    /// Reads what the decisions of the next blocks depend on, and tells the protocol what to try with the next block's request.
    async fn on_near_positions(&mut self, near: NearPositions) {
        let NearPositions { deployment, block, sales, lots } = near;
        // A block that was not decided on needs none.
        let outlook = self.protocols.outlooks.get_mut(&deployment).filter(|outlook| outlook.header.hash == block);
        let (Some(outlook), Some(seize)) = (outlook, self.strategies.seize_mut()) else { return };
        let Pricing { reader, valuer, .. } = &mut self.pricing;
        let tokens: Vec<_> = self.config.tokens.sources().into_keys().collect();
        match valuer.values(reader, &outlook.header, &tokens).await {
            Ok(values) => (outlook.near, outlook.values) = (lots, Some(values)),
            Err(problem) => warn!(%problem, "values not read"),
        }
        let header = outlook.header;
        let reading = seize.pools_ahead(&header, sales);
        self.protocols.read_pools(reading, self.pricing.reader.clone(), header);
        self.plan_trials(deployment).await;
    }

    /// Tells a protocol what a liquidation must bring, and what to try with the next block's request by the pools that are known
    /// now.
    async fn plan_trials(&mut self, deployment: Address) {
        let Some(outlook) = self.protocols.outlooks.remove(&deployment) else { return };
        let prices = Prices::default();
        let context = self.seize_context(&outlook.header, &prices).await;
        let exclusion = self.submissions.exclusion_ahead(outlook.header.number, &self.pauses.active);
        let excluded = |position: PositionId| exclusion.skip_reason(&position.subject());
        let tokens: Vec<_> = self.config.tokens.sources().into_keys().collect();
        let valuer = &self.pricing.valuer;
        if let Some(seize) = self.strategies.seize_mut() {
            let mut ahead = valuer.calls(&tokens);
            if let Some(values) = &outlook.values {
                let lots = (outlook.near.as_slice(), outlook.lots.as_slice());
                ahead.extend(seize.speculate(&outlook.deployment, lots, values, context, &excluded));
            }
            self.protocols.set_terms(deployment, seize.least_bonuses(valuer, tokens, context), ahead);
        }
        self.protocols.outlooks.insert(deployment, outlook);
    }

    /// What decisions about other protocols depend on besides their lots.
    async fn seize_context<'a>(&mut self, header: &'a Header, prices: &'a Prices) -> BlockContext<'a> {
        let context = self.pricing.context(&self.config, header, prices).await;
        let room = self.affordable_room(Priority::High, context.costs, context.room);
        BlockContext { room, ..context }
    }
}

/// Which positions of other protocols were liquidatable in the newest block of each, by its main contract.
#[derive(Debug, Default)]
pub(super) struct Liquidatable(HashMap<Address, LiquidatablePositions>);

#[derive(Debug)]
struct LiquidatablePositions {
    block: u64,
    positions: HashSet<(B256, Address)>,
    emitters: Emitters,
}

impl Liquidatable {
    /// Records the lots of a protocol's newest block.
    pub(super) fn record(&mut self, deployment: Address, (block, lots): (u64, &[Lot]), emitters: Emitters) {
        let positions = lots.iter().map(|lot| (lot.market, lot.account)).collect();
        self.0.insert(deployment, LiquidatablePositions { block, positions, emitters });
    }

    /// Returns where a protocol's liquidations are logged; `None` where nothing is known of it yet.
    pub(super) fn emitters(&self, deployment: Address) -> Option<Emitters> {
        self.0.get(&deployment).map(|known| known.emitters.clone())
    }

    /// Whether a position is liquidatable as of the protocol's newest block, and worth it; `None` where that is not known of
    /// a block as new as `since`.
    pub(super) fn contains(&self, deployment: Address, market: B256, account: Address, since: u64) -> Option<bool> {
        let known = self.0.get(&deployment).filter(|known| known.block >= since)?;
        Some(known.positions.contains(&(market, account)))
    }
}
