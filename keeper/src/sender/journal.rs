//! What must survive a crash: every transaction that was ever signed, written down before it is broadcast.
//!
//! The journal stores whole entries and knows nothing of what they mean. An entry is settled when nothing can change
//! any more what became of its nonce; until then its bytes are kept, so that they can be broadcast again.

use std::{future::Future, time::Duration};

use alloy::primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

use super::fleet::FleetStatus;
use crate::intent::{Fees, Inclusion, Intent};

/// An intent, its nonce, and everything that was signed for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Id of the entry and of its intent, unique in this journal.
    pub id: u64,
    /// Account that signs.
    pub signer: Address,
    /// Nonce that the intent holds. Another entry has the same one where an intent of high priority replaced one of
    /// low, or took over a free nonce.
    pub nonce: u64,
    /// Number of entries that held the nonce before this one. The entry with the highest index holds it now.
    pub replacement_index: u32,
    /// The intent to execute.
    pub intent: Intent,
    /// Every transaction that was signed for the intent, oldest first, all with its nonce.
    pub attempts: Vec<Attempt>,
    /// How far the entry came.
    pub state: EntryState,
    /// Timestamp of the newest block when the nonce was assigned, in seconds.
    pub created_at: u64,
    /// Timestamp of the newest block when the entry last changed, in seconds.
    pub changed_at: u64,
}

/// A signed transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Whether it executes the intent or cancels it.
    pub kind: AttemptKind,
    /// Signed bytes, as they are broadcast; empty in entries that were read back after they were settled.
    pub raw: Bytes,
    /// Hash of the transaction.
    pub hash: B256,
    /// Fees that it offers.
    pub fees: Fees,
    /// Number of the newest block when it was signed.
    pub block: u64,
}

/// What a signed transaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptKind {
    /// Executes the intent's call.
    Call,
    /// Transfers nothing to its own sender, so that the nonce is used up.
    Cancel,
}

/// How far an entry came. The last four states are settled: nothing changes them any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// It has a nonce, and nothing is signed. Never written: no node can have
    /// seen it, so a crash may forget it.
    Reserved,
    /// A transaction was signed and may have been broadcast.
    Sent,
    /// It is no longer wanted, and its nonce is free for another entry. Its transactions may still be mined.
    Released,
    /// One of its attempts is in a block that may still be reorganised away.
    Mined(Inclusion),
    /// Its call is in a final block.
    Final(Inclusion),
    /// The nonce finally went to another entry of this journal.
    Replaced {
        /// Id of that entry.
        by: u64,
    },
    /// Its own cancellation finally used the nonce.
    Cancelled(Inclusion),
    /// A transaction that is not in this journal finally used the nonce.
    Lost,
}

impl EntryState {
    /// Whether nothing changes it any more.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Final(_) | Self::Replaced { .. } | Self::Cancelled(_) | Self::Lost)
    }

    /// Returns its name, as it is shown and stored.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Sent => "sent",
            Self::Released => "released",
            Self::Mined(_) => "mined",
            Self::Final(_) => "final",
            Self::Replaced { .. } => "replaced",
            Self::Cancelled(_) => "cancelled",
            Self::Lost => "lost",
        }
    }
}

/// What a journal knows of a signer when the keeper starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// One more than the highest nonce of any of the signer's entries, settled or not; `None` where it has none.
    pub next_nonce: Option<u64>,
    /// The signer's entries that are not settled, in any order.
    pub unsettled: Vec<JournalEntry>,
}

/// The right to write what belongs to signers, and to broadcast for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Number of the lease. Each one has a higher number than those before it.
    pub fence: i64,
    /// Number of the one before it, if this keeper had it: nobody else has written since.
    pub previous: Option<i64>,
}

impl Lease {
    /// The lease in a journal that one keeper uses at a time.
    pub const EXCLUSIVE: Self = Self { fence: 0, previous: None };
}

/// A subject that nobody else may send a transaction for while an intent for it is pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Text that names the subject.
    pub subject: String,
    /// Id of the intent.
    pub intent: u64,
    /// Timestamp of the block from which on others may claim the subject, in seconds, whatever became of the intent.
    pub deadline: u64,
}

