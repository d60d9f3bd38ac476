//! What is done for profit, and on which terms: `[liquidate]` and `[harvest]`.

use std::{collections::BTreeMap, time::Duration};

use alloy::primitives::{Address, Bytes, U256};
use plimsoll_contracts::{
    MarketId,
    quantity::{Amount, BasisPoints, PoolFee, Reference},
};

use super::{
    deployment::Deployed,
    reader::Section,
    tokens::{Tokens, encoded, shortest, unknown},
    values::{Count, Health, Percent, Text, Time, words},
};

/// Health 1.1, 1e18-scaled.
const WATCH_BELOW: U256 = U256::from_limbs([1_100_000_000_000_000_000, 0, 0, 0]);
/// A day.
const DAY: Duration = Duration::from_secs(86_400);
/// A week.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// How loans are liquidated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liquidate {
    /// Whether they are at all.
    pub enabled: bool,
    /// What must be left after gas, as a part of what the gas costs, in basis points.
    pub min_margin_bps: u32,
    /// How much less than expected a swap may bring, in basis points of the expected profit, before the call reverts.
    pub slack_bps: u16,
    /// Positions below this health, 1e18 for 1, are shown with what is thought of them.
    pub watch_below: U256,
    /// Each market, by its id.
    pub markets: BTreeMap<MarketId, MarketSettings>,
}

/// How loans of one market are liquidated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarketSettings {
    /// For people.
    pub name: String,
    /// Whether they are.
    pub enabled: bool,
    /// How collateral is sold; without it and without inventory nothing is done.
    pub route: Option<Route>,
    /// Whether loans are repaid from what the signer owns, and the collateral is kept.
    pub from_inventory: bool,
    /// The most to repay in one transaction, in units of the loan token.
    pub largest_repay: Option<u128>,
}

/// How collateral is sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// By which adapter.
    pub swapper: Address,
    /// Through which pools, as the adapter takes it.
    pub path: Bytes,
    /// The same for people: `WETH 0.3% USDC`.
    pub text: String,
}

/// How rewards are harvested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Harvest {
    /// Whether they are at all.
    pub enabled: bool,
    /// What must be left after gas, as a part of what the gas costs, in basis points.
    pub min_margin_bps: u32,
    /// After this long, what is worth it is harvested even if waiting would earn more.
    pub longest_wait: Duration,
    /// The most accounts in one transaction.
    pub largest_batch: u64,
    /// What becomes of the rewards of the keeper's own accounts.
    pub own: OwnRewards,
    /// How long own rewards gather.
    pub own_every: Duration,
}

words! {
    /// What becomes of the rewards of the keeper's own accounts.
    OwnRewards {
        /// They stay where they are.
        Leave = "leave",
        /// They are claimed.
        Claim = "claim",
        /// They are claimed, and staked again where that can be.
        Compound = "compound",
    }
}

impl Liquidate {
    pub(super) fn read(section: &Section<'_, '_>, deployed: &Deployed, tokens: &Tokens) -> Self {
        let said = section.named("markets", |name, section| MarketSettings::read(name, section, deployed, tokens));
        let defaults = deployed.known.markets.iter().map(|(name, id, loan, collateral)| {
            let route = derived_route(deployed, tokens, *collateral, *loan);
            let name = name.clone();
            (*id, MarketSettings { name, enabled: true, route, from_inventory: false, largest_repay: None })
        });
        let mut markets: BTreeMap<_, _> = defaults.collect();
        markets.extend(said.into_iter().flatten());
        Self {
            enabled: section.flag("enabled", true),
            min_margin_bps: section.value("min_margin", Percent(1_000)).0,
            slack_bps: section.value("slack", BasisPoints(5_000)).0,
            watch_below: section.value("watch_below", Health(WATCH_BELOW)).0,
            markets,
        }
    }
}

