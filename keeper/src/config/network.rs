//! What the keeper is connected with: RPC endpoints, signers, the HTTP server and the receiver of alerts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    path::Path,
    str::FromStr,
    time::Duration,
};

use alloy::primitives::{Address, U256};
use plimsoll_chain::{
    endpoint::{Endpoint, Transport},
    redaction,
    secret::Secret,
    signer::{PasswordSource, SignerSource},
};
use plimsoll_contracts::{MarketId, deployment::Deployment};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use url::Url;

use super::{
    LOCAL_CHAIN_ID, Variables,
    chain::ChainFacts,
    operations::Safety,
    strategies::market_id,
    tree::{Origin, Tree, unknown},
    units::{self, time_text, wad_text},
};
use crate::alert::{AlertFormat, AlertKind, Severity, Template};

/// Anvil's default address, over HTTP and WebSocket.
const LOCAL_ENDPOINTS: &str = r#"endpoints = [{ url = "http://127.0.0.1:8545" }, { url = "ws://127.0.0.1:8545" }]"#;
/// URL to which `PagerDuty` takes events of every service.
const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// Parts of a URL's path of at least this length are taken for keys.
const SHORTEST_KEY_BYTES: usize = 8;

/// An RPC endpoint.
#[derive(Debug)]
pub struct EndpointSettings {
    /// Display name.
    pub name: String,
    /// URL, which is never shown beyond its host.
    pub endpoint: Endpoint,
    /// Use that the keeper makes of it.
    pub role: Role,
}

/// Use that the keeper makes of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reading, and broadcasting transactions.
    Both,
    /// Reading alone.
    Read,
    /// Broadcasting transactions alone.
    Send,
    /// Private order flow: transactions go to such endpoints first, because those do not publish them.
    Private,
    /// A relay or builder that takes bundles (`eth_sendBundle`): transactions go to such endpoints alone.
    Bundle,
}

