//! The strategies in the order of their priority: liquidations first, then orders in markets without any, vaults that leave
//! a flagged market, and other rebalances and harvests in blocks in which nothing else is sent.

use std::{collections::BTreeSet, sync::Arc};

use alloy::primitives::{Address, B256};
use plimsoll_protocols::{Deployment, Lot};

use super::exclusion::Exclusion;
use crate::{
    book::Book,
    intent::Subject,
    prices::{Call, ChainReader, Valuer, Values},
    safety::ResultsLedger,
    strategies::{
        BlockContext, Decision, Decisions, SkipReason,
        bids::Bids,
        governance::Governance,
        guard::{Guard, OrderId},
        harvest::{Harvest, RewardId, StreamId},
        jobs::{JobTarget, Jobs, RefutedResults},
        liquidate::{Liquidate, LoanId},
        rebalance::Rebalance,
        seize::{PositionId, Seize},
        vouchers::{PublishedBatch, Vouchers},
    },
};

/// The strategies, and what they need to know of their last decisions.
#[derive(Debug)]
pub(super) struct Strategies {
    liquidate: Liquidate,
    /// `None` where no orders are executed.
    guard: Option<Guard>,
    /// `None` where harvests are disabled.
    harvest: Option<Harvest>,
    /// `None` where no vault is rebalanced.
    rebalance: Option<Rebalance>,
    /// `None` where no operation is executed.
    governance: Option<Governance>,
    /// `None` where no service publishes vouchers.
    vouchers: Option<Vouchers>,
    /// `None` where no job is brought on.
    jobs: Option<Jobs>,
    /// `None` where no other protocol is followed.
    seize: Option<Seize>,
    /// Whether the last round of liquidations sent nothing and skipped loans because of an intent in flight.
    blocked_by_in_flight: bool,
}

impl Strategies {
    pub(super) fn new(
        liquidate: Liquidate,
        guard: Option<Guard>,
        harvest: Option<Harvest>,
        rebalance: Option<Rebalance>,
        (governance, jobs, vouchers): (Option<Governance>, Option<Jobs>, Option<Vouchers>),
        seize: Option<Seize>,
    ) -> Self {
        Self { liquidate, guard, harvest, rebalance, governance, jobs, vouchers, seize, blocked_by_in_flight: false }
    }

    /// Bids against rivals, to record how races ended.
    pub(super) const fn bids_mut(&mut self) -> &mut Bids {
        self.liquidate.bids_mut()
    }

    /// Whether rewards are harvested at all.
    pub(super) const fn harvests_rewards(&self) -> bool {
        self.harvest.is_some()
    }

    /// Whether the last decisions would be others as soon as an intent in flight is mined, in the same block: a loan of
    /// which only a part could be liquidated goes on then. Not where something else was sent meanwhile, since both would
    /// be sold at the same exchange.
    pub(super) const fn blocked_by_in_flight(&self) -> bool {
        self.blocked_by_in_flight
    }

    /// Forgets that loans wait for an intent in flight: the book has changed, and the last prices are not for it.
    pub(super) const fn unblock(&mut self) {
        self.blocked_by_in_flight = false;
    }

    /// Returns the calls by which decisions begin, for the request of the next block.
    pub(super) fn calls_ahead(&self, book: &Book, valuer: &Valuer) -> Vec<Call> {
        self.liquidate.calls_ahead(book, valuer)
    }

    /// Returns the tokens whose values liquidations depend on.
    pub(super) fn valued_tokens(&self, book: &Book) -> Vec<Address> {
        self.liquidate.valued_tokens(book)
    }

    /// Returns trials of liquidations that may be possible in the next block, for its request.
    pub(super) fn speculate(
        &mut self,
        book: &Book,
        values: &Values,
        context: BlockContext<'_>,
        exclusion: &Exclusion,
    ) -> Vec<Call> {
        self.liquidate.speculate(book, values, context, &|loan| exclusion.skip_reason(&loan.subject()))
    }

    /// Decides about every liquidatable loan.
    pub(super) async fn liquidations<R: ChainReader>(
        &mut self,
        reader: &R,
        valuer: &mut Valuer,
        book: &Book,
        context: BlockContext<'_>,
        exclusion: &Exclusion,
    ) -> Decisions<LoanId> {
        let excluded = |loan: LoanId| exclusion.skip_reason(&loan.subject());
        let round = self.liquidate.decide(reader, valuer, book, context, &excluded).await;
        let is_in_flight = |decision: &Decision| *decision == Decision::Skip(SkipReason::InFlight);
        self.blocked_by_in_flight =
            round.intents.is_empty() && round.verdicts.iter().any(|verdict| is_in_flight(&verdict.decision));
        round
    }

