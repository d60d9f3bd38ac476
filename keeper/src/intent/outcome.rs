//! What became of an intent, as the sender reports it.

use alloy::primitives::{Address, B256, Log, U256};
use plimsoll_contracts::quantity::decimal_text;
use serde::{Deserialize, Serialize};

use super::{Intent, Scope, Subject};
use crate::amount::NATIVE_DECIMALS;

/// What the sender tells the rest of the keeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderEvent {
    /// Something happened to an intent. After a restart the last report of an intent may be repeated.
    Report(Box<Report>),
    /// The operator has to act.
    Alert(SenderAlert),
    /// The keeper has the lease on its signers now. What their last holder sent and is not final is reported after this, whether
    /// that one reported it or not.
    LeaseAcquired,
}

/// What happened to one intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Id of the intent, as `submit` returned it.
    pub id: u64,
    /// Account that signs for the intent; zero where none does.
    pub signer: Address,
    /// The intent as it was submitted.
    pub intent: Intent,
    /// What has become of the intent so far.
    pub outcome: Outcome,
    /// Events of its transaction, where one was mined and has just been read from a node.
    pub logs: Vec<Log>,
}

/// What happened to an intent. Another report always follows [`Outcome::Sent`] and [`Outcome::Reorged`]. Every other
/// outcome ends the intent, unless a reorganisation undoes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The transaction was broadcast for the first time.
    Sent {
        /// Nonce of the transaction.
        nonce: u64,
        /// Hash of the transaction. A replacement has another.
        hash: B256,
        /// Fees that the transaction offers.
        fees: Fees,
    },
    /// The transaction was mined and succeeded.
    Mined(Receipt),
    /// The transaction was mined and reverted: its call found that it was no longer worth it, or failed otherwise.
    Reverted(Receipt),
    /// The block that held the transaction was reorganised away. The same bytes are broadcast again.
    Reorged,
    /// Another intent of this keeper got the nonce.
    Replaced {
        /// Id of that intent.
        by: u64,
    },
    /// The deadline passed, and a cancellation used the nonce up.
    Cancelled(Receipt),
    /// The intent ended without a transaction that could be mined.
    Dropped(DropReason),
    /// Safety refused to send it; in a dry run this is the outcome of every intent.
    Refused(SafetyRefusal),
    /// A transaction that this keeper did not sign used the nonce: another program has the key.
    NonceUsedByOther {
        /// The nonce.
        nonce: u64,
    },
    /// The foreign transaction that used the nonce is final. Follows [`Outcome::NonceUsedByOther`].
    Lost {
        /// The nonce.
        nonce: u64,
    },
}

impl Outcome {
    /// Returns the receipt of the transaction that was mined; `None` where none was.
    #[must_use]
    pub const fn receipt(&self) -> Option<&Receipt> {
        match self {
            Self::Mined(receipt) | Self::Reverted(receipt) | Self::Cancelled(receipt) => Some(receipt),
            _ => None,
        }
    }
}

/// Fees that a transaction offers per unit of gas, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fees {
    /// Maximum fee per gas in all; the gas price of a legacy transaction.
    pub max_fee_per_gas: u128,
    /// Maximum of it that goes to the block's producer; equal to `max_fee_per_gas` for a legacy transaction.
    pub max_priority_fee_per_gas: u128,
}

/// Where a transaction was mined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Inclusion {
    /// Hash of the transaction.
    pub hash: B256,
    /// Number of the block.
    pub block: u64,
    /// Hash of the block.
    pub block_hash: B256,
}

/// Receipt of a mined transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The transaction and the block that holds it.
    pub inclusion: Inclusion,
    /// Whether it succeeded; `false` if it reverted.
    pub success: bool,
    /// Gas that it used.
    pub gas_used: u64,
    /// Price that was paid per unit of gas, in wei.
    pub effective_gas_price: u128,
    /// Fee of a rollup for publishing the transaction's data on another chain, in wei; 0 elsewhere.
    pub data_fee: u128,
}

