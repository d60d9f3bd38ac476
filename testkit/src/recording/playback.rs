//! A node that serves one recording and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy::primitives::{Address, Bytes, U256};

use super::{
    Recording,
    server::{Answers, Server},
};
use crate::proxy::rpc::{Reply, Request};

/// A read of something that the recording does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Read {
    /// An account: answered without ether, transactions and code.
    Account(Address),
    /// A slot: answered as 0.
    Slot(Address, U256),
    /// A block, or its hash: answered as not there.
    Block(u64),
}

/// A read outside the recording that a test expects.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The read.
    pub read: Read,
    /// Why an empty answer is correct.
    pub why: String,
}

/// State that a test adds where the recording has none. Recorded state takes precedence.
#[derive(Debug, Clone)]
pub struct Override {
    /// The account.
    pub address: Address,
    /// The state.
    pub state: State,
    /// Why the state is needed, and how it is known to be correct.
    pub why: &'static str,
}

/// A piece of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The code of a contract.
    Code(Bytes),
    /// A storage slot and its value.
    Slot(U256, U256),
    /// The nonce of an account.
    Nonce(u64),
}

/// The difference between the reads outside the recording and the declared ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotAsDeclared {
    /// Reads outside the recording that were not declared, each with its count. They were answered as empty, whatever
    /// the chain has there.
    pub undeclared: BTreeMap<Read, u64>,
    /// Declared reads that were not made.
    pub unread: BTreeSet<Read>,
    /// Errors of calls that could not be answered.
    pub refused: Vec<String>,
}

/// A running node that serves a recording. Dropping it stops it.
#[derive(Debug)]
pub struct Playback {
    answering: Arc<Answering>,
    server: Server,
}

#[derive(Debug)]
struct Answering {
    recording: Recording,
    outside: Mutex<Outside>,
}

#[derive(Debug, Default)]
struct Outside {
    reads: BTreeMap<Read, u64>,
    refused: Vec<String>,
}

impl Playback {
    /// Starts the node on a free port.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(mut recording: Recording, overrides: &[Override]) -> eyre::Result<Self> {
        overrides.iter().for_each(|wanted| recording.put(wanted));
        let answering = Arc::new(Answering { recording, outside: Mutex::default() });
        let server = Server::start(Arc::clone(&answering)).await?;
        Ok(Self { answering, server })
    }

    /// Returns the node's URL.
    #[must_use]
    pub fn http_url(&self) -> String {
        self.server.http_url()
    }

    /// Returns the recording, overrides included.
    #[must_use]
    pub fn recording(&self) -> &Recording {
        &self.answering.recording
    }

    /// Returns the reads outside the recording so far, each with its count.
    #[must_use]
    pub fn outside(&self) -> BTreeMap<Read, u64> {
        self.answering.outside().reads.clone()
    }

    /// Checks that the reads outside the recording are exactly the declared ones.
    ///
    /// # Errors
    /// When there were others, when a declared one was not made, or when a call could not be answered.
    pub fn check(&self, declared: &[Declared]) -> Result<(), NotAsDeclared> {
        let outside = self.answering.outside();
        let declared: BTreeSet<Read> = declared.iter().map(|declared| declared.read).collect();
        // A recording that was made by running the same test holds what the test reads.
        let is_unread = |read: &Read| !outside.reads.contains_key(read) && !self.recording().holds(*read);
        let undeclared = outside.reads.iter().filter(|(read, _)| !declared.contains(read));
        let different = NotAsDeclared {
            undeclared: undeclared.map(|(read, times)| (*read, *times)).collect(),
            unread: declared.into_iter().filter(is_unread).collect(),
            refused: outside.refused.clone(),
        };
        if different == NotAsDeclared::default() { Ok(()) } else { Err(different) }
    }
}

impl Answering {
    fn outside(&self) -> MutexGuard<'_, Outside> {
        self.outside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers for Answering {
    async fn answer(&self, request: &Request) -> Reply {
        let (reply, read) = self.recording.answer(request);
        let mut outside = self.outside();
        if let Some(read) = read {
            *outside.reads.entry(read).or_default() += 1;
        }
        if let Err(refusal) = &reply {
            outside.refused.push(refusal["message"].as_str().map_or_else(|| refusal.to_string(), str::to_owned));
        }
        reply
    }
}

impl Recording {
    /// Adds state where none was recorded.
    fn put(&mut self, wanted: &Override) {
        let account = self.accounts.entry(wanted.address).or_default();
        match &wanted.state {
            State::Code(code) if account.code.is_empty() => account.code = code.clone(),
            State::Nonce(nonce) if account.nonce == 0 => account.nonce = *nonce,
            State::Code(_) | State::Nonce(_) => {}
            State::Slot(slot, value) => {
                account.storage.entry(*slot).or_insert(*value);
            }
        }
    }

    fn holds(&self, read: Read) -> bool {
        match read {
            Read::Account(address) => self.accounts.contains_key(&address),
            Read::Slot(address, slot) => {
                self.accounts.get(&address).is_some_and(|account| account.storage.contains_key(&slot))
            }
            Read::Block(_) => false,
        }
    }
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(address) => write!(f, "the account {address}"),
            Self::Slot(address, slot) => write!(f, "slot {slot:#x} of {address}"),
            Self::Block(number) => write!(f, "block {number}"),
        }
    }
}

impl fmt::Display for NotAsDeclared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what was read outside the recording is not what was declared")?;
        for (read, times) in &self.undeclared {
            write!(f, "\n  not declared: {read}, read {times} times")?;
        }
        for read in &self.unread {
            write!(f, "\n  declared, but never read: {read}")?;
        }
        for refused in &self.refused {
            write!(f, "\n  not answered: {refused}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NotAsDeclared {}
