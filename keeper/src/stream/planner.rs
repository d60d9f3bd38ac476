//! The step planner: waits until a head leads on from the applied blocks, and turns the way to it into steps: a
//! reverted branch, then blocks with their events. It never gives up; what fails is tried again, with other endpoints
//! first.

use std::{sync::Arc, time::Duration};

use alloy::{
    eips::{BlockNumHash, BlockNumberOrTag},
    primitives::B256,
};
use futures_util::{StreamExt, stream};
use tokio::{
    task,
    time::{self, Instant},
};
use tracing::Instrument;

use super::{
    BlockEvents, Cursor, ResyncReason, Step,
    backfill::backfill,
    block_logs::{self, DisputedBlock, FetchError, RpcHeader},
    endpoint_client::{EndpointClient, MAX_CONCURRENT_REQUESTS},
    failover::EndpointPool,
    head_selection::{self, HeadCandidate, HeadSelection},
    reorg::{self, AppliedBlocks, Branch, Relation},
};
use crate::book::MAX_REORG_DEPTH;

/// Finality depth: a block this far below the head is treated as final and fetched by range. Blocks above it are
/// fetched one by one, because they may yet be reorged.
const FINALITY_DEPTH: u64 = MAX_REORG_DEPTH;

/// Pause after every endpoint has failed, the first time; it doubles each time.
const MIN_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Maximum pause after every endpoint has failed.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Number of heads remembered as not to be followed; the oldest are forgotten.
const MAX_IGNORED_HEADS: usize = 64;

/// Steps to carry out next, in order.
pub(super) struct StepBatch {
    /// The applied blocks on which the steps build; `None` if the block to begin at is not canonical.
    pub(super) base: Option<AppliedBlocks>,
    pub(super) steps: Vec<PlannedStep>,
}

/// A step with the endpoint that supplied its data.
#[derive(Debug, Clone)]
pub(super) struct PlannedStep {
    pub(super) step: Step,
    /// Index of the endpoint; `None` if no answer was needed.
    pub(super) supplier: Option<usize>,
}

/// The place on the chain from which to plan.
#[derive(Debug, Clone)]
pub(super) enum StartPoint {
    /// A block that may have been reorged since it was applied.
    Unverified(Cursor),
    /// Blocks that were canonical when they were applied by this stream.
    Verified(AppliedBlocks),
}

/// The reason why there is nothing to do yet.
enum NoBatch {
    /// No endpoint has a head to follow.
    NoNewHead,
    /// The situation must be checked again after this time.
    CheckAgainIn(Duration),
    /// The endpoint's head has changed while it was looked at.
    HeadChanged,
    /// Every endpoint that could supply what is needed has failed.
    EndpointsFailed,
}

/// Plans the steps that follow the applied blocks.
pub(super) struct StepPlanner {
    pool: Arc<EndpointPool>,
    start: StartPoint,
    disputed: Option<(u64, DisputedBlock)>,
    /// Heads that were looked at and lead nowhere that may be followed, the newest first.
    ignored: Vec<B256>,
    /// The time since which every endpoint has been below the newest applied block.
    rolled_back_since: Option<Instant>,
    /// The time since which the applied blocks have been found to be of another branch than can be reverted to.
    replaced_since: Option<Instant>,
}

/// How much longer than [`rollback_patience`](super::StreamSettings::rollback_patience) an endpoint that does not answer is
/// waited for, before the state is rebuilt on the word of the others.
const PATIENCE_WITH_SILENT_ENDPOINTS: u32 = 10;

impl StepPlanner {
    pub(super) const fn new(
        pool: Arc<EndpointPool>,
        start: StartPoint,
        disputed: Option<(u64, DisputedBlock)>,
    ) -> Self {
        Self { pool, start, disputed, ignored: Vec::new(), rolled_back_since: None, replaced_since: None }
    }

