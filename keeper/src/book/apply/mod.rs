//! From events to state: each event changes exactly what it changed in the contract's storage, or is refused.

mod lending;
mod rewards;

use alloy::primitives::U256;

use super::{
    Block, Book,
    error::{Problem, Quantity},
    undo::Change,
};
use crate::chain::Event;

/// A block on its way into the book, with what it takes to take it back.
pub(super) struct Application<'a> {
    book: &'a mut Book,
    block: Block,
    changes: Vec<Change>,
    /// How many events said that a stream puts rewards off, since the last one that said that a stream was updated.
    deferrals: u64,
}

impl<'a> Application<'a> {
    pub(super) const fn new(book: &'a mut Book, block: Block) -> Self {
        Self { book, block, changes: Vec::new(), deferrals: 0 }
    }

    /// Applies one event. When it fails, a part of it may have been applied; all changes so far are on record.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), Problem> {
        match event {
            Event::Core(event) => self.core(event),
            Event::Rewards(event) => self.rewards(event),
        }
    }

    /// Everything that was changed, in its order.
    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes
    }
}

fn add(amount: &mut u128, adds: U256, quantity: Quantity) -> Result<(), Problem> {
    let sum = u128::try_from(adds).ok().and_then(|adds| amount.checked_add(adds));
    *amount = sum.ok_or(Problem::TooLarge { quantity, has: U256::from(*amount), adds })?;
    Ok(())
}

fn take(amount: &mut u128, takes: U256, quantity: Quantity) -> Result<(), Problem> {
    let rest = u128::try_from(takes).ok().and_then(|takes| amount.checked_sub(takes));
    *amount = rest.ok_or(Problem::Overdrawn { quantity, has: U256::from(*amount), takes })?;
    Ok(())
}

fn fitting<T: TryFrom<U256>>(value: U256, quantity: Quantity) -> Result<T, Problem> {
    T::try_from(value).map_err(|_| Problem::TooLarge { quantity, has: U256::ZERO, adds: value })
}
