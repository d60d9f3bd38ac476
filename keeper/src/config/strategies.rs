//! What the keeper does for profit, and on which terms: `[liquidate]`, `[guard]` and `[harvest]`.

use std::{collections::BTreeMap, time::Duration};

use alloy::primitives::{Address, U256};
use plimsoll_contracts::{
    MarketId,
    deployment::Deployment,
    quantity::{Amount, PoolFee},
};
use serde::Deserialize;
use toml::Value;

use super::{
    tokens::{Tokens, other_token, resolved, shortest},
    tree::{Origin, Tree, unknown},
    units,
};
use crate::strategies::{harvest::OwnRewards, liquidate::SwapRoute};

/// Contract that sells collateral unless a market names another one.
const SWAPPER: &str = "UniswapV3Swapper";

/// Terms on which loans are liquidated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Liquidate {
    /// Whether the keeper liquidates at all.
    pub enabled: bool,
    /// Minimum profit after gas, in basis points of the gas cost.
    #[serde(rename = "min_margin", deserialize_with = "units::percent")]
    pub min_margin_bps: u32,
    /// Part of the expected profit that a liquidation may lose to slippage before it reverts, in basis points.
    #[serde(rename = "max_slippage", deserialize_with = "units::basis_points")]
    pub max_slippage_bps: u16,
    /// Whether profits are exchanged for the wrapped coin in the transactions that make them, where that pays.
    pub profit_in_wrapped_coin: bool,
    /// Account that receives profits, and the collateral of liquidations from inventory; by default the signer.
    #[serde(default, deserialize_with = "units::address")]
    pub receiver: Option<Address>,
    /// Positions with a health factor below this, 1e18 for 1, are shown with what the keeper decides about them.
    #[serde(deserialize_with = "units::wad")]
    pub watch_below: U256,
    #[serde(rename = "markets", default)]
    entries: BTreeMap<String, MarketSettings>,
    /// Markets by id.
    #[serde(skip)]
    pub markets: BTreeMap<MarketId, MarketSettings>,
}

/// Terms on which loans of one market are liquidated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketSettings {
    /// Display name.
    #[serde(skip)]
    pub name: String,
    /// Token that is lent, where the record has the market.
    #[serde(skip)]
    pub loan_token: Option<Address>,
    /// Token that secures loans, where the record has the market.
    #[serde(skip)]
    pub collateral_token: Option<Address>,
    /// Whether the keeper liquidates in this market.
    pub enabled: bool,
    swapper: Option<String>,
    path: Option<Vec<String>>,
    /// Swap that sells the collateral; without one and without inventory, nothing is done.
    #[serde(skip)]
    pub route: Option<SwapRoute>,
    /// The route for display, such as `WETH 0.3% USDC`.
    #[serde(skip)]
    pub route_text: String,
    /// Whether loans may be repaid from the signer's own tokens, which keeps the collateral.
    pub from_inventory: bool,
    #[serde(rename = "max_repay")]
    max_repay_text: Option<String>,
    /// Maximum repayment in one transaction, in units of the loan token.
    #[serde(skip)]
    pub max_repay: Option<U256>,
}

/// Terms on which borrowers' orders at the guard are executed. Markets, routes and slippage are those of liquidations.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// Whether the keeper executes orders at all.
    pub enabled: bool,
    /// Minimum profit after gas, in basis points of the gas cost.
    #[serde(rename = "min_margin", deserialize_with = "units::percent")]
    pub min_margin_bps: u32,
}

/// Terms on which rewards are harvested.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Harvest {
    /// Whether the keeper harvests at all.
    pub enabled: bool,
    /// Minimum profit after gas, in basis points of the gas cost.
    #[serde(rename = "min_margin", deserialize_with = "units::percent")]
    pub min_margin_bps: u32,
    /// Time after which a profitable harvest is sent even if waiting would earn more.
    #[serde(deserialize_with = "units::time")]
    pub max_wait: Duration,
    /// Maximum number of accounts in one transaction.
    pub max_batch: usize,
    /// What happens to rewards of the keeper's own accounts.
    pub own_rewards: OwnRewards,
    /// Time between two claims of own rewards.
    #[serde(deserialize_with = "units::time")]
    pub own_rewards_every: Duration,
}