impl Role {
    /// Whether the keeper reads from such an endpoint.
    #[must_use]
    pub const fn reads(self) -> bool {
        matches!(self, Self::Both | Self::Read)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// An entry of `[[endpoints]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    url: Option<Endpoint>,
    #[serde(default, deserialize_with = "units::variable")]
    url_env: Option<String>,
    name: Option<String>,
    role: Role,
}

impl EndpointSettings {
    /// Reads `[[endpoints]]`; by default, a local chain has Anvil's.
    pub(super) fn read(root: &mut Tree, chain: &ChainFacts, variables: &Variables) -> Vec<Self> {
        if !root.is_set(&["endpoints"]) {
            if chain.id == LOCAL_CHAIN_ID {
                root.add(&Origin::Default, LOCAL_ENDPOINTS);
            } else {
                root.problem(
                    &[],
                    "name an endpoint: [[endpoints]] with `url`, or with `url_env` if the URL holds a key",
                );
            }
        }
        for entry in root.all(&["endpoints", "*"]) {
            entry.add(&Origin::Default, "role = \"both\"");
        }
        let Some(entries) = root.read::<Vec<Entry>>("endpoints") else { return Vec::new() };
        if !entries.iter().any(|entry| entry.role.reads()) {
            root.problem(&["endpoints"], "at least one endpoint must be read: give it the role \"both\" or \"read\"");
        }
        let resolved = |(index, entry): (usize, Entry)| entry.resolved(&index.to_string(), root, variables);
        let endpoints: Vec<_> = entries.into_iter().enumerate().filter_map(resolved).collect();
        for (index, endpoint) in endpoints.iter().enumerate() {
            let name = format!("name = {}", toml::Value::from(endpoint.name.as_str()));
            root.all(&["endpoints", &index.to_string()])
                .into_iter()
                .for_each(|entry| entry.add(&Origin::Default, &name));
        }
        let has = |role| endpoints.iter().any(|endpoint| endpoint.role == role);
        if has(Role::Private) && has(Role::Bundle) {
            let problem =
                "transactions go to private endpoints or in bundles: give none the role \"private\" or none \"bundle\"";
            root.problem(&["endpoints"], problem);
        }
        for (index, relay) in endpoints.iter().enumerate().filter(|(_, endpoint)| endpoint.role == Role::Bundle) {
            if relay.endpoint.transport() != Transport::Http {
                let problem = "bundles are sent over HTTP alone: name a URL that begins with https://";
                root.problem(&["endpoints", &index.to_string()], problem);
            }
        }
        let mut names = BTreeSet::new();
        for twice in endpoints.iter().filter(|endpoint| !names.insert(&endpoint.name)) {
            root.problem(&["endpoints"], format!("two endpoints are named {}: give each its own `name`", twice.name));
        }
        endpoints
    }
}

impl Entry {
    fn resolved(self, index: &str, root: &Tree, variables: &Variables) -> Option<EndpointSettings> {
        let is_refused = ["url", "url_env"].iter().any(|key| root.is_set(&["endpoints", index, key]));
        let endpoint = match (self.url, self.url_env) {
            (Some(endpoint), None) => Some(endpoint),
            (None, Some(name)) => {
                variable(root, &["endpoints", index, "url_env"], &name, variables, "the endpoint's URL")
            }
            (None, None) if is_refused => None,
            _ => {
                root.problem(
                    &["endpoints", index],
                    "an endpoint has one URL: its `url`, or `url_env` if it holds a key",
                );
                None
            }
        }?;
        let name = self.name.unwrap_or_else(|| endpoint.to_string());
        Some(EndpointSettings { name, endpoint, role: self.role })
    }
}

/// Parses the environment variable that the setting at `path` names. A value that cannot be parsed is a problem of that
/// setting, and is not repeated.
pub(super) fn variable<T: FromStr<Err: ToString>>(
    root: &Tree,
    path: &[&str],
    name: &str,
    variables: &Variables,
    what: &str,
) -> Option<T> {
    let Some(text) = variables.get(name) else {
        root.problem(path, format!("the environment variable {name} is not set; it must hold {what}"));
        return None;
    };
    text.parse().map_err(|error: T::Err| root.problem(path, format!("{name}: {}", error.to_string()))).ok()
}

/// Sources of the keys that sign.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signers {
    /// Key for liquidations; without one the keeper is read-only.
    #[serde(default, deserialize_with = "signer")]
    pub liquidations: Option<SignerSource>,
    /// Key for harvests; without one, the key for liquidations signs them when it has nothing more urgent.
    #[serde(default, deserialize_with = "signer")]
    pub harvests: Option<SignerSource>,
    /// Key by which relays know who sends them bundles, and which signs no transaction; by default a new one at each start.
    #[serde(default, deserialize_with = "signer")]
    pub bundles: Option<SignerSource>,
}

/// Reads the source of a key. A key may have been written in its place, so a refusal does not repeat the value.
fn signer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SignerSource>, D::Error> {
    const FORMS: &str = "say where the key is: { keystore = { path = \"…\", password = { file = \"…\" } } }, \
                         { environment = \"VARIABLE\" }, { remote = { url_env = \"VARIABLE\", address = \"0x…\" } } \
                         for a remote signer, or { anvil = 0 } on a local Anvil";
    match SignerSource::deserialize(deserializer) {
        Ok(SignerSource::Environment(name)) if !units::is_variable(&name) => Err(D::Error::custom(FORMS)),
        Ok(source) => Ok(Some(source)),
        Err(_) => Err(D::Error::custom(FORMS)),
    }
}

impl Signers {
    /// Reads `[signers]`, by default two of Anvil's accounts on a local chain. Relative paths start at `folder`.
    pub(super) fn read(root: &mut Tree, chain: &ChainFacts, folder: &Path) -> Option<Self> {
        let [has_first, has_second] = ["liquidations", "harvests"].map(|key| root.is_set(&["signers", key]));
        if chain.id == LOCAL_CHAIN_ID && !has_first {
            root.add(&Origin::Default, "signers.liquidations.anvil = 8");
            if !has_second {
                root.add(&Origin::Default, "signers.harvests.anvil = 9");
            }
        }
        let mut signers: Self = root.read("signers")?;
        for source in [&mut signers.liquidations, &mut signers.harvests, &mut signers.bundles] {
            if let Some(SignerSource::Keystore { path, password }) = source {
                *path = folder.join(&path);
                if let PasswordSource::File(path) = password {
                    *path = folder.join(&path);
                }
            }
        }
        Some(signers)
    }
}

