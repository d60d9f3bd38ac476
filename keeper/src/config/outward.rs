//! What faces outwards: nodes, fees, limits, files, the page, alerts, logs.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use alloy::primitives::{Address, U256};
use plimsoll_chain::{endpoint::Endpoint, logging::Format, redaction, secret::Secret};
use plimsoll_contracts::{
    MarketId,
    quantity::{BasisPoints, Reference},
};
use url::Url;

use super::{
    LOCAL_CHAIN_ID,
    chain::ChainFacts,
    deployment::Deployed,
    reader::Section,
    tokens::unknown,
    values::{Coins, Count, Gwei, Health, Text, Time, Variable, words},
};

/// Anvil's usual place.
const LOCAL_NODES: [&str; 2] = ["http://127.0.0.1:8545", "ws://127.0.0.1:8545"];
/// Health 1.05, 1e18-scaled.
const WATCHED_BELOW: U256 = U256::from_limbs([1_050_000_000_000_000_000, 0, 0, 0]);
/// The journal of 90 days.
const KEPT: Duration = Duration::from_secs(90 * 86_400);
/// Parts of a URL's path at least this long are taken for keys.
const SHORTEST_KEY_BYTES: usize = 8;

/// What the environment holds.
pub(super) type Variables = BTreeMap<String, String>;

/// A node.
#[derive(Debug)]
pub struct EndpointSettings {
    /// For people, logs and metrics.
    pub name: String,
    /// Where it is.
    pub endpoint: Endpoint,
    /// What it is for.
    pub role: Role,
}

words! {
    /// What a node is for.
    Role {
        /// It is read, and transactions are handed to it.
        Both = "both",
        /// It is only read.
        Read = "read",
        /// Transactions are handed to it.
        Send = "send",
        /// Transactions are handed to such nodes first, because they do not show them to everybody.
        Private = "private",
    }
}

impl Role {
    /// Whether it is read.
    #[must_use]
    pub const fn reads(self) -> bool {
        matches!(self, Self::Both | Self::Read)
    }
}

impl EndpointSettings {
    pub(super) fn read(root: &Section<'_, '_>, deployed: &Deployed, variables: &Variables) -> Vec<Self> {
        let said = root.tables("endpoints", |section| Self::one(section, variables));
        let Some(said) = said else {
            if deployed.chain_id != LOCAL_CHAIN_ID {
                root.problem("name a node: [[endpoints]] with `url`, or with `url_env` where the URL holds a key");
            }
            let nodes = if deployed.chain_id == LOCAL_CHAIN_ID { &LOCAL_NODES[..] } else { &[] };
            let local = |url: &&str| {
                let endpoint: Endpoint = url.parse().ok()?;
                Some(Self { name: endpoint.to_string(), endpoint, role: Role::Both })
            };
            return nodes.iter().filter_map(local).collect();
        };
        let endpoints: Vec<_> = said.into_iter().flatten().collect();
        if !endpoints.iter().any(|endpoint| endpoint.role.reads()) {
            root.problem_with("endpoints", "at least one node must be read: give it the role \"both\" or \"read\"");
        }
        let names: Vec<_> = endpoints.iter().map(|endpoint| &endpoint.name).collect();
        if let Some(twice) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
            root.problem_with("endpoints", format!("two nodes are named {}: give them a `name` each", twice.1));
        }
        endpoints
    }

    fn one(section: &Section<'_, '_>, variables: &Variables) -> Option<Self> {
        let url = section.optional("url", "none");
        let from = section.optional("url_env", "none").map(|Variable(name)| name);
        let role = section.value("role", Role::Both);
        let endpoint = match (url, from) {
            (Some(Shown(endpoint)), None) => Some(endpoint),
            (None, Some(variable)) => variable_of(section, "url_env", &variable, variables, "the node's URL"),
            (Some(_), Some(_)) => {
                section.problem("a node has one URL: `url`, or `url_env` where it holds a key");
                None
            }
            (None, None) => {
                if !section.says("url") && !section.says("url_env") {
                    section.problem("a node needs its `url`, or `url_env` where it holds a key");
                }
                None
            }
        };
        let default = endpoint.as_ref().map(ToString::to_string).unwrap_or_default();
        let Text(name) = section.value("name", Text(default));
        Some(Self { name, endpoint: endpoint?, role })
    }
}

/// An endpoint in a file: shown without its key.
struct Shown(Endpoint);

