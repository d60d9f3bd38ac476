//! The other protocols: each is followed by a task of its own, so that none waits for another one's logs, and hands the
//! engine what can be liquidated in each newest block.
//!
//! Each block has one request, made as soon as its head is known and while its logs are being fetched: what the protocol reads,
//! values of tokens, and trials of the liquidations that a small fall of a price would make possible. So there is one round
//! trip from a head to a transaction for a position near the line, if the block's logs say nothing of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use alloy::primitives::{Address, B256, U256, uint};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_protocols::{Deployment, IdentityError, Lot, PositionSummary, Size};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{self, JoinSet},
    time::{self, Instant},
};
use tracing::{error, instrument, warn};

use super::{
    Engine,
    pricing::Pricing,
    protocol_follower::{ProtocolError, ProtocolFollower},
    races::Emitters,
};
use crate::{
    chain::Header,
    intent::Priority,
    prices::{Answers, Call, Prices},
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

/// The positions of a protocol that are near to liquidation, where a bonus in the debt token is worth something.
#[derive(Debug)]
pub(super) struct NearPositions {
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
    /// Found while it is decided about the lots.
    pub(super) near: oneshot::Receiver<NearPositions>,
    /// Contracts whose logs tell of it.
    pub(super) contracts: BTreeSet<Address>,
    /// Number of its markets and of its positions with debt.
    pub(super) size: Size,
    /// Why what is known is not certain; empty as long as everything adds up.
    pub(super) differences: Vec<String>,
}

/// The tasks that follow protocols.
#[derive(Debug)]
pub(super) struct Protocols {
    blocks: mpsc::UnboundedReceiver<ProtocolBlock>,
    /// The newest block of each protocol that was not handed out yet.
    waiting: BTreeMap<Address, ProtocolBlock>,
    /// By the protocol's main contract.
    terms: BTreeMap<Address, watch::Sender<Terms>>,
    /// Aborts the tasks when it is dropped.
    _tasks: JoinSet<()>,
}

impl Protocols {
    /// Starts to follow protocols by these nodes. Liquidations are tried from `keeper`.
    pub(super) fn start(nodes: &[Arc<Endpoint>], deployments: &[Deployment], keeper: Address) -> Self {
        let (sender, blocks) = mpsc::unbounded_channel();
        let (mut terms, mut tasks) = (BTreeMap::new(), JoinSet::new());
        for deployment in deployments {
            let own: &mut watch::Sender<Terms> = terms.entry(deployment.address).or_default();
            tasks.spawn(follow(nodes.to_vec(), (deployment.clone(), keeper), own.subscribe(), sender.clone()));
        }
        Self { blocks, waiting: BTreeMap::new(), terms, _tasks: tasks }
    }

    /// Waits for the next newest block of a protocol; for ever where none is followed. Older blocks that wait are left out.
    /// May be dropped at any point.
    pub(super) async fn next(&mut self) -> ProtocolBlock {
        if self.waiting.is_empty() {
            match self.blocks.recv().await {
                Some(block) => self.hold(block),
                None => std::future::pending().await,
            }
        }
        while let Ok(block) = self.blocks.try_recv() {
            self.hold(block);
        }
        match self.waiting.pop_first() {
            Some((_, block)) => block,
            None => std::future::pending().await,
        }
    }

    /// Keeps a block until it is handed out, in the place of an older one of the protocol.
    fn hold(&mut self, mut block: ProtocolBlock) {
        let older = self.waiting.remove(&block.deployment.address);
        block.reverted_to = lower(block.reverted_to, older.and_then(|older| older.reverted_to));
        self.waiting.insert(block.deployment.address, block);
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
    (deployment, keeper): (Deployment, Address),
    mut terms: watch::Receiver<Terms>,
    blocks: mpsc::UnboundedSender<ProtocolBlock>,
) {
    let (protocol, address) = (deployment.protocol, deployment.address);
    let mut follower = loop {
        match ProtocolFollower::start(nodes.clone(), deployment.clone(), keeper).await {
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
        let step = tokio::select! {
            step = follower.next_step() => step,
            Ok(()) = terms.changed() => {
                let ahead = terms.borrow_and_update().ahead.clone();
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
        let least_bonus = |token: Address| least.get(&token).copied();
        let lots = is_known.then(|| followed.liquidatable(&least_bonus));
        let (found, near) = oneshot::channel();
        let block = ProtocolBlock {
            deployment: deployment.clone(),
            header,
            at: Instant::now(),
            reverted_to: reverted_to.take(),
            lots,
            answers: follower.answers(),
            near,
            contracts: followed.log_filter().addresses,
            size: followed.size(),
            differences,
        };
        if blocks.send(block).is_err() {
            return;
        }
        let followed = follower.protocol();
        let is_valued = |position: &PositionSummary| least.contains_key(&position.debt_token);
        let sale = |position: &PositionSummary| (position.collateral_token, position.debt_token);
        let near = followed.positions_below(NEAR, MAX_NEAR);
        let sales = near.iter().filter(|position| is_valued(position)).map(sale).collect();
        let lots =
            if is_known { followed.nearly_liquidatable(REACH, MAX_WITHIN_REACH, &least_bonus) } else { Vec::new() };
        // A block that is not decided on needs none.
        found.send(NearPositions { sales, lots }).ok();
    }
}

impl Engine {
    /// Decides about what can be liquidated on another protocol in a newest block, and submits what pays. Then reads what the
    /// decisions of the next blocks depend on.
    #[instrument(name = "protocol_block", skip_all, fields(protocol = %block.deployment.protocol, block = block.header.number))]
    pub(super) async fn on_protocol_block(&mut self, block: ProtocolBlock) {
        let ProtocolBlock { deployment, header, at, reverted_to, lots, answers, near, contracts, size, differences } =
            block;
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
        let prices = Prices::default();
        let context = self.pricing.context(&self.config, &header, &prices).await;
        let room = self.affordable_room(Priority::High, context.costs, context.room);
        let context = BlockContext { room, ..context };
        if let Some(lots) = &lots {
            let emitters = Emitters { protocol: deployment.protocol, addresses: contracts };
            self.submissions.liquidatable.record(deployment.address, (header.number, lots), emitters);
            let exclusion = self.submissions.exclusion(header.number, &self.pauses.active);
            let Pricing { reader, valuer, .. } = &mut self.pricing;
            let round = self.strategies.seizures(reader, valuer, (&deployment, lots), context, &exclusion).await;
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
        if let Ok(near) = near.await {
            let lots = lots.as_deref().unwrap_or_default();
            self.prepare_seizures((&deployment, &header), (&near, lots), context).await;
        }
    }

    /// Reads values and pools, and tells the protocols what a liquidation must bring, and what to try with the next block's
    /// request.
    async fn prepare_seizures(
        &mut self,
        (deployment, header): (&Deployment, &Header),
        (near, lots): (&NearPositions, &[Lot]),
        context: BlockContext<'_>,
    ) {
        let tokens: Vec<_> = self.config.tokens.sources().into_keys().collect();
        let exclusion = self.submissions.exclusion_ahead(header.number, &self.pauses.active);
        let Pricing { reader, valuer, .. } = &mut self.pricing;
        let Some(seize) = self.strategies.seize_mut() else { return };
        let read = match valuer.values(reader, header, &tokens).await {
            Ok(values) => seize.prepare(reader, header, near.sales.iter().copied()).await.map(|()| values),
            Err(problem) => Err(problem),
        };
        let mut ahead = valuer.calls(&tokens);
        match read {
            Ok(values) => {
                let excluded = |position: PositionId| exclusion.skip_reason(&position.subject());
                ahead.extend(seize.speculate(deployment, (&near.lots, lots), &values, context, &excluded));
            }
            Err(problem) => warn!(%problem, "values and pools not read"),
        }
        self.protocols.set_terms(deployment.address, seize.least_bonuses(valuer, tokens, context), ahead);
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
