//! Other protocols whose positions are liquidated, and the contract that does it: `[[protocols]]` and `[executor]`.

use alloy::primitives::{Address, B256};
use plimsoll_contracts::quantity::Decimal;
use plimsoll_protocols::{Deployment, ProtocolKind, known_deployments_on};
use serde::Deserialize;

use super::{
    chain::ChainFacts,
    deployment::short,
    tokens::Tokens,
    tree::{Origin, Tree},
    units,
};

/// The other protocols, and how their positions are liquidated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Protocols {
    /// The protocols that are followed.
    pub deployments: Vec<Deployment>,
    /// The contract that liquidates; `None` where no protocol is followed.
    pub executor: Option<Executor>,
}

/// The contract that liquidates on other protocols, and where it may sell collateral.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executor {
    /// Address of the `Executor` contract, which knows its protocols and venues.
    pub address: Address,
    /// Tokens that routes may lead over.
    pub hubs: Vec<Address>,
    /// Keys of pools with concentrated liquidity, which are fees in millionths.
    pub pool_fees: Vec<u32>,
    /// Fees of pairs, in millionths.
    pub pair_fees: Vec<u32>,
}

/// The settings of the executor, `[executor]`, as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExecutorEntry {
    #[serde(default, deserialize_with = "units::address")]
    address: Option<Address>,
    hubs: Option<Vec<String>>,
    pool_fees: Vec<String>,
    pair_fees: Vec<String>,
}

/// An entry of `[[protocols]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kind: Option<ProtocolKind>,
    #[serde(default, deserialize_with = "units::address")]
    address: Option<Address>,
    first_block: Option<u64>,
    #[serde(default, deserialize_with = "units::address")]
    pre_liquidation_factory: Option<Address>,
}

impl Protocols {
    /// Reads `[[protocols]]` and `[executor]`, whose address the record may have.
    pub(super) fn read(
        root: &mut Tree,
        recorded: Option<(Address, &Origin)>,
        tokens: &Tokens,
        chain: &ChainFacts,
    ) -> Option<Self> {
        if let Some((address, origin)) = recorded {
            root.add(origin, &format!("[executor]\naddress = \"{address}\""));
        }
        let executor: ExecutorEntry = root.read("executor")?;
        if !root.is_set(&["protocols"]) {
            return Some(Self::default());
        }
        let entries: Vec<Entry> = root.read("protocols")?;
        let resolved = |(index, entry): (usize, Entry)| {
            entry.resolved(chain.id).map_err(|problem| root.problem(&["protocols", &index.to_string()], problem)).ok()
        };
        let deployments: Vec<_> = entries.into_iter().enumerate().filter_map(resolved).collect();
        let hubs = match &executor.hubs {
            Some(hubs) => {
                let found = hubs.iter().map(|hub| tokens.address(hub)).collect::<Result<Vec<_>, _>>();
                found.map_err(|problem| root.problem(&["executor", "hubs"], problem)).ok()?
            }
            None => tokens.wrapped_coin().into_iter().collect(),
        };
        let Some(address) = executor.address else {
            let problem = "positions of other protocols are liquidated by the contract Executor: say its `address`, or name a \
                           `record` that has it";
            root.problem(&["executor"], problem);
            return None;
        };
        let fees = |key, texts: &[String]| {
            let fees = texts.iter().map(|text| millionths(text)).collect::<Result<Vec<_>, _>>();
            fees.map_err(|problem| root.problem(&["executor", key], problem)).ok()
        };
        let (pool_fees, pair_fees) = (fees("pool_fees", &executor.pool_fees)?, fees("pair_fees", &executor.pair_fees)?);
        Some(Self { deployments, executor: Some(Executor { address, hubs, pool_fees, pair_fees }) })
    }

    /// Returns a name for a market of a protocol.
    #[must_use]
    pub fn place(&self, deployment: Address, market: B256) -> String {
        let known = self.deployments.iter().find(|known| known.address == deployment);
        match known {
            // Of a protocol without markets.
            Some(known) if market == deployment.into_word() => known.protocol.to_string(),
            Some(known) => format!("{} {}", known.protocol, short(market)),
            None => format!("{deployment} {}", short(market)),
        }
    }
}

/// Reads a fee, such as `"0.25%"`, in millionths.
fn millionths(text: &str) -> Result<u32, String> {
    let percent = text.trim().strip_suffix('%').ok_or_else(|| format!("\"{text}\" is no fee: write \"0.25%\""))?;
    percent.trim().parse::<Decimal>()?.scaled_to::<u32>(4, "a fee")
}

impl Entry {
    fn resolved(self, chain_id: u64) -> Result<Deployment, String> {
        let Self { kind, address, first_block, pre_liquidation_factory } = self;
        let protocol = kind.ok_or("say its `kind`: \"morpho-blue\", \"aave-v3\" or \"compound-v2\"")?;
        if protocol != ProtocolKind::MorphoBlue && pre_liquidation_factory.is_some() {
            return Err(format!("{protocol} has no pre-liquidation contracts: leave out `pre_liquidation_factory`"));
        }
        let is_meant = |known: &&Deployment| address.is_none_or(|address| address == known.address);
        let known: Vec<_> = known_deployments_on(protocol, chain_id).filter(is_meant).collect();
        match (&known[..], address) {
            ([known], _) => {
                let first_block = first_block.unwrap_or(known.first_block);
                let pre_liquidation_factory = pre_liquidation_factory.or(known.pre_liquidation_factory);
                Ok(Deployment { first_block, pre_liquidation_factory, ..(*known).clone() })
            }
            ([_, ..], _) => {
                let name = |known: &&Deployment| {
                    format!("{} ({})", known.address, known.name.as_deref().unwrap_or("without a name"))
                };
                let names: Vec<_> = known.iter().map(name).collect();
                Err(format!(
                    "chain {chain_id} has several of {protocol}: say its `address`, one of {}",
                    names.join(", ")
                ))
            }
            ([], Some(address)) => Ok(Deployment {
                protocol,
                chain_id,
                name: None,
                address,
                first_block: first_block.unwrap_or_default(),
                pre_liquidation_factory,
                source: None,
            }),
            ([], None) => Err(format!(
                "no deployment of {protocol} on chain {chain_id} is known: say its `address` and `first_block`"
            )),
        }
    }
}
