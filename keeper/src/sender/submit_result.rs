//! What a node's response to `eth_sendRawTransaction` means. Nodes share no error codes, only roughly the words.

use plimsoll_chain::error::ChainError;

/// What became of a transaction that was submitted to nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubmitResult {
    /// A pool has it.
    Accepted,
    /// Its nonce is used, by this transaction or by another.
    NonceUsed,
    /// Its fees are too low for the pool, for the block, or to replace what has its nonce.
    Underpriced,
    /// The signer's account has code (EIP-7702), and the pool takes one transaction at a time from such accounts.
    DelegatedAccountLimit,
    /// It may be accepted later: the pool is full, or the error is unknown.
    Retryable,
    /// The node did not respond, so it may have accepted the transaction.
    NoAnswer,
    /// The signer cannot pay for it.
    InsufficientFunds,
    /// It is never accepted as it is.
    Invalid,
}

/// Parts of error messages, in lower case, of geth, Erigon, Nethermind, Besu, reth and Anvil. The first that occurs
/// decides.
const MESSAGES: [(&str, SubmitResult); 41] = [
    ("already known", SubmitResult::Accepted),
    ("alreadyknown", SubmitResult::Accepted),
    ("already imported", SubmitResult::Accepted),
    ("already in mempool", SubmitResult::Accepted),
    ("known transaction", SubmitResult::Accepted),
    ("nonce too low", SubmitResult::NonceUsed),
    ("nonce is too low", SubmitResult::NonceUsed),
    ("nonce_too_low", SubmitResult::NonceUsed),
    ("oldnonce", SubmitResult::NonceUsed),
    ("max priority fee per gas higher than max fee per gas", SubmitResult::Invalid),
    ("underpriced", SubmitResult::Underpriced),
    ("gas price below", SubmitResult::Underpriced),
    ("gas price too low", SubmitResult::Underpriced),
    ("fee too low", SubmitResult::Underpriced),
    ("feetoolow", SubmitResult::Underpriced),
    ("replacementnotallowed", SubmitResult::Underpriced),
    ("could not replace", SubmitResult::Underpriced),
    ("less than block base fee", SubmitResult::Underpriced),
    ("tip below minimum", SubmitResult::Underpriced),
    ("in-flight transaction limit", SubmitResult::DelegatedAccountLimit),
    ("delegated account", SubmitResult::DelegatedAccountLimit),
    ("insufficient funds", SubmitResult::InsufficientFunds),
    ("insufficientfunds", SubmitResult::InsufficientFunds),
    ("insufficient balance", SubmitResult::InsufficientFunds),
    ("exceeds account balance", SubmitResult::InsufficientFunds),
    ("intrinsic gas", SubmitResult::Invalid),
    ("floor data gas", SubmitResult::Invalid),
    ("exceeds block gas limit", SubmitResult::Invalid),
    ("exceeds transaction gas limit", SubmitResult::Invalid),
    ("gas limit too high", SubmitResult::Invalid),
    ("gaslimitexceeded", SubmitResult::Invalid),
    ("oversized data", SubmitResult::Invalid),
    ("type not supported", SubmitResult::Invalid),
    ("invalid sender", SubmitResult::Invalid),
    ("invalid chain id", SubmitResult::Invalid),
    ("invalid signature", SubmitResult::Invalid),
    ("replay-protected", SubmitResult::Invalid),
    ("tx fee", SubmitResult::Invalid),
    ("pool is full", SubmitResult::Retryable),
    ("nonce too high", SubmitResult::Retryable),
    ("rate limit", SubmitResult::Retryable),
];

impl SubmitResult {
    /// Reads one node's error.
    #[must_use]
    pub fn of(error: &ChainError) -> Self {
        match error {
            ChainError::Unreachable { .. } | ChainError::RateLimited { .. } | ChainError::AnswerTooLarge { .. } => {
                Self::NoAnswer
            }
            ChainError::Refused { message, .. } => Self::of_message(message),
        }
    }

    /// Combines the results of several nodes; [`SubmitResult::NoAnswer`] if there are none. One pool that accepted it
    /// is enough, and a nonce that one node saw used is used; otherwise the result that leaves most possibilities open
    /// decides.
    #[must_use]
    pub fn combined(results: impl IntoIterator<Item = Self>) -> Self {
        results.into_iter().min_by_key(|result| result.rank()).unwrap_or(Self::NoAnswer)
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::NonceUsed => 1,
            Self::DelegatedAccountLimit => 2,
            Self::Underpriced => 3,
            Self::NoAnswer => 4,
            Self::Retryable => 5,
            Self::InsufficientFunds => 6,
            Self::Invalid => 7,
        }
    }

    fn of_message(message: &str) -> Self {
        let message = message.to_lowercase();
        MESSAGES.iter().find(|(part, _)| message.contains(part)).map_or(Self::Retryable, |(_, result)| *result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_messages_of_every_client_are_understood() {
        let messages = [
            ("already known", SubmitResult::Accepted),
            ("transaction already imported", SubmitResult::Accepted),
            ("nonce too low: next nonce 8, tx nonce 7", SubmitResult::NonceUsed),
            ("replacement transaction underpriced", SubmitResult::Underpriced),
            ("transaction underpriced: gas tip cap 0, minimum needed 1", SubmitResult::Underpriced),
            (
                "transaction gas price below minimum: gas tip cap 1, minimum needed 25000000000",
                SubmitResult::Underpriced,
            ),
            (
                "max fee per gas less than block base fee: address 0x…, maxFeePerGas: 1, baseFee: 2",
                SubmitResult::Underpriced,
            ),
            (
                "Insufficient funds for gas * price + value: balance 1, tx cost 2, overshot 1",
                SubmitResult::InsufficientFunds,
            ),
            ("Upfront cost exceeds account balance", SubmitResult::InsufficientFunds),
            ("intrinsic gas too low: gas 20999, minimum needed 21000", SubmitResult::Invalid),
            ("exceeds block gas limit", SubmitResult::Invalid),
            ("tx fee (1.35 ether) exceeds the configured cap (1.00 ether)", SubmitResult::Invalid),
            ("max priority fee per gas higher than max fee per gas", SubmitResult::Invalid),
            ("txpool is full", SubmitResult::Retryable),
            ("in-flight transaction limit reached for delegated accounts", SubmitResult::DelegatedAccountLimit),
            ("the operator went for a walk", SubmitResult::Retryable),
        ];
        for (message, result) in messages {
            assert_eq!(SubmitResult::of_message(message), result, "{message}");
        }
    }

    #[test]
    fn one_accepting_pool_is_enough_and_a_node_without_answer_may_have_accepted_it() {
        use SubmitResult::{Accepted, InsufficientFunds, Invalid, NoAnswer, Underpriced};
        assert_eq!(SubmitResult::combined([Invalid, NoAnswer, Accepted]), Accepted);
        assert_eq!(SubmitResult::combined([Invalid, NoAnswer, InsufficientFunds]), NoAnswer);
        assert_eq!(SubmitResult::combined([NoAnswer, Underpriced]), Underpriced);
        assert_eq!(SubmitResult::combined([]), NoAnswer);
    }
}
