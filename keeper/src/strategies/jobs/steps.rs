//! Which step of a job is due, and what it is paid.

use crate::{
    book::{DRAW_BLOCKS, JobStage, JobState},
    chain::Header,
    intent::JobStep,
};

use super::JobTerms;

/// A step of a job that can be made in the block after a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) id: u64,
    pub(super) step: JobStep,
    /// Block whose header seeds the draw.
    pub(super) draw_block: u64,
    /// What the transaction itself is paid, in units of the token.
    pub(super) tip: u128,
    /// What is paid for a step that this one makes possible, and that anybody can make.
    pub(super) later_tip: u128,
    /// Whether the job is of a configured account.
    pub(super) is_own: bool,
}

/// Returns the step of a job that can be made after `head`; `None` if it must wait.
pub(super) fn due_step(id: u64, job: &JobState, head: &Header, terms: &JobTerms) -> Option<Due> {
    let due = |step, tip, later_tip| Due { id, step, draw_block: 0, tip, later_tip, is_own: false };
    let now = head.timestamp;
    match job.stage {
        JobStage::Open { round, draw_block } => {
            // The transaction's own block is one later.
            if head.number >= draw_block.saturating_add(DRAW_BLOCKS) {
                let is_over = head.number > draw_block.saturating_add(DRAW_BLOCKS);
                return is_over.then(|| due(JobStep::Expire, 0, 0));
            }
            (head.number > draw_block).then(|| Due { draw_block, ..due(JobStep::Draw, job.tip_of(round), 0) })
        }
        JobStage::Drawn { round, deadline, committed, revealed } => {
            let has_committed = now > deadline || committed == job.seats_of(round);
            let is_over = now > deadline.saturating_add(terms.reveal_secs);
            ((has_committed && revealed == committed) || is_over).then(|| match round {
                1 => due(JobStep::Close, 0, job.tip_of(1)),
                _ => due(JobStep::Close, job.tip_of(1).saturating_add(job.tip_of(round)), 0),
            })
        }
        JobStage::Submitted { closed_at } => {
            let challenge_secs = if job.is_challenged { 0 } else { terms.challenge_secs };
            (now > closed_at.saturating_add(challenge_secs)).then(|| due(JobStep::Finalize, job.tip_of(1), 0))
        }
    }
}

/// Returns the challenge of a job's result; `None` if it cannot be challenged in the block after `head`.
pub(super) fn due_challenge(id: u64, job: &JobState, head: &Header, terms: &JobTerms) -> Option<Due> {
    let can_be = match job.stage {
        JobStage::Submitted { closed_at } => head.timestamp < closed_at.saturating_add(terms.challenge_secs),
        JobStage::Open { .. } | JobStage::Drawn { .. } => false,
    };
    let due = Due { id, step: JobStep::Challenge, draw_block: 0, tip: 0, later_tip: 0, is_own: true };
    (can_be && !job.is_challenged && !job.result.is_zero()).then_some(due)
}
