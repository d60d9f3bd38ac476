//! Applying the events of a manager, of governors and of brakes. None of them is inconsistent: an event about something that
//! is not kept changes nothing.

use alloy::primitives::{Address, B256, U256, keccak256};
use plimsoll_contracts::{
    IBrake::IBrakeEvents,
    governance::{
        IAccessManager::{self, IAccessManagerEvents},
        IGovernor::{self, IGovernorEvents},
    },
};

use super::{
    End, Ended, GovernanceState, MAX_CALL_BYTES, MAX_CALLS, MAX_OPERATIONS, Operation, Opposition, Proposal,
    SHOWN_ENDED, ScheduledCall,
};
use crate::{
    book::{apply::Application, undo_log::Change},
    chain::GovernanceEvent,
};

impl Application<'_> {
    pub(in crate::book) fn apply_governance_event(&mut self, source: Address, event: &GovernanceEvent) {
        let now = self.block.timestamp;
        match event {
            GovernanceEvent::Manager(event) => self.governance().apply_manager_event(event, now),
            GovernanceEvent::Governor(event) => self.governance().apply_governor_event(source, event, now),
            GovernanceEvent::Brake(IBrakeEvents::Opposed(event)) => {
                let opposition = Opposition { weight: event.weight, needed: event.needed };
                if let Some(operation) = self.governance().operations.get_mut(&event.id) {
                    operation.opposition.insert(source, opposition);
                }
            }
            GovernanceEvent::Brake(IBrakeEvents::Cancelled(event)) => {
                // The manager's own event came before it, in the same transaction.
                let is_meant = |ended: &&mut Ended| ended.id == event.id && ended.nonce == event.nonce;
                if let Some(ended) = self.governance().ended.iter_mut().rev().find(is_meant) {
                    ended.how = End::Braked(source);
                }
            }
            // Whose shares are locked is not in the book.
            GovernanceEvent::Brake(IBrakeEvents::Locked(_) | IBrakeEvents::Unlocked(_)) => {}
        }
    }

    /// Ends the operations and proposals that have expired by the block's time.
    pub(in crate::book) fn expire_governance(&mut self) {
        let (now, state) = (self.block.timestamp, &self.book.governance);
        let is_over = state.operations.values().any(|operation| operation.expires() <= now)
            || state.proposals.values().any(|proposal| proposal.expires() <= now);
        if is_over {
            self.governance().expire(now);
        }
    }

    /// Returns the state for a change. The first call of an application records the previous state.
    fn governance(&mut self) -> &mut GovernanceState {
        if !std::mem::replace(&mut self.has_recorded_governance, true) {
            self.changes.push(Change::Governance { before: Box::new(self.book.governance.clone()) });
        }
        &mut self.book.governance
    }
}

impl GovernanceState {
    fn apply_manager_event(&mut self, event: &IAccessManagerEvents, now: u64) {
        self.is_seen = true;
        match event {
            IAccessManagerEvents::OperationScheduled(event) => self.schedule(event),
            IAccessManagerEvents::OperationExecuted(event) => {
                self.end_operation(event.operationId, event.nonce, End::Executed, now);
            }
            IAccessManagerEvents::OperationCanceled(event) => {
                self.end_operation(event.operationId, event.nonce, End::Cancelled, now);
            }
            // Roles are not in the book.
            IAccessManagerEvents::RoleGranted(_)
            | IAccessManagerEvents::RoleLabel(_)
            | IAccessManagerEvents::TargetFunctionRoleUpdated(_) => {}
        }
    }