/// Settings of the dashboard, the API, metrics and health checks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address to listen on; `None` for none.
    #[serde(deserialize_with = "units::listen")]
    pub listen: Option<SocketAddr>,
    /// Without a new block for this long, the keeper is not ready.
    #[serde(deserialize_with = "units::time")]
    pub ready_within: Duration,
}

impl Http {
    pub(super) fn read(root: &mut Tree, chain: &ChainFacts) -> Option<Self> {
        let ready_within = (chain.block_time * 10).max(Duration::from_secs(30));
        root.add(&Origin::Default, &format!("http.ready_within = \"{}\"", time_text(ready_within)));
        root.read("http")
    }
}

/// Settings of alerts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    #[serde(default, deserialize_with = "units::variable")]
    webhook_env: Option<String>,
    #[serde(default, deserialize_with = "units::variable")]
    signing_key_env: Option<String>,
    #[serde(rename = "targets", default)]
    entries: Vec<TargetEntry>,
    /// Receivers of alerts.
    #[serde(skip)]
    pub targets: Vec<AlertTarget>,
    /// Severities of kinds that differ from their defaults.
    #[serde(default)]
    pub severity: BTreeMap<AlertKind, Severity>,
    /// Balance in wei below which a signer raises an alert.
    #[serde(deserialize_with = "units::wad")]
    pub low_balance: U256,
    /// Time without a new block after which there is an alert.
    #[serde(deserialize_with = "units::time")]
    pub stalled_after: Duration,
    /// Time for which loans may stay liquidatable before there is an alert.
    #[serde(deserialize_with = "units::time")]
    pub liquidatable_for: Duration,
    /// Accounts whose health factor raises an alert.
    #[serde(default)]
    pub watch: Vec<Watched>,
}

/// An entry of `[[alerts.targets]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetEntry {
    name: Option<String>,
    format: AlertFormat,
    min_severity: Severity,
    #[serde(default, deserialize_with = "units::variable")]
    url_env: Option<String>,
    #[serde(default, deserialize_with = "units::variable")]
    signing_key_env: Option<String>,
    #[serde(default, deserialize_with = "units::variable")]
    routing_key_env: Option<String>,
    chat_id: Option<String>,
    body: Option<String>,
}

/// Receiver of alerts.
#[derive(Debug)]
pub struct AlertTarget {
    /// Name for logs and for the queue in the store.
    pub name: String,
    /// URL, which usually holds a key.
    pub url: Secret<String>,
    /// Scheme and host of the URL, for display.
    pub shown: String,
    /// Lowest severity of the alerts that are sent to it.
    pub min_severity: Severity,
    /// Template of the bodies.
    pub body: Template,
    /// Key that bodies are signed with, for receivers that check the sender.
    pub signing_key: Option<Secret<String>>,
    /// Integration key of the `PagerDuty` service.
    pub routing_key: Option<Secret<String>>,
    /// Id of the Telegram chat that messages are posted to.
    pub chat_id: Option<String>,
}

/// URL of a receiver, which usually holds a key, and what may be shown of it.
struct WebhookUrl {
    url: Secret<String>,
    shown: String,
}

/// An account whose health factor raises an alert.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watched {
    #[serde(rename = "market")]
    market_name: Option<String>,
    /// Market of the loan; `None` for all markets.
    #[serde(skip)]
    pub market: Option<MarketId>,
    /// Owner of the loan.
    #[serde(default, deserialize_with = "units::address")]
    pub account: Address,
    /// Health factor below which there is an alert, 1e18 for 1.
    #[serde(deserialize_with = "units::wad")]
    pub below: U256,
}

