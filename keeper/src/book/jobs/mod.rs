//! Jobs of nodes in the book, and the nodes: every job that has not ended, as its contract stores it, as far as decisions
//! depend on it.
//!
//! Anybody can post jobs and register nodes. A job is a row of its own and found by what was paid for its round, so jobs
//! whose tips pay for no gas cost a block nothing, however many there are.

mod apply;
mod row;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use alloy::primitives::{Address, B256};

/// Blocks after the one that seeds a draw in which it can be made: the chain remembers so many hashes.
pub const DRAW_BLOCKS: u64 = 256;
/// Basis points of what is paid for a round that its draw is tipped with, and its end as much.
const TIP_BPS: u128 = 100;
const FEES_BPS: u128 = BPS - 2 * TIP_BPS;
const BPS: u128 = 10_000;

/// A job that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobState {
    /// Account that posted it.
    pub poster: Address,
    /// Kind of nodes that answer it.
    pub kind: B256,
    /// What was paid for the first round, in units of the token.
    pub price: u128,
    /// Seats of the first round.
    pub seats: u8,
    /// Whether it was challenged. A second round that ended without seats leaves a job that cannot be challenged again.
    pub is_challenged: bool,
    /// What it waits for.
    pub stage: JobStage,
    /// Result of the last round that was closed; zero for none.
    pub result: B256,
    /// Block in which it was posted.
    pub posted_in: u64,
}

/// What a job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStage {
    /// For the draw of a round.
    Open {
        /// Number of the round, 1 or 2.
        round: u8,
        /// Block whose header seeds the draw.
        draw_block: u64,
    },
    /// For commitments and revelations.
    Drawn {
        /// Number of the round, 1 or 2.
        round: u8,
        /// Time up to which seats commit, in seconds; the time of the last commitment once all have.
        deadline: u64,
        /// Seats that have committed.
        committed: u8,
        /// Seats that have revealed.
        revealed: u8,
    },
    /// For a challenge, or its end.
    Submitted {
        /// When the round was closed, in seconds.
        closed_at: u64,
    },
}

/// A registered node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeState {
    /// Account that registered it.
    pub operator: Address,
    /// Kind of its answers.
    pub kind: B256,
    /// Its stake in the emission pool.
    pub emission_stake: u128,
    /// When its emission was claimed last, in seconds; the time of its registration if it never was.
    pub harvested_at: u64,
}

/// All jobs that have not ended, and all nodes.
#[derive(Debug, Default)]
pub struct JobsBook {
    jobs: BTreeMap<u64, JobState>,
    /// By what was paid for the round, the most first.
    by_stake: BTreeSet<(Reverse<u128>, u64)>,
    by_poster: BTreeSet<(Address, u64)>,
    nodes: BTreeMap<u32, NodeState>,
}

impl JobState {
    /// Number of the present round.
    #[must_use]
    pub const fn round(&self) -> u8 {
        match self.stage {
            JobStage::Open { round, .. } | JobStage::Drawn { round, .. } => round,
            JobStage::Submitted { .. } => 1,
        }
    }

    /// Number of seats of a round.
    #[must_use]
    pub const fn seats_of(&self, round: u8) -> u8 {
        if round == 1 { self.seats } else { self.seats.saturating_mul(2).saturating_add(1) }
    }

    /// Returns what is paid for a round, in units of the token: the price, or the deposit of the challenger, by which each
    /// seat gets the same fee.
    #[must_use]
    pub fn stake_of(&self, round: u8) -> u128 {
        if round == 1 {
            return self.price;
        }
        // Prices are below 2^128 and divided first by the contract, too.
        let fee = self.price / BPS * FEES_BPS + self.price % BPS * FEES_BPS / BPS;
        let fee = fee / u128::from(self.seats.max(1));
        let fees = fee.saturating_mul(self.seats_of(2).into());
        let parts = (fees / FEES_BPS, fees % FEES_BPS);
        parts.0.saturating_mul(BPS).saturating_add((parts.1 * BPS).div_ceil(FEES_BPS))
    }

    /// Returns what the caller of a round's draw is paid, and the one that ends it as much, in units of the token.
    #[must_use]
    pub fn tip_of(&self, round: u8) -> u128 {
        let stake = self.stake_of(round);
        stake / BPS * TIP_BPS + stake % BPS * TIP_BPS / BPS
    }
}

impl JobsBook {
    /// Whether anything of the contracts is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.nodes.is_empty()
    }

    /// Returns a job that has not ended.
    #[must_use]
    pub fn job(&self, id: u64) -> Option<&JobState> {
        self.jobs.get(&id)
    }

    /// Iterates over all jobs, those first for whose round most was paid.
    pub fn jobs_by_stake(&self) -> impl Iterator<Item = (u64, &JobState)> {
        self.by_stake.iter().filter_map(|(_, id)| Some((*id, self.jobs.get(id)?)))
    }

    /// Iterates over the jobs that an account posted.
    pub fn jobs_of(&self, poster: Address) -> impl Iterator<Item = (u64, &JobState)> {
        let ids = self.by_poster.range((poster, 0)..=(poster, u64::MAX));
        ids.filter_map(|(_, id)| Some((*id, self.jobs.get(id)?)))
    }

    /// Iterates over all jobs by id.
    pub fn jobs(&self) -> impl Iterator<Item = (u64, &JobState)> {
        self.jobs.iter().map(|(id, job)| (*id, job))
    }

    /// Iterates over the jobs from an id on.
    pub fn jobs_from(&self, id: u64) -> impl Iterator<Item = (u64, &JobState)> {
        self.jobs.range(id..).map(|(id, job)| (*id, job))
    }

    /// Number of jobs that have not ended.
    #[must_use]
    pub fn job_count(&self) -> usize {
        self.jobs.len()
    }

    /// Returns a node.
    #[must_use]
    pub fn node(&self, id: u32) -> Option<&NodeState> {
        self.nodes.get(&id)
    }

    /// Iterates over all nodes by id.
    pub fn nodes(&self) -> impl Iterator<Item = (u32, &NodeState)> {
        self.nodes.iter().map(|(id, node)| (*id, node))
    }

    /// Number of nodes that were ever registered.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Replaces a job, and returns the previous one.
    pub(crate) fn set_job(&mut self, id: u64, job: Option<JobState>) -> Option<JobState> {
        let before = match job {
            Some(job) => self.jobs.insert(id, job),
            None => self.jobs.remove(&id),
        };
        if let Some(before) = &before {
            self.by_stake.remove(&(Reverse(before.stake_of(before.round())), id));
            self.by_poster.remove(&(before.poster, id));
        }
        if let Some(job) = &job {
            self.by_stake.insert((Reverse(job.stake_of(job.round())), id));
            self.by_poster.insert((job.poster, id));
        }
        before
    }

    /// Replaces a node, and returns the previous one.
    pub(in crate::book) fn set_node(&mut self, id: u32, node: Option<NodeState>) -> Option<NodeState> {
        match node {
            Some(node) => self.nodes.insert(id, node),
            None => self.nodes.remove(&id),
        }
    }
}
