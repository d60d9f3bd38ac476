//! How the keeper runs: what it pays for gas, when it stops, where its files are, what it checks and logs.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy::primitives::U256;
use plimsoll_chain::{logging::Format, secret::Secret};
use serde::{Deserialize, Deserializer};
use toml::Value;

use super::{
    Variables,
    network::variable,
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
        let kill_file = root.read::<StoreTable>("store")?.folder.join("STOP").display().to_string();
        root.add(&Origin::Default, &format!("safety.kill_file = {}", Value::from(kill_file)));
        let safety: Self = root.read("safety")?;
        Some(Self { kill_file: folder.join(safety.kill_file), ..safety })
    }
}

/// Where the journal and the book's checkpoint are.
#[derive(Debug, Clone)]
pub struct Store {
    /// Folder that belongs to this keeper alone.
    pub folder: PathBuf,
    /// Time for which the journal keeps settled transactions.
    pub retention: Duration,
    /// Database that holds what belongs to the signers, and that keepers share; `None` where the folder holds it.
    pub postgres: Option<Postgres>,
}

/// A PostgreSQL database that keepers share.
#[derive(Debug, Clone)]
pub struct Postgres {
    /// URL of the database, with user and password.
    pub url: Arc<Secret<String>>,
    /// Time after which another keeper may take over the signers of one that does not renew its lease.
    pub lease: Duration,
    /// Name of this keeper among those that share the database.
    pub name: String,
}

/// `[store]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreTable {
    folder: PathBuf,
    #[serde(deserialize_with = "units::time")]
    retention: Duration,
    postgres: Option<PostgresTable>,
}

/// `postgres` of `[store]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PostgresTable {
    #[serde(default, deserialize_with = "units::variable")]
    url_env: Option<String>,
    #[serde(default, deserialize_with = "units::time")]
    lease: Option<Duration>,
    name: Option<String>,
}

/// Shortest term of a lease: a statement may take two seconds, and two renewals have to fit.
const MIN_LEASE: Duration = Duration::from_secs(3);

/// Term of a lease where none is set.
const DEFAULT_LEASE: Duration = Duration::from_secs(6);

impl Store {
    /// Reads `[store]`. Relative paths start at `folder`.
    pub(super) fn read(root: &Tree, folder: &Path, variables: &Variables) -> Option<Self> {
        let path = ["store", "postgres"];
        let table: StoreTable = root.read("store")?;
        let postgres = match table.postgres {
            None => None,
            Some(PostgresTable { url_env: None, .. }) => {
                root.problem(&path, "`url_env` is missing: the variable with the database's URL");
                return None;
            }
            Some(PostgresTable { lease: Some(lease), .. }) if lease < MIN_LEASE => {
                root.problem(
                    &["store", "postgres", "lease"],
                    "this must be at least 3s: a lease is renewed at a third of it",
                );
                return None;
            }
            Some(PostgresTable { url_env: Some(url_env), lease, name }) => {
                let what = "the database's URL, as in postgres://user:password@host/plimsoll";
                let url: String = variable(root, &["store", "postgres", "url_env"], &url_env, variables, what)?;
                let url = Arc::new(Secret::new(url));
                Some(Postgres { url, lease: lease.unwrap_or(DEFAULT_LEASE), name: name.unwrap_or_else(host_name) })
            }
        };
        Some(Self { folder: folder.join(table.folder), retention: table.retention, postgres })
    }
}

/// Name of this machine, where the system tells.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "keeper".to_owned() } else { name.trim().to_owned() }
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
