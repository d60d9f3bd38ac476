//! The other protocols: each is followed by a task of its own, so that none waits for another one's logs, and hands the
//! engine what can be liquidated in each newest block.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use alloy::primitives::{Address, B256, U256, uint};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_protocols::{Deployment, IdentityError, Lot, Size};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
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
    prices::Prices,
    strategies::{BlockContext, Decision, Decisions, SkipReason},
    stream::Step,
    view::{ProtocolView, count},
};

/// Pause between two attempts to reach a node before a protocol can be followed.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// Health factor × 10¹⁸ below which pools are kept known for a position.
const NEAR: U256 = uint!(1_100_000_000_000_000_000_U256);
/// Most positions for which pools are kept known.
const MAX_NEAR: usize = 200;

/// The least bonus of each debt token that can pay for a liquidation.
type LeastBonuses = BTreeMap<Address, U256>;

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
    /// Collateral and debt tokens of the positions that are nearest to liquidation, where a bonus in the debt token is worth
    /// something.
    pub(super) near: BTreeSet<(Address, Address)>,
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
    least_bonuses: watch::Sender<LeastBonuses>,
    /// Aborts the tasks when it is dropped.
    _tasks: JoinSet<()>,
}

impl Protocols {
    /// Starts to follow protocols by these nodes.
    pub(super) fn start(nodes: &[Arc<Endpoint>], deployments: &[Deployment]) -> Self {
        let (sender, blocks) = mpsc::unbounded_channel();
        let least_bonuses = watch::Sender::new(LeastBonuses::new());
        let mut tasks = JoinSet::new();
        for deployment in deployments {
            tasks.spawn(follow(nodes.to_vec(), deployment.clone(), least_bonuses.subscribe(), sender.clone()));
        }
        Self { blocks, waiting: BTreeMap::new(), least_bonuses, _tasks: tasks }
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

    /// Sets what a bonus must be in the blocks to come.
    pub(super) fn set_least_bonuses(&self, least: LeastBonuses) {
        self.least_bonuses.send_replace(least);
    }
}

/// Returns the lower of two numbers, of which either may be missing.
fn lower(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// Follows a protocol for as long as its logs are what they should be.
async fn follow(
    nodes: Vec<Arc<Endpoint>>,
    deployment: Deployment,
    least_bonuses: watch::Receiver<LeastBonuses>,
    blocks: mpsc::UnboundedSender<ProtocolBlock>,
) {
    let (protocol, address) = (deployment.protocol, deployment.address);
    let mut follower = loop {
        match ProtocolFollower::start(nodes.clone(), deployment.clone()).await {
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
        let step = follower.next_step().await;
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
        let least = least_bonuses.borrow().clone();
        let followed = follower.protocol();
        let differences: Vec<_> = observed.differences.iter().map(ToString::to_string).collect();
        // Nothing is done by a state that the chain contradicts.
        let is_known = !least.is_empty() && differences.is_empty();
        let lots = is_known.then(|| followed.liquidatable(&|token| least.get(&token).copied()));
        let near = followed.positions_below(NEAR, MAX_NEAR);
        let block = ProtocolBlock {
            deployment: deployment.clone(),
            header,
            at: Instant::now(),
            reverted_to: reverted_to.take(),
            lots,
            near: near
                .iter()
                .filter(|position| least.contains_key(&position.debt_token))
                .map(|position| (position.collateral_token, position.debt_token))
                .collect(),
            contracts: followed.log_filter().addresses,
            size: followed.size(),
            differences,
        };
        if blocks.send(block).is_err() {
            return;
        }
    }
}

impl Engine {
    /// Decides about what can be liquidated on another protocol in a newest block, and submits what pays. Then reads what the
    /// decisions of the next blocks depend on.
    #[instrument(name = "protocol_block", skip_all, fields(protocol = %block.deployment.protocol, block = block.header.number))]
    pub(super) async fn on_protocol_block(&mut self, block: ProtocolBlock) {
        let ProtocolBlock { deployment, header, at, lots, near, size, .. } = &block;
        let mut verdicts = Vec::new();
        for difference in &block.differences {
            error!(difference, "protocol differs, nothing of it is decided in this block");
        }
        if let Some(to) = block.reverted_to {
            // This protocol's stream may be ahead of that of the book.
            self.submissions.on_revert(to);
        }
        // What was mined since then would be sent again.
        if self.latest.as_ref().is_some_and(|latest| latest.header.number > header.number) {
            return;
        }
        let prices = Prices::default();
        let context = self.pricing.context(&self.config, header, &prices).await;
        let room = self.affordable_room(Priority::High, context.costs, context.room);
        let context = BlockContext { room, ..context };
        if let Some(lots) = lots {
            let emitters = Emitters { protocol: deployment.protocol, addresses: block.contracts.clone() };
            self.submissions.liquidatable.record(deployment.address, (header.number, lots), emitters);
            let exclusion = self.submissions.exclusion(header.number, &self.pauses.active);
            let Pricing { reader, valuer, .. } = &mut self.pricing;
            let round = self.strategies.seizures(reader, valuer, (deployment, lots), context, &exclusion).await;
            let Some(Decisions { intents, verdicts: decided, .. }) = round else { return };
            for intent in intents {
                self.submit(intent, header, *at, context.costs.gas_price);
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
            differences: block.differences.clone(),
        };
        self.view.record_protocol(view, verdicts.iter().map(|verdict| &verdict.decision));
        if !self.view.is_deferred() {
            self.refresh_operations();
        }
        self.prepare_seizures(header, near, context).await;
    }

    /// Reads values and pools, and tells the protocols what a liquidation must bring.
    async fn prepare_seizures(
        &mut self,
        header: &Header,
        near: &BTreeSet<(Address, Address)>,
        context: BlockContext<'_>,
    ) {
        let tokens: Vec<_> = self.config.tokens.sources().into_keys().collect();
        let Pricing { reader, valuer, .. } = &mut self.pricing;
        let Some(seize) = self.strategies.seize_mut() else { return };
        let read = match valuer.values(reader, header, &tokens).await {
            Ok(_) => seize.prepare(reader, header, near.iter().copied()).await,
            Err(problem) => Err(problem),
        };
        if let Err(problem) = read {
            warn!(%problem, "values and pools not read");
        }
        self.protocols.set_least_bonuses(seize.least_bonuses(valuer, tokens, context));
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
