//! Messages of the core: events that go in, effects that come out.

use alloy::primitives::{Address, B256, Bytes, U256};

use crate::{
    chain::Header,
    intent::{DropReason, Fees, Intent, Receipt, Report, SenderAlert},
    sender::{
        fees::FeePolicy,
        journal::{AttemptKind, JournalEntry},
        submit_result::SubmitResult,
    },
};

/// Maximum number of intents that one nonce is handed to while pools hold what was signed for it. Afterwards it is used up
/// by a cancellation.
const MAX_HOLDERS: usize = 8;

/// How a chain and an operator want transactions to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreSettings {
    /// How fees are found.
    pub fees: FeePolicy,
    /// Maximum number of transactions that are pending at once.
    pub max_pending: usize,
    /// Blocks after which the fees of a pending transaction are bumped.
    pub replace_after_blocks: u64,
    /// Number of blocks on top of a block that make it final.
    pub finality_depth: u64,
    /// Gas limit of a cancellation, which transfers nothing.
    pub cancel_gas: u64,
    /// How a private endpoint is used; `None` where there is none.
    pub private: Option<PrivateFirst>,
    /// Whether transactions go to relays alone, each in a bundle for the next block, which includes nothing that reverts. A
    /// bundle is valid for one block and for the signer's next nonce, so that only one transaction is pending at a time.
    pub in_bundles: bool,
}

/// Transactions are broadcast to private endpoints alone at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateFirst {
    /// Blocks after which a pending transaction is broadcast to every endpoint; `None` means never.
    pub public_after_blocks: Option<u64>,
}

impl Default for CoreSettings {
    /// Returns settings for Ethereum.
    fn default() -> Self {
        Self {
            fees: FeePolicy::default(),
            max_pending: 16,
            replace_after_blocks: 2,
            finality_depth: 64,
            cancel_gas: 21_000,
            private: None,
            in_bundles: false,
        }
    }
}

impl CoreSettings {
    /// Returns the maximum number of intents that one nonce is handed to. In pools every hand-over outbids what was signed
    /// before, and the end of that is a cancellation. No pool holds a bundle whose block has passed, so that there is
    /// nothing to outbid: however many races are lost in a row, a cancellation would be paid for and gain nothing.
    pub(super) const fn max_holders(&self) -> usize {
        if self.in_bundles { usize::MAX } else { MAX_HOLDERS }
    }
}

/// Something that happened and that the core has to know.
#[derive(Debug, Clone)]
pub enum Event {
    /// Intents were submitted, each with its id.
    Submit(Vec<(u64, Intent)>),
    /// Transactions were signed as ordered by [`Effect::Sign`]. Those of its orders that are missing were not signed.
    Signed(Vec<SignedTransaction>),
    /// Endpoints responded to a broadcast.
    BroadcastResult {
        /// Nonce of the transaction.
        nonce: u64,
        /// Hash of the transaction.
        hash: B256,
        /// What the responses mean together.
        result: SubmitResult,
    },
    /// The chain has a new head.
    Block(Header),
    /// Intents with these ids are no longer worth executing as of the newest block. One whose transaction turns out to be
    /// in that block is not affected.
    Obsolete(Vec<u64>),
    /// A node answered [`Effect::FetchReceipts`].
    ChainStatus(ChainStatus),
    /// Sending is put on hold (`true`) or allowed again (`false`).
    Hold(bool),
    /// An entry could not be signed or written.
    JournalFailed,
}

/// A transaction that was signed as ordered.
#[derive(Debug, Clone)]
pub struct SignedTransaction {
    /// Nonce of the transaction.
    pub nonce: u64,
    /// Signed bytes, as they are broadcast.
    pub raw: Bytes,
    /// Hash of the transaction.
    pub hash: B256,
}

/// The state of the signer and its transactions, as a node that has the newest block sees it.
#[derive(Debug, Clone)]
pub struct ChainStatus {
    /// The signer's next nonce in the node's newest block, read before the receipts.
    pub nonce: u64,
    /// The signer's balance in wei in that block.
    pub balance: U256,
    /// For each transaction asked for, its receipt if it was mined.
    pub receipts: Vec<(B256, Option<Receipt>)>,
}

