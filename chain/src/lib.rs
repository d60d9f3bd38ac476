//! Access to a chain: endpoints, signers, and the secrets that both carry.
//!
//! An [`endpoint`] is one node, by HTTP, WebSocket or IPC. Failover between endpoints is up to the caller, who learns from
//! [`error::ChainError::is_retryable`] when another endpoint is worth a try.
//!
//! Private keys, passwords and API keys inside URLs are [`secret::Secret`]s, which cannot be printed. Because libraries
//! print URLs by themselves, every secret is registered with [`redaction`], too: errors are scrubbed where they enter our
//! code, and [`logging`] scrubs each line before it is written.

mod answer_size;
pub mod endpoint;
pub mod error;
mod http;
mod ipc;
pub mod local;
pub mod logging;
pub mod redaction;
pub mod relay;
pub mod remote_signer;
pub mod secret;
pub mod shell;
pub mod signer;
mod ws;

#[cfg(test)]
mod test_server;
