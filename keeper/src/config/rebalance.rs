//! Vaults that the keeper rebalances, and on which terms: `[rebalance]`.

use std::{collections::BTreeMap, time::Duration};

use alloy::primitives::{Address, U256};
use plimsoll_contracts::{deployment::Deployment, quantity::Reference};
use serde::Deserialize;

use super::{
    deployment::vaults,
    tree::{Tree, unknown},
    units,
};
use crate::strategies::rebalance::Limits;

/// Terms on which vaults are rebalanced.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rebalance {
    /// Whether the keeper rebalances at all. Vaults are followed in any case.
    pub enabled: bool,
    /// By how much the depositors' gain within the horizon must exceed the gas cost, in basis points of that.
    #[serde(rename = "min_margin", deserialize_with = "units::percent")]
    pub min_margin_bps: u32,
    /// Time over which a better rate is taken to last.
    #[serde(deserialize_with = "units::time")]
    pub horizon: Duration,
    /// Difference of supply rates below which nothing is moved, in basis points a year.
    #[serde(rename = "dead_band", deserialize_with = "units::basis_points")]
    pub dead_band_bps: u16,
    #[serde(rename = "max_utilisation", deserialize_with = "units::basis_points")]
    max_utilisation_bps: u16,
    #[serde(rename = "min_idle", deserialize_with = "units::basis_points")]
    min_idle_bps: u16,
    #[serde(rename = "flee_utilisation", deserialize_with = "units::basis_points")]
    flee_utilisation_bps: u16,
    #[serde(rename = "flee_distance", deserialize_with = "units::basis_points")]
    flee_distance_bps: u16,
    #[serde(rename = "flee_debt", deserialize_with = "units::basis_points")]
    flee_debt_bps: u16,
    /// Most that is spent on one vault within a UTC day, in wei.
    #[serde(deserialize_with = "units::wad")]
    pub budget_per_day: U256,
    /// Time between two runs.
    #[serde(deserialize_with = "units::time")]
    pub interval: Duration,
    #[serde(rename = "vaults")]
    named: Option<Vec<String>>,
    /// Vaults by name, or by address where the record has none.
    #[serde(skip)]
    pub vaults: BTreeMap<String, Address>,
}

impl Rebalance {
    /// Reads `[rebalance]`: the vaults that it names, or those of the record.
    pub(super) fn read(root: &Tree, record: &Deployment) -> Option<Self> {
        let mut rebalance: Self = root.read("rebalance")?;
        let problem = |key, message: String| root.problem(&["rebalance", key], message);
        if rebalance.max_utilisation_bps == 0 {
            problem("max_utilisation", "no market is used that little: write \"92%\"".to_owned());
        }
        if rebalance.flee_utilisation_bps < rebalance.max_utilisation_bps {
            let message = "a market would be left at a utilisation that is allowed: raise it to `max_utilisation`";
            problem("flee_utilisation", message.to_owned());
        }
        let known: BTreeMap<_, _> = vaults(record).collect();
        rebalance.vaults = match rebalance.named.take() {
            None => known.into_iter().map(|(name, address)| (name.to_owned(), address)).collect(),
            Some(named) => {
                let resolve = |text: String| match text.parse::<Reference>() {
                    Ok(Reference::Address(address)) => Some((text, address)),
                    _ => known.get(text.as_str()).map(|address| (text.clone(), *address)).or_else(|| {
                        problem("vaults", unknown("the record has no vault", &text, known.keys().copied()));
                        None
                    }),
                };
                named.into_iter().filter_map(resolve).collect()
            }
        };
        Some(rebalance)
    }

    /// How the assets of a vault may be spread.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        let Self { max_utilisation_bps, min_idle_bps, flee_utilisation_bps, flee_distance_bps, flee_debt_bps, .. } =
            *self;
        Limits { max_utilisation_bps, min_idle_bps, flee_utilisation_bps, flee_distance_bps, flee_debt_bps }
    }
}
