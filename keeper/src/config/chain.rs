//! Facts about a chain. Chains differ by data: entries for known ones are in `chains.toml`, and `[chain]` overrides any
//! of their values.

use std::time::Duration;

use alloy::primitives::Address;
use serde::Deserialize;

use crate::strategies::bids::Ordering;

use super::{
    tree::{Origin, Tree},
    units,
};

/// Entries by chain id, and defaults for all of them.
const CHAINS: &str = include_str!("chains.toml");

/// Facts about a chain, which are settings of `[chain]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainFacts {
    /// Chain id.
    #[serde(skip)]
    pub id: u64,
    /// Display name.
    pub name: String,
    /// Symbol of the native currency, which gas is paid in.
    pub coin: String,
    /// Token that wraps the native currency.
    #[serde(default, deserialize_with = "units::address")]
    pub wrapped_coin: Option<Address>,
    /// Address of a block explorer, to which the dashboard links; none of a chain without one.
    #[serde(default, deserialize_with = "units::web_address")]
    pub explorer: Option<String>,
    /// Time between two blocks.
    #[serde(deserialize_with = "units::time")]
    pub block_time: Duration,
    /// Number of blocks on top of a block after which it is final: no reorg removes it any more.
    pub finality_depth: u64,
    /// Maximum gas of one transaction.
    pub transaction_gas_cap: u64,
    /// Maximum share of a block's gas that one of the keeper's transactions may use, in basis points.
    #[serde(rename = "block_gas_share", deserialize_with = "units::basis_points")]
    pub block_gas_share_bps: u16,
    /// Kind of transactions that the keeper sends.
    pub transaction_type: TransactionType,
    /// How transactions are ordered within a block.
    pub ordering: Ordering,
    /// Source of gas estimates.
    pub gas: GasSource,
    /// Fee that the chain charges besides gas.
    pub data_fee: DataFee,
}

/// Kind of transactions that the keeper sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransactionType {
    /// EIP-1559: a maximum fee and a priority fee per gas.
    Eip1559,
    /// Legacy: one gas price.
    Legacy,
}

/// Source of gas estimates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GasSource {
    /// The measured gas of a transaction's parts.
    Table,
    /// The node's own estimate.
    Estimate,
}

/// Fee that a chain charges besides gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataFee {
    /// No such fee.
    None,
    /// The OP Stack's fee for a transaction's bytes on layer 1, by the chain's gas price oracle.
    OpStack,
}

impl ChainFacts {
    /// Adds the defaults of all chains to the settings.
    pub(super) fn add_defaults(root: &mut Tree) {
        add_entry(root, "defaults");
    }

    /// Returns what is known about the chain `id`, where there are no settings.
    #[must_use]
    pub fn known(id: u64) -> Option<Self> {
        let mut root = Tree::parse("", &|_| Origin::Default);
        Self::add_defaults(&mut root);
        Self::read(&mut root, id)
    }

    /// Reads `[chain]` over what is known about the chain `id`, and adds its other defaults to the settings.
    pub(super) fn read(root: &mut Tree, id: u64) -> Option<Self> {
        root.add(&Origin::Default, &format!("chain.name = \"chain {id}\""));
        add_entry(root, &id.to_string());
        root.read("chain").map(|facts| Self { id, ..facts })
    }
}

/// Adds the entry of `chains.toml` with this name, if there is one.
fn add_entry(root: &mut Tree, name: &str) {
    let entry = Tree::parse(CHAINS, &|_| Origin::Default).take(name);
    entry.into_iter().for_each(|entry| root.merge(entry));
}