/// Why an intent was dropped. Transactions that were broadcast before may still be mined; a report follows then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DropReason {
    /// Gas costs more than the intent brings.
    #[error("not worth its gas: {0}")]
    FeeExceedsProfit(#[from] FeeExceedsProfit),
    /// The deadline passed before a nonce was free.
    #[error("its deadline passed while it waited for a nonce")]
    DeadlinePassed,
    /// The queue of intents that wait for a nonce is full.
    #[error("{0} intents wait already")]
    QueueFull(usize),
    /// The node says that the signer cannot pay for the transaction.
    #[error("the signer's balance does not cover it; send native currency to the signer")]
    InsufficientFunds,
    /// The signer's balance, less what its other transactions may cost, is below the least that pools ask for.
    #[error(
        "it needs {} of the native coin on the signer's account, and {} of the balance are not committed to other \
         transactions; send some to the signer",
        coins(*.needed), coins(*.available)
    )]
    Unaffordable {
        /// Gas limit times the lowest fee with which it could be mined, in wei.
        needed: U256,
        /// Balance less the highest cost of every other pending transaction, in wei.
        available: U256,
    },
    /// What it was to do is done, or no longer worth its gas.
    #[error("it is no longer worth executing")]
    Obsolete,
    /// The signer did not return the transaction with its signature.
    #[error("its signer did not sign it; the alert and the log have the reason")]
    NotSigned,
    /// Every node rejects the transaction as invalid.
    #[error("every node rejects it")]
    RejectedByNodes,
    /// No key is configured for intents of this priority.
    #[error("no signer is configured for it")]
    NoSigner,
    /// The sender has stopped.
    #[error("the keeper is ending")]
    Stopped,
    /// Sending is on hold because the kill file exists.
    #[error("sending is on hold")]
    OnHold,
    /// The journal cannot be written, without which nothing is sent.
    #[error("the journal cannot be written; repair that and start the keeper again")]
    JournalFailed,
    /// The keeper has no lease on the signer.
    #[error("standby: another keeper has the lease on the signer, or the database does not answer")]
    Standby,
    /// The keeper lost its lease on the signer. Whoever has the next one follows what was broadcast.
    #[error("the lease on the signer was lost; the keeper that takes it over follows what was broadcast")]
    LeaseLost,
    /// Another keeper that shares the database has a transaction pending for the same, or had one mined a moment ago.
    #[error("another keeper of the fleet sends for the same")]
    HeldByPeer,
}

impl DropReason {
    /// Returns the reason's name without its figures, as metrics have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::FeeExceedsProfit(_) => "fee_exceeds_profit",
            Self::DeadlinePassed => "deadline_passed",
            Self::QueueFull(_) => "queue_full",
            Self::InsufficientFunds => "insufficient_funds",
            Self::Unaffordable { .. } => "unaffordable",
            Self::Obsolete => "obsolete",
            Self::NotSigned => "not_signed",
            Self::RejectedByNodes => "rejected_by_nodes",
            Self::NoSigner => "no_signer",
            Self::Stopped => "stopped",
            Self::OnHold => "on_hold",
            Self::JournalFailed => "journal_failed",
            Self::Standby => "standby",
            Self::LeaseLost => "lease_lost",
            Self::HeldByPeer => "held_by_peer",
        }
    }
}

/// The fee that a transaction needs is more than its expected profit covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("gas would cost at least {} gwei, and its profit covers {} gwei", gwei(*.needed), gwei(*.affordable))]
pub struct FeeExceedsProfit {
    /// Lowest maximum fee per gas with which the transaction could be mined or replace its predecessor, in wei.
    pub needed: u128,
    /// Highest maximum fee per gas that may be offered, in wei.
    pub affordable: u128,
}

