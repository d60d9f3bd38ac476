//! Owner of the view: makes it from snapshots of the engine, and publishes it.

use std::{collections::BTreeMap, future, sync::Arc, time::Duration};

use alloy::primitives::{Address, B256};
use plimsoll_contracts::MarketId;
use tokio::{
    sync::watch,
    time::{self, Instant},
};

use super::{
    decisions::{PositionDecisions, RecordedDecision, RewardDecisions},
    governance::governance_view,
    jobs::{VouchersView, jobs_view},
    liquidatable::LiquidatableSince,
    model::{DecisionCount, DecisionView, HeadView, KeeperView, ProtocolView, View},
    operations::{EndpointName, OperationsSnapshot, endpoint_view, safety_view, signer_view},
    orders::OrderDecisions,
    positions::{LendingViews, forget_healthy, lending_views, programme_views},
    rivals::Rivals,
    vaults::vault_views,
    words::Words,
};
use crate::{
    amount::{Amount, Health},
    book::{Block, Book},
    chain::{Event, Header},
    config::Config,
    intent::{Report, Subject},
    prices::Prices,
    sender::fleet::FleetStatus,
    strategies::{Decision, LoanClass, SkipReason, guard::OrderId, harvest::StreamId, jobs::JobTarget},
    stream::EndpointHealth,
    survey::Survey,
};

/// How long the view waits after an intent was submitted. Signing, journal and broadcast take a few milliseconds of a
/// core, and so does making a view: on a machine with few cores the transaction goes first.
const VIEW_DELAY: Duration = Duration::from_millis(50);

/// Number of loans that each block adds to the survey of debt by distance from liquidation. A larger book takes several
/// blocks, so that no block waits for it.
const SURVEYED_LOANS: usize = 5_000;

/// State of the engine after a block, from which the whole view is made.
#[derive(Debug)]
pub(crate) struct BlockSnapshot<'a> {
    /// Header of the block.
    pub(crate) header: &'a Header,
    /// The book after the block.
    pub(crate) book: &'a Book,
    /// Liquidation prices in the block.
    pub(crate) prices: &'a Prices,
    /// Everything besides the book.
    pub(crate) operations: OperationsSnapshot<'a>,
}

/// Makes views and publishes them. Keeps what a snapshot does not tell: the last decisions, and the survey of debt.
#[derive(Debug)]
pub(crate) struct ViewPublisher {
    config: Arc<Config>,
    endpoint_names: Vec<EndpointName>,
    position_decisions: PositionDecisions,
    order_decisions: OrderDecisions,
    reward_decisions: RewardDecisions,
    vault_decisions: BTreeMap<Address, DecisionView>,
    /// The decisions of the newest block about what is due.
    operation_decisions: BTreeMap<B256, DecisionView>,
    /// The decisions of the newest block about jobs of nodes and their emission.
    job_decisions: BTreeMap<JobTarget, DecisionView>,
    rivals: Rivals,
    survey: Survey,
    liquidatable_since: LiquidatableSince,
    view: View,
    views: watch::Sender<Arc<View>>,
    /// When the view of the newest block is to be made, while it waits for the sender.
    deferred_until: Option<Instant>,
}

