//! What must survive: every transaction that was ever signed, written down before anybody else can see it.
//!
//! The journal knows images of whole entries and nothing of what they mean. An entry is settled when nothing can change
//! any more what became of its nonce; until then its bytes are kept, so that they can be broadcast again.

use std::future::Future;

use alloy::primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

use crate::intent::Intent;

/// An intent, its nonce, and everything that was signed for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Names it, and the intent, in this journal.
    pub id: u64,
    /// Who signs.
    pub signer: Address,
    /// The nonce that it holds. Another entry has the same one where an urgent intent took a patient one's place.
    pub nonce: u64,
    /// How many entries held the nonce before it; the last one holds it now.
    pub turn: u32,
    /// What it is to do.
    pub intent: Intent,
    /// Every transaction that was signed for it, oldest first, all with its nonce.
    pub attempts: Vec<Attempt>,
    /// How far it came.
    pub state: State,
    /// The chain's second when it was reserved.
    pub created_at: u64,
    /// The chain's second of the last change.
    pub changed_at: u64,
}

/// A signed transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Whether it does what was wanted, or only uses up the nonce.
    pub kind: Kind,
    /// Its bytes.
    pub raw: Bytes,
    /// Its hash.
    pub hash: B256,
    /// What it offers.
    pub fees: Fees,
    /// The newest block when it was signed.
    pub block: u64,
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It carries the intent out.
    Call,
    /// It sends nothing to its own sender, so that the nonce is used up.
    Cancel,
}

/// What a transaction offers for a unit of gas, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fees {
    /// At most this much in all; the price, where transactions have only one.
    pub max_fee: u128,
    /// At most this much of it to whoever makes the block.
    pub tip: u128,
}

/// How far an entry came. The last four are settled: nothing changes them any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has a nonce, and nothing signed. Never written: what nobody can have seen needs no memory.
    Reserved,
    /// Signed, and perhaps seen by others.
    Sent,
    /// One of its attempts is in a block that may still be taken back.
    Mined(Place),
    /// Its call is in a block that is not taken back.
    Final(Place),
    /// The nonce went to another entry of this journal for good.
    Replaced {
        /// Its id.
        by: u64,
    },
    /// The nonce was used up by its own cancellation for good.
    Cancelled(Place),
    /// The nonce was used for good by a transaction that is not in this journal.
    Lost,
}

/// Where a transaction was mined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The transaction.
    pub hash: B256,
    /// The height of its block.
    pub block: u64,
    /// The hash of its block.
    pub block_hash: B256,
}

impl State {
    /// Whether nothing changes it any more.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Final(_) | Self::Replaced { .. } | Self::Cancelled(_) | Self::Lost)
    }

    /// Its name, as it is shown and stored.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Sent => "sent",
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
    /// One more than the highest nonce of any of the signer's entries, settled or not. `None` where it has none.
    pub next_nonce: Option<u64>,
    /// The entries that are not settled.
    pub unsettled: Vec<Entry>,
}

/// Where entries are kept. Every call is done for good before it returns.
pub trait Journal: Send + Sync + 'static {
    /// What is known of a signer.
    fn recover(&self, signer: Address) -> impl Future<Output = Result<Recovered, JournalError>> + Send;

    /// One more than the highest id of any entry, whoever signed it; 0 where there is none.
    fn next_id(&self) -> impl Future<Output = Result<u64, JournalError>> + Send;

    /// Writes these entries, all or none, over what was there under their ids. When it returns they are safe from a
    /// crash of the machine. After an error nobody knows whether they are there.
    fn record(&self, entries: Vec<Entry>) -> impl Future<Output = Result<(), JournalError>> + Send;
}

/// The journal cannot be read or written: nothing may be sent without it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal of transactions: {problem}")]
pub struct JournalError {
    /// What happened, and the remedy.
    pub problem: String,
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U256;

    use super::*;
    use crate::intent::{Purpose, Urgency};

    #[test]
    fn an_entry_survives_being_written_as_json() {
        let place = Place { hash: B256::repeat_byte(1), block: 7, block_hash: B256::repeat_byte(2) };
        let states = [
            State::Sent,
            State::Mined(place),
            State::Final(place),
            State::Replaced { by: 8 },
            State::Cancelled(place),
            State::Lost,
        ];
        for state in states {
            let entry = Entry {
                id: 3,
                signer: Address::repeat_byte(9),
                nonce: u64::MAX,
                turn: 1,
                intent: Intent {
                    purpose: Purpose::Liquidate { market: B256::ZERO, borrowers: vec![Address::ZERO] },
                    urgency: Urgency::Urgent,
                    to: Address::repeat_byte(4),
                    data: vec![1, 2, 3].into(),
                    gas_limit: 1,
                    expected_gas: 1,
                    expected_gain: U256::MAX,
                    deadline: 1,
                },
                attempts: vec![Attempt {
                    kind: Kind::Cancel,
                    raw: vec![2; 3].into(),
                    hash: B256::repeat_byte(5),
                    fees: Fees { max_fee: u128::MAX, tip: 1 << 70 },
                    block: 5,
                }],
                state,
                created_at: 1,
                changed_at: 2,
            };
            let json = serde_json::to_string(&entry).unwrap();
            assert_eq!(serde_json::from_str::<Entry>(&json).unwrap(), entry, "{json}");
        }
    }
}
