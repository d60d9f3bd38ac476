//! The configuration: what `keeper.toml` and the environment say, over defaults that suffice for a chain started by
//! `deploy up`.
//!
//! Layers are merged in this order, each over the one before: defaults – `keeper.example.toml`, which is compiled into
//! the keeper, and `chains.toml` –, the deployment record, the file, the environment. Every value keeps its origin.
//! Unknown settings are refused, and all mistakes are reported at once, by file, line and column or by variable. Secrets
//! are never written in the file: it names environment variables or files that hold them.

mod chain;
mod deployment;
mod environment;
mod governance;
mod jobs;
mod network;
mod operations;
mod protocols;
mod rebalance;
mod strategies;
mod tokens;
mod tree;
mod units;
mod vouchers;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use alloy::primitives::B256;
use plimsoll_chain::redaction::scrub;

use self::tree::Tree;
pub use self::{
    chain::{ChainFacts, DataFee, GasSource, TransactionType},
    deployment::{Deployed, Follow},
    governance::Governance,
    jobs::Jobs,
    network::{AlertTarget, Alerts, EndpointSettings, Http, Role, Signers, Watched},
    operations::{Audit, Fees, Log, Postgres, Safety, Store},
    protocols::{Executor, Protocols},
    rebalance::Rebalance,
    strategies::{Guard, Harvest, Liquidate, MarketSettings},
    tokens::{Token, Tokens},
    tree::{Origin, Place, Setting},
    vouchers::{Publisher, Vouchers},
};
use crate::chain::{Followed, GovernanceContracts, Sources};

/// Name of the file that is read when none is named, in the current folder.
const DEFAULT_FILE: &str = "keeper.toml";
/// The defaults, and the manual of every setting.
const EXAMPLE: &str = include_str!("../../../keeper.example.toml");
/// Name of the backstop in a deployment's record: what it covers of bad debt is shown.
const BACKSTOP: &str = "Backstop";
/// Contract that liquidates on other protocols, in a deployment's record.
const EXECUTOR: &str = "Executor";
/// Chain id of a chain that `deploy up` starts.
const LOCAL_CHAIN_ID: u64 = 31_337;

/// Tables of the file.
const SECTIONS: [&str; 21] = [
    "deployment",
    "chain",
    "endpoints",
    "signers",
    "tokens",
    "liquidate",
    "guard",
    "harvest",
    "rebalance",
    "governance",
    "jobs",
    "vouchers",
    "protocols",
    "executor",
    "fees",
    "safety",
    "store",
    "audit",
    "http",
    "alerts",
    "log",
];

/// Settings that have another name since the last version: their table, the old and the new name. Old names are accepted
/// with a warning, in this version only.
const RENAMED: [(&[&str], &str, &str); 15] = [
    (&["chain"], "final_after", "finality_depth"),
    (&["tokens", "*"], "over", "quote_feeds"),
    (&["tokens", "*"], "average_over", "twap_window"),
    (&["liquidate"], "slack", "max_slippage"),
    (&["liquidate", "markets", "*"], "largest_repay", "max_repay"),
    (&["harvest"], "longest_wait", "max_wait"),
    (&["harvest"], "largest_batch", "max_batch"),
    (&["harvest"], "own", "own_rewards"),
    (&["harvest"], "own_every", "own_rewards_every"),
    (&["fees"], "least_tip", "min_priority_fee"),
    (&["fees"], "highest_price", "max_gas_price"),
    (&["fees"], "profit_share", "bid_share"),
    (&["safety"], "minimum_balance", "min_balance"),
    (&["safety"], "most_pending", "max_pending"),
    (&["store"], "keep", "retention"),
];

/// Environment variables by name.
type Variables = BTreeMap<String, String>;

