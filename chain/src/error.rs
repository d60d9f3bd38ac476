//! Errors from the other side of an endpoint, scrubbed where they enter: nothing that leaves this crate carries a URL.

use std::error::Error;

use alloy::{
    primitives::Bytes,
    transports::{RpcError, TransportError},
};

use crate::{endpoint::Endpoint, redaction::scrub};

/// JSON-RPC codes for "slow down": the standard one of EIP-1474, and HTTP's, which some providers use inside.
const LIMIT_EXCEEDED_CODES: [i64; 2] = [-32005, 429];

/// What went wrong between us and a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No answer, or none that makes sense.
    #[error("{endpoint} does not answer: {problem}")]
    Unreachable {
        /// Who was asked, without anything secret.
        endpoint: String,
        /// What happened, scrubbed.
        problem: String,
    },
    /// A clear no from the node, a revert among others.
    #[error("{endpoint} refused: {message} (code {code})")]
    Refused {
        /// Who was asked, without anything secret.
        endpoint: String,
        /// The JSON-RPC code.
        code: i64,
        /// What it said, scrubbed.
        message: String,
        /// What a contract reverted with, if it was that.
        revert_data: Option<Bytes>,
    },
}

impl ChainError {
    /// Takes over what alloy says about a request.
    #[must_use]
    pub fn of_transport(endpoint: &Endpoint, error: &TransportError) -> Self {
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

    /// Takes over any other library's error about this endpoint, with what caused it.
    #[must_use]
    pub fn of(endpoint: &Endpoint, error: &(dyn Error + 'static)) -> Self {
        Self::Unreachable { endpoint: endpoint.to_string(), problem: with_causes(error) }
    }

    /// Whether the same request may well succeed later: the node is away or asks to slow down.
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
