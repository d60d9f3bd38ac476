//! Recordings of blocks of a real chain: the block, and the state before it of everything that it touched.
//!
//! A [`Recording`] is two files. [`Playback`] is a node that serves nothing else: an Anvil forks from it as from a real
//! node, and tests on that fork need no other. [`Recorder`] is a proxy in front of a real node that records what is
//! requested through it, so that the same test runs against either. [`replay()`] executes the block again on an Anvil
//! that forks from one of them: if gas and receipts equal the chain's, nothing is missing. [`Recorder::replay`] does so
//! in front of a distant node without waiting for each slot.
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
    primitives::{Address, Bytes, U256, address},
    rpc::types::Block,
};
use serde_json::Value;

pub use self::{
    file::RecordingError,
    playback::{Declared, NotAsDeclared, Override, Playback, Read, State},
    recorder::{Progress, Recorder},
    replay::{HARDFORKS, Outcome, Replayed, Unmined, replay, replay_under, rules_of},
};
use crate::node;

/// The accounts that Anvil funds, whose state it therefore reads on every fork.
pub const ANVILS_OWN: [Address; node::ACCOUNTS] = [
    address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    address!("90F79bf6EB2c4f870365E785982E1f101E93b906"),
    address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
    address!("9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    address!("976EA74026E726554dB657fA54763abd0C3a0aa9"),
    address!("14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
    address!("23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
    address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"),
];

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

    /// Returns the name of the hard fork whose rules the block was made under, as [`rules_of`] does.
    ///
    /// # Errors
    /// As [`Recording::block`].
    pub fn rules(&self) -> eyre::Result<&'static str> {
        Ok(rules_of(&self.block()?))
    }

    /// Returns the number of accounts and the number of slots.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.accounts.len(), self.accounts.values().map(|account| account.storage.len()).sum())
    }
}
