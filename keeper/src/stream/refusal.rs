//! What a node's "no" means. Every provider has its own words and codes, so the words decide where the code says little.

use std::time::Duration;

use alloy::transports::{RpcError, TransportError, TransportErrorKind};

/// HTTP's words for "slow down" and "that would be too much".
const TOO_MANY_REQUESTS: u16 = 429;
const PAYLOAD_TOO_LARGE: u16 = 413;

/// geth's code for a revert.
const REVERTED: i64 = 3;

/// Words that come with a range of blocks, or its answer, that is too large.
const TOO_LARGE: [&str; 12] = [
    "block range",
    "range is too",
    "range too",
    "ranges over",
    "exceeds limit",
    "exceed maximum",
    "is limited to",
    "more than",
    "too many results",
    "too many logs",
    "response size",
    "response is too",
];

/// Words that come with a plan that is used up. They go before those above: "exceeded" is in both worlds.
const TOO_OFTEN: [&str; 6] =
    ["too many requests", "rate limit", "request rate", "requests per", "compute units per", "throughput"];

/// Words that come with a block that the node does not have, or no longer.
const UNKNOWN_BLOCK: [&str; 4] = ["unknown block", "not found", "could not find block", "invalid block hash"];

/// What a failed call means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No answer, or none that makes sense.
    Away,
    /// Not now; perhaps with the time at which to come again.
    Busy(Option<Duration>),
    /// Fewer blocks at once, please.
    TooLarge,
    /// The node does not have that block.
    UnknownBlock,
    /// A contract reverted, which is an answer.
    Reverted,
    /// A clear no for another reason.
    Other,
}

impl Refusal {
    pub(super) fn of(error: &TransportError) -> Self {
        match error {
            RpcError::ErrorResp(refusal) if refusal.as_revert_data().is_some() => Self::Reverted,
            RpcError::ErrorResp(refusal) => Self::of_words(refusal.code, &refusal.message),
            RpcError::Transport(TransportErrorKind::HttpErrorWithRetryAfter { retry_after, .. }) => {
                Self::Busy(Some(*retry_after))
            }
            RpcError::Transport(TransportErrorKind::HttpError(error)) => match error.status {
                TOO_MANY_REQUESTS => Self::Busy(None),
                PAYLOAD_TOO_LARGE => Self::TooLarge,
                _ => Self::Away,
            },
            _ => Self::Away,
        }
    }

    fn of_words(code: i64, message: &str) -> Self {
        let message = message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if code == REVERTED || message.contains("execution reverted") {
            Self::Reverted
        } else if says(&TOO_OFTEN) || code == i64::from(TOO_MANY_REQUESTS) {
            Self::Busy(None)
        } else if says(&TOO_LARGE) {
            Self::TooLarge
        } else if says(&UNKNOWN_BLOCK) {
            Self::UnknownBlock
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_is_too_large_is_understood_in_every_providers_words() {
        for (code, words) in [
            (-32600, "You can make eth_getLogs requests with up to a 500 block range."),
            (-32600, "block range is too wide"),
            (-32047, "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: 800"),
            (35, "ranges over 10000 blocks are not supported on free plan"),
            (-32602, "range 2001 exceeds limit of 2000"),
            (-32701, "exceed maximum block range: 50000"),
            (-32614, "eth_getLogs is limited to a 10,000 range"),
            (-32005, "query returned more than 10000 results. Try with this block range [0x1, 0x2]."),
            (-32602, "Log response size exceeded."),
        ] {
            assert_eq!(Refusal::of_words(code, words), Refusal::TooLarge, "{words}");
        }
    }

    #[test]
    fn a_plan_that_is_used_up_is_no_objection_to_the_question() {
        for (code, words) in [
            (-32005, "request rate exceeded: too many requests, retry later"),
            (429, "Your app has exceeded its compute units per second capacity"),
            (-32000, "daily rate limit reached"),
        ] {
            assert_eq!(Refusal::of_words(code, words), Refusal::Busy(None), "{words}");
        }
        let error = TransportErrorKind::http_error_with_retry_after(429, String::new(), Some(Duration::from_secs(17)));
        assert_eq!(Refusal::of(&error), Refusal::Busy(Some(Duration::from_secs(17))));
    }

    #[test]
    fn a_block_that_is_not_there_is_told_from_a_node_that_is_not() {
        assert_eq!(Refusal::of_words(-32000, "unknown block"), Refusal::UnknownBlock);
        assert_eq!(Refusal::of_words(-32000, "header not found"), Refusal::UnknownBlock);
        assert_eq!(Refusal::of_words(-32603, "internal error"), Refusal::Other);
        assert_eq!(Refusal::of(&TransportErrorKind::http_error(502, "<html>".to_owned())), Refusal::Away);
        assert_eq!(Refusal::of(&TransportErrorKind::http_error(413, "<html>".to_owned())), Refusal::TooLarge);
    }
}