impl ViewPublisher {
    /// Publishes a first view, without a block. `endpoint_names` are in the order of the endpoints' health in snapshots.
    pub(crate) fn new(config: Arc<Config>, endpoint_names: Vec<EndpointName>, is_live: bool) -> Self {
        let keeper = KeeperView {
            version: env!("PLIMSOLL_VERSION").to_owned(),
            network: config.deployed.network.clone(),
            chain: config.chain.name.clone(),
            chain_id: config.deployed.chain_id,
            genesis: config.deployed.genesis.unwrap_or_default(),
            core: config.deployed.core(),
            coin: config.chain.coin.clone(),
            explorer: config.chain.explorer.clone(),
            watch_below: Health(config.liquidate.watch_below),
            live: is_live,
            ready_within: config.http.ready_within,
        };
        let position_decisions = PositionDecisions::default();
        let history = position_decisions.history();
        let view = View { keeper, history, progress: Some("waiting for a node".to_owned()), ..View::default() };
        let views = watch::Sender::new(Arc::new(view.clone()));
        Self {
            config,
            endpoint_names,
            position_decisions,
            order_decisions: OrderDecisions::default(),
            reward_decisions: RewardDecisions::default(),
            vault_decisions: BTreeMap::new(),
            operation_decisions: BTreeMap::new(),
            job_decisions: BTreeMap::new(),
            rivals: Rivals::default(),
            survey: Survey::default(),
            liquidatable_since: LiquidatableSince::default(),
            view,
            views,
            deferred_until: None,
        }
    }