impl FromStr for Shown {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: plimsoll_chain::endpoint::EndpointError| error.to_string())
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a variable holds. Nothing of it is repeated where it is wrong.
fn variable_of<T: FromStr<Err: ToString>>(
    section: &Section<'_, '_>,
    key: &str,
    variable: &str,
    variables: &Variables,
    what: &str,
) -> Option<T> {
    let Some(text) = variables.get(variable) else {
        section.problem_with(key, format!("the environment variable {variable} is not set; it must hold {what}"));
        return None;
    };
    let parsed = text.parse();
    parsed.map_err(|error: T::Err| section.problem_with(key, format!("{variable}: {}", error.to_string()))).ok()
}

/// What may be paid for gas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fees {
    /// The tip that is offered at least, in wei.
    pub least_tip: u128,
    /// No unit of gas is paid more for, in wei, whatever the profit.
    pub highest_price: u128,
    /// How much of what is left of a profit after the base fee may be offered as a tip, in basis points.
    pub profit_share_bps: u16,
    /// After how many blocks more is offered for what was not mined.
    pub replace_after: u64,
}

impl Fees {
    pub(super) fn read(section: &Section<'_, '_>) -> Self {
        Self {
            least_tip: section.value("least_tip", Gwei(100_000_000)).0,
            highest_price: section.value("highest_price", Gwei(500_000_000_000)).0,
            profit_share_bps: section.value("profit_share", BasisPoints(5_000)).0,
            replace_after: section.value("replace_after", Count(2)).0,
        }
    }
}

/// When to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Safety {
    /// What gas may cost within a UTC day for transactions that reverted or were cancelled, in wei, before nothing more
    /// is sent.
    pub loss_cap_per_day: U256,
    /// After so many reverts …
    pub breaker_reverts: u64,
    /// … within this time …
    pub breaker_window: Duration,
    /// … nothing is sent for this long.
    pub breaker_pause: Duration,
    /// With less than this, in wei, a signer sends nothing.
    pub minimum_balance: U256,
    /// While this file exists, nothing is sent.
    pub kill_file: PathBuf,
    /// At most so many transactions of a signer are on their way.
    pub most_pending: u64,
}

impl Safety {
    pub(super) fn read(section: &Section<'_, '_>, store: &Store, folder: &Path) -> Self {
        let default = Text(store.shown.join("STOP").display().to_string());
        let Text(kill_file) = section.value("kill_file", default);
        Self {
            loss_cap_per_day: section.value("loss_cap_per_day", Coins(U256::from(50_000_000_000_000_000_u64))).0,
            breaker_reverts: section.value("breaker_reverts", Count(5)).0,
            breaker_window: section.value("breaker_window", Time(Duration::from_secs(600))).0,
            breaker_pause: section.value("breaker_pause", Time(Duration::from_secs(600))).0,
            minimum_balance: section.value("minimum_balance", Coins(U256::from(10_000_000_000_000_000_u64))).0,
            kill_file: folder.join(kill_file),
            most_pending: section.value("most_pending", Count(16)).0,
        }
    }
}

/// Where files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The folder of the journal and of the book's checkpoint: one keeper's alone.
    pub folder: PathBuf,
    /// For how long the journal keeps what is settled.
    pub keep: Duration,
    /// As it was written.
    shown: PathBuf,
}

impl Store {
    pub(super) fn read(section: &Section<'_, '_>, folder: &Path) -> Self {
        let Text(shown) = section.value("folder", Text("keeper-data".to_owned()));
        let Time(keep) = section.value("keep", Time(KEPT));
        Self { folder: folder.join(&shown), keep, shown: shown.into() }
    }
}

/// How often the book is held against the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Once in so many blocks; 0 for never.
    pub every: u64,
    /// So many positions at a time.
    pub positions: u64,
}

impl Audit {
    pub(super) fn read(section: &Section<'_, '_>) -> Self {
        Self { every: section.value("every", Count(10)).0, positions: section.value("positions", Count(50)).0 }
    }
}

/// The page and its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where to listen; `None` for nowhere.
    pub listen: Option<SocketAddr>,
    /// Without a new block for this long, the keeper is not ready.
    pub ready_within: Duration,
}

impl Http {
    pub(super) fn read(section: &Section<'_, '_>, chain: &ChainFacts) -> Self {
        let default = (chain.block_time * 10).max(Duration::from_secs(30));
        Self {
            listen: section.value("listen", Listen(Some(SocketAddr::from(([127, 0, 0, 1], 9464))))).0,
            ready_within: section.value("ready_within", Time(default)).0,
        }
    }
}

