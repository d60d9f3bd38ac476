//! What tokens are worth in the chain's native currency: as `[tokens]` says, else as follows from the record.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use alloy::primitives::{Address, U256};
use plimsoll_contracts::{
    deployment::{Deployment, PoolRecord},
    quantity::Reference,
};
use serde::Deserialize;
use toml::Value;

use super::{
    chain::ChainFacts,
    tree::{Origin, Tree, unknown},
    units,
};
use crate::prices::{PoolHop, Source};

/// A token that the keeper may have to value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Display name.
    pub name: String,
    /// Address of its contract.
    pub address: Address,
    /// Number of its decimals.
    pub decimals: u8,
    /// Source of its value in the native currency; without one, nothing that pays in the token is done.
    pub valuation: Option<Source>,
}

/// Window of the average price of pools by which a token is valued that the record has no feed for.
const DERIVED_TWAP_WINDOW: &str = "30 minutes";

/// All tokens that have a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokens {
    by_address: BTreeMap<Address, Token>,
    wrapped_coin: Option<Address>,
}

/// An entry of `[tokens]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default, deserialize_with = "units::address")]
    address: Option<Address>,
    decimals: Option<u8>,
    #[serde(default, deserialize_with = "units::wad")]
    rate: Option<U256>,
    feeds: Option<Vec<String>>,
    quote_feeds: Option<Vec<String>>,
    #[serde(deserialize_with = "units::time")]
    max_age: Duration,
    pools: Option<Vec<String>>,
    #[serde(default, deserialize_with = "units::time")]
    twap_window: Option<Duration>,
    #[serde(default)]
    spot: bool,
}

impl Tokens {
    /// The token at an address.
    #[must_use]
    pub fn get(&self, address: Address) -> Option<&Token> {
        self.by_address.get(&address)
    }

    /// The token that wraps the native coin, if it is known.
    #[must_use]
    pub const fn wrapped_coin(&self) -> Option<Address> {
        self.wrapped_coin
    }

    /// All tokens in the order of their addresses.
    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.by_address.values()
    }

    /// The source of each token's value, for tokens that have one.
    #[must_use]
    pub fn sources(&self) -> BTreeMap<Address, Source> {
        self.iter().filter_map(|token| Some((token.address, token.valuation.clone()?))).collect()
    }

    /// The name of a token, or its address if it has none.
    #[must_use]
    pub fn name(&self, address: Address) -> String {
        self.get(address).map_or_else(|| address.to_string(), |token| token.name.clone())
    }

    /// The address of a token that is written as its name or as an address.
    pub(super) fn address(&self, text: &str) -> Result<Address, String> {
        let named = |name: &str| self.iter().find(|token| token.name == name).map(|token| token.address);
        resolved(text, "token", named, self.iter().map(|token| token.name.as_str()))
    }

    /// Reads `[tokens]` over the values of `record`, which get this origin.
    pub(super) fn read(root: &mut Tree, record: &Deployment, origin: &Origin, chain: &ChainFacts) -> Self {
        for (name, token) in &record.tokens {
            let (name, address, decimals) = (Value::from(name.as_str()), token.address, token.decimals);
            root.add(origin, &format!("[tokens.{name}]\naddress = \"{address}\"\ndecimals = {decimals}"));
        }
        for entry in root.all(&["tokens", "*"]) {
            entry.add(&Origin::Default, "max_age = \"2 days\"");
        }
        let wrapped = chain.wrapped_coin.or_else(|| Some(record.tokens.get(&format!("W{}", chain.coin))?.address));
        for (name, entry) in root.read::<BTreeMap<String, Entry>>("tokens").unwrap_or_default() {
            let is_valued = entry.rate.is_some()
                || [&entry.feeds, &entry.quote_feeds, &entry.pools].iter().any(|said| said.is_some());
            if let Some(address) = entry.address.filter(|_| !is_valued) {
                let derived = derived(&name, address, record, chain, wrapped);
                root.all(&["tokens", &name]).into_iter().for_each(|entry| entry.add(origin, &derived));
            }
        }
        let entries: BTreeMap<String, Entry> = root.read("tokens").unwrap_or_default();
        // The operator's entry takes the place of one of the record at the same address.
        let (set, recorded): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(name, _)| root.is_set(&["tokens", name]));
        let tokens = recorded.into_iter().chain(set).filter_map(|(name, entry)| entry.token(name, root, record));
        Self { by_address: tokens.map(|token| (token.address, token)).collect(), wrapped_coin: wrapped }
    }
}