/// Something to do. Effects are carried out in order; one that fails keeps those after it from happening.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Sign these transactions; [`Event::Signed`] is the next event.
    Sign(Vec<UnsignedTransaction>),
    /// Write these entries to the journal before going on.
    WriteJournal(Vec<JournalEntry>),
    /// Write these entries with the next that must be written, or when there is nothing else to do: what they say can
    /// be found out from the chain again.
    DeferWrite(Vec<JournalEntry>),
    /// Broadcast a transaction; [`Event::BroadcastResult`] follows later.
    Broadcast {
        /// Nonce of the transaction.
        nonce: u64,
        /// Hash of the transaction.
        hash: B256,
        /// Signed bytes.
        raw: Bytes,
        /// Endpoints that receive it.
        route: BroadcastRoute,
    },
    /// Withdraw a bundle from the relays that support it.
    WithdrawBundle {
        /// Number of the block that it is for.
        block: u64,
        /// Id of the intent whose transaction it contains.
        intent: u64,
    },
    /// Ask a node for the signer's nonce and the receipts of these transactions; [`Event::ChainStatus`] follows if it
    /// answers.
    FetchReceipts(Vec<B256>),
    /// Report what happened to an intent.
    Report(Box<Report>),
    /// Alert the operator.
    Alert(SenderAlert),
}

/// A transaction to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedTransaction {
    /// Nonce of the transaction.
    pub nonce: u64,
    /// Whether it executes an intent or cancels one.
    pub kind: AttemptKind,
    /// Recipient of the call.
    pub to: Address,
    /// Calldata of the transaction.
    pub data: Bytes,
    /// Gas limit of the transaction.
    pub gas_limit: u64,
    /// Fees that it offers.
    pub fees: Fees,
}

/// Endpoints that receive a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BroadcastRoute {
    /// Every public endpoint that sends.
    Public,
    /// The private endpoints alone.
    Private,
    /// The relays, in a bundle.
    Bundle {
        /// Number of the block that it is for.
        block: u64,
        /// Id of the intent, by which a bundle takes the place of an earlier one.
        intent: u64,
    },
}

/// Why a pending transaction is not cancelled on the operator's order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelRefusal {
    /// No transaction with the nonce is pending.
    #[error("no transaction of {signer} with nonce {nonce} is pending; pending are {}", listed(.pending))]
    NotPending {
        /// Account that signs.
        signer: Address,
        /// The nonce.
        nonce: u64,
        /// The nonces that are pending.
        pending: Vec<u64>,
    },
    /// A cancellation is pending.
    #[error("nonce {nonce} is being cancelled already")]
    AlreadyCancelling {
        /// The nonce.
        nonce: u64,
    },
    /// The kill file exists, so that nothing is sent.
    #[error("sending is on hold while the kill file exists: remove it first")]
    OnHold,
    /// The journal cannot be written, so that nothing is sent.
    #[error("the signer has stopped because its journal cannot be written; restart the keeper")]
    JournalFailed,
    /// Another keeper has the lease on the signer, or nobody while the database does not answer.
    #[error(
        "this keeper has no lease on the signer: ask the one that has it, which `plimsoll-keeper fleet status` names"
    )]
    Standby,
    /// No block was seen yet.
    #[error("no block has been applied yet: try again")]
    NoBlock,
    /// The signer did not sign the cancellation.
    #[error("the signer of {signer} did not sign the cancellation; the log has the reason")]
    NotSigned {
        /// Account that was to sign.
        signer: Address,
    },
    /// The fees of a cancellation cannot be offered.
    #[error("a cancellation cannot be offered: {0}")]
    Fees(#[from] DropReason),
}

/// Lists nonces for people.
fn listed(nonces: &[u64]) -> String {
    let texts: Vec<_> = nonces.iter().map(u64::to_string).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

/// The signer cannot start where its journal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// The signer sent transactions that are not in the journal.
    #[error(
        "the chain says that {signer} has used {chain} nonces, and the journal knows of {journal}: another program has its \
         key, or the journal is an old copy. If you sent those transactions yourself, start once with \
         `run --live --adopt-nonce`"
    )]
    ChainAhead {
        /// Account whose nonces were compared.
        signer: Address,
        /// Next nonce on the chain.
        chain: u64,
        /// Next nonce in the journal.
        journal: u64,
    },
    /// Transactions that the journal has as final are not on the chain.
    #[error(
        "the chain says that {signer} has used {chain} nonces, and by the journal nonce {missing} is final: the node is \
         far behind, or it is another chain than the journal's. If neither is so, start once with \
         `run --live --adopt-nonce`"
    )]
    ChainBehind {
        /// Account whose nonces were compared.
        signer: Address,
        /// Next nonce on the chain.
        chain: u64,
        /// First nonce that the chain has not used and for which the journal has no unsettled entry.
        missing: u64,
    },
}