    /// A receiver of every published view, beginning with the last.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<View>> {
        self.views.subscribe()
    }

    /// Whether transactions are sent.
    pub(crate) const fn is_live(&self) -> bool {
        self.view.keeper.live
    }

    /// Records the decision about a position. In a dry run nothing is sent, and the decision says so.
    pub(crate) fn record_position_decision(
        &mut self,
        market: MarketId,
        account: Address,
        block: u64,
        decision: Decision,
    ) {
        let decision = self.unless_dry(decision);
        self.position_decisions.record(market, account, RecordedDecision { block, decision });
    }

    /// Replaces the decisions about all orders by those of a block.
    pub(crate) fn record_order_decisions(&mut self, decisions: Vec<(OrderId, Decision)>, block: u64) {
        let shown = decisions.into_iter().map(|(order, decision)| (order, self.unless_dry(decision))).collect();
        self.order_decisions = OrderDecisions::new(block, shown);
    }

    /// Shows what is known of another protocol in its newest block, with the decisions about its positions.
    pub(crate) fn record_protocol<'d>(
        &mut self,
        protocol: ProtocolView,
        decisions: impl IntoIterator<Item = &'d Decision>,
    ) {
        let mut counts: BTreeMap<(bool, &str), u64> = BTreeMap::new();
        for decision in decisions {
            let recorded = RecordedDecision { block: protocol.block, decision: self.unless_dry(decision.clone()) };
            *counts.entry(recorded.reason()).or_default() += 1;
        }
        let count = |((acts, reason), positions): ((bool, &str), u64)| DecisionCount {
            acts,
            reason: reason.to_owned(),
            positions,
        };
        let shown = ProtocolView { decisions: counts.into_iter().map(count).collect(), ..protocol };
        match self.view.protocols.iter_mut().find(|known| known.address == shown.address) {
            Some(known) => *known = shown,
            None => self.view.protocols.push(shown),
        }
    }

    /// Returns a decision as it is shown: in a dry run nothing is sent.
    fn unless_dry(&self, decision: Decision) -> Decision {
        match decision {
            Decision::Act { gain_wei, gas_wei } if !self.view.keeper.live => {
                Decision::Skip(SkipReason::DryRun { gain_wei, gas_wei })
            }
            decision => decision,
        }
    }

    /// Replaces the loans that are only counted.
    pub(crate) fn record_dust(&mut self, dust: Vec<LoanClass>) {
        self.position_decisions.record_dust(dust);
    }

    /// Replaces the decisions about all rewards by those about the accounts of each.
    pub(crate) fn record_reward_decisions<'d>(
        &mut self,
        of_accounts: impl IntoIterator<Item = (StreamId, &'d Decision)>,
        block: u64,
    ) {
        self.reward_decisions = RewardDecisions::of(&self.config, of_accounts, block);
    }

    /// Records the decision about a vault. In a dry run nothing is sent, and the decision says so.
    pub(crate) fn record_vault_decision(&mut self, vault: Address, decision: Decision, block: u64) {
        let decision = RecordedDecision { block, decision: self.unless_dry(decision) };
        self.vault_decisions.insert(vault, decision.view(&Words::without_bids(&self.config)));
    }

    /// Replaces the decisions about operations and proposals that are due by those of a block.
    pub(crate) fn record_operation_decisions(&mut self, decisions: Vec<(B256, Decision)>, block: u64) {
        let words = Words::without_bids(&self.config);
        let shown = |(id, decision): (B256, Decision)| {
            let cost = match &decision {
                Decision::Act { gas_wei, .. } => Some(Amount::of_wei(*gas_wei, &self.config.chain.coin)),
                Decision::Skip(_) => None,
            };
            let view = RecordedDecision { block, decision: self.unless_dry(decision) }.view(&words);
            // It brings nothing.
            let verb = if self.view.keeper.live { "it is executed" } else { "this is a dry run: it would be executed" };
            let text = cost.map_or_else(|| view.text.clone(), |cost| format!("{verb}, which should cost {cost}"));
            (id, DecisionView { text, ..view })
        };
        self.operation_decisions = decisions.into_iter().map(shown).collect();
    }

    /// Replaces the decisions about published vouchers by those of a block.
    pub(crate) fn record_voucher_decisions(&mut self, decisions: Vec<(Address, Decision)>, block: u64) {
        let words = Words::without_bids(&self.config);
        let shown = |(jar, decision)| VouchersView {
            jar,
            decision: RecordedDecision { block, decision: self.unless_dry(decision) }.view(&words),
        };
        self.view.vouchers = decisions.into_iter().map(shown).collect();
    }

    /// Replaces the decisions about jobs of nodes by those of a block.
    pub(crate) fn record_job_decisions(&mut self, decisions: Vec<(JobTarget, Decision)>, block: u64) {
        let words = Words::without_bids(&self.config);
        let shown =
            |(target, decision)| (target, RecordedDecision { block, decision: self.unless_dry(decision) }.view(&words));
        self.job_decisions = decisions.into_iter().map(shown).collect();
    }

    /// Records the liquidations in a block. Those of other liquidators are shown.
    pub(crate) fn record_liquidations(
        &mut self,
        book: &Book,
        block: Block,
        events: &[Event],
        is_in_flight: impl Fn(&Subject) -> bool,
    ) {
        self.rivals.record_block(&self.config, book, block, events, is_in_flight);
    }

    /// Forgets the liquidations in every block after `block`, which was reverted to.
    pub(crate) fn revert_liquidations(&mut self, block: u64) {
        self.rivals.revert_to(block);
    }

    /// Records what became of an intent of this keeper.
    pub(crate) fn record_report(&mut self, report: &Report) {
        self.rivals.record_report(report);
    }

    /// Has the view of the newest block wait until [`VIEW_DELAY`] after the first intent that was submitted in it.
    pub(crate) fn defer(&mut self) {
        self.deferred_until.get_or_insert_with(|| Instant::now() + VIEW_DELAY);
    }

    /// Whether the view waits for the sender.
    pub(crate) const fn is_deferred(&self) -> bool {
        self.deferred_until.is_some()
    }

    /// Waits until the view need not wait for the sender any more; for ever where it does not wait. May be dropped at
    /// any point.
    pub(crate) async fn deferral_over(&self) {
        match self.deferred_until {
            Some(until) => time::sleep_until(until).await,
            None => future::pending().await,
        }
    }

    /// Ends the waiting for the sender.
    pub(crate) const fn end_deferral(&mut self) {
        self.deferred_until = None;
    }

    /// Makes the whole view after a block, and publishes it.
    pub(crate) fn refresh(&mut self, snapshot: &BlockSnapshot<'_>) {
        let BlockSnapshot { header, book, prices, ref operations } = *snapshot;
        self.survey.scan(book, |market| prices.of(market.id()).ok(), header.timestamp, SURVEYED_LOANS);
        forget_healthy(&mut self.position_decisions, snapshot);
        let LendingViews { markets, at_risk, decisions, watched_accounts } =
            lending_views(&self.config, snapshot, &self.position_decisions, &self.survey, &mut self.liquidatable_since);
        (self.view.markets, self.view.at_risk) = (markets, at_risk);
        (self.view.decisions, self.view.watched_accounts) = (decisions, watched_accounts);
        self.view.orders = self.order_decisions.view(&self.config, snapshot);
        self.view.programmes = programme_views(&self.config, book, &self.reward_decisions, header.timestamp);
        self.view.vaults = vault_views(&self.config, book, prices, &self.vault_decisions, header.timestamp);
        self.view.governance =
            governance_view(&self.config, book.governance(), &self.operation_decisions, header.timestamp);
        self.view.jobs = jobs_view(&self.config, book, &self.job_decisions);
        self.view.progress = None;
        self.view.head = Some(HeadView {
            number: header.number,
            hash: header.hash,
            timestamp: header.timestamp,
            base_fee: header.base_fee,
            applied: Instant::now(),
        });
        self.refresh_operations(operations);
    }

    /// Makes the blocks that do not depend on the book, and publishes the view.
    pub(crate) fn refresh_operations(&mut self, operations: &OperationsSnapshot<'_>) {
        self.view.timeline = self.rivals.merged_into(operations.ledger.timeline());
        self.view.profit = operations.ledger.days(&self.config.chain.coin);
        self.view.totals = operations.ledger.totals(&self.config.chain.coin, operations.timestamp);
        self.view.signers = operations.signers.iter().map(|signer| signer_view(&self.config, signer)).collect();
        self.view.safety = safety_view(&self.config, &operations.safety, &operations.paused);
        self.view.audit = operations.audit.clone();
        let named = operations.held_markets.iter().map(|(market, blocks)| (self.config.name_of(*market), *blocks));
        self.view.held_by_peer = named.collect();
        self.refresh_endpoints(&operations.endpoints);
    }

    /// Shows the keepers that share the database with the next publication.
    pub(crate) fn show_fleet(&mut self, fleet: Option<FleetStatus>) {
        self.view.fleet = fleet;
    }

    /// Makes the block of the endpoints, and publishes the view.
    pub(crate) fn refresh_endpoints(&mut self, endpoints: &[EndpointHealth]) {
        let named = endpoints.iter().zip(&self.endpoint_names);
        self.view.endpoints = named.map(|(health, name)| endpoint_view(health, name)).collect();
        self.publish();
    }

    /// Shows the hash of the chain's block 0, which a configuration need not have.
    pub(crate) fn show_genesis(&mut self, genesis: B256) {
        self.view.keeper.genesis = genesis;
        self.show_progress("reading the store".to_owned());
    }

    /// Shows what the keeper is doing while there is no new block to decide on, and publishes the view.
    pub(crate) fn show_progress(&mut self, progress: String) {
        self.view.progress = Some(progress);
        self.publish();
    }

    /// Shows that there is no block, because the book is rebuilt, and publishes the view.
    pub(crate) fn reset(&mut self) {
        self.deferred_until = None;
        self.view.head = None;
        self.show_progress("the book is rebuilt from the chain".to_owned());
    }

    fn publish(&self) {
        self.views.send_replace(Arc::new(self.view.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixture::Fixture;

    #[tokio::test]
    async fn a_further_intent_does_not_delay_the_view_any_longer() {
        let mut publisher = ViewPublisher::new(Fixture::new(&[]).config, Vec::new(), true);
        assert!(!publisher.is_deferred());
        let begun = Instant::now();
        publisher.defer();
        let until = publisher.deferred_until;
        publisher.defer();
        assert!(publisher.is_deferred() && publisher.deferred_until == until);
        publisher.deferral_over().await;
        assert!(begun.elapsed() >= VIEW_DELAY);
        publisher.end_deferral();
        assert!(!publisher.is_deferred());
    }
}
