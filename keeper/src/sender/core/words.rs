//! What goes into the core and what comes out of it.

use alloy::primitives::{Address, B256, Bytes};

use crate::{
    chain::Header,
    intent::Intent,
    sender::{
        fees::FeePolicy,
        journal::{Entry, Fees, Kind},
        outcome::{Receipt, Report},
        verdict::Verdict,
    },
};

/// How a chain and an operator want transactions to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How prices are found.
    pub fees: FeePolicy,
    /// How many transactions may be pending at once.
    pub most_pending: usize,
    /// After how many blocks a transaction that is not mined is offered for more.
    pub replace_after_blocks: u64,
    /// How many blocks on top of one keep it from being taken back.
    pub final_after_blocks: u64,
    /// The gas that a cancellation, a transfer of nothing, takes on this chain.
    pub cancel_gas: u64,
    /// Where there is a private endpoint: after how many blocks a transaction that is not mined is shown to everybody.
    /// `None` within: never.
    pub private: Option<PrivateFirst>,
}

/// Transactions are shown to a private endpoint alone at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateFirst {
    /// After how many blocks everybody is shown them; `None` is never.
    pub public_after_blocks: Option<u64>,
}

impl Default for Settings {
    /// Ethereum's.
    fn default() -> Self {
        Self {
            fees: FeePolicy::default(),
            most_pending: 16,
            replace_after_blocks: 2,
            final_after_blocks: 64,
            cancel_gas: 21_000,
            private: None,
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// These are wanted, by id.
    Submit(Vec<(u64, Intent)>),
    /// These were signed.
    Signed(Vec<Signed>),
    /// The endpoints answered a broadcast.
    Answered {
        /// The transaction's nonce.
        nonce: u64,
        /// The transaction.
        hash: B256,
        /// What their answers mean together.
        verdict: Verdict,
    },
    /// The chain has a new head.
    Block(Header),
    /// What was looked up.
    Looked(Looked),
    /// Nothing may be sent from now on, or again.
    Hold(bool),
    /// An entry could not be written.
    JournalFailed,
}

/// A transaction was signed as ordered.
#[derive(Debug, Clone)]
pub struct Signed {
    /// Its nonce.
    pub nonce: u64,
    /// Its bytes.
    pub raw: Bytes,
    /// Its hash.
    pub hash: B256,
}

/// What a node that has the newest head says.
#[derive(Debug, Clone)]
pub struct Looked {
    /// The signer's next nonce in its newest block, asked before everything else.
    pub nonce: u64,
    /// For each transaction asked for, its receipt if it has one.
    pub receipts: Vec<(B256, Option<Receipt>)>,
}

/// Something to do. They are done in order; one that fails keeps those behind it from happening.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Sign these; [`Event::Signed`] is the next event.
    Sign(Vec<Order>),
    /// Write these to the journal before going on.
    Journal(Vec<Entry>),
    /// Write these to the journal some time, with the next that must be written or when there is nothing else to do: what
    /// they say can be found out again.
    Note(Vec<Entry>),
    /// Show a transaction to endpoints; [`Event::Answered`] comes some time.
    Broadcast {
        /// Its nonce.
        nonce: u64,
        /// The transaction.
        hash: B256,
        /// Its bytes.
        raw: Bytes,
        /// To whom.
        route: Route,
    },
    /// Ask for the signer's nonce and for these receipts; [`Event::Looked`] comes some time.
    LookUp(Vec<B256>),
    /// Tell whoever wanted it.
    Report(Box<Report>),
    /// Tell the operator.
    Alert(Alert),
}

/// A transaction to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its nonce.
    pub nonce: u64,
    /// Whether it carries out an intent.
    pub kind: Kind,
    /// Whom it calls.
    pub to: Address,
    /// With what.
    pub data: Bytes,
    /// The most gas it may use.
    pub gas_limit: u64,
    /// What it offers.
    pub fees: Fees,
}

/// Who is shown a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// Every endpoint.
    Public,
    /// The private endpoint alone.
    Private,
}

/// What an operator must know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Alert {
    /// Somebody else signs with the same key.
    #[error(
        "nonce {nonce} of {signer} was used by a transaction that this keeper did not sign: another program has its key; \
         give each keeper a key of its own"
    )]
    KeyUsedElsewhere {
        /// Whose nonce.
        signer: Address,
        /// The nonce.
        nonce: u64,
    },
    /// Nothing is sent any more.
    #[error("{signer} sends nothing more: the journal cannot be written; repair that and start the keeper again")]
    NoJournal {
        /// Who.
        signer: Address,
    },
    /// There is nothing to pay gas with.
    #[error("the balance of {signer} does not cover a transaction; send coins to it")]
    NoFunds {
        /// Who.
        signer: Address,
    },
}

/// Why a signer cannot start where its journal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// There were transactions that are not in the journal.
    #[error(
        "the chain says that {signer} has used {chain} nonces, and the journal knows of {journal}: another program has its \
         key, or the journal is an old copy. If you sent those transactions yourself, start once with --adopt-nonce"
    )]
    ChainAhead {
        /// Whose.
        signer: Address,
        /// The chain's next nonce.
        chain: u64,
        /// The journal's.
        journal: u64,
    },
    /// Transactions that were final are gone.
    #[error(
        "the chain says that {signer} has used {chain} nonces, and by the journal nonce {missing} is final: the node is \
         far behind, or it is another chain than the journal's. If neither is so, start once with --adopt-nonce"
    )]
    ChainBehind {
        /// Whose.
        signer: Address,
        /// The chain's next nonce.
        chain: u64,
        /// A nonce that the chain has not used and the journal has no bytes for.
        missing: u64,
    },
}