/// Why safety refuses to send an intent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SafetyRefusal {
    /// The keeper was not started with `--live`.
    #[error("dry run: start with --live to send it")]
    DryRun,
    /// The kill file exists.
    #[error("the kill file exists; remove it to send again")]
    KillFile,
    /// The circuit breaker is open because too many transactions reverted.
    #[error("{reverts} transactions reverted within {window_secs} s; nothing is sent for {left_secs} s more")]
    BreakerOpen {
        /// Number of reverts that open the breaker.
        reverts: usize,
        /// Window in which they are counted, in seconds.
        window_secs: u64,
        /// Seconds until the breaker closes.
        left_secs: u64,
    },
    /// The day's loss has reached its cap.
    #[error("{} of the native coin were lost today (UTC), and the cap is {}", coins(*.lost), coins(*.cap))]
    LossCap {
        /// Loss of the day, in wei.
        lost: U256,
        /// Cap on the loss of a day, in wei.
        cap: U256,
    },
    /// The loss of a strategy in one market has reached its cap for the day.
    #[error(
        "{} of the native coin were lost today (UTC) in this market by {}, and the cap is {}",
        coins(*.lost), .scope.strategy, coins(*.cap)
    )]
    ScopeLossCap {
        /// Strategy and market.
        scope: Scope,
        /// Their loss of the day, in wei.
        lost: U256,
        /// Cap on it, in wei.
        cap: U256,
    },
    /// The signer's balance is below the configured minimum.
    #[error("the signer has {} of the native coin, and is to keep {}; send some to it", coins(*.balance), coins(*.minimum))]
    LowBalance {
        /// Balance, in wei.
        balance: U256,
        /// Minimum balance, in wei.
        minimum: U256,
    },
    /// The same subject failed a short while ago and is in back-off.
    #[error("{subject:?} failed {reverts} times in a row; it is tried again in block {until_block}")]
    BackedOff {
        /// The loan or the rewards that failed.
        subject: Subject,
        /// Number of reverts in a row.
        reverts: u32,
        /// First block in which it may be tried again.
        until_block: u64,
    },
}

/// A condition of the sender that an operator has to act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SenderAlert {
    /// Another program signs with the same key.
    #[error(
        "nonce {nonce} of {signer} was used by a transaction that this keeper did not sign: another program has its key; \
         give each keeper a key of its own"
    )]
    KeyUsedElsewhere {
        /// Account of the key.
        signer: Address,
        /// The nonce that the foreign transaction used.
        nonce: u64,
    },
    /// The signer stopped sending because the journal cannot be written.
    #[error("{signer} sends nothing more: the journal cannot be written; repair that and start the keeper again")]
    JournalFailed {
        /// Account that signs the transactions.
        signer: Address,
    },
    /// A transaction was not signed as ordered.
    #[error("{signer} does not sign: {problem}")]
    NotSigned {
        /// Account that was to sign.
        signer: Address,
        /// What went wrong, and what to do about it.
        problem: String,
    },
    /// The signer cannot pay for gas.
    #[error("the balance of {signer} does not cover a transaction; send native currency to it")]
    InsufficientFunds {
        /// Account that signs the transactions.
        signer: Address,
    },
    /// The keeper lost its lease on its signers.
    #[error("the lease on the signers was lost: {reason}; nothing is sent until this keeper has one again")]
    LeaseLost {
        /// Why.
        reason: String,
    },
    /// The keeper took the lease on its signers over.
    #[error("this keeper signs now: the lease on the signers was taken over from {from}")]
    LeaseTaken {
        /// Name of the keeper that had it before.
        from: String,
    },
    /// The keeper has a lease on a signer, and cannot continue what the signer had sent.
    #[error("{signer} sends nothing: this keeper has its lease, and cannot take over what it had sent: {problem}")]
    NotTakenOver {
        /// Account that signs.
        signer: Address,
        /// What went wrong.
        problem: String,
    },
}

/// Formats a price per gas in gwei.
fn gwei(wei: u128) -> String {
    decimal_text(U256::from(wei), 9)
}

/// Formats an amount of the native currency, of 18 decimals as everywhere.
fn coins(wei: U256) -> String {
    decimal_text(wei, NATIVE_DECIMALS)
}

impl SenderEvent {
    /// Whether it reports that a transaction was mined and succeeded.
    pub(crate) fn is_mined(&self) -> bool {
        matches!(self, Self::Report(report) if matches!(report.outcome, Outcome::Mined(_)))
    }
}

impl Receipt {
    /// Returns what the transaction cost, in wei: gas and data fee.
    #[must_use]
    pub fn fee(&self) -> U256 {
        U256::from(self.gas_used)
            .saturating_mul(U256::from(self.effective_gas_price))
            .saturating_add(U256::from(self.data_fee))
    }
}
