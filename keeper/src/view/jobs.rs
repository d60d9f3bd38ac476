//! The block of the view that shows jobs of nodes, made from the book.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};
use serde::Serialize;

use super::{count, model::DecisionView};
use crate::{
    book::{Book, JobStage, JobState},
    config::Config,
    strategies::jobs::JobTarget,
};

/// Most jobs that are shown one by one.
const SHOWN_JOBS: usize = 16;
/// Most jobs that are counted by what they wait for.
const COUNTED_JOBS: usize = 10_000;

/// Jobs of nodes.
#[derive(Debug, Clone, Serialize)]
pub struct JobsView {
    /// Address of the contract.
    pub contract: Address,
    /// Jobs that wait for a draw, among the 10,000 oldest that have not ended.
    pub open: u64,
    /// Jobs whose nodes answer, among those.
    pub drawn: u64,
    /// Jobs that wait for a challenge or their end, among those.
    pub submitted: u64,
    /// Nodes that were ever registered.
    pub nodes: u64,
    /// Jobs that something was decided about in the newest block, and others with the highest stakes.
    pub jobs: Vec<JobView>,
    /// Decisions in the newest block about claims of nodes' emission.
    pub harvests: Vec<NodeHarvestView>,
}

/// A decision about the emission of a node.
#[derive(Debug, Clone, Serialize)]
pub struct NodeHarvestView {
    /// Id of the node.
    pub node: u32,
    /// The decision.
    pub decision: DecisionView,
}

/// A decision about vouchers that a service has published.
#[derive(Debug, Clone, Serialize)]
pub struct VouchersView {
    /// The service's jar.
    pub jar: Address,
    /// The decision.
    pub decision: DecisionView,
}

/// A job that has not ended.
#[derive(Debug, Clone, Serialize)]
pub struct JobView {
    /// Its id.
    pub id: u64,
    /// Account that posted it.
    pub poster: Address,
    /// Kind of its nodes.
    pub kind: B256,
    /// What it waits for: `open`, `drawn` or `submitted`.
    pub state: &'static str,
    /// Number of the round.
    pub round: u8,
    /// Seats of the round.
    pub seats: u8,
    /// What was paid for the round, in the token's smallest units.
    pub stake: String,
    /// What was decided about its next step in the newest block; `None` where none was due.
    pub decision: Option<DecisionView>,
}

/// Shows the jobs; `None` where none are followed.
pub(super) fn jobs_view(
    config: &Config,
    book: &Book,
    decisions: &BTreeMap<JobTarget, DecisionView>,
) -> Option<JobsView> {
    let contract = config.jobs.contracts?.jobs;
    let mut view = JobsView {
        contract,
        open: 0,
        drawn: 0,
        submitted: 0,
        nodes: count(book.jobs().node_count()),
        jobs: Vec::new(),
        harvests: Vec::new(),
    };
    for (_, job) in book.jobs().jobs().take(COUNTED_JOBS) {
        match job.stage {
            JobStage::Open { .. } => view.open += 1,
            JobStage::Drawn { .. } => view.drawn += 1,
            JobStage::Submitted { .. } => view.submitted += 1,
        }
    }
    let shown = |id: u64, job: &JobState| JobView {
        id,
        poster: job.poster,
        kind: job.kind,
        state: state(job.stage),
        round: job.round(),
        seats: job.seats_of(job.round()),
        stake: job.stake_of(job.round()).to_string(),
        decision: decisions.get(&JobTarget::Job(id)).cloned(),
    };
    for (target, decision) in decisions {
        match target {
            JobTarget::Job(id) => view.jobs.extend(book.jobs().job(*id).map(|job| shown(*id, job))),
            JobTarget::Node(id) => view.harvests.push(NodeHarvestView { node: *id, decision: decision.clone() }),
        }
    }
    view.jobs.truncate(SHOWN_JOBS);
    let others = book.jobs().jobs_by_stake().filter(|(id, _)| !decisions.contains_key(&JobTarget::Job(*id)));
    let missing = SHOWN_JOBS.saturating_sub(view.jobs.len());
    view.jobs.extend(others.take(missing).map(|(id, job)| shown(id, job)));
    Some(view)
}

const fn state(stage: JobStage) -> &'static str {
    match stage {
        JobStage::Open { .. } => "open",
        JobStage::Drawn { .. } => "drawn",
        JobStage::Submitted { .. } => "submitted",
    }
}
