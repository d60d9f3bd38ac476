//! Errors of requests to endpoints, scrubbed where they enter: nothing that leaves this crate carries a URL.

use std::{error::Error, fmt::Display};

use alloy::{
    primitives::Bytes,
    transports::{RpcError, TransportError},
};

use crate::redaction::scrub;

/// JSON-RPC codes of a rate limit: the standard one of EIP-1474, and HTTP's, which some providers use inside.
const LIMIT_EXCEEDED_CODES: [i64; 2] = [-32005, 429];

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
            other => Self::of(endpoint, other),
        }
    }

    /// Converts any other library's error about the endpoint of this name, with its causes.
    #[must_use]
    pub fn of(endpoint: &impl Display, error: &(dyn Error + 'static)) -> Self {
        Self::Unreachable { endpoint: endpoint.to_string(), problem: with_causes(error) }
    }

    /// Returns whether the same request may succeed later: the node is unreachable or limits the rate of requests.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
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
