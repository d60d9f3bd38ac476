//! Applying events: each event changes exactly what it changed in the contract's storage, or is rejected.

mod guard;
mod lending;
mod rewards;

use alloy::primitives::U256;

use super::{
    Block, Book,
    error::{EventError, Quantity},
    undo_log::Change,
    vaults::VaultExit,
};
use crate::chain::Event;

/// The application of a block's events to the book, with the changes that it has made so far.
pub(super) struct Application<'a> {
    pub(super) book: &'a mut Book,
    pub(super) block: Block,
    pub(super) changes: Vec<Change>,
    /// Number of events that deferred a stream's rewards since the last one that accrued a stream.
    deferrals: u64,
    /// The last withdrawal from a vault, which further events complete.
    pub(super) exit: Option<VaultExit>,
    /// Whether the changes begin with the state of governance before.
    pub(super) has_recorded_governance: bool,
}

impl<'a> Application<'a> {
    pub(super) const fn new(book: &'a mut Book, block: Block) -> Self {
        Self { book, block, changes: Vec::new(), deferrals: 0, exit: None, has_recorded_governance: false }
    }

    /// Whether the event is of something that is quarantined.
    pub(super) fn is_left_out(&self, event: &Event) -> bool {
        let missing = self.book.coverage.missing();
        !missing.is_empty() && event.subject().is_some_and(|id| missing.contains(&id))
    }

    /// Applies one event. If it fails, a part of it may have been applied; the changes include that part.
    pub(super) fn apply_event(&mut self, event: &Event) -> Result<(), EventError> {
        match event {
            Event::Core(event) => self.apply_core_event(event),
            Event::Rewards(event) => self.apply_reward_event(event),
            Event::Guard(event) => self.apply_guard_event(event),
            Event::Foreign(log) => Err(EventError::Foreign(log.address)),
            Event::Vault(vault, event) => self.apply_vault_event(*vault, event),
            Event::Governance(source, event) => {
                self.apply_governance_event(*source, event);
                Ok(())
            }
            Event::Job(_, event) => self.apply_job_event(event),
            Event::Node(_, event) => self.apply_node_event(event),
        }
    }

    /// Returns the changes in the order in which they were made.
    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes
    }
}

/// Adds to an amount. Fails if the contract could not store the sum.
pub(super) fn add(amount: &mut u128, adds: U256, quantity: Quantity) -> Result<(), EventError> {
    let sum = u128::try_from(adds).ok().and_then(|adds| amount.checked_add(adds));
    *amount = sum.ok_or(EventError::Overflow { quantity, has: U256::from(*amount), adds })?;
    Ok(())
}

/// Subtracts from an amount. Fails if there is not as much.
pub(super) fn subtract(amount: &mut u128, takes: U256, quantity: Quantity) -> Result<(), EventError> {
    let difference = u128::try_from(takes).ok().and_then(|takes| amount.checked_sub(takes));
    *amount = difference.ok_or(EventError::Underflow { quantity, has: U256::from(*amount), takes })?;
    Ok(())
}

/// Converts a value to the type that the contract stores it in. Fails if it does not fit.
pub(super) fn checked<T: TryFrom<U256>>(value: U256, quantity: Quantity) -> Result<T, EventError> {
    T::try_from(value).map_err(|_| EventError::Overflow { quantity, has: U256::ZERO, adds: value })
}