impl Alerts {
    /// Reads `[alerts]`; markets are known by their names in the record.
    pub(super) fn read(
        root: &mut Tree,
        record: &Deployment,
        safety: &Safety,
        http: &Http,
        variables: &Variables,
    ) -> Option<Self> {
        let low_balance = wad_text(safety.min_balance.saturating_mul(U256::from(2)));
        let stalled_after = time_text(http.ready_within);
        let defaults = format!("[alerts]\nlow_balance = \"{low_balance}\"\nstalled_after = \"{stalled_after}\"");
        root.add(&Origin::Default, &defaults);
        for entry in root.all(&["alerts", "watch", "*"]) {
            entry.add(&Origin::Default, "below = \"1.05\"");
        }
        for entry in root.all(&["alerts", "targets", "*"]) {
            entry.add(&Origin::Default, "format = \"json\"\nmin_severity = \"info\"");
        }
        let mut alerts: Self = root.read("alerts")?;
        let entries = std::mem::take(&mut alerts.entries).into_iter().enumerate();
        alerts.targets =
            entries.filter_map(|(index, entry)| entry.resolved(&index.to_string(), root, variables)).collect();
        alerts.targets.extend(alerts.webhook(root, variables));
        let mut names = BTreeSet::new();
        for twice in alerts.targets.iter().filter(|target| !names.insert(&target.name)) {
            root.problem(&["alerts"], format!("two targets are named {}: give each its own `name`", twice.name));
        }
        for (index, watched) in alerts.watch.iter_mut().enumerate() {
            watched.resolve(&index.to_string(), root, record);
        }
        Some(alerts)
    }

    /// Returns the target of `webhook_env`, the short form of a target that gets every alert as JSON.
    fn webhook(&self, root: &Tree, variables: &Variables) -> Option<AlertTarget> {
        let path = |key| ["alerts", key];
        let key = self.signing_key_env.as_deref().and_then(|name| {
            variable::<String>(root, &path("signing_key_env"), name, variables, "the key that alerts are signed with")
        });
        let name = self.webhook_env.as_deref()?;
        let url = variable::<WebhookUrl>(root, &path("webhook_env"), name, variables, "the webhook's URL")?;
        Some(AlertTarget {
            name: "webhook".to_owned(),
            url: url.url,
            shown: url.shown,
            min_severity: Severity::Info,
            body: Template::of(AlertFormat::Json),
            signing_key: key.map(Secret::new),
            routing_key: None,
            chat_id: None,
        })
    }
}

impl TargetEntry {
    fn resolved(self, index: &str, root: &Tree, variables: &Variables) -> Option<AlertTarget> {
        let path = |key| ["alerts", "targets", index, key];
        let secret = |key, name: &Option<String>, what| {
            let value = variable::<String>(root, &path(key), name.as_deref()?, variables, what);
            value.map(Secret::new)
        };
        let signing_key = secret("signing_key_env", &self.signing_key_env, "the key that alerts are signed with");
        let routing_key = secret("routing_key_env", &self.routing_key_env, "PagerDuty's key of the service");
        if self.format == AlertFormat::PagerDuty && self.routing_key_env.is_none() {
            root.problem(&path("routing_key_env"), "`routing_key_env` is missing: the variable with PagerDuty's key");
        }
        if self.format == AlertFormat::Telegram && self.chat_id.is_none() {
            root.problem(&path("chat_id"), "`chat_id` is missing: the chat that Telegram's bot writes to");
        }
        let body = match &self.body {
            Some(text) => text.parse().map_err(|problem: String| root.problem(&path("body"), problem)).ok(),
            None => Some(Template::of(self.format)),
        };
        let url: Option<WebhookUrl> = match &self.url_env {
            Some(name) => variable(root, &path("url_env"), name, variables, "the target's URL"),
            None if self.format == AlertFormat::PagerDuty => PAGERDUTY_URL.parse().ok(),
            None => {
                root.problem(&path("url_env"), "`url_env` is missing: the variable with the target's URL");
                None
            }
        };
        let name = self.name.unwrap_or_else(|| format!("{:?}", self.format).to_lowercase());
        let (url, body) = (url?, body?);
        Some(AlertTarget {
            name,
            url: url.url,
            shown: url.shown,
            min_severity: self.min_severity,
            body,
            signing_key,
            routing_key,
            chat_id: self.chat_id,
        })
    }
}

impl Watched {
    fn resolve(&mut self, index: &str, root: &Tree, record: &Deployment) {
        let path = |key| ["alerts", "watch", index, key];
        if let Some(name) = &self.market_name {
            self.market = market_id(name, record);
            if self.market.is_none() {
                let names = record.markets.keys().map(String::as_str);
                root.problem(&path("market"), unknown("the record has no market", name, names));
            }
        }
        if !root.is_set(&path("account")) {
            root.problem(&path("account"), "`account` is missing: the account whose health factor is watched");
        }
    }
}

impl FromStr for WebhookUrl {
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
        Ok(Self { url: Secret::unlisted(url.into()), shown })
    }
}