impl MarketSettings {
    fn read(name: &str, section: &Section<'_, '_>, deployed: &Deployed, tokens: &Tokens) -> Option<(MarketId, Self)> {
        let known = deployed.known.markets.iter().find(|(known, ..)| known == name);
        let id = known.map(|(_, id, ..)| *id).or_else(|| name.parse().ok().map(MarketId));
        if id.is_none() {
            let names = deployed.known.markets.iter().map(|(name, ..)| name.as_str());
            section.problem(format!(
                "{}; or write a market's id, 0x and 64 hexadecimal digits",
                unknown("market", name, names)
            ));
        }
        let enabled = section.flag("enabled", true);
        let derived = known.and_then(|(_, _, loan, collateral)| derived_route(deployed, tokens, *collateral, *loan));
        let swapper = section.optional("swapper", "the record's UniswapV3Swapper");
        let swapper = swapper.map_or_else(|| default_swapper(deployed), |said| swapper_at(section, deployed, &said));
        let path = section.list::<Text>("path", derived.as_ref().map_or("none", |route| &route.text));
        let route = match path {
            Some(path) => route_of(section, tokens, swapper, &path),
            None => derived.zip(swapper).map(|(route, swapper)| Route { swapper, ..route }),
        };
        let from_inventory = section.flag("from_inventory", false);
        let largest_repay = section.optional("largest_repay", "no bound").and_then(|Text(text)| {
            let decimals = known.and_then(|(_, _, loan, _)| tokens.get(*loan)).map(|token| token.decimals);
            let amount = text.parse::<Amount>().and_then(|amount| {
                let decimals = decimals.ok_or("the loan token's decimals are unknown: name it in [tokens]")?;
                amount.number.scaled_to(decimals, "a repayment")
            });
            amount.map_err(|problem| section.problem_with("largest_repay", problem)).ok()
        });
        Some((id?, Self { name: name.to_owned(), enabled, route, from_inventory, largest_repay }))
    }
}

impl Harvest {
    pub(super) fn read(section: &Section<'_, '_>) -> Self {
        Self {
            enabled: section.flag("enabled", true),
            min_margin_bps: section.value("min_margin", Percent(1_000)).0,
            longest_wait: section.value("longest_wait", Time(WEEK)).0,
            largest_batch: section.value("largest_batch", Count(100)).0,
            own: section.value("own", OwnRewards::Leave),
            own_every: section.value("own_every", Time(DAY)).0,
        }
    }
}

fn default_swapper(deployed: &Deployed) -> Option<Address> {
    let mut found = deployed.contracts.values().filter(|code| code.contract == "UniswapV3Swapper");
    found.next().filter(|_| found.next().is_none()).map(|code| code.address)
}

fn swapper_at(section: &Section<'_, '_>, deployed: &Deployed, said: &Reference) -> Option<Address> {
    match said {
        Reference::Address(address) => Some(*address),
        Reference::Name(name) => {
            let found = deployed.contracts.get(&format!("contracts.{name}"));
            if found.is_none() {
                let names = deployed.contracts.keys().filter_map(|name| name.strip_prefix("contracts."));
                section.problem_with("swapper", unknown("contract", name, names));
            }
            found.map(|code| code.address)
        }
    }
}

/// Through the record's pools, by its adapter.
fn derived_route(deployed: &Deployed, tokens: &Tokens, from: Address, to: Address) -> Option<Route> {
    let hops = shortest(deployed.known.pools.values(), from, to)?;
    let steps: Vec<_> = hops.iter().map(|hop| (PoolFee(hop.fee), hop.token_out)).collect();
    Some(route(default_swapper(deployed)?, tokens, from, &steps))
}

fn route(swapper: Address, tokens: &Tokens, from: Address, steps: &[(PoolFee, Address)]) -> Route {
    let text =
        steps.iter().fold(tokens.name(from), |text, (fee, token)| format!("{text} {fee} {}", tokens.name(*token)));
    Route { swapper, path: encoded(from, steps), text }
}

/// A path as it is written: `["WETH", "0.3%", "USDC"]`.
fn route_of(
    section: &Section<'_, '_>,
    tokens: &Tokens,
    swapper: Option<Address>,
    path: &[(Text, std::ops::Range<usize>)],
) -> Option<Route> {
    let Some(((Text(first), _), rest)) = path.split_first().filter(|(_, rest)| !rest.is_empty() && rest.len() % 2 == 0)
    else {
        section.problem_with("path", "a path is token, fee, token and so on: [\"WETH\", \"0.3%\", \"USDC\"]");
        return None;
    };
    let read = || -> Result<_, String> {
        let from = tokens.address(&first.parse()?)?;
        let step = |pair: &[(Text, _)]| match pair {
            [(Text(fee), _), (Text(token), _)] => Ok((fee.parse::<PoolFee>()?, tokens.address(&token.parse()?)?)),
            _ => Err(String::new()),
        };
        Ok((from, rest.chunks(2).map(step).collect::<Result<Vec<_>, String>>()?))
    };
    match read() {
        Err(problem) => {
            section.problem_with("path", problem);
            None
        }
        Ok((from, steps)) => {
            if swapper.is_none() {
                section.problem_with("path", "the record has no UniswapV3Swapper: say which `swapper` sells");
            }
            Some(route(swapper?, tokens, from, &steps))
        }
    }
}
