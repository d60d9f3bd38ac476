//! How the keeper runs: what it pays for gas, when it stops, where its files are, what it checks and logs.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use alloy::primitives::U256;
use plimsoll_chain::logging::Format;
use serde::{Deserialize, Deserializer};
use toml::Value;

use super::{
    tree::{Origin, Tree},
    units,
};

/// Limits of what the keeper pays for gas.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fees {
    /// Minimum priority fee, in wei per gas.
    #[serde(deserialize_with = "units::gwei")]
    pub min_priority_fee: u128,
    /// Maximum total price, in wei per gas, whatever the profit.
    #[serde(deserialize_with = "units::gwei")]
    pub max_gas_price: u128,
    /// Share of the profit after the base fee that may be bid as priority fee, in basis points.
    #[serde(rename = "bid_share", deserialize_with = "units::basis_points")]
    pub bid_share_bps: u16,
    /// Number of blocks after which a transaction that is not mined is replaced at a higher fee.
    pub replace_after: u64,
}

/// Limits at which the keeper stops sending.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Safety {
    /// Loss of all transactions within a UTC day, in wei, at which sending stops for that day: what those that cost more
    /// than they brought cost too much.
    #[serde(deserialize_with = "units::wad")]
    pub loss_cap_per_day: U256,
    /// Loss of one strategy in one market within a UTC day, in wei, at which that strategy stops there for that day.
    #[serde(deserialize_with = "units::wad")]
    pub market_loss_cap_per_day: U256,
    /// Highest cost of one transaction, in wei: its gas limit at its maximum fee. Batches are made small enough for it.
    #[serde(deserialize_with = "units::wad")]
    pub max_cost_per_transaction: U256,
    /// Number of reverts within `breaker_window` that opens the circuit breaker of a strategy in one market.
    pub breaker_reverts: u64,
    /// Period in which the circuit breaker counts reverts.
    #[serde(deserialize_with = "units::time")]
    pub breaker_window: Duration,
    /// Time for which nothing is sent once the circuit breaker is open.
    #[serde(deserialize_with = "units::time")]
    pub breaker_pause: Duration,
    /// Balance, in wei, below which a signer sends nothing.
    #[serde(deserialize_with = "units::wad")]
    pub min_balance: U256,
    /// While this file exists, nothing is sent.
    pub kill_file: PathBuf,
    /// Maximum number of pending transactions of one signer.
    pub max_pending: usize,
}

impl Safety {
    /// Reads `[safety]`; by default the kill file is in the store. Relative paths start at `folder`.
    pub(super) fn read(root: &mut Tree, folder: &Path) -> Option<Self> {
        let kill_file = root.read::<Store>("store")?.folder.join("STOP").display().to_string();
        root.add(&Origin::Default, &format!("safety.kill_file = {}", Value::from(kill_file)));
        let safety: Self = root.read("safety")?;
        Some(Self { kill_file: folder.join(safety.kill_file), ..safety })
    }
}

/// Where the journal and the book's checkpoint are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Folder that belongs to this keeper alone.
    pub folder: PathBuf,
    /// Time for which the journal keeps settled transactions.
    #[serde(deserialize_with = "units::time")]
    pub retention: Duration,
}

impl Store {
    /// Reads `[store]`. Relative paths start at `folder`.
    pub(super) fn read(root: &Tree, folder: &Path) -> Option<Self> {
        let store: Self = root.read("store")?;
        Some(Self { folder: folder.join(store.folder), ..store })
    }
}

/// How often the book is compared with the chain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Number of blocks between two audits; 0 for none.
    pub every: u64,
    /// Number of positions in one audit.
    pub positions: u64,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Whether log lines are text or JSON; the setting `json` says so by true or false.
    #[serde(rename = "json", deserialize_with = "format")]
    pub format: Format,
}

fn format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Format, D::Error> {
    bool::deserialize(deserializer).map(|json| if json { Format::Json } else { Format::Text })
}
