//! What the book keeps of governance: bounded, revertible, and the same after a restart.

use alloy::primitives::{Bytes, Uint};
use plimsoll_contracts::{
    IBrake::{self, IBrakeEvents},
    governance::{
        IAccessManager::{self, IAccessManagerEvents},
        IGovernor::{self, IGovernorEvents},
    },
};

use super::*;
use crate::{
    book::governance::{EXPIRATION_SECS, MAX_CALL_BYTES, MAX_OPERATIONS, SHOWN_ENDED},
    chain::GovernanceEvent,
};

const MANAGER: Address = Address::repeat_byte(0xa1);
const GOVERNOR: Address = Address::repeat_byte(0xa2);
const BRAKE: Address = Address::repeat_byte(0xa3);
const CALLER: Address = Address::repeat_byte(0xa4);

fn manager(event: IAccessManagerEvents) -> Event {
    Event::Governance(MANAGER, GovernanceEvent::Manager(event))
}

fn governor(event: IGovernorEvents) -> Event {
    Event::Governance(GOVERNOR, GovernanceEvent::Governor(event))
}

fn schedule(id: u64, due: u64, bytes: usize) -> Event {
    manager(IAccessManagerEvents::OperationScheduled(IAccessManager::OperationScheduled {
        operationId: B256::from(U256::from(id)),
        nonce: 1,
        schedule: Uint::from(due),
        caller: CALLER,
        target: account(7),
        data: vec![1; bytes].into(),
    }))
}

fn execute(id: u64) -> Event {
    let operation_id = B256::from(U256::from(id));
    manager(IAccessManagerEvents::OperationExecuted(IAccessManager::OperationExecuted {
        operationId: operation_id,
        nonce: 1,
    }))
}

fn propose(id: u64, bytes: usize) -> Event {
    governor(IGovernorEvents::ProposalCreated(IGovernor::ProposalCreated {
        proposalId: U256::from(id),
        proposer: CALLER,
        targets: vec![account(7)],
        values: vec![U256::ZERO],
        signatures: vec![String::new()],
        calldatas: vec![Bytes::from(vec![1; bytes])],
        voteStart: U256::from(START),
        voteEnd: U256::from(START + id),
        description: "a proposal".to_owned(),
    }))
}

fn queue(id: u64, eta: u64) -> Event {
    governor(IGovernorEvents::ProposalQueued(IGovernor::ProposalQueued {
        proposalId: U256::from(id),
        etaSeconds: U256::from(eta),
    }))
}

fn at_block(number: u64) -> Block {
    Block { number, timestamp: START + number }
}

#[test]
fn an_operation_is_kept_until_it_is_executed_braked_or_expired_and_comes_back_in_a_reorg() {
    let mut book = Book::new();
    let due = START + 100;
    book.apply(at_block(1), &[schedule(1, due, 4), schedule(2, due, 4), schedule(3, due, 4)]).unwrap();
    let rows = book.rows().collect::<Vec<_>>();
    let restored =
        Book::restore(at_block(1), &Followed::All, rows.into_iter().map(|row| Row::decode(&row.key(), &row.value())))
            .unwrap();
    assert_eq!(restored.governance(), book.governance());

    let before = book.governance().clone();
    let id = B256::from(U256::from(2));
    let brake = |event| Event::Governance(BRAKE, GovernanceEvent::Brake(event));
    let opposed = brake(IBrakeEvents::Opposed(IBrake::Opposed {
        id,
        nonce: 1,
        account: CALLER,
        added: U256::from(3),
        weight: U256::from(3),
        needed: U256::from(4),
    }));
    book.apply(at_block(2), &[opposed]).unwrap();
    assert_eq!(book.governance().operations[&id].opposition[&BRAKE].weight, U256::from(3));
    let canceled = manager(IAccessManagerEvents::OperationCanceled(IAccessManager::OperationCanceled {
        operationId: id,
        nonce: 1,
    }));
    let cancelled = brake(IBrakeEvents::Cancelled(IBrake::Cancelled { id, nonce: 1, cancels: U256::ONE }));
    book.apply(at_block(3), &[canceled, cancelled, execute(1)]).unwrap();
    let how: Vec<_> = book.governance().ended.iter().map(|ended| ended.how).collect();
    assert_eq!(how, [End::Braked(BRAKE), End::Executed]);
    book.revert_to(1).unwrap();
    assert_eq!(*book.governance(), before);

    let expired = Block { number: 2, timestamp: due + EXPIRATION_SECS };
    book.apply(Block { timestamp: expired.timestamp - 1, ..expired }, &[]).unwrap();
    assert_eq!(book.governance().operations.len(), 3);
    book.apply(Block { number: 3, ..expired }, &[]).unwrap();
    assert!(book.governance().operations.is_empty());
    assert!(book.governance().ended.iter().all(|ended| ended.how == End::Expired));
}

#[test]
fn a_proposal_waits_from_its_queueing_on_and_its_calls_end_with_it() {
    let mut book = Book::new();
    book.apply(at_block(1), &[propose(1, 4), propose(2, MAX_CALL_BYTES + 1)]).unwrap();
    let id = B256::from(U256::ONE);
    assert!(!book.governance().is_pending(&id) && book.governance().proposals.len() == 1);
    let event = IAccessManager::OperationScheduled {
        operationId: B256::repeat_byte(9),
        nonce: 1,
        schedule: Uint::from(START + 100),
        caller: GOVERNOR,
        target: account(7),
        data: vec![1; 4].into(),
    };
    let part = manager(IAccessManagerEvents::OperationScheduled(event));
    book.apply(at_block(2), &[part, queue(1, START + 100), queue(2, START + 100)]).unwrap();
    let state = book.governance();
    assert!(state.is_pending(&id) && state.is_of_proposal(&state.operations[&B256::repeat_byte(9)]));
    assert_eq!(state.left_out, 1);
    let done = manager(IAccessManagerEvents::OperationExecuted(IAccessManager::OperationExecuted {
        operationId: B256::repeat_byte(9),
        nonce: 1,
    }));
    let executed = governor(IGovernorEvents::ProposalExecuted(IGovernor::ProposalExecuted { proposalId: U256::ONE }));
    book.apply(at_block(3), &[done, executed]).unwrap();
    let ended: Vec<_> = book.governance().ended.iter().map(|ended| (ended.is_proposal, ended.how)).collect();
    assert_eq!(ended, [(true, End::Executed)]);
}

#[test]
fn however_much_is_scheduled_and_proposed_a_bounded_part_is_kept() {
    let mut book = Book::new();
    let many = 3 * u64::try_from(MAX_OPERATIONS).unwrap();
    let events: Vec<_> =
        (1..=many).flat_map(|id| [schedule(id, START + 100, 4), propose(id, 4)]).chain([propose(0, 4)]).collect();
    book.apply(at_block(1), &events).unwrap();
    let state = book.governance();
    assert_eq!((state.operations.len(), state.proposals.len()), (MAX_OPERATIONS, MAX_OPERATIONS));
    assert_eq!(state.left_out, many - u64::try_from(MAX_OPERATIONS).unwrap());
    // Those whose votes end last are kept.
    assert!(state.proposals.contains_key(&B256::from(U256::from(many))));
    let large = schedule(many + 1, START + 100, MAX_CALL_BYTES + 1);
    book.apply(at_block(2), &[large]).unwrap();
    let ends: Vec<_> = (1..=many).map(execute).collect();
    book.apply(at_block(3), &ends).unwrap();
    assert_eq!((book.governance().operations.len(), book.governance().ended.len()), (0, SHOWN_ENDED));
}
