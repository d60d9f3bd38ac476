//! Which deployment is looked after: the record that `deploy` wrote, or addresses one by one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use alloy::primitives::{Address, B256};
use plimsoll_contracts::{
    MarketId,
    deployment::{Deployment, PoolRecord},
    quantity::Reference,
};

use super::{
    reader::Section,
    values::{Count, Hash, Text},
};
use crate::chain::Sources;

/// Where `deploy up` leaves its record.
const LOCAL_RECORD: &str = "target/deployments/31337.json";

/// What is looked after, and what is known of its surroundings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// The record, if there is one.
    pub record: Option<PathBuf>,
    /// For people.
    pub network: String,
    /// The chain.
    pub chain_id: u64,
    /// The hash of its block 0; asked of the node where nobody says it.
    pub genesis: Option<B256>,
    /// The lending core.
    pub core: Address,
    /// The staking programmes.
    pub rewards: Option<Address>,
    /// What reads many prices in one call.
    pub lens: Address,
    /// What liquidates without capital.
    pub liquidator: Option<Address>,
    /// Where events begin.
    pub first_block: u64,
    /// Every contract of the record with the hash of its code, by its name there.
    pub contracts: BTreeMap<String, DeployedCode>,
    /// Names of markets.
    pub market_names: BTreeMap<MarketId, String>,
    /// Names of staking programmes.
    pub programme_names: BTreeMap<B256, String>,
    pub(super) known: Known,
}

/// A contract of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployedCode {
    /// Its name in Solidity.
    pub contract: String,
    /// Where it is.
    pub address: Address,
    /// The keccak256 of its code.
    pub code_hash: B256,
}

/// What of the record other sections refer to by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Known {
    pub(super) tokens: BTreeMap<String, (Address, u8)>,
    pub(super) feeds: BTreeMap<String, Address>,
    pub(super) pools: BTreeMap<String, PoolRecord>,
    /// Name, id, loan token, collateral token.
    pub(super) markets: Vec<(String, MarketId, Address, Address)>,
}

impl Deployed {
    /// Whose events are followed.
    #[must_use]
    pub const fn sources(&self) -> Sources {
        Sources { core: self.core, rewards: self.rewards }
    }

    /// The name of a market, or its id where it has none.
    #[must_use]
    pub fn market_name(&self, id: MarketId) -> String {
        self.market_names.get(&id).cloned().unwrap_or_else(|| short(id.0))
    }

    /// The name of a staking programme, or the beginning of its id.
    #[must_use]
    pub fn programme_name(&self, id: B256) -> String {
        self.programme_names.get(&id).cloned().unwrap_or_else(|| short(id))
    }

    /// Reads the section; `folder` is what a relative path starts from. `None` where a problem was found.
    pub(super) fn read(section: &Section<'_, '_>, folder: &Path) -> Option<Self> {
        let path = section.optional("record", "none, or target/deployments/31337.json where nothing else is said");
        let addresses = ["core", "lens"].into_iter().any(|key| section.says(key));
        let path = path.map(|Text(path)| path).or_else(|| (!addresses).then(|| LOCAL_RECORD.to_owned()));
        let path = path.map(|path| folder.join(path));
        let record = match path.as_deref().map(Deployment::read) {
            None => None,
            Some(Ok(Some(record))) => Some(record),
            Some(Ok(None)) => {
                section.problem_with("record", no_record(path.as_deref().unwrap_or(folder)));
                None
            }
            Some(Err(error)) => {
                section.problem_with("record", error.to_string());
                None
            }
        };
        // What is missing because the record is needs no further words.
        let is_readable = record.is_some() || path.is_none();
        let of_record = record.as_ref();
        let only = |contract| of_record.and_then(|record| record.only(contract)).map(|found| found.address);
        let chain_id =
            section.optional("chain_id", &shown(of_record.map(|record| record.chain_id))).map(|Count(id)| id);
        let genesis =
            section.optional("genesis", &shown(of_record.map(|record| record.genesis))).map(|Hash(hash)| hash);
        let core = address(section, "core", only("Plimsoll"));
        let rewards = address(section, "rewards", only("Rewards"));
        let lens = address(section, "lens", only("Lens"));
        let liquidator = address(section, "liquidator", only("Liquidator"));
        let from = of_record.and_then(Deployment::first_block).unwrap_or_default();
        let Count(first_block) = section.value("first_block", Count(from));

        let missing =
            |what| format!("the keeper needs {what}: name a `record` in [deployment] that has it, or say where it is");
        let chain_id = chain_id.or_else(|| of_record.map(|record| record.chain_id));
        if chain_id.is_none() && is_readable {
            section.problem("say the `chain_id`, or name a `record`");
        }
        if core.is_none() && is_readable {
            section.problem(missing("`core`, the contract Plimsoll"));
        }
        if lens.is_none() && is_readable {
            section.problem(missing("`lens`, the contract Lens"));
        }
        is_readable.then_some(())?;
        Some(Self {
            network: of_record.map_or_else(String::new, |record| record.network.clone()),
            chain_id: chain_id?,
            genesis: genesis.or_else(|| of_record.map(|record| record.genesis)),
            core: core?,
            rewards,
            lens: lens?,
            liquidator,
            first_block,
            contracts: of_record.map(contracts_of).unwrap_or_default(),
            market_names: of_record.map(market_names_of).unwrap_or_default(),
            programme_names: of_record
                .map(|record| record.programmes.iter().map(|(name, pool)| (pool.id, name.clone())).collect())
                .unwrap_or_default(),
            known: of_record.map(Known::of).unwrap_or_default(),
            record: path,
        })
    }
}

impl Known {
    fn of(record: &Deployment) -> Self {
        let markets = record.markets.iter();
        Self {
            tokens: record.tokens.iter().map(|(name, token)| (name.clone(), (token.address, token.decimals))).collect(),
            feeds: record.feeds.clone(),
            pools: record.pools.clone(),
            markets: markets
                .map(|(name, market)| (name.clone(), MarketId(market.id), market.loan_token, market.collateral_token))
                .collect(),
        }
    }
}

fn contracts_of(record: &Deployment) -> BTreeMap<String, DeployedCode> {
    let code = |(name, found): (&String, &plimsoll_contracts::deployment::DeployedContract)| {
        let code =
            DeployedCode { contract: found.contract.clone(), address: found.address, code_hash: found.code_hash };
        (name.clone(), code)
    };
    record.contracts.iter().map(code).collect()
}

fn market_names_of(record: &Deployment) -> BTreeMap<MarketId, String> {
    record.markets.iter().map(|(name, market)| (MarketId(market.id), name.clone())).collect()
}

/// An address of our own: what the section says, else what the record has.
fn address(section: &Section<'_, '_>, key: &'static str, recorded: Option<Address>) -> Option<Address> {
    match section.optional(key, &shown(recorded)) {
        Some(Reference::Address(address)) => Some(address),
        Some(Reference::Name(_)) => {
            section.problem_with(key, "this must be an address: 0x and 40 hexadecimal digits");
            None
        }
        None => recorded,
    }
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn no_record(path: &Path) -> String {
    format!(
        "there is no record at {}: `deploy` writes one; name it as `record` in [deployment], or say `chain_id`, `core` \
         and `lens` there",
        path.display()
    )
}

/// The beginning of an id, for people.
#[must_use]
pub fn short(id: B256) -> String {
    format!("0x{}…", &alloy::hex::encode(id)[..8])
}