    /// Decides about every order whose trigger is met; `None` where no orders are executed. `busy` are the markets in
    /// which a liquidation is sent.
    pub(super) async fn orders<R: ChainReader>(
        &mut self,
        reader: &R,
        valuer: &mut Valuer,
        book: &Book,
        context: BlockContext<'_>,
        exclusion: &Exclusion,
        busy: &BTreeSet<B256>,
    ) -> Option<Decisions<OrderId>> {
        let guard = self.guard.as_mut()?;
        let excluded = |order: OrderId| exclusion.skip_reason(&order.subject());
        let bids = self.liquidate.bids_mut();
        Some(guard.decide(reader, valuer, book, context, (bids, busy), &excluded).await)
    }

    /// Decides about every lot of another protocol; `None` where none is followed.
    pub(super) async fn seizures<R: ChainReader>(
        &mut self,
        reader: &R,
        valuer: &mut Valuer,
        lots: (&Deployment, &[Lot]),
        context: BlockContext<'_>,
        exclusion: &Exclusion,
    ) -> Option<Decisions<PositionId>> {
        let excluded = |position: PositionId| exclusion.skip_reason(&position.subject());
        let bids = self.liquidate.bids_mut();
        Some(self.seize.as_mut()?.decide(reader, valuer, lots, context, bids, &excluded).await)
    }

    /// The strategy for other protocols; `None` where none is followed.
    pub(super) const fn seize_mut(&mut self) -> Option<&mut Seize> {
        self.seize.as_mut()
    }

    /// Decides about every account that can be harvested; `None` where harvests are disabled, or not due yet.
    pub(super) async fn harvests<R: ChainReader>(
        &mut self,
        reader: &R,
        valuer: &mut Valuer,
        book: &Book,
        context: BlockContext<'_>,
        exclusion: &Exclusion,
    ) -> Option<Decisions<RewardId>> {
        let harvest = self.harvest.as_mut()?;
        let keeper = harvest.settings().keeper;
        let excluded = |RewardId { stream: StreamId { pool, reward_token }, account }| {
            let account = (account != keeper).then_some(account);
            exclusion.skip_reason(&Subject::Rewards { pool, reward_token, account })
        };
        harvest.decide(reader, valuer, book, context, &excluded).await
    }

    /// Decides about every vault, in a block that is not quiet about those only that leave a flagged market; `None` where
    /// none is rebalanced.
    pub(super) async fn rebalances<R: ChainReader>(
        &mut self,
        reader: &R,
        valuer: &mut Valuer,
        book: &Book,
        context: BlockContext<'_>,
        (exclusion, results): (&Exclusion, &ResultsLedger),
        is_quiet: bool,
    ) -> Option<Decisions<Address>> {
        let excluded = |vault| exclusion.skip_reason(&Subject::Vault(vault));
        Some(self.rebalance.as_mut()?.decide(reader, valuer, book, context, (&excluded, results), is_quiet).await)
    }

    /// Decides about every operation and proposal that is due; `None` where none is executed.
    pub(super) async fn operations<R: ChainReader>(
        &self,
        reader: &R,
        book: &Book,
        context: BlockContext<'_>,
        (exclusion, results): (&Exclusion, &ResultsLedger),
    ) -> Option<Decisions<B256>> {
        let excluded = |id| exclusion.skip_reason(&Subject::Operation(id));
        Some(self.governance.as_ref()?.decide(reader, book.governance(), context, (&excluded, results)).await)
    }

    /// Decides about published batches of vouchers; `None` where there are none, or it is not time.
    pub(super) async fn vouchers<R: ChainReader>(
        &mut self,
        reader: &R,
        valuer: &mut Valuer,
        batches: &[Arc<PublishedBatch>],
        context: BlockContext<'_>,
        (exclusion, results): (&Exclusion, &ResultsLedger),
    ) -> Option<Decisions<Address>> {
        let excluded = |jar| exclusion.skip_reason(&Subject::Jar(jar));
        self.vouchers.as_mut()?.decide(reader, valuer, batches, context, (&excluded, results)).await
    }

    /// Decides about every job that a step is due for; `None` where none is brought on, or the jobs are quarantined.
    pub(super) async fn jobs<R: ChainReader>(
        &mut self,
        reader: &R,
        valuer: &mut Valuer,
        book: &Book,
        context: BlockContext<'_>,
        refuted: &RefutedResults,
        (exclusion, results): (&Exclusion, &ResultsLedger),
    ) -> Option<Decisions<JobTarget>> {
        let jobs = self.jobs.as_mut().filter(|jobs| book.coverage().contains(&jobs.contract().into_word()))?;
        let excluded = |target: JobTarget| exclusion.skip_reason(&target.subject());
        Some(jobs.decide(reader, valuer, book.jobs(), context, refuted, (&excluded, results)).await)
    }
}