impl Liquidate {
    /// Reads `[liquidate]` over the values of `record`, which get this origin.
    pub(super) fn read(root: &mut Tree, record: &Deployment, origin: &Origin, tokens: &Tokens) -> Option<Self> {
        for (name, market) in &record.markets {
            for markets in root.all(&["liquidate", "markets"]) {
                markets.rename(&market.id.to_string(), name);
            }
            let path = derived_path(record, tokens, market.collateral_token, market.loan_token);
            let path = path.map(|path| format!("path = {}", Value::from(path))).unwrap_or_default();
            root.add(origin, &format!("[liquidate.markets.{}]\n{path}", Value::from(name.as_str())));
        }
        let swapper = record.only(SWAPPER).map(|found| format!("swapper = \"{}\"", found.address)).unwrap_or_default();
        for market in root.all(&["liquidate", "markets", "*"]) {
            market.add(origin, &swapper);
            market.add(&Origin::Default, "enabled = true\nfrom_inventory = false");
        }
        let mut liquidate: Self = root.read("liquidate")?;
        if liquidate.receiver == Some(Address::ZERO) {
            root.problem(&["liquidate", "receiver"], "the zero address would receive profits, and nobody has its key");
        }
        if liquidate.profit_in_wrapped_coin && tokens.wrapped_coin().is_none() {
            let problem = "the token that wraps the chain's coin is not known: say `wrapped_coin` in [chain]";
            root.problem(&["liquidate", "profit_in_wrapped_coin"], problem);
        }
        let entries = std::mem::take(&mut liquidate.entries);
        liquidate.markets =
            entries.into_iter().filter_map(|(name, entry)| entry.resolved(name, root, record, tokens)).collect();
        Some(liquidate)
    }
}

impl MarketSettings {
    fn resolved(self, name: String, root: &Tree, record: &Deployment, tokens: &Tokens) -> Option<(MarketId, Self)> {
        let path = ["liquidate", "markets", &name];
        let problem = |key, message: String| root.problem(&[&path[..], &[key]].concat(), message);
        let id = market_id(&name, record).or_else(|| {
            let message = unknown("the record has no market", &name, record.markets.keys().map(String::as_str));
            root.problem(&path, format!("{message}; or write a market's id, 0x and 64 hexadecimal digits"));
            None
        });
        let market = record.markets.get(&name);
        let contracts = || record.contracts.keys().filter_map(|name| name.strip_prefix("contracts."));
        let contract = |name: &str| record.address(&format!("contracts.{name}"));
        let swapper = self.swapper.as_deref().and_then(|text| {
            resolved(text, "contract", contract, contracts()).map_err(|message| problem("swapper", message)).ok()
        });
        let is_set = root.is_set(&[&path[..], &["path"]].concat());
        let route = match (&self.path, swapper) {
            (Some(path), Some(swapper)) => {
                route(path, swapper, tokens).map_err(|message| problem("path", message)).ok()
            }
            (Some(_), None) if is_set => {
                problem("path", format!("the record has no {SWAPPER}: say which `swapper` sells"));
                None
            }
            _ => None,
        };
        let max_repay = self.max_repay_text.as_ref().and_then(|text| {
            let decimals = market.and_then(|market| tokens.get(market.loan_token)).map(|token| token.decimals);
            let amount = text.parse::<Amount>().and_then(|amount| {
                let decimals = decimals.ok_or("the loan token's decimals are unknown: name it in [tokens]")?;
                amount.number.scaled_to::<u128>(decimals, "a repayment")
            });
            amount.map(U256::from).map_err(|message| problem("max_repay", message)).ok()
        });
        let (route, route_text) = route.map_or_else(Default::default, |(route, text)| (Some(route), text));
        let loan_token = market.map(|market| market.loan_token);
        let collateral_token = market.map(|market| market.collateral_token);
        Some((id?, Self { name, loan_token, collateral_token, route, route_text, max_repay, ..self }))
    }
}

/// The market that a text means: its name in the record, or its id.
pub(super) fn market_id(text: &str, record: &Deployment) -> Option<MarketId> {
    record.markets.get(text).map(|market| market.id).or_else(|| text.parse().ok()).map(MarketId)
}

/// The path through the record's pools that sells one token for another, as it would be written.
fn derived_path(record: &Deployment, tokens: &Tokens, from: Address, to: Address) -> Option<Vec<String>> {
    let mut token = from;
    let mut path = vec![tokens.name(from)];
    for pool in shortest(record, from, to)?.into_iter().filter_map(|name| record.pools.get(name)) {
        token = other_token(pool, token)?;
        path.extend([PoolFee(pool.fee).to_string(), tokens.name(token)]);
    }
    Some(path)
}

/// A path as it is written, `["WETH", "0.3%", "USDC"]`, as a route and as a text.
fn route(path: &[String], swapper: Address, tokens: &Tokens) -> Result<(SwapRoute, String), String> {
    let (first, steps) = match path {
        [first, steps @ ..] if !steps.is_empty() && steps.len() % 2 == 0 => (first, steps),
        _ => return Err("a path is token, fee, token and so on: [\"WETH\", \"0.3%\", \"USDC\"]".to_owned()),
    };
    let first = tokens.address(first)?;
    let (mut encoded, mut text) = (first.to_vec(), tokens.name(first));
    for step in steps.chunks_exact(2) {
        let (fee, token): (PoolFee, _) = (step[0].parse()?, tokens.address(&step[1])?);
        // Uniswap's own encoding: token, three bytes of fee, token, and so on.
        encoded.extend([&fee.0.to_be_bytes()[1..], token.as_slice()].concat());
        text = format!("{text} {fee} {}", tokens.name(token));
    }
    Ok((
        SwapRoute { swapper, path: encoded.into(), pools: steps.len() / 2, profit_in_collateral: false, spot: None },
        text,
    ))
}
