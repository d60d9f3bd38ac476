//! Errors of requests to endpoints, scrubbed where they enter: nothing that leaves this crate carries a URL.

use std::{error::Error, fmt::Display, time::Duration};

use alloy::{
    primitives::Bytes,
    transports::{RpcError, TransportError, TransportErrorKind},
};

use crate::{answer_size::AnswerTooLarge, redaction::scrub};

/// JSON-RPC codes of a rate limit: the standard one of EIP-1474, and HTTP's, which some providers use inside.
const LIMIT_EXCEEDED_CODES: [i64; 2] = [-32005, 429];

/// JSON-RPC code of a revert in the execution API specification.
const REVERT_CODE: i64 = 3;

/// HTTP status of a rate limit.
const TOO_MANY_REQUESTS: u16 = 429;
/// HTTP status of a request whose answer would be too large.
const PAYLOAD_TOO_LARGE: u16 = 413;

/// Why a request to an endpoint failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The endpoint did not answer, or its answer made no sense.
    #[error("{endpoint} does not answer: {problem}")]
    Unreachable {
        /// The endpoint's name, without anything secret.
        endpoint: String,
        /// The library's error with its causes, scrubbed.
        problem: String,
    },
    /// The endpoint limits the rate of requests, by an HTTP status.
    #[error("{endpoint} limits the rate of requests: {problem}")]
    RateLimited {
        /// The endpoint's name, without anything secret.
        endpoint: String,
        /// Time after which to ask again, if the endpoint states it.
        retry_after: Option<Duration>,
        /// The library's error, scrubbed.
        problem: String,
    },
    /// The answer is larger than the endpoint gives, or than we read: ask for less.
    #[error("{endpoint} has too large an answer, ask for less: {problem}")]
    AnswerTooLarge {
        /// The endpoint's name, without anything secret.
        endpoint: String,
        /// The limit, or the library's error, scrubbed.
        problem: String,
    },
    /// The node refused the request; a revert is such a refusal.
    #[error("{endpoint} refused: {message} (code {code})")]
    Refused {
        /// The endpoint's name, without anything secret.
        endpoint: String,
        /// The JSON-RPC error code.
        code: i64,
        /// The node's message, scrubbed.
        message: String,
        /// The data that a contract reverted with, if the refusal is a revert.
        revert_data: Option<Bytes>,
    },
}

impl ChainError {
    /// Converts alloy's error about a request to the endpoint of this name.
    #[must_use]
    pub fn of_transport(endpoint: &impl Display, error: &TransportError) -> Self {
        match error {
            RpcError::ErrorResp(refusal) => Self::Refused {
                endpoint: endpoint.to_string(),
                code: refusal.code,
                message: scrub(&refusal.message).into_owned(),
                revert_data: refusal.as_revert_data(),
            },
            RpcError::Transport(kind) => Self::of_kind(endpoint.to_string(), kind, with_causes(error)),
            other => Self::of(endpoint, other),
        }
    }

    fn of_kind(endpoint: String, kind: &TransportErrorKind, problem: String) -> Self {
        let status = match kind {
            TransportErrorKind::HttpErrorWithRetryAfter { retry_after, .. } => {
                return Self::RateLimited { endpoint, retry_after: Some(*retry_after), problem };
            }
            TransportErrorKind::Custom(error) if error.is::<AnswerTooLarge>() => PAYLOAD_TOO_LARGE,
            TransportErrorKind::HttpError(error) => error.status,
            _ => return Self::Unreachable { endpoint, problem },
        };
        match status {
            TOO_MANY_REQUESTS => Self::RateLimited { endpoint, retry_after: None, problem },
            PAYLOAD_TOO_LARGE => Self::AnswerTooLarge { endpoint, problem },
            _ => Self::Unreachable { endpoint, problem },
        }
    }

    /// Converts any other library's error about the endpoint of this name, with its causes.
    #[must_use]
    pub fn of(endpoint: &impl Display, error: &(dyn Error + 'static)) -> Self {
        Self::Unreachable { endpoint: endpoint.to_string(), problem: with_causes(error) }
    }

    /// Returns whether this is a contract's revert. Older nodes say so by their message alone.
    #[must_use]
    pub fn is_revert(&self) -> bool {
        match self {
            Self::Refused { code, message, revert_data, .. } => {
                *code == REVERT_CODE || revert_data.is_some() || message.to_lowercase().contains("revert")
            }
            Self::Unreachable { .. } | Self::RateLimited { .. } | Self::AnswerTooLarge { .. } => false,
        }
    }

    /// Returns whether the same request may succeed later: the node is unreachable or limits the rate of requests.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::RateLimited { .. } => true,
            Self::AnswerTooLarge { .. } => false,
            Self::Refused { code, .. } => LIMIT_EXCEEDED_CODES.contains(code),
        }
    }
}

/// An error and its causes on one line, each said once, scrubbed.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    scrub(&text).into_owned()
}
