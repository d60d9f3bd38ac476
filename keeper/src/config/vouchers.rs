//! Services whose published vouchers are claimed: `[vouchers]`.

use std::time::Duration;

use alloy::primitives::{Address, U256};
use serde::Deserialize;

use super::{tree::Tree, units};

/// Most services that are asked.
const MAX_PUBLISHERS: usize = 64;

/// Terms on which published vouchers are claimed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vouchers {
    /// The services.
    pub publishers: Vec<Publisher>,
    /// The contract of their channels.
    #[serde(deserialize_with = "units::address")]
    pub channels: Address,
    /// Time between two requests to a service.
    #[serde(deserialize_with = "units::time")]
    pub every: Duration,
    /// By how much a tip must exceed the gas cost, in basis points of that.
    #[serde(rename = "min_margin", deserialize_with = "units::percent")]
    pub min_margin_bps: u32,
    /// Most that is spent on one jar within a UTC day, in wei.
    #[serde(deserialize_with = "units::wad")]
    pub budget_per_day: U256,
}

/// A service that publishes its vouchers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publisher {
    /// Where it is asked.
    #[serde(deserialize_with = "units::web_address")]
    pub url: String,
    /// Its `TipJar`.
    #[serde(deserialize_with = "units::address")]
    pub jar: Address,
}

impl Vouchers {
    /// Reads `[vouchers]`.
    pub(super) fn read(root: &Tree) -> Option<Self> {
        let vouchers: Self = root.read("vouchers")?;
        if vouchers.publishers.len() > MAX_PUBLISHERS {
            let count = vouchers.publishers.len();
            root.problem(&["vouchers", "publishers"], format!("{count} services: name at most {MAX_PUBLISHERS}"));
        }
        if vouchers.every.is_zero() {
            root.problem(&["vouchers", "every"], "services would be asked without a pause: write \"10 minutes\"");
        }
        Some(vouchers)
    }
}
