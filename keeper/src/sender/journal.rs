//! What must survive a crash: every transaction that was ever signed, written down before it is broadcast.
//!
//! The journal stores whole entries and knows nothing of what they mean. An entry is settled when nothing can change
//! any more what became of its nonce; until then its bytes are kept, so that they can be broadcast again.

use std::future::Future;

use alloy::primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

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

/// Durable storage of entries.
pub trait Journal: Send + Sync + 'static {
    /// Reads what is known of a signer. Fails where the journal cannot be read.
    fn recover(&self, signer: Address) -> impl Future<Output = Result<Recovered, JournalError>> + Send;

    /// Returns one more than the highest id of any signer's entry, and 0 where there is none.
    fn next_id(&self) -> impl Future<Output = Result<u64, JournalError>> + Send;

    /// Writes these entries, all or none, in place of those with the same ids. When it returns they survive a crash of
    /// the machine. After an error it is unknown whether they were written.
    fn record(&self, entries: Vec<JournalEntry>) -> impl Future<Output = Result<(), JournalError>> + Send;
}

/// The journal cannot be read or written, so nothing may be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal of transactions: {problem}")]
pub struct JournalError {
    /// What went wrong, and what to do about it.
    pub problem: String,
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
