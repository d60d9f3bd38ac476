//! What became of an intent, as those who wanted it are told.

use alloy::primitives::{Address, B256, U256};

use super::{
    fees::TooDear,
    journal::{Fees, Place},
};
use crate::{intent::Intent, safety::Refusal};

/// News of one intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Names the intent, as `submit` answered.
    pub id: u64,
    /// Who signs for it.
    pub signer: Address,
    /// What was wanted.
    pub intent: Intent,
    /// What happened.
    pub outcome: Outcome,
}

/// What happened to an intent. After [`Outcome::Sent`] and [`Outcome::TakenBack`] there is more to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was broadcast for the first time.
    Sent {
        /// With this nonce.
        nonce: u64,
        /// Under this hash; a replacement has another.
        hash: B256,
        /// At this price.
        fees: Fees,
    },
    /// It was carried out.
    Mined(Receipt),
    /// It was mined and reverted: the guard in its call held, or something was not foreseen.
    Reverted(Receipt),
    /// The block that it was mined in is gone. The same bytes are broadcast again.
    TakenBack,
    /// Its nonce went to another intent of ours. It is over.
    Replaced {
        /// That one's id.
        by: u64,
    },
    /// Its deadline passed, and its nonce was used up by a cancellation.
    Cancelled(Receipt),
    /// It is over without a transaction that could be mined.
    Dropped(DropReason),
    /// Safety kept it from being sent; in a dry run because nothing is.
    Refused(Refusal),
    /// Its nonce was used by a transaction that is not ours: another program has the key. It is over.
    NonceUsedByOther {
        /// The nonce.
        nonce: u64,
    },
    /// That is final.
    Lost {
        /// The nonce.
        nonce: u64,
    },
}

/// What a block says of a mined transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Which transaction, and in which block.
    pub place: Place,
    /// Whether it did what it was to do.
    pub success: bool,
    /// How much gas it used.
    pub gas_used: u64,
    /// What was paid for a unit of gas, in wei.
    pub effective_price: u128,
    /// What was paid beyond that for bringing its data to another chain, in wei.
    pub data_fee: u128,
}

/// Why an intent was dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DropReason {
    /// Gas costs more than it brings.
    #[error("not worth its gas: {0}")]
    TooDear(#[from] TooDear),
    /// Nobody could send it in time.
    #[error("its deadline passed while it waited for a nonce")]
    TooLate,
    /// Too many wait already.
    #[error("{0} intents wait already")]
    QueueFull(usize),
    /// The signer cannot pay for it.
    #[error("the signer's balance does not cover it; send coins to the signer")]
    NoFunds,
    /// Every node refuses it as it is.
    #[error("every node refuses it as it is")]
    RefusedByNodes,
    /// There is no key for such intents.
    #[error("no signer is configured for it")]
    NoSigner,
    /// The keeper is ending.
    #[error("the keeper is ending")]
    Stopped,
    /// Sending is held.
    #[error("sending is held")]
    Held,
    /// The journal cannot be written, without which nothing is sent.
    #[error("the journal cannot be written; repair that and start the keeper again")]
    NoJournal,
}

impl Receipt {
    /// What it cost, in wei.
    #[must_use]
    pub fn fee(&self) -> U256 {
        U256::from(self.gas_used)
            .saturating_mul(U256::from(self.effective_price))
            .saturating_add(U256::from(self.data_fee))
    }
}

impl Outcome {
    /// Its name, as metrics and pages show it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "sent",
            Self::Mined(_) => "mined",
            Self::Reverted(_) => "reverted",
            Self::TakenBack => "taken_back",
            Self::Replaced { .. } => "replaced",
            Self::Cancelled(_) => "cancelled",
            Self::Dropped(_) => "dropped",
            Self::Refused(Refusal::DryRun) => "dry_run",
            Self::Refused(_) => "refused",
            Self::NonceUsedByOther { .. } => "nonce_used_by_other",
            Self::Lost { .. } => "lost",
        }
    }
}