impl Entry {
    fn token(self, name: String, root: &Tree, record: &Deployment) -> Option<Token> {
        let path = ["tokens", name.as_str()];
        if [self.rate.is_some(), self.feeds.is_some(), self.pools.is_some()].iter().filter(|said| **said).count() > 1 {
            root.problem(&path, "a token is valued in one way: by its `rate`, by `feeds` or by `pools`");
        }
        if self.quote_feeds.is_some() && self.feeds.is_none() {
            root.problem(&["tokens", &name, "quote_feeds"], "`quote_feeds` divide what `feeds` say: name those, too");
        }
        let (Some(address), Some(decimals)) = (self.address, self.decimals) else {
            root.problem(&path, format!("the record has no token {name}: say its `address` and its `decimals`"));
            return None;
        };
        let feeds = |key, names: Option<Vec<String>>| {
            let feed = |name: &str| record.feeds.get(name).copied();
            each(root, &["tokens", &name, key], &names.unwrap_or_default(), |text| {
                resolved(text, "feed", feed, record.feeds.keys().map(String::as_str))
            })
        };
        let valuation = if let Some(rate) = self.rate {
            Source::fixed(rate, decimals)
        } else if self.feeds.is_some() {
            let (base, quote) = (feeds("feeds", self.feeds), feeds("quote_feeds", self.quote_feeds));
            Some(Source::Feeds { base, quote, decimals, max_age_secs: self.max_age.as_secs() })
        } else {
            let window_secs = self.twap_window.and_then(|window| u32::try_from(window.as_secs()).ok());
            if self.pools.is_some() && self.spot == window_secs.is_some() {
                root.problem(
                    &["tokens", &name, "pools"],
                    "say over which time the pools' prices are averaged, `twap_window = \"30 minutes\"`, or `spot = true` \
                     for the price of one moment, which anybody can move for a moment",
                );
            }
            let mut token_in = address;
            let hop = |name: &str| {
                let pool = record
                    .pools
                    .get(name)
                    .ok_or_else(|| unknown("the record has no pool", name, record.pools.keys().map(String::as_str)))?;
                let token_out = other_token(pool, token_in)
                    .ok_or_else(|| format!("the pool {name} does not have the token that is to be swapped"))?;
                let token_in = std::mem::replace(&mut token_in, token_out);
                Ok(PoolHop { pool: pool.address, token_in, token_out, window_secs })
            };
            self.pools.map(|pools| Source::Pools(each(root, &["tokens", &name, "pools"], &pools, hop)))
        };
        Some(Token { name, address, decimals, valuation })
    }
}

/// What every item of a list stands for, as far as it stands for something.
fn each<T>(root: &Tree, path: &[&str], items: &[String], mut find: impl FnMut(&str) -> Result<T, String>) -> Vec<T> {
    let found = |(index, text): (usize, &String)| {
        find(text).map_err(|problem| root.problem(&[path, &[&index.to_string()]].concat(), problem)).ok()
    };
    items.iter().enumerate().filter_map(found).collect()
}

/// The address that a text means: an address, or the name of something of this kind.
pub(super) fn resolved<'n>(
    text: &str,
    kind: &str,
    named: impl FnOnce(&str) -> Option<Address>,
    known: impl IntoIterator<Item = &'n str>,
) -> Result<Address, String> {
    match text.parse()? {
        Reference::Address(address) => Ok(address),
        Reference::Name(name) => {
            named(&name).ok_or_else(|| unknown(&format!("the record has no {kind}"), &name, known))
        }
    }
}

/// The valuation that follows from names in the record, as TOML: the wrapped native currency is worth 1; other tokens have
/// feeds by their names, else pools that lead to it, at their average price: the price of one moment is anybody's to set.
fn derived(name: &str, token: Address, record: &Deployment, chain: &ChainFacts, wrapped: Option<Address>) -> String {
    if Some(token) == wrapped {
        return "rate = \"1\"".to_owned();
    }
    let (name, coin) = (name.to_lowercase(), chain.coin.to_lowercase());
    let has_feed = |feed: &str| record.feeds.contains_key(feed);
    let [direct, in_usd, coin_in_usd] = [format!("{name}-{coin}"), format!("{name}-usd"), format!("{coin}-usd")];
    if has_feed(&direct) {
        return format!("feeds = [{}]", Value::from(direct));
    }
    if has_feed(&in_usd) && has_feed(&coin_in_usd) {
        return format!("feeds = [{}]\nquote_feeds = [{}]", Value::from(in_usd), Value::from(coin_in_usd));
    }
    let pools = wrapped.and_then(|wrapped| shortest(record, token, wrapped)).unwrap_or_default();
    if pools.is_empty() {
        return String::new();
    }
    format!("pools = {}\ntwap_window = \"{DERIVED_TWAP_WINDOW}\"", Value::from(pools))
}

/// The names of the fewest pools that lead from one token to another, the ones with the lowest fees first.
pub(super) fn shortest(record: &Deployment, from: Address, to: Address) -> Option<Vec<&str>> {
    let mut pools: Vec<_> = record.pools.iter().collect();
    pools.sort_by_key(|(_, pool)| (pool.fee, pool.address));
    let mut seen = BTreeSet::from([from]);
    let mut ways = VecDeque::from([(from, Vec::new())]);
    while let Some((token, way)) = ways.pop_front() {
        if token == to {
            return Some(way);
        }
        for (name, pool) in &pools {
            if let Some(next) = other_token(pool, token).filter(|next| seen.insert(*next)) {
                ways.push_back((next, [&way[..], &[name.as_str()]].concat()));
            }
        }
    }
    None
}

/// The token that comes out of a pool for `token`; `None` if it does not have that one.
pub(super) fn other_token(pool: &PoolRecord, token: Address) -> Option<Address> {
    match (token == pool.token0, token == pool.token1) {
        (true, _) => Some(pool.token1),
        (_, true) => Some(pool.token0),
        _ => None,
    }
}