/// The whole configuration of a keeper.
#[derive(Debug)]
pub struct Config {
    /// Deployment that it serves, if any, and the chain.
    pub deployed: Deployed,
    /// Facts about the chain.
    pub chain: ChainFacts,
    /// Nodes that the keeper reads from and sends to, with their roles.
    pub endpoints: Vec<EndpointSettings>,
    /// Where the signing keys for liquidations and harvests come from.
    pub signers: Signers,
    /// Tokens and their valuation.
    pub tokens: Tokens,
    /// Which markets are liquidated, by which route and with which margin.
    pub liquidate: Liquidate,
    /// Whether borrowers' orders are executed, and with which margin.
    pub guard: Guard,
    /// Whether rewards are harvested, and with which margin and batch size.
    pub harvest: Harvest,
    /// Which vaults are followed and rebalanced, and on which terms.
    pub rebalance: Rebalance,
    /// Whether what governance schedules is followed, and executed when it is due.
    pub governance: Governance,
    /// Whether jobs of nodes are followed and brought on, and which nodes' emission is claimed.
    pub jobs: Jobs,
    /// Services whose published vouchers are claimed.
    pub vouchers: Vouchers,
    /// Other protocols whose positions are liquidated, and how.
    pub protocols: Protocols,
    /// Limits of gas prices.
    pub fees: Fees,
    /// Limits at which sending stops.
    pub safety: Safety,
    /// Folder of the journal and the checkpoint, and how long settled transactions are kept.
    pub store: Store,
    /// How often the book is compared with the chain.
    pub audit: Audit,
    /// Settings of dashboard, API and metrics.
    pub http: Http,
    /// Webhook, thresholds and watched accounts of alerts.
    pub alerts: Alerts,
    /// Format of log lines.
    pub log: Log,
    /// Every setting in effect, for display.
    pub settings: Vec<Setting>,
    /// Settings with an old name, one line each.
    pub warnings: Vec<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}; {}", .path.display(), remedy(.source))]
    Io {
        /// Path of the configuration file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// Settings are wrong: one line for each problem, with its place and the remedy.
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::InvalidData => "save the file as UTF-8 text",
        _ => "keeper.example.toml is one to begin with",
    }
}

/// Reads the named configuration file; without a name, `keeper.toml` in the current folder, or nothing if there is none.
/// Returns its path and text. Fails if the file cannot be read.
pub fn read_file(named: Option<&Path>) -> Result<(PathBuf, String), ConfigError> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE)).to_path_buf();
    match fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok((path, String::new())),
        Err(source) => Err(ConfigError::Io { path, source }),
    }
}

impl Config {
    /// Reads the text of a file, and environment variables over it. Relative paths start at the folder of `path`. Fails
    /// with every mistake in either.
    pub fn parse(path: &Path, text: &str, variables: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        // Windows editors begin UTF-8 with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let name = path.display().to_string().into();
        let mut warnings = Vec::new();
        let mut root = Tree::parse(EXAMPLE, &|_| Origin::Default);
        let mut file = Tree::parse(text, &|at| Origin::File(Place::new(&name, text, at)));
        accept_old_names(&mut file, &mut warnings);
        root.merge(file);
        environment::merge(&mut root, variables, |layer| accept_old_names(layer, &mut warnings));
        let config = Self::read(&mut root, path.parent().unwrap_or(Path::new("")), variables);
        let problems: Vec<_> = root.problems(path).iter().map(|line| scrub(line).into_owned()).collect();
        match config {
            Some(config) if problems.is_empty() => Ok(Self { settings: root.settings(""), warnings, ..config }),
            _ => Err(ConfigError::Wrong(problems)),
        }
    }

    /// The name of a market, staking programme or vault, or of a protocol whose positions are in no markets; see
    /// [`Deployed::name_of`].
    #[must_use]
    pub fn name_of(&self, id: B256) -> String {
        let protocol = self.protocols.deployments.iter().find(|known| known.address.into_word() == id);
        protocol.map_or_else(|| self.deployed.name_of(id), |known| self.protocols.place(known.address, id))
    }

