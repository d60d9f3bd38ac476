//! Governance in the book: what is scheduled in the deployment's `AccessManager`, the proposals of its governors, what
//! opposes both, and how the last of them ended.
//!
//! A change of the roles is not in the book: whether a call may be executed is asked of the chain when it is due. Members of
//! roles schedule, and holders of votes propose, as much as they want; the book keeps a bounded part: [`MAX_OPERATIONS`]
//! operations, as many proposals, [`MAX_CALL_BYTES`] of each. What is beyond that is counted, and nobody is told of it
//! one by one. A governor without a proposal threshold lets strangers take these places; the deployer makes none.

mod apply;
mod row;

use std::collections::{BTreeMap, VecDeque};

use alloy::primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};

/// Most operations, and most proposals, that the book keeps.
pub(in crate::book) const MAX_OPERATIONS: usize = 64;
/// Most bytes of calldata that are kept of an operation, or of all calls of a proposal together.
pub(in crate::book) const MAX_CALL_BYTES: usize = 16_384;
/// Most calls of a proposal that is kept.
pub(in crate::book) const MAX_CALLS: usize = 32;
/// Number of operations and proposals that have ended and are still shown.
pub(in crate::book) const SHOWN_ENDED: usize = 16;
/// Time in seconds after its due time in which an operation can be executed. It is a constant of the manager.
pub(in crate::book) const EXPIRATION_SECS: u64 = 7 * 24 * 60 * 60;
/// Time in seconds after the end of its vote for which a proposal that nobody queued is kept.
const UNQUEUED_SECS: u64 = 30 * 24 * 60 * 60;

/// What waits in the manager and in governors.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GovernanceState {
    /// Whether an event of the manager was applied. Its constructor has one, so without any its events are missing.
    pub is_seen: bool,
    /// Operations that are scheduled in the manager, by id.
    pub operations: BTreeMap<B256, Operation>,
    /// Proposals that were made and have not ended, by id.
    pub proposals: BTreeMap<B256, Proposal>,
    /// The last operations and queued proposals that ended, the oldest first.
    pub ended: VecDeque<Ended>,
    /// Operations and queued proposals that were left out since the first block, because there were too many or they were
    /// too large.
    pub left_out: u64,
}

/// A call that is scheduled in the manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// How often the same call was scheduled.
    pub nonce: u32,
    /// Time from which it can be executed, in seconds.
    pub due: u64,
    /// Account that scheduled it, which alone can execute it.
    pub caller: Address,
    /// The call.
    pub call: ScheduledCall,
    /// What opposes it at each brake, by the brake's address.
    pub opposition: BTreeMap<Address, Opposition>,
}

/// A call of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledCall {
    /// Contract that is called.
    pub target: Address,
    /// Native currency that is sent along, in wei.
    pub value: U256,
    /// Calldata of the call.
    pub data: Bytes,
}

/// Shares that oppose an operation at one brake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opposition {
    /// Shares that oppose it in the present round.
    pub weight: U256,
    /// Shares that cancel it.
    pub needed: U256,
}

/// A proposal of a governor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The governor.
    pub governor: Address,
    /// Account that made it.
    pub proposer: Address,
    /// Its calls, in their order.
    pub calls: Vec<ScheduledCall>,
    /// Keccak256 of its description.
    pub description_hash: B256,
    /// Time of the end of its vote, in seconds, unless that is extended.
    pub vote_end: u64,
    /// Time from which it can be executed, in seconds; `None` until it is queued.
    pub due: Option<u64>,
}

/// An operation or queued proposal that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its id.
    pub id: B256,
    /// How often the same operation was scheduled; 0 for a proposal.
    pub nonce: u32,
    /// Whether it was a proposal.
    pub is_proposal: bool,
    /// Its calls.
    pub calls: Vec<ScheduledCall>,
    /// How it ended.
    pub how: End,
    /// When it ended, in seconds.
    pub at: u64,
}

/// How an operation or a proposal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It was executed.
    Executed,
    /// Its scheduler, an administrator or a guardian cancelled it.
    Cancelled,
    /// Depositors cancelled it at this brake.
    Braked(Address),
    /// Nobody executed it in time.
    Expired,
}

impl Operation {
    /// Returns the time from which it cannot be executed any more, in seconds.
    #[must_use]
    pub const fn expires(&self) -> u64 {
        self.due.saturating_add(EXPIRATION_SECS)
    }
}

impl Proposal {
    /// Returns the time from which it is not kept any more, in seconds: it has expired, or nobody has queued it.
    #[must_use]
    pub const fn expires(&self) -> u64 {
        match self.due {
            Some(due) => due.saturating_add(EXPIRATION_SECS),
            None => self.vote_end.saturating_add(UNQUEUED_SECS),
        }
    }
}

impl GovernanceState {
    /// Whether an operation is a call of a queued proposal that is kept: the proposal tells of it, and executes it.
    #[must_use]
    pub fn is_of_proposal(&self, operation: &Operation) -> bool {
        let is_same = |call: &ScheduledCall| call.target == operation.call.target && call.data == operation.call.data;
        self.proposals.values().any(|proposal| {
            proposal.governor == operation.caller && proposal.due.is_some() && proposal.calls.iter().any(is_same)
        })
    }

    /// Whether an operation or a queued proposal with this id can still be executed.
    #[must_use]
    pub fn is_pending(&self, id: &B256) -> bool {
        self.operations.contains_key(id) || self.proposals.get(id).is_some_and(|proposal| proposal.due.is_some())
    }
}
