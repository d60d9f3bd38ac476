//! Classification of failed RPC calls. Every provider has its own words and codes, so that the words decide where the
//! code says little.

use std::time::Duration;

use plimsoll_chain::error::ChainError;

/// Error code of a rate limit at providers that use HTTP's status.
const TOO_MANY_REQUESTS: i64 = 429;

/// geth's error code for a revert.
const REVERTED: i64 = 3;

/// Words in errors about a range of blocks, or its answer, that is too large.
const RANGE_TOO_LARGE: [&str; 12] = [
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

/// Words in errors about a rate limit. They are looked for before those above, because "exceeded" occurs in both.
const RATE_LIMITED: [&str; 6] =
    ["too many requests", "rate limit", "request rate", "requests per", "compute units per", "throughput"];

/// Words in errors about a block that the node does not have, or does not have any more.
const UNKNOWN_BLOCK: [&str; 4] = ["unknown block", "not found", "could not find block", "invalid block hash"];

/// The kind of failure of an RPC call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RpcErrorKind {
    /// No answer, or none that makes sense.
    Unreachable,
    /// No answer within the time limit.
    TimedOut,
    /// A rate limit, with the time after which to ask again if the endpoint states it.
    RateLimited(Option<Duration>),
    /// A range of blocks, or its answer, that is too large for the endpoint.
    RangeTooLarge,
    /// A block that the endpoint does not have.
    UnknownBlock,
    /// A revert of the called contract, which is an answer.
    Reverted,
    /// A refusal for any other reason.
    Rejected,
}

impl RpcErrorKind {
    /// Classifies an error.
    pub(crate) fn of(error: &ChainError) -> Self {
        match error {
            ChainError::Refused { revert_data: Some(_), .. } => Self::Reverted,
            ChainError::Refused { code, message, .. } => Self::of_response(*code, message),
            ChainError::RateLimited { retry_after, .. } => Self::RateLimited(*retry_after),
            ChainError::AnswerTooLarge { .. } => Self::RangeTooLarge,
            ChainError::Unreachable { .. } => Self::Unreachable,
        }
    }

    /// Classifies a JSON-RPC error response.
    pub(crate) fn of_response(code: i64, message: &str) -> Self {
        let message = message.to_lowercase();
        let contains = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if code == REVERTED || message.contains("execution reverted") {
            Self::Reverted
        } else if contains(&RATE_LIMITED) || code == TOO_MANY_REQUESTS {
            Self::RateLimited(None)
        } else if contains(&RANGE_TOO_LARGE) {
            Self::RangeTooLarge
        } else if contains(&UNKNOWN_BLOCK) {
            Self::UnknownBlock
        } else {
            Self::Rejected
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::transports::{TransportError, TransportErrorKind};

    use super::*;

    fn kind_of(error: &TransportError) -> RpcErrorKind {
        RpcErrorKind::of(&ChainError::of_transport(&"node", error))
    }

    #[test]
    fn a_range_that_is_too_large_is_recognised_in_every_providers_words() {
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
            assert_eq!(RpcErrorKind::of_response(code, words), RpcErrorKind::RangeTooLarge, "{words}");
        }
    }

    #[test]
    fn a_rate_limit_is_not_taken_for_a_range_that_is_too_large() {
        for (code, words) in [
            (-32005, "request rate exceeded: too many requests, retry later"),
            (429, "Your app has exceeded its compute units per second capacity"),
            (-32000, "daily rate limit reached"),
        ] {
            assert_eq!(RpcErrorKind::of_response(code, words), RpcErrorKind::RateLimited(None), "{words}");
        }
        let error = TransportErrorKind::http_error_with_retry_after(429, String::new(), Some(Duration::from_secs(17)));
        assert_eq!(kind_of(&error), RpcErrorKind::RateLimited(Some(Duration::from_secs(17))));
    }

    #[test]
    fn a_missing_block_is_distinguished_from_an_unreachable_node() {
        assert_eq!(RpcErrorKind::of_response(-32000, "unknown block"), RpcErrorKind::UnknownBlock);
        assert_eq!(RpcErrorKind::of_response(-32000, "header not found"), RpcErrorKind::UnknownBlock);
        assert_eq!(RpcErrorKind::of_response(-32603, "internal error"), RpcErrorKind::Rejected);
        let http = |status| kind_of(&TransportErrorKind::http_error(status, "<html>".to_owned()));
        assert_eq!((http(502), http(413)), (RpcErrorKind::Unreachable, RpcErrorKind::RangeTooLarge));
    }
}