    /// What depends on the deployment – names, defaults – is read only if there is one.
    fn read(root: &mut Tree, folder: &Path, variables: &Variables) -> Option<Self> {
        root.allow(&SECTIONS);
        ChainFacts::add_defaults(root);
        let (guard, harvest) = (root.read("guard"), root.read("harvest"));
        let (audit, log) = (root.read("audit"), root.read("log"));
        // For its mistakes; its values follow from the chain.
        root.read::<Fees>("fees");
        let (store, safety) = (Store::read(root, folder, variables), Safety::read(root, folder));
        let (deployed, record) = Deployed::read(root, folder)?;
        let origin =
            deployed.record.as_ref().map_or(Origin::Default, |path| Origin::Record(path.display().to_string()));
        let chain = ChainFacts::read(root, deployed.chain_id)?;
        let fees = root.read("fees");
        let endpoints = EndpointSettings::read(root, &chain, variables);
        let signers = Signers::read(root, &chain, folder);
        let tokens = Tokens::read(root, &record, &origin, &chain);
        let liquidate = Liquidate::read(root, &record, &origin, &tokens);
        let rebalance = Rebalance::read(root, &record);
        let governance = Governance::read(root, &record);
        let jobs = Jobs::read(root, &record);
        let vouchers = Vouchers::read(root);
        let executor = record.only(EXECUTOR).map(|found| (found.address, &origin));
        let protocols = Protocols::read(root, executor, &tokens, &chain);
        let http = Http::read(root, &chain);
        let alerts = Alerts::read(root, &record, safety.as_ref()?, http.as_ref()?, variables);
        Some(Self {
            deployed,
            chain,
            endpoints,
            signers: signers?,
            tokens,
            liquidate: liquidate?,
            guard: guard?,
            harvest: harvest?,
            rebalance: rebalance?,
            governance: governance?,
            jobs: jobs?,
            vouchers: vouchers?,
            protocols: protocols?,
            fees: fees?,
            safety: safety?,
            store: store?,
            audit: audit?,
            http: http?,
            alerts: alerts?,
            log: log?,
            settings: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// Contracts, markets, staking programmes, backstops, vaults, the guard and governance whose events the keeper follows.
    #[must_use]
    pub fn sources(&self) -> Sources {
        let Deployed { core, rewards, guard, follow, ref programme_names, ref contracts, .. } = self.deployed;
        let markets = self.liquidate.markets.keys().map(|id| id.0);
        let backstops = contracts.values().filter(|found| found.contract == BACKSTOP);
        let backstops = backstops.map(|found| found.address.into_word());
        let vaults: BTreeSet<_> = self.rebalance.vaults.values().copied().collect();
        let vault_words = vaults.iter().map(|vault| vault.into_word());
        let governance = self.governance.contracts.clone();
        let governed: Vec<_> =
            governance.iter().flat_map(GovernanceContracts::addresses).map(|address| address.into_word()).collect();
        let nodes = self.jobs.contracts;
        let jobs = nodes.map(|nodes| nodes.jobs.into_word());
        let followed = match follow {
            Follow::Configured => {
                let guard = guard.map(|guard| guard.into_word());
                let others = backstops.chain(guard).chain(vault_words).chain(governed).chain(jobs);
                Followed::only(markets.chain(programme_names.keys().copied()).chain(others))
            }
            Follow::All if core.is_zero() => Followed::only([]),
            Follow::All => Followed::All,
        };
        Sources { guard, vaults, governance, nodes, followed, ..Sources::all(core, rewards) }
    }

    /// Logs a warning for every setting with an old name.
    pub fn log_warnings(&self) {
        for warning in &self.warnings {
            tracing::warn!(%warning, "renamed setting");
        }
    }
}

/// Gives settings with old names their new ones.
fn accept_old_names(layer: &mut Tree, warnings: &mut Vec<String>) {
    for (table, old, new) in RENAMED {
        let places: Vec<_> = layer.all(table).into_iter().filter_map(|table| table.rename(old, new)).collect();
        let warning = |place| format!("{place}: `{old}` is now `{new}`; the next version will not know the old name");
        warnings.extend(places.into_iter().map(warning));
    }
}