/// Durable storage of entries. Keepers may share it: then each writes under a [`Lease`] on its signers.
///
/// The methods with an implementation are those of a journal that one keeper uses at a time.
pub trait Journal: Send + Sync + 'static {
    /// Time for which a lease lasts unless it is renewed; `None` where keepers do not share the journal.
    fn lease_term(&self) -> Option<Duration> {
        None
    }

    /// Takes a lease on these signers, all or none, without waiting; `None` while another keeper has one of them.
    fn acquire(&self, _signers: &[Address]) -> impl Future<Output = Result<Option<Lease>, JournalError>> + Send {
        async { Ok(Some(Lease::EXCLUSIVE)) }
    }

    /// Renews a lease, says that this keeper lives and has applied the block `head`, and returns who else does. Fails with
    /// [`JournalError::Fenced`] if the lease was taken over.
    fn heartbeat(
        &self,
        _lease: Option<Lease>,
        _head: u64,
    ) -> impl Future<Output = Result<FleetStatus, JournalError>> + Send {
        async { Ok(FleetStatus::default()) }
    }

    /// Ends a lease, so that another keeper can take over at once.
    fn release(&self, _lease: Lease) -> impl Future<Output = Result<(), JournalError>> + Send {
        async { Ok(()) }
    }

    /// Says that this keeper ends because it is told to, so that the others do not miss it.
    fn leave(&self) -> impl Future<Output = Result<(), JournalError>> + Send {
        async { Ok(()) }
    }

    /// Reads what is known of a signer. Fails where the journal cannot be read.
    fn recover(&self, signer: Address) -> impl Future<Output = Result<Recovered, JournalError>> + Send;

    /// Returns the first of the ids that this start gives to its intents: no entry has it or a higher one, or, where keepers
    /// share the journal, nobody else is given any of the 2³² ids from it on.
    fn next_id(&self) -> impl Future<Output = Result<u64, JournalError>> + Send;

    /// Writes these entries of one signer, all or none, in place of those with the same ids. When it returns they survive a
    /// crash of the machine. It may block the thread meanwhile, which is the sender's own. After an error it is unknown
    /// whether they were written, except after [`JournalError::Fenced`]: they were not.
    fn record(&self, lease: Lease, entries: Vec<JournalEntry>)
    -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Claims subjects for a signer's intents as of a block, given by number and timestamp. Returns the ids of the intents of
    /// which another signer has a subject: one with an intent that is pending, or that ended in a later block.
    fn claim(
        &self,
        _lease: Lease,
        _signer: Address,
        _claims: Vec<Claim>,
        _head: (u64, u64),
    ) -> impl Future<Output = Result<Vec<u64>, JournalError>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Ends a signer's claims, by the ids of intents: as of the block that ended the intent, at once with 0, or not after all
    /// with `None`, because that block was reverted.
    fn end_claims(
        &self,
        _signer: Address,
        _ended: Vec<(u64, Option<u64>)>,
    ) -> impl Future<Output = Result<(), JournalError>> + Send {
        async { Ok(()) }
    }
}

/// The journal cannot be read or written, so nothing may be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// It is damaged or cannot be written, until somebody repairs that.
    #[error("the journal of transactions: {problem}")]
    Failed {
        /// What went wrong, and what to do about it.
        problem: String,
    },
    /// The server that holds it does not answer, or not as it should. That may pass.
    #[error("the journal of transactions: {problem}")]
    Unavailable {
        /// What went wrong, and what to do about it.
        problem: String,
    },
    /// The lease has expired, or another keeper has taken it over.
    #[error("the lease on the signer has expired, or another keeper has taken it over")]
    Fenced,
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U256;

    use super::*;
    use crate::{
        intent::{GuardKind, Priority, Profit, Purpose, Scope},
        prices::Rate,
    };

    #[test]
    fn an_entry_survives_a_round_trip_through_json() {
        let inclusion = Inclusion { hash: B256::repeat_byte(1), block: 7, block_hash: B256::repeat_byte(2) };
        let states = [
            EntryState::Sent,
            EntryState::Released,
            EntryState::Mined(inclusion),
            EntryState::Final(inclusion),
            EntryState::Replaced { by: 8 },
            EntryState::Cancelled(inclusion),
            EntryState::Lost,
        ];
        for state in states {
            let entry = JournalEntry {
                id: 3,
                signer: Address::repeat_byte(9),
                nonce: u64::MAX,
                replacement_index: 1,
                intent: Intent {
                    purpose: Purpose::Liquidate { market: B256::ZERO, borrowers: vec![Address::ZERO] },
                    priority: Priority::High,
                    to: Address::repeat_byte(4),
                    data: vec![1, 2, 3].into(),
                    gas_limit: 1,
                    expected_gas: 1,
                    expected_gain: U256::MAX,
                    extra_wei: U256::ZERO,
                    margin_bps: 0,
                    deadline: 1,
                    scope: Scope::new("liquidate", B256::ZERO),
                    guard: GuardKind::UpTo(u128::MAX),
                    bid: 0,
                    profit: Some(Profit {
                        token: Address::repeat_byte(3),
                        rate: Rate::ONE,
                        repaid: None,
                        builder_share_bps: 0,
                    }),
                },
                attempts: vec![Attempt {
                    kind: AttemptKind::Cancel,
                    raw: vec![2; 3].into(),
                    hash: B256::repeat_byte(5),
                    fees: Fees { max_fee_per_gas: u128::MAX, max_priority_fee_per_gas: 1 << 70 },
                    block: 5,
                }],
                state,
                created_at: 1,
                changed_at: 2,
            };
            let json = serde_json::to_string(&entry).unwrap();
            assert_eq!(serde_json::from_str::<JournalEntry>(&json).unwrap(), entry, "{json}");
        }
    }
}