/// An address to listen on, or `off`.
struct Listen(Option<SocketAddr>);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let address = text
            .parse()
            .map_err(|_| format!("\"{text}\" is no place to listen: write \"127.0.0.1:9464\", or \"off\""))?;
        Ok(Self(Some(address)))
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

/// Who is told of what.
#[derive(Debug, Default)]
pub struct Alerts {
    /// Where alerts go; `None` for nowhere.
    pub webhook: Option<Webhook>,
    /// A signer with less than this, in wei, is told of.
    pub low_balance: U256,
    /// A head that has stood this long is told of.
    pub stalled_after: Duration,
    /// Accounts whose health is told of.
    pub watch: Vec<Watched>,
}

/// Where alerts go.
#[derive(Debug)]
pub struct Webhook {
    /// The URL, which usually holds a key.
    pub url: Secret<String>,
    /// Its scheme and host.
    pub shown: String,
    /// What bodies are signed with, for receivers that want to know who speaks.
    pub signing_key: Option<Secret<String>>,
}

/// An account whose health is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// In which market; `None` for all.
    pub market: Option<MarketId>,
    /// Whose.
    pub account: Address,
    /// Below which health, 1e18 for 1.
    pub below: U256,
}

impl Alerts {
    pub(super) fn read(
        section: &Section<'_, '_>,
        deployed: &Deployed,
        safety: &Safety,
        http: &Http,
        variables: &Variables,
    ) -> Self {
        let url = section.optional("webhook_env", "none").and_then(|Variable(name)| {
            variable_of::<Target>(section, "webhook_env", &name, variables, "the webhook's URL")
        });
        let key = section.optional("signing_key_env", "none").and_then(|Variable(name)| {
            variable_of::<String>(section, "signing_key_env", &name, variables, "the key that alerts are signed with")
        });
        let signing_key = key.map(Secret::new);
        let webhook = url.map(|Target(url, shown)| Webhook { url, shown, signing_key });
        let low = U256::from(2).saturating_mul(safety.minimum_balance);
        Self {
            webhook,
            low_balance: section.value("low_balance", Coins(low)).0,
            stalled_after: section.value("stalled_after", Time(http.ready_within)).0,
            watch: section
                .tables("watch", |entry| Watched::read(entry, deployed))
                .into_iter()
                .flatten()
                .flatten()
                .collect(),
        }
    }
}

impl Watched {
    fn read(section: &Section<'_, '_>, deployed: &Deployed) -> Option<Self> {
        let market = section.optional("market", "all").map(|Text(name)| {
            let known = deployed.known.markets.iter().find(|(known, ..)| *known == name).map(|(_, id, ..)| *id);
            let id = known.or_else(|| name.parse().ok().map(MarketId));
            if id.is_none() {
                let names = deployed.known.markets.iter().map(|(name, ..)| name.as_str());
                section.problem_with("market", unknown("market", &name, names));
            }
            id
        });
        let Health(below) = section.value("below", Health(WATCHED_BELOW));
        match section.optional("account", "none") {
            Some(Reference::Address(account)) => Some(Self { market: market.flatten(), account, below }),
            _ => {
                section.problem_with("account", "say whose health is watched: `account`, 0x and 40 hexadecimal digits");
                None
            }
        }
    }
}

/// A webhook's URL, everything beyond its host out of sight.
struct Target(Secret<String>, String);

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url: Url = text.trim().parse().map_err(|error| format!("a webhook must be a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("a webhook must begin with https:// or http://, not {}://", url.scheme()));
        }
        let beyond_host = &url[url::Position::BeforePath..];
        let parts = url.path_segments().into_iter().flatten().chain([beyond_host]);
        parts.filter(|part| part.len() >= SHORTEST_KEY_BYTES).for_each(redaction::hide);
        let queried: Vec<_> = url.query_pairs().map(|(_, value)| value.into_owned()).collect();
        queried.iter().map(String::as_str).chain(url.password()).for_each(redaction::hide);
        let shown = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        Ok(Self(Secret::unlisted(url.into()), shown))
    }
}

/// What log lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// For people or for collectors.
    pub format: Format,
}

impl Log {
    pub(super) fn read(section: &Section<'_, '_>) -> Self {
        Self { format: if section.flag("json", false) { Format::Json } else { Format::Text } }
    }
}
