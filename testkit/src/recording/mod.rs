//! Recordings of blocks of a real chain: the block, and the state before it of everything that it touched.
//!
//! A [`Recording`] is two files. [`Playback`] is a node that serves nothing else: an Anvil forks from it as from a real
//! node, and tests on that fork need no other. [`Recorder`] is a proxy in front of a real node that records what is
//! requested through it, so that the same test runs against either. [`replay()`] executes the block again on an Anvil
//! that forks from one of them: if gas and receipts equal the chain's, nothing is missing.
//!
//! State that a recording does not hold is answered as empty: 0, no code, no block. That is correct for what the test
//! itself creates, and wrong for everything else. Each such [`Read`] is therefore counted, and [`Playback::check`]
//! requires them to be exactly those that the test has [`Declared`] with a reason. State that a test needs and that was
//! not recorded is given by an [`Override`], also with a reason.

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
    /// The tool that made the recording, and the node it was made from.
    pub source: String,
    chain_id: u64,
    number: u64,
    /// The result of `eth_getBlockByNumber`, with transactions.
    block: Value,
    accounts: BTreeMap<Address, Account>,
}

/// The state of an account before the block. Slots that are missing were not touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Account {
    balance: U256,
    nonce: u64,
    code: Bytes,
    storage: BTreeMap<U256, U256>,
}

impl Recording {
    /// Returns the id of the chain.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Returns the number of the recorded block. The state is that of its parent.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Returns the recorded block.
    ///
    /// # Errors
    /// When it does not have the form of an Ethereum block.
    pub fn block(&self) -> eyre::Result<Block> {
        replay::typed(&self.block)
    }

    /// Returns the number of accounts and the number of slots.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.accounts.len(), self.accounts.values().map(|account| account.storage.len()).sum())
    }
}