    fn schedule(&mut self, event: &IAccessManager::OperationScheduled) {
        let is_known = self.operations.contains_key(&event.operationId);
        if (self.operations.len() >= MAX_OPERATIONS && !is_known) || event.data.len() > MAX_CALL_BYTES {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        let call = ScheduledCall { target: event.target, value: U256::ZERO, data: event.data.clone() };
        let (nonce, due, caller) = (event.nonce, event.schedule.to::<u64>(), event.caller);
        let operation = Operation { nonce, due, caller, call, opposition: Default::default() };
        self.operations.insert(event.operationId, operation);
    }

    fn end_operation(&mut self, id: B256, nonce: u32, how: End, at: u64) {
        let Some(operation) = self.operations.remove(&id) else { return };
        // Calls of a proposal end with it, unless they are stopped alone.
        if how == End::Executed && self.is_of_proposal(&operation) {
            return;
        }
        self.push_ended(Ended { id, nonce, is_proposal: false, calls: vec![operation.call], how, at });
    }

    fn apply_governor_event(&mut self, governor: Address, event: &IGovernorEvents, now: u64) {
        match event {
            IGovernorEvents::ProposalCreated(event) => self.propose(governor, event),
            IGovernorEvents::ProposalQueued(event) => match self.proposals.get_mut(&word(event.proposalId)) {
                Some(proposal) => proposal.due = Some(event.etaSeconds.saturating_to()),
                None => self.left_out = self.left_out.saturating_add(1),
            },
            IGovernorEvents::ProposalExecuted(event) => self.end_proposal(event.proposalId, End::Executed, now),
            IGovernorEvents::ProposalCanceled(event) => self.end_proposal(event.proposalId, End::Cancelled, now),
        }
    }

    /// Keeps a proposal that was made. Of those that nobody has queued, the one whose vote ends first makes room.
    fn propose(&mut self, governor: Address, event: &IGovernor::ProposalCreated) {
        let bytes: usize = event.calldatas.iter().map(|data| data.len()).sum();
        if bytes > MAX_CALL_BYTES || event.targets.len() > MAX_CALLS {
            return;
        }
        if self.proposals.len() >= MAX_OPERATIONS {
            let unqueued = self.proposals.iter().filter(|(_, proposal)| proposal.due.is_none());
            let Some(first) = unqueued.min_by_key(|(_, proposal)| proposal.vote_end).map(|(id, _)| *id) else { return };
            self.proposals.remove(&first);
        }
        let calls = event.targets.iter().zip(&event.values).zip(&event.calldatas);
        let call = |((target, value), data): ((&Address, &U256), &alloy::primitives::Bytes)| ScheduledCall {
            target: *target,
            value: *value,
            data: data.clone(),
        };
        let proposal = Proposal {
            governor,
            proposer: event.proposer,
            calls: calls.map(call).collect(),
            description_hash: keccak256(event.description.as_bytes()),
            vote_end: event.voteEnd.saturating_to(),
            due: None,
        };
        self.proposals.insert(word(event.proposalId), proposal);
    }

    fn end_proposal(&mut self, id: U256, how: End, at: u64) {
        let id = word(id);
        let Some(proposal) = self.proposals.remove(&id) else { return };
        if proposal.due.is_some() {
            self.push_ended(Ended { id, nonce: 0, is_proposal: true, calls: proposal.calls, how, at });
        }
    }

    fn expire(&mut self, now: u64) {
        let operations = self.operations.extract_if(.., |_, operation| operation.expires() <= now);
        let mut ended: Vec<_> = operations
            .map(|(id, operation)| {
                let (nonce, calls) = (operation.nonce, vec![operation.call]);
                Ended { id, nonce, is_proposal: false, calls, how: End::Expired, at: now }
            })
            .collect();
        let proposals = self.proposals.extract_if(.., |_, proposal| proposal.expires() <= now);
        ended.extend(proposals.filter(|(_, proposal)| proposal.due.is_some()).map(|(id, proposal)| Ended {
            id,
            nonce: 0,
            is_proposal: true,
            calls: proposal.calls,
            how: End::Expired,
            at: now,
        }));
        ended.into_iter().for_each(|ended| self.push_ended(ended));
    }

    fn push_ended(&mut self, ended: Ended) {
        self.ended.push_back(ended);
        while self.ended.len() > SHOWN_ENDED {
            self.ended.pop_front();
        }
    }
}

/// Returns a proposal's id as a word.
fn word(id: U256) -> B256 {
    B256::from(id)
}
