//! The configuration: what `keeper.toml` and the environment say, over defaults that suffice for a chain started by
//! `deploy up`.
//!
//! `keeper.example.toml` explains every setting. Keys that are not known are refused, and everything that is wrong is
//! told at once, by file, line and column or by variable. Secrets are never written in the file: it names environment
//! variables or files that hold them.

mod chain;
mod deployment;
mod environment;
mod outward;
mod reader;
mod tokens;
mod values;
mod work;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use plimsoll_chain::{redaction::scrub, signer::SignerSource};

pub use self::{
    chain::{ChainFacts, DataFee, GasSource, TransactionType},
    deployment::{Deployed, DeployedCode, short},
    outward::{Alerts, Audit, EndpointSettings, Fees, Http, Log, Role, Safety, Store, Watched, Webhook},
    reader::{Origin, Setting},
    tokens::{Hop, Token, Tokens, Valuation},
    work::{Harvest, Liquidate, MarketSettings, OwnRewards, Route},
};
use self::{
    environment::Override,
    reader::{Reading, Section},
};

/// The id of a chain that `deploy up` starts.
const LOCAL_CHAIN_ID: u64 = 31_337;
/// The file when none is named, in the current folder.
pub const DEFAULT_FILE: &str = "keeper.toml";

/// Headings of the file.
const SECTIONS: [&str; 14] = [
    "deployment",
    "chain",
    "endpoints",
    "signers",
    "tokens",
    "liquidate",
    "harvest",
    "fees",
    "store",
    "safety",
    "audit",
    "http",
    "alerts",
    "log",
];

/// Everything that can be said to the keeper.
#[derive(Debug)]
pub struct Config {
    /// Which deployment.
    pub deployed: Deployed,
    /// What is particular about its chain.
    pub chain: ChainFacts,
    /// The nodes.
    pub endpoints: Vec<EndpointSettings>,
    /// Who signs.
    pub signers: Signers,
    /// What tokens are worth.
    pub tokens: Tokens,
    /// How loans are liquidated.
    pub liquidate: Liquidate,
    /// How rewards are harvested.
    pub harvest: Harvest,
    /// What may be paid for gas.
    pub fees: Fees,
    /// When to stop.
    pub safety: Safety,
    /// Where files are.
    pub store: Store,
    /// How often the book is held against the chain.
    pub audit: Audit,
    /// The page and its like.
    pub http: Http,
    /// Who is told of what.
    pub alerts: Alerts,
    /// What log lines look like.
    pub log: Log,
    /// Every setting as it holds, for people.
    pub settings: Vec<Setting>,
}

/// Who signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signers {
    /// Liquidations; without it the keeper can only look on.
    pub liquidations: Option<SignerSource>,
    /// Harvests; without it the other key signs them, when it has nothing more urgent.
    pub harvests: Option<SignerSource>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}; keeper.example.toml is one to begin with", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// What it says is wrong: one line each, with its place and the remedy.
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
}

impl Config {
    /// Reads a file, the environment over it. Without a file, `keeper.toml` in the current folder if there is one, else
    /// defaults alone.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if file.is_none() && error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ConfigError::Io { path: path.to_path_buf(), source }),
        };
        let variables =
            env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::parse(path, &text, &variables.collect())
    }

    /// [`Config::load`] on a text and on variables; relative paths start at the folder of `path`.
    pub fn parse(path: &Path, text: &str, variables: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let overrides = Override::among(variables, text.len());
        let reading = Reading::new(path, text, &overrides);
        let document = reading.document();
        let root = Section::root(&reading, &document);
        let config = Self::read(&root, path.parent().unwrap_or(Path::new("")), variables);
        root.finish();
        match (config, reading.finish()) {
            (Some(config), Ok(settings)) => Ok(Self { settings, ..config }),
            (_, Err(problems)) => {
                Err(ConfigError::Wrong(problems.iter().map(|line| scrub(line).into_owned()).collect()))
            }
            (None, Ok(_)) => Err(ConfigError::Wrong(vec![format!("{}: no deployment is named", path.display())])),
        }
    }

    /// Without a deployment, from which names and defaults come, only headings are worth reading.
    fn read(root: &Section<'_, '_>, folder: &Path, variables: &BTreeMap<String, String>) -> Option<Self> {
        root.knows(&SECTIONS);
        let deployed = root.section("deployment", |section| Deployed::read(section, folder))?;
        let chain = root.section("chain", |section| ChainFacts::known(deployed.chain_id).said(section));
        let endpoints = EndpointSettings::read(root, &deployed, variables);
        let signers = root.section("signers", |section| Signers::read(section, &deployed, folder));
        let tokens = Tokens::read(root, &deployed.known, &chain);
        let liquidate = root.section("liquidate", |section| Liquidate::read(section, &deployed, &tokens));
        let harvest = root.section("harvest", Harvest::read);
        let fees = root.section("fees", Fees::read);
        let store = root.section("store", |section| Store::read(section, folder));
        let safety = root.section("safety", |section| Safety::read(section, &store, folder));
        let audit = root.section("audit", Audit::read);
        let http = root.section("http", |section| Http::read(section, &chain));
        let alerts = root.section("alerts", |section| Alerts::read(section, &deployed, &safety, &http, variables));
        let log = root.section("log", Log::read);
        Some(Self {
            deployed,
            chain,
            endpoints,
            signers,
            tokens,
            liquidate,
            harvest,
            fees,
            safety,
            store,
            audit,
            http,
            alerts,
            log,
            settings: Vec::new(),
        })
    }
}

impl Signers {
    fn read(section: &Section<'_, '_>, deployed: &Deployed, folder: &Path) -> Self {
        // On a chain of one's own, two accounts that nothing else uses.
        let is_local = deployed.chain_id == LOCAL_CHAIN_ID;
        let anvil = |number| is_local.then_some(SignerSource::Anvil(number));
        let absent = |name: &str, other: &str| if is_local { name.to_owned() } else { other.to_owned() };
        let liquidations = section.signer("liquidations", &absent("anvil 8", "none: the keeper only looks on"), folder);
        let harvests = section.signer("harvests", &absent("anvil 9", "that of liquidations"), folder);
        // Whoever says one key means that one alone.
        let alone = liquidations.is_some();
        Self {
            liquidations: liquidations.or_else(|| anvil(8)),
            harvests: harvests.or_else(|| anvil(9).filter(|_| !alone)),
        }
    }
}
