//! How a chain is reached: endpoints, signers and the secrets that both carry.
//!
//! Keys, passwords and the keys inside URLs are [`secret::Secret`]s, which cannot be printed. Because libraries print
//! URLs by themselves, every secret is known to [`redaction`], too: errors are scrubbed where they enter our code and
//! [`logging`] scrubs each line before it is written.

pub mod endpoint;
pub mod error;
mod http;
pub mod local;
pub mod logging;
pub mod redaction;
pub mod secret;
pub mod shell;
pub mod signer;
mod ws;

#[cfg(test)]
mod test_server;