    /// Waits until there is something to do, and returns it.
    pub(super) async fn run(mut self) -> StepBatch {
        let mut new_head = self.pool.new_head.subscribe();
        let mut pause = MIN_RETRY_PAUSE;
        loop {
            new_head.mark_unchanged();
            let span = tracing::debug_span!("plan_steps", tip = self.start.number());
            let wait = match self.attempt().instrument(span).await {
                Ok(batch) => return batch,
                Err(NoBatch::NoNewHead) => None,
                Err(NoBatch::HeadChanged) => Some(MIN_RETRY_PAUSE),
                Err(NoBatch::CheckAgainIn(wait)) => Some(wait),
                Err(NoBatch::EndpointsFailed) => {
                    let wait = pause;
                    pause = (pause * 2).min(MAX_RETRY_PAUSE);
                    Some(wait)
                }
            };
            let waited = async {
                match wait {
                    Some(wait) => time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The pool owns the sender, so that the channel cannot be closed.
                _ = new_head.changed() => {}
                () = waited => {}
            }
        }
    }

    async fn attempt(&mut self) -> Result<StepBatch, NoBatch> {
        let applied = match &self.start {
            StartPoint::Verified(applied) => applied.clone(),
            StartPoint::Unverified(cursor) => match self.verify(*cursor).await {
                Ok(applied) => applied,
                Err(FetchError::Retryable) => return Err(NoBatch::EndpointsFailed),
                Err(FetchError::Resync(reason)) => return Ok(resync(None, reason)),
            },
        };
        self.start = StartPoint::Verified(applied.clone());
        match head_selection::select(&self.pool.views(), &applied, self.pool.settings.max_lag) {
            HeadSelection::Wait => Err(NoBatch::NoNewHead),
            HeadSelection::AllBehind(leader) => self.confirm_rollback(&applied, *leader).await,
            HeadSelection::Follow(candidates) => {
                self.rolled_back_since = None;
                self.follow_first(&applied, candidates).await
            }
        }
    }

    /// Checks that the block at the cursor is canonical. An endpoint that does not have a block of that height is
    /// behind, which proves nothing. Fails with [`FetchError::Resync`] if only other blocks of that height were found for
    /// a while.
    async fn verify(&mut self, cursor: Cursor) -> Result<AppliedBlocks, FetchError> {
        let (mut replaced, mut found_by) = (None, 0);
        let pool = Arc::clone(&self.pool);
        for (_, client) in pool.clients_for(cursor.number) {
            let Ok(Some(header)) = client.header(BlockNumberOrTag::Number(cursor.number)).await else { continue };
            found_by += 1;
            let found = BlockNumHash { number: cursor.number, hash: header.header.hash };
            match cursor.hash {
                Some(hash) if hash != found.hash => {
                    replaced = Some(ResyncReason::NotCanonical { number: cursor.number, hash });
                }
                _ => {
                    self.replaced_since = None;
                    return Ok(AppliedBlocks::starting_at(found));
                }
            }
        }
        match replaced {
            Some(reason) if self.is_replaced_for_long(found_by) => Err(FetchError::Resync(reason)),
            _ => Err(FetchError::Retryable),
        }
    }

    /// Returns true if the applied blocks have been found to be replaced for long enough, now by so many endpoints. One that
    /// does not answer may know better, and is waited for.
    fn is_replaced_for_long(&mut self, found_by: usize) -> bool {
        let since = *self.replaced_since.get_or_insert_with(Instant::now);
        let patience = self.pool.settings.rollback_patience;
        let all_agree = found_by >= self.pool.in_use();
        since.elapsed() >= if all_agree { patience } else { patience * PATIENCE_WITH_SILENT_ENDPOINTS }
    }

    /// Checks a reorg that is too deep with the other endpoints. One that has the newest applied block, and is not far
    /// behind, refutes it, and the endpoint that reported it is demoted.
    async fn confirm_too_deep(
        &mut self,
        applied: &AppliedBlocks,
        reporter: usize,
        head: &RpcHeader,
    ) -> Result<(), NoBatch> {
        let (tip, mut found_by) = (applied.tip(), 1);
        let pool = Arc::clone(&self.pool);
        for (_, client) in pool.clients_for(tip.number).filter(|(index, _)| *index != reporter) {
            let Ok(found) = client.header(BlockNumberOrTag::Number(tip.number)).await else { continue };
            let is_behind = client
                .state()
                .head
                .is_none_or(|own| own.header.number.saturating_add(self.pool.settings.max_lag) < head.header.number);
            if found.is_some_and(|found| found.header.hash == tip.hash) && !is_behind {
                self.replaced_since = None;
                if let Some(reporter) = self.pool.clients.get(reporter) {
                    reporter.report_false_answer("its chain has left that of another endpoint long ago");
                }
                return Err(NoBatch::EndpointsFailed);
            }
            found_by += 1;
        }
        if self.is_replaced_for_long(found_by) {
            Ok(())
        } else {
            Err(NoBatch::CheckAgainIn(self.pool.settings.poll_interval))
        }
    }

    /// Plans the way to the first candidate that may be followed.
    async fn follow_first(
        &mut self,
        applied: &AppliedBlocks,
        candidates: Vec<HeadCandidate>,
    ) -> Result<StepBatch, NoBatch> {
        let mut no_batch = NoBatch::NoNewHead;
        for candidate in candidates {
            if self.ignored.contains(&candidate.head.header.hash) && !candidate.may_revert {
                continue;
            }
            match self.follow(applied, candidate).await {
                Ok(batch) => return Ok(batch),
                Err(NoBatch::HeadChanged) => return Err(NoBatch::HeadChanged),
                Err(NoBatch::NoNewHead) => {
                    self.ignored.truncate(MAX_IGNORED_HEADS - 1);
                    self.ignored.insert(0, candidate.head.header.hash);
                }
                Err(other) => no_batch = other,
            }
        }
        Err(no_batch)
    }

    /// Plans the way to a head. Fails with [`NoBatch::NoNewHead`] if the head is on another branch and its endpoint
    /// does not lead.
    async fn follow(&mut self, applied: &AppliedBlocks, candidate: HeadCandidate) -> Result<StepBatch, NoBatch> {
        let HeadCandidate { endpoint: index, head, may_revert } = candidate;
        let tip = applied.tip();
        let pool = Arc::clone(&self.pool);
        let client = pool.clients.get(index).ok_or(NoBatch::EndpointsFailed)?;
        if head.header.number > tip.number.saturating_add(FINALITY_DEPTH) {
            return self.backfill(applied, head.header.number - FINALITY_DEPTH).await;
        }
        let (ancestor, headers) = match reorg::branch_to(client, applied, head).await {
            None => return Err(NoBatch::EndpointsFailed),
            Some(Branch::From { ancestor, headers }) => {
                self.replaced_since = None;
                (ancestor, headers)
            }
            Some(Branch::TooDeep) => {
                confirm_head(client, &head).await?;
                self.confirm_too_deep(applied, index, &head).await?;
                let oldest = applied.oldest().number;
                return Ok(resync(Some(applied.clone()), ResyncReason::ReorgTooDeep { tip: tip.number, oldest }));
            }
        };
        if ancestor != tip {
            if !may_revert {
                return Err(NoBatch::NoNewHead);
            }
            confirm_head(client, &head).await?;
            tracing::debug!(ancestor = ancestor.number, head = head.header.number, "reorg detected");
        }
        self.pool.publish_newest(head.header);
        // Prices are asked for before anything else is done with the head: a task that is woken by another runs on the same
        // thread when that one waits, unless another thread is idle.
        task::yield_now().await;
        let revert =
            (ancestor != tip).then_some(PlannedStep { step: Step::Revert { to: ancestor }, supplier: Some(index) });
        self.fetch(applied, index, revert, &headers).await
    }

    /// Fetches the events of the headers' blocks, as far as they can be had; the last header is the newest known one.
    async fn fetch(
        &self,
        applied: &AppliedBlocks,
        first_endpoint: usize,
        revert: Option<PlannedStep>,
        headers: &[RpcHeader],
    ) -> Result<StepBatch, NoBatch> {
        let newest = headers.last().map(|header| header.header.hash);
        let mut steps: Vec<PlannedStep> = revert.into_iter().collect();
        let reverts = steps.len();
        let mut blocks = stream::iter(headers.to_vec())
            .map(|header| self.fetch_block(header, first_endpoint, newest))
            .buffered(MAX_CONCURRENT_REQUESTS);
        while let Some(block) = blocks.next().await {
            match block {
                Ok(step) => steps.push(step),
                Err(FetchError::Resync(reason)) if steps.len() == reverts => {
                    return Ok(resync(Some(applied.clone()), reason));
                }
                Err(_) => break,
            }
        }
        if steps.len() == reverts {
            return Err(NoBatch::EndpointsFailed);
        }
        Ok(StepBatch { base: Some(applied.clone()), steps })
    }

    async fn fetch_block(
        &self,
        header: RpcHeader,
        first_endpoint: usize,
        newest: Option<B256>,
    ) -> Result<PlannedStep, FetchError> {
        let is_newest = newest == Some(header.header.hash);
        let disputed = self.disputed.as_ref().filter(|(number, _)| *number == header.header.number);
        let fetched = match disputed {
            Some((_, disputed)) => block_logs::fetch_disputed(&self.pool, &header, disputed).await?,
            None => block_logs::fetch_events(&self.pool, &header, first_endpoint, is_newest).await?,
        };
        let block = BlockEvents {
            number: header.header.number,
            hash: header.header.hash,
            timestamp: header.header.timestamp,
            tip: is_newest.then_some(header.header),
            events: fetched.events,
            unconfirmed: fetched.unconfirmed,
        };
        Ok(PlannedStep { step: Step::Apply(Arc::new(block)), supplier: fetched.supplier })
    }

    /// Plans as many of the blocks up to `last`, which is final, as are fetched at once. A disputed block among
    /// them is planned by itself.
    async fn backfill(&mut self, applied: &AppliedBlocks, last: u64) -> Result<StepBatch, NoBatch> {
        let tip = applied.tip();
        let disputed =
            self.disputed.as_ref().map(|(number, _)| *number).filter(|number| (tip.number + 1..=last).contains(number));
        if disputed == Some(tip.number + 1) {
            return self.fetch_disputed(applied, tip.number + 1).await;
        }
        let last = disputed.map_or(last, |number| number - 1);
        match backfill(&self.pool, tip, last).await {
            Ok(blocks) => {
                let planned =
                    |(block, supplier)| PlannedStep { step: Step::Apply(Arc::new(block)), supplier: Some(supplier) };
                Ok(StepBatch { base: Some(applied.clone()), steps: blocks.into_iter().map(planned).collect() })
            }
            Err(FetchError::Retryable) => Err(NoBatch::EndpointsFailed),
            Err(FetchError::Resync(ResyncReason::NotCanonical { .. }))
                if !self.is_replaced_for_long(self.pool.clients_for(tip.number).count()) =>
            {
                Err(NoBatch::EndpointsFailed)
            }
            Err(FetchError::Resync(reason)) => Ok(resync(Some(applied.clone()), reason)),
        }
    }

    /// Plans a final block that the book rejected. It is not the newest one, so that its step has no tip.
    async fn fetch_disputed(&self, applied: &AppliedBlocks, number: u64) -> Result<StepBatch, NoBatch> {
        for (index, client) in self.pool.clients_for(number) {
            if let Ok(Some(header)) = client.header(BlockNumberOrTag::Number(number)).await
                && applied.relation(&header.header) == Relation::ChildOf(applied.tip())
            {
                let mut batch = self.fetch(applied, index, None, &[header]).await?;
                for planned in &mut batch.steps {
                    if let Step::Apply(block) = &mut planned.step {
                        let block = Arc::make_mut(block);
                        (block.tip, block.unconfirmed) = (None, false);
                    }
                }
                return Ok(batch);
            }
        }
        Err(NoBatch::EndpointsFailed)
    }

    /// Reverts to the leader's head once no endpoint has had the newest applied block for
    /// [`rollback_patience`](super::StreamSettings::rollback_patience): the chain was rolled back with no block in its
    /// place.
    async fn confirm_rollback(&mut self, applied: &AppliedBlocks, leader: HeadCandidate) -> Result<StepBatch, NoBatch> {
        let client = self.pool.clients.get(leader.endpoint).ok_or(NoBatch::EndpointsFailed)?;
        let since = *self.rolled_back_since.get_or_insert_with(Instant::now);
        confirm_head(client, &leader.head).await?;
        if since.elapsed() < self.pool.settings.rollback_patience {
            return Err(NoBatch::CheckAgainIn(self.pool.settings.poll_interval));
        }
        self.rolled_back_since = None;
        let header = leader.head.header;
        let to = BlockNumHash { number: header.number, hash: header.hash };
        tracing::debug!(head = to.number, "rollback detected");
        self.pool.publish_newest(header);
        let revert = PlannedStep { step: Step::Revert { to }, supplier: Some(leader.endpoint) };
        Ok(StepBatch { base: Some(applied.clone()), steps: vec![revert] })
    }
}

impl StartPoint {
    /// Returns the number of the newest applied block.
    fn number(&self) -> u64 {
        match self {
            Self::Unverified(cursor) => cursor.number,
            Self::Verified(applied) => applied.tip().number,
        }
    }
}

/// Makes sure that a head is still its endpoint's newest block, because an announcement may have come late. Fails with
/// [`NoBatch::HeadChanged`] if it is not.
async fn confirm_head(client: &EndpointClient, head: &RpcHeader) -> Result<(), NoBatch> {
    client.poll_head().await.map_err(|_| NoBatch::EndpointsFailed)?;
    if client.state().head == Some(*head) { Ok(()) } else { Err(NoBatch::HeadChanged) }
}

fn resync(base: Option<AppliedBlocks>, reason: ResyncReason) -> StepBatch {
    StepBatch { base, steps: vec![PlannedStep { step: Step::Resync(reason), supplier: None }] }
}
