//! What a node's answer to a broadcast means. Nodes agree on no codes, only roughly on words.

use plimsoll_chain::error::ChainError;

/// What became of a transaction that was handed to nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// A pool has it.
    Accepted,
    /// Its nonce is used up: by itself, or by another.
    NonceUsed,
    /// It offers too little: for the pool, for the block, or to replace what has its nonce.
    TooCheap,
    /// The signer's account has code, and the pool takes one transaction at a time from such.
    OneAtATime,
    /// Not now: the pool is full, or nobody knows what the words mean.
    Later,
    /// No answer: it may have been taken all the same.
    NoAnswer,
    /// The signer cannot pay for it.
    NoFunds,
    /// It will never be taken as it is.
    Never,
}

/// Words, in small letters, of geth, Erigon, Nethermind, Besu, reth and Anvil. The first that occurs decides.
const WORDS: [(&str, Verdict); 41] = [
    ("already known", Verdict::Accepted),
    ("alreadyknown", Verdict::Accepted),
    ("already imported", Verdict::Accepted),
    ("already in mempool", Verdict::Accepted),
    ("known transaction", Verdict::Accepted),
    ("nonce too low", Verdict::NonceUsed),
    ("nonce is too low", Verdict::NonceUsed),
    ("nonce_too_low", Verdict::NonceUsed),
    ("oldnonce", Verdict::NonceUsed),
    ("max priority fee per gas higher than max fee per gas", Verdict::Never),
    ("underpriced", Verdict::TooCheap),
    ("gas price below", Verdict::TooCheap),
    ("gas price too low", Verdict::TooCheap),
    ("fee too low", Verdict::TooCheap),
    ("feetoolow", Verdict::TooCheap),
    ("replacementnotallowed", Verdict::TooCheap),
    ("could not replace", Verdict::TooCheap),
    ("less than block base fee", Verdict::TooCheap),
    ("tip below minimum", Verdict::TooCheap),
    ("in-flight transaction limit", Verdict::OneAtATime),
    ("delegated account", Verdict::OneAtATime),
    ("insufficient funds", Verdict::NoFunds),
    ("insufficientfunds", Verdict::NoFunds),
    ("insufficient balance", Verdict::NoFunds),
    ("exceeds account balance", Verdict::NoFunds),
    ("intrinsic gas", Verdict::Never),
    ("floor data gas", Verdict::Never),
    ("exceeds block gas limit", Verdict::Never),
    ("exceeds transaction gas limit", Verdict::Never),
    ("gas limit too high", Verdict::Never),
    ("gaslimitexceeded", Verdict::Never),
    ("oversized data", Verdict::Never),
    ("type not supported", Verdict::Never),
    ("invalid sender", Verdict::Never),
    ("invalid chain id", Verdict::Never),
    ("invalid signature", Verdict::Never),
    ("replay-protected", Verdict::Never),
    ("tx fee", Verdict::Never),
    ("pool is full", Verdict::Later),
    ("nonce too high", Verdict::Later),
    ("rate limit", Verdict::Later),
];

impl Verdict {
    /// What one node's error means.
    #[must_use]
    pub fn of(error: &ChainError) -> Self {
        match error {
            ChainError::Unreachable { .. } => Self::NoAnswer,
            ChainError::Refused { message, .. } => Self::of_words(message),
        }
    }

    /// What several nodes' answers mean together: the one of which least can be known decides, except that one pool is
    /// enough, and a nonce that one node saw used is used.
    #[must_use]
    pub fn of_all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().min_by_key(|verdict| verdict.rank()).unwrap_or(Self::NoAnswer)
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::NonceUsed => 1,
            Self::OneAtATime => 2,
            Self::TooCheap => 3,
            Self::NoAnswer => 4,
            Self::Later => 5,
            Self::NoFunds => 6,
            Self::Never => 7,
        }
    }

    fn of_words(message: &str) -> Self {
        let message = message.to_lowercase();
        WORDS.iter().find(|(words, _)| message.contains(words)).map_or(Self::Later, |(_, verdict)| *verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_nodes_are_understood() {
        let said = [
            ("already known", Verdict::Accepted),
            ("transaction already imported", Verdict::Accepted),
            ("nonce too low: next nonce 8, tx nonce 7", Verdict::NonceUsed),
            ("replacement transaction underpriced", Verdict::TooCheap),
            ("transaction underpriced: gas tip cap 0, minimum needed 1", Verdict::TooCheap),
            ("transaction gas price below minimum: gas tip cap 1, minimum needed 25000000000", Verdict::TooCheap),
            ("max fee per gas less than block base fee: address 0x…, maxFeePerGas: 1, baseFee: 2", Verdict::TooCheap),
            ("Insufficient funds for gas * price + value: balance 1, tx cost 2, overshot 1", Verdict::NoFunds),
            ("Upfront cost exceeds account balance", Verdict::NoFunds),
            ("intrinsic gas too low: gas 20999, minimum needed 21000", Verdict::Never),
            ("exceeds block gas limit", Verdict::Never),
            ("max priority fee per gas higher than max fee per gas", Verdict::Never),
            ("txpool is full", Verdict::Later),
            ("in-flight transaction limit reached for delegated accounts", Verdict::OneAtATime),
            ("the operator went for a walk", Verdict::Later),
        ];
        for (message, verdict) in said {
            assert_eq!(Verdict::of_words(message), verdict, "{message}");
        }
    }

    #[test]
    fn one_pool_is_enough_and_who_did_not_answer_may_have_it() {
        use Verdict::{Accepted, Never, NoAnswer, NoFunds, TooCheap};
        assert_eq!(Verdict::of_all([Never, NoAnswer, Accepted]), Accepted);
        assert_eq!(Verdict::of_all([Never, NoAnswer, NoFunds]), NoAnswer);
        assert_eq!(Verdict::of_all([NoAnswer, TooCheap]), TooCheap);
        assert_eq!(Verdict::of_all([]), NoAnswer);
    }
}
