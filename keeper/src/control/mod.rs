//! Control of a running keeper through a Unix socket in the folder of its store: one request and one response for each
//! connection, each a line of JSON. Nobody but the user that runs the keeper is answered.

mod client;
mod server;

use std::{collections::BTreeSet, path::PathBuf};

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub use self::{
    client::{ControlError, send},
    server::{ControlServer, Requests},
};

/// Name of the socket in the store's folder.
const SOCKET: &str = "control.sock";
/// Longest request or response, in bytes.
const MAX_BYTES: u64 = 64 * 1_024;

/// A command of an operator to a running keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Begin nothing new, in one market or anywhere. What is pending goes on.
    Pause {
        /// Name or id of the market; `None` for everything, harvests included.
        market: Option<String>,
        /// Whether the pause holds after a restart.
        across_restarts: bool,
    },
    /// End a pause of one market, or all pauses.
    Resume {
        /// Name or id of the market; `None` for everything.
        market: Option<String>,
    },
    /// Send what the signers hold of these tokens to the receiver of profits.
    Sweep {
        /// Names or addresses of the tokens.
        tokens: Vec<String>,
    },
    /// Replace a pending transaction by a cancellation.
    Cancel {
        /// Nonce of the transaction.
        nonce: u64,
        /// Account that signed it; `None` where only one signer has a pending transaction with this nonce.
        account: Option<Address>,
    },
    /// Close the circuit breaker before its time is over.
    CloseBreaker,
}

/// The effect of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Description for people, in one sentence.
    pub text: String,
    /// What is paused now: names of markets, or `everything`.
    pub paused: Vec<String>,
}

/// A response: what was done, or why nothing was.
pub type Response = Result<Done, String>;

/// A request that waits for its response.
#[derive(Debug)]
pub struct PendingRequest {
    /// What the operator asked for.
    pub request: Request,
    /// Channel that takes the response.
    pub respond: oneshot::Sender<Response>,
}

/// The pauses that an operator has begun.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Whether everything is paused, harvests included.
    pub everything: bool,
    /// Ids of paused markets.
    pub markets: BTreeSet<B256>,
}

impl Paused {
    /// Whether nothing is begun in a market.
    #[must_use]
    pub fn includes(&self, market: &B256) -> bool {
        self.everything || self.markets.contains(market)
    }
}

fn socket_path(folder: &std::path::Path) -> PathBuf {
    folder.join(SOCKET)
}
