//! Applying the events of jobs and nodes.

use alloy::primitives::U256;
use plimsoll_contracts::{IJobs::IJobsEvents, INodes::INodesEvents};

use super::{JobStage, JobState, NodeState};
use crate::book::{
    apply::{Application, checked},
    error::{EventError, Quantity},
    undo_log::Change,
};

impl Application<'_> {
    pub(in crate::book) fn apply_job_event(&mut self, event: &IJobsEvents) -> Result<(), EventError> {
        let now = self.block.timestamp;
        match event {
            IJobsEvents::Post(event) => {
                let draw_block = checked(event.drawBlock, Quantity::DrawBlock)?;
                let job = JobState {
                    poster: event.poster,
                    kind: event.kind,
                    price: checked(event.price, Quantity::JobPrice)?,
                    seats: checked(event.k, Quantity::Seats)?,
                    is_challenged: false,
                    stage: JobStage::Open { round: 1, draw_block },
                    result: Default::default(),
                    posted_in: self.block.number,
                };
                let id = checked(event.id, Quantity::JobId)?;
                if self.book.jobs.job(id).is_some() {
                    return Err(EventError::KnownJob(id));
                }
                self.set_job(id, Some(job));
                Ok(())
            }
            IJobsEvents::Draw(event) => {
                let deadline = checked(event.deadline, Quantity::Deadline)?;
                self.change_job(event.id, |job| {
                    let round = job.round();
                    job.stage = JobStage::Drawn { round, deadline, committed: 0, revealed: 0 };
                })
            }
            IJobsEvents::Commit(event) => self.change_job(event.id, |job| {
                let seats = job.seats_of(job.round());
                if let JobStage::Drawn { deadline, committed, .. } = &mut job.stage {
                    *committed = committed.saturating_add(1);
                    if *committed == seats {
                        *deadline = now;
                    }
                }
            }),
            IJobsEvents::Reveal(event) => self.change_job(event.id, |job| {
                if let JobStage::Drawn { revealed, .. } = &mut job.stage {
                    *revealed = revealed.saturating_add(1);
                }
            }),
            // A second round is settled by the next event.
            IJobsEvents::Close(event) => self.change_job(event.id, |job| {
                (job.stage, job.result) = (JobStage::Submitted { closed_at: now }, event.result);
            }),
            IJobsEvents::Challenge(event) => {
                let draw_block = checked(event.drawBlock, Quantity::DrawBlock)?;
                self.change_job(event.id, |job| {
                    (job.is_challenged, job.stage) = (true, JobStage::Open { round: 2, draw_block });
                })
            }
            IJobsEvents::Cancel(event) => self.abandon_round(event.id, now),
            IJobsEvents::Expire(event) => self.abandon_round(event.id, now),
            IJobsEvents::Settle(event) => self.end_job(event.id),
            // What is audited, and who is owed money, is not in the book.
            IJobsEvents::Audit(_) | IJobsEvents::Owe(_) | IJobsEvents::WithdrawOwed(_) => Ok(()),
        }
    }

    pub(in crate::book) fn apply_node_event(&mut self, event: &INodesEvents) -> Result<(), EventError> {
        let now = self.block.timestamp;
        match event {
            INodesEvents::Register(event) => {
                let node =
                    NodeState { operator: event.operator, kind: event.kind, emission_stake: 0, harvested_at: now };
                self.set_node(event.id, Some(node));
                Ok(())
            }
            INodesEvents::Weight(event) => {
                let stake = checked(event.emissionStake, Quantity::EmissionStake)?;
                self.change_node(event.id, |node| node.emission_stake = stake)
            }
            INodesEvents::Harvest(event) => self.change_node(event.id, |node| node.harvested_at = now),
            // Bonds, signers and addresses are not in the book.
            INodesEvents::SetUrl(_)
            | INodesEvents::SetSigner(_)
            | INodesEvents::Delegate(_)
            | INodesEvents::Unbond(_)
            | INodesEvents::Withdraw(_)
            | INodesEvents::Slash(_)
            | INodesEvents::Pause(_)
            | INodesEvents::Resume(_)
            | INodesEvents::Jail(_)
            | INodesEvents::Compact(_) => Ok(()),
        }
    }

    /// A first round that could not be drawn ends the job, a second one leaves the first.
    fn abandon_round(&mut self, id: U256, now: u64) -> Result<(), EventError> {
        let key = checked(id, Quantity::JobId)?;
        if self.book.jobs.job(key).is_some_and(|job| job.round() == 1) {
            return self.end_job(id);
        }
        self.change_job(id, |job| job.stage = JobStage::Submitted { closed_at: now })
    }

    fn end_job(&mut self, id: U256) -> Result<(), EventError> {
        let id = checked(id, Quantity::JobId)?;
        self.book.jobs.job(id).ok_or(EventError::UnknownJob(id))?;
        self.set_job(id, None);
        Ok(())
    }

    fn change_job(&mut self, id: U256, change: impl FnOnce(&mut JobState)) -> Result<(), EventError> {
        let id = checked(id, Quantity::JobId)?;
        let mut job = *self.book.jobs.job(id).ok_or(EventError::UnknownJob(id))?;
        change(&mut job);
        self.set_job(id, Some(job));
        Ok(())
    }

    fn change_node(&mut self, id: u32, change: impl FnOnce(&mut NodeState)) -> Result<(), EventError> {
        let mut node = *self.book.jobs.node(id).ok_or(EventError::UnknownNode(id))?;
        change(&mut node);
        self.set_node(id, Some(node));
        Ok(())
    }

    fn set_job(&mut self, id: u64, job: Option<JobState>) {
        let before = self.book.jobs.set_job(id, job).map(Box::new);
        self.changes.push(Change::Job { id, before });
    }

    fn set_node(&mut self, id: u32, node: Option<NodeState>) {
        let before = self.book.jobs.set_node(id, node);
        self.changes.push(Change::Node { id, before });
    }
}
