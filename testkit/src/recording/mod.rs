//! The past of a chain that is at hand: everything that one block touched, as it was before, and the block itself.
//!
//! A [`Recording`] is two files. [`Playback`] is a node that knows nothing else: an Anvil forks from it as from a real
//! one, and tests over that fork run anywhere and for ever. [`Recorder`] stands in front of a real node and makes a
//! recording of what is asked through it, so that a test is written once against either. [`replay`] carries the block
//! out on an Anvil in front of one of them: gas and receipts equal to the chain's prove that nothing is missing.
//!
//! What a recording does not hold is answered as a chain answers where nothing is: 0, no code, no block. That is right
//! for what the test itself brings along, and wrong for everything else. So each such [`Read`] is counted, and
//! [`Playback::check`] wants them to be exactly those that the test declares, each with a reason. Where a test needs
//! state that was not recorded, it says so by an [`Override`], with a reason, too.

mod answers;
mod file;
mod playback;

mod recorder;
mod replay;
mod server;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, Bytes, U256},
    rpc::types::Block,
};
use serde_json::Value;

pub use self::{
    file::RecordingError,
    playback::{Declared, NotAsDeclared, Override, Playback, Read, State},
    recorder::Recorder,
    replay::{Outcome, replay, rules_of},
};

/// One block and the state before it.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Who made it, and of what.
    pub source: String,
    chain_id: u64,
    number: u64,
    /// As `eth_getBlockByNumber` gives it, with its transactions.
    block: Value,
    accounts: BTreeMap<Address, Account>,
}

/// An account before the block. A slot that is missing was not touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Account {
    balance: U256,
    nonce: u64,
    code: Bytes,
    storage: BTreeMap<U256, U256>,
}

impl Recording {
    /// Which chain it is of.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The recorded block's number. The state is that of the one before.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The recorded block. Fails where it is none of Ethereum's.
    pub fn block(&self) -> eyre::Result<Block> {
        replay::typed(&self.block)
    }

    /// How many accounts and how many slots it holds.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.accounts.len(), self.accounts.values().map(|account| account.storage.len()).sum())
    }
}
